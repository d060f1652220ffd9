"""`shardsim watch`: watch agents of a run play, in the terminal or as a film."""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from shardsim.commands import inspect, play
from shardsim.core import backends, files
from shardsim.core.config import ConfigError
from shardsim.core.types import Level
from shardsim.evaluation import episodes, load, networks, run_agents
from shardsim.evaluation.experiment import Experiment
from shardsim.reports import episodes as pictures
from shardsim.storage import run_folder
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels

HELP = "space: stop or go on   left, right: a step   n: next level   q: quit"
MOST_EPISODES = 100
"""Episodes of a film; each takes some 50 pictures."""


class Cast(NamedTuple):
    """Who plays, and where."""

    world: GridWorld
    players: list[episodes.Player]


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Play in the terminal until q is pressed, or write the film."""
    del flags
    if not 1 <= options.episodes <= MOST_EPISODES:
        raise ConfigError(
            f"episodes: got {options.episodes}; allowed: 1 to {MOST_EPISODES}"
        )
    if options.steps < 1:
        raise ConfigError(f"steps: got {options.steps}; allowed: at least 1")
    if options.out is not None:
        _checked(pictures.check_film, options.out, options.fps, options.overwrite)
    elif not pictures.FPS[0] <= options.fps <= pictures.FPS[1]:
        allowed = f"{pictures.FPS[0]} to {pictures.FPS[1]:g}"
        raise ConfigError(f"fps: got {options.fps}; allowed: {allowed}")
    backends.use_precision()
    cast = _cast(options)
    level_of = _levels(cast.world, options.level, options.level_seed)

    def film(number: int) -> list[episodes.Episode]:
        level, key = level_of(number)
        params = cast.world.params()
        return [
            episodes.play(
                cast.world, each, level, params, key, options.greedy, options.steps
            )
            for each in cast.players
        ]

    if options.out is not None:
        films = [film(number) for number in range(options.episodes)]
        pictures.save(cast.world, films, options.out, options.fps, options.overwrite)
        print(options.out)
    elif sys.stdin.isatty() and sys.stdout.isatty():
        _in_terminal(cast.world, film, options.fps)
    else:
        for number in range(options.episodes):
            _as_log(cast.world, film(number))
    return 0


def _checked(function: Callable[..., None], *arguments: Any) -> None:
    """Turn the errors of a library function into those of a command."""
    try:
        function(*arguments)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _cast(options: argparse.Namespace) -> Cast:
    """The agents that are asked for.

    Raises:
      ConfigError: an arm, a seed or a shard that there is not, or a world without
        boards.
    """
    off = tuple(sorted(set(options.ablate or ())))
    if (options.run is None) == (options.agent is None):
        got = "none" if options.run is None else "a run and an agent"
        raise ConfigError(f"run: got {got}; allowed: a run folder, or --agent")
    if options.agent is not None:
        if options.arm or options.seed or options.update is not None:
            raise ConfigError(
                "agent: got a value; allowed without arm, seed and update"
            )
        agent = inspect.named_agent(options.agent)
        world = _checked_world(agent.env)
        one = networks.OneOf(agent.network, 0, off)
        _check_shards(off, agent.num_shards, agent.arm)
        return Cast(world, [episodes.Player(agent.arm, one, agent.acting)])
    folder = run_folder.open_run(options.run)
    config = load.load(folder)
    world = _checked_world(config.env)
    names = options.arm or _compared(config)
    if len(names) > 2:
        raise ConfigError(f"arm: got {len(names)}; allowed: 1 or 2")
    seeds = config.train.population
    if not 0 <= options.seed < seeds:
        raise ConfigError(f"seed: got {options.seed}; allowed: 0 to {seeds - 1}")
    acting = run_agents.acting(config)
    players = []
    for name in names:
        read = run_agents.read(folder, config, name, options.update)
        network = networks.OneOf(networks.Trained(read.population), options.seed, off)
        count = networks.num_shards(read.population, config.env)
        without = _check_shards(off, count, name)
        title = f"{name}, seed {options.seed}, update {read.update}{without}"
        players.append(episodes.Player(title, network, acting))
    return Cast(world, players)


def _check_shards(off: tuple[int, ...], count: int, name: str) -> str:
    """Refuse shards that an agent does not have; else how its title names them."""
    for shard in off:
        if not 0 <= shard < count:
            raise ConfigError(
                f"ablate: got {shard}; allowed in {name!r}: 0 to {count - 1}"
            )
    return f", without shard {', '.join(map(str, off))}" if off else ""


def _checked_world(env: Any) -> GridWorld:
    if not isinstance(env, GridWorld):
        kind = getattr(env, "kind", type(env).__name__)
        raise ConfigError(
            f"watch: got env {kind!r}, which has no boards; allowed: a run in a world "
            "of shardsim"
        )
    return env


def _compared(config: Any) -> list[str]:
    """The arms that a run compares; the first ones of a training."""
    if isinstance(config, Experiment):
        contrast = config.omnibus.contrast
        return [contrast.baseline, contrast.arm]
    return [name for name, arm in config.arms.items() if arm.trained][:2]


def _levels(
    world: GridWorld, file: Path | None, seed: int
) -> Callable[[int], tuple[Level, jax.Array]]:
    """The level of each episode, and the key of what happens in it.

    Raises:
      ConfigError: no playable drawing, or a seed out of range.
    """
    drawn = None
    try:
        first = levels.key_of(seed)
    except ValueError as error:
        raise ConfigError(f"level-{error}") from None
    if file is not None:
        try:
            drawn = levels.from_text(world, files.read_text(file))
        except OSError as error:
            got = f"{file} ({error.strerror}){files.suggestion(file)}"
            raise ConfigError(f"level: got {got}; allowed: a drawing") from None
        except ValueError as error:
            raise ConfigError(f"level: {file}: {error}") from None

    def level_of(number: int) -> tuple[Level, jax.Array]:
        key, chance = jax.random.split(jax.random.fold_in(first, number))
        if drawn is not None:
            return drawn, chance
        return world.generate(key, world.params()), chance

    return level_of


def _as_log(world: GridWorld, film: list[episodes.Episode]) -> None:
    """Print every step, one below the other."""
    for step in range(pictures.length(film)):
        print(pictures.text(world, film, step, columns=200), end="\n\n")


def _in_terminal(
    world: GridWorld, film: Callable[[int], list[episodes.Episode]], fps: float
) -> None:
    """Play level after level until q is pressed."""
    number = 0
    print("preparing the first episode ...")
    with play.raw_terminal(1 / fps) as read_key:
        while _episode_in_terminal(world, film(number), read_key):
            number += 1


def _episode_in_terminal(
    world: GridWorld, film: list[episodes.Episode], read_key: Callable[[], str | None]
) -> bool:
    """Play one episode; returns False when the viewer quits."""
    step, last, is_running = 0, pictures.length(film) - 1, True
    while True:
        columns = shutil.get_terminal_size().columns
        shown = pictures.text(world, film, step, columns, colour=True)
        lines = [shown, "", HELP]
        screen = "\r\n".join("\n".join(lines).split("\n"))
        sys.stdout.write(play.CLEAR + screen + "\r\n")
        sys.stdout.flush()
        pressed = read_key()
        move = play.KEYS.get(pressed or "")
        if pressed in ("q", "\x03", ""):
            return False
        if pressed == "n":
            return True
        if pressed == " ":
            is_running = not is_running
        elif move in ("left", "right"):
            is_running = False
            step = min(max(step + (1 if move == "right" else -1), 0), last)
        elif is_running:
            step = min(step + 1, last)
