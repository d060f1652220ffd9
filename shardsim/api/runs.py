"""A run in Python: its config, results and metrics, and its agents at any update.

Symbols: N seeds (times the points of a sweep).
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from shardsim.agents import value
from shardsim.api import film, page, plots, population, session
from shardsim.api import levels as level_sets
from shardsim.api.configs import Config
from shardsim.commands import tables
from shardsim.core import config as configs
from shardsim.evaluation import episodes, networks, results, run_agents
from shardsim.evaluation import load as run_configs
from shardsim.storage import archive
from shardsim.storage.run_files import RunError
from shardsim.training import metric_records, sweep
from shardsim.training.arms import Arm


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run folder. Nothing is read before it is asked for, and nothing is changed.

    `seed` and `ablate` give views of the run: its agents, metrics and plots are then
    those of one seed, or of V without some shards.

    Examples:
      >>> run = shardsim.load(folder)
      >>> run
      <run 'tiny': 2 seeds of mlp, sharded, untrained; finished>
      >>> run.results.arms["mlp"].value_params
      595
      >>> run.seed(1).agents("sharded").value(run.levels(count=3)).shape
      (3,)
    """

    folder: Path
    config: Config
    """All that the run depends on: an experiment or a training."""
    chosen_seed: int | None = None
    """The seed of this view; None: all."""
    switched_off: tuple[int, ...] = ()
    """Shards that are switched off in this view."""
    unpacked: session.TemporaryFolder | None = None
    """Where an archive was unpacked; it goes when nothing refers to it any more."""

    def __repr__(self) -> str:
        count = self.config.train.num_seeds
        seeds = f"{count} seed{'s' if count > 1 else ''}"
        if self.chosen_seed is not None:
            seeds = f"seed {self.chosen_seed}"
        off = ", ".join(map(str, self.switched_off))
        off = f", without shard {off}" if off else ""
        arms = ", ".join(self.config.arms)
        state = "finished" if self.is_finished else "unfinished"
        return f"<run {self.config.name!r}: {seeds} of {arms}{off}; {state}>"

    def __str__(self) -> str:
        """The arms and verdicts, as the command prints them."""
        result = self.results if self.is_finished else None
        if not isinstance(result, results.RunResult):
            return repr(self)
        return f"{tables.table(result)}\n\n{result.answer}"

    @property
    def is_finished(self) -> bool:
        """Whether all arms are trained, and judged if there are predictions.

        Examples:
          >>> shardsim.load(folder).is_finished
          True
        """
        return (self.folder / results.FILE).is_file()

    @functools.cached_property
    def arms(self) -> dict[str, Arm]:
        """The arms by name: head, width and whether it is trained.

        Examples:
          >>> shardsim.load(folder).arms["sharded"].head.num_shards
          2
        """
        with session.numerics():
            return {arm.name: arm for arm in self.config.sized_arms()}

    @property
    def results(self) -> results.Result:
        """All numbers of results.json, as records: arms, predictions, curves.

        They are of all seeds, in every view.

        Raises:
          RunError: the run is not finished, or the file is damaged.

        Examples:
          >>> shardsim.load(folder).results.predictions["VE"].effect.num_seeds
          2
        """
        return results.read(self.folder)

    @property
    def plot(self) -> "plots.Plots":
        """Plots by matplotlib: `value`, `gates` and `curves`.

        Examples:
          >>> shardsim.load(folder).plot.curves().get_xlabel()
          'updates'
        """
        return plots.Plots(self)

    def seed(self, number: int) -> "Run":
        """A view of one seed.

        Args:
          number: from 0. Of a sweep with G points it is that of the element
            g * num_seeds + seed.

        Raises:
          ConfigError: there is no such seed.

        Examples:
          >>> shardsim.load(folder).seed(2)
          Traceback (most recent call last):
          shardsim.core.field_errors.ConfigError: seed: got 2; allowed: 0 to 1
        """
        population.check_seed(number, self.config.train.population)
        return dataclasses.replace(self, chosen_seed=number)

    def ablate(self, shard: int | tuple[int, ...]) -> "Run":
        """A view with shards switched off, in whatever arm is asked about.

        Args:
          shard: number of a shard, from 0, or several.

        Examples:
          >>> run = shardsim.load(folder)
          >>> run.ablate(shard=1).agents("sharded").switched_off
          (1,)
        """
        numbers = (shard,) if isinstance(shard, int) else tuple(shard)
        off = tuple(sorted({*self.switched_off, *numbers}))
        return dataclasses.replace(self, switched_off=off)

    def levels(
        self, *texts: str, count: int | None = None, seed: int = 0
    ) -> level_sets.Levels:
        """Levels of the run's world; see `shardsim.levels`.

        Examples:
          >>> len(shardsim.load(folder).levels(count=4))
          4
        """
        return level_sets.levels(self.config.env, *texts, count=count, seed=seed)

    def agents(
        self, arm: str, *, update: int | None = None, phase: str | None = None
    ) -> population.Agents:
        """The agents of an arm: one for each seed, or that of this view.

        Args:
          arm: its name, of `arms`.
          update: updates of the training; one of `updates(arm)`. None: the last ones
            that there are.
          phase: name of a phase, for the agents at its end.

        Raises:
          ConfigError: no such arm, phase or update, or both are given.
          RunError: the run does not have these agents, or keeps their outputs alone,
            or a file is damaged.

        Examples:
          >>> shardsim.load(folder).agents("mlp", phase="earn").update
          13
        """
        config = self.config
        with session.numerics():
            read = run_agents.read(self.folder, config, arm, update, phase)
        out = population.Agents(
            arm=arm,
            update=read.update,
            env=config.env,
            acting=run_agents.acting(config),
            num_seeds=config.train.population,
            num_shards=networks.num_shards(read.population, config.env),
            network=networks.Trained(read.population),
            chosen=self.chosen_seed,
            reads_context=isinstance(self.arms[arm].head, value.OracleGated),
        )
        return out.ablate(self.switched_off) if self.switched_off else out

    def updates(self, arm: str) -> list[int]:
        """The updates of which the run keeps the agents of an arm, in rising order.

        Examples:
          >>> shardsim.load(folder).updates("mlp")
          [13]
        """
        return run_agents.updates(self.folder, arm)

    def metrics(self) -> dict[str, np.ndarray]:
        """Everything that training measured, as columns of a tidy table.

        A row is one metric of one seed at one update; `pandas.DataFrame` and
        `polars.DataFrame` take it as it is.

        Returns:
          Columns by name, all of the same length: `arm`, `phase` (empty for
          snapshots), `update`, `seed`, each hyperparameter of a sweep, `metric` (e.g.
          "reward_per_episode", "return_fraction", "rewards.fruit 0") and `value`, NaN
          where there is none.

        Raises:
          RunError: metrics.jsonl is damaged.

        Examples:
          >>> table = shardsim.load(folder).metrics()
          >>> list(table)
          ['arm', 'phase', 'update', 'seed', 'metric', 'value']
          >>> end = (table["metric"] == "return_fraction") & (table["update"] == 13)
          >>> end.sum()  # two arms of two seeds
          np.int64(4)
        """
        train = self.config.train
        points = sweep.points(train.sweep)
        sources = self.config.env.reward_sources
        rows: list[tuple[str, str, int, int, str, float]] = []
        for line in metric_records.lines(self.folder):
            phase = line.phase if isinstance(line, metric_records.ChunkMetrics) else ""
            for metric, numbers in _by_seed(line, sources):
                for i, x in enumerate(numbers):
                    if self.chosen_seed in (None, i):
                        number = np.nan if x is None else float(x)
                        rows.append((line.arm, phase, line.update, i, metric, number))
        arms, phases, updates, elements, metrics, values = (
            zip(*rows, strict=True) if rows else ((),) * 6
        )
        element = np.asarray(elements, int)
        return {
            "arm": np.asarray(arms, str),
            "phase": np.asarray(phases, str),
            "update": np.asarray(updates, int),
            "seed": element % train.num_seeds,
            **{
                name: np.asarray([points[i // train.num_seeds][name] for i in elements])
                for name in train.sweep
            },
            "metric": np.asarray(metrics, str),
            "value": np.asarray(values, float),
        }

    def watch(
        self,
        *arms: str,
        levels: level_sets.Levels | str | None = None,
        update: int | None = None,
        phase: str | None = None,
        seed: int = 0,
        greedy: bool = False,
        steps: int = episodes.MOST_STEPS,
    ) -> "film.Film":
        """Play episodes of one seed of this view, as `shardsim watch` does.

        It is the seed of the view, or seed 0.

        Args:
          arms: one or two, side by side on the same level and with the same chance.
          levels: levels, or a board as text; None: one that the world draws.
          update, phase: see `agents`.
          seed: of the actions, of chance, and of the level that the world draws.
          greedy: always the most likely action.
          steps: those after which an episode is cut off.

        Raises:
          ConfigError: as `agents`; no arm or several; or a world without
            boards.

        Examples:
          >>> film = shardsim.load(folder).seed(1).ablate(shard=0).watch("sharded")
          >>> film
          <film of sharded, seed 1, without shard 0: 1 level>
          >>> film.save(picture.with_suffix(".gif")).suffix
          '.gif'
        """
        if not 1 <= len(arms) <= 2:
            raise configs.ConfigError(f"arms: got {len(arms)}; allowed: 1 or 2")
        chosen = self if self.chosen_seed is not None else self.seed(0)
        players = [
            chosen.agents(arm, update=update, phase=phase).player() for arm in arms
        ]
        return film.play(players, self.config.env, levels, seed, greedy, steps)

    def inspect(
        self,
        out: str | Path | None = None,
        *,
        arms: tuple[str, ...] | None = None,
        mazes: int = 4,
        checkpoints: int | None = None,
        quick: bool = False,
        overwrite: bool = False,
    ) -> "page.Page":
        """Make the interactive page, as `shardsim inspect` does.

        In a notebook the result is shown inline. It takes a minute or so; `quick`
        takes seconds.

        Args:
          out: a new HTML file; None: a temporary one, kept while the result is.
          arms: one or two arms to show side by side; None: those that the run
            compares.
          mazes: number of levels that are drawn.
          checkpoints: most snapshots to show; None: all.
          quick: leave out the panels that take long.
          overwrite: replace an old page.

        Raises:
          RunError: this is a view, whose seed or shards the page would not know, or a
            run that has no page.

        Examples:
          >>> shardsim.load(folder).seed(0).inspect()
          Traceback (most recent call last):
          shardsim.storage.run_files.RunError: inspect: got a view, ...
        """
        if self.chosen_seed is not None or self.switched_off:
            raise RunError(
                f"inspect: got a view, {self!r}; allowed: the whole run, whose page "
                "has seeds and shards to choose"
            )
        with session.numerics():
            return page.write(
                self.folder, out, arms, mazes, checkpoints, quick, overwrite
            )


def load(path: str | Path) -> Run:
    """Read a run, from its folder or from an archive of `shardsim export`.

    A run is data: whatever a stranger has put into it, no code of it is run.

    Args:
      path: a run folder, or a .zip file, which is unpacked into a temporary folder.

    Raises:
      RunError: there is no run, it has another format, or the archive is damaged.
      ConfigError: its config cannot be read.

    Examples:
      >>> shardsim.load(folder).config.train.num_seeds
      2
      >>> shardsim.load("nowhere")
      Traceback (most recent call last):
      shardsim.storage.run_files.RunError: nowhere: no run here; allowed: a folder ...
    """
    folder, unpacked = Path(path), None
    if folder.is_file():
        unpacked = session.TemporaryFolder()
        folder = archive.unpack(folder, unpacked.path)
    with session.numerics():
        return Run(folder, run_configs.load(folder), unpacked=unpacked)


def _by_seed(
    line: metric_records.ChunkMetrics | metric_records.SnapshotMetrics,
    sources: tuple[str, ...],
) -> list[tuple[str, tuple[float | None, ...]]]:
    """The metrics of a line by name, each with a number for every seed."""
    found: list[tuple[str, tuple[float | None, ...]]] = []
    for field in dataclasses.fields(line):
        numbers = getattr(line, field.name)
        if field.name == "terms":
            found += numbers.items()
        elif field.name == "rewards":
            columns = zip(*numbers, strict=True)
            names = (f"rewards.{source}" for source in sources)
            found += zip(names, columns, strict=True)
        elif isinstance(numbers, tuple):
            found.append((field.name, numbers))
    return found
