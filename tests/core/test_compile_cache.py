"""Programs are kept between commands, where and how the user wants it."""

import os
import subprocess
import sys

import pytest

from shardsim.core import compile_cache


@pytest.fixture
def clean(monkeypatch):
    for name in (compile_cache.VARIABLE, *compile_cache.JAX_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_cache_is_the_users_and_of_these_versions(clean, tmp_path):
    import jaxlib

    clean.setenv("XDG_CACHE_HOME", str(tmp_path))
    clean.setenv("HOME", str(tmp_path))
    found = compile_cache.folder()
    assert tmp_path in found.parents
    assert f"jaxlib-{jaxlib.__version__}-python-3" in found.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHARDSIM_CACHE", "off"),
        ("SHARDSIM_CACHE", "OFF"),
        ("JAX_COMPILATION_CACHE_DIR", "/elsewhere"),
        ("JAX_ENABLE_COMPILATION_CACHE", "false"),
    ],
)
def test_the_cache_is_off_where_somebody_said_so(clean, name, value):
    clean.setenv(name, value)
    assert compile_cache.folder() is None


def test_another_cpu_has_another_cache(clean, tmp_path):
    clean.setenv("SHARDSIM_CACHE", str(tmp_path))
    here = compile_cache.folder()
    clean.setattr("platform.processor", lambda: "another")
    assert compile_cache.folder() != here


def command(words, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "shardsim.cli", *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return done


@pytest.mark.slow
def test_a_second_command_compiles_nothing_and_has_the_same_bits(
    training_yaml, tmp_path
):
    path = training_yaml()
    cache = tmp_path / "cache"
    for name in ("first", "second"):
        words = ["train", path, "--out", tmp_path / name]
        done = command(words, SHARDSIM_CACHE=str(cache))
        assert done.returncode == 0, done.stderr
        assert "arning" not in done.stderr + done.stdout, done.stderr
        assert "feature" not in done.stderr + done.stdout, done.stderr
        kept = sorted(p.name for p in cache.rglob("*-cache"))
        if name == "first":
            first = kept
    assert any("jit_chunk" in entry for entry in first)
    assert kept == first
    for file in ("weights/mlp.npz", "results.json"):
        one, two = (tmp_path / name / file for name in ("first", "second"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.long
def test_a_cache_that_cannot_be_used_costs_nothing_but_time(training_yaml, tmp_path):
    """It is a file, or its entries are damaged."""
    path, cache = training_yaml(), tmp_path / "cache"
    cache.write_text("a file of the user's")
    done = command(["train", path, "--out", tmp_path / "a"], SHARDSIM_CACHE=str(cache))
    assert (done.returncode, done.stderr.count("arning")) == (0, 0), done.stderr
    assert cache.read_text() == "a file of the user's"
    folder = tmp_path / "folder"
    for name in ("b", "c"):
        done = command(
            ["train", path, "--out", tmp_path / name], SHARDSIM_CACHE=str(folder)
        )
        assert (done.returncode, done.stderr.count("arning")) == (0, 0), done.stderr
        for entry in folder.rglob("*-cache"):
            entry.write_bytes(entry.read_bytes()[:100])
