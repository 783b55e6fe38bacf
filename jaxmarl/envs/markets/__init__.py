"""Market microstructure: market making, order books, adverse selection, double auctions, a battery."""

from jaxmarl.envs.markets.battery import BatteryParams, ImbalanceBattery, PriceModel
from jaxmarl.envs.markets.battery_optimum import load_prices, perfect_foresight, risk_objective
from jaxmarl.envs.markets.continuous_double_auction import (
    ContinuousDoubleAuction,
    ContinuousDoubleAuctionParams,
    zero_intelligence,
)
from jaxmarl.envs.markets.crypto_market_making import CryptoMarketMaking
from jaxmarl.envs.markets.glosten_milgrom import GlostenMilgrom, GlostenMilgromParams, zero_profit_quotes
from jaxmarl.envs.markets.kyle import Kyle, KyleParams, kyle_equilibrium
from jaxmarl.envs.markets.market_making import MarketMaking, MarketMakingParams
from jaxmarl.envs.markets.order_book import Message, OrderBook, apply_message, empty_book, replay
from jaxmarl.envs.markets.zero_intelligence_book import BookParams, ZeroIntelligenceBook

__all__ = [
    "BatteryParams",
    "BookParams",
    "ContinuousDoubleAuction",
    "ContinuousDoubleAuctionParams",
    "CryptoMarketMaking",
    "GlostenMilgrom",
    "GlostenMilgromParams",
    "ImbalanceBattery",
    "Kyle",
    "KyleParams",
    "MarketMaking",
    "MarketMakingParams",
    "Message",
    "OrderBook",
    "PriceModel",
    "ZeroIntelligenceBook",
    "apply_message",
    "empty_book",
    "kyle_equilibrium",
    "load_prices",
    "perfect_foresight",
    "replay",
    "risk_objective",
    "zero_intelligence",
    "zero_profit_quotes",
]
