"""RLACE: the k directions whose removal hurts the best linear probe most.

This is a minimax game: the projection P, of rank k, maximises the loss of the probe,
and the probe minimises it.

Symbols: n samples, d features, c classes, k directions, N keys.
"""

import functools
import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import optimizers, validation
from shardsim.inspection.concepts import concept, probes
from shardsim.inspection.validation import Numbers

PROBE_STEPS = 4
"""Steps of the probe for each step of P."""
EVALUATION_STEPS = 100
"""Steps of the probes that evaluate the result; more only until they converge."""
TOLERANCE = 1e-3
"""Gain, as a share of the ceiling, that is none when the steps double. With k = 1,
three classes and 64 features a search ends after 80 or 160 steps. Two keys give one
direction (|cos| 1.0000). Its |cos| to that of 1,280 steps is .999, whose loss is .0003
to .0027 higher, of a ceiling of 1.10."""
AT_CEILING = 1e-4
"""Distance of the loss from the ceiling, as a share of it, that is none."""


class RLACE(NamedTuple):
    """Directions, and how close they came to the known optimum."""

    basis: Float[Array, "k d"]
    """Orthonormal rows; the erased sample is x - basis' basis (x - mean)."""
    mean: Float[Array, " d"]
    """Mean activation."""
    loss: Float[Array, ""]
    """Loss of the best probe after erasing, in nats."""
    ceiling: Float[Array, ""]
    """Entropy of the classes: the largest possible loss, reached if the concept is
    guarded."""
    initial_loss: Float[Array, ""]
    """Loss of the best probe before erasing, in nats."""
    cosine: Float[Array, ""]
    """Smallest cosine between the directions and the span of the differences of class
    means. For k = 1 and two classes this is |cos| to the mean difference: 1 at the
    optimum, and only there. NaN for a concept of one class."""
    gap: Float[Array, ""]
    """k-th minus (k+1)-th eigenvalue of the averaged P before rounding to rank k: 1
    means that rounding changes nothing, near 0 that the choice is arbitrary."""
    unique: Bool[Array, ""]
    """Whether k is at most the rank of the class means. With more directions some are
    arbitrary, and two runs that differ can both be right."""
    converged: Bool[Array, ""]
    """Whether the loss is at its ceiling, or twice as many steps do not raise it; and
    whether the probes that evaluate it converged."""
    steps: Int[Array, ""]
    """Steps of the last search."""

    def summary(self) -> str:
        """Loss before and after, its ceiling, and the cosine to the class means."""
        warning = (
            ""
            if bool(self.unique)
            else "; more directions than needed, some are arbitrary"
        )
        if not bool(self.converged):
            warning += f"; NOT CONVERGED after {int(self.steps)} steps"
        return (
            f"RLACE: loss {float(self.loss):.4f} of at most {float(self.ceiling):.4f} "
            f"({float(self.initial_loss):.4f} before), |cos| to the class means "
            f"{float(self.cosine):.4f}{warning}"
        )


def project(
    matrix: Annotated[Array, "d d"], k: int
) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    """Nearest matrix of the Fantope {0 <= P <= I, tr P = k}, and its eigenvalues.

    Eigenvalues v become clip(v - t, 0, 1) with sum k. The sum is piecewise linear in t
    with breakpoints v and v - 1, so t is exact and needs no bisection.

    Args:
      matrix: [d, d] symmetric.
      k: in [0, d].

    Raises:
      ValueError: `matrix` is not square, or k is out of range.

    Reference: Vu et al., Fantope Projection and Selection, 2013.
    """
    validation.shaped("matrix", matrix, None, matrix.shape[0])
    validation.at_least("k", k, 0)
    if k > matrix.shape[0]:
        raise ValueError(f"k: got {k}; allowed: at most {matrix.shape[0]}")
    values, axes = jnp.linalg.eigh((matrix + matrix.T) / 2)
    t = jnp.sort(jnp.concatenate([values - 1, values]))[::-1]
    sums = jnp.clip(values[None, :] - t[:, None], 0.0, 1.0).sum(axis=1)
    threshold = jnp.interp(jnp.asarray(k, values.dtype), sums, t)
    clipped = jnp.clip(values - threshold, 0.0, 1.0)
    return (axes * clipped[None, :]) @ axes.T, clipped


