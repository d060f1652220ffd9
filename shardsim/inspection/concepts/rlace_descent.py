"""RLACE by the optimiser that it was published with, from several starts at once.

`rlace.fit` solves the same game by another optimiser. Here a step is one step of plain
gradient descent on a small batch, with one learning rate and one weight decay for all
steps. So this shows what a run that stops early has found.

Symbols: n samples, d features, N starts, T numbers of steps, r axes, m = r + 2.
"""

import functools
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept
from shardsim.inspection.validation import Numbers

RATE = 0.005
"""Learning rate of P and of the probe, as published."""
DECAY = 1e-4
"""Weight decay of both, as published."""
BATCH = 128
"""Samples of a step, as published."""
SPREAD = 0.1
"""Standard deviation of the entries of the first P, as published."""
AXES = 12
"""Eigenvectors of P that are followed. From random starts in 128 and 252
dimensions at most 9 eigenvalues of P differed from the others at any step."""


class Path(NamedTuple):
    """Directions on the way, after some numbers of steps."""

    basis: Float[Array, "T N 1 d"]
    """The leading eigenvector of P, a unit row for each number of steps and start."""
    steps: Int[np.ndarray, " T"]
    """Numbers of steps."""
    top: Float[Array, "T N"]
    """Largest eigenvalue of P: 1 means that rounding to rank 1 changes nothing."""
    dropped: Float[Array, " N"]
    """The most that an eigenvalue which was not followed differed from what it was
    taken for: 0 means that P is exact."""

    def summary(self) -> str:
        """How far P was from rank 1 after each number of steps."""
        rows = zip(self.steps.tolist(), self.top.mean(axis=1).tolist(), strict=True)
        return "largest eigenvalue of P " + ", ".join(
            f"{top:.2f} after {steps} steps" for steps, top in rows
        )


class _State(NamedTuple):
    """P = sum_i values[i] axes[i] axes[i]' + rest (I - axes' axes), and the probe."""

    axes: Float[Array, "N r d"]
    values: Float[Array, "N r"]
    rest: Float[Array, " N"]
    theta: Float[Array, "N d"]
    bias: Float[Array, " N"]
    dropped: Float[Array, " N"]

    def removed(self, x: Float[Array, "N d"]) -> Float[Array, "N d"]:
        """P x of each start."""
        along = jnp.einsum("nrd,nd->nr", self.axes, x)
        extra = (self.values - self.rest[:, None]) * along
        return jnp.einsum("nr,nrd->nd", extra, self.axes) + self.rest[:, None] * x


def fit_many(
    x: Annotated[Numbers, "n d"],
    z: Any,
    keys: Key[Array, " N"],
    *,
    steps: Sequence[int] = (10, 100, 1_000),
    batch: int = BATCH,
    rate: float = RATE,
    decay: float = DECAY,
    axes: int = AXES,
) -> Path:
    """The direction that each start has after some numbers of steps, for k = 1.

      P     <- project(P - rate (v theta' + theta v') / 2 - rate decay P)
      theta <- theta - rate ((I - P) v + decay theta)

    v is the gradient of the logistic loss by (I - P) theta on a batch, a new one for
    each line; `project` is that of `rlace.project` for k = 1. The bias descends as
    theta does. P starts at the projection of a matrix of normal numbers.

    Samples are centred and divided by one number, so that the mean variance of a
    feature is 1: a learning rate means something only in such a unit.

    A projected P has few eigenvalues that differ from the others, and a step adds two
    directions. So P is followed in the span of its r leading eigenvectors and those
    two: m dimensions in place of d, without an error as long as r are enough
    (`dropped`).

    Args:
      x: [n, d] activations, d at least 3.
      z: labels [n] of two classes.
      keys: [N] for the starts and the batches.
      steps: numbers of steps, rising, each at least 1.
      batch: samples of a step, drawn with replacement.
      rate: learning rate, above 0.
      decay: weight decay, at least 0.
      axes: r, eigenvectors that are followed, at least 1; no more than d - 2.

    Raises:
      ValueError: a shape does not fit, a number is out of range, or there are not two
        classes.

    Reference: Ravfogel et al., Linear Adversarial Concept Erasure, arXiv 2201.12091.
    """
    x = concept.as_samples(x)
    columns = concept.as_one_hot(x, z)
    if columns.shape[1] != 2:
        raise ValueError(f"z: got {columns.shape[1]} classes; allowed: 2")
    concept.check_two_classes(columns)
    validation.at_least("features of x", x.shape[1], 3)
    steps = [validation.integer("steps", number, 1) for number in steps]
    if not steps or steps != sorted(set(steps)):
        raise ValueError(f"steps: got {steps}; allowed: rising numbers")
    batch = validation.integer("batch", batch, 1)
    if not rate > 0:
        raise ValueError(f"rate: got {rate}; allowed: above 0")
    validation.at_least("decay", decay, 0)
    sizes = (jnp.asarray(rate, x.dtype), jnp.asarray(decay, x.dtype))
    axes = validation.integer("axes", axes, 1)
    state = _start(x, keys, min(axes, x.shape[1] - 2))
    ends = np.asarray(steps)
    state, (basis, top) = _path(x, columns[:, 1], keys, state, ends, batch, *sizes)
    return Path(basis[:, :, None], ends, top, state.dropped)


