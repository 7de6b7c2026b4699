"""How programs are compiled."""

import re

import jax
import jax.numpy as jnp
import pytest
import systems

from genjax.bench.plan import compile_step
from genjax.runtime import compilation


def handed_to_ynnpack(compiled) -> set[str]:
    """The operations within fusions of a compiled program that YNNPACK runs."""
    text = compiled.as_text()
    called = re.findall(r"kind=kCustom, calls=%([\w.]+),.*__ynn_fusion", text)
    bodies = [re.search(rf"^%{re.escape(name)} .*?^}}", text, re.M | re.S).group() for name in called]
    return set(re.findall(r"= \S+ ([\w-]+)\(", "\n".join(bodies)))


def convolve(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def test_convolutions_go_to_eigen():
    assert compilation.options("cpu"), "this jaxlib has another option, or needs none: measure again"
    x, kernel = jnp.ones((8, 14, 14, 32)), jnp.ones((3, 3, 32, 32))
    assert "convolution" in handed_to_ynnpack(jax.jit(convolve).lower(x, kernel).compile())
    ours = jax.jit(convolve, compiler_options=compilation.options("cpu"))
    assert "convolution" not in handed_to_ynnpack(ours.lower(x, kernel).compile())


def test_the_step_is_compiled_so():
    compiled, _ = compile_step(systems.engine("vae"))
    assert not handed_to_ynnpack(compiled) & {"convolution", "dot"}


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_accelerators_have_xlas_defaults(platform):
    assert compilation.options(platform) is None


def test_an_option_that_xla_no_longer_knows_is_left_out(monkeypatch):
    monkeypatch.setattr(compilation, "CPU_OPTIONS", {"xla_cpu_dropped_long_ago": "1"})
    compilation.options.cache_clear()
    assert compilation.options("cpu") is None
    compilation.options.cache_clear()
