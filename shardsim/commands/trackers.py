"""Trackers beside a run: TensorBoard and Weights & Biases show what metrics.jsonl has.

metrics.jsonl stays the truth. A tracker follows it: it reads the lines that are new, so
that it misses none, whoever wrote them. One that fails is left out from there on, and
never stops the run. Symbols: N seeds.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import math
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import Image

from shardsim.commands import progress
from shardsim.core import config as configs
from shardsim.core import config_files, files
from shardsim.evaluation import results as judged
from shardsim.evaluation import wording
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import json_lines, run_files, run_layout
from shardsim.training import loop, metric_records, results
from shardsim.training.standalone import Training

EXTRA = {
    "tensorboard": 'pip install "shardsim[tensorboard]"',
    "wandb": 'pip install "shardsim[wandb]"',
}
Result: TypeAlias = judged.RunResult | results.TrainingResult


@runtime_checkable
class Tracker(Protocol):
    """A program that shows the numbers of a run."""

    def log(self, arm: str, update: int, numbers: dict[str, np.ndarray]) -> None:
        """Show the numbers of an arm after an update: [N] each, by name."""
        ...

    def finish(
        self, texts: dict[str, str], final: dict[str, Any], figures: dict[str, bytes]
    ) -> None:
        """Show verdicts as text, final numbers, and figures as PNG, by name."""
        ...

    def close(self) -> None:
        """End, also where the run did not."""
        ...


@dataclasses.dataclass
class Follower:
    """The trackers of a run, and how far they have read its metrics."""

    folder: Path
    """Run folder."""
    steps: int
    """Steps of all environments of a seed in an update."""
    trackers: dict[str, Tracker]
    """Those that have not failed, by name."""
    seen: set[tuple[str, str, int]] = dataclasses.field(default_factory=set)
    """Arm, kind and update of the lines that were shown."""
    offset: int = 0
    """Bytes of metrics.jsonl that were read."""

    def update(self) -> None:
        """Show the lines of metrics.jsonl that are new."""
        if not self.trackers:
            return
        path = self.folder / metric_records.FILE
        size = path.stat().st_size if path.is_file() else 0
        if size < self.offset:  # a resumed arm writes its last lines again
            self.offset = 0
        if size == self.offset:
            return
        with path.open("rb") as file:
            file.seek(self.offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        for text in whole.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._show(json.loads(text))

    def _show(self, row: dict[str, Any]) -> None:
        key = (row["arm"], row["kind"], row["update"])
        if key in self.seen:
            return
        self.seen.add(key)
        numbers = {
            f"{SECTIONS[row['kind']]}/{name}": values for name, values in _numbers(row)
        }
        numbers["train/env_steps"] = np.asarray([row["update"] * self.steps])
        for name in list(self.trackers):
            with self._guarded(name):
                self.trackers[name].log(row["arm"], row["update"], numbers)

    def beside(self, advance: loop.Progress) -> loop.Progress:
        """A hook that shows the progress and the new lines."""

        def both(chunk: metric_records.ChunkMetrics, steps_per_second: float) -> None:
            advance(chunk, steps_per_second)
            self.update()

        return both

    def finish(self, result: Result) -> None:
        """Show what the run came to: verdicts, figures, final numbers."""
        self.update()
        if not self.trackers:
            return
        texts, final = _texts(result), _final(result)
        figures = _figures(self.folder)
        for name in list(self.trackers):
            with self._guarded(name):
                self.trackers[name].finish(texts, final, figures)

    def close(self) -> None:
        """End all trackers."""
        for name in list(self.trackers):
            with self._guarded(name):
                self.trackers[name].close()

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Leave a tracker out from here on if it fails."""
        try:
            with _quiet():
                yield
        except Exception as error:  # of the code of somebody else
            self.trackers.pop(name, None)
            _report(name, error)


SECTIONS = {"chunk": "train", "snapshot": "evaluation"}
"""The first part of a name, by the kind of line."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings about what other libraries do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _report(name: str, error: Exception) -> None:
    line = " ".join(f"{type(error).__name__}: {error}".split())
    progress.say(f"log: {name} is left out, and the run goes on: {line}")


@contextlib.contextmanager
def following(config: Experiment | Training, folder: Path) -> Iterator[Follower]:
    """The trackers that a config asks for; none, and nothing is imported.

    Args:
      folder: run folder.
    """
    train = config.train
    follower = Follower(folder, train.num_envs * train.num_steps, {})
    for name in config.log:
        try:
            with _quiet():
                follower.trackers[name] = _KINDS[name](config, folder, follower.seen)
        except ImportError as error:
            missing = f"{error}; {EXTRA[name]}"
            _report(name, ImportError(missing))
        except Exception as error:  # of the code of somebody else
            _report(name, error)
    try:
        yield follower
        follower.update()
    finally:
        follower.close()


def _numbers(row: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of a line of metrics.jsonl, [N] each."""
    for name, item in row.items():
        if name in ("kind", "arm", "phase", "update", "diverged") or item is None:
            continue
        if name == "rewards":
            nested = {
                f"rewards/{i}": column
                for i, column in enumerate(zip(*item, strict=True))
            }
        elif isinstance(item, dict):
            nested = {f"{name}/{key}": values for key, values in item.items()}
        else:
            nested = {name: item}
        for key, values in nested.items():
            yield key, np.asarray([math.nan if x is None else x for x in values])


