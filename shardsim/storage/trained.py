"""trained.json: the arms that were trained to the end, with weights/ARM.npz.

Whoever needs the weights of an arm asks here whether they are those of the config. So a
finished run needs no checkpoint: it is judged again from its weights.
"""

import hashlib
from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt

from shardsim.agents import agent as agents
from shardsim.core import fields
from shardsim.storage import records, run_files, run_layout, weights

FILE = "trained.json"


@fields.record
class TrainedArm:
    """An arm at the end of its training."""

    update: NonNegativeInt
    """Number of updates of the run at the weights."""
    digest: str
    """SHA-256 of everything that the weights depend on: the config and the data."""
    sha256: str
    """Of weights/ARM.npz."""


@fields.record
class TrainedArms:
    """The file: one entry for each arm whose training is over."""

    arms: dict[str, TrainedArm]


def place(folder: Path, arm: str) -> Path:
    """The file with the weights of an arm at the end."""
    return folder / "weights" / f"{arm}.npz"


def read(folder: Path) -> dict[str, TrainedArm]:
    """The arms that were trained to the end, by name; none if there is no file.

    Raises:
      RunError: the file is damaged.
    """
    path = folder / FILE
    return records.read(path, TrainedArms).arms if path.exists() else {}


def write_weights(folder: Path, arm: str, population: agents.Agent) -> None:
    """Write E, D and V of an arm at the end, leaves [N, ...]."""
    run_files.write_arrays(
        place(folder, arm), weights.of_agent(population), compressed=True
    )


def write(folder: Path, update: int, digests: dict[str, str]) -> None:
    """Write that arms are trained to the end; their weights have been written.

    Args:
      update: number of updates of the run.
      digests: of everything that the weights depend on, by arm.
    """
    entries = {
        arm: TrainedArm(update, digest, _sha256(place(folder, arm)))
        for arm, digest in digests.items()
    }
    records.write(folder / FILE, TrainedArms({**read(folder), **entries}))


def weights_of(
    folder: Path, arm: str, entry: TrainedArm, digest: str
) -> dict[str, np.ndarray]:
    """The weights of an arm that was trained to the end, by dotted name.

    Args:
      digest: of everything that they should depend on.

    Raises:
      RunError: the arm was trained by another config or on other data, or the file is
        missing, or is not the one that the run wrote.
    """
    path = place(folder, arm)
    if entry.digest != digest:
        raise run_files.RunError(
            f"{folder}: arm {arm!r} was trained to the end with another config or "
            f"other data than {run_layout.CONFIG_FILE} has now; allowed: those that it "
            "was trained with, or a new run"
        )
    arrays = run_files.read_arrays(path)
    if _sha256(path) != entry.sha256:
        raise run_files.RunError(
            f"{path}: was changed since the run wrote it; allowed: the file as the run "
            "wrote it, or a new run"
        )
    return arrays


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
