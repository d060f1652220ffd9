"""The rule of a prediction: what is expected, what is compared, what must hold."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field, PositiveFloat

from shardsim.core import fields


@fields.record
class Expected:
    """What each of three hypotheses expects of one question.

    A question about a tool (`about: tool`) is none of theirs: `shard` says what a yes
    means there, `network` what a no means, and `unitary` is not shown.
    """

    shard: str
    """What "V is a collection of gated, context-specific shards" expects."""
    network: str
    """What "V is just a neural network" expects."""
    unitary: str
    """What "V is one fixed utility" expects."""


@fields.record
class Contrast:
    """The difference between two arms: `arm` minus `baseline`."""

    arm: str
    """The arm that is compared."""
    baseline: str
    """The arm that is subtracted."""

    @fields.rule("arm", "baseline")
    def _other_arm(self) -> Iterator[str]:
        if self.arm == self.baseline:
            yield f"baseline: got {self.baseline!r}; allowed: another arm than arm"


@fields.record
class Requirement:
    """An interval for the statistic of an arm, or for its difference to another."""

    arm: str
    """Arm, or `ARM/ROW` for another row of the measure."""
    baseline: str | None = None
    """Arm or row that is subtracted; null: none."""
    at_least: float | None = None
    """Lower end, in the unit of the measure; null: none."""
    at_most: float | None = None
    """Upper end, in the unit of the measure; null: none."""

    @fields.rule("arm", "baseline")
    def _other_arm(self) -> Iterator[str]:
        if self.arm == self.baseline:
            yield f"baseline: got {self.baseline!r}; allowed: another arm than arm"

    @fields.rule("at_least", "at_most")
    def _ordered(self) -> Iterator[str]:
        if self.at_least is None and self.at_most is None:
            yield "at_least: got nothing; allowed: it or at_most"
        low, high = self.region
        if low > high:
            yield f"at_least: got {low}; allowed: up to at_most, {high}"

    @property
    def region(self) -> tuple[float, float]:
        """The interval (low, high); an open side is infinite."""
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return low, high

    def describe(self) -> str:
        """The interval in words, e.g. "at least 0.5"."""
        ends = (("at least", self.at_least), ("at most", self.at_most))
        return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)

    @property
    def subject(self) -> str:
        """The arm or the difference of arms, e.g. "sharded less mlp"."""
        return self.arm + (f" less {self.baseline}" if self.baseline else "")


@fields.record
class MeanOverSeeds:
    """Arms are compared by the means of their seeds."""

    kind: Literal["mean"] = "mean"


@fields.record
class ShareOfSeeds:
    """Arms are compared by the share of their seeds that show a behaviour.

    It is the question where a behaviour is all or nothing: the mean of such seeds is
    what none of them does. Intervals and tests are exact; the margin is in shares.
    """

    kind: Literal["share"] = "share"
    at_least: float | None = None
    """A seed shows it if its number is at least this, in the unit of the measure; null:
    no lower end."""
    at_most: float | None = None
    """And at most this; null: no upper end."""

    @fields.rule("at_least", "at_most")
    def _ordered(self) -> Iterator[str]:
        if self.at_least is None and self.at_most is None:
            yield "at_least: got nothing; allowed: it or at_most"
        if None not in (self.at_least, self.at_most) and self.low > self.high:
            yield f"at_least: got {self.low}; allowed: up to at_most, {self.high}"

    @property
    def low(self) -> float:
        """The lower end, or minus infinity."""
        return -np.inf if self.at_least is None else self.at_least

    @property
    def high(self) -> float:
        """The upper end, or infinity."""
        return np.inf if self.at_most is None else self.at_most

    def shown(self, x: Float[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Whether each seed shows the behaviour."""
        return (self.low <= x) & (x <= self.high)

    def describe(self) -> str:
        """The behaviour in words, e.g. "at least 0.5"."""
        ends = (("at least", self.at_least), ("at most", self.at_most))
        return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


Estimand: TypeAlias = MeanOverSeeds | ShareOfSeeds


