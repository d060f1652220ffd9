"""Learning algorithms: the rule that trains D, and the targets that V is fitted to.

V is fitted to the lambda-return under every algorithm; they differ in how D is trained.
Symbols: A actions, n samples.
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
    algorithm: Algorithm,
    hyper: Hyperparameters,
    logits: Float[Array, "n A"],
    batch: PolicyBatch,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The policy loss of an algorithm, mean over n samples, and its metrics.

    Args:
      hyper: hyperparameters of one seed; the weight of the entropy bonus is used.
      logits: logits of D in n states.
      batch: actions, behaviour logits and targets of the same n steps.

    Returns:
      The loss, and scalars to log by name.

    Raises:
      ValueError: the algorithm is TD, which does not train D.
    """
    match algorithm:
        case ExpertIteration():
            return algorithm.policy_loss(logits, batch)
        case PPO() | Reinforce():
            return algorithm.policy_loss(hyper, logits, batch)
        case TD():
            raise ValueError("algorithm: got 'td', which has no policy loss")
