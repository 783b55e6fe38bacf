"""Mechanism design: optimal contracts, and learning them from play."""

from jaxmarl.envs.mechanisms.contract_optimum import OptimalContract, optimal_contract
from jaxmarl.envs.mechanisms.contract_rules import LinearContract, best_linear_contract
from jaxmarl.solvers.mechanisms.contract_learning import DiscoveredContract, discover_and_cover, ucb_contracts

__all__ = [
    "DiscoveredContract",
    "LinearContract",
    "OptimalContract",
    "best_linear_contract",
    "discover_and_cover",
    "optimal_contract",
    "ucb_contracts",
]
