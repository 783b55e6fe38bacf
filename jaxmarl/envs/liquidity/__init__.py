"""Liquidity: who provides it, at what spread, and when it disappears. Games, quoting, and a dealer market."""

from jaxmarl.envs.liquidity.matrix import LiquidityMatrix, LiquidityMatrixParams, LiquidityMatrixState
from jaxmarl.envs.liquidity.provision import LiquidityProvision, LiquidityProvisionParams, LiquidityProvisionState
from jaxmarl.envs.liquidity.quoting import DealerQuoting, DealerQuotingParams, DealerQuotingState

__all__ = [
    "DealerQuoting",
    "DealerQuotingParams",
    "DealerQuotingState",
    "LiquidityMatrix",
    "LiquidityMatrixParams",
    "LiquidityMatrixState",
    "LiquidityProvision",
    "LiquidityProvisionParams",
    "LiquidityProvisionState",
]
