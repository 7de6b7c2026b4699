"""The mechanics of a comparison, on a clock of our own; and, with the peers installed, that the pairs are pairs."""

import importlib

import peers.data
import pytest
from peers.pairs import Pair, Side, check_parameters, compare

from genjax.errors import UserError
from genjax.spec import DataSpec, Image


class Machine:
    """A clock that only work moves; `drift` makes the machine slower with time."""

    def __init__(self, drift: float = 0.0):
        self.now, self.drift, self.log = 0.0, drift, []

    def clock(self) -> float:
        return self.now

    def side(self, name: str, seconds: float, parameters: int | None = None) -> Side:
        def run(count: int) -> None:
            self.log.append((name, count))
            self.now += count * seconds * (1 + self.drift * len(self.log))

        return Side(name, run, parameters)


def pair_of(machine: Machine, ours: float, theirs: float, parameters=(None, None)) -> Pair:
    a, b = machine.side("a", ours, parameters[0]), machine.side("b", theirs, parameters[1])
    return Pair("tiny", a, b, 10, "images", "none")


def test_sides_take_turns_and_the_first_place_alternates():
    machine = Machine()
    compare(pair_of(machine, 0.25, 0.5), rounds=4, seconds=1.0, clock=machine.clock)
    assert machine.log[:5] == [("a", 2), ("a", 1), ("a", 2), ("b", 2), ("b", 1)]  # warm-up and finding the speed
    # After the other side's turn a run comes that does not count.
    a, b = [("a", 1), ("a", 4)], [("b", 1), ("b", 2)]
    assert machine.log[5:] == [*a, *b, ("b", 2), *a, ("a", 4), *b, ("b", 2), *a]


def test_speeds_and_ratio():
    machine = Machine()
    result = compare(pair_of(machine, 0.25, 0.5), rounds=3, seconds=1.0, clock=machine.clock)
    assert (result.ours_per_second, result.theirs_per_second) == (40.0, 20.0)
    assert result.ratio == result.ratio_min == result.ratio_max == 2.0


def test_a_machine_that_slows_down_does_not_move_the_ratio():
    machine = Machine(drift=0.05)
    result = compare(pair_of(machine, 0.25, 0.5), rounds=8, seconds=1.0, clock=machine.clock)
    assert result.ratio == pytest.approx(2.0, rel=0.02)
    assert result.ratio_min < 2.0 < result.ratio_max


def test_the_ratio_is_the_median_over_rounds_not_that_of_the_medians():
    machine = Machine()
    pair = pair_of(machine, 1.0, 1.0)
    pauses = iter([0] * 7 + [9] * 3 + [0] * 6)  # the third round is disturbed on both sides

    def disturbed(side: Side) -> Side:
        def run(count: int) -> None:
            side.run(count)
            if len(machine.log) > 4:
                machine.now += next(pauses)

        return side._replace(run=run)

    pair = pair._replace(ours=disturbed(pair.ours), theirs=disturbed(pair.theirs))
    assert compare(pair, rounds=5, seconds=1.0, clock=machine.clock).ratio == 1.0


@pytest.mark.parametrize("counts", [(1000, 1011), (1000, 989), (1000, None), (None, 1000)])
def test_unlike_networks_are_refused(counts):
    machine = Machine()
    with pytest.raises(UserError, match=r"pair tiny: a has .* parameters and b .*: give both the same layers"):
        compare(pair_of(machine, 1.0, 1.0, counts), clock=machine.clock)
    assert not machine.log  # before any work is done


@pytest.mark.parametrize("counts", [(1000, 1000), (1000, 1010), (None, None)])
def test_like_networks_are_not(counts):
    check_parameters(pair_of(Machine(), 1.0, 1.0, counts))


PEERS = {  # a pair's module and function -> the packages it needs beside PyTorch
    ("vae", "pair"): (),
    ("vae", "keras"): ("keras", "tensorflow"),
    ("gan", "pair"): (),
    ("infogan", "pair"): (),
    ("vaegan", "pair"): (),
    ("cyclegan", "pair"): (),
    ("pix2pix", "pair"): (),
    ("stylegan2", "pair"): (),
    ("r3gan", "pair"): (),
    ("gpt", "small"): ("transformers",),
    ("unet", "training"): ("diffusers",),
}


@pytest.mark.peers
@pytest.mark.parametrize("module, function", PEERS)
def test_networks_of_the_pairs_are_equally_large(module, function):
    for package in ("torch", *PEERS[module, function]):
        pytest.importorskip(package)
    pair = getattr(importlib.import_module(f"peers.{module}"), function)()
    check_parameters(pair)
    assert function == "keras" or pair.ours.parameters == pair.theirs.parameters


def each_side_runs(pair: Pair) -> None:
    check_parameters(pair)
    for side in (pair.ours, pair.theirs):
        side.run(1)


@pytest.mark.peers
def test_the_medium_gpts_run(monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from peers import gpt

    pair = gpt.pair
    monkeypatch.setattr(gpt, "pair", lambda name, *sizes: pair(name, 1, 2, 16, 8, 2, sizes[-1]))
    each_side_runs(gpt.medium())


@pytest.mark.peers
def test_samplers_run(monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from peers import unet

    for name, size in {"SAMPLES": 2, "SIZE": 8, "WIDTHS": (32, 32)}.items():
        monkeypatch.setattr(unet, name, size)
    for sampler, (scheduler, _) in unet.SAMPLERS.items():
        monkeypatch.setitem(unet.SAMPLERS, sampler, (scheduler, 2))
    monkeypatch.setattr(unet, "SPEC", DataSpec({"image": Image(8, 8, 1)}))
    unet.their_model.cache_clear()
    for sampler in (unet.ddim, unet.heun, unet.dpmpp_2m):
        each_side_runs(sampler())
    unet.their_model.cache_clear()


@pytest.mark.peers
def test_a_dalles_pictures_are_drawn(monkeypatch):
    for package in ("torch", "transformers", "diffusers", "vector_quantize_pytorch"):
        pytest.importorskip(package)
    from peers import dalle

    for name, size in {"LAYERS": 1, "HEADS": 2, "WIDTH": 16, "BATCH": 2, "TEXT": 4, "GRID": 4}.items():
        monkeypatch.setattr(dalle, name, size)
    each_side_runs(dalle.pictures())


@pytest.mark.peers
def test_a_stylegan2s_pictures_are_drawn(monkeypatch):
    pytest.importorskip("torch")
    from peers import stylegan2

    for name, size in {"SIZE": 8, "SAMPLES": 4, "WIDTH": 8}.items():
        monkeypatch.setattr(stylegan2, name, size)
    each_side_runs(stylegan2.sampling())


@pytest.mark.peers
def test_readers_run():
    pytest.importorskip("torch")
    each_side_runs(peers.data.folder_pair("data", images=40, stored=96, size=64, batch=8))
