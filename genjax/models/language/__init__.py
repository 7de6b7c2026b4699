"""Systems of text."""

from genjax.models.language.bert import BERT
from genjax.models.language.gpt import GPT
from genjax.models.language.lstm import RecurrentLM
from genjax.models.language.text_classifier import TextClassifier
from genjax.models.language.translation import Translation

__all__ = ["BERT", "GPT", "RecurrentLM", "TextClassifier", "Translation"]
