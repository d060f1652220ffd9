"""Change one place of a model and see what follows: base, source and patched runs.

Words: a *base* run is the one that is changed, a *source* run the one an activation is
taken from. All functions take a model as a `graph.Run` (`sites.bind(agent)`,
`graph.chain`, `graph.graph`) and inputs with a leading axis of n samples, and go
under `jax.jit`, and under `jax.vmap` over seeds and checkpoints:

    jax.vmap(lambda agent: zero_ablation(sites.bind(agent), inputs, "features"))(agents)

A patch that changed nothing in any sample warns, and so does one that changed a site
but no output. Inside jit and vmap nothing can be warned of: there, call `Effect.warn()`
on what comes back.

Symbols: n samples, m magnitudes, k directions, d numbers of a site.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from shardsim.inspection import arrays, validation
from shardsim.inspection.interventions import graph, patches


class InterventionResult(NamedTuple):
    """What a change did: every leaf has the leading axis n."""

    base: graph.Record
    patched: graph.Record

    def of(self, site: str) -> Array:
        """patched - base at a site or an output."""
        validation.one_of("site", site, self.base.sites)
        return self.patched.sites[site] - self.base.sites[site]

    def summary(self) -> str:
        moved = [
            f"{name} by {np.abs(np.asarray(self.of(name))).mean():.4g}"
            for name in self.base.outputs
        ]
        where = ", ".join(self.patched.changed)
        return f"patched {where}: moved {', '.join(moved)} on average"

    def warn(self) -> None:
        """Warn of sites that no patch changed, and of patches that moved no output."""
        graph.warn_unchanged(self.patched.changed)
        pairs = [(self.patched.outputs[k], v) for k, v in self.base.outputs.items()]
        flags = list(self.patched.changed.values())
        if any(
            isinstance(x, jax.core.Tracer) for x in (*flags, *jax.tree.leaves(pairs))
        ):
            return
        still = all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
        if still and any(np.any(flag) for flag in flags):
            warnings.warn(
                f"{', '.join(self.patched.changed)}: its patch changed no output",
                UserWarning,
                stacklevel=3,
            )


def finite(name: str, inputs: PyTree) -> None:
    """Refuse NaN in any leaf."""
    for leaf in jax.tree.leaves(inputs):
        validation.finite(name, leaf)


def activations(run: graph.Run, inputs: PyTree, site: str, name: str) -> Array:
    """What n untouched runs have at a site; `name` is what inputs are called."""
    finite(name, inputs)
    acts = jax.vmap(run)(inputs).sites
    validation.one_of("site", site, acts)
    return acts[site]


def intervene(
    run: graph.Run,
    inputs: PyTree,
    make: Callable[[PyTree], graph.Patches],
    given: PyTree = None,
) -> InterventionResult:
    """The form of all interventions: n runs, each with its own patches.

    Args:
      inputs: of the base runs, leaves [n, ...].
      make: patches of one sample from what is given for it.
      given: leaves [n, ...]; None if the patches are the same for all.
    """
    finite("inputs", inputs)

    def one(inputs: PyTree, given: PyTree) -> InterventionResult:
        return InterventionResult(run(inputs), run(inputs, make(given)))

    effect = jax.vmap(one)(inputs, given)
    effect.warn()
    return effect


def interchange(
    run: graph.Run,
    base: PyTree,
    source: PyTree,
    where: Mapping[str, Bool[Array, "..."] | None],
) -> InterventionResult:
    """Base runs with activations of source runs: the interchange intervention.

    Args:
      base: inputs, leaves [n, ...].
      source: inputs, leaves [n, ...], each for the base of the same number.
      where: for each site, which of its numbers are taken from the source; None takes
        all: an activation patch.

    Reference: Geiger et al., Causal Abstractions of Neural Networks, arXiv 2106.02997.
    """
    _as_many(base, source)
    acts = {site: activations(run, source, site, "source") for site in where}

    def make(act: dict[str, Array]) -> graph.Patches:
        return {site: patches.fill(mask, act[site]) for site, mask in where.items()}

    return intervene(run, base, make, acts)


def _as_many(base: PyTree, source: PyTree) -> None:
    sizes = {len(x) for x in jax.tree.leaves((base, source))}
    if len(sizes) != 1:
        raise ValueError(
            f"source: got {sorted(sizes)} samples in base and source; allowed: as many "
            "in one as in the other"
        )


def zero_ablation(
    run: graph.Run, inputs: PyTree, site: str, mask: Array | None = None
) -> InterventionResult:
    """0 at a site, or where the mask is true: maybe far from all that is ever seen."""
    return intervene(run, inputs, lambda _: {site: patches.fill(mask, 0.0)})


def mean_ablation(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    mask: Array | None = None,
    reference: PyTree = None,
) -> InterventionResult:
    """The mean over samples at a site, or where the mask is true.

    Args:
      reference: inputs [r, ...] that the mean is taken over; by default the same.
    """
    name, over = ("inputs", inputs) if reference is None else ("reference", reference)
    mean = activations(run, over, site, name).mean(axis=0)
    return intervene(run, inputs, lambda _: {site: patches.fill(mask, mean)})


def resample_ablation(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    key: Key[Array, ""],
    mask: Array | None = None,
) -> InterventionResult:
    """What another sample has at a site: no sample keeps its own.

    Raises:
      ValueError: fewer than 2 samples, where there is no other.
    """
    n = len(jax.tree.leaves(inputs)[0])
    other = arrays.derangement(key, n)
    source = jax.tree.map(lambda x: jnp.asarray(x)[other], inputs)
    return interchange(run, inputs, source, {site: mask})


def difference(run: graph.Run, present: PyTree, absent: PyTree, site: str) -> Array:
    """mean over samples of act(present) - act(absent): a vector to add.

    Args:
      present, absent: inputs [n, ...] with and without the thing.
    """
    with_it = activations(run, present, site, "present")
    return with_it.mean(axis=0) - activations(run, absent, site, "absent").mean(axis=0)


def activation_addition(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    vector: Array,
    scale: Float[Array, ""] | float = 1.0,
) -> InterventionResult:
    """scale * vector added at a site in all samples; map over scales for a curve.

    Its control is the same call with `patches.random_like(key, vector)`; both signs
    of the scale belong to a report.
    """
    return intervene(run, inputs, lambda _: {site: patches.add(vector, scale)})


def direction_ablation(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    directions: Float[Array, "k d"] | Float[Array, " d"],
    center: Array | None = None,
) -> InterventionResult:
    """h - sum_i d_i d_i'(h - center) at a site.

    Args:
      center: of the shape of the site; by default the mean over the samples.
    """
    if center is None:
        center = activations(run, inputs, site, "inputs").mean(axis=0)
    basis = patches.orthonormal(directions)
    return intervene(run, inputs, lambda _: {site: patches.project_out(basis, center)})


def direction_swap(
    run: graph.Run,
    base: PyTree,
    source: PyTree,
    site: str,
    directions: Float[Array, "k d"] | Float[Array, " d"],
) -> InterventionResult:
    """h + sum_i d_i d_i'(h_source - h) at a site: source's component, base's rest."""
    _as_many(base, source)
    acts = activations(run, source, site, "source")
    basis = patches.orthonormal(directions)
    return intervene(run, base, lambda h: {site: patches.swap(h, basis)}, given=acts)


