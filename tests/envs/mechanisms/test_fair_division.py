"""Fair division: maximin shares by hand, checkers on small cases, and rules that reach EF1."""

import itertools

import numpy as np
import pytest

from jaxmarl.envs.mechanisms.fair_division import (
    all_allocations,
    bundle_values,
    double_round_robin,
    envy_cycle_elimination,
    is_fair,
    is_pareto_optimal,
    maximin_allocation,
    maximin_shares,
    round_robin,
)

COSTS = np.array([5, 4, 3, 3, 2, 1])
APPROVALS = np.array([[1, 1, 0, 1, 0, 1], [0, 1, 1, 1, 1, 0], [1, 0, 1, 0, 1, 1]])


def test_maximin_shares_under_cost_utilities():
    values = COSTS * APPROVALS
    np.testing.assert_array_equal(maximin_shares(values), [4, 3, 3])
    owners, surplus = maximin_allocation(values)
    assert surplus >= 0
    assert (np.diagonal(bundle_values(values, owners)) >= [4, 3, 3]).all()


def test_maximin_allocations_exist_for_three_agents_with_cost_utilities():
    generator = np.random.default_rng(0)
    for _ in range(60):
        costs, approvals = generator.integers(1, 8, 6), generator.random((3, 6)) < 0.6
        assert maximin_allocation(costs * approvals)[1] >= 0


def test_maximin_allocations_exist_for_laminar_approvals():
    """Four agents, whose approved sets are nested or disjoint."""
    generator = np.random.default_rng(1)
    approvals = np.array([[1] * 7, [1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1]])
    for _ in range(10):
        assert maximin_allocation(generator.integers(1, 8, 7) * approvals)[1] >= 0


def test_maximin_shares_of_chores_and_of_one_agent():
    np.testing.assert_array_equal(maximin_shares(np.array([[-3, -2, -2, -1]] * 2)), [-4, -4])
    np.testing.assert_array_equal(maximin_shares(np.array([[1, 2, 3]])), [6])


def test_the_ladder_of_envy():
    """Who holds 2 against 3 and 1 stops envying without the 3 only; who holds 1 against 3 and 2 does not stop."""
    values = np.array([[3, 1, 2], [3, 1, 2]])
    for owners, fair in (([0, 0, 1], ["EF1"]), ([0, 1, 0], [])):
        got = [name for name in ("EF", "EF1", "EFX", "EFX0") if is_fair(values, np.array(owners), name)]
        assert got == fair
    assert is_fair(values, np.array([0, 1, 1]), "EF")
    worthless = np.array([[4, 0, 3], [4, 0, 3]])
    got = [name for name in ("EF", "EF1", "EFX", "EFX0") if is_fair(worthless, np.array([0, 0, 1]), name)]
    assert got == ["EF1", "EFX"]  # removing what is worth nothing does not end envy
    chores = np.array([[-4.0, -1, -3], [-4, -1, -3]])
    got = [name for name in ("EF", "EF1", "EFX", "EFX0") if is_fair(chores, np.array([0, 0, 1]), name)]
    assert got == ["EF1"]


def test_envy_freeness_by_brute_force():
    """Some allocation is EF1 on every random instance of mixed items, and each criterion implies the weaker ones."""
    generator = np.random.default_rng(2)
    for _ in range(10):
        values = generator.integers(-3, 5, (2, 5)).astype(float)
        table = np.array(
            [
                [is_fair(values, owners, name) for name in ("EF", "EFX0", "EFX", "EF1")]
                for owners in all_allocations(2, 5)
            ]
        )
        assert (np.diff(table.astype(int), axis=1) >= 0).all()
        assert table[:, 3].any()


@pytest.mark.parametrize("agents", [2, 3, 4])
def test_rules_reach_what_they_promise(agents):
    generator = np.random.default_rng(agents)
    for _ in range(40):
        goods = generator.random((agents, 7))
        for rule in (round_robin, envy_cycle_elimination, double_round_robin):
            owners = rule(goods)
            assert set(owners) <= set(range(agents))
            assert is_fair(goods, owners, "EF1")
        mixed = generator.integers(-5, 6, (agents, 8)).astype(float)
        owners = double_round_robin(mixed)
        assert (owners >= 0).all()
        assert is_fair(mixed, owners, "EF1")
        assert is_fair(-goods, double_round_robin(-goods), "EF1")


def test_plain_round_robin_fails_with_mixed_items():
    """What double round-robin is for: some instance of goods and chores on which round-robin is not EF1."""
    generator = np.random.default_rng(3)
    draws = [generator.integers(-5, 6, (3, 7)).astype(float) for _ in range(50)]
    assert any(not is_fair(values, round_robin(values), "EF1") for values in draws)


def test_identical_goods_by_envy_cycles_are_also_efx():
    """Items in decreasing order, all valued alike: each goes to the poorest, which is EFX (Plaut and Roughgarden)."""
    generator = np.random.default_rng(4)
    for _ in range(20):
        values = np.tile(np.sort(generator.random(7))[::-1], (3, 1))
        assert is_fair(values, envy_cycle_elimination(values), "EFX")


def test_pareto_optimality():
    values = np.array([[3, 1], [1, 3]])
    verdicts = [is_pareto_optimal(values, np.array(owners)) for owners in itertools.product(range(2), repeat=2)]
    assert verdicts == [True, True, False, True]


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="num_items must be"):
        all_allocations(4, 12)
    with pytest.raises(ValueError, match="criterion must be one of"):
        is_fair(COSTS * APPROVALS, np.zeros(6, int), "EF2")
    with pytest.raises(ValueError, match="values must be"):
        envy_cycle_elimination(np.array([[-1.0, 2]]))
