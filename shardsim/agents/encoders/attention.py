"""Attention encoder: the cells of the board are tokens that attend to each other.

Symbols: H, W, P height, width and planes of the board; n = H W tokens; h heads;
D features.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.encoders import base
from shardsim.core import fields


@fields.record
class AttentionEncoder:
    """Blocks of self-attention over cells, pooling by learned queries, a dense layer.

    The cost is n^2 for each sample, so it suits small boards or GPUs. It consists of
    matrix products alone, which XLA compiles equally well inside and outside loops.

    Reference: Vaswani et al. 2017, Attention is all you need, arXiv:1706.03762, with
    norms before the layers (Xiong et al. 2020, arXiv:2002.04745).
    """

    kind: Literal["attention"] = "attention"
    width: PositiveInt = 32
    """Width of a token."""
    hidden: PositiveInt = 64
    """Hidden units of the MLP in each block."""
    heads: PositiveInt = 2
    """Attention heads of each block, and queries of the pooling layer."""
    head_width: PositiveInt = 16
    """Width of the queries, keys and values of one head."""
    blocks: PositiveInt = 1
    """Number of transformer blocks."""
    features: PositiveInt = 128
    """Number of features."""
    budget: PositiveInt | None = None
    """Number of parameters of E. If given, width and hidden units are scaled to it."""

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.width, self.hidden

    def resized(self, sizes: tuple[int, ...]) -> "AttentionEncoder":
        width, hidden = sizes
        return dataclasses.replace(self, width=width, hidden=hidden, budget=None)

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        height, side, planes = base.board_of(self.kind, observation_shape)
        width, inner = self.width, self.heads * self.head_width
        attention = 3 * (width + 1) * inner + (inner + 1) * width
        mlp = (width + 1) * self.hidden + (self.hidden + 1) * width
        tokens = (planes + 1 + height * side) * width
        pooling = (2 + self.heads) * width
        readout = (self.heads * width + 1) * self.features
        norms = 4 * width
        blocks = self.blocks * (attention + mlp + norms)
        return tokens + blocks + pooling + readout

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Attention":
        shape = base.board_of(self.kind, observation_shape)
        return Attention(base.to_budget(self, shape), shape, rngs)


class Block(nnx.Module):
    """y = x + O A(norm x), z = y + W_2 relu(W_1 norm y).

    A = softmax(Q K^T / sqrt(d)) V in each of h heads of width d.
    """

    def __init__(self, config: AttentionEncoder, rngs: nnx.Rngs) -> None:
        width = config.width
        self.shape = (config.heads, config.head_width)
        inner = config.heads * config.head_width
        self.before = nnx.LayerNorm(width, rngs=rngs)
        self.query = layers.Linear(width, inner, rngs=rngs)
        self.key = layers.Linear(width, inner, rngs=rngs)
        self.value = layers.Linear(width, inner, rngs=rngs)
        self.out = layers.Linear(inner, width, rngs=rngs)
        self.between = nnx.LayerNorm(width, rngs=rngs)
        self.widen = layers.Linear(width, config.hidden, rngs=rngs)
        self.narrow = layers.Linear(config.hidden, width, rngs=rngs)

    def attention(self, tokens: Float[Array, "n width"]) -> Float[Array, "n width"]:
        normed = _normed(self.before, tokens)
        query, key, value = (
            layer(normed).reshape(-1, *self.shape)
            for layer in (self.query, self.key, self.value)
        )
        scale = 1 / self.shape[1] ** 0.5
        weights = jax.nn.softmax(jnp.einsum("qhd,khd->hqk", query * scale, key))
        mixed = jnp.einsum("hqk,khd->qhd", weights, value)
        return tokens + self.out(mixed.reshape(len(tokens), -1))

    def mlp(self, tokens: Float[Array, "n width"]) -> Float[Array, "n width"]:
        hidden = jax.nn.relu(self.widen(_normed(self.between, tokens)))
        return tokens + self.narrow(hidden)


class Attention(nnx.Module):
    """Tokens W x + position; blocks; pooling p = softmax_n(norm(z) q)^T norm(z).

    features = relu(W p + b). Activations: the tokens [n, width]; for each block, the
    tokens after its attention and after its MLP; p [h, width]; the features [D].
    """

    def __init__(
        self, config: AttentionEncoder, board: tuple[int, int, int], rngs: nnx.Rngs
    ) -> None:
        height, side, planes = board
        width, heads = config.width, config.heads
        initializer = nnx.initializers.lecun_normal()
        self.embed = layers.Linear(planes, width, rngs=rngs)
        # positions of unit variance distinguish empty cells from the start
        self.position = nnx.Param(
            nnx.initializers.normal(1.0)(rngs.params(), (height * side, width))
        )
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.blocks)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.queries = nnx.Param(initializer(rngs.params(), (width, heads)))
        self.readout = layers.Linear(heads * width, config.features, rngs=rngs)

    def _tokens(self, board: Array) -> Float[Array, "n width"]:
        position = self.position[...]
        cells = board.reshape(-1, board.shape[-1]).astype(position.dtype)
        return self.embed(cells) + position

    def _pool(self, tokens: Float[Array, "n width"]) -> Float[Array, "h width"]:
        normed = _normed(self.norm, tokens)
        weights = jax.nn.softmax(normed @ self.queries[...], axis=0)
        return weights.T @ normed

    def stages(self) -> tuple[chain.Stage, ...]:
        inner = (half for block in self.blocks for half in (block.attention, block.mlp))

        def read(pooled: Array) -> Array:
            features = jax.nn.relu(self.readout(pooled.reshape(-1)))
            return features.astype(jnp.float32)

        return (self._tokens, *inner, self._pool, read)

    def __call__(self, observation: Array) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)


def _normed(norm: nnx.LayerNorm, tokens: Float[Array, "n width"]) -> Array:
    # its means are float32, and strict promotion does not mix them with bfloat16
    with jax.numpy_dtype_promotion("standard"):
        out: Array = norm(tokens)
    return out