def fit(
    x: Annotated[Numbers, "n d"],
    z: Any,
    key: Key[Array, ""],
    *,
    k: int = 1,
    steps: int = 40,
    max_steps: int = 640,
    decay: tuple[float, float] = (1.0, 1e-3),
) -> RLACE:
    """max over P in the Fantope of min over theta of the regularised logistic loss.

      f(P) = min over theta, b of
             mean -log softmax(x (I - P) theta + b)[z] + lambda/2 |theta|^2

    P ascends along -(theta v' + v theta')/2, where v is the gradient of the loss by (I
    - P) theta, with step size lambda / |v|^2, and is projected back. theta descends in
    the metric of its curvature bound. The second half of the iterates is averaged and
    rounded to the k leading eigenvectors. The last iterate is rounded as well, and the
    one of the two with the higher loss is the result.

    Plain descent and ascent cycle, because f is flat along features of large variance,
    as flat as the covariance is ill-conditioned. With lambda of the size of the largest
    eigenvalue, f is well-conditioned. So lambda decreases geometrically from the first
    to the last `decay`, both relative to that eigenvalue. For k = 1 and two classes
    this does not move the optimum: for every lambda f is at most the entropy of the
    classes, and reaches it only if P removes the difference of class means.

    Edge cases: with one class f is 0 for every P, and the initial P is the result.
    Fewer directions than the class means span cannot guard, and the result is then the
    optimum for the last decay. With more directions, some are arbitrary. n <= d and
    copies of features do no harm.

    Unless the loss is at its ceiling, the search is repeated from the start with twice
    as many steps, until that raises the loss no further. A fit that reaches `max_steps`
    first says so in `converged`, and warns unless it is compiled into another program.

    Do not call it under `jax.vmap`, because it decomposes matrices: see `fit_many`.

    Args:
      x: [n, d] activations.
      z: labels [n], or one-hot columns [n, c].
      key: for the initial P.
      k: directions, 1 to d.
      steps: of P in the first search, at least 2.
      max_steps: of P in the longest search, at least `steps`.
      decay: first and last, positive and finite.

    Raises:
      ValueError: a shape does not fit, a number is out of range, or there is one class
        (unless z is traced).

    Reference: Ravfogel et al., Linear Adversarial Concept Erasure, arXiv 2201.12091.
    """
    x, z = check_input(x, z, k, steps, decay)
    validation.at_least("max_steps", max_steps, steps)
    before = _probe_of_all(x, z)
    result = _fit(x, z, before, key, k, steps, max_steps, jnp.asarray(decay, x.dtype))
    optimizers.warn_unconverged("RLACE", result.converged, "allow more max_steps")
    return result


def fit_many(
    x: Annotated[Numbers, "n d"],
    z: Any,
    keys: Key[Array, " N"],
    *,
    k: int = 1,
    steps: int = 40,
    max_steps: int = 640,
    decay: tuple[float, float] = (1.0, 1e-3),
) -> RLACE:
    """`fit` for each key in turn, in one program; the result has a leading axis N.

    Args:
      x: [n, d] activations.
      z: labels [n], or one-hot columns [n, c].
      keys: [N] for the initial P. The other arguments are those of `fit`.
    """
    x, z = check_input(x, z, k, steps, decay)
    validation.at_least("max_steps", max_steps, steps)
    decays = jnp.asarray(decay, x.dtype)
    # once for all keys: on separable classes it takes longer than a search
    before = _probe_of_all(x, z)
    result = jax.lax.map(
        lambda key: _fit(x, z, before, key, k, steps, max_steps, decays), keys
    )
    optimizers.warn_unconverged("RLACE", result.converged, "allow more max_steps")
    return result


def check_input(
    x: Any, z: Any, k: int, steps: int, decay: tuple[float, float]
) -> tuple[Float[Array, "n d"], Float[Array, "n c"]]:
    """x as floats and z as one-hot columns, with all settings checked.

    Raises:
      ValueError: names what is wrong and what is allowed.
    """
    x = concept.as_samples(x)
    validation.sized("x", x)
    z = concept.as_one_hot(x, z)
    concept.check_two_classes(z)
    validation.integer("k", k, 1)
    validation.integer("steps", steps, 2)
    if k > x.shape[1]:
        raise ValueError(f"k: got {k}; allowed: at most {x.shape[1]}")
    if len(decay) != 2 or not all(0 < x < math.inf for x in decay):
        raise ValueError(f"decay: got {decay}; allowed: two numbers above 0")
    return x, z


