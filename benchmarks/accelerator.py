"""How fast is training on this device, how much of it does it use, and does it agree?

Command:  python benchmarks/accelerator.py [--out runs/accelerator.md] [--minutes 8]
Time:     at most 8 minutes on a GPU or TPU; rows that time is short for are named and
          left out. No network. On 2 CPU cores only small numbers of seeds are of use:
          --seeds 8 16.

Writes a table in Markdown, and a figure beside it with the same name and .png:

    training  env steps/s, seconds to trace and compile, and bytes of device memory of
              a seed, at 8 to 4,096 seeds: the quickstart (lookahead and TD), PPO with
              an MLP and with convolutions, and a tree search
    peak      share of the device's own matmul rate that PPO's population reaches, in
              float32 and bfloat16
    peers     PureJaxRL and jaxgmg in turns with ours, if they are here (`speed_peers`
              tells where each is looked for)
    verdicts  a small quickstart on this device beside the same one on the CPU

A peer's rate and ours are of one device; so is the peak.
"""

import argparse
import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import speed_ours
import speed_peers
import timing  # beside this file, like the two before
from jax.errors import JaxRuntimeError

from shardsim import algorithms, cli
from shardsim.agents import action_selection, encoders
from shardsim.core import files
from shardsim.evaluation import load
from shardsim.evaluation.experiment import Experiment

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "quickstart.yaml"
SEEDS = (8, 64, 512, 4096)
ARM = "sharded"
"""The arm of the quickstart that is timed."""
SECONDS = 4.0
"""Of one timed run; two are taken, and the faster one counts."""
SIDE = {"cpu": 2048, "gpu": 8192, "tpu": 8192}
"""Side of the matrices whose product gives the peak."""
PEAK_SEEDS = 64
CARTPOLE = (64, 64, 8)
"""Seeds, environments and updates of PureJaxRL's task."""
SMALL = (
    *("--train.num-seeds", "4", "--train.phases.0.updates", "20"),
    *("--train.phases.1.updates", "60", "--train.num-snapshots", "2"),
)
"""Flags of the quickstart whose verdicts are compared."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One row of the first table."""

    name: str
    seeds: int
    rate: float
    """Env steps of all seeds in a second."""
    compiling: float
    """Seconds to trace and compile."""
    bytes_per_seed: float


