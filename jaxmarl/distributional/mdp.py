"""Finite decision processes as lists of outcomes: rewards may be random and depend on the successor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import successor_kernel

_ROW_SLACK = 1e-5


@struct.dataclass
class TabularMDP:
    """What each action in each state may lead to: W outcomes with their probabilities.

    Attributes:
        probabilities: `[S, A, W]`, adding to 1 over outcomes.
        rewards: `[S, A, W]`.
        successors: `[S, A, W]`, states; not read where the episode ends.
        continues: `[S, A, W]`, false where the outcome ends the episode.
        discount: in [0, 1].
    """

    probabilities: Float[Array, "num_states num_actions outcomes"]
    rewards: Float[Array, "num_states num_actions outcomes"]
    successors: Int[Array, "num_states num_actions outcomes"]
    continues: Bool[Array, "num_states num_actions outcomes"]
    discount: Float[Array, ""]

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return self.probabilities.shape[0]

    @property
    def num_actions(self) -> int:
        """Number of actions A."""
        return self.probabilities.shape[1]

    def discounts(self) -> Float[Array, "num_states num_actions outcomes"]:
        """The discount where the episode goes on, 0 where it ends."""
        return self.discount * self.continues


def tabular_mdp(
    probabilities: Any, rewards: Any, successors: Any, continues: Any = True, discount: Any = 1.0
) -> TabularMDP:
    """A checked `TabularMDP` from arrays that broadcast to `[S, A, W]`.

    Raises:
        ValueError: shapes that do not fit, probabilities that are negative or do not add to 1, rewards that are not
            finite, successors that are no states, a discount outside [0, 1].
    """
    parts = [np.asarray(part) for part in (probabilities, rewards, successors, continues)]
    try:
        chances, paid, following, goes_on = np.broadcast_arrays(*parts)
    except ValueError:
        shapes = tuple(part.shape for part in parts)
        raise ValueError(
            f"probabilities, rewards, successors, continues must broadcast together, got {shapes}"
        ) from None
    require(chances.ndim == 3 and chances.size > 0, "probabilities", chances.shape, "of shape [S, A, W]")
    low, error = float(chances.min()), float(np.abs(chances.sum(-1) - 1).max())
    require(low >= 0 and error < _ROW_SLACK, "probabilities", f"{low:g} or more, off 1 by {error:g}", "distributions")
    require(bool(np.isfinite(paid).all()), "rewards", "NaN or infinite entries", "finite")
    size = chances.shape[0]
    known = bool(((following >= 0) & (following < size)).all())
    require(known, "successors", f"{following.min()} to {following.max()}", f"states in [0, {size})")
    require(0 <= float(discount) <= 1, "discount", discount, "in [0, 1]")
    real = jnp.result_type(float)
    return TabularMDP(
        jnp.asarray(chances, real),
        jnp.asarray(paid, real),
        jnp.asarray(following, jnp.int32),
        jnp.asarray(goes_on, bool),
        jnp.asarray(discount, real),
    )


def mdp_from_tables(transitions: Any, rewards: Any, discount: Any = 1.0) -> TabularMDP:
    """A process from a table of successors, rewards paid for the action, the successor, or both.

    Args:
        transitions: `[S, A, S]`, or `[S, S]` for a chain without choice. What a row lacks to 1 is the probability that
            the episode ends there.
        rewards: `[S]`, `[S, A]`, or `[S, A, S]`; in the last form an episode that ends there pays 0.
        discount: in [0, 1].

    Raises:
        ValueError: as `tabular_mdp`.
    """
    table = np.asarray(transitions)
    table = table[:, None] if table.ndim == 2 else table
    fits = table.ndim == 3 and table.shape[0] == table.shape[2]
    require(fits, "transitions", table.shape, "of shape [S, A, S]")
    size, actions, _ = table.shape
    paid = np.asarray(rewards, float)
    require(1 <= paid.ndim <= 3, "rewards", paid.shape, "of shape [S], [S, A] or [S, A, S]")
    by_successor = paid.ndim == 3
    paid = np.broadcast_to(paid.reshape(paid.shape + (1,) * (3 - paid.ndim)), (size, actions, size))
    ending = 1 - table.sum(-1, keepdims=True)
    ending = np.where(np.abs(ending) < _ROW_SLACK, 0, ending)
    last = np.zeros((size, actions, 1)) if by_successor else paid[..., :1]
    return tabular_mdp(
        np.concatenate([table, ending], -1),
        np.concatenate([paid, last], -1),
        np.append(np.arange(size), 0),
        np.append(np.ones(size, bool), False),
        discount,
    )


def mdp_of_game(game: MarkovGame) -> TabularMDP:
    """A Markov game seen by somebody who chooses for everybody: actions are profiles, in C order.

    Its rewards have a leading axis of players, `[n, S, A, W]`: `mdp.replace(rewards=mdp.rewards[i])` is the process of
    player i. The game's rewards are taken for certain, given state and profile.

    Raises:
        ValueError: a game with a horizon (`step_in_state` makes one without).
    """
    require(game.horizon is None, "game", f"horizon {game.horizon}", "one without horizon; step_in_state makes one")
    traced = isinstance(game.kernel.probabilities, jax.core.Tracer)
    kernel = successor_kernel(game.kernel, game.num_states if traced else None)
    size, width = kernel.num_states, kernel.probabilities.shape[-1]
    chances = kernel.probabilities.reshape(size, -1, width)
    ending = jnp.maximum(1 - chances.sum(-1, keepdims=True), 0)
    ending = jnp.where(ending < _ROW_SLACK, 0, ending)
    following = kernel.successors.reshape(size, -1, width)
    rewards = game.rewards.reshape(game.num_players, size, -1, 1)
    shape = (*chances.shape[:2], width + 1)
    return TabularMDP(
        jnp.concatenate([chances, ending], -1),
        jnp.broadcast_to(rewards, (game.num_players, *shape)),
        jnp.concatenate([following, jnp.zeros_like(following[..., :1])], -1),
        jnp.broadcast_to(jnp.arange(width + 1) < width, shape),
        game.discount,
    )


def outcome_weights(
    mdp: TabularMDP, policy: Float[Array, "num_states num_actions"]
) -> Float[Array, "num_states pairs"]:
    """`[S, A W]`: probabilities of an action with its outcome when actions are drawn from `policy[s]`."""
    shape = (mdp.num_states, mdp.num_actions)
    require(policy.shape == shape, "policy", policy.shape, f"of shape {shape}")
    return (policy[..., None] * mdp.probabilities).reshape(mdp.num_states, -1)


def transition_matrix(
    weights: Float[Array, "num_states pairs"], successors: Int[Array, "num_states pairs"]
) -> Float[Array, "num_states num_states"]:
    """Weights of outcomes summed by successor."""
    size = weights.shape[0]
    return jnp.einsum("sl,slt->st", weights, jax.nn.one_hot(successors, size, dtype=weights.dtype), precision="highest")
