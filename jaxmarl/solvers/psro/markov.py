"""Markov games for PSRO: exact responses, by dynamic programming, to mixtures that are drawn once an episode.

Against a mixture of policies the past tells which of them one faces, so that a best response depends on more than the
state. The game is therefore unrolled: its states become histories, a tree. There a mixture of policies is equivalent
to one policy, `pi(a | h) ~ sum_k w_k reach_k(h) pi_k(a | h)`, with `reach_k` the probability that policy k's own moves
lead to h (Kuhn 1953), and backward induction is exact. This is for short games with few states: the tree grows by a
factor (successors x profiles) a step. Larger games are for learned oracles.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import DenseKernel, SuccessorKernel
from jaxmarl.games.markov_metrics import best_response, policy_values
from jaxmarl.solvers.psro.game import PolicyGame, Populations

MAX_HISTORIES = 20_000
_LETTERS = "abcdefghijkl"


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class HistoryGame:
    """A Markov game with a horizon, unrolled: states are histories of states and action profiles.

    Attributes:
        game: the tree, with as many steps; a history is reached by one path.
        state: `[T]`, the state of the original game in which a history ends.
        level: `[T]`, its number of moves.
        ancestors: `[T, H]`, the histories on the way to it, itself for steps from its own level on.
        actions: `[T, H, n]`, the profiles that were played in them; 0 from its own level on.
    """

    game: MarkovGame
    state: Int[Array, " num_histories"]
    level: Int[Array, " num_histories"]
    ancestors: Int[Array, "num_histories horizon"]
    actions: Int[Array, "num_histories horizon num_players"]


def unroll(game: MarkovGame, max_histories: int = MAX_HISTORIES) -> HistoryGame:
    """The tree of histories of a game with a horizon; what is impossible or illegal is left out.

    Raises:
        ValueError: no horizon, or more than `max_histories` histories.
    """
    require(game.horizon is not None, "game", "horizon None", "a game with a horizon")
    assert game.horizon is not None
    successors, chances = successor_tables(game)
    legal = np.asarray(game.legal_profiles()).reshape(game.num_states, -1)
    profiles = np.stack(np.unravel_index(np.arange(legal.shape[1]), game.num_actions), axis=-1)
    horizon, width = game.horizon, successors.shape[-1]
    state = np.flatnonzero(np.asarray(game.initial) > 0)
    first, total = 0, len(state)
    states, levels = [state], [np.zeros(total, int)]
    ancestors, moves = [np.zeros((total, 0), int)], [np.zeros((total, 0), int)]
    tables: list[tuple[np.ndarray, np.ndarray]] = []
    for level in range(horizon):
        chance = chances[state] * legal[state][:, :, None]  # [histories of this level, profiles, successors]
        at, profile, branch = np.nonzero(chance > 0) if level < horizon - 1 else (np.zeros(0, int),) * 3
        require(total + len(at) <= max_histories, "game", f"more than {max_histories} histories", "a smaller game")
        index = np.zeros(chance.shape, int)
        index[at, profile, branch] = total + np.arange(len(at))
        tables.append((index, chance if level < horizon - 1 else np.zeros_like(chance)))
        ancestors.append(np.concatenate([ancestors[-1][at], first + at[:, None]], axis=1))
        moves.append(np.concatenate([moves[-1][at], profile[:, None]], axis=1))
        first, total, state = total, total + len(at), successors[state[at], profile, branch]
        states.append(state)
        levels.append(np.full(len(at), level + 1))
    own = np.arange(total)
    paths = np.concatenate([np.pad(a, ((0, 0), (0, horizon - a.shape[1])), constant_values=-1) for a in ancestors])
    played = np.concatenate([np.pad(m, ((0, 0), (0, horizon - m.shape[1]))) for m in moves])
    all_states = np.concatenate(states)
    shape = (total, *game.num_actions, width)
    kernel = SuccessorKernel(
        jnp.asarray(np.concatenate([index for index, _ in tables]).reshape(shape)),
        jnp.asarray(np.concatenate([chance for _, chance in tables]).reshape(shape), game.rewards.dtype),
    )
    starts = np.zeros(total)
    starts[: len(states[0])] = np.asarray(game.initial)[states[0]]
    masks = None if game.masks is None else tuple(mask[all_states] for mask in game.masks)
    tree = MarkovGame(game.rewards[:, all_states], kernel, jnp.asarray(starts), game.discount, horizon, masks)
    return HistoryGame(
        tree,
        jnp.asarray(all_states),
        jnp.asarray(np.concatenate(levels)),
        jnp.asarray(np.where(paths < 0, own[:, None], paths)),
        jnp.asarray(profiles[played]),
    )


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class MarkovPsro(PolicyGame):
    """A small Markov game with a horizon as a `PsroGame`.

    Strategies are policies `[T, A_i]` over its T histories, and all players see states and the moves of all.

    Attributes:
        game: the game, unrolled (`unroll`).
    """

    game: HistoryGame

    @property
    def tree(self) -> MarkovGame:
        """The game whose states are histories."""
        return self.game.game

    def payoffs(self, profile: tuple[Array, ...]) -> Float[Array, " num_players"]:
        """Expected sums of (discounted) rewards."""
        return policy_values(self.tree, profile) @ self.tree.initial

    def best_response(
        self, seat: int, populations: Populations, others: Float[Array, "*others"], key: Array
    ) -> Float[Array, "num_histories num_actions"]:
        """A pure best response to the mixture, by backward induction over histories."""
        tree = self.tree
        joint = self.mixed_policy(seat, populations, others)
        choices, _ = best_response(tree, joint, seat)
        return choices[self.game.level, jnp.arange(tree.num_states)]

    def mixed_policy(
        self, seat: int, populations: Populations, others: Float[Array, "*others"]
    ) -> Float[Array, "num_histories *num_actions"]:
        """`[T, A_1, ..., A_n]`: how the others move at each history (together), the seat itself uniformly.

        Where none of the others' profiles leads, they move uniformly.
        """
        tree = self.tree
        letters, terms, seats = _LETTERS, [others], [i for i in range(self.num_players) if i != seat]
        inputs = [letters[: len(seats)]]
        for k, i in enumerate(seats):
            policy = populations[i]  # [K, T, A_i]
            terms.append(self._reach(i, policy)[:, :, None] * policy)
            inputs.append(f"{letters[k]}t{letters[k].upper()}")
        outputs = "".join(letters[k].upper() for k in range(len(seats)))
        mass = jnp.einsum(f"{','.join(inputs)}->t{outputs}", *terms, precision="highest")
        total = jnp.sum(mass, axis=tuple(range(1, mass.ndim)), keepdims=True)
        uniform = tree.uniform_policies()
        blind = jnp.ones((tree.num_states,), mass.dtype)
        for i in seats:
            blind = blind[..., None] * uniform[i].reshape(tree.num_states, *[1] * (blind.ndim - 1), -1)
        moved = jnp.where(total > 0, mass / jnp.where(total > 0, total, 1), blind)
        own = jnp.moveaxis(uniform[seat].reshape(tree.num_states, -1, *[1] * len(seats)), 1, seat + 1)
        return jnp.expand_dims(moved, seat + 1) * own

    def _reach(self, player: int, policies: Float[Array, "capacity num_histories num_actions"]) -> Array:
        """`[K, T]`: probability of the player's own moves on the way to each history."""
        history = self.game
        steps = history.ancestors.shape[1]
        moves = policies[:, history.ancestors, history.actions[:, :, player]]
        before = jnp.arange(steps) < history.level[:, None]
        return jnp.prod(jnp.where(before, moves, 1), axis=-1)


def successor_tables(game: MarkovGame) -> tuple[np.ndarray, np.ndarray]:
    """States that follow, and their probabilities, `[S, profiles, K]`."""
    kernel, size = game.kernel, game.num_states
    chances = np.asarray(kernel.probabilities).reshape(size, -1, kernel.probabilities.shape[-1])
    if isinstance(kernel, DenseKernel):
        return np.broadcast_to(np.arange(size), chances.shape), chances
    return np.asarray(kernel.successors).reshape(chances.shape), chances
