"""Checksums: every changed bit of an array changes them, and no mesh does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import save_file

from genjax.errors import UserError
from genjax.runs import checksums
from genjax.runs.weights import load_safetensors, write_arrays

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "float32": RANDOM.normal(size=(8, 6)).astype(np.float32),
    "bfloat16": jnp.asarray(RANDOM.normal(size=(16, 3)), jnp.bfloat16),
    "int8": RANDOM.integers(-9, 9, (8, 2, 5), np.int8),
    "bool": RANDOM.integers(0, 2, (16,)).astype(bool),
    "long": RANDOM.normal(size=(2, checksums.BLOCK)).astype(np.float32),
    "number": np.int32(7),
    "empty": np.zeros((0, 3), np.float32),
}


def sums(tree) -> dict[str, int]:
    return checksums.of_tree(tree)()


def test_they_do_not_depend_on_the_mesh():
    mesh = jax.make_mesh((2, 4), ("data", "fsdp"))
    expected = sums({"x": jnp.asarray(ARRAYS["float32"])})
    for spec in ((), ("data",), (None, "data"), ("fsdp", "data"), (("data", "fsdp"),)):
        sharded = jax.device_put(ARRAYS["float32"], NamedSharding(mesh, PartitionSpec(*spec)))
        assert sums({"x": sharded}) == expected, spec


@pytest.mark.parametrize("name", ARRAYS)
def test_a_device_and_the_host_find_the_same(name):
    x = jnp.asarray(ARRAYS[name])
    assert int(checksums._device_sum(x)) == sums({"x": x})["x"]


def test_on_an_accelerator_they_outlive_the_arrays(monkeypatch):
    """The next step is given the buffers while a checkpoint is still written."""
    expected = sums({"x": jnp.asarray(ARRAYS["float32"])})
    monkeypatch.setattr(checksums, "_on_host", lambda x: False)
    x = jnp.asarray(ARRAYS["float32"])
    result = checksums.of_tree({"x": x})
    x.delete()
    assert result() == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8", "long"])
def test_every_flipped_bit_and_every_exchange_is_seen(name):
    x = np.array(ARRAYS[name], order="C")
    before = sums({"x": jnp.asarray(x)})
    raw = x.reshape(-1).view(np.uint8)
    for place in RANDOM.integers(0, raw.size, 30):
        raw[place] ^= 128
        assert sums({"x": jnp.asarray(x)}) != before
        raw[place] ^= 128
    assert sums({"x": jnp.asarray(x)}) == before
    raw[[0, -1]] ^= 128  # signs: they would cancel each other in a plain weighted sum
    assert sums({"x": jnp.asarray(x)}) != before
    raw[[0, -1]] ^= 128
    assert sums({"x": jnp.asarray(x[::-1])}) != before


def test_a_flipped_bit_of_a_weights_file_is_found(tmp_path):
    arrays = {"net/kernel": ARRAYS["long"], "net/count": np.arange(3, dtype=np.int32)}
    file = write_arrays(arrays, tmp_path / "weights.safetensors", {"system": "VAE"})
    np.testing.assert_array_equal(load_safetensors(file)[0]["net"]["kernel"], ARRAYS["long"])
    whole = file.read_bytes()
    for place in RANDOM.integers(0, len(whole), 60):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            params, _ = load_safetensors(file)
        except UserError as error:
            assert "weights.safetensors" in str(error)
            continue
        np.testing.assert_array_equal(params["net"]["kernel"], ARRAYS["long"])  # a flip in what else a file says
        np.testing.assert_array_equal(params["net"]["count"], arrays["net/count"])


def test_a_file_without_checksums_is_taken_as_it_is(tmp_path):
    save_file({"net/kernel": np.ones(3, np.float32)}, tmp_path / "theirs.safetensors")
    assert load_safetensors(tmp_path / "theirs.safetensors")[0]["net"]["kernel"].sum() == 3
