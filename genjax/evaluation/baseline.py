"""What words and letters alone say of a text's label: the measure that a classifier of texts has to beat."""

from collections.abc import Iterator

import numpy as np

from genjax.data import Dataset, Source

__all__ = ["bag_of_words"]

ROWS = 1024  # labels that are read at once


def bag_of_words(dataset: Dataset, split: str, text: str, label: str, examples: int | None = None) -> dict[str, float]:
    """Accuracy and macro F1 of logistic regression over TF-IDF, trained on the whole training split.

    Its features are words, pairs of words, and runs of 1 to 4 letters within a word. {} where the data has not kept the
    texts themselves.

    Args:
      text, label: names of the fields.
      examples: the first examples of the split that are measured; None = all.
    """
    if text not in dataset.texts.get("train", {}) or text not in dataset.texts.get(split, {}):
        return {}
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=r"(?u)\b\w+\b")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2)
    model = make_pipeline(make_union(words, letters), LogisticRegression(C=10.0, max_iter=1000))
    model.fit(dataset.texts["train"][text], _labels(dataset.train, label))
    said = model.predict(dataset.texts[split][text][:examples])
    true = _labels(dataset.splits[split], label)[:examples]
    macro = f1_score(true, said, average="macro", zero_division=0)
    return {"baseline_accuracy": float(accuracy_score(true, said)), "baseline_macro_f1": float(macro)}


def _labels(source: Source, label: str) -> np.ndarray:
    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(source), ROWS):
            yield source.gather(np.arange(start, min(start + ROWS, len(source))))[label]

    return np.concatenate(list(batches()))
