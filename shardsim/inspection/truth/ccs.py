"""Contrast-consistent search: a direction that calls one side of each pair true.

It uses no labels. A probe p(x) = sigmoid(w . x + b) should be consistent, p(x+) =
1 - p(x-), and confident, min(p+, p-) = 0. Two probes that ignore x mark the scale of
the loss: p = 1/2 everywhere has loss .25, and the best constant, p = .4, has loss .20.

The loss on the pairs of the fit decreases without bound as w grows, because a large w
can fit pairs one by one. So two norms are chosen by the loss of held-out pairs: that of
the search, which is the smaller the more the direction has to be regularised, and that
of the result. All restarts have the same norms, which makes their losses comparable.

The sign is arbitrary: a probe p and its opposite 1 - p are equally consistent. They are
equally confident only if the consistency is exact (p = .4 has loss .20, p = .6 has loss
.40). No reported number may use labels to choose the sign.

Symbols: n pairs, d features, R restarts, M rounds.
"""

from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, optimizers, validation
from shardsim.inspection.truth import ccs_loss, ccs_search, pairs
from shardsim.inspection.validation import Integer, Numbers

ALPHA = 0.05
"""How often a sentence may claim what is not there."""


class CCS(NamedTuple):
    """The restart with the lowest loss, and all restarts."""

    direction: Float[Array, " d"]
    """Unit vector, in normalised features."""
    weight: Float[Array, " d"]
    """w: the direction at the norm that all restarts share."""
    bias: Float[Array, ""]
    loss: Float[Array, ""]
    """Consistency plus confidence loss over all pairs."""
    consistency: Float[Array, ""]
    """Consistency loss, `consistency_loss`."""
    confidence: Float[Array, ""]
    """Confidence loss, `confidence_loss`."""
    opposite: Float[Array, ""]
    """Confidence loss of 1 - p, which is equally consistent."""
    directions: Float[Array, "R d"]
    biases: Float[Array, " R"]
    losses: Float[Array, " R"]
    sides: pairs.Sides
    """The normalisation that the probe expects."""
    norm: Float[Array, ""]
    """Root mean square of the logits of a random direction at the norm of w."""
    search_norm: Float[Array, ""]
    """The same during the search."""
    held_out_loss: Float[Array, ""]
    """Mean loss of each half of the pairs for the probe that the other half gives, at
    the same norms; NaN for fewer than `FEWEST_PAIRS` pairs, which say nothing. Where
    nothing is there it is about `null`, whereas `loss` is lower with few pairs."""
    null_losses: Float[Array, " random"]
    """The same of random directions in the place of those that the search found, the
    lowest of as many norms."""
    constant_p: Float[Array, ""]
    """p-value of a held-out loss below that of the best constant probe: a t-test over
    pairs, times the number of norms that were tried."""
    converged: Bool[Array, " R"]
    """Whether more steps would not lower the loss of each restart; see
    `optimizers.Descent`."""

    def probability(
        self, positive: Annotated[Numbers, "n d"], negative: Annotated[Numbers, "n d"]
    ) -> Float[Array, " n"]:
        """(p(x+) + 1 - p(x-)) / 2: probability that the positive side is true."""
        positive, negative = self.sides.apply(positive, negative)
        p_positive = jax.nn.sigmoid(positive @ self.weight + self.bias)
        p_negative = jax.nn.sigmoid(negative @ self.weight + self.bias)
        return (p_positive + 1.0 - p_negative) / 2

    def anchored(
        self,
        positive: Annotated[Numbers, "d"],
        negative: Annotated[Numbers, "d"],
        label: bool | np.bool_ | Bool[Array, ""],
    ) -> "CCS":
        """The probe with the sign that one labelled pair asks for, and its loss.

        At p = 1/2 the sign stays as it is. The losses of the restarts do not change.

        Args:
          positive: [d] activations of x+.
          negative: [d] activations of x-.
          label: whether x+ is true.
        """
        size = len(self.weight)
        first = validation.floats("positive", positive, size)
        second = validation.floats("negative", negative, size)
        p = self.probability(first[None], second[None])[0]
        is_wrong = jnp.where(label, p < 0.5, p > 0.5)
        sign = jnp.where(is_wrong, -1.0, 1.0).astype(self.weight.dtype)
        return self._replace(
            direction=sign * self.direction,
            weight=sign * self.weight,
            bias=sign * self.bias,
            loss=jnp.where(is_wrong, self.consistency + self.opposite, self.loss),
            confidence=jnp.where(is_wrong, self.opposite, self.confidence),
            opposite=jnp.where(is_wrong, self.confidence, self.opposite),
        )

    @property
    def null(self) -> Float[Array, ""]:
        """What a probe without any meaning reaches: the best constant probe, or the
        best twentieth of random directions."""
        return jnp.minimum(jnp.quantile(self.null_losses, 0.05), ccs_loss.BEST_CONSTANT)

    @property
    def is_below(self) -> Bool[Array, ""]:
        """Whether it is shown that the held-out loss is below both nulls.

        Where nothing is there it says so in at most 5 % of draws.
        """
        at_most = (self.null_losses <= self.held_out_loss).sum()
        random_p = (1 + at_most) / (1 + self.null_losses.shape[-1])
        return (random_p <= ALPHA) & (self.constant_p <= ALPHA)

    def summary(self) -> str:
        """Held-out loss against probes without meaning, and the range of restarts."""
        position = "below" if bool(self.is_below) else "not shown to be below"
        num_stopped = int((~self.converged).sum())
        warning = f"; {num_stopped} NOT CONVERGED" if num_stopped else ""
        return (
            f"CCS: held-out loss {float(self.held_out_loss):.4f} ({position} that of "
            f"random directions and the best constant probe, {float(self.null):.4f}), "
            f"{self.losses.shape[0]} restarts from "
            f"{float(self.losses.min()):.4f} to {float(self.losses.max()):.4f}{warning}"
            "; the sign is arbitrary"
        )


