"""Encoders. `EncoderConfig` lists all kinds.

`mlp` suits CPUs. `conv` and `impala` suit GPUs, and tasks with spatial structure.
`attention` suits tasks that relate distant cells. An encoder takes one observation; the
caller maps it over batches and seeds.
"""

from typing import TypeAlias

from shardsim.agents.encoders.attention import AttentionEncoder
from shardsim.agents.encoders.base import Encoder, to_budget
from shardsim.agents.encoders.conv import ConvEncoder
from shardsim.agents.encoders.identity import FlatEncoder
from shardsim.agents.encoders.impala import ImpalaEncoder
from shardsim.agents.encoders.mlp import MLP, MLPEncoder
from shardsim.core import choices

EncoderConfig: TypeAlias = (
    MLPEncoder | ConvEncoder | ImpalaEncoder | AttentionEncoder | FlatEncoder
)
choices.declare("encoders", EncoderConfig)

__all__ = [
    "MLP",
    "AttentionEncoder",
    "ConvEncoder",
    "Encoder",
    "EncoderConfig",
    "FlatEncoder",
    "ImpalaEncoder",
    "MLPEncoder",
    "count_parameters",
    "to_budget",
]


def count_parameters(config: EncoderConfig, observation_shape: tuple[int, ...]) -> int:
    """Number of parameters of E, without allocating it.

    Args:
      observation_shape: shape of one observation.

    Raises:
      ValueError: the encoder cannot be built for this shape; the text names the field,
        `kind`, `features` or `budget`.
    """
    return to_budget(config, observation_shape).parameters(observation_shape)
