"""A state of a world as one short vector of words: what a search tree keeps of it.

A tree is written to and read from element by element; a board of bytes as words has a
quarter of the elements, and one vector is one write. Symbols: W words.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, UInt32

Unpack: TypeAlias = Callable[[UInt32[Array, " W"]], PyTree]


def pack(state: PyTree) -> UInt32[Array, " W"]:
    """The bits of all leaves, one after the other, each filled up to whole words."""
    return jnp.concatenate([_words(leaf) for leaf in jax.tree.leaves(state)])


def unpacker(like: PyTree) -> Unpack:
    """The inverse of `pack` for states of these shapes and types, bit for bit."""
    leaves, tree = jax.tree.flatten(like)
    sizes = [_count(leaf) for leaf in leaves]
    ends = np.cumsum(sizes)

    def unpack(words: UInt32[Array, " W"]) -> PyTree:
        parts = [
            _leaf(words[end - size : end], leaf)
            for end, size, leaf in zip(ends, sizes, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, parts)

    return unpack


def packable(state: PyTree) -> bool:
    """Whether every leaf has a type of 8 or 32 bits, or bool; keys have not."""
    return all(_bytes(leaf) in (1, 4) for leaf in jax.tree.leaves(state))


def _bytes(leaf: Array) -> int:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return 0
    return int(leaf.dtype.itemsize)


def _count(leaf: Array) -> int:
    return -(-leaf.size * _bytes(leaf) // 4)


def _words(leaf: Array) -> UInt32[Array, " W"]:
    flat = leaf.reshape(-1)
    if _bytes(flat) == 4:
        return jax.lax.bitcast_convert_type(flat, jnp.uint32)
    if flat.dtype == jnp.bool_:
        flat = flat.astype(jnp.uint8)
    padded = jnp.pad(flat, (0, 4 * _count(leaf) - flat.size))
    return jax.lax.bitcast_convert_type(padded.reshape(-1, 4), jnp.uint32)


def _leaf(words: UInt32[Array, " W"], like: Array) -> Array:
    if _bytes(like) == 4:
        return jax.lax.bitcast_convert_type(words, like.dtype).reshape(like.shape)
    kind = jnp.uint8 if like.dtype == jnp.bool_ else like.dtype
    flat = jax.lax.bitcast_convert_type(words, kind).reshape(-1)[: like.size]
    return flat.reshape(like.shape).astype(like.dtype)
