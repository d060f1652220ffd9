"""Metrics of shardedness: a score of each member and seed. `Metric` lists them all."""

from typing import TypeAlias

from shardsim.evaluation.zoo.metrics.base import Expected, MetricConfig, Of, Subject
from shardsim.evaluation.zoo.metrics.distilled import Recovery, Reflection
from shardsim.evaluation.zoo.metrics.gradients import ContextGradients, Dictionary
from shardsim.evaluation.zoo.metrics.units import (
    AblationSelectivity,
    Removal,
    UnitClusters,
)
from shardsim.evaluation.zoo.metrics.weights import Components

Metric: TypeAlias = (
    ContextGradients
    | Dictionary
    | Recovery
    | UnitClusters
    | AblationSelectivity
    | Removal
    | Reflection
    | Components
)

__all__ = [
    "AblationSelectivity",
    "Components",
    "ContextGradients",
    "Dictionary",
    "Expected",
    "Metric",
    "MetricConfig",
    "Of",
    "Recovery",
    "Reflection",
    "Removal",
    "Subject",
    "UnitClusters",
]
