"""DDPM++ and NCSN++: the published sizes, what they start from, and the same network written anew in PyTorch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.models.augment import LABELS
from genjax.networks.song_unet import SongUNet, SongUNetConfig

SMALL = {"channels": 16, "multipliers": (1, 2), "blocks": 1, "attention": (8,), "dropout": 0.0}


def inputs(size=8, channels=2, batch=3):
    rng = np.random.default_rng(0)
    x, told = rng.standard_normal((batch, size, size, channels)), rng.standard_normal((batch, LABELS))
    return x.astype("f"), rng.standard_normal(batch).astype("f"), np.array([0, 3, 4]), None, told.astype("f")


def awake(net, *arrays):
    """Parameters of which every path counts."""
    rng = np.random.default_rng(2)
    draw = lambda leaf: (rng.standard_normal(leaf.shape) / max(1, np.prod(leaf.shape[:-1])) ** 0.5).astype("f")  # noqa: E731
    return {"params": jax.tree.map(draw, jax.eval_shape(net.init, jax.random.key(1), *arrays)["params"])}


@pytest.mark.parametrize(
    ("fields", "classes", "count"),
    [  # to the unit those of the code of Karras et al. 2022, and NCSN++'s 128 frequencies, which it does not count
        ({}, 10, 55_735_299),
        ({}, 0, 55_733_891),
        ({"ncsn": True}, 10, 56_400_643 + 128),
        ({"ncsn": True}, 0, 56_397_827 + 128),
    ],
    ids=str,
)
def test_sizes(fields, classes, count):
    net = SongUNetConfig(**fields).build(3, classes, None)
    arrays = jnp.zeros((1, 32, 32, 3)), jnp.zeros(1), None, None, jnp.zeros((1, LABELS))
    shapes = jax.eval_shape(net.init, jax.random.key(0), *arrays)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_attention_comes_after_every_block_going_down_and_after_a_levels_last_going_up():
    net = SongUNetConfig().build(3, 0, None)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1))["params"]
    attend = {name for name in shapes if name.endswith("attention")}
    assert attend == {f"down_1_{i}_attention" for i in range(4)} | {"up_1_4_attention", "middle_0_attention"}


def test_what_it_starts_from():
    net = SongUNet(SongUNetConfig(**SMALL), 2, 4)
    params = net.init(jax.random.key(0), *inputs())["params"]
    std = lambda leaf: float(np.std(leaf))  # noqa: E731
    attention = params["down_0_0_attention"]["attention"]
    assert std(attention["qkv"]["kernel"]) == pytest.approx(math.sqrt(0.1 / 16), rel=0.1)
    assert std(attention["out"]["kernel"]) == pytest.approx(1e-5 / 4, rel=0.2)
    assert std(params["down_0_0"]["out"]["kernel"]) == pytest.approx(1e-5 / math.sqrt(9 * 16), rel=0.1)
    assert std(params["down_0_0"]["in"]["kernel"]) == pytest.approx(1 / math.sqrt(9 * 16), rel=0.1)
    assert std(params["label"]["kernel"]) == pytest.approx(1 / math.sqrt((4 + 16) / 2), rel=0.2)
    assert "bias" not in params["augment"] and not params["label"]["bias"].any()


def test_nothing_told_is_zeros_told_and_the_null_label_is_none():
    net = SongUNet(SongUNetConfig(**SMALL), 2, 4)
    x, noise, label, _, told = inputs()
    params = awake(net, x, noise, label, None, told)
    apply = jax.jit(net.apply)
    plain = apply(params, x, noise, label)
    np.testing.assert_allclose(apply(params, x, noise, label, None, jnp.zeros_like(told)), plain, atol=1e-5)
    assert np.abs(apply(params, x, noise, label, None, told) - plain).max() > 1e-2
    unlabelled = apply(params, x, noise)
    np.testing.assert_allclose(unlabelled[2], plain[2], atol=1e-5)  # its label, 4, stands for none
    assert np.abs(unlabelled[0] - plain[0]).max() > 1e-2


def test_frequencies_stay():
    net = SongUNet(SongUNetConfig(**SMALL, ncsn=True), 2)
    x, noise, *_ = inputs()
    params = awake(net, x, noise)
    gradient = jax.jit(jax.grad(lambda params: net.apply(params, x, noise).sum()))(params)["params"]
    assert not gradient["frequencies"]["frequency"].any() and gradient["pyramid_1"]["kernel"].any()


def test_errors_name_the_cure():
    for fields in ({"channels": 0}, {"multipliers": ()}, {"blocks": 0}, {"dropout": 1.0}, {"dropout": float("nan")}):
        with pytest.raises(UsageError, match=next(iter(fields))):
            SongUNetConfig(**fields)
    with pytest.raises(UsageError, match="sides that 4 divides, not 6 x 8"):
        SongUNetConfig().check((6, 8, 3))
    with pytest.raises(UsageError, match=r"attention at heights \[16\].*8, 4, 2"):
        SongUNetConfig().check((8, 8, 3))


@pytest.mark.peers
@pytest.mark.parametrize("ncsn", [False, True])
def test_equals_the_paper_in_pytorch(ncsn):
    torch = pytest.importorskip("torch")
    net = SongUNet(SongUNetConfig(**SMALL, ncsn=ncsn), 3, 4)
    arrays = inputs()
    params = awake(net, *arrays)
    ours = jax.jit(net.apply)(params, *arrays)
    x, noise, label, _, told = (None if a is None else torch.from_numpy(np.asarray(a)) for a in arrays)
    theirs = Paper(torch, params["params"], ncsn)(x.movedim(-1, 1), noise, label, told).movedim(1, -1)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4, rtol=1e-4)


class Paper:
    """Song et al. 2021, appendix H, for two levels of one block, with Karras et al. 2022's two further conditions."""

    def __init__(self, torch, params, ncsn):
        self.torch, self.f, self.ncsn = torch, torch.nn.functional, ncsn
        self.params = jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), params)

    def __call__(self, x, noise, label, told):
        f, p = self.f, self.params
        if self.ncsn:
            angle = 2 * math.pi * noise[:, None] * p["frequencies"]["frequency"]
        else:
            angle = noise[:, None] * self.torch.exp(-math.log(10000) * self.torch.arange(8) / 7)
        e = self.torch.cat([angle.sin(), angle.cos()], 1)
        e = e + self.dense(f.one_hot(label, 5)[:, :4] * 2.0, p["label"]) + told @ p["augment"]["kernel"]
        e = f.silu(self.dense(f.silu(self.dense(e, p["noise_in"])), p["noise_out"]))

        image, x = x, self.conv(x, p["first"])
        skips = [x, x := self.attend(self.block(x, e, "down_0_0"), "down_0_0")]
        x = self.block(x, e, "shrink_1", self.down)
        if self.ncsn:
            x = (x + self.pyramid(image)) / math.sqrt(2)
        skips += [x, x := self.block(x, e, "down_1_0")]
        x = self.block(self.attend(self.block(x, e, "middle_0"), "middle_0"), e, "middle_1")
        for name in ("up_1_0", "up_1_1"):
            x = self.block(self.torch.cat([x, skips.pop()], 1), e, name)
        x = self.block(x, e, "enlarge_0", self.up)
        for name in ("up_0_0", "up_0_1"):
            x = self.block(self.torch.cat([x, skips.pop()], 1), e, name)
        return self.conv(f.silu(self.norm(self.attend(x, "up_0_1"), p["norm"])), p["last"])

    def block(self, x, e, name, resample=lambda x: x):
        p = self.params[name]
        y = self.conv(resample(self.f.silu(self.norm(x, p["norm_in"]))), p["in"])
        y = self.norm(y + self.dense(e, p["condition"])[:, :, None, None], p["norm_out"])
        y, x = self.conv(self.f.silu(y), p["out"]), resample(x)
        if "skip" in p:
            x = self.dense(x.movedim(1, -1), p["skip"]).movedim(-1, 1)
        return (x + y) / math.sqrt(2)

    def attend(self, x, name):
        p = self.params[f"{name}_attention"]
        b, c, h, w = x.shape
        y = self.norm(x, p["norm"]).flatten(2).mT
        qkv = self.torch.einsum("btc,cnhd->nbthd", y, p["attention"]["qkv"]["kernel"]).squeeze(3)
        q, k, v = qkv + p["attention"]["qkv"]["bias"].reshape(3, 1, 1, c)
        y = self.torch.softmax(q @ k.mT / math.sqrt(c), -1) @ v
        y = y @ p["attention"]["out"]["kernel"][0] + p["attention"]["out"]["bias"]
        return (x + y.mT.reshape(b, c, h, w)) / math.sqrt(2)

    def filter(self, channels):
        taps = self.torch.tensor([1.0, 3.0, 3.0, 1.0] if self.ncsn else [1.0, 1.0])
        return (taps[:, None] * taps / taps.sum() ** 2).expand(channels, 1, -1, -1)

    def down(self, x):
        c = x.shape[1]
        return self.f.conv2d(x, self.filter(c), stride=2, padding=int(self.ncsn), groups=c)

    def up(self, x):
        c = x.shape[1]
        return self.f.conv_transpose2d(x, 4 * self.filter(c), stride=2, padding=int(self.ncsn), groups=c)

    def pyramid(self, x):
        """The convolution, wherever it sees a pixel, then the filter at every second place."""
        p = self.params["pyramid_1"]
        y = self.f.conv2d(x, p["kernel"].permute(3, 2, 0, 1), padding=2)
        y = self.f.conv2d(y, self.filter(y.shape[1]), stride=2, groups=y.shape[1])
        return y + p["bias"][:, None, None]

    def conv(self, x, p):
        return self.f.conv2d(x, p["kernel"].permute(3, 2, 0, 1), p["bias"], padding=1)

    def dense(self, x, p):
        return x @ p["kernel"] + p["bias"]

    def norm(self, x, p):
        return self.f.group_norm(x, min(32, x.shape[1] // 4), p["scale"], p["bias"], 1e-6)
