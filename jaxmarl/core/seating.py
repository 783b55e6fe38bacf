"""Players batched by type: who sits where in a batch of matches, and all their moves in one call.

Policies whose code differs are never chosen by `lax.switch` (which under `vmap` runs every branch for every match).
Each type is vmapped over its own seats only; members of one architecture are one type with stacked params.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.wrappers import where_done


@dataclass(frozen=True)
class Player:
    """A policy ready to play: its params, and how it sees the game.

    Attributes:
        policy: its code.
        params: its parameters; with `members`, stacked on a leading axis.
        view: environment whose `observe` it was made for, where that differs from the one played (same state).
        members: number of members stacked in `params` (None: one, unstacked).
    """

    policy: Policy
    params: PyTree = ()
    view: AnyEnvironment | None = None
    members: int | None = None

    def __post_init__(self):
        if self.members is not None:
            require_int("members", self.members, 1)

    @property
    def size(self) -> int:
        """How many members this player stands for."""
        return self.members or 1

    @property
    def names(self) -> list[str]:
        """A name for each member."""
        name = self.policy.name
        return [name] if self.members is None else [f"{name}_{i}" for i in range(self.members)]


@dataclass(frozen=True, eq=False)
class Seating:
    """A fixed assignment of players to the seats of a batch of matches.

    Attributes:
        env: the game played.
        players: one entry a type; their members are numbered in order.
        schedule: `[B, N]` member at each seat of each match, -1 for a seat played by the caller.
    """

    env: AnyEnvironment
    players: tuple[Player, ...]
    schedule: np.ndarray
    _slots: tuple[np.ndarray, ...] = field(init=False, repr=False)
    _order: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        num_members = sum(player.size for player in self.players)
        shape = self.schedule.shape
        fits = len(shape) == 2 and shape[1] == self.env.num_agents
        require(fits, "schedule", shape, f"of shape [num_matches, {self.env.num_agents}]")
        bounds = int(self.schedule.min()), int(self.schedule.max())
        in_range = bounds[0] >= -1 and bounds[1] < num_members
        require(in_range, "schedule", bounds, f"members in [-1, {num_members - 1}]")
        flat = self.schedule.reshape(-1)
        slots, first = [], 0
        for player in self.players:
            seats = [np.flatnonzero(flat == first + member) for member in range(player.size)]
            equal = len({len(s) for s in seats}) == 1
            require(equal, "schedule", [len(s) for s in seats], "as many seats for each member of a player")
            slots.append(np.stack(seats))
            first += player.size
        caller = np.flatnonzero(flat == -1)
        object.__setattr__(self, "_slots", tuple(slots))
        object.__setattr__(self, "_order", np.concatenate([*(s.reshape(-1) for s in slots), caller]).argsort())

    @property
    def init_chance(self) -> ChanceSpec:
        """What the players draw at the start of the matches."""
        return tuple(repeat(p.policy.init_chance, *s.shape) for p, s in zip(self.players, self._slots, strict=True))

    @property
    def act_chance(self) -> ChanceSpec:
        """What the players draw at a step."""
        return tuple(repeat(p.policy.act_chance, *s.shape) for p, s in zip(self.players, self._slots, strict=True))

    @property
    def params(self) -> tuple[PyTree, ...]:
        """Params of the players, to be passed to `act`."""
        return tuple(player.params for player in self.players)

    def start(self, chance: Chance) -> tuple[PyTree, ...]:
        """Memories of all players, one tuple entry a type, leaves `[members, seats, …]`."""
        return tuple(
            _over_seats(player.policy.init, slots)(drawn)
            for player, slots, drawn in zip(self.players, self._slots, chance, strict=True)
        )

    def restart(self, memories: tuple[PyTree, ...], done: Bool[Array, " num_matches"], chance: Chance):
        """Memories with those of ended matches started anew."""
        fresh = self.start(chance)
        ended = [done[slots // self.env.num_agents] for slots in self._slots]
        return tuple(where_done(d, f, m) for d, f, m in zip(ended, fresh, memories, strict=True))

    def act(
        self,
        params: tuple[PyTree, ...],
        memories: tuple[PyTree, ...],
        states: PyTree,
        env_params: PyTree,
        chance: Chance,
    ) -> tuple[list[Array], tuple[PyTree, ...]]:
        """Actions of every type `[members · seats, …]`, for `joint`, and new memories.

        Args:
            params: of each player.
            memories: of each player.
            states: stacked environment states `[B, …]`.
            env_params: params shared by all matches.
            chance: drawn from `act_chance`.
        """
        seen = _Views(self.env, states, env_params)
        actions, new_memories = [], []
        for player, slots, p, memory, drawn in zip(self.players, self._slots, params, memories, chance, strict=True):
            stacked = p if player.members is not None else jax.tree.map(lambda x: jnp.asarray(x)[None], p)
            inner = jax.vmap(player.policy.act, in_axes=(None, 0, 0, 0), axis_size=slots.shape[1])
            act = jax.vmap(inner, axis_size=slots.shape[0])
            action, memory = act(stacked, memory, seen.of(player, slots), drawn)
            actions.append(action.reshape(-1, *action.shape[2:]))
            new_memories.append(memory)
        return actions, tuple(new_memories)

    def joint(self, actions: Sequence[Array]) -> Array:
        """Joint actions `[B, N, …]` from the types' actions, then the caller's in match order."""
        flat = take(jnp.concatenate([a.astype(actions[0].dtype) for a in actions]), self._order)
        return flat.reshape(*self.schedule.shape, *flat.shape[1:])


class _Views:
    """Observations of each distinct view, computed once a step."""

    def __init__(self, env: AnyEnvironment, states: PyTree, params: PyTree):
        self._env, self._states, self._params = env, states, params
        self._obs: dict[AnyEnvironment, Array] = {}
        self._mask: Array | None = None

    def of(self, player: Player, slots: Int[np.ndarray, "members seats"]) -> Any:
        view = player.view or self._env
        if view not in self._obs:
            self._obs[view] = self._flat(view.observe)
        obs = take(self._obs[view], slots)
        if not player.policy.masked:
            return obs
        if self._mask is None:
            self._mask = self._flat(self._env.action_mask)
        return MaskedObs(obs, take(self._mask, slots))

    def _flat(self, function) -> Array:
        out = jax.vmap(function, in_axes=(0, None))(self._states, self._params)
        return out.reshape(-1, *out.shape[2:])


def take(x: Array, index: np.ndarray) -> Array:
    """`x[index]` for a static index; a strided slice where it is one (gathers are slow on a CPU)."""
    flat = index.reshape(-1)
    step = int(flat[1] - flat[0]) if len(flat) > 1 else 1
    if len(flat) and step > 0 and np.array_equal(flat, flat[0] + step * np.arange(len(flat))):
        out = x[int(flat[0]) : int(flat[-1]) + 1 : step]
    else:
        out = x[flat]
    return out.reshape(*index.shape, *x.shape[1:])


def _over_seats(function, slots: np.ndarray):
    return jax.vmap(jax.vmap(function, axis_size=slots.shape[1]), axis_size=slots.shape[0])
