"""Every public name has an example in its docstring, and every example is true."""

import doctest
import importlib
import inspect
import typing

import jax
import matplotlib
import numpy as np
import pydantic
import pytest

import shardsim
import shardsim_envs

matplotlib.use("Agg")
FLAGS = (
    doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE
)
EXCEPTIONS = ("ConfigError", "RunError")
"""They say what they are, and are shown where they are raised."""


def public():
    """Dotted name and object of everything that users may call or read."""
    for name in shardsim.testing.__all__:
        yield f"testing.{name}", getattr(shardsim.testing, name)
    for name in shardsim.__all__:
        if name in (*EXCEPTIONS, "testing"):
            continue
        found = getattr(shardsim, name)
        yield name, found
        if not inspect.isclass(found):
            continue
        for inner, member in vars(found).items():
            if inner.startswith("_") or not hasattr(member, "__doc__"):
                continue
            function = getattr(member, "fget", getattr(member, "func", member))
            if inspect.isfunction(function):
                yield f"{name}.{inner}", function


EXAMPLES = {
    example.name: example
    for name, found in public()
    for example in doctest.DocTestFinder(recurse=False).find(found, name)
    if example.examples
}


@pytest.mark.parametrize("name", [name for name, _ in public()])
def test_every_name_has_an_example(name):
    found = dict(public())[name]
    assert name in EXAMPLES or (
        inspect.isclass(found)
        and any(other.startswith(f"{name}.") for other in EXAMPLES)
    )


def test_everything_public_says_what_it_is():
    assert [name for name, found in public() if not inspect.getdoc(found)] == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_extensions")
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_example_is_true(name, tiny_run, tiny_yaml, tmp_path):
    example = EXAMPLES[name]
    example.globs = {
        "jax": jax,
        "np": np,
        "pydantic": pydantic,
        "typing": typing,
        "shardsim": shardsim,
        "shardsim_envs": shardsim_envs,
        "file": tiny_yaml,
        "folder": tiny_run,
        "new_folder": tmp_path / "new",
        "picture": tmp_path / "picture.png",
    }
    said = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert not said, "".join(said)


def test_all_names_are_lazy_and_listed():
    assert set(shardsim.__all__) == {*shardsim._HOME, "testing"}
    assert set(dir(shardsim)) >= set(shardsim.__all__)
    for name, module in shardsim._HOME.items():
        home = importlib.import_module(f"shardsim.{module}")
        assert getattr(shardsim, name) is getattr(home, name)
