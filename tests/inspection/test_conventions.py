"""One convention for the signatures and records of all inspection tools.

CONTRIBUTING.md states it. These tests walk every public function of the package.
"""

import collections.abc
import importlib
import inspect
import pkgutil
import typing

import numpy as np
import pytest

from shardsim import inspection
from shardsim.inspection.interventions import graph

ROWS = {"read", "reads", "write", "writes", "atoms", "basis", "directions", "planted"}
"""Fields and parameters that hold directions, one a row."""
ESTIMATORS = {
    ("tails.model_comparison.goodness", "fit"),
    ("regularisation.choose", "losses_of"),
}
"""Callables that are fitted to all samples, so that they cannot take one."""
MEANINGS = {
    "held_out": "n",
    "types": "n",
    "keep": None,
}
"""Parameters that mean one thing everywhere, and the axes of their arrays."""


def modules():
    for module in pkgutil.walk_packages(inspection.__path__, f"{inspection.__name__}."):
        # the checks are no tools
        if not module.ispkg and not module.name.endswith(".validation"):
            yield importlib.import_module(module.name)


def public():
    """Functions and methods of public classes, by their full name."""
    for module in modules():
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if name.startswith("_") or not own or not callable(value):
                continue
            path = f"{module.__name__.removeprefix('shardsim.inspection.')}.{name}"
            if not inspect.isclass(value):
                if typing.get_origin(value) is None:
                    yield path, value
                continue
            for method_name, method in vars(value).items():
                if inspect.isfunction(method) and not method_name.startswith("_"):
                    yield f"{path}.{method_name}", method


FUNCTIONS = dict(public())


def parameters(function):
    return list(inspect.signature(function).parameters.values())


def problems(function):
    """What breaks the convention of a signature."""
    positional = [
        p.name for p in parameters(function) if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    is_only = len([name for name in positional if name != "self"]) == 1
    for p in parameters(function):
        has_default = p.default is not p.empty
        if p.name in ("key", "keys") and (
            p.kind is p.KEYWORD_ONLY or has_default or p.name != positional[-1]
        ):
            yield f"{p.name} is not the last argument before the settings"
        if p.name == "seed" and (p.kind is not p.KEYWORD_ONLY or p.default != 0):
            yield "seed is not a keyword with the default 0"
        is_optional_data = p.default is None or p.default is graph.NONE
        may_be_positional = is_optional_data or is_only
        if p.name in positional and has_default and not may_be_positional:
            yield f"the setting {p.name} is not a keyword"
        if p.name == "center" and p.default not in (p.empty, None):
            yield "center has a default that is not the mean over samples"


def test_every_tool_is_walked():
    assert len(FUNCTIONS) > 150
    for name in ("concepts.cde.fit", "truth.ccs.CCS.anchored", "weights.bases.score"):
        assert name in FUNCTIONS


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_key_comes_last_and_settings_are_keywords(name):
    assert list(problems(FUNCTIONS[name])) == []


def test_a_signature_that_breaks_the_convention_is_seen():
    """Negative control."""

    def key_first(key, x): ...
    def key_optional(x, key=None): ...
    def positional_setting(x, steps=3): ...
    def positional_seed(x, seed=0): ...
    def center_at_zero(x, *, center=0.0): ...

    for function in (
        key_first,
        key_optional,
        positional_setting,
        positional_seed,
        center_at_zero,
    ):
        assert list(problems(function))


def test_center_is_the_mean_where_there_are_samples_and_has_no_default_elsewhere():
    found = set()
    for name, function in FUNCTIONS.items():
        for p in parameters(function):
            if p.name == "center":
                found.add(name)
                has_samples = "inputs" in inspect.signature(function).parameters
                assert (p.default is None) == has_samples, name
    assert len(found) >= 2


def annotated_axes(annotation):
    """The axes of the arrays in an annotation, as lists of names."""
    for metadata in getattr(annotation, "__metadata__", ()):
        if isinstance(metadata, str):
            yield metadata.split()
    if getattr(annotation, "dim_str", None) is not None:
        yield annotation.dim_str.split()
    for part in typing.get_args(annotation):
        yield from annotated_axes(part)


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: m.__name__)
def test_directions_are_rows(module):
    """The last axis has the features d, or the outputs m."""
    for cls in vars(module).values():
        fields = getattr(cls, "__annotations__", {}) if inspect.isclass(cls) else {}
        for field, annotation in fields.items():
            if field in ROWS and cls.__module__ == module.__name__:
                for axes in annotated_axes(annotation):
                    assert axes[-1] in ("d", "m"), (cls, field)
    for name, function in FUNCTIONS.items():
        if not name.startswith(module.__name__.removeprefix("shardsim.inspection.")):
            continue
        for p in parameters(function):
            if p.name in ROWS and not list(callables(p.annotation)):
                for axes in annotated_axes(p.annotation):
                    assert axes[-1] in ("d", "m"), (name, p)


def test_a_name_means_one_thing():
    for name, function in FUNCTIONS.items():
        for p in parameters(function):
            expected = MEANINGS.get(p.name)
            for axes in annotated_axes(p.annotation) if expected else ():
                assert axes == [expected], (name, p)


def callables(annotation):
    if typing.get_origin(annotation) is collections.abc.Callable:
        yield annotation
    for part in typing.get_args(annotation):
        if not isinstance(part, list):
            yield from callables(part)


def test_callables_take_one_sample():
    """No array that a caller's function takes has an axis of samples."""
    found = 0
    for name, function in FUNCTIONS.items():
        for p in parameters(function):
            is_estimator = (name, p.name) in ESTIMATORS
            for annotation in () if is_estimator else callables(p.annotation):
                arguments = typing.get_args(annotation)[0]
                for argument in arguments if isinstance(arguments, list) else ():
                    for axes in annotated_axes(argument):
                        found += 1
                        assert axes[:1] != ["n"], (name, p)
    assert found > 5


def test_seeds_are_integers_of_any_library():
    from shardsim.inspection.concepts import control_tasks

    expected = control_tasks.by_group([1, 2, 3, 4], seed=3)
    for seed in (np.int64(3), np.uint8(3)):
        np.testing.assert_array_equal(
            control_tasks.by_group([1, 2, 3, 4], seed=seed), expected
        )
    with pytest.raises(ValueError, match="seed: got -1; allowed: at least 0"):
        control_tasks.by_group([1, 2], seed=-1)
