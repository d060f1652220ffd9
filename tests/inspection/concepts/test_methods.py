"""All methods on one planted encoder, each compared with its expected answer.

The concept is written along e_0 (read by V) and e_1 (not read), with noise of two
sizes. Class means and RLACE give e_0 + e_1, CDE gives e_0, two rounds of INLP span
both.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import concept as concepts
from shardsim.inspection.concepts import inlp, methods

N, D = 800, 6
KEY = jax.random.key(0)


def read_out(h):
    """Outputs that read e_0, and e_2 and e_3, which the concept does not change."""
    return jnp.stack([jnp.tanh(h[0]), h[2] * jnp.tanh(h[0]), h[3]])


def planted(seed=0):
    rng = np.random.default_rng(seed)

    def encode(z):
        x = rng.normal(size=(len(z), D))
        x[:, 1] *= 0.5
        x[:, :2] += np.outer(2 * z - 1, [0.6, 0.6])
        return x

    z = rng.integers(0, 2, N)
    ones = np.ones(128)
    a, b = encode(ones), encode(0 * ones)
    b[:, 2:4] = a[:, 2:4]
    x, a, b = (part.astype(np.float32) for part in (encode(z), a, b))
    return concepts.Concept(x, z, a, b, read_out)


CONCEPT = planted()
SUM = np.array([1, 1, 0, 0, 0, 0]) / np.sqrt(2)


def cosine(found, way):
    return abs(float(np.asarray(found.write)[0] @ way))


@pytest.mark.slow
def test_class_means_and_rlace_find_what_is_written():
    mean = methods.find("mean_difference", CONCEPT, KEY)
    assert cosine(mean, SUM) > 0.99
    way = CONCEPT.x[CONCEPT.z == 1].mean(0) - CONCEPT.x[CONCEPT.z == 0].mean(0)
    assert cosine(mean, way / np.linalg.norm(way)) == pytest.approx(1.0, abs=1e-6)
    played = methods.find("rlace", CONCEPT, KEY)
    assert cosine(played, np.asarray(mean.write)[0]) > 0.999
    assert played.best_loss - played.loss < 1e-4
    assert not played.ambiguous


@pytest.mark.slow
def test_cde_finds_what_is_read():
    result = methods.find("cde", CONCEPT, KEY)
    assert cosine(result, np.eye(D)[0]) > 0.99
    assert cosine(result, np.eye(D)[1]) < 0.1
    assert not result.degenerate


@pytest.mark.slow
def test_two_rounds_of_inlp_span_both():
    one = methods.find("logistic", CONCEPT, KEY)
    assert cosine(one, SUM) < 0.95  # leans to the clean copy
    result = methods.find(methods.Inlp(rounds=2), CONCEPT, KEY)
    assert cosine(result, np.asarray(one.write)[0]) == pytest.approx(1.0, abs=1e-4)
    assert np.sum(np.square(result.write[:, :2])) > 1.95


def test_leace_writes_along_the_means_and_reads_obliquely():
    mean = methods.find("mean_difference", CONCEPT, KEY)
    directions = methods.find("leace", CONCEPT, KEY)
    assert cosine(directions, np.asarray(mean.write)[0]) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(
        directions.read @ directions.write.T, np.eye(1), atol=1e-5
    )
    # S is diagonal here: S^-1 of the difference, S with the classes within it
    spread = np.cov(CONCEPT.x.T, bias=True)
    expected = np.linalg.solve(spread, np.asarray(mean.write)[0])
    result = np.asarray(directions.read)[0]
    assert (
        abs(result @ expected) / np.linalg.norm(expected) / np.linalg.norm(result)
        > 0.9999
    )


@pytest.mark.slow
def test_the_gradient_is_the_same_for_every_concept():
    result = methods.find(methods.Gradient(k=3), CONCEPT, KEY)
    np.testing.assert_allclose(
        np.sum(np.square(result.write[:, [0, 2, 3]])), 3.0, atol=1e-4
    )
    assert result.degenerate
    more = methods.find(methods.Gradient(k=4), CONCEPT, KEY)
    assert not more.write[3].any()  # nothing reads a fourth


def test_random_is_the_control():
    keys = jax.random.split(KEY, 300)
    ways = [methods.find("random", CONCEPT, key).write[0, 0] for key in keys[:20]]
    assert np.abs(np.mean(ways)) < 0.5
    assert np.std(ways) == pytest.approx(1 / np.sqrt(D), rel=0.5)


@pytest.mark.parametrize("kind", methods.METHODS)
def test_every_method_gives_a_projection(kind):
    result = methods.find(kind, CONCEPT, KEY)
    k = len(result.write)
    np.testing.assert_allclose(result.write @ result.write.T, np.eye(k), atol=1e-5)
    np.testing.assert_allclose(result.read @ result.write.T, np.eye(k), atol=1e-5)
    x = jnp.asarray(CONCEPT.x)
    once = result.erase(x)
    np.testing.assert_allclose(result.erase(once), once, atol=1e-5)
    # what the directions read is at its mean in every sample
    centred = (once - result.mean[None]) @ result.read.T
    np.testing.assert_allclose(centred, 0, atol=1e-5)
    a, b = jnp.asarray(CONCEPT.a), jnp.asarray(CONCEPT.b)
    mixed = result.swap(a, b)
    np.testing.assert_allclose(mixed @ result.read.T, a @ result.read.T, atol=1e-5)
    np.testing.assert_allclose(result.erase(mixed), result.erase(b), atol=1e-5)
    assert "dimensions, loss" in result.summary()
    assert methods.by_name(kind).kind == kind


def test_erasing_keeps_the_mean():
    result = methods.find("mean_difference", CONCEPT, KEY)
    np.testing.assert_allclose(result.mean, CONCEPT.x.mean(0), atol=1e-6)
    one = result.erase(jnp.asarray(CONCEPT.x[0]))
    np.testing.assert_allclose(one, result.erase(jnp.asarray(CONCEPT.x))[0], atol=1e-6)


@pytest.mark.slow
def test_three_classes_span_two_directions():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 3, N)
    x = (rng.normal(size=(N, D)) + rng.normal(size=(3, D))[z]).astype(np.float32)
    concept = concepts.Concept(x, z)
    mean = methods.find("mean_difference", concept, KEY).write
    assert mean.shape == (2, D)
    for kind in ("leace", "logistic", "inlp"):
        result = methods.find(kind, concept, KEY).write
        assert result.shape == (2, D)
        if kind == "leace":
            assert np.sum(np.square(result @ mean.T)) == pytest.approx(2.0, abs=1e-4)


def test_directions_do_not_depend_on_the_mean():
    numbers = CONCEPT.z.astype(np.float32) + 5
    plain = methods.find("mean_difference", CONCEPT._replace(z=numbers), KEY)
    shifted = CONCEPT._replace(x=CONCEPT.x + 3, z=numbers)
    moved = methods.find("mean_difference", shifted, KEY)
    np.testing.assert_allclose(moved.write, plain.write, atol=1e-4)


def test_an_empty_class_does_no_harm():
    columns = np.eye(3, dtype=np.float32)[CONCEPT.z]
    result = methods.find("mean_difference", CONCEPT._replace(z=columns), KEY)
    assert cosine(result, SUM) > 0.99
    np.testing.assert_allclose(result.write[1], 0, atol=1e-6)


def test_warnings_and_losses_come_from_the_method():
    """A linear V with one output: every concept gives its slope, for any pairs."""
    linear = CONCEPT._replace(read_out=lambda h: h[0], b=CONCEPT.b + CONCEPT.a[::-1])
    result = methods.find(methods.Cde(steps=3), linear, KEY)
    assert result.degenerate
    assert not result.ambiguous
    both = np.concatenate([linear.a, linear.b]).mean(axis=0)
    np.testing.assert_allclose(result.mean, both, atol=1e-5)
    rounds = methods.find(methods.Inlp(rounds=2), CONCEPT, KEY)
    expected = inlp.fit(CONCEPT.x, CONCEPT.z, rounds=2)
    assert float(rounds.loss) == float(expected.losses[-1]) > float(expected.losses[0])
    assert float(rounds.best_loss) == pytest.approx(np.log(2), abs=0.01)
    assert float(rounds.best_loss) > float(rounds.loss)


def test_numbers_have_a_direction_as_well():
    z = CONCEPT.x @ np.arange(D, dtype=np.float32)
    result = methods.find("mean_difference", CONCEPT._replace(z=z), KEY)
    cross = (CONCEPT.x - CONCEPT.x.mean(0)).T @ (z - z.mean())
    assert cosine(result, cross / np.linalg.norm(cross)) == pytest.approx(1, abs=1e-5)
    assert methods.find("leace", CONCEPT._replace(z=z), KEY).write.shape == (1, D)
    with pytest.raises(ValueError, match="z: got a vector of floats"):
        methods.find("logistic", CONCEPT._replace(z=z), KEY)


def test_columns_are_as_good_as_labels():
    columns = np.eye(2, dtype=np.float32)[CONCEPT.z]
    for kind in ("mean_difference", "leace"):
        one = methods.find(kind, CONCEPT, KEY).write
        other = methods.find(kind, CONCEPT._replace(z=columns), KEY).write
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("pca", {}, "method: got 'pca'; allowed: mean_difference, logistic"),
        ("leace", {"x": np.zeros(3)}, r"x: got shape \(3,\)"),
        ("leace", {"z": np.zeros(3, int)}, r"z: got shape \(3,\)"),
        ("random", {"x": np.full((N, D), np.nan)}, "x: got 4800 numbers"),
        ("leace", {"z": np.zeros(N, int)}, "z: got the same for all samples"),
        ("rlace", {"z": np.ones((N, 2), np.float32)}, "z: got the same for all"),
        ("cde", {"read_out": None}, "concept: got no read_out, a or b"),
        ("gradient", {"a": None}, "concept: got no read_out, a or b"),
        ("cde", {"a": np.zeros((3, 2))}, r"a: got shape \(3, 2\); allowed: \(any, 6\)"),
        ("cde", {"b": np.zeros((3, D))}, r"b: got shape \(3, 6\); allowed: \(128, 6\)"),
    ],
)
def test_bad_input_is_named(method, change, message):
    with pytest.raises(ValueError, match=message):
        methods.find(method, CONCEPT._replace(**change), KEY)
