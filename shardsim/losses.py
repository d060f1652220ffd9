"""Losses of one sample, and the table of which loss moves which part.

Symbols: D features, K parts, A actions, H, W, P board and planes.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from shardsim.value import Head, Sharded, ValueOutput


@dataclasses.dataclass(frozen=True)
class Moves:
    """How strongly one loss moves each part; 0 stops its gradient there."""

    encoder: float = 0.0
    decoder: float = 0.0
    value: float = 0.0
    auxiliary: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            got = getattr(self, field.name)
            if got < 0:
                raise ValueError(f"{field.name}: got {got}; allowed: at least 0")

    @property
    def any(self) -> bool:
        """Whether the loss moves anything; one that doesn't is not computed."""
        return any(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True)
class LossTable:
    """Rows: losses. Columns: the parts they move.

    E frozen: the `encoder` column is 0. E finetuned: `value.encoder` is not 0. Joint:
    the self-supervised rows keep moving it as well. D frozen: `action.decoder` is 0.
    """

    action: Moves = Moves()
    """Cross-entropy of the action that was taken: trains D through E."""
    observation: Moves = Moves()
    """Bernoulli cross-entropy of the next observation: trains E."""
    value: Moves = Moves()
    """TD(lambda) error of V, and the cost of its gates: trains V through E."""

    def __post_init__(self) -> None:
        off = {
            "action": ("value", "auxiliary"),
            "observation": ("decoder", "value"),
            "value": ("decoder", "auxiliary"),
        }
        for loss, parts in off.items():
            for part in parts:
                got = getattr(getattr(self, loss), part)
                if got != 0:
                    raise ValueError(
                        f"{loss}.{part}: got {got}; allowed: 0, for the {loss} loss "
                        f"does not pass through the {part}"
                    )


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
    target = observation.astype(logits.dtype)
    return jnp.mean(jax.nn.softplus(logits) - logits * target)


def value_loss(
    output: ValueOutput, target: Float[Array, ""], head: Head
) -> Float[Array, ""]:
    """Half the squared TD error, of the whole V or shard by shard.

    joint: (G - sum_k g_k v_k)^2 / 2. per_shard: sum_k w_k (G - v_k)^2 / 2 with
    w = g / sum g, in which every shard answers for the whole return where its gate is
    open. G is the same target in both.

    Reference: the second form is that of Jacobs et al., Adaptive Mixtures of Local
    Experts, 1991.
    """
    if isinstance(head, Sharded) and head.td == "per_shard":
        share = output.gates / jnp.maximum(output.gates.sum(), 1e-12)
        return 0.5 * jnp.sum(share * jnp.square(target - output.parts))
    return 0.5 * jnp.square(target - output.value)


def balance_cost(gates: Float[Array, "n K"], head: Head) -> Float[Array, ""]:
    """load_balance * (K sum_k m_k^2 - 1), m_k the mean share of shard k over n."""
    if not (isinstance(head, Sharded) and head.load_balance > 0):
        return jnp.zeros(())
    share = gates / jnp.maximum(gates.sum(axis=-1, keepdims=True), 1e-12)
    mean = share.mean(axis=0)
    return head.load_balance * (gates.shape[-1] * jnp.sum(jnp.square(mean)) - 1.0)
