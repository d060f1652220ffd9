"""Statistics of one seed of one arm; the union is the only list."""

from typing import TypeAlias

from shardsim.comparison.measures.agreement import Agreement
from shardsim.comparison.measures.base import (
    EXACT,
    Evidence,
    Measured,
    Stages,
    extra_rows,
    stages,
    suits,
    value_acts,
)
from shardsim.comparison.measures.conflict import Conflict
from shardsim.comparison.measures.decision import Similarity, TwoGoals
from shardsim.comparison.measures.effect import Effect
from shardsim.comparison.measures.selective_extinction import SelectiveExtinction
from shardsim.comparison.measures.selective_removal import SelectiveRemoval
from shardsim.comparison.measures.value_error import ValueAccuracy

Measure: TypeAlias = (
    SelectiveRemoval
    | SelectiveExtinction
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
    "SelectiveExtinction",
    "SelectiveRemoval",
    "Similarity",
    "Stages",
    "TwoGoals",
    "ValueAccuracy",
    "extra_rows",
    "stages",
    "suits",
    "value_acts",
]
