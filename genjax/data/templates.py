"""Chat templates of Hugging Face folders: Jinja, rendered in a sandbox as transformers' `apply_chat_template` does."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genjax.data.pieces import ABOUT
from genjax.errors import UserError
from genjax.files import expanded, read_json, read_text

__all__ = ["Template", "chat_template"]

FILE = "chat_template.jinja"  # where newer versions write it; older ones into ABOUT
ENDS = ("bos_token", "eos_token")


class Template(NamedTuple):
    """A compiled template, the special tokens that it may write, and the folder that it comes from."""

    compiled: Any
    tokens: dict[str, str]
    place: Path

    def render(self, messages: Sequence[Mapping[str, Any]], place: str, asks: bool = False) -> str:
        """The text of the messages; with `asks` what stands before the assistant's next one too.

        Raises UserError, which names `place`, where the template refuses the messages, or fails.
        """
        given = {"messages": list(messages), "add_generation_prompt": asks, "tools": None, "documents": None}
        try:
            return self.compiled.render(given | self.tokens)
        except Exception as error:  # whatever a template may raise
            raise UserError(f"{place}: the chat template of {self.place} refuses it ({error})") from None

    def parts(self, text: str) -> list[str | None]:
        """The text, cut where a token stands for an end of text, which is None; nothing that is empty."""
        ends = [self.tokens[name] for name in ENDS if self.tokens.get(name)]
        cut = re.split(f"({'|'.join(map(re.escape, ends))})", text) if ends else [text]
        return [None if part in ends else part for part in cut if part]


def chat_template(folder: str) -> Template:
    """Of chat_template.jinja, or of tokenizer_config.json; of several with names it is `default`.

    Raises UserError where there is none, or no template of Jinja.
    """
    place = expanded(folder)
    about = read_json(place / ABOUT) if (place / ABOUT).exists() else {}
    if (place / FILE).exists():
        found: Any = read_text(place / FILE)
    else:
        found = about.get("chat_template")
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    if not isinstance(found, str):
        raise UserError(f"--data.chat hf:{folder}: no chat template there, neither {FILE} nor in {ABOUT}")
    tokens = {name: _text(value) for name, value in about.items() if name.endswith("_token") and _text(value)}
    try:
        return Template(_environment().from_string(found), tokens, place)
    except Exception as error:  # jinja2.TemplateError, and what its extensions raise
        raise UserError(f"--data.chat hf:{folder}: its chat template is no Jinja ({error})") from None


def _text(token: Any) -> str | None:
    """A token is a text, or an object with its text as `content`."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _environment() -> Any:
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """{% generation %} ... {% endgeneration %} marks the assistant's words, and writes nothing itself."""

        tags = {"generation"}

        def parse(self, parser):
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    made.globals["raise_exception"] = refuse
    return made
