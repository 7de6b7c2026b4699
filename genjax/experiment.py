"""The typed description of a run: frozen dataclasses, nothing executed.

Every field is an override of the command line, but for `optim.entries`, which a recipe sets.
"""

import dataclasses
from typing import Literal

from genjax.models.base import Model


@dataclasses.dataclass(frozen=True)
class Data:
    """Where examples come from. `path` wins over `source`, so that `--data.path mine` is enough."""

    source: str = "digits"  # digits, pydoc, or tfds:NAME (any TensorFlow data set of images or text)
    path: str | None = None  # your own: folder of images, .npz (or one that `genjax encode` made), .txt, or a corpus
    batch_size: int = 64  # examples a step, over all devices
    image_size: int | None = None  # resize (shorter side) and crop to this square; None = as the source has it, or of
    # a folder's differing sizes the median, at most 256
    channels: Literal[1, 3] | None = None  # grey or colour; None = as the source has it
    flip: bool = False  # mirror training images left to right at random
    random_crop: bool = False  # crop training images at random instead of at the centre
    context: int = 64  # tokens an example (text)
    tokenizer: str = "byte"  # byte, char, bpe:SIZE (trained on the text), or gpt2:FOLDER (encoder.json, vocab.bpe)
    validation: float = 0.1  # share held out where the source has no split of its own
    strict: bool = False  # an unreadable file is an error instead of being skipped and counted
    workers: int = 2  # threads that prepare batches
    prefetch: int = 2  # batches kept ready on the device


@dataclasses.dataclass(frozen=True)
class EntryOptim:
    """One optimizer. The learning rate is a function of the global step, not of the number of updates."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = 1e-3  # the peak
    schedule: Literal["constant", "linear", "cosine"] = "constant"  # after warm-up
    warmup_steps: int = 0  # linear, from 0
    final_learning_rate: float = 0.0  # where linear and cosine end, at the last step
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0  # adamw only, decoupled; never on biases, normalization scales and other vectors
    clip_norm: float = 0.0  # of the entry's whole gradient; 0 = off


@dataclasses.dataclass(frozen=True)
class Optim(EntryOptim):
    """The optimizer of every entry but those named in `entries`."""

    entries: dict[str, EntryOptim] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how precisely, and what is kept."""

    steps: int = 1000
    seed: int = 0
    log_every: int = 10  # steps between lines of metrics.jsonl
    eval_every: int = 500  # 0 = only at the end
    sample_every: int = 500  # 0 = only at the end
    checkpoint_every: int = 500  # 0 = only at the end
    keep: int = 2  # newest checkpoints kept, besides the best
    grad_accumulation: int = 1  # micro-batches a step
    backend: Literal["jit", "pmap"] = "jit"
    precision: Literal["float32", "bfloat16"] = "float32"  # of compute; parameters stay float32
    ema_decay: float = 0.0  # of the parameters' moving average, used for evaluation and samples; 0 = off
    ema_power: tuple[float, ...] = ()  # sigma_rel of power averages, stored for post-hoc profiles (0.05 0.1); () = off
    ema_entries: tuple[str, ...] = ()  # which entries are averaged; () = all that are trained
    freeze: tuple[str, ...] = ()  # entries that stay as they are
    init_from: tuple[str, ...] = ()  # ENTRY=RUN or ENTRY=FILE.safetensors (or RUN for all), before the first step
    steps_per_call: int = 1  # steps compiled into one call (accelerators only)


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Devices as data x fsdp x tensor; -1 takes what is left."""

    data: int = -1  # replicas
    fsdp: int = 1  # shards of parameters and optimizer state; the batch is split over data x fsdp
    tensor: int = 1  # Megatron's split of attention and MLP
    coordinator: str | None = None  # host:port of process 0; None = from the environment, or one process
    num_processes: int | None = None
    process_id: int | None = None


@dataclasses.dataclass(frozen=True)
class Eval:
    """What is measured on the validation split, and how many samples are drawn."""

    examples: int | None = None  # first examples of the split; None = all
    metrics: tuple[str, ...] = ()  # further ones, over sets of samples (see genjax.metrics)
    set_size: int = 1024  # real and generated examples a set metric compares
    grid: int = 64  # samples shown during training


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, whole: `genjax train` turns it into a run directory."""

    model: Model
    data: Data = Data()
    optim: Optim = Optim()
    train: Train = Train()
    mesh: Mesh = Mesh()
    eval: Eval = Eval()
