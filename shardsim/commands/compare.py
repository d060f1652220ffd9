"""`shardsim compare`: print several runs side by side."""

import argparse
from collections.abc import Sequence

from shardsim.commands import tables
from shardsim.storage import run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print returns, effects and verdicts, and how the configs differ."""
    del flags
    print(tables.side_by_side([run_folder.open_run(run) for run in options.runs]))
    return 0
