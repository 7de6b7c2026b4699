"""GPT-2's architecture on random tokens, against Hugging Face's GPT-2 with fused attention (SDPA)."""

from peers import sides
from peers.bert import adamw
from peers.pairs import Pair

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import GPT
from genjax.spec import DataSpec, Tokens

VOCABULARY = 128


def small(precision: str = "float32") -> Pair:
    """The size that nanoGPT trains on a CPU."""
    return pair("gpt_small", 4, 4, 128, 64, 12, precision)


def medium(precision: str = "float32") -> Pair:
    return pair("gpt_medium", 4, 4, 256, 256, 8, precision)


def pair(name: str, layers: int, heads: int, width: int, context: int, batch: int, precision: str) -> Pair:
    shapes = f"{layers} layers, {heads} heads, width {width}, context {context}, batch {batch}, {precision}"
    sizes = (layers, heads, width, context, batch, precision)
    return Pair(name, ours(*sizes), theirs(*sizes), batch * context, "tokens", shapes, precision)


def ours(layers: int, heads: int, width: int, context: int, batch: int, precision: str):
    experiment = Experiment(
        model=GPT(layers=layers, heads=heads, width=width),
        data=Data(batch_size=batch),
        optim=Optim(name="adamw", learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0),
        train=Train(precision=precision),
    )
    return sides.training(experiment, DataSpec({"tokens": Tokens((context,), VOCABULARY, shifted=True)}))


def theirs(layers: int, heads: int, width: int, context: int, batch: int, precision: str):
    import torch

    device = sides.torch_device()
    model = gpt2(VOCABULARY, layers, heads, width, context).to(device)
    tokens = torch.randint(VOCABULARY, (batch, context + 1), device=device)

    @torch.compile
    def loss(inputs, targets):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(input_ids=inputs).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    step = adamw_step(model, lambda: loss(tokens[:, :-1], tokens[:, 1:]))
    return sides.torch_training("transformers GPT-2, SDPA, torch.compile", [model], step)


def gpt2(vocabulary: int, layers: int, heads: int, width: int, context: int):
    """transformers' model, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="sdpa",
    )
    return GPT2LMHeadModel(config)


def writer(peer, prompt, new: int):
    """`() -> ids` (B, P + new): the peer's likeliest ids after a prompt (B, P), a static cache under torch.compile."""
    import torch

    peer.forward = torch.compile(peer.forward)
    how = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "cache_implementation": "static"}
    how |= {"use_cache": True, "attention_mask": torch.ones_like(prompt), "pad_token_id": 0}
    return lambda: peer.generate(prompt, **how)


def adamw_step(model, loss):
    """A step on `loss()`: gradients clipped, weights decayed but for biases and norms."""
    import torch

    optimizer = adamw(model, 1e-3, 0.1, fused=True)

    def step():
        optimizer.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step
