"""Named places inside E, D and V at which an activation can be read and replaced.

A run is a pure function: nothing is hooked into the agent, so that nothing can leak
into a later run. Without patches it returns the agent's own numbers, bit for bit.

    encoder.i      activation of E's stage i, but for the last
    features       what E returns                                     [D]
    decoder.i      hidden units of D's layer i, after the activation function
    logits         what D returns                                     [A]
    value.gates    how much each part counts                          [K]
    value.i        hidden units of V before its last hidden layer
    value.hidden   hidden units of each part of V                     [K width]
    value.shard_values  what each part says                           [K]
    value.units    what each last-layer unit adds to V, gate included [U]
    value          V                                                  []

V is taken from the last of these that a patch changed: from `value.units` as their sum,
else as sum_k gates[k] parts[k]. Hidden units and gates together are a cut of V, as are
parts and gates, units by themselves, features, and so is every activation of E.

Symbols: D features, A actions, C contexts, K parts and U units of V.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from shardsim.agents import chain, value
from shardsim.agents.agent import Agent
from shardsim.agents.value import base as heads
from shardsim.inspection import validation
from shardsim.inspection.interventions import graph


def names(agent: Agent) -> tuple[str, ...]:
    """The sites of an agent that can be patched, in the order they are computed.

    A head that is no `value.GatedHead` has no hidden units and no gates to patch.
    """
    inside: list[str] = []
    if isinstance(agent.value, value.GatedHead):
        hidden = _sites(len(agent.value.stages()), "value", "value.hidden")
        inside = ["value.gates", *hidden]
    return (
        *_sites(len(agent.encoder.stages()), "encoder", "features"),
        *_sites(len(agent.decoder.stages()), "decoder", "logits"),
        *inside,
        "value.shard_values",
        "value.units",
        "value",
    )


def run(
    agent: Agent,
    observation: Array,
    context: Float[Array, " C"],
    patches: graph.Patches = graph.NONE,
) -> graph.Record:
    """One run of E, D and V, with some activations replaced on the way.

    Args:
      observation: what E takes, unbatched; map over states, seeds and checkpoints with
        `jax.vmap`.
      context: the truth, which only a planted head reads.
      patches: by site, a function of the activation.

    Returns:
      Every site's activation. A patch that changed nothing warns with the site's name.
      Inside `jax.jit` and `jax.vmap` nothing can be warned of: give what they return
      to `graph.warn_unchanged`.

    Raises:
      ValueError: an unknown site, a patch that changes the shape or the dtype, a wrong
        shape, a number that isn't finite.
    """
    graph.check_patches(patches, names(agent))
    board = getattr(agent.auxiliary, "shape", None)
    if board is not None:
        validation.shaped("observation", observation, *board)
    validation.shaped("context", context, getattr(agent.value, "contexts", None))
    validation.finite("observation", observation)
    validation.finite("context", context)
    visit = graph.Visit(patches)
    features = _through(agent.encoder, "encoder", "features", observation, visit)
    logits = _through(agent.decoder, "decoder", "logits", features, visit)
    said = _evaluate(agent.value, features, context, visit)
    return visit.record({"logits": logits, "value": said})


def bind(agent: Agent) -> graph.Run:
    """The agent as a function of (observation, context) and patches."""

    def bound(inputs: PyTree, patches: graph.Patches = graph.NONE) -> graph.Record:
        observation, context = inputs
        return run(agent, observation, context, patches)

    return bound


def contributions(record: graph.Record) -> Float[Array, " K"]:
    """What each part of V adds to it, gates[k] * parts[k]: they add up to V.

    Take it from a run whose units and value weren't patched.
    """
    return record.sites["value.gates"] * record.sites["value.shard_values"]


def _through(
    network: chain.Chain, name: str, last: str, x: Array, visit: graph.Visit
) -> Array:
    """The network's own stages, every activation shown to the visit."""
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
    parts = visit("value.shard_values", out.shard_values)
    if "value.shard_values" in visit.patches:
        out = _with_parts(out, parts, head.unit_shard)
    units = visit("value.units", out.units)
    if "value.units" in visit.patches:
        out = _with_units(out, units, head.unit_shard)
        visit.sites["value.shard_values"] = out.shard_values
    return visit("value", out.value)


def _with_parts(
    out: value.ValueOutput, parts: Array, unit_shard: Array
) -> value.ValueOutput:
    """The same V with other parts; the last unit of each takes the difference up."""
    count = len(out.shard_values)
    last = jax.ops.segment_max(jnp.arange(len(unit_shard)), unit_shard, count)
    moved = out.units.at[last].add(out.gates * (parts - out.shard_values))
    differs = graph.differ(parts, out.shard_values)
    units = jnp.where(differs, moved, out.units)
    said = jnp.where(differs, jnp.sum(out.gates * parts), out.value)
    return value.ValueOutput(said, parts, out.gates, units)


def _with_units(
    out: value.ValueOutput, units: Array, unit_shard: Array
) -> value.ValueOutput:
    """The same V with other units; a part says what its units then say."""
    new = value.mask_units(out._replace(units=units), unit_shard, jnp.ones_like(units))
    differs = graph.differ(units, out.units)
    return jax.tree.map(lambda a, b: jnp.where(differs, a, b), new, out)
