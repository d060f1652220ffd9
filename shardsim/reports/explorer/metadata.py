"""The runs, the environment and the mazes, as the page describes them."""

from typing import Any

import jax
import numpy as np

from shardsim.core import config as configs
from shardsim.evaluation import battery
from shardsim.reports import differences
from shardsim.reports.explorer import images, schema
from shardsim.reports.explorer.load import PageInputs, Side
from shardsim.reports.explorer.panels import curves
from shardsim.storage import records
from shardsim.storage.provenance import Provenance


def about(inputs: PageInputs) -> schema.About:
    """The runs of both sides, and in what they differ."""
    runs = []
    for folder in dict.fromkeys(side.folder for side in inputs.sides):
        side = next(side for side in inputs.sides if side.folder == folder)
        config = side.config
        if side.networks is None:
            runs.append(schema.RunInfo(config.name, config.name, "", None, {}, 1, 0))
            continue
        provenance = records.read(folder / "provenance.json", Provenance)
        runs.append(
            schema.RunInfo(
                run=folder.name,
                name=config.name,
                digest=configs.digest(config),
                revision=provenance.revision,
                versions=provenance.versions,
                num_seeds=config.train.num_seeds,
                updates=config.train.total_updates,
            )
        )
    question = getattr(inputs.sides[0].config, "question", "")
    return schema.About(question, runs, _differences(inputs.sides))


def _differences(sides: tuple[Side, ...]) -> list[schema.Difference]:
    """Fields in which the arms of both sides differ, then those of their runs."""
    if len(sides) < 2:
        return []
    a, b = sides
    arms = configs.diff(a.config.arms[a.arm.name], b.config.arms[b.arm.name], "arm")
    runs = {} if a.folder == b.folder else configs.diff(a.config, b.config)
    return [
        schema.Difference(field, differences.text(x), differences.text(y))
        for field, (x, y) in {**arms, **runs}.items()
    ]


def env(inputs: PageInputs) -> schema.Env:
    """The environment and the acting rule of both sides."""
    world, acting = inputs.env, inputs.acting
    return schema.Env(
        kind=world.kind,
        num_actions=world.num_actions,
        discount=acting.discount,
        temperature=acting.temperature if np.isfinite(acting.temperature) else None,
        use_decoder=acting.use_decoder,
        acting=acting.describe(),
        tie=curves.TIE,
        reward_sources=list(world.reward_sources),
    )


def mazes(
    inputs: PageInputs, levels: Any, condition: battery.Condition
) -> list[schema.MazeInfo]:
    """Every level that the page draws."""
    infos = []
    for m, maze in enumerate(inputs.mazes):
        level = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], levels)
        infos.append(
            schema.MazeInfo(
                condition=maze.condition,
                level=maze.level,
                context=np.flatnonzero(condition.context[m, 0]).tolist(),
                objects=[
                    schema.Object(name, int(row), int(column))
                    for name, (row, column) in inputs.env.glyphs(level).items()
                ],
                image=images.level(inputs.env, level),
            )
        )
    return infos


def sprites(inputs: PageInputs, levels: Any) -> dict[str, str]:
    """Images of the objects in the mazes and of the sources of reward, by name."""
    names = set(inputs.env.reward_sources)
    for m in range(len(inputs.mazes)):
        level = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], levels)
        names |= set(inputs.env.glyphs(level))
    return {name: images.sprite(name) for name in sorted(names)}
