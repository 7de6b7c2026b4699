"""VAEs of three views of a digit, those of the recipe multiview_digits, beside the package multivae.

Networks, likelihoods, their weights, optimizer and batches are ours. What is multivae's own: MoPoE's loss draws one
subset a row, where ours takes all seven, and the prior is one expert more in its product of all views.
"""

import dataclasses
import itertools
import math
import tempfile

import numpy as np
import torch
from multivae.models import MMVAE, MVAE, MMVAEConfig, MoPoE, MoPoEConfig, MVAEConfig
from peers import sides
from peers.pairs import Pair
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder
from sklearn.svm import SVC
from torch import nn
from torch.nn import functional as F

import genjax
from genjax.data import load, train_batches
from genjax.engine.optimizers import schedule
from genjax.evaluation.sampling import draw
from genjax.experiment import Data, Experiment
from genjax.models import Multiview
from genjax.models.multimodal.multiview_loss import scales
from genjax.models.multimodal.views import canvas, drawn, seen
from genjax.models.vae.model import LOG_VARIANCE
from genjax.runs.check import resolve
from genjax.spec import Image, Tokens

JOINT = 1000  # samples from nothing
PEERS = {  # --model.posterior -> system, its settings; multivae's mixture has no beta
    "mopoe": (MoPoE, MoPoEConfig, {"beta": 5.0}),
    "poe": (MVAE, MVAEConfig, {"beta": 1.0, "k": 1, "warmup": 0}),
    "moe": (MMVAE, MMVAEConfig, dict(K=1, prior_and_posterior_dist="normal", learn_prior=False, loss="iwae_looser")),
}


def experiment(posterior: str, **train) -> Experiment:
    """The recipe's, with nothing that interrupts the training."""
    recipe = genjax.load_experiment("multiview_digits")
    never = {f"{event}_every": 0 for event in ("eval", "sample", "checkpoint")}
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, posterior=posterior, beta=PEERS[posterior][2].get("beta", 1.0)),
        train=dataclasses.replace(recipe.train, **never, **train),
    )


def dense(*sizes: int) -> nn.Sequential:
    """Layers with GELU between them, started as ours."""
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.GELU(approximate="tanh"), nn.Linear(inputs, outputs)]
        nn.init.normal_(layers[-1].weight, std=inputs**-0.5)
        nn.init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers[1:])


class Encoder(BaseEncoder):
    def __init__(self, numbers: int, widths: tuple[int, ...], latent: int):
        super().__init__()
        self.latent_dim, self.layers = latent, dense(numbers, *widths, 2 * latent)

    def forward(self, x):
        mean, log_var = self.layers(x).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_var.clamp(*LOG_VARIANCE))


class Decoder(BaseDecoder):
    """With the learned log deviation of pictures."""

    def __init__(self, numbers: int, widths: tuple[int, ...], latent: int, symbols: int | None):
        super().__init__()
        self.layers, self.symbols = dense(latent, *widths[::-1], numbers), symbols
        self.log_sigma = None if symbols else nn.Parameter(torch.zeros(()))

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z))

    def log_probability(self, output, x):
        """Of each number of x; of texts, of each symbol in one-hot rows."""
        if self.symbols:
            return x * F.log_softmax(output.unflatten(-1, (-1, self.symbols)), -1).flatten(-2)
        return -0.5 * ((x - output) * torch.exp(-self.log_sigma)) ** 2 - self.log_sigma - 0.5 * math.log(2 * math.pi)


def peer(model: Multiview) -> nn.Module:
    """multivae's system with the networks of ours, which is resolved."""
    system, config, settings = PEERS[model.posterior]
    encoders, decoders = {}, {}
    for name, field in model.kinds.items():
        text = isinstance(field, Tokens)
        numbers, widths = math.prod(canvas(field)), model.widths if text else model.network.widths
        encoders[name] = Encoder(numbers, widths, model.latent)
        decoders[name] = Decoder(numbers, widths, model.latent, field.vocabulary + 1 if text else None)
    weights = dict(zip(model.kinds, map(float, scales(model))))
    made = system(
        config(
            n_modalities=len(encoders),
            latent_dim=model.latent,
            uses_likelihood_rescaling=True,
            rescale_factors=weights,
            **settings,
        ),
        encoders,
        decoders,
    )
    made.recon_log_probs = {name: decoder.log_probability for name, decoder in decoders.items()}
    return made


