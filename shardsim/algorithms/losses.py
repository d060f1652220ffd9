"""Losses of one sample, and their weights in the gradient of each part of the agent.

Symbols: K shards; A actions; H, W, P height, width and planes of the board.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8
from pydantic import NonNegativeFloat

from shardsim.agents.value import HeadConfig, ValueOutput, has_shard_errors
from shardsim.algorithms.base import log_prob_of
from shardsim.core import fields


@fields.record
class GradientScales:
    """Weight of one loss in the gradient of each part; 0 stops its gradient there."""

    encoder: NonNegativeFloat = 0.0
    """Weight in the gradient of E."""
    decoder: NonNegativeFloat = 0.0
    """Weight in the gradient of D, the policy prior."""
    value: NonNegativeFloat = 0.0
    """Weight in the gradient of V."""
    auxiliary: NonNegativeFloat = 0.0
    """Weight in the gradient of the decoders of the self-supervised losses."""

    @property
    def any(self) -> bool:
        """Whether the loss trains some part; otherwise it is not computed."""
        return any(dataclasses.astuple(self))


@fields.record
class LossWeights:
    """Weights of the losses (rows) in the gradient of each part (columns).

    E frozen: the `encoder` column is 0. E finetuned: `value.encoder` is not 0. Joint
    training: self-supervised rows have an encoder weight as well. D frozen: its column
    is 0.
    """

    action: GradientScales = GradientScales()
    """Behaviour cloning: cross-entropy of the action taken; trains D through E."""
    observation: GradientScales = GradientScales()
    """Next-observation prediction (Bernoulli cross-entropy); trains E."""
    inverse: GradientScales = GradientScales()
    """Inverse dynamics: cross-entropy of the action, predicted from the observations
    before and after it; trains E to represent what the agent controls."""
    masked: GradientScales = GradientScales()
    """Masked observation modelling: Bernoulli cross-entropy of hidden cells; trains
    E."""
    policy: GradientScales = GradientScales()
    """Policy loss of the algorithm; trains D through E."""
    value: GradientScales = GradientScales()
    """TD(lambda) error of V, plus the costs of its gates; trains V through E."""

    @fields.rule("action", "observation", "inverse", "masked", "policy", "value")
    def _own_parts(self) -> Iterator[str]:
        own_part = {
            "action": "decoder",
            "observation": "auxiliary",
            "inverse": "auxiliary",
            "masked": "auxiliary",
            "policy": "decoder",
            "value": "value",
        }
        for loss, own in own_part.items():
            for part in ("decoder", "value", "auxiliary"):
                weight = getattr(getattr(self, loss), part)
                if part != own and weight != 0:
                    yield (
                        f"{loss}.{part}: got {weight}; allowed: 0, because the {loss} "
                        f"loss does not pass through the {part}"
                    )

    @property
    def rows(self) -> tuple[GradientScales, ...]:
        """The gradient scales of every loss, in the order of the fields."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def objectives(self) -> tuple[str, ...]:
        """Losses in use that need a decoder of their own in the auxiliary part."""
        return tuple(name for name in OBJECTIVES if getattr(self, name).any)


OBJECTIVES = ("observation", "inverse", "masked")
"""Self-supervised losses that need an auxiliary decoder."""


@jax.custom_vjp
def scale_gradient(x: Array, weight: Float[Array, ""]) -> Array:
    """The identity, whose gradient is multiplied by `weight`."""
    del weight
    return x


def _scale_forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _scale_backward(weight: Array, gradient: Array) -> tuple[Array, Array]:
    return weight * gradient, jnp.zeros_like(weight)


scale_gradient.defvjp(_scale_forward, _scale_backward)


def action_loss(logits: Float[Array, " A"], action: Int[Array, ""]) -> Float[Array, ""]:
    """Cross-entropy of an action, -log softmax(logits)[action], in nats."""
    return -log_prob_of(jax.nn.log_softmax(logits)[None], action[None])[0]


def observation_loss(
    logits: Float[Array, "H W P"], observation: UInt8[Array, "H W P"]
) -> Float[Array, ""]:
    """Bernoulli cross-entropy log(1 + exp(x)) - x y, mean over cells and planes.

    Args:
      logits: x.
      observation: y, planes of 0 and 1.
    """
    return jnp.mean(_bernoulli(logits, observation))


def masked_loss(
    logits: Float[Array, "H W P"],
    observation: UInt8[Array, "H W P"],
    hidden: Bool[Array, "H W"],
) -> Float[Array, ""]:
    """Mean of log(1 + exp(x)) - x y over the hidden cells; 0 if no cell is hidden.

    Args:
      logits: x.
      observation: y, planes of 0 and 1, before cells were hidden.
      hidden: True for cells that the encoder did not see.
    """
    cell_loss = _bernoulli(logits, observation).mean(axis=-1)
    total = jnp.sum(jnp.where(hidden, cell_loss, 0.0))
    return total / jnp.maximum(hidden.sum(dtype=jnp.float32), 1.0)


def _bernoulli(logits: Array, observation: Array) -> Array:
    return jax.nn.softplus(logits) - logits * observation.astype(logits.dtype)