@functools.partial(jax.jit, static_argnames="batch")
def _path(
    x: Float[Array, "n d"],
    z: Float[Array, " n"],
    keys: Key[Array, " N"],
    state: _State,
    ends: Int[Any, " T"],
    batch: int,
    rate: Float[Array, ""],
    decay: Float[Array, ""],
) -> tuple[_State, tuple[Float[Array, "T N d"], Float[Array, "T N"]]]:
    """The last state, and the leading eigenvector and its eigenvalue at each end."""

    def segment(state: _State, ends: Any) -> tuple[_State, Any]:
        first, last = ends
        state = _run(x, z, keys, state, first, last, batch, rate, decay)
        return state, _leading(state)

    starts = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])
    last, found = jax.lax.scan(segment, state, (starts, ends))
    return last, found


@functools.partial(jax.jit, static_argnums=2)
def _start(x: Float[Array, "n d"], keys: Key[Array, " N"], count: int) -> _State:
    """P and a small random probe of each start."""
    d, dtype = x.shape[1], x.dtype

    def drawn(key: Key[Array, ""]) -> tuple[Array, Array]:
        first, second = jax.random.split(jax.random.fold_in(key, 0))
        noise = SPREAD * jax.random.normal(first, (d, d), dtype)
        size = d**-0.5
        theta = jax.random.uniform(second, (d,), dtype, -size, size)
        return (noise + noise.T) / 2, theta

    noise, theta = jax.vmap(drawn)(keys)
    values, axes = jnp.linalg.eigh(noise)
    # as if each of the other eigenvalues had its own place: a start is one projection
    clipped = jax.vmap(lambda v: _threshold(v, jnp.zeros((), dtype), 0)[0])(values)
    zero = jnp.zeros(len(keys), dtype)
    return _State(
        jnp.swapaxes(axes, -1, -2)[:, -count:],
        clipped[:, -count:],
        zero,
        theta,
        zero,
        clipped[:, :-count].max(axis=1),
    )


def _threshold(
    values: Float[Array, " m"], rest: Float[Array, ""], others: int
) -> tuple[Float[Array, " m"], Float[Array, ""]]:
    """max(v - t, 0) with sum 1, where `others` more eigenvalues equal `rest`.

    t is the largest (sum of v - 1) / (number of v) over the sets of the largest v: a
    set that is not the one above t gives less. Nothing exceeds 1, as all are positive.
    """
    v = jnp.concatenate([values, rest[None]])
    counts = jnp.ones_like(v).at[-1].set(others)
    is_in = jnp.where(v[None] >= v[:, None], counts[None], 0.0)
    size = is_in.sum(axis=1)
    means = (is_in @ v - 1) / jnp.where(size > 0, size, 1.0)
    t = jnp.where(size > 0, means, -jnp.inf).max()
    clipped = jnp.maximum(v - t, 0.0)
    return clipped[:-1], clipped[-1]


