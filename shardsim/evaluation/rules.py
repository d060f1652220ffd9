"""The rule of a prediction: what is expected, what is compared, what must hold."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from shardsim.core import fields


@fields.record
class Expected:
    """What each of three hypotheses expects of one question."""

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
class Rule:
    """How one prediction is judged."""

    contrast: Contrast
    """The two arms whose statistics are compared."""
    direction: Literal["greater", "less"]
    """The sign of the contrast that the shard hypothesis expects."""
    margin: PositiveFloat
    """Differences up to this size count as none, in the unit of the measure."""
    unitary: tuple[float, float] | None = None
    """Interval in which one fixed utility puts both arms, lower end first; null where
    it expects the same as another hypothesis."""
    controls: tuple[Requirement, ...] = ()
    """Intervals in which means over seeds have to lie, or nothing is concluded."""
    positive_control: str | None = None
    """Positive control: an arm that has shards by construction. Judged in the place of
    `arm`, it shows whether the contrast can detect shards at all."""
    seeds_where: Requirement | None = None
    """Judge only the seeds whose own number lies in this interval; null: all seeds. The
    number has to exist before the effect that is measured, as the row
    `ARM/gate_distance` of an extinction does: a choice of seeds by their outcome proves
    nothing."""

    @fields.rule("contrast", "positive_control")
    def _uncontrasted(self) -> Iterator[str]:
        if self.positive_control in (self.contrast.arm, self.contrast.baseline):
            yield (
                f"positive_control: got {self.positive_control!r}; allowed: an arm "
                "that is not contrasted"
            )

    @fields.rule("controls")
    def _different_controls(self) -> Iterator[str]:
        if len(set(self.controls)) < len(self.controls):
            yield "controls: got one twice; allowed: different controls"

    @fields.rule("unitary")
    def _ordered_ends(self) -> Iterator[str]:
        if self.unitary is not None and self.unitary[0] > self.unitary[1]:
            yield f"unitary: got {self.unitary}; allowed: low to high"

    @fields.rule("contrast", "positive_control", "seeds_where")
    def _independent_choice(self) -> Iterator[str]:
        # the positive control is contrasted too, in the place of `arm`
        contrast = self.contrast
        contrasted = {contrast.arm, contrast.baseline, self.positive_control} - {None}
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
    return {field: row for field, row in rows.items() if row is not None}
