"""How optimistic V is. Symbols: N seeds, L levels, S states."""

from typing import Literal

import shardsim
from shardsim.inspection.extensions import Outputs, ToolReading


@shardsim.record
class Optimism:
    """Whether V is above or below the exact V*."""

    kind: Literal["optimism"] = "optimism"

    def fit(self, outputs: Outputs) -> tuple[ToolReading, ...]:
        """mean (V - V*), over reachable states."""
        error = (outputs.value - outputs.optimal)[:, outputs.reachable]
        meaning = "mean of V less V*, over reachable states"
        return (ToolReading("optimism", meaning, error.mean(axis=1), 0.0, "V* itself"),)
