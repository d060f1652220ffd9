"""RLACE by its published optimiser: the same steps with whole matrices, and its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import rlace, rlace_descent

N, D, BATCH = 60, 20, 16
KEYS = jax.random.split(jax.random.key(3), 3)


def made(gap=2.0):
    """Two classes whose means differ along one direction, not that of most variance."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(3, 0.3, D)
    x = rng.normal(size=(N, D)) * scales
    z = np.repeat([0, 1], N // 2)
    x[:, D // 2] += gap * z
    return x.astype(np.float32), z


def by_whole_matrices(x, z, key, steps, rate, decay):
    """The steps as the docstring writes them; P after the last one."""
    x = x - x.mean(axis=0)
    x = x / np.sqrt(np.square(x).mean())
    first, second = jax.random.split(jax.random.fold_in(key, 0))
    noise = np.asarray(0.1 * jax.random.normal(first, (D, D)))
    p = np.asarray(rlace.project(jnp.asarray((noise + noise.T) / 2), 1)[0])
    theta = np.asarray(jax.random.uniform(second, (D,), minval=-1, maxval=1)) / D**0.5
    bias = 0.0
    for number in range(1, steps + 1):
        rows = jax.random.randint(jax.random.fold_in(key, number), (2, BATCH), 0, N)

        def slopes(at, p=p, theta=theta, bias=bias):
            logits = x[at] @ (np.eye(D) - p) @ theta + bias
            error = (1 / (1 + np.exp(-logits)) - z[at]) / BATCH
            return x[at].T @ error, error.sum()

        v, _ = slopes(np.asarray(rows[0]))
        change = (np.outer(v, theta) + np.outer(theta, v)) / 2 + decay * p
        p = np.asarray(rlace.project(jnp.asarray(p - rate * change), 1)[0])
        v, v_bias = slopes(np.asarray(rows[1]), p)
        theta = theta - rate * ((np.eye(D) - p) @ v + decay * theta)
        bias = bias - rate * v_bias
    return p


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_the_steps_are_those_of_whole_matrices(decay):
    """With much decay the trace falls, so that all other eigenvalues rise above 0."""
    x, z = made()
    path = rlace_descent.fit_many(
        x, z, KEYS, steps=(1, 25), batch=BATCH, rate=0.1, decay=decay
    )
    assert path.basis.shape == (2, 3, 1, D)
    for at, steps in enumerate((1, 25)):
        for number, key in enumerate(KEYS[:2]):
            p = by_whole_matrices(x, z, key, steps, 0.1, decay)
            values, axes = np.linalg.eigh(p)
            assert path.top[at, number] == pytest.approx(values[-1], abs=2e-4)
            row = path.basis[at, number, 0]
            assert abs(row @ axes[:, -1]) == pytest.approx(1, abs=1e-3)
    assert float(path.dropped.max()) < 2e-3


def test_too_few_axes_are_said():
    """Negative control of `dropped`."""
    x, z = made()
    path = rlace_descent.fit_many(x, z, KEYS, steps=(1,), batch=BATCH, axes=2)
    assert float(path.dropped.max()) > 0.01


def test_with_steps_every_start_comes_to_the_difference_of_the_means():
    x, z = made()
    path = rlace_descent.fit_many(x, z, KEYS, steps=(2, 2_000), batch=64, rate=0.05)
    means = x[z == 1].mean(axis=0) - x[z == 0].mean(axis=0)
    cosines = np.abs(path.basis[:, :, 0] @ (means / np.linalg.norm(means)))
    assert cosines[0].max() < 0.9
    assert cosines[1].min() > 0.99
    assert "2000 steps" in path.summary()


def test_what_is_refused():
    x, z = made()
    with pytest.raises(ValueError, match="z: got 3 classes; allowed: 2"):
        rlace_descent.fit_many(x, np.arange(N) % 3, KEYS)
    with pytest.raises(ValueError, match=r"steps: got \[5, 2\]; allowed: rising"):
        rlace_descent.fit_many(x, z, KEYS, steps=(5, 2))
    with pytest.raises(ValueError, match="rate: got 0; allowed: above 0"):
        rlace_descent.fit_many(x, z, KEYS, rate=0)
