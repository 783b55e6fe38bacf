"""Mechanism design: optimal contracts and payments for information, learning contracts, learning representations."""

from jaxmarl.envs.mechanisms.contract_optimum import OptimalContract, optimal_contract
from jaxmarl.envs.mechanisms.contract_rules import LinearContract, best_linear_contract
from jaxmarl.envs.mechanisms.information_optimum import InformationMechanism, optimal_information
from jaxmarl.solvers.mechanisms.contract_learning import DiscoveredContract, discover_and_cover, ucb_contracts
from jaxmarl.solvers.mechanisms.representation import Representation, learn_representation

__all__ = [
    "DiscoveredContract",
    "InformationMechanism",
    "LinearContract",
    "OptimalContract",
    "Representation",
    "best_linear_contract",
    "discover_and_cover",
    "learn_representation",
    "optimal_contract",
    "optimal_information",
    "ucb_contracts",
]
