"""Numbers with names, held as one vector: one array to carry, to add and to average.

A dozen scalars in a loop are a dozen small operations each time one is stacked, added
or averaged, and each of them is compiled.
"""

import dataclasses
import functools
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
    """Scalars and short vectors; loops may put axes in front of them."""

    values: Float[Array, "... M"]
    sizes: tuple[tuple[str, int | None], ...]
    """Name and length of each, in their order; None for a scalar."""

    def by_name(self) -> dict[str, Any]:
        """Each by its name: [...] of a scalar, [..., length] of a vector."""
        found, start = {}, 0
        for name, size in self.sizes:
            end = start + (size or 1)
            part = self.values[..., start:end]
            found[name] = part[..., 0] if size is None else part
            start = end
        return found


def pack(named: Mapping[str, Float[Array, "..."]]) -> Metrics:
    """One vector of them all."""
    sizes = tuple((name, x.size if x.ndim else None) for name, x in named.items())
    return Metrics(jnp.concatenate([x.reshape(-1) for x in named.values()]), sizes)


def rates(metrics: Metrics, updates: int, steps: int) -> dict[str, list[Any]]:
    """Sums over updates as what a line of metrics says: a number for each seed.

    What is counted is told by the step, the rest by the update. None for what is not
    finite, and for the reward per episode of a seed none of whose episodes ended.

    Args:
      metrics: [N, M], on the host.
      steps: environment steps of a seed in all these updates.
    """
    named = metrics.by_name()
    found: dict[str, list[Any]] = {
        name: _told(total / (steps if name in COUNTED else updates))
        for name, total in named.items()
    }
    found["reward_per_episode"] = [
        float(reward / ended) if ended else None
        for reward, ended in zip(named["reward"], named["episodes"], strict=True)
    ]
    return found


def _told(numbers: Float[np.ndarray, "..."]) -> list[Any]:
    found = numbers.astype(object)
    found[~np.isfinite(numbers)] = None  # JSON has no such numbers
    told: list[Any] = found.tolist()
    return told


def means(metrics: Metrics) -> dict[str, Float[Array, "..."]]:
    """The mean of each by its name, over all axes in front."""
    mean = metrics.values.reshape(-1, metrics.values.shape[-1]).mean(axis=0)
    return Metrics(mean, metrics.sizes).by_name()
