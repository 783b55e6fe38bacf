"""The scripted foragers H1 to H4 of `lbforaging`, which differ in the food they go for."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require_choice
from jaxmarl.core.policy import Policy
from jaxmarl.envs.gridworlds.steering import pick

HEURISTICS = {
    "H1": "the food nearest to oneself",
    "H2": "the food nearest to the centre of the agents in view",
    "H3": "the food nearest to oneself, of those one can load alone",
    "H4": "the food nearest to the centre of the agents in view, of those that they can load together",
}
"""What each of them goes for."""


def heuristic(name: str, num_foods: int) -> Policy:
    """A masked policy of `Foraging` that goes for one food and loads it; distances to foods are straight.

    It steps north or south, then east or west towards the food, where the way is free. Without food to go for, or
    where the way is blocked, it plays a random legal action.

    Args:
        name: one of `HEURISTICS`.
        num_foods: F of the environment.
    """
    require_choice("name", name, HEURISTICS)
    together, able = name in ("H2", "H4"), name in ("H3", "H4")

    def act(params, memory, obs, chance):
        seen = obs.obs.reshape(-1, 3)
        foods, agents = seen[:num_foods], seen[num_foods:]
        there = agents[:, 0] >= 0
        centre = jnp.round(jnp.sum(jnp.where(there[:, None], agents[:, :2], 0.0), axis=0) / jnp.sum(there))
        start = centre if together else agents[0, :2]
        strength = jnp.sum(agents[:, 2]) if together else agents[0, 2]
        wanted = (foods[:, 0] >= 0) & (~jnp.asarray(able) | (foods[:, 2] <= strength))
        apart = jnp.where(wanted, jnp.sum((foods[:, :2] - start) ** 2, axis=1), jnp.inf)
        way = foods[jnp.argmin(apart), :2] - agents[0, :2]
        return _approach(way, jnp.any(wanted), obs.mask, chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), masked=True, name=name)


def _approach(way: Array, goes: Array, legal: Bool[Array, " 6"], unit: Array) -> Array:
    """Loads a food that is one step of `way [2]` off, else steps along it where that is legal."""
    down, right = way[0], way[1]
    # north, south, east, west: the order in which the peer tries them
    towards = jnp.stack([down < 0, down > 0, right > 0, right < 0])
    action = jnp.asarray([1, 2, 4, 3], jnp.int32)
    free = towards & legal[action] & goes
    anything = pick(legal, unit)
    step = jnp.where(jnp.any(free), action[jnp.argmax(free)], anything)
    return jnp.where(goes & (jnp.abs(down) + jnp.abs(right) == 1), 5, step).astype(jnp.int32)
