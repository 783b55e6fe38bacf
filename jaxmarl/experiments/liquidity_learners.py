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


def battery(num_days: int = 64, seed: int = 0) -> Task:
    """A battery that learns on days drawn from the price model, and is tested on other such days.

    It sees prices only after it has acted. The bound is the profit with the prices of each day known before;
    `threshold` is the best rule on the days of training that charges below one last price and discharges above another.
    """
    model = ImbalanceBattery(num_levels=None)
    env = replace(model, num_days=num_days)
    rest = Policy(lambda chance: (), lambda params, memory, obs, chance: (jnp.zeros(()), memory))

    @jax.jit
    def drawn(key):
        return simulate(model, model.default_params, rest, (), key, 2 * num_days, lambda info: info["price"])[2]

    prices = drawn(jax.random.key(seed)).T
    trained, tested = (
        Market(env, replace(env.default_params, prices=days)) for days in (prices[:num_days], prices[num_days:])
    )

    def known(key: Array, num_episodes: int) -> dict[str, float]:
        levels = jnp.arange(0.0, 300.0, 25.0)
        pairs = jnp.stack(jnp.meshgrid(levels, levels, indexing="ij"), axis=-1).reshape(-1, 2)
        pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
        best = int(np.argmax(parameter_sweep(trained, threshold_rule(), pairs, key, num_episodes // 4)))
        found = parameter_sweep(tested, threshold_rule(), pairs[best : best + 1], key, num_episodes)
        bound = float(env.benchmarks(tested.params)["perfect_foresight"].mean())
        return {"rest": 0.0, "threshold": float(found[0]), "perfect foresight": bound}

    return Task(trained, tested, battery_config, known, "perfect foresight")


def battery_config(num_updates: int) -> PPOConfig:
    """Settings whose training sequences are whole days, since what is charged at night is sold in the evening."""
    settings = replace(config(num_updates), chunk_length=96, reward_scale=0.02)
    return replace(settings, discount=1.0, trace=0.98, initial_std=0.5)


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
