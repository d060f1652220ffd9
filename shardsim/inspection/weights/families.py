"""Families of directions of one layer, by what their leading ones keep of its effect.

Singular directions are those of the weights alone. Others also use the data, the
Jacobians of what follows, or a decomposition of the weights into components that few
inputs need. Each family is asked the same: how much of the output is left if
the layer sees its first k directions only, whether an input that differs in the rest
alone gives the same policy, and, where the directions that the layer reads are known,
whether it has them.

Symbols: n samples, d inputs and m outputs of the layer, C what else the output depends
on, P outputs, R ranks, r directions, p planted directions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Numbers
from shardsim.inspection.weights import bases, components

NAMES = ("singular", "data_weighted", "stacked", "components", "random")
"""The families that every layer has."""
JACOBIANS = 256
"""Samples at which the Jacobian is computed; they are stacked."""
SPREAD_OVER = 16
"""Principal directions that planted directions are made of."""
USE = (0.1, 0.4)
"""Share of the samples in which the first and the last planted direction is used."""


class Layer(NamedTuple):
    """A layer, and what follows it."""

    weights: Annotated[Numbers, "m d"]
    """W."""
    after: Callable[[Any, Any], Any]
    """(W x, context) of one sample -> outputs that the components have to keep, such as
    the contributions of all units."""
    read_out: Callable[[Any, Any], Any]
    """(x, context) of one sample -> outputs [P] whose variance is to be kept."""


class Families(NamedTuple):
    """One number for each family, and the rows of each."""

    kept: dict[str, Float[Array, " R"]]
    """Share of the variance of the read-out that the first k directions keep, in
    [0, 1]: 0 if a constant would do as well, or better."""
    rows: dict[str, Float[Array, "r d"]]
    """Unit directions that the family reads, the strongest first."""
    bases: dict[str, bases.Basis]
    """What is kept of x by these directions: see `bases.Basis`. Of `random`, one draw
    of those that `kept` is a mean over."""

    def summary(self) -> str:
        return "kept: " + ", ".join(
            f"{name} {float(x.mean()):.2f}" for name, x in self.kept.items()
        )


def fit(
    layer: Layer,
    inputs: Annotated[Numbers, "n d"],
    context: Annotated[Numbers, "n C"],
    others: Mapping[str, bases.Basis],
    key: Key[Array, ""],
    *,
    ranks: Sequence[int] = (1, 2, 4, 8),
    number: int = 16,
    cost: float = 0.03,
    steps: int = 300,
    batch: int = 128,
    draws: int = 4,
) -> Families:
    """The families of a layer, and what they keep at each rank.

      singular        right singular vectors of W
      data_weighted   of W Cov(x)^(1/2): the best for W x itself
      stacked         of the Jacobians of the read-out at single samples, stacked
      components      reads of the components of W, by importance times size
      random          random directions

    Args:
      layer: W, what follows it, and the read-out.
      inputs: [n, d] x.
      context: [n, C] what else the outputs depend on.
      others: further families by name, such as the directions that LEACE erases.
      key: for the components and the random directions.
      ranks: rising, at most d.
      number: of components, at least the largest rank.
      cost: weight of their importances, see `components.fit`.
      steps: of their search, whether it has converged or not.
      batch: samples of such a step.
      draws: of random directions.

    Raises:
      ValueError: a shape does not fit, or a setting is out of range.
    """
    w = validation.floats("weights", layer.weights, None, None)
    x = validation.floats("inputs", inputs, None, w.shape[1])
    c = validation.floats("context", context, len(x), None)
    ranks = [validation.integer("ranks", k, 1, w.shape[1]) for k in ranks]
    most = max(ranks)
    validation.integer("number", number, most)
    spd_key, random_key = jax.random.split(key)
    found = components.fit(
        layer.after,
        w,
        x,
        c,
        spd_key,
        components=number,
        cost=cost,
        steps=steps,
        max_steps=steps,
        batch=batch,
    )
    reads = _by_strength(found, x)
    slopes = jax.vmap(jax.jacrev(layer.read_out))(x[:JACOBIANS], c[:JACOBIANS])
    leading: dict[str, bases.Basis] = {
        "singular": bases.singular(w),
        "data_weighted": bases.data_weighted(w, x),
        "stacked": bases.stacked(slopes),
        "components": bases.from_directions(reads[: w.shape[1]]),
        **others,
    }
    every = {name: _first(basis, most) for name, basis in leading.items()}
    rows = {name: arrays.unit(basis.reads) for name, basis in every.items()}
    # made orthonormal they would no longer be what single components read
    rows["components"] = arrays.unit(reads[:most])
    shares = {
        name: kept(basis, layer.read_out, x, c, ranks) for name, basis in every.items()
    }
    drawn = bases.random(draws, most, x, random_key)
    each = jax.lax.map(lambda basis: kept(basis, layer.read_out, x, c, ranks), drawn)
    every["random"] = jax.tree.map(lambda leaf: leaf[0], drawn)
    rows["random"] = drawn.reads[0]
    return Families({**shares, "random": each.mean(axis=0)}, rows, every)


def kept(
    basis: bases.Basis,
    read_out: Callable[[Any, Any], Any],
    inputs: Annotated[Numbers, "n d"],
    context: Annotated[Numbers, "n C"],
    ranks: Sequence[int],
) -> Float[Array, " R"]:
    """Share of the variance of a read-out that the first k directions keep.

      max(0, 1 - mean |f(x_k) - f(x)|^2 / mean |f(x) - mean f|^2)

    x_k is the mean plus the first k directions of x. A read-out that is constant has
    nothing to keep: NaN.

    Args:
      basis: one basis.
      read_out: f, from (x, context) of one sample to outputs [P].
      inputs: [n, d] x.
      context: [n, C].
      ranks: numbers of directions k, each up to r.
    """
    x, c, mean, first_parts = _checked_parts(basis, inputs, context, ranks)
    outputs = jax.vmap(read_out)
    output = outputs(x, c)
    variance = jnp.square(output - output.mean(axis=0, keepdims=True)).sum()

    def at_rank(first: Array) -> Array:
        error = jnp.square(outputs(mean + first, c) - output).sum()
        share = jnp.maximum(1 - error / jnp.where(variance > 0, variance, 1.0), 0.0)
        return jnp.where(variance > 0, share, jnp.nan)

    return jax.lax.map(at_rank, first_parts)


def collisions(
    basis: bases.Basis,
    policy: Callable[[Any, Any], Any],
    inputs: Annotated[Numbers, "n d"],
    context: Annotated[Numbers, "n C"],
    ranks: Sequence[int],
) -> Float[Array, " R"]:
    """How much the policy differs between inputs that collide in k directions.

      mean TV(policy(k + n), policy(k - n)),  TV = sum |difference| / 2

    k is the mean plus the first k directions of an input, n the rest of it: k + n is
    the input itself, and k - n one that the directions do not tell from it. It is 0 if
    the directions hold all that the policy depends on.

    Args:
      basis: one basis.
      policy: from (x, context) of one sample to probabilities [A].
      inputs: [n, d] x.
      context: [n, C].
      ranks: numbers of directions k, each up to r.
    """
    x, c, mean, first_parts = _checked_parts(basis, inputs, context, ranks)
    outputs = jax.vmap(policy)
    own = outputs(x, c)

    def at_rank(first: Array) -> Array:
        other = outputs(2 * (mean + first) - x, c)
        return jnp.abs(other - own).sum(axis=1).mean() / 2

    return jax.lax.map(at_rank, first_parts)


def recovered(
    rows: Annotated[Numbers, "r d"], planted: Annotated[Numbers, "p d"]
) -> Float[Array, ""]:
    """Mean over planted directions of the largest |cos| to one of the first p rows."""
    rows = validation.floats("rows", rows, None, None)
    planted = validation.floats("planted", planted, None, rows.shape[1])
    cosines = jnp.abs(arrays.unit(planted) @ arrays.unit(rows[: len(planted)]).T)
    return cosines.max(axis=1).mean()


def plant(
    inputs: Annotated[Numbers, "n d"], key: Key[Array, ""], *, count: int = 4
) -> tuple[Layer, Float[Array, "p d"]]:
    """A layer whose reads are known: p units, each used in a part of the samples.

      y_j = relu(p_j . x - t_j) / s_j

    The p_j are orthonormal, each a random mixture of the leading principal directions
    of x. t_j is a quantile, so that unit j is above 0 in a share of the samples, and
    s_j the standard deviation of y_j. The singular values of W all tie: its singular
    directions are any basis of the span of the p_j.

    Args:
      inputs: [n, d] x.
      key: for the mixtures.
      count: p, at least 1.

    Returns:
      The layer, and p_j as rows.
    """
    x = validation.floats("inputs", inputs, None, None)
    count = validation.integer("count", count, 1, min(SPREAD_OVER, x.shape[1]))
    axes = bases.principal(x).reads[:SPREAD_OVER]
    mixture = jax.random.normal(key, (len(axes), count), x.dtype)
    planted = jnp.linalg.qr(mixture)[0].T @ axes
    # any rotation of the outputs leaves the layer what it is
    turn = jnp.linalg.qr(
        jax.random.normal(jax.random.fold_in(key, 1), (count, count), x.dtype)
    )[0]
    seen = x @ planted.T
    use = jnp.linspace(*USE, count).astype(x.dtype)
    threshold = jax.vmap(lambda column, share: jnp.quantile(column, 1 - share))(
        seen.T, use
    )
    size = jnp.maximum(seen - threshold[None], 0.0).std(axis=0)

    def after(pre: Any, rest: Any) -> Any:
        del rest
        return jax.nn.relu(turn.T @ pre - threshold) / size

    weights = turn @ planted
    return Layer(weights, after, lambda x, rest: after(weights @ x, rest)), planted


def _by_strength(
    found: components.Components, x: Float[Array, "n d"]
) -> Float[Array, "K d"]:
    """Reads of components, by mean importance times the size of what they write."""
    spread = (x @ found.read.T).std(axis=0)
    size = jnp.linalg.norm(found.write, axis=1) * spread
    return found.read[jnp.argsort(-found.importance.mean(axis=0) * size)]


def _first(basis: bases.Basis, count: int) -> bases.Basis:
    """The first directions, with rows of 0 where there are fewer."""
    missing = max(count - len(basis.reads), 0)
    return bases.Basis(
        jnp.pad(basis.values[:count], (0, missing)),
        *(
            jnp.pad(rows[:count], ((0, missing), (0, 0)))
            for rows in (basis.reads, basis.atoms)
        ),
    )


class _Parts(NamedTuple):
    """Checked samples, and what the leading directions have of them."""

    inputs: Float[Array, "n d"]
    context: Float[Array, "n C"]
    mean: Float[Array, "1 d"]
    first: Float[Array, "R n d"]
    """Component of each centred input along the first k directions, for each k."""


def _checked_parts(
    basis: bases.Basis,
    inputs: Annotated[Numbers, "n d"],
    context: Annotated[Numbers, "n C"],
    ranks: Sequence[int],
) -> _Parts:
    x = validation.floats("inputs", inputs, None, None)
    c = validation.floats("context", context, len(x), None)
    mean = x.mean(axis=0, keepdims=True)
    return _Parts(x, c, mean, _first_parts(basis, x - mean, ranks))


def _first_parts(
    basis: bases.Basis, centred: Float[Array, "n d"], ranks: Sequence[int]
) -> Float[Array, "R n d"]:
    """The component of x along the first k directions, for each k."""
    ranks = [validation.integer("ranks", k, 0, len(basis.reads)) for k in ranks]
    masks = jnp.arange(len(basis.reads))[None] < jnp.asarray(ranks)[:, None]
    coefficients = centred @ basis.reads.T
    return jnp.where(masks[:, None], coefficients[None], 0.0) @ basis.atoms
