"""A program is `jax.jit` of a function, with options that suit the machine."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.core import backends, jit, surroundings


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


LEVEL, DETERMINISTIC = backends.OPTIMIZATION_LEVEL, backends.DETERMINISTIC


@pytest.mark.parametrize(
    ("backend", "flags", "options"),
    [
        ("cpu", "", {LEVEL: 2}),
        ("cpu", f"--{LEVEL}=0", None),
        ("gpu", "", {DETERMINISTIC: True}),
        ("gpu", f"--{DETERMINISTIC}=false", None),
        ("tpu", "", None),
        ("metal", "", {DETERMINISTIC: True}),
    ],
)
def test_options_depend_on_backend_and_flags(monkeypatch, backend, flags, options):
    """Those of the table unless XLA_FLAGS sets them; "gpu" stands for the unknown."""
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
    assert how == {"compiler_options": options}


def test_a_program_may_keep_the_level_of_the_compiler(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert jit._compiler_options(backends.TABLE["cpu"], optimize=True) is None
    assert jit._compiler_options(backends.TABLE["gpu"], optimize=True) is not None


def test_xla_knows_every_option_of_the_table():
    """It refuses names that it does not know, whatever the device is."""
    for choices in backends.TABLE.values():
        options = dict(choices.compiler_options)
        assert jax.jit(jnp.sin, compiler_options=options)(np.float32(0.0)) == 0.0
    with pytest.raises(jax.errors.JaxRuntimeError):
        jax.jit(jnp.cos, compiler_options={"xla_no_such_option": 1})(np.float32(0.0))


@pytest.mark.parametrize(("backend", "is_set"), [("cpu", 0), ("gpu", 1), ("tpu", 1)])
def test_products_are_of_float32_on_every_device(backend, is_set):
    """The default of a GPU would be TF32, that of a TPU bfloat16."""
    with backends.target(backend):
        traced = jit.jit(jnp.dot).compiled.trace(jnp.eye(2), jnp.eye(2))
    assert ("HIGHEST" in str(traced.jaxpr)) == bool(is_set)


def test_tools_get_the_same_precision_within_a_command():
    """Its settings end with it."""
    with surroundings.fixed_numerics(), backends.target("gpu"):
        backends.use_precision()
        assert "HIGHEST" in str(jax.make_jaxpr(jnp.dot)(jnp.eye(2), jnp.eye(2)))
    assert "HIGHEST" not in str(jax.make_jaxpr(jnp.dot)(jnp.eye(2), jnp.eye(2)))
    backends.use_precision()
    assert jax.config.values["jax_default_matmul_precision"] is None
