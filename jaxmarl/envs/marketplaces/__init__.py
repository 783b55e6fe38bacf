"""Marketplaces of sellers and buyers with scripted sides: price crashes, lemons, two-sided search."""

from jaxmarl.envs.marketplaces.alignment_score import AlignmentScore, alignment_score
from jaxmarl.envs.marketplaces.lemon_market import LemonMarket, LemonMarketParams
from jaxmarl.envs.marketplaces.lemon_market_traders import fixed_principal, guardian, random_buyer
from jaxmarl.envs.marketplaces.price_crash import PriceCrash, PriceCrashParams
from jaxmarl.envs.marketplaces.price_crash_firms import fixed_markup, stabiliser, undercutter
from jaxmarl.envs.marketplaces.simulate import play_seated

__all__ = [
    "AlignmentScore",
    "LemonMarket",
    "LemonMarketParams",
    "PriceCrash",
    "PriceCrashParams",
    "alignment_score",
    "fixed_markup",
    "fixed_principal",
    "guardian",
    "play_seated",
    "random_buyer",
    "stabiliser",
    "undercutter",
]
