"""One optimiser for each part of the agent, by optax."""

import dataclasses
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from shardsim.agents.agent import PARTS, Agent


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam; with `weight_decay` AdamW."""

    kind: Literal["adam"] = "adam"
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for field in ("b1", "b2"):
            if not 0 <= getattr(self, field) < 1:
                _refuse(self, field, "0 to less than 1")
        if not self.eps > 0:
            _refuse(self, "eps", "more than 0")
        if not self.weight_decay >= 0:
            _refuse(self, "weight_decay", "at least 0")


@dataclasses.dataclass(frozen=True)
class RMSProp:
    """Gradients over the root of their running mean square."""

    kind: Literal["rmsprop"] = "rmsprop"
    decay: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            _refuse(self, "decay", "0 to less than 1")
        if not self.eps > 0:
            _refuse(self, "eps", "more than 0")


@dataclasses.dataclass(frozen=True)
class SGD:
    """Plain descent, with momentum or without."""

    kind: Literal["sgd"] = "sgd"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            _refuse(self, "momentum", "0 to less than 1")


Rule: TypeAlias = Adam | RMSProp | SGD


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate over a run, as a fraction of it."""

    kind: Literal["constant", "linear", "cosine"] = "constant"
    """How it goes down from 1 to `final` over all updates."""
    final: float = 0.0
    """What it ends at; 1 throughout if constant."""
    warmup: int = 0
    """Updates over which it rises linearly at the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.final <= 1:
            _refuse(self, "final", "0 to 1")
        if self.warmup < 0:
            _refuse(self, "warmup", "at least 0")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become steps; the same for every part of every arm."""

    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    """Largest norm of the gradient, of what `clip_over` says."""
    clip_scope: Literal["part", "agent"] = "part"
    """Whether each part is clipped by itself, so that none shrinks another's steps, or
    all of the agent at once, as in the code of PPO."""
    update_rule: Rule = Adam()
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        for field in ("learning_rate", "clip_norm"):
            if not getattr(self, field) > 0:
                _refuse(self, field, "more than 0")


def _refuse(config: Any, field: str, allowed: str) -> None:
    raise ValueError(f"{field}: got {getattr(config, field)}; allowed: {allowed}")


def _transform(config: OptimizerConfig) -> optax.GradientTransformation:
    """Directions; the learning rate is data and multiplies them afterwards."""
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
    """The learning rate of an update, of `total` in the run."""
    plan = config.schedule
    if plan.kind == "constant" and plan.warmup == 0:
        return learning_rate
    down = max(total - plan.warmup, 1)
    match plan.kind:
        case "constant":
            after = optax.constant_schedule(1.0)
        case "linear":
            after = optax.linear_schedule(1.0, plan.final, down)
        case "cosine":
            after = optax.cosine_decay_schedule(1.0, down, plan.final)
    with jax.numpy_dtype_promotion("standard"):
        rise = jnp.minimum((update + 1) / (plan.warmup + 1), 1.0)
        factor = rise * after(jnp.maximum(update - plan.warmup, 0))
    return learning_rate * jnp.asarray(factor, jnp.float32)


def init(config: OptimizerConfig, agent: Agent) -> dict[str, PyTree]:
    """Optimiser state by part, so that parts can be frozen or handed on apart."""
    return {part: init_part(config, getattr(agent, part)) for part in PARTS}


def init_part(config: OptimizerConfig, part: Any) -> PyTree:
    """Optimiser state of one part; nothing, where it has no parameters."""
    arrays = nnx.split(part)[1]
    if not jax.tree.leaves(arrays):
        return ()
    return _transform(config).init(ravel_pytree(arrays)[0])


def by_part(gradients: Agent) -> dict[str, Float[Array, " P"]]:
    """All leaves of each part that has any as one vector, of its P parameters.

    A step is then a few long operations and not a few for each leaf, which is faster to
    compile and, where leaves are small, to run.
    """
    parts = nnx.split(gradients)[1]
    return {str(name): ravel_pytree(part)[0] for name, part in parts.items()}


def apply(
    config: OptimizerConfig,
    agent: Agent,
    gradients: dict[str, Float[Array, " P"]],
    state: dict[str, PyTree],
    moved: frozenset[str],
    step: Float[Array, ""],
) -> tuple[Agent, dict[str, PyTree]]:
    """One step of every part in `moved`; the others stay as they are, bit for bit.

    Args:
      gradients: as `by_part` makes them.
      step: the learning rate.
    """
    optimizer = _transform(config)
    graphdef, arrays = nnx.split(agent)
    new, new_state = dict(arrays), dict(state)
    slopes = {part: gradients[part] for part in sorted(moved & set(new))}
    if config.clip_scope == "agent":
        shrink = config.clip_norm / jnp.maximum(global_norm(slopes), config.clip_norm)
        slopes = jax.tree.map(lambda leaf: leaf * shrink, slopes)
    for part, slope in slopes.items():
        flat, unravel = ravel_pytree(arrays[part])
        # optax mixes Python and array numbers: fails under strict promotion
        with jax.numpy_dtype_promotion("standard"):
            updates, new_state[part] = optimizer.update(slope, state[part], flat)
            new[part] = optax.apply_updates(arrays[part], unravel(updates * -step))
    return nnx.merge(graphdef, nnx.State(new)), new_state


def global_norm(tree: PyTree) -> Any:
    """Square root of the sum of squares over all leaves."""
    leaves = jax.tree.leaves(tree)
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in leaves))
