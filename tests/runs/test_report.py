"""The report page: facts, not looks."""

import html
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from genjax.errors import UserError
from genjax.runs.metrics import MetricsWriter
from genjax.runs.report import write_report

CONFIG = {
    "recipe": "gan_digits",
    "system": "GAN",
    "model": {"latent": 32, "norm": {"name": "group", "eps": 1e-6}},
    "data": {"source": "digits", "path": None, "batch_size": 64},
    "optim": {"learning_rate": 2e-4, "entries": {"discriminator": {"learning_rate": 4e-4}}},
    "train": {"steps": 400, "ema_entries": []},
}


def make_run(run, records=(), config=CONFIG, environment=None):
    (run / "samples").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(config))
    if environment is not None:
        (run / "environment.json").write_text(json.dumps(environment))
    writer = MetricsWriter(run, tensorboard=False)
    for step, metrics in records:
        writer.write(step, metrics)
    writer.close()
    return run


def page(run, **options):
    text = write_report(run, **options).read_text("utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text) and "<script" not in text
    assert not re.search(r"""url\(["']?(?!#)|@import""", text)
    return text


def charts(text):
    """Title -> the words and the number of curves of each chart."""
    found = {}
    for title, body in re.findall(r'<figure class="card" data-chart="([^"]*)">(.*?)</figure>', text, re.S):
        words = html.unescape(" ".join(re.findall(r"<text[^>]*>(.*?)</text>", body)))
        curves = len(re.findall(r'<g id="line2d_\d+">\s*<path [^>]*clip-path[^>]*stroke-width: 1\.[67]', body))
        found[html.unescape(title)] = (words.replace("\u200b", ""), curves, body)
    return found


def test_what_parts_took_is_no_curve(tmp_path):
    records = [(10, {"elbo/loss": 1.0}), (10, {"seconds/evaluate": 2.0}), (20, {"elbo/loss": 0.5})]
    assert list(charts(page(make_run(tmp_path / "run", records)))) == ["elbo/loss"]


def gan_records():
    random = np.random.default_rng(0)
    for step in range(10, 401, 10):
        metrics = {
            "discriminator/loss": 1 + 0.1 * random.normal(),
            "discriminator/real": 0.5,
            "generator/loss": math.nan if step == 50 else 1.0 + step / 400,
            "grad_norm/discriminator/discriminator": math.exp(3 * random.normal()),
            "grad_norm/generator/generator": math.exp(3 * random.normal()),
            "lr/generator": 2e-4,
            "lr/discriminator": 4e-4,
            "steps_per_second": 20.0,
            "examples_per_second": 1280.0,
        }
        if step % 100 == 0:
            metrics |= {"validation/frechet": abs(step - 300) + 7.25, "validation/recall": step / 1000}
        yield step, metrics


def test_a_gan_run_shows_every_turn(tmp_path):
    environment = {"jax": "0.10.2", "devices": ["a", "b"], "device_kind": "cpu", "compile_seconds": 6.25}
    environment["processor"] = "2 x AMD EPYC"
    run = make_run(tmp_path / "run", gan_records(), environment=environment)
    text = page(run, best=("frechet", "min"))
    drawn = charts(text)
    assert list(drawn) == [
        "discriminator/loss",
        "discriminator/real",
        "generator/loss",
        "validation/frechet",
        "validation/recall",
        "Gradient norm",
        "Learning rate",
        "Speed",
    ]
    assert all("step" in words.split() for words, _, _ in drawn.values())
    assert {title: curves for title, (_, curves, _) in drawn.items()} == dict.fromkeys(drawn, 1) | {
        "Gradient norm": 2,
        "Learning rate": 2,
    }
    assert "global norm (log scale)" in drawn["Gradient norm"][0]
    assert "generator/generator" in drawn["Gradient norm"][0]
    assert "steps/s" in drawn["Speed"][0]
    assert "1 value not finite" in drawn["generator/loss"][2]
    assert "not finite" not in drawn["discriminator/loss"][2]
    for fact in ("gan_digits", "400 of 400", "1280", "20 steps/s", "6.25 s", "2 × cpu", "2 x AMD EPYC", "0.10.2"):
        assert fact in text
    for name, value in (
        ("norm.eps", "1e-06"),
        ("entries.discriminator.learning_rate", "0.0004"),
        ("path", "–"),
    ):
        assert re.search(rf'<th scope="row">{re.escape(name)}</th><td>{value}</td>', text)


def test_training_and_validation_share_a_chart_that_marks_the_best_step_and_says_its_values(tmp_path):
    records = [(step, {"lm/loss": 4 - step / 200, "validation/loss": abs(step - 300) / 100 + 2}) for step in (100, 200)]
    records += [(300, {"lm/loss": 2.0, "validation/loss": 2.0}), (400, {"lm/loss": 1.5, "validation/loss": 2.25})]
    drawn = charts(page(make_run(tmp_path / "run", records), best=("loss", "min")))
    words, curves, body = drawn["lm/loss, training and validation"]
    assert list(drawn) == ["lm/loss, training and validation"] and curves == 2
    assert {"training", "validation", "best"} <= set(words.split())
    titles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="5"><title>(.*?)</title>', body)
    values = {title: (float(x), float(y)) for x, y, title in titles}
    (x, y), (right, higher) = values["validation: 2 at step 300"], values["validation: 2.25 at step 400"]
    assert x < right and higher < y and values["training: 2 at step 300"] == (x, y)


def test_one_value_is_a_number_and_no_chart(tmp_path):
    *_, body = charts(page(make_run(tmp_path / "run", [(7, {"elbo/loss": 1.25})])))["elbo/loss"]
    assert "<svg" not in body and "<b>1.25</b>" in body and "at step 7" in body


def test_few_charts_share_a_section_and_numbers_that_say_little_have_none(tmp_path):
    beside = {"data_wait_fraction": 0.25, "validation/count": 77}
    records = [(step, {**metrics, **beside}) for step, metrics in gan_records()]
    text = page(make_run(tmp_path / "few", records))
    assert "<h2>Curves</h2>" in text and "<h2>Training</h2>" not in text
    assert "25.0% of it waiting for data" in text and "data_wait_fraction" not in charts(text)
    assert '<th scope="row">count' not in text
    many = [(step, {f"turn/term{i}": 1.0 for i in range(9)} | metrics) for step, metrics in records]
    assert "<h2>Training</h2>" in page(make_run(tmp_path / "many", many))


def test_the_best_step_is_marked(tmp_path):
    run = make_run(tmp_path / "run", gan_records())

    def table(**options):
        text = page(run, **options)
        rows = re.findall(r"<tr( class=\"best\")?><th scope=\"row\">(frechet|recall)[^<]*</th>(.*?)</tr>", text, re.S)
        step = re.search(r"<th>best \(step (\d+)\)</th>", text)
        return step and int(step[1]), {name: (bool(m), re.findall(r"<td>(.*?)</td>", r)) for m, name, r in rows}

    assert table(best=("frechet", "min")) == (
        300,
        {"frechet": (True, ["107.2", "7.25"]), "recall": (False, ["0.4", "0.3"])},
    )
    assert table(best=("recall", "max"))[0] == 400
    assert table() == (None, {"frechet": (False, ["107.2"]), "recall": (False, ["0.4"])})  # no "loss" here


@pytest.mark.parametrize(
    "records", [[], [(1, {"elbo/loss": math.nan})], [(1, {"elbo/loss": 2.0, "grad_norm/elbo/encoder": 0.0})]]
)
def test_a_run_that_stopped_at_once_has_a_page(tmp_path, records):
    text = page(make_run(tmp_path / "run", records, config={"recipe": "vae_digits", "system": "VAE"}))
    assert f"{len(records)} of –" in text
    assert ("No metrics were recorded yet" in text) == (not records)
    assert ("1 value not finite" in text) == (len(records) == 1 and len(records[0][1]) == 1)


def test_everything_is_escaped(tmp_path):
    evil = "<script>alert('$x$ & \"y\"')</script>"
    config = {"recipe": evil, "system": evil, "model": {evil: {evil: [evil]}}, "data": {"path": evil}}
    records = [
        (
            1,
            {
                f"{evil}/loss": 1.0,
                f"grad_norm/a/{evil}": 1.0,
                f"grad_norm/b/{evil}": 2.0,
                f"validation/{evil}": 1,
            },
        )
    ]
    run = make_run(tmp_path / "run", records, config, environment={"command": evil, "devices": [evil]})
    (run / "samples" / "1-<b>.txt").write_text(f"{evil}\x1b[31m\x00")
    text = page(run, best=(evil, "min"))
    assert "alert(" in text and "<b>.txt" not in text and "\x1b" not in text and "\x00" not in text
    assert evil.replace("</script>", "") not in text


def test_long_curves_stay_small(tmp_path):
    values = np.random.default_rng(0).normal(size=20_000)
    values[12_345] = 40.0
    text = page(make_run(tmp_path / "run", [(i, {"lm/loss": v}) for i, v in enumerate(values)]))
    assert len(text) < 150_000
    assert "40" in charts(text)["lm/loss"][0].split()  # the one spike still stretches the axis


def test_samples_from_first_to_last(tmp_path):
    run = make_run(tmp_path / "run")
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)  # 1.4 MB each as PNG
    for step in range(100, 2001, 100):
        Image.fromarray(noise).save(run / "samples" / f"{step}-fake.png")
    Image.fromarray(noise[:8, :8]).save(run / "samples" / "final-fake.png")
    (run / "samples" / "900.txt").write_text("a <text> of step nine hundred")
    (run / "samples" / "notes.md").write_text("not a sample")
    text = page(run)
    labels = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert labels == ["step 900", "final", "step 100", "step 500", "step 900", "step 1300", "step 1700"]
    assert "<pre>a &lt;text&gt; of step nine hundred</pre>" in text
    assert len(re.findall(r'<img src="data:image/(?:png|jpeg);base64,', text)) == 6
    assert 500_000 < len(text) < 3_000_000


