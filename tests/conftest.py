"""Strict numerics for every test: no silent promotion of dtypes or ranks."""

import collections
import gc
import importlib.metadata
import os
import tempfile
from pathlib import Path

# tests compile much and compute little; each of these takes a third off their time. Of
# the second only jaxlib 0.9 knows the name: others end at it
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false"
    * importlib.metadata.version("jaxlib").startswith("0.9."),
)
# LAPACK's threads cost more than they save on small matrices
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "SHARDSIM_CACHE" not in os.environ:  # the workers share what their parent makes
    PROGRAMS = tempfile.TemporaryDirectory(prefix="shardsim-programs-")
    os.environ["SHARDSIM_CACHE"] = PROGRAMS.name

import jax
import jaxtyping
import pytest

from tests.helpers import typechecker

CHECKED = ("shardsim", "shardsim_envs")
"""Packages and modules whose annotations beartype verifies in every call."""
jaxtyping.install_import_hook(CHECKED, f"{typechecker.__name__}.typechecked")

pytest_plugins = ["tests.helpers.extensions", "tests.helpers.tiny_run"]

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# a tenth of their time is to look for garbage among what is traced, and finds little
gc.set_threshold(100_000, 20, 20)

LONG = ("test_documents.py", "test_schedules.py", "test_walkthrough.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a test marked `few(n)` only the first n cases are fast: the rest are slow, or
    what the mark says.

    Files with single long tests go first, lest one worker runs them at the end alone.
    """
    items.sort(key=lambda item: item.path.name not in LONG)
    seen = collections.Counter()
    for item in items:
        few = item.get_closest_marker("few")
        if few is None:
            continue
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if seen[test] > few.args[0]:
            item.add_marker(few.kwargs.get("rest", "slow"))


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """A process may hold 65530 maps of memory; a compiled program takes some for good.

    Thousands of tests in one process pass that, and XLA then ends in a fault or hangs.
    With 9000 of them programs take some 2.5 GB.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 9_000:
        jax.clear_caches()


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def small() -> list[str]:
    """Flags that make seconds of any experiment of two phases."""
    fields = {
        "train.num-seeds": 2,
        "train.num-envs": 4,
        "train.num-steps": 4,
        "train.epochs": 1,
        "train.minibatches": 1,
        "train.num_snapshots": 2,
        "train.phases.0.updates": 2,
        "train.phases.1.updates": 4,
        "evaluation.levels": 12,
    }
    return [f"--{name}={value}" for name, value in fields.items()]
