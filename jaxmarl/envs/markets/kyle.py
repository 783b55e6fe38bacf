"""An insider trades among noise traders against a market maker who sees only total orders (Kyle 1985)."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Float64, Int32

from jaxmarl.core.chance import ChanceSpec, Normal
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box


class KyleEquilibrium(NamedTuple):
    """The linear equilibrium of `N` auctions.

    Attributes:
        impact: λ_n, what a unit of order flow moves the price by.
        intensity: β_n Δt, how much the insider orders a unit of `v - p`.
        variance: Σ_n, of the value given the order flow up to and with auction n.
        profit: expected, of the insider.
    """

    impact: Float64[np.ndarray, " N"]
    intensity: Float64[np.ndarray, " N"]
    variance: Float64[np.ndarray, " N"]
    profit: float


def kyle_equilibrium(num_auctions: int = 1, value_std: float = 1.0, noise_std: float = 1.0) -> KyleEquilibrium:
    """The unique linear equilibrium (Kyle 1985, theorem 2), by backward recursion in float64.

    The recursion is homogeneous in the variance of the value, so that it is run from `Σ_N = 1` and scaled: no shooting.

    Args:
        num_auctions: N, equally spaced.
        value_std: `sqrt(Σ_0)`.
        noise_std: σ_u, of all noise orders together; an auction's have variance `σ_u² / N`.

    Raises:
        ValueError: numbers that are not positive.
    """
    require_int("num_auctions", num_auctions, 1)
    require(value_std > 0, "value_std", value_std, "positive")
    require(noise_std > 0, "noise_std", noise_std, "positive")
    dt = 1.0 / num_auctions
    alpha, delta, variance = 0.0, 0.0, 1.0
    rows = []
    for _ in range(num_auctions):
        # y = λ sqrt(Δt / Σ) solves (1 - y²)(1 - a y) = 1/2; the root with a y < 1, below 1, is the maximum
        scale = math.sqrt(variance / dt)
        a = alpha * scale
        roots = np.roots([a, -1.0, -a, 0.5]) if a else np.array([math.sqrt(0.5)])
        real = roots[np.abs(np.imag(roots)) < 1e-9].real
        y = float(real[(real > 0) & (real < 1) & (a * real < 1)].min())
        impact = y * scale
        intensity = (1 - 2 * alpha * impact) / (2 * impact * (1 - alpha * impact))
        rows.append((impact, intensity, variance))
        delta += alpha * impact**2 * dt
        alpha = 1 / (4 * impact * (1 - alpha * impact))
        variance /= 1 - impact * intensity
    impact, intensity, variances = np.array(rows[::-1]).T
    shrink = value_std / math.sqrt(variance)
    profit = (alpha * variance + delta) * shrink * noise_std
    return KyleEquilibrium(impact * shrink / noise_std, intensity / shrink * noise_std, variances * shrink**2, profit)


@struct.dataclass
class KyleParams:
    """Numbers of the market.

    Attributes:
        price: p_0, expected value of the asset.
        value_std: `sqrt(Σ_0)`, standard deviation of the value.
        noise_std: σ_u, standard deviation of the noise orders of all auctions together.
    """

    price: Float[Array, ""]
    value_std: Float[Array, ""]
    noise_std: Float[Array, ""]


@struct.dataclass
class KyleState:
    """State of the market.

    Attributes:
        auction: auctions held.
        value: v, less p_0, which the insider knows.
        price: p_n, less p_0.
        flow: total orders of the last auction.
    """

    auction: Int32[Array, ""]
    value: Float[Array, ""]
    price: Float[Array, ""]
    flow: Float[Array, ""]


@register("kyle")
@dataclass(frozen=True)
class Kyle(Environment[KyleState, KyleParams]):
    """Agents play the slopes of linear rules in each of `N` auctions of one asset, whose value comes out at the end.

    The insider's action b makes it order `x = b (v - p)`; noise traders order `u`, normal with variance `σ_u² / N`; the
    market maker's action λ makes the price `p + λ (x + u)`. Slopes and not orders are the actions, since the market
    maker has to answer to a flow that is not there yet when both move at once; against linear opponents linear rules
    are best. The insider earns `(v - p') x` at the new price p', the market maker `-(p' - v)²`. An observation is
    `[n / N, p - p_0, last flow, v - p_0 (0 for the market maker)]`. Rewards are smooth in actions and params.

    `info`: `price`, `flow`, `order` (the insider's), `error` (`(p' - v)²`).

    Attributes:
        num_auctions: N; with 1, Kyle's single auction.
        max_slope: actions lie between 0 and it.
    """

    num_auctions: int = 4
    max_slope: float = 4.0

    num_agents = 2
    agent_names = ("insider", "market_maker")
    differentiable_params = ("value_std", "noise_std")

    def __post_init__(self):
        require_int("num_auctions", self.num_auctions, 1)
        require(0 < self.max_slope < math.inf, "max_slope", self.max_slope, "positive and finite")

    @property
    def horizon(self) -> int:
        return self.num_auctions

    @property
    def default_params(self) -> KyleParams:
        return KyleParams(*(jnp.asarray(x, float) for x in (0.0, 1.0, 1.0)))

    def validate(self, params: KyleParams) -> None:
        for name in ("value_std", "noise_std"):
            number = np.asarray(getattr(params, name))
            require(bool(((number > 0) & (number <= 1e9)).all()), name, number.tolist(), "in (0, 1e9]")

    def action_space(self, params: KyleParams) -> Box:
        return Box(0.0, self.max_slope)

    def observation_space(self, params: KyleParams) -> Box:
        return Box(-math.inf, math.inf, (4,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Normal()

    @property
    def step_chance(self) -> ChanceSpec:
        return Normal()

    def initial(self, chance, params: KyleParams) -> KyleState:
        value = params.value_std * chance
        zero = jnp.zeros_like(value)
        return KyleState(jnp.zeros((), jnp.int32), value, zero, zero)

    def transition(self, state: KyleState, action: Array, chance, params: KyleParams):
        slopes = jnp.clip(action, 0.0, self.max_slope)
        order = slopes[0] * (state.value - state.price)
        flow = order + params.noise_std / math.sqrt(self.num_auctions) * chance
        price = state.price + slopes[1] * flow
        error = (price - state.value) ** 2
        reward = jnp.stack([(state.value - price) * order, -error])
        state = KyleState(state.auction + 1, state.value, price, flow)
        info = {"price": params.price + price, "flow": flow, "order": order, "error": error}
        return state, reward, state.auction >= self.num_auctions, info

    def observe(self, state: KyleState, params: KyleParams) -> Float[Array, "2 4"]:
        public = jnp.stack([state.auction / self.num_auctions, state.price, state.flow])
        private = jnp.stack([state.value, jnp.zeros_like(state.value)])[:, None]
        return jnp.concatenate([jnp.broadcast_to(public, (2, 3)), private], axis=1).astype(jnp.float32)

    def benchmarks(self, params: KyleParams) -> dict[str, Any]:
        """The linear equilibrium: `impact [N]`, `intensity [N]` (`β_n Δt`), `variance [N]`, `profit` (of the insider),
        and `insider`, `market_maker`, the policies that play it (unused params). Runs outside jit.
        """
        found = kyle_equilibrium(self.num_auctions, float(params.value_std), float(params.noise_std))

        def playing(slopes, name):
            table = slopes.astype(np.float32)

            def act(params, memory, obs, chance):
                auction = jnp.clip(jnp.round(obs[0] * self.num_auctions), 0, self.num_auctions - 1).astype(jnp.int32)
                return jnp.asarray(table)[auction], memory

            return Policy(lambda chance: (), act, name=name)

        policies = {
            "insider": playing(found.intensity, "insider"),
            "market_maker": playing(found.impact, "market_maker"),
        }
        return found._asdict() | policies
