"""How good samples are: name -> metric, and the fields that each compares."""

from collections.abc import Iterable, Mapping

from genjax.errors import UsageError
from genjax.metrics.authenticity import Authenticity
from genjax.metrics.base import Metric
from genjax.metrics.captions import CaptionAccuracy
from genjax.metrics.diversity import Diversity
from genjax.metrics.frechet import FrechetDistance, InceptionDistance
from genjax.metrics.inception_score import InceptionScore
from genjax.metrics.intra_frechet import IntraFrechetDistance
from genjax.metrics.kernels import EnergyDistance, GaussianMMD, KernelDistance
from genjax.metrics.molecules import Molecules
from genjax.metrics.neighbours import DensityCoverage, PrecisionRecall
from genjax.metrics.pixels import Pixels
from genjax.metrics.rouge import Rouge
from genjax.metrics.sliced_wasserstein import SlicedWasserstein
from genjax.metrics.text_match import TextMatch
from genjax.metrics.translation import Bleu, ChrF
from genjax.metrics.tunes import Tunes
from genjax.spec import DataSpec, Field

__all__ = ["METRICS", "Metric", "check_extractor", "check_names", "compared_fields"]

METRICS: dict[str, type[Metric]] = {
    "fd": FrechetDistance,
    "fid": InceptionDistance,
    "kid": KernelDistance,
    "is": InceptionScore,
    "pr": PrecisionRecall,
    "dc": DensityCoverage,
    "ifd": IntraFrechetDistance,
    "auth": Authenticity,
    "mmd": GaussianMMD,
    "energy": EnergyDistance,
    "swd": SlicedWasserstein,
    "diversity": Diversity,
    "pixels": Pixels,
    "caption": CaptionAccuracy,
    "match": TextMatch,
    "bleu": Bleu,
    "chrf": ChrF,
    "rouge": Rouge,
    "smiles": Molecules,
    "tunes": Tunes,
}


def check_names(names: Iterable[str]) -> None:
    """Raises UsageError for a name that no metric has."""
    if unknown := [name for name in names if name not in METRICS]:
        raise UsageError(f"unknown metric {unknown[0]}: there are {', '.join(METRICS)}")


def check_extractor(names: Iterable[str], extractor: str, classes: int) -> None:
    """Raises UsageError where a metric refuses the extractor; `classes` is 0 where it gives no logits."""
    for name in names:
        if name == "fid" and extractor != "inception":
            raise UsageError(
                f"fid is the Fréchet distance over Inception's features, not those of {extractor}: take fd, or "
                "--features inception:FILE"
            )
        if getattr(METRICS[name], "reads", "") == "logits" and not classes:
            raise UsageError(f"{name} needs the probabilities of classes, and {extractor} is no classifier")


def compared_fields(metric: str, outputs: Mapping[str, Field], data: DataSpec) -> tuple[str, ...]:
    """The fields that samples (`outputs`) and data both have and the metric can compare.

    Raises:
      UsageError: there is none. A field is compared with that of its own name only: pictures of one domain say
        nothing of another.
    """
    kind = METRICS[metric].needs
    made = [name for name, field in outputs.items() if isinstance(field, kind)]
    if not made:
        has = DataSpec(dict(outputs)).describe()
        raise UsageError(f"{metric} compares fields of kind {kind.__name__}, and the samples have {has}")
    if both := tuple(name for name in made if isinstance(data.fields.get(name), kind)):
        return both
    raise UsageError(
        f"{metric} compares {' or '.join(made)} of the samples with the data's field of that name and of kind "
        f"{kind.__name__}, and this data has {data.describe()}"
    )
