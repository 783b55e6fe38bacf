"""Price competition: demand, equilibria that theory knows, and environments."""

from jaxmarl.envs.pricing.bertrand import (
    CapacityBertrand,
    CapacityBertrandParams,
    LinearBertrand,
    LinearBertrandParams,
)
from jaxmarl.envs.pricing.cournot import Cournot, QuantityParams, Stackelberg
from jaxmarl.envs.pricing.demand_response import DemandResponse, DemandResponseParams
from jaxmarl.envs.pricing.dynamic_pricing import DynamicPricing, DynamicPricingParams, DynamicPricingState
from jaxmarl.envs.pricing.global_local import GlobalLocal, GlobalLocalState, GlobalLocalTables
from jaxmarl.envs.pricing.inventory_competition import (
    InventoryCompetition,
    InventoryCompetitionParams,
    InventoryCompetitionState,
)
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
from jaxmarl.envs.pricing.reference_pricing import (
    ReferencePricing,
    ReferencePricingParams,
    ReferencePricingState,
)
from jaxmarl.envs.pricing.retail_catalogue import RetailGraphParams, read_online_retail, synthetic_catalogue
from jaxmarl.envs.pricing.retail_graph import RetailGraph, RetailGraphState, jain_index
from jaxmarl.envs.pricing.sequential_pricing import (
    SequentialPricing,
    SequentialPricingParams,
    SequentialPricingState,
)
from jaxmarl.envs.pricing.service_rate import ServiceRate, ServiceRateParams

__all__ = [
    "CapacityBertrand",
    "CapacityBertrandParams",
    "Cournot",
    "DemandResponse",
    "DemandResponseParams",
    "DynamicPricing",
    "DynamicPricingParams",
    "DynamicPricingState",
    "GlobalLocal",
    "GlobalLocalState",
    "GlobalLocalTables",
    "InventoryCompetition",
    "InventoryCompetitionParams",
    "InventoryCompetitionState",
    "LinearBertrand",
    "LinearBertrandParams",
    "LogitMarket",
    "LogitOutcome",
    "LogitPricing",
    "LogitPricingParams",
    "LogitPricingState",
    "QuantityParams",
    "ReferencePricing",
    "ReferencePricingParams",
    "ReferencePricingState",
    "RetailGraph",
    "RetailGraphParams",
    "RetailGraphState",
    "SequentialPricing",
    "SequentialPricingParams",
    "SequentialPricingState",
    "ServiceRate",
    "ServiceRateParams",
    "Stackelberg",
    "bertrand_nash",
    "best_responses",
    "jain_index",
    "joint_monopoly",
    "logit_pricing_params",
    "logit_shares",
    "logit_surplus",
    "read_online_retail",
    "synthetic_catalogue",
]
