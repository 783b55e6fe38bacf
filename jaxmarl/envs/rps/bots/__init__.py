"""The tournament bots of the repeated rock-paper-scissors benchmark, as policies."""

from jaxmarl.core.checks import did_you_mean
from jaxmarl.envs.rps.bots import (
    actr_lag2_decay,
    adddriftbot2,
    addshiftbot3,
    antiflatbot,
    antirotnbot,
    biopic,
    boom,
    copybot,
    debruijn81,
    driftbot,
    flatbot3,
    foxtrotbot,
    freqbot2,
    granite,
    greenberg,
    halbot,
    inocencio,
    iocainebot,
    marble,
    markov5,
    markovbails,
    mixed_strategy,
    mod1bot,
    multibot,
    peterbot,
    phasenbott,
    pibot,
    piedra,
    predbot,
    r226bot,
    randbot,
    robertot,
    rockbot,
    rotatebot,
    russrocker4,
    shofar,
    suncrazybot,
    sunnervebot,
    sweetrock,
    switchalot,
    switchbot,
    textbot,
    zq_move,
)
from jaxmarl.envs.rps.bots.base import Bot

# sorted by name, as the published ids are
_MODULES = (
    actr_lag2_decay,
    adddriftbot2,
    addshiftbot3,
    antiflatbot,
    antirotnbot,
    biopic,
    boom,
    copybot,
    debruijn81,
    driftbot,
    flatbot3,
    foxtrotbot,
    freqbot2,
    granite,
    greenberg,
    halbot,
    inocencio,
    iocainebot,
    marble,
    markov5,
    markovbails,
    mixed_strategy,
    mod1bot,
    multibot,
    peterbot,
    phasenbott,
    pibot,
    piedra,
    predbot,
    r226bot,
    randbot,
    robertot,
    rockbot,
    rotatebot,
    russrocker4,
    shofar,
    suncrazybot,
    sunnervebot,
    sweetrock,
    switchalot,
    switchbot,
    textbot,
    zq_move,
)
BOTS: dict[str, Bot] = {module.BOT.name: module.BOT for module in _MODULES}


def get_bot(name: str) -> Bot:
    """The bot called `name`; `ValueError` with the nearest name where there is none."""
    if name not in BOTS:
        raise ValueError(f"unknown bot {name!r}{did_you_mean(name, BOTS)} (known: {', '.join(BOTS)})")
    return BOTS[name]


__all__ = ["BOTS", "Bot", "get_bot"]