@fields.record
class Rule:
    """How one prediction is judged."""

    contrast: Contrast
    """The two arms whose statistics are compared."""
    direction: Literal["greater", "less"]
    """The sign of the contrast that the shard hypothesis expects; of a tool, the sign
    of a yes."""
    margin: PositiveFloat | None = None
    """Differences up to this size count as none, in the unit of the measure, or in
    shares of seeds; null where `share_of_planted` gives it."""
    unitary: tuple[float, float] | None = None
    """Interval in which one fixed utility puts both arms, lower end first; null where
    it expects the same as another hypothesis."""
    controls: tuple[Requirement, ...] = ()
    """Intervals in which means over seeds have to lie, or nothing is concluded."""
    positive_control: str | None = None
    """Positive control: an arm that has shards by construction. Judged in the place of
    `arm`, it shows whether the contrast can detect shards at all. Of a tool: a row
    where the answer is known to be yes."""
    seeds_where: Requirement | None = None
    """Judge only the seeds whose own number lies in this interval; null: all seeds. The
    number has to exist before the effect that is measured, as the row
    `ARM/gate_distance` of an extinction does: a choice of seeds by their outcome proves
    nothing."""
    share_of_planted: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The margin as a share of the planted effect, which is `positive_control` less
    `baseline`, seed by seed; null where `margin` gives it."""
    estimand: Estimand = MeanOverSeeds()
    """What is compared: means over seeds, or shares of seeds with a behaviour."""
    beats: tuple[str, ...] = ()
    """Further arms that `arm` has to exceed by the margin before the verdict is shard,
    as it has to exceed `baseline`: a head that depends on context without shards."""

    @fields.rule("contrast", "positive_control")
    def _uncontrasted(self) -> Iterator[str]:
        if self.positive_control in (self.contrast.arm, self.contrast.baseline):
            yield (
                f"positive_control: got {self.positive_control!r}; allowed: an arm "
                "that is not contrasted"
            )

    @fields.rule("margin", "share_of_planted", "positive_control", "estimand")
    def _one_margin(self) -> Iterator[str]:
        share = self.share_of_planted
        if (self.margin is None) == (share is None):
            yield (
                f"margin: got {self.margin} with share_of_planted {share}; allowed: "
                "one of the two"
            )
        elif share is not None and self.positive_control is None:
            yield (
                f"share_of_planted: got {share}; allowed without a positive_control, "
                "whose effect is the planted one: null"
            )
        elif isinstance(self.estimand, ShareOfSeeds) and (
            self.margin is None or self.margin >= 1
        ):
            yield (
                f"margin: got {self.margin}; allowed with estimand 'share': more than "
                "0, less than 1"
            )

    @fields.rule("unitary", "estimand")
    def _unitary_mean(self) -> Iterator[str]:
        if self.unitary is not None and isinstance(self.estimand, ShareOfSeeds):
            yield (
                f"unitary: got {self.unitary}; allowed with estimand 'share': null, "
                "because it is an interval of means"
            )

    @fields.rule("contrast", "beats", "positive_control")
    def _other_rivals(self) -> Iterator[str]:
        taken = (self.contrast.arm, self.contrast.baseline, self.positive_control)
        for index, rival in enumerate(self.beats):
            if rival in taken or rival in self.beats[:index]:
                yield (
                    f"beats: got {rival!r}; allowed: different arms, besides the "
                    "contrasted ones and the positive control"
                )

    @fields.rule("controls")
    def _different_controls(self) -> Iterator[str]:
        if len(set(self.controls)) < len(self.controls):
            yield "controls: got one twice; allowed: different controls"

    @fields.rule("unitary")
    def _ordered_ends(self) -> Iterator[str]:
        if self.unitary is not None and self.unitary[0] > self.unitary[1]:
            yield f"unitary: got {self.unitary}; allowed: low to high"

    @fields.rule("contrast", "beats", "positive_control", "seeds_where")
    def _independent_choice(self) -> Iterator[str]:
        # the positive control is contrasted too, in the place of `arm`
        contrast = self.contrast
        contrasted = {contrast.arm, contrast.baseline, self.positive_control}
        contrasted = (contrasted | {*self.beats}) - {None}
        if self.seeds_where is not None and contrasted & {
            self.seeds_where.arm,
            self.seeds_where.baseline,
        }:
            yield (
                f"seeds_where: got {self.seeds_where.subject!r}; allowed: a row that "
                "is not contrasted"
            )


def rows_by_field(rule: Rule) -> dict[str, str]:
    """The rows that a rule names (`ARM` or `ARM/ROW`), by dotted field of the rule."""
    pairs: dict[str, Contrast | Requirement] = {"contrast": rule.contrast}
    pairs |= {f"controls.{i}": control for i, control in enumerate(rule.controls)}
    pairs |= {} if rule.seeds_where is None else {"seeds_where": rule.seeds_where}
    rows = {
        f"{field}.{side}": getattr(pair, side)
        for field, pair in pairs.items()
        for side in ("arm", "baseline")
    }
    rows["positive_control"] = rule.positive_control
    rows |= {f"beats.{i}": rival for i, rival in enumerate(rule.beats)}
    return {field: row for field, row in rows.items() if row is not None}
