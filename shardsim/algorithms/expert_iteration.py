"""Expert iteration: D imitates a tree search that uses D and V (AlphaGo Zero)."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shardsim.algorithms.base import PolicyBatch
from shardsim.core import fields


@fields.record
class ExpertIteration:
    """Cross-entropy between D and the improved policy of the search that acted.

    Reference: Silver et al., Mastering the game of Go without human knowledge, 2017.
    """

    HYPER: ClassVar[tuple[str, ...]] = ()
    """Fields that a sweep may vary."""

    kind: Literal["expert_iteration"] = "expert_iteration"

    def policy_loss(
        self, logits: Float[Array, "n A"], batch: PolicyBatch
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """-sum_a w(a) log D(a|s), mean over samples; w is the policy of the search."""
        cross_entropy = -jnp.sum(
            jnp.exp(batch.logits) * jax.nn.log_softmax(logits), axis=-1
        ).mean()
        return cross_entropy, {"policy_loss": cross_entropy}
