"""A classifier of images: it makes nothing, and its features measure the systems that do."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import optax

from genjax.models import images
from genjax.models.base import (
    Array,
    Batch,
    LossOutput,
    Model,
    Params,
    Term,
    Tree,
    Turn,
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.networks.classifier import ConvClassifier
from genjax.nn.apply import init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, Label, require

__all__ = ["Classifier"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier(Model):
    """p(label | image); entry "classifier", turn "classify": cross entropy in nats an image.

    The weights of a run are an extractor of features for the metrics of pictures: `genjax eval RUN --metrics fd
    --features classifier:OTHER/weights.safetensors`.
    """

    network: ConvClassifier = ConvClassifier()  # noqa: RUF009, frozen
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data

    best: ClassVar = ("accuracy", "max")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("classify", trains=("classifier",)),)

    def expects(self) -> dict[str, Field]:
        image = {"image": Image(*self.image_shape)} if self.image_shape else {}
        return image | ({"label": Label(self.classes)} if self.classes else {})

    def resolve(self, spec: DataSpec) -> "Classifier":
        shape = require(spec, "image", Image, "Classifier").shape
        classes = require(spec, "label", Label, "Classifier").classes
        require_agreement(self, image_shape=shape, classes=classes)
        return dataclasses.replace(self, image_shape=shape, classes=classes)

    def networks(self) -> dict[str, nn.Module]:
        return {"classifier": self.network.build(self.classes, self.dtype)}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        return init_networks(self.networks(), {"classifier": (jnp.zeros((1, *self.image_shape)),)}, key)

    def logits(
        self, params: Params, image_BHWC: Array, index_B: Array | None = None, key: Array | None = None
    ) -> Array:
        """(B, classes) float32; with `index_B` and `key` under dropout."""
        network, rngs = self.networks()["classifier"], None if key is None else {"dropout": key}
        return network.apply({"params": params["classifier"]}, image_BHWC, index_B, rngs=rngs)[1]

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        require_turn(self, turn)
        index_B, key = (batch["index"], key) if train else (None, None)
        logits_BK = self.logits(params, images.images_of(batch), index_B, key)
        nll_B, right_B = _judged(logits_BK, batch["label"])
        return LossOutput({"nll": Term.mean(nll_B)}, {"accuracy": Term.mean(right_B)}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """-log p(label | image), and the share of images whose likeliest class is their own."""
        nll_B, right_B = _judged(self.logits(params, images.images_of(batch)), batch["label"])
        return {name: Term.mean(x_B, valid_rows(batch)) for name, x_B in {"nll": nll_B, "accuracy": right_B}.items()}


def _judged(logits_BK: Array, label_B: Array) -> tuple[Array, Array]:
    """(-log p(label), 1 where the likeliest class is the label), each (B,)."""
    nll_B = optax.softmax_cross_entropy_with_integer_labels(logits_BK, label_B)
    return nll_B, (logits_BK.argmax(-1) == label_B).astype(jnp.float32)
