"""What dispatch can earn at most, by linear programs on the host: in one step, and in a whole episode in hindsight."""

import jax
import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require
from jaxmarl.envs.dispatch.ride_hailing import RideHailing, RideHailingParams, RideHailingState


def myopic_bound(earnings: Float[np.ndarray, "N P"]) -> float:
    """The most that one step can earn: the linear program of matchings, whose vertices are matchings.

    Args:
        earnings: of each pair of vehicle and order, from `RideHailing.earnings`.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    vehicles, orders = np.nonzero(np.asarray(earnings) > 0)
    if not len(vehicles):
        return 0.0
    pairs, shape = np.arange(len(vehicles)), np.shape(earnings)
    once = [
        sparse.csr_matrix((np.ones(len(pairs)), (x, pairs)), (n, len(pairs)))
        for x, n in ((vehicles, shape[0]), (orders, shape[1]))
    ]
    value = np.asarray(earnings, np.float64)[vehicles, orders]
    found = linprog(-value, A_ub=sparse.vstack(once), b_ub=np.ones(sum(shape)), bounds=(0, 1), method="highs")
    return float(-found.fun)


def hindsight_bound(env: RideHailing, params: RideHailingParams, states: RideHailingState) -> float:
    """The most that an episode can earn if all of its orders are known: a flow of vehicles through cells and steps.

    Vehicles flow from (cell, step) to (cell, next step) by waiting, and to (destination, step when free) by serving an
    order at one of the steps for which it waits, each order once. Fractions are allowed, which bounds what is not.

    Args:
        env: any rule of matching, any number of choices.
        params: of one city.
        states: before each step, leaves `[T, ...]`, of any play: orders do not depend on it.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    states = jax.tree.map(np.asarray, states)
    steps, cells = env.num_steps, env.num_cells
    require(states.t.shape == (steps,), "states", states.t.shape, f"of one episode of {steps} steps")
    grid = np.stack(np.divmod(np.arange(cells), env.size))
    apart = np.abs(grid[:, :, None] - grid[:, None, :]).sum(0)
    fares = float(params.base_fare) + float(params.fare_per_cell) * apart

    leaves, enters, value, order = [], [], [], []
    for t in range(steps):
        row = t % env.window
        for slot in np.flatnonzero(states.orders.waiting[t, row]):
            origin, destination = states.orders.origin[t, row, slot], states.orders.destination[t, row, slot]
            length = np.maximum(apart[:, origin] + apart[origin, destination], 1)
            for at in range(t, min(t + env.window, steps)):
                leaves.append(at * cells + np.arange(cells))
                enters.append(np.where(at + length < steps, (at + length) * cells + destination, steps * cells))
                value.append(fares[origin, destination] - float(params.pickup_cost) * apart[:, origin])
                order.append(np.full(cells, t * env.max_orders + slot))
    served = len(order) * cells
    nodes = np.arange(steps * cells)
    leaves.append(nodes)
    enters.append(np.minimum(nodes + cells, steps * cells))
    arcs = np.arange(served + len(nodes))

    ones, shape = np.ones(len(arcs)), (steps * cells + 1, len(arcs))
    out = sparse.csr_matrix((ones, (np.concatenate(leaves), arcs)), shape)
    into = sparse.csr_matrix((ones, (np.concatenate(enters), arcs)), shape)
    source = np.zeros(steps * cells)
    np.add.at(source, states.cell[0], 1.0)
    gain = np.concatenate([*value, np.zeros(len(nodes))])
    limits = {}
    if served:
        which = np.concatenate(order), arcs[:served]
        once = sparse.csr_matrix((np.ones(served), which), (steps * env.max_orders, len(arcs)))
        limits = {"A_ub": once, "b_ub": np.ones(steps * env.max_orders)}
    found = linprog(-gain, A_eq=(out - into)[:-1], b_eq=source, bounds=(0, None), method="highs", **limits)
    return float(-found.fun)
