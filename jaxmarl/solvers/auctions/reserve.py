"""The reserve price that earns most, found by gradient ascent through the auction environment."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxmarl.core.chance import draw
from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.auctions.arguments import require_concrete
from jaxmarl.envs.auctions.one_shot import common_law
from jaxmarl.envs.auctions.priors import Marginal
from jaxmarl.envs.auctions.sealed_bid import SealedBidAuction, SealedBidParams

BidFunction: TypeAlias = Callable[[Array, Array], Array]
"""Signals `[N]` and the reserve, to bids `[N]`."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OptimalReserve:
    """Where the ascent ended. A pytree.

    Attributes:
        reserve: the last one.
        revenue: its sample mean there.
        slope: of revenue in the reserve there, close to 0 inside the support.
        path: reserves of all steps.
    """

    reserve: Float[Array, ""]
    revenue: Float[Array, ""]
    slope: Float[Array, ""]
    path: Float[Array, " num_steps"]


def optimal_reserve(
    env: SealedBidAuction,
    params: SealedBidParams,
    bid: BidFunction | None = None,
    *,
    key: Array,
    num_samples: int = 2**14,
    num_steps: int = 100,
    step_size: float = 0.05,
    start: float = 0.25,
) -> OptimalReserve:
    """Maximises expected revenue over the reserve, with `jax.grad` through `env.transition` on common random numbers.

    Which auctions are sold is a step in the reserve, whose derivative a sample does not show. Two ways around it:

    - `env` with hard allocation, first or second price, identical independent values, no entry fee: the highest value
      is drawn given that it reaches the reserve, by transforming the environment's own chance, and revenue is weighted
      by the probability of that. The gradient is unbiased, also where bids depend on the reserve.
    - `env.smooth`: the smoothed auction, whose derivatives exist but whose optimum is off by the order of
      `params.temperature`. Bids must be continuous in signals, as truthful ones are: equilibrium bids of a first-price
      auction jump from nothing to the reserve.

    Args:
        env: auction of one item.
        params: of it, concrete; their reserve is ignored.
        bid: what bidders bid at a reserve; the equilibrium that `env.benchmarks` knows, where None.
        key: consumed by this call.
        num_samples: auctions drawn once and played at every step.
        num_steps: steps of Adam, whose size falls to 0 along a cosine.
        step_size: of the first steps, as a part of the support's length.
        start: first reserve, as a part of the support.

    Raises:
        ValueError: an auction that neither way fits, no `bid` where no equilibrium is known, or a bad number.
    """
    require_int("num_samples", num_samples, 1)
    require_int("num_steps", num_steps, 1)
    require(0 < step_size < math.inf, "step_size", step_size, "positive")
    require(0 <= start <= 1, "start", start, "in [0, 1]")
    require_concrete("optimal_reserve", *jax.tree.leaves(params))
    require(isinstance(params.prior, Marginal), "prior", env.prior, "a law of independent private values")
    active = np.flatnonzero(params.active)
    require(len(active) > 0, "active", np.asarray(params.active).tolist(), "true for a bidder")
    bid = equilibrium_bid(env, params) if bid is None else bid
    if not env.smooth:
        _require_unbiased(env, params, active)
    low, high = float(np.min(params.prior.low[active])), float(np.max(params.prior.high[active]))
    drawn = draw(env.reset_chance, key, (num_samples,)), draw(env.step_chance, key, (num_samples,))
    revenue = partial(_sample_revenue, env, params, bid, active, drawn)
    schedule = optax.cosine_decay_schedule(step_size * (high - low), num_steps)
    optimiser = optax.adam(schedule, b2=0.95)  # forgets the steep slopes of the first steps

    def step(carry, _):
        reserve, state = carry
        slope = jax.grad(revenue)(reserve)
        change, state = optimiser.update(-slope, state)
        return (jnp.clip(optax.apply_updates(reserve, change), low, high), state), reserve

    @jax.jit
    def ascend(reserve: Array) -> OptimalReserve:
        (last, _), path = jax.lax.scan(step, (reserve, optimiser.init(reserve)), length=num_steps)
        best, slope = jax.value_and_grad(revenue)(last)
        return OptimalReserve(last, best, slope, path)

    return ascend(jnp.full((), low + start * (high - low), float))


def equilibrium_bid(env: SealedBidAuction, params: SealedBidParams) -> BidFunction:
    """The equilibrium that `env.benchmarks` knows, as a function of signals and of the reserve.

    Raises:
        ValueError: where none is known, or only one without a reserve, or one that a smoothed auction cannot use.
    """
    if env.payment == "second_price" and params.prior.private and float(params.entry_fee) == 0:
        return lambda signals, reserve: signals
    known = env.benchmarks(params).get("bid")
    if isinstance(known, partial) and "reserve" in known.keywords and not env.smooth:
        # a formula with all its numbers bound, of which the reserve is bound anew
        return lambda signals, reserve: known(signals, reserve=reserve)
    kind = f"{'smoothed ' if env.smooth else ''}{env.payment} auction"
    raise ValueError(f"bid must be given: no equilibrium continuous in signals is known of this {kind}")


def _require_unbiased(env: SealedBidAuction, params: SealedBidParams, active: np.ndarray) -> None:
    """Refuses hard auctions in which more than the sale of the item jumps with the reserve."""
    fits = env.payment in ("first_price", "second_price") and float(params.entry_fee) == 0
    alike = common_law(params.prior, active) is not None
    allowed = "first or second price without entry fee and with identical laws of values, or smooth"
    require(fits and alike, "env", f"a {env.payment} auction with entry fee {float(params.entry_fee)}", allowed)


def _sample_revenue(
    env: SealedBidAuction,
    params: SealedBidParams,
    bid: BidFunction,
    active: np.ndarray,
    drawn: tuple[Any, Any],
    reserve: Float[Array, ""],
) -> Float[Array, ""]:
    """Mean revenue of the drawn auctions at a reserve, differentiable in it."""
    here = replace(params, reserve=reserve)

    def play(chance, lots):
        state = env.initial(chance, here)
        return env.transition(state, bid(state.signals, reserve), lots, here)[3]["revenue"]

    chance, lots = drawn
    if env.smooth:
        return jnp.mean(jax.vmap(play)(chance, lots))
    count = len(active)
    missed = common_law(params.prior, active).cdf(reserve) ** count
    # uniform numbers are turned into those of values whose highest reaches the reserve; who has it does not matter
    first, rest = chance[:, active[0]], chance[:, active[1:]]
    top = (missed + (1 - missed) * first) ** (1 / count)
    chance = chance.at[:, active].set(jnp.concatenate([top[:, None], top[:, None] * rest], axis=1))
    return (1 - missed) * jnp.mean(jax.vmap(play)(chance, lots))
