"""`shardsim inspect`: write a page that looks inside the value heads of runs."""

import argparse
from collections.abc import Sequence

from shardsim.commands import progress
from shardsim.core import backends
from shardsim.reports.explorer import make
from shardsim.storage import run_files, run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the page and its numbers; print their paths, size and time."""
    del flags
    for name, values in (("runs", options.runs), ("arms", options.arms or [""])):
        if len(values) > 2:
            raise run_files.RunError(f"{name}: got {len(values)}; allowed: 1 or 2")
    backends.use_precision()  # tools are jitted by JAX itself
    with progress.lines():
        result = make.inspect(
            [run_folder.open_run(run) for run in options.runs],
            options.out,
            options.results,
            options.arms,
            options.mazes,
            options.checkpoints,
            options.quick,
            options.overwrite,
        )
    print(f"{result.page}: {result.bytes / 1e6:.1f} MB in {result.seconds:.1f} s")
    print(result.results)
    return 0
