"""Our training, set up as the peers' is, in programs that can be timed by themselves.

Symbols: N seeds, B environments, T steps.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import shardsim_envs as worlds
from shardsim import algorithms
from shardsim.agents import action_selection, encoders, value
from shardsim.agents import agent as agents
from shardsim.algorithms import losses, optimizers, update_step
from shardsim.core.types import Trainable
from shardsim.training import external_envs, phases, population, schedule
from shardsim.training.config import TrainConfig

JOINT = losses.LossWeights(
    policy=losses.GradientScales(encoder=1.0, decoder=1.0),
    value=losses.GradientScales(encoder=1.0, value=0.5),
)
"""D and V both move what they have in common."""


class Task(NamedTuple):
    """A training without its run folder."""

    world: Trainable
    agent: agents.AgentConfig
    head: value.Head
    width: int
    config: TrainConfig

    @property
    def steps(self) -> int:
        """Of all environments of all seeds in one update."""
        c = self.config
        return c.num_envs * c.num_steps * c.population


class Program(NamedTuple):
    """A training, compiled: from keys to the end of it."""

    seconds: float
    """To trace and compile."""
    start: Callable[[], update_step.TrainState]
    go: Callable[[update_step.TrainState, int], tuple[update_step.TrainState, Any]]
    memory: float
    """Bytes of all devices that a chunk of updates takes; NaN if the compiler does not
    say it."""


def compiled(task: Task) -> Program:
    """Trace and compile a training; what was compiled before is forgotten."""
    jax.clear_caches()
    config, phase = task.config, task.config.phases[0]
    recipe = schedule.init_config(config, task.agent, task.world)
    params = phases.params_of(task.world, phase)
    source = update_step.PhaseInputs(params)
    setting = schedule.update_config(config, task.world, (task.head,), phase)
    keys, hyper = spread(
        (
            population.seed_keys(config.seed, config.num_seeds),
            schedule.hyperparameters(config, task.head),
        ),
        config.devices,
    )
    began = time.perf_counter()
    static = (recipe, task.head, task.width)
    init = population.init.lower_and_compile(*static, params, keys, hyper)
    first = spread(init(params, keys, hyper), config.devices)
    count = jnp.int32(1)
    chunk = population.chunk.lower_and_compile(setting, first, source, count)
    seconds = time.perf_counter() - began

    def go(
        carry: update_step.TrainState, updates: int
    ) -> tuple[update_step.TrainState, Any]:
        return chunk(carry, source, jnp.int32(updates))

    def start() -> update_step.TrainState:
        state: update_step.TrainState = spread(
            init(params, keys, hyper), config.devices
        )
        return state

    return Program(seconds, start, go, _bytes(chunk) * config.devices)


def _bytes(program: jax.stages.Compiled) -> float:
    """Bytes of a device that a program takes, with its arguments and results."""
    taken = program.memory_analysis()
    if taken is None:
        return float("nan")
    return float(
        taken.argument_size_in_bytes
        + taken.output_size_in_bytes
        + taken.temp_size_in_bytes
        - taken.alias_size_in_bytes
    )


def spread(tree: Any, devices: int) -> Any:
    """The seeds over the devices, as the loop does it."""
    if devices == 1:
        return tree
    mesh = population.mesh(devices)
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("seed")))


def devices(num_seeds: int) -> int:
    """As many as there are, if the seeds can be shared out among them."""
    count = jax.local_device_count()
    return count if num_seeds % count == 0 else 1


def cartpole(num_seeds: int, num_envs: int, updates: int) -> Task:
    """PureJaxRL's settings: what is seen goes into two networks of 64 and 64 tanh."""
    phase = phases.Phase("train", updates, losses=JOINT)
    config = TrainConfig(
        phases=(phase,),
        num_seeds=num_seeds,
        num_envs=num_envs,
        num_steps=128,
        epochs=4,
        minibatches=4,
        num_reset_states=32,
        discount=0.99,
        td_lambda=0.95,
        action_selection=action_selection.PolicyOnly(),
        algorithm=algorithms.PPO(clip=0.2, value_clip=0.2, entropy=0.01),
        optimizer=optimizers.OptimizerConfig(
            learning_rate=2.5e-4,
            clip_norm=0.5,
            clip_scope="agent",
            update_rule=optimizers.Adam(eps=1e-5),
            schedule=optimizers.Schedule("linear"),
        ),
        devices=devices(num_seeds),
    )
    agent = agents.AgentConfig(
        encoder=encoders.FlatEncoder(4),
        decoder_hidden=(64, 64),
        decoder_activation="tanh",
    )
    head = value.MLP(hidden=(64,), activation="tanh")
    return Task(external_envs.Gymnax(id="CartPole-v1"), agent, head, 64, config)


