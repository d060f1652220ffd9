"""`shardsim zoo`: make value functions whose shards are known, and judge metrics."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import config, progress
from shardsim.evaluation import load
from shardsim.evaluation.zoo import folder, ordinary, run
from shardsim.reports import zoo as reports


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Make what is missing of a zoo, and print what its metrics separate."""
    zoo = config.read_zoo(options.file, flags)
    path = options.out or Path("runs") / zoo.name
    agents = {
        name: ordinary.read(zoo, name, load.load(Path(asked.run)))
        for name, asked in zoo.agents.items()
    }
    steps = len(zoo.members) * zoo.num_seeds
    steps += sum(one.num_seeds for one in agents.values())
    with folder.opened(path, zoo, options.overwrite):
        with progress.counted(steps) as advance:
            result = run.run(zoo, path, advance, agents)
        folder.save_text(path, folder.FIGURE, reports.figure(result))
        folder.save_text(path, folder.TABLES, reports.markdown(result))
    print(reports.table(result))
    print(f"\n{path / folder.FIGURE}\n{path / folder.TABLES}")
    return 0
