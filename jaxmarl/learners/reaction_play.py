"""What deterministic reactions do where two players move in turns: rounds, their payoffs, and gains from deviating.

Functions take one session, and `vmap` over many. Reactions are `[2, A]`: what each player plays against the other's
standing action. A round, in which first player 0 and then player 1 moves, is a joint action that depends on the last
one: `greedy_play.limit_cycle` takes the policies of rounds.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require

PRECISION = 1e-9  # weight of the future beyond which values are cut


def round_policies(reactions: Int32[Array, "2 A"]) -> Int32[Array, "A*A 2"]:
    """What both play in the next round, by the standing actions `a_0 A + a_1`."""
    m = reactions.shape[-1]
    first = reactions[0, jnp.arange(m * m) % m]
    return jnp.stack([first, reactions[1, first]], axis=-1)


def round_payoffs(reactions: Int32[Array, "2 A"], payoffs: Float[Array, "2 A A"]) -> Float[Array, "A*A 2"]:
    """Mean payoffs of the two periods of the next round, by the standing actions `a_0 A + a_1`."""
    m = reactions.shape[-1]
    first, second = round_policies(reactions).T
    return (payoffs[:, first, jnp.arange(m * m) % m] + payoffs[:, first, second]).T / 2


def deviation_gains(
    reactions: Int32[Array, "2 A"], payoffs: Float[Array, "2 A A"], discount: float
) -> Float[Array, "2 A"]:
    """What each mover could gain by its best reply to the other's reactions, by the other's standing action.

    Discounted, of all time to come; zero everywhere where the reactions are a Markov-perfect equilibrium.
    """
    require(0 <= discount < 1, "discount", discount, "in [0, 1)")
    rounds = math.ceil(math.log(PRECISION) / (2 * math.log(discount))) if discount > 0 else 1
    own_payoffs = jnp.stack([payoffs[0], payoffs[1].T])

    def gains(mine, own, other):
        answered = jnp.take_along_axis(mine, other[:, None], axis=1)[:, 0]

        def action_values(values):
            return mine.T + discount * (answered + discount * values[other])

        def step(_, both):
            best, usual = both
            return jnp.max(action_values(best), axis=1), _chosen(action_values(usual), own)

        best, usual = jax.lax.fori_loop(0, rounds, step, (jnp.zeros_like(answered), jnp.zeros_like(answered)))
        return best - usual

    return jax.vmap(gains)(own_payoffs, reactions, reactions[::-1])


def price_path(
    reactions: Int32[Array, "2 A"], standing: Int32[Array, " 2"], first_mover: Array | int, num_periods: int
) -> Int32[Array, "T 2"]:
    """Both standing actions in each of `num_periods` periods, in the first of which `first_mover` moves."""

    def period(standing, t):
        mover = (first_mover + t) % 2
        standing = standing.at[mover].set(reactions[mover, standing[1 - mover]])
        return standing, standing

    return jax.lax.scan(period, standing, jnp.arange(num_periods))[1]


def _chosen(values: Float[Array, "A A"], actions: Int32[Array, " A"]) -> Float[Array, " A"]:
    return jnp.take_along_axis(values, actions[:, None], axis=1)[:, 0]
