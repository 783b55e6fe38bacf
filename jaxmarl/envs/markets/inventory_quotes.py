"""Optimal quotes of a dealer with inventory risk: closed forms, exact solutions, and exact values of given quotes.

Sources: Avellaneda and Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 2008; Guéant,
Lehalle and Fernandez-Tapia, "Dealing with the inventory risk", Mathematics and Financial Economics 2013. What runs
on the host is numpy in float64. A table of quotes is `[num_steps, 2 Q + 1, 2]`: bid and ask offset at each step and
inventory from -Q to Q; infinity where a side does not quote.
"""

import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from jaxmarl.core.policy import Policy
from jaxmarl.envs.liquidity.flow import fill_probability
from jaxmarl.envs.liquidity.quotes import avellaneda_stoikov_quotes, avellaneda_stoikov_spread

if TYPE_CHECKING:
    from jaxmarl.envs.markets.market_making import MarketMaking, MarketMakingParams

Quotes = Float64[np.ndarray, "T W 2"]
CUT = 30  # inventories beyond it are left out of exact solutions where the market has no limit


def glft_quotes(inventory, params: "MarketMakingParams") -> tuple[Array, Array]:
    """Bid and ask offset of the stationary approximation, far from the end of the day (Guéant et al. 2013)."""
    gamma, k = params.risk_aversion, params.decay
    base = jnp.log1p(gamma / k) / gamma
    growth = jnp.exp((1 + k / gamma) * jnp.log1p(gamma / k))
    slope = jnp.sqrt(params.volatility**2 * gamma / (2 * k * params.intensity) * growth)
    return base + (2 * inventory + 1) / 2 * slope, base - (2 * inventory - 1) / 2 * slope


def exact_quotes(params: "MarketMakingParams", max_inventory: int, num_steps: int) -> tuple[Quotes, float]:
    """Optimal quotes for exponential utility in continuous time, and the certainty equivalent of a start without stock.

    `v(t) = exp(-M (T - t)) 1` solves the linear equation that the problem reduces to; M is symmetric and tridiagonal,
    and is diagonalised once.

    Args:
        params: of the market, scalars.
        max_inventory: Q.
        num_steps: steps of the day at whose starts the quotes are wanted.
    """
    gamma, k, sigma, rate, duration = (
        float(x) for x in (params.risk_aversion, params.decay, params.volatility, params.intensity, params.duration)
    )
    held = np.arange(-max_inventory, max_inventory + 1.0)
    eta = rate * math.exp(-(1 + k / gamma) * math.log1p(gamma / k))
    neighbours = np.eye(len(held), k=1) + np.eye(len(held), k=-1)
    rates, modes = np.linalg.eigh(np.diag(k * gamma * sigma**2 / 2 * held**2) - eta * neighbours)
    left = duration * (1 - np.arange(num_steps) / num_steps)
    # growth of the slowest mode is taken out, since it overflows long before the differences of logarithms do
    log_v = np.log((modes * np.exp(-np.outer(left, rates - rates[0]))[:, None, :]) @ (modes.T @ np.ones(len(held))))
    log_v = np.pad(log_v, ((0, 0), (1, 1)), constant_values=-np.inf)
    base = math.log1p(gamma / k) / gamma
    bid, ask = (log_v[:, 1:-1] - other for other in (log_v[:, 2:], log_v[:, :-2]))
    certainty_equivalent = (log_v[0, max_inventory + 1] - rates[0] * duration) / k
    return np.stack([bid, ask], -1) / k + base, float(certainty_equivalent)


