"""Switchalot: seldom repeats itself."""

from jaxmarl.envs.rps.bots.base import bot, spin_row

# by its own last move: 0.12 on it, 0.44 on each of the other two
_ROWS = ((0.12, 0.44), (0.44, 0.12), (0.44, 0.44))


def _act(params, memory, obs, chance):
    # before the first throw the original reads "rock" as the last move
    return spin_row(chance[0], _ROWS, obs[0].clip(min=0)), memory


BOT = bot("switchalot", lambda chance: (), _act, "repeats itself in 12 % of throws, else uniform", act_draws=1)
