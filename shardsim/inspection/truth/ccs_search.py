"""How contrast-consistent search finds directions, and at which norms it looks.

The loss on the pairs of the fit decreases without bound as w grows, because a large w
can fit pairs one by one. So the norm of the search and that of the result are chosen by
the loss of held-out pairs. All restarts have the same norms.

Symbols: n pairs, d features, R restarts, M known directions, S norms of the search,
O norms of the result, m pairs of a half.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, optimizers
from shardsim.inspection.truth import ccs_loss

BATCH = 4096
"""Pairs per step; all pairs if there are no more."""
SEARCH_NORMS = (0.1, 0.3, 1.0, 3.0)
"""Norms at which directions are searched: from little more than the principal direction
of |x+ - x-| to one that counts mistakes."""
NORMS = (0.5, 1.0, 2.0, 5.0)
"""Norms of the result; the largest is almost a count of mistakes."""
RANDOM = 39
"""Draws of random directions whose losses are the null: one in forty is 2.5 %."""
FEWEST_PAIRS = 8
"""With fewer pairs none are held out, and both norms are 1."""
TOLERANCE = 1e-5
"""Slope or gain of the loss, per search norm, below which a search ends."""


class Probes(NamedTuple):
    """The ends of all restarts of a search."""

    directions: Float[Array, "R d"]
    losses: Float[Array, " R"]
    """At the norm of the search."""
    converged: Bool[Array, " R"]


class Halves(NamedTuple):
    """Every other pair, and the rest; each in turn is for fitting."""

    first: Float[Array, "2 m d"]
    second: Float[Array, "2 m d"]
    test_first: Float[Array, "2 m d"]
    """The other half, less the mean of the half for fitting."""
    test_second: Float[Array, "2 m d"]


def halves_of(
    sides: tuple[Float[Array, "n d"], Float[Array, "n d"]], is_centred: Bool[Array, ""]
) -> Halves:
    """The two halves of the pairs.

    Args:
      sides: x+ and x- of all pairs, in units in which a random direction has logits of
        size 1.
      is_centred: whether the mean of each side has to be subtracted.
    """
    stop = len(sides[0]) // 2 * 2
    fits, tests = [], []
    for side in sides:
        half = jnp.stack([side[:stop:2], side[1:stop:2]])
        # the mean of all pairs knows the held-out ones
        mean = jnp.where(is_centred, half.mean(axis=1, keepdims=True), 0.0)
        fits.append(half - mean)
        tests.append(half[::-1] - mean)
    return Halves(*fits, *tests)


def held_out_losses(
    halves: Halves,
    known: Float[Array, "M d"],
    key: Array,
    *,
    search: tuple[int, int, int, int],
    rate: float | Array,
    search_norms: Float[Array, " S"],
    norms: Float[Array, " O"],
) -> Float[Array, "2 S O m"]:
    """Loss of every pair of each half for the probe of the other half.

    Args:
      halves: of the pairs.
      known: orthonormal rows that the directions avoid, or rows of 0.
      key: for the initial directions and the batches.
      search: restarts, steps, largest number of steps, batch.
      rate: first learning rate.
      search_norms: norms of the search.
      norms: norms of the result.
    """
    restarts, steps, _, batch = search

    def one(half: Halves, search_norm: Array) -> Float[Array, "O m"]:
        # its choice needs no more than one round
        one_round = (restarts, steps, 0, batch)
        probes = descend_restarts(
            half.first,
            half.second,
            known,
            key,
            search=one_round,
            rate=rate,
            norm=search_norm,
        )
        best = probes.directions[jnp.argmin(probes.losses)]
        return _test_losses(half, best[None], norms)[0]

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(halves, search_norms)


def random_losses(
    halves: Halves,
    known: Float[Array, "M d"],
    key: Key[Array, ""],
    *,
    choices: int,
    norms: Float[Array, " O"],
) -> Float[Array, " random"]:
    """Held-out losses of random directions, chosen as those of the search are.

    Args:
      halves: of the pairs.
      known: orthonormal rows that the directions avoid, or rows of 0.
      key: for the directions.
      choices: directions of a draw, of which the best counts.
      norms: norms of the result, of which the best counts.
    """
    d = halves.first.shape[-1]

    def draw(key: Key[Array, ""]) -> Float[Array, ""]:
        random = jax.random.normal(key, (2, choices, d), halves.first.dtype)
        random = arrays.unit(random - random @ known.T @ known)
        losses = jax.vmap(_test_losses, (0, 0, None))(halves, random, norms)
        return losses.mean(axis=(0, -1)).min()

    return jax.lax.map(draw, jax.random.split(key, RANDOM))


def _test_losses(
    halves: Halves, directions: Float[Array, "S d"], norms: Float[Array, " O"]
) -> Float[Array, "S O m"]:
    """Loss of every held-out pair, with the bias of the half for fitting.

    Args:
      halves: of one fold, without the first axis.
    """
    weights = directions[:, None] * norms[None, :, None]
    flat = weights.reshape(-1, weights.shape[-1])
    biases, _ = best_biases(halves.first, halves.second, flat)
    each = ccs_loss.pair_losses(
        flat @ halves.test_first.T + biases[:, None],
        flat @ halves.test_second.T + biases[:, None],
    )
    return each.reshape(*weights.shape[:2], -1)


def descend_restarts(
    first: Float[Array, "n d"],
    second: Float[Array, "n d"],
    known: Float[Array, "M d"],
    key: Array,
    *,
    search: tuple[int, int, int, int],
    rate: float | Array,
    norm: Float[Array, ""],
) -> Probes:
    """All restarts at one norm, orthogonal to the rows of `known`.

    Args:
      first: x+ of all pairs.
      second: x- of all pairs.
      known: orthonormal rows that the directions avoid, or rows of 0.
      key: for the initial directions and the batches.
      search: restarts, steps, largest number of steps or 0 for one round, batch.
      rate: first learning rate.
      norm: of the search.
    """
    restarts, steps, max_steps, batch = search

    def direction(free: Array) -> Array:
        # twice, because the known rows are orthogonal only up to rounding
        for _ in range(2):
            free = arrays.unit(free - (known @ free) @ known)
        return free

    def loss_of(probe: tuple[Array, Array], one: Array, other: Array) -> Array:
        weight = norm * direction(probe[0])
        return ccs_loss.loss(one @ weight + probe[1], other @ weight + probe[1])

    def full(probe: tuple[Array, Array]) -> Array:
        return loss_of(probe, first, second) / norm

    def objective(probe: tuple[Array, Array], number: Array) -> Array:
        if len(first) <= batch:
            return full(probe)
        step_key = jax.random.fold_in(key, number)
        index = jax.random.randint(step_key, (batch,), 0, len(first))
        return loss_of(probe, first[index], second[index]) / norm

    random = jax.random.normal(key, (restarts, first.shape[1]), first.dtype)
    starts = (arrays.unit(random), jnp.zeros(restarts, first.dtype))

    def descend(start: tuple[Array, Array]) -> tuple[Any, Array, Array]:
        if max_steps:
            end = optimizers.descend(
                objective, full, start, steps, max_steps, rate, "linear", TOLERANCE
            )
            return end.parameters, end.loss * norm, end.converged
        last = optimizers.adam(objective, start, steps, rate, "linear").parameters
        return last, full(last) * norm, jnp.zeros((), bool)

    ends, losses, converged = jax.vmap(descend)(starts)
    return Probes(jax.vmap(direction)(ends[0]), losses, converged)


def best_biases(
    first: Float[Array, "n d"],
    second: Float[Array, "n d"],
    weights: Float[Array, "R d"],
) -> tuple[Float[Array, " R"], Float[Array, " R"]]:
    """The best bias of each weight vector, and its loss."""
    logits = [weights @ side.T for side in (first, second)]

    def losses(biases: Float[Array, " R"]) -> Float[Array, " R"]:
        return jax.vmap(ccs_loss.loss)(*(part + biases[:, None] for part in logits))

    # the best constant, p = .4, has the logit -.41
    reach = 1 + 2 * jnp.linalg.norm(weights, axis=1)
    best = optimizers.golden(losses, -reach, reach)
    zero = jnp.zeros_like(best)
    biases = jnp.where(losses(best) < losses(zero), best, zero)
    return biases, losses(biases)
