"""A PyTorch peer on the batches of a genjax run: what the programs that train one beside it share."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from genjax.data import Dataset, load_tokenizer, train_batches
from genjax.data import load as load_data
from genjax.engine.optimizers import schedule
from genjax.experiment import Experiment
from genjax.runs.directory import load

THREADS, SHOWN = 2, 10  # threads of PyTorch, and lines that are printed while it trains


class OfRun(NamedTuple):
    """What the command line names: a run, of which come the recipe, the tokenizer and the data."""

    arguments: argparse.Namespace
    experiment: Experiment
    tokenizer: Any
    dataset: Dataset


def asked(doc: str, **more: str) -> OfRun:
    """Reads the command line, with `more` paths by name and their help, and seeds PyTorch."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder")
    for name, text in more.items():
        parser.add_argument(name, type=Path, help=text)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(THREADS)
    experiment, tokenizer = load(arguments.run)[0], load_tokenizer(arguments.run)
    return OfRun(arguments, experiment, tokenizer, load_data(experiment.data, tokenizer=tokenizer))


def train(
    of: OfRun,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[int, dict[str, np.ndarray]], torch.Tensor],
    after: Callable[[int], None] = lambda step: None,
) -> None:
    """The run's steps: its batches, learning rates and clipping, by PyTorch's optimizer. `after` counts from 1."""
    experiment, seed = of.experiment, of.arguments.seed
    optim, steps, start = experiment.optim, experiment.train.steps, time.process_time()
    rate, learned = schedule(optim, steps), [p for group in optimizer.param_groups for p in group["params"]]
    for step, batch in zip(range(steps), train_batches(of.dataset, experiment.data.batch_size, seed)):
        for group in optimizer.param_groups:
            group["lr"] = float(rate(np.int32(step)))
        optimizer.zero_grad()
        value = loss(step, batch)
        value.backward()
        if optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(learned, optim.clip_norm)
        optimizer.step()
        after(step + 1)
        if (step + 1) % max(1, steps // SHOWN) == 0:
            spent = time.process_time() - start
            print(f"step {step + 1}/{steps}  loss {value.item():.4f}  {spent:.0f} s of CPU time", flush=True)
    print(f"{sum(p.numel() for p in learned):,} parameters learned", flush=True)
