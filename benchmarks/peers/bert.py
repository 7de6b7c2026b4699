"""BERT by transformers' BertForMaskedLM: the train step, and, as a program, its loss beside that of a genjax run.

The program reads the recipe, the tokenizer and the data of a run, trains the peer on the very batches that the run has
had, with as many words hidden, by the same optimizer, and measures it on the same hidden words of the validation split:

    genjax train bert_pydoc --model.order post --model.positions learned --out runs/bert
    python benchmarks/peers/bert.py runs/bert
"""

import numpy as np

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import BERT
from genjax.spec import DataSpec, Tokens


def pair(precision: str = "float32"):
    """A `Pair`. What is imported here is not there for the program."""
    import torch
    from peers import sides
    from peers.pairs import Pair

    vocabulary, context, batch = 1021, 62, 16
    sizes = {"layers": 4, "heads": 4, "width": 128}
    experiment = Experiment(
        model=BERT(**sizes),
        data=Data(batch_size=batch),
        optim=Optim(name="adamw", learning_rate=1e-3, weight_decay=0.01, clip_norm=1.0),
        train=Train(precision=precision),
    )
    ours = sides.training(experiment, DataSpec({"tokens": Tokens((context,), vocabulary, shifted=True)}))
    device = sides.torch_device()
    model = peer(vocabulary + 3, context + 2, 0.0, **sizes).to(device)
    optimizer = adamw(model, 1e-3, 0.01)
    ids = torch.randint(vocabulary, (batch, context + 2), device=device)
    labels = torch.where(torch.rand(ids.shape, device=device) < 0.15, ids, -100)

    @torch.compile
    def loss(ids, labels):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(input_ids=ids).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())

    def step():
        optimizer.zero_grad()
        loss(ids, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    shapes = (
        f"4 layers, 4 heads, width 128, {context + 2} tokens, batch {batch}, vocabulary {vocabulary + 3}, {precision}"
    )
    theirs = sides.torch_training("transformers BERT, SDPA, torch.compile", [model], step)
    return Pair("bert", ours, theirs, batch * (context + 2), "tokens", shapes, precision)


def peer(vocabulary: int, context: int, dropout: float, *, layers: int, heads: int, width: int):
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=context,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )
    return BertForMaskedLM(config)


def adamw(model, rate: float, weight_decay: float, **options):
    """Decay of matrices alone, as genjax has it."""
    import torch

    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, **options)


def main() -> None:
    import jax
    import of_run
    import torch

    from genjax.data import split_batches
    from genjax.engine.step import EVAL, run_key

    of = of_run.asked(__doc__)
    c, optim, batch_size = of.experiment.model, of.experiment.optim, of.experiment.data.batch_size
    model = peer(c.vocabulary, c.context, c.dropout, layers=c.layers, heads=c.heads, width=c.width)

    @jax.jit
    def hidden(batch, key):
        """What the encoder reads, and the words at its gaps; -100 elsewhere."""
        whole = c.read(batch, key)
        shown, chosen_BT = c.hide(whole, batch["index"], jax.random.fold_in(key, 2))
        return shown.ids_BT, jax.numpy.where(chosen_BT, whole.ids_BT, -100)

    def nats(batch, key, reduction="mean"):
        arrays = {"tokens": batch["tokens"], "index": batch["index"]}
        ids, labels = (torch.tensor(np.asarray(x)).long() for x in hidden(arrays, key))
        logits = model(input_ids=ids).logits
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction=reduction), labels != -100

    key = jax.random.key(of.arguments.seed)
    optimizer = adamw(model, 1.0, optim.weight_decay, betas=(optim.b1, optim.b2), eps=optim.eps)
    of_run.train(of, optimizer, lambda step, batch: nats(batch, jax.random.fold_in(key, step))[0])
    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for number, batch in enumerate(split_batches(of.dataset, "validation", batch_size)):
            key = jax.random.fold_in(run_key(of.experiment.train.seed, EVAL), number * batch_size)
            value, gaps = nats(batch, key, "none")
            valid = torch.tensor(batch["valid"])[:, None]
            total, count = total + float((value * valid).sum()), count + float((gaps & valid).sum())
    print(f"validation {total / count:.4f} nats a hidden word ({count:.0f} of them)")


if __name__ == "__main__":
    main()
