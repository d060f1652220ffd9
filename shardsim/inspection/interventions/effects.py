"""Interventions: change an activation of a model and compare with the base run.

A *base* run is the run that is changed; a *source* run supplies an activation. All
functions take a model as a `graph.Run` (`sites.bind(agent)`, `graph.chain`,
`graph.graph`) and inputs with a leading axis of n samples. They work under `jax.jit`,
and under `jax.vmap` over seeds and checkpoints:

    jax.vmap(lambda agent: zero_ablation(sites.bind(agent), inputs, "features"))(agents)

A patch that changes nothing in any sample warns, and so does a patch that changes its
site but no output. Code under jit and vmap cannot warn: call
`InterventionResult.warn()` on the result.

Symbols: n samples, r reference samples, k directions, d numbers of a site, A actions.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from shardsim.inspection import arrays, validation
from shardsim.inspection.interventions import graph, patches
from shardsim.inspection.validation import Input, Numbers


class InterventionResult(NamedTuple):
    """Base and patched runs; every leaf has the leading axis n."""

    base: graph.Record
    """The runs without patches."""
    patched: graph.Record
    """The same runs with patches."""

    def change(self, site: str) -> Array:
        """patched - base at a site, with leading axis n."""
        validation.one_of("site", site, self.base.sites)
        return self.patched.sites[site] - self.base.sites[site]

    def summary(self) -> str:
        changes = [
            f"{name} by {np.abs(np.asarray(self.change(name))).mean():.4g}"
            for name in self.base.outputs
        ]
        sites = ", ".join(self.patched.changed)
        return f"patched {sites}: changed {', '.join(changes)} on average"

    def warn(self) -> None:
        """Warn about patches that changed no number, or no output."""
        graph.warn_unchanged(self.patched.changed)
        pairs = [(self.patched.outputs[k], v) for k, v in self.base.outputs.items()]
        flags = list(self.patched.changed.values())
        if any(
            isinstance(x, jax.core.Tracer) for x in (*flags, *jax.tree.leaves(pairs))
        ):
            return
        unchanged = all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
        if unchanged and any(np.any(flag) for flag in flags):
            warnings.warn(
                f"{', '.join(self.patched.changed)}: its patch changed no output",
                UserWarning,
                stacklevel=3,
            )


def finite(name: str, inputs: PyTree) -> None:
    """Refuse numbers that are not finite in any leaf."""
    for leaf in jax.tree.leaves(inputs):
        validation.finite(name, leaf)


def activations(run: graph.Run, inputs: PyTree, site: str, name: str) -> Array:
    """Activations [n, ...] of a site in n unpatched runs.

    Args:
      run: the model.
      inputs: leaves [n, ...].
      site: name of the site.
      name: of the inputs, for the error.
    """
    finite(name, inputs)
    by_site = jax.vmap(run)(inputs).sites
    validation.one_of("site", site, by_site)
    return by_site[site]


def intervene(
    run: graph.Run,
    inputs: PyTree,
    make_patches: Callable[[PyTree], graph.Patches],
    arguments: PyTree = None,
) -> InterventionResult:
    """Run n samples with and without patches. All interventions below are cases of it.

    Args:
      run: the model.
      inputs: of the base runs, leaves [n, ...].
      make_patches: maps the arguments of one sample to its patches.
      arguments: leaves [n, ...]; None if all samples have the same patches.
    """
    finite("inputs", inputs)

    def intervene_on_one(inputs: PyTree, arguments: PyTree) -> InterventionResult:
        return InterventionResult(run(inputs), run(inputs, make_patches(arguments)))

    result = jax.vmap(intervene_on_one)(inputs, arguments)
    result.warn()
    return result


def interchange(
    run: graph.Run,
    base: PyTree,
    source: PyTree,
    masks: Mapping[str, Numbers | None],
) -> InterventionResult:
    """Interchange intervention: base runs with activations of source runs.

    Args:
      run: the model.
      base: inputs of the base runs, leaves [n, ...].
      source: inputs of the source runs, leaves [n, ...]; sample i patches base i.
      masks: for each patched site, true where numbers come from the source; None takes
        all of them (activation patching).

    Reference: Geiger et al., Causal Abstractions of Neural Networks, arXiv 2106.02997.
    """
    _check_same_length(base, source)
    by_site = {site: activations(run, source, site, "source") for site in masks}

    def make_patches(by_site: dict[str, Array]) -> graph.Patches:
        return {site: patches.fill(mask, by_site[site]) for site, mask in masks.items()}

    return intervene(run, base, make_patches, by_site)


def _check_same_length(base: PyTree, source: PyTree) -> None:
    sizes = {len(x) for x in jax.tree.leaves((base, source))}
    if len(sizes) != 1:
        raise ValueError(
            f"source: got {sorted(sizes)} samples in base and source; allowed: the "
            "same number in both"
        )


def zero_ablation(
    run: graph.Run, inputs: PyTree, site: str, mask: Numbers | None = None
) -> InterventionResult:
    """Set a site to 0, or only where the mask is true.

    0 may be far from every activation that occurs in the data.
    """
    return intervene(run, inputs, lambda _: {site: patches.fill(mask, 0.0)})


def mean_ablation(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    mask: Numbers | None = None,
    reference: PyTree = None,
) -> InterventionResult:
    """Set a site to its mean over samples, or only where the mask is true.

    Args:
      run: the model.
      inputs: of the base runs, leaves [n, ...].
      site: name of the site.
      mask: booleans of the shape of the site; None replaces all of it.
      reference: inputs that the mean is taken over, leaves [r, ...]; by default
        `inputs`.
    """
    if reference is None:
        mean = activations(run, inputs, site, "inputs").mean(axis=0)
    else:
        mean = activations(run, reference, site, "reference").mean(axis=0)
    return intervene(run, inputs, lambda _: {site: patches.fill(mask, mean)})


def resample_ablation(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    key: Key[Array, ""],
    *,
    mask: Numbers | None = None,
) -> InterventionResult:
    """Set a site to the activation of another sample, or only where the mask is true.

    Samples are permuted by a derangement, so that no sample keeps its own activation.

    Raises:
      ValueError: fewer than 2 samples.
    """
    n = len(jax.tree.leaves(inputs)[0])
    other = arrays.derangement(n, key)
    source = jax.tree.map(lambda x: jnp.asarray(x)[other], inputs)
    return interchange(run, inputs, source, {site: mask})


def difference(run: graph.Run, present: PyTree, absent: PyTree, site: str) -> Array:
    """mean activation(present) - mean activation(absent): a steering vector.

    Args:
      run: the model.
      present: inputs with the object or feature, leaves [n, ...].
      absent: inputs without it, leaves [n, ...].
      site: name of the site.
    """
    present_mean = activations(run, present, site, "present").mean(axis=0)
    return present_mean - activations(run, absent, site, "absent").mean(axis=0)


def activation_addition(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    vector: Numbers,
    *,
    scale: Input | float = 1.0,
) -> InterventionResult:
    """Add scale * vector to a site in all samples; `vmap` over scales for a curve.

    The control is the same call with `patches.random_like(vector, key)`. Report both
    signs of the scale.
    """
    return intervene(run, inputs, lambda _: {site: patches.add(vector, scale=scale)})


def direction_ablation(
    run: graph.Run,
    inputs: PyTree,
    site: str,
    directions: patches.Directions,
    center: Numbers | float | None = None,
) -> InterventionResult:
    """h' = h - sum_i d_i d_i'(h - center) at a site.

    Args:
      run: the model.
      inputs: of the base runs, leaves [n, ...].
      site: name of the site.
      directions: one, or k that are linearly independent; made orthonormal here.
      center: of the shape of the site, or one number; by default the mean over the
        samples.
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
    directions: patches.Directions,
) -> InterventionResult:
    """h' = h + sum_i d_i d_i'(h_source - h): take only some components of the source.

    Args:
      run: the model.
      base: inputs of the base runs, leaves [n, ...].
      source: inputs of the source runs, leaves [n, ...]; sample i patches base i.
      site: name of the site.
      directions: one, or k that are linearly independent; made orthonormal here.
    """
    _check_same_length(base, source)
    sources = activations(run, source, site, "source")
    basis = patches.orthonormal(directions)
    return intervene(run, base, lambda h: {site: patches.swap(h, basis)}, sources)


