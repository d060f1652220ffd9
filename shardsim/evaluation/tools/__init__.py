"""Tools that agents are asked by: numbers of one agent. `Tool` lists them all.

A zoo measures them on members whose shards are known (`evaluation.zoo`); the measure
`inspected` asks trained agents, so that a rule judges them (`evaluation.measures`).
"""

from typing import TypeAlias

from shardsim.evaluation.tools.base import (
    STATISTIC,
    Of,
    ToolConfig,
    extra_rows,
    needs_agent,
)
from shardsim.evaluation.tools.concept_directions import ConceptDirections
from shardsim.evaluation.tools.distilled import Recovery, Reflection
from shardsim.evaluation.tools.gradients import ContextGradients, Dictionary
from shardsim.evaluation.tools.read_directions import ReadDirections
from shardsim.evaluation.tools.truth_like import TruthLike
from shardsim.evaluation.tools.unit_tails import UnitTails
from shardsim.evaluation.tools.units import (
    AblationSelectivity,
    Removal,
    UnitClusters,
)
from shardsim.evaluation.tools.weights import Components

Tool: TypeAlias = (
    ContextGradients
    | Dictionary
    | Recovery
    | UnitClusters
    | AblationSelectivity
    | Removal
    | Reflection
    | Components
    | ConceptDirections
    | ReadDirections
    | UnitTails
    | TruthLike
)

__all__ = [
    "STATISTIC",
    "AblationSelectivity",
    "Components",
    "ConceptDirections",
    "ContextGradients",
    "Dictionary",
    "Of",
    "ReadDirections",
    "Recovery",
    "Reflection",
    "Removal",
    "Tool",
    "ToolConfig",
    "TruthLike",
    "UnitClusters",
    "UnitTails",
    "extra_rows",
    "needs_agent",
]
