"""Proximal policy optimisation: V is the baseline of the policy gradient, and no more.

Reference: Schulman et al., Proximal Policy Optimization Algorithms, 2017; Schulman et
al., High-Dimensional Continuous Control Using Generalized Advantage Estimation, 2016.
"""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import NonNegativeFloat, PositiveFloat

from shardsim.algorithms.base import PolicyBatch, log_prob_of, standardise
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import fields


@fields.record
class PPO:
    """Clipped policy gradient with generalised advantages (lambda: `td_lambda`)."""

    HYPER: ClassVar[tuple[str, ...]] = ("entropy",)
    """Fields that a sweep may vary."""

    kind: Literal["ppo"] = "ppo"
    clip: PositiveFloat = 0.2
    """How far the probability ratio of new and old policy may leave 1."""
    value_clip: PositiveFloat | None = 0.2
    """How far V may move from its old prediction, in units of return; null: no
    limit."""
    entropy: NonNegativeFloat = 0.01
    """Weight of the entropy bonus of D, in nats."""
    normalise: bool = True
    """Whether advantages are standardised in every minibatch."""

    def policy_loss(
        self, hyper: Hyperparameters, logits: Float[Array, "n A"], batch: PolicyBatch
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """-mean min(r A, clip(r, 1 - c, 1 + c) A) - entropy * H(D).

        r = D(a|s) / D_old(a|s); A = G - V_old, standardised if `normalise`; c is
        `clip`.

        Args:
          hyper: hyperparameters; its `entropy` is used.
          logits: of D.
          batch: of the same n steps.

        Returns:
          The loss, and `policy_loss`, `entropy` and the fraction of clipped samples.
        """
        log_policy = jax.nn.log_softmax(logits)
        ratio = jnp.exp(
            log_prob_of(log_policy, batch.action)
            - log_prob_of(batch.logits, batch.action)
        )
        advantage = batch.target - batch.value
        if self.normalise:
            advantage = standardise(advantage)
        clipped = jnp.clip(ratio, 1.0 - self.clip, 1.0 + self.clip)
        surrogate = jnp.minimum(ratio * advantage, clipped * advantage).mean()
        entropy = -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1).mean()
        metrics = {
            "policy_loss": -surrogate,
            "entropy": entropy,
            "clipped": jnp.mean(jnp.abs(ratio - 1.0) > self.clip, dtype=jnp.float32),
        }
        return -surrogate - hyper.entropy * entropy, metrics
