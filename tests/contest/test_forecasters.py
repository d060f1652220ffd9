"""Each forecaster recovers its own agents, and reads a history as its rule says."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.contest import events, fitting, forecasters, scores
from shardsim.contest import evidence as contest_evidence
from shardsim.contest.forecasters import base, latent_preferences
from tests.contest import synthetic

KINDS = [kind() for kind in typing.get_args(forecasters.Competitor)]
DRAWN = {
    "shards": (4, 0.7),
    "utility": (7, 0.7),
    "film": (4, 0.7),
    "latent_preferences": (4, 0.3),
}
"""Seed and noise of drawn parameters: agents of different histories differ."""
STRUCTURED = [kind for kind in KINDS if kind.kind in DRAWN]
NAMES = [kind.kind for kind in KINDS]


@pytest.fixture(scope="module")
def world():
    return synthetic.world()


def excess(world, of, fitted_kinds, steps=300, restarts=4):
    """Mean excess over ORACLE of each fitted kind on held-out agents of `of`."""
    drawn = synthetic.drawn(of, world.frame, *DRAWN[of.kind])
    everything = synthetic.evidence(drawn, world)
    held_out = [each.name for each in world.histories][::3]
    parts = contest_evidence.split(everything, held_out, ["conflict"])
    budget = fitting.Budget(steps=steps, restarts=restarts)
    fitted = {
        kind.kind: fitting.fit(kind, parts.evidence, world.frame, budget)
        for kind in fitted_kinds
    }
    scored = scores.score({**fitted, "oracle": forecasters.Oracle()}, parts.asked)
    truth = scored.loss["oracle"]
    return {name: float(np.nanmean(scored.loss[name] - truth)) for name in fitted}


def question(world, kind, parameters, name, row=0, condition="both"):
    given = world.situations[condition]
    boards = fitting.planning.boards_of({"": given}, world.frame.layout.states)
    of = next(each for each in world.histories if each.name == name)
    history = events.encode([of], world.frame.sizes)
    layout = world.frame.layout
    return base.Question(
        jax.tree.map(lambda leaf: leaf[row], boards),
        jax.tree.map(lambda leaf: leaf[0], history),
        jnp.asarray([1.0, 0.0]),
        layout.one_take,
        layout.sweeps,
    )


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_policies_are_probabilities_with_finite_slopes(world, kind):
    parameters = kind.start(jax.random.key(0), world.frame.sizes)
    asked = question(world, kind, parameters, "A-extinct A")

    def probability(parameters):
        policy = jnp.exp(kind.log_policy(parameters, asked))
        return policy[0, 0], policy

    slope, policy = jax.jit(jax.grad(probability, has_aux=True))(parameters)
    assert policy.shape == (16, 5)
    np.testing.assert_allclose(np.asarray(policy.sum(axis=1)), 1.0, rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_padding_of_a_history_changes_nothing(world, kind):
    """The same history in arrays with room for one more event and set."""
    if kind.kind == "network":
        pytest.skip("its inputs are as many as the events")
    parameters = kind.start(jax.random.key(0), world.frame.sizes)
    asked = question(world, kind, parameters, "A-B")
    padded = [
        jnp.pad(leaf, [(0, 1)] + [(0, 0)] * (leaf.ndim - 1)) for leaf in asked.events
    ]
    history = events.Events(*padded)
    history = history._replace(
        sets=jnp.pad(history.sets, [(0, 0), (0, 1), (0, 0)]),
        weight=jnp.pad(history.weight, [(0, 0), (0, 1)]),
    )

    @jax.jit
    def policy(history):
        return kind.log_policy(parameters, asked._replace(events=history))

    np.testing.assert_allclose(
        np.asarray(policy(asked.events)), np.asarray(policy(history)), rtol=1e-4
    )


def test_network_reads_a_history_from_its_end(world):
    sizes = world.frame.sizes
    short, long = (
        jax.tree.map(lambda leaf: leaf[0], events.encode([each], sizes))
        for each in (synthetic.history("B"), synthetic.history("A", "B"))
    )
    last = 2 + 4 + 1
    a, b = (np.asarray(forecasters.network.summary(each)) for each in (short, long))
    np.testing.assert_allclose(a[:last], b[:last])
    assert not a[last:].any()
    assert b[last:].any()


def test_an_event_moves_only_the_shards_that_it_shows(world):
    """By hand: half a rate, one event of full length in context 0 that pays nothing."""
    kind = forecasters.Shards()
    parameters = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        weights=jnp.asarray([[1.0, 0.4], [0.2, 0.8]]),
        extinction_rate=jnp.float32(0.0),
    )
    asked = question(world, kind, parameters, "extinct A")
    after = np.asarray(kind.after(parameters, asked.events))
    half = 1 - base.MAX_RATE / 2
    np.testing.assert_allclose(after, [[half, 0.4 * half], [0.2, 0.8]], rtol=1e-5)


def test_gates_follow_what_is_shown(world):
    """Similarity 1, 0 and .71 at a threshold of one half and a temperature of .1."""
    kind = forecasters.Shards()
    parameters = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        gate_threshold=jnp.float32(0.5), log_gate_temperature=jnp.log(0.1)
    )

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    one = np.asarray(kind.gates_of(parameters, jnp.asarray([1.0, 0.0])))
    np.testing.assert_allclose(one, [logistic(5), logistic(-5)], rtol=1e-4)
    both = np.asarray(kind.gates_of(parameters, jnp.asarray([1.0, 1.0])))
    np.testing.assert_allclose(both, logistic(10 * (0.5**0.5 - 0.5)), rtol=1e-4)
    shared = forecasters.Shards(gates="softmax")
    both = np.asarray(shared.gates_of(parameters, jnp.asarray([1.0, 1.0])))
    np.testing.assert_allclose(both, 0.5)


def test_bids_of_shards_add_up_in_a_conflict(world):
    """Where both gates are open, each source is wanted as much as alone."""
    kind = forecasters.Shards()
    parameters = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        gate_threshold=jnp.float32(0.3), log_gate_temperature=jnp.log(0.01)
    )
    gates = kind.gates_of(parameters, jnp.asarray([1.0, 1.0]))
    wanted = np.asarray(gates @ jnp.asarray([[1.0, 0.0], [0.0, 0.5]]))
    np.testing.assert_allclose(wanted, [1.0, 0.5], rtol=1e-4)


def test_a_context_that_nothing_reinforced_has_no_shard(world):
    kind = forecasters.Shards()
    parameters = kind.start(jax.random.key(0), world.frame.sizes)
    asked = question(world, kind, parameters, "A")
    after = np.asarray(kind.after(parameters, asked.events))
    assert after[0, 0] > 0
    assert not after[1].any()


def test_a_utility_is_revalued_in_all_contexts(world):
    """An event in context 0 alone moves what a take in context 1 is worth."""
    kind = forecasters.Utility()
    parameters = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        utility=jnp.ones((2, 2)), rate=jnp.float32(0.0)
    )
    asked = question(world, kind, parameters, "extinct A")
    after = np.asarray(kind.after(parameters, asked.events))
    np.testing.assert_allclose(after, np.full((2, 2), 1 - base.MAX_RATE / 2), rtol=1e-5)


def test_a_change_of_film_generalises_by_its_share(world):
    """All in the base: both contexts move alike; none of it: only the code's part."""
    kind = forecasters.Film()
    start = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        weights=jnp.ones(2),
        modulation=jnp.zeros((2, 1)),
        code=jnp.asarray([[9.0, 0.0]]),
        rate=jnp.float32(9.0),
    )
    asked = question(world, kind, start, "extinct A")
    everywhere = start._replace(generalisation=jnp.float32(20.0))
    weights, modulation = kind.after(everywhere, asked.events)
    np.testing.assert_allclose(np.asarray(weights), 0.0, atol=0.01)
    assert not np.asarray(modulation).any()
    nowhere = start._replace(generalisation=jnp.float32(-20.0))
    weights, modulation = kind.after(nowhere, asked.events)
    np.testing.assert_allclose(np.asarray(weights), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.asarray(modulation), -1.0, atol=0.01)


