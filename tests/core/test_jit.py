"""A program is `jax.jit` of a function, with options that suit the machine."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.core import jit


@jit.jit
def double(x):
    """Twice."""
    return 2.0 * x


def test_a_program_computes_the_function():
    assert double(jnp.arange(3.0)).tolist() == [0.0, 2.0, 4.0]
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice."
    power = jit.jit(lambda n, x: x**n, static_argnums=0)
    assert power(3, jnp.float32(2.0)) == 8.0
    text = power.compiled.lower(3, jnp.float32(2.0)).as_text()
    assert "tensor<f32>" in text


def test_donated_arguments_are_deleted():
    given = jnp.arange(4.0)
    again = jit.jit(lambda x: x + 1.0, donate_argnums=0)(given)
    assert given.is_deleted()
    assert again.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_collection_is_off_during_compilation(collecting):
    """Afterwards the collector is as it was before, even after an error."""
    seen = []

    def traced(x):
        seen.append(gc.isenabled())
        return x + 1.0 if x.ndim else x.no_such_thing

    made = jit.jit(traced)
    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        assert made(jnp.arange(2.0)).tolist() == [1.0, 2.0]
        assert gc.isenabled() == collecting
        ahead = made.lower_and_compile(jnp.arange(3.0))
        assert ahead(jnp.arange(3.0)).tolist() == [1.0, 2.0, 3.0]
        assert gc.isenabled() == collecting
        with pytest.raises(AttributeError):
            made(jnp.float32(0.0))
        assert gc.isenabled() == collecting
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == [False] * 3


@pytest.mark.parametrize(
    ("backend", "flags", "level"),
    [
        ("cpu", "", 2),
        ("cpu", "--xla_backend_optimization_level=0", None),
        ("gpu", "", None),
        ("tpu", "", None),
    ],
)
def test_optimization_level_depends_on_backend_and_flags(
    monkeypatch, backend, flags, level
):
    """Level 2 on CPUs unless XLA_FLAGS sets one; the compiler's default elsewhere."""
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    seen = []
    plain = jax.jit
    monkeypatch.setattr(
        jax, "jit", lambda f, **how: seen.append(how) or plain(f, **how)
    )
    result = jit.jit(jnp.sin)(np.float32(0.0))
    assert result == 0.0
    (how,) = seen
    assert how == {"compiler_options": level and {jit.OPTIMIZATION_LEVEL: level}}
