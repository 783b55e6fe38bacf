"""PPO learns to quote: the market of Avellaneda and Stoikov with a penalty on inventory, against the known optimum."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.markets import inventory_quotes
from jaxmarl.envs.markets.market_making import MarketMaking
from jaxmarl.envs.markets.simulate import simulate
from jaxmarl.learners.base import Learner, over_seeds
from jaxmarl.learners.ppo import PPOConfig, ppo

NUM_UPDATES = 160


class Market(NamedTuple):
    """The environment that is learned (with a fixed horizon and no masked actions), and its numbers."""

    env: Any
    params: PyTree


class Learned(NamedTuple):
    """What training gave.

    Attributes:
        learner: of one seed; its policy plays.
        params: of the policy, stacked over seeds.
        returns: `[updates, seeds]`, mean return of the episodes that ended in an update (NaN where none did).
    """

    learner: Learner
    params: PyTree
    returns: Float[np.ndarray, "U S"]


def market(inventory_penalty: float = 1.0) -> Market:
    """A penalty of 1 makes inventories costly: constant quotes then earn half of what the best ones do."""
    env = MarketMaking(objective="running")
    return Market(env, replace(env.default_params, inventory_penalty=jnp.asarray(inventory_penalty, float)))


def config(num_updates: int = NUM_UPDATES) -> PPOConfig:
    """Settings that learn in minutes on two cores."""
    return PPOConfig(
        hidden=32,
        chunk_length=50,
        epochs=4,
        minibatches=4,
        learning_rate=3e-3,
        anneal_updates=num_updates,
        trace=0.9,
        entropy_weight=0.0,
        reward_scale=0.1,
        initial_std=0.3,
    )


def train(
    market: Market,
    key: Array,
    num_seeds: int = 5,
    num_updates: int = NUM_UPDATES,
    num_envs: int = 256,
    settings: PPOConfig | None = None,
) -> Learned:
    """Trains `num_seeds` agents at once for `num_updates` updates of `num_envs` markets each.

    Settings default to `config(num_updates)`, with which an update takes 50 steps of every market.
    """
    learner = ppo(VectorEnv(market.env, num_envs), settings or config(num_updates), market.params)
    seeds = over_seeds(learner, num_seeds)

    @jax.jit
    def run(key):
        return jax.lax.scan(lambda state, _: seeds.update(state), seeds.init(key), length=num_updates)

    state, metrics = run(key)
    return Learned(learner, learner.params(state), np.asarray(metrics["episode_return"]))


def evaluate(market: Market, learned: Learned, key: Array, num_episodes: int = 4000) -> Float[np.ndarray, " S"]:
    """Mean objective of a day of each seed's policy, over fresh days; exploration noise included."""

    @jax.jit
    @jax.vmap
    def play(params, key):
        total, _, _ = simulate(market.env, market.params, learned.learner.policy, params, key, num_episodes)
        return total.mean()

    num_seeds = learned.returns.shape[1]
    return np.asarray(play(learned.params, jax.random.split(key, num_seeds)))


def known_values(market: Market) -> dict[str, float]:
    """Exact objective of the known rules (at the market's risk aversion), and the optimum."""
    env, params = market

    def value(rule) -> float:
        quotes = inventory_quotes.quote_table(rule, params, env.num_steps, max_inventory=60)
        quotes = np.clip(quotes, env.min_offset, env.max_offset)
        return inventory_quotes.exact_values(quotes, env, params)["running"]

    values = {name: value(rule) for name, rule in inventory_quotes.RULES.items()}
    return values | {"optimal": float(env.benchmarks(params)["optimal_value"])}
