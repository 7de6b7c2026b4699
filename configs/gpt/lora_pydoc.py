"""LoRA: the small GPT that has read Python's manual learns to write Python's source code, through few numbers.

    genjax train gpt_pydoc
    genjax train lora_pydoc --train.init-from runs/gpt_pydoc
    genjax sample runs/lora_pydoc --prompt "def "
    genjax export runs/lora_pydoc --format hf --out code_gpt

`manual/loss` in the log is the loss on the manual, which the model learned first: what it forgets. The base's own
weights stay as they are, and the run's tokenizer is the base's. `weights.safetensors` and exports are a GPT again.

After 250 steps from a gpt_pydoc of 500 steps (2 cores AMD EPYC with other jobs beside, 2026-11-26, one seed), in nats a
byte on the first 500 windows held out:

                                     trained   source code   the manual
    the base                                         2.331        1.832
    LoRA, rank 8                      65,536         1.958        1.963
    all weights (learning rate 1e-3) 834,304         1.839        1.951
    the same, a quarter replayed     834,304         1.909        1.807

8% of the numbers bring 76% of what all of them do. The last two rows are continue_pydoc's. The run took 59 s
of CPU time, with all weights 47 s: what LoRA saves is the optimizer's memory, not time.

Beside peft 0.21 on transformers' GPT-2, from the same base and on the same batches (`python benchmarks/peers/lora.py
RUN BASE/hf --seed N`; torch 2.14, 2026-11-27), ours less theirs with its 95% interval:

                            source code                          the manual
    LoRA, seeds 0 to 2      1.967 - 1.963 = 0.003 +- 0.008       1.963 - 1.962 = 0.001 +- 0.004
    all weights, 0          1.8388 - 1.8388                      1.9506 - 1.9506, another base, torch 2.13
    all weights, 1 and 2    1.8553 - 1.8554 = 0.0000 +- 0.0006   1.9529 - 1.9529 = 0.0000 +- 0.0001
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Task, Train
from genjax.models import GPT, LoRA

experiment = Experiment(
    model=LoRA(base=GPT(layers=4, heads=4, width=128), rank=8, alpha=16.0),
    data=Data(source="pysource", tokenizer="byte", context=64, batch_size=16),
    optim=Optim(learning_rate=5e-3, schedule="cosine", warmup_steps=20, b2=0.99, clip_norm=1.0),
    train=Train(steps=250, eval_every=125, sample_every=125, checkpoint_every=125),
    eval=Eval(
        examples=500,
        grid=8,
        tasks={"manual": Task(data=Data(source="pydoc", tokenizer="byte", context=64), examples=500)},
    ),
)
