"""Training asks a head for what it can do, never for its class."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.algorithms import losses, update_step
from shardsim.core import fields
from shardsim.training import arms, schedule
from shardsim.training.config import TrainConfig
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=3)
EARN = {"name": "earn", "updates": 1, "losses": {"value": {"value": 1}}}
POLICY = {**EARN, "losses": {**EARN["losses"], "policy": {"decoder": 1}}}


@fields.record
class Mine:
    """A gated head of a user, which shares no class with those of the package."""

    kind: Literal["mine"] = "mine"
    num_shards: int = 2
    td_error: Literal["joint", "per_shard"] = "per_shard"
    load_balance: float = 0.25
    shares_move: bool = True
    routing: value.Routing | None = None

    def build(self, features, contexts, width, rngs):
        del contexts
        like = value.Sharded(num_shards=self.num_shards)
        return MineHead(like, features, width, rngs)


class MineHead(nnx.Module):
    def __init__(self, like, features, width, rngs):
        self.inner = like.build(features, 1, width, rngs)

    @property
    def unit_shard(self):
        return self.inner.unit_shard

    def __call__(self, features, context):
        return self.inner(features, context)


@fields.record
class Plain:
    """A head that can do nothing besides V."""

    kind: Literal["plain"] = "plain"

    def build(self, features, contexts, width, rngs):
        raise NotImplementedError


OUTPUT = value.ValueOutput(
    value=jnp.asarray(0.25 * 1.0 + 0.75 * 3.0),
    shard_values=jnp.asarray([1.0, 3.0]),
    gates=jnp.asarray([0.25, 0.75]),
    units=jnp.zeros(4),
)


def test_a_head_of_ones_own_has_a_td_error_for_each_shard():
    # (0.25 (2 - 1)^2 + 0.75 (2 - 3)^2) / 2 against (2 - 2.5)^2 / 2
    target = jnp.asarray(2.0)
    assert float(losses.value_loss(OUTPUT, target, Mine())) == pytest.approx(0.5)
    joint = losses.value_loss(OUTPUT, target, Mine(td_error="joint"))
    assert float(joint) == pytest.approx(0.125)
    assert float(losses.value_loss(OUTPUT, target, Plain())) == pytest.approx(0.125)


def test_capabilities_are_those_of_the_fields():
    for head in (Mine(), value.Sharded(td_error="per_shard", load_balance=0.25)):
        assert value.has_shard_errors(head)
        assert value.load_balance(head) == 0.25
        assert value.routing(head) is None
    routed = Mine(routing=value.Routing())
    assert value.routing(routed) == value.Routing()
    for head in (Plain(), value.MLP(), value.FiLM(), value.OracleGated()):
        assert not value.has_shard_errors(head)
        assert value.load_balance(head) == 0.0
        assert value.routing(head) is None


def test_the_update_balances_and_routes_a_head_of_ones_own():
    train = TrainConfig(phases=(EARN,), num_envs=2, num_steps=4)
    for head in (Mine(), Mine(routing=value.Routing())):
        config = schedule.update_config(train, ENV, (head,), train.phases[0])
        assert config.balanced
        terms = update_step._terms(config, head)
        assert terms.balanced
        assert update_step._required_targets(terms).labels == head.routing
    hyper = schedule.hyperparameters(train, Mine())
    np.testing.assert_allclose(hyper.load_balance, 0.25)


def test_what_does_not_suit_a_head_of_ones_own_is_refused():
    def of(head):
        return {"a": arms.Arm("a", head, 8, trained=True)}

    ppo = TrainConfig(
        phases=(POLICY,),
        algorithm=algorithms.PPO(value_clip=0.2),
        action_selection={"kind": "policy_only"},
    )
    (line,) = arms.training_faults(of(Mine()), ppo)
    assert line.startswith("arms.a.head.td_error: got 'per_shard'; allowed with a valu")
    assert not [*arms.training_faults(of(Plain()), ppo)]
    sweep = TrainConfig(phases=(EARN,), sweep={"load_balance": (0.1, 0.2)})
    (line,) = arms.training_faults(of(Mine(shares_move=False)), sweep)
    assert "the shares of its gates have no gradient" in line
    (line,) = arms.env_faults(of(Mine(num_shards=1, routing=value.Routing())), ENV)
    assert line.startswith("arms.a.head.num_shards: got 1; allowed with routing: at le")
    assert not [*arms.env_faults(of(Plain()), ENV)]


def test_a_head_of_ones_own_is_built_and_measured():
    config = agents.AgentConfig(
        encoder=encoders.MLPEncoder(widths=(8,)), decoder_hidden=(6,)
    )
    agent = agents.build(config, Mine(), 5, ENV, jax.random.key(0))
    out = agent.value(jnp.ones(config.encoder.features), jnp.ones(ENV.num_contexts))
    assert out.gates.shape == (2,)
