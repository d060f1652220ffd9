"""Mapped over seeds in one program, every fit is what it is one by one, in both types.

LAPACK must not lie under `jax.vmap`, so that the map is `jax.lax.map`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import cde, inlp, leace, rlace
from shardsim.inspection.tails import fitting
from shardsim.inspection.truth import ccs

SEEDS, N, D = 3, 60, 5


def read_out(h):
    return jnp.tanh(h[:1] - h[1:2])


def _leace(x, z, key):
    return leace.fit(x, z).erase(x)


def _rlace(x, z, key):
    return rlace.fit(x, z, key, steps=8)


def _inlp(x, z, key):
    return inlp.fit(x, z, rounds=2)


def _ccs(x, z, key):
    return ccs.fit(x, x[::-1], key, restarts=2, steps=20)


def _cde(x, z, key):
    return cde.fit(read_out, x[::2], x[1::2], key, steps=10)


def _fits(x, z, key):
    one = x[:, 0]
    fits = (fitting.normal, fitting.laplace, fitting.logistic, fitting.student)
    return [fit(one) for fit in (*fits, fitting.generalised)]


TOOLS = [_leace, _rlace, _inlp, _ccs, _cde, _fits]


@pytest.mark.slow
@pytest.mark.few(6, rest="long")
@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.__name__[1:])
def test_mapped_over_seeds_it_is_what_it_is_one_by_one(tool, wide):
    with jax.enable_x64(wide):
        kind = jnp.float64 if wide else jnp.float32
        draw = np.random.default_rng(0)
        z = jnp.asarray(np.eye(2)[draw.integers(0, 2, (SEEDS, N))], kind)
        x = jnp.asarray(draw.normal(size=(SEEDS, N, D)), kind)
        x = x + z[..., :1] * jnp.linspace(0, 1, D, dtype=kind)[None, None]
        keys = jax.random.split(jax.random.key(1), SEEDS)
        mapped = jax.jit(lambda *args: jax.lax.map(lambda one: tool(*one), args))
        many = jax.tree.leaves(mapped(x, z, keys))
        for seed in range(SEEDS):
            alone = jax.tree.leaves(tool(x[seed], z[seed], keys[seed]))
            assert len(alone) == len(many)
            for one, all_of_them in zip(alone, many, strict=True):
                if jnp.issubdtype(one.dtype, jnp.floating):
                    assert one.dtype == kind
                np.testing.assert_allclose(
                    all_of_them[seed], one, rtol=2e-3, atol=1e-8 if wide else 2e-4
                )
