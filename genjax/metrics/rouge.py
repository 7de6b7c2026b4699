"""ROUGE (Lin 2004), how much of a summary's words and their order is that of the reference."""

import numpy as np

from genjax.errors import UserError
from genjax.metrics.bootstrap import standard_error
from genjax.metrics.texts import TextPairs

__all__ = ["Rouge"]

KINDS = {
    "rouge1": "words",
    "rouge2": "pairs of words",
    "rougeL": "the longest common subsequence of words",
    "rougeLsum": "the longest common subsequences of lines",
}


class Rouge(TextPairs):
    """`rouge1`, `rouge2`, `rougeL`, `rougeLsum`: mean F1, 0 to 100, of Google's package rouge-score with its stemmer.

    Raises UserError where rouge-score is not installed.
    """

    values = {kind: f"mean F1 of {what}, 0 to 100, stemmed" for kind, what in KINDS.items()}
    source = "Lin 2004; package rouge-score"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError:
            raise UserError("rouge is computed by rouge-score: pip install genjax-suite[text]") from None
        self.scorer = RougeScorer(list(KINDS), use_stemmer=True)

    def result(self) -> dict[str, float]:
        scores = [self.scorer.score(wanted, made) for wanted, made in zip(*self.texts())]
        values = {}
        for kind in KINDS if scores else ():
            f1_N = 100 * np.array([score[kind].fmeasure for score in scores])
            values[kind] = float(f1_N.mean())
            values[f"{kind}_se"] = standard_error(lambda weight_N: weight_N @ f1_N / weight_N.sum(), len(f1_N))
        return values
