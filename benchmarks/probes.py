"""One point of scaling.py: what a single thing costs at one size, measured in a process of its own.

    python benchmarks/probes.py gpt width 256

prints {"seconds": CPU seconds of all threads, "mib": MiB}. Of a train step, memory is what XLA allots to it; of all
else, how far the process' resident memory has grown meanwhile, at most.
"""

import dataclasses
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from genjax.runtime.host_memory import keep_freed_memory, use_huge_pages

STEPS = 8
LINKS = 50_000  # names of one file; file systems allow some 65,000


def experiment_of(group: str, name: str, size: int):
    """(experiment, spec) of a group's small model, one of its sizes as given."""
    from genjax.diffusion import DDPM
    from genjax.experiment import Data, Experiment
    from genjax.models import GPT, HMM, CategoricalEmission, Diffusion, DiTConfig, UNetConfig
    from genjax.spec import DataSpec, Image, Tokens

    def sized(what: str, default: int) -> int:
        return size if name == what else default

    data = Data(batch_size=sized("batch", 8))
    if group == "gpt":
        model = GPT(layers=sized("layers", 2), heads=4, width=sized("width", 64), unroll=1)
        return Experiment(model, data), DataSpec({"tokens": Tokens((sized("context", 64),), 256, shifted=True)})
    if group == "hmm":
        model = HMM(states=sized("states", 4), emission=CategoricalEmission())
        return Experiment(model, data), DataSpec({"tokens": Tokens((sized("length", 64),), 32)})
    if group == "unet":
        network = UNetConfig(channels=sized("channels", 16), multipliers=(1, 2), blocks=1, attention=())
    else:
        network = DiTConfig(layers=sized("layers", 2), heads=4, width=64, unroll=1)
    side = sized("side", 16)
    return Experiment(Diffusion(process=DDPM(), network=network), data), DataSpec({"image": Image(side, side, 3)})


def step(group: str, name: str, size: int) -> tuple[float, float]:
    import jax
    from peers import sides

    from genjax.bench.plan import compile_step, memory_bytes
    from genjax.engine.engine import Engine
    from genjax.runs.check import resolve

    keep_freed_memory()
    experiment, spec = experiment_of(group, name, size)
    experiment = resolve(experiment, spec)
    memory = memory_bytes(compile_step(Engine(experiment, spec, jax.devices()[:1]))[0])["total"] / 2**20
    side = sides.training(experiment, spec)
    side.run(3)
    start = time.process_time()
    side.run(STEPS)
    return (time.process_time() - start) / STEPS, memory


def grown(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of some work, and MiB of its resident memory at most, beyond what was resident before."""
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from what is resident now
    before, start = peak(), time.process_time()
    work()
    seconds = time.process_time() - start
    return seconds, (peak() - before) / 1024


def peak() -> int:
    """KiB."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def small_run(folder: Path) -> Path:
    """A VAE of the digits after a few steps."""
    import genjax

    experiment = genjax.load_experiment("vae_digits")
    train = dataclasses.replace(experiment.train, steps=20, eval_every=0, sample_every=0, checkpoint_every=20)
    genjax.train(dataclasses.replace(experiment, train=train), folder / "run")
    return folder / "run"


def samples(folder: Path, size: int) -> tuple[float, float]:
    """An evaluation by Fréchet distance and precision and recall."""
    from genjax.cli import run

    place = small_run(folder)

    def measure(count: int) -> None:
        run(["eval", str(place), "--metrics", "fd", "pr", "--samples", str(count), "--floor", "false"])

    measure(256)  # compiles, and reads what is imported late
    return grown(lambda: measure(size))


def first_batch(path: Path, **fields) -> tuple[float, float]:
    from genjax.data import load, train_batches
    from genjax.experiment import Data

    return grown(lambda: next(train_batches(load(Data(path=str(path), **fields)), 64, 0)))


def pictures(folder: Path, count: int) -> Path:
    """A folder of ten classes with so many names of a few small pictures."""
    from PIL import Image

    folder.mkdir()
    for index in range(count):
        source = folder / f"class{index // LINKS % 10}" / f"{index // LINKS}.png"
        if index % LINKS == 0:
            source.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (index // LINKS, 0, 0)).save(source)
        place = folder / f"class{index % 10}" / f"link{index}.png"
        place.parent.mkdir(exist_ok=True)
        os.link(source, place)
    return folder


def files(folder: Path, size: int) -> tuple[float, float]:
    """From a folder of so many pictures to the first batch."""
    first_batch(pictures(folder / "few", 640), image_size=8, channels=3)  # what is imported late
    return first_batch(pictures(folder / "many", size), image_size=8, channels=3)


def tokens(folder: Path, size: int) -> tuple[float, float]:
    """From a corpus of so many tokens, whose file is sparse, to the first batch."""
    from genjax.data.corpus import DESCRIPTION, build_corpus

    (folder / "text.txt").write_text("to be, or not to be\n" * 5_000)
    corpus = folder / "corpus"
    build_corpus([folder / "text.txt"], corpus)
    first_batch(corpus, context=64)
    description = json.loads((corpus / DESCRIPTION).read_text())
    os.truncate(corpus / "train.bin", size * int(description["dtype"][-1]))
    (corpus / DESCRIPTION).write_text(json.dumps(description | {"train": size}))
    return first_batch(corpus, context=64)


def checkpoints(folder: Path, size: int) -> tuple[float, float]:
    """Restoring a run that has so many checkpoints."""
    import genjax

    place = small_run(folder)
    genjax.restore(place)
    for number in range(1, size):
        shutil.copytree(place / "checkpoints" / "20", place / "checkpoints" / str(20 + number))
    return grown(lambda: genjax.restore(place))


PROBES = {"samples": samples, "files": files, "tokens": tokens, "checkpoints": checkpoints}


def main() -> None:
    group, name, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name in PROBES:
        with tempfile.TemporaryDirectory() as folder:
            seconds, mib = PROBES[name](Path(folder), size)
    else:
        seconds, mib = step(group, name, size)
    print(json.dumps({"seconds": seconds, "mib": mib}))


if __name__ == "__main__":
    use_huge_pages()
    main()
