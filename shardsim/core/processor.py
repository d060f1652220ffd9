"""The cores that this process may use."""

import os


def cores() -> tuple[int, ...]:
    """Their numbers: those of its affinity, where the system knows one."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))
