"""Names of countries, languages, scripts and currencies in languages of the Latin script: Unicode's CLDR in Babel."""

from collections import Counter

from genjax.data import readers
from genjax.data.columns import columns_dataset, objects
from genjax.data.dataset import Dataset
from genjax.data.phrases import NAMES
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data

__all__ = ["languages"]

CODES = ("de", "en", "es", "fi", "fr", "hu", "id", "it", "nl", "pl", "pt", "ro", "sv", "tr", "vi")


@readers.register("languages")
def languages(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The fields `text`, a name, and `label`, the English name of the language that it is written in, one of 15.

    A name that is spelled alike in several of the languages, as "Japan" is, is left out.

    Raises UserError where Babel is not installed.
    """
    try:
        import babel
    except ImportError as error:
        raise UserError("languages are read from Babel: pip install genjax-suite[text]") from error
    english = babel.Locale("en")
    names = {}
    for code in CODES:
        locale = babel.Locale(code)
        names[str(english.languages[code])] = {str(name) for kind in NAMES for name in getattr(locale, kind).values()}
    count = Counter(name for part in names.values() for name in part)
    pairs = [(name, label) for label, part in names.items() for name in sorted(part) if count[name] == 1]
    text, label = zip(*pairs)
    columns = {"text": objects(list(text)), "label": objects(list(label))}
    return columns_dataset(data, place, {"train": columns}, tokenizer, kinds={"text": "text", "label": "label"})
