"""PPO with continuous actions as a dealer with a charge on inventory, and as a battery, beside rules and bounds."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.policy import Policy
from jaxmarl.envs.liquidity.dealer_market import DealerMarket
from jaxmarl.envs.liquidity.quotes import avellaneda_stoikov_quotes
from jaxmarl.envs.markets.battery import ImbalanceBattery
from jaxmarl.envs.markets.battery_optimum import perfect_foresight
from jaxmarl.envs.markets.market_making import MarketMaking
from jaxmarl.envs.markets.simulate import simulate
from jaxmarl.experiments.market_making import Market, config
from jaxmarl.learners.ppo import PPOConfig

RISK_AVERSIONS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PRICE_UNIT = 100.0  # in which the battery sees prices


class Task(NamedTuple):
    """A market to learn in, and what the learner is compared with.

    Attributes:
        trained: the market of training.
        tested: the market of evaluation.
        settings: of PPO, for a number of updates.
        known: values of rules on the market of evaluation, and of bounds, from a key and a number of episodes.
        benchmark: the entry of `known` that ratios are to.
    """

    trained: Market
    tested: Market
    settings: Callable[[int], PPOConfig]
    known: Callable[[Array, int], dict[str, float]]
    benchmark: str


def dealer(inventory_charge: float = 1.0) -> Task:
    """One dealer against the flow of Avellaneda and Stoikov, who pays for squared inventory over time.

    Liquidity is constant and orders are of one parcel, so that the market is that of `MarketMaking`, whose optimum by
    dynamic programming bounds what a dealer can earn. The benchmark is Avellaneda and Stoikov's quotes at the risk
    aversion, of `RISK_AVERSIONS`, that earns most under this charge.
    """
    env = DealerMarket(num_dealers=1, min_half_spread=-1.0, max_half_spread=3.0)
    params = env.default_params
    charge, limit = jnp.asarray(inventory_charge, float), 10
    dealers = replace(
        params.dealers,
        inventory_charge=charge,
        large_share=jnp.zeros(1),
        limits=jnp.full(2, float(limit)),
        sizes=jnp.ones(2),
    )
    still = replace(params.pool, speed=jnp.zeros(()))
    clients = replace(params.clients, two_parcels=jnp.zeros(()))
    market = Market(env, replace(params, dealers=dealers, pool=still, clients=clients))

    def known(key: Array, num_episodes: int) -> dict[str, float]:
        values = parameter_sweep(market, dealer_quotes(env), jnp.asarray(RISK_AVERSIONS), key, num_episodes)
        named = {f"A-S, risk aversion {gamma:g}": float(x) for gamma, x in zip(RISK_AVERSIONS, values, strict=True)}
        twin = MarketMaking(objective="running", min_offset=-1.0, max_offset=3.0, max_inventory=limit)
        optimum = twin.benchmarks(replace(twin.default_params, inventory_penalty=charge))["optimal_value"]
        return named | {"best A-S": max(named.values()), "optimum": float(optimum)}

    return Task(market, market, config, known, "best A-S")


def dealer_quotes(env: DealerMarket) -> Policy:
    """Quotes of Avellaneda and Stoikov read off observations; params are those of the market and a risk aversion."""

    def act(params, memory, obs, chance):
        market, risk_aversion = params
        limit = jnp.where(obs[3] > 0, market.dealers.limits[1], market.dealers.limits[0])
        left = (1.0 - obs[0]) * env.num_steps * market.dt
        quotes = avellaneda_stoikov_quotes(obs[1] * limit, left, risk_aversion, market.volatility, market.clients.decay)
        return env.encode(jnp.stack(quotes)[None])[0], memory

    return Policy(lambda chance: (), act, name="avellaneda_stoikov")


def battery() -> Task:
    """A battery whose prices are drawn anew each day, and which sees prices only after it has acted.

    `threshold` is the best rule that charges below one last price and discharges above another. The benchmark is the
    best plan that knows the model of prices and sees what the learner sees; with all prices of a day known before it
    could earn `perfect foresight`, which no policy reaches.
    """
    env = ImbalanceBattery(num_levels=None)
    market = Market(env, env.default_params)
    rest = Policy(lambda chance: (), lambda params, memory, obs, chance: (jnp.zeros(()), memory))

    def known(key: Array, num_episodes: int) -> dict[str, float]:
        levels = jnp.arange(0.0, 300.0, 25.0)
        pairs = jnp.stack(jnp.meshgrid(levels, levels, indexing="ij"), axis=-1).reshape(-1, 2)
        pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
        thresholds = float(np.max(parameter_sweep(market, threshold_rule(), pairs, key, num_episodes // 4)))
        drawn = jax.jit(lambda key: simulate(env, market.params, rest, (), key, 64, lambda info: info["price"])[2])
        days = np.asarray(drawn(key), np.float64).T
        bound = float(np.mean([perfect_foresight(day, market.params) for day in days]))
        best = env.benchmarks(market.params)["optimal_value"]
        return {"rest": 0.0, "threshold": thresholds, "best plan": best, "perfect foresight": bound}

    return Task(market, market, battery_config, known, "best plan")


def battery_config(num_updates: int) -> PPOConfig:
    """Settings whose training sequences are whole days, since what is charged at night is sold in the evening."""
    settings = replace(config(num_updates), chunk_length=96, reward_scale=0.02)
    return replace(settings, discount=1.0, trace=0.95, initial_std=0.5, bounds="clip")


def threshold_rule() -> Policy:
    """Charges where the last price was below `params[1][0]`, discharges where it was above `params[1][1]`."""

    def act(params, memory, obs, chance):
        _, (low, high) = params
        last = obs[4] * PRICE_UNIT
        return jnp.where(last > high, 1.0, jnp.where(last < low, -1.0, 0.0)), memory

    return Policy(lambda chance: (), act, name="threshold")


def parameter_sweep(
    market: Market, policy: Policy, values: Float[Array, "V ..."], key: Array, num_episodes: int
) -> Float[np.ndarray, " V"]:
    """Mean total reward of a rule at each of `values`, over the same episodes; its params are `(market's, value)`."""

    @jax.jit
    @jax.vmap
    def play(value: PyTree):
        return simulate(market.env, market.params, policy, (market.params, value), key, num_episodes)[0].mean()

    return np.asarray(play(values))


TASKS: dict[str, Callable[[], Task]] = {"dealer_market": dealer, "imbalance_battery": battery}
