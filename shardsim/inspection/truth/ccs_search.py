"""How contrast-consistent search finds directions, and at which norms it looks.

The loss on the pairs of the fit decreases without bound as w grows, because a large w
can fit pairs one by one. So the norm of the search and that of the result are chosen by
the loss of held-out pairs. All restarts have the same norms.

Symbols: n pairs, d features, R restarts, M known directions, S norms of the search,
O norms of the result.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shardsim.inspection import arrays, optimizers
from shardsim.inspection.truth import ccs_loss

BATCH = 4096
"""Pairs per step; all pairs if there are no more."""
SEARCH_NORMS = (0.1, 0.3, 1.0, 3.0)
"""Norms at which directions are searched: from little more than the principal direction
of |x+ - x-| to one that counts mistakes."""
NORMS = (0.5, 1.0, 2.0, 5.0)
"""Norms of the result; the largest is almost a count of mistakes."""
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


def held_out_losses(
    sides: tuple[Float[Array, "n d"], Float[Array, "n d"]],
    is_centred: Bool[Array, ""],
    known: Float[Array, "M d"],
    key: Array,
    *,
    search: tuple[int, int, int, int],
    rate: float | Array,
    search_norms: Float[Array, " S"],
    norms: Float[Array, " O"],
) -> Float[Array, "S O"]:
    """Loss of each half of the pairs for the probe of the other half; their mean.

    Args:
      sides: x+ and x- of all pairs, in units in which a random direction has logits of
        size 1.
      is_centred: whether the mean of each side has to be subtracted.
      known: orthonormal rows that the directions avoid, or rows of 0.
      key: for the initial directions and the batches.
      search: restarts, steps, largest number of steps, batch.
      rate: first learning rate.
      search_norms: norms of the search.
      norms: norms of the result.
    """
    restarts, steps, _, batch = search
    stop = len(sides[0]) // 2 * 2
    halves = [jnp.stack([side[:stop:2], side[1:stop:2]]) for side in sides]

    def one(fold: Array, search_norm: Array) -> Float[Array, " O"]:
        # the mean of all pairs knows the held-out ones
        means = [half[fold].mean(axis=0, keepdims=True) for half in halves]
        means = [jnp.where(is_centred, mean, 0.0) for mean in means]
        first, second, test_first, test_second = (
            half[at] - mean
            for at in (fold, 1 - fold)
            for half, mean in zip(halves, means, strict=True)
        )
        # its choice needs no more than one round
        one_round = (restarts, steps, 0, batch)
        probes = descend_restarts(
            first, second, known, key, search=one_round, rate=rate, norm=search_norm
        )
        weights = norms[:, None] * probes.directions[jnp.argmin(probes.losses)][None]
        biases, _ = best_biases(first, second, weights)
        return jax.vmap(ccs_loss.loss)(
            weights @ test_first.T + biases[:, None],
            weights @ test_second.T + biases[:, None],
        )

    over_folds = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
    return over_folds(jnp.arange(2), search_norms).mean(axis=0)


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
