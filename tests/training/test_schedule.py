"""Schedules: phases, the stops between them, and what a change of reward teaches."""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import agent, encoders, value
from shardsim.algorithms import losses, optimizers, update_step
from shardsim.training import phases, population, schedule
from shardsim.training.config import TrainConfig
from shardsim.training.phases import Phase
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=3, max_steps=8, cue_probability=0.0)
EARN = losses.LossWeights(value=losses.GradientScales(encoder=1.0, value=1.0))
LOOK = losses.LossWeights(action=losses.GradientScales(encoder=1.0, decoder=1.0))


def config(*phases, **changes):
    return TrainConfig(phases=phases, **changes)


def test_stops_fall_on_every_end_and_are_never_too_far_apart():
    plan = config(
        Phase("a", 30, collect="random_walker", losses=LOOK),
        Phase("b", 100, losses=EARN),
        Phase("c", 7, losses=EARN),
        num_snapshots=5,
        updates_per_call=20,
    )
    stops, kept = schedule.boundaries(plan, 30)
    assert stops == sorted(set(stops))
    assert stops[-1] == 137
    assert {30, 130, 137} <= set(stops)
    assert max(np.diff([0, *stops])) <= 20
    # 107 updates after the start, log-spaced: 1, 3.2, 10.3, 33.3, 107
    assert kept == {30, 31, 33, 40, 63, 130, 137}


def test_only_phases_without_v_are_shared():
    look = Phase("look", 1, collect="random_walker", losses=LOOK)
    value_too = Phase("both", 1, collect="random_walker", losses=EARN)
    own = Phase("own", 1, losses=LOOK)
    assert schedule.shared_phases(config(look, own)) == 1
    assert schedule.shared_phases(config(look, value_too)) == 1
    assert schedule.shared_phases(config(own, look)) == 0


def test_a_phase_changes_what_it_may_and_nothing_else():
    later = phases.altered(
        ENV, {"rewards": [[0, 0], [0, 0]], "contexts_shown": [[0, 1]]}
    )
    assert later == dataclasses.replace(
        ENV, rewards=((0, 0), (0, 0)), contexts_shown=((0, 1),)
    )
    with pytest.raises(ValueError, match=r"env\.size: unknown key; allowed: rewards"):
        phases.altered(ENV, {"size": 5})
    with pytest.raises(ValueError, match=r"env\.cue_probability: got 2"):
        phases.altered(ENV, {"cue_probability": 2})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rewards": [["a", 0], [0, 1]]}, r"env\.rewards\.0\.0: got 'a'; allowed"),
        ({"rewards": [[None, 0], [0, 1]]}, r"env\.rewards\.0\.0: got None"),
        ({"rewards": [[[1], 0], [0, 1]]}, r"env\.rewards\.0\.0: got \[1\]"),
        ({"rewards": [[float("nan"), 0], [0, 1]]}, r"rewards\.0\.0: got nan; .*finite"),
        ({"contexts_shown": [[0.5]]}, r"env\.contexts_shown\.0\.0: got 0\.5; allowed"),
        ({"contexts_shown": [[0, 0]]}, r"env\.contexts_shown: got \(\(0, 0\),\)"),
        ({"cue_probability": "often"}, r"env\.cue_probability: got 'often'"),
    ],
)
def test_fields_of_a_phase_s_world_are_read_like_those_of_the_world(fields, told):
    with pytest.raises(ValueError, match=told):
        phases.altered(ENV, fields)


@pytest.mark.parametrize(
    "field", [{"env": {"contexts_shown": [[0]]}}, {"reset_envs": True}]
)
def test_stored_data_have_no_world_to_change(field):
    with pytest.raises(ValueError, match=f"^{next(iter(field))}: got .*'dataset'"):
        Phase("a", 1, collect="dataset", **field)


def test_a_phase_knows_how_far_it_is():
    plan = config(Phase("a", 3), Phase("b", 2))
    found = [schedule.phase_at(plan, done) for done in range(5)]
    assert [phase.name for phase, _ in found] == ["a", "a", "a", "b", "b"]
    assert [since for _, since in found] == [0, 1, 2, 0, 1]
    with pytest.raises(ValueError, match="got 5 beyond the last phase"):
        schedule.phase_at(plan, 5)


def learn(carry, head, plan, phase):
    """Run one phase to its end."""
    static = schedule.update_config(plan, ENV, (head,), phase)
    source = update_step.PhaseInputs(phases.params_of(ENV, phase))
    carry, _ = population.chunk(static, carry, source, jnp.int32(phase.updates))
    return carry


def worth(carry, shown):
    """Mean V per seed over fresh levels that show some contexts."""
    params = phases.altered(ENV, {"contexts_shown": shown}).params()

    def one(member):
        keys = jax.random.split(jax.random.key(7), 64)
        seen, states = jax.vmap(ENV.reset, in_axes=(0, None))(keys, params)
        contexts = jax.vmap(ENV.context)(states)
        return jax.vmap(member.value)(jax.vmap(member.encoder)(seen), contexts)

    return np.asarray(jax.vmap(lambda m: one(m).value.mean())(carry.learners[0].agent))


FALLING = optimizers.Schedule("linear")


def rates(plan, phase):
    """The rate of each update of a phase, as a multiple of that of the optimizer."""
    static = schedule.update_config(plan, ENV, (value.MLP(),), phase)
    start = schedule.ends(plan)[phase.name] - phase.updates
    return [
        float(
            optimizers.rate(
                static.optimizer,
                jnp.float32(1.0),
                jnp.int32(start + n - static.first_update),
                static.total_updates,
            )
        )
        for n in range(phase.updates)
    ]


