"""Repeated rock-paper-scissors and its population of tournament bots."""

from jaxmarl.envs.rps.bots import BOTS, Bot, get_bot
from jaxmarl.envs.rps.experts import ExpertParams, expert_mixture, expert_params
from jaxmarl.envs.rps.repeated import RepeatedRPS, RPSParams, RPSState
from jaxmarl.envs.rps.versus import bot_costs, bot_players, repeated_rps_versus, split_bots

__all__ = [
    "BOTS",
    "Bot",
    "ExpertParams",
    "RPSParams",
    "RPSState",
    "RepeatedRPS",
    "bot_costs",
    "bot_players",
    "expert_mixture",
    "expert_params",
    "get_bot",
    "repeated_rps_versus",
    "split_bots",
]
