"""Every compiled program lowers for a GPU and a TPU on this machine.

What it lowers to has no custom call that the platform lacks, no callback to the host
and no float64. In training there is no gather of single elements, which accelerators
are slow at. Exact values, computed once for each condition, look successors up in a
table.
"""

import dataclasses
import typing
from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim import algorithms
from shardsim.agents import action_selection, encoders, value
from shardsim.agents import agent as agents
from shardsim.algorithms import losses, optimizers, update_step
from shardsim.core import backends
from shardsim.core.jit import jit
from shardsim.core.types import Trajectory
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim.evaluation.measures import two_goals
from shardsim.training import host_envs, population
from shardsim_envs import CornerMaze
from tests.envs.conftest import CASES
from tests.helpers import lowered
from tests.helpers.small_training import ADAM, CONFIG, ENV, WIDTH, hyper, setting

PLATFORMS = tuple(lowered.PLATFORMS)
SEEDS = 2
KEYS = jax.eval_shape(lambda: population.seed_keys(0, SEEDS))
HYPER = jax.eval_shape(lambda: hyper(SEEDS))
COUNT = jax.ShapeDtypeStruct((), jnp.int32)
HEADS = (
    *(head() for head in typing.get_args(value.Head)),
    value.Sharded(gate="sigmoid", aggregation="convex", td_error="per_shard"),
    value.Sharded(gate="top_k", top_k=2, aggregation="winner", td_error="per_shard"),
    value.Sharded(td_error="per_shard", routing=value.Routing()),
)
SCALES = losses.GradientScales
LEARN = losses.LossWeights(value=SCALES(encoder=1.0, value=1.0))
SELF_SUPERVISED = losses.LossWeights(
    action=SCALES(encoder=1.0, decoder=1.0),
    observation=SCALES(encoder=1.0, auxiliary=1.0),
    inverse=SCALES(encoder=1.0, auxiliary=1.0),
    masked=SCALES(encoder=1.0, auxiliary=1.0),
)
JOINT = losses.LossWeights(
    policy=SCALES(encoder=1.0, decoder=1.0), value=SCALES(encoder=1.0, value=1.0)
)


class Case(typing.NamedTuple):
    """A training: what its programs depend on."""

    name: str
    changes: Mapping = MappingProxyType({})
    agent: agents.AgentConfig = CONFIG
    optimizer: optimizers.OptimizerConfig = ADAM
    heads: tuple = (value.MLP(),)
    env: typing.Any = ENV

    @property
    def recipe(self):
        return population.InitConfig(
            self.agent, self.optimizer, self.env, 8, self.static.losses.objectives
        )

    @property
    def static(self):
        plain = {"env": self.env, "optimizer": self.optimizer, "losses": LEARN}
        return setting(self.heads, **{**plain, **self.changes})


def actor(algorithm, selection, **changes):
    return {"algorithm": algorithm, "action_selection": selection, **changes}


def encoded(encoder):
    return dataclasses.replace(CONFIG, encoder=encoder)


def flat(env):
    return encoded(encoders.FlatEncoder(int(np.prod(env.observation_shape))))


