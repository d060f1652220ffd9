"""Build the documentation site into site/, with every link checked.

Command:  python docs/build.py

Writes the page of config fields from the code first. Needs the `docs` extra and no
network.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import config_reference  # beside this file

from shardsim.evaluation.experiment import Experiment
from shardsim.training.standalone import Training

ROOT = Path(__file__).parents[1]
COMMANDS = {"run": Experiment, "train": Training}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.parse_args(arguments)
    page = ROOT / "docs" / "reference" / "config.md"
    page.write_text(config_reference.page(COMMANDS))
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(build, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
