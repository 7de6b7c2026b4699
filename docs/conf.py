"""The site: `pip install -e ".[docs]" && sphinx-build -W docs build/docs`."""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path[:0] = [str(Path(__file__).parent / "extensions"), str(Path(__file__).parents[1])]

import genjax  # noqa: E402

project, release, author = "genjax", genjax.__version__, "the genjax authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "genjax_docstrings", "genjax_math", "genjax_source"]
exclude_patterns = ["extensions"]

html_theme = "furo"
html_title = "genjax"
html_static_path = ["_static"]
html_css_files = ["genjax.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sphinx = html_show_copyright = False
smartquotes = False  # they would make a dash of an option's --

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_inherit_docstrings = False  # a method without words of its own says what the contract says
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
