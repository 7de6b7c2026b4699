"""Translation by PyTorch's nn.Transformer: the train step, and, as a program, its BLEU beside that of a genjax run.

The program reads the recipe, the tokenizer and the data of a run, trains the peer on the very batches that the run has
had, takes the mean of its last five snapshots, translates the validation split greedily, and scores it by sacreBLEU:

    python benchmarks/peers/translation.py runs/translate_en_de
    genjax eval runs/translate_en_de --metrics bleu --beams 1 --average 5
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

THREADS, SNAPSHOTS, ROWS = 2, 5, 128


class Peer(nn.Module):
    """nn.Transformer with norms before its parts, sines as positions, one embedding for both texts and the head."""

    def __init__(self, vocabulary: int, layers: int, heads: int, width: int, hidden: int, dropout: float, longest: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.transformer = nn.Transformer(
            width, heads, layers, layers, hidden, dropout, batch_first=True, norm_first=True, activation="relu"
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.dropout = nn.Dropout(dropout)
        angle = torch.arange(longest)[:, None] * 10000 ** (-torch.arange(0, width, 2) / width)
        self.register_buffer("positions", torch.cat([angle.sin(), angle.cos()], dim=-1))

    def embed(self, ids):
        scale = self.embedding.embedding_dim**0.5
        return self.dropout(scale * self.embedding(ids) + self.positions[: ids.shape[1]])

    def encode(self, source, padding):
        return self.transformer.encoder(self.embed(source), src_key_padding_mask=padding)

    def decode(self, before, memory, padding):
        seen = nn.Transformer.generate_square_subsequent_mask(before.shape[1], dtype=torch.bool)
        options = {"tgt_mask": seen, "tgt_is_causal": True, "memory_key_padding_mask": padding}
        return self.transformer.decoder(self.embed(before), memory, **options) @ self.embedding.weight.T

    def forward(self, source, padding, before):
        return self.decode(before, self.encode(source, padding), padding)


def loss(model: nn.Module, batch: dict[str, torch.Tensor], end: int, smoothing: float):
    """The mean over the target tokens of the smoothed cross-entropy."""
    before = F.pad(batch["target"][:, :-1], (1, 0), value=end)
    logits = model(batch["source"], beyond(batch, "source"), before)
    targets = batch["target"].masked_fill(beyond(batch, "target"), -100)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing)


def beyond(batch: dict[str, torch.Tensor], name: str):
    """(B, T) True where a row is padding."""
    return torch.arange(batch[name].shape[1]) >= batch[f"{name}_length"][:, None]


def tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array).long() for name, array in batch.items()}


@torch.no_grad()
def translated(model: Peer, batch: dict[str, torch.Tensor], end: int, longest: int) -> list[list[int]]:
    """The likeliest token at each place, until the end."""
    padding = beyond(batch, "source")
    memory = model.encode(batch["source"], padding)
    ids = torch.full((len(memory), 1), end)
    open_rows = torch.ones(len(memory), dtype=torch.bool)
    while open_rows.any() and ids.shape[1] < longest:
        token = model.decode(ids, memory, padding)[:, -1].argmax(-1)
        open_rows &= token != end
        ids = torch.cat([ids, token[:, None]], dim=1)
    rows = (row.tolist() for row in ids[:, 1:])
    return [row[: row.index(end)] if end in row else row for row in rows]


def train(model: Peer, batches, steps: int, rate, options: dict, end: int, smoothing: float) -> dict:
    """The mean of the parameters after the last steps, SNAPSHOTS of them a twelfth of the run apart."""
    optimizer = torch.optim.Adam(model.parameters(), **options)
    every, kept, start = max(1, steps // 12), [], time.time()
    for step, batch in zip(range(steps), batches):
        optimizer.param_groups[0]["lr"] = float(rate(step))
        optimizer.zero_grad()
        value = loss(model, tensors(batch), end, smoothing)
        value.backward()
        optimizer.step()
        if (step + 1) % every == 0:
            kept = [*kept, copy.deepcopy(model.state_dict())][-SNAPSHOTS:]
            print(f"step {step + 1}/{steps}  loss {value.item():.4f}  {time.time() - start:.0f} s", flush=True)
    return {name: sum(state[name] for state in kept) / len(kept) for name in kept[0]}


def main() -> None:
    import sacrebleu

    from genjax.data import load as load_data
    from genjax.data import load_tokenizer, split_batches, train_batches
    from genjax.engine.optimizers import schedule
    from genjax.runs.directory import load

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of a Translation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="default: those of the run")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(THREADS)
    experiment = load(args.run)[0]
    c, optim, steps = experiment.model, experiment.optim, args.steps or experiment.train.steps
    dataset = load_data(experiment.data, tokenizer=load_tokenizer(args.run))
    model = Peer(c.vocabulary, c.layers, c.heads, c.width, c.hidden, c.dropout, c.context)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    options = {"betas": (optim.b1, optim.b2), "eps": optim.eps}
    batches = train_batches(dataset, experiment.data.batch_size, args.seed)
    model.load_state_dict(train(model, batches, steps, schedule(optim, steps), options, c.end, c.label_smoothing))
    model.eval()
    made, rest = [], len(dataset.validation)
    for batch in split_batches(dataset, "validation", ROWS):
        made += [dataset.tokenizer.decode(ids) for ids in translated(model, tensors(batch), c.end, c.context)]
    for scorer in (sacrebleu.BLEU(), sacrebleu.CHRF()):
        score = scorer.corpus_score(made[:rest], [dataset.texts["validation"]["target"].tolist()], n_bootstrap=1000)
        print(score, scorer.get_signature())


if __name__ == "__main__":
    main()
