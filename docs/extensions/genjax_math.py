"""TeX as MathML, when the site is built: pages show equations without a script, and without a network."""

from docutils import nodes
from latex2mathml.converter import convert


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True}


def visit_inline(self, node):
    self.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def visit_display(self, node):
    self.body.append(f'<div class="equation">{mathml(node, "block")}</div>')
    raise nodes.SkipNode


def mathml(node, display):
    return convert(
        node.astext().replace(r"\log ", r"\log \, "), display=display
    )  # it sets log and its argument as one word
