"""Stochastic parameter decomposition: a layer as rank-one parts for a few inputs each.

The weights W of a layer are written as a sum of components u_k r_k'. Each has a causal
importance g_k(x) in [0, 1]: how much it is needed on the input x. A component whose
importance is low may be scaled by anything between that and 1 without changing the
output; random scales check it. So a component stands for a mechanism that some inputs
use and others do not, and nothing says beforehand which units it consists of.

Symbols: n samples, d inputs and m outputs of the layer, P outputs that are kept, K
components.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, optimizers, validation
from shardsim.inspection.validation import Numbers

LEAK = 0.01
"""Slope of an importance beyond 0 and 1, so that it always has a gradient."""
HIDDEN = 32
"""Hidden units of the network that gives the importances."""
POWER = 1.0
"""p of the cost of importance, mean |g|^p."""
TOLERANCE = 2e-4
"""A round of training that gains less ends it. The output has variance 1."""


class Components(NamedTuple):
    """Components of the weights of a layer, and where each is needed."""

    write: Float[Array, "K m"]
    """u_k of each component."""
    read: Float[Array, "K d"]
    """r_k of each component; the weights are nearly sum_k u_k r_k'."""
    importance: Float[Array, "n K"]
    """g_k of each sample, in [0, 1]."""
    faithful: Float[Array, ""]
    """1 - |W - sum_k u_k r_k'|^2 / |W|^2."""
    kept: Float[Array, ""]
    """R^2 of the output where every component is scaled by its importance alone."""
    kept_null: Float[Array, ""]
    """The same where the importances are those of other samples."""
    converged: Bool[Array, ""]
    """Whether more steps would not lower the loss by `TOLERANCE`."""

    def summary(self) -> str:
        active = float((self.importance > 0.1).sum(axis=1).mean())
        return (
            f"{len(self.read)} components hold {float(self.faithful):.1%} of the "
            f"weights; a sample needs {active:.1f} of them, which keep "
            f"{float(self.kept):.1%} of the output ({float(self.kept_null):.1%} for "
            "the importances of other samples)"
            + ("" if bool(self.converged) else "; NOT CONVERGED")
        )


def fit(
    output_of: Callable[[Any, Any], Any],
    weights: Annotated[Numbers, "m d"],
    inputs: Annotated[Numbers, "n d"],
    context: Annotated[Numbers, "n C"],
    key: Key[Array, ""],
    *,
    components: int = 32,
    cost: float = 0.03,
    steps: int = 1_000,
    max_steps: int = 16_000,
    batch: int = 256,
    rate: float = 0.01,
) -> Components:
    """Decompose the weights of a layer by the mechanisms that inputs use.

      loss = |W - sum_k u_k r_k'|^2 / |W|^2                     faithfulness
             + mean |y(m) - y|^2 / var y                        random scales
             + cost mean_x sum_k |g_k(x)|^p                     few are needed
      m_k = g_k + (1 - g_k) s_k,  s_k uniform in [0, 1]

    y(m) is the output where component k is scaled by m_k, and var y the sum of the
    variances of its numbers. Every sample and step has scales of its own. g is a
    small network of all of x: whether gates make a component count may not be seen in
    r_k' x alone.

    Args:
      output_of: (W x, context) of one sample -> the output y [P]: the layers after W,
        with the bias of W. Of a value head take the contributions of its units: V alone
        is one number, which one component can give in many contexts.
      weights: W.
      inputs: x of each sample.
      context: what else the output depends on, e.g. the true context for the gates of
        an oracle-gated head.
      key: for the start, batches and random scales.
      components: K, at least 1.
      cost: weight of the importances, above 0.
      steps: of the first round of Adam.
      max_steps: of all rounds, at least `steps`; see `optimizers.descend`.
      batch: samples of a step.
      rate: learning rate of the first step of a round.

    Raises:
      ValueError: shapes differ, a number is not finite, the output is constant, or a
        setting is out of range.

    Reference: Bushnaq, Braun and Sharkey, Stochastic parameter decomposition, 2025
    (arXiv 2506.20790).
    """
    w = validation.floats("weights", weights, None, None)
    x = validation.floats("inputs", inputs, None, w.shape[1])
    c = validation.floats("context", context, len(x), None)
    components = validation.integer("components", components, 1)
    batch = validation.integer("batch", batch, 1)
    steps = validation.integer("steps", steps, 1)
    max_steps = validation.integer("max_steps", max_steps, steps)
    if not cost > 0:
        raise ValueError(f"cost: got {cost}; allowed: above 0")
    outputs = jax.vmap(output_of)(x @ w.T, c)
    spread = outputs.var(axis=0).sum()
    if not isinstance(spread, jax.core.Tracer) and not spread > 0:
        raise ValueError("output_of: got a constant output; allowed: one that varies")
    start_key, batch_key, null_key = jax.random.split(key, 3)
    start = _start(w, start_key, components)

    def recovered(parameters: Any, at: Any, scale_key: Key[Array, ""]) -> Any:
        """Squared error under random scales, and the cost of importances."""
        raw = _importance(parameters, x[at])
        low = jnp.where(raw < 0, LEAK * raw, jnp.minimum(raw, 1.0))
        high = jnp.where(raw > 1, 1 + LEAK * (raw - 1), jnp.maximum(raw, 0.0))
        scales = low + (1 - low) * jax.random.uniform(scale_key, raw.shape, raw.dtype)
        error = _outputs(output_of, parameters, x[at], c[at], scales) - outputs[at]
        paid = jnp.power(high + 1e-12, POWER).sum(axis=1).mean()
        return jnp.square(error).sum(axis=1).mean() / spread + cost * paid

    def loss(parameters: Any, step: Array) -> Float[Array, ""]:
        row_key, scale_key = jax.random.split(jax.random.fold_in(batch_key, step))
        at = jax.random.randint(row_key, (batch,), 0, len(x))
        return _unfaithful(parameters, w) + recovered(parameters, at, scale_key)

    def full(parameters: Any) -> Float[Array, ""]:
        every = jnp.arange(len(x))
        return _unfaithful(parameters, w) + recovered(parameters, every, batch_key)

    end = optimizers.descend(
        loss, full, start, steps, max_steps, rate, "cosine", TOLERANCE
    )
    optimizers.warn_unconverged("components", end.converged, "allow more max_steps")
    importance = jnp.clip(_importance(end.parameters, x), 0.0, 1.0)
    other = importance[arrays.derangement(len(x), null_key)]

    def share_kept(scales: Float[Array, "n K"]) -> Float[Array, ""]:
        error = _outputs(output_of, end.parameters, x, c, scales) - outputs
        return 1 - jnp.square(error).sum(axis=1).mean() / spread

    return Components(
        end.parameters["write"],
        end.parameters["read"],
        importance,
        1 - _unfaithful(end.parameters, w),
        share_kept(importance),
        share_kept(other),
        end.converged,
    )


