"""Pibot: plays the digits of pi."""

from jaxmarl.envs.rps.bots.base import sequence_bot
from jaxmarl.envs.rps.bots.tables import PI

BOT = sequence_bot("pibot", PI, "the digits of pi modulo 3, zeros left out")
