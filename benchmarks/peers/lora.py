"""Fine-tuning by peft on transformers' GPT-2, whole or through LoRA: its loss beside that of a genjax run.

The program reads the recipe, the tokenizer and the data of a run that started from a GPT, and the base's weights as
`genjax export --format hf` has written them. It trains them in PyTorch on the very batches that the run has had, with
the same learning rates: a run of LoRA through peft's adapters on the same matrices, whose A start from the same
distribution, another run in all weights. It measures on the same windows, of the run's own data and of its tasks:

    genjax export runs/gpt_pydoc --format hf
    python benchmarks/peers/lora.py runs/lora_pydoc runs/gpt_pydoc/hf
"""

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
    import of_run
    import torch
    from transformers import GPT2LMHeadModel

    from genjax.data import load, split_batches
    from genjax.models import LoRA

    of = of_run.asked(__doc__, base="the base, exported by --format hf")
    experiment, c, optim = of.experiment, of.experiment.model, of.experiment.optim
    batch_size = experiment.data.batch_size
    measured = {"validation": split_batches(of.dataset, "validation", batch_size, examples=experiment.eval.examples)}
    for name, task in experiment.eval.tasks.items():
        other = load(task.data, tokenizer=of.tokenizer)
        measured[name] = split_batches(other, task.split, batch_size, examples=task.examples)
    model = GPT2LMHeadModel.from_pretrained(of.arguments.base, attn_implementation="sdpa")
    model = adapted(model, c.rank, c.alpha) if isinstance(c, LoRA) else model
    learned = [p for p in model.parameters() if p.requires_grad]
    model.train()
    optimizer = torch.optim.Adam(learned, betas=(optim.b1, optim.b2), eps=optim.eps)
    of_run.train(of, optimizer, lambda step, batch: nats(model, batch).mean())
    print("; ".join(f"{name} {measure(model, batches):.4f} nats a token" for name, batches in measured.items()))


if __name__ == "__main__":
    main()
