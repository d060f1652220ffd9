"""Chosen by hand, against NumPy and SciPy, and where a fixed 1e-3 is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from shardsim.inspection import regularisation
from shardsim.inspection.concepts import (
    concept,
    control_tasks,
    direction_scores,
    inlp,
    methods,
    probes,
)
from shardsim.inspection.truth import baselines


def draw(seed, n, d=40, signal=1.0, noise=1.0):
    """Labels by a noisy direction e0 among d features of variance 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    score = signal * x[:, 0] + noise * rng.normal(size=n)
    return x, score > 0


def test_a_choice_by_hand():
    """Means of 0, 1, 2, 3, each predicted by the shrunk mean of the other folds.

    Held out 0: the mean of 1, 2, 3 is 2, at 3/4 of it the error is 1.5, and so on.
    """
    x = jnp.arange(4.0)

    def losses_of(share, shrinks):
        return jnp.square(x[None] - shrinks[:, None] * (share @ x))

    choice = regularisation.choose(losses_of, np.arange(4), choices=(0.0, 0.75, 1.0))
    means = np.array([6, 5, 4, 3]) / 3
    expected = [np.mean((np.arange(4) - s * means) ** 2) for s in (0, 0.75, 1)]
    np.testing.assert_allclose(choice.losses, expected, rtol=1e-6)
    assert float(choice.value) == 0.75


def test_ties_go_to_the_first_and_overflows_to_nobody():
    def losses_of(share, values):
        return jnp.where(values[:, None] == 3, jnp.nan, jnp.ones((3, 8)))

    choice = regularisation.choose(losses_of, np.arange(8) % 4, choices=(3.0, 2.0, 1.0))
    assert float(choice.value) == 2


def test_groups_stay_in_one_fold():
    groups = np.repeat(["c", "a", "d", "b", "e"], 3)
    fold = regularisation.folds(15, groups)
    np.testing.assert_array_equal(
        fold.reshape(5, 3), [[2] * 3, [0] * 3, [3] * 3, [1] * 3, [0] * 3]
    )
    assert regularisation.folds(5).tolist() == [0, 1, 2, 3, 0]
    traced = jax.jit(lambda g: regularisation.folds(3, g))(jnp.asarray([0, 5, 3]))
    assert traced.tolist() == [0, 1, 3]
    with pytest.raises(ValueError, match="groups: got 1 different labels"):
        regularisation.folds(4, [7, 7, 7, 7])
    with pytest.raises(ValueError, match=r"groups: got shape \(3,\); allowed: \(4\)"):
        regularisation.folds(4, [7, 8, 7])


def ridge_losses(x, y, fold):
    """Squared error on held-out samples, by the normal equations."""
    x, y = x.astype(float), y.astype(float)
    losses = np.zeros(len(regularisation.CHOICES))
    for number, decay in enumerate(regularisation.CHOICES):
        for k in range(regularisation.FOLDS):
            test = fold == k
            mean, mean_y = x[~test].mean(axis=0), y[~test].mean()
            centred = x[~test] - mean
            covariance = centred.T @ centred / len(centred)
            lam = decay * np.trace(covariance) / x.shape[1]
            w = np.linalg.solve(
                covariance + lam * np.eye(x.shape[1]),
                centred.T @ (y[~test] - mean_y) / len(centred),
            )
            losses[number] += np.square(y[test] - mean_y - (x[test] - mean) @ w).sum()
    return losses / len(x)


@pytest.mark.parametrize("noise", [0.01, 1.0, 10.0])
def test_ridge_chooses_what_the_normal_equations_choose(noise):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 12)).astype(np.float32) + 5
    y = (x[:, 0] - x[:, 1] + noise * rng.normal(size=60)).astype(np.float32)
    losses = ridge_losses(x, y, np.arange(60) % regularisation.FOLDS)
    probe = probes.ridge(x, y)
    assert float(probe.decay) == pytest.approx(
        regularisation.CHOICES[losses.argmin()], rel=1e-5
    )
    np.testing.assert_array_equal(
        probe.weights, probes.ridge(x, y, decay=float(probe.decay)).weights
    )


