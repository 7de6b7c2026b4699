"""How often a text that was made from an example is the text that belongs to it."""

import numpy as np

from genjax.metrics.bootstrap import standard_error
from genjax.metrics.texts import TextPairs

__all__ = ["TextMatch"]


class TextMatch(TextPairs):
    """`exact_match`: the share of texts that are equal; `token_accuracy`: the share of places with the same token.

    The id that opens and closes texts (`Tokens.end`) counts nowhere. A pair has as many places as the longer of its
    texts has tokens, so that every token too many is a mistake as well.
    """

    values = {
        "exact_match": "the share of samples whose text is that of their example",
        "token_accuracy": "the share of places with the token of the example; a pair has as many as its longer text",
    }
    source = "a count of genjax's own"

    def result(self) -> dict[str, float]:
        pairs = [
            (sum(a == b for a, b in zip(wanted, made)), max(len(wanted), len(made))) for _, wanted, made in self.pairs()
        ]
        equal = [wanted == made for wanted, made in zip(*self.texts())]  # two rows of ids may spell one text
        right_N, places_N = np.array(pairs, np.float64).reshape(-1, 2).T
        counts = {
            "exact_match": (np.array(equal, np.float64), np.ones(len(equal))),
            "token_accuracy": (right_N, places_N),
        }
        values = {}
        for name, (total_N, count_N) in counts.items():
            if not count_N.sum():
                continue

            def share(weight_N, total_N=total_N, count_N=count_N):
                return float(weight_N @ total_N / max(weight_N @ count_N, 1.0))

            values[name] = share(np.ones(len(equal)))
            values[f"{name}_se"] = standard_error(share, len(equal))
        return values
