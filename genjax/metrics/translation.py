"""BLEU and chrF as sacreBLEU computes them (Post 2018, arXiv:1804.08771), on raw, detokenized texts."""

from typing import Any, ClassVar

from genjax.errors import UserError
from genjax.metrics.texts import TextPairs

__all__ = ["Bleu", "ChrF"]

REPEATS = 1000  # resampled sets of the bootstrap (Koehn 2004): sacreBLEU's number


class Bleu(TextPairs):
    """`bleu`: the corpus BLEU (Papineni et al. 2002), 0 to 100, with sacreBLEU's own tokens ("13a").

    The standard error is that of sacreBLEU's bootstrap: its 95% interval, divided by 2 x 1.96. `signature` is
    sacreBLEU's, once there is a result.

    Raises UserError where sacreBLEU is not installed.
    """

    values = {"bleu": "corpus BLEU of detokenized texts, 0 to 100, by sacreBLEU with the signature given"}
    source = "Papineni et al. 2002; Post 2018, arXiv:1804.08771"
    word: ClassVar[str] = "bleu"
    kind: ClassVar[str] = "BLEU"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.scorer: Any = getattr(_sacrebleu(self.word), self.kind)()

    def result(self) -> dict[str, float]:
        references, outputs = self.texts()
        if not outputs:
            return {}
        score = self.scorer.corpus_score(outputs, [references], n_bootstrap=REPEATS)
        self.signature = f"{self.kind}|{self.scorer.get_signature()}"
        values = {self.word: score.score, f"{self.word}_se": max(score._ci, 0.0) / 1.96}
        return {name: float(value) for name, value in values.items()}  # the bootstrap's are of numpy


class ChrF(Bleu):
    """`chrf`: chrF2 (Popović 2015), the F-score of character n-grams, 0 to 100."""

    values = {"chrf": "chrF2 of detokenized texts, 0 to 100, by sacreBLEU with the signature given"}
    source = "Popović 2015"
    word: ClassVar[str] = "chrf"
    kind: ClassVar[str] = "CHRF"


def _sacrebleu(metric: str):
    try:
        import sacrebleu
    except ImportError:
        raise UserError(f"{metric} is sacreBLEU's: pip install genjax-suite[text]") from None
    return sacrebleu