def logistic_losses(x, signed, fold, fit_intercept):
    """Held-out loss of two classes, minimised by L-BFGS."""
    x, signed = x.astype(float), signed.astype(float)
    losses = np.zeros(len(regularisation.CHOICES))
    for number, strength in enumerate(regularisation.CHOICES):
        for k in range(regularisation.FOLDS):
            train = fold != k
            if fit_intercept:
                mean = x[train].mean(axis=0)
                # half the difference of two logits: |W|^2 is twice its square
                lam = 2 * strength * x[train].var(axis=0).mean()
            else:
                mean, lam = np.zeros(x.shape[1]), strength

            def margin(v, rows, mean=mean):
                scale = 2.0 if fit_intercept else 1.0
                return signed[rows] * scale * ((x[rows] - mean) @ v[:-1] + v[-1])

            def objective(v, train=train, lam=lam, margin=margin):
                v = v if fit_intercept else np.append(v[:-1], 0)
                fit = np.logaddexp(0, -margin(v, train)).mean()
                return fit + lam * np.square(v[:-1]).sum() / 2

            end = scipy.optimize.minimize(objective, np.zeros(x.shape[1] + 1)).x
            end = end if fit_intercept else np.append(end[:-1], 0)
            losses[number] += np.logaddexp(0, -margin(end, ~train)).sum()
    return losses / len(x)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_the_logistic_probe_chooses_what_scipy_chooses(noise):
    x, z = draw(1, 80, d=5, noise=noise)
    fold = np.arange(80) % regularisation.FOLDS
    losses = logistic_losses(x, np.where(z, 1, -1), fold, True)
    best = regularisation.CHOICES[losses.argmin()]
    assert float(probes.logistic(x, z).decay) == pytest.approx(best, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_pairs_choose_what_scipy_chooses(noise):
    x, z = draw(2, 80, d=5, noise=noise)
    rows = x / np.sqrt(np.square(x).mean())
    fold = np.arange(80) % regularisation.FOLDS
    losses = logistic_losses(rows, np.where(z, 1, -1), fold, False)
    best = regularisation.CHOICES[losses.argmin()]
    chosen = baselines._choose_penalty(jnp.asarray(x), jnp.asarray(z), fold)
    assert float(chosen) == pytest.approx(best, rel=1e-5)


def test_few_noisy_samples_need_more_than_a_thousandth():
    """40 features of 60 samples: 1e-3 learns the noise by heart."""
    x, z = draw(8, 60)
    fresh = draw(99, 4_000)
    columns = concept.one_hot(fresh[1])

    def fresh_loss(probe):
        return float(probes.cross_entropy(probe(jnp.asarray(fresh[0])), columns))

    chosen, fixed = probes.logistic(x, z), probes.logistic(x, z, decay=1e-3)
    assert float(chosen.decay) >= 0.1
    assert fresh_loss(chosen) < np.log(2) < 1.0 < fresh_loss(fixed)
    towards = [
        abs(float(p.weights[0, 1] / jnp.linalg.norm(p.weights[:, 1])))
        for p in (chosen, fixed)
    ]
    assert towards[0] > towards[1] + 0.05
    first = methods.find("logistic", concept.Concept(x, z), jax.random.key(0))
    assert abs(float(first.write[0, 0])) == pytest.approx(towards[0], abs=1e-3)


def test_a_concept_without_noise_needs_little():
    x, z = draw(5, 400, noise=0.0)
    assert float(probes.logistic(x, z).decay) <= 1e-3


def test_every_round_of_inlp_chooses_anew():
    """Once the concept is gone only the strongest decay is left."""
    x, z = draw(5, 300, d=5, noise=0.0)
    result = inlp.fit(x, z, rounds=2)
    assert float(result.decays[0]) <= 1e-3
    assert float(result.decays[-1]) >= 1.0
    given = inlp.fit(x, z, rounds=2, decay=0.01)
    np.testing.assert_allclose(given.decays, 0.01)


def test_pairs_of_one_concept_need_a_penalty():
    """The same for differences of pairs: |cos| to the truth .44 with 1e-3."""
    x, z = draw(7, 60, noise=2.0)
    chosen, fixed = (
        abs(float(baselines.logistic(x, z, penalty=p).direction[0]))
        for p in (None, 1e-3)
    )
    assert chosen > fixed + 0.05


def test_copies_in_two_folds_are_no_test_and_groups_mend_it():
    """Each sample four times: a held-out copy is known by heart."""
    x, z = draw(5, 60, noise=2.0)
    x, z, group = (np.repeat(part, 4, axis=0) for part in (x, z, np.arange(60)))
    alone = probes.logistic(x, z)
    grouped = probes.logistic(x, z, groups=group)
    assert float(alone.decay) < float(grouped.decay)
    pairs = [
        float(
            baselines._choose_penalty(
                jnp.asarray(x), jnp.asarray(z), regularisation.folds(240, groups)
            )
        )
        for groups in (None, group)
    ]
    assert pairs[0] < pairs[1]
    rounds = [inlp.fit(x, z, groups=groups).decays[0] for groups in (None, group)]
    assert float(rounds[0]) < float(rounds[1])


def test_control_tasks_and_guardedness_choose_too():
    x, z = draw(5, 120, noise=2.0)
    held_out = np.arange(120) >= 60
    types = np.arange(120) % 7
    result = control_tasks.fit(x, z, types, held_out, controls=1)
    assert float(result.decay) >= 0.1
    fixed = control_tasks.fit(x, z, types, held_out, controls=1, decay=1e-3)
    assert float(fixed.decay) == pytest.approx(1e-3)
    directions = methods.find(
        "mean_difference", concept.Concept(x, z), jax.random.key(0)
    )
    guard = direction_scores.guardedness(directions, x, z, held_out, groups=types)
    assert guard.converged


def test_few_samples_are_not_split():
    x, z = draw(0, 6, d=2)
    z = np.arange(6) % 2 == 0
    assert float(probes.logistic(x, z).decay) == pytest.approx(regularisation.WITHOUT)
    assert float(probes.ridge(x, x[:, 0]).decay) == pytest.approx(
        regularisation.WITHOUT
    )
