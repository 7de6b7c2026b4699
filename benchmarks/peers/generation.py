"""Writing text: a GPT with its cache beside transformers' `generate` with a static cache under torch.compile.

Greedy on random weights: both sides write as many tokens for each of the rows, whatever they are.
"""

import dataclasses

import jax
import numpy as np
from peers import sides
from peers.gpt import VOCABULARY, gpt2
from peers.pairs import Pair, Side

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
    model = dataclasses.replace(GPT(**SIZES).resolve(spec).on(jax.default_backend()), dtype=precision)
    params, _ = model.init(jax.random.key(0), spec)
    prompt_NT = np.random.default_rng(0).integers(VOCABULARY, size=(rows, PROMPT), dtype=np.int32)
    conditions = {"index": np.arange(rows, dtype=np.int32), "prompt": prompt_NT}
    conditions["prompt_length"] = np.full(rows, PROMPT, np.int32)
    options = GPTOptions(temperature=0.0, max_new_tokens=new)
    write = jax.jit(lambda params: model.sample(params, {}, jax.random.key(0), conditions, options))

    def ours(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(write(params))

    device = sides.torch_device()
    peer = gpt2(VOCABULARY, **SIZES, context=CONTEXT).to(device, getattr(torch, precision)).eval()
    peer.forward = torch.compile(peer.forward)
    given = torch.tensor(prompt_NT, device=device).long()
    how = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "cache_implementation": "static"}
    how |= {"use_cache": True, "attention_mask": torch.ones_like(given), "pad_token_id": 0}

    def theirs(count: int) -> None:
        for _ in range(count):
            peer.generate(given, **how)

    sizes = f"4 layers, 4 heads, width 256, {rows} rows, a prompt of {PROMPT}, {new} new tokens, {precision}"
    counts = sum(x.size for x in jax.tree.leaves(params)), sum(p.numel() for p in peer.parameters())
    ours, theirs = Side("genjax", ours, counts[0]), Side("transformers, static cache, torch.compile", theirs, counts[1])
    return Pair(name, ours, theirs, rows * new, "tokens", sizes, precision)
