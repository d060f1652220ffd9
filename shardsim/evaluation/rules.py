"""The rules of a prediction: what is expected, contrasted, and has to hold."""

import dataclasses
from typing import Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Expected:
    """What each view of V expects of one question."""

    shard: str
    """What "V is a bunch of gated, context-specific shards" expects."""
    network: str
    """What "V is a neural network" expects."""
    unitary: str
    """What one fixed utility expects."""


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One arm against another."""

    arm: str
    baseline: str

    def __post_init__(self) -> None:
        _different(self.arm, self.baseline)


def _different(arm: str, baseline: str) -> None:
    if arm == baseline:
        raise ValueError(f"baseline: got {baseline!r}; allowed: another arm than arm")


@dataclasses.dataclass(frozen=True)
class Requirement:
    """Between what the numbers of an arm (or its lead over another) lie."""

    arm: str
    baseline: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError("at_least: got nothing; allowed: it or at_most")
        if self.baseline is not None:
            _different(self.arm, self.baseline)
        low, high = self.region
        if low > high:
            raise ValueError(f"at_least: got {low}; allowed: up to at_most, {high}")

    @property
    def region(self) -> tuple[float, float]:
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return low, high

    def describe(self) -> str:
        """The bounds in words."""
        ends = (("at least", self.at_least), ("at most", self.at_most))
        return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)

    @property
    def who(self) -> str:
        return self.arm + (f" less {self.baseline}" if self.baseline else "")


@dataclasses.dataclass(frozen=True)
class Rule:
    """How one prediction is judged."""

    contrast: Contrast
    direction: Literal["greater", "less"]
    """Which way SHARD expects the contrast to lie."""
    margin: float
    """Differences up to this count as none."""
    unitary: tuple[float, float] | None = None
    """Levels at which one fixed utility puts both arms; None where it expects what the
    others do."""
    controls: tuple[Requirement, ...] = ()
    """Where means over seeds have to lie, else no claim stands."""
    positive_control: str | None = None
    """An arm that has by hand what SHARD says V has. Judged in the place of `arm`, it
    tells whether the contrast shows shards where there are some; if not, that it shows
    none elsewhere is no evidence against them."""
    seeds_where: Requirement | None = None
    """Only seeds whose own number lies there are judged, by controls too; None: all.
    It is to be a number that was there before what is asked, as the row `ARM/gate_distance` of
    an extinction is: seeds that are chosen by how they came out prove nothing."""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"margin: got {self.margin}; allowed: more than 0")
        if self.positive_control is not None:
            made = self.positive_control
            if made in (self.contrast.arm, self.contrast.baseline):
                raise ValueError(
                    f"positive_control: got {made!r}; allowed: an arm that is not contrasted"
                )
        if len(set(self.controls)) < len(self.controls):
            raise ValueError("controls: got one twice; allowed: different controls")
        if self.unitary is not None and self.unitary[0] > self.unitary[1]:
            raise ValueError(f"unitary: got {self.unitary}; allowed: low to high")
        # `positive` is contrasted too, in the place of `arm`
        asked = {self.contrast.arm, self.contrast.baseline, self.positive_control} - {
            None
        }
        if self.seeds_where is not None and asked & {
            self.seeds_where.arm,
            self.seeds_where.baseline,
        }:
            raise ValueError(
                f"seeds_where: got {self.seeds_where.who!r}; allowed: a row that is "
                "not contrasted"
            )


def named(rule: Rule) -> dict[str, str]:
    """The arms, and rows of arms, that a rule speaks of, by the field that does."""
    places: dict[str, Contrast | Requirement] = {"contrast": rule.contrast}
    places |= {f"controls.{i}": control for i, control in enumerate(rule.controls)}
    places |= {} if rule.seeds_where is None else {"seeds_where": rule.seeds_where}
    sides = ("arm", "baseline")
    found = {f"{at}.{n}": getattr(x, n) for at, x in places.items() for n in sides}
    found["positive_control"] = rule.positive_control
    return {field: name for field, name in found.items() if name is not None}
