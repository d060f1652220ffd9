"""Train E and all members of one seed, or build members from others.

E is trained first, to tell which context shows and what the level is worth in each of
the contexts. Then every member is fitted to values on the features of E, which stays as
it is: members of a seed share E, its features and their batches, and differ in V alone.

Symbols: C contexts, n states, D features, F sources, r row numbers.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree

from shardsim.agents import chain, encoders, value
from shardsim.agents.value import base
from shardsim.algorithms import losses
from shardsim.core.jit import jit
from shardsim.evaluation.zoo import nets
from shardsim.evaluation.zoo.config import (
    Blended,
    Fit,
    Member,
    RandomReadout,
    Rotated,
    Trained,
    ZooConfig,
)
from shardsim.evaluation.zoo.states import Pool
from shardsim.inspection import optimizers
from shardsim.inspection.shards import distillation
from shardsim_envs import ContextFruits

CONTEXT_WEIGHT = 0.1
"""Loss weight of the context beside that of the values, which have variance 1."""


Others: TypeAlias = Callable[[str], nets.Net]
"""The network of a member by its name."""


class Examples(NamedTuple):
    """What the members of one seed are fitted to."""

    features: Float[Array, "C n D"]
    """Of the trained E."""
    value: Float[Array, "C n"]
    """V*."""
    sources: Float[Array, "C n F"]
    shuffled: Int[Array, "C n"]
    """A context that is drawn at random for each board."""


def seed_key(config: ZooConfig, seed: int) -> Key[Array, ""]:
    """The key of all that is drawn for a seed."""
    return jax.random.fold_in(jax.random.key(config.seed), seed)


def member_key(config: ZooConfig, seed: int) -> Key[Array, ""]:
    """The key of the members of a seed; all have the same, so that batches agree."""
    return jax.random.fold_in(seed_key(config, seed), 1)


def build_encoder(config: ZooConfig, key: Key[Array, ""]) -> encoders.MLP:
    """E before its training."""
    shape = config.env.observation_shape
    return cast(encoders.MLP, config.encoder.build(shape, nnx.Rngs(key)))


def train_encoder(config: ZooConfig, pool: Pool, seed: int) -> encoders.MLP:
    """E of a seed, trained on the states of the pool."""
    graph, state = nnx.split(build_encoder(config, seed_key(config, seed)))
    values = pool.value / pool.value.std()
    spec = _EncoderSpec(config.fit_encoder, config.env)
    key = jax.random.fold_in(seed_key(config, seed), 0)
    trained = _train_encoder(spec, graph, state, key, pool.rows, values)
    return cast(encoders.MLP, nnx.merge(graph, trained))


class _EncoderSpec(NamedTuple):
    """What is static in the training of E."""

    fit: Fit
    env: ContextFruits


@functools.partial(jit, static_argnums=(0, 1))
def _train_encoder(
    spec: _EncoderSpec,
    graph: Any,
    state: PyTree,
    key: Key[Array, ""],
    rows: Int[Array, "C n r"],
    values: Float[Array, "C n"],
) -> PyTree:
    start_key, batch_key = jax.random.split(key)
    contexts, count = values.shape
    fit, patterns = spec.fit, spec.env.patterns
    assert patterns is not None  # boards of this world always have some
    features = nnx.merge(graph, state).layers[-1].kernel.shape[-1]
    readout = nnx.Linear(features, 2 * contexts, rngs=nnx.Rngs(start_key))
    readout_graph, readout_state = nnx.split(readout)

    def loss(parameters: Any, step: Array) -> Array:
        state, readout_state = parameters
        at, shown = _batch(jax.random.fold_in(batch_key, step), fit, count, contexts)
        net = nnx.merge(graph, state).on_rows(patterns)
        features = jax.vmap(net)(rows[shown, at])
        read = jax.vmap(nnx.merge(readout_graph, readout_state))(features)
        error = read[:, :contexts] - values[:, at].T
        telling = optax.softmax_cross_entropy_with_integer_labels(
            read[:, contexts:], shown
        )
        return jnp.square(error).mean() + CONTEXT_WEIGHT * telling.mean()

    start = (state, readout_state)
    trained, _ = optimizers.adam(loss, start, fit.steps, fit.rate, "cosine").parameters
    return trained


def _batch(
    key: Key[Array, ""], fit: Fit, count: int, contexts: int
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """States and contexts of a step."""
    state_key, context_key = jax.random.split(key)
    at = jax.random.randint(state_key, (fit.batch,), 0, count)
    return at, jax.random.randint(context_key, (fit.batch,), 0, contexts)


@functools.partial(jit, static_argnums=(0,))
def features_of(
    env: ContextFruits, encoder: encoders.MLP, rows: Int[Array, "m n r"]
) -> Float[Array, "m n D"]:
    """The features of E of observations that are row numbers."""
    patterns = env.patterns
    assert patterns is not None
    # one row of the first axis after another, to bound the memory
    return jax.lax.map(jax.vmap(encoder.on_rows(patterns)), rows)


def examples(
    config: ZooConfig, pool: Pool, encoder: encoders.MLP, seed: int
) -> Examples:
    """What the members of a seed are fitted to."""
    key = jax.random.fold_in(seed_key(config, seed), 2)
    drawn = shuffled_contexts(config, key, int(pool.level.max()) + 1)
    # another draw in each context, or a label would tell the others of a board
    shuffled = np.stack(
        [np.roll(drawn, c)[pool.level] for c in range(config.env.contexts)]
    )
    return Examples(
        features_of(config.env, encoder, jnp.asarray(pool.rows)),
        jnp.asarray(pool.value),
        jnp.asarray(pool.sources),
        jnp.asarray(shuffled),
    )


def shuffled_contexts(
    config: ZooConfig, key: Key[Array, ""], levels: int
) -> Int[np.ndarray, " L"]:
    """A context for each level that tells nothing of the level."""
    return np.asarray(jax.random.randint(key, (levels,), 0, config.env.contexts))


def untrained(config: ZooConfig, member: Member, others: Others, seed: int) -> nets.Net:
    """The network of a member before it is trained, or as it is built.

    Args:
      others: networks of the members that it is built from.
    """
    key = member_key(config, seed)
    features, contexts = config.encoder.features, config.env.contexts
    match member:
        case Trained() | RandomReadout():
            adapter: nets.Adapter = nets.Identity()
            if isinstance(member, Trained) and member.encoder == "modular":
                module_key = jax.random.fold_in(key, 1)
                adapter = nets.Modules(features, contexts, nnx.Rngs(module_key))
            sized = size(config, member)
            head = sized.head.build(features, contexts, sized.width, nnx.Rngs(key))
            return nets.Net(adapter, head)
        case Rotated(of=of):
            return nets.rotated(others(of), features, jax.random.fold_in(key, 2))
        case Blended(first=first, second=second, weight=weight):
            one, other = (cast(base.GatedHead, others(n).head) for n in (first, second))
            return nets.Net(nets.Identity(), nets.BlendedHead(one, other, weight))


def size(config: ZooConfig, member: Trained | RandomReadout) -> nets.Sized:
    """The head of a member, with the width at which it has its share of parameters.

    Raises:
      ValueError: it cannot meet it.
    """
    share = member.params_share if isinstance(member, Trained) else 1.0
    budget = round(share * config.value_params)
    features, contexts = config.encoder.features, config.env.contexts
    width = value.solve_width(member.head, features, contexts, budget)
    return nets.Sized(member.head, width)


def make(
    config: ZooConfig,
    name: str,
    given: Examples,
    others: Others,
    seed: int,
) -> nets.Net:
    """Train or build one member of a seed.

    Args:
      name: of the member.
      given: the values, on the features of E of this seed.
      others: networks of earlier members.
    """
    member = config.members[name]
    net = untrained(config, member, others, seed)
    key = jax.random.fold_in(member_key(config, seed), 3)
    match member:
        case Trained():
            targets = _targets(member, given, others)
            graph, state = nnx.split(net)
            true = jnp.arange(len(given.value))[:, None]
            labels = jnp.broadcast_to(true, given.value.shape)
            if member.context == "shuffled":
                labels = given.shuffled
            spec = _Spec(
                member.fit or config.fit_members,
                member.head,
                member.target,
                member.competition,
            )
            unit = float(given.value.std())
            trained = _train(
                spec, graph, state, key, given.features, labels, targets / unit
            )
            net = nnx.merge(graph, trained)
            return _scaled(net, unit)
        case RandomReadout():
            return _random(net, key, given)
        case Rotated() | Blended():
            return net


class _Spec(NamedTuple):
    """What is static in the training of a member."""

    fit: Fit
    head: value.HeadConfig
    target: str
    competition: float


def _targets(
    member: Trained, given: Examples, others: Others
) -> Float[Array, "C n *F"]:
    if member.target == "sources":
        return given.sources
    if member.teacher is None:
        return given.value
    return values(others(member.teacher), given.features)


@jit
def values(net: nets.Net, features: Float[Array, "C n D"]) -> Float[Array, "C n"]:
    """V in states of each context, where the gates get the true one."""
    eye = jnp.eye(features.shape[0])

    def of_context(features: Array, context: Array) -> Array:
        return jax.vmap(lambda z: net(z, context, context).value)(features)

    return jax.vmap(of_context)(features, eye)


@functools.partial(jit, static_argnums=(0, 1))
def _train(
    spec: _Spec,
    graph: Any,
    state: PyTree,
    key: Key[Array, ""],
    features: Float[Array, "C n D"],
    labels: Int[Array, "C n"],
    targets: Float[Array, "C n *F"],
) -> PyTree:
    """Minimise the error of V, of each part, or of each source."""
    contexts, count = labels.shape

    def loss(state: PyTree, step: Array) -> Array:
        net = nnx.merge(graph, state)
        at, shown = _batch(jax.random.fold_in(key, step), spec.fit, count, contexts)

        def of_state(z: Array, context: Array, label: Array, target: Array) -> Array:
            one_hot = jax.nn.one_hot(jnp.stack([context, label]), contexts)
            output = net(z, one_hot[0], one_hot[1])
            if spec.target == "sources":
                parts = output.gates * output.shard_values
                return 0.5 * jnp.square(target - parts).sum()
            return losses.value_loss(output, target, spec.head)

        batch = (features[shown, at], shown, labels[shown, at], targets[shown, at])
        if not spec.competition:
            return jax.vmap(of_state)(*batch).mean()
        progress = step.astype(features.dtype) / (spec.competition * spec.fit.steps)
        return jax.lax.cond(
            progress < 1,
            lambda: _competing(net, batch[0], batch[3], progress),
            lambda: jax.vmap(of_state)(*batch).mean(),
        )

    descent = optimizers.adam(loss, state, spec.fit.steps, spec.fit.rate, "cosine")
    return descent.parameters


def _competing(
    net: nets.Net,
    features: Float[Array, "B D"],
    targets: Float[Array, " B"],
    progress: Float[Array, ""],
) -> Float[Array, ""]:
    """The loss under which parts compete, as in `distillation.train`."""
    head = cast(Any, net.head)

    def parts(z: Array) -> tuple[Array, Array]:
        values = (chain.run(head.stages(), z) * head.kernel[...]).sum(axis=-1)
        return jax.nn.softmax(head.gate(z)), values + head.bias[...]

    gates, values = jax.vmap(parts)(features)
    sd = distillation.FINAL_SD**progress
    return distillation.mixture_loss(gates, values, targets, sd)


def _scaled(net: nets.Net, unit: float) -> nets.Net:
    """The network with V in units of reward: it was fitted in units of sd(V*)."""
    head = cast(Any, net.head)
    head.kernel.set_value(head.kernel[...] * unit)
    head.bias.set_value(head.bias[...] * unit)
    return net


def _random(net: nets.Net, key: Key[Array, ""], given: Examples) -> nets.Net:
    """The network with a random read-out, whose V has the mean and spread of V*."""
    head = cast(Any, net.head)
    head.kernel.set_value(jax.random.normal(key, head.kernel[...].shape))
    drawn = values(net, given.features)
    scale = float(given.value.std() / drawn.std())
    head.kernel.set_value(head.kernel[...] * scale)
    shift = given.value.mean() - scale * drawn.mean()
    head.bias.set_value(jnp.full_like(head.bias[...], shift))
    return net
