"""Liquidity: who provides it, at what spread, and when it disappears. Games, quoting, and a dealer market."""

from jaxmarl.envs.liquidity.dealer_market import DealerMarket
from jaxmarl.envs.liquidity.market_types import (
    DealerMarketParams,
    DealerMarketState,
    Levers,
    neutral_levers,
    price_free,
)
from jaxmarl.envs.liquidity.matrix import LiquidityMatrix, LiquidityMatrixParams, LiquidityMatrixState
from jaxmarl.envs.liquidity.provision import LiquidityProvision, LiquidityProvisionParams, LiquidityProvisionState
from jaxmarl.envs.liquidity.quoting import DealerQuoting, DealerQuotingParams, DealerQuotingState

__all__ = [
    "DealerMarket",
    "DealerMarketParams",
    "DealerMarketState",
    "DealerQuoting",
    "DealerQuotingParams",
    "DealerQuotingState",
    "Levers",
    "LiquidityMatrix",
    "LiquidityMatrixParams",
    "LiquidityMatrixState",
    "LiquidityProvision",
    "LiquidityProvisionParams",
    "LiquidityProvisionState",
    "neutral_levers",
    "price_free",
]
