"""Matches from start to end: one scan over a batch of them, each type of player's code run once a step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.seating import Seating


class Matches(NamedTuple):
    """A batch of matches that is being played.

    Attributes:
        states: of the environment `[M, …]`.
        memories: of the players.
        alive: `[M]`, whether the episode goes on.
        returns: `[M, N]` so far.
    """

    states: PyTree
    memories: PyTree
    alive: Bool[Array, " num_matches"]
    returns: Float[Array, "num_matches num_agents"]


def play_seating(
    seating: Seating, player_params: tuple[PyTree, ...], key: Array, params: PyTree, num_steps: int
) -> Float[Array, "num_matches num_agents"]:
    """Returns of one episode of every match of `seating` (pure; jit it)."""
    matches = play_steps(seating, player_params, key, params, num_steps, lambda *step: None)[0]
    return matches.returns


def play_steps(
    seating: Seating,
    player_params: tuple[PyTree, ...],
    key: Array,
    params: PyTree,
    num_steps: int,
    keep: Callable[[Matches, Array, PyTree], PyTree],
) -> tuple[Matches, PyTree]:
    """Plays one episode of every match of `seating` and what comes after its end, whose rewards do not count.

    Args:
        seating: who plays.
        player_params: of the players.
        key: consumed by this call.
        params: of the environment.
        num_steps: `T`.
        keep: (matches before a step, rewards that count, info) -> what to keep of it.

    Returns:
        The matches in the end, and what was kept, `[T, …]`.
    """
    env, num = seating.env, len(seating.schedule)
    start_key, steps_key = jax.random.split(key)
    env_chance, init_chance = draw((repeat(env.reset_chance, num), seating.init_chance), start_key)
    states = jax.vmap(env.initial, in_axes=(0, None), axis_size=num)(env_chance, params)
    returns = jnp.zeros((num, env.num_agents), jnp.float32)
    start = Matches(states, seating.start(init_chance), jnp.ones(num, bool), returns)

    def step(matches, key):
        env_chance, act_chance = draw((repeat(env.step_chance, num), seating.act_chance), key)
        actions, memories = seating.act(player_params, matches.memories, matches.states, params, act_chance)
        states, reward, terminated, info = jax.vmap(env.transition, in_axes=(0, 0, 0, None))(
            matches.states, seating.joint(actions), env_chance, params
        )
        reward = jnp.where(matches.alive[:, None], reward, 0.0)
        over = terminated | jax.vmap(env.truncated, in_axes=(0, None))(states, params)
        after = Matches(states, memories, matches.alive & ~over, matches.returns + reward)
        return after, keep(matches, reward, info)

    return jax.lax.scan(step, start, jax.random.split(steps_key, num_steps))
