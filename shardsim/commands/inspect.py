"""`shardsim inspect`: write a page that looks inside the value heads of runs."""

import argparse
import contextlib
import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from shardsim.commands import progress
from shardsim.contest import opening
from shardsim.core import backends, files
from shardsim.reports.explorer import make, wrapped
from shardsim.storage import run_files, run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the page and its numbers; print their paths, size and time."""
    del flags
    given = options.runs if options.agent is None else [""]
    for name, values in (("runs", given), ("arms", options.arms or [""])):
        if not 1 <= len(values) <= 2:
            raise run_files.RunError(f"{name}: got {len(values)}; allowed: 1 or 2")
    if options.agent is not None and (options.runs or options.arms):
        raise run_files.RunError("agent: got a value; allowed without runs and arms")
    backends.use_precision()  # tools are jitted by JAX itself
    with progress.lines():
        if options.agent is not None:
            result = make.inspect_agent(
                named_agent(options.agent),
                options.out,
                options.results,
                options.mazes,
                options.quick,
                options.overwrite,
            )
        else:
            with _opened(options) as runs:
                result = make.inspect(
                    runs,
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


@contextlib.contextmanager
def _opened(options: argparse.Namespace) -> Iterator[list[Path]]:
    """The run folders; of a contest, agents of one history as a temporary run.

    Raises:
      RunError: no run, or a contest without a history, or the reverse.
      ConfigError: the contest has no such agents.
    """
    place, *others = options.runs
    if not opening.is_contest(place):
        for name in ("history", "condition"):
            got = getattr(options, name)
            if got is not None:
                raise run_files.RunError(
                    f"{name}: got {got!r}; allowed: with the folder of a contest"
                )
        yield [run_folder.open_run(run) for run in options.runs]
        return
    if others or options.history is None or len(options.arms or []) != 1:
        raise run_files.RunError(
            f"history: got {place}, a contest; allowed: --history and one of --arms, "
            "without other runs"
        )
    files.check_new(options.out, options.overwrite)
    with tempfile.TemporaryDirectory(prefix="shardsim-") as temporary:
        (arm,) = options.arms
        run = Path(temporary) / place.resolve().name
        yield [opening.write_run(place, arm, options.history, options.condition, run)]


def named_agent(place: str) -> wrapped.Wrapped:
    """The agent that `module:name` names: one of `shardsim.wrap`, or what makes one.

    Raises:
      RunError: there is no such module or name, or it is something else.
    """
    module, _, name = place.partition(":")
    allowed = "allowed: MODULE:NAME of an agent of shardsim.wrap, or a function for one"
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found = getattr(importlib.import_module(module), name)
        agent = found if isinstance(found, wrapped.Wrapped) else found()
    except Exception as error:  # of the code of somebody else
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise run_files.RunError(f"agent: got {place} ({line}); {allowed}") from None
    if not isinstance(agent, wrapped.Wrapped):
        got = type(agent).__name__
        raise run_files.RunError(f"agent: got {place}, {got}; {allowed}")
    return agent
