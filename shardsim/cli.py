"""The `shardsim` command line: its parser. Each command is `shardsim/commands/NAME.py`.

Bad input ends with exit code 2 and a line on stderr for each fault.
"""

import argparse
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from shardsim.core import terminal

EPILOG = """
Every field of a config is a flag: --train.num-seeds 20, --train.phases.1.updates 100,
--arms.sharded.head.num_shards 2, --env.contexts_shown "[[0], [1]]". Another kind drops
the fields of the old one: --env.kind corner_maze. Null removes what has a name:
--arms.sharded null, --predictions.P6 null.
`shardsim config FILE` prints all of them with their values, and a field before --help
explains it: --train.num-seeds --help.
"""

ENV_EPILOG = """
Every field of the environment is a flag: --env.size 7, --env.max-steps 50. The worlds
are in docs/worlds.md; a wrong name lists all of them.
"""

AddCommand = Callable[..., argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
      arguments: words after `shardsim`; None takes them from the process.

    Returns:
      Exit code: 0 success, 1 failure while running, 2 bad input, 130 interrupted.
    """
    terminal.plain_streams()
    parser = _parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(_explaining(words))
    if options.command == "completion":
        print(_completion(parser, options.shell), end="")
        return 0
    # importing JAX takes a second. It happens here, so that --help and a mistyped
    # command do not pay for it, and so that a signal during the import is handled
    from shardsim.core import compile_cache, surroundings
    from shardsim.core.field_errors import ConfigError
    from shardsim.core.files import PathError
    from shardsim.core.interrupts import sigterm_as_interrupt

    try:
        with sigterm_as_interrupt():
            own_process = "jax" not in sys.modules  # no notebook
            if own_process:
                surroundings.own_process()
                compile_cache.quiet()
            with surroundings.fixed_numerics():
                if own_process:
                    compile_cache.use()
                _load_extensions(options.plugin)
                return _run(options, options.fields)
    except KeyboardInterrupt:  # outside of training, or pressed twice
        return _fail("stopped at once; resume goes on from the last checkpoint", 130)
    except (ConfigError, PathError) as error:
        return _fail(_with_options(str(error), options), 2)


def _load_extensions(plugins: list[Path]) -> None:
    """Register what packages and files of others add to the choices of a config."""
    from shardsim.core import extensions

    for problem in extensions.load_installed():
        print(f"shardsim: {problem}", file=sys.stderr)
    extensions.load_files(plugins)


def _explaining(words: list[str]) -> list[str]:
    """`run FILE --train.num-seeds --help` asks `config` what the field is."""
    for asked in ("--help", "-h"):
        place = words.index(asked) if asked in words else 0
        field = words[place - 1] if place else ""
        if field.startswith("--") and "=" not in field and "." in field:
            file = [w for w in words[1:place] if w.endswith((".yaml", ".yml"))][:1]
            return ["config", *file, "--explain", field[2:].replace("-", "_")]
    return words


def _with_options(text: str, options: argparse.Namespace) -> str:
    """An error, with the option that may have been meant where it was no field."""
    meant = {}
    for word in options.fields:
        name = word.partition("=")[0]
        if name.startswith("--") and "." not in name:
            near = _near(name, options.own_options)
            meant[name[2:].replace("-", "_")] = f" (did you mean the option {near}?)"
            if not near:
                del meant[name[2:].replace("-", "_")]
    lines = text.splitlines()
    return "\n".join(line + meant.get(line.partition(":")[0], "") for line in lines)


def _near(word: str, names: Sequence[str]) -> str:
    """The name that may have been meant; empty if none is near."""
    import difflib  # where something is wrong alone

    return next(iter(difflib.get_close_matches(word, names, 1)), "")


def _completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes this command line in a shell."""
    import shtab

    from shardsim.commands import completion

    completion.prepare(parser)
    script: str = shtab.complete(parser, shell)
    return script


def _run(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Run the command; what ends it while it works is one line."""
    from jax.errors import JaxRuntimeError

    from shardsim.core import surroundings
    from shardsim.execution.scheduler import Begun, Failed
    from shardsim.training.divergence import Diverged
    from shardsim.training.loop import Interrupted

    try:
        command = importlib.import_module(f"shardsim.commands.{options.command}")
        code: int = command.main(options, flags)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read the output has gone, as `head` does
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    # OSError includes a full disk, which never leaves half a file behind;
    # JaxRuntimeError includes running out of memory
    except (Diverged, OSError, MemoryError, OverflowError, JaxRuntimeError) as error:
        return _fail(" ".join(str(error).split()) or "out of memory", 1)
    except Begun as begun:
        print(begun)
        return 0
    except Failed as error:
        return _fail(str(error), 1)
    except Interrupted as error:
        return _fail(str(error), 130)
    except (AssertionError, RuntimeError):
        problem = surroundings.backend_error()
        if problem is None:
            raise
        return _fail(problem, 2)


def _fail(text: str, code: int) -> int:
    for line in text.splitlines():
        # names of files may contain anything
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
        print(f"shardsim: {shown}", file=sys.stderr)
    return code


class _Command(argparse.ArgumentParser):
    """The parser of a command; where it takes fields, flags may stand anywhere.

    A word with two dashes that is no option of the command is a field of the config,
    and the next word is its value.
    """

    takes_fields = False

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self._own_options: set[str] = set()
        self._fields: list[str] = []
        super().__init__(*args, **keywords)

    def add_argument(self, *args: Any, **keywords: Any) -> argparse.Action:
        action = super().add_argument(*args, **keywords)
        self._own_options.update(action.option_strings)
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        if not self.takes_fields:
            namespace, rest = super().parse_known_args(words, namespace)
            vars(namespace).setdefault("fields", [])
            vars(namespace).setdefault("own_options", [])
            unknown = next((word for word in rest if word.startswith("-")), None)
            if unknown is not None and self._own_options:
                self.error(f"unrecognized arguments: {' '.join(rest)}")
            return namespace, rest
        others: list[str] = []
        while words:
            word = words.pop(0)
            is_field = word.startswith("--") and len(word) > 2
            if not is_field or word.partition("=")[0] in self._own_options:
                others.append(word)
                continue
            self._fields.append(word)
            if "=" not in word and words and words[0] not in self._own_options:
                self._fields.append(words.pop(0))
        namespace, rest = super().parse_known_args(others, namespace)
        namespace.fields = [*self._fields, *rest]
        namespace.own_options = sorted(self._own_options)
        return namespace, []

    def error(self, message: str) -> NoReturn:
        """Say what may have been meant, and what was read as a field."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        unknown = re.search(r"unrecognized arguments:.*?(--[\w-]+)", message)
        near = ""
        if choice:
            near = _near(choice[1], re.findall(r"[\w-]+", choice[2]))
        elif unknown:
            near = _near(unknown[1], sorted(self._own_options))
        if near:
            message += f" (did you mean {near}?)"
        if self._fields:
            message += f"; read as fields of the config: {' '.join(self._fields)}"
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Command(
        prog="shardsim",
        description="Train the same agent with one value network and with shards, "
        "and compare what the two predict.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command", title="commands"
    )

    def add(
        name: str, text: str, takes_fields: bool = False, epilog: str = EPILOG
    ) -> Any:
        """Add a command; with `takes_fields` every config field is a flag of it."""
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=epilog if takes_fields else None,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.takes_fields = takes_fields
        command.add_argument(
            "--plugin",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="Python file with heads, worlds, encoders, measures, tools or "
            "forecasters",
        )
        return command

    _add_training_commands(add)
    _add_work_command(add)
    _add_reading_commands(add)
    _add_env_commands(add)
    completion = add("completion", "print a script that completes commands in a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _add_training_commands(add: AddCommand) -> None:
    run = add("run", "train all arms of an experiment, judge its predictions", True)
    run.add_argument("file", type=Path, help="config, a YAML file")
    run.add_argument("--out", type=Path, help="run folder (default: runs/NAME)")
    run.add_argument("--overwrite", action="store_true", help="replace an old run")
    _add_executor_options(run)
    train = add("train", "train arms on any environment, without judging them", True)
    train.add_argument("file", type=Path, help="config, a YAML file")
    train.add_argument("--out", type=Path, help="run folder (default: runs/NAME)")
    train.add_argument("--overwrite", action="store_true", help="replace an old run")
    _add_executor_options(train)
    study = add("study", "train and judge an experiment along axes, as one study", True)
    study.add_argument("file", type=Path, help="study, a YAML file")
    study.add_argument(
        "--out",
        type=Path,
        help="folder (default: runs/NAME); one that is begun is continued or extended",
    )
    study.add_argument("--overwrite", action="store_true", help="replace an old study")
    _add_executor_options(study)
    collect = add("collect", "write a dataset of trajectories to train on", True)
    collect.add_argument("source", type=Path, help="config, or the folder of a run")
    collect.add_argument("--out", type=Path, required=True, help="file, ends in .npz")
    collect.add_argument("--overwrite", action="store_true", help="replace a file")
    collect.add_argument("--arm", help="arm that acts (default: the first trained one)")
    collect.add_argument(
        "--updates", type=int, default=16, help="rollouts of each seed (default: 16)"
    )
    config = add("config", "print a config with all its fields, or explain them", True)
    config.add_argument("file", type=Path, nargs="?", help="config, a YAML file")
    config.add_argument(
        "--explain",
        nargs="?",
        const="",
        metavar="FIELD",
        help="print meaning, range, default and choices of a field (default: the root)",
    )
    config.add_argument(
        "--schema",
        nargs="?",
        const="experiment",
        choices=("experiment", "training", "study", "zoo", "contest"),
        help="print the JSON Schema of a config, for editors (default: experiment)",
    )
    resume = add("resume", "continue a run that was stopped")
    resume.add_argument("run", type=Path, help="run folder")
    resume.add_argument(
        "--overwrite", action="store_true", help="replace results that were changed"
    )
    _add_executor_options(resume)
    extend = add("extend", "train more seeds of a finished run or study")
    extend.add_argument("run", type=Path, help="run folder")
    extend.add_argument(
        "--num-seeds", type=int, required=True, help="seeds that it has afterwards"
    )
    extend.add_argument(
        "--overwrite", action="store_true", help="replace results that were changed"
    )
    _add_executor_options(extend)
    zoo = add(
        "zoo",
        "make value functions whose shards are known, and judge metrics by them",
        True,
    )
    zoo.add_argument("file", type=Path, help="config, a YAML file with members")
    zoo.add_argument(
        "--out",
        type=Path,
        help="folder of the zoo, new or to be continued (default: runs/NAME)",
    )
    zoo.add_argument(
        "--overwrite", action="store_true", help="replace results that were changed"
    )
    contest = add(
        "contest",
        "train agents by many histories, and judge who forecasts what they do",
        True,
    )
    contest.add_argument("file", type=Path, help="config, a YAML file with pipelines")
    contest.add_argument(
        "--out",
        type=Path,
        help="folder of the contest, new or to be continued (default: runs/NAME)",
    )
    contest.add_argument(
        "--overwrite", action="store_true", help="replace results that were changed"
    )
    contest.add_argument(
        "--seeds",
        metavar="FIRST-LAST",
        help="train the agents of these seeds alone, and judge nothing: several "
        "machines can share the folder (default: all, and judge)",
    )


def _add_executor_options(command: argparse.ArgumentParser) -> None:
    """Options of where a run is trained; none of them changes its results."""
    command.add_argument(
        "--executor",
        choices=("local", "ray"),
        help="train parts of the run in processes on this machine, or on Ray",
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="parts at a time (default: 1 a core)"
    )
    command.add_argument(
        "--block-seeds",
        type=int,
        metavar="N",
        help="seeds of a part at most, which bounds the memory (default: as many as "
        "keep all workers busy)",
    )
    command.add_argument(
        "--begin",
        action="store_true",
        help="begin the parts and stop: `work` trains them anywhere, `resume` joins",
    )
    command.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="how often a part whose worker was lost starts again (default: 3)",
    )
    command.add_argument(
        "--address", help="Ray cluster to join (default: one on this machine alone)"
    )
    command.add_argument(
        "--worker-cpus",
        type=int,
        metavar="N",
        help="cores of a Ray worker (default: 1)",
    )
    command.add_argument(
        "--worker-gpus",
        type=float,
        metavar="N",
        help="GPUs of a Ray worker (default: 0)",
    )


def _add_work_command(add: AddCommand) -> None:
    work = add("work", "train parts of a run that another process has begun")
    work.add_argument("run", type=Path, help="run folder")
    work.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="SEEDS/GROUP (default: whatever is free, until all are finished)",
    )
    work.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)
    work.add_argument("--cores", help=argparse.SUPPRESS)


