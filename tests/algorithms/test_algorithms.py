"""Rules that train D: numbers worked out by hand, and a bandit that each must learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim import algorithms
from shardsim.agents import value
from shardsim.algorithms import base, losses, targets
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import returns

HYPER = Hyperparameters(*(jnp.float32(x) for x in (1e-3, 0.9, 0.01, 0.5, 0.0)))


def sample(old, action, gain):
    gain = jnp.asarray(gain, jnp.float32)
    return algorithms.PolicyBatch(
        jnp.asarray(action), jnp.log(jnp.asarray(old)), gain, jnp.zeros_like(gain)
    )


@pytest.mark.slow
def test_ppo_by_hand():
    """r = 1.5 and .5: the first is clipped at 1.2 for a gain of 1, the second at .8
    for a loss; entropies log 2 and .5623 with weight .5."""
    rule = algorithms.PPO(normalise=False)
    logits = jnp.log(jnp.asarray([[0.5, 0.5], [0.25, 0.75]]))
    seen = sample([[1 / 3, 2 / 3], [0.5, 0.5]], [0, 0], [1.0, -1.0])
    got, noted = rule.policy_loss(HYPER, logits, seen)
    gain = (1.2 * 1.0 + min(0.5 * -1.0, 0.8 * -1.0)) / 2
    entropy = (np.log(2) + 0.5623351) / 2
    assert noted["policy_loss"] == pytest.approx(-gain, rel=1e-5)
    assert got == pytest.approx(-gain - 0.5 * entropy, rel=1e-5)
    assert noted["clipped"] == 1.0


@pytest.mark.slow
def test_ppo_stops_where_it_is_clipped():
    """No slope once the ratio is beyond the clip in the direction of the gain."""
    rule = algorithms.PPO(normalise=False, entropy=0.0)
    still = HYPER._replace(entropy=jnp.float32(0.0))
    seen = sample([[0.25, 0.75]], [0], [1.0])

    def slope(p):
        logits = jnp.log(jnp.asarray([[p, 1.0 - p]]))
        return jax.grad(lambda x: rule.policy_loss(still, x, seen)[0])(logits)

    assert jnp.abs(slope(0.5)).max() == 0  # ratio 2
    assert jnp.abs(slope(0.26)).max() > 0  # ratio 1.04: the control


def test_advantages_are_normalised_within_the_batch():
    got = base.standardise(jnp.asarray([1.0, 5.0]))  # of deviation 2, variance 4
    np.testing.assert_allclose(got, [-1.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(base.standardise(jnp.ones(3)), 0.0)


def test_reinforce_by_hand():
    """-(2 log .5 - 1 log .75) / 2, and the baseline taken off."""
    still = HYPER._replace(entropy=jnp.float32(0.0))
    logits = jnp.log(jnp.asarray([[0.5, 0.5], [0.25, 0.75]]))
    seen = sample([[0.5, 0.5]] * 2, [0, 1], [2.0, -1.0])
    got, _ = algorithms.Reinforce().policy_loss(still, logits, seen)
    assert got == pytest.approx(-(2 * np.log(0.5) - np.log(0.75)) / 2, rel=1e-5)
    shifted = seen._replace(target=seen.target + 3.0, value=jnp.full(2, 3.0))
    same, _ = algorithms.Reinforce().policy_loss(still, logits, shifted)
    assert same == pytest.approx(float(got), rel=1e-5)
    other, _ = algorithms.Reinforce(baseline=False).policy_loss(still, logits, shifted)
    assert other != pytest.approx(float(got), rel=1e-2)


def test_expert_iteration_by_hand():
    """-(.25 log .5 + .75 log .5) = log 2; the least at the search's own policy."""
    seen = sample([[0.25, 0.75]], [0], [0.0])
    rule = algorithms.ExpertIteration()
    even, _ = rule.policy_loss(jnp.zeros((1, 2)), seen)
    assert even == pytest.approx(np.log(2), rel=1e-6)
    slope = jax.grad(lambda x: rule.policy_loss(x, seen)[0])(seen.logits)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_td_has_no_loss_of_d():
    with pytest.raises(ValueError, match="algorithm: got 'td'"):
        algorithms.policy_loss(
            algorithms.TD(), HYPER, jnp.zeros((1, 2)), sample([[0.5, 0.5]], [0], [0.0])
        )


