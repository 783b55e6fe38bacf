"""Randbot: uniform play, the equilibrium of the throw."""

from jaxmarl.envs.rps.bots.base import bot, uniform_move


def _act(params, memory, obs, chance):
    return uniform_move(chance[0]), memory


BOT = bot("randbot", lambda chance: (), _act, "uniform play", act_draws=1)
