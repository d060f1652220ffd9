"""Errors of bad input name the field, the value and what is allowed."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection import validation


def test_shapes_are_named():
    validation.shaped("x", np.zeros((3, 2)), None, 2)
    with pytest.raises(ValueError, match=r"x: got shape \(3, 2\); allowed: \(any, 4\)"):
        validation.shaped("x", np.zeros((3, 2)), None, 4)
    with pytest.raises(ValueError, match="x: got shape"):
        validation.shaped("x", np.zeros(3), None, 2)


def test_numbers_that_are_not_finite_are_counted_and_located():
    validation.finite("x", [1.0, 2.0])
    validation.finite("x", np.asarray(["a"]))
    with pytest.raises(ValueError, match=r"x: got 2 numbers .* first at \(0, 1\)"):
        validation.finite("x", [[1.0, np.nan], [np.inf, 0.0]])


def test_bfloat16_is_checked():
    validation.finite("x", jnp.ones(2, jnp.bfloat16))
    with pytest.raises(ValueError, match=r"x: got 1 numbers .* first at \(1,\)"):
        validation.finite("x", jnp.asarray([1.0, jnp.nan], jnp.bfloat16))


@pytest.mark.parametrize("kind", ["complex64", "object"])
def test_complex_numbers_and_objects_are_refused(kind):
    with pytest.raises(ValueError, match=f"x: got {kind}; allowed: real numbers"):
        validation.finite("x", np.ones(2, kind))


def test_16_bit_numbers_are_widened_and_others_unchanged():
    for kind in (jnp.float16, jnp.bfloat16, jnp.int8, bool):
        assert validation.wide(jnp.ones(2, kind)).dtype == jnp.float32
    with jax.enable_x64():
        assert validation.wide(np.ones(2)).dtype == jnp.float64


def test_numbers_whose_squares_overflow_are_refused():
    for size in (0.0, 1e-15, 1.0, 1e15):
        validation.sized("x", np.full(2, size, np.float32))
    validation.sized("x", np.zeros((0, 2)))
    for size in (1e-16, 1e16):
        said = re.escape(f"x: got {size:.3g} as its largest number; allowed: 7e-16 to")
        with pytest.raises(ValueError, match=said):
            validation.sized("x", np.float32([0, -size]))
    with jax.enable_x64():
        validation.sized("x", np.asarray([1e30]))


def test_traced_arrays_pass():
    def look(x):
        validation.finite("x", x)
        return x

    assert jnp.isnan(jax.jit(look)(jnp.nan))


def test_ranges_and_choices():
    validation.at_least("k", 1, 1)
    validation.one_of("method", "a", ("a", "b"))
    with pytest.raises(ValueError, match="k: got 0; allowed: at least 1"):
        validation.at_least("k", 0, 1)
    with pytest.raises(ValueError, match="k: got nan"):
        validation.at_least("k", float("nan"), 1)
    validation.between("share", [0, 0.5, 1], 0, 1)
    with pytest.raises(ValueError, match="share: got 2; allowed: 0 to 1"):
        validation.between("share", 2, 0, 1)
    with pytest.raises(ValueError, match="gates: got -3; allowed: at least 0"):
        validation.between("gates", np.array([[1, 2], [-3, -4]]), 0)
    with pytest.raises(ValueError, match="share: got nan; allowed: 0 to 1"):
        validation.between("share", float("nan"), 0, 1)
    validation.kind("mask", [True], "b", "booleans")
    validation.kind("owners", jnp.zeros(2, int), "iu", "whole numbers")
    with pytest.raises(ValueError, match="mask: got float32; allowed: booleans"):
        validation.kind("mask", jnp.zeros(2), "b", "booleans")
    assert validation.floating([1, 2]).dtype == jnp.float32
    assert validation.floating(np.float16([1])).dtype == jnp.float16
    with pytest.raises(ValueError, match="method: got 'c'; allowed: a, b"):
        validation.one_of("method", "c", ("a", "b"))
