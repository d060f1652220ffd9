"""Fit many small value heads to one table of values at once; `recovery` uses it.

Heads of one family but different sizes run as one compiled program. All have the shape
of the largest head. Units and shards that a smaller head lacks start at a point with
zero gradient and stay there.

Symbols: n rows, d features, K shards, M models (sizes times restarts), Z sizes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from shardsim.agents import value
from shardsim.inspection import optimizers, validation

CLOSED_GATE_BIAS = -1e9
"""Gate bias of a shard that a model does not have: its softmax gate is exactly 0."""
COMPETITION_FRACTION = 0.7
"""Fraction of the first steps in which shards compete, in restarts where they do."""
TOLERANCE = 0.0025
"""Half the mean squared error, for values of variance 1, that a round has to gain: .005
of R^2. A longer search that gains less ends the training."""
FINAL_SD = 0.1
"""Standard deviation of the mixture when competition ends; values have variance 1."""
ROWS_PER_CALL = 8_192
"""Rows predicted in one call, to bound the memory."""


class Sizes(NamedTuple):
    """The size of each model of a family, and the config of the largest head."""

    head: value.HeadConfig
    """Config of the largest head."""
    width: int
    """Hidden units of the largest head; for shards, of each shard."""
    widths: Int[Array, " Z"]
    """Hidden units at each size."""
    ranks: Int[Array, " Z"]
    """Number of shards, rank of FiLM, or 1 for a network."""
    parameters: Int[Array, " Z"]
    """Number of parameters at each size."""


class Fit(NamedTuple):
    """The trained models, ordered by size, then by restart."""

    graph: Any
    """NNX graph of the largest head."""
    states: PyTree
    """Leaves [M, ...]."""
    converged: Bool[Array, " M"]
    """Whether more steps would not improve a model by `TOLERANCE`."""
    steps: Int[Array, " M"]
    """Steps of each model."""


def shard_sizes(features: int, counts: Sequence[int], width: int) -> Sizes:
    """Sizes of softmax-gated heads whose number of shards varies.

    Args:
      features: d.
      counts: number of shards at each size.
      width: hidden units of each shard.
    """
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
    features: int, heads: Sequence[value.HeadConfig], ranks: Sequence[int], like: Sizes
) -> Sizes:
    """Sizes at which heads have as many parameters as `like`, or a few more.

    A control never has fewer parameters, so an advantage of shards is not due to size.

    Args:
      features: d.
      heads: config of the head at each size.
      ranks: rank of FiLM at each size, or 1 for a network.
      like: the sizes to match.
    """
    widths, sizes = [], []
    for head, budget in zip(heads, like.parameters.tolist(), strict=True):
        width_1, width_2 = (
            value.count_parameters(head, features, 1, w) for w in (1, 2)
        )
        width = max(1, -(-(budget - width_1) // (width_2 - width_1)) + 1)
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


def _remove_missing(state: Any, width: Int[Array, ""], rank: Int[Array, ""]) -> Any:
    """Remove the units and shards that a smaller model lacks, for all of training.

    A unit whose weights are all 0 stays at relu(0), where the gradient is 0. A shard
    whose gate is 0 gets no gradient. A modulator that is 0 and is not read stays 0.
    """
    if "gate" in state:
        bias = state["gate"]["bias"]
        is_open = jnp.arange(bias[...].shape[-1]) < rank
        bias.set_value(
            jnp.where(is_open, bias[...], CLOSED_GATE_BIAS).astype(bias[...].dtype)
        )
        return state
    hidden = state["hidden"]["kernel"]
    units = (jnp.arange(hidden.shape[1]) < width).astype(hidden[...].dtype)
    layers: list[tuple[str, Array, Array | None]] = [("hidden", units, None)]
    if "code" in state:
        code = state["code"]["kernel"][...]
        codes = (jnp.arange(code.shape[1]) < rank).astype(units.dtype)
        layers += [("code", codes, None)]
        layers += [(name, units, codes) for name in ("scale", "shift")]
    for name, outputs, inputs in layers:
        kernel = state[name]["kernel"]
        masked = kernel[...] * outputs[None]
        kernel.set_value(masked if inputs is None else masked * inputs[:, None])
    return state


def build(
    sizes: Sizes, features: int, restarts: int, dtype: Any, key: Key[Array, ""]
) -> tuple[Any, PyTree]:
    """Initialise the M models of a family.

    Args:
      sizes: of the models.
      features: d.
      restarts: models of each size.
      dtype: of all parameters.
      key: split over restarts; restart r uses the same key at every size.

    Returns:
      The NNX graph of the largest head, and the state of all models: leaves [M, ...],
      ordered by size, then by restart.
    """
    graph = nnx.split(
        nnx.eval_shape(lambda: sizes.head.build(features, 1, sizes.width, nnx.Rngs(0)))
    )[0]

    def build_one(
        key: Key[Array, ""], width: Int[Array, ""], rank: Int[Array, ""]
    ) -> PyTree:
        module = sizes.head.build(features, 1, sizes.width, nnx.Rngs(key))
        state = jax.tree.map(lambda leaf: leaf.astype(dtype), nnx.split(module)[1])
        return _remove_missing(state, width, rank)

    keys = jnp.tile(jax.random.split(key, restarts), len(sizes.widths))
    widths, ranks = (jnp.repeat(a, restarts) for a in (sizes.widths, sizes.ranks))
    return graph, jax.vmap(build_one)(keys, widths, ranks)


def predict(
    graph: Any, state: PyTree, x: Float[Array, "n d"]
) -> tuple[Float[Array, " n"], Float[Array, "n K"], Float[Array, "n K"]]:
    """Value, gates and shard values of one model in every row."""
    head = nnx.merge(graph, state)
    no_context = jnp.zeros((1,), x.dtype)
    output = jax.vmap(lambda row: head(row, no_context))(x)
    return output.value, output.gates, output.shard_values


def mixture_loss(
    gates: Float[Array, "n K"],
    shard_values: Float[Array, "n K"],
    y: Float[Array, " n"],
    sd: Float[Array, ""],
) -> Float[Array, ""]:
    """Loss under which shards compete: -sd^2 times the log-likelihood of a mixture.

      loss = -sd^2 mean log sum_k g_k exp(-(y - v_k)^2 / (2 sd^2))

    A shard learns mostly from rows where it is already the best, and its gate follows,
    so that shards specialise. With one shard this is half the mean squared error.

    Args:
      gates: g_k, each row sums to 1.
      shard_values: v_k.
      y: targets.
      sd: standard deviation of each component, in units of y.

    Reference: Jacobs, Jordan, Nowlan and Hinton, Adaptive mixtures of local experts,
    1991.
    """
    log_density = -0.5 * jnp.square((shard_values - y[:, None]) / sd)
    is_open = gates > 0
    log_gates = jnp.where(is_open, jnp.log(jnp.where(is_open, gates, 1.0)), -jnp.inf)
    log_mixture = jax.nn.logsumexp(log_gates + log_density, axis=-1)
    return -jnp.mean(log_mixture) * jnp.square(sd)


def train(
    graph: Any,
    states: PyTree,
    competition: Float[Array, " M"],
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    key: Key[Array, ""],
    *,
    steps: int,
    max_steps: int,
    batch: int,
    rate: float | Float[Array, ""],
) -> Fit:
    """Train all models by Adam on mini-batches; every model sees the same rows.

    Shards compete (`mixture_loss`) in the first fraction `competition` of the first
    steps, with an sd that falls from 1 to `FINAL_SD`. After that the loss is half the
    mean squared error of V. The learning rate falls to 0 along a cosine. A model goes
    on in rounds until a round gains less than `TOLERANCE` (`optimizers.descend`).

    Args:
      graph: NNX graph of the head.
      states: of all models, leaves [M, ...].
      competition: fraction of the steps in which shards compete, in [0, 1].
      x: features.
      y: values, scaled to variance 1.
      key: for the mini-batches.
      steps: of the first round of Adam.
      max_steps: of all rounds, at least `steps`.
      batch: rows per step.
      rate: first learning rate of a round.
    """
    batch_rows = jax.random.randint(key, (steps, batch), 0, len(x))
    # every so many rows judge a round, to bound the memory
    judged = slice(None, None, -(-len(x) // ROWS_PER_CALL))

    def train_one(state: PyTree, competition: Float[Array, ""]) -> optimizers.Descent:
        def full(state: PyTree) -> Float[Array, ""]:
            predicted, _, _ = predict(graph, state, x[judged])
            return 0.5 * jnp.mean(jnp.square(predicted - y[judged]))

        def loss(state: PyTree, step: Int[Array, ""]) -> Float[Array, ""]:
            drawn = batch_rows[step % steps]
            rows, targets = x[drawn], y[drawn]
            progress = step.astype(x.dtype) / steps
            predicted, gates, shard_values = predict(graph, state, rows)
            competes = competition > 0
            annealed = progress / jnp.where(competes, competition, 1.0)
            sd = FINAL_SD ** jnp.minimum(annealed, 1.0)
            squared_error = 0.5 * jnp.mean(jnp.square(predicted - targets))
            mixture = mixture_loss(gates, shard_values, targets, sd)
            return jnp.where(progress < competition, mixture, squared_error)

        return optimizers.descend(
            loss, full, state, steps, max_steps, rate, "cosine", TOLERANCE
        )

    ends = jax.vmap(train_one)(states, competition)
    return Fit(graph, ends.parameters, ends.converged, ends.steps)


def fit(
    sizes: Sizes,
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    key: Key[Array, ""],
    *,
    restarts: int = 4,
    steps: int = 1_500,
    max_steps: int | None = None,
    batch: int = 256,
    rate: float = 0.03,
) -> Fit:
    """Initialise and train all models of a family.

    Shards compete first in every other restart, beginning with the first restart. The
    other restarts minimise the squared error of V from the start. Which one fits better
    depends on the values.

    Args:
      sizes: of the models.
      x: features.
      y: values, scaled to variance 1.
      key: for initial weights and mini-batches.
      restarts: models of each size.
      steps: of the first round of Adam.
      max_steps: of all rounds; 16 times `steps` if None. A restart may lie on a plateau
        for a round and leave it in the next: with 4 times `steps`, six of 32 restarts
        of shards and FiLM were stopped on their way, and none with 16.
      batch: rows per step.
      rate: first learning rate of a round.
    """
    max_steps = 16 * steps if max_steps is None else max_steps
    for name, number in (("restarts", restarts), ("steps", steps), ("batch", batch)):
        validation.at_least(name, number, 1)
    validation.at_least("max_steps", max_steps, steps)
    graph, states = build(sizes, x.shape[1], restarts, x.dtype, key)
    competes = jnp.arange(restarts) % 2 == 0
    competition = jnp.where(competes, COMPETITION_FRACTION, 0.0).astype(x.dtype)
    competition = jnp.tile(competition, len(sizes.widths))
    result: Fit = _train(
        graph,
        states,
        competition,
        x,
        y,
        key,
        steps=steps,
        max_steps=max_steps,
        batch=batch,
        rate=rate,
    )
    advice = "allow more max_steps"
    optimizers.warn_unconverged("distillation", result.converged, advice)
    return result


def predict_all(
    graph: Any, states: PyTree, x: Float[Array, "n d"]
) -> tuple[Float[Array, "M n"], Float[Array, "M n K"], Float[Array, "M n K"]]:
    """Value, gates and shard values of every model in every row."""
    chunks = [
        _predict(graph, states, x[start : start + ROWS_PER_CALL])
        for start in range(0, len(x), ROWS_PER_CALL)
    ]
    value, gates, shard_values = (
        jnp.concatenate(leaves, axis=1) for leaves in zip(*chunks, strict=True)
    )
    return value, gates, shard_values


_train = jax.jit(train, static_argnames=("graph", "steps", "max_steps", "batch"))
_predict = jax.jit(jax.vmap(predict, (None, 0, None)), static_argnums=0)
