"""Named numbers as one vector: through loops, and back by name."""

import jax
import jax.numpy as jnp
import pytest

from shardsim.algorithms import metrics


def test_means_over_nested_loops_by_hand():
    """x + y runs over 0, 1, 2 and 1, 2, 3: mean 1.5; its square has mean 19 / 6."""

    def inner(x, y):
        z = (x + y).astype(jnp.float32)
        return x, metrics.pack({"square": z**2, "sum": z})

    def outer(carry, x):
        return carry, jax.lax.scan(inner, x, jnp.arange(3))[1]

    _, noted = jax.lax.scan(outer, 0, jnp.arange(2))
    assert noted.sizes == (("square", None), ("sum", None))
    assert noted.values.shape == (2, 3, 2)
    found = metrics.means(noted)
    assert list(found) == ["square", "sum"]
    assert float(found["sum"]) == pytest.approx(1.5)
    assert float(found["square"]) == pytest.approx(19 / 6)


def test_one_that_is_not_finite_spoils_no_other():
    found = metrics.means(metrics.pack({"a": jnp.float32(jnp.nan), "b": jnp.ones(())}))
    assert jnp.isnan(found["a"])
    assert float(found["b"]) == 1.0


def test_scalars_and_vectors_come_back_as_they_went_in():
    """Also behind axes that loops or maps put in front."""
    named = {
        "reward": jnp.float32(3.0),
        "rewards": jnp.array([1.0, 2.0]),
        "one": jnp.array([7.0]),
        "episodes": jnp.float32(4.0),
    }
    packed = jax.vmap(
        lambda scale: metrics.pack({name: scale * x for name, x in named.items()})
    )(jnp.arange(1.0, 4.0))
    assert packed.values.shape == (3, 5)
    found = packed.by_name()
    assert list(found) == list(named)
    for name, x in named.items():
        assert found[name].shape == (3, *x.shape)
        assert found[name].tolist() == [(n * x).tolist() for n in (1, 2, 3)]
