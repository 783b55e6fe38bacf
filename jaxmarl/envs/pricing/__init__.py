"""Price competition: demand, equilibria that theory knows, and environments."""

from jaxmarl.envs.pricing.logit import logit_shares, logit_surplus
from jaxmarl.envs.pricing.logit_equilibrium import (
    LogitMarket,
    LogitOutcome,
    bertrand_nash,
    best_responses,
    joint_monopoly,
)
from jaxmarl.envs.pricing.logit_pricing import (
    LogitPricing,
    LogitPricingParams,
    LogitPricingState,
    logit_pricing_params,
)

__all__ = [
    "LogitMarket",
    "LogitOutcome",
    "LogitPricing",
    "LogitPricingParams",
    "LogitPricingState",
    "bertrand_nash",
    "best_responses",
    "joint_monopoly",
    "logit_pricing_params",
    "logit_shares",
    "logit_surplus",
]
