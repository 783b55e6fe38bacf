"""Ride-hailing dispatch: vehicles score the orders near them, and the platform matches vehicles and orders."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.arrivals import capped_poisson, capped_poisson_mean
from jaxmarl.envs.dispatch.assignment import MATCHINGS

_OWN, _EACH = 5, 5  # numbers of an observation on the vehicle, and on each order


@struct.dataclass
class RideHailingParams:
    """Numbers of the city.

    Attributes:
        order_rate: mean number of new orders a step, before the cap.
        origin: `[cells]`, weight of each cell as an origin; cells are numbered row by row.
        destination: `[cells, cells]`, weight of each destination (columns) given the origin (rows).
        base_fare: of a trip.
        fare_per_cell: of its distance.
        pickup_cost: for each cell on the way to the passenger.
    """

    order_rate: Float[Array, ""]
    origin: Float[Array, " cells"]
    destination: Float[Array, "cells cells"]
    base_fare: Float[Array, ""]
    fare_per_cell: Float[Array, ""]
    pickup_cost: Float[Array, ""]


@struct.dataclass
class Orders:
    """Orders by the step they came in: those of step s are in row `s % window`.

    Attributes:
        origin: int32 `[W, A]`, cell.
        destination: int32 `[W, A]`, cell.
        waiting: `[W, A]`, whether there is such an order and no vehicle yet.
    """

    origin: Int32[Array, "W A"]
    destination: Int32[Array, "W A"]
    waiting: Bool[Array, "W A"]


@struct.dataclass
class RideHailingState:
    """State of the city.

    Attributes:
        t: int32, steps played.
        cell: int32 `[N]`, where a vehicle is, or where it will be free.
        busy: int32 `[N]`, steps until then.
        orders: those that wait.
    """

    t: Int32[Array, ""]
    cell: Int32[Array, " N"]
    busy: Int32[Array, " N"]
    orders: Orders


class VehicleView(NamedTuple):
    """An observation by name (see `RideHailing`); the orders' parts are `[K]`."""

    row: Float[Array, ""]
    column: Float[Array, ""]
    busy: Float[Array, ""]
    time: Float[Array, ""]
    free_share: Float[Array, ""]
    pickup: Float[Array, " K"]
    trip: Float[Array, " K"]
    fare: Float[Array, " K"]
    patience: Float[Array, " K"]
    there: Float[Array, " K"]


def vehicle_view(obs: Float[Array, " features"]) -> VehicleView:
    """Names the parts of an observation of `RideHailing`."""
    return VehicleView(*obs[:_OWN], *obs[_OWN:].reshape(_EACH, -1))


