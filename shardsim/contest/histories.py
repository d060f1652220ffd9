"""Training histories: words over an alphabet of events, generated or listed.

A history is a word of events, such as A.B.A. Histories that begin alike share the
training of what they have in common, so every word is a node of a tree.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import Field, PositiveInt

from shardsim.core import field_errors, fields

Word: TypeAlias = tuple[str, ...]
MOST_WORDS = 100_000
"""Most words that are generated to draw from."""

Words = Annotated[tuple[fields.Name, ...], Field(min_length=1)]


@fields.record
class Pipelines:
    """Which histories agents are trained by."""

    events: Annotated[dict[fields.Name, fields.EnvChanges], Field(min_length=1)]
    """Events by name: the env fields that differ in each, `rewards` and
    `contexts_shown`."""
    lengths: tuple[PositiveInt, ...] = (1, 2, 3)
    """Numbers of events of the histories that are generated."""
    number: PositiveInt | None = None
    """Histories in all, those that are listed among them; the others are drawn from all
    words, the beginnings of a word before it. null: every word."""
    histories: tuple[Words, ...] = ()
    """Histories that are asked for in any case, each a list of events."""
    seed: fields.Seed = 0
    """Seed of the draw."""

    @fields.rule("events", "histories")
    def _known_events(self) -> Iterator[str]:
        for index, word in enumerate(self.histories):
            for place, name in enumerate(word):
                if name not in self.events:
                    allowed = field_errors.one_of(self.events, name)
                    yield f"histories.{index}.{place}: got {name!r}; allowed: {allowed}"

    @fields.rule("histories")
    def _different_histories(self) -> Iterator[str]:
        if len(set(self.histories)) < len(self.histories):
            yield "histories: got one twice; allowed: different ones"

    @fields.rule("lengths")
    def _different_lengths(self) -> Iterator[str]:
        if len(set(self.lengths)) < len(self.lengths):
            yield "lengths: got one twice; allowed: different ones"

    @fields.rule("events", "histories", "lengths", "number")
    def _enough_words(self) -> Iterator[str]:
        words = sum(len(self.events) ** length for length in self.lengths)
        if words > MOST_WORDS:
            yield (
                f"lengths: got {words} words of {len(self.events)} events; allowed: at "
                f"most {MOST_WORDS}"
            )
            return
        listed = {word for word in self.histories if len(word) not in self.lengths}
        if not words + len(listed):
            yield "lengths: got none and no histories; allowed: one or more histories"
        if self.number is not None and not (
            len(self.histories) <= self.number <= words + len(listed)
        ):
            yield (
                f"number: got {self.number}; allowed: {len(self.histories)} (those "
                f"that are listed) to {words + len(listed)} (all words)"
            )


@fields.record
class HeldOut:
    """What no forecaster is fitted on."""

    share: fields.Fraction = 0.33
    """Share of the histories, drawn; those that are listed count."""
    histories: tuple[Words, ...] = ()
    """Histories that are held out in any case."""
    conditions: tuple[fields.Label, ...] = ()
    """Conditions, of all histories."""


def name_of(word: Word) -> str:
    """The name of a history: its events, joined by dots."""
    return ".".join(word)


def words(pipelines: Pipelines) -> tuple[Word, ...]:
    """The histories, shorter ones first, in the order of the events."""
    chosen: dict[Word, None] = dict.fromkeys(pipelines.histories)
    every = [
        word
        for length in sorted(pipelines.lengths)
        for word in itertools.product(pipelines.events, repeat=length)
    ]
    if pipelines.number is None:
        chosen |= dict.fromkeys(every)
    else:
        for word in _drawn(pipelines, every):
            if len(chosen) == pipelines.number:
                break
            chosen[word] = None
    rank = {name: number for number, name in enumerate(pipelines.events)}
    return tuple(sorted(chosen, key=lambda w: (len(w), [rank[name] for name in w])))


def _drawn(pipelines: Pipelines, every: list[Word]) -> Iterator[Word]:
    """All words in a random order; the beginnings of a word, which it trains, first."""
    for word in pipelines.histories:
        yield from _beginnings(word, pipelines.lengths)
    for index in np.random.default_rng(pipelines.seed).permutation(len(every)):
        yield from _beginnings(every[index], pipelines.lengths)
        yield every[index]


def _beginnings(word: Word, lengths: Collection[int]) -> Iterator[Word]:
    return (word[:n] for n in range(1, len(word)) if n in lengths)


def nodes(histories: Iterable[Word]) -> tuple[tuple[Word, ...], ...]:
    """All words that have to be trained, by their number of events from 1 on."""
    every = {word[: n + 1]: None for word in histories for n in range(len(word))}
    depth = max(map(len, every), default=0)
    return tuple(
        tuple(word for word in every if len(word) == n) for n in range(1, depth + 1)
    )


def held_out(
    config: HeldOut, histories: tuple[Word, ...], seed: int
) -> tuple[Word, ...]:
    """The histories that are held out: those that are listed, then drawn ones.

    Args:
      seed: of the draw.
    """
    count = max(round(config.share * len(histories)), len(config.histories))
    chosen = dict.fromkeys(config.histories)
    # another stream than that of the words
    order = np.random.default_rng((seed, 1)).permutation(len(histories))
    for index in order:
        if len(chosen) >= count:
            break
        chosen[histories[index]] = None
    return tuple(word for word in histories if word in chosen)
