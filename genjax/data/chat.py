"""How a conversation becomes one text: in a form for each role, or by the chat template of a Hugging Face folder."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.data.templates import Template, chat_template
from genjax.errors import UsageError, UserError

__all__ = ["END", "ROLES", "Chat", "Piece", "chat"]

ROLES = ("system", "user", "assistant")
END = None  # a piece that is no text: the end of text

Piece = tuple[str | None, bool]  # a part of a text, and whether it is to be learned
Message = Mapping[str, Any]  # role and content


class Chat(NamedTuple):
    """(messages, where they stand) -> pieces; and whether these are the whole text, ends of text included."""

    pieces: Callable[[object, str], list[Piece]]
    whole: bool = False


def chat(entries: tuple[str, ...]) -> Chat:
    """As --data.chat says.

    Raises:
      UsageError: what is neither a role and its text nor one folder.
      UserError: a folder that has no template, or a damaged one.
    """
    if len(entries) == 1 and entries[0].startswith("hf:"):
        template = chat_template(entries[0].removeprefix("hf:"))
        return Chat(functools.partial(_by_template, template=template), whole=True)
    forms = {}
    for entry in entries:
        role, equals, text = entry.partition("=")
        if role not in ROLES or role in forms or not equals or text.count("{}") != 1:
            roles = ", ".join(ROLES)
            raise UsageError(
                f"--data.chat {entry}: write ROLE=TEXT, with one {{}}, for each of {roles}, or hf:FOLDER alone"
            )
        before, _, after = text.partition("{}")
        forms[role] = before, after
    if forms:
        return Chat(functools.partial(_by_forms, forms=forms, between=""))
    titles = {role: (f"{role.title()}: ", "") for role in ROLES}
    return Chat(functools.partial(_by_forms, forms=titles, between="\n\n"))


def _by_forms(found: object, place: str, *, forms: Mapping[str, tuple[str, str]], between: str) -> list[Piece]:
    """`forms`: what stands before and behind a message of each role; `between`: what stands between two."""
    row: list[Piece] = []
    for message in _messages(found, place):
        role, content = message["role"], message["content"]
        if role not in forms:
            raise UserError(f"{place}: a message is the {role}'s, of which --data.chat says nothing: add {role}=TEXT")
        before, after = forms[role]
        before = between * bool(row) + before
        learned = role == "assistant"
        row += [(before, False), (content + after, True)] if learned else [(before + content + after, False)]
    return row


def _by_template(found: object, place: str, *, template: Template) -> list[Piece]:
    """What the template writes for an assistant's message is learned; what follows the last of them is left out."""
    row: list[Piece] = []
    messages, written = _messages(found, place), ""
    for n, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        asked, answered = template.render(messages[:n], place, asks=True), template.render(messages[: n + 1], place)
        for text, learned in ((asked, False), (answered, True)):
            if not text.startswith(written):
                raise UserError(
                    f"{place}: the chat template of {template.place} writes what was said otherwise once more follows: "
                    "what is to be learned cannot be told"
                )
            row += [(part, learned) for part in template.parts(text[len(written) :])]
            written = text
    if not any(learned for _, learned in row):
        raise UserError(f"{place}: the chat template of {template.place} writes nothing that the assistant says")
    return row


def _messages(found: object, place: str) -> list[Message]:
    messages = list(found) if isinstance(found, list | np.ndarray) else [None]
    for message in messages:
        role, content = (message.get(name) if isinstance(message, dict) else None for name in ("role", "content"))
        if role not in ROLES or not isinstance(content, str):
            raise UserError(
                f'{place}: messages must be a list of {{"role": "system", "user" or "assistant", "content": TEXT}}'
            )
    if all(message["role"] != "assistant" for message in messages):
        raise UserError(f"{place}: no message is the assistant's: nothing is to be learned")
    return messages
