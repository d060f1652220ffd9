# %% [markdown]
# # An agent of somebody else
#
# Anything that gives V and a policy for an observation can be opened: in plots, films,
# the page and the measures. Here it is a small search that nobody trained.
# `examples/agents` does the same with PPO of stable-baselines3, of jaxgmg and in plain
# Flax.

# %%
import numpy as np

import shardsim
import shardsim_envs
from shardsim.evaluation.measures import ValueAccuracy

world = shardsim_envs.CornerMaze(size=7, region=3, max_steps=32)
GAMMA = 0.95
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left

# %% [markdown]
# V is the discounted distance to the cheese, found by breadth-first search. The policy
# is sure of the steps that come nearer.


# %%
def distances(board):
    """Steps from every cell to the cheese."""
    cheese = board[..., world.plane("cheese")]
    walls = board[..., world.plane("wall")] > 0
    steps = np.where(cheese > 0, 0.0, np.inf)
    for _ in range(steps.size):
        near = np.pad(steps, 1, constant_values=np.inf)
        around = [
            near[1 + dy : near.shape[0] - 1 + dy, 1 + dx : near.shape[1] - 1 + dx]
            for dy, dx in MOVES
        ]
        steps = np.minimum(steps, 1 + np.min(around, axis=0))
        steps[walls] = np.inf
    return steps


def value(board):
    row, column = np.argwhere(board[..., -1])[0]
    left = distances(board)[row, column]
    return GAMMA ** max(left - 1, 0) if np.isfinite(left) else 0.0


def logits(board):
    row, column = np.argwhere(board[..., -1])[0]
    steps = distances(board)
    after = [steps[row + dy, column + dx] for dy, dx in MOVES]
    return np.where(np.asarray(after) < steps[row, column], 3.0, 0.0)


agent = shardsim.wrap(value, logits, world=world, discount=GAMMA, name="search")

# %% [markdown]
# How far is its V from the exact one? 0 is exact, 1 is like a constant.

# %%
error = agent.measure(ValueAccuracy(), levels=4)["search"]
print(f"error of V: {error[0]:.4f} standard deviations of V*")

# %% [markdown]
# Watch it, and open the page: V beside V\*, the policy, episodes.

# %%
agent.watch(shardsim.levels(world, count=2))

# %%
agent.inspect(quick=True, mazes=2)

# %% [markdown]
# The world may be anybody's too, as a table. Here is FrozenLake of Gymnasium, on which
# one slips: its transitions are probabilities, and V\* takes them into account.

# %%
import gymnasium  # noqa: E402

lake = gymnasium.make("FrozenLake-v1", is_slippery=True).unwrapped
states, actions = lake.observation_space.n, lake.action_space.n
chance = np.zeros((states, actions, states))
reward = np.zeros((states, actions, states))
terminal = np.zeros(states, bool)
for state in range(states):
    for action in range(actions):
        for probability, after, paid, ends in lake.P[state][action]:
            chance[state, action, after] += probability
            reward[state, action, after] = paid
            terminal[after] |= ends
table = shardsim.table(
    chance,
    reward,
    terminal=terminal,
    cells=[divmod(state, 4) for state in range(states)],
    things={"goal": (3, 3)},
    name="frozen_lake",
)
hopeful = shardsim.wrap(
    lambda state: 0.9 ** (6 - sum(divmod(int(state.argmax()), 4))),
    world=table,
    discount=GAMMA,
    name="hopeful",
)
error = hopeful.measure(ValueAccuracy(), levels=2)["hopeful"]
print(f"V that does not know of the holes is {error[0]:.1f} sd of V* off")
