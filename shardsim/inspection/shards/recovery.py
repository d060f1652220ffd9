"""Is a V described better by K gated shards than by a network of the same size?

Any table of features and values is distilled into K gated experts, for several K, and
beside each K into a network and into a smoothly modulated network (FiLM) that have as
many parameters or a few more. Many experts fit anything piece by piece, so a high R^2
shows nothing by itself: shards are recovered if the curve stops rising at some K before
the last, and there they beat the network, are as good as FiLM (which can gate too, if
its modulation saturates) and are the same shards after every restart.

The heads are those of `shardsim.agents.value`. A V of a trained agent, a planted one
and a table of exact values are asked the same way: only what V says counts, not its
weights.

Symbols: n rows, d features, Z counts K that are tried, R restarts, K the largest count.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.agents import value
from shardsim.inspection import arrays, validation
from shardsim.inspection.shards import distillation


class Curve(NamedTuple):
    """One family of heads over the sizes tried."""

    parameters: Int[Array, " Z"]
    train: Float[Array, "Z R"]
    """R^2 on the rows learnt from."""
    held_out: Float[Array, "Z R"]
    """R^2 on rows never seen."""
    best: Float[Array, " Z"]
    """`held_out` of the restart that is best on `train`: nothing is picked by the rows
    that it is judged by."""


class Recovery(NamedTuple):
    """Curves of three families, the knee, and the shards that were fitted."""

    counts: Int[Array, " Z"]
    """K at each size."""
    shards: Curve
    network: Curve
    film: Curve
    advantage: Float[Array, " Z"]
    """shards.best - max(network.best, film.best), at equal size."""
    shardedness: Float[Array, ""]
    """Mean of `advantage` over the counts above 1: the area between the curves."""
    knee: Int[Array, ""]
    """Smallest count whose R^2 is within `tolerance` of the highest one."""
    found: Bool[Array, ""]
    """The knee lies above 1 and before the last count; there shards beat the network by
    more than `tolerance`, lose to FiLM by no more than it, and come back (`stability`
    at least `SAME`)."""
    stability: Float[Array, " Z"]
    """Mean correlation of matched contributions between the best restart and the others
    of the better half (by `train`), weighted by their sd; 1 if the same shards come
    back each time."""
    gate_entropy: Float[Array, " Z"]
    """Mean entropy of the gates in a row over log K, in [0, 1]; 0 for one part."""
    usage_entropy: Float[Array, " Z"]
    """Entropy of the mean gates over log K. Shards: this high, `gate_entropy` low."""
    value: Float[Array, "Z n"]
    """What the best shards say of every row, in the unit of the values given."""
    gates: Float[Array, "Z n K"]
    parts: Float[Array, "Z n K"]
    """value = sum_k gates * parts; parts that a size lacks have a gate of 0."""
    tested: Bool[Array, " n"]
    """Rows that were held out."""

    def summary(self) -> str:
        """The knee, and the R^2 of all three families there."""
        at = int(jnp.argmax(self.counts == self.knee))
        said = "recovered" if bool(self.found) else "not recovered"
        return (
            f"shards {said}: knee at {int(self.knee)} with R^2 "
            f"{float(self.shards.best[at]):.3f} held out, network "
            f"{float(self.network.best[at]):.3f}, FiLM {float(self.film.best[at]):.3f}"
            f", restarts agree to {float(self.stability[at]):.2f}"
        )


def fit(
    key: Key[Array, ""],
    features: Float[Array, "n d"],
    values: Float[Array, " n"],
    counts: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    groups: Int[Array, " n"] | None = None,
    width: int = 2,
    restarts: int = 4,
    steps: int = 1_500,
    batch: int = 256,
    rate: float = 0.03,
    tolerance: float = 0.02,
    held_out: float = 0.25,
) -> Recovery:
    """Distil V into K shards, networks and FiLM heads, three programs in all.

    Runs on the host; over seeds call it in a loop, which compiles nothing anew.

    Measured on 20 tables each of 3,000 rows and 6 features, counts 1 to 4: three linear
    shards behind a hard gate were found in 18 (the knee was 3 in all 20; the other two
    came back less alike than asked, .90 and .70); behind a softmax gate in 6; a ReLU
    network, a tanh network and a smoothly modulated V were taken for shards in 0, 0, 0.

    Args:
      key: for the split, the initial weights and the mini-batches.
      features: what the shards may read, n >= 20 rows; scaled to variance 1 here.
      values: V in each row, in any unit.
      counts: K of each size, rising.
      groups: rows that are held out together (the maze of a state); None holds out rows
        one by one, which lets a fit remember mazes.
      width: units of one shard; two make a linear function.
      restarts: fits at each size, at least 2 to compare. In every other one parts
        compete at first, see `distillation.fit`.
      steps: of Adam, at rate `rate` on `batch` rows.
      tolerance: of R^2, for the knee and for an advantage that counts.
      held_out: share of rows (or groups) that R^2 is measured on, in (0, 1).

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite, counts that don't
        rise, values that are constant, a split that leaves one side empty.
    """
    x, y = _checked(features, values, counts, restarts)
    for name, got in (("width", width), ("steps", steps), ("batch", batch)):
        validation.at_least(name, got, 1)
    split, train = jax.random.split(key)
    tested = _held_out(split, len(y), groups, held_out)
    rows, targets, unit = _scaled(x, y, tested)
    families = _families(x.shape[1], counts, width)
    fitted = [
        distillation.fit(
            train, sizes, rows[~tested], targets[~tested], restarts, steps, batch, rate
        )
        for sizes in families
    ]
    curves = [
        _curve(sizes, *model, rows, targets, tested)
        for sizes, model in zip(families, fitted, strict=True)
    ]
    return _result(counts, curves, fitted[0], rows, tested, unit, tolerance)


def _checked(
    features: Any, values: Any, counts: Sequence[int], restarts: int
) -> tuple[np.ndarray, np.ndarray]:
    validation.shaped("features", features, None, None)
    validation.shaped("values", values, len(features))
    validation.at_least("rows of features", len(features), 20)
    validation.finite("features", features)
    validation.finite("values", values)
    validation.at_least("columns of features", np.shape(features)[1], 1)
    validation.at_least("restarts", restarts, 2)
    validation.at_least("number of counts", len(counts), 1)
    validation.at_least("least of counts", min(counts), 1)
    if list(counts) != sorted(set(counts)):
        raise ValueError(f"counts: got {tuple(counts)}; allowed: rising numbers")
    x, y = np.asarray(features), np.asarray(values)
    dtype = jnp.result_type(jnp.asarray(x).dtype, jnp.float32)
    return x.astype(dtype), y.astype(dtype)


def _scaled(
    x: np.ndarray, y: np.ndarray, tested: Bool[np.ndarray, " n"]
) -> tuple[Array, Array, tuple[Any, Any]]:
    """Both at mean 0 and variance 1 in the rows learnt from, and the unit of y."""
    for name, side in (("learnt from", ~tested), ("held out", tested)):
        if np.ptp(y[side]) == 0:
            raise ValueError(
                f"values: got the same in all rows {name}; allowed: others"
            )
    mean, sd = y[~tested].mean(), y[~tested].std()
    spread = x[~tested].std(axis=0)
    scaled = (x - x[~tested].mean(axis=0)) / np.where(spread > 0, spread, 1)
    return jnp.asarray(scaled.astype(x.dtype)), jnp.asarray((y - mean) / sd), (mean, sd)


def _held_out(
    key: Array, rows: int, groups: Any, share: float
) -> Bool[np.ndarray, " n"]:
    """Which rows are held out; whole groups, where there are some."""
    if groups is None:
        groups = np.arange(rows)
    validation.shaped("groups", groups, rows)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise ValueError(
            f"held_out: got {share} of {len(names)} rows or groups, which is {count}; "
            f"allowed: 1 to {len(names) - 1} of them"
        )
    order = np.asarray(jax.random.permutation(key, len(names)))
    return np.isin(member, order[:count])


def _families(
    features: int, counts: Sequence[int], width: int
) -> list[distillation.Sizes]:
    """Shards, and the two controls at the size of each."""
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
    graph: Any,
    states: Any,
    rows: Array,
    targets: Array,
    tested: Bool[np.ndarray, " n"],
) -> Curve:
    said = distillation.ask(graph, states, rows)[0]
    said = said.reshape(len(sizes.widths), -1, len(targets))

    def explained(mask: np.ndarray) -> Array:
        left = jnp.square(said[..., mask] - targets[mask][None, None]).mean(axis=-1)
        return 1 - left / targets[mask].var()

    train, held_out = explained(~tested), explained(tested)
    first = train.argmax(axis=1)[:, None]
    best = jnp.take_along_axis(held_out, first, axis=1)[:, 0]
    return Curve(sizes.parameters, train, held_out, best)


def _result(
    counts: Sequence[int],
    curves: list[Curve],
    fitted: tuple[Any, Any],
    rows: Array,
    tested: Bool[np.ndarray, " n"],
    unit: tuple[Any, Any],
    tolerance: float,
) -> Recovery:
    shards, network, film = curves
    advantage = shards.best - jnp.maximum(network.best, film.best)
    above = [i for i, k in enumerate(counts) if k > 1]
    near = shards.best >= shards.best.max() - tolerance
    at = int(jnp.argmax(near))
    stability = jnp.asarray(
        restart_stability(counts, fitted, shards.train, rows[tested])
    )
    found = (
        (1 < counts[at] < counts[-1])
        & (shards.best[at] > network.best[at] + tolerance)
        & (shards.best[at] > film.best[at] - tolerance)
        & (stability[at] >= SAME)
    )
    graph, states = fitted
    restarts = shards.train.shape[1]
    best = jnp.arange(len(counts)) * restarts + shards.train.argmax(axis=1)
    chosen = jax.tree.map(lambda leaf: leaf[best], states)
    _, gates, parts = distillation.ask(graph, chosen, rows)
    parts = unit[0] + unit[1] * parts
    share = [gate_entropies(g, k) for g, k in zip(gates, counts, strict=True)]
    inside, usage = (jnp.stack(column) for column in zip(*share, strict=True))
    return Recovery(
        jnp.asarray(counts),
        shards,
        network,
        film,
        advantage,
        advantage[jnp.asarray(above)].mean() if above else jnp.zeros_like(advantage[0]),
        jnp.asarray(counts[at]),
        found,
        stability.astype(rows.dtype),
        inside,
        usage,
        jnp.sum(gates * parts, axis=-1),
        gates,
        parts,
        jnp.asarray(tested),
    )


COMPARED = 4_000
"""Held-out rows in which restarts are compared."""


SAME = 0.9
"""Stability from which restarts have found the same shards."""


def gate_entropies(gates: Float[Array, "n K"], count: int) -> tuple[Array, Array]:
    """Entropy of the gates in a row, and of their mean, over log K."""
    scale = float(np.log(count)) if count > 1 else 1.0
    mean = gates.mean(axis=0)
    return arrays.entropy(gates).mean() / scale, arrays.entropy(mean) / scale


def restart_stability(
    counts: Sequence[int],
    fitted: tuple[Any, Any],
    train: Float[Array, "Z R"],
    rows: Float[Array, "n d"],
) -> list[float]:
    """Mean `matched_correlation` of the best restart with the better half, by count.

    NaN for a single restart.
    """
    _, gates, parts = distillation.ask(*fitted, rows[:COMPARED])
    said = np.asarray(gates * parts)
    said = said.reshape(*train.shape, *said.shape[1:])
    half = max(2, (train.shape[1] + 1) // 2)
    agreed = []
    for size, count in enumerate(counts):
        order = np.argsort(-np.asarray(train[size]))[:half]
        first, *others = (said[size, r, :, :count] for r in order)
        agreed.append(
            float(np.mean([matched_correlation(first, o) for o in others] or [np.nan]))
        )
    return agreed


def matched_correlation(
    one: Float[np.ndarray, "n K"], two: Float[np.ndarray, "n K"]
) -> float:
    """Mean correlation of contributions under the best matching of parts.

    Weighted by the sd of `one`, so that dead parts don't count; constants that one part
    can hand to another don't either. 1 for the same parts in any order.
    """
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    size = np.sqrt(np.square(one).mean(axis=0)), np.sqrt(np.square(two).mean(axis=0))
    scale = np.outer(*size)
    alike = (one.T @ two) / len(one) / np.where(scale > 0, scale, 1)
    pair = arrays.best_pairs(alike * size[0][:, None])
    total = size[0].sum()
    return float((alike[pair] * size[0]).sum() / total) if total > 0 else 1.0
