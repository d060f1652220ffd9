"""Products whose gradients come in the faster order: the numbers of x @ W."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import layers
from tests.helpers.gradients import check_grads

SIZES = [(3, 8), (8, 3), (5, 5), (9, 1), (1, 9)]
"""Inputs and outputs: W wide, tall, square, a column, a row."""


def arrays(inputs, outputs, *front, dtype=jnp.float32):
    one, two = jax.random.split(jax.random.key(inputs))
    x = jax.random.normal(one, (*front, 6, inputs), dtype)
    return x, jax.random.normal(two, (*front, inputs, outputs), dtype)


def multiply(x, w):
    return x @ w


def mapped(product, x, w):
    """Rows one by one, W shared: how samples meet a layer."""
    return jax.vmap(lambda row: product(row[None], w)[0])(x)


def wave(product, x, w):
    return jnp.sum(jnp.sin(mapped(product, x, w)))


def assert_close(got, wanted):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, wanted
    )


def test_by_hand():
    x = jnp.asarray([[1.0, 2.0], [3.0, 4.0]])
    w = jnp.asarray([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]])
    assert layers.product(x, w).tolist() == [[1, 2, 8], [3, 4, 18]]
    g = jnp.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    _, back = jax.vjp(layers.product, x, w)
    to_x, to_w = back(g)
    assert to_x.tolist() == [[1, 0], [2, 4]]
    assert to_w.tolist() == [[1, 3, 3], [2, 4, 4]]


@pytest.mark.parametrize("sizes", SIZES)
def test_slopes_are_those_of_the_plain_product(sizes):
    x, w = arrays(*sizes)
    first = jax.grad(wave, argnums=(1, 2))
    assert_close(first(layers.product, x, w), first(multiply, x, w))

    def second(product):
        slope = jax.grad(wave, argnums=2)
        return jax.grad(lambda w: jnp.sum(slope(product, x, w) ** 2))(w)

    assert_close(second(layers.product), second(multiply))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.few(2)
def test_slopes_are_differences(sizes):
    check_grads(
        layers.product, arrays(*sizes), order=2, modes=("fwd", "rev"), rtol=1e-2
    )


@pytest.mark.parametrize("sizes", SIZES)
def test_seeds_are_mapped_over_samples(sizes):
    """Two mapped axes of both, and gradients one by one as well as summed."""
    x, w = arrays(*sizes, 2, 3)
    slope = jax.vmap(jax.vmap(jax.grad(wave, argnums=2), (None, 0, 0)), (None, 0, 0))
    assert_close(slope(layers.product, x, w), slope(multiply, x, w))
    each = jax.vmap(jax.grad(wave, argnums=(1, 2)), (None, 0, None))
    few, one = x[0], w[0, 0]
    assert_close(each(layers.product, few, one), each(multiply, few, one))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_many_w_of_the_same_x(axis):
    x, w = arrays(4, 3, 2)
    w = jnp.moveaxis(w, 0, axis)
    assert_close(
        jax.vmap(layers.product, in_axes=(None, axis))(x[0], w),
        jax.vmap(multiply, in_axes=(None, axis))(x[0], w),
    )
    x = jnp.moveaxis(x, 0, axis)
    assert_close(
        jax.vmap(layers.product, in_axes=(axis, None))(x, jnp.ones((4, 3))),
        jax.vmap(multiply, in_axes=(axis, None))(x, jnp.ones((4, 3))),
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_types_are_kept(dtype):
    x, w = arrays(4, 3, dtype=dtype)
    assert layers.product(x, w).dtype == dtype
    assert jax.grad(lambda w: layers.product(x, w).sum())(w).dtype == dtype


def test_a_layer_is_that_of_flax():
    x = jax.random.normal(jax.random.key(2), (2, 5, 4))
    ours, theirs = (
        kind(4, 3, rngs=nnx.Rngs(7)) for kind in (layers.Linear, nnx.Linear)
    )
    assert_close(ours(x), theirs(x))
    assert_close(ours(x[0, 0]), theirs(x[0, 0]))


@pytest.mark.parametrize("product", [layers.product, multiply])
@pytest.mark.parametrize("seeds", [(), (2,)])
def test_the_longer_side_of_w_comes_last(product, seeds):
    """What is fast is an order of sums: in the compiled program, not in the numbers.

    The plain product is the control: its gradient has the order that is slow.
    """
    x, w = arrays(3, 8, *seeds)
    slope = jax.grad(wave, argnums=2)
    for _ in seeds:
        slope = jax.vmap(slope, in_axes=(None, 0, 0))
    program = jax.jit(functools.partial(slope, product)).lower(x, w).as_text()
    front = "".join(f"{n}x" for n in seeds)
    assert (f"-> tensor<{front}3x8xf32>" in _dots(program)) == (
        product is layers.product
    )


def _dots(program):
    return "\n".join(line for line in program.splitlines() if "dot_general" in line)


@pytest.mark.parametrize("types", [("bfloat16", "float32"), ("float32", "bfloat16")])
@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
def test_gradients_come_in_the_type_of_what_they_are_to(types, shape):
    """So that what comes before can take them, in a loop too."""
    x, w = (jnp.ones(s, t) for s, t in zip(((4, shape[0]), shape), types, strict=True))

    def body(z, w):
        return jnp.sin(z), layers.product(z, w).sum()

    def total(z, w):
        return jax.lax.scan(lambda z, _: body(z, w), z, None, length=2)[1].sum()

    with jax.numpy_dtype_promotion("standard"):
        out, back = jax.vjp(layers.product, x, w)
        assert [str(g.dtype) for g in back(out)] == list(types)
        slopes = jax.grad(total, argnums=(0, 1))(x, w)
    assert [str(g.dtype) for g in slopes] == list(types)
