"""Pure equilibria of players who share arms: who pulls what when the means are known."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require_int


def nash_allocation(
    means: Float[Array, " K"], most_agents: int, num_agents: Int32[Array, ""] | int | None = None
) -> tuple[Int32[Array, " K"], Float[Array, ""]]:
    """How many players pull each arm in the pure equilibrium where m of them get `mean / m` each, and the threshold.

    Players take the best share left, one after the other: then none gains by moving, `mean_k / (m_k + 1) <= mean_j /
    m_j`. The allocation is that of the `num_agents` largest numbers `mean_k / j`, unique unless there are ties, of
    which the lowest arm is taken.

    Args:
        means: of the arms, >= 0.
        most_agents: steps of the loop; fixes the program.
        num_agents: how many players there are, at most `most_agents` (which it is where None); it may be traced.

    Returns:
        `m`, int32 `[K]`, and the smallest share of any player, `z`.
    """
    require_int("most_agents", most_agents, 1)
    arms = jnp.arange(means.shape[0])

    def seat(turn: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        pulls, level = state
        shares = means / (pulls + 1).astype(means.dtype)
        best = jnp.max(shares)
        first = jnp.min(jnp.where(shares == best, arms, arms.size))  # two reductions, which unlike argmax vectorise
        joins = turn < (most_agents if num_agents is None else num_agents)
        return pulls + ((arms == first) & joins), jnp.where(joins, best, level)

    start = jnp.zeros(arms.size, jnp.int32), jnp.zeros((), means.dtype)
    pulls, level = jax.lax.fori_loop(0, most_agents, seat, start)
    return pulls.astype(jnp.int32), level


def seat_of(pulls: Int32[Array, " K"], position: Int32[Array, ""]) -> Int32[Array, ""]:
    """The arm of the player at `position` if those of the lowest arms come first: entry of a list without the list."""
    return jnp.sum(jnp.cumsum(pulls) <= position).astype(jnp.int32)
