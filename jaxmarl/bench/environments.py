"""Steps a second of environments under random legal actions, many instances at once."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxmarl.bench.harness import REPEATS, Timing, chained, reset_peak_memory
from jaxmarl.bench.results import Row, make_row
from jaxmarl.core import Discrete, Environment, Integers, Normal, Uniform, VectorEnv, draw, make
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import categorical

LONGEST_ROLLOUT = 64  # steps between two restarts of the batch
DEFAULT_SIZES = (1, 1024)
# one of every large family; `--names all` has the rest
DEFAULT_NAMES = ("coin_game", "first_price_auction", "logit_pricing", "market_making", "repeated_rps", "soccer")


def measure(names: tuple[str, ...], sizes: tuple[int, ...] = DEFAULT_SIZES, repeats: int = REPEATS) -> list[Row]:
    """A row for each registered environment and number of instances."""
    rows = []
    for env, params, name in [(*make(name), name) for name in names]:
        for size in sizes:
            reset_peak_memory()
            timing, steps = time_play(env, params, size, repeats, steps_for(size))
            rows.append(make_row("environments", name, size, "steps/s", timing, steps))
    return rows


def steps_for(size: int) -> int:
    """Steps of a timed call: fewer where more instances are stepped."""
    return min(max(2**18 // size, 8), 2048)


def time_play(env: AnyEnvironment, params: PyTree, size: int, repeats: int, steps: int) -> tuple[Timing, int]:
    """Times random play of `size` instances, restarted as roll-outs do, resets included.

    Returns:
        The timing, and the steps of all instances together in a call: `steps` or a little more of each.
    """
    vector, space = VectorEnv(env, size), env.action_space(params)
    horizon = env.horizon or LONGEST_ROLLOUT
    length = max(d for d in range(1, LONGEST_ROLLOUT + 1) if horizon % d == 0)
    rollouts = -(-steps // length)

    def rounds(carry):
        def rollout(carry, key):
            def step(carry, key):
                state, total = carry
                act_key, env_key = jax.random.split(key)
                mask = lambda: vector.action_mask(state, params)  # noqa: E731
                action = random_actions(env, space, size, act_key, mask)
                obs, state, reward, *_ = vector.step(env_key, state, action, params)
                return (state, total + reward.sum() + obs.sum()), None

            state, total = carry
            begin_key, key = jax.random.split(key)
            _, state = vector.begin(begin_key, state, params)
            return jax.lax.scan(step, (state, total), jax.random.split(key, length))[0], None

        state, key = carry
        keys = jax.random.split(key, rollouts + 1)
        (state, total), _ = jax.lax.scan(rollout, (state, jnp.zeros(())), keys[1:])
        # the next call depends on what was measured, so that nothing of it is left out
        return state, jax.random.fold_in(keys[0], jnp.int32(total))

    first = jax.jit(lambda key: vector.reset(key, params)[1])(jax.random.key(0)), jax.random.key(1)
    return chained(rounds, first, repeats), rollouts * length * size


def random_actions(env: AnyEnvironment, space: Any, size: int, key: Array, mask: Any) -> Array:
    """Uniform actions `[B, N, ...]`, legal ones where the environment masks; `mask` is called if it does."""
    shape = (size, env.num_agents, *space.shape)
    if isinstance(space, Discrete):
        if type(env).action_mask is Environment.action_mask:
            return draw(Integers(space.n, shape), key)
        return categorical(jnp.where(mask(), 0.0, -jnp.inf), draw(Uniform(shape), key))
    if math.isfinite(space.low) and math.isfinite(space.high):
        return draw(Uniform(shape, space.low, space.high), key)
    return jnp.clip(draw(Normal(shape), key), space.low, space.high)
