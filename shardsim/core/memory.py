"""Memory is estimated before it is taken: what cannot fit is refused in one line.

Estimates are what is taken at least, so that nothing is refused which would fit.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import jax

from shardsim.core import field_errors

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Files with the limit of a container, in bytes or "max"."""


def check(parts: Mapping[str, int], devices: int = 1) -> None:
    """Check that some arrays fit into the memory of the machine together.

    Args:
      parts: bytes that are taken at least, by the fields that decide about them.
      devices: number of devices that the arrays are spread over.

    Raises:
      ConfigError: they do not fit; names the fields of the largest, and both sizes.
    """
    needed, most = sum(parts.values()), of_machine(devices)
    if most is None or needed <= most:
        return
    largest = max(parts, key=lambda name: parts[name])
    raise field_errors.ConfigError(
        f"{largest}: got sizes that take at least {_gigabytes(needed)} in all; "
        f"allowed: {_gigabytes(most)}, the memory of this machine"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def of_machine(devices: int = 1) -> int | None:
    """Bytes of memory of some devices; None where nobody says how many.

    On CPUs it is the memory of the machine, or the limit of the container.
    """
    first = jax.devices()[0]
    if first.platform != "cpu":
        limit = (first.memory_stats() or {}).get("bytes_limit")
        return None if limit is None else int(limit) * devices
    limits = []
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not on Windows
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(path.read_text(encoding="utf-8")))
    return min((limit for limit in limits if limit > 0), default=None)
