"""The reference of the command line: what `--help` prints, for every command."""

import contextlib
import io
import os
import re

from shardsim import cli


def page() -> str:
    """The whole page: a section for each command."""
    overview = _help()
    commands = re.findall(r"^    (\w+) +\S", overview, re.M)
    lines = ["# Command line", "", "```text", overview.strip(), "```"]
    for command in commands:
        lines += ["", f"## shardsim {command}", "", "```text"]
        lines += [_help(command).strip(), "```"]
    return "\n".join(lines) + "\n"


def _help(*words: str) -> str:
    printed = io.StringIO()
    os.environ["COLUMNS"] = "88"
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return printed.getvalue()
