"""Mechanisms: contracts, information bought from agents, decision markets, and whether telling the truth pays."""

from jaxmarl.envs.mechanisms.contract_optimum import OptimalContract, optimal_contract
from jaxmarl.envs.mechanisms.contract_rules import (
    HiddenAction,
    LinearContract,
    agent_utilities,
    best_linear_contract,
    best_response,
    contract_grid,
    contract_utility,
    disobedience_gain,
    first_best,
    four_efforts,
    linear_grid,
    principal_utilities,
    random_hidden_action,
)
from jaxmarl.envs.mechanisms.contracts import (
    ContractGame,
    ContractGameParams,
    ContractGameState,
    ContractParams,
    ContractState,
    HiddenActionContract,
)
from jaxmarl.envs.mechanisms.decision_market import DecisionMarket, DecisionMarketParams, DecisionMarketState
from jaxmarl.envs.mechanisms.decongestion import Decongestion, DecongestionState
from jaxmarl.envs.mechanisms.decongestion_rules import FeatureMarket, market_outcome, random_market, soft_welfare
from jaxmarl.envs.mechanisms.information import InformationAcquisition, InformationParams, InformationState
from jaxmarl.envs.mechanisms.information_optimum import InformationMechanism, optimal_information
from jaxmarl.envs.mechanisms.information_rules import InformationProblem, independent_looks, plan_utilities
from jaxmarl.envs.mechanisms.scoring_rules import expected_score, log_score, quadratic_score, spherical_score
from jaxmarl.envs.mechanisms.truthfulness import (
    DirectMechanism,
    Misreports,
    best_misreports,
    is_truthful,
    misreport_gain,
)

__all__ = [
    "ContractGame",
    "ContractGameParams",
    "ContractGameState",
    "ContractParams",
    "ContractState",
    "DecisionMarket",
    "DecisionMarketParams",
    "DecisionMarketState",
    "Decongestion",
    "DecongestionState",
    "DirectMechanism",
    "FeatureMarket",
    "HiddenAction",
    "HiddenActionContract",
    "InformationAcquisition",
    "InformationMechanism",
    "InformationParams",
    "InformationProblem",
    "InformationState",
    "LinearContract",
    "Misreports",
    "OptimalContract",
    "agent_utilities",
    "best_linear_contract",
    "best_misreports",
    "best_response",
    "contract_grid",
    "contract_utility",
    "disobedience_gain",
    "expected_score",
    "first_best",
    "four_efforts",
    "independent_looks",
    "is_truthful",
    "linear_grid",
    "log_score",
    "market_outcome",
    "misreport_gain",
    "optimal_contract",
    "optimal_information",
    "plan_utilities",
    "principal_utilities",
    "quadratic_score",
    "random_hidden_action",
    "random_market",
    "soft_welfare",
    "spherical_score",
]
