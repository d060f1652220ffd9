"""Sites: named activations of E, D and V that can be read and replaced.

A run is a pure function. Nothing is hooked into the agent, so nothing leaks into later
runs. Without patches it returns the agent's own numbers, bit for bit.

    encoder.i           activation of stage i of E, except the last
    features            output of E                                 [D]
    decoder.i           hidden units of layer i of D, after the activation function
    logits              output of D                                 [A]
    value.gates         gate of each shard                          [K]
    value.i             hidden units of V before its last hidden layer
    value.hidden        last hidden units of each shard of V        [K width]
    value.shard_values  value of each shard                         [K]
    value.units         contribution of each last-layer unit to V, gate included [U]
    value               V                                           []

V is recomputed from the last of these sites that a patch changed: from `value.units` as
their sum, otherwise as sum_k gates[k] shard_values[k]. Each of the following is a cut,
that is, it determines V: hidden units with gates; shard values with gates; units;
features; any activation of E.

Symbols: D features, A actions, C contexts, K shards and U units of V.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from shardsim.agents import chain, value
from shardsim.agents.agent import Agent
from shardsim.agents.value import base as heads
from shardsim.inspection import validation
from shardsim.inspection.interventions import graph
from shardsim.inspection.validation import Input


def names(agent: Agent) -> tuple[str, ...]:
    """The sites of an agent that can be patched, in the order of computation.

    Only a `value.GatedHead` has hidden units and gates that can be patched.
    """
    gated: list[str] = []
    if isinstance(agent.value, value.GatedHead):
        hidden = _sites(len(agent.value.stages()), "value", "value.hidden")
        gated = ["value.gates", *hidden]
    return (
        *_sites(len(agent.encoder.stages()), "encoder", "features"),
        *_sites(len(agent.decoder.stages()), "decoder", "logits"),
        *gated,
        "value.shard_values",
        "value.units",
        "value",
    )


def run(
    agent: Agent,
    observation: Input,
    context: Annotated[Input, "C"],
    patches: graph.Patches = graph.NONE,
) -> graph.Record:
    """Run E, D and V once, with some activations replaced.

    Args:
      agent: E, D and V.
      observation: input of E, unbatched; `jax.vmap` over states, seeds and checkpoints.
      context: the true context, which only the head `oracle_gated` reads.
      patches: for each patched site, a function of its activation.

    Returns:
      The activations of all sites. A patch that changes nothing warns with the name of
      its site. Code under `jax.jit` and `jax.vmap` cannot warn: pass `changed` of the
      result to `graph.warn_unchanged`.

    Raises:
      ValueError: an unknown site, a patch that changes shape or dtype, a wrong shape,
        or a number that is not finite.
    """
    graph.check_patches(patches, names(agent))
    validation.shaped("context", context, getattr(agent.value, "contexts", None))
    validation.finite("observation", observation)
    validation.finite("context", context)
    observation, context = jnp.asarray(observation), jnp.asarray(context)
    try:
        jax.eval_shape(agent.encoder, observation)
    except (TypeError, ValueError):
        raise ValueError(
            f"observation: got shape {observation.shape}; allowed: the shape of the "
            "observations that E was built for"
        ) from None
    visit = graph.Visit(patches)
    features = _through(agent.encoder, "encoder", "features", observation, visit)
    logits = _through(agent.decoder, "decoder", "logits", features, visit)
    values = _evaluate(agent.value, features, context, visit)
    return visit.record({"logits": logits, "value": values})


def bind(agent: Agent) -> graph.Run:
    """The agent as a `graph.Run` whose inputs are (observation, context)."""

    def bound_run(inputs: PyTree, patches: graph.Patches = graph.NONE) -> graph.Record:
        observation, context = inputs
        return run(agent, observation, context, patches)

    return bound_run


def contributions(record: graph.Record) -> Float[Array, "*n K"]:
    """Contribution of each shard, gates[k] * shard_values[k]; their sum is V.

    This holds for a run whose `value.units` and `value` were not patched.
    """
    return record.sites["value.gates"] * record.sites["value.shard_values"]


def _through(
    network: chain.Chain, name: str, last: str, x: Array, visit: graph.Visit
) -> Array:
    """Run the network's own stages and visit the activation of each."""
    stages = network.stages()
    for site, stage in zip(_sites(len(stages), name, last), stages, strict=True):
        x = visit(site, stage(x))
    return x


def _sites(count: int, name: str, last: str) -> list[str]:
    return [*(f"{name}.{i}" for i in range(count - 1)), last]


def _evaluate(head: Any, features: Array, context: Array, visit: graph.Visit) -> Array:
    if isinstance(head, value.GatedHead):
        gates = visit("value.gates", head.gates(features, context))
        hidden = _through(head, "value", "value.hidden", features, visit)
        out = heads.assemble(hidden, head.kernel[...], head.bias[...], gates)
    else:
        out = head(features, context)
        visit.sites["value.gates"] = out.gates
    shard_values = visit("value.shard_values", out.shard_values)
    if "value.shard_values" in visit.patches:
        out = _with_shard_values(out, shard_values, head.unit_shard)
    units = visit("value.units", out.units)
    if "value.units" in visit.patches:
        out = _with_units(out, units, head.unit_shard)
        visit.sites["value.shard_values"] = out.shard_values
    return visit("value", out.value)


def _with_shard_values(
    out: value.ValueOutput,
    shard_values: Float[Array, " K"],
    unit_shard: Int[Array, " U"],
) -> value.ValueOutput:
    """Replace the shard values; the last unit of each shard absorbs the difference."""
    count = len(out.shard_values)
    last = jax.ops.segment_max(jnp.arange(len(unit_shard)), unit_shard, count)
    change = out.gates * (shard_values - out.shard_values)
    changed_units = out.units.at[last].add(change)
    differs = graph.differs(shard_values, out.shard_values)
    units = jnp.where(differs, changed_units, out.units)
    new_value = jnp.where(differs, jnp.sum(out.gates * shard_values), out.value)
    return value.ValueOutput(new_value, shard_values, out.gates, units)


def _with_units(
    out: value.ValueOutput, units: Float[Array, " U"], unit_shard: Int[Array, " U"]
) -> value.ValueOutput:
    """Replace the units; the shard values follow from them."""
    new = value.mask_units(out._replace(units=units), unit_shard, jnp.ones_like(units))
    differs = graph.differs(units, out.units)
    return jax.tree.map(lambda a, b: jnp.where(differs, a, b), new, out)
