"""LSTM language models by PyTorch's nn.LSTM: the train step, and, as a program, its loss beside that of a genjax run.

The program reads the recipe, the tokenizer and the data of a run, trains the peer on the very batches that the run has
had, with its state carried, the same penalties, learning rates and (nn.LSTM has no other) dropout between layers, and
measures it on the validation split in as many streams as genjax does:

    python benchmarks/peers/lstm.py runs/lstm_pydoc
"""

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import RecurrentLM
from genjax.spec import DataSpec, Mask, Tokens

VOCABULARY = 256


def lstm(precision: str = "float32"):
    return pair("lstm", precision)


def gru(precision: str = "float32"):
    return pair("gru", precision)


def pair(cell: str, precision: str):
    """A `Pair`. What is imported here is not there for the program."""
    from peers import sides
    from peers.pairs import Pair

    layers, width, context, batch = 2, 256, 64, 32
    shapes = f"{layers} layers, width {width}, context {context}, batch {batch}, tied, {precision}"
    experiment = Experiment(
        model=RecurrentLM(cell=cell, layers=layers, width=width, embedding=width, hidden_dropout=0.1),
        data=Data(batch_size=batch),
        optim=Optim(learning_rate=1e-3, clip_norm=1.0),
        train=Train(precision=precision),
    )
    spec = DataSpec({"tokens": Tokens((context,), VOCABULARY, shifted=True), "starts": Mask(())})
    theirs = peer_side(cell, layers, width, context, batch, precision)
    return Pair(cell, sides.training(experiment, spec), theirs, batch * context, "tokens", shapes, precision)


def peer_side(cell: str, layers: int, width: int, context: int, batch: int, precision: str):
    import torch
    from peers import sides

    device = sides.torch_device()
    model = peer(cell, VOCABULARY, [width] * layers, width, 0.0, 0.1).to(device)
    tokens = torch.randint(VOCABULARY, (batch, context + 1), device=device)
    optimizer, state = torch.optim.Adam(model.parameters(), lr=1e-3), None

    def step():
        nonlocal state
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits, state, _, _ = model(tokens[:, :-1], state)
        torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    # Compiled is no faster: torch.compile breaks its graph at nn.LSTM, which is one fused call.
    return sides.torch_training(f"PyTorch nn.{cell.upper()}", [model], step)


def peer(cell: str, vocabulary: int, widths: list[int], embedding: int, dropout: float, hidden_dropout: float):
    """A tied model of one nn.LSTM or nn.GRU a layer: (ids, state) -> (logits, state, last outputs, with dropout)."""
    import torch
    from torch import nn

    class Peer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, embedding)
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
            kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
            inputs = [embedding, *widths[:-1]]
            self.layers = nn.ModuleList(kind(d, h, batch_first=True) for d, h in zip(inputs, widths))
            self.bias = nn.Parameter(torch.zeros(vocabulary))
            self.hidden_dropout, self.dropout = nn.Dropout(hidden_dropout), nn.Dropout(dropout)

        def forward(self, ids, state=None):
            x, new = self.embedding(ids), []
            for n, layer in enumerate(self.layers):
                x, last = layer(self.hidden_dropout(x) if n else x, state[n] if state else None)
                new.append(tuple(s.detach() for s in last) if cell == "lstm" else last.detach())
            dropped = self.dropout(x)
            return dropped @ self.embedding.weight.T + self.bias, new, x, dropped

    return Peer()


def measure(model, batches) -> float:
    """Nats per token of batches in streams."""
    import torch

    model.eval()
    total, count, state = 0.0, 0.0, None
    with torch.no_grad():
        for batch in batches:
            tokens, valid = torch.tensor(batch["tokens"]).long(), torch.tensor(batch["valid"])
            logits, state, _, _ = model(tokens[:, :-1], state)
            nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
            total, count = total + float(nats[valid].sum()), count + float(valid.sum()) * nats.shape[1]
    return total / count


def main() -> None:
    import of_run
    import torch

    from genjax.data import split_batches

    of = of_run.asked(__doc__)
    c, optim, state = of.experiment.model, of.experiment.optim, None
    model = peer(c.cell, c.vocabulary, list(c.widths), c.embedding, c.dropout, c.hidden_dropout)

    def loss(step, batch):
        nonlocal state
        tokens = torch.tensor(batch["tokens"]).long()
        state = None if batch["starts"].all() else state
        logits, state, raw, dropped = model(tokens[:, :-1], state)
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        slow = (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
        return nats + c.activation_l2 * dropped.pow(2).mean() + c.slowness * slow

    of_run.train(of, torch.optim.Adam(model.parameters(), betas=(optim.b1, optim.b2), eps=optim.eps), loss)
    found = measure(model, split_batches(of.dataset, "validation", of.experiment.data.batch_size, follow=True))
    print(f"validation {found:.4f} nats a token")


if __name__ == "__main__":
    main()
