"""Maximum likelihood against scipy's, and densities against draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from shardsim.inspection import optimizers
from shardsim.inspection.tails import families, fitting

# mostly compile time
pytestmark = pytest.mark.slow

TWINS = {
    "normal": scipy.stats.norm,
    "laplace": scipy.stats.laplace,
    "logistic": scipy.stats.logistic,
    "student": scipy.stats.t,
    "generalised": scipy.stats.gennorm,
}
EXAMPLES = (
    families.Normal(jnp.asarray(1.0), jnp.asarray(2.0)),
    families.Laplace(jnp.asarray(1.0), jnp.asarray(2.0)),
    families.Logistic(jnp.asarray(1.0), jnp.asarray(2.0)),
    families.Student(jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(3.0)),
    families.GeneralisedNormal(jnp.asarray(1.0), jnp.asarray(2.0), jnp.asarray(1.5)),
    families.Mixture(
        jnp.asarray([0.25, 0.75]), jnp.asarray([-2.0, 2.0]), jnp.asarray([1.0, 0.5])
    ),
)


def test_closed_forms_by_hand():
    x = jnp.asarray([0.0, 1.0, 5.0])
    np.testing.assert_allclose(fitting.normal(x), [2, np.sqrt(14 / 3)], rtol=1e-6)
    np.testing.assert_allclose(fitting.laplace(x), [1, 5 / 3], rtol=1e-6)
    even = jnp.asarray([0.0, 1.0, 2.0, 9.0])
    assert float(fitting.weighted_median(even, jnp.ones(4))) == 1.5
    assert float(fitting.weighted_median(even, jnp.asarray([0.0, 0, 0, 1]))) == 9


@pytest.mark.parametrize("draw", ["normal", "laplace", "standard_t", "exponential"])
def test_fits_are_scipy_s(draw):
    rng = np.random.default_rng(0)
    x = rng.standard_t(3, 400) if draw == "standard_t" else getattr(rng, draw)(size=400)
    for name, twin in TWINS.items():
        result = getattr(fitting, name)(jnp.asarray(3 * x + 1, jnp.float32))
        theirs = twin.fit(3 * x + 1)
        expected = twin.logpdf(3 * x + 1, *theirs).mean()
        ours = float(result.log_density(jnp.asarray(3 * x + 1, jnp.float32)).mean())
        assert ours > expected - 1e-4, name
        assert ours < expected + 1e-3, name


@pytest.mark.parametrize("family", EXAMPLES, ids=lambda f: type(f).__name__)
def test_density_cdf_and_draws_agree(family):
    grid = jnp.linspace(-60.0, 60.0, 4001)
    density = np.exp(np.asarray(family.log_density(grid)))
    summed = scipy.integrate.cumulative_trapezoid(density, grid, initial=0)
    np.testing.assert_allclose(summed, family.cdf(grid), atol=3e-3)
    drawn = np.asarray(family.sample(2000, jax.random.key(1)))
    assert (
        scipy.stats.kstest(
            drawn, lambda x: np.asarray(family.cdf(jnp.asarray(x)))
        ).pvalue
        > 1e-3
    )


def test_log_densities_are_scipy_s():
    x = np.linspace(-9, 9, 50)
    normal, laplace, logistic, student, general, _ = EXAMPLES
    result = [f.log_density(jnp.asarray(x)) for f in EXAMPLES]
    far = families.Student(normal.mean, normal.scale, jnp.asarray(400.0))
    np.testing.assert_allclose(result[0], scipy.stats.norm.logpdf(x, 1, 2), rtol=1e-4)
    np.testing.assert_allclose(
        result[1], scipy.stats.laplace.logpdf(x, 1, 2), rtol=1e-4
    )
    np.testing.assert_allclose(
        result[2], scipy.stats.logistic.logpdf(x, 1, 2), rtol=1e-4
    )
    np.testing.assert_allclose(result[3], scipy.stats.t.logpdf(x, 3, 1, 2), rtol=1e-4)
    np.testing.assert_allclose(
        result[4], scipy.stats.gennorm.logpdf(x, 1.5, 1, 2), rtol=1e-4
    )
    np.testing.assert_allclose(
        far.log_density(jnp.asarray(x)), scipy.stats.t.logpdf(x, 400, 1, 2), rtol=1e-4
    )
    assert laplace.scale == logistic.scale == student.scale == general.scale


@pytest.mark.parametrize("name", TWINS)
def test_weights_are_subsets_and_fits_move_with_the_numbers(name):
    fit = getattr(fitting, name)
    x = jnp.asarray(np.random.default_rng(1).laplace(size=400), jnp.float32)
    half = jnp.asarray(np.arange(400) < 200, jnp.float32)
    both = jax.vmap(fit, in_axes=(None, 0))(x, jnp.stack([half, 1 - half]))
    alone = fit(x[:200])
    np.testing.assert_allclose([leaf[0] for leaf in both], alone, rtol=2e-2, atol=2e-3)
    moved = fit(5 * x + 3)
    plain = fit(x)
    assert float(moved[0]) == pytest.approx(5 * float(plain[0]) + 3, abs=0.02)
    assert float(moved.scale) == pytest.approx(5 * float(plain.scale), rel=1e-2)


def test_mixtures_recover_two_and_invent_none():
    rng = np.random.default_rng(2)
    x = np.r_[rng.normal(-3, 1, 300), rng.normal(3, 0.5, 100)]
    x = jnp.asarray(x, jnp.float32)
    (result,) = fitting.fit_mixture_to(x, 2)
    np.testing.assert_allclose(result.share, [0.75, 0.25], atol=0.02)
    np.testing.assert_allclose(result.mean, [-3, 3], atol=0.2)
    np.testing.assert_allclose(result.scale, [1, 0.5], atol=0.15)
    two, three, four = fitting.fit_mixture_to(x, 4)
    np.testing.assert_allclose(two.mean[:2], result.mean, atol=1e-3)
    np.testing.assert_array_equal(two.share[2:], 0)
    likelihood = [float(m.log_density(x).mean()) for m in (two, three, four)]
    assert likelihood[0] > float(fitting.normal(x).log_density(x).mean()) + 0.3
    assert max(likelihood) < likelihood[0] + 0.03


def test_a_constant_has_the_least_scale():
    x = jnp.full(400, 3.0)
    for name in TWINS:
        result = getattr(fitting, name)(x)
        assert float(result[0]) == pytest.approx(3)
        assert float(result.scale) == pytest.approx(3 * fitting.FLOOR, rel=1e-3)
        assert np.isfinite(result.log_density(x)).all()
    (mixture,) = fitting.fit_mixture_to(x, 2)
    assert np.isfinite(mixture.log_density(x)).all()


def test_golden_section():
    low, high = jnp.asarray(-1.0), jnp.asarray(5.0)
    result = optimizers.golden(lambda x: jnp.square(x - 2), low, high)
    assert float(result) == pytest.approx(2, abs=2e-3)
    edge = optimizers.golden(lambda x: x, low, high)
    assert float(edge) == pytest.approx(-1, abs=1e-4)


def test_double():
    with jax.enable_x64(True):
        x = np.random.default_rng(3).standard_t(4, 300)
        result = fitting.student(jnp.asarray(x))
        assert result.degrees.dtype == jnp.float64
        np.testing.assert_allclose(result.degrees, scipy.stats.t.fit(x)[0], rtol=1e-3)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="x: got shape"):
        fitting.normal(jnp.ones((2, 2)))
    with pytest.raises(ValueError, match="x: got 1 numbers"):
        fitting.laplace(jnp.asarray([jnp.nan, 1.0]))
    with pytest.raises(ValueError, match="weights: got shape"):
        fitting.logistic(jnp.ones(3), jnp.ones(2))
    with pytest.raises(ValueError, match="most: got 9"):
        fitting.fit_mixture_to(jnp.ones(3), 9)
