"""Build the documentation site into site/, with every link checked.

Command:  python docs/build.py

Writes the pages of config fields and of commands from the code first. Needs the `docs`
extra and no network.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import command_reference  # beside this file, like the next one
import config_reference

from shardsim.contest.config import Contest
from shardsim.core import files
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.study import Study
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.training.standalone import Training

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "run": Experiment,
    "train": Training,
    "study": Study,
    "zoo": ZooConfig,
    "contest": Contest,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.parse_args(arguments)
    folder = ROOT / "docs" / "reference"
    files.write_text(folder / "config.md", config_reference.page(COMMANDS))
    files.write_text(folder / "command-line.md", command_reference.page())
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(build, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
