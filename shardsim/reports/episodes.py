"""Episodes as text for a terminal and as pictures: boards, V, gates and bids.

Episodes of several agents on one level stand side by side, step by step. One that has
ended stays at its end. Symbols: T steps, A actions, K shards.
"""

import contextlib
import functools
import importlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from shardsim.core import files
from shardsim.evaluation.episodes import Episode
from shardsim.reports.charts import theme
from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.rendering import drawing, sprites

ENDINGS = (".gif", ".webp", ".mp4")
"""Formats of a film."""
FPS = (0.1, 50.0)
"""Fewest and most frames per second."""
ARROWS = {"up": "\u2191", "right": "\u2192", "down": "\u2193", "left": "\u2190"}
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
GAP = 4
"""Columns between two episodes in text."""
LONGEST_REST = 12
"""Frames for which the end of a film is shown, at most."""
MP4 = "imageio with imageio-ffmpeg (pip install imageio imageio-ffmpeg)"


class Row(NamedTuple):
    """A line of the table beside a board."""

    name: str
    gate: float | None
    value: float | None
    """Of a shard its contribution g v; of the agent V."""
    actions: np.ndarray
    """[A], bids, or probabilities in the last line."""


class Frame(NamedTuple):
    """What is shown of one episode at one step."""

    title: str
    state: Any
    """State of the world."""
    lines: list[str]
    """The step, rewards, V and V*."""
    actions: list[str]
    """Names of the actions, [A]."""
    rows: list[Row]
    """Shards and the reward of the step, whose bids add up to those of V; V; the
    policy. None after the end of an episode."""
    taken: int | None
    """The action that comes next; None at the end."""


def length(episodes: Sequence[Episode]) -> int:
    """Number of frames: the steps of the longest episode, and its start."""
    return max(episode.steps for episode in episodes) + 1


def frame(world: GridWorld, episode: Episode, step: int) -> Frame:
    """What is shown of an episode after `step` steps; later, its end."""
    t = min(step, episode.steps)
    thoughts = episode.thoughts
    is_end = t == episode.steps
    reward = _reward(world, episode, t)
    ending = f"   {episode.ending}" if is_end else ""
    value = f"V {thoughts.value[t]:.3f}"
    is_over = is_end and episode.ending == "terminated"
    if is_over:
        value = "V 0 (the episode is over)"
    if episode.exact is not None:
        value += f"   V* {episode.exact[t]:.3f}"
    names = list(grid.ACTIONS)
    return Frame(
        title=episode.name,
        state=jax.tree.map(lambda leaf: leaf[t], episode.states),
        lines=[
            f"step {t} of {world.max_steps}{ending}",
            f"return {episode.total(t):.3f}{reward}",
            value,
        ],
        actions=names,
        rows=[] if is_over else _rows(episode, t),
        taken=None if is_end else int(episode.actions[t]),
    )


def _reward(world: GridWorld, episode: Episode, t: int) -> str:
    """The rewards of the step that led here, by source."""
    if t == 0:
        return ""
    sources = zip(world.reward_sources, episode.rewards[t - 1], strict=True)
    parts = [f"{name} {number:+g}" for name, number in sources if number]
    return "   " + ", ".join(parts) if parts else ""


def _rows(episode: Episode, t: int) -> list[Row]:
    thoughts = episode.thoughts
    gates, shard_values = thoughts.gates[t], thoughts.shard_values[t]
    shards = [
        Row(f"shard {k}", float(g), float(g * v), thoughts.shard_bids[t, k])
        for k, (g, v) in enumerate(zip(gates, shard_values, strict=True))
    ]
    paid = Row("reward", None, None, thoughts.bids[t] - thoughts.shard_bids[t].sum(0))
    whole = Row("V", None, float(thoughts.value[t]), thoughts.bids[t])
    policy = Row("policy", None, None, thoughts.policy[t])
    return [*([*shards, paid] if len(shards) > 1 else []), whole, policy]


def text(
    world: GridWorld,
    episodes: Sequence[Episode],
    step: int,
    columns: int = 120,
    colour: bool = False,
) -> str:
    """One step of some episodes as text, side by side where there is room.

    Args:
      columns: width of the terminal.
      colour: add ANSI colours.
    """
    blocks = [_block(world, frame(world, e, step), colour) for e in episodes]
    widths = [max(_width(line) for line in block) for block in blocks]
    if sum(widths) + GAP * (len(blocks) - 1) > columns:
        return "\n\n".join("\n".join(block) for block in blocks)
    height = max(map(len, blocks))
    rows = []
    for number in range(height):
        line = ""
        for block, width in zip(blocks, widths, strict=True):
            part = block[number] if number < len(block) else ""
            line += part + " " * (width - _width(part) + GAP)
        rows.append(line.rstrip())
    return "\n".join(rows)


