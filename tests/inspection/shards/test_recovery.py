"""Planted shards are recovered; smooth modulation is not mistaken for shards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import value
from shardsim.inspection.shards import distillation, recovery, restart_agreement

# most of the time is compilation
pytestmark = pytest.mark.slow

ROWS, FEATURES, COUNTS = 3_000, 6, (1, 2, 3, 4)


def table(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES))
    says, cues = rng.normal(size=(2, 3, FEATURES))
    if kind == "planted":
        y = (x @ says.T)[np.arange(ROWS), np.argmax(x @ cues.T, axis=1)]
    else:
        y = (np.tanh(x @ cues.T / FEATURES**0.5) * (x @ says.T)).sum(axis=1)
    return x.astype(np.float32), (7 + 3 * y).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    # a fit that does not converge warns, which is an error here
    key = jax.random.key(0)
    return {
        kind: recovery.fit(*table(kind), key, counts=COUNTS)
        for kind in ("planted", "smooth")
    }


@pytest.mark.long
def test_three_planted_gates_are_found(fitted):
    actual = fitted["planted"]
    assert actual.knee == 3
    assert actual.recovered
    assert actual.shards.best[2] > actual.shards.best[0] + 0.2
    assert actual.shards.best[2] > actual.network.best[2] + 0.02
    assert actual.stability[2] > 0.95
    assert actual.gate_entropy[2] < 0.4 < 0.9 < actual.usage_entropy[2]
    assert actual.gate_entropy[0] == 0
    assert actual.summary().startswith("shards recovered: knee at 3")
    assert actual.shards.converged.all()
    assert actual.stability_null[2] < 0.2


@pytest.mark.long
def test_smooth_modulation_is_not_taken_for_shards(fitted):
    """Control: shards fit it no better than others, and differ between restarts."""
    actual = fitted["smooth"]
    assert not actual.recovered
    assert actual.stability[2] < fitted["planted"].stability[2] - 0.1
    assert actual.gate_entropy[2] > fitted["planted"].gate_entropy[2] + 0.2
    assert actual.summary().startswith("shards not recovered")


@pytest.mark.long
def test_shard_values_add_up_and_controls_are_not_smaller(fitted):
    actual = fitted["planted"]
    np.testing.assert_allclose(
        actual.value, (actual.gates * actual.shard_values).sum(-1), rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(actual.gates.sum(-1), 1, atol=1e-4)
    for size, count in enumerate(COUNTS):
        assert not actual.gates[size, :, count:].any()
    shards = np.asarray(actual.shards.parameters)
    for control in (actual.network, actual.film):
        assert (control.parameters >= actual.shards.parameters).all()
        assert (np.asarray(control.parameters) < 1.35 * shards).all()
    y = table("planted")[1][np.asarray(actual.is_held_out)]
    said = np.asarray(actual.value)[2, np.asarray(actual.is_held_out)]
    r2 = 1 - np.mean((said - y) ** 2) / y.var()
    assert actual.shards.best[2] == pytest.approx(r2, abs=1e-3)
    assert int(actual.is_held_out.sum()) == ROWS // 4
    best = actual.shards.train.argmax(1)
    np.testing.assert_allclose(
        actual.shards.best, actual.shards.held_out[jnp.arange(4), best]
    )
    np.testing.assert_allclose(
        actual.advantage,
        actual.shards.best - np.maximum(actual.network.best, actual.film.best),
    )


@pytest.mark.parametrize(
    "head", [value.Sharded(num_shards=3), value.MLP(), value.FiLM(rank=3)], ids=str
)
def test_missing_units_and_shards_stay_missing(head, key):
    """After some training the removed units and shards are still 0."""
    sizes = distillation.Sizes(
        head, 4, jnp.array([2, 4]), jnp.array([1, 3]), jnp.array([0, 0])
    )
    x, y = (jnp.asarray(a) for a in table("smooth"))
    y = (y - y.mean()) / y.std()
    settings = {"restarts": 2, "steps": 20, "max_steps": 20, "batch": 32, "rate": 0.1}
    with pytest.warns(UserWarning, match="distillation: not converged"):
        fitted = distillation.fit(sizes, x, y, key, **settings)
    graph, states = fitted.graph, fitted.states
    if isinstance(head, value.Sharded):
        gates = distillation.predict_all(graph, states, x[:50])[1].reshape(2, 2, 50, 3)
        assert not gates[0, :, :, 1:].any()
        assert gates[1].all()
        return
    kernels = np.asarray(states["hidden"]["kernel"][...]).reshape(2, 2, FEATURES, 4)
    assert not kernels[0, :, :, 2:].any()
    assert kernels[0, :, :, :2].all()
    assert kernels[1].all()
    if isinstance(head, value.FiLM):
        codes = np.asarray(states["code"]["kernel"][...]).reshape(2, 2, FEATURES, 3)
        assert not codes[0, :, :, 1:].any()
        assert codes[1].all()


def test_competition_by_hand():
    """One shard: half the squared error. Two shards: the better one dominates."""
    y, sd = jnp.float32([1.0]), jnp.float32(0.1)
    one = distillation.mixture_loss(jnp.float32([[1]]), jnp.float32([[3]]), y, sd)
    assert one == pytest.approx(2.0)
    gates, parts = jnp.float32([[0.5, 0.5]]), jnp.float32([[1, 9]])
    two = distillation.mixture_loss(gates, parts, y, sd)
    assert two == pytest.approx(0.01 * np.log(2), rel=1e-4)
    shut = distillation.mixture_loss(
        jnp.float32([[1, 0]]), jnp.float32([[3, 1]]), y, sd
    )
    assert shut == pytest.approx(2.0)
    slope = jax.grad(distillation.mixture_loss)(jnp.float32([[1, 0]]), parts, y, sd)
    assert jnp.isfinite(slope).all()


def test_matching_ignores_order_constants_and_dead_shards():
    rows = np.random.default_rng(0).normal(size=(50, 3)) * [3, 1, 0]
    assert restart_agreement.matched_correlation(
        rows, rows[:, [2, 0, 1]] + [1, 2, 3]
    ) == pytest.approx(1)
    assert restart_agreement.matched_correlation(rows, -rows) < 0.5
    other = np.random.default_rng(1).normal(size=(50, 3))
    assert abs(restart_agreement.matched_correlation(rows, other)) < 0.6
    assert restart_agreement.matched_correlation(0 * rows, rows) == 1
    half = np.stack([rows[:, 0], other[:, 0], other[:, 1]], axis=1)
    size = rows.std(0)
    kept = restart_agreement.matched_correlation(rows, half)
    assert kept >= size[0] / size.sum() - 0.1


def test_one_restart_shows_no_stability():
    x, y = (jnp.asarray(a[:40]) for a in table("planted"))
    sizes = distillation.Sizes(
        value.Sharded(num_shards=2), 4, jnp.array([4]), jnp.array([2]), jnp.array([0])
    )
    settings = {"restarts": 1, "steps": 2, "max_steps": 2, "batch": 8, "rate": 0.1}
    with pytest.warns(UserWarning, match="distillation: not converged"):
        fitted = distillation.fit(sizes, x, y, jax.random.key(0), **settings)
    assert np.isnan(
        restart_agreement.restart_stability((2,), fitted, jnp.ones((1, 1)), x)
    ).all()


def test_whole_groups_are_held_out(key):
    groups = np.repeat(np.arange(8), 5)
    tested = recovery._held_out(40, groups, 0.25, key)
    assert tested.sum() == 10
    assert len(set(groups[tested])) == 2
    assert not set(groups[tested]) & set(groups[~tested])


def test_bad_input_is_named(key):
    x, y = table("planted")
    with pytest.raises(ValueError, match=r"values: got shape \(3,\)"):
        recovery.fit(x, y[:3], key)
    with pytest.raises(ValueError, match="rows of features: got 5"):
        recovery.fit(x[:5], y[:5], key)
    with pytest.raises(ValueError, match="values: got 3000 numbers"):
        recovery.fit(x, y * np.nan, key)
    with pytest.raises(ValueError, match="values: got the same in all rows"):
        recovery.fit(x, 0 * y, key)
    with pytest.raises(ValueError, match="restarts: got 1; allowed: at least 2"):
        recovery.fit(x, y, key, restarts=1)
    with pytest.raises(ValueError, match="columns of features: got 0"):
        recovery.fit(x[:, :0], y, key)
    with pytest.raises(ValueError, match=r"counts: got \(3, 2\)"):
        recovery.fit(x, y, key, counts=(3, 2))
    with pytest.raises(ValueError, match=r"share: got 1\.0"):
        recovery.fit(x, y, key, share=1.0)
    with pytest.raises(ValueError, match="groups: got shape"):
        recovery.fit(x, y, key, groups=np.zeros(3, int))
