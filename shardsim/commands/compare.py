"""`shardsim compare`: several runs side by side, in the terminal or as a page."""

import argparse
from collections.abc import Sequence

from shardsim.commands import listings, tables
from shardsim.core import files
from shardsim.storage import run_files, run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print returns, effects and verdicts, and how the configs differ."""
    del flags
    folders = [run_folder.open_run(run) for run in options.runs]
    places = [folder.resolve() for folder in folders]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise run_files.RunError(
                f"runs: got {folders[number]} twice; allowed: different runs"
            )
    if options.out is not None:
        files.check_new(options.out, options.overwrite)
    if options.format == "table":
        print(tables.side_by_side(folders))
    else:
        found = listings.comparison(folders)
        print(listings.text(options.format, found, listings.comparison_rows(found)))
    if options.out is not None:
        # the page needs a plotting library, and a table does not
        from shardsim.reports.verdicts import comparison

        comparison.write(folders, options.out)
        if options.format == "table":
            print(options.out)
    return 0
