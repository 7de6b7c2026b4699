"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): pictures of one domain as those of another, learned without pairs."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import (
    Array,
    Batch,
    Layout,
    LossOutput,
    Model,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_turn,
    valid_rows,
)
from genjax.models.gan.directions import DOMAINS, OTHER, Direction, PictureOptions, expected_domains, with_domains
from genjax.models.images import images_of
from genjax.models.objectives import OBJECTIVES
from genjax.networks import PatchGAN, PixUNet, ResNet
from genjax.nn import noise
from genjax.nn.apply import apply, init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field

__all__ = ["CycleGAN", "CycleGANOptions"]


@dataclasses.dataclass(frozen=True)
class CycleGANOptions(PictureOptions):
    """AtoB turns pictures of the domain `image_a` into such of `image_b`."""

    direction: Direction = "AtoB"

    @property
    def source(self) -> str:
        return "a" if self.direction == "AtoB" else "b"


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleGAN(Model):
    """Entries "to_a" and "to_b", the generators, and "judge_a" and "judge_b", the discriminators.

    `x` stands for one domain and `y` for the other. The discriminators' turn sees pictures from a pool of earlier ones
    (section 4, after Shrivastava et al. 2016), which the state holds; it is read as it was before the batch.
    """

    generator: ResNet | PixUNet = ResNet()  # noqa: RUF009, frozen
    discriminator: PatchGAN = PatchGAN()  # noqa: RUF009, frozen
    cycle: float = 10.0  # lambda, of the cycle-consistency term (equation 3)
    identity: float = 0.5  # of the identity term, as a share of `cycle` (section 5.2); 0 = none
    pool: int = 50  # pictures of each domain that are kept; 0 = none
    shape: tuple[int, int, int] | None = None  # None = of the data

    Options: ClassVar = CycleGANOptions
    best: ClassVar = ("cycle", "min")

    def __post_init__(self):
        if not (self.cycle >= 0 and self.identity >= 0 and self.pool >= 0):
            raise UsageError("CycleGAN: cycle, identity and pool must not be negative")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("discriminators", trains=("judge_a", "judge_b")), Turn("generators", trains=("to_a", "to_b")))

    @property
    def couples_batch(self) -> bool:
        return "batch" in (self.generator.norm, self.discriminator.norm)

    def networks(self) -> dict[str, nn.Module]:
        generators = {f"to_{x}": self.generator.translator(self.shape[-1], self.dtype) for x in DOMAINS}
        return generators | {f"judge_{x}": self.discriminator.discriminator(self.dtype) for x in DOMAINS}

    def expects(self) -> dict[str, Field]:
        return expected_domains(self)

    def resolve(self, spec: DataSpec) -> "CycleGAN":
        return with_domains(self, spec)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        networks, image = self.networks(), jnp.zeros((1, *self.shape))
        params, state = init_networks(networks, dict.fromkeys(networks, (image,)), key, train=False)
        if self.pool:
            kept = {x: jnp.zeros((self.pool, *self.shape)) for x in DOMAINS}
            state["pool"] = {"count": jnp.zeros((), jnp.int32), **kept}
        return params, state

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Equation 3, of least squares as in section 4; distances are means over pixels.

        The discriminators' loss is halved, as in appendix 7.1. The generators' has the cycle term,
        |F(G(x)) - x| + |G(F(y)) - y| (equation 2), and the identity term |G(y) - y| + |F(x) - x|.
        """
        trains = require_turn(self, turn).trains
        objective, networks = OBJECTIVES["least-squares"], self.networks()
        real = {x: images_of(batch, f"image_{x}") for x in DOMAINS}
        fake = {}

        def call(name: str, image: Array) -> Array:
            nonlocal state
            out, new = apply(networks, name, params, state, image, train=train)
            if name in trains:  # a turn writes the statistics of its own entries only
                state = new
            return out

        for x in DOMAINS:
            fake[x] = call(f"to_{x}", real[OTHER[x]])
        if turn == "discriminators":
            shown, rows = self._from_pool(state, jax.lax.stop_gradient(fake), key, batch["index"])
            terms, metrics = {}, {}
            for x in DOMAINS:
                on_real, on_fake = call(f"judge_{x}", real[x]), call(f"judge_{x}", shown[x])
                terms[x] = Term.mean(objective.real(on_real) + objective.fake(on_fake))
                metrics |= {f"real_{x}": Term.mean(on_real), f"fake_{x}": Term.mean(on_fake)}
            return LossOutput(terms, metrics, state, rows=rows)
        terms = {}
        for x in DOMAINS:
            back = call(f"to_{x}", fake[OTHER[x]])
            terms[f"adversarial_{x}"] = Term.mean(2 * objective.generator(call(f"judge_{x}", fake[x])))
            terms[f"cycle_{x}"] = Term.mean(jnp.abs(back - real[x]), scale=self.cycle)
            if self.identity:
                same = jnp.abs(call(f"to_{x}", real[x]) - real[x])
                terms[f"identity_{x}"] = Term.mean(same, scale=self.cycle * self.identity)
        return LossOutput(terms, {}, state)

    def _from_pool(self, state: Tree, fake: dict[str, Array], key: Array, index_B: Array) -> tuple[dict, Tree]:
        """What the discriminators see, half of it from a full pool, and what `update` needs to know."""
        if not self.pool:
            return fake, {}
        draw_B2 = noise.uniform(jax.random.fold_in(key, 1), index_B, (2,))
        place_B = (draw_B2[:, 0] * self.pool).astype(jnp.int32)
        swapped_B = (draw_B2[:, 1] < 0.5) & (state["pool"]["count"] >= self.pool)
        shown = {x: jnp.where(swapped_B[:, None, None, None], state["pool"][x][place_B], fake[x]) for x in DOMAINS}
        return shown, {"place": place_B, "swapped": swapped_B, **fake}

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """The pool takes the new pictures in the order of the batch: free places first, then those it gave away."""
        if turn != "discriminators" or not self.pool:
            return params, state

        def put(pool: Tree, row: Tree) -> tuple[Tree, None]:
            free = pool["count"] < self.pool
            place = jnp.where(free, pool["count"], row["place"])
            kept = {x: jnp.where(free | row["swapped"], pool[x].at[place].set(row[x]), pool[x]) for x in DOMAINS}
            return {"count": jnp.minimum(pool["count"] + free, self.pool), **kept}, None

        pool, _ = jax.lax.scan(put, state["pool"], rows)
        return params, {**state, "pool": pool}

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """The cycle's error in both directions, and how real the discriminators find the pictures (1 real, 0 not)."""
        networks, valid_B, metrics = self.networks(), valid_rows(batch), {}

        def call(name: str, image: Array) -> Array:
            return apply(networks, name, params, state, image, train=False)[0]

        def mean(image: Array) -> Term:
            return Term.mean(image.reshape(len(image), -1).mean(-1), valid_B)

        total = 0.0
        for x in DOMAINS:
            image = images_of(batch, f"image_{x}")
            other = call(f"to_{OTHER[x]}", image)
            total += jnp.abs(call(f"to_{x}", other) - image)
            metrics[f"judged_{OTHER[x]}"] = mean(call(f"judge_{OTHER[x]}", other))
        return {"cycle": mean(total), **metrics}

    def needs(self, options: CycleGANOptions) -> tuple[str, ...]:
        return () if options.path else (f"image_{options.source}",)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {f"image_{x}": spec.fields[f"image_{x}"] for x in DOMAINS}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"AtoB": CycleGANOptions(), "BtoA": CycleGANOptions(direction="BtoA")}

    def layout(self, options: CycleGANOptions) -> Layout:
        x = options.source
        return Layout((f"given.image_{x}", f"image_{OTHER[x]}", f"image_{x}"))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: CycleGANOptions
    ) -> dict[str, Array]:
        """The pictures of the other domain and, made of them, those of the own one again."""
        x, networks = options.source, self.networks()
        y = OTHER[x]
        there, _ = apply(networks, f"to_{y}", params, state, conditions[f"image_{x}"], train=False)
        back, _ = apply(networks, f"to_{x}", params, state, there, train=False)
        return {f"image_{y}": there, f"image_{x}": back}
