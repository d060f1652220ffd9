"""The sum that a gradient step goes down: every loss in use, as the table weighs it.

All functions are for one seed. Symbols: n samples, K parts, H, W, P board, planes.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.agents.agent import Agent
from shardsim.algorithms import PolicyBatch, Targets, losses
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core.types import Trajectory

Loss = tuple[Float[Array, ""], dict[str, Array]]
"""A loss, and what to note beside it."""


class Terms(NamedTuple):
    """What is minimised; static."""

    table: losses.LossWeights
    learn: algorithms.Algorithm
    head: value.Head
    balanced: bool
    """Whether uneven gates cost something."""
    mask_fraction: float
    """Chance that a cell is hidden from E where `masked` is in use."""
    precision: Literal["float32", "bfloat16"]


def loss(
    terms: Terms,
    hyper: Hyperparameters,
    agent: Agent,
    batch: Trajectory,
    lesson: Targets,
    key: Key[Array, ""],
) -> Loss:
    """The sum of all losses, each scaled on its way into each part by the table.

    The gradient that loss L sends into part p is `table[L][p]` dL/dp, exactly.
    """
    table = terms.table
    agent = agents.in_type(agent, terms.precision)
    features = jax.vmap(agent.encoder)(batch.observation)
    found: list[Loss] = []
    if table.action.any:
        found.append(_action(table.action, agent, features, batch))
    if table.policy.any:
        found.append(_policy(terms, hyper, agent, features, batch, lesson))
    if table.observation.any:
        found.append(_observation(table.observation, agent, features, batch))
    if table.inverse.any:
        found.append(_inverse(table.inverse, agent, features, batch))
    if table.masked.any:
        found.append(_masked(terms, agent, batch, key))
    if table.value.any:
        found.append(_value(terms, hyper, agent, features, batch, lesson))
    total = jnp.zeros(())
    metrics: dict[str, Array] = {}
    for term, noted in found:
        total = total + term
        metrics |= noted
    metrics["loss"] = total
    return total, metrics


def _action(
    moves: losses.GradientScales, agent: Agent, features: Array, batch: Trajectory
) -> Loss:
    decoder = _scaled(agent.decoder, moves.decoder)
    logits = jax.vmap(decoder)(_scaled(features, moves.encoder))
    term = jnp.mean(jax.vmap(losses.action_loss)(logits, batch.action))
    return term, {"action_loss": term}


def _policy(
    terms: Terms,
    hyper: Hyperparameters,
    agent: Agent,
    features: Array,
    batch: Trajectory,
    lesson: Targets,
) -> Loss:
    moves = terms.table.policy
    decoder = _scaled(agent.decoder, moves.decoder)
    logits = jax.vmap(decoder)(_scaled(features, moves.encoder))
    sample = PolicyBatch(batch.action, batch.logits, lesson.target, lesson.value)
    return algorithms.policy_loss(terms.learn, hyper, logits, sample)


def _observation(
    moves: losses.GradientScales, agent: Agent, features: Array, batch: Trajectory
) -> Loss:
    decoder = _scaled(agent.auxiliary.observation, moves.auxiliary)
    logits = jax.vmap(decoder)(_scaled(features, moves.encoder), batch.action)
    each = jax.vmap(losses.observation_loss)(logits, batch.next_observation)
    term = jnp.mean(each)
    return term, {"observation_loss": term}


def _inverse(
    moves: losses.GradientScales, agent: Agent, features: Array, batch: Trajectory
) -> Loss:
    decoder = _scaled(agent.auxiliary.inverse, moves.auxiliary)
    after = jax.vmap(agent.encoder)(batch.next_observation)
    both = (_scaled(seen, moves.encoder) for seen in (features, after))
    logits = jax.vmap(decoder)(*both)
    term = jnp.mean(jax.vmap(losses.action_loss)(logits, batch.action))
    return term, {"inverse_loss": term}


def _masked(terms: Terms, agent: Agent, batch: Trajectory, key: Key[Array, ""]) -> Loss:
    moves, seen = terms.table.masked, batch.observation
    hidden = jax.random.bernoulli(key, terms.mask_fraction, seen.shape[:-1])
    shown = jnp.where(hidden[..., None], jnp.zeros_like(seen), seen)
    decoder = _scaled(agent.auxiliary.masked, moves.auxiliary)
    features = _scaled(jax.vmap(agent.encoder)(shown), moves.encoder)
    logits = jax.vmap(decoder)(features)
    term = jnp.mean(jax.vmap(losses.masked_loss)(logits, seen, hidden))
    return term, {"masked_loss": term}


def _value(
    terms: Terms,
    hyper: Hyperparameters,
    agent: Agent,
    features: Array,
    batch: Trajectory,
    lesson: Targets,
) -> Loss:
    moves, head = terms.table.value, terms.head
    routing = head.routing if isinstance(head, value.Sharded) else None
    clip = terms.learn.value_clip if isinstance(terms.learn, algorithms.PPO) else None
    critic = _scaled(agent.value, moves.value)
    output = jax.vmap(critic)(_scaled(features, moves.encoder), batch.context)

    def each(output: value.ValueOutput, taught: Targets) -> Array:
        if routing is not None:
            return losses.routed_loss(output, taught.target, taught.label)
        return losses.value_loss(output, taught.target, head, taught.value, clip)

    term = jnp.mean(jax.vmap(each)(output, lesson))
    metrics = {
        "value_loss": term,
        "gate_entropy": jnp.mean(gate_entropy(output.gates)),
    }
    total = term
    if terms.balanced:
        total = total + hyper.load_balance * losses.balance_cost(output.gates)
    if routing:
        named = jnp.mean(jax.vmap(losses.gate_loss)(output.gates, lesson.label))
        total = total + routing.gate_weight * named
        metrics["gate_loss"] = named
    return total, metrics


def _scaled(tree: PyTree, weight: float) -> PyTree:
    if weight == 1.0:
        return tree
    if weight == 0.0:
        return jax.tree.map(jax.lax.stop_gradient, tree)
    return jax.tree.map(
        lambda leaf: losses.scale_gradient(leaf, jnp.asarray(weight, leaf.dtype)), tree
    )


def gate_entropy(gates: Float[Array, "n K"]) -> Float[Array, " n"]:
    """Entropy of the normalised gates over log K, in [0, 1]; 0 for one part."""
    share = losses.shares(gates)
    nats = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12)), axis=-1)
    return nats / jnp.log(max(gates.shape[-1], 2))
