"""Mechanisms: contracts, information bought from agents, decision markets, and whether telling the truth pays."""

from jaxmarl.envs.mechanisms import budgeting, distance_games, fair_division
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
from jaxmarl.envs.mechanisms.facility_location import FacilityLocation, FacilityParams, FacilityState
from jaxmarl.envs.mechanisms.facility_rules import RULES as FACILITY_RULES
from jaxmarl.envs.mechanisms.facility_rules import STRATEGYPROOF as STRATEGYPROOF_FACILITY_RULES
from jaxmarl.envs.mechanisms.facility_rules import (
    Facilities,
    Lottery,
    expected_utilities,
    geometric_mean,
    gini,
    location_utilities,
    most_equal_location,
    nash_location,
    optimal_facilities,
    optimal_locations,
    order_statistic,
)
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
    "FACILITY_RULES",
    "STRATEGYPROOF_FACILITY_RULES",
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
    "Facilities",
    "FacilityLocation",
    "FacilityParams",
    "FacilityState",
    "FeatureMarket",
    "HiddenAction",
    "HiddenActionContract",
    "InformationAcquisition",
    "InformationMechanism",
    "InformationParams",
    "InformationProblem",
    "InformationState",
    "LinearContract",
    "Lottery",
    "Misreports",
    "OptimalContract",
    "agent_utilities",
    "best_linear_contract",
    "best_misreports",
    "best_response",
    "budgeting",
    "contract_grid",
    "contract_utility",
    "disobedience_gain",
    "distance_games",
    "expected_score",
    "expected_utilities",
    "fair_division",
    "first_best",
    "four_efforts",
    "geometric_mean",
    "gini",
    "independent_looks",
    "is_truthful",
    "linear_grid",
    "location_utilities",
    "log_score",
    "market_outcome",
    "misreport_gain",
    "most_equal_location",
    "nash_location",
    "optimal_contract",
    "optimal_facilities",
    "optimal_information",
    "optimal_locations",
    "order_statistic",
    "plan_utilities",
    "principal_utilities",
    "quadratic_score",
    "random_hidden_action",
    "random_market",
    "soft_welfare",
    "spherical_score",
]