@register("ride_hailing")
@dataclass(frozen=True)
class RideHailing(Environment[RideHailingState, RideHailingParams]):
    """Vehicles on a grid score up to `num_choices` nearest waiting orders, and a matching by `rule` sends them.

    Pairs with a positive score may be matched: `"optimal"` maximises the sum of scores, `"greedy"` takes the highest
    score left, again and again. A vehicle that is sent earns `base_fare + fare_per_cell · trip - pickup_cost · pickup`,
    distances being Manhattan, and is free at the destination after as many steps as the two distances (one at least).
    Vehicles without an order wait where they are. `min(Poisson(order_rate), max_orders)` orders come at each step, from
    and to random cells, and are lost after `window` steps. An action is `[K]`, scores in [-1, 1] of the orders in the
    observation. A larger city, as in the literature: `size=10, num_vehicles=100, max_orders=60`.

    | observation | |
    |---|---|
    | `row`, `column`, `busy`, `time`, `free_share` | position in [0, 1], steps until free, t / T, share of the free |
    | `pickup`, `trip` `[K]` | distances to the passenger, and of the trip, over the longest |
    | `fare`, `patience`, `there` `[K]` | over the highest; steps left over the window; 1 where there is an order |

    Orders are listed from the nearest, none to a vehicle that is not free; where there is none its numbers are 0.
    `info`: `served`, `lost` and `arrived` (orders), `revenue` (Σ rewards), `pickup` (Σ distances), `free` (vehicles).

    Attributes:
        size: cells along each side.
        num_vehicles: N.
        max_orders: A, new orders in a step.
        window: W, steps for which an order waits.
        num_choices: K, at most `window · max_orders`.
        num_steps: of an episode.
        rule: `"optimal"` or `"greedy"`.
    """

    size: int = 6
    num_vehicles: int = 8
    max_orders: int = 5
    window: int = 3
    num_choices: int = 8
    num_steps: int = 50
    rule: str = "optimal"

    symmetric = True

    def __post_init__(self):
        require_int("size", self.size, 2)
        for name in ("num_vehicles", "max_orders", "window", "num_steps"):
            require_int(name, getattr(self, name), 1)
        require_int("num_choices", self.num_choices, 1, self.window * self.max_orders)
        require_choice("rule", self.rule, MATCHINGS)

    @property
    def num_agents(self) -> int:
        return self.num_vehicles

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(f"vehicle_{i}" for i in range(self.num_vehicles))

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def num_cells(self) -> int:
        """Cells of the grid."""
        return self.size**2

    @property
    def longest(self) -> int:
        """Distance between opposite corners."""
        return 2 * (self.size - 1)

    @property
    def default_params(self) -> RideHailingParams:
        """Orders come from the centre more often than from the edge, and go anywhere else."""
        centre = np.abs(np.arange(self.size) - (self.size - 1) / 2)
        origin = np.exp(-3 * (centre[:, None] + centre) / self.size).ravel()
        elsewhere = (1 - np.eye(self.num_cells)) / (self.num_cells - 1)
        rate = 0.5 * self.max_orders
        numbers = rate, origin / origin.sum(), elsewhere, 2.0, 1.0, 0.1
        return RideHailingParams(*(jnp.asarray(x, float) for x in numbers))

    def validate(self, params: RideHailingParams) -> None:
        cells = self.num_cells
        for name, shape in (("origin", (cells,)), ("destination", (cells, cells))):
            weight = np.asarray(getattr(params, name))
            require(weight.shape[-len(shape) :] == shape, name, weight.shape, f"of shape {list(shape)}")
            fits = np.isfinite(weight).all() and (weight >= 0).all() and (weight.sum(-1) > 0).all()
            require(bool(fits), name, weight.tolist(), "weights of at least 0, not all 0")
        for name in ("order_rate", "base_fare", "fare_per_cell", "pickup_cost"):
            number = np.asarray(getattr(params, name))
            require(bool(((number >= 0) & (number <= 1e9)).all()), name, number.tolist(), "in [0, 1e9]")

    def action_space(self, params: RideHailingParams) -> Box:
        return Box(-1.0, 1.0, (self.num_choices,))

    def observation_space(self, params: RideHailingParams) -> Box:
        return Box(0.0, math.inf, (_OWN + _EACH * self.num_choices,))

    @property
    def step_chance(self) -> ChanceSpec:
        """How many orders come next, and their origins and destinations."""
        return {"arrivals": Uniform(), "trips": Uniform((2, self.max_orders))}

    @property
    def reset_chance(self) -> ChanceSpec:
        """Where vehicles start, and the first orders."""
        return {"cells": Integers(self.num_cells, (self.num_vehicles,)), "orders": self.step_chance}

    def initial(self, chance, params: RideHailingParams) -> RideHailingState:
        zero = jnp.zeros((), jnp.int32)
        none = jnp.zeros((self.window, self.max_orders), jnp.int32)
        orders = self._with_new(Orders(none, none, none > 0), zero, chance["orders"], params)
        return RideHailingState(zero, chance["cells"], jnp.zeros_like(chance["cells"]), orders)

    def _with_new(self, orders: Orders, t: Int32[Array, ""], chance, params: RideHailingParams) -> Orders:
        """Orders with those of step `t` in place of the ones that are `window` steps old."""
        count = capped_poisson(chance["arrivals"], params.order_rate, self.max_orders)
        origin = _inverse(params.origin, chance["trips"][0])
        destination = _inverse(params.destination[origin], chance["trips"][1])
        new = Orders(origin, destination, jnp.arange(self.max_orders) < count)
        row = (jnp.arange(self.window) == t % self.window)[:, None]
        return jax.tree.map(lambda old, fresh: jnp.where(row, fresh, old), orders, new)

    def distance(self, a: Int32[Array, "*a"], b: Int32[Array, "*b"]) -> Int32[Array, "..."]:
        """Manhattan distance between cells (broadcast)."""
        return jnp.abs(a // self.size - b // self.size) + jnp.abs(a % self.size - b % self.size)

    def earnings(self, state: RideHailingState, params: RideHailingParams) -> Float[Array, "N P"]:
        """What every free vehicle would earn with every waiting order (`P = window · max_orders`), else 0."""
        orders = jax.tree.map(jnp.ravel, state.orders)
        pickup = self.distance(state.cell[:, None], orders.origin)
        fare = params.base_fare + params.fare_per_cell * self.distance(orders.origin, orders.destination)
        possible = (state.busy == 0)[:, None] & orders.waiting
        return jnp.where(possible, fare - params.pickup_cost * pickup, 0.0)

    def _nearest(self, state: RideHailingState) -> tuple[Int32[Array, "N K"], Bool[Array, "N K"]]:
        """The orders in each vehicle's observation, and whether there is one."""
        orders = jax.tree.map(jnp.ravel, state.orders)
        many = self.window * self.max_orders
        possible = (state.busy == 0)[:, None] & orders.waiting
        distance = jnp.where(possible, self.distance(state.cell[:, None], orders.origin), self.longest + 1)
        key = jax.lax.top_k(-(distance * many + jnp.arange(many, dtype=jnp.int32)), self.num_choices)[0]
        return -key % many, -key // many <= self.longest

    def transition(
        self, state: RideHailingState, action: Float[Array, "N K"], chance, params: RideHailingParams
    ) -> tuple[RideHailingState, Float[Array, " N"], Bool[Array, ""], dict]:
        nearest, there = self._nearest(state)
        many = self.window * self.max_orders
        named = there[:, :, None] & (nearest[:, :, None] == jnp.arange(many))
        scores = jnp.sum(jnp.where(named, action[:, :, None], 0.0), axis=1)
        match = MATCHINGS[self.rule](scores)

        sent = match >= 0
        taken = match[:, None] == jnp.arange(many)
        orders = jax.tree.map(jnp.ravel, state.orders)
        order = jnp.maximum(match, 0)
        origin, destination = orders.origin[order], orders.destination[order]
        reward = jnp.sum(jnp.where(taken, self.earnings(state, params), 0.0), axis=1)
        pickup = jnp.where(sent, self.distance(state.cell, origin), 0)
        length = jnp.maximum(pickup + self.distance(origin, destination), 1)

        waiting = state.orders.waiting & ~jnp.any(taken, axis=0).reshape(self.window, self.max_orders)
        t, kept = state.t + 1, Orders(state.orders.origin, state.orders.destination, waiting)
        following = self._with_new(kept, t, chance, params)
        info = {
            "served": jnp.sum(sent, dtype=jnp.int32),
            "lost": jnp.sum(waiting[t % self.window], dtype=jnp.int32),
            "arrived": jnp.sum(following.waiting[t % self.window], dtype=jnp.int32),
            "revenue": jnp.sum(reward),
            "pickup": jnp.sum(pickup, dtype=jnp.int32),
            "free": jnp.sum(state.busy == 0, dtype=jnp.int32),
        }
        busy = jnp.where(sent, length, state.busy)
        cell = jnp.where(sent, destination, state.cell)
        state = RideHailingState(t, cell.astype(jnp.int32), jnp.maximum(busy - 1, 0).astype(jnp.int32), following)
        return state, reward, t >= self.num_steps, info

    def observe(self, state: RideHailingState, params: RideHailingParams) -> Float[Array, "N features"]:
        n, side, longest = self.num_vehicles, self.size - 1, self.longest
        free = jnp.mean((state.busy == 0).astype(jnp.float32))
        shared = jnp.broadcast_to(jnp.stack([state.t / self.num_steps, free]), (n, 2))
        own = jnp.stack([state.cell // self.size / side, state.cell % self.size / side, state.busy / (2 * longest)])
        nearest, there = self._nearest(state)
        orders = jax.tree.map(jnp.ravel, state.orders)
        origin, destination = orders.origin[nearest], orders.destination[nearest]
        trip = self.distance(origin, destination)
        fare = params.base_fare + params.fare_per_cell * trip
        highest = jnp.maximum(params.base_fare + params.fare_per_cell * longest, 1e-9)
        patience = 1 - (state.t - nearest // self.max_orders) % self.window / self.window
        pickup = self.distance(state.cell[:, None], origin) / longest
        seen = jnp.stack([pickup, trip / longest, fare / highest, patience, there], axis=1)
        seen = jnp.where(there[:, None], seen, 0.0).reshape(n, -1)
        return jnp.concatenate([own.T, shared, seen], axis=1).astype(jnp.float32)

    def benchmarks(self, params: RideHailingParams) -> dict[str, Any]:
        """`fare_flow`: mean fares of the orders of a step, which no policy can earn more than in the long run.

        For bounds that count vehicles and distances see `dispatch.bounds`.
        """
        cells = jnp.arange(self.num_cells)
        origin = params.origin / params.origin.sum()
        trips = params.destination / params.destination.sum(-1, keepdims=True)
        mean_trip = float(jnp.sum(origin[:, None] * trips * self.distance(cells[:, None], cells)))
        fare = float(params.base_fare) + float(params.fare_per_cell) * mean_trip
        return {"fare_flow": fare * float(capped_poisson_mean(params.order_rate, self.max_orders))}


def _inverse(weight: Float[Array, "*A cells"], unit: Float[Array, " A"]) -> Int32[Array, " A"]:
    """Cells drawn in proportion to weights (one row for all or one a draw), by inversion."""
    cumulative = jnp.cumsum(weight, axis=-1)
    return jnp.sum(cumulative <= unit[:, None] * cumulative[..., -1:], axis=-1, dtype=jnp.int32)
