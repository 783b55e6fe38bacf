"""Debruijn81: plays a fixed sequence in which short patterns are about equally frequent."""

from jaxmarl.envs.rps.bots.base import sequence_bot
from jaxmarl.envs.rps.bots.tables import DE_BRUIJN

BOT = sequence_bot("debruijn81", DE_BRUIJN, "a fixed sequence of equally frequent short patterns")