def _width(line: str) -> int:
    return len(ESCAPES.sub("", line))


def _block(world: GridWorld, shown: Frame, colour: bool) -> list[str]:
    board = drawing.text(world, shown.state, colour).split("\n")
    head = [shown.title, "", *board, "", *shown.lines, ""]
    if not shown.rows:
        return head
    names = [ARROWS.get(name, name) for name in shown.actions]
    marked = [
        f"[{name}]" if a == shown.taken else f" {name} " for a, name in enumerate(names)
    ]
    table = [f"{'':9}{'gate':>7}{'g v':>8}" + "".join(f"{m:>9}" for m in marked)]
    for row in shown.rows:
        gate = "" if row.gate is None else f"{row.gate:.3f}"
        value = "" if row.value is None else f"{row.value:+.3f}"
        sign = "" if row.name == "policy" else "+"
        numbers = "".join(f"{x:{sign}9.3f}" for x in row.actions)
        table.append(f"{row.name:9}{gate:>7}{value:>8}{numbers}")
    return [*head, *table]


def check_film(path: Path, fps: float, overwrite: bool) -> None:
    """Refuse what no film can be written to, before anything is computed.

    Raises:
      ValueError: another ending, a rate out of range, no ffmpeg for an .mp4, or the
        file exists.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"out: got {str(path)!r}; allowed: a name that ends in {', '.join(ENDINGS)}"
        )
    if not FPS[0] <= fps <= FPS[1]:
        raise ValueError(f"fps: got {fps}; allowed: {FPS[0]} to {FPS[1]:g}")
    if path.suffix.lower() == ".mp4" and _imageio() is None:
        raise ValueError(
            f"out: got {str(path)!r}, for which ffmpeg is missing; allowed: .gif or "
            f".webp, or .mp4 after installing {MP4}"
        )
    files.check_new(path, overwrite)


def save(
    world: GridWorld,
    films: Sequence[Sequence[Episode]],
    path: Path,
    fps: float = 4,
    overwrite: bool = False,
) -> None:
    """Write films one after another as .gif, .webp or .mp4.

    Args:
      films: each with episodes of one level that stand side by side.
      path: the file.
      fps: steps per second.
      overwrite: replace an existing file.

    Raises:
      ValueError: see `check_film`.
    """
    check_film(path, fps, overwrite)
    rest = max(1, min(LONGEST_REST, round(fps * 1.5)))  # the end stays in view
    frames = [
        shown
        for film in films
        for step in range(length(film) + rest - 1)
        for shown in [picture(world, film, step)]
    ]
    height = max(shown.shape[0] for shown in frames)
    same = [_padded(shown, height) for shown in frames]
    if path.suffix.lower() == ".mp4":
        _save_mp4(same, path, fps)
    else:
        drawing.save(same, path, fps=fps, overwrite=overwrite)


def _imageio() -> Any:
    """imageio where it can write films, else None."""
    try:
        with _own_process():
            importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
        return importlib.import_module("imageio.v2")
    except (ImportError, RuntimeError):
        return None


@contextlib.contextmanager
def _own_process() -> Iterator[None]:
    """Hide JAX's warning of a fork: ffmpeg is a process that runs no code of ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        yield


def _save_mp4(frames: list[np.ndarray], path: Path, fps: float) -> None:
    with files.replacing(path) as file:
        options = {"format": "mp4", "codec": "libx264", "macro_block_size": 2}
        with _own_process():
            content = _imageio().mimwrite("<bytes>", frames, fps=fps, **options)
        file.write(content)


def _padded(shown: np.ndarray, height: int) -> np.ndarray:
    more = height - len(shown)
    return np.pad(shown, ((0, more), (0, 0), (0, 0)), constant_values=255)


BOARD = 300
"""Pixels of a board, about."""
LINE = 20
"""Pixels of a line of text."""
NAME, GATE, VALUE, BID = 58, 74, 66, 62
"""Pixels of the columns of the table."""
MARGIN = 12


@functools.cache
def _font(size: int) -> Any:
    from PIL import ImageFont  # Pillow takes half a second

    return ImageFont.load_default(size)


