"""The verdicts of several runs in one picture.

Command:  python docs/figures/verdicts.py RUN [RUN ...] [--out runs/verdicts.svg]

One panel per run, one row per prediction: the effect with its interval in units of the
margin, and below it the same contrast for the positive control.
The file may be SVG, PNG or PDF.
"""

import argparse
from pathlib import Path

from shardsim.core import files
from shardsim.evaluation import results
from shardsim.reports.charts import render, verdicts
from shardsim.reports.verdicts import sections
from shardsim.storage import run_files, run_folder


def title(folder: Path, result: results.RunResult) -> str:
    """The folder, the seeds, and in what the heads that are judged are unusual."""
    rules = [entry.rule for entry in result.predictions.values()]
    arms = dict.fromkeys(rule.contrast.arm for rule in rules)
    heads = (sections.unusual(result.arms[arm].head) for arm in arms)
    other = ", ".join(dict.fromkeys(field for head in heads for field in head))
    name = f"{folder.name}, {result.num_seeds} seeds"
    return f"{name} ({other})" if other else name


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path("runs/verdicts.svg"))
    parser.add_argument("--overwrite", action="store_true", help="replace a picture")
    options = parser.parse_args()
    try:
        files.check_new(options.out, options.overwrite)
    except files.PathError as error:
        parser.error(str(error))
    panels = {}
    for folder in options.runs:
        try:
            result = results.read_run(run_folder.open_run(folder))
        except run_files.RunError as error:
            parser.error(str(error))
        if not result.predictions:
            parser.error(f"{folder}: nothing was asked; allowed: runs of predictions")
        panels[title(folder, result)] = result.predictions
    columns = 1 if len(panels) < 3 else 2
    effects = verdicts.effects(panels, columns)
    render.save(effects, options.out, overwrite=options.overwrite)
    print(options.out)


if __name__ == "__main__":
    main()
