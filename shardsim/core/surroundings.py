"""Keep the surroundings of a process out of its results.

Results depend on the config alone: settings of JAX that change numbers are put to fixed
values, wherever they were set. What cannot be honoured is refused.
"""

import contextlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shardsim.core.field_errors import ConfigError

NUMERICS: Final[Mapping[str, Any]] = {
    "jax_debug_infs": False,
    "jax_debug_nans": False,
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
    "jax_enable_custom_prng": False,
    "jax_enable_x64": False,
    "jax_high_dynamic_range_gumbel": False,
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_threefry_partitionable": True,
}
"""Settings of JAX that change numbers, or whether there are any, and their values.

Strict promotion of types and ranks is not among them: it changes no number.
"""
FAST_MATH = re.compile(
    r"--\w*fast_m(?:ath|in_max)\w*(?!=(?:false|0)\b)(?:=\S*)?(?=\s|$)"
)
"""Flags of XLA that trade accuracy for speed."""


def own_process() -> None:
    """Settle what a process can only settle for itself, before it imports JAX.

    Raises:
      ConfigError: flags of XLA that do not exist, or that change numbers.
    """
    # LAPACK's threads cost more than they save on small matrices, and change the bits
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if sys.warnoptions:  # warnings of other packages must not end a run
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
    _check_xla_flags(os.environ.get("XLA_FLAGS", ""))


def _check_xla_flags(flags: str) -> None:
    fast = FAST_MATH.search(flags)
    if fast:
        raise ConfigError(
            f"XLA_FLAGS: got {fast[0]}; allowed: flags that do not change results"
        )
    if not flags.strip():
        return
    # XLA ends the process at a flag that it does not know: another one tries it
    words = [
        sys.executable,
        "-c",
        "from jaxlib import xla_client as x; x.make_cpu_client()",
    ]
    done = subprocess.run(words, capture_output=True)
    match = re.search(rb"Unknown flags? in XLA_FLAGS:([^\n]*)", done.stderr)
    if done.returncode and match:
        got = match[1].decode(errors="replace").strip()
        raise ConfigError(f"XLA_FLAGS: got {got}; allowed: flags of this XLA")


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """Give JAX the settings of `NUMERICS` in the block, and its old ones afterwards.

    Raises:
      ConfigError: an environment variable has a value that JAX does not know.
    """
    try:
        import jax
    except ValueError as error:
        line = " ".join(str(error).split())
        raise ConfigError(
            f"environment: {line}; allowed: no JAX_ variables, or values that JAX knows"
        ) from None
    before = {n: jax.config.values[n] for n in NUMERICS if n in jax.config.values}
    try:
        for name in before:
            jax.config.update(name, NUMERICS[name])
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def backend_error() -> str | None:
    """Why JAX finds no device here, in one line; None if it finds one."""
    import jax

    try:
        jax.devices()
    except Exception as error:
        platforms = (
            os.environ.get("JAX_PLATFORMS") or jax.config.values["jax_platforms"]
        )
        line = " ".join(str(error).split())[:200] or "it is not installed"
        return f"JAX_PLATFORMS: got {platforms!r} ({line}); allowed: cpu, or no value"
    return None
