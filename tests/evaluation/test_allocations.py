"""Sharing the cost of a tour: Held and Karp, Shapley values, proxies, the core."""

import itertools

import numpy as np
import pytest

from jaxmarl.evaluation.allocations import (
    cost_of_stability,
    in_semicore,
    largest_excess,
    least_core,
    marginal_costs,
    single_costs,
    tour_proxy,
)
from jaxmarl.evaluation.shapley import shapley_of_table
from jaxmarl.games.coalitional import all_coalitions
from jaxmarl.games.travelling_salesperson import euclidean_distances, shortest_tour, tour_costs

POINTS = np.array([(0, 0), (1, 0), (0, 2), (3, 1), (2, 3)], float)
DISTANCES = euclidean_distances(POINTS)
TABLE = tour_costs(DISTANCES)


def length(distances, order):
    stops = [0, *(i + 1 for i in order), 0]
    return sum(distances[a, b] for a, b in itertools.pairwise(stops))


def test_four_customers():
    assert TABLE[-1] == pytest.approx(9.708204, abs=1e-6)
    np.testing.assert_allclose(shapley_of_table(TABLE), [0.732689, 1.918264, 3.306989, 3.750262], atol=1e-6)
    np.testing.assert_allclose(single_costs(TABLE), [2, 4, 6.324555, 7.211103], atol=1e-6)
    np.testing.assert_allclose(marginal_costs(TABLE), [0.073790, 0.630517, 1.309858, 1.309858], atol=1e-6)


def test_the_least_core_of_four_customers():
    found = least_core(TABLE)
    assert found.excess == pytest.approx(-0.963105, abs=1e-6)
    assert found.allocation.sum() == pytest.approx(TABLE[-1])
    assert in_semicore(TABLE, found.allocation)
    assert cost_of_stability(TABLE) == pytest.approx(0, abs=1e-9)


def test_tours_against_all_orders():
    distances = np.random.default_rng(0).random((6, 6)) * (1 - np.eye(6))  # asymmetric
    table = tour_costs(distances)
    for k, members in enumerate(all_coalitions(5)):
        orders = itertools.permutations(np.flatnonzero(members))
        assert table[k] == pytest.approx(min(length(distances, order) for order in orders))
    assert length(distances, shortest_tour(distances)) == pytest.approx(table[-1])


@pytest.mark.parametrize("proxy", ["depot", "shortcut", "rerouting"])
def test_proxies_share_everything(proxy):
    shares = tour_proxy(DISTANCES, proxy)
    assert shares.sum() == pytest.approx(TABLE[-1])
    assert np.all(shares >= 0)
    mixed = tour_proxy(DISTANCES, proxy, depot_weight=0.5)
    np.testing.assert_allclose(mixed, (shares + tour_proxy(DISTANCES, "depot")) / 2)


def test_shortcut_savings_by_hand():
    """The tour is 0, (1,0), (3,1), (2,3), (0,2), 0 or its reverse; savings follow the order of the customers."""
    stops = [0, 1, 3, 4, 2, 0]
    saved = {
        b: DISTANCES[a, b] + DISTANCES[b, c] - DISTANCES[a, c]
        for a, b, c in zip(stops, stops[1:], stops[2:], strict=False)
    }
    wanted = np.array([saved[i] for i in (1, 2, 3, 4)])
    np.testing.assert_allclose(tour_proxy(DISTANCES), TABLE[-1] * wanted / wanted.sum())


def test_an_empty_core_needs_a_subsidy():
    """Any two of three players are served for 1, all three for 2: the fair price 2/3 each is refused by every pair."""
    table = np.array([0, 1, 1, 1, 1, 1, 1, 2.0])
    found = least_core(table)
    assert found.excess == pytest.approx(1 / 3)
    np.testing.assert_allclose(found.allocation, 2 / 3)
    assert cost_of_stability(table) == pytest.approx(0.5)
    assert largest_excess(table, np.full(3, 0.5)) == pytest.approx(0)
    assert not in_semicore(table, np.array([1.5, 0.5, 0]))


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="distances must be"):
        tour_costs(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="proxy must be one of"):
        tour_proxy(DISTANCES, "moat")
    with pytest.raises(ValueError, match="table must be"):
        least_core(np.zeros(5))
