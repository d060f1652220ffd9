"""What an agent learns from its own acting: the rule that trains D, and what V aims at.

V aims at the lambda-return under every rule. Symbols: A actions, T steps, B
environments.
"""

from typing import TypeAlias

from jaxtyping import Array, Float

from shardsim.algorithms.base import PolicyBatch, Targets
from shardsim.algorithms.expert_iteration import ExpertIteration
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.algorithms.ppo import PPO
from shardsim.algorithms.reinforce import Reinforce
from shardsim.algorithms.td import TD

Algorithm: TypeAlias = TD | ExpertIteration | PPO | Reinforce

__all__ = [
    "PPO",
    "TD",
    "Algorithm",
    "ExpertIteration",
    "PolicyBatch",
    "Reinforce",
    "Targets",
    "policy_loss",
]


def policy_loss(
    learn: Algorithm,
    hyper: Hyperparameters,
    logits: Float[Array, "n A"],
    sample: PolicyBatch,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The rule's own loss of D, mean over n samples, and what to note of it.

    Raises:
      ValueError: a rule that leaves D alone.
    """
    match learn:
        case ExpertIteration():
            return learn.policy_loss(logits, sample)
        case PPO() | Reinforce():
            return learn.policy_loss(hyper, logits, sample)
        case TD():
            raise ValueError("algorithm: got 'td', which has no loss of D")
