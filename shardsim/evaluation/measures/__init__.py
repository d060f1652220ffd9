"""Statistics of one seed of one arm; the union is the only list."""

from typing import TypeAlias

from shardsim.evaluation.measures.agreement import Agreement
from shardsim.evaluation.measures.base import (
    EXACT,
    Evidence,
    Measured,
    Stages,
    extra_rows,
    stages,
    suits,
    value_acts,
)
from shardsim.evaluation.measures.conflict import Conflict
from shardsim.evaluation.measures.neutral_cue import Effect
from shardsim.evaluation.measures.selective_ablation import SelectiveRemoval
from shardsim.evaluation.measures.selective_extinction import SelectiveExtinction
from shardsim.evaluation.measures.two_goals import Similarity, TwoGoals
from shardsim.evaluation.measures.value_error import ValueAccuracy

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
