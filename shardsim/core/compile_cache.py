"""Compiled programs, kept between commands in a cache of the user's.

An entry is found again for the same program, the same versions of JAX and Python, and
the same kind of CPU. The least recently used entries go when the cache is full.
"""

import contextlib
import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Final

import platformdirs

VARIABLE: Final = "SHARDSIM_CACHE"
"""Environment variable with the folder of the cache, or "off"."""
JAX_VARIABLES: Final = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
"""Environment variables of JAX's own; if one is set, it decides."""
MOST_BYTES: Final = 2 * 10**9
LEAST_SECONDS: Final = 0.3
"""Programs that compile faster are not kept."""


def folder() -> Path | None:
    """The folder of the cache for this machine; None if there is to be none."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off" or any(os.environ.get(name) for name in JAX_VARIABLES):
        return None
    root = Path(chosen) if chosen else platformdirs.user_cache_path("shardsim")
    import jaxlib

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    versions = f"jaxlib-{jaxlib.__version__}-python-{python}"
    return root / "programs" / f"{versions}-{_processor()}"


def _processor() -> str:
    """A name for CPUs that run each other's programs.

    A home folder may be shared by different machines, and a program made for one can
    end the process on another.
    """
    words = {platform.machine(), platform.processor()}
    with contextlib.suppress(OSError):  # not on macOS and Windows
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "flags", "Features")):
                words.add(line)
    digest = hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()
    return f"{platform.machine() or 'cpu'}-{digest[:8]}"


def quiet() -> None:
    """Silence what XLA logs on loading a program; before JAX is imported.

    It logs an error for each entry whose tuning flags are not features of the CPU.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # which JAX itself sets
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def use() -> None:
    """Keep compiled programs from now on; before JAX compiles its first one.

    Where the folder cannot be written, nothing is kept.
    """
    place = folder()
    if place is None:
        return
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(place, os.W_OK):
        return
    import jax

    # a full disk or a damaged entry costs time, and is no reason for a warning
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*")
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
