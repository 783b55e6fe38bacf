"""Whole episodes: every state, reward and measurement of matches between given players."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.matches import play_steps
from jaxmarl.core.seating import Player, Seating


class Episodes(NamedTuple):
    """`M` recorded episodes of one profile, on the host.

    Attributes:
        states: leaves `[T + 1, M, …]`: the start, then the state after each step.
        rewards: `[T, M, N]`, 0 after an episode's end.
        alive: `[T, M]`, whether the episode was going on before the step.
        info: leaves `[T, M, …]`.
    """

    states: PyTree
    rewards: Float[np.ndarray, "T M N"]
    alive: Bool[np.ndarray, "T M"]
    info: PyTree

    @property
    def returns(self) -> Float[np.ndarray, "M N"]:
        """Sums of rewards."""
        return self.rewards.sum(axis=0)

    @property
    def lengths(self) -> np.ndarray:
        """`[M]`, steps until the episode ended (or the recording did)."""
        return self.alive.sum(axis=0)

    def matches(self, start: int, stop: int) -> "Episodes":
        """Some of the matches."""
        states, info = (jax.tree.map(lambda x: x[:, start:stop], tree) for tree in (self.states, self.info))
        return Episodes(states, self.rewards[:, start:stop], self.alive[:, start:stop], info)

    def path(self, match: int = 0) -> list[Any]:
        """States of one episode, from its start to its end."""
        return [jax.tree.map(lambda x, t=t: x[t, match], self.states) for t in range(int(self.lengths[match]) + 1)]


def play_profiles(
    env: AnyEnvironment,
    profiles: Sequence[Sequence[Player]],
    key: Array,
    num_episodes: int = 1,
    num_steps: int | None = None,
    params: PyTree = None,
) -> list[Episodes]:
    """Plays and records `num_episodes` episodes of each profile, all of them in one program.

    Args:
        env: game of N agents.
        profiles: N players each (of one member), one a seat; an object that is named twice is one player.
        key: consumed by this call.
        num_episodes: `M`.
        num_steps: `T`, at most (default: the horizon).
        params: of the environment (default: its own).

    Returns:
        One entry a profile.
    """
    require_int("num_episodes", num_episodes, 1)
    for players in profiles:
        require(len(players) == env.num_agents, "players", len(players), f"{env.num_agents} players, one a seat")
    if num_steps is None and env.horizon is None:
        raise ValueError("num_steps must be given: the environment has no horizon")
    params = env.default_params if params is None else params
    types = tuple({id(player): player for players in profiles for player in players}.values())
    number = {id(player): i for i, player in enumerate(types)}
    schedule = np.array([[number[id(player)] for player in players] for players in profiles])
    seating = Seating(env, types, np.repeat(schedule, num_episodes, axis=0))
    end, steps = _record(seating, seating.params, key, params, num_steps or env.horizon)
    end, (states, rewards, alive, info) = jax.tree.map(np.asarray, (end, steps))
    states = jax.tree.map(lambda x, last: np.concatenate([x, last[None]]), states, end)
    every = Episodes(states, rewards, alive, info)
    return [every.matches(i * num_episodes, (i + 1) * num_episodes) for i in range(len(profiles))]


def play_episodes(env: AnyEnvironment, players: Sequence[Player], key: Array, **options: Any) -> Episodes:
    """`play_profiles` of one profile."""
    return play_profiles(env, [players], key, **options)[0]


@partial(jax.jit, static_argnums=(0, 4))
def _record(seating: Seating, player_params: tuple[PyTree, ...], key: Array, params: PyTree, num_steps: int):
    """`play_steps` that keeps states, rewards, `alive` and info."""

    def keep(matches, reward, info):
        return matches.states, reward, matches.alive, info

    matches, steps = play_steps(seating, player_params, key, params, num_steps, keep)
    return matches.states, steps