def test_a_damaged_picture_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)  # above what the page holds as it is
    Image.fromarray(noise).save(run / "samples" / "5.png")
    begin, _, end = (run / "samples" / "5.png").read_bytes().rpartition(b"IDAT")
    (run / "samples" / "5.png").write_bytes(begin + b"\0DAT" + end)
    with pytest.raises(UserError, match=r"5\.png is no readable picture"):
        write_report(run)


def test_devices_that_are_no_list_are_not_shown(tmp_path):
    assert "Devices" not in page(make_run(tmp_path / "run", environment={"devices": 5}))


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        write_report(tmp_path)
    run = make_run(tmp_path / "run")
    (run / "config.json").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"config\.json: must be a JSON object"):
        write_report(run)
    (run / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: not readable as JSON"):
        write_report(run)


def test_quantiles_share_a_chart_and_a_collapse_is_told_in_one_line(tmp_path):
    values = {f"validation/fake_logit_{p}": v for p, v in (("p10", -1.0), ("p50", 0.0), ("p90", 1.0))}
    good = [(10, {**values, "validation/diversity_ratio": 0.2}), (20, {**values, "validation/diversity_ratio": 0.9})]
    text = page(make_run(tmp_path / "good", good))
    words, curves, _ = charts(text)["validation/fake_logit quantiles"]
    assert curves == 3 and "p10" in words and "p90" in words
    assert "validation/fake_logit_p10" not in charts(text) and "samples are alike" not in text
    bad = page(make_run(tmp_path / "bad", good[:1]))
    assert bad.count("samples are alike") == 1 and "20% as far apart" in bad
