"""`shardsim report`: write report.html of a run again."""

import argparse
from collections.abc import Sequence

from shardsim.reports.verdicts import report
from shardsim.storage import run_files, run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the report from results.json and print its path."""
    del flags
    folder = run_folder.open_run(options.run)
    run_files.check_own(folder, options.overwrite, "report.html", "figures/*.svg")
    print(report.write(folder))
    return 0
