"""Analytic FLOPs: by hand, and against XLA's own count of the same step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import systems

from genjax.engine.batches import abstract_batch
from genjax.engine.engine import Engine
from genjax.engine.flops import kernel_flops, model_flops, model_flops_by_entry, product_flops, step_flops
from genjax.engine.step import turn_period
from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import (
    DCGAN,
    GAN,
    GPT,
    MLPGAN,
    VAE,
    ConvAutoencoder,
    DenseAutoencoder,
    Diffusion,
    DiTConfig,
    SpatialAutoencoder,
    UNetConfig,
    dit,
)
from genjax.runs.check import resolve
from genjax.spec import DataSpec, Image, Label, Tokens

IMAGES = DataSpec({"image": Image(16, 16, 3), "label": Label(10)})
TEXT = DataSpec({"tokens": Tokens((64,), 512, shifted=True)})
GPT2 = DataSpec({"tokens": Tokens((1024,), 50257, shifted=True)})


def resolved(model, spec, batch_size=64, **train) -> Experiment:
    data = Data(source="pydoc" if "tokens" in spec.fields else "digits", batch_size=batch_size)
    return resolve(Experiment(model, data, Optim(name="sgd"), Train(**train)), spec)


@pytest.mark.parametrize("changes", [{}, {"remat": "full", "unroll": 3, "attention": "splash"}])
def test_gpt2_is_palms_formula(changes):
    """6 a weight and token, 12 L T D a token for attention (Chowdhery et al. 2022, appendix B)."""
    experiment = resolved(GPT(**changes), GPT2, batch_size=3)
    weights, attention = 12 * 12 * 768**2 + 768 * 50257, 12 * 12 * 1024 * 768
    assert model_flops(experiment, GPT2, full_attention=True) == 3 * 1024 * (6 * weights + attention)
    assert model_flops(experiment, GPT2) == 3 * 1024 * (6 * weights + attention / 2)


@pytest.mark.parametrize("size, gigaflops", [("S", 6.06), ("XL", 118.64)])
def test_a_dits_published_flops(size, gigaflops):
    """Peebles & Xie 2022, table 4: multiply-adds of one forward pass at 32 x 32 x 4, patches of 2."""
    spec = DataSpec({"image": Image(32, 32, 4), "label": Label(1000)})
    flops = model_flops(resolved(Diffusion(network=dit(size, 2)), spec, batch_size=1), spec)
    assert flops / 3 / 2e9 == pytest.approx(gigaflops, rel=0.005)  # gradients: twice the forward pass


def test_splash_counts_its_blocks():
    model = GPT(context=1024, vocabulary=50257)
    assert kernel_flops(VAE(), 3) == kernel_flops(model, 3) == 0.0
    assert kernel_flops(model.on("tpu"), 3) == 3 * 12 * 9 * 2 * (1024 * (1024 + 512) / 2) * 768


def test_micro_batches_and_precision_change_nothing_and_frozen_weights_need_no_gradient():
    model = VAE(network=DenseAutoencoder(widths=(32,)), latent=4)
    whole = model_flops(resolved(model, IMAGES), IMAGES)
    for train in ({"grad_accumulation": 4}, {"precision": "bfloat16"}, {"ema_decay": 0.9}):
        assert model_flops(resolved(model, IMAGES, **train), IMAGES) == whole
    # Forward, weights' and activations' gradient of four layers; the image needs no gradient.
    first, layers = 768 * 32, 768 * 32 + 32 * 8 + 4 * 32 + 32 * 768
    assert whole == 2 * 64 * (3 * layers - first)
    frozen = model_flops(resolved(model, IMAGES, freeze=("encoder",)), IMAGES)
    assert frozen == 2 * 64 * (layers + 2 * (4 * 32 + 32 * 768) - 4 * 32)


def test_a_pass_that_two_turns_share_counts_once_and_the_period_is_averaged():
    network = MLPGAN(generator_width=32, discriminator_width=32, discriminator_norm="none")
    model = GAN(network=network, latent=8, critic_steps=2)
    experiment = resolved(model, IMAGES)
    generator = 2 * 64 * (8 * 32 + 32 * 32 + 32 * 768)
    apart = [step_flops(experiment, IMAGES, (turn,)) for turn in ("discriminator", "generator")]
    together = step_flops(experiment, IMAGES, ("discriminator", "generator"))
    assert together == sum(apart) - generator
    assert model_flops(experiment, IMAGES) == (apart[0] + together) / 2


W = {"network": DCGAN(generator_width=32, discriminator_width=32, discriminator_norm="none"), "r1_gamma": 1.0}
WIDE = MLPGAN(generator_width=512, discriminator_width=512, discriminator_norm="none")
AGAINST_XLA = {
    "gpt": (GPT(layers=2, heads=4, width=256), TEXT, "next_token"),
    "vae-dense": (VAE(network=DenseAutoencoder(widths=(512, 256))), IMAGES, "elbo"),
    "vae-conv": (VAE(network=ConvAutoencoder(widths=(64, 128))), IMAGES, "elbo"),
    "dcgan-discriminator": (GAN(**W), IMAGES, "discriminator"),
    "dcgan-generator": (GAN(**W), IMAGES, "generator"),
    "dcgan-r1": (GAN(**W), IMAGES, "r1"),
    "vae-spatial": (VAE(network=SpatialAutoencoder(widths=(32, 64), blocks=1), latent=4), IMAGES, "elbo"),
    "unet": (
        Diffusion(network=UNetConfig(channels=64, multipliers=(1, 2), blocks=1, attention=(8,))),
        IMAGES,
        "denoise",
    ),
    "dit": (Diffusion(network=DiTConfig(patch=2, layers=2, width=256, heads=4)), IMAGES, "denoise"),
    "mlp-penalty": (
        GAN(network=WIDE, r1_gamma=1.0, gradient_penalty=1.0),
        IMAGES,
        "discriminator",
    ),
}


@pytest.mark.parametrize("name", AGAINST_XLA)
def test_within_5_percent_of_what_xla_counts(name):
    """XLA counts element-wise work too, and causal attention whole; hence one turn, without remat or loops."""
    model, spec, turn = AGAINST_XLA[name]
    experiment = resolved(model, spec)
    engine = Engine(experiment, spec, jax.devices()[:1])
    batch = abstract_batch(spec, 64, engine.batch_sharding)
    with jax.set_mesh(engine.mesh):
        counted = engine.compile_steps(((turn,),)).lower(engine.abstract_state, (batch,)).cost_analysis()["flops"]
    assert 0.95 < step_flops(experiment, spec, (turn,), full_attention=True) / counted <= 1.0


@pytest.mark.parametrize("name", systems.TINY)
def test_every_system_is_counted(name):
    experiment, spec = systems.tiny(name), systems.spec_of(name)
    counts = [step_flops(experiment, spec, due) for due in dict.fromkeys(turn_period(experiment))]
    assert counts == sorted(set(counts))  # more turns, more work
    assert (counts[0] > 0) == systems.SYSTEMS[name].products


def test_flops_by_network():
    model = VAE(network=DenseAutoencoder(widths=(32,)), latent=4)
    encoder, decoder = (768 * 32 + 32 * 8), (4 * 32 + 32 * 768)
    by_entry = model_flops_by_entry(resolved(model, IMAGES), IMAGES)
    assert by_entry == {"encoder": 2 * 64 * (3 * encoder - 768 * 32), "decoder": 2 * 64 * 3 * decoder}
    gpt = resolved(GPT(layers=2, heads=2, width=32), TEXT)  # a loop, and causal attention
    assert model_flops_by_entry(gpt, TEXT) == {"decoder": model_flops(gpt, TEXT)}
    every_second = resolved(GAN(network=MLPGAN(discriminator_norm="none"), critic_steps=2), IMAGES)
    assert model_flops_by_entry(every_second, IMAGES).keys() == {"generator", "discriminator"}


def count(function, *shapes, **options) -> float:
    return product_flops(jax.make_jaxpr(function)(*(jnp.zeros(shape) for shape in shapes)), **options)


def test_loops_branches_and_waste():
    product, square = 2 * 4**3, (4, 4)

    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, length=5)[0]

    assert count(loop, square) == 5 * product
    assert count(lambda x: jax.jit(loop)(x) + jax.checkpoint(lambda y: y @ y)(x), square) == 6 * product
    assert count(lambda x: jax.lax.cond(x[0, 0] > 0, lambda y: y @ y @ y, lambda y: y @ y, x), square) == 2 * product
    assert count(lambda x: x @ x + x @ x, square) == product  # twice the same
    assert count(lambda x: (x @ x, x + 1)[1], square) == 0  # of no use
    assert count(lambda x, y: x @ y + y @ x, square, square) == 2 * product


@pytest.mark.parametrize("stride, dilation, padding", [(1, 1, "SAME"), (2, 1, "SAME"), (1, 2, "SAME"), (3, 1, "VALID")])
def test_taps_of_a_convolution_that_meet_the_image(stride, dilation, padding):
    def convolve(x, k):
        return jax.lax.conv_general_dilated(
            x, k, (stride, stride), padding, rhs_dilation=(dilation,) * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    image, kernel = np.ones((1, 7, 5, 1)), np.ones((3, 3, 1, 1))
    met = float(np.sum(convolve(image, kernel)))  # an image and a kernel of ones count them
    x, k = (2, 7, 5, 3), (3, 3, 3, 8)
    forward = 2 * met * 2 * 3 * 8
    assert count(convolve, x, k) == forward
    gradients = jax.grad(lambda x, k: jnp.sum(convolve(x, k) ** 2), (0, 1))
    assert count(gradients, x, k) == 3 * forward
