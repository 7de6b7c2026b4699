"""Whether samples are new: authenticity, and the samples that are most like a training image."""

from typing import ClassVar, NamedTuple

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import full_name
from genjax.metrics.neighbours import mean, nearest, radii
from genjax.metrics.over_features import FeatureMetric

__all__ = ["Alike", "Authenticity"]

SHOWN, NEIGHBOURS = 16, 5  # samples that are kept, and training images beside each


class Alike(NamedTuple):
    """The samples nearest to a training image, the nearest one first.

    Attributes:
      image: (S, H, W, C) the samples.
      apart: (S,) the squared distance of their features to those of the nearest training image.
      index: (S, K) the numbers of the nearest training images, in the order in which they were observed.
    """

    image: np.ndarray
    apart: np.ndarray
    index: np.ndarray


class Authenticity(FeatureMetric):
    """`auth`: the share of samples that are no copies, as far as features tell.

    Alaa et al. 2022 (arXiv:2102.08921): a sample is authentic if its nearest training image has another
    training image nearer by than the sample. Samples are looked up batch by batch, and not kept.
    """

    values = {
        "authenticity": "the share of samples whose nearest training image has another training image nearer to it "
        "than the sample is; images that were held out have it too (the floor), and copies have 0"
    }
    source = "Alaa et al. 2022, arXiv:2102.08921"
    word: ClassVar[str] = "auth"
    against = "train"
    higher_is_better: ClassVar[bool] = True
    alike: Alike | None = None
    _train_ND: np.ndarray | None = None

    def reset(self) -> None:
        super().reset()
        self.alike = None

    def update(self, batch: dict[str, np.ndarray]) -> None:
        if self._train_ND is None:
            self._train_ND = self.rows(self.references)
        made_BD = self.present(batch, f"{self.name}_{self.reads}").astype(np.float64)
        if not np.isfinite(made_BD).all():
            raise UserError(f"{self.word}: the features of samples are not finite")
        if not len(made_BD):
            return
        apart_BK, index_BK = nearest(made_BD, self._train_ND, min(NEIGHBOURS, len(self._train_ND)))
        for name, array_B in {"apart": apart_BK[:, 0], "index": index_BK[:, 0]}.items():
            self.outputs.setdefault(name, []).append(array_B)
        if self.name in batch:
            found = Alike(self.present(batch, self.name), apart_BK[:, 0], index_BK)
            if self.alike is not None:
                found = Alike(*(np.concatenate(pair) for pair in zip(self.alike, found)))
            order = found.apart.argsort(kind="stable")[:SHOWN]
            self.alike = Alike(*(array[order] for array in found))

    def result(self) -> dict[str, float]:
        apart_M = np.concatenate(self.outputs.get("apart", [np.zeros(0)]))
        self.require(len(apart_M), "samples")
        which, place_M = np.unique(np.concatenate(self.outputs["index"]), return_inverse=True)
        value, error = mean((apart_M > radii(self._train_ND, 1, which)[place_M]).astype(np.float64))
        name = full_name("authenticity", len(apart_M), self.extractor)
        return {name: value, f"{name}_se": error}
