"""Marketplaces of sellers and buyers with scripted sides: price crashes, lemons, two-sided search."""

from jaxmarl.envs.marketplaces.alignment_score import AlignmentScore, alignment_score
from jaxmarl.envs.marketplaces.lemon_market import LemonMarket, LemonMarketParams
from jaxmarl.envs.marketplaces.lemon_market_traders import fixed_principal, guardian, random_buyer
from jaxmarl.envs.marketplaces.price_crash import PriceCrash, PriceCrashParams
from jaxmarl.envs.marketplaces.price_crash_firms import fixed_markup, stabiliser, undercutter
from jaxmarl.envs.marketplaces.search_businesses import dispersed_pricing, fixed_offer, quality_markup
from jaxmarl.envs.marketplaces.two_sided_search import TwoSidedSearch, TwoSidedSearchParams

__all__ = [
    "AlignmentScore",
    "LemonMarket",
    "LemonMarketParams",
    "PriceCrash",
    "PriceCrashParams",
    "TwoSidedSearch",
    "TwoSidedSearchParams",
    "alignment_score",
    "dispersed_pricing",
    "fixed_markup",
    "fixed_offer",
    "fixed_principal",
    "guardian",
    "quality_markup",
    "random_buyer",
    "stabiliser",
    "undercutter",
]
