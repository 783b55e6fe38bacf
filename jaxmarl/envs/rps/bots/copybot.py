"""Copybot: beats the opponent's last move."""

from jaxmarl.envs.rps.bots.base import beat, bot


def _act(params, memory, obs, chance):
    # before the first throw the original reads "rock" as the last move
    return beat(obs[1].clip(min=0)), memory


BOT = bot("copybot", lambda chance: (), _act, "beats the opponent's last move")
