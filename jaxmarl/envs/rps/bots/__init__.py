"""The tournament bots of the repeated rock-paper-scissors benchmark, as policies."""

from jaxmarl.core.checks import did_you_mean
from jaxmarl.envs.rps.bots import copybot, driftbot, freqbot2
from jaxmarl.envs.rps.bots.base import Bot

# sorted by name, as the published ids are
_MODULES = (copybot, driftbot, freqbot2)
BOTS: dict[str, Bot] = {module.BOT.name: module.BOT for module in _MODULES}


def get_bot(name: str) -> Bot:
    """The bot called `name`; `ValueError` with the nearest name where there is none."""
    if name not in BOTS:
        raise ValueError(f"unknown bot {name!r}{did_you_mean(name, BOTS)} (known: {', '.join(BOTS)})")
    return BOTS[name]


__all__ = ["BOTS", "Bot", "get_bot"]
