"""Marketplaces of sellers and buyers with scripted sides: price crashes, lemons, two-sided search."""

from jaxmarl.envs.marketplaces.alignment_score import AlignmentScore, alignment_score
from jaxmarl.envs.marketplaces.price_crash import PriceCrash, PriceCrashParams
from jaxmarl.envs.marketplaces.price_crash_firms import fixed_markup, stabiliser, undercutter
from jaxmarl.envs.marketplaces.simulate import play_seated

__all__ = [
    "AlignmentScore",
    "PriceCrash",
    "PriceCrashParams",
    "alignment_score",
    "fixed_markup",
    "play_seated",
    "stabiliser",
    "undercutter",
]
