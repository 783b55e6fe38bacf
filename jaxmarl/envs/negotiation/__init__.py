"""Negotiation: dividing items and haggling over a price in turns, with what bargaining theory says of both."""

from jaxmarl.envs.negotiation.alternating_offers import AlternatingOffers, AlternatingOffersParams
from jaxmarl.envs.negotiation.bargaining import (
    deadline_shares,
    kalai_smorodinsky_bargain,
    nash_bargain,
    pareto_frontier,
    rubinstein_share,
    subgame_perfect_outcome,
)
from jaxmarl.envs.negotiation.division import DealOrNoDeal, DealOrNoDealParams, DivisionProblem
from jaxmarl.envs.negotiation.division_rules import (
    DivisionSolution,
    bundles,
    division_problems,
    mean_maxima,
    solve_division,
    split_payoffs,
)
from jaxmarl.envs.negotiation.turns import Bargaining, BargainingState

__all__ = [
    "AlternatingOffers",
    "AlternatingOffersParams",
    "Bargaining",
    "BargainingState",
    "DealOrNoDeal",
    "DealOrNoDealParams",
    "DivisionProblem",
    "DivisionSolution",
    "bundles",
    "deadline_shares",
    "division_problems",
    "kalai_smorodinsky_bargain",
    "mean_maxima",
    "nash_bargain",
    "pareto_frontier",
    "rubinstein_share",
    "solve_division",
    "split_payoffs",
    "subgame_perfect_outcome",
]
