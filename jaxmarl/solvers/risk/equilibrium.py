"""Risk-averse equilibria: everyone's strategy is the best risk-averse answer to what the others play.

Slumbers, Mguni, Blumberg, McAleer, Yang and Wang (2023). Utilities are concave in the own strategy, so an equilibrium
exists at every risk aversion; at 0 it is a Nash equilibrium. A pure profile is without risk, so that every pure Nash
equilibrium would do: it takes *trembles*, a little uniform play that everybody expects of the others, to make players
hedge against what is unlikely.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require
from jaxmarl.games.metrics import nash_conv, own_axis_first
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.polish import polish_indifference
from jaxmarl.solvers.recording import iterate, legal_distributions
from jaxmarl.solvers.registry import register_solver
from jaxmarl.solvers.risk.measures import (
    Objective,
    Prospect,
    RiskMeasure,
    Variance,
    mean_payoffs,
    prospect,
    spectral_bound,
)
from jaxmarl.solvers.risk.responses import ascend, certified, perturbed_ascend
from jaxmarl.solvers.simplex import normalise, project_simplex
from jaxmarl.solvers.solution import Solution, nash_solution

Profile: TypeAlias = Float[Array, "num_players num_actions"]

_RESPONSE_STEPS = 200  # of the best responses that certify, from the strategy that is judged


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RiskReport:
    """What a profile is worth to risk-averse players, `[n]` each; the others tremble.

    Attributes:
        gap: no strategy of a player's own would add more to its utility: 0 at a risk-averse equilibrium.
        utility: by the measure of risk.
        mean: expected payoff.
        variance: of the payoff expected over the own randomisation, over what the others play.
        total_variance: of the payoff itself, own randomisation included: what a sample of play shows.
    """

    gap: Float[Array, " num_players"]
    utility: Float[Array, " num_players"]
    mean: Float[Array, " num_players"]
    variance: Float[Array, " num_players"]
    total_variance: Float[Array, " num_players"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RiskAverseSolution(Solution):
    """A `Solution` whose `gap` is the ordinary NashConv (not 0 in general), with what counts for the risk-averse.

    Attributes:
        risk: recomputed from the game, as `gap` is.
    """

    risk: RiskReport = field(default=None)  # type: ignore[assignment]  # fields of the base have defaults


@dataclass(frozen=True, eq=False)
class RiskAversePlayers:
    """A game with everybody's attitude to risk; closed over by the solvers, one game at a time.

    All players' actions are padded to the same number A, so that one program serves all of them: profiles of strategies
    are matrices `[n, A]`, and a player's contingencies are the `B = A^(n-1)` profiles of the others.

    Attributes:
        game: any number of players.
        outcomes: `[n, A, B]`, payoffs.
        mask: `[n, A]`, legal actions.
        aversion: `[n]`, >= 0.
        tremble: `[n]`, share of uniform play that is expected of each player.
        measure: of risk.
        penalties: `[n, A, B]`, or None; see `rae_extragradient`.
    """

    game: NormalFormGame
    outcomes: Float[Array, "num_players num_actions contingencies"]
    mask: Bool[Array, "num_players num_actions"]
    aversion: Float[Array, " num_players"]
    tremble: Float[Array, " num_players"]
    measure: RiskMeasure
    penalties: Float[Array, "num_players num_actions contingencies"] | None = None

    def stacked(self, strategies: Strategies) -> Profile:
        """A profile as a matrix."""
        size = self.mask.shape[1]
        return jnp.stack([jnp.pad(x, (0, size - x.shape[0])) for x in strategies])

    def split(self, profile: Profile) -> Strategies:
        """A profile as one vector a player, normalised."""
        return tuple(normalise(row, self.game.mask(i)) for i, row in enumerate(self.unpadded(profile)))

    def unpadded(self, rows: Profile) -> Strategies:
        """The rows of a matrix, each as long as its player has actions."""
        return tuple(row[:size] for row, size in zip(rows, self.game.num_actions, strict=True))

    def legal(self) -> Bool[Array, "num_players num_actions contingencies"]:
        """Where the own action and all of the others' are legal."""
        others = self.faced(self.mask.astype(self.outcomes.dtype)).weights > 0
        return self.mask[:, :, None] & others[:, None, :]

    def faced(self, profile: Profile) -> Prospect:
        """What each player faces when the others play their part of `profile` and tremble; leaves are stacked."""
        uniform = self.mask / self.mask.sum(1, keepdims=True).astype(profile.dtype)
        expected = profile + self.tremble[:, None] * (uniform - profile)
        rows = []
        for player in range(self.game.num_players):
            product = jnp.ones((), profile.dtype)
            for j in range(self.game.num_players):
                product = product if j == player else product[..., None] * expected[j]
            rows.append(product.ravel())
        weights = jnp.stack(rows)
        outcomes = jnp.where(weights[:, None] > 0, self.outcomes, 0)
        if self.penalties is None:
            return jax.vmap(prospect)(outcomes, weights, self.mask)
        penalty = self.aversion[:, None] * jnp.einsum("nab,nb->na", self.penalties, weights, precision="highest")
        return jax.vmap(prospect)(outcomes, weights, self.mask, penalty)

    def of_each(self, evaluate: Callable[..., Any], profile: Profile, *rows: Any) -> Any:
        """`evaluate(objective, mask, *rows)` of every player, its objective given the others' part of `profile`."""

        def one(faced: Prospect, aversion: Array, *own: Any) -> Any:
            return evaluate(self.measure.objective(faced, aversion), faced.mask, *own)

        return jax.vmap(one)(self.faced(profile), self.aversion, *rows)

    def gradients(self, profile: Profile) -> Profile:
        """Gradient of each player's utility in its own strategy."""
        return self.of_each(lambda objective, mask, own: objective.gradient(own), profile, profile)

    def bound(self, profile: Profile) -> Float[Array, ""]:
        """Sum of the players' certificates, 0 at an equilibrium: cheaper than the gaps, and never below them."""
        return jnp.sum(self.of_each(lambda f, mask, own: certified(f, own, mask).certificate, profile, profile))

    def report(self, strategies: Strategies) -> RiskReport:
        """See `RiskReport`."""
        profile = self.stacked(strategies)

        def one(faced: Prospect, aversion: Array, x: Array) -> RiskReport:
            objective = self.measure.objective(faced, aversion)
            own = certified(objective, x, faced.mask)
            best = certified(objective, ascend(objective, x, faced.mask, _RESPONSE_STEPS), faced.mask)
            gap = jnp.minimum(own.certificate, jnp.maximum(best.utility - own.utility, 0) + best.certificate)
            mean = x @ mean_payoffs(faced)
            deviations = jnp.dot(x, faced.outcomes, precision="highest") - mean
            variance = faced.weights @ jnp.square(deviations)
            total = x @ jnp.dot(jnp.square(faced.outcomes - mean), faced.weights, precision="highest")
            return RiskReport(gap, own.utility, mean, variance, total)

        return jax.vmap(one)(self.faced(profile), self.aversion, profile)


