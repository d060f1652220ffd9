"""The training objective: the sum of all losses in use.

All functions are for one seed. Symbols: n samples, K shards.
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
from shardsim.core import sparse
from shardsim.core.types import Trajectory

Loss = tuple[Float[Array, ""], dict[str, Array]]
"""A loss, and metrics by name."""


class Terms(NamedTuple):
    """The static part of the objective: one compiled program for each."""

    weights: losses.LossWeights
    """Weights of every loss in the gradient of each part."""
    algorithm: algorithms.Algorithm
    head: value.HeadConfig
    balanced: bool
    """Whether uneven use of the shards adds to the loss."""
    mask_fraction: float
    """Probability that a cell is hidden from E for the `masked` loss, in (0, 1)."""
    precision: Literal["float32", "bfloat16"]
    """Type in which E and the decoders compute."""
    patterns: sparse.Patterns | None = None
    """What the observations number; None: they are dense."""


def loss(
    terms: Terms,
    hyper: Hyperparameters,
    agent: Agent,
    batch: Trajectory,
    targets: Targets,
    key: Key[Array, ""],
) -> Loss:
    """The sum of all losses in use, mean over n samples.

    The gradient of loss L in part p is scaled by `weights[L][p]`, exactly; the value of
    the sum is not scaled.

    Args:
      terms: which losses are in use, and their weights.
      hyper: hyperparameters of one seed.
      agent: E, D, V and the auxiliary decoders.
      batch: n steps, leaves [n, ...].
      targets: of the same steps, leaves [n].
      key: draws the cells that the `masked` loss hides.

    Returns:
      The sum, and metrics by name; the sum itself is `loss`.
    """
    weights = terms.weights
    agent = agents.in_training(agent, terms.precision, terms.patterns)
    features = jax.vmap(agent.encoder)(batch.observation)
    results: list[Loss] = []
    if weights.action.any:
        results.append(_action(weights.action, agent, features, batch))
    if weights.policy.any:
        results.append(_policy(terms, hyper, agent, features, batch, targets))
    if weights.observation.any:
        results.append(_observation(weights.observation, agent, features, batch))
    if weights.inverse.any:
        results.append(_inverse(weights.inverse, agent, features, batch))
    if weights.masked.any:
        results.append(_masked(terms, agent, batch, key))
    if weights.value.any:
        results.append(_value(terms, hyper, agent, features, batch, targets))
    total = jnp.zeros(())
    metrics: dict[str, Array] = {}
    for term, term_metrics in results:
        total = total + term
        metrics |= term_metrics
    metrics["loss"] = total
    return total, metrics


def _action(
    scales: losses.GradientScales, agent: Agent, features: Array, batch: Trajectory
) -> Loss:
    decoder = _scaled(agent.decoder, scales.decoder)
    logits = jax.vmap(decoder)(_scaled(features, scales.encoder))
    term = jnp.mean(jax.vmap(losses.action_loss)(logits, batch.action))
    return term, {"action_loss": term}


def _policy(
    terms: Terms,
    hyper: Hyperparameters,
    agent: Agent,
    features: Array,
    batch: Trajectory,
    targets: Targets,
) -> Loss:
    scales = terms.weights.policy
    decoder = _scaled(agent.decoder, scales.decoder)
    logits = jax.vmap(decoder)(_scaled(features, scales.encoder))
    policy_batch = PolicyBatch(
        batch.action, batch.logits, targets.target, targets.value
    )
    return algorithms.policy_loss(terms.algorithm, hyper, logits, policy_batch)


def _observation(
    scales: losses.GradientScales, agent: Agent, features: Array, batch: Trajectory
) -> Loss:
    decoder = _scaled(agent.auxiliary.observation, scales.auxiliary)
    logits = jax.vmap(decoder)(_scaled(features, scales.encoder), batch.action)
    term = jnp.mean(jax.vmap(losses.observation_loss)(logits, batch.next_observation))
    return term, {"observation_loss": term}


def _inverse(
    scales: losses.GradientScales, agent: Agent, features: Array, batch: Trajectory
) -> Loss:
    decoder = _scaled(agent.auxiliary.inverse, scales.auxiliary)
    after = jax.vmap(agent.encoder)(batch.next_observation)
    pair = (_scaled(z, scales.encoder) for z in (features, after))
    logits = jax.vmap(decoder)(*pair)
    term = jnp.mean(jax.vmap(losses.action_loss)(logits, batch.action))
    return term, {"inverse_loss": term}


def _masked(terms: Terms, agent: Agent, batch: Trajectory, key: Key[Array, ""]) -> Loss:
    scales, observation = terms.weights.masked, batch.observation
    hidden = jax.random.bernoulli(key, terms.mask_fraction, observation.shape[:-1])
    visible = jnp.where(hidden[..., None], jnp.zeros_like(observation), observation)
    decoder = _scaled(agent.auxiliary.masked, scales.auxiliary)
    features = _scaled(jax.vmap(agent.encoder)(visible), scales.encoder)
    logits = jax.vmap(decoder)(features)
    term = jnp.mean(jax.vmap(losses.masked_loss)(logits, observation, hidden))
    return term, {"masked_loss": term}


def _value(
    terms: Terms,
    hyper: Hyperparameters,
    agent: Agent,
    features: Array,
    batch: Trajectory,
    targets: Targets,
) -> Loss:
    scales, head = terms.weights.value, terms.head
    routing, by_source = value.routing(head), value.source_parts(head)
    algorithm = terms.algorithm
    clip = algorithm.value_clip if isinstance(algorithm, algorithms.PPO) else None
    critic = _scaled(agent.value, scales.value)
    output = jax.vmap(critic)(_scaled(features, scales.encoder), batch.context)

    def sample_loss(output: value.ValueOutput, sample: Targets) -> Array:
        if routing is not None:
            return losses.routed_loss(output, sample.target, sample.label)
        if by_source is not None:
            return losses.source_loss(output, sample.target, sample.label)
        return losses.value_loss(output, sample.target, head, sample.value, clip)

    term = jnp.mean(jax.vmap(sample_loss)(output, targets))
    metrics = {
        "value_loss": term,
        "gate_entropy": jnp.mean(gate_entropy(output.gates)),
    }
    total = term
    if terms.balanced:
        total = total + hyper.load_balance * losses.balance_cost(output.gates)
    if routing:
        gate_term = jnp.mean(jax.vmap(losses.gate_loss)(output.gates, targets.label))
        total = total + routing.gate_weight * gate_term
        metrics["gate_loss"] = gate_term
    return total, metrics


def _scaled(tree: PyTree, weight: float) -> PyTree:
    """The same tree, with its gradient multiplied by the weight."""
    if weight == 1.0:
        return tree
    if weight == 0.0:
        return jax.tree.map(jax.lax.stop_gradient, tree)
    return jax.tree.map(
        lambda leaf: losses.scale_gradient(leaf, jnp.asarray(weight, leaf.dtype)), tree
    )


def gate_entropy(gates: Float[Array, "n K"]) -> Float[Array, " n"]:
    """Entropy of the shares of the gates divided by log K, in [0, 1]; 0 for K = 1."""
    share = losses.shares(gates)
    nats = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12)), axis=-1)
    return nats / jnp.log(max(gates.shape[-1], 2))
