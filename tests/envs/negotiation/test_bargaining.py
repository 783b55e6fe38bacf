"""Shares of alternating offers, frontiers and bargaining solutions: closed forms and brute force."""

import numpy as np
import pytest

from jaxmarl.envs.negotiation import (
    deadline_shares,
    kalai_smorodinsky_bargain,
    nash_bargain,
    pareto_frontier,
    rubinstein_share,
    subgame_perfect_outcome,
)


@pytest.mark.parametrize(("own", "other", "share"), [(0.9, 0.9, 0.526316), (0.95, 0.9, 0.689655), (0.0, 0.4, 0.6)])
def test_rubinstein_shares(own, other, share):
    assert rubinstein_share(own, other) == pytest.approx(share, abs=5e-7)
    keeps, later = rubinstein_share(own, other), rubinstein_share(other, own)
    assert keeps == pytest.approx(1 - other * later)  # leaves the other just what waiting is worth


@pytest.mark.parametrize(("offers", "share"), [(1, 1), (2, 0.1), (3, 0.91), (10, 0.342801), (50, 0.523603)])
def test_shares_with_a_deadline(offers, share):
    assert deadline_shares(0.9, 0.9, offers)[0] == pytest.approx(share, abs=5e-7)


def test_a_distant_deadline_is_none():
    assert deadline_shares(0.95, 0.9, 400)[0] == pytest.approx(rubinstein_share(0.95, 0.9), abs=1e-12)


@pytest.mark.parametrize("offers", [1, 2, 3, 10])
def test_backward_induction_over_outcomes_gives_the_shares(offers):
    """A pie cut into 100 000 pieces, so that each share exists to five digits."""
    cuts = np.linspace(0, 1, 100_001)
    values = subgame_perfect_outcome(np.stack([cuts, 1 - cuts], axis=1), (0.95, 0.9), offers)
    shares = deadline_shares(0.95, 0.9, offers)
    own = values[np.arange(offers), np.arange(offers) % 2]
    np.testing.assert_allclose(own, shares, atol=2e-4)


def test_backward_induction_against_the_game_tree():
    """Every subgame of three offers over random outcomes, solved by walking the tree."""
    generator = np.random.default_rng(0)

    def walk(payoffs, discounts, t, offers):
        """Values of the subgame where offer t is to be made."""
        if t == offers:
            return np.zeros(2)
        waiting = discounts * walk(payoffs, discounts, t + 1, offers)
        mover, other = t % 2, 1 - t % 2
        plays = [waiting if pay[other] < waiting[other] else pay for pay in payoffs]
        return max([*plays, waiting], key=lambda play: (play[mover], play[other]))

    for _ in range(20):
        payoffs, discounts = generator.random((6, 2)), generator.random(2)
        found = subgame_perfect_outcome(payoffs, tuple(discounts), 3)[0]
        np.testing.assert_allclose(found, walk(payoffs, discounts, 0, 3), atol=1e-9)


def test_frontier_and_solutions_of_a_list():
    payoffs = np.array([[0, 10], [4, 4], [5, 5], [5, 5], [9, 2], [9, 1], [10, 0]])
    np.testing.assert_array_equal(pareto_frontier(payoffs), [1, 0, 1, 1, 1, 0, 1])
    assert nash_bargain(payoffs) == 2
    assert nash_bargain(payoffs, (8.0, 0.0)) == 4
    assert nash_bargain(payoffs, (11.0, 0.0)) == -1
    assert kalai_smorodinsky_bargain(payoffs) == 2
    assert kalai_smorodinsky_bargain(payoffs, (11.0, 0.0)) == -1


def test_nash_bargaining_does_not_depend_on_units():
    payoffs = np.random.default_rng(1).random((50, 2))
    assert nash_bargain(payoffs) == nash_bargain(payoffs * [3, 0.2]) == nash_bargain(payoffs + 1, (1.0, 1.0))
    assert kalai_smorodinsky_bargain(payoffs) == kalai_smorodinsky_bargain(payoffs * [3, 0.2])


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="other_discount must be"):
        rubinstein_share(0.9, 1.1)
    with pytest.raises(ValueError, match="own_discount must be"):
        rubinstein_share(1.0, 1.0)
    with pytest.raises(ValueError, match="num_offers must be"):
        deadline_shares(0.9, 0.9, 0)
