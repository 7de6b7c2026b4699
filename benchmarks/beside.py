"""Trains a system and its PyTorch peer on the same images for the same steps, and compares what they have learned.

    python benchmarks/beside.py infogan fashion_mnist.npz --seeds 0 1 2
    python benchmarks/beside.py stylegan2 fashion_mnist.npz --seeds 0 1 2 --steps 400
    python benchmarks/beside.py cyclegan emoji64.npz --seeds 0 1 2 --steps 500
    python benchmarks/beside.py mopoe --seeds 0 1 2 --steps 2000

The networks, the optimizers, the batch size and the number of images seen are the same; the weights and the noise are
drawn by each side's own generator, and weights are not averaged. Both are measured by the same code: `kid` and
`diversity` over random features of 1,024 samples and of the first 1,024 test images, and of InfoGAN the accuracy of its
clusters on these; of what turns one picture into another, `kid` and the error against the true partners of the held-out
pictures; of VAEs of several views (mvae, mmvae and mopoe, beside the package multivae, on embedded digits) how often
the views show one digit. One line a seed and side, then the difference (ours - theirs) with its 95% interval
(Student's t over seeds).
"""

import argparse
import dataclasses
import importlib
import json
import tempfile
import time

import numpy as np
from scipy import stats

import genjax
from genjax.data import Dataset, load
from genjax.evaluation.comparison import Comparison
from genjax.evaluation.sampling import draw
from genjax.experiment import Data, Eval, Experiment
from genjax.metrics import METRICS
from genjax.metrics.features import load_extractor
from genjax.orders import Unpaired
from genjax.spec import Image

SET = 1024
SMALL = {"infogan": (16,), "vaegan": (16,), "r3gan": (16,), "stylegan2": (16,)}  # the width, or the side of pictures
TURNED = {"cyclegan": "ab", "pix2pix": "b"}  # the domains that are made
ICONS = Data(fields=("image_a=google", "image_b=twitter"))
DATA = {
    "infogan": Data(),
    "vaegan": Data(),
    "r3gan": Data(image_size=16, channels=3),
    "stylegan2": Data(image_size=16, channels=3),
    "cyclegan": dataclasses.replace(ICONS, image_size=32, order=Unpaired()),
    "pix2pix": ICONS,
}
VIEWED = {"mvae": "poe", "mmvae": "moe", "mopoe": "mopoe"}  # --model.posterior
MEASURED = ("kid", "diversity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*DATA, *VIEWED])
    parser.add_argument("file", nargs="?", help="of pictures, where they are not embedded")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    if (args.file is None) != (args.name in VIEWED):
        parser.error(f"{args.name} {'needs a file' if args.file is None else 'takes no file'}")
    if args.name in VIEWED:
        sides = {"genjax": ours_viewed, "multivae": theirs_viewed}
    else:
        turned = args.name in TURNED
        sides = {"genjax": ours_turned if turned else ours, "PyTorch": theirs_turned if turned else theirs}
    rows = {side: [] for side in sides}
    for seed in args.seeds:
        for side, trained in sides.items():
            begin = time.perf_counter()
            values = trained(args.name, args.file, seed, args.steps)
            rows[side].append(values)
            seconds = round(time.perf_counter() - begin)
            print(json.dumps({"side": side, "seed": seed, "seconds": seconds} | values), flush=True)
    for name in rows["genjax"][0]:
        apart = np.array([a[name] - b[name] for a, b in zip(*rows.values())])
        means = " ".join(f"{side} {np.mean([row[name] for row in values]):.4g}" for side, values in rows.items())
        half = stats.t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / len(apart) ** 0.5 if len(apart) > 1 else np.nan
        print(f"{name}: {means}, difference {apart.mean():.4g} +- {half:.4g} (95%, {len(apart)} seeds)", flush=True)


def prepared(name: str, file: str, seed: int, steps: int) -> Experiment:
    """Our side: the peer's networks and optimizers, and nothing that interrupts the training."""
    experiment = importlib.import_module(f"peers.{name}").experiment(*SMALL.get(name, ()))
    never = {f"{event}_every": 0 for event in ("eval", "sample", "checkpoint")}
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(DATA[name], path=file, batch_size=experiment.data.batch_size),
        train=dataclasses.replace(experiment.train, steps=steps, seed=seed, **never),
    )


def ours(name: str, file: str, seed: int, steps: int) -> dict[str, float]:
    measures = Eval(examples=SET, set_size=SET, metrics=MEASURED, features="random")
    with tempfile.TemporaryDirectory() as out:
        return picked(genjax.train(dataclasses.replace(prepared(name, file, seed, steps), eval=measures), out))