def test_the_rate_falls_over_the_run_or_over_a_phase():
    phases_of = (
        Phase("a", 2, losses=EARN),
        Phase("b", 4, losses=EARN, schedule=FALLING),
        Phase("c", 2, losses=EARN, schedule=optimizers.Schedule()),
    )
    plan = config(*phases_of, optimizer=optimizers.OptimizerConfig(schedule=FALLING))
    assert rates(plan, phases_of[0]) == pytest.approx([1, 7 / 8])
    assert rates(plan, phases_of[1]) == pytest.approx([1, 3 / 4, 1 / 2, 1 / 4])
    assert rates(plan, phases_of[2]) == [1, 1]
    # a constant rate needs no program of its own for where the phase begins
    same = Phase("d", 2, losses=EARN, schedule=optimizers.Schedule())
    longer = config(*phases_of, same)
    heads = (value.MLP(),)
    assert schedule.update_config(longer, ENV, heads, same) == schedule.update_config(
        longer, ENV, heads, phases_of[2]
    )


def trained(plan, head):
    """A small agent at the end of a plan; leaves [1, ...]."""
    small = agent.AgentConfig(
        encoder=encoders.MLPEncoder(widths=(4,)),
        decoder_hidden=(4,),
        auxiliary_width=4,
    )
    recipe = population.InitConfig(small, plan.optimizer, ENV, plan.num_envs)
    keys = population.seed_keys(0, 1)
    hyper = schedule.hyperparameters(plan, head)
    params = phases.params_of(ENV, plan.phases[0])
    carry = population.init(recipe, head, 4, params, keys, hyper)
    for phase in plan.phases:
        carry = learn(carry, head, plan, phase)
    return jax.tree.map(np.asarray, carry.learners[0].agent)


def test_rewards_of_either_sign_are_learned_alike():
    """V of a random walker is turned round with the rewards, bit for bit, by any head:
    gates, hidden units and E stay as they are."""
    head = value.Sharded(num_shards=2)

    def learned(sign):
        paid = {"rewards": [[sign, 0.0], [0.0, sign]]}
        walk = Phase("walk", 12, collect="random_walker", losses=EARN, env=paid)
        plan = config(walk, num_seeds=1, num_envs=4, num_steps=4, epochs=1)
        return trained(plan, head)

    plus, minus = learned(1.0), learned(-1.0)
    assert np.abs(plus.value.kernel[...]).max() > 0.001
    for name in ("kernel", "bias"):
        one, other = (getattr(x.value, name)[...] for x in (plus, minus))
        np.testing.assert_array_equal(one, -other)
    for part in ("encoder", "value.hidden", "value.gate"):
        one, other = (operator.attrgetter(part)(x) for x in (plus, minus))
        jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
def test_a_phase_begins_its_schedule_at_its_own_first_update():
    """The first step of a falling rate is that of a constant one, the second is not."""
    head = value.MLP()

    def learned(updates, own):
        first = Phase("a", 2, losses=EARN, schedule=optimizers.Schedule())
        second = Phase("b", updates, losses=EARN, schedule=own)
        plan = config(first, second, num_seeds=1, num_envs=2, num_steps=2, epochs=1)
        return trained(plan, head).value.hidden.kernel[...]

    constant, falling = optimizers.Schedule(), optimizers.Schedule("linear")
    np.testing.assert_array_equal(learned(1, constant), learned(1, falling))
    assert not np.array_equal(learned(2, constant), learned(2, falling))


def test_a_warm_up_longer_than_its_phase_is_refused():
    with pytest.raises(
        ValueError, match=r"schedule\.warmup: got 2; allowed: less than"
    ):
        Phase("a", 2, losses=EARN, schedule=optimizers.Schedule(warmup=2))


@pytest.mark.slow
def test_acquisition_in_turn_extinction_and_renewal():
    """A then B: V of B rises only when B is paid. Unpaid in B alone, A comes back when
    it is shown again; unpaid in both, both fade."""
    plan = config(
        Phase("A", 60, losses=EARN, env={"contexts_shown": [[0]]}),
        Phase("B", 60, losses=EARN, env={"contexts_shown": [[1]]}),
        Phase(
            "extinction in B",
            100,
            losses=EARN,
            env={"contexts_shown": [[1]], "rewards": [[0, 0], [0, 0]]},
        ),
        Phase(
            "extinction",
            150,
            losses=EARN,
            env={"contexts_shown": [[0], [1]], "rewards": [[0, 0], [0, 0]]},
        ),
        num_seeds=2,
        num_envs=16,
        num_steps=8,
        epochs=2,
        optimizer=optimizers.OptimizerConfig(learning_rate=3e-3),
    )
    small = agent.AgentConfig(
        encoder=encoders.MLPEncoder(widths=(32,)),
        decoder_hidden=(8,),
        auxiliary_width=8,
    )
    head = value.OracleGated()
    recipe = population.InitConfig(small, plan.optimizer, ENV, plan.num_envs)
    params = phases.params_of(ENV, plan.phases[0])
    keys, hyper = population.seed_keys(0, 2), schedule.hyperparameters(plan, head)
    carry = population.init(recipe, head, 16, params, keys, hyper)
    found = []
    for phase in plan.phases:
        carry = learn(carry, head, plan, phase)
        found.append((worth(carry, [[0]]), worth(carry, [[1]])))
    (a1, b1), (_, b2), (a3, b3), (a4, b4) = found
    assert (a1 > 0.5).all()
    assert np.abs(b1).max() < 0.05  # its shard was never reinforced
    assert (b2 > 0.5).all()
    assert (b3 < b2 / 2).all()
    assert (a3 > a1 / 2).all()  # renewal: gated off, it was not unlearnt
    assert (a4 < a1 / 2).all()
    assert (b4 < b2 / 2).all()
