"""Markovbails: markov5 that plays at random while it is far behind."""

from jaxmarl.envs.rps.bots.markov5 import markov

BOT = markov("markovbails", "markov5, but random while more than 50 behind", bails=True)
