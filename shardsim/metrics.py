"""Scalars with names, held as one vector: one array to carry, to add and to average.

A dozen scalars in a loop are a dozen small operations each time one is stacked, added
or averaged, and each of them is compiled.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["names"]
)
@dataclasses.dataclass(frozen=True)
class Metrics:
    """M scalars; loops may put axes in front of them."""

    values: Float[Array, "... M"]
    names: tuple[str, ...]
    """Of each of them, in their order."""


def pack(scalars: dict[str, Float[Array, ""]]) -> Metrics:
    """One vector of them all."""
    return Metrics(jnp.stack(list(scalars.values())), tuple(scalars))


def means(metrics: Metrics) -> dict[str, Float[Array, ""]]:
    """The mean of each by its name, over all axes in front."""
    count = len(metrics.names)
    mean = metrics.values.reshape(-1, count).mean(axis=0)
    return {name: mean[n] for n, name in enumerate(metrics.names)}
