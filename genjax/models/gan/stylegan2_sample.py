"""What StyleGAN2 makes beside new images: walks between latents, and the nearest images to given ones."""

import dataclasses
import math
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.errors import UsageError
from genjax.models.base import Array, Batch, Given, LabelOptions, Params

if TYPE_CHECKING:
    from genjax.models.gan.stylegan2 import StyleGAN2

__all__ = ["StyleGAN2Options", "project", "walk"]


@dataclasses.dataclass(frozen=True)
class StyleGAN2Options(LabelOptions):
    """How images are drawn; `--mode walk --out walk.gif` shows them one after another."""

    truncation: float = 1.0  # below 1 nearer to the average w: more typical and less varied
    mode: Literal["sample", "walk"] = "sample"  # walk: from latent to latent
    frames: int = 16  # walk: images from one latent to the next
    project: tuple[str, ...] = ()  # image files: shows the nearest image to each that the generator makes
    steps: int = 500  # project: of the search

    def __post_init__(self):
        if not 0 <= self.truncation < math.inf:
            raise UsageError(f"--truncation {self.truncation}: must be 0 or a positive number")
        if self.frames < 1 or self.steps < 1:
            raise UsageError("--frames and --steps must be at least 1")
        if self.project and self.mode == "walk":
            raise UsageError("--project searches for images that are given: leave --mode walk out")

    @property
    def count(self) -> int | None:
        return len(self.project) or None

    def conditions(
        self, model: "StyleGAN2", given: Given, num: int
    ) -> tuple[dict[str, np.ndarray], "StyleGAN2Options"]:
        """Labels; of a walk those of both latents that an image lies between; the images of `project`."""
        if self.project:
            num = min(num, len(self.project))
        arrays, options = super().conditions(model, given, num)
        if self.mode == "walk" and "label" in arrays:
            label, place = arrays["label"], np.arange(num) // self.frames
            arrays |= {"label": label[place % num], "label_next": label[(place + 1) % num]}
        if self.project:
            shape = model.image_shape
            files = [given.image(file, "--project", shape, crop=False) for file in self.project[:num]]
            arrays["project"] = np.stack(files)
        return arrays, options


def walk(model: "StyleGAN2", params: Params, key: Array, conditions: Batch, options: StyleGAN2Options) -> Array:
    """(N, W): image i lies on the line in W from latent i // frames to the next one, slower near both."""
    place_N, share_N = jnp.divmod(conditions["index"], options.frames)
    share_N1 = 0.5 - 0.5 * jnp.cos(jnp.pi * share_N[:, None] / options.frames)
    ends = (("label", place_N), ("label_next", place_N + 1))
    first, last = (model.map(params, model.latent(key, index), conditions.get(label)) for label, index in ends)
    return first + share_N1 * (last - first)


def project(
    model: "StyleGAN2",
    params: Params,
    average_W: Array,
    key: Array,
    conditions: Batch,
    options: StyleGAN2Options,
) -> Array:
    """(N, H, W, C): the images of the w nearest to conditions["project"], searched from the average w by Adam.

    As in Karras et al. 2020 (arXiv:1912.04958, appendix D): noise on w that fades over three quarters of the search,
    and a rate that rises for a twentieth and falls for the last quarter. Distance: the mean squares of the differences
    in pixels and in the discriminator's features, where the paper has a pretrained network's; noise inputs stay fixed.
    """
    target, index_N = conditions["project"], conditions["index"]
    label_N = conditions.get("label") if model.conditional else None
    some = jnp.arange(256)
    drawn = model.map(params, model.latent(key, some), None if label_N is None else label_N[some % len(label_N)])
    spread = jnp.sqrt(((drawn - average_W) ** 2).sum(-1).mean())
    _, wanted = model.judge(params, target, label_N, features=True)

    def square(x: Array) -> Array:
        return (x.astype(jnp.float32) ** 2).mean((1, 2, 3))

    def made(w_NW: Array) -> Array:
        return model.synthesize(params, model.repeated(w_NW), key, index_N)

    def distance(w_NW: Array) -> Array:
        image = made(w_NW)
        _, found = model.judge(params, image, label_N, features=True)
        pairs = [(image, target), *zip(found, wanted)]
        return sum((square(a - b) / square(b)).sum() for a, b in pairs)  # each search sees its own image alone

    adam = optax.scale_by_adam()

    def step(carry: tuple, number: Array) -> tuple[tuple, None]:
        w_NW, state = carry
        share = number / options.steps
        rate = 0.1 * jnp.minimum(share / 0.05, 1.0) * (0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum((1 - share) / 0.25, 1)))
        noise = 0.05 * spread * jnp.maximum(0.0, 1 - share / 0.75) ** 2
        added = noise * jax.random.normal(jax.random.fold_in(key, number), w_NW.shape)
        move, state = adam.update(jax.grad(distance)(w_NW + added), state)
        return (w_NW - rate * move, state), None

    start = jnp.broadcast_to(average_W, (len(index_N), len(average_W)))
    (w_NW, _), _ = jax.lax.scan(step, (start, adam.init(start)), jnp.arange(options.steps))
    return jnp.clip(made(w_NW), -1, 1)
