"""The typed description of a run: frozen dataclasses, nothing executed.

Every field is an override of the command line, but for `optim.entries` and `eval.tasks`, which a recipe sets.
"""

import dataclasses
from typing import Literal

from genjax.described import described
from genjax.models.base import Model
from genjax.orders import Order

__all__ = ["Data", "EntryOptim", "Eval", "Experiment", "Gradient", "Mesh", "Optim", "Task", "Train"]


@described
@dataclasses.dataclass(frozen=True)
class Data:
    """Where examples come from. `path` wins over `source`, so that `--data.path mine` is enough."""

    source: str = "digits"  # digits, pydoc, tfds:NAME (TensorFlow data sets), or hf:NAME (Hugging Face's; or hf:FOLDER)
    path: str | None = None  # your own: folder of images, .npz, .tsv, .csv, .jsonl, .txt, or a corpus
    fields: tuple[str, ...] = ()  # NAME=COLUMN: which column or array of the data is which field (source=en target=de)
    order: Order | None = None  # which examples a step has; None = as the data suggests: epochs, or windows at random
    batch_size: int = 64  # examples a step, over all devices
    image_size: int | None = None  # resize (shorter side) and crop to this square; None = as the source has it, or of
    # a folder's differing sizes the median, at most 256
    channels: Literal[1, 3] | None = None  # grey or colour; None = as the source has it
    flip: bool = False  # mirror training images left to right at random
    random_crop: bool = False  # crop training images at random instead of at the centre
    context: int = 64  # tokens an example (text)
    chat: tuple[str, ...] = ()  # how messages are written out (instructions): ROLE=TEXT, with {} for the content, or
    # hf:FOLDER, whose chat template it is
    shots: int = 0  # training examples that stand before each example (instructions)
    tokenizer: str = "byte"  # byte, char, bpe:SIZE (trained on the text), gpt2:FOLDER (encoder.json,
    # vocab.bpe), bert:FOLDER (vocab.txt), or hf:FOLDER (tokenizer.json)
    validation: float = 0.1  # share held out where the source has no split of its own
    strict: bool = False  # an unreadable file is an error instead of being skipped and counted
    workers: int = 2  # threads that prepare batches
    prefetch: int = 2  # batches kept ready on the device


@described
@dataclasses.dataclass(frozen=True)
class EntryOptim:
    """One optimizer. The learning rate is a function of the global step, not of the number of updates."""

    name: Literal["adam", "adamw", "sgd", "rmsprop", "muon"] = "adam"  # of the update rule
    learning_rate: float = 1e-3  # the peak
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] = "constant"  # after warm-up
    schedule_steps: int | None = None  # where linear and cosine end; None = as `optim` has it, or train.steps
    warmup_steps: int = 0  # linear, from 0
    hold_steps: int = 0  # at the peak, before linear and cosine fall
    final_learning_rate: float = 0.0  # where linear and cosine end
    b1: float = 0.9  # adam, adamw, and what muon leaves to adam
    b2: float = 0.999  # adam, adamw: of the mean of squares
    momentum: float = 0.0  # sgd
    decay: float = 0.99  # rmsprop: of the mean of squares
    eps: float = 1e-8  # added to the root of the mean of squares
    weight_decay: float = 0.0  # adamw and muon only, decoupled; never on biases, normalization scales and other vectors
    clip_norm: float = 0.0  # of the entry's whole gradient; 0 = off


@described
@dataclasses.dataclass(frozen=True)
class Optim(EntryOptim):
    """The optimizer of every entry but those named in `entries`."""

    entries: dict[str, EntryOptim] = dataclasses.field(default_factory=dict)  # by entry of the model: others for these


@described
@dataclasses.dataclass(frozen=True)
class Gradient:
    """How the gradient of a turn is made. "per_example" is the mechanism of DP-SGD (Abadi et al. 2016)."""

    kind: Literal["plain", "per_example"] = "plain"  # per_example: of every example alone, clipped, with noise
    clip_norm: float = 1.0  # per_example: to which each example's gradient, over all entries of a turn, is cut
    noise_multiplier: float = 0.0  # per_example: standard deviation of the noise on their sum, in units of clip_norm


