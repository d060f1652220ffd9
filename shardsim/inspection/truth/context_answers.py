"""How many truth-like answers are there? Does their number grow as 2^K in K contexts?

A pair is a state and the same state with the goals swapped; the true side is worth
more. A direction answers such questions well if its sign follows the truth in each
context by itself, or follows its opposite. Where the features of each context lie in
directions of their own, as behind gates, every choice of signs is an answer: 2^K. Where
all contexts share one direction of truth there are two, the direction and its opposite,
for any K.

Each side is centred in each context, as it is in each template of questions elsewhere.
Otherwise a direction that answers one context by the opposite is not consistent: what
the context is worth on average is left in it.

Contrast-consistent search from many random directions finds answers without labels. The
labels of held-out pairs only say afterwards which answer a restart ended at. What was
never seen is estimated from what was seen once and twice (`counting.estimate`).

Symbols: n pairs, d features, p kept directions, K contexts, M numbers of contexts,
R restarts, F answers.
"""

import functools
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.core.jit import jit
from shardsim.inspection import arrays, validation
from shardsim.inspection.truth import ccs, ccs_search, counting, pairs
from shardsim.inspection.validation import Integer, Numbers

NORM = 0.5
"""Size of the logits of a random direction, in the search. Of 128 planted answers in
eight contexts, restarts at 0.3 to 0.5 reach most, at 3 fewer: they stop in poor minima,
which give up a context."""
RATE = 0.05
"""Learning rate of the first step."""
FEWEST = 4
"""Pairs that each context needs in either half."""
RANK = 0.1
"""Singular values below this share of the largest count as 0."""


class ContextAnswers(NamedTuple):
    """Answers that restarts ended at, in growing sets of contexts."""

    num_contexts: Int[np.ndarray, " M"]
    """K."""
    num_good: Int[np.ndarray, " M"]
    """Restarts that answer well in all K contexts."""
    seen: Int[np.ndarray, " M"]
    """Different answers among them; an answer and its opposite count as one."""
    bound: Float[np.ndarray, " M"]
    """Chao's lower bound on how many there are."""
    cover: Float[np.ndarray, " M"]
    """Cover's count of answers: for K contexts whose mean differences span as many
    dimensions as they do."""
    restarts: int
    """R."""

    @property
    def bits(self) -> Float[np.ndarray, " M"]:
        """log2 of twice the bound, because an opposite is an answer too; 0 if none."""
        return np.log2(np.maximum(2 * self.bound, 1.0))

    @property
    def slope(self) -> float:
        """Bits per context, by least squares over K: 1 if the number grows as 2^K."""
        return _slope(self.num_contexts, self.bits)

    @property
    def cover_slope(self) -> float:
        """The same for Cover's count."""
        return _slope(self.num_contexts, np.log2(np.maximum(self.cover, 1.0)))

    def summary(self) -> str:
        """Bits for each number of contexts, and the slope."""
        bits = ", ".join(
            f"{k}: {b:.1f}" for k, b in zip(self.num_contexts, self.bits, strict=True)
        )
        return (
            f"bits of truth-like answers by number of contexts {bits}; "
            f"{self.slope:.2f} bits per context (1: as 2^K, 0: none), Cover's count "
            f"{self.cover_slope:.2f}; {self.num_good[-1]} of {self.restarts} restarts "
            f"answer well in all {self.num_contexts[-1]}"
        )


class Found(NamedTuple):
    """Where the restarts ended in growing sets of contexts, before they are judged."""

    numbers: tuple[int, ...]
    """K."""
    scores: tuple[Float[np.ndarray, "R n"], ...]
    """w . (x+ - x-) of the held-out pairs of the first K contexts."""
    pairs: tuple[Int[np.ndarray, " n"], ...]
    """Which pairs those are."""
    ranks: tuple[int, ...]
    """Dimensions that the mean differences of K contexts span."""


