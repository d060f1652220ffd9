"""LPG: latent preferences that training moves towards what would be rewarded.

Latent policy gradients are a published forecaster of what sequential training does to
an agent outside of its training. This is that method in these worlds.

What is the same: a few latent numbers w; a linear saliency matrix S that makes of them
preferences over salient features of objects; a softmax choice between objects, or
nothing, by these preferences; each event of training moves w down the slope of
KL(choice || choice that earns the reward), in order, for a fixed number of steps, from
where the event before left it; S, the sharpness of the rewarded choice and the first w
are fitted through the whole history by the log-loss of what agents do elsewhere.

What is not the same: there, objects have colours and shapes, and an object either is a
goal of the task or a distractor. Here, the features are the source and the source in
its context, and rewards are numbers: the choice that earns them is a softmax of
sharpness times reward, which for one goal of reward 1 is theirs. There, all latent
numbers start alike, here each has a start of its own that is fitted, because agents
share a pretraining. There, all events last equally long, here as long as their updates.
There, what is forecast is the first object of two that an agent reaches in a maze, here
every action in every state: preferences are a utility, planned for exactly, and
discount, temperature and lapses are fitted, as for every other forecaster.

Symbols: C contexts, F sources of reward, n = F (1 + C) features, E events, G sets.

Reference: Brown and Young, Understanding Goal Generalisation in Sequential
Reinforcement Learning, 2026 (arXiv 2605.23565), and the code of its authors.
"""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import PositiveInt

from shardsim.contest import events, planning
from shardsim.contest.events import Events, Sizes
from shardsim.contest.forecasters import base
from shardsim.contest.forecasters.base import Question
from shardsim.core import fields

SHARPNESS = 1.1
"""Where fits of the log of the sharpness start: the rewarded choice has odds of 20."""


class LatentParameters(NamedTuple):
    """Free numbers of LPG."""

    latent: Float[Array, " n"]
    """w before the first event."""
    saliency: Float[Array, "n n"]
    """S; [n] if it is diagonal."""
    log_sharpness: Float[Array, ""]
    """Log of kappa, per unit of reward."""
    log_rate: Float[Array, ""]
    """Log of the latent time of the longest event."""
    acting: base.Acting


@fields.record
class LatentPreferences:
    """Latent preferences, moved by the gradient of what an event rewards.

      v(f, g) = phi(f, g) . S w                     in the levels that show the set g
      choice = softmax over sources and nothing of (v, 0)
      dw/dt = - d/dw mean over g of KL(choice || softmax(kappa r(g), 0))

    The agent acts by a softmax of Q* of the utility v / kappa.

    Reference: Brown and Young, Understanding Goal Generalisation in Sequential
    Reinforcement Learning, 2026 (arXiv 2605.23565).
    """

    kind: Literal["latent_preferences"] = "latent_preferences"
    saliency: Literal["full", "diagonal"] = "full"
    """Whether learning about one feature may change the preference for another."""
    steps: PositiveInt = 8
    """Steps of the gradient in each event."""

    HOLDS_OUT: ClassVar[bool] = False
    RATE: ClassVar[float] = 0.05

    def start(self, key: Key[Array, ""], sizes: Sizes) -> LatentParameters:
        keys = jax.random.split(key, 4)
        count = sizes.sources * (1 + sizes.contexts)
        noise = base.SPREAD * jax.random.normal(keys[2], (2,))
        shape = (count, count) if self.saliency == "full" else (count,)
        still = jnp.eye(count) if self.saliency == "full" else jnp.ones(count)
        return LatentParameters(
            # a feature that no evidence shows keeps no preference
            0.1 * jax.random.normal(keys[0], (count,)),
            still + 0.1 * jax.random.normal(keys[1], shape),
            SHARPNESS + noise[0],
            1.0 + noise[1],
            base.start_acting(keys[3]),
        )

    def log_policy(
        self, parameters: LatentParameters, question: Question
    ) -> Float[Array, "S A"]:
        latent = self.after(parameters, question.events)
        wanted = preferences(parameters, latent, question.board.shown[None])[0]
        wanted = wanted * jnp.exp(-parameters.log_sharpness)
        values = planning.utility_values(
            question.board,
            wanted,
            base.discount_of(parameters.acting),
            question.one_take,
            question.sweeps,
        )
        return base.act(parameters.acting, values, wanted, question)

    def after(
        self, parameters: LatentParameters, history: Events
    ) -> Float[Array, " n"]:
        """w after a history."""
        time = jnp.exp(parameters.log_rate) / self.steps

        def move(latent: Array, event: Events) -> tuple[Array, None]:
            paid = events.set_rewards(event) * jnp.exp(parameters.log_sharpness)
            target = jax.nn.log_softmax(_or_nothing(paid), axis=-1)

            def loss(latent: Array) -> Array:
                wanted = preferences(parameters, latent, event.sets)
                choice = jax.nn.log_softmax(_or_nothing(wanted), axis=-1)
                divergence = (jnp.exp(choice) * (choice - target)).sum(axis=-1)
                return event.weight @ divergence

            def step(latent: Array, _: None) -> tuple[Array, None]:
                return latent - time * event.duration * jax.grad(loss)(latent), None

            return jax.lax.scan(step, latent, None, length=self.steps)

        return jax.lax.scan(move, parameters.latent, history)[0]


def preferences(
    parameters: LatentParameters, latent: Float[Array, " n"], sets: Float[Array, "G C"]
) -> Float[Array, "G F"]:
    """v of every source in the levels of every set."""
    saliency = parameters.saliency
    salient = saliency @ latent if saliency.ndim == 2 else saliency * latent
    by_feature = salient.reshape(1 + sets.shape[1], -1)
    return by_feature[:1] + sets @ by_feature[1:]


def _or_nothing(values: Float[Array, "G F"]) -> Float[Array, "G options"]:
    """The options of a choice: each source, and nothing, which is worth 0."""
    return jnp.concatenate([values, jnp.zeros((len(values), 1))], axis=1)
