"""The trained agents of one arm, to be asked about states.

Symbols: N seeds, B states, A actions, K shards, H, W board; NB the axes of a result:
N, unless one seed was chosen, then those of what was asked about.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.api import film, page, session
from shardsim.api import levels as level_sets
from shardsim.core import config as configs
from shardsim.core import dynamic_programming, returns
from shardsim.core.types import State
from shardsim.evaluation import (
    battery,
    episodes,
    measures,
    networks,
    state_readings,
)
from shardsim.evaluation.exact_policies import ActingRule
from shardsim.evaluation.networks import Outputs
from shardsim.training import external_envs, phases

Asked: TypeAlias = level_sets.Levels | str | np.ndarray | Array | Any
"""Levels, a board as text, states of the world, or observations."""

MOST_STATES = 8_192
"""States of one call; more are asked about in several."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Agents:
    """The agents of an arm, one for each training seed.

    Every method takes what is asked about in one of four forms:

    - `Levels`: the states that their boards show;
    - a board as text: the state that it shows, without an axis;
    - states of the world (`Levels.states`, or of `env.reset` and `env.step`), with any
      number of leading axes;
    - observations, with any number of leading axes.

    Results are NumPy arrays with the seeds first, then the axes of what was asked. Of
    one seed (`seed(3)`) they have no axis of seeds. Switched-off shards (`ablate`) are
    missing from V, and from whatever follows from V.

    Examples:
      >>> agents = shardsim.load(folder).agents("sharded")
      >>> agents
      <2 agents of 'sharded' after 13 updates, 2 shards>
      >>> board = '''
      ...   @..
      ...   .1.
      ...   0..
      ...   everywhere: floor 0
      ... '''
      >>> agents.value(board).shape, agents.gates(board).shape
      ((2,), (2, 2))
      >>> agents.seed(1).ablate(shard=0).policy(board).shape
      (4,)
      >>> agents.act(agents.env.reset(jax.random.key(0), agents.env.params())[1]).shape
      (2,)
    """

    arm: str
    update: int
    """Updates of the training after which they are as they are."""
    env: Any
    """The world that they were trained in."""
    acting: ActingRule
    """How D and V choose an action."""
    num_seeds: int
    """N, or the number of elements of a sweep."""
    num_shards: int
    """K; 1 for a head without shards."""
    network: networks.Network
    chosen: int | None = None
    """The seed that was chosen; None: all."""
    switched_off: tuple[int, ...] = ()
    """Numbers of the shards that are switched off."""
    reads_context: bool = False
    """Whether gates are given the true context, which observations do not have."""

    def __repr__(self) -> str:
        who = (
            f"{self.num_seeds} agents"
            if self.chosen is None
            else (f"agent of seed {self.chosen}")
        )
        off = ", ".join(map(str, self.switched_off))
        off = f", without {off}" if off else ""
        noun = "shard" if self.num_shards == 1 else "shards"
        return (
            f"<{who} of {self.arm!r} after {self.update} updates, {self.num_shards} "
            f"{noun}{off}>"
        )

    def seed(self, number: int) -> "Agents":
        """One of the agents: results have no axis of seeds then.

        Args:
          number: of the seed, from 0. Of a sweep with G points it is that of the
            element g * num_seeds + seed.

        Raises:
          ConfigError: there is no such seed.

        Examples:
          >>> shardsim.load(folder).agents("sharded").seed(1)
          <agent of seed 1 of 'sharded' after 13 updates, 2 shards>
        """
        check_seed(number, self.num_seeds)
        return dataclasses.replace(self, chosen=number)

    def ablate(self, shard: int | tuple[int, ...]) -> "Agents":
        """The same agents with shards switched off: V = sum of the others' g_k v_k.

        Args:
          shard: number of a shard, from 0, or several.

        Raises:
          ConfigError: V has no such shard.

        Examples:
          >>> shardsim.load(folder).agents("sharded").ablate(shard=2)
          Traceback (most recent call last):
          shardsim.core.field_errors.ConfigError: shard: got 2; allowed in arm ...
        """
        numbers = (shard,) if isinstance(shard, int) else tuple(shard)
        for number in numbers:
            if not 0 <= number < self.num_shards:
                raise configs.ConfigError(
                    f"shard: got {number}; allowed in arm {self.arm!r}: 0 to "
                    f"{self.num_shards - 1}"
                )
        off = tuple(sorted({*self.switched_off, *numbers}))
        return dataclasses.replace(self, switched_off=off)

    def outputs(self, asked: Asked) -> Outputs:
        """V, its shards, their gates and D in the states that are asked about.

        Raises:
          ConfigError: these are no states of the world, or of another shape.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> out = agents.outputs(shardsim.levels(agents.env, count=3))
          >>> np.allclose(out.value, (out.gates * out.shard_values).sum(axis=-1))
          True
        """
        with session.numerics():
            observations, contexts, shape, _ = self._read(asked)
            return self._shaped(self._ask(observations, contexts), shape)

    def value(self, asked: Asked) -> Float[np.ndarray, "*NB"]:
        """V, in units of reward. Args, Raises: as `outputs`.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.value(shardsim.levels(agents.env, count=3)).shape
          (2, 3)
        """
        return self.outputs(asked).value

    def shard_values(self, asked: Asked) -> Float[np.ndarray, "*NB K"]:
        """Value of each shard without its gate. Args, Raises: as `outputs`.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.shard_values(shardsim.levels(agents.env, count=3)).shape
          (2, 3, 2)
        """
        return self.outputs(asked).shard_values

    def gates(self, asked: Asked) -> Float[np.ndarray, "*NB K"]:
        """Gate of each shard, 1 for a head without shards. Args, Raises: as `outputs`.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.gates(shardsim.levels(agents.env, count=3)).shape
          (2, 3, 2)
        """
        return self.outputs(asked).gates

    def logits(self, asked: Asked) -> Float[np.ndarray, "*NB A"]:
        """log D(a | s), of the decoder alone. Args, Raises: as `outputs`.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.logits(shardsim.levels(agents.env, count=3)).shape
          (2, 3, 4)
        """
        return self.outputs(asked).logits

    def q_values(self, asked: Asked) -> Float[np.ndarray, "*NB A"]:
        """Q(s, a) = r + gamma (1 - terminated) V(s'), one step ahead without chance.

        Raises:
          ConfigError: as `outputs`; or observations, which cannot be stepped.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.q_values(shardsim.levels(agents.env, count=3)).shape
          (2, 3, 4)
        """
        with session.numerics():
            _, _, shape, states = self._read(asked)
            return self._of_actions(self._q_values(states), shape)

    def policy(self, asked: Asked) -> Float[np.ndarray, "*NB A"]:
        """Probability of each action, as the agents act in the evaluation.

        That is D(a|s) exp(Q(s, a) / tau) where V acts, and D alone where it does not.
        A search counts by its first step.

        Raises:
          ConfigError: as `outputs`; or observations where V acts.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> policy = agents.policy(shardsim.levels(agents.env, count=3))
          >>> policy.sum(axis=-1).round(3).min()
          np.float32(1.0)
        """
        with session.numerics():
            observations, contexts, shape, states = self._read(asked)
            logits = self._ask(observations, contexts).logits
            q = self._q_values(states) if self.acting.value_acts else None
            policy = networks.policy(logits, q, self.acting)
            return self._of_actions(policy, shape)

    def act(self, asked: Asked, seed: int = 0) -> Int[np.ndarray, "*NB"]:
        """Actions drawn from `policy`: in the worlds 0 up, 1 right, 2 down, 3 left.

        Args:
          asked: as in `policy`.
          seed: of the draws.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.act(shardsim.levels(agents.env, count=3)).shape
          (2, 3)
        """
        policy = self.policy(asked)
        draws = np.random.default_rng(seed).random((*policy.shape[:-1], 1))
        # rounding may leave the last sum below 1
        last = policy.shape[-1] - 1
        return np.minimum((policy.cumsum(axis=-1) < draws).sum(axis=-1), last)

    def maps(self, given: level_sets.Levels | str) -> Outputs:
        """The outputs with the agent on every cell of levels, all else as drawn.

        Args:
          given: levels, or a board as text.

        Returns:
          Leaves [N, L, H, W, ...]; NaN where there are walls. Of a board as text,
          without the axis L.

        Raises:
          ConfigError: levels of another world.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.maps(shardsim.levels(agents.env, count=3)).gates.shape
          (2, 3, 3, 3, 2)
        """
        boards = level_sets.of_world(self.env, given)
        with session.numerics():
            observations, contexts, shape, _ = self._read(boards.everywhere())
            free = ~boards.walls.reshape(len(observations))
            out = self._shaped(self._ask(observations, contexts, free), shape)
        leading = out.value.ndim - 3

        def without_walls(leaf: np.ndarray) -> np.ndarray:
            walls = boards.walls.reshape(
                *(1,) * leading, *boards.walls.shape, *(1,) * (leaf.ndim - leading - 3)
            )
            free = np.where(walls, np.float32(np.nan), leaf)
            return free.squeeze(leading) if isinstance(given, str) else free

        return Outputs(*map(without_walls, out))

    def measure(
        self,
        measure: Any,
        conditions: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        levels: int = 32,
        seed: int = battery.EvaluationConfig.seed,
    ) -> dict[str, Float[np.ndarray, " N"]]:
        """A measure of these agents over all states of some levels, beside V*.

        Args:
          measure: one of `shardsim.evaluation.measures`, such as `ValueAccuracy()`.
          conditions: by name, the fields of the world that differ from training, as in
            a config; None: `in_distribution` alone.
          levels: of each condition.
          seed: of the levels.

        Returns:
          By row of the measure, a number for each agent; `exact` is V* itself.

        Raises:
          ConfigError: a world whose states are not listed, a condition that is not
            there, or a measure that looks inside networks or over training.

        Examples:
          >>> from shardsim.evaluation.measures import ValueAccuracy
          >>> error = shardsim.load(folder).agents("mlp").measure(ValueAccuracy())
          >>> error["mlp"].shape, error["exact"].round(6)
          ((2,), array([0.]))
        """
        fields = dict(conditions or {"in_distribution": {}})
        missing = [name for name in measure.conditions if name not in fields]
        if missing:
            raise configs.ConfigError(
                f"conditions: got {', '.join(fields)}; allowed for {measure.kind!r}: "
                f"also {', '.join(missing)}"
            )
        with session.numerics():
            try:
                dynamic_programming.check_enumerable(self.env)
                evidence = self._evidence(fields, levels, seed)
                values = measure.measure(evidence).values
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                line = " ".join(str(error).split())
                raise configs.ConfigError(
                    f"measure: got {measure.kind!r} ({line}); allowed: one of V, gates "
                    "and policy at the end of training"
                ) from None
        return {row: x for row, x in values.items() if not row.startswith("exact/")}

    def _evidence(
        self, fields: dict[str, Mapping[str, Any]], levels: int, seed: int
    ) -> measures.Evidence:
        """What these agents and V* say in every state of every condition."""
        config = battery.EvaluationConfig(levels=levels, seed=seed)
        drawn = {
            name: battery.build(
                self.env,
                phases.altered(self.env, dict(changes)).params(),
                config,
                self.acting.discount,
            )
            for name, changes in fields.items()
        }
        readings = {
            self.arm: {name: self._reading(each) for name, each in drawn.items()},
            measures.EXACT: {
                name: state_readings.exact_reading(each, self.env.num_actions)
                for name, each in drawn.items()
            },
        }
        return measures.Evidence(self.env, drawn, readings, self.acting)

    def _reading(self, condition: battery.Condition) -> state_readings.Reading:
        """Outputs in every state of a condition; a shard counts as one unit."""
        observed = battery.observed(self.env, condition.levels)
        observation, context = map(np.asarray, observed)
        shape = observation.shape[:2]
        count = math.prod(shape)
        out = self._ask(
            observation.reshape(count, *observation.shape[2:]),
            context.reshape(count, context.shape[-1]),
            networks.possible(condition).reshape(count),
        )
        value, shard_values, gates, logits = (
            leaf.reshape(len(leaf), *shape, *leaf.shape[2:]) for leaf in out
        )
        units, numbers = gates * shard_values, np.arange(self.num_shards)
        return state_readings.Reading(
            value, shard_values, gates, units, logits, numbers
        )

    def watch(
        self,
        levels: level_sets.Levels | str | None = None,
        *,
        seed: int = 0,
        greedy: bool = False,
        steps: int = episodes.MOST_STEPS,
    ) -> film.Film:
        """Play an episode on each of some levels; a notebook shows it as a film.

        Args:
          levels: levels, or a board as text; None: one that the world draws.
          seed: of the actions, of chance, and of the level that the world draws.
          greedy: always the most likely action.
          steps: those after which an episode is cut off.

        Raises:
          ConfigError: several seeds: choose one by `seed`; or a world without boards.

        Examples:
          >>> agents = shardsim.load(folder).agents("sharded")
          >>> agents.seed(1).watch(shardsim.levels(agents.env, count=2))
          <film of sharded, seed 1: 2 levels>
          >>> agents.watch()
          Traceback (most recent call last):
          shardsim.core.field_errors.ConfigError: seed: got 2 agents; allowed: one ...
        """
        return film.play([self.player()], self.env, levels, seed, greedy, steps)

    def player(self) -> episodes.Player:
        """The agent as one who plays episodes.

        Raises:
          ConfigError: these are several.

        Examples:
          >>> shardsim.load(folder).agents("mlp").seed(0).player().name
          'mlp, seed 0'
        """
        if self.chosen is None and self.num_seeds > 1:
            raise configs.ConfigError(
                f"seed: got {self.num_seeds} agents; allowed: one, e.g. by seed(0)"
            )
        chosen = self.chosen or 0
        name = self.arm
        if isinstance(self.network, networks.Trained):
            name += f", seed {chosen}"
        if self.switched_off:
            name += f", without shard {', '.join(map(str, self.switched_off))}"
        network = networks.OneOf(self.network, chosen, self.switched_off)
        return episodes.Player(name, network, self.acting)

    def inspect(
        self,
        out: str | Path | None = None,
        *,
        mazes: int = 4,
        quick: bool = False,
        overwrite: bool = False,
    ) -> page.Page:
        """Make the interactive page of a wrapped agent, shown inline in a notebook.

        It has the panels that need no look inside a network: V beside the exact V*,
        policy, reachability, shards if there are any, tails. The page of agents that
        shardsim trained is `Run.inspect`.

        Args:
          out: a new HTML file; None: a temporary one, kept while the result is.
          mazes: number of levels that are drawn.
          quick: leave out the panels that take long.
          overwrite: replace an old page.

        Raises:
          ConfigError: these agents have been trained by shardsim.
          RunError: the states of the world cannot be enumerated.

        Examples:
          >>> shardsim.load(folder).agents("mlp").inspect()
          Traceback (most recent call last):
          shardsim.core.field_errors.ConfigError: inspect: got agents of a run; ...
        """
        if isinstance(self.network, networks.Trained):
            raise configs.ConfigError(
                "inspect: got agents of a run; allowed: those of shardsim.wrap "
                "(`run.inspect` makes the page of a run)"
            )
        with session.numerics():
            return page.write_agent(self, out, mazes, quick, overwrite)

    def _read(self, asked: Asked) -> tuple[Any, Any, tuple[int, ...], State | None]:
        """Observations and contexts [B, ...], the axes they had, and the states."""
        env = self.env
        if isinstance(asked, str):
            states = level_sets.of_world(env, asked).states
            return (*networks.observed(env, states), (), states)
        if isinstance(asked, level_sets.Levels):
            boards = level_sets.of_world(env, asked)
            return (
                *networks.observed(env, boards.states),
                (len(boards),),
                boards.states,
            )
        if not isinstance(asked, tuple) and hasattr(asked, "shape"):
            return self._read_observations(np.asarray(asked))
        shape, states = _flat_states(env, asked)
        return (*networks.observed(env, states), shape, states)

    def _read_observations(
        self, given: np.ndarray
    ) -> tuple[Any, Any, tuple[int, ...], None]:
        one = tuple(self.env.observation_shape)
        count = given.ndim - len(one)
        if count < 0 or given.shape[count:] != one or given.dtype.kind not in "buif":
            raise configs.ConfigError(
                f"observations: got {given.dtype} of shape {given.shape}; allowed: "
                f"numbers of shape [..., {', '.join(map(str, one))}]"
            )
        if self.reads_context:
            raise configs.ConfigError(
                f"observations: got some for arm {self.arm!r}, whose gates are given "
                "the true context; allowed: states, levels or a board as text"
            )
        shape = given.shape[:count]
        flat = given.reshape(-1, *one)
        flat = flat.astype(np.float32) if flat.dtype.kind == "f" else flat
        if flat.dtype.kind in "bui" and flat.dtype != np.uint8:
            flat = flat.astype(np.float32)
        return (
            flat,
            np.zeros((len(flat), self.env.num_contexts), np.float32),
            shape,
            None,
        )

    def _ask(
        self,
        observations: Any,
        contexts: Any,
        possible: Bool[np.ndarray, " B"] | None = None,
    ) -> Outputs:
        """Outputs of the chosen agents, leaves [N, B, ...].

        Args:
          possible: states that agents of other people are asked about; None: all.
        """
        if possible is not None and not isinstance(self.network, networks.Trained):
            where = networks.Where(self.network, possible)
            asked = networks.OneOf(where, self.chosen, self.switched_off)
            return asked(np.asarray(observations), np.asarray(contexts))
        asked = networks.OneOf(self.network, self.chosen, self.switched_off)
        parts = [
            asked(
                observations[first : first + MOST_STATES],
                contexts[first : first + MOST_STATES],
            )
            for first in range(0, max(len(observations), 1), MOST_STATES)
        ]
        return Outputs(*(np.concatenate(x, axis=1) for x in zip(*parts, strict=True)))

    def _q_values(self, states: State | None) -> np.ndarray:
        """Q, [N, B, A]."""
        if states is None:
            raise configs.ConfigError(
                "observations: got some where a step has to be taken; allowed: states, "
                "levels or a board as text (`logits` are D's own)"
            )
        ahead = networks.ahead(self.env, states, self.env.params())
        reward, terminated, observations, contexts = map(np.asarray, ahead)
        count = reward.size
        after = self._ask(
            observations.reshape(count, *observations.shape[2:]),
            contexts.reshape(count, contexts.shape[-1]),
        ).value
        value = after.reshape(len(after), *reward.shape)
        return np.asarray(
            returns.one_step_return(reward, terminated, value, self.acting.discount)
        )

    def _shaped(self, out: Outputs, shape: tuple[int, ...]) -> Outputs:
        """Outputs [N, B, ...] with the axes of what was asked."""
        reshaped = (leaf.reshape(len(leaf), *shape, *leaf.shape[2:]) for leaf in out)
        return Outputs(*map(self._of_seeds, reshaped))

    def _of_actions(self, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return self._of_seeds(x.reshape(len(x), *shape, x.shape[-1]))

    def _of_seeds(self, x: np.ndarray) -> np.ndarray:
        return x if self.chosen is None else np.asarray(x[0])


def check_seed(number: int, num_seeds: int) -> None:
    """Check the number of a seed.

    Raises:
      ConfigError: there is no such seed.
    """
    if not (isinstance(number, int | np.integer) and 0 <= number < num_seeds):
        raise configs.ConfigError(
            f"seed: got {number!r}; allowed: 0 to {num_seeds - 1}"
        )


def _flat_states(env: Any, given: Any) -> tuple[tuple[int, ...], State]:
    """The leading axes of states, and the states with one axis in their place.

    Raises:
      ConfigError: they are no states of the world.
    """
    if isinstance(env, external_envs.Gymnasium):
        raise configs.ConfigError(
            f"states: got {type(given).__name__} in an environment on the host, whose "
            "states cannot be read; allowed: observations"
        )
    key, params = jax.random.key(0), env.params()
    shapes = jax.eval_shape(lambda: env.reset(key, params)[1])
    allowed: Any = jax.tree.structure(shapes)
    if jax.tree.structure(given) != allowed:
        raise configs.ConfigError(
            f"states: got {type(given).__name__}; allowed: states of {env.kind}, "
            "levels, a board as text, or an array of observations"
        )
    leaves, references = jax.tree.leaves(given), jax.tree.leaves(shapes)
    axes = {
        np.shape(leaf)[: np.ndim(leaf) - one.ndim]
        for leaf, one in zip(leaves, references, strict=True)
        if np.shape(leaf)[np.ndim(leaf) - one.ndim :] == one.shape
    }
    fits = all(
        np.shape(leaf)[max(np.ndim(leaf) - one.ndim, 0) :] == one.shape
        for leaf, one in zip(leaves, references, strict=True)
    )
    if not fits or len(axes) != 1:
        raise configs.ConfigError(
            f"states: got arrays of shapes {[np.shape(leaf) for leaf in leaves]}; "
            f"allowed: {[one.shape for one in references]} after the same axes"
        )
    (shape,) = axes
    count = math.prod(shape)
    flat = [
        jnp.asarray(leaf, one.dtype).reshape(count, *one.shape)
        for leaf, one in zip(leaves, references, strict=True)
    ]
    return shape, jax.tree.unflatten(allowed, flat)
