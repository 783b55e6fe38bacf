"""Liquidity games: signed orders that must find each other, and depth that is only as good as the weakest dealer."""

from collections.abc import Sequence

import numpy as np

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.games.liquidity_clearing import (
    FILL_RULES,
    clear,
    meeting_probability,
    order_bounds,
    pair_fills,
)
from jaxmarl.games.liquidity_payoffs import order_payoffs, provision_payoffs
from jaxmarl.games.liquidity_types import ex_ante_payoffs
from jaxmarl.games.normal_form import NormalFormGame, bimatrix_game, symmetric_game
from jaxmarl.games.zoo._profiles import (
    Number,
    Numbers,
    namespace,
    one_or_each,
    per_player,
    profile_grid,
    require_numbers,
)
from jaxmarl.games.zoo.registry import register_game


@register_game("liquidity_matrix", symmetric=True, potential=True)
def liquidity_matrix(
    capacities: Sequence[int] = (2, 2),
    cost: Numbers = 0.25,
    aversion: Numbers = 0.0,
    holdings: Numbers = 0.0,
    targets: Numbers = 0.0,
    low: Numbers = -np.inf,
    high: Numbers = np.inf,
    fill: str = "pro_rata",
    rounding: str = "none",
) -> NormalFormGame:
    """Banks post signed orders without a price, and their utility is the quantity traded (Vidler and Walsh 2024).

    `U_i = |x_i| - cost_i |a_i| - aversion_i / 2 ((d_i + x_i)² - d_i²)`, where `x_i` is what the order `a_i` trades by
    `liquidity_clearing.clear` and `d_i = holdings_i - targets_i`. Action k of every player is the order
    `k - max(capacities)`; orders beyond a player's capacity or bounds are masked. Under the rules for pairs, payoffs
    are expected over a random matching. Two players without aversion have the exact potential
    `min(|a|, |b|) 1{a b < 0} - cost_1 |a| - cost_2 |b|`.

    Args:
        capacities: most parcels each player can post: their number is that of players.
        cost: of a parcel posted, filled or not.
        aversion: to leaving the target.
        holdings: before trade.
        targets: of the holdings.
        low: least holdings allowed.
        high: largest holdings allowed.
        fill: one of `liquidity_clearing.FILL_RULES`.
        rounding: one of `liquidity_clearing.ROUNDINGS`.
    """
    require_choice("fill", fill, FILL_RULES)
    players = len(capacities)
    require(players >= 2, "capacities", tuple(capacities), "one for each of at least two players")
    for capacity in capacities:
        require_int("capacities", capacity, 0)
    most = max(capacities)
    orders = profile_grid((2 * most + 1,) * players) - most
    charge, averse, held, target = (
        per_player(name, numbers, players)
        for name, numbers in (("cost", cost), ("aversion", aversion), ("holdings", holdings), ("targets", targets))
    )
    if fill == "pro_rata" or players == 2:
        pairs = ~np.eye(players, dtype=bool)
        payoffs = order_payoffs(orders, clear(orders, fill, pairs, rounding), charge, averse, held - target)
    else:
        payoffs = _met_at_random(orders, pair_fills(orders, fill), charge, averse, held - target)
    start, lowest, highest = (
        one_or_each(name, numbers, players) for name, numbers in (("holdings", holdings), ("low", low), ("high", high))
    )
    least, largest = order_bounds(start, lowest, highest, np.asarray(capacities))
    own = np.arange(-most, most + 1)
    return NormalFormGame(payoffs, [(least[i] <= own) & (own <= largest[i]) for i in range(players)])


def _met_at_random(orders, fills_if_met, charge, averse, imbalance):
    """Payoffs expected over a random matching: what is traded with each of the others, or with nobody."""
    players, chance = len(orders), meeting_probability(len(orders))
    alone = order_payoffs(orders, np.zeros_like(orders), charge, averse, imbalance)
    total = alone * (1 - chance * (players - 1))
    for met in range(players):
        others = (np.arange(players) != met).reshape(-1, *[1] * players)
        total = total + chance * others * order_payoffs(orders, fills_if_met[:, met], charge, averse, imbalance)
    return total


