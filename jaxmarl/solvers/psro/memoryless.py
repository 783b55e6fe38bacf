"""Learned responses without memory: their tables in a Markov game, and mixtures of them as one policy by state.

PPO trains a network that sees the state and remembers nothing, so that a member of the population is a table and exact
certificates are within reach. Members either draw their moves, or play the likeliest ones (`greedy`). Needs flax and
optax.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_metrics import best_response, occupancy, policy_values
from jaxmarl.learners.actions import action_head
from jaxmarl.learners.base import Learner
from jaxmarl.learners.networks import FeedForwardActorCritic
from jaxmarl.learners.policy_gradient import PPOConfig, with_mask
from jaxmarl.learners.ppo import network_policy, policy_gradient_learner
from jaxmarl.solvers.psro.environment import Oracle


def memoryless_ppo_oracle(config: PPOConfig, greedy: bool = False) -> Oracle:
    """Responses learned by PPO from fresh parameters of a network without memory.

    Args:
        config: of PPO.
        greedy: whether what is learned then plays its likeliest action, as an opponent and in matches too.
    """

    def oracle(env: BatchedEnv, params: PyTree) -> Learner:
        head, network = _network(env, params, config, env.num_labels)

        def act(weights: PyTree, memory: tuple[()], seen: Any, chance: tuple[()]) -> tuple[Array, tuple[()]]:
            return head.mode(_outputs(network, weights, seen)), memory

        likeliest = Policy(lambda chance: (), act, masked=head.masked, name="greedy ppo")
        policy = likeliest if greedy else network_policy(network, head)
        return policy_gradient_learner(env, config, params, network, head, policy)

    return oracle


def policy_tables(
    env: AnyEnvironment, config: PPOConfig, population: PyTree, states: PyTree, seat: int, params: PyTree = None
) -> Float[np.ndarray, "policies num_states num_actions"]:
    """Probabilities of the actions of each member in each state. (Greedy members play the largest.)

    Args:
        env: the game as the members see it.
        config: with which they were trained.
        population: members, stacked.
        states: of the environment, stacked, such as `enumerate_game(...).states`.
        seat: who looks.
        params: of the environment (default: its own).
    """
    params = env.default_params if params is None else params
    network = _network(env, params, config, 1)[1]

    def chances(weights: PyTree, state: PyTree) -> Array:
        legal = env.action_mask(state, params)[seat]
        outputs = _outputs(network, weights, env.observe(state, params)[seat])
        return jax.nn.softmax(jnp.where(legal, outputs, -jnp.inf))

    table = jax.jit(jax.vmap(jax.vmap(chances, (None, 0)), (0, None)))
    return np.asarray(table(population, states))


def state_mixtures(
    game: MarkovGame,
    tables: Sequence[Float[np.ndarray, "_ num_states _"]],
    mixtures: Sequence[Float[np.ndarray, " _"]],
) -> tuple[Float[Array, "horizon num_states _"], Float[Array, "horizon num_states _"]]:
    """Each seat's mixture as one policy by step and state: members count as likely as they are to be there.

    With `P(k | h, s)` the probability that the state at step h is s because of member k, when all seats play their
    mixtures, `pi(a | h, s) = sum_k P(k | h, s) pi_k(a | s)`. Where states tell all that was played this plays like the
    mixture (Kuhn 1953). Elsewhere it forgets which member it was, and is another strategy than the mixture of members
    drawn once an episode: harder to read, if anything.

    Args:
        game: two players and a horizon.
        tables: of each seat's members.
        mixtures: each seat's weights.
    """
    require(game.num_players == 2, "game", f"{game.num_players} players", "of two players")
    require(game.horizon is not None, "game", "horizon None", "a game with a horizon")
    kept = [np.flatnonzero(np.asarray(mixture) > 1e-6) for mixture in mixtures]
    members = [jnp.asarray(np.asarray(table)[index]) for table, index in zip(tables, kept, strict=True)]
    weights = [jnp.asarray(np.asarray(mixture)[index]) for mixture, index in zip(mixtures, kept, strict=True)]
    there = _occupancies(game, members[0], members[1])  # [K_0, K_1, H, S]
    return (
        _averaged(weights[0], jnp.einsum("klhs,l->khs", there, weights[1]), members[0]),
        _averaged(weights[1], jnp.einsum("klhs,k->lhs", there, weights[0]), members[1]),
    )


@jax.jit
def markov_nash_conv(game: MarkovGame, policies: tuple[Float[Array, "horizon num_states _"], ...]) -> Float[Array, ""]:
    """What the best responses of both players to policies by step and state gain, exactly."""
    values = policy_values(game, policies)
    gains = [(best_response(game, policies, seat)[1] - values[seat]) @ game.initial for seat in range(2)]
    return jnp.sum(jnp.stack(gains))


@jax.jit
def _occupancies(game: MarkovGame, first: Array, second: Array) -> Float[Array, "rows columns horizon num_states"]:
    horizon = game.horizon or 0

    def pair(one: Array, two: Array) -> Array:
        return occupancy(game, tuple(jnp.broadcast_to(x, (horizon, *x.shape)) for x in (one, two)))

    return jax.lax.map(lambda one: jax.vmap(functools.partial(pair, one))(second), first)


@jax.jit
def _averaged(weights: Array, there: Array, members: Array) -> Float[Array, "horizon num_states _"]:
    share = weights[:, None, None] * there
    total = jnp.sum(share, axis=0)
    share = jnp.where(total > 0, share / jnp.where(total > 0, total, 1), weights[:, None, None] / weights.sum())
    return jnp.einsum("khs,ksa->hsa", share, members, precision="highest")


def _network(
    env: AnyEnvironment | BatchedEnv, params: PyTree, config: PPOConfig, num_labels: int
) -> tuple[Any, FeedForwardActorCritic]:
    head = action_head(env.action_space(params), config.bounds, config.spread, config.initial_std)
    return head, FeedForwardActorCritic(head.num_outputs, num_labels, config.hidden, head.free)


def _outputs(network: FeedForwardActorCritic, weights: PyTree, seen: Any) -> Float[Array, " outputs"]:
    one = jax.tree.map(lambda x: x[None], with_mask(seen))
    return network.run(weights, (), one, jnp.zeros((1,), bool))[1].policy[0]
