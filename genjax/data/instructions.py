"""Instructions: texts of which only the answers are to be learned, and questions with a choice of answers.

A table with the columns `prompt` and `answer`, or .jsonl of `messages`, each {"role": ..., "content": ...}, becomes the
field `tokens` of a language model. A prompt and its answer stand as they are, one after the other. Messages are written
out as in

    User: What is the capital of France?

    Assistant: Paris.

with a closing token, or a line break, at the end. What the assistant says, and the closing, is learned. A model that
knows another form gets it by `--data.chat "user=<|user|>{}<|end|>" "assistant=<|assistant|>{}<|end|>"`, a text for each
role with {} where the message stands; of the assistant's what follows {} is learned too. `--data.chat hf:FOLDER` takes
the chat template of a Hugging Face folder (its chat_template.jinja, or that in its tokenizer_config.json). The text is
then all the template's: its bos_token and eos_token are the end of text, and other special tokens the text they are.

With `choices`, a list of texts, and `answer` the number of the right one, from 0 on, a row of tokens holds the prompt
with each choice as a segment of its own; only the right one is learned. `--data.shots K` puts K other examples of the
training split, with their right answers, before each prompt.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from genjax.data.chat import END, Chat, Piece, chat
from genjax.data.dataset import Dataset, hold_out
from genjax.data.draws import Draws
from genjax.data.text import Padded, closing
from genjax.data.tokenizers import Tokenizer, make_tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.orders import Examples
from genjax.spec import DataSpec, Tokens

__all__ = ["Answers", "are", "instructions"]

Encoded = tuple[np.ndarray, np.ndarray]  # (T,) ids, and which of them are to be learned


@dataclasses.dataclass(frozen=True)
class Answers:
    """Texts, and arrays beside them: `rows` as long as the texts (B, T + 1), `others` of any shape (B, ...)."""

    texts: Padded
    rows: Mapping[str, Padded]
    others: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def examples(self) -> Examples:
        return self.texts.examples

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        batch = self.texts.gather(ids_B, draws, lengths)
        batch |= {name: padded.gather(ids_B, draws, lengths)[padded.name] for name, padded in self.rows.items()}
        return (
            batch
            | {"tokens_answer": batch["tokens_answer"].astype(bool)}
            | {name: array[ids_B] for name, array in self.others.items()}
        )


@dataclasses.dataclass(frozen=True)
class _Example:
    """A text, or one for each choice, of which `right` is learned. To a `bare` one no end of text is added."""

    texts: list[list[Piece]]
    right: int = 0
    bare: bool = False


def are(columns: Mapping[str, np.ndarray]) -> bool:
    """Whether these columns are instructions."""
    return {"prompt", "answer"} <= columns.keys() or columns.keys() == {"messages"}


def instructions(
    data: Data,
    place: str,
    columns: Mapping[str, np.ndarray],
    tokenizer: Tokenizer | None = None,
    held: tuple[np.ndarray, np.ndarray] | None = None,
    bare: bool = False,
) -> Dataset:
    """Texts of up to --data.context + 1 tokens; those with more are cut, and left out where no answer is left.

    `held`: the rows of training and of validation; None = a share of --data.validation is held out.
    `bare`: the texts are parts of longer ones, and have no end.

    Raises:
      UserError: a prompt, an answer or a message that is not one (the first is named); with --data.strict a long text;
        choices, or shots, that the context has no room for.
    """
    examples = list(_examples(columns, place, chat(data.chat)))
    words = (text for example in examples for pieces in example.texts for text, _ in pieces if text is not END)
    tokenizer = tokenizer or make_tokenizer(data.tokenizer, words, end=True)
    coded = [[_encoded(pieces, tokenizer, bare or example.bare) for pieces in example.texts] for example in examples]
    choices = max(len(texts) for texts in coded) if "choices" in columns else 0
    most, whole = data.context + 1, choices or data.shots
    cut = sum(len(ids) > most for texts in coded for ids, _ in texts)
    kept = [n for n, texts in enumerate(coded) if texts[examples[n].right][1][:most].any()]
    notes = ()
    if cut and (data.strict or whole):
        cure = "raise it" if whole else "raise it, or leave --data.strict off to cut them"
        raise UserError(f"{place}: {cut} texts have more than --data.context {data.context} tokens: {cure}")
    if cut:
        gone = len(coded) - len(kept)
        notes = (f"{place}: cut {cut} text(s) to --data.context {data.context} tokens; {gone} had no answer left",)
    if held is None:
        train, rest = (np.array(kept)[ids] for ids in hold_out(len(kept), data.validation, place))
    else:
        train, rest = (ids[np.isin(ids, kept)] for ids in held)
    right = [texts[example.right] for texts, example in zip(coded, examples)]
    made = [[_with_shots(coded[n], n, right, train, data, place) for n in ids] for ids in (train, rest)]
    longest = data.context
    if choices:
        longest = max(sum(len(ids) for ids, _ in texts) for split in made for texts in split) - 1
    field = Tokens((longest,), tokenizer.vocabulary, shifted=True, ragged=True, end=tokenizer.end_of_text, answers=True)
    field = dataclasses.replace(field, packed=bool(choices), choices=choices)
    sources = [_source(split, [examples[n].right for n in ids], field) for split, ids in zip(made, (train, rest))]
    unused = tuple(name for name in columns if name not in ("prompt", "answer", "messages", "choices"))
    spec = DataSpec({"tokens": field}, *map(len, sources))
    return Dataset(spec, *sources, tokenizer=tokenizer, notes=notes, unused=unused)


def _examples(columns: Mapping[str, np.ndarray], place: str, form: Chat) -> Iterator[_Example]:
    if "messages" in columns:
        for n, messages in enumerate(columns["messages"], 1):
            yield _Example([form.pieces(messages, f"{place}: row {n}")], bare=form.whole)
        return
    for n, (prompt, answer) in enumerate(zip(columns["prompt"], columns["answer"]), 1):
        choices = columns["choices"][n - 1] if "choices" in columns else [answer]
        if not isinstance(choices, list) or not all(isinstance(text, str) and text for text in (prompt, *choices)):
            raise UserError(
                f"{place}: row {n}: prompt and answer must be texts, none empty, and choices a list of them"
            )
        if "choices" in columns and not (type(answer) is int and 0 <= answer < len(choices)):
            raise UserError(f"{place}: row {n}: answer is {str(answer)[:20]}, and must number its choices, from 0 on")
        yield _Example([[(prompt, False), (text, True)] for text in choices], answer if "choices" in columns else 0)


def _encoded(pieces: list[Piece], tokenizer: Tokenizer, bare: bool) -> Encoded:
    """If not bare, the end of text stands before, where there is one, and a closing behind, learned as the last is."""
    if not bare:
        before = [] if tokenizer.end_of_text is None else [(END, False)]
        pieces = [*before, *pieces, (END, pieces[-1][1])]
    parts = [(closing(tokenizer) if text is END else tokenizer.encode(text), learned) for text, learned in pieces]
    return (
        np.concatenate([ids for ids, _ in parts]),
        np.concatenate([np.full(len(ids), learned) for ids, learned in parts]),
    )


def _with_shots(
    texts: list[Encoded], number: int, right: list[Encoded], train: np.ndarray, data: Data, place: str
) -> list[Encoded]:
    """Each of an example's texts, with the same other examples of training before it, of which nothing is learned."""
    most = data.context + 1
    if not data.shots:
        return [(ids[:most], answer[:most]) for ids, answer in texts]
    others = train[train != number]
    if len(others) < data.shots:
        raise UserError(f"{place}: --data.shots {data.shots}: there are only {len(others)} other training examples")
    drawn = np.random.Generator(np.random.Philox(number)).choice(others, data.shots, replace=False)
    before = np.concatenate([right[n][0] for n in drawn])
    found = [(np.append(before, ids), np.append(np.zeros(len(before), bool), answer)) for ids, answer in texts]
    if (longest := max(len(ids) for ids, _ in found)) > most:
        raise UserError(
            f"{place}: with --data.shots {data.shots} an example has {longest} tokens, for which --data.context "
            f"{data.context} has no room: lower the one or raise the other"
        )
    return found


def _source(split: list[list[Encoded]], right: list[int], field: Tokens) -> Answers:
    def padded(rows: list[np.ndarray], fill: int = 0) -> Padded:
        return Padded.of("tokens", rows, field.longest, fill, shifted=True)

    texts = padded([np.concatenate([ids for ids, _ in row]) for row in split], field.end or 0)
    learned = [
        np.concatenate([answer & (not field.choices or n == which) for n, (_, answer) in enumerate(row)])
        for row, which in zip(split, right)
    ]
    rows = {"tokens_answer": padded(learned)}
    if not field.choices:
        return Answers(texts, rows)
    numbered = [np.concatenate([np.full(len(ids), n) for n, (ids, _) in enumerate(row, 1)]) for row in split]
    is_right = np.eye(field.choices, dtype=bool)[right]
    return Answers(texts, rows | {"tokens_segment": padded(numbered)}, {"tokens_choice": is_right})
