"""What tools of other people read, at the last checkpoint. Symbols: N seeds."""

import dataclasses
import inspect

from shardsim.inspection import extensions
from shardsim.reports.explorer.panels import base


@dataclasses.dataclass(frozen=True)
class ToolResult:
    """What one tool says."""

    kind: str
    about: str
    """The first line of its docstring."""
    readings: list[base.Reading]
    problem: str
    """Why it says nothing; empty if it does."""


@dataclasses.dataclass(frozen=True)
class Extensions:
    """One entry for each tool."""

    tools: list[ToolResult]


def compute(context: base.PanelContext) -> Extensions | None:
    """None where no tool is registered."""
    tools = extensions.tools()
    if not tools:
        return None
    condition = context.curve_condition
    seen = context.curve_predictions
    outputs = extensions.Outputs(
        value=seen.value[-1],
        shard_values=seen.shard_values[-1],
        gates=seen.gates[-1],
        log_decoder=seen.log_decoder[-1],
        optimal=condition.optimal,
        reachable=condition.reachable,
        context=condition.context,
    )
    return Extensions([_result(tool, outputs) for tool in tools])


def _result(tool: extensions.Tool, outputs: extensions.Outputs) -> ToolResult:
    about = (inspect.getdoc(type(tool)) or "").partition("\n")[0]
    try:
        readings = [base.reading(*each) for each in tool.fit(outputs)]
    except Exception as error:  # of the code of somebody else
        line = " ".join(f"{type(error).__name__}: {error}".split())
        return ToolResult(tool.kind, about, [], line)
    return ToolResult(tool.kind, about, readings, "")