def selectivity(
    importance: Annotated[Numbers, "n K"], context: Annotated[Numbers, "n"]
) -> float:
    """How far components are needed in one context alone, weighted by their use.

      sum_k a_k (max_c p_kc - 1/C) / (1 - 1/C),  p_kc = a_kc / sum_c a_kc

    a_kc is the mean importance in context c, and the weights a_k = sum_c a_kc add up to
    1. It is 1 if each component is needed in one context, 0 if in all alike. One that
    is never needed does not count.

    Args:
      importance: g_k of each sample, at least 0.
      context: a label of each sample's context, at least two different ones.

    Raises:
      ValueError: shapes differ, a number is not finite, or one context alone.
    """
    g = np.asarray(validation.floats("importance", importance, None, None), np.float64)
    labels = validation.labels("context", context, len(g))
    validation.at_least("contexts", labels.count, 2)
    mean = np.stack([g[labels.index == c].mean(axis=0) for c in range(labels.count)])
    total = mean.sum(axis=0)
    if not total.sum() > 0:
        return 0.0
    chance = 1 / labels.count
    own = (mean.max(axis=0) - chance * total).sum()
    return float(own / total.sum() / (1 - chance))


def _start(w: Float[Array, "m d"], key: Key[Array, ""], count: int) -> dict[str, Array]:
    """Random reads, and the writes that make the sum of components nearest to W."""
    read_key, first_key, last_key = jax.random.split(key, 3)
    read = arrays.unit(jax.random.normal(read_key, (count, w.shape[1]), w.dtype))
    # least squares with a ridge: W ~ U R
    gram = read @ read.T + 1e-3 * jnp.eye(count, dtype=w.dtype)
    write = jnp.linalg.solve(gram, read @ w.T)
    inputs = w.shape[1]
    first = jax.random.normal(first_key, (inputs, HIDDEN), w.dtype) / inputs**0.5
    last = jax.random.normal(last_key, (HIDDEN, count), w.dtype) / HIDDEN**0.5
    return {
        "read": read,
        "write": write,
        "first": first,
        "shift": jnp.zeros(HIDDEN, w.dtype),
        "last": last,
        "bias": jnp.ones(count, w.dtype),
    }


def _importance(
    parameters: dict[str, Array], x: Float[Array, "n d"]
) -> Float[Array, "n K"]:
    """g before it is cut to [0, 1]."""
    hidden = jax.nn.gelu(x @ parameters["first"] + parameters["shift"][None])
    return hidden @ parameters["last"] + parameters["bias"][None]


def _outputs(
    output_of: Callable[[Any, Any], Any],
    parameters: dict[str, Array],
    x: Float[Array, "n d"],
    context: Float[Array, "n C"],
    scales: Float[Array, "n K"],
) -> Float[Array, "n P"]:
    inner = (x @ parameters["read"].T) * scales
    outputs: Array = jax.vmap(output_of)(inner @ parameters["write"], context)
    return outputs


def _unfaithful(
    parameters: dict[str, Array], w: Float[Array, "m d"]
) -> Float[Array, ""]:
    left = w - parameters["write"].T @ parameters["read"]
    return jnp.square(left).sum() / jnp.square(w).sum()
