"""Whole episodes of one policy for every agent, with only what is asked for kept."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import Policy


def simulate(
    env: AnyEnvironment,
    params: PyTree,
    policy: Policy,
    policy_params: PyTree,
    key: Array,
    num_episodes: int,
    keep: Callable[[dict], Any] = lambda info: (),
) -> tuple[Float[Array, "B N"], PyTree, Any]:
    """Plays `num_episodes` episodes at once, every agent following `policy`, in one scan.

    Args:
        env: with a fixed horizon and no masked actions.
        params: of the environment.
        policy: of every agent, without a mask.
        policy_params: of the policy, shared.
        key: consumed.
        num_episodes: `B`.
        keep: what to keep of each step's `info` (leaves `[B, ...]`).

    Returns:
        Total rewards, final states (leaves `[B, ...]`), and what was kept (leaves `[T, B, ...]`).
    """
    require_int("num_episodes", num_episodes, 1)
    horizon = env.horizon or 0
    require(horizon > 0, "env", type(env).__name__, "an environment with a fixed horizon")
    require(not policy.masked, "policy", policy.name, "a policy that reads no mask")
    batch, lanes = (num_episodes,), (num_episodes, env.num_agents)
    reset_key, memory_key, steps_key = jax.random.split(key, 3)
    state = jax.vmap(env.initial, (0, None), axis_size=num_episodes)(draw(env.reset_chance, reset_key, batch), params)
    by_agent = jax.vmap(policy.init, axis_size=env.num_agents)
    memory = jax.vmap(by_agent, axis_size=num_episodes)(draw(repeat(policy.init_chance, *lanes), memory_key))
    each = jax.vmap(policy.act, (None, 0, 0, 0), axis_size=env.num_agents)
    act = jax.vmap(each, (None, 0, 0, 0), axis_size=num_episodes)

    def step(carry, key):
        state, memory, total = carry
        chance, act_chance = draw((repeat(env.step_chance, *batch), repeat(policy.act_chance, *lanes)), key)
        obs = jax.vmap(env.observe, (0, None))(state, params)
        action, memory = act(policy_params, memory, obs, act_chance)
        move = jax.vmap(env.transition, (0, 0, 0, None), axis_size=num_episodes)
        state, reward, _, info = move(state, action, chance, params)
        return (state, memory, total + reward), keep(info)

    carry = state, memory, jnp.zeros(lanes)
    (state, _, total), kept = jax.lax.scan(step, carry, jax.random.split(steps_key, horizon))
    return total, state, kept