class _Search(NamedTuple):
    """The best result of all searches so far."""

    basis: Float[Array, "k d"]
    loss: Float[Array, ""]
    gap: Float[Array, ""]
    steps: Int[Array, ""]
    """Steps of the last search; 0 before the first one."""
    is_evaluated: Bool[Array, ""]
    """Whether the probe that evaluates `basis` converged."""
    is_done: Bool[Array, ""]


class _State(NamedTuple):
    """P, and the weights and bias of the probe."""

    removed: Float[Array, "d d"]
    theta: Float[Array, "d c"]
    bias: Float[Array, " c"]


class _Game(NamedTuple):
    """What stays the same in all searches of a fit."""

    x: Float[Array, "n d"]
    z: Float[Array, "n c"]
    centred: Float[Array, "n d"]
    covariance: Float[Array, "d d"]
    unit: Float[Array, ""]
    """Largest eigenvalue of the covariance, in units of the mean one, which
    `probes.inverse_curvature` expects."""
    decay: Float[Array, "2"]
    """First and last, in `unit`."""
    start: _State
    ceiling: Float[Array, ""]


@functools.partial(jax.jit, static_argnames=("k", "steps", "max_steps"))
def _fit(
    x: Float[Array, "n d"],
    z: Float[Array, "n c"],
    before: probes.Probe,
    key: Key[Array, ""],
    k: int,
    steps: int,
    max_steps: int,
    decay: Float[Array, "2"],
) -> RLACE:
    mean, centred, covariance = probes.moments(x)
    d = x.shape[1]
    largest = jnp.linalg.eigvalsh(covariance)[-1]
    unit = largest / jnp.maximum(jnp.trace(covariance) / d, 1e-30)
    noise = 0.1 * jax.random.normal(key, (d, d), x.dtype)
    start = _State(
        project(noise, k)[0], jnp.zeros((d, z.shape[1]), x.dtype), probes.prior_bias(z)
    )
    _, ceiling = concept.class_shares(z)
    game = _Game(x, z, centred, covariance, unit, decay, start, ceiling)

    def is_running(state: _Search) -> Array:
        can_double = (state.steps == 0) | (2 * state.steps <= max_steps)
        return ~state.is_done & can_double

    nothing = _Search(
        jnp.zeros((k, d), x.dtype),
        jnp.full((), -jnp.inf, x.dtype),
        jnp.zeros((), x.dtype),
        jnp.zeros((), int),
        jnp.zeros((), bool),
        jnp.zeros((), bool),
    )
    state = jax.lax.while_loop(
        is_running, lambda state: _search_again(game, state, k, steps), nothing
    )
    cosine, rank = _cosine_to_means(state.basis, centred, z)
    return RLACE(
        state.basis,
        mean,
        state.loss,
        ceiling,
        before.loss,
        cosine,
        state.gap,
        k <= rank,
        state.is_done & state.is_evaluated & before.converged,
        state.steps,
    )


@jax.jit
def _probe_of_all(x: Float[Array, "n d"], z: Float[Array, "n c"]) -> probes.Probe:
    """The best probe before erasing."""
    # a row of 0 removes nothing
    return _probe_without(x, z, jnp.zeros((1, x.shape[1]), x.dtype))


def _search_again(game: _Game, state: _Search, k: int, steps: int) -> _Search:
    """Search with twice the steps; the better of the result and the one before.

    Args:
      steps: of the first search.
    """
    length = jnp.where(state.steps == 0, steps, 2 * state.steps)

    def evaluated(basis: Array) -> tuple[Array, Array]:
        probe = _probe_without(game.x, game.z, basis)
        return probe.loss, probe.converged

    bases, gaps = jax.lax.map(
        lambda removed: _rounded(removed, k), _ascend(game, length, k)
    )
    losses, converged = jax.lax.map(evaluated, bases)
    best = jnp.argmax(losses)
    gain = losses[best] - state.loss
    is_better = (state.steps == 0) | (gain > TOLERANCE * game.ceiling)
    at_ceiling = losses[best] >= (1 - AT_CEILING) * game.ceiling

    def pick(new: Array, old: Array) -> Array:
        return jnp.where(is_better, new, old)

    return _Search(
        pick(bases[best], state.basis),
        pick(losses[best], state.loss),
        pick(gaps[0], state.gap),
        length,
        pick(converged[best], state.is_evaluated),
        at_ceiling | ~is_better,
    )


