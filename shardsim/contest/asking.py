"""Ask agents what they do: situations, exact policies and exact occupancies.

Symbols: N seeds, L levels, S states of a level, A actions, C contexts, F sources of
reward.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from shardsim.contest import config as contests
from shardsim.contest import histories, training
from shardsim.contest.evidence import AgentEvidence, Behaviour, Evidence, Situations
from shardsim.core import config as configs
from shardsim.core import fields
from shardsim.core.dynamic_programming import TransitionTable
from shardsim.core.jit import jit
from shardsim.core.types import Level
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim.training.arms import Arm
from shardsim_envs import ContextFruits
from shardsim_envs.gridworld.records import State
from shardsim_envs.worlds import context_fruits


@fields.record
class AskedWorld(ContextFruits):
    """ContextFruits as agents are asked in it."""

    moved: bool = False
    """Whether objects and the agent lie on other cells, on the same floor."""
    hidden: tuple[str, ...] = ()
    """Planes that agents do not see."""

    def generate(self, key: Key[Array, ""], params: context_fruits.Params) -> Level:
        level = super().generate(key, params)
        if not self.moved:
            return level
        other = super().generate(jax.random.fold_in(key, 2), params)
        is_floor = np.isin(self.board_planes, self.uniform_planes)[None, None]
        return other._replace(board=jnp.where(is_floor, level.board, other.board))

    def observe(self, state: State) -> UInt8[Array, "H W P"]:
        seen = ~np.isin(self.plane_names, self.hidden)[None, None]
        return super().observe(state) * jnp.asarray(seen, jnp.uint8)


class Conditions:
    """The conditions of a contest, with the rewards in force after an event."""

    def __init__(self, contest: contests.Contest) -> None:
        self.contest = contest
        self._built: dict[tuple[str, Any], battery.Condition] = {}

    def world(self, name: str) -> AskedWorld:
        """The rules of a condition; its rewards and floors are in its params."""
        condition = self.contest.evaluation.conditions[name]
        given = configs.to_dict(self.contest.env)
        own = {"moved": condition.moved, "hidden": list(condition.hidden)}
        return configs.build(AskedWorld, {**given, **own})

    def after(self, name: str, event: str) -> battery.Condition:
        """A condition for agents whose history ends with an event."""
        world = self.contest.world_in(name, event)
        if (name, world.rewards) not in self._built:
            asked = self.contest.evaluation
            self._built[name, world.rewards] = battery.build(
                self.world(name),
                world.params(),
                battery.EvaluationConfig(levels=asked.levels, seed=asked.seed),
                self.contest.train.discount,
            )
        return self._built[name, world.rewards]

    def situations(self, name: str) -> Situations:
        """What every forecaster may look at in a condition."""
        event = next(iter(self.contest.pipelines.events))
        condition, world = self.after(name, event), self.world(name)
        rewards = self.contest.world_in(name, event).rewards
        sets_rewards = "rewards" in self.contest.evaluation.conditions[name].env
        observation, taken = _seen(world, condition.levels, condition.params)
        is_seen = [f"floor {c}" not in world.hidden for c in range(world.contexts)]
        return Situations(
            observation=np.asarray(observation),
            shown=condition.context[:, 0] * np.asarray(is_seen, np.float32),
            successor=np.asarray(condition.table.successor),
            taken=np.asarray(taken),
            terminated=np.asarray(condition.table.terminated),
            reachable=condition.reachable,
            start=np.asarray(condition.table.start),
            level=np.arange(len(condition.context)),
            context=condition.context[:, 0],
            rewards=rewards if sets_rewards else None,
        )


@functools.partial(jit, static_argnums=0)
def _seen(
    world: AskedWorld, levels: Level, params: context_fruits.Params
) -> tuple[UInt8[Array, "L S H W P"], Float[Array, "L S A F"]]:
    """Observations of all states, and which source each step takes."""
    # a source is taken where it would pay 1
    paying = params._replace(rewards=jnp.ones_like(params.rewards))
    actions = jnp.arange(world.num_actions)

    def of_state(state: State) -> tuple[Array, Array]:
        def step(action: Array) -> Array:
            return world.step(None, state, action, paying).info["rewards"]

        return world.observe(state), jax.vmap(step)(actions)

    def of_level(level: Level) -> tuple[Array, Array]:
        return jax.vmap(of_state)(world.states(level))

    observation, taken = jax.vmap(of_level)(levels)
    return observation, taken


@functools.partial(jit, static_argnums=2)
def _occupancy(
    policy: Float[Array, "L S A"], table: TransitionTable, max_steps: int
) -> Float[Array, "L S"]:
    """Expected number of decisions of an episode in each state.

      d_0 = 1[s = start],  d_t+1(s') = sum over (s, a) that lead to s' and do not
      terminate of d_t(s) pi(a | s)

    The sum of d_0 to d_T-1 for a time limit of T steps.
    """

    def of_level(
        policy: Array, successor: Array, terminated: Array, start: Array
    ) -> Array:
        def step(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            here, total = carry
            flow = jnp.where(terminated, 0.0, here[:, None] * policy)
            there = jnp.zeros_like(here).at[successor].add(flow)
            return there, total + here

        first = jnp.zeros(policy.shape[0], jnp.float32).at[start].set(1.0)
        carry = first, jnp.zeros_like(first)
        total: Array = jax.lax.fori_loop(0, max_steps, step, carry)[1]
        return total

    return jax.vmap(of_level)(policy, table.successor, table.terminated, table.start)


def act(
    value: Float[np.ndarray, "L S"],
    policy_logits: Float[np.ndarray, "L S A"],
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
) -> Behaviour:
    """What an agent does in a condition, from its V and D in all states.

    Args:
      value: V(s).
      policy_logits: log D(a | s).
      condition: with the rewards that are in force.
      acting: how V and D act.
    """
    policy = exact_policies.policy(value, policy_logits, condition, acting)
    policy = policy.astype(np.float32)
    count = np.asarray(_occupancy(policy, condition.table, acting.max_steps))
    return Behaviour(policy, count / count.sum(axis=-1, keepdims=True))


def ask(
    contest: contests.Contest,
    path: Path,
    advance: training.Advance = lambda done: None,
) -> Evidence:
    """All agents of a contest in all conditions.

    Args:
      path: folder of the contest, all of whose agents are trained.
      advance: called for every arm and history.

    Raises:
      RunError: an agent is missing, or its file is damaged.
    """
    conditions = Conditions(contest)
    situations = {
        name: conditions.situations(name) for name in contest.evaluation.conditions
    }
    found: list[AgentEvidence] = []
    for arm in contest.sized_arms():
        for word in contest.words:
            found += _of_history(contest, path, conditions, arm, word)
            advance(f"{arm.name}: what agents do after {histories.name_of(word)}")
    return Evidence(situations, tuple(found))


def _of_history(
    contest: contests.Contest,
    path: Path,
    conditions: Conditions,
    arm: Arm,
    word: histories.Word,
) -> list[AgentEvidence]:
    """The agents of all seeds of an arm after a history."""
    seeds = contest.train.num_seeds
    population = training.read(contest, path, arm, word, seeds)
    behaviour: list[dict[str, Behaviour]] = [{} for _ in range(seeds)]
    for name in contest.evaluation.conditions:
        condition = conditions.after(name, word[-1])
        value, policy_logits = state_readings.evaluate(
            conditions.world(name), population, condition.levels
        )
        for seed in range(seeds):
            behaviour[seed][name] = act(
                value.value[seed], policy_logits[seed], condition, contest.acting
            )
    history = contest.history(word)
    return [
        AgentEvidence(arm.name, history, seed, each)
        for seed, each in enumerate(behaviour)
    ]
