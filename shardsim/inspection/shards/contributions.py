"""The shards of a value head: what each adds to V, how they are used, and without them.

V(s) = sum_k g_k(s) v_k(s): a gate times a value is a contribution. A head shows these
only up to the order of shards, to a factor between gate and value where gates are not
normalised, and to a constant moved between shards: compare contributions, not
parameters, after `match`. Symbols: S states, K shards, L shards of another head.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import arrays, validation

TOLERANCE = 1e-5
"""How far contributions may be from adding up to V: of the largest |V|, or of 1."""


class Contributions(NamedTuple):
    """V taken apart; `each` adds up to `value` but for `residual`."""

    value: Float[Array, " S"]
    gates: Float[Array, "S K"]
    parts: Float[Array, "S K"]
    each: Float[Array, "S K"]
    """g_k v_k."""
    residual: Float[Array, " S"]
    """V - sum_k g_k v_k."""

    @property
    def adds_up(self) -> bool:
        """Whether the residual is within the tolerance in every state; host side."""
        size = jnp.maximum(jnp.abs(self.value).max(), 1)
        return bool(jnp.abs(self.residual).max() <= TOLERANCE * size)

    def summary(self) -> str:
        worst = float(jnp.abs(self.residual).max())
        fine = "add up to V" if self.adds_up else "DO NOT add up to V"
        return f"{self.each.shape[-1]} shards {fine}, largest residual {worst:.2g}"


class Usage(NamedTuple):
    """How much each shard has a say."""

    gate_share: Float[Array, " K"]
    """Mean over states of g_k / sum_j g_j; a state with all gates shut counts 0."""
    value_share: Float[Array, " K"]
    """sum_s |g_k v_k| / sum_s sum_j |g_j v_j|; 0 for all if every contribution is."""
    entropy: Float[Array, " S"]
    """Of the normalised gates of a state, in nats: 0 where one shard decides."""
    mean_entropy: Float[Array, ""]
    in_use: Float[Array, ""]
    """exp(entropy of `gate_share` over its sum): 1 where one shard does all, K where
    all share, 0 where all gates are shut."""
    dead: Bool[Array, " K"]
    """`value_share` below the threshold. All are dead where V = 0 everywhere."""
    twins: Bool[Array, "K K"]
    """Pairs, none dead, whose contributions correlate above the threshold."""
    likeness: Float[Array, "K K"]
    """Correlation of contributions over states; 0 with one that is constant."""

    def summary(self) -> str:
        pairs = int(jnp.triu(self.twins, 1).sum())
        return (
            f"{float(self.in_use):.2f} of {len(self.dead)} shards in use, "
            f"{int(self.dead.sum())} dead, {pairs} pairs of twins, mean entropy "
            f"{float(self.mean_entropy):.2f} nats"
        )


class Matching(NamedTuple):
    """Which shard of B plays the role of each shard of A."""

    partner: Int[np.ndarray, " K"]
    """Index in B; -1 where B has too few shards."""
    likeness: Float[np.ndarray, " K"]
    """Correlation with the partner over states; NaN without one."""
    table: Float[np.ndarray, "K L"]
    """All correlations; 0 with a contribution that is constant."""
    null: float
    """Mean matched likeness when the states of B are shuffled: what choosing the best
    of all matchings gives by itself."""

    def summary(self) -> str:
        pairs = ", ".join(f"{k}-{p}" for k, p in enumerate(self.partner.tolist()))
        return (
            f"matched {pairs}: mean likeness {float(np.nanmean(self.likeness)):.2f}, "
            f"shuffled {self.null:.2f}"
        )


class Changed(NamedTuple):
    """V after the shards were interfered with."""

    value: Float[Array, " S"]
    gates: Float[Array, "S K"]
    each: Float[Array, "S K"]

    def summary(self) -> str:
        return f"mean V {float(self.value.mean()):.3g} over {len(self.value)} states"


def contributions(
    value: Float[Array, " S"],
    gates: Float[Array, "S K"],
    parts: Float[Array, "S K"],
) -> Contributions:
    """Take V apart into g_k v_k, and say what is left over.

    Args:
      value: V as the head gave it.
      gates, parts: as the head gave them, g_k and v_k.
    """
    _checked(gates, parts)
    validation.shaped("value", value, len(gates))
    validation.finite("value", value)
    each = gates * parts
    return Contributions(value, gates, parts, each, value - each.sum(axis=-1))


def usage(
    gates: Float[Array, "S K"],
    parts: Float[Array, "S K"],
    dead: float = 0.01,
    twin: float = 0.99,
) -> Usage:
    """Shares, entropy, dead and twin shards.

    Args:
      dead: share of |V| below which a shard counts as dead, 0 to 1.
      twin: correlation above which two shards count as twins, 0 to 1.
    """
    _checked(gates, parts)
    validation.between("gates", gates, 0)
    validation.between("dead", dead, 0, 1)
    validation.between("twin", twin, 0, 1)
    share = _over(gates, gates.sum(axis=-1, keepdims=True))
    gate_share, entropy = share.mean(axis=0), arrays.entropy(share)
    in_use = jnp.exp(arrays.entropy(_over(gate_share, gate_share.sum())))
    in_use = jnp.where(gate_share.any(), in_use, 0)
    size = jnp.abs(gates * parts).sum(axis=0)
    value_share = _over(size, size.sum())
    gone = value_share < dead
    alike = _likeness(gates * parts)
    pairs = (alike > twin) & ~gone[:, None] & ~gone[None, :]
    pairs = pairs & ~jnp.eye(len(gone), dtype=bool)
    mean = entropy.mean()
    return Usage(gate_share, value_share, entropy, mean, in_use, gone, pairs, alike)


def match(
    each_a: Float[Array, "S K"],
    each_b: Float[Array, "S L"],
    shuffles: int = 20,
    seed: int = 0,
) -> Matching:
    """Pair the shards of two heads so that contributions are most alike.

    Maximises sum_k corr(a_k, b_p(k)) over one-to-one p (the Hungarian method); runs on
    the host. Equal likenesses are resolved in the order of shards.

    Args:
      each_a, each_b: contributions of both heads in the same states.
      shuffles: permutations of the states for the null; 0 leaves it NaN.

    Reference: Kuhn, The Hungarian method for the assignment problem, 1955.
    """
    validation.shaped("each_a", each_a, None, None)
    validation.shaped("each_b", each_b, len(each_a), None)
    validation.at_least("states", len(each_a), 1)
    validation.finite("each_a", each_a)
    validation.finite("each_b", each_b)
    validation.at_least("shuffles", shuffles, 0)
    a, b = np.asarray(each_a), np.asarray(each_b)
    rng = np.random.default_rng(seed)
    table = _likeness_of(a, b)
    rows, columns = arrays.best_pairs(table)
    partner = np.full(a.shape[1], -1)
    partner[rows] = columns
    likeness = np.full(a.shape[1], np.nan, a.dtype)
    likeness[rows] = table[rows, columns]
    null = []
    for _ in range(shuffles):
        other = _likeness_of(a, b[rng.permutation(len(b))])
        null.append(other[arrays.best_pairs(other)].mean())
    return Matching(
        partner, likeness, table, float(np.mean(null)) if null else float("nan")
    )


def switch_off(
    gates: Float[Array, "S K"], parts: Float[Array, "S K"], keep: Bool[Array, " K"]
) -> Changed:
    """V without some shards: sum_{k kept} g_k v_k. The other gates stay as they were.

    Args:
      keep: false switches a shard off.
    """
    _checked(gates, parts)
    validation.shaped("keep", keep, gates.shape[1])
    return _changed(jnp.where(keep[None, :], gates, 0), parts)


def clamp(
    gates: Float[Array, "S K"],
    parts: Float[Array, "S K"],
    shard: int,
    to: float,
    renormalise: bool = False,
) -> Changed:
    """V with one gate held at a number in every state.

    Args:
      shard: 0 to K - 1.
      to: the gate, 0 to 1.
      renormalise: whether the other gates are scaled so that the sum of all gates of a
        state stays what it was (for softmax gates); no less than `to`, else the other
        gates are shut under jit and it is refused elsewhere. A state whose other gates
        are all shut keeps them shut.
    """
    _checked(gates, parts)
    count = gates.shape[1]
    validation.between("shard", shard, 0, count - 1)
    validation.between("to", to, 0, 1)
    others = jnp.arange(count)[None, :] != shard
    rest = jnp.where(others, gates, 0)
    if renormalise:
        before = rest.sum(axis=-1, keepdims=True)
        total = gates.sum(axis=-1, keepdims=True)
        # a softmax sums to 1 but for rounding
        most = jnp.where(before > 0, total, 1).min() * (1 + TOLERANCE)
        validation.between("to", to, 0, most)
        rest = rest * _over(jnp.maximum(total - to, 0), before)
    return _changed(jnp.where(others, rest, to), parts)


def shuffle_gates(
    gates: Float[Array, "S K"], parts: Float[Array, "S K"], key: Key[Array, ""]
) -> Changed:
    """V with the gates of another state in every state: are gates about the state?

    The states are shifted along a random cycle, so that none keeps its own gates and
    each gate keeps its distribution.

    Raises:
      ValueError: fewer than two states, which have no derangement.
    """
    _checked(gates, parts)
    validation.at_least("states", len(gates), 2)
    return _changed(gates[arrays.derangement(key, len(gates))], parts)


def _changed(gates: Float[Array, "S K"], parts: Float[Array, "S K"]) -> Changed:
    each = gates * parts
    return Changed(each.sum(axis=-1), gates, each)


def _checked(gates: Float[Array, "S K"], parts: Float[Array, "S K"]) -> None:
    validation.shaped("gates", gates, None, None)
    validation.shaped("parts", parts, *gates.shape)
    validation.at_least("states", len(gates), 1)
    validation.finite("gates", gates)
    validation.finite("parts", parts)


def _over(part: Array, whole: Array) -> Array:
    """part / whole, and 0 where the whole is."""
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)


def _likeness(each: Float[Array, "S K"]) -> Float[Array, "K K"]:
    """Correlations over states; 0 with a column that is constant."""
    centred = each - each.mean(axis=0, keepdims=True)
    varies = each.max(axis=0) > each.min(axis=0)
    length = jnp.sqrt((centred * centred).sum(axis=0))
    unit = jnp.where(varies[None], centred / jnp.where(varies, length, 1)[None], 0)
    return unit.T @ unit


def _likeness_of(
    a: Float[np.ndarray, "S K"], b: Float[np.ndarray, "S L"]
) -> Float[np.ndarray, "K L"]:
    """The same between two heads, on the host."""
    count = a.shape[1]
    both = _likeness(jnp.asarray(np.concatenate([a, b], axis=1)))
    return np.asarray(both)[:count, count:]
