"""Risk-averse quantal response equilibria: entropic risk over the others' play, bounded rationality in the own.

Mazumdar, Panaganti and Shi (2025). Player i maximises `-(1 / tau) log E[exp(-tau payoff)] - eps nu(x_i)`, where the
expectation is over what the others play: the worst case over beliefs p about them, at a price of `KL(p, play) / tau`.
For two players with `eps_1 eps_2 tau_1 tau_2 >= 1` the equilibrium is unique and the game monotone.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.registry import register_solver
from jaxmarl.solvers.risk.equilibrium import RiskAverseSolution
from jaxmarl.solvers.risk.measures import EntropicRisk, Objective
from jaxmarl.solvers.risk.players import Profile, RiskAversePlayers, risk_averse_players
from jaxmarl.solvers.simplex import masked_softmax
from jaxmarl.solvers.solution import nash_solution

Regulariser: TypeAlias = Literal["log_barrier", "negative_entropy"]

_NEWTON_STEPS = 6  # at each stage of the continuation
_LENGTHS = 0.5 ** np.arange(8)  # tried at once for each step


@register_solver("rqe", games="any")
def risk_averse_quantal_response(
    game: NormalFormGame,
    *,
    risk_aversion: Any = 1.0,
    rationality_cost: Any = 1.0,
    regulariser: str = "log_barrier",
    stages: int = 48,
) -> RiskAverseSolution:
    """The risk-averse quantal response equilibrium (Mazumdar et al. 2025): entropic risk and bounded rationality.

    The adversaries' beliefs are eliminated in closed form. Payoffs are then scaled up from nothing, where everybody
    plays uniformly, and Newton's method in logits follows the equilibrium. Where it is unique for two players
    (`eps_1 eps_2 tau_1 tau_2 >= 1`, which holds all along the way if it holds at its end) that cannot lose it;
    elsewhere the certificate tells.

    Args:
        game: one game, any number of players; `vmap` for batches.
        risk_aversion: tau > 0, a scalar or `[n]`, in 1 / payoff: large is averse, small neutral.
        rationality_cost: eps > 0, a scalar or `[n]`, in units of payoff.
        regulariser: nu, `"log_barrier"` (`-sum log x`) or `"negative_entropy"`, with which risk-neutral players are at
            a logit equilibrium of precision `1 / eps`.
        stages: of the scaling.

    Returns:
        The profile. `risk.utility` includes the regulariser, and `risk.gap` says how much more of it a player could
        have at most; `gap` is the ordinary NashConv.
    """
    require_choice("regulariser", regulariser, get_args(Regulariser))
    require_int("stages", stages, 1)
    for name, numbers in (("risk_aversion", risk_aversion), ("rationality_cost", rationality_cost)):
        if not isinstance(numbers, jax.core.Tracer):
            known = np.asarray(numbers, np.float64)
            require(bool(np.all((known > 0) & np.isfinite(known))), name, known.tolist(), "positive and finite")
    dtype = game.payoffs.dtype
    half = jnp.asarray(risk_aversion, dtype) / 2
    players = risk_averse_players(game, half, 0.0, EntropicRisk())
    costs = jnp.broadcast_to(jnp.asarray(rationality_cost, dtype), (game.num_players,))
    least = jnp.minimum(1, jnp.min(costs / jnp.maximum(game.payoff_range(), jnp.finfo(dtype).tiny ** 0.5)))
    scales = least ** (1 - jnp.arange(stages + 1, dtype=dtype) / stages)

    def advance(logits: Array, scale: Array) -> tuple[Array, None]:
        def step(logits: Array, _: None) -> tuple[Array, None]:
            return _newton(lambda z: _equations(players, costs, regulariser, scale, z), logits), None

        return jax.lax.scan(step, logits, None, length=_NEWTON_STEPS)[0], None

    logits, _ = jax.lax.scan(advance, jnp.zeros(players.mask.size, dtype), scales)
    profile = _profile(players, logits.reshape(players.mask.shape))
    return _solution(players, costs, regulariser, players.split(profile), stages)


def _profile(players: RiskAversePlayers, logits: Profile) -> Profile:
    return jax.vmap(masked_softmax)(logits, players.mask)


def _equations(
    players: RiskAversePlayers, costs: Array, regulariser: str, scale: Array, logits: Float[Array, " logits"]
) -> Float[Array, " logits"]:
    """What vanishes where, with payoffs times `scale`, every marginal utility of a player is the same.

    Each is multiplied by its probability under the log barrier, which keeps it finite. The sum of the logits of a
    player, which has no meaning, is asked to be 0.
    """
    own, mask = logits.reshape(players.mask.shape), players.mask
    profile = _profile(players, own)
    payoffs = jnp.where(mask, scale * players.gradients(profile) / costs[:, None], 0)
    count = mask.sum(1, keepdims=True)
    if regulariser == "log_barrier":
        centre = jnp.sum(jnp.where(mask, own, 0), 1, keepdims=True) / count
        rest = profile * (payoffs - jnp.sum(profile * payoffs, 1, keepdims=True)) + (1 - count * profile) + centre
    else:
        rest = payoffs - payoffs.sum(1, keepdims=True) / count - own
    return jnp.where(mask, rest, own).ravel()


def _newton(equations: Any, point: Float[Array, " logits"]) -> Float[Array, " logits"]:
    """A step of Newton's method, of the length (of a few) that leaves least; none where all leave more."""
    here, slope = equations(point), jax.jacfwd(equations)(point)
    direction = jnp.linalg.solve(slope, -here)
    lengths = jnp.append(jnp.asarray(_LENGTHS, point.dtype), 0)
    candidates = point + lengths[:, None] * jnp.where(jnp.isfinite(direction), direction, 0)
    left = jnp.sum(jnp.square(jax.vmap(equations)(candidates)), 1)
    return candidates[jnp.argmin(jnp.where(jnp.isfinite(left), left, jnp.inf))]


def _solution(
    players: RiskAversePlayers, costs: Array, regulariser: str, strategies: Strategies, stages: int
) -> RiskAverseSolution:
    profile = players.stacked(strategies)
    tiny = jnp.finfo(profile.dtype).tiny

    def one(objective: Objective, mask: Array, x: Array, cost: Array) -> tuple[Array, Array]:
        logs = jnp.where(mask, jnp.log(jnp.maximum(x, tiny)), 0)
        if regulariser == "log_barrier":
            bonus, slope = logs.sum(), 1 / jnp.maximum(x, tiny)
        else:
            bonus, slope = -x @ logs, -logs
        gradient = jnp.where(mask, objective.gradient(x) + cost * slope, -jnp.inf)
        gap = jnp.sum(x * jnp.where(mask, jnp.max(gradient) - gradient, 0))  # a bound, since the utility is concave
        return gap, objective.value(x) + cost * bonus

    gaps, utilities = players.of_each(one, profile, profile, costs)
    risk = replace(players.report(strategies), gap=gaps, utility=utilities)
    nash = nash_solution(players.game, strategies, stages * _NEWTON_STEPS)
    return RiskAverseSolution(nash.strategies, nash.payoffs, nash.gap, nash.iterations, risk=risk)
