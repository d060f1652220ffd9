"""The plain policy gradient, with V as its baseline or with none.

Reference: Williams, Simple statistical gradient-following algorithms, 1992.
"""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import NonNegativeFloat

from shardsim.algorithms.base import PolicyBatch, log_prob_of
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import fields


@fields.record
class Reinforce:
    """REINFORCE: policy gradient on returns, with one pass over the data.

    Loss of D: -mean (G - V) log D(a|s) - entropy * H(D).
    """

    HYPER: ClassVar[tuple[str, ...]] = ("entropy",)

    kind: Literal["reinforce"] = "reinforce"
    entropy: NonNegativeFloat = 0.01
    """Weight of the entropy bonus of D, in nats."""
    baseline: bool = True
    """Whether V is subtracted from the return; V is trained in either case."""

    def policy_loss(
        self, hyper: Hyperparameters, logits: Float[Array, "n A"], sample: PolicyBatch
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The formula above, mean over samples."""
        log_d = jax.nn.log_softmax(logits)
        weight = sample.target - sample.value if self.baseline else sample.target
        gain = jnp.mean(weight * log_prob_of(log_d, sample.action))
        entropy = -jnp.sum(jnp.exp(log_d) * log_d, axis=-1).mean()
        metrics = {"policy_loss": -gain, "entropy": entropy}
        return -gain - hyper.entropy * entropy, metrics
