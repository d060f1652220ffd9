"""`shardsim show`: draw levels of an environment into a picture."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import play
from shardsim.core import config as configs
from shardsim.core import files, memory
from shardsim_envs import World
from shardsim_envs.levels import levels
from shardsim_envs.rendering import drawing


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the picture and print its path."""
    env = play.read_env(options.name, flags)
    show(
        env,
        options.out,
        options.levels,
        options.seed,
        options.columns,
        options.overwrite,
    )
    print(options.out)
    return 0


def show(
    env: World, out: Path, count: int, seed: int, columns: int, overwrite: bool
) -> None:
    """Draw `count` levels side by side and write them into one picture.

    Args:
      out: the file; its ending names the format.
      count: number of levels, at least 1.
      seed: of the levels, 0 to 2^32 - 1.
      columns: levels in a row.
      overwrite: replace an existing file.

    Raises:
      ConfigError: a number out of range, or an ending that is no picture.
      PathError: the file exists, or cannot be written there.
    """
    files.check_new(out, overwrite)
    if count < 1:
        raise configs.ConfigError(f"levels: got {count}; allowed: at least 1")
    memory.check({"levels": count * math.prod(env.observation_shape)})
    try:
        level_set = levels.generate(env, seed, count)
        frames = [drawing.frame(env, level) for level in levels.each(level_set.levels)]
        drawing.save([drawing.sheet(frames, columns)], out, overwrite=overwrite)
    except ValueError as error:
        raise configs.ConfigError(str(error)) from None
