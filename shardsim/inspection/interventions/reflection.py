"""Self-reflection: does one part of V know what another part says, and does it matter?

In a network without noise every part is a function of E(s), so that "knows" has to mean
"shows it to a probe of limited strength". Two readings, to be shown together:

    `fit`        how much better a linear probe on part i's hidden units predicts what
                 part j says than the same probe on a random part of the same size
    `influence`  how much part j changes when part i's hidden units are replaced

Parts that learn alike predict one another with no way between them, so that the first
without the second is likeness and not reflection. Shards built into a head have no way
between them: their influence on others is 0 exactly.

Symbols: n samples, D features of E, U hidden units, K parts, r random parts.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from shardsim.inspection import validation
from shardsim.inspection.interventions import effects, graph


class Reflection(NamedTuple):
    """Row i reads its hidden units, column j is what is predicted. Held-out R^2."""

    r2: Float[np.ndarray, "K K"]
    """From part i's hidden units."""
    control: Float[np.ndarray, "K K"]
    """From random parts of as many units, the mean over r of them, the better of the
    linear and the rectified."""
    spread: Float[np.ndarray, "K K"]
    """Standard deviation over the r random parts, the larger of the two kinds': linear
    parts as wide as the features all predict alike. Of parts that are independent and
    random, an excess above 3 of them was seen in 0.1% of pairs and above 5 in none,
    and above 3 anywhere among four parts in 2% of 60 draws."""
    shuffled: Float[np.ndarray, "K K"]
    """From part i's hidden units when the states of what is predicted are shuffled on
    either side of the split, the mean over r shuffles: about -units / samples; far
    below 0 if the probe has too much strength for so few samples."""

    @property
    def excess(self) -> Float[np.ndarray, "K K"]:
        """r2 - control: what part i shows of part j beyond the shared features."""
        return self.r2 - self.control

    def summary(self) -> str:
        count = len(self.r2)
        if count == 1:
            return "self-reflection: one part has no other to predict"
        other = np.where(np.eye(count, dtype=bool), -np.inf, self.excess)
        i, j = np.unravel_index(other.argmax(), other.shape)
        return (
            f"self-reflection: part {i} shows most of another, part {j}: R^2 "
            f"{self.r2[i, j]:.3f}, {self.excess[i, j]:+.3f} beyond random parts "
            f"(sd {self.spread[i, j]:.3f}), {self.shuffled[i, j]:+.3f} shuffled"
        )


class Influence(NamedTuple):
    """Row i was replaced, column j changed."""

    effect: Float[Array, "K K"]
    """Root mean squared change of part j over its standard deviation; 0 for a part that
    is constant and stays so, infinite for one that was and doesn't."""
    changed: Bool[Array, " K"]
    """Whether replacing part i changed any of its hidden units."""

    def summary(self) -> str:
        effect = np.asarray(self.effect)
        if len(effect) == 1:
            return "influence: one part has no other to change"
        other = np.where(np.eye(len(effect), dtype=bool), -np.inf, effect)
        i, j = np.unravel_index(other.argmax(), other.shape)
        return (
            f"influence: part {i} moves another most, part {j}, by "
            f"{effect[i, j]:.3g} of its spread"
        )


