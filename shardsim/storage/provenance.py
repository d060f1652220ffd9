"""Provenance: what the numbers of a run may depend on besides its config."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import jax

from shardsim.core import fields

PACKAGES = ("shardsim", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
"""Packages whose versions are recorded."""
NUMERIC_PACKAGES = ("shardsim", "jax", "jaxlib", "flax", "optax")
"""Packages on whose versions the bits of a training depend."""


@fields.record(float64=True)
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
    """CPU cores that the process may use; None on systems other than Linux."""
    environment: dict[str, str]
    """Environment variables of JAX and XLA."""
    revision: str | None
    """Git revision of the source, with `-dirty` if it has changes; None outside Git."""


def collect() -> Provenance:
    """Collect the provenance of this process."""
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


def differences(recorded: Provenance) -> list[str]:
    """What this process has that results depend on, and differs from a record.

    Returns:
      A text for each, as "jax: got 0.9.2; allowed: 0.10.3".
    """
    here = collect()
    lines = [
        f"{name}: got {here.versions[name]}; allowed: {recorded.versions[name]}"
        for name in NUMERIC_PACKAGES
        if recorded.versions.get(name, here.versions[name]) != here.versions[name]
    ]
    kinds = [_kind(each.devices) for each in (here, recorded)]
    if kinds[0] != kinds[1]:
        lines.append(f"devices: got {kinds[0]}; allowed: {kinds[1]}")
    return lines


def _kind(devices: tuple[str, ...]) -> str:
    """The kind of devices: letters before their numbers, as "TFRT_CPU" or "cuda"."""
    return re.split(r"[:_]\d", devices[0])[0] if devices else "none"


def version(name: str) -> str:
    """The installed version of a package, or "not installed"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str | None:
    """The Git revision of the source, with `-dirty` if it has changes, or None."""
    folder = Path(__file__).parent
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
        result = subprocess.run(command, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode(errors="replace").strip() or None
