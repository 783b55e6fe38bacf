"""Textbot: plays a fixed sequence coded from text."""

from jaxmarl.envs.rps.bots.base import sequence_bot
from jaxmarl.envs.rps.bots.tables import TEXT

BOT = sequence_bot("textbot", TEXT, "a fixed sequence coded from text")