def search(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
    label: Annotated[Numbers, "n"],
    context: Annotated[Numbers, "n"],
    held_out: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    counts: tuple[int, ...],
    restarts: int = 128,
    steps: int = 100,
    kept: int = 32,
) -> Found:
    """Restarts of CCS in the first K contexts, for each K of `counts`.

    The search sees no label. It is made in the `kept` directions in which the two sides
    differ most, in the pairs of the fit.

    Args:
      positive: [n, d] activations of x+.
      negative: [n, d] activations of x-.
      label: [n] whether x+ is the true side; for Cover's count alone.
      context: [n] in [0, largest of `counts`).
      held_out: [n] pairs by which answers are told apart; the others are searched.
      key: for the starts.
      counts: K, in rising order.
      restarts: R.
      steps: of Adam, of every restart.
      kept: p, at most d.

    Raises:
      ValueError: the arrays do not fit, or a context has fewer than `FEWEST` pairs in a
        half.
    """
    first, second = map(np.asarray, pairs.check_pairs(positive, negative))
    n = len(first)
    truth = np.asarray(validation.mask("label", label, n))
    tested = np.asarray(validation.mask("held_out", held_out, n))
    for name, number in (("restarts", restarts), ("steps", steps), ("kept", kept)):
        validation.integer(name, number, 1)
    contexts = np.asarray(validation.indices("context", context, max(counts), n))
    for name, half in (("held_out", tested), ("not held_out", ~tested)):
        fewest = int(np.bincount(contexts[half], minlength=max(counts)).min())
        if fewest < FEWEST:
            raise ValueError(
                f"{name}: got a context with {fewest} pairs; allowed: at least {FEWEST}"
            )
    scores, chosen, ranks = [], [], []
    for number in counts:
        fit, test = (
            np.flatnonzero(half & (contexts < number)) for half in (~tested, tested)
        )
        one, other = (
            side[fit] - _means(side[fit], contexts[fit], number)[contexts[fit]]
            for side in (first, second)
        )
        # directions in which the sides differ most
        _, _, basis = np.linalg.svd(one - other, full_matrices=False)
        basis = basis[:kept].T
        directions = np.asarray(
            _directions(
                jnp.asarray(one @ basis),
                jnp.asarray(other @ basis),
                jax.random.fold_in(key, number),
                restarts,
                steps,
            )
        )
        tested_first, tested_second = (
            side[test] - _means(side[fit], contexts[fit], number)[contexts[test]]
            for side in (first, second)
        )
        differences = tested_first - tested_second
        scores.append(directions @ (differences @ basis).T)
        chosen.append(test)
        ranks.append(_rank(one - other, truth[fit], contexts[fit], number))
    return Found(tuple(counts), tuple(scores), tuple(chosen), tuple(ranks))


def judge(
    found: Found,
    label: Annotated[Numbers, "n"],
    context: Annotated[Numbers, "n"],
    *,
    accuracy: float = 0.75,
) -> ContextAnswers:
    """Which answers the restarts ended at.

    A restart answers well if its sign, or the opposite sign, is right in at least the
    share `accuracy` of the held-out pairs of each context. Its answer is the sign in
    each context, up to one sign for all.

    Args:
      found: where the restarts ended.
      label: [n] whether x+ is the true side of each pair.
      context: [n] of each pair.
      accuracy: in (1/2, 1].
    """
    truth = np.asarray(validation.mask("label", label, None))
    contexts = np.asarray(context)
    good, seen, bound, cover = [], [], [], []
    each = zip(found.numbers, found.scores, found.pairs, found.ranks, strict=True)
    for number, scores, at, rank in each:
        is_right = (scores > 0) == truth[at][None]
        share = np.stack(
            [is_right[:, contexts[at] == c].mean(axis=1) for c in range(number)], axis=1
        )
        is_good = (np.maximum(share, 1 - share) >= accuracy).all(axis=1)
        good.append(int(is_good.sum()))
        cover.append(float(counting.cover_count(number, rank)))
        if not is_good.any():
            seen.append(0)
            bound.append(0.0)
            continue
        answers = np.where(share[is_good] > 0.5, 1.0, -1.0)
        estimate = counting.estimate(answers, np.zeros(len(answers)), np.eye(number))
        seen.append(estimate.seen)
        # signs up to one sign for all cannot be more than this
        bound.append(min(estimate.chao1, 2.0 ** (number - 1)))
    return ContextAnswers(
        np.array(found.numbers),
        np.array(good),
        np.array(seen),
        np.array(bound),
        np.array(cover),
        len(found.scores[0]),
    )


