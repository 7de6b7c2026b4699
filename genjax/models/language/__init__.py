"""Systems of text."""

from genjax.models.language.gpt import GPT

__all__ = ["GPT"]