def theirs(name: str, file: str, seed: int, steps: int) -> dict[str, float]:
    import torch
    from peers import adversarial, sides

    peers, order = importlib.import_module(f"peers.{name}"), adversarial.seeded(seed)
    data = load(prepared(name, file, seed, steps).data)
    image = torch.from_numpy(data.train.gather(np.arange(len(data.train)))["image"]).permute(0, 3, 1, 2)
    test = data.validation.gather(np.arange(SET))
    peer, rows = peers.Peer(*SMALL[name]), torch.tensor([], dtype=torch.long)
    for _ in range(steps):
        if len(rows) < peers.BATCH:
            rows = torch.randperm(len(image), generator=order)
        peer.step(sides.placed(image[rows[: peers.BATCH]].contiguous()))
        rows = rows[peers.BATCH :]
    made = torch.cat([peer.sample(128).cpu() for _ in range(SET // 128)])
    found = measured(test["image"], made.permute(0, 2, 3, 1).numpy())
    if hasattr(peer, "clusters"):
        clusters = peer.clusters(sides.placed(torch.from_numpy(test["image"]).permute(0, 3, 1, 2))).cpu().numpy()
        table = np.histogram2d(clusters, test["label"], bins=(range(11), range(11)))[0] / SET
        found["cluster_accuracy"] = accuracy(table)
    return found


def ours_turned(name: str, file: str, seed: int, steps: int) -> dict[str, float]:
    experiment = prepared(name, file, seed, steps)
    with tempfile.TemporaryDirectory() as out:
        genjax.train(experiment, out)
        run = genjax.restore(out).run
    true, made = held_out(load(experiment.data)), {}
    for y in TURNED[name]:
        x = "ab".replace(y, "")
        given = {"index": np.arange(len(true[x]), dtype=np.int32), f"image_{x}": true[x]}
        options = run.engine.model.Options(**{"direction": f"{x.upper()}to{y.upper()}"} if name == "cyclegan" else {})
        made[y] = draw(run.engine, run.state, given, seed=seed, options=options)[f"image_{y}"]
    return against_partners(true, made)


def theirs_turned(name: str, file: str, seed: int, steps: int) -> dict[str, float]:
    data = load(prepared(name, file, seed, steps).data)
    train, true = data.train.gather(np.arange(len(data.train))), held_out(data)
    turned = importlib.import_module(f"peers.{name}").trained([train[f"image_{x}"] for x in "ab"], steps, seed)
    return against_partners(true, turned(true))


def ours_viewed(name: str, file: None, seed: int, steps: int) -> dict[str, float]:
    return importlib.import_module("peers.multiview").ours(VIEWED[name], seed, steps)


def theirs_viewed(name: str, file: None, seed: int, steps: int) -> dict[str, float]:
    return importlib.import_module("peers.multiview").theirs(VIEWED[name], seed, steps)


def held_out(data: Dataset) -> dict[str, np.ndarray]:
    """(N, H, W, C) of both domains, "a" and "b", in one order."""
    batch = data.validation.gather(np.arange(len(data.validation)))
    return {x: batch[f"image_{x}"] for x in "ab"}


def against_partners(true: dict[str, np.ndarray], made: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        f"{name}_{x}": value
        for x in made
        for name, value in measured(true[x], np.clip(made[x], -1, 1), ("kid", "pixels")).items()
    }


def accuracy(table_KC: np.ndarray) -> float:
    """Of shares of clusters and classes together: that of the best assignment."""
    from scipy.optimize import linear_sum_assignment

    return float(table_KC[linear_sum_assignment(-table_KC)].sum())


def measured(real_NHWC: np.ndarray, made_NHWC: np.ndarray, names: tuple[str, ...] = MEASURED) -> dict[str, float]:
    kind = Image(*real_NHWC.shape[1:])
    metrics = [METRICS[name]("image", kind, None, "random") for name in names]
    comparison = Comparison(metrics, load_extractor("random", kind))
    comparison.observe(lambda: iter([{"image": real_NHWC}]))
    for start in range(0, len(made_NHWC), 128):
        comparison.update({"image": made_NHWC[start : start + 128]})
    return picked({name: value for metric in metrics for name, value in metric.result().items()}, len(real_NHWC))


def picked(values: dict[str, float], count: int = SET) -> dict[str, float]:
    """Some of the values, without the number of pictures and the extractor in their names."""
    names = {f"{name}{count}_random": name for name in MEASURED}
    names |= {name: name for name in ("cluster_accuracy", "pixel_l1", "psnr")}
    return {short: round(values[name], 5) for name, short in names.items() if name in values}


if __name__ == "__main__":
    main()
