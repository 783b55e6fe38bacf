"""Auctions: mechanisms, priors, environments, and the equilibria that theory knows."""

from jaxmarl.envs.auctions.clock import ClockParams, ClockState
from jaxmarl.envs.auctions.double_auction import DoubleAuction, DoubleAuctionParams
from jaxmarl.envs.auctions.dutch import DutchAuction
from jaxmarl.envs.auctions.english import EnglishAuction
from jaxmarl.envs.auctions.house import HouseAuction, HouseParams, HouseState, estimated_personas, profiling_accuracy
from jaxmarl.envs.auctions.local_local_global import LocalLocalGlobalAuction, LocalLocalGlobalParams
from jaxmarl.envs.auctions.multi_channel import MultiChannelBidding, MultiChannelParams, MultiChannelState
from jaxmarl.envs.auctions.multi_unit import MultiUnitAuction, MultiUnitParams
from jaxmarl.envs.auctions.one_shot import PrivateValues
from jaxmarl.envs.auctions.pacing_market import PacingMarket, PacingMarketParams, PacingMarketState, pace_policy
from jaxmarl.envs.auctions.position_auction import PositionAuction, PositionParams
from jaxmarl.envs.auctions.repeated_second_price import (
    RepeatedAuctionParams,
    RepeatedAuctionState,
    RepeatedSecondPriceAuction,
    adaptive_pacing,
)
from jaxmarl.envs.auctions.sealed_bid import (
    PRIORS,
    AllPayAuction,
    FirstPriceAuction,
    SealedBidAuction,
    SealedBidParams,
    SealedBidState,
    SecondPriceAuction,
    ThirdPriceAuction,
    WarOfAttrition,
)
from jaxmarl.envs.auctions.simultaneous_ascending import (
    AscendingParams,
    AscendingState,
    SimultaneousAscendingAuction,
    straightforward_bidding,
)

__all__ = [
    "PRIORS",
    "AllPayAuction",
    "AscendingParams",
    "AscendingState",
    "ClockParams",
    "ClockState",
    "DoubleAuction",
    "DoubleAuctionParams",
    "DutchAuction",
    "EnglishAuction",
    "FirstPriceAuction",
    "HouseAuction",
    "HouseParams",
    "HouseState",
    "LocalLocalGlobalAuction",
    "LocalLocalGlobalParams",
    "MultiChannelBidding",
    "MultiChannelParams",
    "MultiChannelState",
    "MultiUnitAuction",
    "MultiUnitParams",
    "PacingMarket",
    "PacingMarketParams",
    "PacingMarketState",
    "PositionAuction",
    "PositionParams",
    "PrivateValues",
    "RepeatedAuctionParams",
    "RepeatedAuctionState",
    "RepeatedSecondPriceAuction",
    "SealedBidAuction",
    "SealedBidParams",
    "SealedBidState",
    "SecondPriceAuction",
    "SimultaneousAscendingAuction",
    "ThirdPriceAuction",
    "WarOfAttrition",
    "adaptive_pacing",
    "estimated_personas",
    "pace_policy",
    "profiling_accuracy",
    "straightforward_bidding",
]
