"""Half-spreads of dealers between whom clients choose by logit: best responses, equilibrium, collusion.

Profit is `(δ_i - κ) P_i` with the `P_i` of `flow.choice_probabilities` (Besanko, Gupta and Jain 1998 for prices). The
first-order condition of one dealer, `δ = κ + 1 / (θ (1 - P))`, is monotone: bisection solves it inside `jit`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.envs.liquidity.flow import choice_probabilities

BISECTIONS = 60

Scalar = Float[Array, ""] | float


def monopoly_half_spread(
    cost: Float[Array, "..."] | float, sharpness: Scalar, reservation: Float[Array, "..."] | float
) -> Float[Array, "..."]:
    """What a single dealer quotes to clients whose outside option has the half-spread `reservation`.

    With competitors, the outside option includes them: see `best_responses`.
    """

    def trade_share(half_spread):
        return jax.nn.sigmoid(-sharpness * (half_spread - reservation))

    return _solve_markup(trade_share, cost, sharpness, reservation, 1)


def collusive_half_spread(num_dealers: int, cost: Scalar, sharpness: Scalar, reservation: Scalar) -> Float[Array, ""]:
    """The common half-spread that maximises the dealers' joint profit: `δ = κ + 1 / (θ (1 - n P))`."""
    return monopoly_half_spread(cost, sharpness, reservation + jnp.log(float(num_dealers)) / sharpness)


def nash_half_spread(num_dealers: int, cost: Scalar, sharpness: Scalar, reservation: Scalar) -> Float[Array, ""]:
    """The half-spread of the symmetric equilibrium: `δ = κ + 1 / (θ (1 - P))`, towards `κ + 1 / θ` with many dealers.

    Args:
        num_dealers: n.
        cost: κ, of a parcel: expected adverse selection and inventory cost.
        sharpness: θ, of clients' choice.
        reservation: δ_0, at which a client is indifferent between one dealer and none.
    """

    def own_share(half_spread):
        return 1 / (jnp.exp(sharpness * (half_spread - reservation)) + num_dealers)

    return _solve_markup(own_share, cost, sharpness, reservation, num_dealers)


def best_responses(
    half_spreads: Float[Array, " N"], cost: Float[Array, " N"], sharpness: Scalar, reservation: Scalar
) -> Float[Array, " N"]:
    """Each dealer's best half-spread against those of the others."""
    scores = -sharpness * (half_spreads - reservation)
    others = ~jnp.eye(len(half_spreads), dtype=bool)
    rivals = jax.nn.logsumexp(jnp.where(others, scores, -jnp.inf), axis=1)
    return monopoly_half_spread(cost, sharpness, reservation - jnp.logaddexp(0.0, rivals) / sharpness)


def best_response_path(
    start: Float[Array, " N"], cost: Float[Array, " N"], sharpness: Scalar, reservation: Scalar, num_rounds: int
) -> Float[Array, "num_rounds N"]:
    """Half-spreads after each of `num_rounds` simultaneous best responses: they approach the equilibrium."""

    def respond(half_spreads, _):
        answer = best_responses(half_spreads, cost, sharpness, reservation)
        return answer, answer

    return jax.lax.scan(respond, start, length=num_rounds)[1]


def quoting_profits(
    half_spreads: Float[Array, "*batch N"], cost: Float[Array, " N"] | Scalar, sharpness: Scalar, reservation: Scalar
) -> Float[Array, "*batch N"]:
    """Expected profit of each dealer for a client who comes."""
    return (half_spreads - cost) * choice_probabilities(half_spreads, sharpness, reservation)


def _solve_markup(
    share: Callable[[Array], Array], cost: Array | float, sharpness: Scalar, reservation: Array | float, dealers: int
) -> Array:
    """The root of `θ (δ - κ) (1 - share(δ)) = 1`, which increases in δ above κ."""

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        above = sharpness * (middle - cost) * (1 - share(middle)) > 1
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    # beyond both the cost and the reservation, 1 - share is at least 1 / (1 + n)
    high = jnp.maximum(cost, jnp.asarray(reservation, float)) + (1 + dealers) / sharpness
    low = jnp.broadcast_to(jnp.asarray(cost, high.dtype), high.shape)
    return jax.lax.fori_loop(0, BISECTIONS, halve, (low, high))[0]
