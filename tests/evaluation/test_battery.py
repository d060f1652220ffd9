"""The battery: exact returns against sampled episodes, and paired levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import action_selection, encoders, value
from shardsim.agents import agent as agents
from shardsim.core import dynamic_programming
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim_envs import BoatRace, ContextFruits

ENV = ContextFruits(size=4, max_steps=10)
CONFIG = battery.EvaluationConfig(levels=6)
HOW = exact_policies.acting_rule(
    action_selection.Lookahead(temperature=0.05), 0.9, ENV.max_steps
)


@pytest.fixture(scope="module")
def condition():
    return battery.build(ENV, ENV.params(), CONFIG, 0.9)


def reading(condition, value, prior=None):
    """A reading of a made-up V under a uniform D."""
    value = np.asarray(value, np.float64)
    if prior is None:
        prior = np.full((*value.shape, 4), -np.log(4))
    one = np.ones_like(value)[..., None]
    part = value[..., None]
    return state_readings.Reading(value, part, one, part, prior, np.zeros(1, int))


@pytest.mark.slow
def test_expected_return_is_the_mean_of_episodes(condition):
    """An independent way to the same number: play the policy and average."""
    rng = np.random.default_rng(0)
    noisy = condition.optimal[None] + rng.normal(0, 0.05, (1, *condition.optimal.shape))
    made = reading(condition, noisy)
    chosen = exact_policies.policy(made.value, made.policy_logits, condition, HOW)
    want = exact_policies.expected_return(chosen, condition, 0.9, ENV.max_steps)[0]
    policy = jnp.asarray(chosen[0], jnp.float32)

    def episode(key, level, policy):
        _, state = ENV.reset_to(level, condition.params)

        def step(carry, t):
            state, got = carry
            logits = jnp.log(policy[ENV.index(level, state)])
            action = jax.random.categorical(jax.random.fold_in(key, t), logits)
            # the end is absorbing and pays nothing
            out = ENV.step(key, state, action, condition.params)
            discount = 0.9 ** t.astype(jnp.float32)
            return (out.state, got + out.reward * discount), None

        start = (state, jnp.zeros(()))
        return jax.lax.scan(step, start, jnp.arange(ENV.max_steps))[0][1]

    keys = jax.random.split(jax.random.key(1), (6, 4000))
    over = jax.vmap(jax.vmap(episode, in_axes=(0, None, None)))
    got = jax.jit(over)(keys, condition.levels, policy)
    error = np.asarray(got).std(axis=1) / np.sqrt(4000)
    assert (np.abs(np.asarray(got).mean(axis=1) - want) < 5 * error + 1e-4).all()


def test_the_optimum_s_own_value_returns_the_optimum(condition):
    how = HOW._replace(temperature=1e-4)
    best = state_readings.exact_reading(condition, 4)
    assert exact_policies.return_fraction(best, condition, how)[0] == pytest.approx(
        1, abs=1e-4
    )


def test_where_reward_recurs_v_looks_on_and_returns_end():
    """Rounds of a boat race: V* by an iteration of its own, till nothing changes."""
    env, discount = BoatRace(), 0.95
    found = battery.build(
        env, env.params(), battery.EvaluationConfig(levels=2), discount
    )
    table = jax.tree.map(np.asarray, found.table)
    value, within = np.zeros_like(found.optimal, np.float64), []
    for step in range(2000):
        beyond = np.stack([v[t] for v, t in zip(value, table.successor, strict=True)])
        q = table.reward + discount * np.where(table.terminated, 0, beyond)
        value = q.max(axis=-1)
        if step + 1 == env.max_steps:
            within = value[[0, 1], table.start]
    np.testing.assert_allclose(found.optimal, value, atol=1e-4)
    np.testing.assert_allclose(found.best, within, atol=1e-4)
    assert (found.best < value[[0, 1], table.start] - 0.01).all()
    how = exact_policies.acting_rule(
        action_selection.Lookahead(temperature=1e-4), discount, env.max_steps
    )
    assert exact_policies.return_fraction(
        reading(found, found.optimal[None]), found, how
    ) == (pytest.approx(1.0, abs=0.01))


@pytest.mark.parametrize("paid", [0.0, -1.0])
def test_of_no_reward_and_of_a_loss_there_is_no_fraction(condition, paid):
    """Twice the least loss is not 200 % of an optimum."""
    poor = condition._replace(best=np.full_like(condition.best, paid))
    made = reading(condition, condition.optimal[None])
    assert np.isnan(exact_policies.return_fraction(made, poor, HOW)).all()


def test_a_value_of_nothing_acts_like_d(condition):
    empty = reading(condition, np.zeros((1, *condition.optimal.shape)))
    q = exact_policies.q_values(empty.value, condition, 0.9)
    np.testing.assert_allclose(q[0], condition.table.reward)
    assert exact_policies.return_fraction(empty, condition, HOW)[0] < 0.8


def test_infinite_temperature_is_the_prior(condition):
    made = reading(condition, condition.optimal[None])
    how = exact_policies.acting_rule(action_selection.PolicyOnly(), 0.9, 10)
    chosen = exact_policies.policy(made.value, made.policy_logits, condition, how)
    np.testing.assert_allclose(chosen, 0.25)


def test_q_values_equal_the_exact_lookahead(condition):
    q = exact_policies.q_values(condition.optimal, condition, 0.9)
    table = jax.tree.map(lambda leaf: leaf[2], condition.table)
    want = dynamic_programming.q_values(table, jnp.asarray(condition.optimal[2]), 0.9)
    np.testing.assert_allclose(q[2], want, rtol=1e-6)


def test_conditions_differ_in_what_was_changed_and_nothing_else():
    params = [
        ContextFruits(size=4, contexts_shown=s).params() for s in (((0,),), ((1,),))
    ]
    a, b = (battery.build(ENV, p, CONFIG, 0.9) for p in params)
    fruits = ENV.plane("fruit 0"), ENV.plane("fruit 1")
    one, other = (np.asarray(c.levels.board)[..., fruits] for c in (a, b))
    assert np.array_equal(one, other)
    assert np.array_equal(a.levels.start, b.levels.start)
    boards = [np.asarray(c.levels.board) for c in (a, b)]
    cue, floor = ENV.plane("cue"), ENV.plane("floor 0")
    assert np.array_equal(boards[0][..., cue], boards[1][..., cue])
    assert not np.array_equal(boards[0][..., floor], boards[1][..., floor])


def test_reachable_states_leave_out_the_fruit(condition):
    for level in range(6):
        board = np.asarray(condition.levels.board[level])[..., :2]
        cells = np.argwhere(board)[:, :2]
        index = cells[:, 0] * 4 + cells[:, 1]
        assert not condition.reachable[level, index].any()
        # two fruits may close a corner off
        assert 12 <= condition.reachable[level].sum() <= 16 - 2


@pytest.mark.slow
def test_action_gap_by_hand():
    """One fruit in a corner of a 2 x 2 board: gaps are 1 - .9 and .9 - .81."""
    env = ContextFruits(
        size=2,
        contexts=1,
        fruits=1,
        rewards=((1.0,),),
        contexts_shown=((0,),),
        max_steps=5,
    )
    one = battery.build(env, env.params(), battery.EvaluationConfig(levels=2), 0.9)
    q = exact_policies.q_values(one.optimal, one, 0.9)
    gaps = []
    for state in np.argwhere(one.reachable):
        values = np.unique(np.round(q[tuple(state)], 6))
        if len(values) > 1:
            gaps.append(values[-1] - values[-2])
    assert exact_policies.action_gap(one, one.optimal, 0.9) == pytest.approx(
        np.mean(gaps)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"levels": 1}, "levels: got 1"), ({"conditions": {}}, "conditions: got {}")],
)
def test_impossible_batteries_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        battery.EvaluationConfig(**options)


def test_shards_in_use_by_hand(condition):
    """All gates on one part: 1. Half of the states each: 2. Spread over all: K."""
    made = reading(condition, condition.optimal[None])
    shape = (1, *condition.optimal.shape)

    def used(gates):
        return state_readings.shards_in_use(made._replace(gates=gates), condition)[0]

    one = np.zeros((*shape, 4))
    one[..., 2] = 0.7  # of whatever size
    assert used(one) == pytest.approx(1.0)
    assert used(np.full((*shape, 4), 0.25)) == pytest.approx(4.0)
    halves = np.zeros((*shape, 4))
    fine = np.argwhere(condition.reachable)
    for number, (level, state) in enumerate(fine[: len(fine) // 2 * 2]):
        halves[0, level, state, number % 2] = 1.0
    assert used(halves) == pytest.approx(2.0, abs=0.01)
    shut = one.copy()
    shut[:, ::2] = 0.0
    assert used(shut) == pytest.approx(1.0)
    assert used(np.zeros_like(one)) == 0.0


def test_outputs_are_those_of_each_state_by_itself(condition):
    keys = jax.random.split(jax.random.key(1), 3)
    config = agents.AgentConfig(
        encoder=encoders.MLPEncoder(widths=(8,)), decoder_hidden=(4,)
    )
    population = jax.vmap(lambda key: agents.build(config, value.MLP(), 5, ENV, key))(
        keys
    )
    levels = jax.tree.map(lambda leaf: leaf[:2], condition.levels)
    run = jax.jit(state_readings.outputs, static_argnums=(0, 3))
    found = run(ENV, population, levels, None)
    assert found.policy_logits.shape == (3, 2, ENV.num_states, ENV.num_actions)
    some = run(ENV, population, levels, 2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, some
    )
    agent = jax.tree.map(lambda leaf: leaf[2], population)
    level = jax.tree.map(lambda leaf: leaf[1], levels)
    state = ENV.state_at(level, 7)
    want = agent(ENV.observe(state), ENV.context(state))
    got = jax.tree.map(lambda leaf: leaf[2, 1, 7], found)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want
    )
    # negative control: another state is another one
    other = jax.tree.map(lambda leaf: leaf[2, 1, 8], found)
    assert (other.features != want.features).any()


def test_positions_and_the_first_state_on_each_cell(condition):
    position = np.asarray(battery.positions(ENV, condition.levels))
    level = jax.tree.map(lambda leaf: leaf[1], condition.levels)
    want = ENV.position(ENV.state_at(level, 5))
    np.testing.assert_array_equal(position[1, 5], want)
    # states 0 and 3 stand on (0, 1), 1 on (1, 0); 2 is left out
    where = np.array([[0, 1], [1, 0], [1, 1], [0, 1]])
    cells = battery.first_states(where, (2, 2), np.array([0, 1, 3]))
    np.testing.assert_array_equal(cells, [[-1, 0], [1, -1]])
