"""Laws that every encoder of the union has to keep, and numbers worked out by hand."""

import dataclasses
import itertools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import agent as agents
from shardsim.agents import chain, encoders
from shardsim.core import config
from tests.helpers.agents import activations
from tests.helpers.gradients import check_grads

SMALL = [
    encoders.MLPEncoder(widths=(7, 6)),
    encoders.MLPEncoder(widths=(7, 6), activation="tanh"),
    encoders.ConvEncoder(channels=(3, 4), hidden=5, features=6),
    encoders.ConvEncoder(channels=(3,), hidden=9, features=6, implementation="conv"),
    encoders.ImpalaEncoder(channels=(3, 4), features=6),
    encoders.ImpalaEncoder(channels=(3,), blocks=2, features=6, implementation="conv"),
    encoders.AttentionEncoder(width=8, hidden=5, heads=2, head_width=3, features=6),
    encoders.AttentionEncoder(width=8, hidden=5, heads=1, blocks=2, features=6),
]
KINDS = [
    option()
    for option in typing.get_args(encoders.EncoderConfig)
    if option is not encoders.FlatEncoder  # it has no size of its own
]
BOARDS = [each for each in KINDS if each.kind != "mlp"]
SHAPE = (5, 4, 3)


def name_of(encoder):
    return "-".join(str(v) for v in dataclasses.asdict(encoder).values())


def seen(key, shape=SHAPE):
    return jax.random.bernoulli(key, 0.4, shape).astype(jnp.uint8)


def parameters(module):
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def count(module):
    return sum(leaf.size for leaf in jax.tree.leaves(parameters(module)))


def test_small_ones_are_of_all_kinds():
    assert {each.kind for each in SMALL} == {each.kind for each in KINDS}