class Agreement(NamedTuple):
    """How well an abstraction predicts the patched runs, and what chance gives."""

    score: Float[Array, ""]
    null: Float[Array, ""]
    """Mean of the same score when the expectations are put in a random order."""

    def summary(self) -> str:
        return f"score {float(self.score):.3f}, shuffled {float(self.null):.3f}"


def explained(
    actual: Annotated[Numbers, "n"], expected: Annotated[Numbers, "n"]
) -> Agreement:
    """How well an abstraction predicts V.

      score = 1 - mean (actual - expected)^2 / var(expected)
      null  = -(var(actual) + (difference of means)^2) / var(expected)

    Args:
      actual: V of the patched runs.
      expected: V that the abstraction expects for them.

    Returns:
      A score of 1 for a perfect fit, 0 for one no better than the mean; NaN if
      `expected` is constant, which says nothing.

    Raises:
      ValueError: shapes differ, a number is not finite, no sample.
    """
    actual = validation.floats("actual", actual, None)
    validation.at_least("samples", len(actual), 1)
    expected = validation.floats("expected", expected, len(actual)).astype(actual.dtype)
    # the rounded mean of a constant leaves a small variance
    varies = (jnp.max(expected) > jnp.min(expected)) & (jnp.var(expected) > 0)
    variance = jnp.where(varies, jnp.var(expected), jnp.nan)
    squared_error = jnp.mean(jnp.square(actual - expected))
    shift = jnp.square(actual.mean() - expected.mean())
    shuffled_error = jnp.var(actual) + jnp.var(expected) + shift
    return Agreement(1 - squared_error / variance, 1 - shuffled_error / variance)


def same_choice(
    actual: Annotated[Numbers, "n A"], expected: Annotated[Numbers, "n A"]
) -> Agreement:
    """Interchange intervention accuracy: fraction of samples with the same argmax.

    The null is the accuracy of unrelated choices with the same shares of actions, so
    that both are high if one action is nearly always best.

    Args:
      actual: logits of the patched runs.
      expected: logits that the abstraction expects for them.

    Raises:
      ValueError: shapes differ, a number is not finite, no sample.
    """
    actual = validation.floats("actual", actual, None, None)
    expected = validation.floats("expected", expected, *actual.shape)
    validation.at_least("samples", len(actual), 1)
    validation.at_least("actions", actual.shape[1], 1)
    first, second = (
        jax.nn.one_hot(jnp.argmax(x, axis=-1), x.shape[1], dtype=actual.dtype)
        for x in (actual, expected)
    )
    score = (first * second).sum(axis=1).mean()
    return Agreement(score, first.mean(axis=0) @ second.mean(axis=0))
