"""Interventions by hand, on a planted mechanism and on its control."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import agent as agents
from shardsim.agents import decoders, encoders, value
from shardsim.inspection.interventions import effects, graph, patches, sites

# V = 10 h_0 + h_1; nothing reads h_2
MODEL = graph.graph(
    {
        "h": lambda s: s["input"],
        "out": lambda s: jnp.stack([10 * s["h"][0] + s["h"][1], s["h"][1]]),
    }
)
X = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [9.0, 8.0, 7.0]])
Y = jnp.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [2.0, 2.0, 2.0]])
FIRST = jnp.array([True, False, False])
E0 = jnp.array([1.0, 0.0, 0.0])
UNREAD = jnp.array([False, False, True])


def value_of(effect):
    return np.asarray(effect.patched.outputs["out"][:, 0])


def test_ablations_by_hand():
    assert value_of(effects.zero_ablation(MODEL, X, "h")).tolist() == [0, 0, 0]
    effect = effects.zero_ablation(MODEL, X, "h", FIRST)
    assert value_of(effect).tolist() == [2, 5, 8]
    np.testing.assert_array_equal(effect.change("out")[:, 0], [-10, -40, -90])
    # changed by (10 + 40 + 90) / 6: three samples, two outputs
    assert effect.summary() == "patched h: changed out by 23.33 on average"
    # mean of h_0 is 14/3
    effect = effects.mean_ablation(MODEL, X, "h", FIRST)
    np.testing.assert_allclose(value_of(effect), 140 / 3 + X[:, 1], rtol=1e-6)
    effect = effects.mean_ablation(MODEL, X, "h", FIRST, reference=Y)
    np.testing.assert_allclose(value_of(effect), 10 + X[:, 1], rtol=1e-6)


def test_resampling_uses_the_activation_of_another_sample(key):
    effect = effects.resample_ablation(MODEL, X, "h", key, mask=FIRST)
    taken = (value_of(effect) - np.asarray(X[:, 1])) / 10
    assert sorted(taken) == [1, 4, 9]
    assert (taken != np.asarray(X[:, 0])).all()
    whole = effects.resample_ablation(MODEL, X, "h", key)
    base = np.asarray(whole.base.outputs["out"])
    actual = np.asarray(whole.patched.outputs["out"])
    assert sorted(actual.tolist()) == sorted(base.tolist())


def test_numpy_arrays_are_resampled(key):
    ours = effects.resample_ablation(MODEL, X, "h", key, mask=FIRST)
    numpy = effects.resample_ablation(MODEL, np.asarray(X), "h", key, mask=FIRST)
    np.testing.assert_array_equal(value_of(numpy), value_of(ours))
    made = jax.lax.map(
        lambda i: effects.resample_ablation(
            MODEL, np.asarray(X), "h", key, mask=jnp.arange(3) == i
        ).patched.outputs["out"],
        jnp.arange(2),
    )
    np.testing.assert_array_equal(made[0, :, 0], value_of(ours))


def test_the_rounding_of_a_constant_explains_nothing():
    """In float32 the mean of 1,000 times 0.1 is not 0.1, so the variance is not 0."""
    flat = jnp.full(1000, 0.1)
    assert jnp.isnan(effects.explained(flat + 1, flat).score)
    assert effects.explained(X[:, 0], X[:, 0]).score == 1


def test_interchange_by_hand():
    effect = effects.interchange(MODEL, X, Y, {"h": FIRST})
    assert value_of(effect).tolist() == [2, 15, 28]
    whole = effects.interchange(MODEL, X, Y, {"h": None})
    np.testing.assert_array_equal(
        whole.patched.outputs["out"], jax.vmap(MODEL)(Y).outputs["out"]
    )
    # base runs are unchanged
    np.testing.assert_array_equal(
        whole.base.outputs["out"], jax.vmap(MODEL)(X).outputs["out"]
    )


def test_a_high_level_model_is_judged_by_interchange():
    # the abstraction: V = 10 a + b with a = h_0, b = h_1
    effect = effects.interchange(MODEL, X, Y, {"h": FIRST})
    right = 10 * Y[:, 0] + X[:, 1]
    wrong = 10 * X[:, 0] + X[:, 1]
    actual = effect.patched.outputs["out"]
    assert effects.explained(actual[:, 0], right).score == 1
    assert effects.explained(actual[:, 0], wrong).score < 0.1
    assert jnp.isnan(effects.explained(actual[:, 0], jnp.ones(3)).score)
    # by hand: errors 1, 0, 0; variance of (1, 2, 3) is 2/3
    three = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        effects.explained(three.at[0].set(2.0), three).score, 0.5, rtol=1e-6
    )
    choices = jnp.array([[0.0, 1.0], [0.0, 1.0], [3.0, 1.0]])
    # unrelated V and unrelated choices with the same shares, by enumeration
    x = jnp.array([0.0, 1.0, 5.0])
    pairs = jnp.square(x[:, None] - actual[:, :1].T).mean() / jnp.var(x)
    shuffled = effects.explained(actual[:, 0], x).null
    np.testing.assert_allclose(shuffled, 1 - pairs, rtol=1e-5)
    assert effects.same_choice(choices, choices).score == 1
    flipped = choices.at[0].set(jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(effects.same_choice(flipped, choices).score, 2 / 3)


def test_activation_addition_by_hand():
    vector = effects.difference(MODEL, X, Y, "h")
    np.testing.assert_allclose(vector, X.mean(axis=0) - Y.mean(axis=0))
    add = functools.partial(effects.activation_addition, MODEL, X, "h")
    plus, minus = add(E0, scale=2.0), add(E0, scale=-2.0)
    np.testing.assert_allclose(plus.change("out")[:, 0], 20.0)
    np.testing.assert_allclose(minus.change("out")[:, 0], -20.0)
    curve = jax.vmap(lambda c: add(E0, scale=c).change("out")[:, 0])(jnp.arange(3.0))
    np.testing.assert_allclose(curve, np.outer(np.arange(3) * 10, np.ones(3)))


def test_directions_by_hand():
    d = jnp.array([2.0, 0.0, 0.0])
    effect = effects.direction_ablation(MODEL, X, "h", d)
    np.testing.assert_allclose(value_of(effect), 140 / 3 + X[:, 1], rtol=1e-6)
    effect = effects.direction_ablation(MODEL, X, "h", d, jnp.zeros(3))
    np.testing.assert_allclose(value_of(effect), X[:, 1], rtol=1e-6)
    effect = effects.direction_swap(MODEL, X, Y, "h", d)
    np.testing.assert_allclose(value_of(effect), [2, 15, 28], rtol=1e-6)


def test_the_planted_direction_changes_v_and_random_ones_do_not(key):
    # 64 features, V reads one direction: a random one of them reads 1/64 of its square
    w = jax.random.normal(key, (64,))
    w = w / jnp.linalg.norm(w)
    model = graph.graph(
        {"h": lambda s: s["input"], "out": lambda s: jnp.dot(w, s["h"])}
    )
    x = jax.random.normal(jax.random.key(1), (200, 64))

    def lost(d):
        effect = effects.direction_ablation(model, x, "h", d)
        return float(
            jnp.var(effect.change("out")) / jnp.var(effect.base.outputs["out"])
        )

    assert lost(w) > 0.999
    assert (
        np.mean([lost(patches.random_like(w, k)) for k in jax.random.split(key)]) < 0.2
    )


def test_a_patch_that_changes_no_output_warns():
    with pytest.warns(UserWarning, match="h: its patch changed no output"):
        effects.zero_ablation(MODEL, X, "h", UNREAD)
    with pytest.warns(UserWarning, match="h: its patch changed nothing"):
        effects.zero_ablation(MODEL, X.at[:, 0].set(0.0), "h", FIRST)
    with pytest.warns(UserWarning, match="h: its patch changed nothing"):
        effects.interchange(MODEL, X, X, {"h": None})
    # one sample in three is enough
    some = X.at[1:, 0].set(0.0)
    changed = effects.zero_ablation(MODEL, some, "h", FIRST).patched.changed
    assert changed["h"].tolist() == [True, False, False]
    silent = jax.jit(lambda x: effects.zero_ablation(MODEL, x, "h", UNREAD))(X)
    with pytest.warns(UserWarning, match="h: its patch changed no output"):
        silent.warn()


@pytest.mark.slow
def test_float64_stays():
    with jax.enable_x64(True):
        x = jnp.asarray(X, jnp.float64)
        for effect in (
            effects.zero_ablation(MODEL, x, "h"),
            effects.mean_ablation(MODEL, x, "h"),
            effects.direction_ablation(MODEL, x, "h", x[0]),
            effects.activation_addition(MODEL, x, "h", x[0], scale=0.5),
        ):
            assert effect.patched.outputs["out"].dtype == jnp.float64


def population(count):
    """Agents with random parameters, leaves [count, ...]."""

    def one(seed):
        from flax import nnx

        rngs = nnx.Rngs(seed)
        agent = agents.Agent(
            encoders.MLPEncoder(widths=(8,)).build((2, 2, 1), rngs),
            decoders.ActionDecoder(8, 4, (5,), rngs),
            value.Sharded(num_shards=2).build(8, 1, 5, rngs),
            decoders.Auxiliary((), 8, 4, (2, 2, 1), 4, jax.random.key(0)),
        )
        agent.value.kernel[...] = rngs.normal((2, 5))
        return agent

    return jax.tree.map(lambda *x: jnp.stack(x), *(one(i) for i in range(count)))


@pytest.mark.slow
def test_interventions_are_mapped_over_seeds_and_checkpoints(key):
    agents_ = population(2)
    boards = jax.random.bernoulli(key, 0.5, (6, 2, 2, 1)).astype(jnp.uint8)
    inputs = (boards, jnp.ones((6, 1)))

    def closed(agent):
        def one(run, inputs):
            mask = jnp.arange(2) == 0
            return effects.zero_ablation(run, inputs, "value.gates", mask)

        return one(sites.bind(agent), inputs)

    mapped = jax.jit(jax.vmap(closed))(agents_)
    mapped.warn()
    assert mapped.patched.outputs["value"].shape == (2, 6)
    for n in range(2):
        effect = closed(jax.tree.map(lambda x, n=n: x[n], agents_))
        expected = -sites.contributions(effect.base)[:, 0]
        np.testing.assert_allclose(mapped.change("value")[n], expected, atol=1e-4)
        np.testing.assert_allclose(effect.change("value"), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: effects.zero_ablation(MODEL, X, "g"),
            "site: got 'g'; allowed: h",
        ),
        (
            lambda: effects.mean_ablation(MODEL, X, "g"),
            "site: got 'g'; allowed: h",
        ),
        (
            lambda: effects.interchange(MODEL, X, Y, {"g": None}),
            "site: got 'g'; allowed: h, out",
        ),
        (
            lambda: effects.interchange(MODEL, X, Y[:2], {"h": None}),
            r"source: got \[2, 3\] samples",
        ),
        (
            lambda: effects.resample_ablation(MODEL, X[:1], "h", jax.random.key(0)),
            "n: got 1; allowed: at least 2",
        ),
        (
            lambda: effects.zero_ablation(MODEL, X * jnp.nan, "h"),
            "inputs: got 9 numbers that are not finite",
        ),
        (
            lambda: effects.interchange(MODEL, X, Y * jnp.nan, {"h": None}),
            "source: got 9 numbers that are not finite",
        ),
        (
            lambda: effects.mean_ablation(
                MODEL, X, "h", reference=Y.at[0].set(jnp.nan)
            ),
            "reference: got 3 numbers that are not finite",
        ),
        (
            lambda: effects.difference(MODEL, X, Y / 0, "h"),
            "absent: got 9 numbers that are not finite",
        ),
        (
            lambda: effects.difference(MODEL, X * jnp.nan, Y, "h"),
            "present: got 9 numbers that are not finite",
        ),
        (
            lambda: effects.direction_swap(MODEL, X, Y * jnp.nan, "h", E0),
            "source: got 9 numbers that are not finite",
        ),
        (
            lambda: effects.activation_addition(MODEL, X, "h", E0 * jnp.nan),
            "vector: got 3 numbers that are not finite",
        ),
        (
            lambda: effects.zero_ablation(MODEL, X, "h").change("g"),
            "site: got 'g'; allowed: h, out",
        ),
        (
            lambda: effects.direction_swap(MODEL, X, Y[:2], "h", E0),
            r"source: got \[2, 3\] samples in base and source; allowed: the same",
        ),
        (
            lambda: effects.explained(jnp.ones(2), jnp.ones(3)),
            r"expected: got shape \(3,\); allowed: \(2\)",
        ),
        (
            lambda: effects.same_choice(jnp.ones((2, 2)), jnp.ones((2, 3))),
            r"expected: got shape \(2, 3\); allowed: \(2, 2\)",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
