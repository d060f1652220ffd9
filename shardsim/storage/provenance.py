"""Where numbers come from: what they may depend on besides the config."""

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax

PACKAGES = ("shardsim", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """provenance.json: versions, machine, flags and source revision of a run."""

    versions: dict[str, str]
    """Installed version of each package."""
    python: str
    """Version of Python."""
    platform: str
    """Operating system and processor."""
    devices: tuple[str, ...]
    """Devices that JAX sees."""
    cpus: int | None
    """CPU cores the process may use; None where the system does not tell."""
    environment: dict[str, str]
    """Environment variables of JAX and XLA."""
    revision: str | None
    """Git revision of the source, marked if it was changed; None outside of git."""


def collect() -> Provenance:
    """The provenance of a run of this process."""
    return Provenance(
        versions={name: version(name) for name in PACKAGES},
        python=platform.python_version(),
        platform=platform.platform(),
        devices=tuple(str(device) for device in jax.devices()),
        cpus=len(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        environment={
            name: value
            for name, value in os.environ.items()
            if name.startswith(("JAX_", "XLA_"))
        },
        revision=_revision(),
    )


def version(name: str) -> str:
    """The installed version of a package."""
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
