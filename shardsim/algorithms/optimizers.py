"""Optimizers (optax): each part of the agent has a state of its own."""

from typing import Any, Literal, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from shardsim.agents.agent import PARTS
from shardsim.core import fields

AgentT = TypeVar("AgentT", bound=nnx.Module)


@fields.record
class Adam:
    """Adam; AdamW if `weight_decay` is above 0."""

    kind: Literal["adam"] = "adam"
    b1: fields.Decay = 0.9
    """Decay of the running mean of gradients."""
    b2: fields.Decay = 0.999
    """Decay of the running mean of squared gradients."""
    eps: PositiveFloat = 1e-8
    """Added to the denominator for numerical stability."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay, decoupled from the gradient (AdamW)."""


@fields.record
class RMSProp:
    """Gradients divided by the root of their running mean square."""

    kind: Literal["rmsprop"] = "rmsprop"
    decay: fields.Decay = 0.99
    """Decay of the running mean of squared gradients."""
    eps: PositiveFloat = 1e-8
    """Added to the denominator for numerical stability."""


@fields.record
class SGD:
    """Plain gradient descent, with or without momentum."""

    kind: Literal["sgd"] = "sgd"
    momentum: fields.Decay = 0.0
    """Decay of the running sum of gradients; 0 is plain descent."""


Rule: TypeAlias = Adam | RMSProp | SGD


@fields.record
class Schedule:
    """Learning rate over training, as a multiple of `learning_rate`."""

    kind: Literal["constant", "linear", "cosine"] = "constant"
    """Shape of the decay from 1 to `final` over all updates."""
    final: fields.Fraction = 0.0
    """Multiple at the end of training; a constant schedule ignores it."""
    warmup: NonNegativeInt = 0
    """Number of updates over which the learning rate rises linearly at the start."""


@fields.record
class OptimizerConfig:
    """The optimizer, the same for every part of every arm."""

    learning_rate: PositiveFloat = 1e-3
    """Step size."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of a gradient; a larger one is scaled down to it."""
    clip_scope: Literal["part", "agent"] = "part"
    """Whose gradient norm is clipped: that of each part (encoder, decoder, value,
    auxiliary), so that no part shrinks the steps of another, or that of the whole
    agent, as implementations of PPO do."""
    update_rule: Rule = Adam()
    """The update rule: Adam, RMSProp or SGD."""
    schedule: Schedule = Schedule()
    """Learning rate over training."""


def _transform(config: OptimizerConfig) -> optax.GradientTransformation:
    """The update rule without its step size.

    The learning rate is data, so that a sweep is one program, and multiplies the
    result afterwards.
    """
    clip = (
        optax.clip_by_global_norm(config.clip_norm)
        if config.clip_scope == "part"
        else optax.identity()
    )
    match config.update_rule:
        case Adam(b1=b1, b2=b2, eps=eps, weight_decay=decay):
            adam = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
            if decay == 0:
                return optax.chain(clip, adam)
            return optax.chain(clip, adam, optax.add_decayed_weights(decay))
        case RMSProp(decay=decay, eps=eps):
            return optax.chain(clip, optax.scale_by_rms(decay=decay, eps=eps))
        case SGD(momentum=momentum):
            return optax.chain(clip, optax.trace(decay=momentum))


def rate(
    config: OptimizerConfig,
    learning_rate: Float[Array, ""],
    update: Int[Array, ""],
    total: int,
) -> Float[Array, ""]:
    """The learning rate of an update: `learning_rate` times the schedule.

    Args:
      learning_rate: at the peak of the schedule.
      update: number of the update, from 0.
      total: updates of the run.
    """
    schedule = config.schedule
    if schedule.kind == "constant" and schedule.warmup == 0:
        return learning_rate
    decay_updates = max(total - schedule.warmup, 1)
    match schedule.kind:
        case "constant":
            decay = optax.constant_schedule(1.0)
        case "linear":
            decay = optax.linear_schedule(1.0, schedule.final, decay_updates)
        case "cosine":
            decay = optax.cosine_decay_schedule(1.0, decay_updates, schedule.final)
    with jax.numpy_dtype_promotion("standard"):
        warmup = jnp.minimum((update + 1) / (schedule.warmup + 1), 1.0)
        factor = warmup * decay(jnp.maximum(update - schedule.warmup, 0))
    return learning_rate * jnp.asarray(factor, jnp.float32)


def init(config: OptimizerConfig, agent: nnx.Module) -> dict[str, PyTree]:
    """Optimizer state by part, so that each part can be frozen or copied by itself."""
    return {part: init_part(config, getattr(agent, part)) for part in PARTS}


def init_part(config: OptimizerConfig, part: Any) -> PyTree:
    """Optimizer state of one part of the agent; () if it has no parameters."""
    arrays = nnx.split(part)[1]
    if not jax.tree.leaves(arrays):
        return ()
    return _transform(config).init(ravel_pytree(arrays)[0])


def by_part(gradients: nnx.Module) -> dict[str, Float[Array, " P"]]:
    """The gradient of each part as one vector over its P parameters.

    A step then takes a few long operations in place of a few for each leaf. That is
    faster to compile and, where leaves are small, to run. Parts without parameters are
    left out.
    """
    parts = nnx.split(gradients)[1]
    return {str(name): ravel_pytree(part)[0] for name, part in parts.items()}


def apply(
    config: OptimizerConfig,
    agent: AgentT,
    gradients: dict[str, Float[Array, " P"]],
    state: dict[str, PyTree],
    trained: frozenset[str],
    learning_rate: Float[Array, ""],
) -> tuple[AgentT, dict[str, PyTree]]:
    """One gradient step on every part in `trained`.

    The other parts stay as they are, bit for bit.

    Args:
      gradients: [P] by part, as `by_part` returns them.
      state: optimizer state by part, as `init` returns it.
      trained: names of the parts to update.
      learning_rate: step size of this update.

    Returns:
      The agent and the optimizer state after the step.
    """
    optimizer = _transform(config)
    graphdef, arrays = nnx.split(agent)
    new, new_state = dict(arrays), dict(state)
    used = {part: gradients[part] for part in sorted(trained & set(new))}
    if config.clip_scope == "agent":
        scale = config.clip_norm / jnp.maximum(global_norm(used), config.clip_norm)
        used = jax.tree.map(lambda leaf: leaf * scale, used)
    for part, gradient in used.items():
        flat, unravel = ravel_pytree(arrays[part])
        # optax mixes Python numbers and arrays, which strict promotion refuses
        with jax.numpy_dtype_promotion("standard"):
            updates, new_state[part] = optimizer.update(gradient, state[part], flat)
            steps = unravel(updates * -learning_rate)
            new[part] = optax.apply_updates(arrays[part], steps)
    return nnx.merge(graphdef, nnx.State(new)), new_state


def global_norm(tree: PyTree) -> Any:
    """Euclidean norm: the square root of the sum of squares over all leaves."""
    leaves = jax.tree.leaves(tree)
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in leaves))
