"""The only file that calls optax: one optimiser for each part of the agent."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import PyTree

from shardsim.agent import PARTS, Agent


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam with clipping by global norm."""

    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    """Largest norm of the gradient of one part."""

    def __post_init__(self) -> None:
        for field in ("learning_rate", "clip_norm"):
            got = getattr(self, field)
            if not got > 0:
                raise ValueError(f"{field}: got {got}; allowed: more than 0")


def _transform(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm), optax.adam(config.learning_rate)
    )


def init(config: OptimizerConfig, agent: Agent) -> dict[str, PyTree]:
    """Optimiser state by part, so that parts can be frozen or handed on apart."""
    return {part: init_part(config, getattr(agent, part)) for part in PARTS}


def init_part(config: OptimizerConfig, part: Any) -> PyTree:
    """Optimiser state of one part."""
    return _transform(config).init(nnx.split(part)[1])


def apply(
    config: OptimizerConfig,
    agent: Agent,
    gradients: Agent,
    state: dict[str, PyTree],
    moved: frozenset[str],
) -> tuple[Agent, dict[str, PyTree]]:
    """One step of every part in `moved`; the others stay as they are, bit for bit."""
    optimizer = _transform(config)
    graphdef, arrays = nnx.split(agent)
    _, slopes = nnx.split(gradients)
    new, new_state = dict(arrays), dict(state)
    for part in sorted(moved):
        # optax mixes Python and array numbers: fails under strict promotion
        with jax.numpy_dtype_promotion("standard"):
            updates, new_state[part] = optimizer.update(
                slopes[part], state[part], arrays[part]
            )
            new[part] = optax.apply_updates(arrays[part], updates)
    return nnx.merge(graphdef, nnx.State(new)), new_state


def global_norm(tree: PyTree) -> Any:
    """Square root of the sum of squares over all leaves."""
    leaves = jax.tree.leaves(tree)
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in leaves))