def _run(
    x: Float[Array, "n d"],
    z: Float[Array, " n"],
    keys: Key[Array, " N"],
    state: _State,
    first: Int[Any, ""],
    last: Int[Any, ""],
    batch: int,
    rate: Float[Array, ""],
    decay: Float[Array, ""],
) -> _State:
    """The state after step `last`, from that after step `first`."""
    _, centred = concept.centre(x)
    size = jnp.sqrt(jnp.square(centred).mean())
    centred = centred / jnp.where(size > 0, size, 1.0)

    def slopes(state: _State, weights: Array) -> tuple[Array, Array]:
        """Gradients of the loss on a batch by (I - P) theta and by the bias."""
        theta = state.theta - state.removed(state.theta)
        logits = theta @ centred.T + state.bias[:, None]
        error = weights * (jax.nn.sigmoid(logits) - z[None])
        return error @ centred, error.sum(axis=1)

    def both_batches(key: Key[Array, ""], number: Array) -> Float[Array, "2 n"]:
        """How often each sample is in a batch, as a share of it; for both updates."""
        index = jax.random.randint(
            jax.random.fold_in(key, number), (2, batch), 0, len(z)
        )
        none = jnp.zeros((2, len(z)), x.dtype)
        return none.at[jnp.arange(2)[:, None], index].add(1 / batch)

    def step(number: Array, state: _State) -> _State:
        weights = jax.vmap(lambda key: both_batches(key, number))(keys)
        state = _moved(state, slopes(state, weights[:, 0])[0], rate, decay)
        v, v_bias = slopes(state, weights[:, 1])
        gradient = v - state.removed(v) + decay * state.theta
        return state._replace(
            theta=state.theta - rate * gradient, bias=state.bias - rate * v_bias
        )

    # number 0 has drawn the start
    return jax.lax.fori_loop(first + 1, last + 1, step, state)


def _moved(state: _State, v: Float[Array, "N d"], rate: Array, decay: Array) -> _State:
    """One step of P, projected back."""
    others = state.axes.shape[-1] - state.axes.shape[-2] - 2
    basis = _extended(state.axes, jnp.stack([state.theta, v], axis=1))
    rest = (1 - rate * decay) * state.rest
    values = jnp.concatenate(
        [(1 - rate * decay) * state.values, jnp.repeat(rest[:, None], 2, axis=1)], 1
    )
    along_v = jnp.einsum("nmd,nd->nm", basis, v)
    along_theta = jnp.einsum("nmd,nd->nm", basis, state.theta)
    outer = along_v[:, :, None] * along_theta[:, None, :]
    matrix = values[:, :, None] * jnp.eye(values.shape[1], dtype=v.dtype)[None]
    matrix = matrix - rate / 2 * (outer + jnp.swapaxes(outer, 1, 2))
    eigenvalues, turn = jnp.linalg.eigh(matrix)
    clipped, rest = jax.vmap(lambda v, r: _threshold(v, r, others))(eigenvalues, rest)
    distance = jnp.abs(clipped - rest[:, None])
    order = jnp.argsort(distance, axis=1)
    lost = jnp.take_along_axis(distance, order[:, :2], axis=1).max(axis=1)
    chosen = order[:, 2:]
    turn = jnp.take_along_axis(turn, chosen[:, None, :], axis=2)
    return state._replace(
        axes=jnp.einsum("nmr,nmd->nrd", turn, basis),
        values=jnp.take_along_axis(clipped, chosen, axis=1),
        rest=rest,
        dropped=jnp.maximum(state.dropped, lost),
    )


def _extended(
    axes: Float[Array, "N r d"], rows: Float[Array, "N 2 d"]
) -> Float[Array, "N m d"]:
    """Orthonormal rows that span the axes and two more vectors."""
    for number in range(rows.shape[1]):
        row = rows[:, number]
        # twice, because the first result is orthogonal only up to rounding
        for _ in range(2):
            inside = jnp.einsum("nrd,nd->nr", axes, row)
            row = row - jnp.einsum("nr,nrd->nd", inside, axes)
            length = jnp.linalg.norm(row, axis=-1, keepdims=True)
            row = row / jnp.where(length > 0, length, 1.0)
        axes = jnp.concatenate([axes, row[:, None]], axis=1)
    return axes


def _leading(state: _State) -> tuple[Float[Array, "N d"], Float[Array, " N"]]:
    best = jnp.argmax(state.values, axis=1)
    rows = jnp.take_along_axis(state.axes, best[:, None, None], axis=1)[:, 0]
    return rows, jnp.take_along_axis(state.values, best[:, None], axis=1)[:, 0]
