"""Every registered system at a tiny size: a new system is covered by the contract tests by one entry in SYSTEMS."""

import dataclasses
import functools
import time
from collections.abc import Callable

import jax
import numpy as np
from halving import Halving

from genjax import data
from genjax.diffusion import DDPM, EDM, Flow
from genjax.engine.engine import Engine
from genjax.experiment import Data, Eval, Experiment, Mesh, Optim, Train
from genjax.models import (
    ADA,
    BERT,
    CUT,
    DALLE,
    DCGAN,
    FSQ,
    GAN,
    GPT,
    HMM,
    R3GAN,
    VAE,
    VAEGAN,
    VQVAE,
    Adapters,
    Adversarial,
    CategoricalEmission,
    Classifier,
    ConvAutoencoder,
    ConvClassifier,
    CrossModal,
    CycleGAN,
    DenseAutoencoder,
    DiffAugment,
    Diffusion,
    DiTConfig,
    GaussianEmission,
    Gumbel,
    InfoGAN,
    Latents,
    LoRA,
    MaskGIT,
    MixtureEmission,
    Multiview,
    PatchGAN,
    Perceptual,
    Pix2Pix,
    PixUNet,
    R3GANConfig,
    RampedAugment,
    RecurrentLM,
    ResNet,
    ResNetGAN,
    SongUNetConfig,
    SpatialAutoencoder,
    StyleGAN2,
    StyleGAN2Config,
    Text2Image,
    TextClassifier,
    Translation,
    UNetConfig,
    VectorQuantizer,
)
from genjax.orders import Streams
from genjax.runs.check import resolve
from genjax.spec import DataSpec, Image, Label, Mask, Real, Tokens

BATCH = 16
IMAGES = DataSpec({"image": Image(8, 8, 1), "label": Label(10, tuple("0123456789"))}, 1500, 297)
TEXT = DataSpec({"tokens": Tokens((16,), 256, shifted=True)}, 1000, 100)

_train = Train(steps=20, log_every=1, eval_every=0, sample_every=0, checkpoint_every=0)
_averaged = dataclasses.replace(_train, ema_decay=0.9)


@dataclasses.dataclass(frozen=True)
class System:
    """A tiny run, and what the contract tests cannot read from its model.

    Attributes:
      counts: the counts of the terms over a whole batch.
      seeded: samples differ from seed to seed.
      products: a step multiplies matrices, which is what FLOPs are counted of.
      slow: a second variant of a family, or networks that take long to compile: the costly tests are slow ones.
    """

    experiment: Experiment
    spec: DataSpec = IMAGES
    counts: Callable[[dict[str, np.ndarray]], set[int]] = lambda batch: {BATCH}
    seeded: bool = True
    products: bool = True
    slow: bool = False


def _system(model, *, data=Data(source="digits", batch_size=BATCH), optim=Optim(), train=_train, **traits) -> System:
    evaluation = Eval(examples=32, set_size=32, grid=4)
    return System(Experiment(model=model, data=data, optim=optim, train=train, eval=evaluation), **traits)


_text = {"data": Data(source="pydoc", context=16, batch_size=BATCH), "spec": TEXT, "counts": lambda batch: {BATCH * 16}}

# A loss whose terms are means over the values of pictures, and over their positions.
_uneven = {"counts": lambda batch: {batch["image"].size, BATCH * 16}, "seeded": False}
_ids = VQVAE(network=Halving(), quantizer=FSQ((5, 3)))

