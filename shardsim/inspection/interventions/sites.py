"""Named places inside E, D and V at which an activation can be read and replaced.

A run is a pure function: nothing is hooked into the agent, so that nothing can leak
into a later run. Without patches it returns the agent's own numbers, bit for bit.

    encoder.i      what the i-th of E's `layers` returns, before E goes on with it
    features       what E returns                                     [D]
    decoder.hidden hidden units of D, after the ReLU
    logits         what D returns                                     [A]
    value.hidden   hidden units of each part of V                     [K width]
    value.gates    how much each part counts                          [K]
    value.parts    what each part says                                [K]
    value.units    what each last-layer unit adds to V, gate included [U]
    value          V                                                  []

V is taken from the last of these that a patch changed: from `value.units` as their sum,
else as sum_k gates[k] parts[k]. Hidden units and gates together are a cut of V, as are
parts and gates, units by themselves, features, and so are all of E's layers that
everything passes through.

Symbols: D features, A actions, C contexts, K parts and U units of V.
"""

import copy
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from shardsim.agents import decoders, value
from shardsim.agents.agent import Agent
from shardsim.agents.value import base as heads
from shardsim.inspection import validation
from shardsim.inspection.interventions import graph


def names(agent: Agent) -> tuple[str, ...]:
    """The sites of an agent that can be patched, in the order they are computed.

    A head whose `__call__` isn't made of stages (`value.StagedHead`) has no hidden
    units and no gates to patch; a decoder of another class no hidden units.
    """
    layers = getattr(agent.encoder, "layers", ())
    found = [f"encoder.{i}" for i in range(len(layers))] + ["features"]
    if isinstance(agent.decoder, decoders.ActionDecoder):
        found.append("decoder.hidden")
    found.append("logits")
    if isinstance(agent.value, value.GatedHead):
        found += ["value.gates", "value.hidden"]
    return (*found, "value.parts", "value.units", "value")


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
      ValueError: an unknown site, a patch that changes the shape or the dtype, a layer
        that E never called, a wrong shape, a number that isn't finite.
    """
    graph.check_patches(patches, names(agent))
    board = getattr(agent.auxiliary, "shape", None)
    if board is not None:
        validation.shaped("observation", observation, *board)
    validation.shaped("context", context, getattr(agent.value, "contexts", None))
    validation.finite("observation", observation)
    validation.finite("context", context)
    visit = graph.Visit(patches)
    features = visit("features", _encode(agent.encoder, observation, visit))
    logits = _decode(agent.decoder, features, visit)
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
    return record.sites["value.gates"] * record.sites["value.parts"]


class _Tap:
    """A layer of E that shows what it returns. All else is asked of the layer."""

    def __init__(self, layer: Any, name: str, visit: graph.Visit) -> None:
        self._layer, self._name, self._visit = layer, name, visit

    def __call__(self, *args: Any, **options: Any) -> Any:
        said = self._layer(*args, **options)
        return self._visit(self._name, said) if isinstance(said, jax.Array) else said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _encode(encoder: Any, observation: Array, visit: graph.Visit) -> Array:
    """E itself, its layers wrapped in a copy that lives as long as this run."""
    layers = getattr(encoder, "layers", ())
    if len(layers) == 0:
        return encoder(observation)
    tapped = copy.copy(encoder)
    vars(tapped)["layers"] = [
        _Tap(layer, f"encoder.{i}", visit) for i, layer in enumerate(layers)
    ]
    return tapped(observation)


def _decode(decoder: Any, features: Array, visit: graph.Visit) -> Array:
    if not isinstance(decoder, decoders.ActionDecoder):
        return visit("logits", decoder(features))
    hidden = visit("decoder.hidden", jax.nn.relu(decoder.hidden(features)))
    return visit("logits", decoder.readout(hidden))


def _evaluate(head: Any, features: Array, context: Array, visit: graph.Visit) -> Array:
    if isinstance(head, value.GatedHead):
        gates = visit("value.gates", head.gates(features, context))
        hidden = visit("value.hidden", head.activations(features))
        out = heads.assemble(hidden, head.kernel[...], head.bias[...], gates)
    else:
        out = head(features, context)
        visit.sites["value.gates"] = out.gates
    parts = visit("value.parts", out.shard_values)
    if "value.parts" in visit.patches:
        out = _with_parts(out, parts, head.unit_shard)
    units = visit("value.units", out.units)
    if "value.units" in visit.patches:
        out = _with_units(out, units, head.unit_shard)
        visit.sites["value.parts"] = out.shard_values
    return visit("value", out.value)


def _with_parts(
    out: value.ValueOutput, parts: Array, owners: Array
) -> value.ValueOutput:
    """The same V with other parts; the last unit of each takes the difference up."""
    count = len(out.shard_values)
    last = jax.ops.segment_max(jnp.arange(len(owners)), owners, count)
    moved = out.units.at[last].add(out.gates * (parts - out.shard_values))
    differs = graph.differ(parts, out.shard_values)
    units = jnp.where(differs, moved, out.units)
    said = jnp.where(differs, jnp.sum(out.gates * parts), out.value)
    return value.ValueOutput(said, parts, out.gates, units)


def _with_units(
    out: value.ValueOutput, units: Array, owners: Array
) -> value.ValueOutput:
    """The same V with other units; a part says what its units then say."""
    new = value.mask_units(out._replace(units=units), owners, jnp.ones_like(units))
    differs = graph.differ(units, out.units)
    return jax.tree.map(lambda a, b: jnp.where(differs, a, b), new, out)
