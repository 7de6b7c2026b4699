"""Augmentations of what a discriminator sees, real or generated, so that it does not learn few images by heart.

An augmentation draws from the example's own key, is differentiated through, and keeps its strength in the state.
"""

import dataclasses

import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import Array, Tree
from genjax.models.gan import augment_pipeline as pipeline
from genjax.nn import noise
from genjax.registry import register

__all__ = ["ADA", "Augmentation", "DiffAugment", "RampedAugment", "augmented", "refuse_ada", "sign_sums"]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Base of the augmentations."""

    def init(self) -> Tree:
        """The state before the first step."""
        return {}

    def __call__(self, state: Tree, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        """The images, each changed by what is drawn from (key, index)."""
        raise NotImplementedError

    def update(self, state: Tree, sums: Tree, step: Array) -> Tree:
        """The state after a discriminator's turn that left these `sign_sums`."""
        return state


def augmented(augment: Augmentation | None, state: Tree, image_BHWC: Array, key: Array, index_B: Array) -> Array:
    """The images as the discriminator sees them in training; as they are without an augmentation."""
    return image_BHWC if augment is None else augment(state["augment"], image_BHWC, key, index_B)


def sign_sums(real_logit_B: Array) -> Tree:
    """What `Augmentation.update` reads, as a part of `LossOutput.sums`."""
    return {"sign": jnp.sign(real_logit_B).sum(), "images": jnp.float32(len(real_logit_B))}


def refuse_ada(augment: Augmentation | None, logit: str) -> None:
    """For a discriminator whose logit says "real" above no value. Raises UsageError for ADA, which reads the sign."""
    if isinstance(augment, ADA):
        raise UsageError(f"ADA reads the sign of a logit, and {logit} has none: model.augment DiffAugment()")


@dataclasses.dataclass(frozen=True)
class _Pipeline(Augmentation):
    """The pipeline of Karras et al. 2020 (arXiv:2006.06676, appendix B), each part of it with probability p."""

    parts: tuple[str, ...] = ("blit", "geometry", "colour")  # also "filter", "noise" and "cutout", which paid little
    scale: float = 1.0  # of the probability of "colour" (R3GAN: 0.5)

    def __post_init__(self):
        if unknown := set(self.parts) - pipeline.PARTS.keys():
            raise UsageError(f"{type(self).__name__}: no part '{min(unknown)}'; there are {', '.join(pipeline.PARTS)}")

    def init(self) -> Tree:
        return {"p": jnp.zeros(())}

    def __call__(self, state: Tree, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        keys = noise.example_keys(key, index_B)
        for part in (name for name in pipeline.PARTS if name in self.parts):
            p = state["p"] * (self.scale if part == "colour" else 1.0)
            image_BHWC = pipeline.PARTS[part](image_BHWC, keys, p)
        return image_BHWC


@register
@dataclasses.dataclass(frozen=True)
class ADA(_Pipeline):
    """Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676).

    r_t = E[sign D(real)] (equation 1) says how far the discriminator has learned its images by heart. Every four steps
    p takes a step towards r_t = target, such that it goes from 0 to 1 in `images` images at most.
    """

    target: float = 0.6
    images: int = 500_000

    def init(self) -> Tree:
        return super().init() | {"sign": jnp.zeros(()), "images": jnp.zeros(())}

    def update(self, state: Tree, sums: Tree, step: Array) -> Tree:
        sign, images = state["sign"] + sums["sign"], state["images"] + sums["images"]
        move = jnp.sign(sign / images - self.target) * images / self.images
        due = (step + 1) % 4 == 0
        return {
            "p": jnp.where(due, jnp.clip(state["p"] + move, 0.0, 1.0), state["p"]),
            "sign": jnp.where(due, 0.0, sign),
            "images": jnp.where(due, 0.0, images),
        }


@register
@dataclasses.dataclass(frozen=True)
class RampedAugment(_Pipeline):
    """ADA's pipeline with a p that rises to `final` in `steps` steps by half a cosine (R3GAN, arXiv:2501.05441)."""

    final: float = 0.3
    steps: int = 40_000

    def update(self, state: Tree, sums: Tree, step: Array) -> Tree:
        share = jnp.minimum((step + 1) / self.steps, 1.0)
        return {"p": self.final * 0.5 * (1 - jnp.cos(jnp.pi * share))}


@register
@dataclasses.dataclass(frozen=True)
class DiffAugment(Augmentation):
    """Zhao et al. 2020 (arXiv:2006.10738), section 3.2 and table 1: every image, at a fixed strength."""

    parts: tuple[str, ...] = ("colour", "translation", "cutout")

    def __post_init__(self):
        if unknown := set(self.parts) - pipeline.DIFF.keys():
            raise UsageError(f"DiffAugment: no part '{min(unknown)}'; there are {', '.join(pipeline.DIFF)}")

    def __call__(self, state: Tree, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        keys = noise.example_keys(key, index_B)
        for part in (name for name in pipeline.DIFF if name in self.parts):
            image_BHWC = pipeline.DIFF[part](image_BHWC, keys)
        return image_BHWC
