"""Episodes in Python: played by agents, and shown as a film in a notebook."""

import base64
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from shardsim.api import levels as level_sets
from shardsim.api import session
from shardsim.core import config as configs
from shardsim.evaluation import episodes
from shardsim.reports import episodes as pictures
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels as level_files


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Film:
    """Episodes of agents on levels. In a notebook it plays itself.

    Examples:
      >>> film = shardsim.load(folder).seed(1).watch("mlp", "sharded")
      >>> film
      <film of mlp, seed 1 and sharded, seed 1: 1 level>
      >>> film.episodes[0][1].thoughts.gates.shape[1]  # level 0, the second agent
      2
    """

    world: GridWorld
    episodes: tuple[tuple[episodes.Episode, ...], ...]
    """Of each level one for each agent: states, actions, rewards, and the V, gates,
    policy and bids of every step (`thoughts`)."""

    def __repr__(self) -> str:
        names = " and ".join(each.name for each in self.episodes[0])
        noun = "level" if len(self.episodes) == 1 else "levels"
        return f"<film of {names}: {len(self.episodes)} {noun}>"

    def __str__(self) -> str:
        """Every step as text."""
        return "\n\n".join(
            pictures.text(self.world, each, step, columns=200)
            for each in self.episodes
            for step in range(pictures.length(each))
        )

    def save(self, path: str | Path, fps: float = 4, overwrite: bool = False) -> Path:
        """Write the film.

        Args:
          path: a new .gif, .webp or .mp4; the last one needs imageio with ffmpeg.
          fps: steps per second, 0.1 to 50.
          overwrite: replace an existing file.

        Raises:
          ConfigError: another ending or rate, no ffmpeg, or the file exists.

        Examples:
          >>> film = shardsim.load(folder).watch("sharded")
          >>> film.save("film.png")
          Traceback (most recent call last):
          shardsim.core.field_errors.ConfigError: out: got 'film.png'; allowed: ...
        """
        place = Path(path)
        try:
            with session.keywords_for_options():
                pictures.save(self.world, self.episodes, place, fps, overwrite)
        except ValueError as error:
            raise configs.ConfigError(str(error)) from None
        return place

    def _repr_html_(self) -> str:
        """The film as a picture that moves."""
        temporary = session.TemporaryFolder()
        content = self.save(temporary.path / "film.webp").read_bytes()
        data = base64.b64encode(content).decode()
        return f'<img src="data:image/webp;base64,{data}" alt="{self!r}">'


@session.computes
def play(
    players: Sequence[episodes.Player],
    env: Any,
    given: level_sets.Levels | str | None,
    seed: int,
    greedy: bool,
    most_steps: int,
) -> Film:
    """Play one episode of every player on every level.

    Args:
      given: levels, or a board as text; None: one that the world draws.
      seed: of the actions and of chance.
      greedy: always the most likely action.
      most_steps: steps after which an episode is cut off.
    """
    if most_steps < 1:
        raise configs.ConfigError(f"steps: got {most_steps}; allowed: at least 1")
    if not isinstance(env, GridWorld):
        kind = getattr(env, "kind", type(env).__name__)
        raise configs.ConfigError(
            f"watch: got env {kind!r}, which has no boards; allowed: agents in a world "
            "of shardsim"
        )
    if given is None:
        boards = level_sets.levels(env, count=1, seed=seed)
    else:
        boards = level_sets.of_world(env, given)
    try:
        first = level_files.key_of(seed)
    except ValueError as error:
        raise configs.ConfigError(str(error)) from None
    params = env.params()
    films = []
    for number in range(len(boards)):
        level = jax.tree.map(lambda leaf, n=number: leaf[n], boards.data)
        key = jax.random.fold_in(first, number)
        films.append(
            tuple(
                episodes.play(env, each, level, params, key, greedy, most_steps)
                for each in players
            )
        )
    return Film(env, tuple(films))
