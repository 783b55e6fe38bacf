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
    "DirectMechanism",
    "HiddenAction",
    "HiddenActionContract",
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
    "first_best",
    "four_efforts",
    "is_truthful",
    "linear_grid",
    "misreport_gain",
    "optimal_contract",
    "principal_utilities",
    "random_hidden_action",
]