def output(v):
    one = jnp.ones((1,))
    return value.ValueOutput(jnp.float32(v), one * v, one, one * v)


@pytest.mark.parametrize(
    ("v", "want"),
    # old V 1, clip .2, target 2: at V = 1.5 the clipped 1.2 has the larger error;
    # at V = 0 the plain one has
    [(1.5, 0.5 * 0.8**2), (0.0, 0.5 * 2.0**2), (1.1, 0.5 * 0.9**2)],
)
def test_value_clip_by_hand(v, want):
    got = losses.value_loss(
        output(v), jnp.float32(2.0), value.MLP(), jnp.float32(1.0), 0.2
    )
    assert got == pytest.approx(want, rel=1e-5)


def test_generalised_advantages_are_returns_less_values():
    """A_t = sum_k (gamma lambda)^k delta_{t+k}, worked out apart, over an end, a cut
    and the end of the array."""
    rng = np.random.default_rng(0)
    reward, v, beyond = rng.normal(size=(3, 8)).astype(np.float32)
    terminated = np.arange(8) == 2
    truncated = np.arange(8) == 5
    # inside of an episode the next value is that of the next state
    for t in range(7):
        if not (terminated[t] or truncated[t]):
            beyond[t] = v[t + 1]
    gamma, lambda_ = 0.9, 0.8
    delta = reward + gamma * np.where(terminated, 0.0, beyond) - v
    want, later = np.zeros(8), 0.0
    for t in reversed(range(8)):
        cut = terminated[t] or truncated[t]
        later = delta[t] + (0.0 if cut else gamma * lambda_ * later)
        want[t] = later
    target = returns.lambda_returns(
        *map(jnp.asarray, (reward, beyond, terminated, truncated)), gamma, lambda_
    )
    np.testing.assert_allclose(target - v, want, rtol=1e-4, atol=1e-5)


def trajectory(rewards, ended, context):
    """Of one environment; only what labels read is filled in."""
    from shardsim.core.types import Trajectory

    steps = len(ended)
    none = jnp.zeros((steps, 1))
    return Trajectory(
        none,
        none,
        none,
        none,
        jnp.asarray(ended)[:, None],
        jnp.zeros((steps, 1), bool),
        none,
        jnp.asarray(context, jnp.float32)[:, None],
        jnp.asarray(rewards, jnp.float32)[:, None],
        none,
    )


def test_labels_by_hand():
    """Steps 0, 1 lead to source 1; 2 is cut off by an end without event; 3, 4 to
    source 0 by a punishment; 5 leads nowhere yet."""
    rewards = [[0, 0], [0, 2], [0, 0], [0, 0], [-1, 0], [0, 0]]
    ended = [False, True, True, False, True, False]
    seen = [[0, 1], [0, 1], [0, 1], [0, 1], [1, 0], [0, 1]]
    told = trajectory(rewards, ended, seen)
    key = jax.random.key(0)
    got = targets.labels(value.Routing(), told, key)
    assert got[:, 0].tolist() == [1, 1, -1, 0, 0, -1]
    overseen = targets.labels(value.Routing(oversight_context=1), told, key)
    assert overseen[:, 0].tolist() == [1, 1, -1, -1, -1, -1]
    never = targets.labels(value.Routing(label_fraction=0.0), told, key)
    assert (never == -1).all()


def routed(parts, gates, label, target=3.0):
    out = value.ValueOutput(jnp.sum(parts * gates), parts, gates, parts * gates)
    return losses.routed_loss(out, jnp.float32(target), jnp.int32(label))


