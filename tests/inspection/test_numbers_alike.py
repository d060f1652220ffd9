"""NumPy, JAX and Python numbers give the same result, and what is refused is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import (
    concept,
    consistency,
    control_tasks,
    direction_scores,
    inlp,
    leace,
    methods,
    probes,
    rlace,
)
from shardsim.inspection.interventions import attribution, effects, shapley
from shardsim.inspection.shards import (
    ablation,
    clusters,
    context_gradients,
    contributions,
    dictionary,
)
from shardsim.inspection.truth import baselines, ccs, comparison, counting, pairs
from shardsim.inspection.weights import bases, bootstrap, polar, svd, weight_action

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype(np.float32)
POSITIVE = np.abs(X)
BITS = np.arange(12) % 2 == 0
CLASSES = np.arange(12) % 3
W = X[:2]
SIDES = ccs.fit(X, -X, KEY, restarts=1, steps=5, max_steps=640)

TOOLS = {
    "leace": (leace.fit, X, CLASSES),
    "inlp": (inlp.fit, X, CLASSES),
    "probe": (probes.logistic, X, CLASSES),
    "ridge": (probes.ridge, X, X[:, 0]),
    "rlace": (lambda x, z: rlace.fit(x, z, KEY, steps=4).basis, X, BITS),
    "methods": (
        lambda x, z: methods.find("leace", concept.Concept(x, z), KEY),
        X,
        CLASSES,
    ),
    "control task": (
        control_tasks.fit,
        X,
        CLASSES,
        np.zeros(12, int),
        np.arange(12) > 6,
    ),
    "groups": (control_tasks.by_group, CLASSES),
    "consistency": (consistency.consistency, X[:, None]),
    "guardedness": (
        lambda x, z, held_out: direction_scores.guardedness(
            methods.find("mean_difference", concept.Concept(x, z), KEY), x, z, held_out
        ),
        X,
        BITS,
        np.arange(12) > 6,
    ),
    "occlusion": (lambda x, w: attribution.occlusion(jnp.sum, x, w), X[0], X),
    "gradients": (
        lambda x, b: attribution.integrated_gradients(
            jnp.sum, x, b, attribution.midpoint(2)
        ),
        X[0],
        X[1:3],
    ),
    "remove": (attribution.remove, X[0], X[1], X[2:4] > 0, np.array([True, False])),
    "explained": (effects.explained, X[:, 0], X[:, 1]),
    "same choice": (effects.same_choice, X, X[::-1].copy()),
    "shapley": (shapley.exact, X[:4, 0]),
    "ablation": (ablation.fit, X[:, 0], X.T.copy(), CLASSES),
    "clusters": (lambda x: clusters.fit(x, 2, KEY, restarts=2, shuffles=1), X),
    "contexts": (lambda x, c: context_gradients.fit(x, c, 3), X, CLASSES),
    "contributions": (contributions.contributions, X.sum(axis=1), POSITIVE, X),
    "usage": (contributions.usage, POSITIVE, X),
    "match": (lambda a, b: contributions.match(a, b, shuffles=2), X, X[::-1].copy()),
    "switch off": (contributions.switch_off, POSITIVE, X, np.arange(3) > 0),
    "shuffled gates": (
        lambda g, v: contributions.shuffle_gates(g, v, KEY),
        POSITIVE,
        X,
    ),
    "dictionary": (
        lambda x: dictionary.fit(x, KEY, counts=(1,), restarts=2, draws=1),
        X,
    ),
    "principal": (baselines.principal, X),
    "k-means": (lambda x: baselines.kmeans(x, KEY, restarts=2), X),
    "by labels": (baselines.logistic, X, BITS),
    "ccs": (
        lambda x, y: ccs.fit(x, y, KEY, restarts=1, steps=5, max_steps=640),
        X,
        -X,
    ),
    "anchored": (SIDES.anchored, X[0], X[1], np.bool_(True)),
    "sides": (pairs.learn_sides, X, -X),
    "from values": (pairs.from_values, X, -X, X[:, 0], X[:, 1]),
    "estimate": (counting.estimate, X, X[:, 0], X),
    "mean difference": (
        lambda x: comparison.mean_difference(jnp.asarray(x), BITS),
        X,
    ),
    "singular": (svd.fit, W),
    "data": (bases.data_weighted, W, X),
    "from directions": (bases.from_directions, W),
    "score": (
        lambda x: bases.score(
            bases.principal(X), lambda one: one[:1], x, [1], KEY, draws=2
        ),
        X,
    ),
    "bootstrap": (lambda w, x: bootstrap.bootstrap(w, x, KEY, resamples=3), W, X),
    "action": (weight_action.fit, W, X),
    "routing": (weight_action.routing, W, X, X[:, :2]),
    "collisions": (
        lambda w, x: weight_action.collisions(w, x, count=2),
        W,
        X,
    ),
    "polar": (polar.fit, X[:3]),
}


def as_python(array):
    return array.item() if array.ndim == 0 else array.tolist()


@pytest.mark.few(12)
@pytest.mark.parametrize("name", TOOLS)
def test_numpy_jax_and_python_numbers_give_the_same(name):
    tool, *arrays = TOOLS[name]
    expected = tool(*arrays)
    for convert in (jnp.asarray, as_python):
        result = tool(*(convert(array) for array in arrays))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            jax.tree.map(np.asarray, result),
            jax.tree.map(np.asarray, expected),
        )


LABELLED = {
    "leace": lambda z: leace.fit(X, z).write,
    "inlp": lambda z: inlp.fit(X, z).basis,
    "probe": lambda z: probes.logistic(X, z).weights,
    "mean difference": lambda z: (
        methods.find("mean_difference", concept.Concept(X, z), KEY).write
    ),
    "ablation": lambda z: ablation.fit(X[:, 0], X.T.copy(), z).drop,
    "bootstrap": lambda z: bootstrap.bootstrap(W, X, KEY, groups=z).overlap,
    "control labels": lambda z: control_tasks.control_labels(z, CLASSES),
    "groups": lambda z: control_tasks.by_group(z, seed=1),
}
SAME_ORDER = {
    "texts": np.array(["cheese", "corner", "door"])[CLASSES],
    "list of texts": [("cheese", "corner", "door")[c] for c in CLASSES],
    "far apart": np.array([-5, 1000, 2**40])[CLASSES],
    "beyond 64 bits": [(0, 1, 2**70)[c] for c in CLASSES],
    "bytes": CLASSES.astype(np.uint8),
}


@pytest.mark.parametrize("kind", SAME_ORDER)
@pytest.mark.parametrize("name", LABELLED)
def test_only_equal_and_unequal_matters_in_labels(name, kind):
    expected = LABELLED[name](CLASSES)
    np.testing.assert_array_equal(LABELLED[name](SAME_ORDER[kind]), expected)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (CLASSES + 0.5, "got "),
        ([0, "a"] * 6, "got int, str"),
        ([None] * 12, "got NoneType"),
        (CLASSES[:5], r"got shape \(5,\)"),
    ],
)
@pytest.mark.parametrize("name", ["inlp", "probe", "ablation", "bootstrap", "groups"])
def test_what_is_no_label_is_refused_by_name(name, labels, message):
    if name == "groups" and len(labels) == 5:
        return
    argument = {"ablation": "context", "bootstrap": "groups", "groups": "groups"}
    with pytest.raises(ValueError, match=f"^{argument.get(name, 'z')}: {message}"):
        LABELLED[name](labels)


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda m: inlp.fit(X, CLASSES, held_out=m), "held_out"),
        (lambda m: control_tasks.fit(X, CLASSES, CLASSES, m), "held_out"),
        (lambda m: baselines.logistic(X, m), "label"),
        (lambda m: comparison.compare((X, X, m), (X, X, m), KEY), "label of train"),
        (lambda m: contributions.switch_off(POSITIVE.T, X.T, m), "keep"),
    ],
)
def test_masks_are_booleans_or_refused_by_name(act, name):
    for mask in (BITS.astype(int), BITS.astype(np.uint8), jnp.asarray(BITS, float)):
        with pytest.raises(ValueError, match=f"^{name}: got .*; allowed: booleans"):
            act(mask)


@pytest.mark.parametrize(
    "tool",
    [leace.fit, inlp.fit, probes.logistic],
    ids=["leace", "inlp", "probe"],
)
def test_integers_beyond_32_bits_do_not_wrap(tool):
    """2^33 + 5 is not 5."""
    x = np.arange(12)[:, None] * 2**33 + 5
    mean = tool(x, BITS).mean
    assert float(mean[0]) == pytest.approx(5.5 * 2**33, rel=1e-5)