def value_loss(
    output: ValueOutput,
    target: Float[Array, ""],
    head: HeadConfig,
    old: Float[Array, ""] | None = None,
    clip: float | None = None,
) -> Float[Array, ""]:
    """Half the squared TD error, of the whole V or of each shard.

      joint:     (G - sum_k g_k v_k)^2 / 2
      per_shard: sum_k w_k (G - v_k)^2 / 2,  w = g / sum_k g_k

    The target G is the same in both. With `per_shard`, every shard predicts the whole
    return where its gate is open.

    Args:
      output: V of one state.
      target: G, the lambda-return.
      head: config of the head; one with `td_error` chooses between the two forms.
      old: V of the state before the update, for the clip.
      clip: how far V may usefully move from `old`, in units of reward: the loss is the
        larger of those of V and of old + clip(V - old, -clip, clip). For `joint` alone;
        None does not clip.

    Reference: `per_shard` is the loss of Jacobs et al., Adaptive Mixtures of Local
    Experts, 1991; the clip is that of the authors' implementation of PPO.
    """
    if has_shard_errors(head):
        share = shares(output.gates)
        return 0.5 * jnp.sum(share * jnp.square(target - output.shard_values))
    unclipped = 0.5 * jnp.square(target - output.value)
    if clip is None or old is None:
        return unclipped
    clipped = old + jnp.clip(output.value - old, -clip, clip)
    return jnp.maximum(unclipped, 0.5 * jnp.square(target - clipped))


def shares(gates: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
    """g / sum_k g_k, the share of each shard; 0 if all gates are closed."""
    return gates / jnp.maximum(gates.sum(axis=-1, keepdims=True), 1e-12)


def balance_cost(gates: Float[Array, "n K"]) -> Float[Array, ""]:
    """K sum_k m_k^2 - 1, where m_k is the mean share of shard k over n samples.

    0 if all shards are used equally, K - 1 if only one is used.
    """
    mean = shares(gates).mean(axis=0)
    return gates.shape[-1] * jnp.sum(jnp.square(mean)) - 1.0


def routed_loss(
    output: ValueOutput, target: Float[Array, ""], label: Int[Array, ""]
) -> Float[Array, ""]:
    """Value loss of gradient routing: sum_k w_k (G - v_k)^2 / 2.

    With a label, w is 1 for the labelled expert and 0 for all others. Without a label,
    w are the shares of the gates. The gates learn from the labels alone (`gate_loss`);
    no error of V reaches them.

    Fixed point: suppose a fraction q of the steps in a state have labels, and expert k
    has a fraction p_k of these. Then the gates converge to p_k and v_k to
    q G_k + (1 - q) G_u, where G_k is the mean return of the steps labelled k and G_u
    that of unlabelled steps. So sum_k g_k v_k is the mean of G, whichever labels are
    missing.

    The paper, whose experts form one policy, uses the error of all experts together.
    Experts of V cannot learn from that: if a state has events of several labels, or
    labelled and unlabelled ones, no expert ever has an error of 0, and the experts
    diverge.

    Args:
      output: V of one state.
      target: G, the lambda-return.
      label: expert in [0, K); -1 if unknown.

    Reference: Cloud et al., Gradient routing, 2024 (arXiv 2410.04332).
    """
    share = shares(output.gates)
    own = jnp.arange(output.shard_values.shape[0]) == label
    weight = jnp.where(label >= 0, own.astype(share.dtype), share)
    error = jnp.square(target - output.shard_values)
    return 0.5 * jnp.sum(jax.lax.stop_gradient(weight) * error)


def source_loss(
    output: ValueOutput, target: Float[Array, ""], label: Int[Array, ""]
) -> Float[Array, ""]:
    """Value loss of parts that each learn the return of one source.

      with a label k:   sum_j (G 1[j = k] - v_j)^2 / 2
      without a label:  (G - sum_j v_j)^2 / 2

    Fixed point with all labels: v_k is the mean return of source k, and V = sum_k v_k
    the mean of G.

    Args:
      output: V of one state, the sum of its parts.
      target: G, the lambda-return.
      label: source in [0, K); -1 if unknown.

    Reference: van Seijen et al., Hybrid Reward Architecture for Reinforcement Learning,
    2017 (arXiv 1706.04208).
    """
    own = jnp.arange(output.shard_values.shape[0]) == label
    part_target = jnp.where(own, target, jnp.zeros_like(target))
    by_part = jnp.sum(jnp.square(part_target - output.shard_values))
    whole = jnp.square(target - output.value)
    return 0.5 * jnp.where(label >= 0, by_part, whole)


def gate_loss(gates: Float[Array, " K"], label: Int[Array, ""]) -> Float[Array, ""]:
    """-log(share of the labelled expert in the gates), in nats; 0 without a label."""
    share = shares(gates)
    own = jnp.sum(jnp.where(jnp.arange(gates.shape[0]) == label, share, 0.0))
    # the smallest normal number: a gate that is nearly closed still has a gradient
    smallest = jnp.finfo(own.dtype).tiny
    return jnp.where(label >= 0, -jnp.log(jnp.maximum(own, smallest)), 0.0)
