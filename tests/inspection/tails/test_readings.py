"""No sentence about tails is said of what is not there in more than 5 % of draws."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.tails import readings, shapes, within

RESAMPLES = 100
KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnums=(4, 5))
def evidence_of(draws, context, cluster, permuted, contexts, clusters):
    """Intervals of every draw, in one program."""

    def one(draw):
        total = draw.sum(axis=1)
        used = jnp.where(total == 0, 0.0, 1.0)[None]
        pooled = shapes.intervals(
            total, used, cluster, clusters, KEY, resamples=RESAMPLES
        )
        labels = context, cluster, permuted, KEY, contexts, clusters, RESAMPLES
        return *pooled, within._measure(draw, *labels)

    return jax.lax.map(one, draws)


def shares(count, draw, context, cluster=None):
    """Share of each sentence among draws."""
    samples = np.arange(len(context))
    index = np.unique(samples if cluster is None else cluster, return_inverse=True)[1]
    shape, excess, inner = jax.tree.map(
        np.asarray,
        evidence_of(
            jnp.asarray(np.stack([draw() for _ in range(count)]), jnp.float32),
            jnp.asarray(context),
            jnp.asarray(index),
            jnp.asarray(within.permuted_contexts(context, index, 99)),
            int(context.max()) + 1,
            int(index.max()) + 1,
        ),
    )
    sentences = [
        readings.read(shape[n, 0], excess[n, 0], within.Within(*(x[n] for x in inner)))
        for n in range(count)
    ]
    found = collections.Counter(sentences)
    return collections.defaultdict(float, {k: v / count for k, v in found.items()})


NORMAL_WITHIN = (
    readings.GATED,
    readings.NORMAL,
    readings.NORMAL_WITHIN,
    readings.MANY_SMALL,
)


def said(share, *sentences):
    """Share of any of the sentences, also after "correlated contributions"."""
    return sum(share[s] + share[readings.CORRELATED + s] for s in sentences)


def world(n, contexts, levels):
    """Contexts and levels of n states; None: every state is a level."""
    level = np.arange(n) if levels is None else np.arange(n) * levels // n
    order = np.random.default_rng(7).permutation(level[-1] + 1)
    return order[level] % contexts, None if levels is None else level


def one_big(x):
    """A second part that adds nothing: a single feature is the sum."""
    return np.stack([x, np.zeros_like(x)], axis=-1)


def alike(x, level):
    """Half of the states of a level are copies of its first."""
    if level is None:
        return x
    first = np.unique(level, return_index=True)[1]
    rank = np.arange(len(level)) - first[level]
    is_copy = rank >= np.bincount(level)[level] / 2
    return np.where(is_copy[:, None], x[first][level], x)


WORLDS = {"states": (1000, 4, None), "levels": (960, 4, 48)}


@pytest.mark.parametrize("draws", [40, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("size", WORLDS.values(), ids=WORLDS)
def test_no_gate_without_a_gate(size, draws):
    """Contexts are a random permutation of labels: Laplace is Laplace within too."""
    rng, (context, level) = np.random.default_rng(0), world(*size)
    share = shares(
        draws,
        lambda: alike(rng.laplace(size=(size[0], 4)), level),
        context,
        level,
    )
    assert said(share, readings.GATED) <= 0.05
    # the sum of four Laplace terms lies at the margin of a normal
    assert said(share, *NORMAL_WITHIN) <= 0.05 + (draws == 40) * 0.05


@pytest.mark.parametrize("draws", [40, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("size", WORLDS.values(), ids=WORLDS)
def test_normal_contributions_are_not_heavy_gated_or_correlated(size, draws):
    rng, (context, level) = np.random.default_rng(1), world(*size)
    share = shares(
        draws, lambda: alike(rng.normal(size=(size[0], 4)), level), context, level
    )
    heavy = readings.HEAVY_WITHIN, readings.HEAVY_POOLED
    assert said(share, readings.GATED, *heavy) <= 0.05
    assert sum(v for k, v in share.items() if k.startswith(readings.CORRELATED)) <= 0.05
    # 12 levels a context are too few to show it often
    if level is None:
        assert share[readings.MANY_SMALL] > 0.5


@pytest.mark.slow
@pytest.mark.few(3, rest="long")
@pytest.mark.parametrize("size", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("draw", ["laplace", "standard_t", "lognormal", "uniform"])
def test_no_normal_where_there_is_none(draw, size):
    """Whatever the scale of each context."""
    rng, (context, level) = np.random.default_rng(2), world(*size)
    arguments = {"standard_t": (5,), "lognormal": (0, 0.5)}.get(draw, ())
    scale = np.array([0.3, 1.0, 3.0, 1.0])[context]

    def contributions():
        x = getattr(rng, draw)(*arguments, size=size[0]) - (draw == "lognormal")
        return alike(one_big(scale * x), level)

    share = shares(200, contributions, context, level)
    assert said(share, *NORMAL_WITHIN) <= 0.05


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("size", WORLDS.values(), ids=WORLDS)
def test_few_are_not_many(size):
    """Three normal contributions, or two that hide among twenty."""
    rng, (context, level) = np.random.default_rng(3), world(*size)
    three = np.array([1.0, 1.0, 1.0])
    hidden = np.r_[1.0, 1.0, np.full(18, 0.15)]
    for scale in (three, hidden):
        share = shares(
            200,
            lambda scale=scale: alike(
                scale * rng.normal(size=(size[0], len(scale))), level
            ),
            context,
            level,
        )
        assert share[readings.MANY_SMALL] <= 0.05


@pytest.mark.slow
@pytest.mark.few(2, rest="long")
@pytest.mark.parametrize("size", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("heavy", [False, True])
def test_parts_at_the_margin_are_neither_correlated_nor_uncorrelated(size, heavy):
    """Var(sum) / sum Var = 1 + 4 r = 1.5 with five parts and r = 1/8."""
    rng, (context, level) = np.random.default_rng(4), world(*size)
    root = np.linalg.cholesky(np.full((5, 5), 0.125) + np.eye(5) * 0.875)

    def contributions():
        draw = rng.laplace if heavy else rng.normal
        return alike(draw(size=(size[0], 5)) @ root.T, level)

    share = shares(200, contributions, context, level)
    assert sum(v for k, v in share.items() if k.startswith(readings.CORRELATED)) <= 0.05
    assert share[readings.MANY_SMALL] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "least"), [((1000, 4, None), 0.5), ((1600, 2, 64), 0.05)]
)
def test_a_gate_is_found(size, least):
    rng, (context, level) = np.random.default_rng(5), world(*size)
    scale = np.array([0.2, 1.0, 3.0, 1.0])[context][:, None]
    share = shares(
        100, lambda: alike(scale * rng.normal(size=(size[0], 4)), level), context, level
    )
    assert share[readings.GATED] > least
    assert said(share, readings.HEAVY_WITHIN) <= 0.05


@pytest.mark.slow
def test_few_samples_claim_nothing():
    """One Laplace feature of 48 samples, as one context of six or as two of 24."""
    rng = np.random.default_rng(0)
    for contexts in (2, 6):
        for _ in range(3):
            x = one_big(rng.laplace(size=48))
            context = np.arange(48) % contexts
            assert shares(1, lambda x=x: x, context) == {readings.FEW: 1}


def test_the_permutation_test_keeps_its_size_and_blocks():
    """Clusters stay whole; contexts within a mixed cluster trade names."""
    context = np.array([0, 0, 1, 1, 0, 1, 2, 2])
    cluster = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    permuted = within.permuted_contexts(context, cluster, 200)
    for one in permuted:
        assert one[0] == one[1]
        assert one[2] == one[3]
        assert one[6] == one[7]
        assert sorted(one[[0, 2, 6]]) == [0, 1, 2]
        assert sorted(one[[4, 5]]) == [0, 1]
    assert len(np.unique(permuted, axis=0)) == 12
    rng = np.random.default_rng(6)
    labels, level = world(240, 3, 24)
    p = [
        float(
            within.measure(
                one_big(rng.standard_t(3, size=240)),
                labels,
                KEY,
                cluster=level,
                resamples=20,
                permutations=19,
            ).p
        )
        for _ in range(60)
    ]
    # p = 1/20, 2/20, ... are equally likely
    assert np.mean(np.array(p) <= 0.1) < 0.23
    assert 0.3 < np.mean(p) < 0.75


def test_within_by_hand():
    """Two contexts at 0 and 10 with deviations -1, 1: z = -1, 1, and kurtosis 1."""
    context = np.repeat(["left", "right"], 20)
    x = np.tile([-1.0, 1.0], 20) * np.repeat([1, 3], 20) + np.repeat([5, 10], 20)
    result = within.measure(
        np.stack([x, 0 * x + 1], axis=1), context, KEY, resamples=20, permutations=19
    )
    np.testing.assert_array_equal(result.samples, [20, 20])
    np.testing.assert_array_equal(result.clusters, [20, 20])
    np.testing.assert_allclose(result.scale, [1, 3], rtol=1e-6)
    np.testing.assert_allclose(result.variance_ratio, 1, atol=1e-6)
    np.testing.assert_allclose(result.breadth, 1, atol=1e-6)
    opposed = within.measure(
        np.stack([x, -x / 2], axis=1), context, KEY, resamples=20, permutations=19
    )
    # (1 - 1/2)^2 / (1 + 1/4), and (5/4)^2 / (1 + 1/16)
    np.testing.assert_allclose(opposed.variance_ratio, 0.2, rtol=1e-5)
    np.testing.assert_allclose(opposed.breadth, 25 / 17, rtol=1e-5)


def evidence(**changed):
    """Normal everywhere, five uncorrelated parts; or what is changed."""
    return within.Within(
        **{
            "shape": np.array([1.8, 2.2]),
            "excess": np.array([-0.3, 0.3]),
            "variance_ratio": np.array([0.9, 1.1]),
            "breadth": np.array([4.5, 5.0]),
            "p": np.array(0.5),
            "samples": np.array([200.0, 200.0]),
            "clusters": np.array([20.0, 20.0]),
            "scale": np.array([1.0, 1.0]),
            **changed,
        }
    )


NORMAL = np.array([1.8, 2.2]), np.array([-0.3, 0.3])
HEAVY = np.array([0.9, 1.1]), np.array([2.0, 4.0])
WIDE = np.array([1.2, 2.5]), np.array([-0.5, 2.0])
HEAVY_INSIDE = {"shape": HEAVY[0], "excess": HEAVY[1]}
UNKNOWN_INSIDE = {"shape": WIDE[0], "excess": WIDE[1]}
NAN = {"shape": np.full(2, np.nan), "excess": np.full(2, np.nan)}

READ = [
    (NORMAL, {}, readings.MANY_SMALL),
    (NORMAL, {"breadth": np.array([2.9, 5.0])}, readings.NORMAL),
    (NORMAL, {"variance_ratio": np.array([0.9, 1.6])}, readings.NORMAL),
    (NORMAL, {"variance_ratio": np.array([0.6, 1.1])}, readings.NORMAL),
    (
        NORMAL,
        {"variance_ratio": np.array([1.6, 2.0])},
        readings.CORRELATED + readings.NORMAL,
    ),
    (
        NORMAL,
        {"variance_ratio": np.array([0.1, 0.6])},
        readings.CORRELATED + readings.NORMAL,
    ),
    (HEAVY, {"p": np.array(0.01)}, readings.GATED),
    (HEAVY, {}, readings.HEAVY_POOLED),
    (HEAVY, HEAVY_INSIDE, readings.HEAVY_WITHIN),
    (NORMAL, HEAVY_INSIDE, readings.HEAVY_WITHIN),
    (HEAVY, {**UNKNOWN_INSIDE, "p": np.array(0.01)}, readings.HEAVY_POOLED),
    (WIDE, {}, readings.NORMAL_WITHIN),
    (WIDE, UNKNOWN_INSIDE, readings.UNDECIDED),
    (NORMAL, UNKNOWN_INSIDE, readings.UNDECIDED),
    (NORMAL, NAN, readings.UNDECIDED),
    (NORMAL, {"clusters": np.array([20.0, 7.0])}, readings.FEW),
    (NORMAL, {"samples": np.array([39.0, 200.0])}, readings.FEW),
    (NORMAL, {"clusters": np.array([20.0, 1.0])}, readings.ONE_CLUSTER),
    (NORMAL, {"scale": np.array([0.0, 1.0])}, readings.CONSTANT),
    (NORMAL, {"clusters": np.array([20.0])}, readings.ONE_CONTEXT),
]


@pytest.mark.parametrize(("ends", "changed", "sentence"), READ)
def test_a_sentence_claims_what_its_intervals_show(ends, changed, sentence):
    assert readings.read(*ends, evidence(**changed)) == sentence
    assert sentence in readings.SENTENCES


def test_intervals_across_a_margin_show_nothing():
    low, high = readings.NORMAL_SHAPE
    assert readings.is_normal(*NORMAL)
    for shape, excess in (
        ((low - 0.1, 2.2), (-0.3, 0.3)),
        ((1.8, high + 0.1), (-0.3, 0.3)),
        ((1.8, 2.2), (-0.3, 0.8)),
        ((1.8, 2.2), (-0.8, 0.3)),
    ):
        assert not readings.is_normal(np.array(shape), np.array(excess))
        assert not readings.is_heavy(np.array(shape), np.array(excess))
