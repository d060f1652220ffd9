"""The laws of tools. Symbols: N seeds, L levels, S states, K shards."""

from typing import Any

import numpy as np

from shardsim.inspection import extensions
from shardsim.testing import law

SEEDS, LEVELS, STATES, SHARDS, ACTIONS = 3, 4, 10, 2, 4


def check_tool(tool: Any) -> None:
    """Check a tool: named readings, a number for each seed, whatever their order.

    Args:
      tool: with its settings.

    Raises:
      AssertionError: a law is broken; the text says which.

    Examples:
      >>> import numpy as np
      >>> from shardsim import testing
      >>> from shardsim.inspection.extensions import ToolReading
      >>> @shardsim.record
      ... class Spread:
      ...     '''How far V of one state is from that of another.'''
      ...
      ...     kind: typing.Literal["spread"] = "spread"
      ...
      ...     def fit(self, outputs):
      ...         of_states = outputs.value[:, outputs.reachable].std(axis=1)
      ...         meaning = "standard deviation of V over states"
      ...         return (ToolReading("spread", meaning, of_states, 0.0, "a constant"),)
      >>> testing.check_tool(Spread())
    """
    what = f"tool {getattr(tool, 'kind', type(tool).__name__)!r}"
    law.frozen(what, tool)
    law.has(what, tool, "fit")
    has_text = bool(type(tool).__doc__)
    law.hold(what, "has no docstring, which the page shows", has_text)
    outputs = _outputs()
    order = np.roll(np.arange(SEEDS), 1)
    turned = outputs._replace(
        **{name: getattr(outputs, name)[order] for name in outputs._fields[:4]}
    )
    readings, others = tuple(tool.fit(outputs)), tuple(tool.fit(turned))
    law.hold(what, "returns no readings", bool(readings))
    names = [reading.name for reading in readings]
    law.hold(what, "two readings have one name", len(set(names)) == len(names))
    for reading, other in zip(readings, others, strict=True):
        for text in (reading.name, reading.meaning, reading.nothing_meaning):
            is_text = isinstance(text, str) and bool(text)
            law.hold(what, "a name or meaning is no text", is_text)
        shape = np.shape(reading.values)
        law.hold(what, f"{reading.name!r} has shape {shape}", shape == (SEEDS,))
        law.hold(what, f"{reading.name!r} is infinite", ~np.isinf(reading.values))
        expected = np.asarray(reading.values)[order]
        law.close(what, "the order of the seeds counts", other.values, expected)


def _outputs() -> extensions.Outputs:
    """Random shards and gates, whose sum is V, and a random D."""
    random = np.random.default_rng(0)
    shape = (SEEDS, LEVELS, STATES)
    shard_values = random.normal(size=(*shape, SHARDS)).astype(np.float32)
    gates = random.dirichlet(np.ones(SHARDS), size=shape).astype(np.float32)
    logits = random.normal(size=(*shape, ACTIONS))
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return extensions.Outputs(
        value=(gates * shard_values).sum(axis=-1),
        shard_values=shard_values,
        gates=gates,
        log_decoder=logits.astype(np.float32),
        optimal=random.random((LEVELS, STATES)).astype(np.float32),
        reachable=random.random((LEVELS, STATES)) < 0.8,
        context=np.eye(2, dtype=np.float32)[random.integers(2, size=(LEVELS, STATES))],
    )
