"""The tournament bots of the repeated rock-paper-scissors benchmark, as policies; a file here is a bot, its `BOT`."""

from importlib import import_module
from pkgutil import iter_modules

from jaxmarl.core.checks import did_you_mean
from jaxmarl.envs.rps.bots.base import Bot

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
# sorted by name, as the published ids are
BOTS: dict[str, Bot] = {
    bot.name: bot
    for bot in sorted((module.BOT for module in _MODULES if hasattr(module, "BOT")), key=lambda bot: bot.name)
}


def get_bot(name: str) -> Bot:
    """The bot called `name`; `ValueError` with the nearest name where there is none."""
    if name not in BOTS:
        raise ValueError(f"unknown bot {name!r}{did_you_mean(name, BOTS)} (known: {', '.join(BOTS)})")
    return BOTS[name]


__all__ = ["BOTS", "Bot", "get_bot"]
