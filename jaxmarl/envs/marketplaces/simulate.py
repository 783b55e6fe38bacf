"""Episodes of a batch of seated players, with what is asked for of each step kept."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.seating import Seating


def play_seated(
    seating: Seating,
    params: PyTree,
    key: Array,
    keep: Callable[[dict], Any] = lambda info: (),
) -> tuple[Float[Array, "M N"], PyTree, Any]:
    """Plays one episode of every match of `seating` (pure: jit it, or vmap it over params).

    Args:
        seating: of an environment with a fixed horizon, without seats for a caller.
        params: of the environment.
        key: consumed.
        keep: what to keep of each step's `info` (leaves `[M, ...]`).

    Returns:
        Total rewards, final states (leaves `[M, ...]`), and what was kept (leaves `[T, M, ...]`).
    """
    env, num = seating.env, len(seating.schedule)
    horizon = env.horizon or 0
    require(horizon > 0, "env", type(env).__name__, "an environment with a fixed horizon")
    start_key, steps_key = jax.random.split(key)
    chance, memory_chance = draw((repeat(env.reset_chance, num), seating.init_chance), start_key)
    states = jax.vmap(env.initial, (0, None), axis_size=num)(chance, params)

    def step(carry, key):
        states, memories, total = carry
        chance, act_chance = draw((repeat(env.step_chance, num), seating.act_chance), key)
        actions, memories = seating.act(seating.params, memories, states, params, act_chance)
        move = jax.vmap(env.transition, (0, 0, 0, None), axis_size=num)
        states, reward, _, info = move(states, seating.joint(actions), chance, params)
        return (states, memories, total + reward), keep(info)

    carry = states, seating.start(memory_chance), jnp.zeros((num, env.num_agents))
    (states, _, total), kept = jax.lax.scan(step, carry, jax.random.split(steps_key, horizon))
    return total, states, kept
