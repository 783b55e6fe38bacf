"""Marble: granite without its doubts."""

from jaxmarl.envs.rps.bots.granite import views

BOT = views("marble", "beats what most often followed nine views of the last throws", doubts=False)
