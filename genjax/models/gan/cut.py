"""CUT (Park et al. 2020, arXiv:2007.15651): unpaired translation in one direction, by contrast of patches."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from genjax.errors import UsageError
from genjax.models.base import (
    Array,
    Batch,
    Layout,
    LossOutput,
    Model,
    Params,
    Term,
    Tree,
    Turn,
    require_turn,
    valid_rows,
)
from genjax.models.gan.directions import PictureOptions, expected_domains, with_domains
from genjax.models.images import images_of
from genjax.models.objectives import OBJECTIVES
from genjax.networks import PatchGAN, ResNet
from genjax.networks.patch_heads import PatchHeads
from genjax.nn import noise
from genjax.nn.apply import apply, init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field

__all__ = ["CUT"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class CUT(Model):
    """Entries "generator", "discriminator" and "heads"; pictures of `image_a` become such of `image_b`.

    A patch of what is made shall be closer to the patch of the input at its place than to other patches of the input.
    """

    generator: ResNet = ResNet()  # noqa: RUF009, frozen
    discriminator: PatchGAN = PatchGAN()  # noqa: RUF009, frozen
    contrast: float = 1.0  # lambda_X of equation 5
    identity: float = 1.0  # lambda_Y: the same of pictures of `image_b`, which shall stay as they are; FastCUT: 0
    temperature: float = 0.07  # tau of equation 2
    patches: int = 256  # of a picture and layer, at most
    width: int = 256  # of a projected patch
    shape: tuple[int, int, int] | None = None  # None = of the data

    Options: ClassVar = PictureOptions
    best: ClassVar = ("contrast", "min")

    def __post_init__(self):
        if not (self.contrast >= 0 and self.identity >= 0 and self.temperature > 0):
            raise UsageError("CUT: contrast and identity must not be negative, and temperature must be positive")
        if self.patches < 2 or self.width < 1:
            raise UsageError("CUT: patches must be at least 2, and width positive")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return Turn("discriminator", trains=("discriminator",)), Turn("generator", trains=("generator", "heads"))

    @property
    def couples_batch(self) -> bool:
        return "batch" in (self.generator.norm, self.discriminator.norm)

    def networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator.translator(self.shape[-1], self.dtype),
            "discriminator": self.discriminator.discriminator(self.dtype),
            "heads": PatchHeads(self.width, self.dtype),
        }

    def expects(self) -> dict[str, Field]:
        return expected_domains(self)

    def resolve(self, spec: DataSpec) -> "CUT":
        return with_domains(self, spec)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        networks, image = self.networks(), jnp.zeros((1, *self.shape))
        first, last = jax.random.split(key)
        inputs = {"generator": (image,), "discriminator": (image,)}
        params, state = init_networks(networks, inputs, first, train=False)
        (_, features), _ = apply(networks, "generator", params, state, image, train=False, features=True)
        places = self._places(last, jnp.zeros(1, jnp.int32), features)
        params["heads"] = networks["heads"].init(last, features, places)["params"]
        return params, state

    def _places(self, key: Array, index_B: Array, features: list[Array]) -> list[Array]:
        """(B, S) of each layer: different places, drawn for each example."""
        places = []
        for n, x_BHWC in enumerate(features):
            count = x_BHWC.shape[1] * x_BHWC.shape[2]
            draw_BP = noise.uniform(jax.random.fold_in(key, n), index_B, (count,))
            places.append(jax.lax.top_k(draw_BP, min(self.patches, count))[1])
        return places

    def patch_nce(
        self, params: Params, key: Array, index_B: Array, made: list[Array], given: list[Array]
    ) -> list[Array]:
        """Equations 2 to 4: of each layer the cross-entropy (B, S) of finding the given patch at a made one's place."""
        places, heads = self._places(key, index_B, given), self.networks()["heads"]
        made, given = (heads.apply({"params": params["heads"]}, features, places) for features in (made, given))
        losses = []
        for made_BSD, given_BSD in zip(made, jax.lax.stop_gradient(given)):
            logits_BSS = jnp.einsum("bsd,btd->bst", made_BSD, given_BSD) / self.temperature
            own_BS = jnp.broadcast_to(jnp.arange(logits_BSS.shape[1]), logits_BSS.shape[:2])
            losses.append(optax.softmax_cross_entropy_with_integer_labels(logits_BSS, own_BS))
        return losses

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Equation 5, of least squares; the contrast is a mean over layers, as in the authors' code."""
        require_turn(self, turn)
        objective, networks = OBJECTIVES["least-squares"], self.networks()
        x, y = images_of(batch, "image_a"), images_of(batch, "image_b")

        def call(name: str, image: Array, state: Tree, **options) -> tuple:
            return apply(networks, name, params, state, image, train=train, **options)

        (fake, given), new = call("generator", x, state, features=True)
        if turn == "discriminator":  # a turn writes the statistics of its own entry only
            on_real, state = call("discriminator", y, state)
            on_fake, state = call("discriminator", jax.lax.stop_gradient(fake), state)
            term = Term.mean(objective.real(on_real) + objective.fake(on_fake))
            return LossOutput({"judge": term}, {"real": Term.mean(on_real), "fake": Term.mean(on_fake)}, state)
        terms = {"adversarial": Term.mean(2 * objective.generator(call("discriminator", fake, state)[0]))}
        parts = [("contrast", self.contrast, fake, given)]
        if self.identity:
            (same, given), new = call("generator", y, new, features=True)
            parts.append(("identity", self.identity, same, given))
        for n, (name, weight, made, given) in enumerate(parts):
            (_, made), new = call("generator", made, new, features=True)
            losses = self.patch_nce(params, jax.random.fold_in(key, n), batch["index"], made, given)
            terms |= {f"{name}_{i}": Term.mean(nce, scale=weight / len(losses)) for i, nce in enumerate(losses)}
        return LossOutput(terms, {}, new)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """The contrast, a mean over layers, and how real the discriminator finds what is made (1 real, 0 not)."""
        networks, valid_B = self.networks(), valid_rows(batch)
        x = images_of(batch, "image_a")
        (fake, given), _ = apply(networks, "generator", params, state, x, train=False, features=True)
        (_, made), _ = apply(networks, "generator", params, state, fake, train=False, features=True)
        losses = self.patch_nce(params, key, batch["index"], made, given)
        judged, _ = apply(networks, "discriminator", params, state, fake, train=False)
        contrast_B = sum(nce.mean(-1) for nce in losses) / len(losses)
        return {"contrast": Term.mean(contrast_B, valid_B), "judged": Term.mean(judged.mean((1, 2)), valid_B)}

    def needs(self, options: PictureOptions) -> tuple[str, ...]:
        return () if options.path else ("image_a",)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image_b": spec.fields["image_b"]}

    def layout(self, options: PictureOptions) -> Layout:
        return Layout(("given.image_a", "image_b"))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: PictureOptions
    ) -> dict[str, Array]:
        """The pictures of the other domain, of any size."""
        made, _ = apply(self.networks(), "generator", params, state, conditions["image_a"], train=False)
        return {"image_b": made}
