"""What a user may choose when a language model writes, and the texts that one is given to read."""

import dataclasses
import math
from pathlib import Path
from typing import Self

import numpy as np

from genjax.errors import UsageError, UserError, visible
from genjax.files import expanded, read_lines
from genjax.models.base import Given, Model, SampleOptions
from genjax.spec import Tokens, require

__all__ = ["GPTOptions", "TextsOptions", "lines", "read_texts", "require_ids"]


def lines(path: Path) -> dict[str, str]:
    """The lines of a file of texts, each by its place for messages; none is empty. Raises UserError for other files."""
    texts = read_lines(expanded(path)) or [""]
    found = {f"--path {path}: line {n}": text for n, text in enumerate(texts, 1)}
    if empty := [place for place, text in found.items() if not text.strip()]:
        raise UsageError(f"{empty[0]} is empty")
    return found


@dataclasses.dataclass(frozen=True)
class TextsOptions(SampleOptions):
    """Texts that a model reads: those that the user gives, or else validation examples."""

    prompt: tuple[str, ...] = ()  # texts
    path: Path | None = None  # a file of texts, one a line

    def __post_init__(self):
        if self.prompt and self.path:
            raise UsageError("--prompt and --path: take one of the two")

    @property
    def given(self) -> bool:
        """Whether the user gives the texts."""
        return bool(self.prompt or self.path)

    @property
    def count(self) -> int | None:
        return len(self.texts()) or None

    def texts(self) -> dict[str, str]:
        """The texts that the user gives, each by its name for messages. Raises UserError for an unreadable file."""
        if self.path is None:
            return {f"--prompt number {n}": text for n, text in enumerate(self.prompt, 1)}
        return lines(self.path)


def read_texts(
    texts: dict[str, str], given: Given, num: int, name: str = "text", system: str = "this model"
) -> dict[str, np.ndarray]:
    """The field `name` (num, T) and its lengths (num,) as the data would hold these texts, taken in turn.

    Raises UsageError, which names the text, for one that is empty or longer than the model reads, and where the data
    has no tokenizer.
    """
    if given.tokenizer is None:
        raise UsageError("--prompt and --path are text, and this run's data has no tokenizer to read it")
    field, rows = require(given.spec, name, Tokens, system), []
    for place, text in texts.items():
        if not text.strip():
            raise UsageError(f"{place} is empty")
        ids = given.tokenizer.encode(text)
        ids = ids if field.end is None else np.append(ids, field.end)
        if len(ids) > field.longest:
            raise UsageError(
                f"{place} has {len(ids)} tokens, and the model reads {field.longest}: {visible(text[:40])}"
            )
        rows.append(ids)
    rows = [rows[i % len(rows)] for i in range(num)]
    padded = np.full((num, field.longest), field.end or 0, np.int32)
    for row, ids in zip(padded, rows):
        row[: len(ids)] = ids
    return {name: padded, f"{name}_length": np.asarray([len(ids) for ids in rows], np.int32)}


def require_ids(options: SampleOptions) -> None:
    """Raises UsageError where texts of options were not made conditions of ids, which `sample` takes."""
    if options.prompt or getattr(options, "path", None) or getattr(options, "stop", None) is not None:
        raise UsageError(
            "prompt and stop are texts, and `sample` takes ids: pass the conditions and the options that "
            "`options.conditions(model, given, num)` returns"
        )


@dataclasses.dataclass(frozen=True)
class GPTOptions(SampleOptions):
    """How tokens are drawn: temperature first, then top-k, then top-p; or, with `beams`, searched for."""

    temperature: float = 1.0  # 0 = always the likeliest
    top_k: int = 0  # only the k likeliest; 0 = all
    top_p: float = 1.0  # only the likeliest that together reach this probability; 1 = all
    beams: int = 1  # above 1: the likeliest text that beam search finds, which stays within the context
    length_penalty: float = 1.0  # of beam search: above 0 longer texts gain, below 0 shorter ones
    max_new_tokens: int | None = None  # None = up to the context
    prompt: tuple[str, ...] = ()  # texts to continue
    path: Path | None = None  # a file of texts to continue, one a line
    stop: str | None = None  # a text of one token that ends a sample, as the end-of-text token does where there is one
    stream: bool = False  # one text, shown as it is drawn

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise UsageError(f"--top-k {self.top_k}: must be 0 (off) or positive")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p {self.top_p}: must be above 0 and at most 1 (off)")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens}: must be at least 1")
        if self.beams < 1:
            raise UsageError(f"--beams {self.beams}: must be at least 1")
        if self.beams > 1 and (self.temperature, self.top_k, self.top_p) != (1.0, 0, 1.0):
            raise UsageError(f"--beams {self.beams} draws nothing: leave out --temperature, --top-k and --top-p")
        if self.beams > 1 and self.stream:
            raise UsageError("--stream: beam search knows its text at the end only")
        if self.prompt and self.path:
            raise UsageError("--prompt and --path: take one of the two")

    @property
    def count(self) -> int | None:
        return 1 if self.stream else len(lines(self.path)) if self.path else None

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """The prompts as ids, in turn until there are enough, and the ids that stop a text; see `GPT.sample`.

        Without a prompt a text begins after what training knows to stand before one: the end of another text where the
        data has such ends, else a line break.
        """
        tokenizer = given.tokenizer
        if tokenizer is None:
            if self.prompt or self.path or self.stop is not None:
                raise UsageError(
                    "--prompt, --path and --stop are text, and this run's data has no tokenizer to read it"
                )
            return {}, self
        end = -1 if tokenizer.end_of_text is None else tokenizer.end_of_text
        stops = [end] if self.stop is None else [end, _token(self.stop, tokenizer)]
        texts = tuple(lines(self.path).values()) if self.path else self.prompt
        prompts = [tokenizer.encode(text) for text in texts if text]
        before = given.spec.fields["tokens"].end
        prompts = prompts or [np.asarray([_line_break(tokenizer) if before is None else before])]
        rows = [prompts[i % len(prompts)] for i in range(num)]
        padded = np.zeros((num, max(map(len, rows))), np.int32)
        for row, ids in zip(padded, rows):
            row[: len(ids)] = ids
        conditions = {
            "prompt": padded,
            "prompt_length": np.asarray([len(ids) for ids in rows], np.int32),
            "stop": np.tile(np.int32(stops), (num, 1)),
        }
        return conditions, dataclasses.replace(self, prompt=(), path=None, stop=None)


def _token(stop: str, tokenizer) -> int:
    try:
        ids = tokenizer.encode(stop)
    except UserError as error:
        raise UsageError(f"--stop {stop!r}: {error}") from None
    if len(ids) != 1:
        raise UsageError(f"--stop {stop!r}: must be one token of this run's tokenizer, not {len(ids)}")
    return int(ids[0])


def _line_break(tokenizer) -> int:
    try:
        return int(tokenizer.encode("\n")[0])
    except UserError:  # no character of the data
        return 0
