"""The best of several samples, as another model sees them."""

import dataclasses

import numpy as np
import pytest
from systems import batch, engine

from genjax.errors import UsageError, UserError
from genjax.evaluation import ranked
from genjax.models.multimodal import DALLEOptions
from genjax.runs.restore import OpenRun
from genjax.spec import DataSpec


@pytest.fixture(scope="module")
def runs():
    return {
        name: OpenRun(built := engine(name), built.init(), None, None)
        for name in ("dalle", "crossmodal", "dalle-label")
    }


def given(rows=5):
    return {name: x[:rows] for name, x in batch("dalle").items() if name != "image"}


def test_each_row_keeps_its_sample_of_the_highest_score(runs):
    dalle, best = runs["dalle"], ranked.Ranked(runs["dalle"].engine, runs["crossmodal"], 3)
    kept = best.sample(dalle.state, given(), 0, DALLEOptions())
    draws = [
        dalle.engine.sample(dalle.state, given() | {"index": 3 * given()["index"] + n}, 0, DALLEOptions())
        for n in range(3)
    ]
    scores = np.stack([best.scores(given() | made) for made in draws])
    assert len(set(scores.argmax(0))) > 1  # not always the same one
    wanted = np.stack([draws[n]["image"][row] for row, n in enumerate(scores.argmax(0))])
    np.testing.assert_array_equal(kept["image"], wanted)


def test_a_run_that_cannot_rank_is_one_line(runs, monkeypatch):
    ranker = runs["crossmodal"]
    monkeypatch.setattr(ranked, "open_run", lambda run: ranker)
    assert ranked.ranked(runs["dalle"], "runs/judge", 2).best_of == 2
    with pytest.raises(UsageError, match="--best-of 1: take the best of 2 to 1024"):
        ranked.ranked(runs["dalle"], "runs/judge", 1)
    with pytest.raises(UsageError, match="it reads `caption`, text of up to 6 tokens, which is not there here"):
        ranked.ranked(runs["dalle-label"], "runs/judge", 2)
    other = dataclasses.replace(ranker.engine.spec.fields["image"], height=16)
    monkeypatch.setattr(runs["dalle"].engine, "spec", DataSpec(runs["dalle"].engine.spec.fields | {"image": other}))
    monkeypatch.setattr(type(runs["dalle"].engine.model), "outputs", lambda self, spec: {"image": other})
    with pytest.raises(UsageError, match="it reads `image`, images of 8 x 8 x 1, which is images of 16 x 8 x 1 here"):
        ranked.ranked(runs["dalle"], "runs/judge", 2)
    ranker = runs["dalle"]
    with pytest.raises(UsageError, match="--rerank runs/judge: DALLE tells no fit"):
        ranked.ranked(runs["dalle"], "runs/judge", 2)


def test_samples_of_no_caption_have_no_score(runs):
    best = ranked.Ranked(runs["dalle"].engine, runs["crossmodal"], 2)
    with pytest.raises(UserError, match="the score is of caption, and these samples are made without one"):
        best.scores({"index": np.arange(2), "image": batch("dalle")["image"][:2]})