def risk_report(
    game: NormalFormGame,
    strategies: Strategies,
    *,
    risk_aversion: Any,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    penalties: Float[Array, "num_players *num_actions"] | None = None,
) -> RiskReport:
    """How far a profile is from a risk-averse equilibrium, and what it is worth: gap, utility, mean, variances.

    Arguments as of `rae_extragradient`.
    """
    return risk_averse_players(game, risk_aversion, tremble, measure, penalties).report(strategies)


@register_solver("rae_extragradient", games="any")
def rae_extragradient(
    game: NormalFormGame,
    *,
    risk_aversion: Any = 0.5,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    penalties: Float[Array, "num_players *num_actions"] | None = None,
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
        penalties: `[n, A_1, ..., A_n]`: gamma times these is taken from the payoffs' means, as for the variance of
            outcomes within each profile of an empirical game.
        iterations: of two gradients each.
        polish: whether to finish by Newton's method.
        initial: where to start, `[A_i]` a player; uniform if None.
        record_every: measure every so many iterations, counted back from the last.

    Returns:
        The profile; `risk.gap` is its certificate. `trace` has `"nash_conv"` and `"risk_bound"`, never less than the
        sum of the risk gaps.
    """
    players = risk_averse_players(game, risk_aversion, tremble, measure, penalties)
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
    if polish:
        strategies = polish_indifference(
            game,
            strategies,
            lambda given: players.unpadded(players.gradients(players.stacked(given))),
            lambda given: players.bound(players.stacked(given)),
        )
    return _solution(players, strategies, iterations, trace)


def rae_damped(
    game: NormalFormGame,
    *,
    risk_aversion: Any = 0.5,
    tremble: Any = 0.05,
    measure: RiskMeasure | None = None,
    penalties: Float[Array, "num_players *num_actions"] | None = None,
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
        penalties: on profiles.
        iterations: responses of everybody.
        response_steps: gradient steps of each, from the response before.
        step_size: a, in (0, 1].
        half_life: in iterations.
        initial: where to start.
        record_every: iterations between measurements.
    """
    require(0 < step_size <= 1, "step_size", step_size, "in (0, 1]")
    require(half_life > 0, "half_life", half_life, "positive")
    players = risk_averse_players(game, risk_aversion, tremble, measure, penalties)

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
    penalties: Float[Array, "num_players *num_actions"] | None = None,
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
        penalties: on profiles.
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
    players = risk_averse_players(game, risk_aversion, tremble, measure, penalties)
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


def risk_averse_players(
    game: NormalFormGame,
    risk_aversion: Any,
    tremble: Any,
    measure: RiskMeasure | None,
    penalties: Float[Array, "num_players *num_actions"] | None = None,
) -> RiskAversePlayers:
    """`RiskAversePlayers` from the arguments of the solvers, which are checked."""
    vectors = []
    for name, numbers, high in (("risk_aversion", risk_aversion, np.inf), ("tremble", tremble, 1.0)):
        shape, allowed = jnp.shape(numbers), "at least 0 and finite" if high > 1 else "in [0, 1)"
        require(shape in ((), (game.num_players,)), name, shape, f"a scalar or [{game.num_players}]")
        if not isinstance(numbers, jax.core.Tracer):
            known = np.asarray(numbers, np.float64)
            require(bool(np.all((known >= 0) & (known < high))), name, known.tolist(), allowed)
        vectors.append(jnp.broadcast_to(jnp.asarray(numbers, game.payoffs.dtype), (game.num_players,)))
    if penalties is not None:
        shape = jnp.shape(penalties)
        require(shape == game.payoffs.shape, "penalties", shape, f"of the shape of the payoffs, {game.payoffs.shape}")
    largest = max(game.num_actions)
    return RiskAversePlayers(
        game,
        _tables(game.payoffs),
        jnp.stack([jnp.pad(game.mask(i), (0, largest - size)) for i, size in enumerate(game.num_actions)]),
        vectors[0],
        vectors[1],
        measure or Variance(),
        None if penalties is None else _tables(jnp.asarray(penalties, game.payoffs.dtype)),
    )


def _tables(payoffs: Float[Array, "num_players *num_actions"]) -> Float[Array, "num_players size contingencies"]:
    """Every player's payoffs by its own action and the others' profile, with sizes padded to the largest."""
    largest = max(payoffs.shape[1:])
    padded = jnp.pad(payoffs, [(0, 0), *((0, largest - size) for size in payoffs.shape[1:])])
    return jnp.stack([own_axis_first(padded[i], i) for i in range(payoffs.shape[0])])


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
