"""The laws of value heads. Symbols: D features, C contexts, K shards, U units."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import test_util

from shardsim.agents import value
from shardsim.testing import law

WIDTH = 5
SAMPLES = 4


def check_head(
    config: Any,
    *,
    features: int = 6,
    contexts: int = 2,
    has_slope: bool = True,
) -> None:
    """Check a value head: V is 0 at first, parts add up, gates, gradients, `jit`.

    Args:
      config: of the head, as it stands in an experiment.
      features: D, the number of features that it is built for.
      contexts: C, the number of contexts.
      has_slope: whether gradients are those of V; False for a head that stops some of
        them by design.

    Raises:
      AssertionError: a law is broken; the text says which.

    Examples:
      >>> from shardsim import testing
      >>> from shardsim.agents.value import Sharded
      >>> testing.check_head(Sharded(num_shards=3))
    """
    what = f"head {getattr(config, 'kind', type(config).__name__)!r}"
    law.frozen(what, config)
    law.has(what, config, "build")
    fresh = config.build(features, contexts, WIDTH, nnx.Rngs(3))
    given = f"{what}, whose `build` gives {type(fresh).__name__}"
    law.has(given, fresh, "unit_shard", "__call__")
    z = jax.random.normal(jax.random.key(0), (SAMPLES, features))
    context = jnp.eye(contexts)[jnp.arange(SAMPLES) % contexts]
    first = jax.vmap(fresh.__call__)(z, context)
    law.hold(what, "V is not 0 before training", first.value == 0)
    head = _randomised(fresh)
    out = head(z[0], context[0])
    _check_parts(what, head, out)
    mapped = jax.jit(lambda h: jax.vmap(h.__call__)(z, context))(head)
    each = [head(*pair).value for pair in zip(z, context, strict=True)]
    law.close(what, "V differs under `jit` and `vmap`", mapped.value, each)
    counts = [value.count_parameters(config, features, contexts, w) for w in (3, 5, 7)]
    linear = counts[2] - counts[1] == counts[1] - counts[0]
    law.hold(what, f"parameters are not linear in the width: {counts}", linear)
    if has_slope:
        _check_slope(what, head, z[0], context[0])


def _check_parts(what: str, head: Any, out: value.ValueOutput) -> None:
    """The two decompositions of V, and what is left without a part."""
    of_shards = (out.gates * out.shard_values).sum()
    law.close(what, "V is not the sum of gates * shard_values", of_shards, out.value)
    law.close(what, "V is not the sum of its units", out.units.sum(), out.value)
    law.hold(what, "gates are not in [0, 1]", (out.gates >= 0) & (out.gates <= 1))
    alike = out.gates.shape == out.shard_values.shape
    law.hold(what, "gates and shard_values have different shapes", alike)
    alike = out.units.shape == head.unit_shard.shape
    law.hold(what, "units and unit_shard have different shapes", alike)
    shards = set(range(len(out.gates)))
    named = set(np.asarray(head.unit_shard).tolist())
    law.hold(what, f"unit_shard names {named}; allowed: {shards}", named == shards)
    for part in shards:
        keep = (head.unit_shard != part).astype(jnp.float32)
        less = value.mask_units(out, head.unit_shard, keep)
        rest = out.value - out.gates[part] * out.shard_values[part]
        told = f"units of shard {part} do not add up to its part of V"
        law.close(what, told, less.value, rest)


def _check_slope(what: str, head: Any, z: jax.Array, context: jax.Array) -> None:
    graph, state = nnx.split(head)

    def of_arrays(*leaves: Any) -> jax.Array:
        restored, x = jax.tree.map(jnp.asarray, leaves)
        out: jax.Array = nnx.merge(graph, restored)(x, context).value
        return out

    try:
        test_util.check_grads(
            of_arrays, (state, z), order=1, modes=["rev"], rtol=0.03, atol=0.03
        )
    except AssertionError as error:
        line = " ".join(str(error).split())[:200]
        told = f"{what}: gradients are not the slope of V: {line}"
        raise AssertionError(told) from None


def _randomised(module: Any) -> Any:
    """A head whose parameters are all random, as after training."""
    graph, state = nnx.split(module)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return nnx.merge(graph, jax.tree.unflatten(tree, drawn))
