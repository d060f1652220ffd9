"""`shardsim export`: a run as one file to hand on, or the figures of its report."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.core import files
from shardsim.evaluation import results
from shardsim.reports import maps
from shardsim.storage import archive, run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the archive, or the figures; print what was written."""
    del flags
    folder = run_folder.open_run(options.run)
    if options.figures is None:
        count = archive.pack(folder, options.out, options.overwrite)
        megabytes = options.out.stat().st_size / 1e6
        print(f"{options.out}: {count} files, {megabytes:.1f} MB")
        return 0
    for path in figures(folder, options.out, options.figures, options.overwrite):
        print(path)
    return 0


def figures(folder: Path, out: Path, kind: str, overwrite: bool) -> list[Path]:
    """Write all figures of a run's report into a folder.

    Args:
      out: the folder; it may exist.
      kind: "svg", "png" or "pdf".
      overwrite: replace existing figures.

    Raises:
      RunError: the run is not judged, or a file is damaged.
      PathError: a figure exists, or cannot be written there.
    """
    result, levels = results.read_run(folder), maps.read(folder)
    # drawing needs a plotting library, and an archive does not
    from shardsim.reports import figures as drawings
    from shardsim.reports.verdicts import report

    files.check_new(out, overwrite=True, folder=True)
    drawn = report.draw(result, levels)
    paths = [out / f"{name}.{kind}" for name in drawn]
    for path in paths:
        files.check_new(path, overwrite)
    for path, figure in zip(paths, drawn.values(), strict=True):
        with files.replacing(path) as file:
            file.write(drawings.converted(figure.file, kind))
    return paths
