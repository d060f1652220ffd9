"""D learns what a search that uses D and V found: AlphaGo Zero's rule."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shardsim.algorithms.base import PolicyBatch
from shardsim.core import fields


@fields.record
class ExpertIteration:
    """Cross-entropy of D with the improved policy of the search that acted.

    Reference: Silver et al., Mastering the game of Go without human knowledge, 2017.
    """

    HYPER: ClassVar[tuple[str, ...]] = ()

    kind: Literal["expert_iteration"] = "expert_iteration"

    def policy_loss(
        self, logits: Float[Array, "n A"], sample: PolicyBatch
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """-sum_a w(a) log D(a|s), w the search's policy; mean over samples."""
        cross = -jnp.sum(
            jnp.exp(sample.logits) * jax.nn.log_softmax(logits), axis=-1
        ).mean()
        return cross, {"policy_loss": cross}