class Clock:
    """The time that is left, and what there was none for."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes
        self.left_out: list[str] = []

    def has(self, seconds: float, name: str) -> bool:
        """Whether that many seconds are left; notes the name where not."""
        if self._end - time.monotonic() >= seconds:
            return True
        self.left_out.append(name)
        return False


def tasks() -> dict[str, speed_ours.Task]:
    """What is trained, by name."""
    config = load.read(load.read_file(EXPERIMENT))
    assert isinstance(config, Experiment)
    (arm,) = (arm for arm in config.sized_arms() if arm.name == ARM)
    train = dataclasses.replace(config.train, phases=config.train.phases[-1:])
    quickstart = speed_ours.Task(config.env, config.agent, arm.head, arm.width, train)
    ppo = speed_ours.corner()
    searching = dataclasses.replace(
        train,
        phases=ppo.config.phases,
        action_selection=action_selection.Search(simulations=8),
        algorithm=algorithms.ExpertIteration(),
    )
    conv = dataclasses.replace(ppo.agent, encoder=encoders.ConvEncoder())
    return {
        "quickstart": quickstart,
        "PPO, MLP": ppo,
        "PPO, conv": ppo._replace(agent=conv),
        "search": quickstart._replace(config=searching),
    }


def training(seeds: Sequence[int], clock: Clock) -> list[Training]:
    """Rates at some numbers of seeds; small numbers of all tasks come first."""
    rows = []
    for count in seeds:
        for name, task in tasks().items():
            label = f"{name}, {count} seeds"
            if not clock.has(60, label):
                continue
            try:
                row = _trained(name, speed_ours.grown(task, num_seeds=count))
            except JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                clock.left_out.append(f"{label} (they do not fit into memory)")
                continue
            rows.append(row)
            print(row, flush=True)
    return rows


def _trained(name: str, task: speed_ours.Task) -> Training:
    program = speed_ours.compiled(task)
    state, _ = jax.block_until_ready(program.go(program.start(), 1))
    best, updates = 0.0, 1
    for _ in range(2):
        while True:
            began = time.perf_counter()
            state, _ = jax.block_until_ready(program.go(state, updates))
            seconds = time.perf_counter() - began
            best = max(best, updates * task.steps / seconds)
            if seconds > SECONDS / 4:
                break
            updates = max(updates + 1, int(updates * min(SECONDS / seconds, 8)))
    seeds = task.config.num_seeds
    return Training(name, seeds, best, program.seconds, program.memory / seeds)


def peak() -> dict[str, tuple[float, float]]:
    """By type: FLOP/s of a product of matrices, and of training PPO's population."""
    rates = {}
    for dtype in ("float32", "bfloat16"):
        side = SIDE[jax.default_backend()]
        a = jax.random.normal(jax.random.key(0), (side, side), dtype)
        precision = "highest" if dtype == "float32" else "default"
        with jax.default_matmul_precision(precision):
            multiply = jax.jit(lambda a: a @ a)
            jax.block_until_ready(multiply(a))
            run = functools.partial(multiply, a)
            of_matmul = timing.rate(run, 2 * side**3, best=5)
        task = speed_ours.grown(
            speed_ours.corner(), num_seeds=PEAK_SEEDS, precision=dtype, devices=1
        )
        trained = _trained("population", task)
        of_training = trained.rate / task.steps * speed_ours.flops(task)
        rates[dtype] = (of_matmul, of_training)
        print(f"{dtype}: matmul {of_matmul:.3g} FLOP/s, training {of_training:.3g}")
    return rates


def peers(clock: Clock) -> list[timing.Row]:
    """Rates beside those of the peers that are here, in turns."""
    rows = []
    ppo, corner = speed_peers.purejaxrl(), speed_peers.jaxgmg()
    if ppo and clock.has(90, "PureJaxRL"):
        seeds, envs, updates = CARTPOLE
        task = speed_ours.cartpole(seeds, envs, updates)
        ours = speed_ours.compiled(task)
        theirs = speed_peers.cartpole(ppo, seeds, envs, updates)
        rows.append(
            timing.measure(
                f"PPO on CartPole, {seeds} seeds",
                "steps/s",
                updates * task.steps,
                lambda: ours.go(ours.start(), updates),
                "PureJaxRL",
                theirs.run,
                best=1,
            )
        )
    if corner and clock.has(60, "jaxgmg"):
        rate = _trained("corner maze", speed_ours.corner()).rate
        theirs_rate = timing.rate(corner.cycle, corner.steps, best=3)
        rows.append(
            timing.Row("corner maze", "steps/s", [rate], "jaxgmg", [theirs_rate])
        )
    return rows


