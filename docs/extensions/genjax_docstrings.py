"""Docstrings as genjax writes them (plain text, `code`, indented examples, Args and Raises) as reStructuredText.

Fields of dataclasses and networks are listed with the comments that stand beside them in the source.
"""

import inspect
import re

from genjax.described import Described, fields_of

SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes):$")
ITEM = re.compile(r"  (\S[^:]*): (.*)")


def setup(app):
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    return {"parallel_read_safe": True}


def on_docstring(app, what, name, obj, options, lines):
    borrowed = what == "data" and not inspect.isclass(obj) and getattr(obj, "__doc__", None) == type(obj).__doc__
    if isinstance(said := vars(obj).get("__doc__") if inspect.isclass(obj) else None, Described):
        lines[:] = said.text.splitlines()  # without the fields, which follow as a list
    lines[:] = [] if borrowed else to_rst(lines)  # a constant has the docstring of its type
    if what in ("class", "exception") and (fields := fields_of(obj)):
        lines += ["", "**Fields**", "", *map(item, fields), ""]


def on_signature(app, what, name, obj, options, signature, result):
    """None of a class whose fields are listed: they say the same."""
    return ("", "") if what == "class" and fields_of(obj) else None


def item(field):
    code = f"{field.name}: {field.annotation}" + (f" = {field.default}" if field.default else "")
    return f"- ``{code}``" + (f": {inline(field.comment)}" if field.comment else "")


def to_rst(lines):
    out, section, code = [], None, False
    for line in lines:
        if line and not line[0].isspace():
            if code:
                out.append("")
            code, section = False, (SECTION.match(line) or [None, None])[1]
            if section:
                out += ["", f"**{section}**", ""]
                continue
            if line.startswith("- ") and out and out[-1] and not out[-1].startswith(("- ", "  ")):
                out.append("")
        elif line and section:
            item = section != "Returns" and ITEM.match(line)
            indent = "" if section == "Returns" else "  "
            line = f"- ``{item[1]}``: {item[2]}" if item else indent + line.strip()
        elif line and not code and not (out and out[-1].startswith(("- ", "  "))):
            out += ["", "::", ""]
            code = True
        out.append(f"\0{line}" if code else line)  # the mark keeps code out of what follows
    text = re.sub(r"(?m)^(?!\0).*(?:\n(?!\0).+)*", lambda prose: inline(prose[0]), "\n".join(out))
    return text.replace("\0", "").split("\n")


def inline(text):
    """`code` becomes a literal, and what reStructuredText would read as markup is escaped."""
    parts = re.split(r"(\*\*\w+\*\*|``[^`]+``|`[^`]+`)", text)
    parts[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part[1:-1]}``" if re.match("`[^`]", part) else part for part in parts[1::2]]
    return "".join(parts)
