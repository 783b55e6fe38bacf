"""Distance-preservation games: agents on [0, 1] who each wish to be at given distances from the others.

The cost of agent i is `sum_j |d_ij - |x_i - x_j||` over the j that it cares about. Where wishes are symmetric, half the
total is an exact potential, so that jumps to best responses end; where they are not there may be no stable state. Where
a pair is worth 1 minus its miss, stable states have at least half the greatest welfare; costs have no such bound.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

_SLACK = 1e-6  # an improvement below this is none


def distance_costs(positions: Float[Array, " N"], ideals: Float[Array, "N N"]) -> Float[Array, " N"]:
    """Cost of each agent.

    Args:
        positions: in [0, 1].
        ideals: `d_ij`, wished by agent i; NaN where it does not care. The diagonal is ignored.
    """
    cares = ~jnp.isnan(ideals) & ~np.eye(positions.shape[0], dtype=bool)
    misses = jnp.abs(jnp.where(cares, ideals, 0.0) - jnp.abs(positions[:, None] - positions))
    return jnp.sum(jnp.where(cares, misses, 0.0), axis=1)


def best_position(
    positions: Float[Array, " N"], ideals: Float[Array, "N N"], agent: Int32[Array, ""] | int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Where one agent would best be, the others staying, and its cost there.

    Its cost is piecewise linear, so one of `0, 1, x_j, x_j + d_ij, x_j - d_ij` is best; of several, the first.
    """
    n = positions.shape[0]
    others = jnp.arange(n) != agent
    wished = jnp.where(jnp.isnan(ideals[agent]), 0.0, ideals[agent])
    around = jnp.stack([positions, positions + wished, positions - wished], axis=1)
    around = jnp.where(others[:, None], jnp.clip(around, 0.0, 1.0), 0.0)
    candidates = jnp.concatenate([jnp.asarray([0.0, 1.0], positions.dtype), around.reshape(-1)])
    cares = others & ~jnp.isnan(ideals[agent])
    misses = jnp.abs(wished - jnp.abs(candidates[:, None] - positions))
    costs = jnp.sum(jnp.where(cares, misses, 0.0), axis=1)
    # candidates that rounding alone tells apart count as equal
    best = jnp.argmax(costs <= jnp.min(costs) + _SLACK)
    return candidates[best], costs[best]


class Jumps(NamedTuple):
    """Play of jumps.

    Attributes:
        positions: `[N]`, at the end.
        costs: `[rounds, N]`, of all agents after each round.
        stable: whether nobody jumped in the last round.
    """

    positions: Float[Array, " N"]
    costs: Float[Array, "rounds N"]
    stable: Bool[Array, ""]


def jump_dynamics(positions: Float[Array, " N"], ideals: Float[Array, "N N"], num_rounds: int) -> Jumps:
    """Agents jump to their best positions, one after the other, round after round; who gains nothing stays."""

    def jump(positions, agent):
        target, cost = best_position(positions, ideals, agent)
        gains = cost < distance_costs(positions, ideals)[agent] - _SLACK
        return jnp.where(gains, positions.at[agent].set(target), positions), gains

    def one_round(positions, _):
        positions, gains = jax.lax.scan(jump, positions, jnp.arange(positions.shape[0]))
        return positions, (distance_costs(positions, ideals), jnp.any(gains))

    positions, (costs, moved) = jax.lax.scan(one_round, positions, length=num_rounds)
    return Jumps(positions, costs, ~moved[-1])


def jump_stable(positions: Float[Array, " N"], ideals: Float[Array, "N N"]) -> Bool[Array, ""]:
    """Whether no agent gains by moving alone."""
    agents = jnp.arange(positions.shape[0])
    best = jax.vmap(lambda agent: best_position(positions, ideals, agent)[1])(agents)
    return jnp.all(best >= distance_costs(positions, ideals) - _SLACK)
