"""Risk-averse equilibria: everyone's strategy is the best risk-averse answer to what the others play.

Slumbers, Mguni, Blumberg, McAleer, Yang and Wang (2023). Utilities are concave in the own strategy, so an equilibrium
exists at every risk aversion; at 0 it is a Nash equilibrium. A pure profile is without risk, so that every pure Nash
equilibrium would do: it takes *trembles*, a little uniform play that everybody expects of the others, to make players
hedge against what is unlikely.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require
from jaxmarl.games.metrics import nash_conv
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.polish import polish_indifference
from jaxmarl.solvers.recording import iterate, legal_distributions
from jaxmarl.solvers.registry import register_solver
from jaxmarl.solvers.risk.measures import (
    Objective,
    RiskMeasure,
    spectral_bound,
)
from jaxmarl.solvers.risk.players import Profile, RiskAversePlayers, RiskReport, risk_averse_players
from jaxmarl.solvers.risk.responses import ascend, perturbed_ascend
from jaxmarl.solvers.simplex import project_simplex
from jaxmarl.solvers.solution import Solution, nash_solution


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RiskAverseSolution(Solution):
    """A `Solution` whose `gap` is the ordinary NashConv (not 0 in general), with what counts for the risk-averse.

    Attributes:
        risk: recomputed from the game, as `gap` is.
    """

    risk: RiskReport = field(default=None)  # type: ignore[assignment]  # fields of the base have defaults


def risk_report(
    game: NormalFormGame,
    strategies: Strategies,
    *,
    risk_aversion: Any,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    variances: Float[Array, "num_players *num_actions"] | None = None,
) -> RiskReport:
    """How far a profile is from a risk-averse equilibrium, and what it is worth: gap, utility, mean, variances.

    Arguments as of `rae_extragradient`.
    """
    return risk_averse_players(game, risk_aversion, tremble, measure, variances).report(strategies)


@register_solver("rae_extragradient", games="any")
def rae_extragradient(
    game: NormalFormGame,
    *,
    risk_aversion: Any = 0.5,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    variances: Float[Array, "num_players *num_actions"] | None = None,
    iterations: int = 1000,
    polish: bool = True,
    initial: Strategies | None = None,
    record_every: int | None = None,
) -> RiskAverseSolution:
    """Risk-averse equilibrium by projected extragradient steps, finished by Newton's method on the support.

    Everybody climbs its own risk-averse utility, with the gradient taken one step ahead (Korpelevich 1976), which does
    not cycle where best responses do. Where utilities fit together monotonically (zero-sum games, or much risk
    aversion) it converges; elsewhere the gap tells.

    Args:
        game: one game, any number of players; `vmap` for batches.
        risk_aversion: gamma >= 0, a scalar or `[n]`, in 1 / payoff (with the default measure): scaling all payoffs by
            k and gamma by 1 / k changes nothing. It may be traced: `vmap` over it.
        tremble: share of uniform play that everybody expects of the others, in [0, 1), a scalar or `[n]`.
        measure: of risk; `Variance()` where None.
        variances: `[n, A_1, ..., A_n]`, of what a player gets within each profile, as in an empirical game (PSRO gives
            those of its episodes): gamma times these is taken from the means. None for payoffs that are certain.
        iterations: of two gradients each.
        polish: whether to finish by Newton's method.
        initial: where to start, `[A_i]` a player; uniform if None.
        record_every: measure every so many iterations, counted back from the last.

    Returns:
        The profile; `risk.gap` is its certificate. `trace` has `"nash_conv"` and `"risk_bound"`, never less than the
        sum of the risk gaps.
    """
    players = risk_averse_players(game, risk_aversion, tremble, measure, variances)
    pull = jnp.max(jax.vmap(_interaction)(players.outcomes, players.legal()))
    pull = max(game.num_players - 1, 1) * pull

    def move(base: Profile, at: Profile) -> Profile:
        gradients, curvatures = players.of_each(lambda f, mask, own: (f.gradient(own), f.curvature()), at, at)
        steepest = pull + jnp.max(curvatures)
        step = 0.5 / jnp.where(steepest > 0, steepest, 1)
        return jax.vmap(project_simplex)(base + step * jnp.where(players.mask, gradients, 0), players.mask)

    def step(_: Array, profile: Profile) -> Profile:
        return move(profile, move(profile, profile))

    def measured(profile: Profile) -> dict[str, Array]:
        return _measure(players, profile)

    profile, trace = iterate(step, _start(players, initial), iterations, record_every, measured)
    strategies = players.split(profile)
    strategies = _polished(game, players, strategies) if polish else strategies
    return _solution(players, strategies, iterations, trace)


def _polished(game: NormalFormGame, players: RiskAversePlayers, strategies: Strategies) -> Strategies:
    """Newton's method on the support, where that lowers the bound on the gaps."""
    return polish_indifference(
        game,
        strategies,
        lambda given: players.unpadded(players.gradients(players.stacked(given))),
        lambda given: players.bound(players.stacked(given)),
    )


