"""Fine-tuning by peft on transformers' GPT-2, whole or through LoRA: its loss beside that of a genjax run.

The program reads the recipe, the tokenizer and the data of a run that started from a GPT, and the base's weights as
`genjax export --format hf` has written them. It trains them in PyTorch on the very batches that the run has had, with
the same learning rates: a run of LoRA through peft's adapters on the same matrices, whose A start from the same
distribution, another run in all weights. It measures on the same windows, of the run's own data and of its tasks:

    genjax export runs/gpt_pydoc --format hf
    python benchmarks/peers/lora.py runs/lora_pydoc runs/gpt_pydoc/hf
"""

import argparse
import time
from pathlib import Path

import numpy as np

THREADS = 2
MATRICES = ["c_attn", "c_proj", "c_fc"]  # all of a block, as genjax's targets "kernel$"


def adapted(model, rank: int, alpha: float):
    """peft's LoRA; of the base nothing learns."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=MATRICES, fan_in_fan_out=True)
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
    return model


def nats(model, batch):
    """(B, T) of the targets of a batch."""
    import torch

    tokens = torch.tensor(batch["tokens"]).long()
    logits = model(input_ids=tokens[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


def measure(model, batches) -> float:
    """Nats per token."""
    import torch

    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            rows = nats(model, batch)[torch.tensor(batch["valid"])]
            total, count = total + float(rows.sum()), count + rows.numel()
    return total / count


def main() -> None:
    import torch
    from transformers import GPT2LMHeadModel

    from genjax.data import load as load_data
    from genjax.data import load_tokenizer, split_batches, train_batches
    from genjax.engine.optimizers import schedule
    from genjax.models import LoRA
    from genjax.runs.directory import load

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of a GPT, or of LoRA over one, that started from the base")
    parser.add_argument("base", type=Path, help="the base, exported by --format hf")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(THREADS)
    experiment = load(args.run)[0]
    c, optim, steps, batch_size = experiment.model, experiment.optim, experiment.train.steps, experiment.data.batch_size
    tokenizer = load_tokenizer(args.run)
    dataset, examples = load_data(experiment.data, tokenizer=tokenizer), experiment.eval.examples
    measured = {"validation": split_batches(dataset, "validation", batch_size, examples=examples)}
    for name, task in experiment.eval.tasks.items():
        other = load_data(task.data, tokenizer=tokenizer)
        measured[name] = split_batches(other, task.split, batch_size, examples=task.examples)
    model = GPT2LMHeadModel.from_pretrained(args.base, attn_implementation="sdpa")
    model = adapted(model, c.rank, c.alpha) if isinstance(c, LoRA) else model
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, betas=(optim.b1, optim.b2), eps=optim.eps)
    rate, start = schedule(optim, steps), time.process_time()
    model.train()
    for step, batch in zip(range(steps), train_batches(dataset, batch_size, args.seed)):
        optimizer.param_groups[0]["lr"] = float(rate(np.int32(step)))
        optimizer.zero_grad()
        value = nats(model, batch).mean()
        value.backward()
        torch.nn.utils.clip_grad_norm_(learned, optim.clip_norm or float("inf"))
        optimizer.step()
    print(f"{sum(p.numel() for p in learned):,} parameters learned in {time.process_time() - start:.0f} s of CPU time")
    print("; ".join(f"{name} {measure(model, batches):.4f} nats a token" for name, batches in measured.items()))


if __name__ == "__main__":
    main()
