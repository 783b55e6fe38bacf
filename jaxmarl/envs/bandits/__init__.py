"""Bandits with several players."""

from jaxmarl.envs.bandits.allocation import nash_allocation, seat_of
from jaxmarl.envs.bandits.multi_player import MultiPlayerBandit, MultiPlayerBanditParams, MultiPlayerBanditState

__all__ = [
    "MultiPlayerBandit",
    "MultiPlayerBanditParams",
    "MultiPlayerBanditState",
    "nash_allocation",
    "seat_of",
]