def test_preferences_go_where_choices_are_rewarded(world):
    """After long training in context 0 the choice there is the rewarded one.

    The target of rewards (1, 0) is softmax(kappa, 0, 0), the last of them "nothing".
    """
    kind = forecasters.LatentPreferences(steps=200)
    count = 2 * (1 + 2)
    parameters = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        latent=jnp.zeros(count),
        saliency=jnp.eye(count),
        log_sharpness=jnp.log(1.5),
        log_rate=jnp.float32(4.0),
    )
    asked = question(world, kind, parameters, "A")
    latent = kind.after(parameters, asked.events)
    sets = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
    wanted = np.asarray(latent_preferences.preferences(parameters, latent, sets))
    np.testing.assert_allclose(wanted[0], [1.5, 0.0], atol=0.05)
    # the context-free half of what was learned is there in the other context too
    np.testing.assert_allclose(wanted[1], [0.75, 0.0], atol=0.05)


def test_saliency_decides_what_is_learned(world):
    """A feature without saliency carries nothing: all is bound to the context."""
    kind = forecasters.LatentPreferences(saliency="diagonal")
    parameters = kind.start(jax.random.key(0), world.frame.sizes)._replace(
        latent=jnp.zeros(6), saliency=jnp.asarray([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    )
    asked = question(world, kind, parameters, "A")
    latent = kind.after(parameters, asked.events)
    sets = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
    wanted = np.asarray(latent_preferences.preferences(parameters, latent, sets))
    assert wanted[0, 0] > 0.1
    assert not wanted[1].any()


def test_shards_recover_their_own_and_a_utility_does_not(world):
    pair = [forecasters.Shards(), forecasters.Utility()]
    losses = excess(world, pair[0], pair, steps=100, restarts=2)
    assert losses["shards"] < 0.02
    assert losses["utility"] > losses["shards"] + 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [k for k in STRUCTURED if k.kind != "shards"], ids=lambda kind: kind.kind
)
def test_each_forecaster_recovers_its_own(world, kind):
    losses = excess(world, kind, [kind], steps=300, restarts=4)
    assert losses[kind.kind] < 0.02


@pytest.mark.long
@pytest.mark.parametrize("kind", STRUCTURED, ids=lambda kind: kind.kind)
def test_no_other_forecaster_is_nearer_than_the_own(world, kind):
    """It is within .02 nats of ORACLE, and none beats it by more than rounding."""
    losses = excess(world, kind, KINDS)
    assert losses[kind.kind] < 0.02
    assert losses[kind.kind] <= min(losses.values()) + 0.002, losses
    assert losses["constant"] > losses[kind.kind] + 0.02


def test_evidence_of_two_arms_is_refused(world):
    fitted = synthetic.drawn(forecasters.Constant(), world.frame, 0)
    both = [synthetic.agents(fitted, world, arm=arm) for arm in ("mlp", "film")]
    mixed = contest_evidence.Evidence(world.situations, (*both[0], *both[1]))
    with pytest.raises(ValueError, match=r"evidence: got agents of \['film', 'mlp'\]"):
        fitting.fit(forecasters.Constant(), mixed, world.frame, fitting.Budget())
