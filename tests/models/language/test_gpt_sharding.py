"""GPT over a data x fsdp x tensor mesh: the same gradient, and no resharding of activations."""

import os
import subprocess
import sys

PROGRAM = """
import re
import jax, jax.numpy as jnp, numpy as np
from genjax.experiment import Mesh
from genjax.models.language.gpt import GPT
from genjax.runtime.mesh import batch_sharding, make_mesh, tree_shardings
from genjax.spec import DataSpec, Tokens

text = DataSpec({"tokens": Tokens((16,), 200, shifted=True)})
model = GPT(layers=2, heads=2, width=32).resolve(text)
params = jax.jit(lambda: model.init(jax.random.key(0), None)[0])()
tokens = np.random.default_rng(0).integers(0, 200, (8, 17), dtype=np.int32)
batch = {"tokens": tokens, "index": np.arange(8, dtype=np.int32)}

def gradient(params, batch):
    loss = lambda p: model.loss("next_token", p, {}, batch, jax.random.key(1), step=0, train=True).loss
    return jax.grad(loss)(params)

expected = jax.jit(gradient)(params, batch)
mesh = make_mesh(Mesh(data=2, fsdp=2, tensor=2))
shardings = tree_shardings(params, model.rules, mesh)
with jax.set_mesh(mesh):
    params, batch = jax.device_put(params, shardings), jax.device_put(batch, batch_sharding(mesh))
    compiled = jax.jit(gradient, out_shardings=shardings).lower(params, batch).compile()
result = compiled(params, batch)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), result, expected)
text = compiled.as_text()
assert "all-reduce" in text and "all-gather" in text
assert "all-to-all" not in text
"""


def test_gradient_on_a_mesh():
    """In a process of its own: eight devices, and XLA's warnings on standard error."""
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # a cached program warns of nothing
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "full rematerialization" not in done.stderr