def _add_reading_commands(add: AddCommand) -> None:
    compare = add("compare", "print several runs side by side")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder")
    compare.add_argument(
        "--out", type=Path, help="write a page with their curves, a new HTML file"
    )
    compare.add_argument("--overwrite", action="store_true", help="replace a page")
    _add_format(compare)
    verdicts = add("verdicts", "print the verdicts of runs and contests as one table")
    verdicts.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="a run, a study, a contest, or a folder of them",
    )
    verdicts.add_argument(
        "--format",
        choices=("table", "markdown", "json", "csv"),
        default="table",
        help="(default: table, which leaves out what was expected)",
    )
    verdicts.add_argument(
        "--out",
        type=Path,
        help="write a file; of a Markdown page that has the lines <!-- verdicts --> "
        "and <!-- end of verdicts -->, only what is between them is replaced",
    )
    verdicts.add_argument("--overwrite", action="store_true", help="replace a file")
    verdicts.add_argument(
        "--configs",
        type=Path,
        help="folder of config files that commands name, such as experiments "
        "(default: commands name the config in the folder of the run)",
    )
    report = add("report", "write report.html of a run again")
    report.add_argument("run", type=Path, help="run folder")
    report.add_argument(
        "--overwrite", action="store_true", help="replace a report that was changed"
    )
    inspect = add("inspect", "write a page that looks inside value heads")
    inspect.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="1 or 2")
    inspect.add_argument(
        "--agent",
        metavar="MODULE:NAME",
        help="in place of runs, an agent of shardsim.wrap, or a function for one",
    )
    inspect.add_argument(
        "--out", type=Path, default=Path("page.html"), help="(default: page.html)"
    )
    inspect.add_argument(
        "--results", type=Path, help="its numbers (default: OUT with .results.json)"
    )
    inspect.add_argument(
        "--overwrite", action="store_true", help="replace an old page and its numbers"
    )
    inspect.add_argument("--arms", nargs="+", help="1 or 2 arms: A and B of the page")
    inspect.add_argument(
        "--history", help="of a contest, the history of the agents, such as A.B"
    )
    inspect.add_argument(
        "--condition", help="of a contest, the condition (default: the first one)"
    )
    inspect.add_argument("--mazes", type=int, default=4, help="levels (default: 4)")
    inspect.add_argument(
        "--checkpoints", type=int, help="most snapshots to show (default: all)"
    )
    inspect.add_argument(
        "--quick", action="store_true", help="skip the panels that take long"
    )
    watch = add("watch", "watch agents of a run play, with V, gates and bids")
    watch.add_argument("run", type=Path, nargs="?", help="run folder")
    watch.add_argument(
        "--agent",
        metavar="MODULE:NAME",
        help="in place of a run, an agent of shardsim.wrap, or a function for one",
    )
    watch.add_argument(
        "--arm",
        nargs="+",
        help="1 or 2 arms, side by side on the same level (default: those compared)",
    )
    watch.add_argument("--seed", type=int, default=0, help="of training (default: 0)")
    watch.add_argument(
        "--update", type=int, help="updates after which to watch them (default: all)"
    )
    watch.add_argument(
        "--ablate", type=int, nargs="+", metavar="SHARD", help="shards to switch off"
    )
    watch.add_argument(
        "--level", type=Path, help="a drawing to play on (default: drawn levels)"
    )
    watch.add_argument(
        "--level-seed", type=int, default=0, help="of drawn levels (default: 0)"
    )
    watch.add_argument(
        "--episodes", type=int, default=1, help="in a film or a log (default: 1)"
    )
    watch.add_argument(
        "--steps", type=int, default=300, help="of an episode at most (default: 300)"
    )
    watch.add_argument(
        "--greedy", action="store_true", help="always the most likely action"
    )
    watch.add_argument(
        "--out",
        type=Path,
        help="write a film, a .gif, .webp or .mp4 (default: play in the terminal)",
    )
    watch.add_argument(
        "--fps", type=float, default=4, help="steps per second (default: 4)"
    )
    watch.add_argument("--overwrite", action="store_true", help="replace a film")
    runs = add("list", "list the runs in a folder")
    runs.add_argument(
        "root",
        type=Path,
        nargs="?",
        default=Path("runs"),
        help="folder that holds run folders (default: runs)",
    )
    _add_format(runs)
    export = add("export", "write a run as one file, or its figures")
    export.add_argument("run", type=Path, help="run folder")
    export.add_argument(
        "--out", type=Path, required=True, help="a .zip file; of figures, a folder"
    )
    export.add_argument(
        "--figures",
        choices=("svg", "png", "pdf"),
        help="write the figures of the report in this format, in place of the run",
    )
    export.add_argument("--overwrite", action="store_true", help="replace old files")


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        default="table",
        help="a table for reading, or text for other programs (default: table)",
    )


def _add_env_commands(add: AddCommand) -> None:
    show = add("show", "draw levels of an environment into a picture", True, ENV_EPILOG)
    show.add_argument("name", help="environment, e.g. corner_maze or CornerMaze")
    show.add_argument(
        "--out", type=Path, default=Path("levels.png"), help="(default: levels.png)"
    )
    show.add_argument("--overwrite", action="store_true", help="replace a file")
    show.add_argument("--levels", type=int, default=8, help="(default: 8)")
    show.add_argument("--columns", type=int, default=4, help="(default: 4)")
    show.add_argument("--seed", type=int, default=0, help="(default: 0)")
    play = add(
        "play",
        "play an environment in the terminal; arrows or w d s a are the actions "
        "0 up, 1 right, 2 down, 3 left",
        True,
        ENV_EPILOG,
    )
    play.add_argument("name", help="environment, e.g. corner_maze or CornerMaze")
    play.add_argument("--seed", type=int, default=0, help="(default: 0)")


if __name__ == "__main__":
    sys.exit(main())
