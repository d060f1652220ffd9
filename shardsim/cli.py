"""The `shardsim` command. Bad input ends with exit code 2 and one line."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EPILOG = """
Every field of a config is a flag: --train.num-seeds 20, --arms.sharded.head.num_shards 2,
--train.phases.1.updates 100, --env.contexts_shown "[[0], [1]]". `shardsim config FILE`
prints all of them with their values.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    parser = _parser()
    known, flags = parser.parse_known_args(arguments)
    command: Callable[..., int] = known.command
    if flags and command not in (_run, _train, _collect, _config, _show, _play):
        parser.error(f"unrecognized arguments: {' '.join(flags)}")
    # LAPACK's threads cost more than they save on small matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # an import of JAX takes a second: --help and a mistyped command do without it, and
    # a signal that comes meanwhile is heeded like any other
    from shardsim.core.interrupts import sigterm_as_interrupt

    try:
        with sigterm_as_interrupt():
            from jax.errors import JaxRuntimeError

            from shardsim.core.config import ConfigError
            from shardsim.storage.run_folder import RunError
            from shardsim.training.divergence import Diverged
            from shardsim.training.loop import Interrupted

            return command(known, flags)
    except KeyboardInterrupt:  # outside of training, or pressed twice
        return _told("stopped at once; resume goes on from the last checkpoint", 130)
    except (ConfigError, RunError) as error:
        return _told(str(error), 2)
    # or a full disk, on which files are whole or not there; or more than memory holds
    except (Diverged, OSError, MemoryError, OverflowError, JaxRuntimeError) as error:
        return _told(" ".join(str(error).split()) or "out of memory", 1)
    except Interrupted as error:
        return _told(f"{error}; go on with: shardsim resume RUN", 130)


def _told(line: str, code: int) -> int:
    print(f"shardsim: {line}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shardsim",
        description="Raise the same agent with one value network and with shards, "
        "and compare what they predict.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[..., int], text: str) -> Any:
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=EPILOG,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=function)
        return command

    _training_commands(add)
    _reading_commands(add)
    show = add("show", _show, "write a picture of a world's levels")
    show.add_argument("name", help="world, as in a config or as a class")
    show.add_argument("--out", type=Path, default=Path("levels.png"))
    show.add_argument("--levels", type=int, default=8)
    show.add_argument("--columns", type=int, default=4)
    show.add_argument("--seed", type=int, default=0)
    play = add("play", _play, "play a world in the terminal")
    play.add_argument("name", help="world, as in a config or as a class")
    play.add_argument("--seed", type=int, default=0)
    return parser


def _training_commands(add: Callable[..., Any]) -> None:
    run = add("run", _run, "train, compare and report an experiment")
    run.add_argument("file", type=Path, help="config, a YAML file")
    run.add_argument("--out", type=Path, help="run folder (default: runs/NAME)")
    run.add_argument("--overwrite", action="store_true", help="replace an old run")
    train = add("train", _train, "train heads on any world, ours or another's")
    train.add_argument("file", type=Path, help="config, a YAML file")
    train.add_argument("--out", type=Path, help="run folder (default: runs/NAME)")
    train.add_argument("--overwrite", action="store_true", help="replace an old run")
    collect = add("collect", _collect, "store trajectories to learn from")
    collect.add_argument("source", type=Path, help="config, or the folder of a run")
    collect.add_argument("--out", type=Path, required=True, help="file, ends in .npz")
    collect.add_argument("--overwrite", action="store_true", help="replace a file")
    collect.add_argument("--arm", help="arm of the run that acts")
    collect.add_argument("--updates", type=int, default=16, help="rollouts (16)")
    config = add("config", _config, "print the resolved config, or explain its fields")
    config.add_argument("file", type=Path, nargs="?", help="config, a YAML file")
    config.add_argument(
        "--explain",
        nargs="?",
        const="",
        metavar="FIELD",
        help="tell meaning, range, default and choices of a field (none: the top)",
    )
    config.add_argument(
        "--schema",
        nargs="?",
        const="experiment",
        choices=("experiment", "training"),
        help="print the JSON Schema of a config, for editors (experiment)",
    )
    resume = add("resume", _resume, "go on with a run that was stopped")
    resume.add_argument("run", type=Path)


def _reading_commands(add: Callable[..., Any]) -> None:
    compare = add("compare", _compare, "set runs side by side")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    report = add("report", _report, "write a run's report.html anew")
    report.add_argument("run", type=Path)
    inspect = add("inspect", _inspect, "write a page to look into value heads with")
    inspect.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="1 or 2")
    inspect.add_argument("--out", type=Path, default=Path("page.html"))
    inspect.add_argument(
        "--results", type=Path, help="its numbers (default: OUT with .results.json)"
    )
    inspect.add_argument("--arms", nargs="+", help="1 or 2 arms; A and B of the page")
    inspect.add_argument("--mazes", type=int, default=4)
    inspect.add_argument("--checkpoints", type=int, help="the most that are shown")
    inspect.add_argument(
        "--quick", action="store_true", help="leave out all that takes long"
    )
    lists = add("list", _list, "list the runs below a folder")
    lists.add_argument("root", type=Path, nargs="?", default=Path("runs"))


