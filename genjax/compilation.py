"""Compiled programs outlive the process: JAX's persistent cache, in the user's cache folder."""

import os
from collections.abc import Mapping
from pathlib import Path


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
    try:
        folder = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genjax" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder
