"""Other ways to find a truth-like direction in contrast pairs, to compare with CCS.

Each method takes the differences x+ - x- of normalised pairs and returns one direction;
an iterative one also says whether it converged.
The direction calls a pair true if direction . difference > 0. The closed forms use
matrix products only, so they can be mapped over seeds.

Symbols: n pairs, d features, R restarts or random probes.
"""

from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import arrays, optimizers, regularisation, validation
from shardsim.inspection.truth import pairs
from shardsim.inspection.validation import Integer, Numbers


class Found(NamedTuple):
    """A direction, and whether the search for it converged."""

    direction: Float[Array, " d"]
    """Unit length; zeros if there is no direction."""
    converged: Bool[Array, ""]

    def summary(self) -> str:
        """The largest entry, and a warning."""
        warning = "" if bool(self.converged) else "; NOT CONVERGED"
        largest = float(jnp.abs(self.direction).max())
        return f"direction with largest entry {largest:.3g}{warning}"


CHOICE_STEPS = 20
"""Newton steps of the fits that a penalty is chosen by."""
SQUARINGS = 40
"""Squaring a matrix 40 times separates eigenvalues that differ by one part in 1e11."""


def sign_accuracy(
    score: Float[Array, " n"], label: Bool[Array | np.ndarray, " n"]
) -> Float[Array, ""]:
    """Share of labels that the sign of the score predicts; a score of 0 counts half.

    The opposite sign always has accuracy 1 minus this share.

    Args:
      score: [n] one number per pair.
      label: [n] whether the positive side is true.
    """
    correct = jnp.where(score == 0, 0.5, ((score > 0) == label).astype(score.dtype))
    return jnp.mean(correct)


def top_direction(
    matrix: Float[Array, "d d"], *, semidefinite: bool = False
) -> Float[Array, " d"]:
    """Unit eigenvector of the largest eigenvalue of a symmetric matrix.

    The matrix is shifted until no eigenvalue is negative (Gershgorin's bound), then
    squared `SQUARINGS` times. This leaves the projection onto the top eigenspace. Its
    longest column is the result, with its largest entry positive. If eigenvalues tie,
    the result is one direction of their space. The zero matrix has no top direction:
    zeros.

    Args:
      matrix: [d, d] symmetric.
      semidefinite: whether no eigenvalue is known to be negative; then nothing is
        shifted.
    """
    scale = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    scaled = matrix / arrays.or_one(scale)
    if not semidefinite:
        diagonal = jnp.diagonal(scaled)
        least = jnp.min(diagonal + jnp.abs(diagonal) - jnp.sum(jnp.abs(scaled), axis=1))
        eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
        scaled = scaled + jnp.maximum(-least, 0.0) * eye

    def square(_: Array, power: Array) -> Array:
        power = power @ power
        return power / arrays.or_one(jnp.max(jnp.abs(power)))

    power = jax.lax.fori_loop(0, SQUARINGS, square, scaled)
    direction = arrays.unit(power[:, jnp.argmax(jnp.diagonal(power))])
    direction = direction * jnp.sign(direction[jnp.argmax(jnp.abs(direction))])
    return jnp.where(scale == 0, 0.0, direction)


def _as_wide(name: str, array: Numbers, *sizes: int | None) -> Array:
    """The array in at least 32 bits, refused by name if its squares are not finite."""
    wide = validation.floats(name, array, *sizes)
    validation.sized(name, array)
    return wide


def principal(differences: Annotated[Numbers, "n d"]) -> Float[Array, " d"]:
    """Top principal direction of the differences: the closed form next to CCS.

    The differences are not centred again, because each side's mean is already removed.

    Args:
      differences: [n, d] x+ - x- of normalised pairs.

    Raises:
      ValueError: `differences` is not a matrix of finite numbers.

    Reference: Burns et al., arXiv 2212.03827 (there CRC-TPC); Emmons, Contrast pairs
    drive the empirical performance of CCS, 2023.
    """
    differences = _as_wide("differences", differences, None, None)
    return top_direction(differences.T @ differences, semidefinite=True)


def kmeans(
    differences: Annotated[Numbers, "n d"],
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    max_steps: int = 500,
) -> Found:
    """Direction from the centre of one of two clusters of differences to the other.

    Lloyd's algorithm, started from two random pairs. The restart with the smallest sum
    of squared distances wins. An empty cluster keeps its centre.

    Args:
      differences: [n, d] x+ - x- of normalised pairs, n >= 2.
      key: for the starts.
      restarts: R, at least 1.
      max_steps: of Lloyd's algorithm, which ends once no pair changes its cluster.

    Raises:
      ValueError: fewer than two pairs, or a number is not finite.
    """
    differences = _as_wide("differences", differences, None, None)
    validation.at_least("differences.shape[0]", differences.shape[0], 2)
    validation.integer("restarts", restarts, 1)
    validation.integer("max_steps", max_steps, 1)
    fit: Found = _lloyd(differences, key, restarts, max_steps)
    optimizers.warn_unconverged("k-means", fit.converged, "allow more max_steps")
    return fit


