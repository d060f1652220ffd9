"""RLACE: the k directions whose removal leaves the best linear probe worst off.

A game: P, of rank k, is chosen against the probe, and the probe against P.

Symbols: n samples, d features, c classes, k directions, N keys, T steps.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept, probes

INNER = 4
"""Steps of the probe for each step of P."""
JUDGED = 100
"""Steps of the probes by which the result is judged."""


class RLACE(NamedTuple):
    """Directions, and how near they came to what is known of the optimum."""

    basis: Float[Array, "k d"]
    """Orthonormal rows; erased is x - basis' basis (x - mean)."""
    mean: Float[Array, " d"]
    loss: Float[Array, ""]
    """Of the best probe after erasing, nats."""
    ceiling: Float[Array, ""]
    """Entropy of the classes: no loss can be higher, a guarded concept has it."""
    start: Float[Array, ""]
    """Of the best probe before anything is erased, nats."""
    cosine: Float[Array, ""]
    """Smallest cosine between the directions and the span of the differences of class
    means. For k = 1 and two classes |cos| to the mean difference: 1 at the optimum,
    and only there. NaN for a concept of one class."""
    gap: Float[Array, ""]
    """k-th less (k+1)-th eigenvalue of the averaged P before it was rounded to rank k:
    1 is no rounding, near 0 makes the choice arbitrary."""
    unique: Bool[Array, ""]
    """Whether k is at most the rank of the class means. With more directions some are
    free, and two runs that differ are both right."""
    trace: Float[Array, " T"]
    """Loss of the probe along the way, under its decay."""

    def summary(self) -> str:
        free = "" if bool(self.unique) else "; more directions than needed, some free"
        return (
            f"RLACE: loss {float(self.loss):.4f} of at most {float(self.ceiling):.4f} "
            f"({float(self.start):.4f} before), |cos| to the class means "
            f"{float(self.cosine):.4f}{free}"
        )


def project(
    matrix: Float[Array, "d d"], k: int
) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    """Nearest matrix of the Fantope {0 <= P <= I, tr P = k}, and its eigenvalues.

    Eigenvalues v become clip(v - t, 0, 1) with sum k. The sum falls linearly between
    the breakpoints v and v - 1, so that t is exact: no bisection.

    Reference: Vu et al., Fantope Projection and Selection, 2013.
    """
    validation.shaped("matrix", matrix, None, matrix.shape[0])
    validation.at_least("k", k, 0)
    if k > matrix.shape[0]:
        raise ValueError(f"k: got {k}; allowed: at most {matrix.shape[0]}")
    values, axes = jnp.linalg.eigh((matrix + matrix.T) / 2)
    t = jnp.sort(jnp.concatenate([values - 1, values]))[::-1]
    sums = jnp.clip(values[None, :] - t[:, None], 0.0, 1.0).sum(axis=1)
    best = jnp.interp(jnp.asarray(k, values.dtype), sums, t)
    clipped = jnp.clip(values - best, 0.0, 1.0)
    return (axes * clipped[None, :]) @ axes.T, clipped