class Rounds(NamedTuple):
    """Probes in the order of their search, each orthogonal to all earlier ones."""

    directions: Float[Array, "M d"]
    losses: Float[Array, " M"]
    held_out_losses: Float[Array, " M"]
    """See `CCS.held_out_loss`."""
    nulls: Float[Array, " M"]
    """See `CCS.null`."""
    is_below: Bool[Array, " M"]
    """See `CCS.is_below`."""
    sides: pairs.Sides
    converged: Bool[Array, " M"]
    """Whether the best restart of each round converged."""

    def summary(self) -> str:
        """How many orthogonal probes are shown to beat probes without meaning.

        They are counted up to the first that is not, so that the count is too large in
        at most 5 % of draws, however many rounds there are.
        """
        num_below = int(jnp.cumprod(self.is_below.astype(int)).sum())
        num_stopped = int((~self.converged).sum())
        warning = f"; {num_stopped} NOT CONVERGED" if num_stopped else ""
        return (
            f"recursive CCS: the first {num_below} of {len(self.losses)} orthogonal "
            "probes are shown to have a held-out loss below those of random directions "
            f"and of the best constant probe{warning}"
        )


def fit(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    steps: int = 300,
    max_steps: int = 4_800,
    rate: float = 0.05,
    batch: int = ccs_search.BATCH,
    norm: float | None = None,
    normalise: pairs.Normalise | str = "mean",
) -> CCS:
    """CCS from random directions; the restart with the lowest loss is the result.

      w = norm u / s, |u| = 1, s the root mean square of the normalised features

    so that a random direction has logits of size `norm`. A restart searches u at one of
    `SEARCH_NORMS`, and b is fitted anew at the norm of the result. Both norms are those
    with the lowest loss on held-out pairs: each half of the pairs, every other one in
    the given order, is judged by the probe of the other half. So shuffle the pairs
    first if neighbouring pairs are similar.

    Restarts run in parallel in one program, and so do seeds under `jax.vmap`. A restart
    goes on in rounds until a round gains nothing (`optimizers.descend`). The losses
    that are compared and returned use all pairs, whatever the batch.

    If the two sides are equal in all pairs and all pairs are equal, the loss is that of
    the best constant, .20; this is no error. If only the two sides of each pair are
    equal, the loss exceeds .20, because w keeps its norm.

    Args:
      positive: [n, d] activations of x+.
      negative: [n, d] activations of x-.
      key: for the initial directions and the batches.
      restarts: R, at least 1; ten are usual.
      steps: of the first round of Adam, and of the searches on half of the pairs, at
        least 1. The learning rate decays linearly to 0 in each round.
      max_steps: of all rounds, at least `steps`.
      rate: learning rate of the first step.
      batch: pairs per step, drawn anew for each step; all pairs if there are no more.
      norm: size of the logits of the result; the larger, the closer the loss is to
        counting mistakes. None takes the one of `NORMS` with the lowest held-out loss.
      normalise: how each side is normalised, see `pairs.learn_sides`.

    Raises:
      ValueError: the sides do not fit, or a number is not finite or too small.

    Reference: Burns et al., Discovering Latent Knowledge, arXiv 2212.03827.
    """
    positive, negative, sides = _check_settings(
        positive, negative, restarts, steps, max_steps, rate, batch, norm, normalise
    )
    no_directions = jnp.zeros((1, positive.shape[1]), sides.positive_mean.dtype)
    search = (restarts, steps, max_steps, batch)
    result: CCS = _search(
        positive, negative, sides, no_directions, key, search, rate, norm
    )
    optimizers.warn_unconverged("CCS", result.converged, "allow more max_steps")
    return result