@pytest.mark.parametrize("encoder", SMALL, ids=name_of)
class TestLaws:
    @pytest.mark.slow
    def test_features_come_out(self, encoder, key):
        module = encoder.build(SHAPE, nnx.Rngs(key))
        assert isinstance(module, encoders.Encoder)
        features = module(seen(key))
        assert features.shape == (encoder.features,) == (6,)
        assert features.dtype == jnp.float32
        assert jnp.isfinite(features).all()
        assert jnp.abs(features).max() > 0
        leaves = jax.tree.leaves(parameters(module))
        assert all(jnp.isfinite(leaf).all() for leaf in leaves)

    @pytest.mark.slow
    def test_jit_and_vmap_change_nothing_and_trace_once(self, encoder, key):
        module = encoder.build(SHAPE, nnx.Rngs(key))
        boards = seen(key, (3, *SHAPE))
        traces = []

        @jax.jit
        def mapped(module, boards):
            traces.append(1)
            return jax.vmap(module)(boards)

        got = mapped(module, boards)
        mapped(module, boards[::-1])
        assert len(traces) == 1
        for board, features in zip(boards, got, strict=True):
            np.testing.assert_allclose(features, module(board), rtol=1e-5, atol=1e-5)

    def test_layers_are_a_chain_that_ends_in_the_features(self, encoder, key):
        module = encoder.build(SHAPE, nnx.Rngs(key))
        board = seen(key)
        stages = module.stages()
        layers = activations(stages, board)
        assert len(layers) == len(stages)
        assert all(jnp.isfinite(layer).all() for layer in layers)
        np.testing.assert_array_equal(layers[-1], module(board))
        for number, layer in enumerate(layers):
            same = chain.run_from(stages, layer, number)
            np.testing.assert_array_equal(same, layers[-1])
        # another board's layer, put into its place, gives that board's features
        other = activations(stages, seen(jax.random.fold_in(key, 1)))
        assert (other[-1] != layers[-1]).any()
        np.testing.assert_array_equal(chain.run_from(stages, other[0], 0), other[-1])

    @pytest.mark.slow
    def test_in_bfloat16_all_but_the_features_is_and_they_are_near(self, encoder, key):
        module = encoder.build(SHAPE, nnx.Rngs(key))
        graphdef, state = nnx.split(module)
        half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state)
        rough, board = nnx.merge(graphdef, half), seen(key)
        *inner, features = activations(rough.stages(), board)
        assert all(layer.dtype == jnp.bfloat16 for layer in inner)
        assert features.dtype == jnp.float32
        np.testing.assert_allclose(features, module(board), rtol=0.05, atol=0.05)
        assert (features != module(board)).any()

    def test_a_number_that_is_no_layer_is_refused(self, encoder, key):
        module = encoder.build(SHAPE, nnx.Rngs(key))
        last = len(module.stages()) - 1
        for number in (-1, last + 1):
            with pytest.raises(
                ValueError, match=f"number: got .*; allowed: 0 to {last}"
            ):
                chain.run_from(module.stages(), jnp.zeros(6), number)

    @pytest.mark.slow
    def test_gradient_is_the_slope(self, encoder, key):
        module = encoder.build(SHAPE, nnx.Rngs(key))
        graphdef, state = nnx.split(module)
        # all weights a little up: off the kinks of relu, where there is no slope
        state = jax.tree.map(lambda leaf: leaf + 0.1, state)
        board = jnp.abs(jax.random.normal(key, SHAPE))

        def f(state):
            return jnp.sum(nnx.merge(graphdef, state)(board))

        check_grads(f, (state,), order=1, modes=["rev"], eps=1e-3, rtol=0.05, atol=0.05)
        slopes = jax.tree.leaves(jax.grad(f)(state))
        # keys of an attention have a bias that softmax can't see
        assert sum(bool((slope != 0).any()) for slope in slopes) >= len(slopes) - 2

    def test_counted_without_being_made(self, encoder, key):
        for shape in (SHAPE, (2, 7, 1)):
            made = count(encoder.build(shape, nnx.Rngs(key)))
            assert encoders.count_parameters(encoder, shape) == made

    @pytest.mark.few(2)
    def test_eight_seeds_are_made_in_one_program(self, encoder, key):
        keys = jax.random.split(key, 8)
        many = jax.jit(jax.vmap(lambda k: encoder.build(SHAPE, nnx.Rngs(k))))(keys)
        one = encoder.build(SHAPE, nnx.Rngs(keys[5]))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a[5], b, rtol=1e-5, atol=1e-6),
            parameters(many),
            parameters(one),
        )
        text = str(
            jax.make_jaxpr(lambda k: parameters(encoder.build(SHAPE, nnx.Rngs(k))))(key)
        )
        for decomposition in ("qr", "eigh", "svd", "cholesky", "lu"):
            assert f"= {decomposition}" not in text

    def test_reads_back_from_a_config(self, encoder):
        data = config.to_dict(agents.AgentConfig(encoder=encoder))
        assert config.build(agents.AgentConfig, data).encoder == encoder


