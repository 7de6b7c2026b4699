"""How programs are compiled: kept beyond the process in JAX's persistent cache, and by XLA's better libraries."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from genjax.files import cache_folder

__all__ = ["enable_cache", "options"]


def enable_cache(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Turns the cache on; call it before the first compilation.

    JAX_COMPILATION_CACHE_DIR, which JAX reads itself, comes before $XDG_CACHE_HOME/genjax/jax and
    ~/.cache/genjax/jax; JAX_ENABLE_COMPILATION_CACHE=false turns the cache off.

    Returns:
      The folder; None where it cannot be written, and there is no cache.
    """
    import jax

    if given := environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(given)
    if folder := cache_folder("jax", environ):
        jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


# Of the work that XLA:CPU gives to YNNPACK, sums stay there; convolutions and products go back to Eigen. YNNPACK's
# convolutions run in one thread (jaxlib 0.10) and take three times as long for a kernel's gradient; its products gain
# nothing. Numbers: benchmarks/NOTES.md.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


@functools.cache
def options(platform: str) -> dict[str, str] | None:
    """`compiler_options` for `jax.jit` on a platform ("cpu", "gpu", "tpu"): what genjax compiles its own programs with.

    None where XLA's defaults are best, and where this jaxlib does not know the option: XLA renames and drops them.
    They come before XLA_FLAGS. `jax.pmap` takes none.
    """
    import jax

    if platform != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=CPU_OPTIONS).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return CPU_OPTIONS
