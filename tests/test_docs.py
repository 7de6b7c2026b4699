"""The site builds without a warning, and says something of every system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genjax import models
from genjax.models import Model

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SYSTEMS = [name for name in models.__all__ if isinstance(x := getattr(models, name), type) and issubclass(x, Model)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for module in ("sphinx", "furo", "myst_parser", "latex2mathml"):
        pytest.importorskip(module)
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run([sys.executable, "-m", "sphinx", "-W", "-q", DOCS, out], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return out


def test_every_equation_code_and_recipe_is_on_its_page(site):
    vae = (site / "families" / "vae.html").read_text()
    assert "<math" in vae and "genjax/models/vae/model.py, line" in vae and "genjax train vae_digits" in vae
    gallery = (site / "gallery.html").read_text()
    assert all(f">{file.stem}<" in gallery for file in (ROOT / "configs").glob("*/*.py"))


def test_reference_has_the_public_names_with_their_fields(site):
    page = (site / "api" / "models.html").read_text()
    assert all(f'id="genjax.models.{name}"' in page for name in SYSTEMS)
    assert "weight of the KL term" in page  # the comment beside a field


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "Model"])
def test_every_system_stands_on_the_page_of_its_family(system):
    pages = "\n".join(file.read_text() for file in (DOCS / "families").glob("*.md"))
    assert f"models.{system}(" in pages


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted((DOCS / "notebooks").glob("*.py")), ids=lambda file: file.stem)
def test_notebook_runs_from_top_to_bottom(notebook, tmp_path):
    environment = os.environ | {"GENJAX_STEPS": "20", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, notebook], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