def good_rounds(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
    context: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    rounds: Integer = 6,
    restarts: int = 3,
    steps: int = 60,
    kept: int = 32,
) -> int:
    """Orthogonal directions in a row whose held-out loss is shown to be below chance.

    See `ccs.Rounds`. The pairs are in random order: every other one is held out.

    Args:
      positive: [n, d] activations of x+.
      negative: [n, d] activations of x-.
      context: [n] of each pair, from 0.
      key: for the starts.
      rounds: most that are searched.
      restarts: of each round.
      steps: of Adam, of every restart.
      kept: directions in which the sides differ most, and which are searched.
    """
    contexts = np.asarray(context)
    one, other = (
        side - _means(side, contexts, int(contexts.max()) + 1)[contexts]
        for side in map(np.asarray, pairs.check_pairs(positive, negative))
    )
    _, _, basis = np.linalg.svd(one - other, full_matrices=False)
    to_kept = basis[:kept].T
    number = min(validation.integer("rounds", rounds, 1), to_kept.shape[1])
    kept_sides = (jnp.asarray(side @ to_kept) for side in (one, other))
    below = _below(*kept_sides, key, number, restarts, steps)
    return int(np.cumprod(np.asarray(below, int)).sum())


def planted(
    label: Annotated[Numbers, "n"],
    context: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    noise: float = 0.3,
    shared: bool = False,
) -> tuple[Float[np.ndarray, "n K"], Float[np.ndarray, "n K"]]:
    """Pairs whose number of answers is known: 2^K, or 2 if contexts share a direction.

      x+ = s e_c + noise,  x- = -s e_c + noise,  s = +-1 as the label says

    Args:
      label: [n] whether x+ is the true side.
      context: [n] c, in [0, K).
      key: for the noise.
      noise: standard deviation, of each side by itself.
      shared: whether all contexts have the direction (1, ..., 1) / sqrt(K).
    """
    truth = np.asarray(validation.mask("label", label, None))
    contexts = np.asarray(context)
    number = int(contexts.max()) + 1
    own = np.eye(number)[contexts]
    if shared:
        own = np.full_like(own, number**-0.5)
    signed = np.where(truth, 1.0, -1.0)[:, None] * own
    drawn = noise * np.asarray(jax.random.normal(key, (2, *own.shape)))
    return signed + drawn[0], -signed + drawn[1]


@functools.partial(jit, static_argnums=(3, 4))
def _directions(
    first: Float[Array, "n p"],
    second: Float[Array, "n p"],
    key: Key[Array, ""],
    restarts: int,
    steps: int,
) -> Float[Array, "R p"]:
    """The ends of all restarts."""
    size = jnp.sqrt((jnp.square(first).mean() + jnp.square(second).mean()) / 2)
    first, second = first / arrays.or_one(size), second / arrays.or_one(size)
    none = jnp.zeros((1, first.shape[1]), first.dtype)
    return ccs_search.descend_restarts(
        first,
        second,
        none,
        key,
        search=(restarts, steps, 0, len(first)),
        rate=RATE,
        norm=jnp.asarray(NORM, first.dtype),
    ).directions


@functools.partial(jit, static_argnums=(3, 4, 5))
def _below(
    first: Float[Array, "n p"],
    second: Float[Array, "n p"],
    key: Key[Array, ""],
    rounds: int,
    restarts: int,
    steps: int,
) -> Bool[Array, " M"]:
    return ccs.recursive(
        first,
        second,
        rounds,
        key,
        restarts=restarts,
        steps=steps,
        max_steps=steps,
    ).is_below


def _means(
    x: Float[np.ndarray, "n d"], context: Int[np.ndarray, " n"], number: int
) -> Float[np.ndarray, "K d"]:
    """Mean of each context; 0 for one without samples."""
    own = np.eye(number, dtype=x.dtype)[context]
    means: np.ndarray = own.T @ x / np.maximum(own.sum(axis=0), 1.0)[:, None]
    return means


def _rank(
    differences: Float[np.ndarray, "n d"],
    label: Bool[np.ndarray, " n"],
    context: Int[np.ndarray, " n"],
    number: int,
) -> int:
    """Dimensions that the mean differences of K contexts span, each at unit length."""
    oriented = np.where(label, 1.0, -1.0)[:, None] * differences
    means = np.stack([oriented[context == c].mean(axis=0) for c in range(number)])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    values = np.linalg.svd(means, compute_uv=False)
    return max(int((values > RANK * values[0]).sum()), 1)


def _slope(x: Int[np.ndarray, " M"], y: Float[np.ndarray, " M"]) -> float:
    centred = x - x.mean()
    return float((centred * y).sum() / np.square(centred).sum())
