"""What `train.init-from` says, as text: no weights are read."""

import dataclasses
import os

import flax.linen as nn
import pytest

from genjax.data import make_tokenizer
from genjax.errors import UsageError
from genjax.experiment import Experiment, Train
from genjax.models.base import Model, Turn
from genjax.runs.initialize import _require_tokenizer, tokenizer_for
from genjax.runs.sources import check_sources, match, parse, require_weights


@pytest.mark.parametrize(
    "text, mine, path, theirs",
    [
        ("runs/a", "", "runs/a", ""),
        ("a/w.safetensors", "", "a/w.safetensors", ""),
        ("net=runs/a", "net", "runs/a", ""),
        ("first_stage.encoder=runs/a:encoder", "first_stage.encoder", "runs/a", "encoder"),
        ("net=a/w.safetensors:deep.net", "net", "a/w.safetensors", "deep.net"),
        ("runs/a:first_stage", "", "runs/a", "first_stage"),
        ("runs/x=1", "", "runs/x=1", ""),
        ("net=runs/y:1", "net", "runs/y:1", ""),
        ("net=missing:1/run", "net", "missing:1/run", ""),
    ],
)
def test_a_source_is_an_entry_a_path_and_their_entry(text, mine, path, theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/x=1", "runs/y:1"):  # paths that are there are taken as they are
        os.makedirs(name)
    source = parse(text)
    assert (source.mine, source.theirs) == (mine, theirs)
    assert source.path == tmp_path / path
    assert parse(str(source)) == source


def test_a_source_may_be_an_extractor_of_features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, path in (("features:digits", None), ("features:inception:w.pth", tmp_path / "w.pth")):
        source = parse(f"perceptual={text}")
        assert source.features and source.mine == "perceptual" and source.theirs == text.split(":")[1]
        assert parse(str(source)) == source and (path is None or source.path == path)
    assert match(parse("perceptual=features:digits"), ["encoder", "perceptual"], ["digits"]) == {"perceptual": "digits"}


LATENT = ["denoiser", "first_stage.encoder", "first_stage.decoder"]

MATCHES = [
    ("R", LATENT, ["denoiser", "other"], {"denoiser": "denoiser"}),
    ("R", LATENT, ["encoder", "decoder"], {"first_stage.encoder": "encoder", "first_stage.decoder": "decoder"}),
    ("R", LATENT, LATENT, {name: name for name in LATENT}),
    ("first_stage=R", LATENT, ["encoder", "decoder", "denoiser"],
     {"first_stage.encoder": "encoder", "first_stage.decoder": "decoder"}),
    ("first_stage=R", LATENT, LATENT, {name: name for name in LATENT[1:]}),
    ("first_stage.encoder=R", LATENT, ["encoder"], {"first_stage.encoder": "encoder"}),
    ("first_stage.encoder=R:trunk", LATENT, ["trunk", "encoder"], {"first_stage.encoder": "trunk"}),
    ("first_stage=R:stage", LATENT, ["stage.encoder", "stage.decoder", "encoder"],
     {"first_stage.encoder": "stage.encoder", "first_stage.decoder": "stage.decoder"}),
    ("R:first_stage", ["encoder", "decoder"], LATENT, {n: f"first_stage.{n}" for n in ("encoder", "decoder")}),
    ("a=R", ["a.b.net", "ab.net"], ["b.net", "net"], {"a.b.net": "b.net"}),
]  # fmt: skip


@pytest.mark.parametrize("text, mine, theirs, expected", MATCHES, ids=[f"{m[0]} <- {','.join(m[2])}" for m in MATCHES])
def test_names_here_find_names_there(text, mine, theirs, expected):
    assert match(parse(text), mine, theirs) == expected


def test_what_could_be_two_things_is_asked_for():
    with pytest.raises(UsageError, match=r"encoder would be both one\.encoder and two\.encoder: say one=.*or two="):
        match(parse("R"), ["one.encoder", "two.encoder"], ["encoder"])
    with pytest.raises(UsageError, match=r"it has head, and the entries here are encoder, decoder"):
        match(parse("R"), ["encoder", "decoder"], ["head"])


def test_entries_that_are_not_there_are_named_and_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_sources(("first_stage=runs/a/", "b.safetensors"), LATENT) == (
        f"first_stage={tmp_path}/runs/a",
        f"{tmp_path}/b.safetensors",
    )
    for wrong in ("head=x", "first=x", "first_stage.enc=x"):
        with pytest.raises(UsageError, match=r"the entries are denoiser, first_stage\.encoder"):
            check_sources((wrong,), LATENT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frozen(Model):
    turns = (Turn("learn", trains=("denoiser",)),)

    def networks(self):
        return {name: nn.Dense(1) for name in LATENT}


def test_frozen_entries_must_come_trained():
    def check(*sources):
        require_weights(Experiment(Frozen(), train=Train(init_from=sources)))

    for enough in (("R",), ("first_stage=R",), ("first_stage.encoder=R", "first_stage.decoder=S:net")):
        check(*enough)
    with pytest.raises(UsageError, match=r"first_stage\.decoder: frozen.*first_stage=RUN"):
        check("first_stage.encoder=R")
    with pytest.raises(UsageError, match=r"first_stage\.decoder, first_stage\.encoder: frozen"):
        check("denoiser=R")


def test_pieces_of_sentencepiece_are_not_taken_for_other_ids(tmp_path):
    (tmp_path / "source.spm").write_bytes(b"")
    source = parse(f"hf:{tmp_path}")
    assert tokenizer_for(tmp_path / "run", (str(source),)) is None
    _require_tokenizer(source, None)  # the data is ids already
    with pytest.raises(UsageError, match=r"not read its source\.spm, .* give columns of lists of ids"):
        _require_tokenizer(source, make_tokenizer("byte", ""))


def test_a_folders_own_tokenizer_is_taken(tmp_path):
    names = "[PAD] [UNK] [CLS] [SEP] [MASK] the".split()
    (tmp_path / "vocab.txt").write_text("\n".join(names))
    found = tokenizer_for(tmp_path / "run", (f"encoder=hf:{tmp_path}",))
    assert found is not None and found.encode("The").tolist() == [5]