def picture(
    world: GridWorld, episodes: Sequence[Episode], step: int
) -> UInt8[np.ndarray, "h w 3"]:
    """One step of some episodes as a picture, side by side."""
    sides = [_side(world, frame(world, e, step), _limit(e)) for e in episodes]
    height = max(len(side) for side in sides)
    return np.concatenate([_padded(side, height) for side in sides], axis=1)


def _limit(episode: Episode) -> tuple[float, float]:
    """Largest V and largest bid of an episode, which set the colours of all frames."""
    thoughts = episode.thoughts
    parts = thoughts.gates * thoughts.shard_values
    values = max(np.abs(parts).max(), np.abs(thoughts.value).max(), 1e-6)
    bids = max(np.abs(thoughts.shard_bids).max(), np.abs(thoughts.bids).max(), 1e-6)
    return float(values), float(bids)


def _side(world: GridWorld, shown: Frame, limit: tuple[float, float]) -> np.ndarray:
    from PIL import Image, ImageDraw

    scale = max(1, BOARD // (sprites.PIXELS * max(world.shape)))
    board = drawing.frame(world, shown.state, scale)
    width = NAME + GATE + VALUE + BID * len(shown.actions) + 2 * MARGIN
    width += width % 2
    num_rows = len(shown.rows) + 1 if shown.rows else 0
    top = MARGIN + LINE + 4
    table = top + len(board) + 8 + LINE * len(shown.lines) + 6
    height = table + LINE * num_rows + MARGIN
    page = Image.new("RGB", (max(width, board.shape[1] + 2 * MARGIN), height), "white")
    pen = ImageDraw.Draw(page)
    ink, soft = theme.PALETTES["light"]["ink"], theme.PALETTES["light"]["soft"]
    pen.text((MARGIN, MARGIN - 2), shown.title, ink, _font(16))
    page.paste(Image.fromarray(board), (MARGIN, top))
    for number, line in enumerate(shown.lines):
        at = (MARGIN, top + len(board) + 8 + LINE * number)
        pen.text(at, line, ink, _font(14))
    if shown.rows:
        heads = ["gate", "g v", *shown.actions]
        left = MARGIN + NAME
        for number, head in enumerate(heads):
            colour = ink if number - 2 == shown.taken else soft
            pen.text((left + 2, table), head, colour, _font(13))
            left += (GATE, VALUE, *[BID] * len(shown.actions))[number]
    for number, row in enumerate(shown.rows, 1):
        _draw_row(pen, row, table + LINE * number, limit, shown.taken)
    return np.asarray(page)


def _draw_row(
    pen: Any, row: Row, top: int, limit: tuple[float, float], taken: int | None
) -> None:
    ink, line = theme.PALETTES["light"]["ink"], theme.PALETTES["light"]["line"]
    pen.text((MARGIN, top + 2), row.name, ink, _font(13))
    left = MARGIN + NAME
    if row.gate is not None:
        box = (left, top + 4, left + GATE - 8, top + LINE - 4)
        pen.rectangle(box, outline=line)
        share = min(max(row.gate, 0), 1)
        filled = (box[0], box[1], box[0] + share * (box[2] - box[0]), box[3])
        pen.rectangle(filled, fill=theme.PALETTES["light"]["accent"])
    left += GATE
    if row.value is not None:
        _cell(pen, (left, top), VALUE, f"{row.value:+.3f}", row.value / limit[0])
    left += VALUE
    for action, number in enumerate(row.actions.tolist()):
        is_policy = row.name == "policy"
        written = f"{number:.2f}" if is_policy else f"{number:+.3f}"
        _cell(pen, (left, top), BID, written, number / (1 if is_policy else limit[1]))
        if action == taken and is_policy:
            box = (left, top, left + BID - 4, top + LINE - 3)
            pen.rectangle(box, outline=ink, width=2)
        left += BID


def _cell(pen: Any, at: tuple[int, int], width: int, written: str, part: float) -> None:
    """A number on its colour; `part` is its size, from -1 to 1."""
    stops = theme.DIVERGING["light"]
    # the darkest colours are left out, on which black text cannot be read
    place = (np.clip(part, -1, 1) * 0.6 + 1) / 2 * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    pair = [tuple(int(s[i : i + 2], 16) for i in (1, 3, 5)) for s in stops[low:][:2]]
    share = place - low
    rgb = tuple(round(a + share * (b - a)) for a, b in zip(*pair, strict=True))
    left, top = at
    pen.rectangle((left, top, left + width - 4, top + LINE - 3), fill=rgb)
    pen.text((left + 4, top + 1), written, theme.PALETTES["light"]["ink"], _font(13))
