"""Random sums of units: normal, exponential and gated ones, by their known shapes.

64 levels of 24 states, levels of an even and an odd number in each of two contexts.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.tails import shapes, unit_sums

LEVEL = np.repeat(np.arange(64), 24)
CONTEXT = LEVEL // 2 % 2
HELD_OUT = LEVEL % 2 == 1
KEY = jax.random.key(0)
MADE = unit_sums.synthetic(CONTEXT, 120, jax.random.key(1))


def fit(units, context=CONTEXT, **settings):
    return unit_sums.fit(units, context, LEVEL, HELD_OUT, KEY, **settings)


@pytest.mark.parametrize(
    ("name", "within", "pooled", "is_gated"),
    [
        ("independent", 2.0, 2.0, False),
        # half of the sums are exactly 0: the least shape of the search
        ("planted", 2.0, 0.25, True),
        ("correlated", 1.0, 1.0, False),
    ],
)
def test_units_whose_shape_is_known(name, within, pooled, is_gated):
    """120 Laplace terms add up to a normal; one factor in all units stays Laplace."""
    found = fit(MADE[name])
    assert found.within[0] == pytest.approx(within, abs=0.12)
    assert found.pooled[0] == pytest.approx(pooled, abs=0.12)
    assert found.is_gated[0] == is_gated
    assert found.difference[0] == pytest.approx(within - pooled, abs=0.15)


def test_a_normal_whose_variance_is_exponential_over_contexts_is_laplace():
    """Sixteen contexts whose variances are quantiles of an exponential: shape 1. The
    units do not differ in where they vary: one group would see it too."""
    level = np.repeat(np.arange(320), 12)
    context = level // 2 % 16
    variance = -np.log(1 - (np.arange(16) + 0.5) / 16)
    each = np.random.default_rng(0).normal(size=(len(level), 60))
    found = unit_sums.fit(
        each * np.sqrt(variance)[context][:, None],
        context,
        level,
        level % 2 == 1,
        KEY,
        draws=4,
    )
    assert found.within[0] == pytest.approx(2, abs=0.15)
    assert found.pooled[0] == pytest.approx(1.05, abs=0.12)


def test_tails_that_are_lighter_than_normal_count_as_normal():
    """One unit that is uniform, with half the scale in one context: shapes far above 2
    within and near 2 pooled, but no tails are heavy."""
    uniform = np.random.default_rng(0).uniform(-1, 1, size=(len(LEVEL), 1))
    found = fit(uniform * np.where(CONTEXT == 0, 1.0, 0.5)[:, None])
    assert found.within[0] > 5
    assert found.within[0] - found.pooled[0] > 2
    assert found.difference[0] == pytest.approx(0, abs=0.1)


def test_k_eff_and_the_variance_ratio_by_hand():
    """Units that are one factor f: K_eff is that of f, 1 for Laplace. V = 6 f of units
    f, 2 f and 3 f: 36 / (1 + 4 + 9). Independent ones add up their variances: 1."""
    factor = np.random.default_rng(0).laplace(size=(len(LEVEL), 1))
    found = fit(factor * np.array([[1.0, 2.0, 3.0]]))
    assert found.variance_ratio[0] == pytest.approx(36 / 14, rel=1e-6)
    assert found.k_eff[0] == pytest.approx(1, abs=0.35)
    assert fit(MADE["independent"]).variance_ratio[0] == pytest.approx(1, abs=0.15)
    assert fit(MADE["independent"]).k_eff[0] > 20


def test_what_does_not_vary_has_no_shape():
    found = fit(np.zeros((len(LEVEL), 4)))
    assert np.isnan(found.within[0])
    assert np.isnan(found.difference[0])
    assert np.isnan(found.variance_ratio[0])
    # constants of a context, such as the bias of a closed gate, change nothing
    with_bias = np.hstack([MADE["planted"], 5.0 * (CONTEXT == 1)[:, None]])
    assert fit(with_bias).within[0] == pytest.approx(2, abs=0.12)


def test_contexts_that_mean_nothing_change_nothing():
    """The negative control: gated units, and a context that is drawn at random."""
    drawn = np.random.default_rng(3).permutation(np.arange(64) // 2 % 2)
    assert fit(MADE["planted"], drawn[LEVEL]).difference[0] == pytest.approx(0, abs=0.1)


def test_resamples_are_the_fit_of_repeated_levels():
    """Row 0 counts every level once. Levels that count twice are there twice; means and
    scales stay, which the same levels in both halves of a battery leave as they are."""
    units = np.tile(MADE["planted"][: 32 * 24], (2, 1))
    half = np.r_[np.full(32, 2.0), np.zeros(32)]
    found = fit(units, counts=np.stack([np.ones(64), half]))
    np.testing.assert_allclose(found.within[0], found.within[1], rtol=1e-4)
    np.testing.assert_allclose(found.excess[0], found.excess[1], rtol=1e-5)
    other = fit(MADE["planted"], counts=np.stack([np.ones(64), half]))
    assert other.within[0] != other.within[1]


def test_one_resample_has_the_shape_of_its_samples():
    x = jnp.asarray(np.random.default_rng(0).laplace(size=4_000), jnp.float32)
    cluster = jnp.arange(4_000) % 40
    counts = jnp.stack([jnp.ones(40), jnp.where(jnp.arange(40) < 20, 1.0, 0.0)])
    ones, zero = jnp.ones_like(x), jnp.zeros(())
    found = shapes.on_resamples(x, zero, ones, cluster, counts)
    alone = [shapes.shape(x[w], zero, ones[w]) for w in (ones > 0, cluster < 20)]
    np.testing.assert_allclose(found, alone, rtol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"context": np.repeat([0, 1], [24, len(LEVEL) - 24])},
            "held_out: got samples",
        ),
        ({"held_out": HELD_OUT[:5]}, "held_out"),
        ({"draws": 0}, "draws: got 0"),
        ({"counts": np.ones((1, 8))}, "cluster"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    settings = {"draws": 2, "counts": None} | {
        k: v for k, v in change.items() if k in ("draws", "counts")
    }
    with pytest.raises(ValueError, match=message):
        unit_sums.fit(
            MADE["planted"],
            change.get("context", CONTEXT),
            LEVEL,
            change.get("held_out", HELD_OUT),
            KEY,
            **settings,
        )


def test_the_summary_has_both_shapes():
    assert "shape 2.0" in fit(MADE["planted"]).summary().replace("1.9", "2.0")
