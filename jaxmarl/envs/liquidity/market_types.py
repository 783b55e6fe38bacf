"""Numbers, levers and state of the dealer market, and which numbers are allowed."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.checks import require


@struct.dataclass
class Levers:
    """What a regulator can set; at its neutral value each changes nothing, to the bit.

    Attributes:
        tax: paid by a dealer on every parcel traded with clients; neutral 0.
        max_spread: largest half-spread that may be quoted; neutral infinite.
        min_size: least share of the full size that must be quoted on each side; neutral 0.
        backstop: parcels b that the authority takes off every dealer at a penalty, in a step in which dealers trade
            less than b among themselves; neutral 0.
        capital_charge: on every parcel held, a unit of time; neutral 0.
    """

    tax: Float[Array, ""]
    max_spread: Float[Array, ""]
    min_size: Float[Array, ""]
    backstop: Float[Array, ""]
    capital_charge: Float[Array, ""]


@struct.dataclass
class Clients:
    """Client flow and information.

    Attributes:
        arrival_rate: A_0, arrivals on each side a unit of time at liquidity 1.
        decay: k of `flow.fill_probability` (independent clients).
        sharpness: θ of `flow.choice_probabilities` (routed clients).
        reservation: δ_0 of `flow.choice_probabilities`.
        two_parcels: probability that a client wants two parcels instead of one.
        informed: μ, share of clients who know the latent value, between 0 and 1.
        jump: J, size of a jump of the latent value.
        jump_probability: of a jump, a step.
        impact: share of the distance to the latent value that the price moves after a trade.
    """

    arrival_rate: Float[Array, ""]
    decay: Float[Array, ""]
    sharpness: Float[Array, ""]
    reservation: Float[Array, ""]
    two_parcels: Float[Array, ""]
    informed: Float[Array, ""]
    jump: Float[Array, ""]
    jump_probability: Float[Array, ""]
    impact: Float[Array, ""]


@struct.dataclass
class Dealers:
    """What dealers can do, and what they care about.

    Attributes:
        large_share: `[N]`, probability that each dealer is large, drawn at the start of an episode.
        limits: `[2]`, largest position of a small and of a large dealer; may be infinite.
        sizes: `[2]`, parcels that a small and a large dealer quote at full size.
        pnl_weight: weight of the change of wealth in the reward.
        volume_weight: weight of the quantity traded, the utility of Vidler and Walsh.
        inventory_charge: φ, on the squared position, a unit of time.
        quote_cost: c, of a parcel quoted to clients a unit of time, and of a parcel posted to other dealers.
        final_penalty: on every parcel held at the end.
    """

    large_share: Float[Array, " N"]
    limits: Float[Array, " two"]
    sizes: Float[Array, " two"]
    pnl_weight: Float[Array, ""]
    volume_weight: Float[Array, ""]
    inventory_charge: Float[Array, ""]
    quote_cost: Float[Array, ""]
    final_penalty: Float[Array, ""]


@struct.dataclass
class Pool:
    """Reflexive liquidity: clients come where liquidity was (`pool.next_liquidity`).

    Attributes:
        exponent: ψ; 0 switches it off, and liquidity stays at 1.
        level: V_0, what the pool would carry if all came.
        speed: share of the distance to the new value that liquidity goes in a step.
        start: liquidity at the start of an episode.
        reference_half_spread: at which full quotes count as a depth of 1.
    """

    exponent: Float[Array, ""]
    level: Float[Array, ""]
    speed: Float[Array, ""]
    start: Float[Array, ""]
    reference_half_spread: Float[Array, ""]


@struct.dataclass
class Regulation:
    """Levers, and what a regulator wants who sets them.

    Attributes:
        levers: in force at the start, and for ever where there is no regulator among the agents.
        penalty: h_b, per parcel that the authority takes, next to the mid price.
        most_tax: the tax at the regulator's highest setting.
        least_max_spread: the cap on half-spreads at the regulator's highest setting.
        most_backstop: the backstop at the regulator's highest setting.
        spread_weight: ω, of the mean quoted spread in the regulator's reward.
        variance_weight: χ, of the squared change of the mid price.
        lever_cost: of every lever at its highest setting, a step.
    """

    levers: Levers
    penalty: Float[Array, ""]
    most_tax: Float[Array, ""]
    least_max_spread: Float[Array, ""]
    most_backstop: Float[Array, ""]
    spread_weight: Float[Array, ""]
    variance_weight: Float[Array, ""]
    lever_cost: Float[Array, ""]


@struct.dataclass
class DealerMarketParams:
    """Numbers of a dealer market.

    Attributes:
        dt: length of a step.
        volatility: σ of the mid price, per square root of time.
        clients: see `Clients`.
        dealers: see `Dealers`.
        pool: see `Pool`.
        regulation: see `Regulation`.
    """

    dt: Float[Array, ""]
    volatility: Float[Array, ""]
    clients: Clients
    dealers: Dealers
    pool: Pool
    regulation: Regulation


@struct.dataclass
class DealerMarketState:
    """Where the market is. Money is kept as wealth at the mid price, and prices as distances: float32 suffices.

    Attributes:
        step: int32, steps taken.
        mid: mid price S less that at the start.
        signal: latent value less the mid price.
        inventory: `[N]`, parcels held.
        wealth: `[N]`, cash plus inventory at the mid price.
        large: bool `[N]`, private types.
        liquidity: index L of the pool.
        half_spreads: `[N, 2]`, last quoted, bid then ask, after levers; where there was no quote, the
            largest that can be quoted.
        fills: `[N, 2]`, parcels last traded with clients at the bid and at the ask.
        volume: parcels traded with clients in the last step.
        imbalance: running average of clients' purchases less sales.
        client_position: parcels that clients have bought less sold.
        authority_position: parcels that the authority has taken.
        levers: in force.
        effort: sum of the regulator's settings, each between 0 and 1.
    """

    step: Int32[Array, ""]
    mid: Float[Array, ""]
    signal: Float[Array, ""]
    inventory: Float[Array, " N"]
    wealth: Float[Array, " N"]
    large: Bool[Array, " N"]
    liquidity: Float[Array, ""]
    half_spreads: Float[Array, "N 2"]
    fills: Float[Array, "N 2"]
    volume: Float[Array, ""]
    imbalance: Float[Array, ""]
    client_position: Float[Array, ""]
    authority_position: Float[Array, ""]
    levers: Levers
    effort: Float[Array, ""]


def _numbers(**values: float) -> dict[str, Array]:
    return {name: jnp.full((), value, float) for name, value in values.items()}


def neutral_levers() -> Levers:
    """Levers that change nothing."""
    return Levers(**_numbers(tax=0.0, max_spread=np.inf, min_size=0.0, backstop=0.0, capital_charge=0.0))


def default_market(num_dealers: int) -> DealerMarketParams:
    """A market with a live pool, uninformed clients, and dealers who are large with probability 1/2."""
    clients = Clients(
        **_numbers(arrival_rate=140.0, decay=1.5, sharpness=1.5, reservation=2.0, two_parcels=0.5),
        **_numbers(informed=0.0, jump=1.0, jump_probability=0.1, impact=0.5),
    )
    dealers = Dealers(
        large_share=jnp.full(num_dealers, 0.5, float),
        limits=jnp.asarray([5.0, 10.0], float),
        sizes=jnp.asarray([1.0, 2.0], float),
        **_numbers(pnl_weight=1.0, volume_weight=0.0, inventory_charge=0.01, quote_cost=0.0, final_penalty=0.0),
    )
    # the reference is half of (2 / γ) ln(1 + γ / k) at γ = 0.1, k = 1.5
    pool = Pool(**_numbers(exponent=2.0, level=2.5, speed=0.05, start=1.0, reference_half_spread=0.64538521))
    regulation = Regulation(
        levers=neutral_levers(),
        **_numbers(penalty=1.0, most_tax=0.5, least_max_spread=0.25, most_backstop=2.0),
        **_numbers(spread_weight=1.0, variance_weight=1.0, lever_cost=0.1),
    )
    return DealerMarketParams(
        **_numbers(dt=0.005, volatility=2.0), clients=clients, dealers=dealers, pool=pool, regulation=regulation
    )


def price_free(params: DealerMarketParams) -> DealerMarketParams:
    """The same market with the utility of Vidler and Walsh: the quantity traded, and nothing else, is rewarded."""
    weights = _numbers(pnl_weight=0.0, volume_weight=1.0, inventory_charge=0.0)
    return replace(params, dealers=replace(params.dealers, **weights))


_SHARES = {"clients": ("two_parcels", "informed", "jump_probability", "impact"), "pool": ("speed",)}
_NOT_NEGATIVE = {
    "clients": ("arrival_rate", "sharpness", "jump"),
    "dealers": ("inventory_charge", "quote_cost", "final_penalty"),
    "pool": ("exponent", "level", "start"),
    "regulation": ("penalty", "most_tax", "least_max_spread", "most_backstop"),
}


def validate_market(params: DealerMarketParams, num_dealers: int) -> None:
    """Raises a one-line `ValueError` for the first number that is not allowed."""
    for name in ("dt", "volatility"):
        number = np.asarray(getattr(params, name))
        good = np.isfinite(number) & ((number > 0) if name == "dt" else (number >= 0))
        require(bool(good.all()), name, number.tolist(), "positive" if name == "dt" else "at least 0, and finite")
    for group, names in _SHARES.items():
        for name in names:
            number = np.asarray(getattr(getattr(params, group), name))
            require(bool(((number >= 0) & (number <= 1)).all()), f"{group}.{name}", number.tolist(), "in [0, 1]")
    for group, names in _NOT_NEGATIVE.items():
        for name in names:
            number = np.asarray(getattr(getattr(params, group), name))
            good = bool((np.isfinite(number) & (number >= 0)).all())
            require(good, f"{group}.{name}", number.tolist(), "at least 0, and finite")
    share = np.asarray(params.dealers.large_share)
    require(share.shape[-1:] == (num_dealers,), "dealers.large_share", share.shape, f"of shape [{num_dealers}]")
    require(bool(((share >= 0) & (share <= 1)).all()), "dealers.large_share", share.tolist(), "in [0, 1]")
    for name in ("limits", "sizes"):
        number = np.asarray(getattr(params.dealers, name))
        require(number.shape[-1:] == (2,), f"dealers.{name}", number.shape, "of shape [2]: small, large")
        require(bool((number > 0).all()), f"dealers.{name}", number.tolist(), "positive")
    _validate_levers(params.regulation.levers)


def _validate_levers(levers: Levers) -> None:
    for name in ("tax", "max_spread", "min_size", "backstop", "capital_charge"):
        number = np.asarray(getattr(levers, name))
        require(bool((number >= 0).all()), f"levers.{name}", number.tolist(), "at least 0")
    least = np.asarray(levers.min_size)
    require(bool((least <= 1).all()), "levers.min_size", least.tolist(), "in [0, 1]")
