"""A head without shards described by a few gated experts: fitted, not built in.

V of the first seed at the last checkpoint is distilled from E's features into softmax-
gated experts, on the levels of the curves; a quarter of these levels is held out.
`inspection.shards.recovery` asks the whole question, over K and beside controls.

Symbols: n states, L levels, D features, K experts, M mazes, X states of a maze.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.core import jit
from shardsim.inspection.shards import distillation
from shardsim.reports.explorer import activations
from shardsim.reports.explorer.panels import base

EXPERTS = 4
WIDTH = 2
"""Hidden units of an expert: enough for a linear function."""
RESTARTS = 2
STEPS = 800
BATCH = 128
RATE = 0.03
FEWEST = 20
"""States to learn from."""


@dataclasses.dataclass(frozen=True)
class Distillation:
    """Gates and values of the experts in the mazes, and how well they fit V."""

    num_experts: int
    gates: Float[np.ndarray, "M X K"]
    expert_values: Float[np.ndarray, "M X K"]
    share: Float[np.ndarray, " K"]
    """Of the mean |contribution|."""
    train_r2: float
    test_r2: float
    """On the held-out levels."""
    restarts_r2: Float[np.ndarray, " R"]
    """The same for every restart."""
    num_parameters: int
    train_states: int
    train_levels: int
    test_levels: int
    fits: list[base.Fits]


def compute(context: base.PanelContext) -> Distillation | None:
    """None for a head with shards of its own, and where there is nothing to learn."""
    mazes, predictions = context.num_mazes, context.predictions
    mask = context.condition.reachable[mazes:]
    levels = len(mask)
    value = predictions.value[-1, 0]
    if predictions.gates.shape[-1] > 1 or levels < 2 or not np.isfinite(value).all():
        return None
    features = context.activations.features[0]
    is_test = np.arange(levels) >= levels - max(1, levels // 4)
    train, test = (mask & chosen[:, None] for chosen in (~is_test, is_test))
    y, x = value[mazes:], features[mazes:]
    if train.sum() < FEWEST or min(np.ptp(y[train]), np.ptp(y[test])) == 0:
        return None
    centre, spread = x[train].mean(axis=0), x[train].std(axis=0)
    mean, sd = y[train].mean(), y[train].std()

    drawn = activations.in_mazes(features[:mazes], context.mazes, 0)
    rows = [
        (part - centre) / np.where(spread > 0, spread, 1)
        for part in (x[train], x[test], drawn.reshape(-1, drawn.shape[-1]))
    ]
    size, fits, gates, values, converged = _distill(rows, (y[train] - mean) / sd)
    ends = np.cumsum([train.sum(), test.sum()])
    train_r2 = _r2(mean + sd * fits[:, : ends[0]], y[train])
    test_r2 = _r2(mean + sd * fits[:, ends[0] : ends[1]], y[test])
    # chosen by the fit to the training levels, never by the held-out ones
    best = int(np.argmax(train_r2))
    shape = (*drawn.shape[:2], EXPERTS)
    each = np.abs(gates[best] * (mean + sd * values[best]))[: ends[1]].sum(axis=0)
    return Distillation(
        num_experts=EXPERTS,
        gates=gates[best, ends[1] :].reshape(shape),
        expert_values=(mean + sd * values[best, ends[1] :]).reshape(shape),
        share=each / max(float(each.sum()), 1e-12),
        train_r2=float(train_r2[best]),
        test_r2=float(test_r2[best]),
        restarts_r2=test_r2,
        num_parameters=size,
        train_states=int(train.sum()),
        train_levels=int((~is_test).sum()),
        test_levels=int(is_test.sum()),
        # one seed, whatever the number of restarts
        fits=[base.fits("restart of the fit", converged[None])],
    )


def _distill(
    rows: list[np.ndarray], targets: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Number of parameters; value, gates and expert values in all rows; convergence.

    The fit is to the first rows.
    """
    sizes = distillation.shard_sizes(rows[0].shape[-1], (EXPERTS,), WIDTH)

    def fit(x: Array, y: Array, key: Array) -> distillation.Fit:
        return distillation.fit(
            sizes, x, y, key, restarts=RESTARTS, steps=STEPS, batch=BATCH, rate=RATE
        )

    # one program: drawing the weights by itself compiles many small ones
    fitted = jit.jit(fit)(jnp.asarray(rows[0]), jnp.asarray(targets), jax.random.key(0))
    outputs = distillation.predict_all(
        fitted.graph, fitted.states, jnp.asarray(np.concatenate(rows))
    )
    value, gates, values = map(np.asarray, outputs)
    converged = np.asarray(fitted.converged)
    return int(sizes.parameters[0]), value, gates, values, converged


def _r2(fits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """R^2 of each restart."""
    error = np.square(fits - y[None]).mean(axis=1)
    return (1 - error / y.var()).astype(np.float32)