def fit(
    hidden: Float[Array, "n U"],
    owners: Int[Array, " U"],
    targets: Float[Array, "n K"],
    features: Float[Array, "n D"],
    train: Bool[Array, " n"],
    key: Key[Array, ""],
    penalty: float = 1e-3,
    draws: int = 8,
) -> Reflection:
    """Excess usable information of part i about part j.

    R^2[t_j from h_i] - R^2[t_j from a random part], each by a ridge probe
    (X'X / n + penalty I)^-1 X't / n on standardised columns, fitted on `train` and
    scored on the rest. A random part is P z with P of independent normal numbers, or
    relu(P z + b), z the standardised features: what an untrained part shows.

    It runs on the host in float64; one call a seed.

    Args:
      hidden: units of all parts, `value.hidden` flattened over parts and width.
      owners: the part of each, in [0, K), as `hidden_owners` gives it, flattened; a
        part without units predicts nothing.
      targets: what each part says, `value.shard_values`, or its gates or
        contributions. One that is constant has R^2 0 everywhere.
      features: what all parts read.
      train: samples that probes are fitted on. Split by level and not by state, else
        neighbours of a state give its answer away.
      penalty: the limit on the probe; more is weaker.
      draws: r.

    Raises:
      ValueError: a wrong shape, NaN, an owner outside of [0, K), fewer than 2 samples
        on either side of the split.

    Reference: Xu et al., A Theory of Usable Information Under Computational
    Constraints, arXiv 2002.10689; Hewitt & Liang, Designing and Interpreting Probes
    with Control Tasks, arXiv 1909.03368.
    """
    _check(hidden, owners, targets, features, train, penalty, draws)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint64))
    h, t, z = (np.asarray(x, np.float64) for x in (hidden, targets, features))
    owner, seen = np.asarray(owners), np.asarray(train)
    count = t.shape[1]
    split = _Split(t, seen, penalty)
    mixed = [_Split(_shuffle(t, seen, rng), seen, penalty) for _ in range(draws)]
    r2, shuffled = np.zeros((2, count, count))
    control, spread = np.zeros((2, count, count))
    z = _standard(z, seen)
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for part in range(count):
        own = h[:, owner == part]
        width = own.shape[1]
        if width not in known:
            known[width] = _random_parts(z, width, draws, split, rng)
        r2[part] = split.r2(own)
        shuffled[part] = np.mean([other.r2(own) for other in mixed], axis=0)
        control[part], spread[part] = known[width]
    return Reflection(r2, control, spread, shuffled)


def influence(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    owners: Int[Array, "..."],
    read: Callable[[graph.Record], Float[Array, " K"]],
    key: Key[Array, ""],
) -> Influence:
    """Replace part i's hidden units by those of another sample; what do others say?

    effect[i, j] = sqrt(mean (t_j after - t_j before)^2) / sd(t_j).

    Args:
      inputs: leaves [n, ...].
      site: where the hidden units are, `value.hidden`.
      owners: the part of each number of the site, of its shape, as `hidden_owners`
        gives it.
      read: what each part says in one run: `value.shard_values`, or `clustered` for a
        monolith.
      key: of the derangement; the same one for all parts.

    Raises:
      ValueError: an unknown site, owners of another shape, fewer than 2 samples.
    """
    before = jax.vmap(lambda x: read(run(x)))(inputs)
    count = before.shape[1]

    def one(part: Array) -> tuple[Array, Array]:
        made = effects.resample_ablation(run, inputs, site, key, owners == part)
        moved = jax.vmap(read)(made.patched) - jax.vmap(read)(made.base)
        return jnp.sqrt(jnp.mean(moved**2, axis=0)), made.patched.changed[site].any()

    moved, changed = jax.lax.map(one, jnp.arange(count))
    room = jnp.broadcast_to(before.std(axis=0), moved.shape)
    # 0 / 0 is a part that says nothing and goes on saying it
    effect = jnp.where(moved == 0, 0, moved / room)
    graph.warn_unchanged({f"{site} of part {i}": c for i, c in enumerate(changed)})
    return Influence(effect, changed)


def hidden_owners(owners: Int[Array, " U"], rows: int) -> Int[Array, "rows width"]:
    """The part of each number of `value.hidden`, from that of each unit.

    The units are the hidden ones of each row and, last in the row, its bias.

    Args:
      owners: of the head (built-in shards) or of `unit_clusters` (a monolith).
      rows: of `value.hidden`: K of built-in shards, 1 of a monolith.
    """
    validation.shaped("owners", owners, None)
    validation.at_least("rows", rows, 1)
    count = np.shape(owners)[0]
    if count % rows:
        raise ValueError(f"rows: got {rows}; allowed: what divides {count} owners")
    return jnp.asarray(owners).reshape(rows, -1)[:, :-1]