def fit(
    x: Float[Array, "n d"],
    z: Any,
    key: Key[Array, ""],
    *,
    k: int = 1,
    steps: int = 40,
    decay: tuple[float, float] = (1.0, 1e-3),
) -> RLACE:
    """max over P in the Fantope of min over theta of the regularised logistic loss.

    f(P) = min over theta, b of mean -log softmax(x (I - P) theta + b)[z]
    + lambda/2 |theta|^2. P climbs by -(theta v' + v theta')/2, v the gradient of the
    loss by (I - P) theta, with the step lambda / |v|^2, and is projected back; theta
    descends in the metric of its curvature bound. The second half of the iterates is
    averaged, and rounded to the k leading eigenvectors; the last iterate is rounded as
    well, and the one with the higher loss of the two is kept.

    Why it arrives where plain descent and ascent cycles: f is flat along features that
    vary much, as flat as the covariance is ill-conditioned. With lambda of the size of
    its largest eigenvalue f is round. So lambda falls geometrically from the first to
    the last `decay` times that eigenvalue. For k = 1 and two classes this moves the
    optimum nowhere: under every lambda f is at most the entropy of the classes, and
    reaches it only if P removes the difference of class means.

    Answers at the edges: with one class f is 0 for every P and the start is returned.
    Fewer directions than the class means span can't guard, and the optimum is then the
    last decay's; with more, some are free. n <= d and copies of features do no harm.

    Not under `jax.vmap` (it decomposes matrices): see `fit_many`.

    Args:
      x: activations.
      z: labels [n], or one-hot columns [n, c].
      key: for the start.
      k: directions, 1 to d.
      steps: of P, at least 2.
      decay: first and last, above 0 and finite.

    Raises:
      ValueError: a wrong shape or number, one class where that can be seen.

    Reference: Ravfogel et al., Linear Adversarial Concept Erasure, arXiv 2201.12091.
    """
    x, z = checked(x, z, k, steps, decay)
    return _fit(x, z, key, k, steps, jnp.asarray(decay, x.dtype))


def fit_many(
    x: Float[Array, "n d"],
    z: Any,
    keys: Key[Array, " N"],
    *,
    k: int = 1,
    steps: int = 40,
    decay: tuple[float, float] = (1.0, 1e-3),
) -> RLACE:
    """`fit` from each key, one after the other in one program; a leading axis N."""
    x, z = checked(x, z, k, steps, decay)
    shrink = jnp.asarray(decay, x.dtype)
    return jax.lax.map(lambda key: _fit(x, z, key, k, steps, shrink), keys)


def checked(
    x: Any, z: Any, k: int, steps: int, decay: tuple[float, float]
) -> tuple[Float[Array, "n d"], Float[Array, "n c"]]:
    """x and one-hot z, or a ValueError that says what is wrong."""
    x = concept.samples(x)
    validation.sized("x", x)
    z = concept.classes(x, z)
    concept.several(z)
    validation.at_least("k", k, 1)
    validation.at_least("steps", steps, 2)
    if k > x.shape[1]:
        raise ValueError(f"k: got {k}; allowed: at most {x.shape[1]}")
    if len(decay) != 2 or not all(0 < x < math.inf for x in decay):
        raise ValueError(f"decay: got {decay}; allowed: two numbers above 0")
    return x, z


class _State(NamedTuple):
    removed: Float[Array, "d d"]
    theta: Float[Array, "d c"]
    bias: Float[Array, " c"]


