"""Agents of other people: any functions of one observation, asked like trained agents.

Symbols: B states, A actions, K shards.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from shardsim.api import population, session
from shardsim.commands import play
from shardsim.core import config as configs
from shardsim.evaluation import networks
from shardsim.evaluation.exact_policies import ActingRule

Function = Callable[[Any], Any]
SUM_TOLERANCE = 1e-3
"""How far V may be from the sum of its shards, relative to the largest V."""


def wrap(
    value: Function | None = None,
    logits: Function | None = None,
    *,
    world: Any,
    gates: Function | None = None,
    shard_values: Function | None = None,
    temperature: float | None = None,
    discount: float = 0.97,
    batched: bool = False,
    name: str = "wrapped",
) -> population.Agents:
    """Wrap an agent that shardsim did not train, e.g. of PyTorch or stable-baselines3.

    It is asked like `run.agents(...)`: `value`, `policy`, `maps` and so on, without an
    axis of seeds. Its functions are called with NumPy arrays and may return those of
    any library.

    Args:
      value: from an observation to V, in units of reward. It may be left out if there
        are shards.
      logits: from an observation to a logit for each action, [A]; log-probabilities
        are logits. None: the policy is uniform.
      world: a world of shardsim or its name, whose observations the functions take.
      gates: from an observation to the gate of each shard, [K].
      shard_values: from an observation to the value of each shard, [K], so that V is
        the sum of gates * shard_values.
      temperature: tau with which V takes part in acting by a one-step lookahead, in
        units of reward; None: it does not.
      discount: gamma in [0, 1), for Q.
      batched: whether the functions take observations [B, ...] at once and return
        [B], [B, A], [B, K]: much faster.
      name: what the agent is called in plots.

    Raises:
      ConfigError: an unknown world, neither V nor shards, or gates without values. When
        it is asked: outputs of a wrong shape, that are not finite, or that do not add
        up.

    Examples:
      >>> def distance(board):  # V falls with the distance to the first fruit
      ...     row, column = np.argwhere(board[..., 0])[0]
      ...     mine = np.argwhere(board[..., -1])[0]
      ...     return 0.9 ** (abs(mine[0] - row) + abs(mine[1] - column))
      >>> agent = shardsim.wrap(distance, world="fruit_mini")
      >>> levels = shardsim.levels("fruit_mini", count=2)
      >>> agent.value(levels).shape, agent.maps(levels).value.shape
      ((2,), (2, 10, 10))
      >>> shardsim.wrap(lambda board: board, world="fruit_mini").value(levels)
      Traceback (most recent call last):
      shardsim.core.field_errors.ConfigError: value: got shape ...; allowed: ...
    """
    env = play.read_env(world, ()) if isinstance(world, str) else world
    if (gates is None) != (shard_values is None):
        raise configs.ConfigError(
            "gates: got one of gates and shard_values; allowed: both or none"
        )
    if value is None and gates is None:
        raise configs.ConfigError("value: got None; allowed: a function, or shards")
    if not 0 <= discount < 1:
        raise configs.ConfigError(f"discount: got {discount}; allowed: 0 to below 1")
    if temperature is not None and not temperature > 0:
        raise configs.ConfigError(f"temperature: got {temperature}; allowed: above 0")
    tau = float("inf") if temperature is None else temperature
    network = _Wrapped(value, logits, gates, shard_values, batched, env.num_actions)
    with session.numerics():
        shards = _num_shards(network, env)
    return population.Agents(
        arm=name,
        update=0,
        env=env,
        acting=ActingRule(discount, tau, True, env.max_steps),
        num_seeds=1,
        num_shards=shards,
        network=network,
        chosen=0,
    )


def _check_sum(value: np.ndarray, total: np.ndarray) -> None:
    """Refuse a V that is not the sum of its shards."""
    error = np.abs(value - total).max()
    if error > SUM_TOLERANCE * max(1e-6, np.abs(value).max()):
        raise configs.ConfigError(
            f"value: got one that is up to {error:.2g} from the sum of gates * "
            "shard_values; allowed: that sum"
        )


def _num_shards(network: "_Wrapped", env: Any) -> int:
    """K, from one observation; 1 without shards."""
    if network.gates is None:
        return 1
    zeros = np.zeros((1, *env.observation_shape), np.uint8)
    return int(network.of(network.gates, zeros, "gates", None).shape[1])


@dataclasses.dataclass(frozen=True, eq=False)
class _Wrapped:
    """The functions of one agent as a network of one seed."""

    value: Function | None
    logits: Function | None
    gates: Function | None
    shard_values: Function | None
    batched: bool
    num_actions: int

    def __call__(self, observations: Any, contexts: Any) -> networks.Outputs:
        del contexts
        given = np.asarray(observations)
        count = len(given)
        gates = shard_values = None
        if self.gates is not None and self.shard_values is not None:
            gates = self.of(self.gates, given, "gates", None)
            wide = gates.shape[1]
            shard_values = self.of(self.shard_values, given, "shard_values", wide)
            total = (gates * shard_values).sum(axis=1)
        if self.value is not None:
            value = self.of(self.value, given, "value", 0)[:, 0]
        else:
            value = total
        if gates is None or shard_values is None:
            gates, shard_values = np.ones((count, 1), np.float32), value[:, None]
        else:
            _check_sum(value, total)
        if self.logits is None:
            logits = np.zeros((count, self.num_actions), np.float32)
        else:
            logits = self.of(self.logits, given, "logits", self.num_actions)
        logits = logits - logits.max(axis=1, keepdims=True)
        logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        leaves = (value, shard_values, gates, logits)
        return networks.Outputs(*(np.asarray(x, np.float32)[None] for x in leaves))

    def of(
        self, function: Function, given: np.ndarray, name: str, width: int | None
    ) -> np.ndarray:
        """What a function says of observations, [B, width].

        Args:
          name: of the function, for errors.
          width: numbers for each observation; 0: a single one, without an axis; None:
            any number above 0.

        Raises:
          ConfigError: it returns something else.
        """
        if self.batched:
            out = np.asarray(function(given), np.float64)
        else:
            each = [np.asarray(function(one), np.float64) for one in given]
            if len({x.shape for x in each}) > 1:
                shapes = sorted({x.shape for x in each})
                raise configs.ConfigError(
                    f"{name}: got shapes {shapes}; allowed: one shape"
                )
            out = np.stack(each)
        if width == 0 and out.shape == (len(given), 1):
            out = out[:, 0]
        expected = (len(given),) if width == 0 else (len(given), width or out.shape[-1])
        if out.shape != expected or (width is None and out.ndim != 2):
            first = 0 if self.batched else 1
            raise configs.ConfigError(
                f"{name}: got shape {out.shape[first:]}; allowed: {expected[first:]}"
            )
        # an action may be impossible, but not all of them
        is_fine = np.isfinite(out) | ((name == "logits") & np.isneginf(out))
        if not is_fine.all() or (name == "logits" and np.isneginf(out).all(-1).any()):
            got = "no distribution" if is_fine.all() else "NaN or infinity"
            raise configs.ConfigError(f"{name}: got {got}; allowed: finite numbers")
        return out[:, None] if width == 0 else out
