"""Runs side by side on one page."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from genjax.errors import UsageError, UserError
from genjax.runs.compare import differences, write_comparison
from genjax.runs.metrics import MetricsWriter


def make_run(out, config, values, error=0.5, samples=True):
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps({"format": 2, "system": "VAE", "spec": {"n": 1}, **config}))
    writer = MetricsWriter(out, tensorboard=False)
    for step, value in enumerate(values, 1):
        writer.write(step, {"elbo/loss": value, "validation/fd9_x": value, "validation/fd9_x_se": error})
    writer.write(len(values), {"validation/own_<b>": 1.0})
    writer.close()
    if samples:
        (out / "samples").mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(out / "samples" / "2-reconstruct.png")
        for step in (1, 2):
            Image.fromarray(np.full((8, 8), step, np.uint8)).save(out / "samples" / f"{step}.png")
    return out


def test_a_page_tells_metrics_samples_differences_and_curves(tmp_path):
    first = make_run(tmp_path / "a" / "run", {"train": {"steps": 2, "seed": 0}, "recipe": "<i>"}, [3.0, 2.0])
    second = make_run(tmp_path / "b" / "run", {"train": {"steps": 2, "seed": 1}, "recipe": "<i>"}, [5.0, 4.0, 1.5])
    page = write_comparison([first, second], tmp_path / "new" / "page.html").read_text()
    assert "a/run" in page and "b/run" in page and "<i>" not in page and "own_<b>" not in page
    cells = re.search(r"fd9_x</th><td>(.*?)</td><td>(.*?)</td>", page).groups()
    assert [re.sub("<.*?>", "", cell) for cell in cells] == ["2 [1.02, 2.98]", "1.5 [0.52, 2.48]"]
    assert "fd9_x_se" not in page
    assert re.findall(r'<th scope="row">([\w.]+)</th><td>0</td><td>1</td>', page) == ["train.seed"]
    assert page.count("data:image/png;base64,") == 2 and page.count("<figcaption>step 2</figcaption>") == 2
    assert re.findall('data-chart="(.*?)"', page) == ["validation/fd9_x", "elbo/loss"]  # own_<b> is one value
    assert "src=" not in page.replace('src="data:', "") and "href=" not in page.replace("xlink:href", "")


def test_runs_of_different_systems_and_without_samples(tmp_path):
    first = make_run(tmp_path / "one", {"model": {"latent": 2}}, [1.0], samples=False)
    second = make_run(tmp_path / "two", {"system": "GAN", "model": {"width": 3}}, [1.0], samples=False)
    page = write_comparison([first, second], tmp_path / "page.html").read_text()
    assert "Last samples" not in page and ">GAN<" in page
    configs = {run.name: json.loads((run / "config.json").read_text()) for run in (first, second)}
    assert differences(configs) == [
        ("system", ["VAE", "GAN"]),
        ("model.latent", [2, None]),
        ("model.width", [None, 3]),
    ]
    assert differences({"x": configs["one"], "y": configs["one"]}) == []


def test_what_can_be_compared_stands_first_and_counts_do_not(tmp_path):
    first = make_run(tmp_path / "one", {}, [1.0], samples=False)
    second = make_run(tmp_path / "two", {}, [1.0], samples=False)
    for run, name in ((first, "validation/a"), (second, "validation/fake_p10")):
        with (run / "metrics.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": 1, name: 1.0, "validation/count": 7}) + "\n")
    page = write_comparison([first, second], tmp_path / "page.html").read_text()
    table = page[page.index('id="metrics"') : page.index('id="differences"')]
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["fd9_x", "own_&lt;b&gt;", "a"]


def test_what_cannot_be_compared_is_one_line(tmp_path):
    run = make_run(tmp_path / "run", {}, [1.0])
    for runs, kind, words in (
        ([run], UsageError, "two runs or more"),
        ([run, tmp_path / "run" / ".." / "run"], UsageError, "named twice"),
        ([run, tmp_path], UserError, "not a run directory"),
    ):
        with pytest.raises(kind, match=words):
            write_comparison(runs, tmp_path / "page.html")
