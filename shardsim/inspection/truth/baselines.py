"""Other ways to find a truth-like direction in contrast pairs, to hold beside CCS.

Each takes the differences x+ - x- of normalised pairs and gives one direction; a pair
is called true if direction . difference > 0. Closed forms use products of matrices
only, so that they can be mapped over seeds.

Symbols: n pairs, v templates, d features, R restarts or random probes.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.truth import pairs

SQUARINGS = 40
"""A matrix squared 40 times tells eigenvalues apart that differ by one part in 1e11."""


def share_right(
    score: Float[Array, " n"], label: Bool[Array, " n"]
) -> Float[Array, ""]:
    """Share of labels that the sign of the score gets right; a score of 0 counts half.

    The other sign is right in 1 minus this share, always.
    """
    right = jnp.where(score == 0, 0.5, ((score > 0) == label).astype(score.dtype))
    return jnp.mean(right)


def top_direction(
    matrix: Float[Array, "d d"], semidefinite: bool = False
) -> Float[Array, " d"]:
    """Unit eigenvector of the largest eigenvalue of a symmetric matrix.

    The matrix is shifted until no eigenvalue is negative (by Gershgorin's bound), then
    squared again and again. What is left is the projection onto the top eigenspace, and
    its longest column is the answer, its largest entry positive. Tied eigenvalues give
    one direction of their space. The zero matrix has no top: zeros.

    Args:
      semidefinite: that no eigenvalue is negative is known, and nothing is shifted.
    """
    scale = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    scaled = matrix / arrays.or_one(scale)
    if not semidefinite:
        own = jnp.diagonal(scaled)
        least = jnp.min(own + jnp.abs(own) - jnp.sum(jnp.abs(scaled), axis=1))
        eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
        scaled = scaled + jnp.maximum(-least, 0.0) * eye

    def square(_: Array, power: Array) -> Array:
        power = power @ power
        return power / arrays.or_one(jnp.max(jnp.abs(power)))

    power = jax.lax.fori_loop(0, SQUARINGS, square, scaled)
    found = arrays.unit(power[:, jnp.argmax(jnp.diagonal(power))])
    found = found * jnp.sign(found[jnp.argmax(jnp.abs(found))])
    return jnp.where(scale == 0, 0.0, found)


def _ready(name: str, array: Array) -> Array:
    """The array as numbers that can be multiplied, or a ValueError that names it."""
    validation.finite(name, array)
    validation.sized(name, array)
    return validation.wide(array)


def principal(differences: Float[Array, "n d"]) -> Float[Array, " d"]:
    """Top principal direction of the differences: the closed form next to CCS.

    The differences are not centred again: each side's mean is off already. Reference:
    Burns et al., arXiv 2212.03827 (there CRC-TPC); Emmons, Contrast pairs drive the
    empirical performance of CCS, 2023.

    Raises:
      ValueError: not a matrix of finite numbers.
    """
    validation.shaped("differences", differences, None, None)
    differences = _ready("differences", differences)
    return top_direction(differences.T @ differences, semidefinite=True)


def vinc(
    positive: Float[Array, "n v d"],
    negative: Float[Array, "n v d"],
    alpha: float = 1.0,
    beta: float = 0.5,
) -> Float[Array, " d"]:
    """Direction that varies over pairs, not over wordings, and with opposite signs.

    Top eigenvector of alpha C - (1 - beta) W - beta X: C the covariance of the means
    over templates, W the covariance around them (both averaged over the two sides), X
    the symmetrised cross-covariance of the two sides' means. Each side and template
    loses its mean first, so that which side it is can't be read off. With one template
    and beta = 1 = alpha it is `principal`.

    Args:
      positive: activations of x+ under v wordings (for agents: v views of a state).
      negative: activations of x-.
      alpha: weight of the variance over pairs, at least 0.
      beta: weight of consistency against invariance, in [0, 1].

    Raises:
      ValueError: sides that don't fit or are not finite, a weight out of range.

    Reference: Mallen, Belrose, Eliciting Latent Knowledge from Quirky Language Models,
    arXiv 2312.01037 (there VINC and CRC).
    """
    validation.shaped("positive", positive, None, None, None)
    validation.shaped("negative", negative, *positive.shape)
    positive, negative = _ready("positive", positive), _ready("negative", negative)
    validation.at_least("alpha", alpha, 0)
    validation.at_least("beta", beta, 0)
    validation.at_least("1 - beta", 1 - beta, 0)
    n, templates, _ = positive.shape
    sides = [side - side.mean(axis=0, keepdims=True) for side in (positive, negative)]
    means = [side.mean(axis=1) for side in sides]
    over = sum(mean.T @ mean for mean in means) / (2 * n)
    around = [
        (side - mean[:, None]).reshape(n * templates, -1)
        for side, mean in zip(sides, means, strict=True)
    ]
    within = sum(rest.T @ rest for rest in around) / (2 * n * templates)
    cross = means[0].T @ means[1] / n
    matrix = alpha * over - (1 - beta) * within - beta * (cross + cross.T) / 2
    return top_direction(matrix)


def kmeans(
    differences: Float[Array, "n d"],
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    steps: int = 30,
) -> Float[Array, " d"]:
    """From the centre of one of two clusters of differences to that of the other.

    Lloyd's algorithm from two pairs at random; the restart with the least squared
    distance is kept. An empty cluster stays where it was.

    Raises:
      ValueError: fewer than two pairs, numbers that are not finite.
    """
    validation.shaped("differences", differences, None, None)
    differences = _ready("differences", differences)
    validation.at_least("differences.shape[0]", differences.shape[0], 2)
    validation.at_least("restarts", restarts, 1)
    return _lloyd(differences, key, restarts, steps)


@partial(jax.jit, static_argnames=("restarts", "steps"))
def _lloyd(x: Array, key: Array, restarts: int, steps: int) -> Array:
    n = x.shape[0]

    def distances(centres: Array) -> Array:
        """[n, 2], less |x|^2, which is the same for both."""
        return jnp.square(centres).sum(axis=1)[None] - 2 * x @ centres.T

    def step(_: Array, centres: Array) -> Array:
        apart = distances(centres)
        second = (apart[:, 1] < apart[:, 0]).astype(x.dtype)
        share = jnp.stack([1 - second, second])
        count = share.sum(axis=1, keepdims=True)
        return jnp.where(count == 0, centres, share @ x / arrays.or_one(count))

    def run(key: Array) -> tuple[Array, Array]:
        start = x[jax.random.choice(key, n, (2,), replace=False)]
        centres = jax.lax.fori_loop(0, steps, step, start)
        return centres, jnp.sum(jnp.min(distances(centres), axis=1))

    centres, inertia = jax.vmap(run)(jax.random.split(key, restarts))
    best = centres[jnp.argmin(inertia)]
    return arrays.unit(best[0] - best[1])


def logistic(
    differences: Float[Array, "n d"],
    label: Bool[Array, " n"],
    *,
    penalty: float = 1e-3,
    steps: int = 15,
) -> Float[Array, " d"]:
    """Logistic regression on differences: what labels would find. The ceiling.

    min_w mean log(1 + exp(-y w . x)) + penalty |w|^2 / 2, y = +-1, x in units of its
    root mean square, by Newton's method with conjugate gradients. There is no
    intercept: swapping the sides must swap the answer. One class on differences whose
    mean is 0 has the minimum w = 0: zeros, no direction.

    Raises:
      ValueError: arrays that don't fit, numbers that are not finite, penalty <= 0.
    """
    validation.shaped("differences", differences, None, None)
    differences = _ready("differences", differences)
    validation.shaped("label", label, differences.shape[0])
    validation.one_of("label.dtype", str(label.dtype), ("bool",))
    validation.at_least("penalty", penalty, 1e-9)
    return _newton(differences, label, penalty, steps)


@partial(jax.jit, static_argnames="steps")
def _newton(x: Array, label: Array, penalty: float, steps: int) -> Array:
    n, d = x.shape
    x = x / arrays.or_one(pairs.spread(x))
    x = jnp.where(label[:, None], x, -x)
    sizes = jnp.asarray([1.0, 0.5, 0.25, 0.0625, 0.0], x.dtype)

    def objective(w: Array) -> Array:
        fit = jnp.mean(jax.nn.softplus(-(x @ w)))
        return fit + penalty * jnp.sum(jnp.square(w)) / 2

    def step(_: Array, w: Array) -> Array:
        wrong = jax.nn.sigmoid(-(x @ w))
        slope = penalty * w - x.T @ wrong / n
        curve = (x * (wrong * (1 - wrong))[:, None]).T @ x / n
        curve = curve + penalty * jnp.eye(d, dtype=x.dtype)
        move, _ = jax.scipy.sparse.linalg.cg(curve.__matmul__, slope, maxiter=4 * d)
        tried = w[None] - sizes[:, None] * move[None]
        return tried[jnp.argmin(jax.lax.map(objective, tried))]

    w = jax.lax.fori_loop(0, steps, step, jnp.zeros(d, x.dtype))
    small = 64 * jnp.finfo(x.dtype).eps
    return jnp.where(jnp.linalg.norm(w) <= small, 0.0, arrays.unit(w))


def random_directions(
    key: Key[Array, ""], count: int, d: int
) -> Float[Array, "count d"]:
    """Directions uniform on the sphere: the null for every direction that is found."""
    validation.at_least("count", count, 1)
    return arrays.unit(jax.random.normal(key, (count, d)))
