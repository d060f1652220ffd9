"""Self-reflection: does one shard of V represent the value of another, and use it?

In a network without noise every shard is a function of E(s) and so determines every
other. "Represents" therefore means "a probe of limited strength can read it". Report
both measures together:

    `fit`        how much better a linear probe on the hidden units of shard i predicts
                 shard j than the same probe on a random shard of the same size
    `influence`  how much shard j changes when the hidden units of shard i are replaced

Shards that learn similar functions predict each other without any connection. A high
`fit` without `influence` is therefore similarity, not reflection. The shards of a
sharded head are not connected: their influence on each other is exactly 0.

Symbols: n samples, D features of E, U hidden units, K shards, r random shards.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from shardsim.inspection import validation
from shardsim.inspection.interventions import effects, graph
from shardsim.inspection.validation import Numbers


class Reflection(NamedTuple):
    """Held-out R^2 of probes: row i predicts the target of shard j in column j."""

    r2: Float[np.ndarray, "K K"]
    """R^2 from the hidden units of shard i."""
    control: Float[np.ndarray, "K K"]
    """R^2 from random shards with as many units: the mean over r linear or over r
    rectified ones, whichever is larger."""
    spread: Float[np.ndarray, "K K"]
    """Standard deviation over the r random shards of the kind with the larger one;
    linear shards as wide as the features all predict alike. Among independent random
    shards the excess was above 3 spreads in 0.1% of pairs and never above 5. It was
    above 3 in some pair of four shards in 2% of 60 draws."""
    shuffled: Float[np.ndarray, "K K"]
    """R^2 from the hidden units of shard i when the targets are shuffled over states on
    each side of the split, averaged over r shuffles. It is about -units / samples, and
    far below 0 if the probe is too strong for so few samples."""

    @property
    def excess(self) -> Float[np.ndarray, "K K"]:
        """r2 - control: what shard i shows of shard j beyond the shared features."""
        return self.r2 - self.control

    def summary(self) -> str:
        count = len(self.r2)
        if count == 1:
            return "self-reflection: a single shard has no other to predict"
        other = np.where(np.eye(count, dtype=bool), -np.inf, self.excess)
        i, j = np.unravel_index(other.argmax(), other.shape)
        return (
            f"self-reflection: shard {i} predicts another best, shard {j}: R^2 "
            f"{self.r2[i, j]:.3f}, {self.excess[i, j]:+.3f} beyond random shards "
            f"(sd {self.spread[i, j]:.3f}), {self.shuffled[i, j]:+.3f} shuffled"
        )


class Influence(NamedTuple):
    """Effect of replacing the hidden units of shard i (row) on shard j (column)."""

    effect: Float[Array, "K K"]
    """Root mean squared change of shard j divided by its standard deviation. For a
    constant shard it is 0 if the shard does not change, else inf."""
    changed: Bool[Array, " K"]
    """Whether the replacement changed any hidden unit of shard i."""

    def summary(self) -> str:
        effect = np.asarray(self.effect)
        if len(effect) == 1:
            return "influence: a single shard has no other to change"
        other = np.where(np.eye(len(effect), dtype=bool), -np.inf, effect)
        i, j = np.unravel_index(other.argmax(), other.shape)
        return (
            f"influence: shard {i} changes another most, shard {j}, by "
            f"{effect[i, j]:.3g} of its standard deviation"
        )


def fit(
    hidden: Annotated[Numbers, "n U"],
    hidden_shard: Annotated[Numbers, "U"],
    targets: Annotated[Numbers, "n K"],
    features: Annotated[Numbers, "n D"],
    held_out: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    penalty: float = 1e-3,
    draws: int = 8,
) -> Reflection:
    """Excess usable information of shard i about shard j.

      excess = R^2[t_j from h_i] - R^2[t_j from a random shard]

    Each R^2 is that of a ridge probe (X'X / n + penalty I)^-1 X't / n on standardised
    columns, scored on the samples that are held out. With z the standardised features,
    P a matrix of standard normal numbers and b such a vector, a random shard is P z /
    sqrt(D) or relu(P z / sqrt(D) + b): it shows what an untrained shard shows.

    Runs on the host in float64, one seed per call.

    Args:
      hidden: `value.hidden` flattened over shards and width.
      hidden_shard: the shard of each hidden unit, in [0, K): `hidden_unit_shard`,
        flattened. A shard without units predicts nothing.
      targets: the values of the shards (`value.shard_values`), or their gates or
        contributions. A constant target has R^2 0.
      features: what all shards read.
      held_out: booleans; samples on which probes are scored. Split by level, not by
        state, because neighbouring states are nearly equal.
      key: for the random shards and the shuffles.
      penalty: strength of the ridge penalty, above 0; more makes the probe weaker.
      draws: r, at least 1.

    Raises:
      ValueError: a wrong shape, a number that is not finite, a shard outside of [0, K),
        or fewer than 2 samples on a side of the split.

    Reference: Xu et al., A Theory of Usable Information Under Computational
    Constraints, arXiv 2002.10689; Hewitt & Liang, Designing and Interpreting Probes
    with Control Tasks, arXiv 1909.03368.
    """
    _check(hidden, hidden_shard, targets, features, held_out, penalty, draws)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint64))
    h, t, z = (np.asarray(x, np.float64) for x in (hidden, targets, features))
    unit_shard, is_train = np.asarray(hidden_shard), ~np.asarray(held_out)
    count = t.shape[1]
    probe = _RidgeProbe(t, is_train, penalty)
    shuffled_probes = [
        _RidgeProbe(_shuffle(t, is_train, rng), is_train, penalty) for _ in range(draws)
    ]
    r2, shuffled = np.zeros((2, count, count))
    control, spread = np.zeros((2, count, count))
    z = _standardise(z, is_train)
    control_by_width: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for shard in range(count):
        units = h[:, unit_shard == shard]
        width = units.shape[1]
        if width not in control_by_width:
            control_by_width[width] = _random_shards(z, width, draws, probe, rng)
        r2[shard] = probe.r2(units)
        shuffled[shard] = np.mean([p.r2(units) for p in shuffled_probes], axis=0)
        control[shard], spread[shard] = control_by_width[width]
    return Reflection(r2, control, spread, shuffled)


def influence(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    hidden_shard: Numbers,
    read: Callable[[graph.Record], Float[Array, " K"]],
    key: Key[Array, ""],
) -> Influence:
    """Replace the hidden units of shard i by those of another sample.

      effect[i, j] = sqrt(mean (t_j after - t_j before)^2) / sd(t_j)

    Args:
      run: the agent.
      inputs: leaves [n, ...].
      site: name of the site with the hidden units, `value.hidden`.
      hidden_shard: the shard of each number of the site, of its shape; see
        `hidden_unit_shard`.
      read: maps one run to the values t of its shards: `value.shard_values`, or
        `cluster_contributions` for a monolith.
      key: of the derangement of samples, which is the same for all shards.

    Raises:
      ValueError: an unknown site, `hidden_shard` of another shape, or fewer than 2
        samples.
    """
    before = jax.vmap(lambda x: read(run(x)))(inputs)
    count = before.shape[1]
    sizes = (None,) * np.ndim(hidden_shard)
    unit_shard = validation.indices("hidden_shard", hidden_shard, count, *sizes)

    def replace(shard: Int[Array, ""]) -> tuple[Float[Array, " K"], Bool[Array, ""]]:
        mask = jnp.asarray(unit_shard) == shard
        result = effects.resample_ablation(run, inputs, site, key, mask=mask)
        change = jax.vmap(read)(result.patched) - jax.vmap(read)(result.base)
        return jnp.sqrt(jnp.mean(change**2, axis=0)), result.patched.changed[site].any()

    rms, changed = jax.lax.map(replace, jnp.arange(count))
    sd = jnp.broadcast_to(before.std(axis=0), rms.shape)
    # 0 / 0 is a constant shard that does not change
    effect = jnp.where(rms == 0, 0, rms / sd)
    graph.warn_unchanged({f"{site} of shard {i}": c for i, c in enumerate(changed)})
    return Influence(effect, changed)


def hidden_unit_shard(
    unit_shard: Annotated[Numbers, "V"], rows: int
) -> Int[Array, "rows width"]:
    """The shard of each number of `value.hidden`, from the shard of each unit of V.

    The V last-layer units are the hidden units of each row followed by its bias.

    Args:
      unit_shard: `ValueHead.unit_shard`, or `UnitClusters.unit_cluster` for a monolith.
      rows: of `value.hidden`: K for a sharded head, 1 for a monolith.

    Raises:
      ValueError: `rows` does not divide V.
    """
    validation.shaped("unit_shard", unit_shard, None)
    validation.at_least("rows", rows, 1)
    count = np.shape(unit_shard)[0]
    if count % rows:
        raise ValueError(f"rows: got {rows}; allowed: a divisor of {count} units")
    validation.kind("unit_shard", unit_shard, "iu", "integers")
    return jnp.asarray(unit_shard).reshape(rows, -1)[:, :-1]


def cluster_contributions(
    unit_cluster: Annotated[Numbers, "V"], clusters: int
) -> Callable[[graph.Record], Float[Array, " K"]]:
    """A function from a run of a monolith to the contribution of each cluster of units.

    The contribution of a cluster is the sum of its units.

    Args:
      unit_cluster: the cluster of each of the V last-layer units, in [0, clusters).
      clusters: K.
    """

    cluster = validation.indices("unit_cluster", unit_cluster, clusters, None)

    def read(record: graph.Record) -> Float[Array, " K"]:
        units = record.sites["value.units"]
        validation.shaped("unit_cluster", cluster, len(units))
        return jax.ops.segment_sum(units, jnp.asarray(cluster), clusters)

    return read


class _RidgeProbe:
    """Ridge probes of fixed targets from any columns, scored on held-out samples."""

    def __init__(
        self,
        targets: Float[np.ndarray, "n K"],
        train: Bool[np.ndarray, " n"],
        penalty: float,
    ) -> None:
        self.train, self.penalty = train, penalty
        self.mean = targets[train].mean(axis=0)
        self.train_targets = targets[train] - self.mean
        self.test_targets = targets[~train] - self.mean
        centred = self.test_targets - self.test_targets.mean(axis=0)
        self.sum_of_squares = (centred**2).sum(axis=0)
        scale = np.finfo(np.float32).eps * np.abs(targets).max(axis=0)
        self.varies = (self.sum_of_squares > len(self.test_targets) * scale**2) & (
            self.train_targets.std(axis=0) > scale
        )

    def r2(self, columns: Float[np.ndarray, "n width"]) -> Float[np.ndarray, " K"]:
        """Held-out R^2 of each target; 0 for a constant one."""
        x = _standardise(columns, self.train)
        n, width = self.train.sum(), x.shape[1]
        a = x[self.train].T @ x[self.train] / n + self.penalty * np.eye(width)
        weights = np.linalg.solve(a, x[self.train].T @ self.train_targets / n)
        error = self.test_targets - x[~self.train] @ weights
        total = np.where(self.varies, self.sum_of_squares, 1)
        return np.where(self.varies, 1 - (error**2).sum(axis=0) / total, 0)


def _random_shards(
    z: Float[np.ndarray, "n D"],
    width: int,
    draws: int,
    probe: _RidgeProbe,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """R^2 from random shards: mean of the better kind, and the larger deviation."""
    scores = []
    for _ in range(draws):
        linear = z @ (rng.standard_normal((z.shape[1], width)) / np.sqrt(z.shape[1]))
        rectified = np.maximum(linear + rng.standard_normal(width), 0)
        scores.append([probe.r2(linear), probe.r2(rectified)])
    by_kind = np.array(scores)
    better = by_kind.mean(axis=0).argmax(axis=0)
    target = np.arange(by_kind.shape[2])
    return by_kind.mean(axis=0)[better, target], by_kind.std(axis=0).max(axis=0)


def _shuffle(
    t: Float[np.ndarray, "n K"],
    train: Bool[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "n K"]:
    """Permute the targets over samples within each side of the split."""
    shuffled = t.copy()
    shuffled[train] = rng.permutation(t[train])
    shuffled[~train] = rng.permutation(t[~train])
    return shuffled


def _standardise(
    x: Float[np.ndarray, "n width"], train: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "n width"]:
    """Scale columns to mean 0 and sd 1 in training samples; constant ones become 0."""
    mean, sd = x[train].mean(axis=0), x[train].std(axis=0)
    dead = sd <= np.finfo(np.float32).eps * np.abs(x).max(axis=0, initial=0)
    return np.where(dead, 0, (x - mean) / np.where(dead, 1, sd))


def _check(
    hidden: Annotated[Numbers, "n U"],
    hidden_shard: Annotated[Numbers, "U"],
    targets: Annotated[Numbers, "n K"],
    features: Annotated[Numbers, "n D"],
    held_out: Annotated[Numbers, "n"],
    penalty: float,
    draws: int,
) -> None:
    validation.shaped("hidden", hidden, None, None)
    n, units = np.shape(hidden)
    validation.shaped("targets", targets, n, None)
    validation.indices("hidden_shard", hidden_shard, np.shape(targets)[1], units)
    validation.shaped("features", features, n, None)
    is_held_out = np.asarray(validation.mask("held_out", held_out, n))
    for name, array in (
        ("hidden", hidden),
        ("targets", targets),
        ("features", features),
    ):
        validation.finite(name, array)
    validation.at_least("samples to train on", int((~is_held_out).sum()), 2)
    validation.at_least("samples held out", int(is_held_out.sum()), 2)
    if not penalty > 0:
        raise ValueError(f"penalty: got {penalty}; allowed: above 0")
    validation.integer("draws", draws, 1)
