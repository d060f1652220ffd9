"""Results and output depend on the config alone, whatever surrounds the process."""

import inspect
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from shardsim import cli
from shardsim.commands import list as command
from shardsim.core import surroundings
from shardsim.core.config import ConfigError
from shardsim.evaluation.measures import value_error
from tests.helpers import run_folders


def shardsim(*words, python=(), **variables):
    """The command in a process of its own, with other environment variables."""
    return subprocess.run(
        [sys.executable, *python, "-m", "shardsim.cli", *map(str, words)],
        env={**os.environ, **variables},
        capture_output=True,
    )


def last_line(done):
    return done.stderr.decode().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"JAX_PLATFORMS": "cuda"}, "JAX_PLATFORMS: got 'cuda' "),
        ({"JAX_PLATFORMS": "nonsense"}, "JAX_PLATFORMS: got 'nonsense' "),
        ({"JAX_PLATFORMS": "tpu,cpu"}, "JAX_PLATFORMS: got 'tpu,cpu' "),
        ({"JAX_ENABLE_X64": "maybe"}, "environment: invalid truth value 'maybe'"),
        ({"JAX_DEFAULT_PRNG_IMPL": "dice"}, "environment: "),
        ({"JAX_NUMPY_DTYPE_PROMOTION": "odd"}, "environment: "),
        ({"XLA_FLAGS": "--xla_no_such_flag=1"}, "XLA_FLAGS: got --xla_no_such_flag=1;"),
        (
            {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"},
            "XLA_FLAGS: got --xla_cpu_enable_fast_math=true; allowed: flags that do",
        ),
    ],
    ids=str,
)
@pytest.mark.few(3)
def test_what_cannot_be_honoured_is_one_line(tiny_yaml, tmp_path, variables, line):
    done = shardsim("run", tiny_yaml, "--out", tmp_path / "run", **variables)
    assert done.returncode == 2
    assert last_line(done).startswith(f"shardsim: {line}")
    assert "allowed: " in last_line(done)
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ("--xla_cpu_enable_fast_math", True),
        ("--a=1 --xla_cpu_enable_fast_math=1 --b", True),
        ("--xla_cpu_enable_fast_min_max=true", True),
        ("--xla_gpu_enable_fast_min_max=true", True),
        ("--xla_cpu_enable_fast_math=false", False),
        ("--xla_cpu_enable_fast_math=0 --b", False),
        ("", False),
        ("--xla_force_host_platform_device_count=2", False),
    ],
)
def test_flags_of_fast_arithmetic_are_refused(flags, refused):
    assert bool(surroundings.FAST_MATH.search(flags)) == refused


NOISE = {
    "COLUMNS": "20",
    "FORCE_COLOR": "1",
    "HOME": "/nonexistent",
    "JAX_DEBUG_NANS": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_DISABLE_JIT": "0",
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OPENBLAS_NUM_THREADS": "2",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONHASHSEED": "7",
    "PYTHONIOENCODING": "ascii",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "error",
    "TERM": "dumb",
    "TZ": "Asia/Kathmandu",
}
"""Each of these changed a number, a figure or the exit code of some program."""
ABOUT_THE_MACHINE = (
    *("preregistration.json", "provenance.json", "report.html"),
    *("run_files.jsonl", "timing.json"),
)
"""Files that tell where and when a run was made; the report shows both."""


@pytest.mark.long
@pytest.mark.timeout(900)  # it trains twice
def test_results_and_figures_depend_on_the_config_alone(
    tiny_yaml, command_run, tmp_path
):
    out = tmp_path / "run"
    noise = {**NOISE, "XLA_FLAGS": run_folders.ENVIRONMENT["XLA_FLAGS"]}
    done = shardsim("run", tiny_yaml, "--out", out, python=["-OO"], **noise)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    for path in sorted(command_run.rglob("*")):
        name = path.relative_to(command_run).as_posix()
        if path.is_dir() or name.startswith("checkpoints"):
            continue
        if path.suffix == ".npz":
            with np.load(path) as ours, np.load(out / name) as theirs:
                assert set(ours) == set(theirs)
                for key in ours:
                    assert ours[key].dtype == theirs[key].dtype, (name, key)
                    np.testing.assert_array_equal(ours[key], theirs[key])
        elif name not in ABOUT_THE_MACHINE:
            assert path.read_bytes() == (out / name).read_bytes(), name


def test_settings_of_jax_are_fixed_in_a_command_and_come_back(tmp_path, monkeypatch):
    seen = {}

    def look(options, flags):
        seen.update({name: jax.config.values[name] for name in surroundings.NUMERICS})
        return 0

    monkeypatch.setattr(command, "main", look)
    before = jax.config.values["jax_default_matmul_precision"]
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    try:
        assert cli.main(["list", str(tmp_path)]) == 0
        assert jax.config.values["jax_default_matmul_precision"] == "bfloat16"
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    assert seen == surroundings.NUMERICS


def test_strict_promotion_stays_as_it_was(tmp_path, monkeypatch):
    """It changes no number, and tests rely on it."""
    assert not any("promotion" in name for name in surroundings.NUMERICS)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.few(1)
def test_tables_can_be_printed_everywhere(tiny_run, encoding):
    for words in (["list", tiny_run.parent], ["compare", tiny_run]):
        done = shardsim(*words, PYTHONIOENCODING=encoding, FORCE_COLOR="1", COLUMNS="9")
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout
        assert "tiny" in done.stdout.decode(encoding)


def test_a_config_with_a_byte_order_mark_is_read(tiny_yaml, tmp_path, capsys):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + tiny_yaml.read_bytes())
    assert cli.main(["config", str(path)]) == 0
    assert capsys.readouterr().out.startswith("name: tiny\n")


@pytest.mark.slow
def test_definitions_are_there_without_docstrings(capsys):
    code = """
from shardsim import cli
from shardsim.core import docstrings
from shardsim.evaluation.measures import value_error
assert value_error.__doc__ is None
cli.main(["config", "--schema"])
print(docstrings.of(value_error.ValueAccuracy.measure))
"""
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True)
    assert cli.main(["config", "--schema"]) == 0
    definition = inspect.getdoc(value_error.ValueAccuracy.measure)
    told = capsys.readouterr().out + definition + "\n"
    assert done.stdout.decode() == told, done.stderr


def test_flags_that_change_numbers_are_refused_by_a_process(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    with pytest.raises(ConfigError, match="XLA_FLAGS: got --xla_cpu_enable_fast_math"):
        surroundings.own_process()
