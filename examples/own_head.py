# %% [markdown]
# # A value head of one's own
#
# A head is a config and a module. This one has two networks whose mean is V. The cells
# define it, check it, train it beside a plain network, and look inside. Plots need
# matplotlib: pip install "shardsim[plot]"

# %%
import typing

import jax
import jax.numpy as jnp
from flax import nnx

import shardsim
from shardsim import testing
from shardsim.agents import chain
from shardsim.agents.value import base

# %% [markdown]
# The module: stages lead from the features to the hidden units of each part, `[K,
# width]`; gates say how much each part counts. `base.evaluate` is the forward pass that
# all heads share, so that pages and tools can look inside.


# %%
class TwoNetworksHead(nnx.Module):
    """Two networks of one hidden layer; V is their mean."""

    def __init__(self, features: int, width: int, rngs: nnx.Rngs) -> None:
        normal = jax.nn.initializers.he_normal()
        weights = [normal(rngs.params(), (features, width)) for _ in range(2)]
        self.weights = nnx.Param(jnp.stack(weights))
        self.kernel = nnx.Param(jnp.zeros((2, width)))
        self.bias = nnx.Param(jnp.zeros((2,)))

    @property
    def unit_shard(self):
        return base.unit_shards(2, self.kernel[...].shape[1])

    def stages(self) -> list[chain.Stage]:
        def hidden(features):
            return jax.nn.relu(jnp.einsum("d,kdw->kw", features, self.weights[...]))

        return [hidden]

    def gates(self, features, context):
        del features, context
        return jnp.full((2,), 0.5)

    def __call__(self, features, context):
        return base.evaluate(self, features, context)


# %% [markdown]
# The config: a frozen record with a `kind`, by which every config can name it then.


# %%
@shardsim.register("heads")
@shardsim.record
class TwoNetworks:
    """Two networks whose mean is V."""

    kind: typing.Literal["my_two_networks"] = "my_two_networks"

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> TwoNetworksHead:
        del contexts
        return TwoNetworksHead(features, width, rngs)


# %% [markdown]
# The laws that all heads keep: V is 0 before training, the parts add up, gradients are
# right. An error would say which law is broken.

# %%
testing.check_head(TwoNetworks())
print("the head keeps all laws")

# %% [markdown]
# Train it for a minute in a small world, beside one network with as many parameters.
# For real numbers take more seeds and updates.

# %%
config = shardsim.config(
    {
        "name": "two_networks",
        "env": {"kind": "corner_maze", "size": 5, "region": 2, "max_steps": 16},
        "agent": {"encoder": {"kind": "mlp", "widths": [32]}, "value_params": 2000},
        "arms": {
            "mlp": {"head": {"kind": "mlp"}},
            "two": {"head": {"kind": "my_two_networks"}},
        },
        "train": {
            "num_seeds": 2,
            "num_snapshots": 2,
            "phases": [
                {
                    "name": "reward",
                    "updates": 40,
                    "losses": {"value": {"encoder": 1, "value": 1}},
                }
            ],
        },
    }
)
run = shardsim.run(config, "runs/two_networks", overwrite=True)

# %% [markdown]
# It is asked, drawn and switched off like any other. Where do its two networks differ?

# %%
levels = run.levels(count=2)
agents = run.agents("two").seed(0)
run.seed(0).plot.value("two", levels)
run.seed(0).ablate(shard=1).plot.value("two", levels)
parts = agents.shard_values(levels)
print("values of both networks at the start:", parts.round(2).tolist())
