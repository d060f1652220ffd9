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
    with pytest.raises(ValueError, match="x: got <U1; allowed: real numbers"):
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


LABELS = {
    "python integers": [1059, 1000, 1059],
    "negative": [7, -7, 7],
    "beyond 32 bits, equal in the low 32": [2**40 + 3, 3, 2**40 + 3],
    "beyond 63 bits": [2**63, -1, 2**63],
    "beyond 64 bits": [2**70, -1, 2**70],
    "int64": np.asarray([2**33 + 5, 5, 2**33 + 5]),
    "uint64": np.asarray([2**63 + 5, 5, 2**63 + 5], np.uint64),
    "int8": np.asarray([1, -128, 1], np.int8),
    "jax": jnp.asarray([9, 4, 9]),
    "scalars of several libraries": [np.int64(2**40), jnp.int32(4), 2**40],
    "booleans": [True, False, True],
    "jax booleans": jnp.asarray([True, False, True]),
    "texts": ["corner", "cheese", "corner"],
    "numpy texts": np.asarray(["corner", "cheese", "corner"]),
    "objects": np.asarray(["corner", "cheese", "corner"], object),
    "variable-width texts": np.asarray(["b", "a", "b"], np.dtypes.StringDType()),
    "bytes": [b"b", b"a", b"b"],
    "tuple": (2, 1, 2),
}


@pytest.mark.parametrize("given", LABELS.values(), ids=LABELS)
def test_labels_of_any_kind_become_indices_in_their_order(given):
    labels = validation.labels("context", given, 3, least=2)
    assert labels.index.tolist() == [1, 0, 1]
    assert labels.index.dtype == np.int32
    assert labels.count == 2
    assert [labels.names[i] for i in labels.index] == list(given)


NO_LABELS = {
    "floats": ([1.0, 2.0], "got float; allowed: integers, booleans or texts"),
    "float array": (np.ones(2), "got float64; allowed: integers, booleans or texts"),
    "bfloat16": (jnp.ones(2, jnp.bfloat16), "got bfloat16; allowed: integers"),
    "complex": (np.ones(2, complex), "got complex128; allowed: integers"),
    "times": (np.asarray(["2020-01-01"], "M8[D]"), "got datetime64"),
    "mixed": ([1, "1"], "got int, str; allowed: integers, booleans or texts"),
    "missing": (["a", None], "got NoneType, str; allowed: integers"),
    "not a number": (["a", np.nan], "got float, str; allowed: integers"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), "got masked labels; allowed"),
    "matrix": ([[1, 2]], r"got shape \(1, 2\); allowed: \(2\)"),
    "ragged": ([[1], [1, 2]], "got list; allowed: integers"),
    "scalar": (3, r"got shape \(\); allowed: \(2\)"),
    "a text": ("ab", r"got shape \(\); allowed: \(2\)"),
    "set": ({1, 2}, "got set; allowed: integers"),
    "nothing": (None, "got NoneType; allowed: integers"),
    "too long": ([1, 2, 3], r"got shape \(3,\); allowed: \(2\)"),
    "one": ([4, 4], r"got 1 different labels \(4\); allowed: at least 2"),
}


@pytest.mark.parametrize(("given", "error"), NO_LABELS.values(), ids=NO_LABELS)
def test_what_is_no_label_is_refused_by_name(given, error):
    with pytest.raises(ValueError, match=f"^context: {error}"):
        validation.labels("context", given, 2, least=2)


def test_labels_that_are_too_many_are_refused():
    assert validation.labels("c", [5, 9], count=2).count == 2
    with pytest.raises(ValueError, match=r"c: got 3 different labels; .* at most 2"):
        validation.labels("c", [5, 9, 7], count=2)


def test_traced_labels_need_their_number():
    def index(labels, count):
        return validation.labels("c", labels, 3, count=count).index

    given = jnp.asarray([2, 0, 1])
    assert jax.jit(lambda c: index(c, 3))(given).tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="c: got traced labels; allowed"):
        jax.jit(lambda c: index(c, None))(given)
    with pytest.raises(ValueError, match="c: got float32; allowed: integers"):
        jax.jit(lambda c: index(c, 3))(jnp.ones(3))


def test_masks_are_booleans():
    for given in ([True, False], np.asarray([True, False]), jnp.asarray([True, False])):
        assert (~validation.mask("m", given, 2)).tolist() == [False, True]
    assert validation.mask("m", [], 0).dtype == bool
    assert jax.jit(lambda m: validation.mask("m", m, 1))(jnp.asarray([True])).all()


@pytest.mark.parametrize(
    "given",
    [
        [1, 0],
        np.uint8([1, 0]),
        np.int64([1, 0]),
        np.float32([1, 0]),
        jnp.asarray([1, 0]),
        ["True", "False"],
        [True, None],
    ],
)
def test_masks_of_anything_else_are_refused(given):
    with pytest.raises(ValueError, match=r"m: got .*; allowed: booleans"):
        validation.mask("m", given, 2)


def test_masks_have_the_right_shape():
    with pytest.raises(ValueError, match=r"m: got shape \(2,\); allowed: \(3\)"):
        validation.mask("m", [True, False], 3)


def test_indices_point_into_a_range():
    for given in ([2, 0], np.uint8([2, 0]), np.int64([2, 0]), jnp.asarray([2, 0])):
        assert validation.indices("successor", given, 3, 2).tolist() == [2, 0]
    for given, error in (
        ([3, 0], "got 3; allowed: 0 to 2"),
        ([2**32, 0], "got 4294967296; allowed: 0 to 2"),
        ([-1, 0], "got -1; allowed: 0 to 2"),
        ([1.0, 0.0], "got float64; allowed: integers"),
        ([True, False], "got bool; allowed: integers"),
        ([1], r"got shape \(1,\); allowed: \(2\)"),
    ):
        with pytest.raises(ValueError, match=f"successor: {error}"):
            validation.indices("successor", given, 3, 2)


def test_whole_numbers_of_every_library_are_taken():
    for given in (3, np.int64(3), np.uint8(3), jnp.int32(3), np.asarray(3)):
        number = validation.integer("draws", given, 1, 3)
        assert (number, type(number)) == (3, int)
    for given in (True, 3.0, np.float32(3), "3", None, [3], np.asarray([3])):
        with pytest.raises(ValueError, match=r"draws: got .*; allowed: an integer"):
            validation.integer("draws", given, 1, 3)
    for given in (0, 4, 2**40):
        with pytest.raises(ValueError, match=f"draws: got {given}; allowed: 1 to 3"):
            validation.integer("draws", given, 1, 3)
    with pytest.raises(ValueError, match="draws: got 0; allowed: at least 1"):
        validation.integer("draws", 0, 1)


def test_integers_beyond_32_bits_keep_their_size_as_floats():
    for given in ([2**33 + 5], np.asarray([2**33 + 5]), np.asarray([2**33], np.uint64)):
        assert float(validation.floating(given)[0]) == 2**33
        assert float(validation.floats("x", given, 1)[0]) == 2**33


def test_numbers_that_floats_cannot_hold_are_refused():
    assert validation.floats("x", [1, 2.5], None).tolist() == [1, 2.5]
    for given, error in (
        ([1.0, 1e300], "got 1e[+]300; allowed: numbers that float32 can hold"),
        ([np.nan], "got 1 numbers that are not finite"),
        (["a"], "got <U1; allowed: real numbers"),
        ([1j], "got complex128; allowed: real numbers"),
        ([None], "got object; allowed: real numbers"),
    ):
        with pytest.raises(ValueError, match=f"x: {error}"):
            validation.floats("x", given, None)
