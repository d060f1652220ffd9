"""A model as named stages whose activations can be read and replaced.

A run is a pure function. Nothing is hooked into the model, so nothing leaks into later
runs. A patch of an unknown stage is an error, and a patch that changes nothing warns.
"""

import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree, Shaped

from shardsim.inspection import validation

Patch: TypeAlias = Callable[[Array], Array]
"""Maps the activation of a site to its replacement, of the same shape and dtype."""

Patches: TypeAlias = Mapping[str, Patch]
"""One patch for each patched site, by the name of the site."""

Stage: TypeAlias = Callable[[Mapping[str, Any]], Array]
"""Maps the input and all earlier activations, by name, to the activation of a site."""

NONE: Patches = types.MappingProxyType({})
INPUT = "input"
"""The name of the model's input among the arguments of a stage."""


class Record(NamedTuple):
    """The activations of one run."""

    sites: dict[str, Array]
    """The activation of every site, after its patch."""
    outputs: dict[str, Array]
    """The activations that the model returns; for an agent `logits` and `value`."""
    changed: dict[str, Bool[Array, ""]]
    """For each patched site, whether the patch changed any number."""

    def summary(self) -> str:
        sites = ", ".join(f"{name} {np.shape(x)}" for name, x in self.sites.items())
        return f"{len(self.sites)} sites: {sites}; {len(self.changed)} patched"


@runtime_checkable
class Run(Protocol):
    """One unbatched run of a model; made by `graph`, `chain` and `sites.bind`."""

    def __call__(self, inputs: PyTree, patches: Patches = NONE) -> Record: ...


def graph(stages: Mapping[str, Stage], *, outputs: Sequence[str] = ()) -> Run:
    """Build a model from named stages, each a function of the earlier ones.

    Args:
      stages: in the order of computation. A stage receives the activations of all
        earlier stages by name, and the input of the run as `input`.
      outputs: names of the stages that the model returns; by default the last stage.

    Raises:
      ValueError: no stage, a stage named `input`, or an output that is not a stage.

    Examples:

        graph({"h": lambda s: jnp.tanh(w @ s["input"]), "v": lambda s: s["h"][0]})
    """
    validation.at_least("stages", len(stages), 1)
    if INPUT in stages:
        raise ValueError(f"stages: got one named {INPUT!r}; allowed: any other name")
    returned = tuple(outputs) or (list(stages)[-1],)
    for name in returned:
        validation.one_of("outputs", name, stages)

    def run(inputs: PyTree, patches: Patches = NONE) -> Record:
        check_patches(patches, stages)
        visit = Visit(patches)
        computed = {INPUT: inputs}
        for name, stage in stages.items():
            computed[name] = visit(name, stage(types.MappingProxyType(computed)))
        return visit.record({name: computed[name] for name in returned})

    return run


def chain(stages: Mapping[str, Callable[[Any], Array]]) -> Run:
    """Build a model in which each stage is a function of the previous stage alone."""
    previous_names = [INPUT, *stages][:-1]

    def link(stage: Callable[[Any], Array], previous: str) -> Stage:
        return lambda computed: stage(computed[previous])

    pairs = zip(stages.items(), previous_names, strict=True)
    return graph({name: link(stage, previous) for (name, stage), previous in pairs})


def warn_unchanged(changed: Mapping[str, Any]) -> None:
    """Warn about each site whose patch changed nothing in any run.

    Args:
      changed: `Record.changed`, with any leading axes. Traced flags are ignored.
    """
    for name, flag in changed.items():
        if not isinstance(flag, jax.core.Tracer) and not np.any(flag):
            warnings.warn(
                f"{name}: its patch changed nothing", UserWarning, stacklevel=3
            )


class Visit:
    """Records the sites of one run and applies its patches."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches
        self.sites: dict[str, Array] = {}
        self.changed: dict[str, Array] = {}

    def __call__(self, name: str, activation: Array) -> Array:
        """Patch the activation of a site, record it, and return it."""
        if name in self.patches:
            patched = jnp.asarray(self.patches[name](activation))
            for field in ("shape", "dtype"):
                new, old = getattr(patched, field), getattr(activation, field)
                if new != old:
                    raise ValueError(
                        f"patch of {name}: got {field} {new}; allowed: {old}"
                    )
            changed = differs(patched, activation)
            self.changed[name] = changed | self.changed.get(name, jnp.bool_(False))
            activation = patched
        self.sites[name] = activation
        return activation

    def record(self, outputs: dict[str, Array]) -> Record:
        """The record of the whole run; refuses patches of sites that were not run."""
        for name in self.patches:
            if name not in self.changed:
                raise ValueError(
                    f"patches: got {name!r}, which this run did not reach; allowed: "
                    + ", ".join(self.sites)
                )
        warn_unchanged(self.changed)
        return Record(self.sites, outputs, self.changed)


def differs(new: Shaped[Array, "*n"], old: Shaped[Array, "*n"]) -> Bool[Array, ""]:
    """Whether any number differs; NaN equals NaN."""
    same = new == old
    if jnp.issubdtype(old.dtype, jnp.inexact):
        same = same | (jnp.isnan(new) & jnp.isnan(old))
    return ~jnp.all(same)


def check_patches(patches: Patches, allowed: Iterable[str]) -> None:
    """Refuse a patch of a site that is not among those allowed."""
    for name in patches:
        validation.one_of("site", name, allowed)
