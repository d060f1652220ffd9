"""`shardsim verdicts`: the verdicts of runs, studies and contests as one table."""

import argparse
import sys
from collections.abc import Sequence

from shardsim.core import files
from shardsim.reports.verdicts import collection, table
from shardsim.storage import run_files

FORMATS = {
    "table": table.terminal,
    "markdown": table.markdown,
    "json": table.as_json,
    "csv": table.as_csv,
}


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print the table, or write it into a file."""
    del flags
    if options.configs is not None and not options.configs.is_dir():
        raise run_files.RunError(
            f"configs: got {options.configs}; allowed: a folder of config files"
        )
    sources = [collection.sources(folder) for folder in options.folders]
    judged = [source for each in sources for source in each.judged]
    places = [source.folder.resolve() for source in judged]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise run_files.RunError(
                f"folders: got {judged[number].folder} twice; allowed: different ones"
            )
    if options.out is not None:
        files.check_new(options.out, options.overwrite)
    for line in (line for each in sources for line in each.left_out):
        print(f"shardsim: left out: {line}", file=sys.stderr)
    text = FORMATS[options.format](collection.rows(judged, options.configs))
    if options.out is None:
        print(text)
        return 0
    if options.format == "markdown" and options.out.is_file():
        text = table.placed(text, files.read_text(options.out)).rstrip("\n")
    files.write_text(options.out, f"{text}\n")
    print(options.out)
    return 0