SYSTEMS: dict[str, System] = {
    "vae": _system(VAE(network=ConvAutoencoder(widths=(8, 16)), latent=4, iwae_samples=2), slow=True),
    "vae-conditional": _system(
        VAE(network=DenseAutoencoder(widths=(16,)), latent=4, conditional=True, binarization="dynamic",
            iwae_samples=2),
        train=_averaged,
    ),
    "vae-spatial": _system(
        VAE(network=SpatialAutoencoder(widths=(4,), blocks=1), latent=2, likelihood="mse", beta=0.1, iwae_samples=1),
    ),
    "gan": _system(
        GAN(network=DCGAN(generator_width=8, discriminator_width=8, generator_norm="none", discriminator_norm="none"),
            latent=8, r1_gamma=1.0, r1_every=2, conditional=True),
        train=dataclasses.replace(_averaged, ema_entries=("generator",)),
    ),
    "gan-batchnorm": _system(
        GAN(network=DCGAN(generator_width=8, discriminator_width=8), latent=8, spectral_norm=True),
    ),
    "gan-resnet": _system(
        GAN(network=ResNetGAN((8, 8, 8), (8, 8), halvings=1, attention=(4,), shared=4, hierarchical=True,
                              init="orthogonal"),
            latent=6, conditional=True, objective="hinge", spectral_norm=True, generator_spectral_norm=True),
        slow=True,
    ),
    "stylegan2": _system(
        StyleGAN2(network=StyleGAN2Config(latent=8, style=8, mapping_layers=2, label_layers=1, channels=64, group=1),
                  conditional=True, r1_gamma=0.1, r1_every=2, path_every=2,
                  augment=ADA(("blit", "colour"), target=-2, images=200)),
        train=dataclasses.replace(_averaged, ema_entries=("mapping", "synthesis")), slow=True,
    ),
    "stylegan2-residual": _system(
        StyleGAN2(network=StyleGAN2Config(latent=8, style=8, mapping_layers=1, channels=64, generator="residual",
                                          discriminator="skip", group=2),
                  augment=DiffAugment(), mixing=0.0, path_weight=0.0),
        slow=True,
    ),
    "r3gan": _system(
        R3GAN(network=R3GANConfig(widths=(8, 8), groups=(2, 2), blocks=1), latent=8, conditional=True,
              augment=RampedAugment(("colour",), steps=4)),
        slow=True,
    ),
    "infogan": _system(
        InfoGAN(network=DCGAN(generator_width=8, discriminator_width=8, generator_norm="none",
                              discriminator_norm="none"), latent=4, categorical=(3,), continuous=1),
        train=_averaged, slow=True,
    ),
    "vaegan": _system(
        VAEGAN(encoder=DenseAutoencoder(widths=(16,)),
               network=DCGAN(generator_width=8, discriminator_width=8), latent=4, gamma=0.1),
        slow=True,
    ),
    "classifier": _system(Classifier(network=ConvClassifier(widths=(4, 8), features=8, dropout=0.5))),
    "gpt": _system(GPT(layers=2, heads=2, width=32), **_text),
    "lora": _system(LoRA(base=GPT(layers=2, heads=2, width=32), rank=2), optim=Optim(learning_rate=1e-2), **_text),
    "adapters": _system(
        Adapters(base=GPT(layers=2, heads=2, width=32), bottleneck=4), optim=Optim(learning_rate=1e-2),
        slow=True, **_text,
    ),
    "gpt-llama": _system(
        GPT(layers=2, heads=4, kv_heads=2, width=32, hidden=48, positions="rope", norm="rms", mlp="swiglu",
            tied=False, bias=False, remat="dots"),
        optim=Optim(name="adamw", weight_decay=0.1, clip_norm=1.0, schedule="cosine", warmup_steps=4),
        slow=True, **_text,
    ),
    "diffusion-unet": _system(
        Diffusion(network=UNetConfig(channels=8, multipliers=(1, 2), blocks=1, attention=()), process=DDPM(steps=50),
                  variance="learned", likelihood_steps=20),
        train=_averaged, slow=True,
    ),
    "diffusion-dit": _system(
        Diffusion(network=DiTConfig(patch=2, layers=2, width=32, heads=2), process=Flow(), target="velocity",
                  self_conditioning=True),
    ),
    "diffusion-edm": _system(
        Diffusion(network=SongUNetConfig(channels=8, multipliers=(1,), blocks=1, attention=()), process=EDM(),
                  target="edm", augment=0.3),
        train=dataclasses.replace(_averaged, ema_ramp="edm"), slow=True,
    ),
    "cyclegan": _system(
        CycleGAN(generator=ResNet(4, 1, 1), discriminator=PatchGAN(8, 1), pool=20),
        spec=DataSpec({name: Image(8, 8, 1) for name in ("image_a", "image_b")}),
        optim=Optim(learning_rate=5e-5),  # distances in L1 have gradients that jump: rounding grows fast in large steps
        counts=lambda batch: {batch["image_a"].size, BATCH * 2 * 2}, seeded=False, slow=True,
    ),
    "cut": _system(
        CUT(generator=ResNet(4, 1, 1), discriminator=PatchGAN(8, 1), patches=8, width=8),
        spec=DataSpec({name: Image(8, 8, 1) for name in ("image_a", "image_b")}),
        optim=Optim(learning_rate=5e-5),
        counts=lambda batch: {BATCH * 8, BATCH * 2 * 2}, seeded=False, slow=True,
    ),
    "pix2pix": _system(
        Pix2Pix(generator=PixUNet(4, 2), discriminator=PatchGAN(8, 1)),
        spec=DataSpec({name: Image(8, 8, 1) for name in ("image_a", "image_b")}),
        optim=Optim(learning_rate=5e-5),
        counts=lambda batch: {batch["image_a"].size, BATCH * 2 * 2}, slow=True,
    ),
    "multiview": _system(
        Multiview(latent=4, network=ConvAutoencoder((4, 8)), widths=(16,), iwae_samples=2),
        spec=DataSpec({
            "picture": Image(8, 8, 1), "word": Tokens((5,), 8, ragged=True, end=0), "kind": Label(3, optional=True),
        }),
    ),
    "translation": _system(
        Translation(layers=1, heads=2, width=16, hidden=32, dropout=0.1),
        spec=DataSpec({name: Tokens((12,), 32, ragged=True, end=0) for name in ("source", "target")}),
        counts=lambda batch: {batch["target_length"].sum()}, seeded=False,
    ),
    "lstm": _system(
        RecurrentLM(layers=2, width=16, embedding=12, dropout=0.1, hidden_dropout=0.1, input_dropout=0.1,
                    word_dropout=0.1, weight_dropout=0.1, activation_l2=2.0, slowness=1.0),
        data=Data(source="pydoc", context=16, batch_size=BATCH, order=Streams()),
        optim=Optim(eps=1e-6),  # rounding decides the signs of the smallest gradients
        spec=DataSpec(TEXT.fields | {"starts": Mask(())}, 1000, 100),
        counts=lambda batch: {BATCH * 16, BATCH * 16 * 12, BATCH * 15 * 12},
    ),
    "bert": _system(
        BERT(layers=1, heads=2, width=16, hidden=32, dropout=0.1, hidden_share=0.4),
        data=Data(source="pydoc", context=16, batch_size=BATCH), spec=TEXT, counts=lambda batch: set(range(BATCH * 16)),
        optim=Optim(eps=1e-6),
    ),
    "text-classifier": _system(
        TextClassifier(layers=1, heads=2, width=16, hidden=32, dropout=0.1, pooling="cls"),
        spec=DataSpec({"text": Tokens((12,), 32, ragged=True, end=0), "label": Label(4, tuple("abcd"))}), seeded=False,
        slow=True,
    ),
    "hmm": _system(
        HMM(states=3, emission=CategoricalEmission(pseudocount=0.1), step_power=0.6, restarts=2),
        **_text | {"counts": lambda batch: {BATCH * 17}},
    ),
    "hmm-gaussian": _system(
        HMM(states=2, emission=MixtureEmission(component=GaussianEmission(covariance="full")), start="kmeans"),
        spec=DataSpec({"series": Real((12, 2), ragged=True), "observed": Mask((12,))}),
        counts=lambda batch: {(batch["observed"] & (np.arange(12) < batch["series_length"][:, None])).sum()}, slow=True,
    ),
    "hmm-gradient": _system(HMM(states=3, learn="gradient", pseudocount=0.1), slow=True, products=False,
                            **_text | {"counts": lambda batch: {BATCH * 17}}),
    "vqvae": _system(VQVAE(network=Halving(), quantizer=VectorQuantizer(8, 4)), **_uneven),
    "vqvae-gradient": _system(
        VQVAE(network=Halving(), quantizer=VectorQuantizer(8, 4, learn="gradient")), **_uneven,
        slow=True,
    ),
    "vqgan": _system(
        VQVAE(network=Halving(), quantizer=VectorQuantizer(8, 4),
              perceptual=Perceptual("classifier", (4,)), adversarial=Adversarial(PatchGAN(8, 1), weight=0.1)),
        counts=lambda batch: {batch["image"].size, BATCH, BATCH * 16, BATCH * 2 * 2}, seeded=False,
    ),
    "vae-judged": _system(
        VAE(network=Halving(), latent=2, likelihood="mse", beta=1e-3, iwae_samples=1,
            perceptual=Perceptual("classifier", (4,)), adversarial=Adversarial(PatchGAN(8, 1), weight=0.1)),
        counts=lambda batch: {BATCH, BATCH * 2 * 2}, slow=True,
    ),
    "vqvae-fsq": _system(VQVAE(network=Halving(), quantizer=FSQ((5, 3))), slow=True, **_uneven),
    "dvae": _system(VQVAE(network=Halving(), quantizer=Gumbel(8, 4, steps=20)), **_uneven,
                    train=_averaged, slow=True),
    "maskgit": _system(
        MaskGIT(layers=1, heads=2, width=16, dropout=0.1, first_stage=_ids),
        spec=DataSpec({"image": Image(8, 8, 1), "caption": Tokens((6,), 12, ragged=True, end=0)}),
        counts=lambda batch: set(range(BATCH, BATCH * 16 + 1)), slow=True,
    ),
    "dalle": _system(
        DALLE(layers=1, heads=2, width=16, dropout=0.1, first_stage=_ids),
        spec=DataSpec({"image": Image(8, 8, 1), "caption": Tokens((6,), 12, ragged=True, end=0)}),
        counts=lambda batch: {BATCH * 16, *range(batch["caption_length"].sum() + 1)},
    ),
    "crossmodal": _system(
        CrossModal(layers=1, heads=2, width=16, dropout=0.1, patch=2, shared=8, candidates=40, first_stage=_ids),
        spec=DataSpec({"image": Image(8, 8, 1), "caption": Tokens((6,), 12, ragged=True, end=0)}),
        counts=lambda batch: {BATCH, BATCH * 16, batch["caption_length"].sum()},
        optim=Optim(eps=1e-6), slow=True,  # keys' biases have no gradient but rounding
    ),
    "text2image": _system(
        Text2Image(network=DiTConfig(patch=2, layers=1, width=16, heads=2), process=Flow(), target="velocity",
                   text_layers=1, text_width=16, text_heads=2, label_dropout=0.2),
        spec=DataSpec({"image": Image(8, 8, 1), "caption": Tokens((6,), 12, ragged=True, end=0)}), slow=True,
    ),
    "dalle-label": _system(
        DALLE(layers=1, heads=2, width=16, first_stage=_ids), counts=lambda batch: {BATCH * 16, *range(BATCH + 1)},
        slow=True,
    ),
    "latent-diffusion": _system(
        Diffusion(network=DiTConfig(patch=2, layers=1, width=32, heads=2), process=EDM(), target="edm",
                  space=Latents(first_stage=VAE(network=Halving(), latent=2))),
        slow=True,
    ),
}  # fmt: skip

