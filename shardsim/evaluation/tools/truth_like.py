"""Truth-like answers in V's units: does their number grow as 2^K in K contexts?

Symbols: n states, L levels, C contexts, K contexts of a subset, U units, D features.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from pydantic import Field, PositiveInt

from shardsim.core import fields
from shardsim.evaluation import battery, state_readings, subjects
from shardsim.evaluation.subjects import Subject
from shardsim.evaluation.tools import base
from shardsim.inspection.truth import context_answers
from shardsim_envs import ContextFruits


@fields.record(kw_only=True)
class TruthLike:
    """How many different answers to "is it worth more?" are there in V's units?"""

    OF: ClassVar[base.Of] = "weights"
    NEEDS: ClassVar[type] = ContextFruits
    NEEDS_AGENT: ClassVar[bool] = True
    TITLE: ClassVar[str] = "bits of truth-like answers per context"
    UNIT: ClassVar[str] = "bits per context: 1 is 2^K, 0 the same number for any K"
    ROWS: ClassVar[tuple[str, ...]] = (
        "bits",
        "good",
        "rounds",
        "cover",
        "planted",
        "distractor",
    )
    kind: Literal["truth_like"] = "truth_like"
    site: Literal["units", "features"] = "units"
    """Where answers are sought: contributions of V's units, or features of E."""
    counts: Annotated[
        tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=2)
    ] = (2, 4, 6, 8)
    """K, numbers of contexts in rising order; the first K contexts of the world."""
    pairs: Annotated[int, Field(ge=4)] = 96
    """Pairs of each context, in either half of the levels."""
    restarts: Annotated[int, Field(ge=4)] = 128
    """Random starts of the search for each K."""
    steps: PositiveInt = 100
    """Steps of each search."""
    accuracy: Annotated[float, Field(gt=0.5, le=1)] = 0.75
    """Share of held-out pairs of every context in which a good answer has one sign."""
    rounds: PositiveInt = 4
    """Most rounds of recursive search, at the largest K."""

    @fields.rule("counts")
    def _rising(self) -> Iterator[str]:
        if list(self.counts) != sorted(set(self.counts)):
            yield f"counts: got {self.counts}; allowed: rising numbers"

    def measure(self, subject: Subject, key: Key[Array, ""]) -> dict[str, float]:
        """Slope in K of log2(number of different good answers), in bits per context.

        A pair is a state and the same state with the fruit that pays most and the one
        that pays least on each other's cells; the true side is the one whose paying
        fruit is nearer. Contrast-consistent search (CCS) from random starts sees the
        pairs of K contexts, each side centred in each context, and no labels. An answer
        is good if in every context it is right, or wrong, in at least the share
        `accuracy` of held-out pairs. Two answers differ if their signs differ in some
        context; what was not seen is estimated by Chao's bound. Gates that give every
        context its own units have 2^K answers, a slope of 1; one direction for all
        contexts has 2, a slope of 0.

        Rows: `bits` and `good`, log2 of the number and the share of good restarts at
        the largest K; `rounds`, orthogonal rounds of recursive CCS there that are shown
        to beat chance; `cover`, the slope of Cover's count for contexts whose mean
        differences span as many dimensions as these do. Controls: `planted` has
        independent facts in place of the units, 2^K answers; `distractor` judges the
        same restarts by a label that is drawn at random.

        No number where a context has too few pairs, or the world too few contexts.
        """
        names = (base.STATISTIC, *self.ROWS)
        pair_key, search_key, made_key, label_key, round_key = jax.random.split(key, 5)
        pairs = self._pairs(subject, pair_key)
        if pairs is None:
            return dict.fromkeys(names, float("nan"))
        own = self._search(pairs.positive, pairs.negative, pairs, search_key)
        made = context_answers.planted(pairs.label, pairs.context, made_key)
        facts = self._search(*made, pairs, search_key)
        drawn = np.asarray(jax.random.bernoulli(label_key, 0.5, pairs.label.shape))

        def judge(
            answers: context_answers.Found, label: Bool[np.ndarray, " n"]
        ) -> context_answers.ContextAnswers:
            return context_answers.judge(
                answers, label, pairs.context, accuracy=self.accuracy
            )

        answers = judge(own, pairs.label)
        rounds = context_answers.good_rounds(
            pairs.positive,
            pairs.negative,
            pairs.context,
            round_key,
            rounds=self.rounds,
        )
        numbers = (
            answers.slope,
            float(answers.bits[-1]),
            float(answers.num_good[-1] / self.restarts),
            float(rounds),
            answers.cover_slope,
            judge(facts, pairs.label).slope,
            judge(own, drawn).slope,
        )
        return dict(zip(names, numbers, strict=True))

    def _search(
        self,
        positive: Float[np.ndarray, "n d"],
        negative: Float[np.ndarray, "n d"],
        pairs: "_Pairs",
        key: Key[Array, ""],
    ) -> context_answers.Found:
        return context_answers.search(
            positive,
            negative,
            pairs.label,
            pairs.context,
            pairs.held_out,
            key,
            counts=self.counts,
            restarts=self.restarts,
            steps=self.steps,
        )

    def _pairs(self, subject: Subject, key: Key[Array, ""]) -> "_Pairs | None":
        """As many pairs of each context and half, in random order; None if too few."""
        label, decided = _nearer(subject)
        order = np.asarray(jax.random.permutation(key, len(label)))
        chosen = []
        for context in range(max(self.counts)):
            for half in (subject.held_out, ~subject.held_out):
                fits = decided & half & (subject.context == context)
                rows = order[fits[order]][: self.pairs]
                if len(rows) < self.pairs:
                    return None
                chosen.append(rows)
        rows = np.random.default_rng(0).permutation(np.concatenate(chosen))
        other = _swapped(subject)
        positive, negative = (
            np.asarray(one.output.units if self.site == "units" else one.features)
            for one in (subject, other)
        )
        return _Pairs(
            positive[rows],
            negative[rows],
            label[rows],
            subject.context[rows],
            subject.held_out[rows],
        )


