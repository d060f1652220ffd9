"""FollowMe: a leader visits beacons in the rewarded order in training only.

Beacons light up in a fixed order, one at a time. Reaching the lit one gives reward and
lights the next; the last one ends the episode. A leader visits the beacons too. In
training it takes them in the same order, so "follow the leader" earns the same; in the
test it takes them in another order.

The leader ignores the agent and changes nothing, so the exact value does not depend on
its position. Enumerated states show it at its start.

Reference: the follow-me world of jaxgmg.
"""

import dataclasses
from typing import Annotated, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8
from pydantic import Field

from shardsim.core import fields
from shardsim_envs.gridworld import grid, mazes, movers, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    leader_reliability: Float[Array, ""]
    """Probability that a leader visits the beacons in their order."""
    reward: Float[Array, ""]
    """Reward of the lit beacon."""


class Memory(NamedTuple):
    """What the rules need besides the board; its size grows with the time limit."""

    beacons: Int[Array, "beacons 2"]
    """Cells of the beacons, in the order in which they light up."""
    next: Int[Array, ""]
    """Number of the lit beacon."""
    way: Int[Array, "T 2"]
    """Cell of the leader at each time."""
    phase: Int[Array, ""]
    """Time of the leader, an index of `way`."""
    order: Int[Array, " beacons"]
    """Numbers of the beacons, in the order in which the leader visits them."""


@fields.record
class FollowMe(GridWorld):
    """A leader visits beacons in the rewarded order in training only."""

    SCHEDULED: ClassVar[tuple[str, ...]] = Params._fields
    planes: ClassVar[tuple[str, ...]] = ("wall", "beacon", "lit", "leader")
    reward_sources: ClassVar[tuple[str, ...]] = ("beacon",)
    proxy_names: ClassVar[tuple[str, ...]] = ("leader",)
    required_planes: ClassVar[tuple[str, ...]] = ("beacon", "lit", "leader")
    thing_groups: ClassVar[tuple[tuple[str, ...], ...]] = (("beacon", "lit"),)

    kind: Literal["follow_me"] = "follow_me"
    size: validation.MazeSize = 13
    """Rows and columns of the board, walls included."""
    layout: mazes.Layout = "edges"
    """How walls are placed."""
    beacons: Annotated[int, Field(ge=2, le=8)] = 3
    """Number of beacons in a level."""
    leader_reliability: fields.Fraction = 1.0
    """Probability that the leader of a level visits the beacons in their order."""
    reward: float = 1.0
    """Reward of the lit beacon."""
    max_steps: validation.MaxSteps = 128
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "board"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    def __post_init__(self) -> None:
        room, allowed = validation.room(self, self.beacons + 1)
        rules = {"beacons": (room, f"2 to 8, with the leader {allowed}")}
        validation.check(self, rules)

    @property
    def memory_sizes(self) -> tuple[int, ...]:
        return (self.beacons,)

    def shifted(self) -> "FollowMe":
        """The test: the leader visits the beacons in another order."""
        return dataclasses.replace(self, leader_reliability=0.0)

    def params(self) -> Params:
        return self.arrays(Params)

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        """Draw walls, then cells of beacons, start and leader, then the tour."""
        maze_key, cell_key, order_key = jax.random.split(key, 3)
        walls = mazes.layout(maze_key, self.layout, self.size)
        cells = grid.random_cells(cell_key, ~walls, self.beacons + 2)
        beacons, start = cells[: self.beacons], cells[-1]
        order = movers.tour_order(order_key, self.beacons, params.leader_reliability)
        way = movers.tour(walls, beacons[order], cells[-2], self.max_steps + 1)
        all_beacons = jnp.ones(self.beacons, bool)
        maps = {
            "wall": walls,
            "beacon": grid.mark(self.shape, beacons, all_beacons),
            "lit": grid.plane(self.shape, beacons[0]),
            "leader": grid.plane(self.shape, way[0]),
        }
        memory = Memory(beacons, jnp.int32(0), way, jnp.int32(0), order)
        return self.level(maps, start, memory)

    def fill_memory(self, level: Level) -> Level:
        """An edited level keeps its order; a moved beacon keeps its place in it.

        In a level without memory the lit beacon is the first, the others follow row by
        row, and the leader takes them in the same order.
        """
        beacon, lit = (level.board[..., self.plane(n)] > 0 for n in ("beacon", "lit"))
        old, order = jnp.asarray(level.memory.beacons), jnp.asarray(level.memory.order)
        unmoved = beacon[old[:, 0], old[:, 1]] & order.any()
        new = beacon & ~grid.mark(self.shape, old, unmoved)
        first = (new.astype(jnp.int32) + (new & lit).astype(jnp.int32)).reshape(-1)
        _, at = jax.lax.top_k(first, self.beacons)
        cells = jnp.stack(jnp.divmod(at, self.size), axis=-1).astype(jnp.int32)
        beacons = jnp.where(unmoved[:, None], old, cells[jnp.cumsum(~unmoved) - 1])
        order = jnp.where(order.any(), order, jnp.arange(self.beacons))
        leader = grid.cell(level.board[..., self.plane("leader")] > 0)
        stops, length = beacons[order], self.max_steps + 1
        way = movers.tour(self.walls(level), stops, leader, length)
        memory = Memory(beacons, jnp.int32(0), way, jnp.int32(0), order)
        return level._replace(memory=memory)

    def board_error(self, board: UInt8[np.ndarray, "H W P"]) -> str:
        maps = {name: board[..., self.plane(name)] > 0 for name in self.planes}
        for name, count in (("beacon", self.beacons), ("lit", 1), ("leader", 1)):
            if maps[name].sum() != count:
                return f"{name}: got {maps[name].sum()}; allowed: {count}"
        if not (maps["beacon"] & maps["lit"]).any():
            return "lit: got a cell without a beacon; allowed: the cell of one"
        return ""

    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> Outcome:
        del key
        moved, memory = self.move(state, action), state.memory
        hit = moved.here[self.plane("lit")] > 0
        next_ = memory.next + hit.astype(jnp.int32)
        done = next_ == self.beacons
        last = self.beacons - 1
        old = memory.beacons[memory.next]
        new = memory.beacons[jnp.minimum(next_, last)]
        phase = jnp.minimum(memory.phase + 1, self.max_steps)
        at, to = memory.way[memory.phase], memory.way[phase]
        stays = jnp.all(at == to)
        marks = [
            ("lit", old, ~hit),
            ("lit", jnp.where(hit & ~done, new, old), ~hit | ~done),
            ("leader", at, stays),
            ("leader", to, jnp.bool_(True)),
        ]
        return Outcome(
            self.settle(state, moved, marks=marks),
            moved.position,
            memory._replace(next=jnp.minimum(next_, last), phase=phase),
            jnp.where(hit, params.reward, 0.0)[None],
            done,
            # being in the leader's cell
            proxies=(jnp.all(moved.position == to),),
        )

    def digits(self, state: State) -> tuple[Int[Array, ""], ...]:
        return (state.memory.next,)

    def restore_memory(
        self, level: Level, state: State, digits: tuple[Int[Array, ""], ...]
    ) -> State:
        (lit,) = digits
        memory = level.memory._replace(next=lit.astype(jnp.int32))
        shown = grid.plane(self.shape, memory.beacons[lit]).astype(jnp.uint8)
        board = state.board.at[..., self.plane("lit")].set(shown)
        return state._replace(board=board, memory=memory)
