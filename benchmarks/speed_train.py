"""How fast is training, beside those that one would use instead?

Command:  PEERS=folder python benchmarks/speed.py train [--only ppo] [--out FILE.png]
Time:     an hour on 2 cores for all rows. No network; a peer that isn't there is
          skipped, saying so (`speed_peers` tells where each is looked for), and so are
          rows on CartPole where gymnax isn't.

    ppo         CartPole, PureJaxRL's settings and theirs in turns: end-to-end env
                steps/s at 1 to 256 seeds, and the time to trace and compile
    curves      returns over 20 seeds of both, and whether they are equivalent
    corner      time till jaxgmg's corner maze is learnt
    population  share of the machine's own matmul rate that training makes use of
    search      act, search and step
    cost        seconds in seeds, environments and steps, over two decades
    memory      peak of 256 seeds

Ratios are medians over rounds in which both took turns, with the lowest and highest.
Figures depend on the machine and on what else runs on it: quote ratios.
"""

import importlib.util
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import speed_corner
import speed_ours
import speed_peers
import timing  # beside this file, like the next three

from shardsim.core.statistics import intervals, significance

SEEDS, ENVS = (1, 16, 64, 256), (64, 4)
STEPS = 2**19
"""Env steps of one timed run of `ppo`, of all seeds; at least 2 updates."""
CURVE_SEEDS, CURVE_ENVS, CURVE_UPDATES, WINDOWS = 20, 4, 976, 10
MARGIN = 25.0
"""Difference of returns that counts as none: a twentieth of CartPole's 500."""
POPULATION = (4, 8)
"""Seeds of a population, updates of a run."""
SIDE = 2048
SEARCH_ENVS, SEARCH_STEPS = 256, 64
SIZES = (1, 3, 10, 30, 100)
Rows = list[timing.Row]


