"""A first-price pacing market: buyers with budgets choose how much of their values to bid, period after period."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import mechanism
from jaxmarl.envs.auctions.budget_closed_forms import uniform_pair_fppe
from jaxmarl.envs.auctions.ledger import Ledger
from jaxmarl.envs.auctions.one_shot import require_amounts, require_each, require_prior
from jaxmarl.envs.auctions.priors import MARGINALS, Marginal
from jaxmarl.envs.auctions.priors import Uniform as UniformPrior


@struct.dataclass
class PacingMarketParams:
    """Numbers of the market.

    Attributes:
        rate: `[N]`, budgets for each unit of item mass: a buyer has `rate * horizon` in all.
        prior: law of each buyer's values, independent over buyers and items.
    """

    rate: Float[Array, " N"]
    prior: Any


@struct.dataclass
class PacingMarketState:
    """What has been paid, and the last period.

    Attributes:
        ledger: what buyers have paid so far.
        multipliers: `[N]`, the last action, 1 before the first.
        won: `[N]`, value bought in the last period.
        paid: `[N]`, in the last period.
        period: number of periods played.
    """

    ledger: Ledger
    multipliers: Float[Array, " N"]
    won: Float[Array, " N"]
    paid: Float[Array, " N"]
    period: Int32[Array, ""]


@register("pacing_market")
@dataclass(frozen=True)
class PacingMarket(Environment[PacingMarketState, PacingMarketParams]):
    """In each period `num_items` items, of mass 1 together, are sold in first-price auctions at paced bids.

    An action is a pacing multiplier in `[0, 1]`: the buyer bids that share of her value for every item of the period,
    whose values she has not seen. Items go to the highest bids (equal ones share them), at these bids. A buyer whose
    items cost more than the money she has left gets, and pays for, the share of them that she can pay; the rest stays
    unsold. The reward is value bought less payment, both per unit of item mass. The pacing equilibrium of `benchmarks`
    is competitive, each buyer spends her budget or bids her values (Conitzer et al. 2022); it is not a Nash equilibrium
    of this game, as in any first-price auction a buyer with money to spare gains by bidding less.

    An observation is the buyer's own `[rate, share of the budget left, last multiplier, last value bought, last
    payment]`, and the share of the periods played. `info`: `won [N]`, `payments [N]`, `revenue`, `welfare`,
    `efficient_welfare`.

    Attributes:
        num_agents: number of buyers `N`.
        num_items: sold in a period.
        horizon: number of periods.
        prior: family of the law of values, of `priors.MARGINALS`.
    """

    num_agents: int = 2
    num_items: int = 32
    horizon: int = 100
    prior: str = "uniform"

    symmetric = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("num_items", self.num_items, 1)
        require_int("horizon", self.horizon, 1)
        require_choice("prior", self.prior, MARGINALS)

    @property
    def default_params(self) -> PacingMarketParams:
        rate = jnp.full(self.num_agents, 0.4 / self.num_agents, float)
        return PacingMarketParams(rate, MARGINALS[self.prior].default(self.num_agents))

    def action_space(self, params: PacingMarketParams) -> Box:
        return Box(0.0, 1.0)

    def observation_space(self, params: PacingMarketParams) -> Box:
        return Box(-math.inf, math.inf, (6,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents, self.num_items))

    def validate(self, params: PacingMarketParams) -> None:
        require_each(params, self.num_agents, "rate")
        require_amounts(params, "rate")
        require_prior(params.prior, MARGINALS[self.prior], self.num_agents)

    def initial(self, chance: Chance, params: PacingMarketParams) -> PacingMarketState:
        none = jnp.zeros_like(params.rate)
        return PacingMarketState(Ledger.empty(none), jnp.ones_like(none), none, none, jnp.zeros((), jnp.int32))

    def transition(self, state: PacingMarketState, action: Array, chance: Chance, params: PacingMarketParams):
        prior: Marginal = params.prior
        values = prior.quantile(chance.T)  # [items, N]
        multipliers = jnp.clip(action, 0.0, 1.0).astype(state.won.dtype)
        allocation, prices = jax.vmap(_sell)(multipliers * values)
        wanted = jnp.mean(allocation * prices, axis=0)
        left = state.ledger.left(params.rate * self.horizon)
        short = wanted > left
        part = jnp.where(short, left / jnp.where(short, wanted, 1.0), 1.0)
        won = part * jnp.mean(allocation * values, axis=0)
        paid = (part * wanted).astype(state.paid.dtype)
        after = PacingMarketState(state.ledger.pay(paid), multipliers, won, paid, state.period + 1)
        info = {
            "won": won,
            "payments": paid,
            "revenue": jnp.sum(paid),
            "welfare": jnp.sum(won),
            "efficient_welfare": jnp.mean(jnp.max(values, axis=1)),
        }
        return after, won - paid, after.period >= self.horizon, info

    def observe(self, state: PacingMarketState, params: PacingMarketParams) -> Float[Array, "N 6"]:
        total = params.rate * self.horizon
        some = total > 0
        left = jnp.where(some, state.ledger.left(total) / jnp.where(some, total, 1.0), 0.0)
        time = jnp.broadcast_to((state.period / self.horizon).astype(left.dtype), left.shape)
        return jnp.stack([params.rate, left, state.multipliers, state.won, state.paid, time], axis=1)

    def benchmarks(self, params: PacingMarketParams) -> dict[str, Any]:
        """`policy`: PACE; for two buyers with values uniform on one interval from 0, the continuum's equilibrium.

        That is `multipliers` and `spend` `[N]` and `revenue` per unit of item mass, and `policies`, which bid by these
        multipliers; absent where a buyer who bids her values spends exactly her budget. Outside jit.
        """
        answers: dict[str, Any] = {"policy": pace_policy()}
        prior, rates = params.prior, np.asarray(params.rate, np.float64)
        if self.num_agents != 2 or type(prior) is not UniformPrior or np.any(prior.low) or np.ptp(prior.high) > 0:
            return answers
        scale, order = float(np.max(prior.high)), np.argsort(-rates, kind="stable")
        try:
            found = uniform_pair_fppe(jnp.asarray(rates[order] / scale))
        except ValueError:  # no money, or the border of pacing
            return answers
        back = np.argsort(order)
        multipliers = found.multipliers[back]
        return answers | {
            "multipliers": multipliers,
            "spend": scale * found.spend[back],
            "revenue": scale * found.revenue,
            "policies": tuple(constant_multiplier(float(beta)) for beta in multipliers),
        }


def _sell(bids: Float[Array, " N"]) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """One item to the highest positive bid: shares, and what each buyer pays if she wins."""
    competing = bids > 0
    allocation = mechanism.award(mechanism.places(bids, competing, "split"), competing, jnp.ones(1, bids.dtype))
    return allocation, mechanism.PAYMENT_RULES["first_price"](bids, competing, 0.0)[0]


def constant_multiplier(multiplier: float) -> Policy:
    """Bids the same share of the value in every period."""
    require(0 <= multiplier <= 1, "multiplier", multiplier, "in [0, 1]")

    def act(params, memory, obs, chance):
        return jnp.full((), multiplier, jnp.float32), memory

    return Policy(lambda chance: (), act, name=f"pace {multiplier:.3g}")


def pace_policy(floor: float = 0.01) -> Policy:
    """PACE: the multiplier `clip(rate / g, floor, 1)`, with `g` the value bought so far for each unit of item mass.

    Dual averaging on the pacing dual (Gao, Kroer and Peysakhovich 2021); with one item a period it plays as
    `solvers.auctions.pace` does.

    Args:
        floor: the lowest multiplier.
    """
    require(0 < floor <= 1, "floor", floor, "in (0, 1]")

    def init(chance):
        return jnp.zeros((), jnp.float32), jnp.full((), -1, jnp.int32)

    def act(params, memory, obs, chance):
        mean, played = memory
        rate, won = obs[0], obs[3]
        played = played + 1
        # a running mean, not a sum, which float32 would stop adding to
        mean = jnp.where(played > 0, mean + (won - mean) / jnp.maximum(played, 1), mean).astype(jnp.float32)
        wanted = jnp.where(mean > 0, rate / jnp.where(mean > 0, mean, 1.0), 1.0)
        return jnp.clip(wanted, floor, 1.0).astype(jnp.float32), (mean, played)

    return Policy(init, act, name="PACE")
