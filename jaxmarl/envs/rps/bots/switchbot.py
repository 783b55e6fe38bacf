"""Switchbot: never repeats itself."""

from jaxmarl.envs.rps.bots.base import bot, spin_row

# by its own last move: half on each of the other two
_ROWS = ((0.0, 0.5), (0.5, 0.0), (0.5, 0.5))


def _act(params, memory, obs, chance):
    # before the first throw the original reads "rock" as the last move
    return spin_row(chance[0], _ROWS, obs[0].clip(min=0)), memory


BOT = bot("switchbot", lambda chance: (), _act, "never repeats itself, else uniform", act_draws=1)
