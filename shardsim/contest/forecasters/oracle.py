"""ORACLE: the agent itself, a reference that sees the answers.

The distance of a forecaster to ORACLE is what it does not know.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields


@fields.record
class Oracle:
    """The agent itself. Its loss is the entropy of the policy; none can be lower."""

    kind: Literal["oracle"] = "oracle"

    def forecast(
        self, policy: Float[np.ndarray, "N L S A"]
    ) -> Float[np.ndarray, "N L S A"]:
        """The policy of each of N agents of one history."""
        return policy
