"""Prices where consumers remember: demand with a reference price (Popescu and Wu, Operations Research 2007).

Consumers compare the price with what they are used to; being dearer loses sales, being cheaper wins some. Where gains
and losses weigh the same, the seller's problem is linear-quadratic and is solved exactly.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box

MOST_ROUNDS = 1_000_000


@struct.dataclass
class ReferencePricingParams:
    """Numbers of the market.

    Attributes:
        intercept: a, demand at price 0 without a reference.
        slope: b, the fall of demand with the price.
        cost: c, of a unit.
        gain: η⁺, sold more for each unit by which the price is below the reference.
        loss: η⁻, sold less for each unit by which it is above.
        memory: α in [0, 1), weight of the old reference in the new one.
        discount: γ in [0, 1), of the benchmarks; rewards are not discounted.
        largest: the largest price; first references are uniform from 0 to it.
    """

    intercept: Float[Array, ""]
    slope: Float[Array, ""]
    cost: Float[Array, ""]
    gain: Float[Array, ""]
    loss: Float[Array, ""]
    memory: Float[Array, ""]
    discount: Float[Array, ""]
    largest: Float[Array, ""]


@struct.dataclass
class ReferencePricingState:
    """State of the market.

    Attributes:
        t: int32, periods played.
        reference: the reference price.
    """

    t: Int32[Array, ""]
    reference: Float[Array, ""]


class ReferenceOptimum(NamedTuple):
    """The exact solution where gains and losses weigh the same, as long as demand stays positive.

    Attributes:
        policy: `(k0, k1)`: the optimal price is `k0 + k1 r` at reference r.
        value: `(v0, v1, v2)`: the discounted profit from r on is `v0 + v1 r + v2 r²`.
        steady_price: where price and reference settle.
    """

    policy: tuple[float, float]
    value: tuple[float, float, float]
    steady_price: float


@register("reference_pricing")
@dataclass(frozen=True)
class ReferencePricing(Environment[ReferencePricingState, ReferencePricingParams]):
    """One seller sets prices p, and sells `max(a - b p + η⁺ max(r - p, 0) - η⁻ max(p - r, 0), 0)` at reference r.

    The reference then moves to `α r + (1 - α) p`. An action is the price as a share of `params.largest`, in [0, 1],
    clipped; the reward is `(p - c)` times sales. An observation is the reference as such a share. The game has no end
    of its own: episodes are truncated after `num_steps` periods.

    `info`: `price`, `sales`.

    Attributes:
        num_steps: periods of an episode.
    """

    num_steps: int = 100

    num_agents = 1
    differentiable_params = ("cost",)

    def __post_init__(self):
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> ReferencePricingParams:
        numbers = 10.0, 1.0, 2.0, 1.0, 1.0, 0.7, 0.95, 10.0
        return ReferencePricingParams(*(jnp.full((), x, float) for x in numbers))

    def action_space(self, params: ReferencePricingParams) -> Box:
        return Box(0.0, 1.0)

    def observation_space(self, params: ReferencePricingParams) -> Box:
        return Box(0.0, 1.0, (1,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform()

    def validate(self, params: ReferencePricingParams) -> None:
        for name, value in vars(params).items():
            number = np.asarray(value)
            share = name in ("memory", "discount")
            good = np.isfinite(number) & ((number < 1) if share else True)
            good &= (number > 0) if name in ("intercept", "slope", "largest") else (number >= 0)
            allowed = "in [0, 1)" if share else "finite and at least 0, or positive for intercept, slope and largest"
            require(bool(good.all()), name, number.tolist(), allowed)

    def initial(self, chance, params: ReferencePricingParams) -> ReferencePricingState:
        return ReferencePricingState(jnp.zeros((), jnp.int32), chance * params.largest)

    def transition(self, state: ReferencePricingState, action: Float[Array, " 1"], chance, params: Any):
        price = jnp.clip(action[0], 0.0, 1.0) * params.largest
        surprise = state.reference - price
        effect = jnp.where(surprise > 0, params.gain, params.loss) * surprise
        sales = jnp.maximum(params.intercept - params.slope * price + effect, 0.0)
        reference = params.memory * state.reference + (1 - params.memory) * price
        after = ReferencePricingState(state.t + 1, reference)
        return after, ((price - params.cost) * sales)[None], jnp.zeros((), bool), {"price": price, "sales": sales}

    def truncated(self, state: ReferencePricingState, params: ReferencePricingParams):
        return state.t >= self.num_steps

    def observe(self, state: ReferencePricingState, params: ReferencePricingParams) -> Float[Array, "1 1"]:
        return jnp.clip(state.reference / params.largest, 0.0, 1.0).astype(jnp.float32)[None, None]

    def benchmarks(self, params: ReferencePricingParams) -> dict[str, Any]:
        """`steady_prices`: the lowest and highest price that can be steady (one number twice without loss aversion).

        Where gains and losses weigh the same also `optimum` (`ReferenceOptimum`) and the `policy` that it prescribes.
        On the host.
        """
        numbers = {name: float(x) for name, x in vars(params).items()}
        prices = [steady_price(numbers, numbers[name]) for name in ("loss", "gain")]
        known: dict[str, Any] = {"steady_prices": (min(prices), max(prices))}
        if numbers["gain"] == numbers["loss"]:
            optimum = linear_quadratic_optimum(numbers)
            known |= {"optimum": optimum, "policy": _policy(optimum)}
        return known


def steady_price(numbers: dict[str, float], weight: float) -> float:
    """The steady price where gains and losses both have `weight`."""
    effective = weight * (1 - numbers["discount"]) / (1 - numbers["memory"] * numbers["discount"])
    slope = numbers["slope"]
    return (numbers["intercept"] + numbers["cost"] * (slope + effective)) / (2 * slope + effective)


def linear_quadratic_optimum(numbers: dict[str, float]) -> ReferenceOptimum:
    """Value iteration on the three coefficients of a quadratic value, to its fixed point."""
    a, b, c, eta = (numbers[name] for name in ("intercept", "slope", "cost", "gain"))
    alpha, gamma = numbers["memory"], numbers["discount"]
    new, value = 1 - alpha, np.zeros(3)
    for _ in range(MOST_ROUNDS):
        v0, v1, v2 = value
        # the maximand is `flat + linear p - curve p²` in the price p, where flat and linear depend on r
        curve = b + eta - gamma * v2 * new**2
        k0 = (a + c * (b + eta) + gamma * v1 * new) / (2 * curve)
        k1 = (eta + 2 * gamma * v2 * alpha * new) / (2 * curve)
        following = np.array(
            [
                -c * a + gamma * v0 + curve * k0**2,
                -c * eta + gamma * v1 * alpha + 2 * curve * k0 * k1,
                gamma * v2 * alpha**2 + curve * k1**2,
            ]
        )
        if np.abs(following - value).max() <= 1e-15 * np.abs(following).max():
            break
        value = following
    v0, v1, v2 = following.tolist()
    return ReferenceOptimum((float(k0), float(k1)), (v0, v1, v2), float(k0 / (1 - k1)))


def _policy(optimum: ReferenceOptimum) -> Policy:
    """The optimal prices; its params are those of the market, of which it reads the largest price."""
    k0, k1 = optimum.policy

    def act(params, memory, obs, chance):
        return jnp.clip(k0 / params.largest + k1 * obs[0], 0.0, 1.0), memory

    return Policy(lambda chance: (), act, name="optimal")