def running_optimum(params: "MarketMakingParams", max_inventory: int, num_steps: int) -> tuple[Quotes, float]:
    """Optimal quotes for expected P&L less `φ q² dt` a step, with linear fills, and their value without stock.

    Dynamic programming over steps and inventories, exact in discrete time. Each offset is best for the other one, and
    the two are iterated to their fixed point: fills of both sides in one step are rare, so this contracts fast.
    """
    k, dt = float(params.decay), float(params.duration) / num_steps
    full = float(params.intensity) * dt  # expected fills of a quote at the mid
    held = np.arange(-max_inventory, max_inventory + 1.0)
    penalty = float(params.inventory_penalty) * dt * held**2
    value, quotes = np.zeros(len(held)), np.empty((num_steps, len(held), 2))
    surest = math.log(full) / k  # the widest offset that is filled for sure, where that is above the mid
    for t in reversed(range(num_steps)):
        after = np.pad(value - penalty, 2, constant_values=-np.inf)
        stay, up, down = after[2:-2], after[3:-1], after[1:-3]
        fills = np.zeros((2, len(held)))
        for _ in range(30):
            offsets = []
            # gain of buying (selling) one more, when the other side is filled or not; both filled is to stay
            for other, alone, from_other in ((fills[1], up, down), (fills[0], down, up)):
                there = np.where(np.isfinite(from_other), from_other, 0.0)
                gain = np.where(np.isfinite(alone), alone - stay, 0.0) * (1 - other) + (stay - there) * other
                offset = np.maximum(1 / k - gain, surest)
                offsets.append(np.where(np.isfinite(alone), offset, np.inf))
            fills = np.minimum(full * np.exp(-k * np.stack(offsets)), 1.0)
        bid, ask = fills
        earned = np.where(fills > 0, fills * np.where(fills > 0, np.stack(offsets), 0.0), 0.0).sum(0)
        finite_up, finite_down = (np.where(np.isfinite(x), x, 0.0) for x in (up, down))
        both = bid * ask + (1 - bid) * (1 - ask)
        value = earned + both * stay + bid * (1 - ask) * finite_up + ask * (1 - bid) * finite_down
        quotes[t] = np.stack(offsets, -1)
    return quotes, float(value[max_inventory])


def exact_values(quotes: Quotes, env: "MarketMaking", params: "MarketMakingParams") -> dict[str, float]:
    """Expected P&L, certainty equivalent and expected running objective of a table of quotes, without simulation.

    Recursions over steps and inventories, for a start without stock. The table's ends must be infinite offsets, or be
    reached with negligible probability: no fill leaves the table. The certainty equivalent is NaN where it overflows.
    """
    num_steps, width, _ = quotes.shape
    size = width // 2
    gamma, sigma, dt = float(params.risk_aversion), float(params.volatility), float(params.duration) / num_steps
    held = np.arange(-size, size + 1.0)
    form = (params.intensity, params.decay, dt, env.fill_form)
    chances = np.asarray(fill_probability(jnp.asarray(quotes, float), *form), np.float64)
    spread = sigma * math.sqrt(dt) * held
    binomial = env.price_moves == "binomial"
    noise = np.cosh(gamma * spread) if binomial else np.exp((gamma * spread) ** 2 / 2)
    utility, mean, running = np.ones(width), np.zeros(width), np.zeros(width)
    for t in reversed(range(num_steps)):
        offsets = quotes[t].T
        bid, ask = chances[t].T.copy()
        bid[-1], ask[0] = 0.0, 0.0
        paid = np.where(np.isfinite(offsets), offsets, 0.0)
        ways = ((bid * (1 - ask), 1), (ask * (1 - bid), -1), (bid * ask, 0), ((1 - bid) * (1 - ask), 0))
        gains = (paid[0], paid[1], paid[0] + paid[1], 0.0)
        shifted = {step: np.roll(np.arange(width), -step) for step in (-1, 0, 1)}
        later = utility * noise
        with np.errstate(over="ignore", invalid="ignore"):
            weights = [p * np.exp(-gamma * gain) for (p, _), gain in zip(ways, gains, strict=True)]
            utility = sum(w * later[shifted[step]] for w, (_, step) in zip(weights, ways, strict=True))
        cost = running - float(params.inventory_penalty) * dt * held**2
        mean = sum(p * (gain + mean[shifted[step]]) for (p, step), gain in zip(ways, gains, strict=True))
        running = sum(p * (gain + cost[shifted[step]]) for (p, step), gain in zip(ways, gains, strict=True))
    certainty_equivalent = -math.log(utility[size]) / gamma
    return {"pnl": float(mean[size]), "certainty_equivalent": certainty_equivalent, "running": float(running[size])}