@functools.partial(jax.jit, static_argnames=("k", "steps"))
def _fit(
    x: Float[Array, "n d"],
    z: Float[Array, "n c"],
    key: Key[Array, ""],
    k: int,
    steps: int,
    decay: Float[Array, "2"],
) -> RLACE:
    mean, away, covariance = probes.moments(x)
    d = x.shape[1]
    # of the mean eigenvalue, which is what `metric` counts in
    largest = jnp.linalg.eigvalsh(covariance)[-1]
    unit = largest / jnp.maximum(jnp.trace(covariance) / d, 1e-30)
    lams = unit * decay[0] * (decay[1] / decay[0]) ** jnp.linspace(0, 1, steps)

    def climb(carry: Any, inputs: Any) -> tuple[Any, Array]:
        state, total = carry
        lam, late = inputs
        state, loss = _step(state, lam.astype(x.dtype), away, z, covariance, k)
        return (state, total + late * state.removed), loss

    noise = 0.1 * jax.random.normal(key, (d, d), x.dtype)
    first = _State(
        project(noise, k)[0], jnp.zeros((d, z.shape[1]), x.dtype), probes.start(z)
    )
    late = (jnp.arange(steps) >= steps // 2).astype(x.dtype)
    (last, total), trace = jax.lax.scan(
        climb, (first, jnp.zeros((d, d), x.dtype)), (lams, late)
    )
    both = jnp.stack([total / late.sum(), last.removed])
    bases, gaps = jax.lax.map(lambda removed: _rounded(removed, k), both)
    # zero rows take nothing away; one after the other compiles the probe once
    judged = jnp.concatenate([bases, jnp.zeros((1, k, d), x.dtype)])
    losses = jax.lax.map(lambda basis: loss_without(x, z, basis), judged)
    best = jnp.argmax(losses[:2])
    basis = judged[best]
    cosine, rank = _gauge(basis, away, z)
    _, ceiling = concept.shares(z)
    return RLACE(
        basis,
        mean,
        losses[best],
        ceiling,
        losses[2],
        cosine,
        gaps[0],
        k <= rank,
        trace,
    )


def _step(
    state: _State, lam: Array, away: Array, z: Array, covariance: Array, k: int
) -> tuple[_State, Array]:
    """A few steps of the probe, then one of P."""
    removed, theta, bias = state
    keep = jnp.eye(len(removed), dtype=removed.dtype) - removed
    inverse, weight = probes.metric(covariance, keep, lam)
    n = away.shape[0]

    def descend(_: int, probe: tuple[Array, Array]) -> tuple[Array, Array]:
        theta, bias = probe
        wrong = probes.residual(away, z, keep @ theta, bias)
        pull = keep @ (away.T @ wrong / n) + weight * theta
        return theta - inverse @ pull, bias - 2 * wrong.mean(axis=0)

    theta, bias = jax.lax.fori_loop(0, INNER, descend, (theta, bias))
    logits = away @ (keep @ theta) + bias[None, :]
    loss = probes.cross_entropy(logits, z) + weight / 2 * jnp.sum(theta**2)
    v = away.T @ (jax.nn.softmax(logits, axis=1) - z) / n
    size = jnp.sum(v**2)
    step = jnp.where(size > 0, weight / jnp.where(size > 0, size, 1.0), 0.0)
    removed, _ = project(removed - step * (v @ theta.T), k)
    return _State(removed, theta, bias), loss


def _rounded(
    removed: Float[Array, "d d"], k: int
) -> tuple[Float[Array, "k d"], Float[Array, ""]]:
    """The k leading eigenvectors, and how far ahead of the next they are."""
    values, axes = jnp.linalg.eigh(removed)
    after = values[-k - 1] if k < len(values) else jnp.zeros((), values.dtype)
    return axes[:, -k:].T[::-1], values[-k] - after


def loss_without(
    x: Float[Array, "n d"], z: Float[Array, "n c"], basis: Float[Array, "k d"]
) -> Float[Array, ""]:
    """Loss of the best probe on x without the span of orthonormal rows, nats."""
    keep = jnp.eye(x.shape[1], dtype=x.dtype) - basis.T @ basis
    decay = jnp.asarray(1e-4, x.dtype)
    return probes.descend(x, z, keep, decay, JUDGED).loss


def _gauge(
    basis: Float[Array, "k d"], away: Float[Array, "n d"], z: Float[Array, "n c"]
) -> tuple[Float[Array, ""], Array]:
    """Smallest cosine of principal angles to the span of class means; its rank."""
    spanned, _ = concept.span(concept.class_means(away, z))
    # the means, weighted by their shares, add up to 0: one less than there are classes
    most = (z.max(axis=0) > 0).sum() - 1
    rank = jnp.minimum((jnp.abs(spanned).sum(axis=1) > 0).sum(), most)
    cosines = jnp.linalg.svd(basis @ spanned.T, compute_uv=False)
    count = jnp.minimum(rank, len(basis))
    smallest = cosines[jnp.maximum(count - 1, 0)]
    return jnp.where(count > 0, jnp.minimum(smallest, 1.0), jnp.nan), rank
