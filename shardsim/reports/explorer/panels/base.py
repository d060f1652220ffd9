"""The shape of a panel, and what all panels are computed from."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Float

from shardsim.core.statistics import intervals
from shardsim.evaluation import battery
from shardsim.reports.explorer import activations, forward
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.forward import Mazes, Predictions
from shardsim.reports.explorer.load import PageInputs, Side

if TYPE_CHECKING:
    import altair as alt

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval; NaN where there is none."""

    estimate: float
    low: float
    high: float


def estimate(x: Float[np.ndarray, " N"]) -> Estimate:
    """Mean over seeds with its interval; NaN if a seed has no finite number."""
    if not np.isfinite(x).all():
        return Estimate(float("nan"), float("nan"), float("nan"))
    interval = intervals.mean_interval(x, resamples=10_000)
    return Estimate(interval.estimate, interval.low, interval.high)


@dataclasses.dataclass(frozen=True)
class Reading:
    """A number of every seed, beside its value where there is nothing to see."""

    name: str
    meaning: str
    """What it is, in one sentence."""
    values: Float[np.ndarray, " N"]
    """NaN for a seed that has none."""
    nothing: Float[np.ndarray, " N"]
    """Its value if there is nothing to see."""
    nothing_meaning: str
    """What `nothing` was measured on."""
    over_seeds: Estimate
    """Of `values`, over the seeds that have one."""


def reading(
    name: str,
    meaning: str,
    values: Any,
    nothing: Any,
    nothing_meaning: str,
) -> Reading:
    """A reading with its mean over seeds.

    Args:
      values: [N] numbers.
      nothing: [N] numbers, or one for all seeds.
    """
    by_seed = np.asarray(values, np.float64)
    baseline = np.broadcast_to(np.asarray(nothing, np.float64), by_seed.shape)
    usable = by_seed[np.isfinite(by_seed)]
    over_seeds = estimate(usable if len(usable) else by_seed)
    return Reading(name, meaning, by_seed, baseline, nothing_meaning, over_seeds)


@dataclasses.dataclass(frozen=True)
class Fits:
    """Iterative fits behind the numbers of a panel: how many have not converged.

    Every panel that fits something has a field `fits` with one of these for each kind
    of fit. The page warns where any has not converged.
    """

    name: str
    num_fits: int
    """Of all seeds that have numbers."""
    num_stopped: int
    """Fits that reached their most steps first."""
    seeds: list[int]
    """The seeds of these."""


def fits(
    name: str,
    converged: Bool[np.ndarray, "N ..."],
    is_finite: Bool[np.ndarray, " N"] | None = None,
) -> Fits:
    """Count the fits that have not converged.

    Args:
      name: of the fit, as the page calls it.
      converged: flags of every seed, of any shape.
      is_finite: the seeds that count; None: all.
    """
    flags = np.asarray(converged).reshape(len(converged), -1)
    counts = np.ones(len(flags), bool) if is_finite is None else is_finite
    stopped = (~flags & counts[:, None]).sum(axis=1)
    return Fits(
        name,
        int(counts.sum()) * flags.shape[1],
        int(stopped.sum()),
        np.flatnonzero(stopped).tolist(),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class PanelContext:
    """One side of the page, and what several panels need of it.

    Symbols: N seeds, M mazes, L levels of the curves, X states of a maze, D features.
    """

    inputs: PageInputs
    side: Side
    levels: Any
    """Leaves [M + L, ...]: the mazes, then the levels of the curves."""
    condition: battery.Condition
    """Exact values of all of them."""
    mazes: Mazes
    _results: dict[Any, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    def once(self, compute: "Callable[[PanelContext], T]") -> T:
        """The result of a function of this context, computed once for all panels."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        result: T = self._results[compute]
        return result

    @property
    def num_mazes(self) -> int:
        """M."""
        return len(self.inputs.mazes)

    @functools.cached_property
    def curve_condition(self) -> battery.Condition:
        """Exact values of the levels of the curves."""
        return forward.select_levels(self.condition, self.num_mazes, None)

    @functools.cached_property
    def predictions(self) -> Predictions:
        """What the networks output in every state of all levels."""
        return forward.predict(self.inputs, self.side, self.levels)

    @functools.cached_property
    def curve_predictions(self) -> Predictions:
        """The same on the levels of the curves."""
        return Predictions(*(leaf[:, :, self.num_mazes :] for leaf in self.predictions))

    @functools.cached_property
    def activations(self) -> Activations:
        """E's features at the last checkpoint."""
        return activations.record(self.inputs, self.side, self.levels)

    @functools.cached_property
    def sample(self) -> Sample:
        """Reachable states of the levels of the curves."""
        return activations.sample(
            self.inputs.env, self.condition, self.activations, self.num_mazes
        )

    @functools.cached_property
    def maze_features(self) -> Float[np.ndarray, "N M X D"]:
        """Features in the states of the mazes."""
        features = self.activations.features[:, : self.num_mazes]
        return activations.in_mazes(features, self.mazes, 1)

    def maze_level(self, m: int) -> Any:
        """The level of one maze."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[m], self.condition.levels)


class Panel(NamedTuple):
    """One panel of the page.

    The same name stands for its inspection package or tool, its file in `panels`, its
    numbers in the data of each side, and its script and section in `assets`.
    """

    name: str
    compute: Callable[[PanelContext], Any]
    """A frozen record, or None where the panel does not apply to this side."""
    in_quick: bool = False
    """Whether `--quick` computes it too."""
    of_outputs: bool = False
    """Whether it needs only what agents put out, so that it applies to any agent."""
    in_background: bool = False
    """Computed in a second thread; such panels read E's features, not `predictions`."""
    charts: Mapping[str, Callable[[], "alt.TopLevelMixin"]] = MappingProxyType({})
    """Specifications that its script draws, by name."""