def clustered(
    owners: Int[Array, " U"], clusters: int
) -> Callable[[graph.Record], Float[Array, " K"]]:
    """What each cluster of units of a monolith adds to V: the sum of its units."""

    def read(record: graph.Record) -> Float[Array, " K"]:
        units = record.sites["value.units"]
        validation.shaped("owners", owners, len(units))
        return jax.ops.segment_sum(units, jnp.asarray(owners), clusters)

    return read


class _Split:
    """Ridge probes of the same targets from any columns, scored on held-out samples."""

    def __init__(self, targets: np.ndarray, train: np.ndarray, penalty: float) -> None:
        self.train, self.penalty = train, penalty
        self.mean = targets[train].mean(axis=0)
        self.fit = targets[train] - self.mean
        self.test = targets[~train] - self.mean
        self.room = ((self.test - self.test.mean(axis=0)) ** 2).sum(axis=0)
        scale = np.finfo(np.float32).eps * np.abs(targets).max(axis=0)
        self.varies = (self.room > len(self.test) * scale**2) & (
            self.fit.std(axis=0) > scale
        )

    def r2(self, columns: np.ndarray) -> Float[np.ndarray, " K"]:
        x = _standard(columns, self.train)
        n, width = self.train.sum(), x.shape[1]
        a = x[self.train].T @ x[self.train] / n + self.penalty * np.eye(width)
        weights = np.linalg.solve(a, x[self.train].T @ self.fit / n)
        lost = ((self.test - x[~self.train] @ weights) ** 2).sum(axis=0)
        return np.where(self.varies, 1 - lost / np.where(self.varies, self.room, 1), 0)


def _random_parts(
    z: np.ndarray, width: int, draws: int, split: _Split, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of R^2 over random parts of the kind that predicts better, and deviation."""
    scores = []
    for _ in range(draws):
        said = z @ (rng.standard_normal((z.shape[1], width)) / np.sqrt(z.shape[1]))
        bent = np.maximum(said + rng.standard_normal(width), 0)
        scores.append([split.r2(said), split.r2(bent)])
    both = np.array(scores)
    better = both.mean(axis=0).argmax(axis=0)
    pick = np.arange(both.shape[2])
    return both.mean(axis=0)[better, pick], both.std(axis=0).max(axis=0)


def _shuffle(t: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same targets at other samples of their side of the split."""
    mixed = t.copy()
    mixed[train], mixed[~train] = rng.permutation(t[train]), rng.permutation(t[~train])
    return mixed


def _standard(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and deviation 1 over the training samples; dead ones are 0."""
    mean, sd = x[train].mean(axis=0), x[train].std(axis=0)
    dead = sd <= np.finfo(np.float32).eps * np.abs(x).max(axis=0, initial=0)
    return np.where(dead, 0, (x - mean) / np.where(dead, 1, sd))


def _check(
    hidden: Array,
    owners: Array,
    targets: Array,
    features: Array,
    train: Array,
    penalty: float,
    draws: int,
) -> None:
    validation.shaped("hidden", hidden, None, None)
    n, units = np.shape(hidden)
    validation.shaped("owners", owners, units)
    validation.kind("owners", owners, "iu", "whole numbers")
    validation.shaped("targets", targets, n, None)
    validation.shaped("features", features, n, None)
    validation.shaped("train", train, n)
    for name, array in (
        ("hidden", hidden),
        ("targets", targets),
        ("features", features),
    ):
        validation.finite(name, array)
    parts = np.shape(targets)[1]
    for owner in np.unique(np.asarray(owners)):
        validation.one_of("owners", int(owner), range(parts))
    validation.kind("train", train, "b", "booleans")
    seen = int(np.sum(np.asarray(train)))
    validation.at_least("samples to train on", seen, 2)
    validation.at_least("samples held out", n - seen, 2)
    if not penalty > 0:
        raise ValueError(f"penalty: got {penalty}; allowed: above 0")
    validation.at_least("draws", draws, 1)
