"""Matches of the agent against bots, as one compiled program: for evaluation, and as training data."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, UInt8

from jaxmarl.core.matches import play_steps
from jaxmarl.core.seating import Player, Seating
from jaxmarl.envs.rps import RepeatedRPS, bot_players
from jaxmarl.experiments.rrps_record.agent import record_agent
from jaxmarl.experiments.rrps_record.network import RecordParams
from jaxmarl.experiments.rrps_record.predictors import NAMES, Library

SCALE = 240  # of stored probabilities: thirds, eighths and sixteenths are exact


class Matches(NamedTuple):
    """Matches against each of `K` bots, `M` each, the first half with the agent in seat 0.

    Attributes:
        returns: of the agent, `[K, M]`.
        predictions: in units of 1/240, `[K, M, T, P, 3]`, masked.
        moves: own and opponent's, `[K, M, T, 2]`.
    """

    returns: np.ndarray
    predictions: UInt8[np.ndarray, "K M T P 3"]
    moves: Int8[np.ndarray, "K M T 2"]


class MatchPlay:
    """Plays matches against each bot, half in each seat; compiles once for all weights.

    Args:
        names: of the opponents.
        library: of the agent.
        num_throws: of a match.
        pairs: matches of a call against each opponent in each seat.
    """

    def __init__(self, names: Sequence[str] = NAMES, library: Library = NAMES, num_throws: int = 1000, pairs: int = 1):
        self.names, self.num_throws, self.pairs = tuple(names), num_throws, pairs
        env = RepeatedRPS(num_throws=num_throws)
        agent = Player(record_agent(library), (), view=env.moves_view)
        others = np.repeat(1 + np.arange(len(self.names)), pairs)
        seated = np.stack([np.zeros_like(others), others], axis=1)
        schedule = np.concatenate([seated, seated[:, ::-1]])
        self._seating = Seating(env, (agent, *bot_players(env, self.names)), schedule)

    @partial(jax.jit, static_argnums=0)
    def _play(self, params: RecordParams, key: Array):
        def keep(matches, reward, info):
            # before a step: what was predicted for the throw before it, and that throw
            return jnp.round(SCALE * matches.memories[0].predictions[0]).astype(jnp.uint8), matches.states.recent[:, 0]

        env = self._seating.env
        players = (params, *self._seating.params[1:])
        end, kept = play_steps(self._seating, players, key, env.default_params, self.num_throws, keep)
        last = keep(end, None, None)
        kept = jax.tree.map(lambda x, y: jnp.concatenate([x[1:], y[None]]).swapaxes(0, 1), kept, last)
        return end.returns, *kept

    def __call__(self, params: RecordParams, key: Array) -> Matches:
        """One call's matches."""
        returns, predictions, moves = map(np.asarray, self._play(params, key))
        moves = moves.copy()
        half = len(returns) // 2
        moves[half:] = moves[half:, :, ::-1]
        return self._by_bot(np.concatenate([returns[:half, 0], returns[half:, 1]]), predictions, moves)

    def _by_bot(self, *arrays: np.ndarray) -> Matches:
        shape = 2, len(self.names), self.pairs
        moved = (np.moveaxis(a.reshape(*shape, *a.shape[1:]), 0, 1) for a in arrays)
        return Matches(*(a.reshape(shape[1], -1, *a.shape[3:]) for a in moved))
