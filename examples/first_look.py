# %% [markdown]
# # A first look at a run
#
# The cells below need matplotlib and a run of the quickstart (9 minutes on 2
# CPU cores):
#
#     shardsim run experiments/quickstart.yaml
#     pip install "shardsim[plot]"
#
# Open this file as a notebook (Jupyter with jupytext, VS Code, Spyder), or run it as a
# script.

# %%
import numpy as np

import shardsim

run = shardsim.load("runs/quickstart")
print(run)

# %% [markdown]
# What the experiment says, and its numbers as records.

# %%
for name, prediction in run.results.predictions.items():
    print(f"{name}: {prediction.verdict}, {prediction.metric}")

# %% [markdown]
# How V of each arm came nearer to the exact value.

# %%
run.plot.curves("value_error")

# %% [markdown]
# Two boards that the world draws, and V of one seed over them. Every cell shows V with
# the agent on it. In the drawing each thing has a letter.

# %%
levels = run.levels(count=2)
print(levels)
print(levels.letters)
run.seed(1).plot.value("sharded", levels)

# %% [markdown]
# Which shard is open where? Then the same V without the shard that is open most.

# %%
agents = run.agents("sharded").seed(1)
run.seed(1).plot.gates("sharded", levels)
gates = agents.maps(levels).gates
busiest = int(np.nanmean(gates, axis=(0, 1, 2)).argmax())
print(f"shard {busiest} is open most")

# %%
run.seed(1).ablate(shard=busiest).plot.value("sharded", levels)

# %% [markdown]
# A board of your own: take one, and put the agent somewhere else.

# %%
board = str(levels[0]).replace("@", ".")
place = board.index(".")
mine = board[:place] + "@" + board[place + 1 :]
print(mine)
print("V:", float(agents.value(mine)))
print("policy (up, right, down, left):", agents.policy(mine).round(2))

# %% [markdown]
# All metrics as a tidy table: `pandas.DataFrame(table)` takes it as it is.

# %%
table = run.metrics()
end = table["update"] == table["update"].max()
for arm in ("mlp", "sharded"):
    rows = end & (table["arm"] == arm) & (table["metric"] == "return_fraction")
    print(arm, table["value"][rows].round(3))

# %% [markdown]
# The interactive page, inline. Without `quick` it has all panels, and takes longer.

# %%
run.inspect(quick=True)
