"""`shardsim report`: write report.html of a run again."""

import argparse
from collections.abc import Sequence

from shardsim.core import config_files
from shardsim.evaluation import load
from shardsim.reports.verdicts import report, study
from shardsim.storage import run_files, run_folder, run_layout


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the report from results.json and print its path."""
    del flags
    folder = run_folder.open_run(options.run)
    run_files.check_own(folder, options.overwrite, "report.html", "figures/*.svg")
    is_study = load.is_study(config_files.read_yaml(folder / run_layout.CONFIG_FILE))
    print(study.write(folder) if is_study else report.write(folder))
    return 0