def rae_damped(
    game: NormalFormGame,
    *,
    risk_aversion: Any = 0.5,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    variances: Float[Array, "num_players *num_actions"] | None = None,
    iterations: int = 1500,
    response_steps: int = 30,
    step_size: float = 0.05,
    half_life: float = 200.0,
    initial: Strategies | None = None,
    record_every: int | None = None,
) -> RiskAverseSolution:
    """Risk-averse equilibrium by damped best responses: `x <- x + a_t (BR(x) - x)`, `a_t = a / (1 + t / half_life)`.

    Much risk aversion makes responses smooth, and the iteration converge; with little it may cycle.

    Args:
        game: as `rae_extragradient`, and so the other arguments without a line of their own.
        risk_aversion: gamma.
        tremble: expected of the others.
        measure: of risk.
        variances: within profiles.
        iterations: responses of everybody.
        response_steps: gradient steps of each, from the response before.
        step_size: a, in (0, 1].
        half_life: in iterations.
        initial: where to start.
        record_every: iterations between measurements.
    """
    require(0 < step_size <= 1, "step_size", step_size, "in (0, 1]")
    require(half_life > 0, "half_life", half_life, "positive")
    players = risk_averse_players(game, risk_aversion, tremble, measure, variances)

    def answer(objective: Objective, mask: Array, last: Array) -> Array:
        return ascend(objective, last, mask, response_steps)

    def step(t: Array, state: tuple[Profile, Profile]) -> tuple[Profile, Profile]:
        profile, answers = state
        answers = players.of_each(answer, profile, answers)
        weight = step_size / (1 + (t - 1) / half_life)
        return profile + jnp.asarray(weight, profile.dtype) * (answers - profile), answers

    start = _start(players, initial)
    state, trace = iterate(step, (start, start), iterations, record_every, lambda x: _measure(players, x[0]))
    return _solution(players, players.split(state[0]), iterations, trace)


def rae_fictitious_play(
    game: NormalFormGame,
    *,
    risk_aversion: Any = 0.5,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    variances: Float[Array, "num_players *num_actions"] | None = None,
    temperature: float | None = None,
    iterations: int = 2000,
    response_steps: int = 30,
    initial: Strategies | None = None,
    record_every: int | None = None,
) -> RiskAverseSolution:
    """Risk-averse fictitious play: (logit) risk-averse answers to the running mean of what the others have answered.

    The learning process of Slumbers et al. (2023), who prove its convergence in classes that include zero-sum and
    potential games.

    Args:
        game: as `rae_extragradient`, and so the other arguments without a line of their own.
        risk_aversion: gamma.
        tremble: expected of the others.
        measure: of risk.
        variances: within profiles.
        temperature: tau >= 0 of the entropy added to utility, in units of payoff; 0 for exact answers, None for a
            hundredth of each player's payoff range.
        iterations: answers of everybody.
        response_steps: gradient steps of each, from the answer before.
        initial: the first beliefs.
        record_every: iterations between measurements.

    Returns:
        The beliefs.
    """
    require(temperature is None or temperature >= 0, "temperature", temperature, "None or at least 0")
    players = risk_averse_players(game, risk_aversion, tremble, measure, variances)
    tiny = jnp.finfo(game.payoffs.dtype).tiny
    heat = 0.01 * game.payoff_range() if temperature is None else jnp.full(game.num_players, temperature)
    heat = jnp.maximum(heat.astype(game.payoffs.dtype), tiny**0.25)

    def answer(objective: Objective, mask: Array, last: Array, warmth: Array) -> Array:
        if temperature == 0:
            return ascend(objective, last, mask, response_steps)
        return perturbed_ascend(objective, jnp.log(jnp.maximum(last, tiny)), mask, warmth, response_steps)

    def step(t: Array, state: tuple[Profile, Profile]) -> tuple[Profile, Profile]:
        beliefs, answers = state
        answers = players.of_each(answer, beliefs, answers, heat)
        return beliefs + (answers - beliefs) / (t + 1).astype(beliefs.dtype), answers

    start = _start(players, initial)
    state, trace = iterate(step, (start, start), iterations, record_every, lambda x: _measure(players, x[0]))
    return _solution(players, players.split(state[0]), iterations, trace)


def _start(players: RiskAversePlayers, initial: Strategies | None) -> Profile:
    game = players.game
    if initial is None:
        return players.stacked(game.uniform_strategies())
    masks = tuple(game.mask(i) for i in range(game.num_players))
    return players.stacked(legal_distributions("initial", initial, masks, game.payoffs.dtype))


def _interaction(table: Float[Array, "size contingencies"], legal: Bool[Array, "size contingencies"]) -> Array:
    """How much a player's expected payoffs can change with the others' strategies, for steps that are short enough."""
    centred = jnp.where(legal, table - jnp.sum(jnp.where(legal, table, 0)) / legal.sum(), 0)
    return jnp.sqrt(spectral_bound(jnp.dot(centred, centred.T, precision="highest")))


def _measure(players: RiskAversePlayers, profile: Profile) -> dict[str, Array]:
    strategies = players.split(profile)
    gap = nash_conv(players.game, strategies)
    return {"nash_conv": gap, "risk_bound": players.bound(players.stacked(strategies))}


def _solution(
    players: RiskAversePlayers, strategies: Strategies, iterations: int, trace: dict[str, Array]
) -> RiskAverseSolution:
    nash, risk = nash_solution(players.game, strategies, iterations, trace), players.report(strategies)
    return RiskAverseSolution(nash.strategies, nash.payoffs, nash.gap, nash.iterations, None, nash.trace, risk=risk)