def corner(num_seeds: int = 1, updates: int = 10_000) -> Task:
    """A corner maze as in jaxgmg: the same levels, time limit and reward."""
    world = worlds.CornerMaze(size=13, layout="tree", region=5, max_steps=128)
    config = TrainConfig(
        phases=(phases.Phase("train", updates, losses=JOINT),),
        num_seeds=num_seeds,
        num_envs=256,
        num_steps=32,
        epochs=2,
        minibatches=4,
        num_reset_states=256,
        discount=0.99,
        td_lambda=0.95,
        action_selection=action_selection.PolicyOnly(),
        algorithm=algorithms.PPO(entropy=0.01),
        optimizer=optimizers.OptimizerConfig(learning_rate=1e-3, clip_norm=0.5),
        devices=devices(num_seeds),
    )
    agent = agents.AgentConfig(
        encoders.MLPEncoder(widths=(128, 128)), decoder_hidden=(128,)
    )
    return Task(world, agent, value.MLP(), 128, config)


def curve() -> Task:
    """The corner maze of jaxgmg's curve: blocks, seen with the mouse in the middle."""
    world = worlds.CornerMaze(
        size=13, layout="blocks", region=5, max_steps=128, view="agent"
    )
    return corner()._replace(world=world)


def grown(task: Task, **fields: Any) -> Task:
    """The same task with other sizes."""
    config = dataclasses.replace(task.config, **fields)
    again = dataclasses.replace(config, devices=devices(config.num_seeds))
    return task._replace(config=again)


def flops(task: Task) -> float:
    """Floating-point operations of one update of all seeds, matrices alone.

    A matrix of P weights costs 2 P of a sample going forward, and twice that going
    back, but for the gradient to what is seen. Going forward: E and D when acting, E
    and V on what is seen next and on what is seen, all three in every epoch.
    """
    carry = population.init.compiled.eval_shape(*_ingredients(task))
    agent = carry.learners[0].agent
    sizes = {part: _weights(getattr(agent, part)) for part in agents.PARTS}
    e, d, v = (sum(sizes[part]) for part in ("encoder", "decoder", "value"))
    first = sizes["encoder"][0] if sizes["encoder"] else 0
    forward = 2 * (e + d) + 4 * (e + v)
    epoch = 6 * (e + d + v) - 2 * first
    return float(task.steps * (forward + task.config.epochs * epoch))


def _ingredients(task: Task, num_seeds: int = 1) -> tuple[Any, ...]:
    """Of fresh agents on one device, as `population.init` takes them."""
    one = dataclasses.replace(task.config, num_seeds=num_seeds, devices=1)
    recipe = schedule.init_config(one, task.agent, task.world)
    keys = population.seed_keys(0, num_seeds)
    hyper = schedule.hyperparameters(one, task.head)
    params = task.world.params()
    return recipe, task.head, task.width, params, keys, hyper


def _weights(part: Any) -> list[int]:
    """Sizes of the matrices of a part, of one seed."""
    leaves = jax.tree.leaves(part)
    return [int(np.prod(x.shape[1:])) for x in leaves if len(x.shape) == 3]


def searching(simulations: int, num_envs: int, num_steps: int) -> Callable[[], Any]:
    """Act, search and step: T x B steps on a board of 8 x 8 with a fruit.

    It is seen as it lies: 256 numbers into E of 64, D and V of 64. The B environments
    are shared out among as many seeds as there are devices.
    """
    seeds = jax.local_device_count()
    world = worlds.ContextFruits(
        size=8,
        contexts=1,
        fruits=1,
        rewards=((1.0,),),
        contexts_shown=((0,),),
        view="board",
    )
    envs = num_envs // seeds
    task = grown(corner(), num_seeds=seeds, num_envs=envs, num_steps=num_steps)
    config = dataclasses.replace(
        task.config,
        action_selection=action_selection.Search(simulations=simulations),
        algorithm=algorithms.ExpertIteration(),
        num_reset_states=32,
    )
    agent = agents.AgentConfig(encoders.MLPEncoder(widths=(64,)), decoder_hidden=(64,))
    task = task._replace(world=world, agent=agent, config=config, width=64)
    setting = schedule.update_config(config, world, (task.head,), config.phases[0])
    source = update_step.PhaseInputs(world.params())
    carry = spread(population.init(*_ingredients(task, seeds)), seeds)

    return lambda: population.collect(setting, carry, source)[0].states
