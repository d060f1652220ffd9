"""Plots of a run by matplotlib. Each returns its axes, to be changed and saved.

Symbols: N seeds, L levels, K shards, H, W board.
"""

import dataclasses
import importlib
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from shardsim.api import levels as level_sets
from shardsim.api import population
from shardsim.core import config as configs
from shardsim.core import field_errors
from shardsim.reports.charts import theme
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.rendering import sprites

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WALL = "#3d434b"
"""Colour of walls, as on the pages."""
CELL = 0.45
"""Inches of a cell."""
LEVELS = 2
"""Levels that are drawn where none are given."""


@runtime_checkable
class View(Protocol):
    """What is plotted of a run, or of a view of it."""

    @property
    def config(self) -> Any: ...

    @property
    def chosen_seed(self) -> int | None: ...

    @property
    def switched_off(self) -> tuple[int, ...]: ...

    def agents(
        self, arm: str, *, update: int | None = None, phase: str | None = None
    ) -> population.Agents: ...

    def metrics(self) -> dict[str, np.ndarray]: ...


@dataclasses.dataclass(frozen=True)
class Plots:
    """Plots of a run, or of a view of it: `run.seed(3).plot`, `run.ablate(2).plot`.

    Examples:
      >>> run = shardsim.load(folder)
      >>> axes = run.seed(1).plot.value("sharded", run.levels(count=1))
      >>> axes.get_title()
      'V of sharded, seed 1'
      >>> axes.figure.savefig(picture)
    """

    run: View

    def value(
        self,
        arm: str,
        levels: level_sets.Levels | str | None = None,
        *,
        update: int | None = None,
        phase: str | None = None,
        ax: "Axes | None" = None,
    ) -> Any:
        """V with the agent on every cell of levels; the mean over seeds.

        Args:
          arm: name of the arm.
          levels: levels, or a board as text; None: some that the world draws.
          update, phase: see `Run.agents`.
          ax: axes to draw one level into; None: new ones.

        Returns:
          The axes of the level; an array of them where there are several levels.

        Raises:
          ConfigError: as `Run.agents`; or several levels for one `ax`.
          ImportError: matplotlib is not installed.

        Examples:
          >>> run = shardsim.load(folder)
          >>> len(run.plot.value("mlp", run.levels(count=3)))
          3
        """
        boards = self._levels(levels)
        agents = self.run.agents(arm, update=update, phase=phase)
        maps = agents.maps(boards).value
        shown = maps.mean(axis=0) if agents.chosen is None else maps
        low, high = _range(shown)
        axes = _axes(1, len(boards), boards.world, ax)[0]
        title = f"V of {arm}{_of_view(self.run)}"
        for number, (each, board) in enumerate(zip(axes, boards, strict=True)):
            drawn = _board(each, shown[number], board, low, high)
            each.set_title(title if number == 0 else "")
        axes[-1].figure.colorbar(drawn, ax=list(axes), label="V, in units of reward")
        return axes[0] if len(axes) == 1 else axes

    def gates(
        self,
        arm: str,
        levels: level_sets.Levels | str | None = None,
        *,
        update: int | None = None,
        phase: str | None = None,
    ) -> Any:
        """The gate of every shard with the agent on every cell; the mean over seeds.

        Shards of two seeds with the same number need not be alike: choose a seed.
        Args, Raises: as `value`.

        Returns:
          Axes [L, K]: a row for each level, a column for each shard.

        Examples:
          >>> run = shardsim.load(folder)
          >>> run.seed(0).plot.gates("sharded", run.levels(count=2)).shape
          (2, 2)
        """
        boards = self._levels(levels)
        agents = self.run.agents(arm, update=update, phase=phase)
        maps = agents.maps(boards).gates
        shown = maps.mean(axis=0) if agents.chosen is None else maps
        axes = _axes(len(boards), shown.shape[-1], boards.world)
        for row, board in zip(range(len(boards)), boards, strict=True):
            for shard, each in enumerate(axes[row]):
                high = max(1.0, _range(shown)[1])
                drawn = _board(each, shown[row, ..., shard], board, 0.0, high)
                if row == 0:
                    off = " (off)" if shard in self.run.switched_off else ""
                    each.set_title(f"shard {shard}{off}")
        label = f"gate of {arm}{_of_view(self.run)}"
        axes[0, 0].figure.colorbar(drawn, ax=axes.ravel().tolist(), label=label)
        return axes

    def curves(
        self,
        metric: str | None = None,
        *,
        arms: tuple[str, ...] | None = None,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """A metric over the updates of the training: each seed, and their mean.

        An arm that was measured once, such as an untrained one, is a dashed line.

        Args:
          metric: a name in `Run.metrics()["metric"]`; None: the return of an
            experiment as a fraction of the optimum, the reward per episode of a
            training.
          arms: their names; None: all that have the metric.
          ax: axes to draw into; None: new ones.

        Raises:
          ConfigError: no such metric or arm.
          ImportError: matplotlib is not installed.

        Examples:
          >>> shardsim.load(folder).plot.curves("value_error").get_ylabel()
          'value_error'
        """
        table = self.run.metrics()
        if metric is None:
            is_judged = "return_fraction" in table["metric"]
            metric = "return_fraction" if is_judged else "reward_per_episode"
        names = sorted(set(table["metric"].tolist()))
        if metric not in names:
            allowed = field_errors.one_of(names, metric)
            raise configs.ConfigError(f"metric: got {metric!r}; allowed: {allowed}")
        of_metric = table["metric"] == metric
        every = list(self.run.config.arms)
        measured = table["arm"][of_metric].tolist()
        measured_arms = list(dict.fromkeys([*filter(measured.count, every), *measured]))
        for arm in arms or ():
            if arm not in measured_arms:
                allowed = field_errors.one_of(measured_arms, arm)
                raise configs.ConfigError(f"arms: got {arm!r}; allowed: {allowed}")
        axes = _figure().subplots()[1] if ax is None else ax
        for arm in arms or measured_arms:
            rows = of_metric & (table["arm"] == arm)
            update, seed = table["update"][rows], table["seed"][rows]
            numbers = table["value"][rows]
            place = every.index(arm) if arm in every else len(every)
            colour = theme.ARMS["light"][place % len(theme.ARMS["light"])]
            at = np.unique(update)
            mean = [_mean(numbers[update == u]) for u in at]
            if len(at) == 1:  # an arm that does not train
                axes.axhline(mean[0], color=colour, lw=2, ls="--", label=arm)
                continue
            for each in np.unique(seed):
                one = seed == each
                axes.plot(update[one], numbers[one], color=colour, alpha=0.3, lw=0.8)
            axes.plot(at, mean, color=colour, lw=2, label=arm)
        axes.set_xlabel("updates")
        axes.set_ylabel(metric)
        axes.legend()
        return axes

    def _levels(self, given: level_sets.Levels | str | None) -> level_sets.Levels:
        env = self.run.config.env
        if given is None:
            return level_sets.levels(env, count=LEVELS)
        return level_sets.of_world(env, given)


def _figure() -> Any:
    """matplotlib's pyplot, imported where something is drawn."""
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError:
        raise ImportError(
            'plot: matplotlib is missing; allowed: after pip install "shardsim[plot]"'
        ) from None


def _of_view(run: View) -> str:
    seed = "mean over seeds" if run.chosen_seed is None else f"seed {run.chosen_seed}"
    off = ", ".join(map(str, run.switched_off))
    return f", {seed}" + (f", without shard {off}" if off else "")


def _mean(x: np.ndarray) -> float:
    finite = x[np.isfinite(x)]
    return float(finite.mean()) if len(finite) else float("nan")


def _range(x: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest number, and 0 where all are above it."""
    low, high = min(0.0, float(np.nanmin(x))), float(np.nanmax(x))
    return low, high if high > low else low + 1.0


def _axes(rows: int, columns: int, world: GridWorld, ax: "Axes | None" = None) -> Any:
    """Axes [rows, columns], each of the size of a board."""
    if ax is not None:
        if rows * columns > 1:
            raise configs.ConfigError(
                f"ax: got one for {rows * columns} boards; allowed with one level"
            )
        return np.asarray([[ax]])
    height, width = world.shape
    size = (columns * width * CELL + 1.2, rows * height * CELL + 0.5)
    _, axes = _figure().subplots(
        rows, columns, squeeze=False, figsize=size, layout="constrained"
    )
    return axes


def _board(
    axes: "Axes", cells: np.ndarray, board: level_sets.Levels, low: float, high: float
) -> Any:
    """Numbers of the cells of one board in colour, with its walls and things."""
    axes.set_facecolor(WALL)
    image = axes.imshow(
        np.ma.masked_invalid(cells), vmin=low, vmax=high, cmap="viridis"
    )
    world = board.world
    planes = np.asarray(board.data.board)[0]
    for name in (*world.things, "agent"):
        drawn = sprites.sprite(name)
        alpha = np.where(drawn.mask, 255, 0).astype(np.uint8)[..., None]
        picture = np.concatenate([drawn.colour, alpha], axis=-1)
        for row, column in np.argwhere(planes[..., world.plane(name)]):
            edges = (column - 0.35, column + 0.35, row + 0.35, row - 0.35)
            axes.imshow(picture, extent=edges, interpolation="nearest", zorder=2)
    axes.set_xlim(-0.5, cells.shape[1] - 0.5)
    axes.set_ylim(cells.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    return image
