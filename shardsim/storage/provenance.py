"""Where numbers come from: what they may depend on besides the config."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax


def collect() -> dict[str, Any]:
    """Versions, machine, flags and source revision, as JSON can hold them."""
    names = ("shardsim", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
    return {
        "versions": {name: _version(name) for name in names},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [str(device) for device in jax.devices()],
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("JAX_", "XLA_"))
        },
        "revision": _revision(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str | None:
    """The source's git revision, with a mark if it was changed; None outside git."""
    here = Path(__file__).parent
    try:
        words = ["git", "-C", str(here), "describe", "--always", "--dirty"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
