"""Adam and the matching: against explicit loops, and their laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection import arrays, optimizers

TARGET = np.array([1.0, -2.0, 0.5])


def distance(x, number):
    """The second coordinate counts in even steps only."""
    weight = jnp.where(number % 2 == 0, 1.0, 0.0)
    gap = x["w"] - jnp.asarray(TARGET, jnp.float32)
    return jnp.sum(jnp.stack([gap[0] ** 2, weight * gap[1] ** 2, jnp.abs(gap[2])]))


def by_hand(steps, rate, decay, b2=0.999, eps=1e-8):
    """The paper's algorithm 1 in plain NumPy, in double precision."""
    x, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    losses = []
    for t in range(steps):
        gap, even = x - TARGET, float(t % 2 == 0)
        losses.append(gap[0] ** 2 + even * gap[1] ** 2 + abs(gap[2]))
        g = np.array([2 * gap[0], 2 * even * gap[1], np.sign(gap[2])])
        m, v = 0.9 * m + 0.1 * g, b2 * v + (1 - b2) * g * g
        first, second = m / (1 - 0.9 ** (t + 1)), v / (1 - b2 ** (t + 1))
        line, wave = 1 - t / steps, (1 + np.cos(np.pi * t / steps)) / 2
        size = rate * (line if decay == "linear" else wave)
        x = x - size * first / (np.sqrt(second) + eps)
    return x, np.array(losses)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_adam_equals_an_explicit_loop(decay):
    start = {"w": jnp.zeros(3)}
    actual = optimizers.adam(distance, start, 40, 0.1, decay, b2=0.99, eps=1e-6)
    expected, losses = by_hand(40, 0.1, decay, 0.99, 1e-6)
    np.testing.assert_allclose(actual.parameters["w"], expected, atol=1e-5)
    np.testing.assert_allclose(actual.losses, losses, atol=1e-4)
    # negative control: the other decay ends elsewhere
    other = by_hand(40, 0.1, "cosine" if decay == "linear" else "linear", 0.99, 1e-6)
    assert np.abs(actual.parameters["w"] - other[0]).max() > 1e-3


def test_the_first_step_has_the_length_of_the_rate():
    slope = jnp.float32([5.0, -0.01])
    actual = optimizers.adam(lambda x, _: x @ slope, jnp.zeros(2), 1, 0.1, "cosine")
    np.testing.assert_allclose(actual.parameters, [-0.1, 0.1], rtol=1e-4)
    np.testing.assert_array_equal(actual.losses, [0.0])


def test_a_rate_and_a_start_can_be_mapped_and_the_rate_traced():
    starts = jnp.float32([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])

    @jax.jit
    def run(start, rate):
        return optimizers.adam(distance, {"w": start}, 20, rate, "linear").parameters

    both = jax.vmap(run, (0, None))(starts, jnp.float32(0.1))["w"]
    np.testing.assert_allclose(both[0], by_hand(20, 0.1, "linear")[0], atol=1e-5)
    np.testing.assert_allclose(both[1], run(starts[1], 0.1)["w"], atol=1e-6)


def test_tangent_and_retraction_stay_on_the_sphere():
    """The nearest point of the circle to (3, 4) is (.6, .8)."""
    goal = jnp.float32([3.0, 4.0])
    result = optimizers.adam(
        lambda x, _: jnp.sum(jnp.square(x - goal)),
        jnp.float32([1.0, 0.0]),
        200,
        0.1,
        "cosine",
        tangent=lambda x, slope: slope - x * jnp.dot(x, slope),
        retract=arrays.unit,
    )
    np.testing.assert_allclose(result.parameters, [0.6, 0.8], atol=1e-3)
    free = optimizers.adam(
        lambda x, _: jnp.sum(jnp.square(x - goal)),
        jnp.float32([1.0, 0.0]),
        200,
        0.1,
        "cosine",
    )
    assert jnp.linalg.norm(free.parameters) > 2  # nothing holds it there


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (1, 1)])
def test_best_pairs_beat_every_other_matching(shape):
    score = np.random.default_rng(0).normal(size=shape)
    rows, columns = arrays.best_pairs(score)
    few = min(shape)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == few
    assert (np.diff(rows) > 0).all()
    totals = [
        sum(score[i, j] for i, j in zip(some, order, strict=True))
        for some in itertools.combinations(range(shape[0]), few)
        for order in itertools.permutations(range(shape[1]), few)
    ]
    assert score[rows, columns].sum() == pytest.approx(max(totals))
    if max(shape) > 1:  # negative control: taking the largest first can lose
        greedy = np.array([[9.0, 8.0], [8.0, 0.0]])
        assert greedy[arrays.best_pairs(greedy)].sum() == 16