@register_game("liquidity_provision", symmetric=True, potential=True)
def liquidity_provision(
    capacities: Sequence[int] = (2, 2),
    cost: Numbers = 0.25,
    aggregation: str = "min",
    minimum: int = 0,
    subsidy: Numbers = 0.0,
    backstop: Number = 0.0,
) -> NormalFormGame:
    """Dealers post depth at a cost, and the depth of the weakest is executed: a minimum-effort game with levers.

    `U_i = max(min_j s_j, backstop) - (cost_i - subsidy_i) s_i`; for `0 < cost < 1` every common depth is an
    equilibrium, the better the deeper, and the one of highest potential is the deepest where `n cost < 1`, the
    shallowest where `n cost > 1`. Action k of every dealer is the depth k; depths beyond the capacity, or below the
    obligation, are masked.

    Args:
        capacities: most parcels each dealer can post: their number is that of dealers.
        cost: of a parcel posted.
        aggregation: one of `liquidity_payoffs.AGGREGATIONS`.
        minimum: obligation: least depth, or the capacity where that is less.
        subsidy: on a parcel posted.
        backstop: depth that the central bank provides where dealers provide less.
    """
    players = len(capacities)
    require(players >= 2, "capacities", tuple(capacities), "one for each of at least two dealers")
    for capacity in capacities:
        require_int("capacities", capacity, 0)
    require_int("minimum", minimum, 0)
    depths = profile_grid((max(capacities) + 1,) * players)
    net = per_player("cost", cost, players) - per_player("subsidy", subsidy, players)
    payoffs = provision_payoffs(depths, net, aggregation, backstop)
    own = np.arange(max(capacities) + 1)
    return NormalFormGame(payoffs, [(own <= k) & (own >= min(minimum, k)) for k in capacities])


@register_game("liquidity_provision_bayesian", symmetric=True, potential=True)
def liquidity_provision_bayesian(
    large_share: Number = 0.5, cost: Number = 0.25, small: int = 1, large: int = 2
) -> NormalFormGame:
    """Two dealers post depth without knowing whether the other is large: the ex-ante normal form.

    Each is large with probability `large_share`, independently, and knows its own type only. Action k is row k of
    `liquidity_types.type_strategies(small, large)`: a depth for each type. All posting their capacity is an equilibrium
    where `large_share >= cost`, and it has the highest potential where `large_share >= 2 cost`.

    Args:
        large_share: probability of being large.
        cost: of a parcel posted.
        small: capacity of a small dealer.
        large: capacity of a large one.
    """
    require_int("small", small, 0)
    require_int("large", large, small)
    _require_share(large_share)
    return symmetric_game(ex_ante_payoffs(large_share, cost, small, large))


@register_game("liquidity_proposer", potential=True)
def liquidity_proposer(large_share: Number = 0.5, small: int = 1, large: int = 2) -> NormalFormGame:
    """A bank proposes a small or a large trade, all or nothing, to one that may not be able to take a large one.

    The other bank is large with probability `large_share`; it refuses (0), or takes what it can (1). Both get what is
    traded: `small`, or `large` with that probability. Proposing the large trade is best where
    `large_share >= small / large`; the value is `max(small, large_share large)`.

    Args:
        large_share: probability that the other bank is large.
        small: size of the small trade (action 0), which everybody can take.
        large: size of the large one (action 1).
    """
    require_int("small", small, 0)
    require_int("large", large, small)
    _require_share(large_share)
    xp = namespace(large_share)
    taken = xp.stack([xp.asarray(small + 0.0), xp.asarray(large * large_share)])
    traded = taken[:, None] * np.arange(2)
    return bimatrix_game(traded, traded)


def _require_share(large_share: Number) -> None:
    xp = namespace(large_share)
    share = xp.asarray(large_share)
    require_numbers("large_share", xp.all((share >= 0) & (share <= 1)), large_share, "in [0, 1]")
