"""Encoders. The union is the only list; each file says which machine its kind suits.

`mlp` on CPUs; `conv` and `impala` where space matters and on GPUs; `attention` where
what is far apart belongs together. An encoder takes one observation; the caller maps
over batches and seeds.
"""

from typing import TypeAlias

from shardsim.agents.encoders.attention import AttentionEncoder
from shardsim.agents.encoders.base import Encoder, to_budget
from shardsim.agents.encoders.conv import ConvEncoder
from shardsim.agents.encoders.identity import FlatEncoder
from shardsim.agents.encoders.impala import ImpalaEncoder
from shardsim.agents.encoders.mlp import MLPEncoder

EncoderConfig: TypeAlias = (
    MLPEncoder | ConvEncoder | ImpalaEncoder | AttentionEncoder | FlatEncoder
)

__all__ = [
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
    """Parameters of E for such observations, without making it.

    Raises:
      ValueError: an encoder that can't be built for them; names `kind` or `budget`.
    """
    return to_budget(config, observation_shape).parameters(observation_shape)
