"""Reconstructions that are judged by more than pixels: VQGAN's perceptual and adversarial terms, for any first stage.

Esser et al. 2021 (arXiv:2012.09841), section 3.1; Rombach et al. 2022 (arXiv:2112.10752), appendix G.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import Array, LossOutput, Model, Params, Term, Tree, Turn
from genjax.models.objectives import OBJECTIVES
from genjax.networks.autoencoder import AutoencoderConfig
from genjax.networks.patch import PatchGAN
from genjax.networks.perceptual import Perceptual
from genjax.nn.apply import apply, init_networks
from genjax.registry import register

__all__ = ["Adversarial", "Judged", "adaptive_weight"]

HINGE = OBJECTIVES["hinge"]


@register
@dataclasses.dataclass(frozen=True)
class Adversarial:
    """A discriminator of patches, which plays the hinge loss from a step on. The defaults are those of VQGAN's code."""

    discriminator: PatchGAN = PatchGAN(norm="batch")  # noqa: RUF009, frozen
    weight: float = 0.8  # times the adaptive one
    start: int = 0  # of the discriminator's turns and of its judgement at once, as in VQGAN's code

    def __post_init__(self):
        if not self.weight >= 0 or self.start < 0:
            raise UsageError("Adversarial: weight and start must not be negative")


def adaptive_weight(reconstruction: Array, adversarial: Array) -> Array:
    """() equation 7 of VQGAN, of both terms' gradients in the last layer of the decoder; clipped as in its code."""
    return jnp.clip(jnp.linalg.norm(reconstruction) / (jnp.linalg.norm(adversarial) + 1e-4), 0, 1e4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged(Model):
    """Base of first stages: what both terms add to its networks, turns, loss, state and evaluation.

    The discriminator is an entry with a turn of its own, and the perceptual network a frozen entry, whose weights
    `--train.init-from perceptual=features:EXTRACTOR` brings. The adaptive weight is a number of the whole batch: the
    state carries it, and a step takes that of the step before, so that it is the same however the batch is cut. The
    gradients behind it belong to `sums`.
    """

    network: AutoencoderConfig
    perceptual: Perceptual | None = None  # a distance of layers beside that of pixels
    adversarial: Adversarial | None = None  # a discriminator of reconstructions

    @property
    def last(self) -> tuple[str, ...]:
        """Path of the last layer's kernel in the entry "decoder"."""
        return self.network.last_kernel

    @property
    def couples_batch(self) -> bool:
        return self.adversarial is not None and self.adversarial.discriminator.norm == "batch"

    @property
    def judges_turns(self) -> tuple[Turn, ...]:
        return (Turn("discriminate", ("discriminator",), start=self.adversarial.start),) if self.adversarial else ()

    def judges(self) -> dict[str, nn.Module]:
        """The networks of the terms that there are."""
        networks = {}
        if self.perceptual:
            networks["perceptual"] = self.perceptual.distance()
        if self.adversarial:
            networks["discriminator"] = self.adversarial.discriminator.discriminator(self.dtype)
        return networks

    def check_judges(self, image_shape: tuple[int, int, int]) -> None:
        """Raises UsageError where a term's network cannot see such pictures."""
        system = type(self).__name__
        if self.adversarial and not self.network.last_kernel:
            network = type(self.network).__name__
            raise UsageError(f"{system}: the adversarial term is weighed in a SpatialAutoencoder, not {network}")
        if self.perceptual:
            self.perceptual.check(*image_shape[:2], system)
        if self.adversarial:
            self.adversarial.discriminator.check(*image_shape[:2], system)

    def init_judges(self, key: Array, image_shape: tuple[int, int, int]) -> tuple[Params, Tree]:
        networks, image, (key, other) = self.judges(), jnp.zeros((1, *image_shape)), jax.random.split(key)
        params, state = {}, {}
        if self.perceptual:
            params, _ = init_networks(networks, {"perceptual": (image, image)}, key)
        if self.adversarial:
            discriminator, state = init_networks(networks, {"discriminator": (image,)}, other, train=False)
            params, state = params | discriminator, state | {"adaptive": {"weight": jnp.zeros(())}}
        return params, state

    def perceived(
        self, params: Params, image: Array, made: Array, valid_B: Array | None = None, scale: float = 1.0
    ) -> dict[str, Term]:
        """The term "perceptual", weighted where no rows are told to count; {} without one."""
        if not self.perceptual:
            return {}
        distance_B = self.judges()["perceptual"].apply({"params": params["perceptual"]}, image, made)
        scale = scale * self.perceptual.weight if valid_B is None else 1.0
        return {"perceptual": Term.mean(distance_B, valid_B, scale)}

    def judge(self, params: Params, state: Tree, image: Array, train: bool) -> tuple[Array, Tree]:
        """Logits (B, h, w) of the patches, and the state."""
        return apply(self.judges(), "discriminator", params, state, image, train=train)

    def deceive(
        self,
        params: Params,
        state: Tree,
        made: Array,
        errors: Callable[[Array], dict[str, Term]],
        redraw: Callable[[Tree], Array],
        *,
        step: Array,
        train: bool,
    ) -> tuple[dict[str, Term], dict[str, Term], Tree]:
        """The adversarial term -mean D(made) (equation 6, hinge), metrics, and `sums` for the next step's weight.

        Args:
          made: reconstructions (B, H, W, C).
          errors: of such pictures, the terms whose gradient in the last layer the adversarial one is to match.
          redraw: the entry "decoder" -> `made`, without a gradient otherwise.
        """

        def fooled(made: Array) -> Array:
            return HINGE.generator(self.judge(params, state, made, train)[0])

        def with_last(kernel: Array) -> Array:
            return redraw(flax.traverse_util.unflatten_dict(held | {self.last: kernel}))

        held = jax.lax.stop_gradient(flax.traverse_util.flatten_dict(params["decoder"]))
        again, to_kernel = jax.vjp(with_last, held[self.last])
        of_errors = jax.grad(lambda made: sum(term.value for term in errors(made).values()))(again)
        of_fooled = jax.grad(lambda made: fooled(made).mean())(again)
        rows = jnp.float32(len(made))
        sums = {"errors": rows * to_kernel(of_errors)[0], "fooled": rows * to_kernel(of_fooled)[0], "rows": rows}
        weight = jnp.where(step < self.adversarial.start, 0.0, self.adversarial.weight * state["adaptive"]["weight"])
        metrics = {"adaptive_weight": Term(state["adaptive"]["weight"], jnp.float32(1))}
        return {"adversarial": Term.mean(fooled(made), scale=weight)}, metrics, {"adaptive": sums}

    def weighed(self, state: Tree, sums: Tree) -> Tree:
        """The state with the adaptive weight of this step, for the next one: of the whole batch's mean gradients."""
        if "adaptive" not in sums:  # of another turn, or without the term
            return state
        found = sums["adaptive"]
        weight = adaptive_weight(found["errors"] / found["rows"], found["fooled"] / found["rows"])
        return {**state, "adaptive": {"weight": weight}}

    def discriminate(self, params: Params, state: Tree, image: Array, made: Array, *, train: bool) -> LossOutput:
        """The hinge loss of the discriminator, halved."""
        on_real, state = self.judge(params, state, image, train)
        on_made, state = self.judge(params, state, jax.lax.stop_gradient(made), train)
        term = Term.mean(HINGE.real(on_real) + HINGE.fake(on_made), scale=0.5)
        return LossOutput({"hinge": term}, {"real_logit": Term.mean(on_real), "made_logit": Term.mean(on_made)}, state)
