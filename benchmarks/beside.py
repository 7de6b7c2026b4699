"""Trains a recipe and its PyTorch peer on the same images for the same steps, and compares what they have learned.

    python benchmarks/beside.py infogan fashion_mnist.npz --seeds 0 1 2
    python benchmarks/beside.py vaegan fashion_mnist.npz --seeds 0 1 2

The networks, the optimizers, the batch size and the number of images seen are the same; the weights and the noise are
drawn by each side's own generator, and weights are not averaged. Both are measured by the same code: `kid` and
`diversity` over random features of 1,024 samples and of the first 1,024 test images, and of InfoGAN the accuracy of its
clusters on these. One line a seed and side, then the difference (ours - theirs) with its 95% interval (Student's t over
seeds).
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
from genjax.evaluation.comparison import Comparison
from genjax.metrics import METRICS
from genjax.metrics.features import load_extractor
from genjax.models import DCGAN, ConvAutoencoder
from genjax.spec import Image

SET = 1024
RECIPES = {"infogan": "infogan_fashion", "vaegan": "vaegan_fashion"}
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
        for side, train in (("genjax", ours), ("PyTorch", theirs)):
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


def accuracy(table_KC: np.ndarray) -> float:
    """Of shares of clusters and classes together: that of the best assignment."""
    from scipy.optimize import linear_sum_assignment

    return float(table_KC[linear_sum_assignment(-table_KC)].sum())


def measured(real_NHWC: np.ndarray, made_NHWC: np.ndarray) -> dict[str, float]:
    kind = Image(*real_NHWC.shape[1:])
    metrics = [METRICS[name]("image", kind, None, "random") for name in MEASURED]
    comparison = Comparison(metrics, load_extractor("random", kind))
    comparison.observe(lambda: iter([{"image": real_NHWC}]))
    for part in np.split(made_NHWC, SET // 128):
        comparison.update({"image": part})
    return picked({name: value for metric in metrics for name, value in metric.result().items()})


def picked(values: dict[str, float]) -> dict[str, float]:
    names = {f"{name}{SET}_random": name for name in MEASURED} | {"cluster_accuracy": "cluster_accuracy"}
    return {short: round(values[name], 5) for name, short in names.items() if name in values}


if __name__ == "__main__":
    main()