class _Pairs(NamedTuple):
    positive: Float[np.ndarray, "n d"]
    negative: Float[np.ndarray, "n d"]
    label: Bool[np.ndarray, " n"]
    context: Int[np.ndarray, " n"]
    held_out: Bool[np.ndarray, " n"]


def _fruits(subject: Subject) -> tuple[Int[np.ndarray, " L"], Int[np.ndarray, " L"]]:
    """The fruit that pays most, and the one that pays least, in each level."""
    condition = subject.condition
    rewards = np.asarray(condition.params.rewards)
    context = condition.context[:, 0].argmax(axis=-1)
    return rewards.argmax(axis=1)[context], rewards.argmin(axis=1)[context]


def _nearer(subject: Subject) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Whether the paying fruit is nearer than the other, and whether one of them is.

    Boards have no walls, and an episode ends with a bite. So the nearer fruit is never
    behind the other one, and V* is larger where it pays.
    """
    condition, level = subject.condition, subject.level
    position = np.asarray(battery.positions(subject.env, condition.levels))
    board = np.asarray(condition.levels.board)
    distance = []
    for fruit in _fruits(subject):
        plane = board[np.arange(len(board)), :, :, fruit].reshape(len(board), -1)
        cell = np.stack(np.divmod(plane.argmax(axis=1), board.shape[2]), axis=1)
        steps = np.abs(position - cell[:, None]).sum(axis=-1)
        distance.append(steps[level, subject.state])
    best, worst = distance
    return best < worst, best != worst


def _swapped(subject: Subject) -> Subject:
    """The agent in the same states, with the two fruits on each other's cells."""
    condition = subject.condition
    board = np.array(condition.levels.board)
    number = np.arange(len(board))
    best, worst = _fruits(subject)
    first, second = board[number, :, :, best], board[number, :, :, worst]
    board[number, :, :, best], board[number, :, :, worst] = second, first
    other = condition._replace(levels=condition.levels._replace(board=board))
    population = jax.tree.map(lambda leaf: leaf[None], cast(Any, subject.agent))
    reading = state_readings.read(subject.env, population, other, with_features=True)
    return subjects.of_reading(subject.env, other, population, reading, 0)
