"""Alpha over several looks at the same run: how much each look may spend.

A run whose verdicts were seen and that gets more seeds is looked at twice. Each look
that claims at the full level adds its own chance of a false claim. Alpha spending gives
a part of the level to each look that was planned.
"""

from collections.abc import Sequence

import numpy as np
import scipy.special

from shardsim.core.arguments import Integer
from shardsim.core.statistics import resampling


def spent(fraction: float, alpha: float = 0.05) -> float:
    """Alpha that may be spent by a look at a fraction of all seeds (O'Brien-Fleming).

      2 (1 - Phi(z_{1 - alpha / 2} / sqrt(fraction)))

    Little is spent early: .002 of .05 at 8 of 20 seeds.

    Args:
      fraction: seeds of the look divided by those of the last planned one, in (0, 1].
      alpha: of all looks together, in (0, 1).

    Raises:
      ValueError: a fraction or alpha out of range.

    Reference: O'Brien and Fleming, 1979; Lan and DeMets, Discrete sequential boundaries
    for clinical trials, 1983.
    """
    resampling.check_level(1 - alpha)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: got {fraction}; allowed: above 0, up to 1")
    z = scipy.special.ndtri(1 - alpha / 2)
    return float(2 * scipy.special.ndtr(-z / np.sqrt(fraction)))


def look_alpha(
    planned: Sequence[Integer],
    seen: Sequence[Integer],
    now: Integer,
    alpha: float = 0.05,
) -> float | None:
    """The level at which the present look may make claims.

    It is what the plan has spent by now, less what it had spent by the last look. By
    the union bound the looks together make a false claim at most alpha of the time,
    however they depend on each other. A planned look that was not taken keeps its alpha
    for the next one.

    Args:
      planned: numbers of seeds of all planned looks; none: one look, whenever.
      seen: numbers of seeds whose verdicts were seen before.
      now: number of seeds.
      alpha: of all looks together.

    Returns:
      The level; None if this look is not protected: it follows another one, and one of
      both is at a number of seeds that was not planned.
    """
    if not seen and now not in planned:
        return alpha  # the only look so far; any later one is not protected
    if now not in planned or not set(seen) <= set(planned):
        return None
    last = float(max(planned))
    before = spent(float(max(seen)) / last, alpha) if seen else 0.0
    return spent(float(now) / last, alpha) - before