def verdicts(clock: Clock) -> dict[str, dict[str, Any]]:
    """Predictions of a small quickstart, by device: effect, interval and verdict."""
    if not clock.has(150, "verdicts"):
        return {}
    with tempfile.TemporaryDirectory() as place:
        folders = {"CPU": Path(place) / "cpu", "this device": Path(place) / "here"}
        words = ["run", str(EXPERIMENT), *SMALL, "--out"]
        # the CPU works while the device does
        beside = subprocess.Popen(
            [sys.executable, "-m", "shardsim.cli", *words, str(folders["CPU"])],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            codes = [cli.main([*words, str(folders["this device"])]), beside.wait()]
        finally:
            beside.kill()
        if any(codes):
            raise RuntimeError(f"the quickstart ended with codes {codes}")
        return {
            name: json.loads((folder / "results.json").read_text(encoding="utf-8"))[
                "predictions"
            ]
            for name, folder in folders.items()
        }


def tables(
    rows: list[Training],
    rates: dict[str, tuple[float, float]],
    beside: list[timing.Row],
    judged: dict[str, dict[str, Any]],
    left_out: list[str],
) -> str:
    """Everything that was measured, in Markdown."""
    device = jax.devices()[0]
    lines = [
        f"Measured on {jax.device_count()} x {device.device_kind} "
        f"({jax.default_backend()}), {timing.machine()}.",
        "",
        "| training | seeds | env steps/s | compile, s | MB a seed |",
        "|---|---|---|---|---|",
        *(
            f"| {row.name} | {row.seeds:,} | {timing.short(row.rate)} | "
            f"{row.compiling:.1f} | {row.bytes_per_seed / 1e6:.2f} |"
            for row in rows
        ),
    ]
    if rates:
        lines += [
            "",
            "| type | matmul, TFLOP/s | training, TFLOP/s | share |",
            "|---|---|---|---|",
            *(
                f"| {name} | {matmul / 1e12:.3g} | {ours / 1e12:.3g} | "
                f"{ours / matmul:.2f} |"
                for name, (matmul, ours) in rates.items()
            ),
        ]
    if beside:
        lines += [
            "",
            "| beside | ours, steps/s | theirs, steps/s | ratio |",
            "|---|---|---|---|",
            *(
                f"| {row.name}: {row.peer} | {timing.short(float(np.median(row.ours)))}"
                f" | {timing.short(float(np.median(row.theirs)))} | "
                f"{np.median(row.ratios):.2f} |"
                for row in beside
            ),
        ]
    if judged:
        lines += ["", *_verdict_table(judged)]
    if left_out:
        lines += ["", f"Left out: {'; '.join(left_out)}."]
    return "\n".join(lines) + "\n"


def _verdict_table(judged: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"| prediction | {' | '.join(judged)} |"
    yield "|---" * (len(judged) + 1) + "|"
    for name in next(iter(judged.values())):
        cells = []
        for predictions in judged.values():
            entry = predictions[name]
            effect, low, high = (
                entry["effect"][field] for field in ("estimate", "low", "high")
            )
            numbers = [
                f"{x:+.3f}" if x is not None else "-" for x in (effect, low, high)
            ]
            cells.append(
                f"{numbers[0]} [{numbers[1]}, {numbers[2]}] {entry['verdict']}"
            )
        yield f"| {name} | {' | '.join(cells)} |"


def draw(rows: list[Training], out: Path) -> None:
    """Rates and memory by number of seeds."""
    figure, (rates, memory) = timing.pyplot().subplots(1, 2, figsize=(9, 4))
    for name in dict.fromkeys(row.name for row in rows):
        own = [row for row in rows if row.name == name]
        seeds = [row.seeds for row in own]
        rates.loglog(seeds, [row.rate for row in own], marker="o", label=name)
        memory.loglog(seeds, [row.bytes_per_seed / 1e6 for row in own], marker="o")
    rates.set_ylabel("env steps/s")
    memory.set_ylabel("MB of device memory a seed")
    for axes in (rates, memory):
        axes.set_xlabel("seeds")
    rates.legend()
    figure.suptitle(f"{jax.devices()[0].device_kind}; {timing.machine()}", fontsize=7)
    figure.tight_layout()
    timing.write(figure, out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/accelerator.md"))
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args(arguments)
    figure = options.out.with_suffix(".png")
    try:
        for path in (options.out, figure):
            files.check_new(path, options.overwrite)
    except files.PathError as error:
        print(f"accelerator: {error}", file=sys.stderr)
        return 2
    if jax.default_backend() == "cpu":
        print("no accelerator is here: this measures the CPU")
    clock = Clock(options.minutes)
    judged = verdicts(clock)
    rates = peak() if clock.has(60, "peak") else {}
    beside = peers(clock)
    rows = training(options.seeds, clock)
    text = tables(rows, rates, beside, judged, clock.left_out)
    files.write_text(options.out, text)
    draw(rows, figure)
    print(f"{text}\n{options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
