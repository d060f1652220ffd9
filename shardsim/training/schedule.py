"""How arms are trained: sizes, phases, and the boundaries between compiled calls."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from shardsim.agents import value
from shardsim.agents.agent import AgentConfig
from shardsim.algorithms import update_step
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core.types import Trainable, Trajectory
from shardsim.storage import datasets, run_folder
from shardsim.training import sweep
from shardsim.training.config import TrainConfig
from shardsim.training.phases import Phase
from shardsim.training.population import InitConfig


def hyper(config: TrainConfig, head: value.Head) -> Hyperparameters:
    """The hyper-parameters of N elements of an arm, leaves [N].

    Element g * num_seeds + s is seed s at point g of the grid.
    """
    plain = {
        "learning_rate": config.optimizer.learning_rate,
        "td_lambda": config.td_lambda,
        "temperature": getattr(config.action_selection, "temperature", 1.0),
        "entropy": getattr(config.algorithm, "entropy", 0.0),
        "load_balance": sweep.own_balance(head),
    }
    rows = [{**plain, **point} for point in sweep.points(config.sweep)]
    columns = {
        name: np.repeat([row[name] for row in rows], config.num_seeds) for name in plain
    }
    return Hyperparameters(
        **{name: jnp.asarray(x, jnp.float32) for name, x in columns.items()}
    )


def kept(config: TrainConfig, env: Trainable) -> Trajectory | None:
    """The stored trajectories that some phase learns from.

    Raises:
      RunError: no file of trajectories of this world.
    """
    if all(phase.collect != "dataset" for phase in config.phases):
        return None
    try:
        return datasets.load(Path(config.dataset), env, config.num_steps)
    except run_folder.RunError as error:
        raise run_folder.RunError(f"train.dataset: {error}") from None


def recipe(config: TrainConfig, agent: AgentConfig, env: Trainable) -> InitConfig:
    """What fresh agents depend on besides their keys."""
    return InitConfig(
        agent, config.optimizer, env, config.num_envs, config.objectives, config.devices
    )


def setting(
    config: TrainConfig,
    env: Trainable,
    heads: tuple[value.Head, ...],
    phase: Phase,
) -> update_step.UpdateConfig:
    """What is static while a phase runs."""
    return update_step.UpdateConfig(
        env=env,
        heads=heads,
        action_selection=config.action_selection,
        algorithm=config.algorithm,
        random_walker=config.random_walker,
        optimizer=config.optimizer,
        losses=phase.losses,
        collect=phase.collect,
        num_envs=config.num_envs,
        num_steps=config.num_steps,
        epochs=config.epochs,
        minibatches=config.minibatches,
        num_reset_states=config.num_reset_states,
        discount=config.discount,
        total_updates=config.total_updates,
        mask_fraction=config.mask_fraction,
        precision=config.precision,
        devices=config.devices,
        balanced="load_balance" in config.sweep
        or any(sweep.own_balance(head) > 0 for head in heads),
    )


def phase_at(config: TrainConfig, done: int) -> tuple[Phase, int]:
    """The phase after `done` updates of the run, and how many of them are its own."""
    since = done
    for phase in config.phases:
        if since < phase.updates:
            return phase, since
        since -= phase.updates
    raise ValueError(f"update: got {done} beyond the last phase")


def shared_phases(config: TrainConfig) -> int:
    """How many phases at the start no head takes part in: run once for all arms.

    In them neither the data nor any loss depends on V, and E, D and the auxiliary
    decoder start the same in every arm, so that they stay the same, bit for bit.
    """
    count = 0
    for phase in config.phases:
        if phase.collect == "agent" or phase.losses.value.any:
            break
        count += 1
    return count


def ends(config: TrainConfig) -> dict[str, int]:
    """Updates of the run at the end of each phase, by its name."""
    done = np.cumsum([phase.updates for phase in config.phases]).tolist()
    return dict(zip((phase.name for phase in config.phases), done, strict=True))


def boundaries(config: TrainConfig, start: int) -> tuple[list[int], set[int]]:
    """Updates after which the host gets a turn, and those among them that are kept.

    Log-spaced from `start` (the end of the shared phases), so that the early, fast part
    of value formation is seen; every end of a phase is kept as well.
    """
    total, ended = config.total_updates, ends(config).values()
    spaced = np.geomspace(1, max(total - start, 1), config.num_snapshots).round()
    kept = {start, *(start + int(u) for u in spaced), *(e for e in ended if e >= start)}
    kept = {u for u in kept if u <= total}
    stops = sorted(kept | set(ended))
    filled: list[int] = []
    last = 0
    for stop in stops:
        filled += range(last + config.updates_per_call, stop, config.updates_per_call)
        filled.append(stop)
        last = stop
    return [u for u in filled if u > 0], kept
