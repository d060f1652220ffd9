"""A head of one part described by a few gated experts: fitted, not built in.

V of the last checkpoint of the first seed is distilled from E's features into softmax-
gated shards, on the levels of the curves; a quarter of these levels is held out.
`inspection.recovery` asks the whole question, over K and beside controls of equal size.

Symbols: n states, L levels, D features, K experts, M mazes, X states of a maze.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from shardsim.core import jit
from shardsim.evaluation import battery
from shardsim.inspection.shards import distillation
from shardsim.reports.explorer import activations
from shardsim.reports.explorer.activations import Inside
from shardsim.reports.explorer.forward import Boards, Whole

EXPERTS = 4
WIDTH = 2
"""Hidden units of an expert: enough for a linear function."""
RESTARTS = 2
STEPS = 800
BATCH = 128
RATE = 0.03
FEWEST = 20
"""States to learn from."""


def fitted(
    inner: Inside,
    whole: Whole,
    condition: battery.Condition,
    boards: Boards,
) -> dict[str, Any]:
    """Gates and values of the experts in the mazes, with R^2 on levels not learnt from.

    {} for a head with parts of its own, and where there is nothing to learn.
    """
    count = len(boards.kept)
    mask = condition.reachable[count:]
    levels = len(mask)
    if (
        whole.gates.shape[-1] > 1
        or levels < 2
        or not np.isfinite(whole.value[-1, 0]).all()
    ):
        return {}
    features = inner.features[0]
    value = whole.value[-1, 0]
    held = np.arange(levels) >= levels - max(1, levels // 4)
    learnt, tested = (mask & side_of[:, None] for side_of in (~held, held))
    y, x = value[count:], features[count:]
    if learnt.sum() < FEWEST or min(np.ptp(y[learnt]), np.ptp(y[tested])) == 0:
        return {}
    middle, spread = x[learnt].mean(axis=0), x[learnt].std(axis=0)
    mean, sd = y[learnt].mean(), y[learnt].std()

    shown = activations.shown(features[:count], boards, 0)
    rows = [
        (part - middle) / np.where(spread > 0, spread, 1)
        for part in (x[learnt], x[tested], shown.reshape(-1, shown.shape[-1]))
    ]
    size, said, gates, parts = _distilled(rows, (y[learnt] - mean) / sd)
    ends = np.cumsum([learnt.sum(), tested.sum()])
    train = _explained(mean + sd * said[:, : ends[0]], y[learnt])
    held_out = _explained(mean + sd * said[:, ends[0] : ends[1]], y[tested])
    # chosen by what it learnt from, never by what it is judged by
    best = int(np.argmax(train))
    shape = (*shown.shape[:2], EXPERTS)
    each = np.abs(gates[best] * (mean + sd * parts[best]))[: ends[1]].sum(axis=0)
    return {
        "experts": EXPERTS,
        "gates": gates[best, ends[1] :].reshape(shape),
        "parts": (mean + sd * parts[best, ends[1] :]).reshape(shape),
        "share": each / max(float(each.sum()), 1e-12),
        "train R2": float(train[best]),
        "held-out R2": float(held_out[best]),
        "restarts": held_out,
        "parameters": size,
        "states": int(learnt.sum()),
        "levels": int((~held).sum()),
        "levels held out": int(held.sum()),
    }


def _distilled(
    rows: list[np.ndarray], targets: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, and value, gates and parts in all rows; the first are learnt from."""
    sizes = distillation.shard_sizes(rows[0].shape[-1], (EXPERTS,), WIDTH)

    def learnt(key: Array, x: Array, y: Array) -> Any:
        return distillation.fit(key, sizes, x, y, RESTARTS, STEPS, BATCH, RATE)

    # one program: drawing the weights by itself compiles many small ones
    graph, states = jit.jit(learnt)(
        jax.random.key(0), jnp.asarray(rows[0]), jnp.asarray(targets)
    )
    said = distillation.predict_all(graph, states, jnp.asarray(np.concatenate(rows)))
    value, gates, parts = map(np.asarray, said)
    return int(sizes.parameters[0]), value, gates, parts


def _explained(said: np.ndarray, y: np.ndarray) -> np.ndarray:
    """R^2 of each restart."""
    left = np.square(said - y[None]).mean(axis=1)
    return (1 - left / y.var()).astype(np.float32)
