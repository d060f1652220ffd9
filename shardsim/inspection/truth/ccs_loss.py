"""The loss of contrast-consistent search: a probe should be consistent and confident.

A probe p(x) = sigmoid(w . x + b) should be consistent, p(x+) = 1 - p(x-), and
confident, min(p+, p-) = 0. Two probes that ignore x mark the scale of the loss: p = 1/2
everywhere has loss .25, and the best constant, p = .4, has loss .20.

Symbols: n pairs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

CONSTANT_HALF = 0.25
"""Loss of p = 1/2: consistency 0, confidence 1/4."""
BEST_CONSTANT = 0.2
"""Loss of p = .4, the minimum of (2p - 1)^2 + p^2."""


def consistency_loss(
    positive_logit: Float[Array | np.ndarray, " n"],
    negative_logit: Float[Array | np.ndarray, " n"],
) -> Float[Array, ""]:
    """mean (p+ + p- - 1)^2, with p = sigmoid(logit).

    p+ + p- - 1 is computed as p+ - sigmoid(-logit-), so that exact opposites give 0.
    """
    p_positive = jax.nn.sigmoid(positive_logit)
    one_minus_p_negative = jax.nn.sigmoid(-negative_logit)
    return jnp.mean(jnp.square(p_positive - one_minus_p_negative))


def confidence_loss(
    positive_logit: Float[Array | np.ndarray, " n"],
    negative_logit: Float[Array | np.ndarray, " n"],
) -> Float[Array, ""]:
    """mean min(p+, p-)^2. It has a kink where both are equal."""
    smaller_logit = jnp.minimum(positive_logit, negative_logit)
    return jnp.mean(jnp.square(jax.nn.sigmoid(smaller_logit)))


def pair_losses(
    positive_logit: Float[Array | np.ndarray, "*B n"],
    negative_logit: Float[Array | np.ndarray, "*B n"],
) -> Float[Array, "*B n"]:
    """What each pair adds to consistency and confidence loss; `loss` is the mean."""
    p_positive = jax.nn.sigmoid(positive_logit)
    one_minus_p_negative = jax.nn.sigmoid(-negative_logit)
    smaller_logit = jnp.minimum(positive_logit, negative_logit)
    inconsistent = jnp.square(p_positive - one_minus_p_negative)
    return inconsistent + jnp.square(jax.nn.sigmoid(smaller_logit))


def loss(
    positive_logit: Float[Array | np.ndarray, " n"],
    negative_logit: Float[Array | np.ndarray, " n"],
) -> Float[Array, ""]:
    """Consistency loss plus confidence loss.

    Reference: Burns et al., Discovering Latent Knowledge, arXiv 2212.03827.
    """
    return consistency_loss(positive_logit, negative_logit) + confidence_loss(
        positive_logit, negative_logit
    )
