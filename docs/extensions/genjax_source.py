"""Directives that put the project's own source on a page, so that no page copies what could change.

source NAME    the source of a function, class, method or constant, by its dotted name; every line of the directive's
               content is a piece of a line that is highlighted
recipe NAME    the docstring of a recipe: what it is, the command, what was measured
recipes        all recipes, by family
script FILE    a script in cells, as pages show notebooks: `# %% [markdown]` is text
public MODULE  what `__all__` of a module names and the module's own files define
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from genjax import recipes

ROOT = Path(__file__).parents[2]


def setup(app):
    for directive in (Source, Recipe, Recipes, Script, Public):
        app.add_directive(directive.__name__.lower(), directive)
    return {"parallel_read_safe": True}


class Source(SphinxDirective):
    required_arguments = 1
    has_content = True

    def run(self):
        file, node, text = find(self.arguments[0])
        self.env.note_dependency(str(file))
        lines = text.splitlines()
        marks = [mark.strip() for mark in self.content if mark.strip()]
        if lost := [mark for mark in marks if mark not in text]:
            raise ExtensionError(f"{self.env.docname}: {self.arguments[0]} has no line with '{lost[0]}'")
        marked = [i for i, line in enumerate(lines, 1) if any(mark in line for mark in marks)]
        block = nodes.literal_block(text, text, language="python", highlight_args={"hl_lines": marked})
        place = f"{file.relative_to(ROOT)}, line {node.lineno}"
        classes = ["literal-block-wrapper"]
        return [nodes.container("", nodes.caption("", place), block, literal_block=True, classes=classes)]


def find(name):
    """(file, node, source) of a dotted name."""
    parts = name.split(".")
    for n in range(len(parts) - 1, 0, -1):
        place = ROOT.joinpath(*parts[:n])
        file = next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)
        if file:
            break
    else:
        raise ExtensionError(f"no module for {name}")
    source = file.read_text()
    node = ast.parse(source)
    for part in parts[n:]:
        node = next((child for child in node.body if part in names(child)), None)
        if node is None:
            raise ExtensionError(f"{file.relative_to(ROOT)} defines no {name}")
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    return file, node, inspect.cleandoc("\n" + "\n".join(lines))


def names(node):
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return [getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)]


class Recipe(SphinxDirective):
    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        file = recipes.recipe_file(name)
        self.env.note_dependency(str(file))
        experiment = recipes.load_experiment(name)
        data = experiment.data.path or experiment.data.source
        kind = f"{type(experiment.model).__name__} on `{data}`: `{file.relative_to(ROOT)}`"
        title = nodes.rubric("", "", nodes.literal("", name), names=[f"{self.env.docname}-{name}".replace("/", "-")])
        self.state.document.note_explicit_target(title)
        picture = ROOT / "docs" / f"{name}.png"
        shown = f"![Drawn by {name}](/{picture.name})\n\n" if picture.is_file() else ""
        body = self.parse_text_to_nodes(f"{shown}{to_markdown(recipes.description(file))}\n\n{kind}")
        return [nodes.container("", title, *body, classes=["recipe"])]


def to_markdown(text):
    """A recipe's docstring: commands and tables in code, everything else as it reads."""
    paragraphs = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if re.match(r"\s*(genjax|python|pip) |    ", part):
            part = f"```text\n{inspect.cleandoc(part)}\n```"
        else:
            part = re.sub(r"(`[^`]*`)|([*$<])", lambda m: m[1] or f"\\{m[2]}", part)
        paragraphs.append(part)
    return "\n\n".join(paragraphs)


class Recipes(SphinxDirective):
    def run(self):
        families = {}
        for file in recipes.recipe_files().values():
            families.setdefault(file.parent.name, []).append(file.stem)
        text = []
        for family, found in families.items():
            text += [f"## {family}", "", "| recipe | what it is |", "|---|---|"]
            for name in found:
                line = to_markdown(recipes.description(recipes.recipe_file(name))).splitlines()[0].replace("|", "\\|")
                text.append(f"| [`{name}`](#{self.env.docname}-{name}) | {line} |")
            text += ["", *(f"```{{recipe}} {name}\n```\n" for name in found)]
        return self.parse_text_to_nodes("\n".join(text), allow_section_headings=True)


class Script(SphinxDirective):
    required_arguments = 1

    def run(self):
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        text = []
        for cell in re.split(r"(?m)^# %% ?", Path(path).read_text())[1:]:
            head, _, body = cell.partition("\n")
            if head.startswith("[markdown]"):
                text.append(re.sub(r"(?m)^# ?", "", body).strip())
            else:
                text.append(f"```python\n{body.strip()}\n```")
        return self.parse_text_to_nodes("\n\n".join(text), allow_section_headings=True)


class Public(SphinxDirective):
    """In reStructuredText pages."""

    required_arguments = 1
    option_spec = {"of": directives.unchanged}  # the package whose files count; without it the module itself

    def run(self):
        name = self.arguments[0]
        module, lines = importlib.import_module(name), [f".. automodule:: {name}", "   :no-index:", ""]
        home = self.options.get("of", name)
        options = {"class": ["   :members:", "   :exclude-members: Options"], "dict": ["   :no-value:"]}
        for member in module.__all__:
            thing = getattr(module, member)
            if inspect.ismodule(thing) or not getattr(thing, "__module__", name).startswith(home):
                continue
            kind = "class" if inspect.isclass(thing) else "function" if inspect.isroutine(thing) else "data"
            more = options.get("dict" if isinstance(thing, dict) else kind, [])
            lines += [f".. auto{kind}:: {name}.{member}", *more, ""]
        return self.parse_text_to_nodes("\n".join(lines))
