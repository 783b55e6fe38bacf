"""Cross-play: any list of policies against any other, as one scan with each type's code run once a step."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.matches import play_seating
from jaxmarl.core.seating import Player, Seating


@dataclass(frozen=True)
class CrossPlay:
    """Returns of every profile of a cross-play.

    Attributes:
        returns: float32 `[K_0, …, K_{N-1}, M, N]`: profile (one member a seat), match, agent.
        names: names of the members of each seat.
    """

    returns: np.ndarray
    names: tuple[tuple[str, ...], ...]

    @property
    def payoffs(self) -> np.ndarray:
        """Mean return of each agent in each profile, float64 `[K_0, …, K_{N-1}, N]`."""
        return self.returns.mean(axis=-2, dtype=np.float64)

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard error of `payoffs`, the same shape; NaN for a single match."""
        matches = self.returns.shape[-2]
        if matches < 2:
            return np.full_like(self.payoffs, np.nan)
        return self.returns.std(axis=-2, ddof=1, dtype=np.float64) / np.sqrt(matches)


def cross_play(
    env: AnyEnvironment,
    seats: Sequence[Player] | Sequence[Sequence[Player]],
    key: Array,
    num_matches: int,
    params: PyTree = None,
    *,
    matches_per_call: int = 100,
    max_steps: int | None = None,
    on_progress: Callable[[int], Any] | None = None,
) -> CrossPlay:
    """Plays every profile of players `num_matches` times.

    Args:
        env: game of N agents.
        seats: the players of each seat, N lists; or one list, whose players take every seat.
        key: consumed by this call.
        num_matches: `M`, independent matches of each profile.
        params: of the environment (default: its own).
        matches_per_call: matches of a profile that run together (bounds memory); divides `num_matches` where smaller.
        max_steps: length of a match where the environment has no horizon; unfinished matches count as they stand.
        on_progress: called with the number of matches of a profile that are finished, after each call.

    Returns:
        All returns; row `i` against column `j` and row `j` against column `i` are separate matches.
    """
    lists = _per_seat(env, seats)
    players = tuple({id(player): player for player in itertools.chain(*lists)}.values())
    first = dict(zip(map(id, players), itertools.accumulate((p.size for p in players), initial=0), strict=False))
    members = [np.concatenate([first[id(p)] + np.arange(p.size) for p in seat]) for seat in lists]
    profiles = np.stack(np.meshgrid(*members, indexing="ij"), axis=-1).reshape(-1, env.num_agents)
    returns = play(env, players, profiles, key, num_matches, params, matches_per_call, max_steps, on_progress)
    shape = tuple(len(m) for m in members)
    names = tuple(tuple(itertools.chain(*(p.names for p in seat))) for seat in lists)
    return CrossPlay(returns.reshape(*shape, num_matches, env.num_agents), names)


def versus(
    env: AnyEnvironment,
    agent: Player,
    opponents: Sequence[Player],
    key: Array,
    num_matches: int,
    params: PyTree = None,
    *,
    matches_per_call: int = 100,
) -> Float[np.ndarray, "K M"]:
    """Returns of `agent` against each member of `opponents` in a two-player game, half of the matches in each seat.

    Args:
        env: two-player game.
        agent: the player evaluated (one member).
        opponents: the population.
        key: consumed by this call.
        num_matches: `M`, even: matches against each member.
        params: of the environment (default: its own).
        matches_per_call: as in `cross_play`, for one seat.
    """
    require(env.num_agents == 2, "env", env.num_agents, "a game of 2 agents")
    require_int("num_matches", num_matches, 2)
    require(num_matches % 2 == 0, "num_matches", num_matches, "even, half in each seat")
    require(agent.size == 1, "agent", agent.size, "a single member")
    others = 1 + np.arange(sum(player.size for player in opponents))
    as_first = np.stack([np.zeros_like(others), others], axis=1)
    schedule = np.concatenate([as_first, as_first[:, ::-1]])
    half = num_matches // 2
    returns = play(env, (agent, *opponents), schedule, key, half, params, min(matches_per_call, half))
    num_opponents = len(others)
    return np.concatenate([returns[:num_opponents, :, 0], returns[num_opponents:, :, 1]], axis=1)


def play(
    env: AnyEnvironment,
    players: tuple[Player, ...],
    profiles: np.ndarray,
    key: Array,
    num_matches: int,
    params: PyTree = None,
    matches_per_call: int = 100,
    max_steps: int | None = None,
    on_progress: Callable[[int], Any] | None = None,
) -> Float[np.ndarray, "num_profiles M N"]:
    """Returns of `num_matches` matches of each profile `[P, N]` of member numbers (see `cross_play`)."""
    require_int("num_matches", num_matches, 1)
    require_int("matches_per_call", matches_per_call, 1)
    per_call = min(matches_per_call, num_matches)
    require(num_matches % per_call == 0, "num_matches", num_matches, f"a multiple of matches_per_call ({per_call})")
    num_steps = env.horizon or max_steps
    if num_steps is None:
        raise ValueError("max_steps must be given: the environment has no horizon")
    params = env.default_params if params is None else params
    seating = Seating(env, players, np.repeat(profiles, per_call, axis=0))

    @jax.jit
    def call(key, player_params):
        return play_seating(seating, player_params, key, params, num_steps)

    batches = []
    for k in jax.random.split(key, num_matches // per_call):
        batches.append(np.asarray(call(k, seating.params)).reshape(len(profiles), per_call, -1))
        if on_progress:
            on_progress(len(batches) * per_call)
    return np.concatenate(batches, axis=1)


def _per_seat(env: AnyEnvironment, seats) -> list[list[Player]]:
    if seats and isinstance(seats[0], Player):
        return [list(seats)] * env.num_agents
    lists = [list(seat) for seat in seats]
    fits = len(lists) == env.num_agents and all(lists)
    require(fits, "seats", [len(seat) for seat in lists], f"{env.num_agents} non-empty lists of players, one a seat")
    return lists
