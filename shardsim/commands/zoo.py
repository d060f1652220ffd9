"""`shardsim zoo`: make value functions whose shards are known, and judge metrics."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import config, progress
from shardsim.evaluation.zoo import folder, run
from shardsim.reports import zoo as reports


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Make what is missing of a zoo, and print what its metrics separate."""
    zoo = config.read_zoo(options.file, flags)
    path = options.out or Path("runs") / zoo.name
    folder.begin(path, zoo, options.overwrite)
    with progress.counted(len(zoo.members) * zoo.num_seeds) as advance:
        result = run.run(zoo, path, advance)
    folder.save_text(path, folder.FIGURE, reports.figure(result))
    folder.save_text(path, folder.TABLES, reports.markdown(result))
    print(reports.table(result))
    print(f"\n{path / folder.FIGURE}\n{path / folder.TABLES}")
    return 0
