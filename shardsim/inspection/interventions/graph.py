"""A model as named stages whose activations can be read and replaced.

A run is a pure function: nothing is hooked into the model, so that nothing can leak
into a later run. A stage that isn't there can't be patched, and a patch that changed
nothing says so.
"""

import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from shardsim.inspection import validation

Patch: TypeAlias = Callable[[Array], Array]
"""From the activation of a site to what stands in its place, same shape and dtype."""

Patches: TypeAlias = Mapping[str, Patch]

Stage: TypeAlias = Callable[[Mapping[str, Any]], Array]
"""From everything that was computed before, by name, to the activation of a site."""

NONE: Patches = types.MappingProxyType({})
INPUT = "input"
"""The name under which the stages of a `graph` find its input."""


class Record(NamedTuple):
    """One run: what every site said, after the patches."""

    sites: dict[str, Array]
    outputs: dict[str, Array]
    """The sites that leave the model: `logits` and `value` of an agent."""
    changed: dict[str, Bool[Array, ""]]
    """For each patched site, whether its patch changed any number there."""

    def summary(self) -> str:
        said = ", ".join(f"{name} {np.shape(x)}" for name, x in self.sites.items())
        return f"{len(self.sites)} sites: {said}; {len(self.changed)} patched"


class Run(Protocol):
    """One unbatched run of a model: `graph`, `chain` and `sites.bind` make one."""

    def __call__(self, inputs: PyTree, patches: Patches = NONE) -> Record: ...


def graph(stages: Mapping[str, Stage], outputs: Sequence[str] = ()) -> Run:
    """Any model written as named stages, each a function of the ones before it.

    Args:
      stages: in the order of computation. A stage gets everything before it by name
        and the input of the run as `input`.
      outputs: the stages that leave the model; the last one if none is named.

    Raises:
      ValueError: no stage, a stage called `input`, an output that is no stage.

    Example:

        graph({"h": lambda s: jnp.tanh(w @ s["input"]), "v": lambda s: s["h"][0]})
    """
    validation.at_least("stages", len(stages), 1)
    if INPUT in stages:
        raise ValueError(f"stages: got one named {INPUT!r}; allowed: any other name")
    leaving = tuple(outputs) or (list(stages)[-1],)
    for name in leaving:
        validation.one_of("outputs", name, stages)

    def follow(inputs: PyTree, patches: Patches = NONE) -> Record:
        check_patches(patches, stages)
        visit = Visit(patches)
        seen = {INPUT: inputs}
        for name, stage in stages.items():
            seen[name] = visit(name, stage(types.MappingProxyType(seen)))
        return visit.record({name: seen[name] for name in leaving})

    return follow


def chain(stages: Mapping[str, Callable[[Any], Array]]) -> Run:
    """A model whose every stage is a function of the one before it alone."""
    befores = [INPUT, *stages][:-1]

    def link(stage: Callable[[Any], Array], before: str) -> Stage:
        return lambda seen: stage(seen[before])

    pairs = zip(stages.items(), befores, strict=True)
    return graph({name: link(stage, before) for (name, stage), before in pairs})


def warn_unchanged(changed: Mapping[str, Any]) -> None:
    """Warn of each site whose patch changed nothing in any run.

    Args:
      changed: of a `Record`, with any leading axes. Traced flags are passed over.
    """
    for name, flag in changed.items():
        if not isinstance(flag, jax.core.Tracer) and not np.any(flag):
            warnings.warn(
                f"{name}: its patch changed nothing", UserWarning, stacklevel=3
            )


class Visit:
    """Writes down each site of one run, patched if asked for."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches
        self.sites: dict[str, Array] = {}
        self.changed: dict[str, Array] = {}

    def __call__(self, name: str, activation: Array) -> Array:
        if name in self.patches:
            new = jnp.asarray(self.patches[name](activation))
            for field in ("shape", "dtype"):
                got, want = getattr(new, field), getattr(activation, field)
                if got != want:
                    raise ValueError(
                        f"patch of {name}: got {field} {got}; allowed: {want}"
                    )
            differs = differ(new, activation)
            self.changed[name] = differs | self.changed.get(name, jnp.bool_(False))
            activation = new
        self.sites[name] = activation
        return activation

    def record(self, outputs: dict[str, Array]) -> Record:
        for name in self.patches:
            if name not in self.changed:
                raise ValueError(
                    f"patches: got {name!r}, which this run never reached; allowed: "
                    + ", ".join(self.sites)
                )
        warn_unchanged(self.changed)
        return Record(self.sites, outputs, self.changed)


def differ(new: Array, old: Array) -> Bool[Array, ""]:
    """Whether any number is another one; NaN is the same as NaN."""
    same = new == old
    if jnp.issubdtype(old.dtype, jnp.inexact):
        same = same | (jnp.isnan(new) & jnp.isnan(old))
    return ~jnp.all(same)


def check_patches(patches: Patches, allowed: Any) -> None:
    for name in patches:
        validation.one_of("site", name, allowed)
