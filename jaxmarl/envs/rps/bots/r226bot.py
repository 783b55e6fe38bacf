"""R226bot: rock and paper a fifth of the time each, else scissors."""

from jaxmarl.envs.rps.bots.base import bot, spin


def _act(params, memory, obs, chance):
    return spin(chance[0], 0.2, 0.2), memory


BOT = bot("r226bot", lambda chance: (), _act, "20 % rock, 20 % paper, 60 % scissors", act_draws=1)
