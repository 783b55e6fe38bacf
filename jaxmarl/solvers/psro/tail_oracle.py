"""Responses of PSRO that look at the lower tail of returns: oracles for `EnvironmentPsro` built on laws of the return.

Opponents are drawn from the mixture once an episode, so the law that is judged is the mixture's. Payoffs that PSRO
estimates remain means.
"""

from functools import partial

from jaxmarl.core.checks import require
from jaxmarl.distributional.risk import cvar
from jaxmarl.distributional.utility import Utility, shortfall
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.heads import MeanHead, ReturnHead
from jaxmarl.learners.value.implicit import ImplicitQuantileHead
from jaxmarl.learners.value.loop import deep_q
from jaxmarl.learners.value.stock import stock_q
from jaxmarl.solvers.psro.environment import Oracle


def cvar_oracle(config: ValueConfig, level: float, head: ReturnHead | None = None) -> Oracle:
    """Responses that choose, at every step, the action of the best conditional value at risk.

    With one decision an episode this is the best response in conditional value at risk; it is pure, as the tail's value
    is convex in the own law. With more, each step looks at what is still to come ("greedy"), which optimises neither
    the static nor a nested risk: see `stock_oracle`.

    Args:
        config: of the learner; a round plays whole episodes where `collect` is the horizon.
        level: of the tail, in (0, 1]; 1 is the mean.
        head: how laws are represented (default: implicit quantiles).

    Raises:
        ValueError: a level outside (0, 1], or a head that learns means only.
    """
    require(0 < level <= 1, "level", level, "in (0, 1]")
    require(not isinstance(head, MeanHead), "head", type(head).__name__, "a head of laws")
    worth, laws = partial(cvar, level=level), head or ImplicitQuantileHead()
    return lambda env, params: deep_q(env, laws, config, params, behaviour=worth, target=worth, name="cvar_oracle")


def stock_oracle(config: ValueConfig, utility: Utility | None = None, head: ReturnHead | None = None) -> Oracle:
    """Responses that maximise `E f(c + G)` of whole episodes, for games whose agents see their stock.

    The game is `WithStock(game, low, high)` and its params `from_stock(params, c)`: all play from stock c, minus the
    value at risk that is accepted, and are trained on all stocks. These are expected utilities, so that equilibria in
    mixed strategies exist.

    Args:
        config: as for `stock_q`.
        utility: f (default: `shortfall`).
        head: as for `stock_q`.
    """
    worth = shortfall() if utility is None else utility
    return lambda env, params: stock_q(env, worth, config, params, head=head)
