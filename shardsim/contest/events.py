"""A history of training as arrays, as forecasters read it.

Symbols: E events, G sets of contexts that an event shows, C contexts, F sources.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.contest.evidence import History


class Events(NamedTuple):
    """The events of one history, in order; padding has a duration of 0.

    The leaves of several histories have a leading axis H.
    """

    rewards: Float[Array, "*H E C F"]
    """Reward by context and source, whether the event shows the context or not."""
    sets: Float[Array, "*H E G C"]
    """1 for each context of a set that levels show."""
    weight: Float[Array, "*H E G"]
    """Share of levels that show the set; 0 for padding."""
    duration: Float[Array, "*H E"]
    """Updates, in units of the longest event; 0 for padding."""


class Sizes(NamedTuple):
    """Sizes of the arrays of a contest, the same for all that is fitted and asked."""

    contexts: int
    sources: int
    actions: int
    events: int
    """E, of the longest history."""
    sets: int
    """G, of the event that shows most sets."""
    updates: int
    """Of the longest event."""


def sizes_of(histories: Iterable[History], actions: int) -> Sizes:
    """Sizes that hold all histories."""
    each = [event for history in histories for event in history.events]
    lengths = [len(history.events) for history in histories]
    return Sizes(
        len(each[0].rewards),
        len(each[0].rewards[0]),
        actions,
        max(lengths),
        max(len(event.contexts_shown) for event in each),
        max(event.updates for event in each),
    )


def encode(histories: Iterable[History], sizes: Sizes) -> Events:
    """The arrays of some histories, leaves [H, ...]."""
    rows = [_encode(history, sizes) for history in histories]
    return Events(*(jnp.asarray(np.stack(leaf)) for leaf in zip(*rows, strict=True)))


def _encode(history: History, sizes: Sizes) -> tuple[np.ndarray, ...]:
    shape = (sizes.events, sizes.sets)
    rewards = np.zeros((sizes.events, sizes.contexts, sizes.sources), np.float32)
    sets = np.zeros((*shape, sizes.contexts), np.float32)
    weight = np.zeros(shape, np.float32)
    duration = np.zeros(sizes.events, np.float32)
    for number, event in enumerate(history.events):
        rewards[number] = event.rewards
        for place, contexts in enumerate(event.contexts_shown):
            sets[number, place, list(contexts)] = 1.0
            weight[number, place] = 1.0 / len(event.contexts_shown)
        duration[number] = event.updates / sizes.updates
    return rewards, sets, weight, duration


def set_rewards(event: Events) -> Float[Array, "G F"]:
    """Reward of each source in the levels of each set, of one event [no axis E].

    r(g, f) = max over the contexts c of g of rewards[c, f]
    """
    shown = event.sets[:, :, None] > 0
    best = jnp.where(shown, event.rewards[None], -jnp.inf).max(axis=1)
    return jnp.where(event.weight[:, None] > 0, best, 0.0)


def share(rate: Float[Array, "..."], duration: Float[Array, "..."]) -> Array:
    """How far an event moves a weight: 1 - (1 - rate)^duration, for a rate below 1."""
    return -jnp.expm1(duration * jnp.log1p(-rate))