def recursive(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
    rounds: Integer,
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    steps: int = 300,
    max_steps: int = 4_800,
    rate: float = 0.05,
    batch: int = ccs_search.BATCH,
    norm: float | None = None,
    normalise: pairs.Normalise | str = "mean",
) -> Rounds:
    """CCS repeated, each time orthogonal to all earlier directions.

    The number of rounds with a low loss says in how many ways the pairs can be told
    apart.

    Args:
      positive: [n, d] activations of x+.
      negative: [n, d] activations of x-.
      rounds: M, from 1 to d.
      key: split between the rounds. The other arguments are those of `fit`.

    Raises:
      ValueError: as `fit`, or there are more rounds than features.

    Reference: Roger, What Discovering Latent Knowledge Did and Did Not Find, 2023.
    """
    positive, negative, sides = _check_settings(
        positive, negative, restarts, steps, max_steps, rate, batch, norm, normalise
    )
    search = (restarts, steps, max_steps, batch)
    rounds = validation.integer("rounds", rounds, 1, positive.shape[1])

    def search_round(
        directions: Array, round_inputs: tuple[Array, Array]
    ) -> tuple[Array, tuple[Array, ...]]:
        index, key = round_inputs
        result = _search(positive, negative, sides, directions, key, search, rate, norm)
        best = result.converged[jnp.argmin(result.losses)]
        row = directions.at[index].set(result.direction)
        losses = result.loss, result.held_out_loss, result.null
        return row, (*losses, result.is_below, best)

    start = jnp.zeros((rounds, positive.shape[1]), sides.positive_mean.dtype)
    keys = jax.random.split(key, rounds)
    directions, numbers = jax.lax.scan(search_round, start, (jnp.arange(rounds), keys))
    losses, held_out_losses, nulls, is_below, converged = numbers
    optimizers.warn_unconverged("recursive CCS", converged, "allow more max_steps")
    return Rounds(
        directions, losses, held_out_losses, nulls, is_below, sides, converged
    )


def _check_settings(
    positive: Numbers,
    negative: Numbers,
    restarts: int,
    steps: int,
    max_steps: int,
    rate: float,
    batch: int,
    norm: float | None,
    normalise: pairs.Normalise | str,
) -> tuple[Float[Array, "n d"], Float[Array, "n d"], pairs.Sides]:
    validation.integer("restarts", restarts, 1)
    validation.integer("steps", steps, 1)
    validation.at_least("max_steps", max_steps, steps)
    validation.at_least("rate", rate, 1e-9)
    validation.at_least("batch", batch, 1)
    validation.finite("rate", rate)
    if norm is not None:
        validation.at_least("norm", norm, 1e-9)
        validation.finite("norm", norm)
    first, second = pairs.check_pairs(positive, negative)
    return first, second, pairs.learn_sides(first, second, normalise=normalise)


