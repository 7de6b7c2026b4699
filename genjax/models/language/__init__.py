"""Systems of text."""

from genjax.models.language.gpt import GPT
from genjax.models.language.translation import Translation

__all__ = ["GPT", "Translation"]