# The runs that tests of other rooms use.
TINY = {name: system.experiment for name, system in SYSTEMS.items()}


def spec_of(name: str) -> DataSpec:
    return SYSTEMS[name].spec


def tiny(name: str, **train) -> Experiment:
    """The resolved tiny experiment, with fields of its `train` section replaced."""
    experiment = TINY[name]
    experiment = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))
    return resolve(experiment, spec_of(name))


@functools.cache
def engine(name: str, devices: int = 1, mesh: Mesh = Mesh(), **train) -> Engine:
    return Engine(dataclasses.replace(tiny(name, **train), mesh=mesh), spec_of(name), jax.devices()[:devices])


@functools.cache
def batch(name: str, step: int = 0) -> dict[str, np.ndarray]:
    """A synthetic batch: smooth images, and ids of a few kinds."""
    spec = spec_of(name)
    fields = spec.random_batch(BATCH, step)
    for field in spec.of_kind(Image):
        corners = fields[field][:, ::4, ::4]
        fields[field] = corners.repeat(4, axis=1).repeat(4, axis=2)
    for field, kind in spec.of_kind(Tokens).items():
        fields[field] = fields[field] % min(8, kind.vocabulary)
    return fields


@dataclasses.dataclass(frozen=True)
class SlowSource:
    """A source that takes its time."""

    source: data.Source
    seconds: float

    def __len__(self) -> int:
        return len(self.source)

    @property
    def examples(self):
        return self.source.examples

    def gather(self, *args, **kwargs):
        time.sleep(self.seconds)
        return self.source.gather(*args, **kwargs)
