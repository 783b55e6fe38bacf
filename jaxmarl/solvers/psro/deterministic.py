"""Mixtures of deterministic policies in a Markov game: exactly how well they can be answered.

A mixture draws its policy once an episode, so that the best answer depends on what has been seen. Of deterministic
policies, what has been seen leaves some that would have done the same and rules out the others: the state and the set
of those that are left are all that matters, and backward induction over such pairs is exact. Of K policies there are at
most 2^K sets, few of which are met: one move in a state that tells policies apart splits them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from jaxmarl.core.checks import require
from jaxmarl.games.markov import MarkovGame
from jaxmarl.solvers.psro.markov import successor_tables

MAX_POLICIES = 40
MAX_BELIEFS = 2_000_000


@dataclass(frozen=True)
class _Beliefs:
    """Pairs of a state and a set of policies (bits) that can be met, and where they lead.

    Attributes:
        state: `[B]`.
        policies: `[B]`.
        chance: `[B, O]`, that the opponent does each of its actions.
        following: `[B, A, O, K]`, the pair after each profile and chance outcome (any, where it is impossible).
    """

    state: Int[np.ndarray, " beliefs"]
    policies: Int[np.ndarray, " beliefs"]
    chance: Float[np.ndarray, "beliefs others"]
    following: Int[np.ndarray, "beliefs own others successors"]


def mixture_response_value(
    game: MarkovGame,
    seat: int,
    actions: Int[np.ndarray, "policies num_states"],
    weights: Float[np.ndarray, " policies"],
) -> float:
    """What a best response earns against a mixture of the other player's deterministic policies, drawn once an episode.

    The responder sees states and all moves. Exact; on the host, in float64.

    Args:
        game: two players and a horizon.
        seat: who responds.
        actions: what each policy of the other player does in each state.
        weights: of the policies, adding to 1; those below 1e-12 are left out.

    Raises:
        ValueError: another kind of game, more than 40 policies that are played, more than 2 million pairs of a state
            and a set of policies.
    """
    require(game.num_players == 2, "game", f"{game.num_players} players", "of two players")
    require(game.horizon is not None, "game", "horizon None", "a game with a horizon")
    played = np.asarray(weights) > 1e-12
    actions, weights = np.asarray(actions)[played], np.asarray(weights, np.float64)[played]
    require(0 < len(actions) <= MAX_POLICIES, "weights", f"{len(actions)} policies", f"for 1 to {MAX_POLICIES}")
    successors, chances, rewards = _tables(game, seat)
    beliefs = _beliefs(game, successors, chances, actions, weights / weights.sum(), seat)
    going, earned = chances[beliefs.state], rewards[beliefs.state]
    legal = np.ones(earned.shape[:2], bool) if game.masks is None else np.asarray(game.masks[seat])[beliefs.state]
    values = np.zeros(len(beliefs.state))
    for _ in range(game.horizon or 0):
        after = earned + float(game.discount) * np.sum(going * values[beliefs.following], axis=-1)
        choices = np.einsum("bo,bao->ba", beliefs.chance, after)
        values = np.where(legal, choices, -np.inf).max(axis=1)
    starts = np.asarray(game.initial, np.float64)
    return float(starts[starts > 0] @ values[: np.sum(starts > 0)])


def mixtures_nash_conv(
    game: MarkovGame,
    actions: Sequence[Int[np.ndarray, "_ num_states"]],
    mixtures: Sequence[Float[np.ndarray, " _"]],
) -> float:
    """NashConv of mixtures of deterministic policies in a zero-sum game: what the two best responses earn together.

    Args:
        game: zero-sum, of two players, with a horizon.
        actions: of each seat's policies in each state.
        mixtures: each seat's weights.
    """
    return sum(mixture_response_value(game, seat, actions[1 - seat], mixtures[1 - seat]) for seat in range(2))


def _tables(game: MarkovGame, seat: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Successors and their probabilities `[S, A, O, K]`, rewards `[S, A, O]`, the responder's actions first."""
    successors, chances = successor_tables(game)
    shape = (game.num_states, *game.num_actions, -1)
    successors, chances = successors.reshape(shape), chances.reshape(shape).astype(np.float64)
    rewards = np.asarray(game.rewards[seat], np.float64)
    if seat == 1:
        return successors.swapaxes(1, 2), chances.swapaxes(1, 2), rewards.swapaxes(1, 2)
    return successors, chances, rewards


def _beliefs(
    game: MarkovGame, successors: np.ndarray, chances: np.ndarray, actions: np.ndarray, weights: np.ndarray, seat: int
) -> _Beliefs:
    """All pairs that can be met within the horizon, those of first states in front."""
    size, others = game.num_states, game.num_actions[1 - seat]
    bits = 1 << np.arange(len(actions), dtype=np.int64)
    # doing[s, o]: the policies that do o in s
    doing = np.stack([(bits[:, None] * (actions == o)).sum(0) for o in range(others)], axis=1)
    possible = chances > 0
    starts = np.flatnonzero(np.asarray(game.initial) > 0)
    known = np.sort(starts + int(bits.sum()) * size)  # a pair is coded as set * S + state
    frontier = known
    for _ in range((game.horizon or 1) - 1):
        state, policies = frontier % size, frontier // size
        left = policies[:, None] & doing[state]
        reached = (left > 0)[:, None, :, None] & possible[state]
        codes = left[:, None, :, None] * size + successors[state]
        frontier = np.setdiff1d(codes[reached], known)
        known = np.union1d(known, frontier)
        require(len(known) <= MAX_BELIEFS, "game", f"more than {MAX_BELIEFS} beliefs", "a smaller game")
        if not len(frontier):
            break
    first = np.isin(known, starts + int(bits.sum()) * size)
    order = np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)])
    place = np.empty(len(known), np.int64)
    place[order] = np.arange(len(known))
    codes = known[order]
    state, policies = codes % size, codes // size
    left = policies[:, None] & doing[state]
    among = (left[:, :, None] & bits > 0) @ weights
    chance = among / ((policies[:, None] & bits > 0) @ weights)[:, None]
    after = left[:, None, :, None] * size + successors[state]
    found = np.minimum(np.searchsorted(known, after), len(known) - 1)
    return _Beliefs(state, policies, chance, place[found])