@described
@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how precisely, and what is kept."""

    steps: int = 1000  # of training; one is one batch, and one update of each turn that is due
    seed: int = 0  # of the first parameters, the order of the data and all noise
    log_every: int = 10  # steps between lines of metrics.jsonl
    eval_every: int = 500  # 0 = only at the end
    sample_every: int = 500  # early ones after a 64th and an eighth of it; 0 = only at the end
    checkpoint_every: int = 500  # 0 = only at the end
    keep: int = 2  # newest checkpoints kept, besides the best
    grad_accumulation: int = 1  # micro-batches a step
    gradient: Gradient = Gradient()  # plain, or DP-SGD's
    backend: Literal["jit", "pmap"] = "jit"  # pmap: pure data parallelism
    precision: Literal["float32", "bfloat16"] = "float32"  # of compute; parameters stay float32
    ema_decay: float = 0.0  # of the parameters' moving average, used for evaluation and samples; 0 = off
    ema_ramp: Literal["tensorflow", "edm", "none"] = "tensorflow"  # how the decay begins; see engine/averages.py
    ema_power: tuple[float, ...] = ()  # sigma_rel of power averages, stored for post-hoc profiles (0.05 0.1); () = off
    ema_entries: tuple[str, ...] = ()  # which entries are averaged; () = all that are trained
    freeze: tuple[str, ...] = ()  # entries that stay as they are
    init_from: tuple[str, ...] = ()  # RUN, ENTRY=RUN or ENTRY=RUN:THEIR_ENTRY; RUN may be a
    # .safetensors file; hf:FOLDER, a model of transformers or diffusers; or features:EXTRACTOR[:FILE]
    steps_per_call: int = 1  # steps compiled into one call (accelerators only)


@described
@dataclasses.dataclass(frozen=True)
class Mesh:
    """Devices as data x fsdp x tensor; -1 takes what is left."""

    data: int = -1  # replicas
    fsdp: int = 1  # shards of parameters and optimizer state; the batch is split over data x fsdp
    tensor: int = 1  # Megatron's split of attention and MLP
    coordinator: str | None = None  # host:port of process 0; None = from the environment, or one process
    num_processes: int | None = None  # with a coordinator: how many there are
    process_id: int | None = None  # with a coordinator: which of them this one is, from 0


@described
@dataclasses.dataclass(frozen=True)
class Task:
    """A further evaluation: of other data, or of another split. Its metrics are logged as TASK/METRIC."""

    data: Data | None = None  # None = the run's own
    split: Literal["train", "validation", "test"] = "validation"  # of the data
    examples: int | None = None  # first examples of the split; None = all
    metrics: tuple[str, ...] = ()  # on samples, beside the model's own sums


@described
@dataclasses.dataclass(frozen=True)
class Eval:
    """What is measured on the validation split, and how many samples are drawn."""

    examples: int | None = None  # first examples of the split; None = all
    metrics: tuple[str, ...] = ()  # further ones, on samples (see genjax.metrics)
    set_size: int = 1024  # real and generated examples that a metric on samples compares
    samples: int | None = None  # generated ones, where their number differs; None = as many as there are real ones
    features: str | None = None  # EXTRACTOR[:FILE] for metrics over features; None = the shipped one, for digits
    best: str | None = None  # the validation metric that picks the best checkpoint, such as fd; None = the model's own
    grid: int = 64  # samples shown during training
    tasks: dict[str, Task] = dataclasses.field(default_factory=dict)  # by name; set in recipes


@described
@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, whole: `genjax train` turns it into a run directory."""

    model: Model
    data: Data = Data()
    optim: Optim = Optim()
    train: Train = Train()
    mesh: Mesh = Mesh()
    eval: Eval = Eval()
