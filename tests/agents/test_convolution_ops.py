"""All forms of a convolution give the same numbers and slopes; pooling by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents.encoders import convolution_ops
from shardsim.core import backends
from tests.helpers.gradients import check_grads

FORMS = {
    "plain": convolution_ops.plain,
    "ordered": convolution_ops.ordered,
    "conv": lambda board, kernel: convolution_ops.convolve(board, kernel, "conv"),
    "patches": lambda board, kernel: convolution_ops.convolve(board, kernel, "patches"),
}
BOARD = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[..., None]


def drawn(key, side=3, height=4, width=6, planes=2, out=3):
    board_key, kernel_key, weight_key = jax.random.split(key, 3)
    return (
        jax.random.normal(board_key, (height, width, planes)),
        # as at initialisation: numbers of about 1 come out
        jax.random.normal(kernel_key, (side, side, planes, out)) / (side * 1.5),
        jax.random.normal(weight_key, (height, width, out)),
    )


@pytest.mark.parametrize("form", FORMS)
class TestForms:
    def test_a_kernel_of_one_cell_by_hand(self, form):
        # 2 x + 10 y at every cell, from planes x and y
        board = jnp.concatenate([BOARD, jnp.ones_like(BOARD)], axis=-1)
        kernel = jnp.array([2.0, 10.0]).reshape(1, 1, 2, 1)
        np.testing.assert_allclose(FORMS[form](board, kernel), 2 * BOARD + 10)

    def test_a_kernel_of_nine_cells_by_hand(self, form):
        # row 0 of the kernel looks up, column 2 looks right: not flipped
        kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
        got = FORMS[form](BOARD, kernel)[..., 0]
        # centre: sum of i * (i + 1), i = 0..8 = 204 + 36
        assert got[1, 1] == 240
        # corner: 4 * 1 + 5 * 2 + 7 * 4 + 8 * 5, what lies outside is 0
        assert got[0, 0] == 4 + 10 + 28 + 40
        # corner: 0 * 5 + 1 * 6 + 3 * 8 + 4 * 9
        assert got[2, 2] == 6 + 24 + 36

    def test_gradient_is_the_slope(self, form, key):
        board, kernel, weight = drawn(key)
        check_grads(
            lambda b, k: jnp.sum(FORMS[form](b, k) * weight),
            (board, kernel),
            order=1,
            modes=["fwd", "rev"],
            rtol=0.02,
            atol=0.02,
        )

    def test_what_moves_in_moves_out(self, form, key):
        _, kernel, _ = drawn(key)
        board = jnp.zeros((8, 8, 2)).at[3, 3].set(jnp.array([1.0, -2.0]))
        moved = jnp.roll(board, (2, 1), (0, 1))
        got, want = FORMS[form](moved, kernel), FORMS[form](board, kernel)
        np.testing.assert_allclose(got, jnp.roll(want, (2, 1), (0, 1)), atol=1e-6)
        assert jnp.abs(got).max() > 0


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("place", ["outside", "in a loop", "over seeds"])
@pytest.mark.few(4)
def test_forms_are_equal(side, place, key):
    board, kernel, weight = drawn(key, side)
    boards = jnp.stack([board, 2 * board, board[::-1]])

    def slopes(form, kernel):
        def loss(kernel, boards):
            out = jax.vmap(FORMS[form], (0, None))(boards, kernel)
            return jnp.sum(jnp.sin(out) * weight[None]), out

        return jax.grad(loss, (0, 1), has_aux=True)(kernel, boards)

    def run(form):
        def body(kernel, _):
            (turn, move), out = slopes(form, kernel)
            return kernel - 0.01 * turn, (turn, move, out)

        if place == "over seeds":
            return jax.vmap(lambda k: slopes(form, k))(jnp.stack([kernel, -kernel]))
        if place == "in a loop":
            return jax.lax.scan(body, kernel, None, 2)
        return slopes(form, kernel)

    want = run("plain")
    for form in FORMS:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
            run(form),
            want,
        )


def test_in_a_loop_all_convolutions_have_the_fast_order(key):
    """XLA for CPUs reorders outside of loops only; ten times the rate hang on it."""
    boards = jax.random.normal(key, (2, 5, 5, 4))
    kernel = jax.random.normal(key, (3, 3, 4, 4))

    def orders(form):
        def loss(kernel, boards):
            once = jax.vmap(FORMS[form], (0, None))(boards, kernel)
            return jnp.sum(jax.vmap(FORMS[form], (0, None))(once, kernel) ** 2)

        def body(kernel, _):
            return kernel - 0.01 * jax.grad(loss)(kernel, boards), None

        program = jax.jit(lambda kernel: jax.lax.scan(body, kernel, None, 2))
        lines = program.lower(kernel).compile().as_text().splitlines()
        found = [line for line in lines if " convolution(" in line]
        return [line.split("dim_labels=")[1].split(",")[0] for line in found]

    # two forward, two for kernels, one for the board between
    assert orders("ordered") == ["b01f_01io->b01f"] * 5
    assert set(orders("plain")) > {"b01f_01io->b01f"}
    assert orders("patches") == []


def test_what_needs_no_slope_costs_none(key):
    board, kernel, _ = drawn(key)
    jaxpr = jax.make_jaxpr(jax.grad(lambda k: FORMS["ordered"](board, k).sum()))(kernel)
    # forward and the kernel's; none for the board
    assert str(jaxpr).count("conv_general_dilated[") == 2


@pytest.mark.parametrize(
    ("form", "backend", "want"),
    [
        ("auto", "cpu", "patches"),
        ("auto", "gpu", "conv"),
        ("auto", "tpu", "conv"),
        ("conv", "cpu", "conv"),
        ("patches", "gpu", "patches"),
    ],
)
def test_the_form_is_chosen_by_backend(form, backend, want):
    with backends.target(backend):
        assert convolution_ops.resolve(form) == want


def test_elsewhere_than_on_a_cpu_it_is_the_plain_one(key):
    board, kernel, _ = drawn(key)
    with backends.target("gpu"):
        jaxpr = str(jax.make_jaxpr(convolution_ops.convolve)(board, kernel))
    assert "conv_general_dilated[" in jaxpr
    assert "custom_jvp" not in jaxpr


def test_pooling_by_hand():
    # cells round (0, 0), (0, 2), (2, 0), (2, 2)
    got = convolution_ops.pool(BOARD)[..., 0]
    np.testing.assert_array_equal(got, [[5, 6], [8, 9]])
    assert convolution_ops.pool(-BOARD)[0, 0, 0] == -1  # nothing outside counts


@pytest.mark.parametrize("shape", [(1, 1, 2), (4, 5, 3), (7, 2, 1)])
def test_pooling_is_that_of_a_window(shape, key):
    board = jax.random.normal(key, shape)
    want = jax.lax.reduce_window(
        board,
        -jnp.inf,
        jax.lax.max,
        (3, 3, 1),
        (2, 2, 1),
        ((1, 1), (1, 1), (0, 0)),
    )
    # the window of an even side ends one cell further out, where nothing is
    np.testing.assert_array_equal(convolution_ops.pool(board), want)


def test_pooling_shares_the_gradient_of_ties():
    slope = jax.grad(lambda b: convolution_ops.pool(b).sum())(jnp.zeros((3, 3, 1)))
    np.testing.assert_allclose(slope.sum(), 4)  # one for each pooled cell
    assert (slope >= 0).all()


def test_a_layer_adds_its_bias():
    layer = convolution_ops.Convolution(1, 2, "auto", nnx.Rngs(0), side=1)
    layer.kernel[...] = jnp.array([1.0, -1.0]).reshape(1, 1, 1, 2)
    layer.bias[...] = jnp.array([10.0, 20.0])
    got = layer(BOARD.astype(jnp.uint8))
    np.testing.assert_allclose(got[0, 2], [13, 17])


def test_kernels_are_drawn_as_he_says(key):
    layer = convolution_ops.Convolution(64, 64, "auto", nnx.Rngs(key))
    # variance 2 / (9 x 64 cells that a unit reads)
    np.testing.assert_allclose(layer.kernel[...].std(), (2 / 576) ** 0.5, rtol=0.02)
    assert (layer.bias[...] == 0).all()