def test_an_mlp_by_hand():
    module = encoders.MLPEncoder(widths=(2, 1)).build((2,), nnx.Rngs(0))
    module.layers[0].kernel[...] = jnp.array([[1.0, -1.0], [2.0, 0.5]])
    module.layers[0].bias[...] = jnp.array([0.5, 0.0])
    module.layers[1].kernel[...] = jnp.array([[2.0], [3.0]])
    # x = (1, 1): relu(1 + 2 + .5) = 3.5, relu(-1 + .5) = 0; 2 * 3.5
    first, last = activations(module.stages(), jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(first, [3.5, 0.0])
    np.testing.assert_allclose(last, [7.0])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_an_mlp_is_a_chain_of_linear_layers_bit_for_bit(activation, key):
    widths = (16, 8)
    module = encoders.MLPEncoder(widths=widths, activation=activation).build(
        SHAPE, nnx.Rngs(key)
    )
    rngs, x = nnx.Rngs(key), seen(key).reshape(-1).astype(jnp.float32)
    bend = {"relu": jax.nn.relu, "tanh": jnp.tanh}[activation]
    for number, (a, b) in enumerate(itertools.pairwise((60, *widths))):
        layer = nnx.Linear(a, b, rngs=rngs)
        np.testing.assert_array_equal(
            module.layers[number].kernel[...], layer.kernel[...]
        )
        x = bend(layer(x))
    np.testing.assert_array_equal(module(seen(key)), x)
    assert list(parameters(module)) == ["layers"]  # names in run folders


def test_forms_make_the_same_encoder(key):
    for kind in (encoders.ConvEncoder, encoders.ImpalaEncoder):
        one, other = (
            kind(channels=(3, 4), implementation=form).build(SHAPE, nnx.Rngs(key))
            for form in ("conv", "patches")
        )
        jax.tree.map(np.testing.assert_array_equal, parameters(one), parameters(other))
        np.testing.assert_allclose(
            one(seen(key)), other(seen(key)), rtol=1e-5, atol=1e-5
        )


@pytest.mark.slow
def test_shapes_of_layers():
    def shapes(encoder):
        module = encoder.build((13, 12, 3), nnx.Rngs(0))
        layers = activations(module.stages(), jnp.zeros((13, 12, 3)))
        return [layer.shape for layer in layers]

    conv, impala, attention = BOARDS
    assert shapes(conv) == [(13, 12, 16), (13, 12, 16), (128,), (128,)]
    assert shapes(impala) == [(7, 6, 16), (7, 6, 16), (4, 3, 32), (4, 3, 32), (128,)]
    assert shapes(attention) == [(156, 32)] * 3 + [(2, 32), (128,)]


@pytest.mark.slow
def test_boards_of_conv_move_with_what_lies_on_them(key):
    module = encoders.ConvEncoder(channels=(3, 4)).build((9, 9, 2), nnx.Rngs(key))
    board = jnp.zeros((9, 9, 2), jnp.uint8).at[4, 4, 0].set(1).at[4, 5, 1].set(1)
    stages = module.stages()
    here = activations(stages, board)[1]
    there = activations(stages, jnp.roll(board, (-1, 1), (0, 1)))[1]
    np.testing.assert_allclose(there, jnp.roll(here, (-1, 1), (0, 1)), atol=1e-6)


@pytest.mark.slow
def test_without_positions_attention_can_not_tell_cells_apart(key):
    """A permutation of cells changes nothing but through the positions."""
    module = encoders.AttentionEncoder(width=8).build(SHAPE, nnx.Rngs(key))
    board = seen(key)
    mixed = jax.random.permutation(key, board.reshape(20, 3)).reshape(SHAPE)
    assert jnp.abs(module(board) - module(mixed)).max() > 1e-3
    module.position[...] = jnp.zeros_like(module.position[...])
    np.testing.assert_allclose(module(board), module(mixed), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_attention_that_sees_alike_averages(key):
    """Queries and keys of zero: every cell gets the mean of all values."""
    module = encoders.AttentionEncoder(width=4, heads=1).build(SHAPE, nnx.Rngs(key))
    block = module.blocks[0]
    for layer in (block.query, block.key):
        layer.kernel[...] = jnp.zeros_like(layer.kernel[...])
    tokens = jax.random.normal(key, (20, 4))
    mean = block.value(block.before(tokens)).mean(axis=0)
    np.testing.assert_allclose(
        block.attention(tokens), tokens + block.out(mean)[None], rtol=1e-4, atol=1e-5
    )


def test_a_sharp_query_pools_the_cell_it_asks_for(key):
    module = encoders.AttentionEncoder(width=4, heads=1).build(SHAPE, nnx.Rngs(key))
    tokens = jax.random.normal(key, (20, 4))
    normed = module.norm(tokens)
    module.queries[...] = 1e4 * normed[7][:, None]
    nearest = normed[jnp.argmax(normed @ normed[7])]
    np.testing.assert_allclose(module._pool(tokens)[0], nearest, atol=1e-5)


def test_flat_is_what_is_seen():
    seen = jnp.arange(12, dtype=jnp.uint8).reshape(2, 2, 3)
    made = encoders.FlatEncoder(12).build((2, 2, 3), nnx.Rngs(0))
    np.testing.assert_array_equal(made(seen), np.arange(12, dtype=np.float32))
    with pytest.raises(ValueError, match=r"features: got 5; allowed .*: 12"):
        encoders.FlatEncoder(5).build((2, 2, 3), nnx.Rngs(0))