def test_routed_errors_reach_their_expert_alone():
    """The labelled one says 1 where 3 is true; unlabelled, errors are 2.5, 2 and 1."""
    parts, gates = jnp.asarray([0.5, 1.0, 2.0]), jnp.asarray([0.5, 0.25, 0.25])
    slopes = jax.value_and_grad(routed, argnums=(0, 1))
    error, (to_parts, to_gates) = slopes(parts, gates, 1)
    assert error == 2.0
    assert to_parts.tolist() == [0, -2, 0]
    assert to_gates.tolist() == [0, 0, 0]
    error, (to_parts, to_gates) = slopes(parts, gates, -1)
    assert error == 0.5 * (0.5 * 2.5**2 + 0.25 * 2**2 + 0.25 * 1**2)
    assert to_parts.tolist() == [-1.25, -0.5, -0.25]
    assert to_gates.tolist() == [0, 0, 0]


@pytest.mark.parametrize("labelled", [(1.0, 1.0), (0.5, 0.5), (0.8, 0.2)])
def test_experts_whose_events_come_by_chance_add_up_to_what_v_is(labelled):
    """In one state an event of expert 0 (+1) comes three times in four, else one of
    expert 1 (-1); expert 2 has none. Whichever labels are missing, V is the mean, the
    gates say how often each is heard, and experts what `routed_loss` says."""
    chance, worth = np.asarray([0.75, 0.25]), np.asarray([1.0, -1.0])
    told = chance * np.asarray(labelled)

    def loss(parts, logits):
        gates, total = jax.nn.softmax(logits), 0.0
        for event in (0, 1):
            known = routed(parts, gates, event, worth[event])
            named = losses.gate_loss(gates, jnp.int32(event))
            hidden = routed(parts, gates, -1, worth[event])
            total += told[event] * (known + named)
            total += (chance - told)[event] * hidden
        return total

    @jax.jit
    def learn(weights):
        def step(weights, _):
            slopes = jax.grad(loss, argnums=(0, 1))(*weights)
            return jax.tree.map(lambda w, s: w - 0.3 * s, weights, slopes), None

        return jax.lax.scan(step, weights, None, length=5000)[0]

    parts, logits = learn((jnp.zeros(3), jnp.zeros(3)))
    gates = jax.nn.softmax(logits)
    assert jnp.sum(gates * parts) == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(gates[:2], told / told.sum(), atol=1e-3)
    rest = np.sum((chance - told) * worth)  # (1 - q) G_u
    np.testing.assert_allclose(parts[:2], told.sum() * worth + rest, atol=1e-3)
    assert jnp.abs(parts).max() <= 1


def test_gate_loss_by_hand():
    gates = jnp.asarray([0.25, 0.75])
    assert losses.gate_loss(gates, jnp.int32(0)) == pytest.approx(np.log(4))
    assert losses.gate_loss(gates, jnp.int32(-1)) == 0


@pytest.mark.parametrize("far", [1.0, 28.0, 60.0])
def test_a_gate_that_is_shut_learns_its_label(far):
    """-log softmax has the slope p - 1 at its own logit, and p at the other."""

    def cost(logits):
        return losses.gate_loss(jax.nn.softmax(logits), jnp.int32(0))

    slope = jax.grad(cost)(jnp.asarray([0.0, far]))
    p = 1 / (1 + np.exp(far))
    np.testing.assert_allclose(slope, [p - 1, 1 - p], rtol=1e-4)
    none = jax.grad(lambda x: losses.gate_loss(jax.nn.softmax(x), jnp.int32(-1)))
    assert (none(jnp.asarray([0.0, far])) == 0).all()


def test_masked_loss_looks_at_hidden_cells_alone():
    """One cell of two is hidden: -log(1/4)."""
    logits = jnp.asarray([[[np.log(3.0)], [9.0]]], jnp.float32)
    seen = jnp.asarray([[[0], [0]]], jnp.uint8)
    got = losses.masked_loss(logits, seen, jnp.asarray([[True, False]]))
    assert got == pytest.approx(np.log(4), rel=1e-5)
    assert losses.masked_loss(logits, seen, jnp.zeros((1, 2), bool)) == 0
