"""REINFORCE: the policy gradient with V as its baseline, or without a baseline.

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

    Loss of D: -mean (G - V) log D(a|s) - entropy * H(D); without a baseline, V is 0.
    """

    HYPER: ClassVar[tuple[str, ...]] = ("entropy",)
    """Fields that a sweep may vary."""

    kind: Literal["reinforce"] = "reinforce"
    entropy: NonNegativeFloat = 0.01
    """Weight of the entropy bonus of D, in nats."""
    baseline: bool = True
    """Whether V is subtracted from the return; V is trained in either case."""

    def policy_loss(
        self, hyper: Hyperparameters, logits: Float[Array, "n A"], batch: PolicyBatch
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss of D, and `policy_loss` and `entropy` as metrics.

        Args:
          hyper: hyperparameters; its `entropy` is used.
          logits: of D.
          batch: of the same n steps.
        """
        log_policy = jax.nn.log_softmax(logits)
        weight = batch.target - batch.value if self.baseline else batch.target
        objective = jnp.mean(weight * log_prob_of(log_policy, batch.action))
        entropy = -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1).mean()
        metrics = {"policy_loss": -objective, "entropy": entropy}
        return -objective - hyper.entropy * entropy, metrics