def ppo() -> Rows:
    """End-to-end rates, and programs made a minute."""
    theirs = speed_peers.purejaxrl()
    rows = []
    for envs in ENVS:
        for seeds in SEEDS:
            name = f"PPO {envs} x 128, {seeds} seed{'s' * (seeds > 1)}"
            updates = max(2, STEPS // (envs * 128 * seeds))
            task = speed_ours.cartpole(seeds, envs, updates)
            times: list[list[float]] = [[], []]
            for _ in range(1 if theirs is None else 2):
                program = speed_ours.compiled(task)
                times[0].append(60 / program.seconds)
                if theirs:
                    peer = speed_peers.cartpole(theirs, seeds, envs, updates)
                    times[1].append(60 / peer.seconds)
            run = whole(program, updates)
            rows.append(
                timing.measure(
                    name,
                    "steps/s",
                    updates * task.steps,
                    run,
                    "PureJaxRL",
                    peer.run if theirs else None,
                    best=1,
                )
            )
            row = timing.Row(
                f"{name}, compile", "a minute", times[0], "PureJaxRL", times[1]
            )
            print(row, flush=True)
            rows.append(row)
    return rows


def whole(program: speed_ours.Program, updates: int) -> Callable[[], Any]:
    """From keys to the end of a training."""
    return lambda: program.go(program.start(), updates)


def curves() -> Rows:
    """Reward per finished episode, by tenths of a training; nothing is timed."""
    theirs = speed_peers.purejaxrl()
    seeds, envs, updates = CURVE_SEEDS, CURVE_ENVS, CURVE_UPDATES
    task = speed_ours.cartpole(seeds, envs, updates)
    program, carry = speed_ours.compiled(task), None
    carry, ours = program.start(), []
    for _ in range(WINDOWS):
        carry, (noted,) = program.go(carry, updates // WINDOWS)
        named = noted.by_name()
        ended = np.maximum(np.asarray(named["episodes"]), 1)
        ours.append(np.asarray(named["reward"]) / ended)
    mine = np.stack(ours, axis=1)
    _print_returns("ours", mine)
    if theirs is None:
        return []
    peer = speed_peers.cartpole(theirs, seeds, envs, updates)
    ended = speed_peers.ended(peer.run())[:, : updates // WINDOWS * WINDOWS]
    ended = ended.reshape(seeds, WINDOWS, -1).sum(axis=-1)
    # a step pays 1: what was paid in a tenth is its steps
    yours = updates // WINDOWS * envs * 128 / np.maximum(ended, 1)
    _print_returns("PureJaxRL", yours)
    for what, a, b in (
        ("last tenth", mine[:, -1], yours[:, -1]),
        ("mean", mine.mean(axis=1), yours.mean(axis=1)),
    ):
        off = intervals.mean_interval(a - b)
        p = significance.equivalence_test(a - b, MARGIN)
        print(
            f"CartPole return, {what}: ours less PureJaxRL's {off.estimate:+.1f} "
            f"[{off.low:+.1f}, {off.high:+.1f}]; the same within {MARGIN:g}: p {p:.4f}"
        )
    return []


def _print_returns(whose: str, returns: np.ndarray) -> None:
    """Means over seeds with their intervals, by tenths."""
    means = [intervals.mean_interval(x) for x in returns.T]
    text = "  ".join(f"{x.estimate:.0f} [{x.low:.0f}, {x.high:.0f}]" for x in means)
    print(f"CartPole return by tenths, {whose}, {len(returns)} seeds: {text}")


def corner() -> Rows:
    """Trainings an hour: ours as it ran, theirs from its rate."""
    theirs = speed_peers.jaxgmg()
    seconds: list[float] = []
    if theirs:
        row = timing.measure(
            "jaxgmg's PPO, corner maze", "steps/s", theirs.steps, theirs.cycle
        )
        seconds = [speed_corner.THEIR_STEPS / rate for rate in row.ours]
    limit = float(np.median(seconds)) / 3 if seconds else 120.0
    ran = speed_corner.ours(limit)
    print(
        f"corner maze: {ran.best:.3f} of the best after {ran.steps / 1e6:.2f} M "
        f"steps, {ran.seconds:.1f} s, {ran.compiling:.1f} of them to compile"
    )
    if ran.best < speed_corner.LEVEL:
        print(f"corner maze: {speed_corner.LEVEL:.3f} was not reached in {limit:.0f} s")
        return []
    rates = [3600 / ran.seconds] * max(len(seconds), 1)
    name = f"corner maze to {speed_corner.LEVEL:.3f} of the best"
    row = timing.Row(name, "an hour", rates, "jaxgmg", [3600 / s for s in seconds])
    print(row, flush=True)
    return [row]


def population() -> Rows:
    """GFLOP/s of training over those of a matmul, in turns."""
    seeds, updates = POPULATION
    task = speed_ours.corner(seeds, updates)
    program = speed_ours.compiled(task)
    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    multiply = jax.jit(lambda a: a @ a)
    work = updates * speed_ours.flops(task) / 1e9
    rates: list[list[float]] = [[], []]
    for _ in range(timing.ROUNDS):
        for run, count, into in (
            (whole(program, updates), work, rates[0]),
            (lambda: multiply(a), 2 * SIDE**3 / 1e9, rates[1]),
        ):
            one = timing.rate(run, count)
            into.append(one)
    row = timing.Row(
        f"population of {seeds}, width 128", "GFLOP/s", rates[0], "matmul", rates[1]
    )
    print(row, flush=True)
    return [row]


def search() -> Rows:
    """Env steps/s of 8 and 16 simulations on a board of 8 x 8."""
    return [
        timing.measure(
            f"search, {simulations} simulations",
            "steps/s",
            SEARCH_ENVS * SEARCH_STEPS,
            speed_ours.searching(simulations, SEARCH_ENVS, SEARCH_STEPS),
        )
        for simulations in (8, 16)
    ]


def cost() -> dict[str, tuple[list[int], list[float]]]:
    """Seconds of an update by size; the slope in logs is 1 where cost is linear."""
    by_field = {}
    base = {"num_seeds": 1, "num_envs": 4, "num_steps": 16}
    for field, low in base.items():
        sizes = [low * size for size in SIZES]
        seconds = []
        for size in sizes:
            task = speed_ours.grown(
                speed_ours.cartpole(1, 4, 8), **{**base, field: size}
            )
            run = whole(speed_ours.compiled(task), 8)
            seconds.append(8 / timing.rate(run, 8, best=3) / 8)
        slope = np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0]
        print(
            f"seconds of an update, {field} {sizes[0]} to {sizes[-1]}: "
            f"{', '.join(f'{s:.2g}' for s in seconds)}; slope of the last decade "
            f"{slope:.2f}",
            flush=True,
        )
        by_field[field] = (sizes, seconds)
    return by_field


def memory(seeds: int = 256, envs: int = 64) -> None:
    """Peak of a process that trains 256 seeds and nothing else."""
    command = [sys.executable, __file__, str(seeds), str(envs)]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    print(f"peak memory, {seeds} seeds of {envs} x 128: {done.stdout.strip()}")


def train_and_weigh(seeds: int, envs: int) -> None:
    """What `memory` starts."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    task = speed_ours.cartpole(seeds, envs, 2)
    jax.block_until_ready(whole(speed_ours.compiled(task), 2)())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{peak / 2**20:.2f} GB, {before / 2**20:.2f} before it started")


def draw_costs(costs: dict[str, tuple[list[int], list[float]]], out: Path) -> None:
    figure, axes = timing.pyplot().subplots(figsize=(5, 4))
    for field, (sizes, seconds) in costs.items():
        size = np.asarray(sizes) / sizes[0]
        axes.loglog(size, np.asarray(seconds) / seconds[0], marker="o", label=field)
    axes.loglog(size, size, color="black", linewidth=0.8, label="linear")
    axes.set_xlabel("times as many")
    axes.set_ylabel("times as long an update")
    axes.legend()
    axes.set_title(timing.machine(), fontsize=7)
    figure.tight_layout()
    timing.write(figure, out)


ROWS = ("ppo", "curves", "corner", "population", "search", "cost", "memory")
CARTPOLE = ("ppo", "curves", "cost", "memory")
"""Rows that train on gymnax's CartPole."""


def _can(row: str) -> bool:
    """Whether a row can be measured here; says so where not."""
    can = row not in CARTPOLE or importlib.util.find_spec("gymnax") is not None
    if not can:
        print(f"{row} is skipped: gymnax is not installed, whose CartPole it trains on")
    return can


def measure(only: str | None, out: Path) -> None:
    """All rows or one, and the figures: ratios, and costs beside them."""
    rows: Rows = []
    measures = {"ppo": ppo, "curves": curves, "corner": corner}
    measures |= {"population": population, "search": search}
    selected = [name for name in ROWS if only in (None, name) and _can(name)]
    for name, one in measures.items():
        if name in selected:
            rows += one()
    if "memory" in selected:
        memory()
    if "cost" in selected:
        draw_costs(cost(), out.with_stem(f"{out.stem}_cost"))
    if any(row.theirs for row in rows) or only is None:
        timing.draw(rows, out)


if __name__ == "__main__":
    train_and_weigh(*(int(each) for each in sys.argv[1:]))