RULES = [
    Case("td", heads=(value.MLP(), value.Sharded())),
    Case(
        "ppo",
        actor(algorithms.PPO(), action_selection.PolicyOnly(), losses=JOINT),
    ),
    Case(
        "reinforce",
        actor(
            algorithms.Reinforce(),
            action_selection.PolicyOnly(),
            losses=JOINT,
            epochs=1,
        ),
    ),
    Case(
        "expert iteration, search",
        actor(
            algorithms.ExpertIteration(),
            action_selection.Search(simulations=3),
            losses=JOINT,
        ),
    ),
    Case("value only", {"action_selection": action_selection.ValueOnly()}),
    Case(
        "random walker, all objectives",
        {"collect": "random_walker", "losses": SELF_SUPERVISED},
    ),
    Case("dataset", {"collect": "dataset"}),
    Case("bfloat16", {"precision": "bfloat16"}),
]
ENCODERS = [
    Case(type(each).__name__, agent=encoded(each))
    for each in (
        encoders.MLPEncoder(widths=(16,), activation="tanh"),
        encoders.ConvEncoder(channels=(4,), hidden=8, features=8),
        encoders.ImpalaEncoder(channels=(4, 4), features=8),
        encoders.AttentionEncoder(width=8, hidden=8, heads=2, head_width=4, features=8),
    )
] + [Case("FlatEncoder", agent=flat(ENV))]
OPTIMIZERS = [
    Case(
        f"{type(rule).__name__}, {schedule}",
        optimizer=optimizers.OptimizerConfig(
            update_rule=rule,
            clip_scope=scope,
            schedule=optimizers.Schedule(schedule, warmup=2),
        ),
    )
    for rule, schedule, scope in (
        (optimizers.Adam(weight_decay=0.1), "constant", "agent"),
        (optimizers.RMSProp(), "linear", "part"),
        (optimizers.SGD(), "cosine", "part"),
    )
]
LOOK_UPS = {"FollowMe": 2, "MonsterWorld": 1}
"""Worlds in which something else than the agent walks, and the numbers of look-ups that
this takes: one of every environment in a step."""
WORLDS = [
    Case(f"{type(env).__name__} {number}", env=env)
    for number, (env, _) in enumerate(CASES)
]
TANDEM = Case("heads in tandem", {"minibatches": 2}, heads=HEADS)
CHUNKS = (*RULES, *ENCODERS, *OPTIMIZERS, TANDEM)


def state_of(case):
    """Shapes of the state of all arms in a group; no array is made."""
    states = [
        population.init.compiled.eval_shape(
            case.recipe, head, WIDTH, case.env.params(), KEYS, HYPER
        )
        for head in case.heads
    ]
    failed = jax.ShapeDtypeStruct((SEEDS, len(states)), jnp.int32)
    learners = tuple(learner for state in states for learner in state.learners)
    return states[0]._replace(learners=learners, failed=failed)


def inputs_of(case):
    """Shapes of what the data come from."""
    params = case.env.params()
    if case.static.collect != "dataset":
        return update_step.PhaseInputs(params)
    drawn = case._replace(changes={})
    _, trajectory = population.collect.compiled.eval_shape(
        drawn.static, state_of(drawn), update_step.PhaseInputs(params)
    )
    dataset = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), trajectory
    )
    return update_step.PhaseInputs(params, Trajectory(*dataset))


def check(program, *args, platform):
    """A program lowers for a platform, to nothing that is wrong there."""
    text = lowered.text(program, *args, platform=platform)
    assert lowered.faults(text, platform) == []
    return text


def check_training(program, *args, platform, gathers=0):
    """So does a program that runs at every update; it gathers no single elements."""
    text = check(program, *args, platform=platform)
    assert len(lowered.element_gathers(text)) == gathers


def named(case):
    return case.name.replace(" ", "_")


def test_every_choice_of_a_config_is_lowered():
    """A kind that somebody adds is asked for."""
    rules = {type(case.static.algorithm) for case in RULES}
    assert rules == {*typing.get_args(algorithms.Algorithm)}
    selections = {type(case.static.action_selection) for case in RULES}
    assert selections == {*typing.get_args(action_selection.ActionSelection)}
    assert {type(head) for head in HEADS} == {*typing.get_args(value.Head)}
    kinds = {type(case.agent.encoder) for case in ENCODERS}
    assert kinds == {*typing.get_args(encoders.EncoderConfig)}
    updates = {type(case.optimizer.update_rule) for case in OPTIMIZERS}
    assert updates == {*typing.get_args(optimizers.Rule)}
    assert SELF_SUPERVISED.objectives == losses.OBJECTIVES


@pytest.mark.few(2, rest="long")
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("case", [*CHUNKS], ids=named)
def test_a_chunk_of_updates_lowers(case, platform):
    check_training(
        population.chunk,
        case.static,
        state_of(case),
        inputs_of(case),
        COUNT,
        platform=platform,
    )


@pytest.mark.few(2, rest="long")
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("case", [*ENCODERS, *WORLDS], ids=named)
def test_new_agents_and_their_data_lower(case, platform):
    static = (case.recipe, case.heads[0], WIDTH)
    params = case.env.params()
    check(population.init, *static, params, KEYS, HYPER, platform=platform)
    state, inputs = state_of(case), inputs_of(case)
    gathers = LOOK_UPS.get(type(case.env).__name__, 0)
    check_training(
        population.collect,
        case.static,
        state,
        inputs,
        platform=platform,
        gathers=gathers,
    )


