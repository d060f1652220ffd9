"""Named metrics, held in one vector.

A dozen separate scalars would need a dozen small operations whenever a loop stacks,
adds or averages them, each compiled by itself. One vector needs one.
Symbols: M numbers, N seeds.
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

COUNTED = ("reward", "episodes", "truncated", "rewards")
"""Metrics that are sums over steps; the others are means over an update."""


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["sizes"]
)
@dataclasses.dataclass(frozen=True)
class Metrics:
    """Named scalars and short vectors; loops may add leading axes."""

    values: Float[Array | np.ndarray | jax.ShapeDtypeStruct, "... M"]
    """All numbers, one after another; on the host NumPy's, in `jax.eval_shape` none."""
    sizes: tuple[tuple[str, int | None], ...]
    """Name and length of each metric, in order; a length of None marks a scalar."""

    def by_name(self) -> dict[str, Any]:
        """The metrics by name: scalars [...], vectors [..., length]."""
        named, start = {}, 0
        values = typing.cast(Array, self.values)
        for name, size in self.sizes:
            end = start + (size or 1)
            numbers = values[..., start:end]
            named[name] = numbers[..., 0] if size is None else numbers
            start = end
        return named


def pack(named: Mapping[str, Float[Array, "..."]]) -> Metrics:
    """Concatenate named scalars and vectors."""
    sizes = tuple((name, x.size if x.ndim else None) for name, x in named.items())
    return Metrics(jnp.concatenate([x.reshape(-1) for x in named.values()]), sizes)


def rates(metrics: Metrics, updates: int, steps: int) -> dict[str, list[Any]]:
    """Turn sums over updates into rates, one for each seed.

    The metrics in `COUNTED` are divided by the number of steps, the others by the
    number of updates. The result also has `reward_per_episode`.

    Args:
      metrics: [N, M] sums over updates, on the host.
      updates: number of updates.
      steps: environment steps of one seed in all these updates.

    Returns:
      Nested lists by name, [N] or [N, length]. None for numbers that are not finite,
      and for the reward per episode of a seed in which no episode ended.
    """
    named = metrics.by_name()
    rate: dict[str, list[Any]] = {
        name: _finite_or_none(total / (steps if name in COUNTED else updates))
        for name, total in named.items()
    }
    rate["reward_per_episode"] = [
        float(reward / episodes) if episodes else None
        for reward, episodes in zip(named["reward"], named["episodes"], strict=True)
    ]
    return rate


def _finite_or_none(numbers: Float[np.ndarray, "..."]) -> list[Any]:
    """Nested lists with None in place of NaN and infinity, which JSON does not have."""
    objects = numbers.astype(object)
    objects[~np.isfinite(numbers)] = None
    nested: list[Any] = objects.tolist()
    return nested


def means(metrics: Metrics) -> dict[str, Float[Array, "..."]]:
    """The mean of each metric over all leading axes, by name."""
    values = typing.cast(Array, metrics.values)
    mean = values.reshape(-1, values.shape[-1]).mean(axis=0)
    return Metrics(mean, metrics.sizes).by_name()
