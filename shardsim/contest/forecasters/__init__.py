"""Forecasters. `Forecaster` lists all kinds."""

import typing
from typing import TypeAlias

from shardsim.contest.forecasters.constant import Constant
from shardsim.contest.forecasters.film import Film
from shardsim.contest.forecasters.latent_preferences import LatentPreferences
from shardsim.contest.forecasters.network import Network
from shardsim.contest.forecasters.oracle import Oracle
from shardsim.contest.forecasters.others import Others
from shardsim.contest.forecasters.shards import Shards
from shardsim.contest.forecasters.utility import Utility
from shardsim.core import choices

Reference: TypeAlias = Oracle | Others
"""What sees the answers: no competitor."""
Competitor: TypeAlias = Constant | Utility | Shards | Film | LatentPreferences | Network
"""What is fitted on the evidence."""
Forecaster: TypeAlias = (
    Constant | Utility | Shards | Film | LatentPreferences | Network | Oracle | Others
)
choices.declare("forecasters", Forecaster)


def every() -> dict[str, Forecaster]:
    """All forecasters with their default settings, by their kind."""
    kinds: tuple[type[Forecaster], ...] = typing.get_args(Forecaster)
    return {kind.kind: kind() for kind in kinds}
