"""Writing text: a GPT with its cache beside transformers' `generate` with a static cache under torch.compile.

Greedy on random weights: both sides write as many tokens for each of the rows, whatever they are.
"""

import numpy as np
from peers import sides
from peers.gpt import VOCABULARY, gpt2, writer
from peers.pairs import Pair

from genjax.experiment import Experiment, Train
from genjax.models import GPT
from genjax.models.language.options import GPTOptions
from genjax.spec import DataSpec, Tokens

SIZES = {"layers": 4, "heads": 4, "width": 256}
CONTEXT, PROMPT = 256, 16


def one(precision: str = "float32") -> Pair:
    return pair("generate_one", 1, precision)


def many(precision: str = "float32") -> Pair:
    return pair("generate", 16, precision)


def pair(name: str, rows: int, precision: str) -> Pair:
    import torch

    new = CONTEXT - PROMPT
    spec = DataSpec({"tokens": Tokens((CONTEXT,), VOCABULARY, shifted=True)})
    prompt_NT = np.random.default_rng(0).integers(VOCABULARY, size=(rows, PROMPT), dtype=np.int32)
    conditions = {"index": np.arange(rows, dtype=np.int32), "prompt": prompt_NT}
    conditions["prompt_length"] = np.full(rows, PROMPT, np.int32)
    experiment = Experiment(model=GPT(**SIZES), train=Train(precision=precision))
    ours = sides.sampling(experiment, spec, conditions, GPTOptions(temperature=0.0, max_new_tokens=new))

    device = sides.torch_device()
    peer = gpt2(VOCABULARY, **SIZES, context=CONTEXT).to(device, getattr(torch, precision)).eval()
    write = writer(peer, torch.tensor(prompt_NT, device=device).long(), new)
    theirs = sides.torch_training("transformers, static cache, torch.compile", [peer], write)
    sizes = f"4 layers, 4 heads, width 256, {rows} rows, a prompt of {PROMPT}, {new} new tokens, {precision}"
    return Pair(name, ours, theirs, rows * new, "tokens", sizes, precision)
