"""`shardsim play`: play an environment in the terminal."""

import argparse
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from shardsim.core import config as configs
from shardsim.core import config_files, field_errors, fields
from shardsim.storage import run_files
from shardsim_envs import World
from shardsim_envs.gridworld import grid
from shardsim_envs.levels import levels
from shardsim_envs.rendering import drawing

KEYS = {
    "\x1b[A": "up",
    "\x1b[C": "right",
    "\x1b[B": "down",
    "\x1b[D": "left",
    "w": "up",
    "d": "right",
    "s": "down",
    "a": "left",
}
HELP = "arrows or w a s d: move   n: next level   q: quit"
"""Actions are 0 up, 1 right, 2 down, 3 left, in the order of `grid.ACTIONS`."""
CLEAR = "\x1b[H\x1b[2J"
KEY_SECONDS = 0.05
"""How long to wait for the rest of an arrow key, which sends three characters."""


@fields.record
class EnvConfig:
    """A config that holds an environment alone."""

    env: World
    """The environment."""


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Play until q is pressed."""
    play(read_env(options.name, flags), options.seed)
    return 0


def read_env(name: str, flags: Sequence[str]) -> World:
    """An environment by its kind or class, changed by flags `--env.FIELD VALUE`.

    Raises:
      ConfigError: an unknown name, or a field out of range.
    """
    all_kinds = field_errors.records_by_kind(World)
    kinds = {kind.replace("_", ""): kind for kind in all_kinds}
    kind = kinds.get(name.lower().replace("_", ""))
    if kind is None:
        allowed = field_errors.one_of(kinds.values(), name)
        raise configs.ConfigError(f"name: got {name!r}; allowed: {allowed}")
    data = config_files.override({"env": {"kind": kind}}, flags, EnvConfig)
    return configs.build(EnvConfig, data).env


def play(env: World, seed: int) -> None:
    """Play level after level in the terminal until q is pressed.

    Args:
      seed: of the levels and of chance in them, 0 to 2^32 - 1.

    Raises:
      ConfigError: the seed is out of range.
      RunError: there is no terminal.
    """
    try:
        first_key = levels.key_of(seed)
    except ValueError as error:
        raise configs.ConfigError(str(error)) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise run_files.RunError(
            "play: got no terminal; allowed: a terminal to play in"
        )
    params = env.params()
    reset = jax.jit(lambda key: env.reset(key, params)[1])
    step = jax.jit(lambda key, state, action: env.step(key, state, action, params))
    with raw_terminal() as read_key:
        for number in range(sys.maxsize):
            key = jax.random.fold_in(first_key, number)
            if not _play_episode(env, reset(key), key, step, read_key):
                return


def _play_episode(
    env: World,
    state: Any,
    key: jax.Array,
    step: Callable[..., Any],
    read_key: Callable[[], str | None],
) -> bool:
    """Play one level; returns False when the player quits."""
    total, last_rewards, ending = 0.0, "", ""
    while True:
        board = drawing.text(env, state, colour=True)
        time = f"step {int(state.time)} of {env.max_steps}"
        status = f"{time}   reward {total:g}{last_rewards}"
        lines = [board, "", status, ending or HELP]
        sys.stdout.write(CLEAR + "\r\n".join("\n".join(lines).split("\n")) + "\r\n")
        sys.stdout.flush()
        pressed = read_key()
        if pressed in ("q", "\x03", ""):
            return False
        if pressed == "n" or (ending and pressed in (*KEYS, "\r", " ")):
            return True
        if ending or pressed is None or pressed not in KEYS:
            continue
        action = jnp.int32(grid.ACTIONS.index(KEYS[pressed]))
        out = step(jax.random.fold_in(key, state.time), state, action)
        state, total = out.state, total + float(out.reward)
        rewards = zip(env.reward_sources, out.info["rewards"].tolist(), strict=True)
        proxies = zip(env.proxy_names, out.info["proxy_rewards"].tolist(), strict=True)
        parts = [f"{name} {value:+g}" for name, value in rewards if value]
        parts += [f"({name} {value:+g})" for name, value in proxies if value]
        last_rewards = "   " + ", ".join(parts) if parts else ""
        if bool(out.terminated) or bool(out.truncated):
            how = "terminated" if bool(out.terminated) else "truncated"
            ending = f"{how}: any move or n: next level   q: quit"


@contextmanager
def raw_terminal(seconds: float | None = None) -> Iterator[Callable[[], str | None]]:
    """A function that reads one key; the terminal is restored afterwards.

    Args:
      seconds: how long it waits for a key, before it returns None; None: for good.
    """
    import termios  # only Unix has it, and only `play` needs it
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def read_key() -> str | None:
        if seconds is not None and not select.select([file], [], [], seconds)[0]:
            return None
        characters = os.read(file, 1).decode(errors="ignore")
        while characters.startswith("\x1b") and len(characters) < 3:
            if not select.select([file], [], [], KEY_SECONDS)[0]:
                break
            characters += os.read(file, 1).decode(errors="ignore")
        return characters

    try:
        tty.setraw(file)
        yield read_key
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
