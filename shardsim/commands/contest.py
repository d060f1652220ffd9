"""`shardsim contest`: who forecasts what agents do after histories nobody was shown?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import config, progress
from shardsim.contest import folder, run, training
from shardsim.core import field_errors


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Make what is missing of a contest, and print who forecasts best."""
    contest = config.read_contest(options.file, flags)
    seeds = _seeds(options.seeds, contest.train.num_seeds)
    path = options.out or Path("runs") / contest.name
    only_train = options.seeds is not None
    with folder.opened(path, contest, options.overwrite, shared=only_train):
        if only_train:
            with progress.counted(training.count(contest, seeds)) as advance:
                training.train(contest, path, seeds, advance)
            print(path)
            return 0
        with progress.counted(run.steps(contest)) as advance:
            result = run.run(contest, path, advance)
        # the page needs a plotting library, and training does not
        from shardsim.reports import contest as reports
        from shardsim.reports.verdicts import contest as pages

        folder.save_text(path, folder.TABLES, reports.markdown(result))
        folder.save_text(path, folder.PAGE, pages.page(result))
    print(reports.terminal(result))
    print(f"\n{path / folder.PAGE}\n{path}")
    return 0


def _seeds(text: str | None, num_seeds: int) -> range:
    """The seeds of an option such as "0-4" or "3"; None: all.

    Raises:
      ConfigError: it names no seeds of the contest.
    """
    if text is None:
        return range(num_seeds)
    first, dash, last = text.partition("-")
    ends = [first, last] if dash else [first, first]
    if all(end.isdecimal() for end in ends):
        seeds = range(int(ends[0]), int(ends[1]) + 1)
        if seeds and seeds[-1] < num_seeds:
            return seeds
    raise field_errors.ConfigError(
        f"seeds: got {text!r}; allowed: FIRST-LAST or one number, 0 to {num_seeds - 1}"
    )
