"""How fast does each encoder learn, and in which form, inside a loop and outside?

Command:  python benchmarks/encoders_speed.py [--batch 256] [--seeds 1 8]
Time:     minutes on 2 cores; not yet timed at full size. No network.

A row is forward and gradient on a board of 13x13x6: samples a second inside
`lax.scan`, where training happens, and in a program of one step. `plain` is JAX's own
convolution, which is slow inside loops on CPUs: see
`shardsim.agents.encoders.convolution_ops`.
The second pair of figures counts the processor's time instead of the clock's, as if
all cores were ours: it hardly depends on what else runs on the machine.

Last seen: this table has not been run at full size. A smaller program than these (two
convolutions of 16, dense 128, 5 outputs; one seed without a mapped axis), on 2 busy
cores, jax 0.9.2, in the loop, by the processor's time: plain 1.5 k, patches 8.2-9.6 k,
ordered 13.7-15.9 k; 8 seeds that share the batch: plain 1.2 k, patches 8.7-9.0 k,
ordered 8.0-8.1 k.
"""

import argparse
import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from shardsim.agents import encoders
from shardsim.agents.encoders import convolution_ops

BOARD = (13, 13, 6)
STEPS = 4
ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class Row:
    """Samples a second: by the clock, and by the processor's time on all cores."""

    name: str
    seeds: int
    place: str
    rate: float
    processor: float

    def __str__(self) -> str:
        return (
            f"{self.name:20s} {self.seeds:3d} seeds  {self.place:8s} "
            f"{self.rate:10.0f}/s  by processor time {self.processor:10.0f}/s"
        )


def machine() -> str:
    """Processor, cores, load and versions: figures mean nothing without them."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{platform.processor() or platform.machine()}, {cores} cores, load "
        f"{os.getloadavg()[0]:.1f}, {jax.default_backend()}; jax {jax.__version__}"
    )


def choices() -> Iterator[tuple[str, encoders.EncoderConfig, bool]]:
    """Name, encoder, and whether convolutions are JAX's own instead of ours."""
    yield "mlp", encoders.MLPEncoder(), False
    boards: tuple[encoders.ConvEncoder | encoders.ImpalaEncoder, ...] = (
        encoders.ConvEncoder(),
        encoders.ImpalaEncoder(),
    )
    for config in boards:
        real = dataclasses.replace(config, implementation="conv")
        patched = dataclasses.replace(config, implementation="patches")
        yield f"{config.kind} plain", real, True
        yield f"{config.kind} ordered", real, False
        yield f"{config.kind} patches", patched, False
    yield "attention", encoders.AttentionEncoder(), False


def descend(encoder: Any, boards: jax.Array) -> Any:
    """One step of gradient descent on the mean square of the features."""
    slope = jax.grad(lambda e: jnp.mean(jax.vmap(e)(boards) ** 2))(encoder)
    return jax.tree.map(lambda a, b: a - 1e-3 * b, encoder, slope)


def program(
    config: encoders.EncoderConfig, seeds: int, batch: int, loop: bool
) -> tuple[Callable[[], Any], int]:
    """A compiled program and the number of samples that a call takes."""
    keys = jax.random.split(jax.random.key(0), seeds)
    encoder = jax.vmap(lambda key: config.build(BOARD, nnx.Rngs(key)))(keys)
    steps, each = (STEPS if loop else 1), max(1, batch // seeds)
    drawn = np.random.default_rng(0).random((steps, seeds, each, *BOARD)) < 0.2
    boards = jnp.asarray(drawn.astype(np.uint8))
    step = jax.vmap(descend)

    def looped(encoder: Any, boards: jax.Array) -> Any:
        return jax.lax.scan(lambda m, b: (step(m, b), None), encoder, boards)[0]

    def once(encoder: Any, boards: jax.Array) -> Any:
        return step(encoder, boards[0])

    compiled = jax.jit(looped if loop else once).lower(encoder, boards).compile()
    return lambda: jax.block_until_ready(
        compiled(encoder, boards)
    ), steps * seeds * each


def measure(name: str, seeds: int, place: str, run: Callable[[], Any], n: int) -> Row:
    """The best of some rounds; the first call is not timed."""
    run()
    cores = len(os.sched_getaffinity(0))
    clock = busy = np.inf
    for _ in range(ROUNDS):
        began, before = time.perf_counter(), time.process_time()
        run()
        clock = min(clock, time.perf_counter() - began)
        busy = min(busy, time.process_time() - before)
    return Row(name, seeds, place, n / clock, cores * n / max(busy, 1e-9))


def table(batch: int, seeds: Sequence[int]) -> list[Row]:
    """All rows, printed as they come; seeds share the batch."""
    rows = []
    for count in seeds:
        for name, config, plain in choices():
            for place in ("in loop", "outside"):
                ordered = convolution_ops.plain if plain else convolution_ops.ordered
                with mock.patch.object(convolution_ops, "ordered", ordered):
                    run, n = program(config, count, batch, place == "in loop")
                rows.append(measure(name, count, place, run, n))
                print(rows[-1], flush=True)
    return rows


def main(words: Sequence[str] | None = None) -> int:
    """The table on the standard output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 8])
    chosen = parser.parse_args(words)
    print(machine())
    table(chosen.batch, chosen.seeds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
