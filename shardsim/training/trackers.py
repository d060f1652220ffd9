"""The trackers that a config can name. `shardsim.commands.trackers` runs them."""

from typing import Final, Literal, TypeAlias

Tracker: TypeAlias = Literal["tensorboard", "wandb"]

FIELDS: Final = ("log",)
"""Fields of an experiment or a training on which no result depends."""
