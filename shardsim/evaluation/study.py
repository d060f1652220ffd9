"""The config of a study: base experiments and axes, and the cells that they make.

A cell is an experiment: a base experiment whose fields are changed by `settings` and
then by one level of every axis, as flags would change them.
"""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from shardsim.core import config as configs
from shardsim.core import config_files, field_errors, fields, json_text, yaml_text
from shardsim.core.statistics import factorial
from shardsim.evaluation.experiment import Experiment

EXPERIMENT = "experiment"
"""The axis that several base experiments are."""
SEEDS = "train.num_seeds"
"""The field by which cells may differ and still have the same seeds."""
LONGEST = 80
"""Letters of the name of a cell, without its digest."""
MOST_CELLS = 10_000
"""Most combinations of levels."""


@fields.record
class Axis:
    """What differs between cells: a field and its values, or levels of several."""

    field: str | None = None
    """Dotted field of an experiment, as a flag names it; null where `levels` are given.
    """
    values: tuple[Any, ...] = ()
    """Values of `field`, a level each."""
    levels: dict[fields.Label, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """Levels that change several fields: name -> dotted fields with their values, or
    nested ones."""

    @fields.rule("field", "values", "levels")
    def _one_form(self) -> Iterator[str]:
        if (self.field is None) == (not self.levels):
            yield "field: got none or both; allowed: field and values, or levels"
        if (self.field is None) == bool(self.values):
            yield f"values: got {len(self.values)}; allowed: values with a field"
        labels = [label for label, _ in self.changes()]
        if len(labels) < 2 and (self.field is None) != (not self.levels):
            yield f"values: got {len(labels)}; allowed: two levels or more"
        if len(set(labels)) < len(labels):
            yield f"values: got {', '.join(labels)}; allowed: different ones"

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """The levels in order: their labels, and the fields that they change."""
        if self.field is None:
            return list(self.levels.items())
        return [(_label(value), {self.field: value}) for value in self.values]


def _label(value: Any) -> str:
    """A value in one line, as a file would have it."""
    text = yaml_text.dump(configs.to_dict(value), flow=True)
    return text.removesuffix("...\n").strip()


@fields.record
class Full:
    """Every combination of levels."""

    kind: Literal["full"] = "full"


@fields.record
class Fractional:
    """A fraction of the combinations, balanced so that every axis can be judged.

    It is D-optimal for the main effects of the axes: each level occurs about equally
    often, and so does each pair of levels of two axes.
    """

    cells: PositiveInt
    """Number of cells: at least one more than the levels of all axes beyond the first
    of each."""
    kind: Literal["fractional"] = "fractional"
    seed: fields.Seed = 0
    """Chooses between fractions that are equally good."""
    chosen: tuple[dict[fields.Name, fields.Label], ...] = ()
    """The cells by the level of each axis. The study's folder has them; a file leaves
    them out."""


Design = Full | Fractional


@fields.record
class Study:
    """Experiments and axes, whose combinations are trained and judged as one."""

    name: fields.Name
    """Name of the study and of its default folder."""
    question: str
    """The question in one sentence, for the page."""
    experiments: Annotated[dict[fields.Name, str | dict[str, Any]], Field(min_length=1)]
    """Base experiments by name: a file beside this one, or the experiment itself."""
    axes: dict[fields.Name, Axis] = dataclasses.field(default_factory=dict)
    """What differs between cells, by name."""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of all cells that differ from the base experiments, dotted or nested."""
    design: Design = Full()
    """Which combinations of levels are cells."""
    exclude: tuple[dict[fields.Name, fields.Label], ...] = ()
    """Combinations that are left out: a level of some axes each."""

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Labels of the levels of each axis; several base experiments are one too."""
        axes = {
            name: tuple(label for label, _ in axis.changes())
            for name, axis in self.axes.items()
        }
        several = {EXPERIMENT: tuple(self.experiments)}
        return {**several, **axes} if len(self.experiments) > 1 else axes

    @fields.rule("axes")
    def _axis_names(self) -> Iterator[str]:
        if EXPERIMENT in self.axes:
            yield (
                f"axes: got {EXPERIMENT!r}; allowed: any other name, this axis are the "
                "base experiments"
            )

    @fields.rule("axes", "experiments")
    def _countable(self) -> Iterator[str]:
        total = int(np.prod([len(each) for each in self.levels.values()] or [1]))
        if not 1 < total <= MOST_CELLS:
            yield f"axes: got {total} combinations; allowed: 2 to {MOST_CELLS:,}"

    @fields.rule("axes", "experiments", "exclude")
    def _known_exclusions(self) -> Iterator[str]:
        for index, levels in enumerate(self.exclude):
            yield from self._unknown(f"exclude.{index}", levels)
        if not self._candidates():
            yield "exclude: got all combinations; allowed: some"

    @fields.rule("axes", "experiments", "exclude", "design")
    def _enough_cells(self) -> Iterator[str]:
        if not isinstance(self.design, Fractional):
            return
        least = 1 + sum(len(each) - 1 for each in self.levels.values())
        most = len(self._candidates())
        if not least <= self.design.cells <= most:
            yield (
                f"design.cells: got {self.design.cells}; allowed: {least} to {most}, "
                "so that the effect of each axis can be told"
            )
        for index, levels in enumerate(self.design.chosen):
            yield from self._unknown(f"design.chosen.{index}", levels)
            if levels.keys() != self.levels.keys():
                yield f"design.chosen.{index}: got not all axes; allowed: all"

    def _unknown(self, place: str, levels: Mapping[str, str]) -> Iterator[str]:
        for axis, level in levels.items():
            if axis not in self.levels:
                allowed = field_errors.one_of(self.levels, axis)
                yield f"{place}: got axis {axis!r}; allowed: {allowed}"
            elif level not in self.levels[axis]:
                allowed = field_errors.one_of(self.levels[axis], level)
                yield f"{place}.{axis}: got {level!r}; allowed: {allowed}"

    def _candidates(self) -> list[dict[str, str]]:
        """All combinations but the excluded ones."""
        every = [
            dict(zip(self.levels, combination, strict=True))
            for combination in itertools.product(*self.levels.values())
        ]
        return [
            levels
            for levels in every
            if not any(left_out.items() <= levels.items() for left_out in self.exclude)
        ]

    def combinations(self) -> list[dict[str, str]]:
        """The level of each axis in each cell."""
        candidates = self._candidates()
        if not isinstance(self.design, Fractional):
            return candidates
        if self.design.chosen:
            return [dict(each) for each in self.design.chosen]
        sizes = [len(each) for each in self.levels.values()]
        index = np.asarray(
            [
                [self.levels[axis].index(level) for axis, level in each.items()]
                for each in candidates
            ]
        )
        chosen = factorial.fraction(index, sizes, self.design.cells, self.design.seed)
        return [candidates[i] for i in chosen]


class Cell(NamedTuple):
    """A combination of levels, and the experiment that it is."""

    name: str
    """Of its folder."""
    experiment: str
    """Name of the base experiment."""
    levels: dict[str, str]
    """The level of each axis."""
    data: dict[str, Any]
    """The experiment as nested dictionaries."""

    @property
    def label(self) -> str:
        """The levels in words."""
        return ", ".join(
            level if axis == EXPERIMENT else f"{axis} {level}"
            for axis, level in self.levels.items()
        )


def sets_seeds(changes: Mapping[str, Any]) -> bool:
    """Whether a level changes the number of seeds."""
    data = config_files.changed({"train": {"num_seeds": 0}}, changes)
    return bool(data["train"]["num_seeds"] != 0)


def read(file: Path, flags: tuple[str, ...] = ()) -> Study:
    """Read a study with its base experiments, and choose its cells.

    Raises:
      ConfigError: naming the field, its value and what is allowed.
    """
    data = config_files.override(config_files.read_yaml(file), flags, Study)
    experiments = data.get("experiments")
    if isinstance(experiments, Mapping):
        data["experiments"] = {
            name: _inlined(f"experiments.{name}", each, file.parent)
            for name, each in experiments.items()
        }
    built = configs.build(Study, data)
    if not isinstance(built.design, Fractional):
        return built
    chosen = tuple(built.combinations())
    return dataclasses.replace(
        built, design=dataclasses.replace(built.design, chosen=chosen)
    )


def _inlined(place: str, experiment: Any, folder: Path) -> Any:
    if not isinstance(experiment, str):
        return experiment
    try:
        return config_files.read_yaml(folder / experiment)
    except configs.ConfigError as error:
        raise configs.ConfigError(f"{place}: {error}") from None


def cells(study: Study) -> list[Cell]:
    """The cells of a study, as data that nothing has checked yet.

    Raises:
      ConfigError: a field that an experiment does not have, or two cells that are one.
    """
    found, faults = [], []
    for levels in study.combinations():
        name = _name(study, levels)
        base = levels.get(EXPERIMENT, next(iter(study.experiments)))
        data = study.experiments[base]
        if isinstance(data, str):
            raise configs.ConfigError(
                f"experiments.{base}: got the file {data}; allowed: the experiment"
            )
        try:
            data = config_files.changed(data, study.settings, Experiment)
            for axis, level in levels.items():
                if axis != EXPERIMENT:
                    fields_of = dict(study.axes[axis].changes())
                    data = config_files.changed(data, fields_of[level], Experiment)
        except configs.ConfigError as error:
            faults += field_errors.prefixed(f"cells.{name}", error).splitlines()
        else:
            found.append(Cell(name, base, levels, data))
    field_errors.refuse(faults)
    return found


def build(every: list[Cell]) -> dict[str, Experiment]:
    """The experiments of all cells, by the name of the cell.

    Raises:
      ConfigError: a line for each fault of each cell, or cells that are one.
    """
    built, faults = {}, []
    for cell in every:
        lines = field_errors.faults(
            f"cells.{cell.name}", configs.build, Experiment, cell.data
        )
        faults += lines
        if not lines:
            built[cell.name] = configs.build(Experiment, cell.data)
    field_errors.refuse(faults)
    _check_different(built)
    _check_alike(built)
    return built


def _check_different(built: Mapping[str, Experiment]) -> None:
    first: dict[str, str] = {}
    for name, experiment in built.items():
        other = first.setdefault(configs.digest(experiment), name)
        if other != name:
            raise configs.ConfigError(
                f"axes: got the same experiment in {other} and {name}; allowed: levels "
                "that change something"
            )


def _check_alike(built: Mapping[str, Experiment]) -> None:
    """What has one name in several cells has to be one question."""
    first: dict[str, tuple[str, Any]] = {}
    for name, experiment in built.items():
        for label, entry in experiment.predictions.items():
            rule = entry.rule
            asked = (entry.measure.kind, rule.contrast, rule.direction)
            cell, before = first.setdefault(label, (name, asked))
            if asked != before:
                raise configs.ConfigError(
                    f"cells.{name}.predictions.{label}: got another measure, contrast "
                    f"or direction than in {cell}; allowed: the same in all cells, or "
                    "another name"
                )


def _name(study: Study, levels: Mapping[str, str]) -> str:
    """A name that follows from the levels alone, and can be that of a folder."""
    words = {
        axis: re.sub(r"[^A-Za-z0-9.]+", "-", level).strip("-.")
        for axis, level in levels.items()
    }
    name = "_".join(
        word if axis == EXPERIMENT else f"{axis}-{word}" for axis, word in words.items()
    )
    plain = all(words[axis] == level.lower() for axis, level in levels.items())
    if plain and len(name) <= LONGEST:
        return name
    text = json_text.dumps(dict(levels))
    return f"{name[:LONGEST]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