def quote_table(rule, params: "MarketMakingParams", num_steps: int, max_inventory: int = CUT) -> Quotes:
    """The table of a rule `(inventory, time left, params) -> (bid offset, ask offset)`."""
    held = jnp.arange(-max_inventory, max_inventory + 1.0)[None]
    left = params.duration * (1 - jnp.arange(num_steps) / num_steps)[:, None]
    offsets = jnp.broadcast_arrays(*(jnp.asarray(x, float) for x in rule(held, left, params)), held + left)[:2]
    return np.stack([np.asarray(x, np.float64) for x in offsets], -1)


def avellaneda_stoikov_rule(inventory, time_left, params: "MarketMakingParams") -> tuple[Array, Array]:
    """Bid and ask offset of Avellaneda and Stoikov."""
    return avellaneda_stoikov_quotes(inventory, time_left, params.risk_aversion, params.volatility, params.decay)


def symmetric_rule(inventory, time_left, params: "MarketMakingParams") -> tuple[Array, Array]:
    """The spread of Avellaneda and Stoikov, centred on the mid."""
    half = avellaneda_stoikov_spread(time_left, params.risk_aversion, params.volatility, params.decay) / 2
    return half, half


def glft_rule(inventory, time_left, params: "MarketMakingParams") -> tuple[Array, Array]:
    """`glft_quotes`, whatever the time."""
    return glft_quotes(inventory, params)


def constant_rule(inventory, time_left, params: "MarketMakingParams") -> tuple[Array, Array]:
    """The offsets that earn most on average, `1 / k`, whatever the inventory."""
    return 1 / params.decay, 1 / params.decay


def rule_policy(env: "MarketMaking", rule, name: str) -> Policy:
    """The policy of a rule; its params are those of the market."""

    def act(params, memory, obs, chance):
        left = params.duration * (1.0 - obs[0])
        offsets = rule(obs[1] * 10.0, left, params)
        return env.action(jnp.stack([jnp.broadcast_to(x, ()) for x in offsets])), memory

    return Policy(lambda chance: (), act, name=name)


def table_policy(env: "MarketMaking", quotes: Float[Any, "T W 2"], name: str) -> Policy:
    """The policy of a table of quotes; infinite offsets become as wide as the environment allows. Unused params."""
    table = np.where(np.isfinite(quotes), quotes, 1e6).astype(np.float32)
    num_steps, width, _ = table.shape

    def act(params, memory, obs, chance):
        t = jnp.clip(jnp.round(obs[0] * num_steps), 0, num_steps - 1).astype(jnp.int32)
        row = jnp.clip(jnp.round(obs[1] * 10.0) + width // 2, 0, width - 1).astype(jnp.int32)
        return env.action(jnp.asarray(table)[t, row]), memory

    return Policy(lambda chance: (), act, name=name)


RULES = {
    "avellaneda_stoikov": avellaneda_stoikov_rule,
    "symmetric": symmetric_rule,
    "glft": glft_rule,
    "constant": constant_rule,
}


def known_answers(env: "MarketMaking", params: "MarketMakingParams") -> dict[str, Any]:
    """The entries of `MarketMaking.benchmarks`."""
    answers: dict[str, Any] = {name: rule_policy(env, rule, name) for name, rule in RULES.items()}
    size = env.max_inventory or CUT
    quotes, certainty_equivalent = exact_quotes(params, size, env.num_steps)
    answers |= {"exact": table_policy(env, quotes, "exact"), "certainty_equivalent": certainty_equivalent}
    decay = float(params.decay)
    answers["constant_pnl"] = 2 * float(params.intensity) * math.exp(-1) / decay * float(params.duration)
    if env.objective == "running" and env.fill_form == "linear":
        best, value = running_optimum(params, size, env.num_steps)
        answers |= {"optimal": table_policy(env, best, "optimal"), "optimal_value": value}
    return answers
