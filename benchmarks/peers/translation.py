"""Translation: the train step beside PyTorch's nn.Transformer, beam search beside transformers' Marian.

As a program: the BLEU of nn.Transformer beside that of a genjax run.

The program reads the recipe, the tokenizer and the data of a run, trains the peer on the very batches that the run has
had, takes the mean of its last five snapshots, made at the steps of the run's checkpoints, says its nats a token on the
validation split, translates that greedily, and scores it by sacreBLEU:

    python benchmarks/peers/translation.py runs/translate_en_de
    genjax eval runs/translate_en_de --metrics bleu --beams 1 --average 5
"""

import copy
import dataclasses

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SNAPSHOTS, ROWS = 5, 128

SIZES = {"layers": 3, "heads": 4, "width": 128, "hidden": 512}
VOCABULARY, LENGTH, BATCH, BEAMS = 4096, 32, 64, 4


def pair(precision: str = "float32"):
    """The train step, a `Pair`. What is imported here is not there for the program."""
    from peers import sides
    from peers.pairs import Pair

    from genjax.experiment import Data, Experiment, Optim, Train

    device = sides.torch_device()
    experiment = Experiment(
        model=translation(order="pre", dropout=0.1),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=1e-3, b2=0.98, eps=1e-9),
        train=Train(precision=precision),
    )
    ours = sides.training(experiment, texts())
    model = Peer(VOCABULARY, 3, 4, 128, 512, 0.1, LENGTH).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9, fused=True)
    batch = {name: x.to(device) for name, x in tensors(texts().random_batch(BATCH)).items()}

    @torch.compile
    def smoothed(batch):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return loss(model, batch, 0, 0.1)

    def step():
        optimizer.zero_grad()
        smoothed(batch).backward()
        optimizer.step()

    theirs = sides.torch_training("nn.Transformer, torch.compile", [model], step)
    shapes = f"3 + 3 layers, 4 heads, width 128, vocabulary {VOCABULARY}, {LENGTH} tokens, batch {BATCH}, {precision}"
    return Pair("translation", ours, theirs, BATCH * LENGTH, "target tokens", shapes, precision)


def beams(precision: str = "float32"):
    """Beam search with caches on random weights, which are not likely to end a text: a `Pair`."""
    import jax
    from peers import sides
    from peers.pairs import Pair, Side
    from transformers import MarianConfig, MarianMTModel

    from genjax.models.language.translation_options import TranslationOptions

    rows, options = 16, TranslationOptions(beams=BEAMS)
    model = translation(order="post", embedding_norm=False, logit_bias=True).resolve(texts()).on(jax.default_backend())
    model = dataclasses.replace(model, dtype=precision)
    params, _ = model.init(jax.random.key(0), texts())
    source = {name: x for name, x in texts().random_batch(rows).items() if not name.startswith("target")}
    search = jax.jit(lambda params: model.sample(params, {}, jax.random.key(0), source, options))
    halves = {"layers": 3, "attention_heads": 4, "ffn_dim": 512}
    config = MarianConfig(
        vocab_size=VOCABULARY,
        d_model=128,
        **{f"{half}_{name}": size for half in ("encoder", "decoder") for name, size in halves.items()},
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=LENGTH,
        pad_token_id=0,
        decoder_start_token_id=0,
        eos_token_id=0,
        forced_eos_token_id=None,
        attn_implementation="sdpa",
    )
    device = sides.torch_device()
    peer = MarianMTModel(config).to(device, getattr(torch, precision)).eval()
    given = {name: x.to(device) for name, x in tensors(source).items()}
    new = LENGTH - 1
    how = {"num_beams": BEAMS, "max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "length_penalty": 0.6}
    how |= {"attention_mask": (~beyond(given, "source")).long()}

    def ours(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(search(params))

    def theirs(count: int) -> None:
        for _ in range(count):
            peer.generate(given["source"], **how)

    own = sum(x.size for x in jax.tree.leaves(params))
    learned = sum(p.numel() for name, p in peer.named_parameters() if "embed_positions" not in name)
    shapes = f"Marian, 3 + 3 layers, width 128, {BEAMS} beams, {rows} texts, {new} new tokens, {precision}"
    both = Side("genjax", ours, own), Side("transformers Marian, SDPA", theirs, learned)
    return Pair("beams", *both, rows * new, "tokens", shapes, precision)


def translation(**fields):
    from genjax.models import Translation

    return Translation(**SIZES, positions="sinusoidal", embedding_scale=128**0.5, vocabulary=VOCABULARY, **fields)


def texts():
    from genjax.spec import DataSpec, Tokens

    return DataSpec({name: Tokens((LENGTH,), VOCABULARY, ragged=True, end=0) for name in ("source", "target")})


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
        seen = nn.Transformer.generate_square_subsequent_mask(before.shape[1], before.device, torch.bool)
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
    place = torch.arange(batch[name].shape[1], device=batch[name].device)
    return place >= batch[f"{name}_length"][:, None]


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


def main() -> None:
    import of_run
    import sacrebleu

    from genjax.data import split_batches

    of = of_run.asked(__doc__)
    c, optim, kept = of.experiment.model, of.experiment.optim, []
    model = Peer(c.vocabulary, c.layers, c.heads, c.width, c.hidden, c.dropout, c.context)

    def keep(step: int) -> None:
        if step % of.experiment.train.checkpoint_every == 0:
            kept.append(copy.deepcopy(model.state_dict()))
            del kept[:-SNAPSHOTS]

    optimizer = torch.optim.Adam(model.parameters(), betas=(optim.b1, optim.b2), eps=optim.eps)
    of_run.train(of, optimizer, lambda step, batch: loss(model, tensors(batch), c.end, c.label_smoothing), keep)
    model.load_state_dict({name: sum(state[name] for state in kept) / len(kept) for name in kept[0]})
    model.eval()
    made, rest, total, count = [], len(of.dataset.validation), 0.0, 0
    for arrays in split_batches(of.dataset, "validation", ROWS):
        batch = tensors(arrays)
        made += [of.tokenizer.decode(ids) for ids in translated(model, batch, c.end, c.context)]
        batch = {name: x[batch["valid"] > 0] for name, x in batch.items()}
        tokens = int(batch["target_length"].sum())
        with torch.no_grad():
            total, count = total + tokens * float(loss(model, batch, c.end, 0.0)), count + tokens
    print(f"validation {total / count:.4f} nats a token ({count} of them)")
    for scorer in (sacrebleu.BLEU(), sacrebleu.CHRF()):
        score = scorer.corpus_score(made[:rest], [of.dataset.texts["validation"]["target"].tolist()], n_bootstrap=1000)
        print(score, scorer.get_signature())


if __name__ == "__main__":
    main()
