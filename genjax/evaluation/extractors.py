"""Which extractor a set of metrics is measured by."""

from collections.abc import Callable, Iterable, Mapping

from genjax.errors import UsageError
from genjax.experiment import Data
from genjax.metrics import METRICS, check_extractor
from genjax.metrics.features import EXTRACTORS, Extractor, load_extractor
from genjax.spec import Field, Image

__all__ = ["extractor_for"]

SHIPPED = {  # source -> the pictures as they are, and the extractor that knows them
    "digits": (Image(8, 8, 1), "digits"),
    "captioned_digits": (Image(8, 16, 1), "digit_pairs"),
}


def extractor_for(
    metrics: Iterable[str], features: str | None, data: Data, fields: Mapping[str, Field], jit: Callable
) -> Extractor | None:
    """The extractor EXTRACTOR[:FILE] of the metrics over features; None where there is none among them.

    Args:
      features: None = Inception for `fid`, the shipped classifier for the embedded digits, random weights for
        `diversity` alone.
      fields: the pictures that it is to see.

    Raises:
      UsageError: nothing says which, or a metric refuses it. UserError: as `load_extractor`.
    """
    names = [name for name in metrics if METRICS[name].over_features]
    if not names:
        return None
    kinds = list(dict.fromkeys(field for field in fields.values() if isinstance(field, Image)))
    if features is None and "fid" in names:
        features = "inception"
    if features is None and data.path is None and data.source in SHIPPED and kinds == [SHIPPED[data.source][0]]:
        features = SHIPPED[data.source][1]
    if features is None and set(names) == {"diversity"}:
        features = "random"  # it compares no two sets: any eyes see whether samples are alike
    if features is None:
        raise UsageError(f"{names[0]} compares features: choose --features {', '.join(EXTRACTORS)} (each NAME[:FILE])")
    check_extractor(names, features.partition(":")[0], 1)
    if len(kinds) > 1:
        raise UsageError(f"{names[0]} compares pictures of one size, and the samples have several")
    extractor = load_extractor(features, kinds[0], jit)
    check_extractor(names, extractor.name, extractor.classes)
    return extractor