@partial(jax.jit, static_argnames=("restarts", "max_steps"))
def _lloyd(x: Array, key: Array, restarts: int, max_steps: int) -> Found:
    n = x.shape[0]

    def distances(centres: Array) -> Array:
        """[n, 2] squared distances without |x|^2, which is equal for both centres."""
        return jnp.square(centres).sum(axis=1)[None] - 2 * x @ centres.T

    def step(centres: Array) -> Array:
        distance = distances(centres)
        second = (distance[:, 1] < distance[:, 0]).astype(x.dtype)
        share = jnp.stack([1 - second, second])
        count = share.sum(axis=1, keepdims=True)
        return jnp.where(count == 0, centres, share @ x / arrays.or_one(count))

    def run(key: Array) -> tuple[Array, Array, Array]:
        start = x[jax.random.choice(key, n, (2,), replace=False)]
        centres, converged = optimizers.iterate(step, start, max_steps)
        return centres, jnp.sum(jnp.min(distances(centres), axis=1)), converged

    centres, inertia, converged = jax.vmap(run)(jax.random.split(key, restarts))
    best = jnp.argmin(inertia)
    return Found(arrays.unit(centres[best, 0] - centres[best, 1]), converged[best])


def logistic(
    differences: Annotated[Numbers, "n d"],
    label: Annotated[Numbers, "n"],
    *,
    penalty: float | None = None,
    groups: Annotated[Numbers, "n"] | None = None,
    max_steps: int = 200,
) -> Found:
    """Logistic regression on the differences with labels: the upper bound.

      min_w mean log(1 + exp(-y w . x)) + penalty |w|^2 / 2

    with y = +-1 and x in units of its root mean square. Newton's method with conjugate
    gradients. There is no intercept, because swapping the sides must flip the
    prediction. If all labels are equal and the mean of the differences is 0, the
    minimum is w = 0 and the result is zeros: no direction.

    Args:
      differences: [n, d] x+ - x- of normalised pairs.
      label: [n] bool, whether the positive side is true.
      penalty: of |w|^2, at least 1e-9. None takes the one of
        `regularisation.CHOICES` with the lowest loss on held-out pairs.
      groups: [n] labels, such as the maze; the pairs of a group are held out together.
      max_steps: of Newton's method, which ends once a step changes w by no more than
        1e-3 of its length.

    Raises:
      ValueError: the arrays do not fit, a number is not finite, or `penalty` is too
        small.
    """
    differences = _as_wide("differences", differences, None, None)
    label = validation.mask("label", label, differences.shape[0])
    if penalty is not None:
        validation.at_least("penalty", penalty, 1e-9)
    validation.integer("max_steps", max_steps, 1)
    fold = regularisation.folds(len(differences), groups)
    label = jnp.asarray(label)
    chosen = _choose_penalty(differences, label, fold) if penalty is None else penalty
    fit: Found = _newton(differences, label, chosen, max_steps)[1]
    optimizers.warn_unconverged("logistic", fit.converged, "allow more max_steps")
    return fit


@jax.jit
def _choose_penalty(
    x: Float[Array, "n d"],
    label: Bool[Array, " n"],
    fold: Int[Array | np.ndarray, " n"],
) -> Float[Array, ""]:
    """The penalty whose fits have the lowest loss on pairs that they did not see."""
    if len(x) < regularisation.FEWEST:
        return jnp.asarray(regularisation.WITHOUT, x.dtype)
    oriented = _oriented(x, label)

    def losses_of(share: Array, penalties: Array) -> Array:
        def one(penalty: Array) -> Array:
            w, _ = _newton(x, label, penalty, CHOICE_STEPS, share.astype(x.dtype))
            return jax.nn.softplus(-(oriented @ w))

        return jax.lax.map(one, penalties.astype(x.dtype))

    return regularisation.choose(losses_of, fold).value.astype(x.dtype)


def _oriented(x: Float[Array, "n d"], label: Bool[Array, " n"]) -> Float[Array, "n d"]:
    """Differences from false to true, in units of their root mean square."""
    x = x / arrays.or_one(pairs.root_mean_square(x))
    return jnp.where(label[:, None], x, -x)


@partial(jax.jit, static_argnames="max_steps")
def _newton(
    x: Float[Array, "n d"],
    label: Bool[Array, " n"],
    penalty: float | Array,
    max_steps: int,
    share: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " d"], Found]:
    """The weights, and their direction; `share` weighs the pairs, None all alike."""
    n, d = x.shape
    x = _oriented(x, label)
    share = jnp.full(n, 1 / n, x.dtype) if share is None else share
    step_sizes = jnp.asarray([1.0, 0.5, 0.25, 0.0625, 0.0], x.dtype)

    def objective(w: Array) -> Array:
        fit = share @ jax.nn.softplus(-(x @ w))
        return fit + penalty * jnp.sum(jnp.square(w)) / 2

    def step(w: Array) -> Array:
        error = jax.nn.sigmoid(-(x @ w))
        gradient = penalty * w - x.T @ (share * error)
        hessian = (x * (share * error * (1 - error))[:, None]).T @ x
        hessian = hessian + penalty * jnp.eye(d, dtype=x.dtype)
        move, _ = jax.scipy.sparse.linalg.cg(
            hessian.__matmul__, gradient, maxiter=4 * d
        )
        candidates = w[None] - step_sizes[:, None] * move[None]
        best = candidates[jnp.argmin(jax.lax.map(objective, candidates))]
        # a minimum at 0 is only reached up to rounding
        rounding = 64 * jnp.finfo(x.dtype).eps
        return jnp.where(jnp.linalg.norm(best) <= rounding, 0.0, best)

    zero = jnp.zeros(d, x.dtype)
    w, converged = optimizers.iterate(step, zero, max_steps, tolerance=1e-3)
    return w, Found(arrays.unit(w), converged)


def random_directions(
    count: Integer, d: Integer, key: Key[Array, ""]
) -> Float[Array, "{count} {d}"]:
    """Directions uniform on the sphere: the null for every direction of another method.

    Args:
      count: number of directions, at least 1.
      d: number of features.
      key: for the draw.
    """
    count, d = validation.integer("count", count, 1), validation.integer("d", d, 1)
    return arrays.unit(jax.random.normal(key, (count, d)))