@pytest.mark.long
@pytest.mark.parametrize("platform", PLATFORMS)
def test_new_heads_and_levels_lower(platform):
    case = TANDEM
    widths = (WIDTH,) * len(HEADS)
    check(population.heads, case.recipe, HEADS, widths, KEYS, platform=platform)
    state = state_of(case)
    arguments = (ENV, 8, 1, ENV.params(), state.key, state.update)
    check(population.restart, *arguments, platform=platform)


@pytest.mark.long
@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_update_and_an_action_of_an_environment_on_the_host_lower(platform):
    case = RULES[1]
    state, inputs = state_of(case), inputs_of(case)
    _, trajectory = population.collect.compiled.eval_shape(case.static, state, inputs)
    check_training(
        population.update_arms, case.static, state, trajectory, platform=platform
    )
    observations = jax.ShapeDtypeStruct((SEEDS, 8, *ENV.observation_shape), jnp.uint8)
    check_training(
        host_envs._act,
        state.learners[0].agent,
        state.key,
        state.update,
        COUNT,
        observations,
        platform=platform,
    )


@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_readings_lower(head, platform):
    case = Case("reading", heads=(head,))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    levels, *_ = battery._truth.compiled.eval_shape(ENV, 0.9, keys, ENV.params())
    population_shape = state_of(case).learners[0].agent
    one = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), population_shape
    )
    for program in (state_readings._evaluate_one, state_readings._features_of_one):
        check(program, ENV, one, levels, platform=platform)


@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    "env", [ENV, CornerMaze(size=5, region=2)], ids=lambda e: e.kind
)
def test_exact_values_lower(env, platform):
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    arguments = (env, 0.9, keys, env.params())
    check(battery._truth, *arguments, platform=platform)
    levels, table, *_ = battery._truth.compiled.eval_shape(*arguments)
    check(battery.positions, env, levels, platform=platform)
    shape = (SEEDS, 3, env.num_states, env.num_actions)
    policies = jax.ShapeDtypeStruct(shape, jnp.float32)
    check(exact_policies._policy_values, policies, table, 0.9, 8, platform=platform)
    check(two_goals._reach_probability, table, policies, 8, platform=platform)


def test_what_would_be_wrong_is_seen():
    """A callback, a decomposition, a double and a gather of single elements."""
    row = jax.ShapeDtypeStruct((4,), jnp.float32)
    square = jax.ShapeDtypeStruct((4, 4), jnp.float32)
    many = jax.ShapeDtypeStruct((300,), jnp.float32)
    places = jax.ShapeDtypeStruct((100,), jnp.int32)

    def called_back(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((4,), np.float32), x)

    with pytest.raises(ValueError, match="different from the lowering platform cuda"):
        lowered.text(jit(called_back), row, platform="gpu")
    decomposed = lowered.text(jit(jnp.linalg.eigh), square, platform="gpu")
    assert lowered.faults(decomposed, "gpu") == ["custom call cusolver_syevd_ffi"]
    gathered = lowered.text(jit(lambda x, at: x[at]), many, places, platform="gpu")
    assert len(lowered.element_gathers(gathered)) == 1
    rows = lowered.text(
        jit(lambda x, at: x[at]),
        jax.ShapeDtypeStruct((300, 8), jnp.float32),
        places,
        platform="gpu",
    )
    assert lowered.element_gathers(rows) == []
    assert lowered.faults(rows, "gpu") == []
    double = "%0 = stablehlo.add %a, %b : tensor<3x2xf64>"
    assert lowered.faults(double, "tpu") == ["type f64"]


def test_a_program_is_traced_for_the_device_that_it_is_for():
    """Precision and form follow the table, also where another one was traced before."""
    case = next(each for each in ENCODERS if each.name == "ConvEncoder")
    arguments = (case.static, state_of(case), inputs_of(case))
    here = population.collect.compiled.trace(*arguments).lower().as_text()
    there = lowered.text(population.collect, *arguments, platform="gpu")
    again = population.collect.compiled.trace(*arguments).lower().as_text()
    assert "stablehlo.convolution" not in here
    assert "stablehlo.convolution" in there
    assert "HIGHEST" not in here
    assert "HIGHEST" in there
    assert here == again
    assert backends.current() == "cpu"
