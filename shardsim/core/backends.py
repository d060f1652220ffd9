"""What programs for each kind of device get: one table, with the reasons.

Each choice changes how a program computes its results. On one kind of device they are
the same to the bit from run to run; between two kinds they differ by rounding.

The choices are taken while a program is traced. They are those of the device that it is
traced for, which need not be in this machine: see `target`.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import jax

OPTIMIZATION_LEVEL: Final = "xla_backend_optimization_level"
"""XLA's option for the level of LLVM's optimization on CPUs."""
DETERMINISTIC: Final = "xla_gpu_deterministic_ops"
"""XLA's option for GPU kernels whose sums have a fixed order."""

Convolution: TypeAlias = Literal["conv", "patches"]


@dataclasses.dataclass(frozen=True)
class Backend:
    """The choices for one kind of device."""

    block_samples: int | None
    """Samples in the minibatches of the seeds that are updated together; None: all
    seeds of a device together."""
    convolution: Convolution
    """Form of a convolution whose kernels have a mapped axis, the seeds."""
    orders_factors: bool
    """Whether gradients of products and convolutions are written with the longer side
    last, and kept so by barriers."""
    skips_resets: bool
    """Whether a step in which no episode ends branches around the reset."""
    matmul_precision: Literal["highest"] | None
    """JAX's precision for products of float32; None: its default."""
    compiler_options: Mapping[str, bool | int]
    """Options of XLA for whole programs."""


TABLE: Final[Mapping[str, Backend]] = MappingProxyType(
    {
        "cpu": Backend(
            # the activations of a block stay in the cache: with 2048 samples each, 64
            # seeds train 1.5 times as fast one by one as together
            block_samples=2048,
            # a convolution with mapped kernels becomes a grouped one, for which XLA:CPU
            # has no fast code
            convolution="patches",
            # XLA:CPU is up to ten times slower at the other order
            orders_factors=True,
            # the reset reads whole states: without it a step is three times faster
            skips_resets=True,
            # products of float32 are exact in any case
            matmul_precision=None,
            # saves a sixth to a half of the compile time; only a search runs slower, by
            # 3 % (level 1: 4 %, and nothing compiles faster)
            compiler_options=MappingProxyType({OPTIMIZATION_LEVEL: 2}),
        ),
        "gpu": Backend(
            # small kernels leave the device idle: the more seeds in one, the better
            block_samples=None,
            # cuDNN has grouped convolutions, and patches would take k * k times the
            # memory of a board
            convolution="conv",
            # cuBLAS and cuDNN take any order; barriers would only prevent fusion
            orders_factors=False,
            # the host has to read from the device which branch is next, at every step
            skips_resets=False,
            # otherwise TF32: 10 bits of a product, coarser than the differences of V
            # that a lookahead at temperature 0.01 acts on
            matmul_precision="highest",
            # sums in a fixed order, and no kernel chosen by a race: the same bits from
            # run to run, as resume needs
            compiler_options=MappingProxyType({DETERMINISTIC: True}),
        ),
        "tpu": Backend(
            # the matrix unit multiplies 128 x 128 or larger: one block fills it best
            block_samples=None,
            # convolutions run in the matrix unit; patches would be copied to memory
            convolution="conv",
            # layouts are the compiler's; barriers would only prevent fusion
            orders_factors=False,
            # a branch ends fusion, and on a TPU both of its sides are often computed
            skips_resets=False,
            # otherwise one pass in bfloat16: 8 bits of a product
            matmul_precision="highest",
            # programs are deterministic without any
            compiler_options=MappingProxyType({}),
        ),
    }
)
"""The choices by name of the backend, as `jax.default_backend` has it.

No accelerator was at hand: the rows of gpu and tpu follow from how these devices and
their compilers work, and `benchmarks/accelerator.py` is there to test them.
"""

_target: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "target", default=None
)


def current() -> str:
    """Name of the backend that programs are traced for: by default that of JAX.

    A backend that is not in the table counts as "gpu".
    """
    name = _target.get() or jax.default_backend()
    return name if name in TABLE else "gpu"


def choices() -> Backend:
    """The choices for the backend that programs are traced for."""
    return TABLE[current()]


def use_precision() -> None:
    """Give all programs of this process the precision of products of the device.

    Those of `core.jit` have it in any case. It starts JAX's backend.
    """
    jax.config.update("jax_default_matmul_precision", choices().matmul_precision)


@contextlib.contextmanager
def target(name: Literal["cpu", "gpu", "tpu"]) -> Iterator[None]:
    """Trace programs in the block for another kind of device than JAX has here.

    For lowering alone: what was traced for another device is not to be run.
    """
    token = _target.set(name)
    try:
        yield
    finally:
        _target.reset(token)
