"""Many small heads taught one table of values at once: the engine of `recovery`.

Heads of one family but of different size are one compiled program: all have the shape
of the largest, and what a smaller one lacks starts at a point that no gradient leaves.

Symbols: n rows, d features, K parts, M models (sizes times restarts), Z sizes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree

from shardsim.agents import value
from shardsim.inspection import optimizers

SHUT = -1e9
"""Gate bias of a part that a model does not have: its softmax is exactly 0."""


COMPETE = 0.7
"""Share of the steps in which parts compete, in the restarts where they do."""
NARROW = 0.1
"""The sd at the end of the competition, of values of variance 1."""
ROWS = 8_192
"""Rows asked about at once: bounds the memory."""


class Sizes(NamedTuple):
    """How large each model of a family is, and the head that holds the largest."""

    head: value.Head
    width: int
    """Hidden units of the largest; of each part, for shards."""
    widths: Int[Array, " Z"]
    ranks: Int[Array, " Z"]
    """Parts of shards, modulators of FiLM, 1 for a network."""
    parameters: Int[Array, " Z"]


def shard_sizes(features: int, counts: Sequence[int], width: int) -> Sizes:
    """Softmax-gated shards, `width` units each; only their number grows."""
    heads = [value.Sharded(num_shards=k) for k in counts]
    sizes = [value.count_parameters(head, features, 1, width) for head in heads]
    return Sizes(
        value.Sharded(num_shards=max(counts)),
        width,
        jnp.full(len(heads), width),
        jnp.asarray(counts),
        jnp.asarray(sizes),
    )


def matched_sizes(
    features: int, heads: Sequence[value.Head], ranks: Sequence[int], like: Sizes
) -> Sizes:
    """Widths at which heads have as many parameters as `like`, or a few more.

    A control never has fewer: what shards win, they don't win by size.
    """
    widths, sizes = [], []
    for head, budget in zip(heads, like.parameters.tolist(), strict=True):
        one, two = (value.count_parameters(head, features, 1, w) for w in (1, 2))
        width = max(1, -(-(budget - one) // (two - one)) + 1)
        widths.append(width)
        sizes.append(value.count_parameters(head, features, 1, width))
    largest = heads[max(range(len(heads)), key=lambda i: ranks[i])]
    return Sizes(
        largest,
        max(widths),
        jnp.asarray(widths),
        jnp.asarray(ranks),
        jnp.asarray(sizes),
    )


def _cut(
    state: Any, head: value.Head, width: Int[Array, ""], rank: Int[Array, ""]
) -> Any:
    """Take away the units and parts that a smaller model lacks, for good.

    A unit whose weights are all 0 stays at relu(0), which has no slope; a shard whose
    gate is 0 gets no credit; a modulator that is 0 and isn't read stays 0.
    """
    if isinstance(head, value.Sharded):
        bias = state["gate"]["bias"]
        bias.set_value(
            jnp.where(jnp.arange(head.num_shards) < rank, bias[...], SHUT).astype(
                bias[...].dtype
            )
        )
        return state
    hidden = state["hidden"]["kernel"]
    units = (jnp.arange(hidden.shape[1]) < width).astype(hidden[...].dtype)
    layers: list[tuple[str, Array, Array | None]] = [("hidden", units, None)]
    if isinstance(head, value.FiLM):
        codes = (jnp.arange(head.rank) < rank).astype(units.dtype)
        layers += [("code", codes, None)]
        layers += [(name, units, codes) for name in ("scale", "shift")]
    for name, outputs, inputs in layers:
        kernel = state[name]["kernel"]
        cut = kernel[...] * outputs[None]
        kernel.set_value(cut if inputs is None else cut * inputs[:, None])
    return state


def build(
    key: Key[Array, ""], sizes: Sizes, features: int, restarts: int, dtype: Any
) -> tuple[Any, PyTree]:
    """Untrained models [M], sizes outside and restarts inside: graph and arrays.

    Restart r draws from the same key at every size.
    """
    graph = nnx.split(
        nnx.eval_shape(lambda: sizes.head.build(features, 1, sizes.width, nnx.Rngs(0)))
    )[0]

    def one(key: Array, width: Array, rank: Array) -> PyTree:
        module = sizes.head.build(features, 1, sizes.width, nnx.Rngs(key))
        state = jax.tree.map(lambda leaf: leaf.astype(dtype), nnx.split(module)[1])
        return _cut(state, sizes.head, width, rank)

    keys = jnp.tile(jax.random.split(key, restarts), len(sizes.widths))
    widths, ranks = (jnp.repeat(a, restarts) for a in (sizes.widths, sizes.ranks))
    return graph, jax.vmap(one)(keys, widths, ranks)


def predict(
    graph: Any, state: PyTree, x: Float[Array, "n d"]
) -> tuple[Float[Array, " n"], Float[Array, "n K"], Float[Array, "n K"]]:
    """Value, gates and parts of one model in every row."""
    head = nnx.merge(graph, state)
    none = jnp.zeros((1,), x.dtype)
    said = jax.vmap(lambda row: head(row, none))(x)
    return said.value, said.gates, said.shard_values


def apart(
    gates: Float[Array, "n K"],
    parts: Float[Array, "n K"],
    y: Float[Array, " n"],
    sd: Float[Array, ""],
) -> Float[Array, ""]:
    """Parts compete: minus sd^2 times the log-likelihood of a mixture.

    loss = -sd^2 mean log sum_k g_k exp(-(y - v_k)^2 / (2 sd^2))

    A part is corrected where it is already the best and its gate follows, so that parts
    specialise. With one part this is half the mean squared error.

    Reference: Jacobs, Jordan, Nowlan and Hinton, Adaptive mixtures of local experts,
    1991.
    """
    fit = -0.5 * jnp.square((parts - y[:, None]) / sd)
    open_ = gates > 0
    odds = jnp.where(open_, jnp.log(jnp.where(open_, gates, 1.0)), -jnp.inf)
    return -jnp.mean(jax.nn.logsumexp(odds + fit, axis=-1)) * jnp.square(sd)


def train(
    key: Key[Array, ""],
    graph: Any,
    states: PyTree,
    compete: Float[Array, " M"],
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    steps: int,
    batch: int,
    rate: float,
) -> PyTree:
    """Adam on mini-batches, the same rows for every model; y has a variance of 1.

    For the first share `compete` of the steps parts compete (`apart`), with an sd that
    falls from 1 to `NARROW`; then comes half the mean squared error of the whole. The
    rate falls to 0 along a cosine.
    """

    drawn = jax.random.randint(key, (steps, batch), 0, len(x))

    def descend(state: PyTree, until: Array) -> PyTree:
        def loss(s: PyTree, number: Array) -> Array:
            rows, targets = x[drawn[number]], y[drawn[number]]
            share = number.astype(x.dtype) / steps
            whole, gates, parts = predict(graph, s, rows)
            sd = NARROW ** jnp.minimum(share / jnp.where(until > 0, until, 1.0), 1.0)
            together = 0.5 * jnp.mean(jnp.square(whole - targets))
            return jnp.where(share < until, apart(gates, parts, targets, sd), together)

        return optimizers.adam(loss, state, steps, rate, "cosine").parameters

    return jax.vmap(descend)(states, compete)


def fit(
    key: Key[Array, ""],
    sizes: Sizes,
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    restarts: int,
    steps: int,
    batch: int,
    rate: float,
) -> tuple[Any, PyTree]:
    """Teach all models of a family: graph and arrays [M], for `ask`.

    Parts compete first in every other restart, beginning with the first; in the rest
    only the whole counts. Which is better depends on what is taught.
    """
    graph, states = build(key, sizes, x.shape[1], restarts, x.dtype)
    compete = jnp.where(jnp.arange(restarts) % 2 == 0, COMPETE, 0.0).astype(x.dtype)
    compete = jnp.tile(compete, len(sizes.widths))
    return graph, _train(key, graph, states, compete, x, y, steps, batch, rate)


def ask(
    graph: Any, states: PyTree, x: Float[Array, "n d"]
) -> tuple[Float[Array, "M n"], Float[Array, "M n K"], Float[Array, "M n K"]]:
    """Value, gates and parts of every model in every row."""
    pieces = [
        _predict(graph, states, x[start : start + ROWS])
        for start in range(0, len(x), ROWS)
    ]
    value, gates, parts = (
        jnp.concatenate(leaves, axis=1) for leaves in zip(*pieces, strict=True)
    )
    return value, gates, parts


_train = jax.jit(train, static_argnames=("graph", "steps", "batch"))
_predict = jax.jit(jax.vmap(predict, (None, 0, None)), static_argnums=0)
