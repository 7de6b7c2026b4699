"""What a run writes while it trains: records, events, the progress line, and samples as files."""

import io
import json
import math
import struct
import sys
import types

import numpy as np
import pytest
from PIL import Image

from genjax.errors import UsageError, UserError
from genjax.runs import log
from genjax.runs.log import MetricsWriter, Progress, read_metrics
from genjax.runs.sheets import image_grid, save_outputs, save_samples


@pytest.fixture(autouse=True)
def no_wandb(monkeypatch):
    for name in ("WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(time=0.0)
    monkeypatch.setattr(log, "monotonic", lambda: now.time)
    return now


def write(out, records, **options):
    writer = MetricsWriter(out, tensorboard=False, **options)
    for step, metrics in records:
        writer.write(step, metrics)
    writer.close()


def test_records_survive_exactly(tmp_path):
    write(tmp_path, [(1, {"elbo/loss": 0.1}), (2, {"elbo/loss": np.float32(1 / 3), "lr/encoder": 1e-3})])
    assert read_metrics(tmp_path) == [
        {"step": 1, "elbo/loss": 0.1},
        {"step": 2, "elbo/loss": float(np.float32(1 / 3)), "lr/encoder": 1e-3},
    ]
    assert read_metrics(tmp_path / "elsewhere") == []


def test_a_record_is_on_disk_at_once_and_is_strict_json(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(3, {"a/loss": math.nan, "b/loss": math.inf, "c/loss": 2.0})

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    record = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    writer.close()
    assert record == {"step": 3, "a/loss": None, "b/loss": None, "c/loss": 2.0}


def test_a_resumed_run_has_each_step_once(tmp_path):
    write(tmp_path, [(step, {"loss": float(step)}) for step in (10, 20, 30)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # killed while writing
    assert [record["step"] for record in read_metrics(tmp_path)] == [10, 20, 30]
    write(tmp_path, [(30, {"loss": -1.0})], resume_step=20)
    assert read_metrics(tmp_path) == [{"step": s, "loss": v} for s, v in ((10, 10.0), (20, 20.0), (30, -1.0))]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_without_a_step_to_resume_from_only_the_torn_line_goes(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    write(tmp_path, [(3, {})])
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3}]


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1.0}', "\x00\x00"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(UserError, match="line 2"):
        read_metrics(tmp_path)


def tensorboard_scalars(folder):
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("*tfevents*")
    data, scalars = file.read_bytes(), []
    while data:  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        scalars += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    return scalars


def test_tensorboard_gets_the_same_numbers(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write(5, {"elbo/loss": 2.5, "validation/loss": 3.0})
    writer.close()
    assert tensorboard_scalars(tmp_path / "tensorboard") == [
        (5, "elbo/loss", 2.5),
        (5, "validation/loss", 3.0),
    ]


def test_wandb_only_where_it_is_asked_for(tmp_path, monkeypatch):
    logged = []
    run = types.SimpleNamespace(log=lambda values, step: logged.append((step, values)), finish=lambda: None)
    fake = types.SimpleNamespace(init=lambda **options: logged.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_API_KEY", "a key alone asks for nothing")
    write(tmp_path, [(1, {"loss": 1.0})])
    assert logged == []
    (tmp_path / "config.json").write_text('{"recipe": "vae"}')
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    write(tmp_path, [(2, {"loss": 2.0})])
    assert logged == [
        {"dir": str(tmp_path), "name": tmp_path.name, "config": {"recipe": "vae"}},
        (2, {"loss": 2.0}),
    ]
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if not installed
    with pytest.raises(UserError, match="wandb is missing"):
        MetricsWriter(tmp_path)


def test_speed_is_of_training_alone(clock):
    progress = Progress(100, 20, batch_size=8, stream=io.StringIO())
    assert math.isnan(progress.speed["steps_per_second"])
    progress.pause()  # compilation
    clock.time += 60
    progress.pause()  # twice is once
    progress.resume()
    for step in range(21, 31):
        clock.time += 0.25
        progress.update(step)
        progress.resume()  # while it runs: nothing
    progress.pause()  # evaluation
    clock.time += 100
    assert progress.speed == {
        "steps_per_second": pytest.approx(4.0),
        "examples_per_second": pytest.approx(32.0),
    }


def test_speed_forgets_what_is_long_past(clock):
    progress = Progress(10_000, 0, batch_size=1, stream=io.StringIO())
    for step in range(1, 101):
        clock.time += 1.0 if step <= 50 else 0.5
        progress.update(step)
    assert progress.speed["steps_per_second"] == pytest.approx(2.0)


def test_lines_in_a_pipe_are_few_and_whole(clock):
    stream = io.StringIO()
    progress = Progress(100, 0, batch_size=4, stream=stream)
    for step in range(1, 101):
        clock.time += 0.25
        metrics = {"elbo/loss": 1234.56789, "elbo/kl": 1.0, "validation/loss": 2.0} if step % 5 == 0 else None
        progress.update(step, metrics)
        if step == 50:
            progress.message("step 50  validation/loss 2")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "step 5/100  elbo/loss 1235  4 steps/s  16 examples/s  00:23 left",
        "step 25/100  elbo/loss 1235  4 steps/s  16 examples/s  00:18 left",
        "step 45/100  elbo/loss 1235  4 steps/s  16 examples/s  00:13 left",
        "step 50  validation/loss 2",
        "step 65/100  elbo/loss 1235  4 steps/s  16 examples/s  00:08 left",
        "step 85/100  elbo/loss 1235  4 steps/s  16 examples/s  00:03 left",
        "step 100/100  elbo/loss 1235  4 steps/s  16 examples/s  00:00 left",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_live_line_is_redrawn_and_not_torn_by_messages(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    progress = Progress(40, 0, batch_size=2, stream=stream)
    for step in range(1, 41):
        clock.time += 0.05
        progress.update(step, {"generator/loss": 0.5} if step % 10 == 0 else None)
        if step == 20:
            progress.message("checkpoint saved")
    progress.close()
    text = stream.getvalue()
    assert "\rcheckpoint saved\n" in text  # begins where the cleared line began, and ends its own
    assert text.count("\n") == 2  # the message's, and the one that leaves the last state of the line standing
    last = text.rstrip().split("\r")[-1]
    assert last.startswith("100%") and "step 40/40  generator/loss 0.5  20 steps/s  40 examples/s" in last


def test_grid_of_small_images_is_enlarged_without_smoothing(tmp_path):
    images = np.linspace(-1, 1, 5)[:, None, None, None] * np.ones((5, 8, 8, 1))
    grid = np.asarray(Image.open(save_samples(tmp_path / "samples" / "12", {"image": images})))
    size = 17 * 8  # 3 columns: the least whole factor that makes 400 pixels is 17
    assert grid.shape == (2 * size + 2, 3 * size + 4)
    tiles = [grid[r : r + size, c : c + size] for r in (0, size + 2) for c in (0, size + 2, 2 * (size + 2))]
    assert [np.unique(tile).tolist() for tile in tiles] == [[0], [64], [128], [191], [255], [255]]
    assert (grid[size : size + 2] == 255).all()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["12.png"]  # no temporary file stays


def test_colour_is_kept_and_values_are_clipped():
    image = np.full((1, 500, 500, 3), np.array([-7.0, 7.0, np.nan]))
    grid = image_grid(image)
    assert grid.shape == (500, 500, 3) and grid[0, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2), (0, 8, 8, 1)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(UserError, match="no pictures"):
        image_grid(np.zeros(shape))


class Letters:
    def decode(self, ids):
        assert all(type(i) is int for i in ids)
        return "".join(map(chr, ids))


def test_texts_stand_under_rules(tmp_path):
    tokens = np.array([[104, 105, 33], [0x1F642, 0xD800, 0]])  # the second holds half a surrogate pair
    path = save_samples(tmp_path / "3-greedy", {"tokens": tokens, "length": np.array([3, 2])}, Letters())
    assert path.name == "3-greedy.txt"
    lines = path.read_text().splitlines()
    assert lines[1::2] == ["hi!", "\N{SLIGHTLY SMILING FACE}?"]
    assert [line.strip("─") for line in lines[::2]] == [" 1 of 2 ", " 2 of 2 "]


def test_the_suffix_chooses_the_format(tmp_path):
    tokens = {"tokens": np.arange(6).reshape(2, 3), "length": np.array([3, 1])}
    assert save_outputs(tmp_path / "new" / "x.txt", tokens).read_text().splitlines()[1::2] == ["0 1 2", "3"]
    with np.load(save_outputs(tmp_path / "x.npz", tokens), allow_pickle=False) as raw:
        assert {name: raw[name].tolist() for name in raw} == {k: v.tolist() for k, v in tokens.items()}
    for name in ("x.png", "x.jpg", "x"):
        with pytest.raises(UsageError, match=r"\.txt or \.npz"):
            save_outputs(tmp_path / name, tokens)
    with pytest.raises(UsageError, match=r"\.png or \.npz"):
        save_outputs(tmp_path / "x.txt", {"image": np.zeros((1, 8, 8, 1))})
    with pytest.raises(UserError, match="cannot write"):
        save_outputs(tmp_path / "x.npz" / "y.npz", tokens)