def _ascend(game: _Game, length: Int[Array, ""], k: int) -> Float[Array, "2 d d"]:
    """The averaged P of the second half of the steps, and the last P."""
    first, last = game.decay[0], game.decay[1]
    dtype = game.x.dtype

    def step(number: Array, carry: tuple[_State, Array]) -> tuple[_State, Array]:
        state, total = carry
        progress = (number / (length - 1)).astype(dtype)
        lam = (game.unit * first * (last / first) ** progress).astype(dtype)
        state, _ = _step(state, lam, game.centred, game.z, game.covariance, k)
        counts = jnp.where(number >= length // 2, 1.0, 0.0).astype(dtype)
        return state, total + counts * state.removed

    zeros = jnp.zeros_like(game.covariance)
    final, total = jax.lax.fori_loop(0, length, step, (game.start, zeros))
    averaged = total / (length - length // 2).astype(dtype)
    return jnp.stack([averaged, final.removed])


def _step(
    state: _State, lam: Array, centred: Array, z: Array, covariance: Array, k: int
) -> tuple[_State, Array]:
    """A few steps of the probe, then one of P."""
    removed, theta, bias = state
    keep = jnp.eye(len(removed), dtype=removed.dtype) - removed
    inverse, weight = probes.inverse_curvature(covariance, keep, lam)
    n = centred.shape[0]

    def descend(_: Array, probe: tuple[Array, Array]) -> tuple[Array, Array]:
        theta, bias = probe
        error = probes.residual(centred, z, keep @ theta, bias)
        gradient = keep @ (centred.T @ error / n) + weight * theta
        return theta - inverse @ gradient, bias - 2 * error.mean(axis=0)

    theta, bias = jax.lax.fori_loop(0, PROBE_STEPS, descend, (theta, bias))
    logits = centred @ (keep @ theta) + bias[None, :]
    loss = probes.cross_entropy(logits, z) + weight / 2 * jnp.sum(theta**2)
    v = centred.T @ (jax.nn.softmax(logits, axis=1) - z) / n
    size = jnp.sum(v**2)
    step = jnp.where(size > 0, weight / jnp.where(size > 0, size, 1.0), 0.0)
    removed, _ = project(removed - step * (v @ theta.T), k)
    return _State(removed, theta, bias), loss


def _rounded(
    removed: Float[Array, "d d"], k: int
) -> tuple[Float[Array, "{k} d"], Float[Array, ""]]:
    """The k leading eigenvectors, and the gap to the next eigenvalue."""
    values, axes = jnp.linalg.eigh(removed)
    next_value = values[-k - 1] if k < len(values) else jnp.zeros((), values.dtype)
    return axes[:, -k:].T[::-1], values[-k] - next_value


def _probe_without(
    x: Float[Array, "n d"], z: Float[Array, "n c"], basis: Float[Array, "k d"]
) -> probes.Probe:
    """The best probe on x without the span of orthonormal rows."""
    keep = jnp.eye(x.shape[1], dtype=x.dtype) - basis.T @ basis
    decay = jnp.asarray(1e-4, x.dtype)
    return probes.fit_logistic(x, z, keep, decay, EVALUATION_STEPS)


def _cosine_to_means(
    basis: Float[Array, "k d"], centred: Float[Array, "n d"], z: Float[Array, "n c"]
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Smallest cosine of principal angles to the span of class means, and its rank."""
    means_basis, _ = concept.orthonormal_span(concept.class_means(centred, z))
    # the means, weighted by their shares, sum to 0: rank at most classes - 1
    max_rank = (z.max(axis=0) > 0).sum() - 1
    rank = jnp.minimum((jnp.abs(means_basis).sum(axis=1) > 0).sum(), max_rank)
    cosines = jnp.linalg.svd(basis @ means_basis.T, compute_uv=False)
    count = jnp.minimum(rank, len(basis))
    smallest = cosines[jnp.maximum(count - 1, 0)]
    return jnp.where(count > 0, jnp.minimum(smallest, 1.0), jnp.nan), rank
