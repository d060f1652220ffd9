"""The scripts of examples/agents train an agent that opens like one of our own."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

AGENTS = Path(__file__).parents[2] / "examples" / "agents"
NEEDS = {
    "flax_agent": "flax",
    "jaxgmg_agent": "jaxgmg",
    "sb3_agent": "stable_baselines3",
}
"""The package that each script needs; two of them are installed by hand."""
AMOUNT = {
    "flax_agent": ("--updates", 2),
    "jaxgmg_agent": ("--steps", 20_000),
    "sb3_agent": ("--steps", 2_048),
}
FILE = {"flax_agent": "agent.npz", "jaxgmg_agent": "agent", "sb3_agent": "agent.zip"}
PLACE = {
    "flax_agent": "FLAX_AGENT",
    "jaxgmg_agent": "JAXGMG_AGENT",
    "sb3_agent": "SB3_AGENT",
}
"""The variable that says where the trained agent lies."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not AGENTS.is_dir(), reason="no examples beside the tests"),
]


def test_every_script_is_run():
    assert sorted(NEEDS) == sorted(path.stem for path in AGENTS.glob("*.py"))


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_trained_agent_opens(name, tmp_path):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    script, out = AGENTS / f"{name}.py", tmp_path / FILE[name]
    assert PLACE[name] in script.read_text()
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {"JAX_PLATFORMS": "cpu", PLACE[name]: str(out)}
    option, amount = AMOUNT[name]

    def run(*words):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(AGENTS)},
            capture_output=True,
            text=True,
            timeout=800,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(script, option, amount, "--out", out)
    page = tmp_path / "page.html"
    agent = ["--agent", f"{name}:agent", "--out", page]
    run("-m", "shardsim.cli", "inspect", *agent, "--mazes", 2, "--quick")
    assert re.search(r"PPO", page.read_text())
