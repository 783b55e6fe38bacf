"""A battery that is charged and discharged at imbalance prices, which are known only afterwards."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Normal, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markets.battery_optimum import perfect_foresight
from jaxmarl.envs.markets.battery_plan import plan, plan_policy

OBJECTIVES = ("profit", "cara")
MEMORY = 4  # prices that observations show
_PRICE_UNIT = 100.0  # €/MWh, of prices in observations


@struct.dataclass
class PriceModel:
    """Numbers of the model of prices: imbalances follow a daily profile and an AR(1), prices follow imbalances.

    `π = level + swing sin(2π t / T) - slope I + jump`, clipped to `±limit`; `I = profile sin(2π t / T) + deviation`.

    Attributes:
        level: mean price, €/MWh.
        swing: amplitude of its daily course.
        slope: €/MWh by which a MW of surplus lowers the price.
        limit: largest size of a price.
        persistence: autocorrelation of the deviations of the system's imbalance from one step to the next.
        imbalance_std: their standard deviation, MW.
        profile: amplitude of the daily course of the imbalance, MW.
        jump_chance: probability of a jump of the price, up or down alike.
        jump_low: least size of a jump.
        jump_high: largest size.
    """

    level: Float[Array, ""]
    swing: Float[Array, ""]
    slope: Float[Array, ""]
    limit: Float[Array, ""]
    persistence: Float[Array, ""]
    imbalance_std: Float[Array, ""]
    profile: Float[Array, ""]
    jump_chance: Float[Array, ""]
    jump_low: Float[Array, ""]
    jump_high: Float[Array, ""]


@struct.dataclass
class BatteryParams:
    """Numbers of the battery and its market.

    Attributes:
        capacity: E, MWh.
        power: P, MW, of charging and of discharging.
        efficiency: η of a round trip; each way has its square root.
        step_hours: Δt.
        initial_charge: share of E.
        max_cycles: cycles a day, a cycle being E taken out of the store; infinity for no limit.
        wear: cost of a MWh discharged, €.
        risk_aversion: γ of the objective `cara`, per €.
        model: of prices, where the environment draws them.
        prices: `[days, T]`, €/MWh, where it does not (else of no days).
    """

    capacity: Float[Array, ""]
    power: Float[Array, ""]
    efficiency: Float[Array, ""]
    step_hours: Float[Array, ""]
    initial_charge: Float[Array, ""]
    max_cycles: Float[Array, ""]
    wear: Float[Array, ""]
    risk_aversion: Float[Array, ""]
    model: PriceModel
    prices: Float[Array, "D T"]


@struct.dataclass
class BatteryState:
    """State of the day.

    Attributes:
        step: decisions made.
        day: row of `prices` that is played, 0 where prices are drawn.
        charge: MWh stored.
        cycles_left: that the day allows.
        deviation: of the system's imbalance from its daily course, MW.
        recent: `[4]`, the last prices, newest first, 0 before the first.
        profit: of the day so far, €.
    """

    step: Int32[Array, ""]
    day: Int32[Array, ""]
    charge: Float[Array, ""]
    cycles_left: Float[Array, ""]
    deviation: Float[Array, ""]
    recent: Float[Array, " 4"]
    profit: Float[Array, ""]


@register("imbalance_battery")
@dataclass(frozen=True)
class ImbalanceBattery(Environment[BatteryState, BatteryParams]):
    """One battery takes positions in a balancing market; the price of a step is revealed after the action.

    The setting of Karimi Madahi, Claessens and Develder (arXiv 2401.00015), with parameters of our own where none are
    published. Actions are fractions of the power, from -1 (charge) to 1 (discharge), as an index of `num_levels` or
    continuous. Power that would overfill, empty or exceed the day's cycles is cut to what is feasible: charging c and
    discharging d change the store by `(c sqrt(η) - d / sqrt(η)) Δt`. A step earns `π (d - c) Δt - wear d Δt`. The
    reward is that, or with objective `"cara"` the utility `-exp(-γ profit)` at the end of the day and 0 before. An
    observation is `[charge / E, share of cycles left, sin, cos of the time of day, last 4 prices / 100, expected
    imbalance / its standard deviation]`, the last being 0 where prices are given.

    `info`: `profit` (of the step), `price`, `power` (MW discharged, negative when charging), `charge`, `cycles`
    (of this step).

    Attributes:
        num_steps: decisions a day, T.
        num_levels: odd number of levels of power, None for continuous actions.
        num_days: days of given prices, one of which is drawn for each episode; 0 to draw prices from the model.
        objective: what the reward is, of `OBJECTIVES`.
    """

    num_steps: int = 96
    num_levels: int | None = 3
    num_days: int = 0
    objective: str = "profit"

    num_agents = 1
    agent_names = ("battery",)

    def __post_init__(self):
        require_int("num_steps", self.num_steps, 1)
        require_int("num_days", self.num_days, 0, 2**16)
        require_choice("objective", self.objective, OBJECTIVES)
        if self.num_levels is not None:
            require_int("num_levels", self.num_levels, 3)
            require(self.num_levels % 2 == 1, "num_levels", self.num_levels, "odd, so that one level is to rest")

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> BatteryParams:
        model = (120.0, 40.0, 0.6, 1500.0, 0.8, 150.0, 50.0, 0.02, 200.0, 600.0)
        names = (
            "capacity",
            "power",
            "efficiency",
            "step_hours",
            "initial_charge",
            "max_cycles",
            "wear",
            "risk_aversion",
        )
        numbers = (2.0, 1.0, 0.9, 24.0 / self.num_steps, 0.5, 1.0, 0.0, 0.002)
        battery: dict[str, Any] = {name: jnp.asarray(x, float) for name, x in zip(names, numbers, strict=True)}
        prices = jnp.full((self.num_days, self.num_steps), 120.0, float)
        made = PriceModel(*(jnp.asarray(x, float) for x in model))
        return BatteryParams(**battery, model=made, prices=prices)

    def validate(self, params: BatteryParams) -> None:
        for name in ("capacity", "power", "step_hours", "max_cycles", "risk_aversion"):
            number = np.asarray(getattr(params, name))
            finite = np.isfinite(number) | (name == "max_cycles")
            require(bool((finite & (number > 0)).all()), name, number.tolist(), "positive and finite")
        for name, low in (("efficiency", 1e-6), ("initial_charge", 0.0)):
            number = np.asarray(getattr(params, name))
            require(bool(((number >= low) & (number <= 1)).all()), name, number.tolist(), "in [0, 1]")
        shape, wanted = np.shape(params.prices)[-2:], (self.num_days, self.num_steps)
        require(shape == wanted, "prices", shape, f"of shape {list(wanted)}")
        require(bool(np.isfinite(np.asarray(params.prices)).all()), "prices", "NaN or infinity", "finite")
        for name in ("level", "swing", "slope", "imbalance_std", "profile", "jump_low", "jump_high"):
            number = np.asarray(getattr(params.model, name))
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")
        for name in ("persistence", "jump_chance"):
            number = np.asarray(getattr(params.model, name))
            require(bool(((number >= 0) & (number < 1)).all()), name, number.tolist(), "in [0, 1)")

    def action_space(self, params: BatteryParams) -> Discrete | Box:
        return Box(-1.0, 1.0) if self.num_levels is None else Discrete(self.num_levels)

    def observation_space(self, params: BatteryParams) -> Box:
        return Box(-math.inf, math.inf, (5 + MEMORY,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Integers(self.num_days) if self.num_days else Normal()

    @property
    def step_chance(self) -> ChanceSpec:
        """The imbalance's innovation; whether there is a jump, where it goes, how large it is."""
        return () if self.num_days else (Normal(), Uniform((3,)))

    @property
    def deterministic(self) -> bool:
        return False

    def initial(self, chance, params: BatteryParams) -> BatteryState:
        zero = jnp.zeros_like(params.capacity)
        return BatteryState(
            jnp.zeros((), jnp.int32),
            chance if self.num_days else jnp.zeros((), jnp.int32),
            params.initial_charge * params.capacity,
            params.max_cycles,
            zero if self.num_days else params.model.imbalance_std * chance,
            jnp.zeros(MEMORY, zero.dtype),
            zero,
        )

    def _phase(self, step: Array) -> Float[Array, ""]:
        return 2 * math.pi * step / self.num_steps

    def _price(self, state: BatteryState, chance, params: BatteryParams) -> tuple[Array, Array]:
        """The price of this step, and the deviation behind it."""
        if self.num_days:
            return params.prices[state.day, jnp.minimum(state.step, self.num_steps - 1)], state.deviation
        model, (normal, (jumps, sign, size)) = params.model, chance
        innovation = model.imbalance_std * jnp.sqrt(1 - model.persistence**2)
        deviation = model.persistence * state.deviation + innovation * normal
        course = jnp.sin(self._phase(state.step))
        jump = (model.jump_low + (model.jump_high - model.jump_low) * size) * jnp.where(sign < 0.5, -1.0, 1.0)
        price = model.level + model.swing * course - model.slope * (model.profile * course + deviation)
        price = price + jnp.where(jumps < model.jump_chance, jump, 0.0)
        return jnp.clip(price, -model.limit, model.limit), deviation

    def fraction(self, action: Array) -> Float[Array, "*shape"]:
        """Fraction of the power that one agent's action stands for, positive for discharging."""
        if self.num_levels is None:
            return jnp.clip(action, -1.0, 1.0)
        return 2.0 * action / (self.num_levels - 1) - 1.0

    def transition(self, state: BatteryState, action: Array, chance, params: BatteryParams):
        price, deviation = self._price(state, chance, params)
        way, dt = jnp.sqrt(params.efficiency), params.step_hours
        wanted = self.fraction(action[0]) * params.power * dt
        # energy taken out of the store, and put in
        out = jnp.clip(wanted / way, 0.0, jnp.minimum(state.charge, state.cycles_left * params.capacity))
        put = jnp.clip(-wanted * way, 0.0, params.capacity - state.charge)
        sold, bought = out * way, put / way
        profit = price * (sold - bought) - params.wear * sold
        cycles = out / params.capacity
        state = BatteryState(
            state.step + 1,
            state.day,
            jnp.clip(state.charge + put - out, 0.0, params.capacity),
            jnp.maximum(state.cycles_left - cycles, 0.0),
            deviation,
            jnp.concatenate([price[None], state.recent[:-1]]),
            state.profit + profit,
        )
        ended = state.step >= self.num_steps
        reward = profit
        if self.objective == "cara":
            reward = jnp.where(ended, -jnp.exp(-params.risk_aversion * state.profit), 0.0)
        info = {
            "profit": profit,
            "price": price,
            "power": (sold - bought) / dt,
            "charge": state.charge,
            "cycles": cycles,
        }
        return state, reward[None], ended, info

    def action_mask(self, state: BatteryState, params: BatteryParams) -> Bool[Array, "1 A"]:
        """Discharging is illegal where nothing is stored or no cycle is left, charging where the battery is full."""
        if self.num_levels is None:
            return super().action_mask(state, params)
        tiny = 1e-6 * params.capacity
        fraction = self.fraction(jnp.arange(self.num_levels))
        can_sell = (state.charge > tiny) & (state.cycles_left > 1e-6)
        can_buy = state.charge < params.capacity - tiny
        return (((fraction <= 0) | can_sell) & ((fraction >= 0) | can_buy))[None]

    def observe(self, state: BatteryState, params: BatteryParams) -> Float[Array, "1 9"]:
        phase = self._phase(state.step)
        limited = jnp.isfinite(params.max_cycles)
        share = jnp.where(limited, state.cycles_left / jnp.where(limited, params.max_cycles, 1.0), 1.0)
        own = [state.charge / params.capacity, share, jnp.sin(phase), jnp.cos(phase)]
        expected = params.model.profile * jnp.sin(phase) + params.model.persistence * state.deviation
        scale = jnp.maximum(params.model.imbalance_std, 1e-6)
        last = jnp.zeros_like(expected) if self.num_days else expected / scale
        return jnp.concatenate([jnp.stack(own), state.recent / _PRICE_UNIT, last[None]])[None].astype(jnp.float32)

    def benchmarks(self, params: BatteryParams) -> dict[str, Any]:
        """What could be earned, by dynamic programming on levels of charge; looks at the numbers, so outside jit.

        Where prices are given, `perfect_foresight [days]`: the largest profit of each day with its prices known
        (feasible, hence never above the optimum, and near it). Where the model draws them, `optimal_value`: expected
        profit of the best plan that knows the model and sees what observations show; with continuous actions also
        `optimal`, the plan as a `Policy` without params.
        """
        if self.num_days:
            days = np.asarray(params.prices, np.float64)
            return {"perfect_foresight": np.array([perfect_foresight(day, params) for day in days])}
        found = plan(params, self.num_steps)
        answers: dict[str, Any] = {"optimal_value": found.value}
        if self.num_levels is None:
            answers["optimal"] = plan_policy(found, params, self.num_steps)
        return answers
