"""Value heads. `Head` lists all kinds; `solve_width` gives them equal sizes."""

import functools
from typing import TypeAlias

import jax
from flax import nnx

from shardsim.agents.value.base import (
    GatedHead,
    HeadConfig,
    ValueHead,
    ValueOutput,
    mask_units,
    random_readout,
)
from shardsim.agents.value.capabilities import (
    Balanced,
    Labelled,
    Routed,
    ShardErrors,
    has_shard_errors,
    labels,
    load_balance,
    routing,
    source_parts,
)
from shardsim.agents.value.film import FiLM
from shardsim.agents.value.linear import Linear
from shardsim.agents.value.mlp import MLP
from shardsim.agents.value.oracle_gated import OracleGated
from shardsim.agents.value.sharded import Routing, Sharded
from shardsim.agents.value.ungated import Labels, Ungated
from shardsim.core import choices

Head: TypeAlias = MLP | Sharded | FiLM | Linear | OracleGated | Ungated
choices.declare("heads", Head)

__all__ = [
    "MLP",
    "Balanced",
    "FiLM",
    "GatedHead",
    "Head",
    "HeadConfig",
    "Labelled",
    "Labels",
    "Linear",
    "OracleGated",
    "Routed",
    "Routing",
    "ShardErrors",
    "Sharded",
    "Ungated",
    "ValueHead",
    "ValueOutput",
    "count_parameters",
    "has_shard_errors",
    "labels",
    "load_balance",
    "mask_units",
    "nearest_width",
    "random_readout",
    "routing",
    "solve_width",
    "source_parts",
]

TOLERANCE = 0.02
"""Largest relative difference between the parameters of a head and the budget."""


@functools.cache
def count_parameters(head: HeadConfig, features: int, contexts: int, width: int) -> int:
    """Number of parameters of a head, without allocating it.

    Args:
      features: D, the number of features of E.
      contexts: C, the number of contexts of the environment.
      width: hidden units (of each shard).
    """
    abstract = nnx.eval_shape(
        lambda: head.build(features, contexts, width, nnx.Rngs(0))
    )
    leaves = jax.tree.leaves(nnx.state(abstract, nnx.Param))
    return sum(leaf.size for leaf in leaves)


def nearest_width(head: HeadConfig, features: int, contexts: int, budget: int) -> int:
    """The width at which the number of parameters is nearest to the budget.

    The number of parameters of every head is linear in its width, so two counts
    determine the line. Args: as `count_parameters`.
    """
    one, two = (count_parameters(head, features, contexts, w) for w in (1, 2))
    return max(1, round(1 + (budget - one) / (two - one))) if two > one else 1


def solve_width(head: HeadConfig, features: int, contexts: int, budget: int) -> int:
    """The width at which a head has as many parameters as the budget.

    Args: as `count_parameters`.

    Raises:
      ValueError: no width comes within `TOLERANCE` of the budget.
    """
    width = nearest_width(head, features, contexts, budget)
    count = count_parameters(head, features, contexts, width)
    if abs(count - budget) > TOLERANCE * budget:
        raise ValueError(
            f"value_params: got {budget}, which a head of kind {head.kind!r} can't "
            f"meet (nearest: {count}); allowed: within {TOLERANCE:.0%} of what it "
            "can meet, or `match_params: false` for that arm"
        )
    return width
