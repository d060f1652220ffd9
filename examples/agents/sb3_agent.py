"""An agent of stable-baselines3 in a world of shardsim, opened like one of our own.

    pip install stable-baselines3 "shardsim[plot]"
    python examples/agents/sb3_agent.py --steps 200000 --out runs/sb3.zip
    shardsim inspect --agent sb3_agent:agent     (in the folder of this file)
    shardsim watch --agent sb3_agent:agent

PPO is theirs, with an MLP on the board; V is its critic.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO

import shardsim
import shardsim_envs  # its import registers the ids

WORLD = shardsim_envs.CornerMaze(size=7, region=3, max_steps=32)
GAMMA = 0.95
FILE = Path(os.environ.get("SB3_AGENT", "runs/sb3.zip"))


def train(steps: int, out: Path) -> None:
    """Train PPO on the Gymnasium id and save it."""
    from stable_baselines3.common.env_util import make_vec_env

    fields = {"size": WORLD.size, "region": WORLD.region, "max_steps": WORLD.max_steps}
    env = make_vec_env("shardsim/CornerMaze-v0", n_envs=16, seed=0, env_kwargs=fields)
    model = PPO(
        "MlpPolicy",
        env,
        gamma=GAMMA,
        n_steps=128,
        batch_size=512,
        n_epochs=4,
        learning_rate=1e-3,
        ent_coef=0.01,
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": [128, 128]},
    )
    model.learn(steps)
    out.parent.mkdir(parents=True, exist_ok=True)
    model.save(out)


def agent() -> shardsim.Agents:
    """The trained agent, as shardsim asks it. Loading it unpickles: trust its maker."""
    policy = PPO.load(FILE, device="cpu").policy

    def value(boards: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            seen = torch.as_tensor(np.array(boards, np.float32))
            return policy.predict_values(seen)[:, 0].numpy()

    def logits(boards: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            seen = torch.as_tensor(np.array(boards, np.float32))
            return policy.get_distribution(seen).distribution.logits.numpy()

    return shardsim.wrap(
        value, logits, world=WORLD, discount=GAMMA, batched=True, name="sb3 PPO"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    train(options.steps, options.out)
