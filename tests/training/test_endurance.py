"""Killed at any moment a run ends with the same bits; devices agree and don't speak."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from shardsim import cli

KILLED = """
import sys
from shardsim import cli
from shardsim.training import loop
loop.CHECKPOINT_SECONDS = 0.0
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("seconds", [0.7, 0.0, 1.9])
def test_killed_at_any_moment_it_ends_with_the_same_bits(
    training_yaml, tmp_path, capsys, seconds
):
    """SIGKILL at some moment after the first line of metrics, then resume."""
    phases = [{"name": "earn", "updates": 60, "losses": {"value": {"value": 1}}}]
    path = training_yaml(phases=phases, updates_per_call=2)
    assert cli.main(["train", str(path), "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "run"
    words = [sys.executable, "-c", KILLED, "train", str(path), "--out", str(out)]
    started = subprocess.Popen(words)
    while not (out / "metrics.jsonl").exists() and started.poll() is None:
        time.sleep(0.02)
    time.sleep(seconds)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert cli.main(["resume", str(out)]) == 0
    for name in ("weights/mlp.npz", "weights/sharded.npz", "results.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = [(out.parent / f / "metrics.jsonl").read_text() for f in ("run", "whole")]
    assert sorted(lines[0].splitlines()) == sorted(lines[1].splitlines())


@pytest.mark.long
def test_four_devices_agree_with_one_and_never_speak(training_yaml, tmp_path):
    """The same bits, and no collective in the compiled program."""
    script = textwrap.dedent(
        """
        import sys
        import jax, jax.numpy as jnp, numpy as np, yaml
        jax.config.update("jax_num_cpu_devices", 4)
        from shardsim.algorithms import update_step
        from shardsim.core import config as configs
        from shardsim.training import loop, phases, population, schedule, standalone
        ends = []
        for devices in (1, 4):
            data = yaml.safe_load(open(sys.argv[1]))
            data["train"].update(num_seeds=4, devices=devices)
            training = configs.build(standalone.Training, data)
            plan, arm = training.train, training.sized_arms()[1]
            phase = plan.phases[0]
            inputs = update_step.PhaseInputs(phases.params_of(training.env, phase))
            init_config = schedule.init_config(plan, training.agent, training.env)
            keys = loop._keys(plan, 0)
            hyper = loop._spread(plan, schedule.hyperparameters(plan, arm.head))
            init = population.init.lower_and_compile(
                init_config, arm.head, arm.width, inputs.params, keys, hyper
            )
            state = loop._spread(plan, init(inputs.params, keys, hyper))
            config = schedule.update_config(plan, training.env, (arm.head,), phase)
            four = jnp.int32(4)
            chunk = population.chunk.compiled
            compiled = chunk.lower(config, state, inputs, four).compile()
            text = init.as_text() + compiled.as_text()
            for word in ("all-reduce", "all-gather", "all-to-all", "collective"):
                assert word not in text, word
            state, _ = population.chunk(config, state, inputs, four)
            again = chunk._cache_size()
            state, _ = population.chunk(config, state, inputs, four)
            assert chunk._cache_size() == again, "compiled twice"
            ends.append(jax.device_get(state.learners[0].agent))
        for a, b in zip(*map(jax.tree.leaves, ends), strict=True):
            np.testing.assert_array_equal(a, b)
        """
    )
    path = training_yaml()
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )
    assert done.returncode == 0, done.stderr
