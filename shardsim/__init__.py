"""Train the same agent with one value network and with shards, and look inside both.

    import shardsim

    run = shardsim.run("experiments/quickstart.yaml", train={"num_seeds": 4})
    run = shardsim.load("runs/quickstart")       # or a run that is there
    run.results.answer                           # what the experiment says
    levels = run.levels(count=2)                 # or run.levels(text, ...)
    run.agents("sharded").value(levels)          # V of every seed
    run.seed(3).ablate(shard=2).plot.value("sharded", levels)
    run.seed(3).watch("mlp", "sharded")          # an episode of each, as a film
    run.inspect()                                # the page, inside a notebook

What stands here is the public interface: only it keeps its names and meanings from one
minor version to the next. Import shardsim before JAX: the numbers of `shardsim.run` are
then those of the command `shardsim run`, to the bit. (Its CPU is then as many JAX
devices as it has cores, and LAPACK has one thread, as in a command.)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shardsim import testing
    from shardsim.api.configs import config, to_yaml
    from shardsim.api.film import Film
    from shardsim.api.levels import Levels, levels
    from shardsim.api.page import Page
    from shardsim.api.plots import Plots
    from shardsim.api.population import Agents
    from shardsim.api.runs import Run, load
    from shardsim.api.tables import table
    from shardsim.api.training import run
    from shardsim.api.wrapped import wrap
    from shardsim.core.extensions import register
    from shardsim.core.field_errors import ConfigError
    from shardsim.core.fields import record
    from shardsim.evaluation.networks import Outputs
    from shardsim.storage.run_files import RunError

_HOME = {
    "Agents": "api.population",
    "ConfigError": "core.field_errors",
    "Film": "api.film",
    "Levels": "api.levels",
    "Outputs": "evaluation.networks",
    "Page": "api.page",
    "Plots": "api.plots",
    "Run": "api.runs",
    "RunError": "storage.run_files",
    "config": "api.configs",
    "levels": "api.levels",
    "load": "api.runs",
    "record": "core.fields",
    "register": "core.extensions",
    "run": "api.training",
    "table": "api.tables",
    "to_yaml": "api.configs",
    "wrap": "api.wrapped",
}
"""The module that defines each name; it is imported at first use."""

__all__ = [
    "Agents",
    "ConfigError",
    "Film",
    "Levels",
    "Outputs",
    "Page",
    "Plots",
    "Run",
    "RunError",
    "config",
    "levels",
    "load",
    "record",
    "register",
    "run",
    "table",
    "testing",
    "to_yaml",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("shardsim")
    if name == "testing":
        return importlib.import_module("shardsim.testing")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"shardsim.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
