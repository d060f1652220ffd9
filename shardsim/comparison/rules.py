"""The rules of a prediction: what is contrasted, what counts, what has to hold."""

import dataclasses
from typing import Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One arm against another."""

    arm: str
    against: str

    def __post_init__(self) -> None:
        _different(self.arm, self.against)


def _different(arm: str, against: str) -> None:
    if arm == against:
        raise ValueError(f"against: got {against!r}; allowed: another arm than arm")


@dataclasses.dataclass(frozen=True)
class Control:
    """Where an arm (or its lead over another) has to lie, else no claim stands."""

    arm: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError("at_least: got nothing; allowed: it or at_most")
        if self.against is not None:
            _different(self.arm, self.against)
        low, high = self.region
        if low > high:
            raise ValueError(f"at_least: got {low}; allowed: up to at_most, {high}")

    @property
    def region(self) -> tuple[float, float]:
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return low, high


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
    controls: tuple[Control, ...] = ()
    positive: str | None = None
    """An arm that has by hand what SHARD says V has. Judged in the place of `arm`, it
    tells whether the contrast shows shards where there are some; if not, that it shows
    none elsewhere is no evidence against them."""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"margin: got {self.margin}; allowed: more than 0")
        if self.positive is not None:
            made = self.positive
            if made in (self.contrast.arm, self.contrast.against):
                raise ValueError(
                    f"positive: got {made!r}; allowed: an arm that is not contrasted"
                )
        if len(set(self.controls)) < len(self.controls):
            raise ValueError("controls: got one twice; allowed: different controls")
        if self.unitary is not None and self.unitary[0] > self.unitary[1]:
            raise ValueError(f"unitary: got {self.unitary}; allowed: low to high")


def named(rule: Rule) -> set[str]:
    """The arms, and rows of arms, that a rule speaks of."""
    controls = [name for c in rule.controls for name in (c.arm, c.against)]
    names = (rule.contrast.arm, rule.contrast.against, rule.positive, *controls)
    return {name for name in names if name is not None}
