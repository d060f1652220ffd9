"""Worlds under one's own hands and eyes: `shardsim play` and `shardsim show`."""

import os
import select
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from shardsim.core import config as configs
from shardsim.core import config_files, field_errors, fields
from shardsim.storage import run_folder
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
CLEAR = "\x1b[H\x1b[2J"
KEY_SECONDS = 0.05
"""An arrow key sends three characters; they come together."""


@fields.record
class Shown:
    """An environment to look at."""

    env: World
    """The environment."""


def world_of(name: str, flags: list[str]) -> World:
    """A world by its kind or its class, with flags `--env.FIELD VALUE`."""
    every = [field_errors.kind_of(world) for world in typing.get_args(World)]
    kinds = {kind.replace("_", ""): kind for kind in every}
    kind = kinds.get(name.lower().replace("_", ""))
    if kind is None:
        allowed = field_errors.one_of(kinds.values(), name)
        raise configs.ConfigError(f"name: got {name!r}; allowed: {allowed}")
    data = config_files.override({"env": {"kind": kind}}, flags)
    return configs.build(Shown, data).env


def show(world: World, out: Path, count: int, seed: int, columns: int) -> None:
    """Write a sheet of levels."""
    if count < 1:
        raise configs.ConfigError(f"levels: got {count}; allowed: at least 1")
    try:
        found = levels.generate(world, seed, count)
        frames = [drawing.frame(world, level) for level in levels.each(found.levels)]
        drawing.save([drawing.sheet(frames, columns)], out)
    except ValueError as error:
        raise configs.ConfigError(str(error)) from None


def play(world: World, seed: int) -> None:
    """Play in a terminal till q is pressed.

    Raises:
      ConfigError: a seed that is none.
      RunError: without a terminal.
    """
    try:
        first = levels.key_of(seed)
    except ValueError as error:
        raise configs.ConfigError(str(error)) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise run_folder.RunError(
            "play: got no terminal; allowed: a terminal to play in"
        )
    params = world.params()
    begin = jax.jit(lambda key: world.reset(key, params)[1])
    step = jax.jit(lambda key, state, action: world.step(key, state, action, params))
    with _raw() as key_pressed:
        for number in range(sys.maxsize):
            key = jax.random.fold_in(first, number)
            if not _episode(world, begin(key), key, step, key_pressed):
                return


def _episode(
    world: World,
    state: Any,
    key: jax.Array,
    step: Callable[..., Any],
    key_pressed: Callable[[], str],
) -> bool:
    """One level; False when the player has had enough."""
    total, last, ended = 0.0, "", ""
    while True:
        text = drawing.text(world, state, colour=True)
        time = f"step {int(state.time)} of {world.max_steps}"
        lines = [text, "", f"{time}   reward {total:g}{last}", ended or HELP]
        sys.stdout.write(CLEAR + "\r\n".join("\n".join(lines).split("\n")) + "\r\n")
        sys.stdout.flush()
        pressed = key_pressed()
        if pressed in ("q", "\x03", ""):
            return False
        if pressed == "n" or (ended and pressed in (*KEYS, "\r", " ")):
            return True
        if ended or pressed not in KEYS:
            continue
        action = jnp.int32(grid.ACTIONS.index(KEYS[pressed]))
        out = step(jax.random.fold_in(key, state.time), state, action)
        state, total = out.state, total + float(out.reward)
        paid = zip(world.reward_sources, out.info["rewards"].tolist(), strict=True)
        near = zip(world.proxy_names, out.info["proxy_rewards"].tolist(), strict=True)
        notes = [f"{name} {value:+g}" for name, value in paid if value]
        notes += [f"({name} {value:+g})" for name, value in near if value]
        last = "   " + ", ".join(notes) if notes else ""
        if bool(out.terminated) or bool(out.truncated):
            how = "terminated" if bool(out.terminated) else "truncated"
            ended = f"{how}: any move or n: next level   q: quit"


@contextmanager
def _raw() -> Iterator[Callable[[], str]]:
    """Keys as they are pressed; the terminal is as it was afterwards."""
    import termios  # not on every system; only playing needs it
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def key_pressed() -> str:
        found = os.read(file, 1).decode(errors="ignore")
        while found.startswith("\x1b") and len(found) < 3:
            if not select.select([file], [], [], KEY_SECONDS)[0]:
                break
            found += os.read(file, 1).decode(errors="ignore")
        return found

    try:
        tty.setraw(file)
        yield key_pressed
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
