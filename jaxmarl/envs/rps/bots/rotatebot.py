"""Rotatebot: rock, paper, scissors in turn."""

from jaxmarl.envs.rps.bots.base import sequence_bot

BOT = sequence_bot("rotatebot", (0, 1, 2), "rock, paper, scissors in turn")
