"""Fits a forecaster to its evidence, and asks it.

All forecasters have the same budget: as many steps of Adam, from as many starts, on the
exact log-loss of what agents do. Agents of one history differ in their seed alone, of
which no forecaster knows, so their mean behaviour is all that a fit needs.

A fit is one compiled program for each forecaster and layout. It has room for all
levels, and reads as many as the evidence has, so that fits on more and more levels
share it.

Symbols: H histories, D conditions, L levels, B = L D boards, S states that an episode
can be in, A actions, F sources of reward, R restarts.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key
from pydantic import PositiveInt

from shardsim.contest import events, planning
from shardsim.contest.events import Events, Sizes
from shardsim.contest.evidence import Evidence, History, Situations, pays
from shardsim.contest.forecasters.base import Fittable, Parameters, Question
from shardsim.contest.planning import Board, Layout
from shardsim.core import fields
from shardsim.core.jit import jit

UNIFORM_SHARE = 1e-3
"""Share of random actions that every forecast is mixed with: a decision costs no
forecaster more than log(A / UNIFORM_SHARE) nats."""
CHECKS = 10
"""How often a fit computes its loss on all boards; the best of these ends counts."""
FOLDS = 2
"""A restart that stops early needs this many histories, or levels, for each restart, to
keep some of them apart."""


@fields.record
class Budget:
    """How long every forecaster is fitted."""

    steps: PositiveInt = 300
    """Steps of Adam from each start; the learning rate falls to 0 along a cosine."""
    restarts: PositiveInt = 4
    """R, starts of a fit."""
    boards: PositiveInt = 32
    """Boards of a step: levels of the conditions in turn, each with all histories."""


class Frame(NamedTuple):
    """What fits and questions of one contest have in common. It holds no answer."""

    sizes: Sizes
    layout: Layout
    levels: int
    """L, of the largest evidence."""


class Fitted(NamedTuple):
    """A forecaster after its fit; it no longer changes."""

    forecaster: Fittable
    parameters: Parameters
    """Leaves [R, ...]."""
    weights: Float[np.ndarray, " R"]
    """Share of each restart in the forecast."""
    frame: Frame
    loss: float
    """On the evidence, in nats per decision."""
    num_parameters: int
    """Free numbers of all restarts that count."""

    def policy(
        self, situations: Situations, history: History
    ) -> Float[np.ndarray, "L S A"]:
        """The forecast: probabilities of actions in some levels of a condition."""
        return forecasts(self, situations, [history])[0]


def frame_of(
    situations: Mapping[str, Situations], histories: Sequence[History]
) -> Frame:
    """The frame that holds all conditions and histories of a contest."""
    _, _, actions = next(iter(situations.values())).successor.shape
    levels = max(len(one.level) for one in situations.values())
    return Frame(
        events.sizes_of(histories, actions), planning.layout_of(situations), levels
    )


def fit(
    forecaster: Fittable,
    evidence: Evidence,
    frame: Frame,
    budget: Budget,
    seed: int = 0,
) -> Fitted:
    """Fit a forecaster.

    Args:
      evidence: agents of one arm.
      frame: of the contest.
      seed: of the starts.

    Raises:
      ValueError: the evidence has agents of several arms, or none.
    """
    arms = {agent.arm for agent in evidence.agents}
    if len(arms) != 1:
        raise ValueError(
            f"evidence: got agents of {sorted(arms)}; allowed: those of one arm"
        )
    problem, levels = _problem(evidence, frame)
    program = _Program(
        forecaster,
        budget,
        frame.sizes,
        len(evidence.situations),
        problem.mass.shape[1],
        frame.layout.one_take,
        frame.layout.sweeps,
    )
    parameters, losses = _fit(program, jax.random.key(seed), problem, levels)
    weights = np.full(budget.restarts, 1 / budget.restarts)
    loss = float(losses.mean())
    if not forecaster.HOLDS_OUT:
        best = int(np.nanargmin(np.asarray(losses)))
        weights = np.eye(budget.restarts)[best]
        loss = float(losses[best])
    per_restart = sum(leaf[0].size for leaf in jax.tree.leaves(parameters))
    return Fitted(
        forecaster,
        jax.tree.map(np.asarray, parameters),
        weights,
        frame,
        loss,
        per_restart * int((weights > 0).sum()),
    )


def forecasts(
    fitted: Fitted, situations: Situations, histories: Sequence[History]
) -> Float[np.ndarray, "H L S A"]:
    """What a forecaster expects of agents of several histories in one condition.

    States that no episode is in get a uniform policy.
    """
    frame = fitted.frame
    board = planning.boards_of({"": situations}, frame.layout.states)
    program = _Asking(fitted.forecaster, frame.layout.one_take, frame.layout.sweeps)
    counts = fitted.weights > 0
    policy = _forecast(
        program,
        jax.tree.map(lambda leaf: leaf[counts], fitted.parameters),
        jnp.asarray(fitted.weights[counts], jnp.float32),
        board,
        events.encode(histories, frame.sizes),
        jnp.asarray(_takes({"": situations}, histories)),
    )
    _, states, actions = situations.successor.shape
    levels = len(situations.level)
    everywhere = np.full((len(histories), levels, states, actions), 1 / actions)
    everywhere[:, :, frame.layout.states] = np.asarray(policy)
    return everywhere


class _Problem(NamedTuple):
    board: Board
    """Leaves [B, ...], with room for all levels."""
    events: Events
    """Leaves [H, ...]."""
    reward: Float[Array, "H B F"]
    mass: Float[Array, "H B S A"]
    """Mean over seeds of occupancy times policy; 0 where nothing is known."""


def _problem(evidence: Evidence, frame: Frame) -> tuple[_Problem, Int[Array, ""]]:
    """The arrays of a fit, and how many levels are in use."""
    by_history: dict[str, list[Any]] = {}
    for agent in evidence.agents:
        by_history.setdefault(agent.history.name, []).append(agent)
    histories = [by_history[name][0].history for name in sorted(by_history)]
    states = frame.layout.states
    conditions = list(evidence.situations)
    board = planning.boards_of(evidence.situations, states)
    count, _, actions = board.successor.shape
    shape = (len(histories), count, len(states), actions)
    mass = np.zeros(shape, np.float32)
    for row, history in enumerate(histories):
        agents = by_history[history.name]
        for place, condition in enumerate(conditions):
            known = [a.behaviour[condition] for a in agents if condition in a.behaviour]
            for each in known:
                joint = each.occupancy[:, states, None] * each.policy[:, states]
                mass[row, place :: len(conditions)] += joint / len(known)
    reward = _takes(evidence.situations, histories)
    missing = frame.levels * len(conditions) - count

    def padded(leaf: Array | np.ndarray, axis: int) -> Array:
        sizes = [(0, 0)] * leaf.ndim
        sizes[axis] = (0, missing)
        return jnp.asarray(np.pad(np.asarray(leaf), sizes))

    problem = _Problem(
        Board(*(padded(leaf, 0) for leaf in board)),
        events.encode(histories, frame.sizes),
        padded(reward, 1),
        padded(mass, 1),
    )
    return problem, jnp.int32(count // len(conditions))


def _takes(
    situations: Mapping[str, Situations], histories: Sequence[History]
) -> Float[np.ndarray, "H B F"]:
    """What a take of each source pays on each board, after each history."""

    table = np.stack(
        [
            np.stack([pays(given, history) for given in situations.values()], axis=1)
            for history in histories
        ]
    )
    return table.reshape(len(histories), -1, table.shape[-1])


class _Program(NamedTuple):
    """What is static in a fit."""

    forecaster: Fittable
    budget: Budget
    sizes: Sizes
    conditions: int
    boards: int
    """B, with room for all levels."""
    one_take: bool
    sweeps: int


@functools.partial(jit, static_argnums=0, optimize=True)
def _fit(
    program: _Program,
    key: Key[Array, ""],
    problem: _Problem,
    levels: Int[Array, ""],
) -> tuple[Parameters, Float[Array, " R"]]:
    budget, forecaster = program.budget, program.forecaster
    every = max(1, budget.steps // CHECKS)
    blocks = -(-budget.steps // every)
    batch = min(budget.boards, problem.mass.shape[1])

    def losses(
        parameters: Parameters, board: Board, reward: Array, mass: Array
    ) -> Float[Array, " H"]:
        """Of one board."""

        def one(history: Events, reward: Array, mass: Array) -> Array:
            question = Question(
                board, history, reward, program.one_take, program.sweeps
            )
            policy = _mixed(jnp.exp(forecaster.log_policy(parameters, question)))
            return -(mass * jnp.log(policy)).sum()

        return jax.vmap(one)(problem.events, reward, mass)

    def mean(
        parameters: Parameters, number: Int[Array, " b"], weight: Float[Array, "H B"]
    ) -> Array:
        """Over the weighted cells of some boards."""
        board = jax.tree.map(lambda leaf: leaf[number], problem.board)
        reward, mass = problem.reward[:, number], problem.mass[:, number]
        over = jax.vmap(losses, in_axes=(None, 0, 1, 1), out_axes=1)
        weight = weight[:, number]
        total = (over(parameters, board, reward, mass) * weight).sum()
        return total / jnp.maximum((mass.sum(axis=(2, 3)) * weight).sum(), 1e-9)

    def everywhere(parameters: Parameters, weight: Float[Array, "H B"]) -> Array:
        def one(number: Array) -> tuple[Array, Array]:
            board = jax.tree.map(lambda leaf: leaf[number], problem.board)
            mass = problem.mass[:, number]
            own = losses(parameters, board, problem.reward[:, number], mass)
            cell = weight[:, number]
            return (own * cell).sum(), (mass.sum(axis=(1, 2)) * cell).sum()

        numbers = jnp.arange(problem.mass.shape[1])
        loss, mass = jax.lax.map(one, numbers, batch_size=batch)
        return loss.sum() / jnp.maximum(mass.sum(), 1e-9)

    rule = optax.scale_by_adam()

    def restart(key: Array, member: Array) -> tuple[Parameters, Array]:
        train, test = _folds(program, problem.mass.shape[0], member, levels)
        start = forecaster.start(key, program.sizes)

        def step(state: Any, number: Array) -> tuple[Any, None]:
            parameters, moments = state
            boards = (number * batch + jnp.arange(batch)) % (
                levels * program.conditions
            )
            gradient = jax.grad(mean)(parameters, boards, train)
            # optax mixes Python and array numbers, which strict promotion refuses
            with jax.numpy_dtype_promotion("standard"):
                done = number / (blocks * every)
                rate = forecaster.RATE * 0.5 * (1 + jnp.cos(jnp.pi * done))
                change, moments = rule.update(gradient, moments)
                change = jax.tree.map(lambda leaf: -rate * leaf, change)
                parameters = optax.apply_updates(parameters, change)
            return (parameters, moments), None

        def block(state: Any, number: Array) -> tuple[Any, None]:
            now, best, best_loss = state
            now, _ = jax.lax.scan(step, now, number * every + jnp.arange(every))
            loss = everywhere(now[0], test)
            better = loss < best_loss
            best = jax.tree.map(lambda a, b: jnp.where(better, a, b), now[0], best)
            return (now, best, jnp.where(better, loss, best_loss)), None

        with jax.numpy_dtype_promotion("standard"):
            moments = rule.init(start)
        # the first end of a block is always better than none
        first = ((start, moments), start, jnp.float32(jnp.inf))
        (_, best, loss), _ = jax.lax.scan(block, first, jnp.arange(blocks))
        return best, loss

    keys = jax.random.split(key, budget.restarts)
    return jax.vmap(restart)(keys, jnp.arange(budget.restarts))


def _folds(
    program: _Program, histories: int, member: Array, levels: Int[Array, ""]
) -> tuple[Float[Array, "H B"], Float[Array, "H B"]]:
    """Weights of the cells that a restart is fitted on, and that judge it.

    A forecaster that holds out keeps every R-th history and every R-th level apart,
    others for each restart, where there are enough of them.
    """
    restarts, conditions = program.budget.restarts, program.conditions
    boards = program.boards
    every = jnp.ones((histories, boards))
    if not program.forecaster.HOLDS_OUT or restarts == 1:
        return every, every
    by_history = jnp.arange(histories) % restarts == member
    by_history = by_history & (histories >= FOLDS * restarts)
    by_level = jnp.arange(boards) // conditions % restarts == member
    by_level = by_level & (levels >= FOLDS * restarts)
    apart: Bool[Array, "H B"] = by_history[:, None] | by_level[None]
    none = ~apart.any()
    train = (~apart).astype(jnp.float32)
    return train, jnp.where(none, every, apart.astype(jnp.float32))


class _Asking(NamedTuple):
    """What is static in a question."""

    forecaster: Fittable
    one_take: bool
    sweeps: int


@functools.partial(jit, static_argnums=0)
def _forecast(
    program: _Asking,
    parameters: Parameters,
    weights: Float[Array, " R"],
    board: Board,
    history: Events,
    reward: Float[Array, "H L F"],
) -> Float[Array, "H L S A"]:
    def one(board: Board, reward: Float[Array, "H F"]) -> Float[Array, "H S A"]:
        def of_history(history: Events, reward: Array) -> Array:
            question = Question(
                board, history, reward, program.one_take, program.sweeps
            )
            ask = program.forecaster.log_policy
            policy = jnp.exp(jax.vmap(lambda own: ask(own, question))(parameters))
            return _mixed(jnp.einsum("r,rsa->sa", weights, policy))

        return jax.vmap(of_history)(history, reward)

    over_levels = jax.lax.map(
        lambda leaves: one(*leaves), (board, reward.swapaxes(0, 1)), batch_size=8
    )
    return over_levels.swapaxes(0, 1)


def _mixed(policy: Float[Array, "*n A"]) -> Float[Array, "*n A"]:
    """A forecast with the share of random actions that all forecasts have."""
    return (1 - UNIFORM_SHARE) * policy + UNIFORM_SHARE / policy.shape[-1]
