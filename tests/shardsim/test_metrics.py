"""Named scalars as one vector: through loops, and back by name."""

import jax
import jax.numpy as jnp
import pytest

from shardsim import metrics


def test_means_over_nested_loops_by_hand():
    """x + y runs over 0, 1, 2 and 1, 2, 3: mean 1.5; its square has mean 19 / 6."""

    def inner(x, y):
        z = (x + y).astype(jnp.float32)
        return x, metrics.pack({"square": z**2, "sum": z})

    def outer(carry, x):
        return carry, jax.lax.scan(inner, x, jnp.arange(3))[1]

    _, noted = jax.lax.scan(outer, 0, jnp.arange(2))
    assert noted.names == ("square", "sum")
    assert noted.values.shape == (2, 3, 2)
    found = metrics.means(noted)
    assert list(found) == ["square", "sum"]
    assert float(found["sum"]) == pytest.approx(1.5)
    assert float(found["square"]) == pytest.approx(19 / 6)


def test_one_that_is_not_finite_spoils_no_other():
    found = metrics.means(metrics.pack({"a": jnp.float32(jnp.nan), "b": jnp.ones(())}))
    assert jnp.isnan(found["a"])
    assert float(found["b"]) == 1.0
