"""An agent against a population: a batch of matches whose other seats are played by scripted or learned players."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int32, PyTree

from jaxmarl.core.chance import draw
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.seating import Player, Seating
from jaxmarl.core.vector import VectorEnv, VectorState


@struct.dataclass
class PopulationState:
    """State of the matches and memories of the opponents."""

    vector: VectorState
    memories: tuple[PyTree, ...]


@dataclass(frozen=True, eq=False)
class PopulationEnv:
    """`matches` simultaneous matches against each member of a population, one agent seat left to the caller.

    It has the interface of a `VectorEnv` with `num_agents = 1` and `B = members × matches`, ordered by member; `labels`
    names the opponent of each match. The other seats of a match are all taken by copies of its opponent.
    Each opponent's code runs on its own matches only. Its params are `(env params, opponents' params)`.

    Attributes:
        env: the game.
        opponents: the population, one entry a type.
        matches: matches against each member.
        seat: the agent's seat.
    """

    env: AnyEnvironment
    opponents: tuple[Player, ...]
    matches: int
    seat: int = 0
    seating: Seating = field(init=False, repr=False)
    vector: VectorEnv = field(init=False, repr=False)

    def __post_init__(self):
        require(len(self.opponents) > 0, "opponents", self.opponents, "at least one player")
        require_int("matches", self.matches, 1)
        require_int("seat", self.seat, 0, self.env.num_agents - 1)
        labels = np.repeat(np.arange(self.num_labels), self.matches)
        schedule = np.repeat(labels[:, None], self.env.num_agents, axis=1)
        schedule[:, self.seat] = -1
        object.__setattr__(self, "seating", Seating(self.env, self.opponents, schedule))
        object.__setattr__(self, "vector", VectorEnv(self.env, len(schedule)))

    num_agents = 1

    @property
    def num_envs(self) -> int:
        """`B`, number of matches."""
        return self.num_labels * self.matches

    @property
    def horizon(self) -> int | None:
        """Steps of a match, or None."""
        return self.env.horizon

    @property
    def truncates(self) -> bool:
        """Whether a time limit may end episodes."""
        return self.env.truncates

    @property
    def masks_actions(self) -> bool:
        """Whether actions may be illegal."""
        return self.env.masks_actions

    @property
    def num_labels(self) -> int:
        """Number of members of the population."""
        return sum(player.size for player in self.opponents)

    @property
    def labels(self) -> Int32[Array, " num_envs"]:
        """Opponent of each match."""
        return jnp.repeat(jnp.arange(self.num_labels, dtype=jnp.int32), self.matches)

    @property
    def default_params(self) -> PyTree:
        """`(default params of the game, the opponents' own params)`."""
        return self.env.default_params, self.seating.params

    def observation_space(self, params: PyTree):
        """Space of the agent's observation."""
        return self.env.observation_space(params[0])

    def action_space(self, params: PyTree):
        """Space of the agent's action."""
        return self.env.action_space(params[0])

    def observe(self, state: PopulationState, params: PyTree) -> Array:
        """The agent's observations `[B, 1, …]`."""
        return self._own(self.vector.observe(state.vector, params[0]))

    def action_mask(self, state: PopulationState, params: PyTree) -> Array:
        """The agent's legal actions `[B, 1, A]`."""
        return self._own(self.vector.action_mask(state.vector, params[0]))

    def reset(self, key: Array, params: PyTree) -> tuple[Array, PopulationState]:
        """Starts every match: `(obs, state)`."""
        env_key, memory_key = jax.random.split(key)
        obs, vector = self.vector.reset(env_key, params[0])
        memories = self.seating.start(draw(self.seating.init_chance, memory_key))
        return self._own(obs), PopulationState(vector, memories)

    def begin(self, key: Array, state: PopulationState, params: PyTree) -> tuple[Array, PopulationState]:
        """Prepares a roll-out, as `VectorEnv.begin`."""
        env_key, memory_key = jax.random.split(key)
        memories = state.memories
        if self.horizon is not None:
            memories = jax.lax.cond(
                state.vector.elapsed >= self.horizon,
                lambda: self.seating.start(draw(self.seating.init_chance, memory_key)),
                lambda: memories,
            )
        obs, vector = self.vector.begin(env_key, state.vector, params[0])
        return self._own(obs), PopulationState(vector, memories)

    def step(self, key: Array, state: PopulationState, action: Array, params: PyTree):
        """One step of every match: `(obs, state, reward, terminated, truncated, info)`, `[B, 1, …]`."""
        ends_alone = self.horizon is None
        spec = (
            self.vector.step_chance,
            self.seating.act_chance,
            self.seating.init_chance if ends_alone else (),
        )
        env_chance, act_chance, init_chance = draw(spec, key)
        env_params, player_params = params
        others, memories = self.seating.act(player_params, state.memories, state.vector.env, env_params, act_chance)
        joint = self.seating.joint([*others, action[:, 0]])
        obs, vector, reward, terminated, truncated, info = self.vector.apply(
            state.vector, joint, env_chance, env_params
        )
        if ends_alone:
            memories = self.seating.restart(memories, terminated | truncated, init_chance)
            info = {**info, "final_observation": self._own(info["final_observation"])}
        state = PopulationState(vector, memories)
        return self._own(obs), state, self._own(reward), terminated, truncated, info

    def _own(self, x: Array) -> Array:
        return x[:, self.seat, None]


@dataclass(frozen=True, eq=False)
class ProfileEnv(PopulationEnv):
    """A `PopulationEnv` whose other seats are taken by different players: profile m of M in `matches` matches each.

    Which profile it is, is not told (there is one label), and learners cannot look beyond a horizon.

    Attributes:
        opponents: one player a seat other than `seat`, in order, all of M members.
    """

    def __post_init__(self) -> None:
        require_int("matches", self.matches, 1)
        require_int("seat", self.seat, 0, self.env.num_agents - 1)
        sizes = [player.size for player in self.opponents]
        fits = len(sizes) == self.env.num_agents - 1 and len(set(sizes)) == 1
        require(fits, "opponents", sizes, f"{self.env.num_agents - 1} players of as many members")
        columns = [np.arange(size) + i * size for i, size in enumerate(sizes)]
        columns.insert(self.seat, np.full(sizes[0], -1))
        schedule = np.repeat(np.stack(columns, axis=1), self.matches, axis=0)
        object.__setattr__(self, "seating", Seating(self.env, self.opponents, schedule))
        object.__setattr__(self, "vector", VectorEnv(self.env, len(schedule)))

    @property
    def num_envs(self) -> int:
        """`B`, number of matches."""
        return self.opponents[0].size * self.matches

    @property
    def num_labels(self) -> int:
        """One: profiles may change from update to update."""
        return 1

    @property
    def labels(self) -> Int32[Array, " num_envs"]:
        """Zeros."""
        return jnp.zeros(self.num_envs, jnp.int32)

    def step(self, key: Array, state: PopulationState, action: Array, params: PyTree):
        """As of a `PopulationEnv`, but a horizon ends the game: what counts is the return up to it, nothing follows."""
        obs, state, reward, terminated, truncated, info = super().step(key, state, action, params)
        if self.horizon is None:
            return obs, state, reward, terminated, truncated, info
        return obs, state, reward, terminated | truncated, jnp.zeros_like(truncated), info
