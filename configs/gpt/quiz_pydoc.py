"""Questions to a small GPT, with and without examples before them: how does a passage of Python's manual go on?

    genjax train quiz_pydoc
    genjax eval runs/quiz_pydoc

Nothing is trained on questions. After 400 steps on the manual the log has `zero_shot/choice`, the share of 250
passages, from the part held out, whose three next words get a higher likelihood than those of three other passages
(guessing: 25%); `two_shot/choice`, the same with two other passages before each; and `next_word/exact_match`, the share
whose next word greedy search would write. Your own questions are a .jsonl file for a `Task` like these: {"prompt": ...,
"choices": [...], "answer": 0} or {"prompt": ..., "answer": "..."} in each line.

1.783 nats a byte; zero_shot/choice 29.6%, two_shot/choice 28.4% (standard error 2.9% each), next_word/exact_match 4.8%;
5.3 minutes of CPU time (2 cores AMD EPYC, shared by many, jax 0.10.2, 2026-11-27). So small a model knows hardly more
than guessing does, and nothing by examples: its samples have the manual's layout, and words that are almost words
("penced (a furnitizal by-"). With learned positions in place of rotated ones the same steps end at 2.177 nats.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Task, Train
from genjax.models import GPT

QUIZ = Data(source="quiz", tokenizer="byte", context=256)

experiment = Experiment(
    model=GPT(layers=4, heads=4, width=128, positions="rope"),
    data=Data(source="pydoc", tokenizer="byte", context=256, batch_size=8),
    optim=Optim(
        name="muon",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        final_learning_rate=2e-4,
        b2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(steps=400, eval_every=400, sample_every=400, checkpoint_every=400),
    eval=Eval(
        examples=125,
        grid=4,
        tasks={
            "zero_shot": Task(data=QUIZ, examples=250),
            "two_shot": Task(data=Data(source="quiz", tokenizer="byte", context=256, shots=2), examples=250),
            "next_word": Task(data=Data(source="cloze", tokenizer="byte", context=256), examples=250),
        },
    ),
)
