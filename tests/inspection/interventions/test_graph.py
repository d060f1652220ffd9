"""Models of named stages can be patched, and warn if a patch changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.interventions import graph

MODEL = graph.graph(
    {
        "h": lambda s: 2 * s["input"],
        "a": lambda s: s["h"] + 1,
        "b": lambda s: 3 * s["h"],
        "out": lambda s: jnp.sum(s["a"] * s["b"]),
    }
)
X = jnp.array([1.0, 2.0])


def test_a_run_by_hand():
    # h = (2, 4), a = (3, 5), b = (6, 12), out = 18 + 60
    record = MODEL(X)
    assert list(record.sites) == ["h", "a", "b", "out"]
    assert record.sites["b"].tolist() == [6, 12]
    assert record.outputs["out"] == 78
    assert record.changed == {}
    # with a = (0, 1): 12
    patched = MODEL(X, {"a": lambda a: jnp.array([0.0, 1.0])})
    assert patched.outputs["out"] == 12
    assert patched.changed["a"]
    assert "4 sites" in patched.summary()
    assert "1 patched" in patched.summary()


def test_sites_before_a_patch_stay_and_nothing_leaks():
    before = MODEL(X)
    patched = MODEL(X, {"h": lambda h: -h})
    assert patched.sites["h"].tolist() == [-2, -4]
    assert patched.outputs["out"] == -1 * -6 + -3 * -12
    after = MODEL(X)
    assert all((before.sites[k] == after.sites[k]).all() for k in before.sites)


def test_patches_apply_in_order():
    both = MODEL(X, {"h": lambda h: 0 * h, "a": lambda a: a + 1, "b": lambda b: b + 1})
    assert both.sites["a"].tolist() == [2, 2]
    assert both.outputs["out"] == 4


def test_a_chain_is_a_graph_of_links():
    steps = {"double": lambda x: 2 * x, "more": lambda x: x + 1, "sum": jnp.sum}
    assert graph.chain(steps)(X).outputs["sum"] == 8
    patched = graph.chain(steps)(X, {"double": lambda h: h * jnp.array([1.0, 0.0])})
    assert patched.outputs["sum"] == 4


def test_outputs_can_be_named():
    steps = {"a": lambda s: s["input"]["x"], "b": lambda s: -s["a"]}
    record = graph.graph(steps, outputs=("a", "b"))({"x": X})
    assert set(record.outputs) == {"a", "b"}


def test_a_patch_that_changes_nothing_warns():
    with pytest.warns(UserWarning, match="h: its patch changed nothing"):
        record = MODEL(X, {"h": lambda h: h})
    assert not record.changed["h"]
    nan = jnp.array([jnp.nan, 1.0])
    with pytest.warns(UserWarning, match="a: its patch changed nothing"):
        MODEL(nan, {"a": lambda a: a, "b": lambda b: b + 1})


def test_under_jit_and_vmap_the_flag_is_returned():
    def patched(x, scale):
        return MODEL(x, {"h": lambda h: scale * h}).changed

    quiet = jax.jit(jax.vmap(patched, in_axes=(0, None)))
    xs = jnp.stack([X, 0 * X])
    graph.warn_unchanged(quiet(xs, 2.0))
    np.testing.assert_array_equal(quiet(xs, 2.0)["h"], [True, False])
    with pytest.warns(UserWarning, match="h: its patch"):
        graph.warn_unchanged(quiet(xs, 1.0))


def test_float64_stays():
    with jax.enable_x64(True):
        x = jnp.array([0.1, 0.2], jnp.float64)
        record = MODEL(x, {"h": lambda h: h * 2})
        assert record.outputs["out"].dtype == jnp.float64


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: MODEL(X, {"hh": lambda h: h}),
            "site: got 'hh'; allowed: h, a, b, out",
        ),
        (
            lambda: MODEL(X, {"h": lambda h: h[0]}),
            r"patch of h: got shape \(\); allowed: \(2,\)",
        ),
        (
            lambda: MODEL(X, {"h": lambda h: h.astype(jnp.float16)}),
            "patch of h: got dtype float16; allowed: float32",
        ),
        (lambda: graph.graph({}), "stages: got 0; allowed: at least 1"),
        (lambda: graph.graph({"input": jnp.sum}), "stages: got one named 'input'"),
        (
            lambda: graph.graph({"a": jnp.sum}, outputs=("b",)),
            "outputs: got 'b'; allowed: a",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
