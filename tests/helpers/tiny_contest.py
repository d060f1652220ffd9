"""A contest that trains in a second, once it is compiled."""

from shardsim.contest.config import Contest
from shardsim.core import config as configs
from shardsim.core import config_files, yaml_text

TEXT = """
name: tiny
question: Who forecasts a tiny agent?
env:
  kind: context_fruits
  size: 3
  contexts: 2
  fruits: 2
  cue_probability: 0
  max_steps: 6
agent: {encoder: {kind: mlp, widths: [8]}, value_params: 160}
arms:
  mlp: {head: {kind: mlp}}
  random: {head: {kind: mlp}, trained: false, readout: random}
train:
  num_seeds: 2
  num_envs: 3
  num_steps: 4
  epochs: 1
  phases:
    - name: event
      updates: 3
      reset_envs: true
      losses: {action: {encoder: 1, decoder: 1}, value: {encoder: 1, value: 1}}
pipelines:
  events:
    A: {contexts_shown: [[0]]}
    B: {contexts_shown: [[1]]}
    swapped: {rewards: [[0, 1], [1, 0]]}
  lengths: [1, 2]
  number: 5
  histories: [[A, B], [B, A]]
budget: {steps: 4, restarts: 2, boards: 4}
judging: {gates: {gated: null}, levels: [2]}
held_out: {share: 0.4, conditions: [conflict]}
evaluation:
  levels: 4
  conditions:
    in_distribution: {}
    conflict: {env: {contexts_shown: [[0, 1]]}}
    extinction: {env: {rewards: [[0, 0], [0, 0]]}}
    moved: {moved: true}
    blind: {hidden: [floor 0, floor 1]}
"""


def contest(*flags: str) -> Contest:
    """The tiny contest, changed by flags as on the command line."""
    data = yaml_text.load(TEXT)
    return configs.build(Contest, config_files.override(data, flags, Contest))