def _texts(result: Result) -> dict[str, str]:
    if isinstance(result, results.TrainingResult):
        return {}
    rows = ["| prediction | question | verdict |", "|---|---|---|"]
    rows += [
        f"| {name} | {entry.question} | {_verdict(entry)} |"
        for name, entry in result.predictions.items()
    ]
    verdicts = "\n".join(rows)
    return {
        "question": result.question,
        "answer": result.answer,
        "verdicts": verdicts,
    }


def _verdict(entry: judged.PredictionResult) -> str:
    return wording.of(entry) + ("" if entry.is_valid else " (no claim stands)")


def _final(result: Result) -> dict[str, Any]:
    """Numbers and verdicts at the end, by name."""
    if isinstance(result, results.TrainingResult):
        return {
            f"{name}/reward_per_episode": arm.mean_reward_per_episode
            for name, arm in result.arms.items()
        }
    final: dict[str, Any] = {}
    for name, arm in result.arms.items():
        final[f"{name}/return_fraction"] = arm.mean_return_fraction
        final[f"{name}/value_error"] = arm.mean_value_error
    for name, entry in result.predictions.items():
        final[f"{name}/effect"] = entry.effect.estimate
        final[f"{name}/verdict"] = _verdict(entry)
    return final


def _figures(folder: Path) -> dict[str, bytes]:
    """The figures of the report as PNG."""
    from shardsim.reports import figures  # a plotting library

    return {
        path.stem: figures.converted(files.read_text(path), "png")
        for path in sorted((folder / "figures").glob("*.svg"))
    }


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


class _TensorBoard:
    """Event files: a run for the mean of each arm, and one for each of its seeds."""

    def __init__(
        self, config: Experiment | Training, folder: Path, seen: set[Any]
    ) -> None:
        del seen
        self.writers: dict[str, Any] = {}
        self.make = importlib.import_module("tensorboardX").SummaryWriter
        self.folder = folder / run_layout.TRACKERS / "tensorboard"
        text = config_files.to_yaml(config)
        self._writer("run").add_text("config", f"```\n{text}```")

    def _writer(self, run: str) -> Any:
        if run not in self.writers:
            # a resumed run is shown anew: purge hides what was written before
            self.writers[run] = self.make(str(self.folder / run), purge_step=0)
        return self.writers[run]

    def log(self, arm: str, update: int, numbers: dict[str, np.ndarray]) -> None:
        for name, values in numbers.items():
            self._writer(arm).add_scalar(name, _mean(values), update)
            for seed, number in enumerate(values if len(values) > 1 else ()):
                if math.isfinite(number):
                    self._writer(f"{arm}/seed_{seed}").add_scalar(name, number, update)

    def finish(
        self, texts: dict[str, str], final: dict[str, Any], figures: dict[str, bytes]
    ) -> None:
        writer = self._writer("run")
        for name, text in texts.items():
            writer.add_text(name, text)
        for name, number in final.items():
            if isinstance(number, float):
                writer.add_scalar(f"final/{name}", number)
        for name, content in figures.items():
            with Image.open(io.BytesIO(content)) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            writer.add_image(name, pixels, dataformats="HWC")

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


class _WandB:
    """One run of Weights & Biases; WANDB_MODE=offline writes files alone."""

    def __init__(
        self, config: Experiment | Training, folder: Path, seen: set[Any]
    ) -> None:
        self.wandb = importlib.import_module("wandb")
        place = folder / run_layout.TRACKERS
        place.mkdir(parents=True, exist_ok=True)
        # a run with more seeds is another one
        mark = place / f"wandb_run_{config.train.population}.txt"
        is_resumed = mark.is_file()
        if not is_resumed:
            run_files.write_text(mark, secrets.token_hex(4))
        else:  # what it has been shown stays there
            seen |= {
                (row["arm"], row["kind"], row["update"])
                for row in json_lines.read(folder / metric_records.FILE)
                if {"arm", "kind", "update"} <= row.keys()
            }
        self.run = self.wandb.init(
            project="shardsim",
            name=folder.name,
            id=files.read_text(mark).strip(),
            resume="allow",
            dir=str(place),
            config=configs.to_dict(config),
            settings=self.wandb.Settings(console="off", silent=True),
        )
        self.run.define_metric("update")
        self.run.define_metric("*", step_metric="update")

    def log(self, arm: str, update: int, numbers: dict[str, np.ndarray]) -> None:
        row: dict[str, Any] = {"update": update}
        for name, values in numbers.items():
            row[f"{arm}/{name}"] = _mean(values)
            if len(values) > 1:
                row |= {f"{arm}/seeds/{name}/{i}": x for i, x in enumerate(values)}
        self.run.log(row)

    def finish(
        self, texts: dict[str, str], final: dict[str, Any], figures: dict[str, bytes]
    ) -> None:
        named = {f"final/{name}": number for name, number in final.items()}
        self.run.summary.update({**texts, **named})
        for name, content in figures.items():
            with Image.open(io.BytesIO(content)) as picture:
                self.run.log({f"figures/{name}": self.wandb.Image(picture)})

    def close(self) -> None:
        self.run.finish()


_KINDS: dict[str, Any] = {"tensorboard": _TensorBoard, "wandb": _WandB}
