"""Measures: statistics of one seed of one arm. The union `Measure` lists them all."""

from typing import TypeAlias

from shardsim.core import choices
from shardsim.evaluation.measures.agreement import AgreementShift
from shardsim.evaluation.measures.approach import Approach
from shardsim.evaluation.measures.base import (
    EXACT,
    Detail,
    Evidence,
    Measured,
    Stages,
    about,
    at_snapshots,
    beside,
    by_rollouts,
    env_faults,
    extra_rows,
    formula,
    needs_features,
    stages,
    suits,
    value_acts,
)
from shardsim.evaluation.measures.conflict import Conflict
from shardsim.evaluation.measures.event_probability import EventProbability
from shardsim.evaluation.measures.inspected import Inspected
from shardsim.evaluation.measures.neutral_cue import CueEffect
from shardsim.evaluation.measures.rollouts import Rollouts
from shardsim.evaluation.measures.selective_ablation import SelectiveAblation
from shardsim.evaluation.measures.selective_extinction import SelectiveExtinction
from shardsim.evaluation.measures.selective_removal import SelectiveRemoval
from shardsim.evaluation.measures.straight_distance import StraightDistance
from shardsim.evaluation.measures.two_goals import GoalDistanceSlope, TwoGoals
from shardsim.evaluation.measures.value_error import ValueAccuracy

Measure: TypeAlias = (
    SelectiveAblation
    | SelectiveRemoval
    | SelectiveExtinction
    | CueEffect
    | Conflict
    | AgreementShift
    | ValueAccuracy
    | TwoGoals
    | GoalDistanceSlope
    | Approach
    | EventProbability
    | StraightDistance
    | Inspected
    | Rollouts
)
choices.declare("measures", Measure)

__all__ = [
    "EXACT",
    "AgreementShift",
    "Approach",
    "Conflict",
    "CueEffect",
    "Detail",
    "EventProbability",
    "Evidence",
    "GoalDistanceSlope",
    "Inspected",
    "Measure",
    "Measured",
    "Rollouts",
    "SelectiveAblation",
    "SelectiveExtinction",
    "SelectiveRemoval",
    "Stages",
    "StraightDistance",
    "TwoGoals",
    "ValueAccuracy",
    "about",
    "at_snapshots",
    "beside",
    "by_rollouts",
    "env_faults",
    "extra_rows",
    "formula",
    "needs_features",
    "stages",
    "suits",
    "value_acts",
]