def explained(got: Float[Array, " n"], expected: Float[Array, " n"]) -> Array:
    """1 - mean (got - expected)^2 / var(expected): how well an abstraction foretells V.

    1 is perfect, 0 no better than the mean. NaN if all expected are equal: there is
    nothing to foretell. Its baseline is the same number after `arrays.derangement`.
    """
    validation.shaped("got", got, None)
    validation.shaped("expected", expected, np.shape(got)[0])
    validation.at_least("samples", len(got), 1)
    validation.finite("got", got)
    validation.finite("expected", expected)
    room = jnp.var(expected)
    # the mean of a constant is rounded, which leaves a variance
    varies = (jnp.max(expected) > jnp.min(expected)) & (room > 0)
    return 1 - jnp.mean((got - expected) ** 2) / jnp.where(varies, room, jnp.nan)


def same_choice(got: Float[Array, "n A"], expected: Float[Array, "n A"]) -> Array:
    """Share of samples whose largest number stands in the same place: IIA."""
    validation.shaped("got", got, None, None)
    validation.shaped("expected", expected, *np.shape(got))
    validation.finite("got", got)
    validation.finite("expected", expected)
    same = jnp.argmax(got, axis=-1) == jnp.argmax(expected, axis=-1)
    return jnp.mean(same.astype(jnp.result_type(got)))
