"""Programs as StableHLO for a device that is not here, and what is wrong there."""

import re

from shardsim.core import backends
from shardsim.core.jit import Program

PLATFORMS = {"gpu": "cuda", "tpu": "tpu"}
"""JAX's names for lowering, by the names of the table of backends."""
ALLOWED = {
    "gpu": {
        # random bits by a kernel of jaxlib's for CUDA, the same bits as elsewhere
        "cu_threefry2x32_ffi",
    },
    # everything is XLA's own
    "tpu": set(),
}
"""Custom calls that the platform has."""
SMALL = 64
"""Elements of a result below which a gather of single elements costs no more than any
other operation."""


def text(program: Program, *args, platform: str) -> str:
    """StableHLO of a program for "gpu" or "tpu", traced with that device's choices."""
    with backends.target(platform):
        traced = program.compiled.trace(*args)
        return traced.lower(lowering_platforms=(PLATFORMS[platform],)).as_text()


def faults(stablehlo: str, platform: str) -> list[str]:
    """What the platform lacks: calls, among them those of the host, and types."""
    calls = set(re.findall(r"stablehlo\.custom_call @(\w+)", stablehlo))
    unknown = calls - ALLOWED[platform]
    doubles = set(re.findall(r"tensor<(?:[\d?]+x)*(f64|complex<f64>)>", stablehlo))
    return [
        *(f"custom call {name}" for name in sorted(unknown)),
        *(f"type {name}" for name in sorted(doubles)),
    ]


def element_gathers(stablehlo: str) -> list[str]:
    """Gathers that read a large result element by element, each from its own place."""
    found = []
    for line in stablehlo.splitlines():
        if "stablehlo.gather" not in line:
            continue
        sizes = re.search(r"slice_sizes = array<i64: ([\d, ]+)>", line)
        result = re.search(r"-> tensor<((?:\d+x)+)\w+>", line)
        if not sizes or not result:
            continue
        each = _product(sizes[1].split(","))
        elements = _product(result[1].strip("x").split("x"))
        if each == 1 and elements > SMALL:
            found.append(line.strip()[:300])
    return found


def _product(numbers):
    total = 1
    for number in numbers:
        total *= int(number)
    return total
