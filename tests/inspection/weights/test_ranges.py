"""Numbers out of range and empty arrays are refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import (
    concept,
    consistency,
    control_tasks,
    inlp,
    leace,
    methods,
    probes,
    rlace,
)
from shardsim.inspection.fields import maps, reachability
from shardsim.inspection.interventions import graph, patches, reflection, retargeting
from shardsim.inspection.shards import clusters, context_gradients, dictionary
from shardsim.inspection.tails import dependence
from shardsim.inspection.truth import baselines, ccs, comparison, counting
from shardsim.inspection.weights import bases, polar, svd, weight_action

KEY = jax.random.key(0)
EYE = np.eye(2, dtype=np.float32)
HALF = jnp.full((2, 2), 0.5)
ALL = jnp.ones(2, bool)
MODEL = graph.graph({"h": lambda s: s["input"], "out": lambda s: s["h"]})


def agreement(discount):
    ends = jnp.zeros((2, 2), bool)
    place = jnp.zeros((2, 2), int)
    return maps.agreement(jnp.ones(2), HALF, place, HALF, ends, ALL, discount)


def board_map(position, mask=ALL):
    return maps.board_map(jnp.ones(2), jnp.asarray(position), mask, (2, 3))


def owned(owners):
    x = jnp.ones((6, 2))
    return reflection.fit(x, owners, x, x, jnp.arange(6) >= 3, KEY)


def probed(z, held_out):
    x, types = np.arange(8.0).reshape(4, 2), np.zeros(4, int)
    return control_tasks.fit(x, np.asarray(z), types, held_out, controls=1)


def distract(strengths):
    x = jnp.arange(8.0).reshape(4, 2)
    return comparison.distract(x, -x, jnp.arange(4) < 2, strengths, KEY)


def retarget(magnitudes):
    return retargeting.retarget(
        MODEL, EYE, EYE, "h", ALL, magnitudes, lambda r: r.outputs["out"].mean()
    )


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: weight_action.fit(EYE, EYE, change=0),
            "change: got 0; allowed: above 0, at most 1",
        ),
        (lambda: weight_action.fit(EYE, EYE, change=np.nan), "change: got nan"),
        (
            lambda: weight_action.fit(EYE, EYE, remove=-1),
            "remove: got -1; allowed: 0 to 1",
        ),
        (
            lambda: weight_action.collisions(EYE, EYE, count=1, threshold=1),
            "threshold: got 1; allowed: 0 to less than 1",
        ),
        (lambda: agreement(1.5), r"discount: got 1\.5; allowed: 0 to 1"),
        (lambda: agreement(np.nan), "discount: got nan; allowed: 0 to 1"),
        (
            lambda: reachability.slipped(HALF, jnp.asarray([0.5, 1.5])),
            r"slip: got 1\.5; allowed: 0 to 1",
        ),
        (lambda: board_map([[1, 2], [2, 0]]), "position: got 2; allowed: 0 to 1"),
        (lambda: board_map([[1, 3], [1, 0]]), "position: got 3; allowed: 0 to 2"),
        (lambda: board_map([[1, 0], [-1, 0]]), "position: got -1; allowed: 0 to 1"),
        (
            lambda: owned(jnp.array([0.5, 1.0])),
            "hidden_shard: got float32; allowed: integers",
        ),
        (
            lambda: rlace.fit(EYE, np.array([0, 1]), KEY, decay=(1.0, np.nan)),
            r"decay: got \(1\.0, nan\); allowed: two numbers above 0",
        ),
        (
            lambda: rlace.fit(EYE, np.array([0, 1]), KEY, decay=(np.inf, 1.0)),
            r"decay: got \(inf, 1\.0\); allowed: two numbers above 0",
        ),
        (
            lambda: probed([0, 0, 0, 1], np.array([False, False, True, True])),
            "classes of z to train on: got 1; allowed: at least 2",
        ),
        (
            lambda: probed([0, 1, 0, 1], np.array([True, False])),
            r"held_out: got shape \(2,\); allowed: \(4\)",
        ),
        (
            lambda: probed([0, 1, 0, 1], np.array([0, 1, 2, 3])),
            "held_out: got int64; allowed: booleans",
        ),
        (
            lambda: counting.enumerate_features(np.zeros((3, 0))),
            r"differences.shape\[1\]: got 0; allowed: at least 1",
        ),
        (
            lambda: distract(jnp.zeros(0)),
            "number of strengths: got 0; allowed: at least 1",
        ),
        (
            lambda: consistency.consistency(np.eye(3)[:, None], resamples=0),
            "resamples: got 0; allowed: at least 20",
        ),
        (
            lambda: maps.calibration(jnp.ones(0), jnp.ones(0), jnp.ones(0, bool)),
            "states: got 0; allowed: at least 1",
        ),
        (
            lambda: retarget(jnp.zeros(0)),
            "number of magnitudes: got 0; allowed: at least 1",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_what_is_allowed_passes():
    assert agreement(0).q.shape == agreement(1).q.shape == (2, 2)
    np.testing.assert_array_equal(
        reachability.slipped(HALF, jnp.asarray([0, 1.0])), HALF
    )
    # the position of a masked state is not checked
    assert board_map([[1, 2], [9, 9]], jnp.array([True, False])).states.sum() == 1
    # under jit values are not checked
    assert jax.jit(board_map)(jnp.full((2, 2), 9)).states.shape == (2, 3)


@pytest.mark.slow
def test_integers_are_converted_to_floats():
    stack = np.array([[2, 0, 0], [0, 3, 0], [4, 0, 0], [0, 5, 1]])
    result = dictionary.fit(stack, KEY, counts=(1, 2))
    expected = dictionary.fit(stack.astype(np.float32), KEY, counts=(1, 2))
    np.testing.assert_array_equal(result.lines, expected.lines)
    integers = clusters.fit(jnp.asarray(stack), 2, KEY)
    real = clusters.fit(jnp.asarray(stack, jnp.float32), 2, KEY)
    np.testing.assert_array_equal(integers.unit_cluster, real.unit_cluster)


def test_influence_takes_arrays_of_numpy():
    def run(inputs):
        return reflection.influence(
            MODEL, inputs, "h", np.arange(2), lambda r: r.sites["h"], KEY
        )

    result, expected = run(np.asarray(EYE)), run(jnp.asarray(EYE))
    np.testing.assert_array_equal(result.effect, expected.effect)
    assert result.changed.all()


ROWS = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
SPLIT = np.arange(24) % 2
BITS = SPLIT == 1
TOOLS = {
    "logistic": lambda x: probes.logistic(x, SPLIT),
    "ridge": lambda x: probes.ridge(x, SPLIT),
    "inlp": lambda x: inlp.fit(x, SPLIT),
    "rlace": lambda x: rlace.fit(x, SPLIT, KEY, steps=2),
    "mean difference": lambda x: methods.find(
        "mean_difference", concept.Concept(x, SPLIT), KEY
    ),
    "leace": lambda x: leace.fit(x, SPLIT),
    "ccs": lambda x: ccs.fit(x, -x, KEY, restarts=2, steps=4),
    "recursive": lambda x: ccs.recursive(x, -x, 2, KEY, restarts=2, steps=4),
    "compare": lambda x: comparison.compare(
        (x, -x, BITS), (x, -x, BITS), KEY, restarts=2, steps=4, random=4
    ),
    "distract": lambda x: comparison.distract(
        x, -x, BITS, np.float32([0.5]), KEY, restarts=2, steps=4
    ),
    "principal": baselines.principal,
    "k-means": lambda x: baselines.kmeans(x, KEY),
    "by labels": lambda x: baselines.logistic(x, BITS),
    "svd": svd.fit,
    "action": lambda x: weight_action.fit(x, ROWS[:2]),
    "collisions": lambda x: weight_action.collisions(x[:2], x, count=2),
    "principal basis": bases.principal,
    "dependence": dependence.measure,
    "dictionary": lambda x: dictionary.fit(x, KEY, counts=(1, 2), restarts=2),
}
ANY_SIZE = {"leace", "mean difference", "svd", "action"}


@pytest.mark.slow
@pytest.mark.few(12, rest="long")
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int32"])
@pytest.mark.parametrize("name", TOOLS)
def test_narrow_floats_and_integers_give_the_result_of_float32(name, kind):
    narrow = jnp.asarray(8 * ROWS, kind)
    result, expected = TOOLS[name](narrow), TOOLS[name](narrow.astype(jnp.float32))
    jax.tree.map(np.testing.assert_array_equal, result, expected)


@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("name", sorted(set(TOOLS) - ANY_SIZE))
def test_numbers_whose_squares_overflow_are_refused(name, size):
    with pytest.raises(ValueError, match="as its largest number; allowed: 7e-16"):
        TOOLS[name](ROWS * np.float32(size))


FREE = {
    "dependence": lambda x: dependence.measure(x)._replace(variance_ratio=None),
    "context": lambda x: context_gradients.fit(x, SPLIT, 2)[2:],
    "dictionary": TOOLS["dictionary"],
    "square": lambda x: polar.fit(x[:3])[-1],
}


@pytest.mark.parametrize("power", [-40, 40])
@pytest.mark.parametrize("name", FREE)
def test_dimensionless_results_do_not_depend_on_the_unit(name, power):
    result, expected = FREE[name](ROWS * np.float32(2.0**power)), FREE[name](ROWS)
    for one, other in zip(
        jax.tree.leaves(result), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_control_of_a_short_vector_is_as_long():
    key, short = jax.random.key(1), np.full(4, 1e-12, np.float32)
    length = jnp.linalg.norm(patches.random_like(short, key))
    np.testing.assert_allclose(length, 2e-12, rtol=1e-5)
    assert patches.random_like(np.arange(3), key).dtype == jnp.float32
    for size in (1e-30, 1e30):
        with pytest.raises(ValueError, match=r"vector: got 1e[-+]30 as its largest"):
            patches.random_like(np.full(4, size, np.float32), key)
    with pytest.raises(ValueError, match="vector: got 4 numbers that are not finite"):
        patches.random_like(np.full(4, np.nan, np.float32), key)


def test_successors_out_of_range_are_refused():
    reward, never = np.zeros((2, 2), np.float32), np.zeros((2, 2), bool)
    for state in (-1, 2):
        successor = jnp.asarray([[0, 1], [1, state]])
        with pytest.raises(
            ValueError, match=f"successor: got {state}; allowed: 0 to 1"
        ):
            maps.agreement(HALF[0], HALF, successor, reward, never, ALL, 0.9)
        for tool in (reachability.path_probability, reachability.reach_probability):
            with pytest.raises(ValueError, match=f"successor: got {state}; allowed"):
                tool(successor, HALF, never, ALL)
        with pytest.raises(ValueError, match=f"successor: got {state}; allowed"):
            reachability.occupancy(successor, HALF, never, 0, 0.9)


def test_an_empty_test_set_is_refused():
    none = ROWS[:0]
    with pytest.raises(ValueError, match="pairs of test: got 0; allowed: at least 1"):
        comparison.compare((ROWS, -ROWS, BITS), (none, none, BITS[:0]), KEY)
