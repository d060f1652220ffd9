"""Do K gated shards describe V better than a network of the same size?

V, as a table of features and values, is distilled into K gated experts for several K.
At each K it is also distilled into a network and into a smoothly modulated network
(FiLM) with as many parameters, or a few more. Many experts fit anything piece by piece,
so a high R^2 alone shows nothing. Shards are recovered if all of this holds:

- R^2 stops rising at some K before the last one.
- There shards beat the network, and lose little or nothing to FiLM (which can gate as
  well, if its modulation saturates).
- Every restart gives the same shards.

The heads are those of `shardsim.agents.value`. V of a trained agent, of a planted one
and a table of exact values are treated alike: only the values count, not the weights.

Symbols: n rows, d features, Z sizes tried, R restarts, K the largest number of shards.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.agents import value
from shardsim.inspection import validation
from shardsim.inspection.shards import distillation, restart_agreement
from shardsim.inspection.validation import Numbers

MIN_STABILITY = 0.9
"""Stability above which the restarts count as having found the same shards."""


class Curve(NamedTuple):
    """R^2 of one family of heads at each size."""

    parameters: Int[Array, " Z"]
    """Number of parameters at each size."""
    train: Float[Array, "Z R"]
    """R^2 on the training rows."""
    held_out: Float[Array, "Z R"]
    """R^2 on the held-out rows."""
    best: Float[Array, " Z"]
    """`held_out` of the restart with the best `train`, so that held-out rows select
    nothing."""
    converged: Bool[Array, " Z"]
    """Whether the training of that restart converged; see `distillation.Fit`."""


class Recovery(NamedTuple):
    """Curves of the three families, the knee, and the fitted shards."""

    counts: Int[Array, " Z"]
    """Number of shards at each size."""
    shards: Curve
    network: Curve
    film: Curve
    advantage: Float[Array, " Z"]
    """shards.best - max(network.best, film.best) at equal size."""
    shardedness: Float[Array, ""]
    """Mean of `advantage` over counts above 1: the area between the curves."""
    knee: Int[Array, ""]
    """Smallest count whose R^2 is within `tolerance` of the highest R^2."""
    recovered: Bool[Array, ""]
    """True if the knee is above 1 and before the last count, and if at the knee shards
    beat the network by more than `tolerance`, lose to FiLM by at most `tolerance`, and
    have a `stability` of at least `MIN_STABILITY`."""
    stability: Float[Array, " Z"]
    """Correlation of matched contributions, weighted by their sd, between the best
    restart and each other restart of the better half (by `train`); the mean of these. 1
    if every restart gives the same shards."""
    stability_null: Float[Array, " Z"]
    """The same where the rows of the other restarts are shuffled."""
    gate_entropy: Float[Array, " Z"]
    """Mean over rows of the entropy of the gates, divided by log K; in [0, 1], and 0
    for one shard."""
    usage_entropy: Float[Array, " Z"]
    """Entropy of the mean gates, divided by log K. Shards have a high `usage_entropy`
    and a low `gate_entropy`."""
    value: Float[Array, "Z n"]
    """V predicted by the best shards at each size, in the unit of the given values."""
    gates: Float[Array, "Z n K"]
    """Gates of these shards; 0 for a shard that a size lacks."""
    shard_values: Float[Array, "Z n K"]
    """Their values: value = sum_k gates * shard_values."""
    is_held_out: Bool[Array, " n"]
    """Rows that were held out."""

    def summary(self) -> str:
        """The knee, and the R^2 of the three families at the knee."""
        at = int(jnp.argmax(self.counts == self.knee))
        verdict = "recovered" if bool(self.recovered) else "not recovered"
        families = (self.shards, self.network, self.film)
        converged = all(bool(family.converged[at]) for family in families)
        return (
            f"shards {verdict}: knee at {int(self.knee)} with R^2 "
            f"{float(self.shards.best[at]):.3f} held out, network "
            f"{float(self.network.best[at]):.3f}, FiLM {float(self.film.best[at]):.3f}"
            f", restarts agree to {float(self.stability[at]):.2f} "
            f"({float(self.stability_null[at]):.2f} if shuffled)"
            + ("" if converged else "; NOT CONVERGED")
        )


def fit(
    features: Annotated[Numbers, "n d"],
    values: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    counts: Sequence[int] = (1, 2, 3, 4, 5),
    groups: Annotated[Numbers, "n"] | None = None,
    width: int = 2,
    restarts: int = 4,
    steps: int = 1_500,
    max_steps: int = 24_000,
    batch: int = 256,
    rate: float = 0.03,
    tolerance: float = 0.02,
    share: float = 0.25,
) -> Recovery:
    """Distil V into shards, networks and FiLM heads, as three compiled programs.

    Runs on the host. For several seeds call it in a loop; nothing compiles again.

    Measured with 1,500 steps in one round, on 20 tables per kind of V, each with 3,000
    rows and 6 features, and counts 1 to 4:

      V                                   recovered
      three linear shards, hard gate      18 of 20
      three linear shards, softmax gate    6 of 20
      ReLU network                         0 of 20
      tanh network                         0 of 20
      smoothly modulated network           0 of 20

    With a hard gate the knee was 3 in all 20 tables; the two that failed had a
    stability of .90 and .70.

    Args:
      features: what the shards may read; n >= 20 rows, standardised here.
      values: V in each row, in any unit.
      key: for the split, the initial weights and the mini-batches.
      counts: number of shards at each size, in ascending order.
      groups: rows with the same number are held out together (e.g. the maze of a
        state). None holds out single rows, so a fit may memorise mazes.
      width: hidden units of one shard; two units make a linear function.
      restarts: fits at each size, at least 2. Shards compete first in every other fit,
        see `distillation.fit`.
      steps: of the first round of Adam.
      max_steps: of all rounds, at least `steps`; see `distillation.fit`.
      batch: rows per step.
      rate: first learning rate of a round.
      tolerance: in units of R^2, for the knee and for an advantage that counts.
      share: of the rows (or groups) on which R^2 is measured, in (0, 1).

    Raises:
      ValueError: shapes differ, a number is not finite, counts do not ascend, values
        are constant, or a side of the split is empty.
    """
    x, y = _check(features, values, counts, restarts)
    for name, number in (("width", width), ("steps", steps), ("batch", batch)):
        validation.integer(name, number, 1)
    split_key, train_key = jax.random.split(key)
    is_held_out = _held_out(len(y), groups, share, split_key)
    train = ~is_held_out
    rows, targets, unit = _standardise(x, y, is_held_out)
    families = _families(x.shape[1], counts, width)
    fits = [
        distillation.fit(
            sizes,
            rows[train],
            targets[train],
            train_key,
            restarts=restarts,
            steps=steps,
            max_steps=max_steps,
            batch=batch,
            rate=rate,
        )
        for sizes in families
    ]
    curves = [
        _curve(sizes, fit, rows, targets, is_held_out)
        for sizes, fit in zip(families, fits, strict=True)
    ]
    return _result(counts, curves, fits[0], rows, is_held_out, unit, tolerance)


def _check(
    features: Annotated[Numbers, "n d"],
    values: Annotated[Numbers, "n"],
    counts: Sequence[int],
    restarts: int,
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    x = np.asarray(validation.floats("features", features, None, None))
    y = np.asarray(validation.floats("values", values, len(x)), x.dtype)
    validation.at_least("rows of features", len(x), 20)
    validation.at_least("columns of features", x.shape[1], 1)
    validation.integer("restarts", restarts, 2)
    validation.at_least("number of counts", len(counts), 1)
    for count in counts:
        validation.integer("counts", count, 1)
    if list(counts) != sorted(set(counts)):
        raise ValueError(f"counts: got {tuple(counts)}; allowed: ascending numbers")
    return x, y


def _standardise(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"],
    is_held_out: Bool[np.ndarray, " n"],
) -> tuple[Float[Array, "n d"], Float[Array, " n"], tuple[Any, Any]]:
    """Scale x and y to mean 0 and variance 1 in the training rows.

    Returns:
      x, y, and the mean and standard deviation of y.
    """
    train = ~is_held_out
    for name, side in (("used for training", train), ("held out", is_held_out)):
        if np.ptp(y[side]) == 0:
            raise ValueError(
                f"values: got the same in all rows {name}; allowed: values that differ"
            )
    mean, sd = y[train].mean(), y[train].std()
    x_sd = x[train].std(axis=0)
    scaled = (x - x[train].mean(axis=0)) / np.where(x_sd > 0, x_sd, 1)
    return jnp.asarray(scaled.astype(x.dtype)), jnp.asarray((y - mean) / sd), (mean, sd)


def _held_out(
    rows: int,
    groups: Annotated[Numbers, "n"] | None,
    share: float,
    key: Key[Array, ""],
) -> Bool[np.ndarray, " n"]:
    """Draw the rows that are held out; groups are held out as a whole."""
    groups = np.arange(rows) if groups is None else groups
    labels = validation.labels("groups", groups, rows)
    validation.between("share", share, 0, 1)
    count = round(share * labels.count)
    if not 0 < count < labels.count:
        raise ValueError(
            f"share: got {share} of {labels.count} rows or groups, which is "
            f"{count}; allowed: 1 to {labels.count - 1} of them"
        )
    order = np.asarray(jax.random.permutation(key, labels.count))
    return np.isin(labels.index, order[:count])


def _families(
    features: int, counts: Sequence[int], width: int
) -> list[distillation.Sizes]:
    """Sizes of the shards and of both controls, matched size by size."""
    shards = distillation.shard_sizes(features, counts, width)
    networks = [value.MLP() for _ in counts]
    films = [value.FiLM(rank=k) for k in counts]
    return [
        shards,
        distillation.matched_sizes(features, networks, [1] * len(counts), shards),
        distillation.matched_sizes(features, films, counts, shards),
    ]


def _curve(
    sizes: distillation.Sizes,
    fit: distillation.Fit,
    rows: Float[Array, "n d"],
    targets: Float[Array, " n"],
    is_held_out: Bool[np.ndarray, " n"],
) -> Curve:
    predicted = distillation.predict_all(fit.graph, fit.states, rows)[0]
    predicted = predicted.reshape(len(sizes.widths), -1, len(targets))

    def r2(mask: Bool[np.ndarray, " n"]) -> Float[Array, "Z R"]:
        error = predicted[..., mask] - targets[mask][None, None]
        return 1 - jnp.square(error).mean(axis=-1) / targets[mask].var()

    train, held_out = r2(~is_held_out), r2(is_held_out)
    selected = train.argmax(axis=1)[:, None]
    best = jnp.take_along_axis(held_out, selected, axis=1)[:, 0]
    converged = fit.converged.reshape(len(sizes.widths), -1)
    converged = jnp.take_along_axis(converged, selected, axis=1)[:, 0]
    return Curve(sizes.parameters, train, held_out, best, converged)


def _result(
    counts: Sequence[int],
    curves: list[Curve],
    fit: distillation.Fit,
    rows: Float[Array, "n d"],
    is_held_out: Bool[np.ndarray, " n"],
    unit: tuple[Any, Any],
    tolerance: float,
) -> Recovery:
    """Assemble the result; `unit` is the mean and the standard deviation of V."""
    shards, network, film = curves
    advantage = shards.best - jnp.maximum(network.best, film.best)
    several = [i for i, k in enumerate(counts) if k > 1]
    knee = int(jnp.argmax(shards.best >= shards.best.max() - tolerance))
    stability, stability_null = map(
        jnp.asarray,
        restart_agreement.restart_stability(
            counts, fit, shards.train, rows[is_held_out]
        ),
    )
    recovered = (
        (1 < counts[knee] < counts[-1])
        & (shards.best[knee] > network.best[knee] + tolerance)
        & (shards.best[knee] > film.best[knee] - tolerance)
        & (stability[knee] >= MIN_STABILITY)
    )
    restarts = shards.train.shape[1]
    best = jnp.arange(len(counts)) * restarts + shards.train.argmax(axis=1)
    best_states = jax.tree.map(lambda leaf: leaf[best], fit.states)
    _, gates, shard_values = distillation.predict_all(fit.graph, best_states, rows)
    mean, sd = unit
    shard_values = mean + sd * shard_values
    entropies = [
        restart_agreement.gate_entropies(g, k)
        for g, k in zip(gates, counts, strict=True)
    ]
    gate_entropy, usage_entropy = map(jnp.stack, zip(*entropies, strict=True))
    return Recovery(
        jnp.asarray(counts),
        shards,
        network,
        film,
        advantage,
        advantage[jnp.asarray(several)].mean()
        if several
        else jnp.zeros_like(advantage[0]),
        jnp.asarray(counts[knee]),
        recovered,
        stability.astype(rows.dtype),
        stability_null.astype(rows.dtype),
        gate_entropy,
        usage_entropy,
        jnp.sum(gates * shard_values, axis=-1),
        gates,
        shard_values,
        jnp.asarray(is_held_out),
    )
