"""Make a zoo, or what is missing of one, seed by seed."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
from flax import nnx

from shardsim.agents import encoders
from shardsim.core import config as configs
from shardsim.core import json_text
from shardsim.evaluation.zoo import calibration, folder, making, measuring, nets, states
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.storage import records

LOG = logging.getLogger(__name__)
Advance = Callable[[str], None]


def run(
    config: ZooConfig, path: Path, advance: Advance = lambda done: None
) -> calibration.ZooResult:
    """Train, build and measure every member of every seed, and judge the metrics.

    What is in the folder already is read, not made again.

    Args:
      path: folder of the zoo, which `folder.begin` has made.
      advance: called after each member of a seed.
    """
    scored = [n for n, m in config.members.items() if m.shards != "component"]
    each: dict[str, list[measuring.Measured]] = {name: [] for name in scored}
    zoo = _Zoo(config, path)
    for seed in range(config.num_seeds):
        of_seed = _Seed(zoo, seed)
        for name in config.members:
            if name in each:
                each[name].append(of_seed.measured(name))
            advance(f"seed {seed}: {name}")
    parameters = {name: zoo.parameters(name) for name in scored}
    result = calibration.judge(config, configs.digest(config), parameters, each)
    text = json_text.dumps(configs.to_dict(result), indent=1, allow_nan=False)
    folder.save_text(path, folder.RESULTS, text + "\n")
    return result


class _Zoo:
    """What all seeds share, made when it is first asked for."""

    def __init__(self, config: ZooConfig, path: Path) -> None:
        self.config = config
        self.path = path

    @functools.cached_property
    def pool(self) -> states.Pool:
        LOG.info("listing the states to train on")
        return states.pool(self.config)

    @functools.cached_property
    def batteries(self) -> tuple[states.Battery, ...]:
        LOG.info("listing the states to measure on")
        return tuple(states.measured(self.config, s) for s in self.config.batteries)

    def parameters(self, name: str) -> int:
        """Parameters of V of a member."""
        abstract = nnx.eval_shape(lambda: _Seed(self, 0).untrained(name).head)
        return sum(x.size for x in jax.tree.leaves(nnx.state(abstract, nnx.Param)))


class _Seed:
    """E and the members of one seed, read or made when they are first asked for."""

    def __init__(self, zoo: _Zoo, seed: int) -> None:
        self.zoo = zoo
        self.config = zoo.config
        self.seed = seed
        self.nets: dict[str, nets.Net] = {}

    @functools.cached_property
    def encoder(self) -> encoders.MLP:
        path = folder.encoder(self.zoo.path, self.seed)
        if path.exists():
            key = making.seed_key(self.config, self.seed)
            blank = making.build_encoder(self.config, key)
            return cast(encoders.MLP, folder.read_module(path, blank))
        LOG.info("seed %d: training E", self.seed)
        trained = making.train_encoder(self.config, self.zoo.pool, self.seed)
        folder.write_module(path, trained)
        return trained

    @functools.cached_property
    def examples(self) -> making.Examples:
        return making.examples(self.config, self.zoo.pool, self.encoder, self.seed)

    def untrained(self, name: str) -> nets.Net:
        """The network of a member whose parameters count for nothing."""
        member = self.config.members[name]
        return making.untrained(self.config, member, self.untrained, self.seed)

    def net(self, name: str) -> nets.Net:
        if name not in self.nets:
            self.nets[name] = self._read_or_make(name)
        return self.nets[name]

    def _read_or_make(self, name: str) -> nets.Net:
        path = folder.member(self.zoo.path, name, self.seed)
        if path.exists():
            return cast(nets.Net, folder.read_module(path, self.untrained(name)))
        LOG.debug("seed %d: making %s", self.seed, name)
        made = making.make(self.config, name, self.examples, self.net, self.seed)
        folder.write_module(path, made)
        return made

    def measured(self, name: str) -> measuring.Measured:
        """What is measured of a member; known scores are kept."""
        path = folder.scores(self.zoo.path, name, self.seed)
        known = records.read(path, measuring.Measured) if path.exists() else None
        asked = measuring.missing(self.config, known.scores if known else {})
        if known is not None and not asked:
            return known
        net = self.net(name)
        found = [
            measuring.subject_of(self.config, name, net, self.encoder, b, self.seed)
            for b in self.zoo.batteries
        ]
        subjects = tuple(subject for subject, _ in found)
        first = self.zoo.batteries[0]
        fraction, error, told = measuring.facts(self.config, first, *found[0])
        scores: dict[str, Any] = dict(known.scores) if known else {}
        for metric_name, metric in asked.items():
            scores[metric_name] = measuring.score(metric, metric_name, subjects)
        measured = measuring.Measured(
            return_fraction=records.number(fraction),
            value_error=records.number(error),
            gate_information=records.number(told),
            scores=scores,
        )
        records.write(path, measured)
        return measured
