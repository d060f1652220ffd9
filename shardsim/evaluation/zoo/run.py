"""Make a zoo, or what is missing of one, seed by seed."""

import concurrent.futures
import functools
import logging
import threading
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import jax
from flax import nnx

from shardsim.agents import encoders
from shardsim.core import config as configs
from shardsim.core import json_text, processor
from shardsim.evaluation.zoo import (
    calibration,
    folder,
    making,
    measuring,
    nets,
    ordinary,
    states,
)
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.storage import records

LOG = logging.getLogger(__name__)
Advance = Callable[[str], None]
SEEDS_AT_ONCE = 4
"""Most seeds that are made side by side; each takes about a gigabyte."""


def run(
    config: ZooConfig,
    path: Path,
    advance: Advance = lambda done: None,
    asked: Mapping[str, ordinary.Agents] = types.MappingProxyType({}),
) -> calibration.ZooResult:
    """Train, build and measure every member of every seed, and judge the metrics.

    What is in the folder already is read, not made again.

    Args:
      path: folder of the zoo, which `folder.opened` has made.
      advance: called after each member of a seed, and after each ordinary agent.
      asked: the agents of `config.agents`, as `ordinary.read` gives them.
    """
    scored = [n for n, m in config.members.items() if m.shards != "component"]
    zoo = _Zoo(config, path)
    with warnings.catch_warnings():
        # the fits of `recovery` all have the same few steps, so that a zoo can afford
        # them. Filters belong to the process: they are set before there are threads
        warnings.filterwarnings("ignore", "distillation: not converged")
        seeds = _measure_seeds(zoo, scored, advance)
        beside = {
            name: calibration.Beside(
                agents.parameters, _measure_agents(zoo, name, agents, advance)
            )
            for name, agents in asked.items()
        }
    each = {name: [of_seed[name] for of_seed in seeds] for name in scored}
    parameters = {name: zoo.parameters(name) for name in scored}
    digest = configs.digest(config)
    result = calibration.judge(config, digest, parameters, each, beside)
    text = json_text.dumps(configs.to_dict(result), indent=1, allow_nan=False)
    folder.save_text(path, folder.RESULTS, text + "\n")
    return result


def _measure_seeds(
    zoo: "_Zoo", scored: list[str], advance: Advance
) -> list[dict[str, measuring.Measured]]:
    """[N] the measured members of every seed, as many seeds at once as there are cores.

    Compiled programs run outside of the interpreter's lock, and those of a zoo are
    small: one seed keeps one core busy.
    """
    stopped = threading.Event()
    finished = threading.Lock()

    def measure(seed: int) -> dict[str, measuring.Measured]:
        of_seed, each = _Seed(zoo, seed), {}
        try:
            for name in zoo.config.members:
                if stopped.is_set():
                    break
                if name in scored:
                    each[name] = of_seed.measured(name)
                with finished:
                    advance(f"seed {seed}: {name}")
        except BaseException:
            stopped.set()
            raise
        return each

    seeds = range(zoo.config.num_seeds)
    workers = min(len(processor.cores()), SEEDS_AT_ONCE, len(seeds))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            return list(pool.map(measure, seeds))
        except BaseException:
            # members that are being made are finished and saved; no other is begun
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _measure_agents(
    zoo: "_Zoo", name: str, agents: ordinary.Agents, advance: Advance
) -> list[measuring.Measured]:
    """[N] what is measured of the ordinary agents of one name."""
    each = []
    for seed in range(agents.num_seeds):
        path = folder.scores(zoo.path, f"{folder.AGENTS}{name}", seed)
        known = records.read(path, measuring.Measured) if path.exists() else None
        scores = known.scores if known else {}
        if known is None or measuring.missing(zoo.config, scores, agents.digest):
            known = ordinary.measure(zoo.config, agents, seed, zoo.batteries, known)
            records.write(path, known)
        each.append(known)
        advance(f"agent {seed} of {name}")
    return each


class _Zoo:
    """What all seeds share, made when it is first asked for."""

    def __init__(self, config: ZooConfig, path: Path) -> None:
        self.config = config
        self.path = path
        # seeds are made side by side, and a cached property has no lock
        self._listing = threading.RLock()

    @property
    def pool(self) -> states.Pool:
        with self._listing:
            return self._pool

    @property
    def batteries(self) -> tuple[states.Battery, ...]:
        with self._listing:
            return self._batteries

    @functools.cached_property
    def _pool(self) -> states.Pool:
        LOG.info("listing the states to train on")
        return states.pool(self.config)

    @functools.cached_property
    def _batteries(self) -> tuple[states.Battery, ...]:
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
        if known is not None and not measuring.missing(self.config, known.scores):
            return known
        net = self.net(name)
        each = [
            measuring.subject_of(self.config, name, net, self.encoder, b, self.seed)
            for b in self.zoo.batteries
        ]
        measured = measuring.measure(self.config, self.zoo.batteries[0], each, known)
        records.write(path, measured)
        return measured