def _read(file: Path, flags: Sequence[str], built: str) -> Any:
    """What a config file and flags say, as `experiment`, `standalone` or `either`."""
    from shardsim.commands import devices
    from shardsim.core import config, config_files
    from shardsim.evaluation import experiment, load
    from shardsim.training import standalone

    data = config_files.override(config_files.read_yaml(file), flags)
    load.check_kind(data, built, file)
    devices.offer_devices(data)
    found: Any
    match built:
        case "experiment":
            found = config.build(experiment.Experiment, data)
        case "training":
            found = config.build(standalone.Training, data)
        case _:
            found = load.read(data)
    devices.check_new(found)
    return found


def _run(known: argparse.Namespace, flags: Sequence[str]) -> int:
    found = _read(known.file, flags, "experiment")
    from shardsim.core import config_files
    from shardsim.storage import run_folder

    folder = known.out or Path("runs") / found.name
    run_folder.create(folder, config_files.to_yaml(found), known.overwrite)
    return _finish(found, folder)


def _collect(known: argparse.Namespace, flags: Sequence[str]) -> int:
    from shardsim.commands import collect as collecting

    shape = collecting.collect(
        known.source,
        list(flags),
        known.out,
        known.arm,
        known.updates,
        known.overwrite,
    )
    print(f"{known.out}: {shape[0]} steps of {shape[1]} environments")
    return 0


def _train(known: argparse.Namespace, flags: Sequence[str]) -> int:
    found = _read(known.file, flags, "training")
    from shardsim.core import config_files
    from shardsim.storage import run_folder

    folder = known.out or Path("runs") / found.name
    run_folder.create(folder, config_files.to_yaml(found), known.overwrite)
    return _finish_training(found, folder)


def _finish_training(found: Any, folder: Path) -> int:
    from shardsim.commands import tables
    from shardsim.storage import run_folder
    from shardsim.training import standalone

    with run_folder.lock(folder), tables.bar(found) as moved:
        result = standalone.run(found, folder, moved)
    for name, arm in result.arms.items():
        print(standalone.describe_arm(found.train, name, arm))
    print(folder)
    return 0


def _finish(found: Any, folder: Path) -> int:
    from shardsim.commands import run, tables
    from shardsim.storage import run_folder

    for arm in found.sized_arms():
        print(f"{arm.name}: {run.parameters(found, arm):,} parameters of V")
    with run_folder.lock(folder), tables.bar(found) as moved:
        result = run.run(found, folder, moved)
    print(tables.table(result))
    print(f"\n{result.answer}\n{folder / 'report.html'}")
    return 0


def _config(known: argparse.Namespace, flags: Sequence[str]) -> int:
    from shardsim.commands import config_help
    from shardsim.core import config, config_files

    if known.schema is not None:
        print(config_help.schema(known.schema), end="")
    elif known.explain is not None:
        data = None
        if known.file is not None:
            data = config_files.override(config_files.read_yaml(known.file), flags)
        print(config_help.explain(known.explain, data))
    elif known.file is None:
        raise config.ConfigError("file: got nothing; allowed: a YAML file")
    else:
        print(config_files.to_yaml(_read(known.file, flags, "either")), end="")
    return 0


def _resume(known: argparse.Namespace, flags: Sequence[str]) -> int:
    del flags
    from shardsim.commands import devices
    from shardsim.core import config_files
    from shardsim.evaluation import load
    from shardsim.storage import run_folder
    from shardsim.training import standalone

    folder = run_folder.open_run(known.run)
    devices.offer_devices(config_files.read_yaml(folder / run_folder.CONFIG_FILE))
    found = load.load(folder)
    devices.check_there(found)
    run_folder.write_provenance(folder)
    if isinstance(found, standalone.Training):
        return _finish_training(found, folder)
    return _finish(found, folder)


def _compare(known: argparse.Namespace, flags: Sequence[str]) -> int:
    del flags
    from shardsim.commands import tables
    from shardsim.storage import run_folder

    print(tables.side_by_side([run_folder.open_run(run) for run in known.runs]))
    return 0


def _report(known: argparse.Namespace, flags: Sequence[str]) -> int:
    del flags
    from shardsim.reports.verdicts import report
    from shardsim.storage import run_folder

    print(report.write(run_folder.open_run(known.run)))
    return 0


def _inspect(known: argparse.Namespace, flags: Sequence[str]) -> int:
    del flags
    from shardsim.reports.explorer import make as inspect
    from shardsim.storage import run_folder

    for name, got in (("runs", known.runs), ("arms", known.arms or [""])):
        if len(got) > 2:
            raise run_folder.RunError(f"{name}: got {len(got)}; allowed: 1 or 2")
    made = inspect.inspect(
        [run_folder.open_run(run) for run in known.runs],
        known.out,
        known.results,
        known.arms,
        known.mazes,
        known.checkpoints,
        known.quick,
    )
    print(f"{made.page}: {made.bytes / 1e6:.1f} MB in {made.seconds:.1f} s")
    print(made.results)
    return 0


def _show(known: argparse.Namespace, flags: Sequence[str]) -> int:
    from shardsim.commands import play

    world = play.world_of(known.name, list(flags))
    play.show(world, known.out, known.levels, known.seed, known.columns)
    print(known.out)
    return 0


def _play(known: argparse.Namespace, flags: Sequence[str]) -> int:
    from shardsim.commands import play

    play.play(play.world_of(known.name, list(flags)), known.seed)
    return 0


def _list(known: argparse.Namespace, flags: Sequence[str]) -> int:
    del flags
    from shardsim.commands import tables
    from shardsim.storage import run_folder

    if not known.root.is_dir():
        raise run_folder.RunError(f"root: got {known.root}; allowed: a folder")
    print(tables.listing(known.root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
