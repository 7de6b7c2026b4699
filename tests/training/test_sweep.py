"""Sweeps: which trainings there are, whose they are in an array of jobs, what is made of them."""

import json

import pytest

from genjax.cli import main
from genjax.errors import UsageError, UserError
from genjax.training.sweep import mine, summary, trials


def test_every_combination_is_trained_with_every_seed(tmp_path):
    made = trials({"--optim.learning-rate": ["1e-3", "3e-3"], "--model.network.widths": ["32,64"]}, range(2), tmp_path)
    assert [trial.out.name for trial in made] == [
        f"learning-rate={rate}-widths=32,64-seed={seed}" for rate in ("1e-3", "3e-3") for seed in (0, 1)
    ]
    assert made[3].argv[:7] == "--optim.learning-rate 3e-3 --model.network.widths 32 64 --train.seed 1".split()
    with pytest.raises(UsageError, match="same settings"):
        trials({"--model.latent": ["4", "4"]}, [0], tmp_path)


def test_jobs_of_an_array_share_the_trainings(tmp_path):
    everything = trials({"--model.latent": list("12345")}, range(2), tmp_path)
    jobs = [
        mine(
            everything,
            {"SLURM_ARRAY_TASK_ID": f"{n}", "SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "3"},
        )
        for n in (4, 5, 6)
    ]
    assert sorted(trial.out for job in jobs for trial in job) == sorted(trial.out for trial in everything)
    assert {len(job) for job in jobs} == {3, 4}
    assert mine(everything, {}) == everything
    with pytest.raises(UserError, match="SLURM_ARRAY_TASK_ID"):
        mine(everything, {"SLURM_ARRAY_TASK_ID": "1"})
    job = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "1"}
    for name in ("STEP", "COUNT"):
        with pytest.raises(UserError, match=f"SLURM_ARRAY_TASK_{name} is 0, and must be at least 1"):
            mine(everything, job | {f"SLURM_ARRAY_TASK_{name}": "0"})


def test_the_summary_is_over_seeds_and_marks_the_best(tmp_path):
    everything = trials({"--model.latent": ["4", "8", "16"]}, range(3), tmp_path)
    values = [-20.0, -21.0, -22.0, -18.0, -18.0, -18.0]  # nothing of the last three
    for trial, value in zip(everything, values):
        trial.out.mkdir()
        (trial.out / "config.json").write_text("{}")
        lines = [{"step": 5, "validation/elbo": -99.0}, {"step": 9, "validation/elbo": value}, {"step": 9, "lr": 1.0}]
        (trial.out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = summary(everything, ("elbo", "max"))
    assert [row["mean"] for row in rows] == [-21.0, -18.0, None]
    assert rows[0]["half"] == pytest.approx(4.3027 / 3**0.5, rel=1e-4)  # t of 2 degrees of freedom, deviation 1
    assert [row["best"] for row in rows] == [False, True, False]
    assert [row["best"] for row in summary(everything, ("elbo", "min"))] == [True, False, False]


def test_a_metric_on_samples_is_found_by_its_own_name(tmp_path):
    everything = trials({"--model.latent": ["4", "8"]}, [0], tmp_path)
    for trial, value in zip(everything, (0.5, 0.25)):
        trial.out.mkdir()
        (trial.out / "config.json").write_text("{}")
        record = {"step": 5, "validation/swd297_se": 0.01, "validation/swd297": value}
        (trial.out / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    rows = summary(everything, ("swd", "min"))
    assert [(row["mean"], row["best"]) for row in rows] == [(0.5, False), (0.25, True)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--over", "model.latent"], "a field and its values"),
        (["--over", "model.latent", "4", "--over", "model.latent", "8"], "given twice"),
        (["--over", "model.latent", "4", "four"], "four"),
        (["--over", "model.lateral", "4"], "lateral"),
        (["--seeds", "0"], "--seeds 0"),
    ],
)
def test_a_mistake_is_told_before_anything_trains(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["sweep", "vae_digits", *words, "--out", str(tmp_path / "sweep")])
    assert exit.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_trains_all_but_the_failing_and_writes_a_table_and_a_page(tmp_path, capfd):
    argv = ["sweep", "vae_digits", "--over", "optim.learning-rate", "1e-3", "2e-3", "1e30", "--train.steps", "3"]
    argv += "--train.sample-every 0 --model.iwae-samples 1 --model.network.widths 8 --eval.examples 32".split()
    with pytest.raises(SystemExit) as exit:
        main([*argv, "--out", str(tmp_path)])
    out, err = capfd.readouterr()
    assert exit.value.code == 1 and "1 of 3 trainings failed" in err
    assert "learning-rate" in out and "elbo" in out and "no value" in out
    rows = (tmp_path / "sweep.csv").read_text().splitlines()
    assert rows[0].startswith("run,optim.learning-rate,train.seed,elbo") and len(rows) == 4
    assert "By setting" in (tmp_path / "sweep.html").read_text()
