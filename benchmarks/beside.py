"""Trains a recipe and its PyTorch peer on the same images for the same steps, and compares what they have learned.

    python benchmarks/beside.py infogan fashion_mnist.npz --seeds 0 1 2
    python benchmarks/beside.py vaegan fashion_mnist.npz --seeds 0 1 2
    python benchmarks/beside.py cyclegan emoji64.npz --seeds 0 1 2 --steps 500

The networks, the optimizers, the batch size and the number of images seen are the same; the weights and the noise are
drawn by each side's own generator, and weights are not averaged. Both are measured by the same code: `kid` and
`diversity` over random features of 1,024 samples and of the first 1,024 test images, and of InfoGAN the accuracy of its
clusters on these; of CycleGAN `kid` and the error against the true partners, of both domains' held-out pictures. One
line a seed and side, then the difference (ours - theirs) with its 95% interval (Student's t over seeds).
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
from genjax.metrics import METRICS
from genjax.metrics.features import load_extractor
from genjax.models import DCGAN, ConvAutoencoder
from genjax.spec import Image

SET = 1024
RECIPES = {"infogan": "infogan_fashion", "vaegan": "vaegan_fashion", "cyclegan": "cyclegan_emoji"}
MEASURED = ("kid", "diversity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=16)
    args = parser.parse_args()
    rows = {"genjax": [], "PyTorch": []}
    for seed in args.seeds:
        for side, train in zip(rows, (ours_unpaired, theirs_unpaired) if args.name == "cyclegan" else (ours, theirs)):
            begin = time.perf_counter()
            values = train(args.name, args.file, seed, args.steps, args.width)
            rows[side].append(values)
            seconds = round(time.perf_counter() - begin)
            print(json.dumps({"side": side, "seed": seed, "seconds": seconds} | values), flush=True)
    for name in rows["genjax"][0]:
        apart = np.array([a[name] - b[name] for a, b in zip(rows["genjax"], rows["PyTorch"])])
        means = " ".join(f"{side} {np.mean([row[name] for row in values]):.4g}" for side, values in rows.items())
        half = stats.t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / len(apart) ** 0.5 if len(apart) > 1 else np.nan
        print(f"{name}: {means}, difference {apart.mean():.4g} +- {half:.4g} (95%, {len(apart)} seeds)", flush=True)


def ours(name: str, file: str, seed: int, steps: int, width: int) -> dict[str, float]:
    experiment = genjax.load_experiment(RECIPES[name])
    latent = importlib.import_module(f"peers.{name}").LATENT
    model = dataclasses.replace(experiment.model, network=DCGAN(width, width), latent=latent)
    if name == "vaegan":
        model = dataclasses.replace(model, encoder=ConvAutoencoder(widths=(width, 2 * width)))
    never = {f"{event}_every": 0 for event in ("eval", "sample", "checkpoint")}
    experiment = dataclasses.replace(
        experiment,
        model=model,
        data=dataclasses.replace(experiment.data, path=file),
        train=dataclasses.replace(experiment.train, steps=steps, seed=seed, ema_decay=0.0, ema_entries=(), **never),
        eval=dataclasses.replace(experiment.eval, examples=SET, set_size=SET, metrics=MEASURED, features="random"),
    )
    with tempfile.TemporaryDirectory() as out:
        found = genjax.train(experiment, out)
    return picked(found)


def theirs(name: str, file: str, seed: int, steps: int, width: int) -> dict[str, float]:
    import torch
    from peers import adversarial, sides

    peers = importlib.import_module(f"peers.{name}")
    order = adversarial.seeded(seed)
    (image, _), (test, label) = adversarial.images(file, "train"), adversarial.images(file, "test")
    peer, image, rows = peers.Peer(width), torch.from_numpy(image), torch.tensor([], dtype=torch.long)
    for _ in range(steps):
        if len(rows) < peers.BATCH:
            rows = torch.randperm(len(image), generator=order)
        peer.step(sides.placed(image[rows[: peers.BATCH]]))
        rows = rows[peers.BATCH :]
    made = np.concatenate([peer.sample(128).cpu().numpy() for _ in range(SET // 128)])
    found = measured(test[:SET].transpose(0, 2, 3, 1), made.transpose(0, 2, 3, 1))
    if hasattr(peer, "clusters"):
        clusters = peer.clusters(sides.placed(torch.from_numpy(test[:SET]))).cpu().numpy()
        table = np.histogram2d(clusters, label[:SET], bins=(range(11), range(11)))[0] / SET
        found["cluster_accuracy"] = accuracy(table)
    return found


def ours_unpaired(name: str, file: str, seed: int, steps: int, width: int) -> dict[str, float]:
    """The recipe, whose widths are those of the peer."""
    experiment = genjax.load_experiment(RECIPES[name])
    never = {f"{event}_every": 0 for event in ("eval", "sample", "checkpoint")}
    experiment = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, path=file),
        train=dataclasses.replace(experiment.train, steps=steps, seed=seed, **never),
    )
    with tempfile.TemporaryDirectory() as out:
        genjax.train(experiment, out)
        run = genjax.restore(out).run
    true, made = held_out(load(experiment.data)), {}
    for x, y in ("ab", "ba"):
        given = {"index": np.arange(len(true[x]), dtype=np.int32), f"image_{x}": true[x]}
        options = run.engine.model.Options(direction=f"{x.upper()}to{y.upper()}")
        made[y] = draw(run.engine, run.state, given, seed=seed, options=options)[f"image_{y}"]
    return both_ways(true, made)


def theirs_unpaired(name: str, file: str, seed: int, steps: int, width: int) -> dict[str, float]:
    from peers import cyclegan

    data = load(dataclasses.replace(genjax.load_experiment(RECIPES[name]).data, path=file))
    train = data.train.gather(np.arange(len(data.train)))
    true = held_out(data)
    return both_ways(true, cyclegan.trained([train[f"image_{x}"] for x in "ab"], steps, seed)(true))


def held_out(data: Dataset) -> dict[str, np.ndarray]:
    """(N, H, W, C) of both domains, "a" and "b", in one order."""
    batch = data.validation.gather(np.arange(len(data.validation)))
    return {x: batch[f"image_{x}"] for x in "ab"}


def both_ways(true: dict[str, np.ndarray], made: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        f"{name}_{x}": value
        for x in "ab"
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