@partial(jax.jit, static_argnames="search")
def _search(
    positive: Float[Array, "n d"],
    negative: Float[Array, "n d"],
    sides: pairs.Sides,
    known: Array,
    key: Array,
    search: tuple[int, int, int, int],
    rate: float | Array,
    norm: float | Array | None,
) -> CCS:
    """The best restart among directions orthogonal to the rows of `known`.

    Args:
      known: [M, d] orthonormal rows, or rows of 0.
      search: restarts, steps, largest number of steps, batch.
      norm: of the result; None chooses it.
    """
    first, second = sides.apply(positive, negative)
    size = jnp.hypot(
        pairs.root_mean_square(first), pairs.root_mean_square(second)
    ) / jnp.sqrt(2.0)
    # in units in which a random direction has logits of size 1
    first, second = (
        side / arrays.or_one(size.astype(side.dtype)) for side in (first, second)
    )
    choices = ccs_search.NORMS if norm is None else (norm,)
    norms = jnp.stack([jnp.asarray(one, first.dtype) for one in choices])
    search_norm = jnp.ones((), first.dtype)
    result_norm = search_norm if norm is None else norms[0]
    held_out_loss = constant_p = jnp.full((), jnp.nan, first.dtype)
    null_losses = jnp.full(ccs_search.RANDOM, jnp.nan, first.dtype)
    if len(first) >= ccs_search.FEWEST_PAIRS:
        search_norms = jnp.asarray(ccs_search.SEARCH_NORMS, first.dtype)
        is_centred = (sides.positive_mean != 0).any()
        halves = ccs_search.halves_of((first, second), is_centred)
        table = ccs_search.held_out_losses(
            halves,
            known,
            key,
            search=search,
            rate=rate,
            search_norms=search_norms,
            norms=norms,
        )
        mean = table.mean(axis=(0, -1))
        best = jnp.argmin(mean)
        search_norm = search_norms[best // len(norms)]
        result_norm = norms[best % len(norms)]
        held_out_loss = mean.ravel()[best]
        each = table.reshape(2, -1, table.shape[-1])[:, best].ravel()
        p = mean.size * _p_below(each, ccs_loss.BEST_CONSTANT)
        constant_p = jnp.minimum(p, 1.0)
        null_losses = ccs_search.random_losses(
            halves,
            known,
            jax.random.fold_in(key, search[0]),
            choices=len(search_norms),
            norms=norms,
        )
    probes = ccs_search.descend_restarts(
        first, second, known, key, search=search, rate=rate, norm=search_norm
    )
    directions = probes.directions
    biases, losses = ccs_search.best_biases(first, second, result_norm * directions)
    best = jnp.argmin(losses)
    direction, bias = directions[best], biases[best]
    logits = (
        first @ (result_norm * direction) + bias,
        second @ (result_norm * direction) + bias,
    )
    return CCS(
        direction=direction,
        weight=direction * (result_norm / arrays.or_one(size.astype(first.dtype))),
        bias=bias,
        loss=losses[best],
        consistency=ccs_loss.consistency_loss(*logits),
        confidence=ccs_loss.confidence_loss(*logits),
        opposite=ccs_loss.confidence_loss(-logits[0], -logits[1]),
        directions=directions,
        biases=biases,
        losses=losses,
        sides=sides,
        norm=result_norm,
        search_norm=search_norm,
        held_out_loss=held_out_loss,
        null_losses=null_losses,
        constant_p=constant_p,
        converged=probes.converged,
    )


def _p_below(x: Float[Array, " n"], threshold: float) -> Float[Array, ""]:
    """p-value of a mean below the threshold: Student's t."""
    freedom = float(len(x) - 1)
    sd = x.std(ddof=1)
    t = (x.mean() - threshold) * len(x) ** 0.5 / jnp.where(sd > 0, sd, 1.0)
    square = jnp.asarray(freedom, x.dtype) / (freedom + jnp.square(t))
    tail = jax.scipy.special.betainc(freedom / 2, 0.5, square) / 2
    p = jnp.where(t < 0, tail, 1 - tail)
    # losses that are all equal say what they say
    return jnp.where(sd > 0, p, (x.mean() >= threshold).astype(x.dtype))