def tensors(model: Multiview, batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """(B, numbers) of each view, as our networks see them."""
    views = {name: np.array(seen(name, field, batch)) for name, field in model.kinds.items()}
    return {name: torch.from_numpy(view.reshape(len(view), -1)) for name, view in views.items()}


def loss(peer: nn.Module, views: dict[str, torch.Tensor]) -> torch.Tensor:
    """A row's mean; multivae's mixture adds rows up."""
    total = peer(ModelOutput(data=views)).loss
    return total / len(next(iter(views.values()))) if isinstance(peer, MMVAE) else total


def pair(precision: str = "float32") -> Pair:
    """A step of MoPoE. multivae's loss is not compiled: it names tensors as it goes."""
    recipe = experiment("mopoe", precision=precision)
    spec = load(recipe.data).spec
    model, device = resolve(recipe, spec).model, sides.torch_device()
    theirs = peer(model).to(device)
    batch = {name: x.to(device) for name, x in tensors(model, spec.random_batch(recipe.data.batch_size)).items()}
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3, fused=True)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            value = loss(theirs, batch)
        value.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), recipe.optim.clip_norm)
        optimizer.step()

    shapes = f"3 views of 256, 256 and {batch['word'].shape[1]} numbers, batch {recipe.data.batch_size}, {precision}"
    both = sides.training(recipe, spec), sides.torch_training("multivae", [theirs], step)
    return Pair("multiview", *both, recipe.data.batch_size, "examples", shapes, precision)


def ours(posterior: str, seed: int, steps: int) -> dict[str, float]:
    """What our system has learned: see `coherence`."""
    chosen = experiment(posterior, seed=seed, steps=steps)
    with tempfile.TemporaryDirectory() as out:
        genjax.train(chosen, out)
        run = genjax.restore(out).run
    held = labelled(chosen.data, "validation")

    def made(given: tuple[str, ...]) -> dict[str, np.ndarray]:
        needed = {"index"}.union(*(run.engine.model.kinds[name].arrays(name) for name in given))
        conditions = {name: held[name] for name in needed} if given else {"index": np.arange(JOINT, dtype=np.int32)}
        return draw(run.engine, run.state, conditions, seed=seed, options=run.engine.model.Options(given=given))

    return coherence(chosen.data, run.engine.model, made)


def theirs(posterior: str, seed: int, steps: int) -> dict[str, float]:
    """What multivae's has learned from the batches of ours."""
    chosen = experiment(posterior, seed=seed, steps=steps)
    dataset = load(chosen.data)
    model, optim = resolve(chosen, dataset.spec).model, chosen.optim
    torch.manual_seed(seed)
    np.random.seed(seed)  # multivae draws subsets from it
    system, rate = peer(model), schedule(optim, steps)
    optimizer = torch.optim.Adam(system.parameters(), fused=True)
    for step, batch in zip(range(steps), train_batches(dataset, chosen.data.batch_size, seed)):
        optimizer.param_groups[0]["lr"] = float(rate(step))
        optimizer.zero_grad()
        loss(system, tensors(model, batch)).backward()
        nn.utils.clip_grad_norm_(system.parameters(), optim.clip_norm)
        optimizer.step()
    system.eval()
    held = ModelOutput(data=tensors(model, labelled(chosen.data, "validation")))

    @torch.no_grad()
    def made(given: tuple[str, ...]) -> dict[str, np.ndarray]:
        z, views = system.encode(held, list(given)).z if given else torch.randn(JOINT, model.latent), {}
        for name, field in model.kinds.items():
            output = system.decoders[name](z).reconstruction.numpy()
            views |= {key: np.asarray(x) for key, x in drawn(name, field, output.reshape(-1, *canvas(field))).items()}
        return views

    return coherence(chosen.data, model, made)


def labelled(data: Data, split: str) -> dict[str, np.ndarray]:
    """All examples of a split, with their labels."""
    examples = getattr(load(dataclasses.replace(data, fields=(*data.fields, "label=label"))), split)
    rows = np.arange(len(examples), dtype=np.int32)
    return examples.gather(rows) | {"index": rows}


def coherence(data: Data, model: Multiview, made) -> dict[str, float]:
    """How often views show one digit: pictures are read by support vector machines, and words must be right whole.

    Args:
      made: views, none or one -> all views, as batches hold them: of the held-out examples, or of `JOINT` from nothing.

    Returns:
      TO_from_GIVEN, the share of held-out examples whose drawn view shows the digit of the given one; `conditional`,
      the mean of these; `joint`, the share of samples from nothing whose views all show one digit.
    """
    train, held = (labelled(data, split) for split in ("train", "validation"))
    pictures = [name for name, field in model.kinds.items() if isinstance(field, Image)]
    machines = {name: SVC().fit(train[name].reshape(len(train["label"]), -1), train["label"]) for name in pictures}

    def spelled(batch: dict[str, np.ndarray]) -> list[tuple[int, ...]]:
        return [tuple(ids[:length]) for ids, length in zip(batch["word"].tolist(), batch["word_length"].tolist())]

    digits = dict(zip(spelled(train), train["label"]))

    def read(name: str, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(N,) digits; -1 where a word is none."""
        if name in machines:
            return machines[name].predict(batch[name].reshape(len(batch[name]), -1))
        return np.array([digits.get(word, -1) for word in spelled(batch)])

    found = {}
    for given in model.views:
        views = made((given,))
        for name in model.views:
            if name != given:
                found[f"{name}_from_{given}"] = np.mean(read(name, views) == held["label"])
    found["conditional"] = np.mean(list(found.values()))
    from_nothing = made(())
    read_MN = np.array([read(name, from_nothing) for name in model.views])
    found["joint"] = np.mean((read_MN == read_MN[0]).all(0))
    return {name: round(float(value), 4) for name, value in found.items()}
