"""Statistics of one seed of one arm; the union is the only list."""

from typing import TypeAlias

from shardsim.comparison.measures.agreement import Agreement
from shardsim.comparison.measures.base import (
    EXACT,
    Evidence,
    Measured,
    extra_rows,
    suits,
)
from shardsim.comparison.measures.conflict import Conflict
from shardsim.comparison.measures.decision import Similarity, TwoGoals
from shardsim.comparison.measures.effect import Effect
from shardsim.comparison.measures.selective_removal import SelectiveRemoval
from shardsim.comparison.measures.value_error import ValueAccuracy

Measure: TypeAlias = (
    SelectiveRemoval
    | Effect
    | Conflict
    | Agreement
    | ValueAccuracy
    | TwoGoals
    | Similarity
)

__all__ = [
    "EXACT",
    "Agreement",
    "Conflict",
    "Effect",
    "Evidence",
    "Measure",
    "Measured",
    "SelectiveRemoval",
    "Similarity",
    "TwoGoals",
    "ValueAccuracy",
    "extra_rows",
    "suits",
]
