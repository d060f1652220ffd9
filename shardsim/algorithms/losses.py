"""Losses of one sample, and the table of which loss moves which part.

Symbols: D features, K parts, A actions, H, W, P board and planes.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8
from pydantic import NonNegativeFloat

from shardsim.agents.value import Head, Sharded, ValueOutput
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
        """Whether the loss moves anything; one that doesn't is not computed."""
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

    def __post_init__(self) -> None:
        through = {
            "action": "decoder",
            "observation": "auxiliary",
            "inverse": "auxiliary",
            "masked": "auxiliary",
            "policy": "decoder",
            "value": "value",
        }
        columns = ("decoder", "value", "auxiliary")
        off = {
            loss: [part for part in columns if part != own]
            for loss, own in through.items()
        }
        for loss, parts in off.items():
            for part in parts:
                got = getattr(getattr(self, loss), part)
                if got != 0:
                    raise ValueError(
                        f"{loss}.{part}: got {got}; allowed: 0, for the {loss} loss "
                        f"does not pass through the {part}"
                    )

    @property
    def rows(self) -> tuple[GradientScales, ...]:
        """Every loss's."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def objectives(self) -> tuple[str, ...]:
        """Losses in use that have a decoder of their own in the auxiliary part."""
        return tuple(name for name in OBJECTIVES if getattr(self, name).any)


OBJECTIVES = ("observation", "inverse", "masked")
"""Self-supervised losses that need an auxiliary decoder."""


@jax.custom_vjp
def scale_gradient(x: Array, weight: Float[Array, ""]) -> Array:
    """x going forward, `weight` times the gradient going back."""
    del weight
    return x


def _scale_forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _scale_backward(weight: Array, gradient: Array) -> tuple[Array, Array]:
    return weight * gradient, jnp.zeros_like(weight)


scale_gradient.defvjp(_scale_forward, _scale_backward)


def action_loss(logits: Float[Array, " A"], action: Int[Array, ""]) -> Float[Array, ""]:
    """-log softmax(logits)[action]."""
    return -jax.nn.log_softmax(logits)[action]


def observation_loss(
    logits: Float[Array, "H W P"], observation: UInt8[Array, "H W P"]
) -> Float[Array, ""]:
    """Mean over cells of log(1 + exp(x)) - x y."""
    return jnp.mean(_bernoulli(logits, observation))


def masked_loss(
    logits: Float[Array, "H W P"],
    observation: UInt8[Array, "H W P"],
    hidden: Bool[Array, "H W"],
) -> Float[Array, ""]:
    """Mean of log(1 + exp(x)) - x y over the cells that were hidden; 0 if none was."""
    each = _bernoulli(logits, observation).mean(axis=-1)
    total = jnp.sum(jnp.where(hidden, each, 0.0))
    return total / jnp.maximum(hidden.sum(dtype=jnp.float32), 1.0)


def _bernoulli(logits: Array, observation: Array) -> Array:
    return jax.nn.softplus(logits) - logits * observation.astype(logits.dtype)


def value_loss(
    output: ValueOutput,
    target: Float[Array, ""],
    head: Head,
    old: Float[Array, ""] | None = None,
    clip: float | None = None,
) -> Float[Array, ""]:
    """Half the squared TD error, of the whole V or shard by shard.

    joint: (G - sum_k g_k v_k)^2 / 2. per_shard: sum_k w_k (G - v_k)^2 / 2 with
    w = g / sum g, in which every shard answers for the whole return where its gate is
    open. G is the same target in both.

    Args:
      old: V of the state when the data were collected.
      clip: how far a joint V may move from `old` to gain by it: the larger of the
        squared errors of V and of old + clip(V - old, -clip, clip) is taken.

    Reference: the second form is that of Jacobs et al., Adaptive Mixtures of Local
    Experts, 1991; the clip that of PPO's authors.
    """
    if isinstance(head, Sharded) and head.td_error == "per_shard":
        share = shares(output.gates)
        return 0.5 * jnp.sum(share * jnp.square(target - output.shard_values))
    plain = 0.5 * jnp.square(target - output.value)
    if clip is None or old is None:
        return plain
    near = old + jnp.clip(output.value - old, -clip, clip)
    return jnp.maximum(plain, 0.5 * jnp.square(target - near))


def shares(gates: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
    """Gates divided by their sum; 0 where all are shut."""
    return gates / jnp.maximum(gates.sum(axis=-1, keepdims=True), 1e-12)


def balance_cost(gates: Float[Array, "n K"]) -> Float[Array, ""]:
    """K sum_k m_k^2 - 1, m_k the mean share of shard k over n; 0 if used alike."""
    mean = shares(gates).mean(axis=0)
    return gates.shape[-1] * jnp.sum(jnp.square(mean)) - 1.0


def routed_loss(
    output: ValueOutput, target: Float[Array, ""], label: Int[Array, ""]
) -> Float[Array, ""]:
    """sum_k w_k (G - v_k)^2 / 2, with all weight on the expert that the label names.

    Where the label is not known w are the shares of the gates. Gates learn from labels
    alone (`gate_loss`); no error of V moves them. In a state a share q of whose steps
    has labels, each expert k of which p_k times, the gates come to p_k and v_k to
    q G_k + (1 - q) G_u, the mean returns of steps that it is named by and of those
    without a label. So sum_k g_k v_k is the mean of G, whichever labels are missing.

    In the reference, whose experts make one policy, the error is that of what all
    experts say together. An expert of V can't learn by that: where one state has
    events of several labels, or labelled and unlabelled ones, the error of V is 0 for
    none of them, and they drift apart without end.

    Reference: Cloud et al., Gradient routing, 2024 (arXiv 2410.04332).
    """
    share = shares(output.gates)
    own = jnp.arange(output.shard_values.shape[0]) == label
    weight = jnp.where(label >= 0, own.astype(share.dtype), share)
    error = jnp.square(target - output.shard_values)
    return 0.5 * jnp.sum(jax.lax.stop_gradient(weight) * error)


def gate_loss(gates: Float[Array, " K"], label: Int[Array, ""]) -> Float[Array, ""]:
    """-log of the share of the gates that the labelled expert has; 0 without label."""
    share = shares(gates)
    own = jnp.sum(jnp.where(jnp.arange(gates.shape[0]) == label, share, 0.0))
    least = jnp.finfo(own.dtype).tiny  # a gate that is nearly shut has a slope too
    return jnp.where(label >= 0, -jnp.log(jnp.maximum(own, least)), 0.0)
