"""Players who dislike risk: measures, best responses, and the equilibria of Slumbers et al. and Mazumdar et al."""

from jaxmarl.solvers.risk.equilibrium import (
    RiskAverseSolution,
    rae_damped,
    rae_extragradient,
    rae_fictitious_play,
    risk_report,
)
from jaxmarl.solvers.risk.measures import (
    EntropicRisk,
    LowerPartialMoment,
    Prospect,
    RiskMeasure,
    Variance,
    covariance,
    mean_payoffs,
    prospect,
)
from jaxmarl.solvers.risk.players import RiskAversePlayers, RiskReport, risk_averse_players
from jaxmarl.solvers.risk.quantal import risk_averse_quantal_response
from jaxmarl.solvers.risk.responses import (
    Frontier,
    Response,
    efficient_frontier,
    logit_risk_averse_response,
    risk_averse_response,
)

__all__ = [
    "EntropicRisk",
    "Frontier",
    "LowerPartialMoment",
    "Prospect",
    "Response",
    "RiskAversePlayers",
    "RiskAverseSolution",
    "RiskMeasure",
    "RiskReport",
    "Variance",
    "covariance",
    "efficient_frontier",
    "logit_risk_averse_response",
    "mean_payoffs",
    "prospect",
    "rae_damped",
    "rae_extragradient",
    "rae_fictitious_play",
    "risk_averse_players",
    "risk_averse_quantal_response",
    "risk_averse_response",
    "risk_report",
]