def test_entropy_by_hand():
    share = jnp.float32([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]])
    expected = [np.log(2), 0.0, 1.5 * np.log(2)]
    np.testing.assert_allclose(arrays.entropy(share), expected, rtol=1e-6)


def valley(x):
    """A long flat valley: curvature 1 across and 1e-3 along."""
    return jnp.square(x[0] - 1) + 1e-3 * jnp.square(x[1] - 2)


def test_rounds_go_on_until_one_gains_nothing():
    """One round ends on the way; rounds that double reach the end of the valley."""
    start = jnp.zeros(2)
    settings = (0.02, "cosine", 1e-8)
    one = optimizers.descend(lambda x, _: valley(x), valley, start, 20, 20, *settings)
    assert not one.converged
    assert one.steps == 20
    many = optimizers.descend(
        lambda x, _: valley(x), valley, start, 20, 20 * 2**9, *settings
    )
    assert many.converged
    assert many.steps > 20
    np.testing.assert_allclose(many.parameters, [1, 2], atol=0.05)
    assert many.loss == pytest.approx(float(valley(many.parameters)), abs=1e-9)


def test_what_has_converged_does_not_depend_on_the_largest_number_of_steps():
    def run(max_steps):
        def full(x):
            return jnp.abs(x - 1).sum()  # a kink, where the slope is never 0

        return optimizers.descend(
            lambda x, _: full(x), full, jnp.zeros(1), 50, max_steps, 0.1, "cosine", 0.01
        )

    few, many = run(100), run(800)
    assert few.converged
    assert many.converged
    np.testing.assert_array_equal(few.parameters, many.parameters)


def test_the_first_round_is_adam_and_runs_keep_their_own_ends():
    starts = jnp.float32([[0.0, 0.0], [1.0, 2.0]])

    def run(start):
        return optimizers.descend(
            lambda x, _: valley(x), valley, start, 30, 30, 0.1, "linear", 1e-6
        )

    both = jax.vmap(run)(starts)
    alone = optimizers.adam(lambda x, _: valley(x), starts[0], 30, 0.1, "linear")
    np.testing.assert_allclose(both.parameters[0], alone.parameters, atol=1e-6)
    assert both.converged.tolist() == [False, True]


def test_iterate_stops_at_a_fixed_point():
    point, is_still = optimizers.iterate(
        lambda x: jnp.minimum(x + 1, 5), jnp.zeros((), int), 100
    )
    assert (int(point), bool(is_still)) == (5, True)
    point, is_still = optimizers.iterate(
        lambda x: jnp.minimum(x + 1, 5), jnp.zeros((), int), 4
    )
    assert (int(point), bool(is_still)) == (4, False)


def test_a_warning_names_the_fit_and_traced_flags_are_silent():
    with pytest.warns(UserWarning, match="tool: not converged in 1 of 2 fits; more"):
        optimizers.warn_unconverged("tool", jnp.array([True, False]), "more")
    optimizers.warn_unconverged("tool", jnp.array(True), "more")

    @jax.jit
    def inside(flag):
        optimizers.warn_unconverged("tool", flag, "more")
        return flag

    assert not inside(jnp.array(False))
