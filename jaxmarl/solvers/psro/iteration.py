"""One iteration of policy-space response oracles (PSRO, Lanctot et al. 2017).

An oracle responds for every seat to the others' mixture, what is new is added to the populations, the payoffs of the
new profiles only are estimated, and a meta-solver mixes the populations anew. With exact responses this is the double
oracle; with a correlated equilibrium as meta-solver it is joint PSRO (Marris et al. 2021), for any number of players.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.games.metrics import coarse_deviation_gains, swap_gains
from jaxmarl.solvers.psro.empirical import Estimates, weighted_error
from jaxmarl.solvers.psro.game import PsroGame, Strategy, is_member, member
from jaxmarl.solvers.psro.meta_solvers import MetaSolver, marginals_of
from jaxmarl.solvers.psro.state import PsroSettings, PsroState, grown, is_shared, payoff_row

SUPPORT = 1e-8  # weights up to this are none

_Candidate: TypeAlias = tuple[Strategy, Estimates | None, Any]  # its payoffs if they are known; whether it is wanted


def expand(game: PsroGame, state: PsroState, settings: PsroSettings, solver: MetaSolver) -> PsroState:
    """Responses of all seats: what they gain goes to the trace, the new ones to the populations."""
    turn = _Turn(game, state, settings, solver)
    key = jax.random.fold_in(state.key, state.iteration)
    saddle: Any = None
    if settings.self_play or settings.variant == "anytime":
        saddle = game.saddle_points(state.populations, state.empirical.masks)  # type: ignore[attr-defined]
    alone = settings.single_oracle or _is_symmetric_duel(game, settings)
    seats = (0,) if alone else tuple(range(game.num_players))
    keys = {seat: jax.random.split(jax.random.fold_in(key, seat), 3) for seat in seats}
    # exact responses first, so that nothing is added once they gain nothing; of others every match is to be used
    found = {seat: turn.certificate(seat, keys[seat][0]) for seat in seats} if game.exact else {}
    for seat in seats:
        best, gain, _ = found[seat] if game.exact else found.setdefault(seat, turn.certificate(seat, keys[seat][0]))
        if settings.variant == "standard" and not settings.diversity:
            gained, candidates = gain, [(best.strategy, None if game.exact else best.row, True)]
        else:
            gained = jnp.sum(jnp.stack([jnp.maximum(each[1], 0) for each in found.values()]))
            anytime = settings.variant == "anytime"
            candidates = [(saddle[2][seat], None, True)] if anytime else turn.variant(seat, keys[seat][1])
        candidates += [(saddle[1][seat], None, True)] if settings.self_play else []
        worth = (gained > settings.tolerance) | (not game.exact) | (settings.variant == "preference")
        for i, candidate in enumerate(candidates):
            turn.add(seat, candidate, worth, jax.random.fold_in(keys[seat][2], i))
    gain, error = (jnp.stack(list(values)) for values in zip(*(found[seat][1:] for seat in seats), strict=True))
    gain, error = (jnp.broadcast_to(values, (game.num_players,)) for values in (gain, error))
    unchanged = jnp.all(turn.empirical.sizes == state.empirical.sizes)
    small = jnp.sum(jnp.maximum(gain, 0)) <= settings.tolerance
    return replace(
        state,
        populations=turn.populations,
        empirical=turn.empirical,
        iteration=state.iteration + 1,
        done=(unchanged & turn.goes_on) | (small & game.exact & (settings.variant != "preference")),
        trace=_traced(state, gain, error, swap=solver.swap),
    )


def remix(game: PsroGame, state: PsroState, settings: PsroSettings, solver: MetaSolver) -> PsroState:
    """The state with the meta-solver's distribution over the profiles that are there."""
    empirical = state.empirical
    if settings.variant == "anytime":
        mixtures = game.saddle_points(state.populations, empirical.masks)[0]  # type: ignore[attr-defined]
        joint = mixtures[0][:, None] * mixtures[1]
    else:
        joint = solver.solve(empirical.game, empirical.cells.variance)
    if _is_symmetric_duel(game, settings):
        # optimal strategies of a symmetric zero-sum game are one convex set for both players
        mean = jnp.mean(jnp.stack(marginals_of(joint)), axis=0)
        joint = mean[:, None] * mean
    return replace(state, joint=joint.astype(state.joint.dtype))


def _is_symmetric_duel(game: PsroGame, settings: PsroSettings) -> bool:
    """Whether one seat's response is as good as the other's."""
    return is_shared(game, settings) and game.zero_sum and game.num_players == 2


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Response:
    """A strategy, its payoffs against the populations, and what it gets against the mixture it responds to."""

    strategy: Strategy
    row: Estimates
    value: Float[Array, ""]
    error: Float[Array, ""]


class _Turn:
    """The work of one iteration: `state` is where it started, `populations` and `empirical` are what has grown."""

    def __init__(self, game: PsroGame, state: PsroState, settings: PsroSettings, solver: MetaSolver) -> None:
        self.game, self.state, self.settings, self.solver = game, state, settings, solver
        self.populations, self.empirical = state.populations, state.empirical
        self.shared = is_shared(game, settings)
        self.goes_on = state.iteration + 1 < settings.num_iterations  # the last iteration only certifies

    def certificate(self, seat: int, key: Array) -> tuple[_Response, Array, Array]:
        """The response with the largest (weighted) gain, what all responses gain, and its standard error."""
        targets, weights = self._targets(seat)
        responses, active = self._respond(seat, targets, weights, key)
        return _best(self.state, responses, weights[active], jnp.asarray(active), seat=seat, swap=self.solver.swap)

    def variant(self, seat: int, key: Array) -> list[_Candidate]:
        """Strategies to add in place of the best response: rectified ones, a preferred one, or a diverse one."""
        others = jnp.sum(self.state.joint, axis=seat)
        payoffs = jnp.moveaxis(self.state.empirical.cells.mean[seat], seat, 0)
        if self.settings.variant == "preference":
            prefer = self.game.preference_response  # type: ignore[attr-defined]
            return [(prefer(seat, self.populations, jnp.moveaxis(self.state.joint, seat, 0), payoffs), None, True)]
        if self.settings.variant == "rectified":
            targets, weights = _rectified(payoffs, others), marginals_of(self.state.joint)[seat]
            responses, active = self._respond(seat, targets, weights, key)
            wanted = weights[active] > SUPPORT
            return [(member(responses.strategy, t), None, wanted[t]) for t in range(len(active))]
        strength = self.settings.diversity * self.settings.diversity_decay**self.state.iteration
        mask = self.state.empirical.masks[seat]
        respond = self.game.diverse_response  # type: ignore[attr-defined]
        return [(respond(seat, self.populations, others, payoffs, mask, strength), None, True)]

    def add(self, seat: int, candidate: _Candidate, worth: Array, key: Array) -> None:
        """Adds a candidate that is wanted, new and worth it, unless this is the last iteration."""
        strategy, row, wanted = candidate
        if row is None:
            row = payoff_row(self.game, self.shared, self.populations, self.empirical, seat, strategy, key)
        new = ~is_member(self.populations[seat], self.empirical.masks[seat], strategy) & worth
        wanted = wanted & self.goes_on & (new | self.solver.repeats)
        self.populations, self.empirical = grown(
            self.populations, self.empirical, seat, strategy, row, wanted, shared=self.shared
        )

    def _targets(self, seat: int) -> tuple[Float[Array, "targets *others"], Float[Array, " targets"]]:
        """Distributions over the others' profiles to respond to, and their weights: one, or one a recommendation."""
        own_first = jnp.moveaxis(self.state.joint, seat, 0)
        if not self.solver.swap:
            return jnp.sum(own_first, axis=0)[None], jnp.ones(1, own_first.dtype)
        weights = marginals_of(self.state.joint)[seat]
        weights = jnp.where(weights > SUPPORT, weights, 0)
        scale = jnp.where(weights > 0, weights, 1)
        return own_first / scale.reshape(-1, *[1] * (own_first.ndim - 1)), weights

    def _trembling(self, seat: int, target: Float[Array, "*others"]) -> Float[Array, "*others"]:
        """The distribution if each of the others plays a strategy drawn uniformly with probability `tremble`."""
        masks = [mask for i, mask in enumerate(self.empirical.masks) if i != seat]
        for axis, mask in enumerate(masks):
            along = [1] * target.ndim
            along[axis] = -1
            uniform = (mask / jnp.sum(mask)).reshape(along)
            mean = jnp.sum(target, axis=axis, keepdims=True) * uniform
            target = (1 - self.settings.tremble) * target + self.settings.tremble * mean
        return target

    def _respond(self, seat: int, targets: Array, weights: Array, key: Array) -> tuple[_Response, np.ndarray]:
        """Responses to the targets, stacked, and which targets they are: those with weight, if it is known."""

        def respond(target: Array, key: Array) -> _Response:
            oracle_key, row_key = jax.random.split(key)
            expected = self._trembling(seat, target) if self.settings.tremble else target
            strategy = self.game.best_response(seat, self.populations, expected, oracle_key)
            row = payoff_row(self.game, self.shared, self.populations, self.empirical, seat, strategy, row_key)
            return _Response(strategy, row, *_value(target, row, seat=seat))

        keys, everything = jax.random.split(key, len(targets)), np.arange(len(targets))
        if self.game.pure and len(targets) > 1:
            return jax.vmap(respond)(targets, keys), everything
        active = everything if len(targets) == 1 else np.flatnonzero(np.asarray(weights) > SUPPORT)
        responses = [respond(targets[t], keys[t]) for t in active]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *responses), active


@functools.partial(jax.jit, static_argnames="seat")
def _value(target: Array, row: Estimates, *, seat: int) -> tuple[Array, Array]:
    """What a strategy with these payoffs gets against the others' mixture, and its standard error."""
    return jnp.sum(target * row.mean[seat]), weighted_error(target, row.standard_error)[seat]


@functools.partial(jax.jit, static_argnames=("seat", "swap"))
def _best(
    state: PsroState, responses: _Response, weights: Array, active: Array, *, seat: int, swap: bool
) -> tuple[_Response, Array, Array]:
    """The response of the largest gain (weighted, to one recommendation each), all gains, and their error."""
    cells, joint = state.empirical.cells, state.joint
    own = jnp.moveaxis(cells.mean[seat] * joint, seat, 0)
    if swap:
        values = own.reshape(len(own), -1).sum(1)[active]
        gains = jnp.maximum(weights * responses.value - values, 0)
    else:
        gains = responses.value - jnp.sum(own)
    value_error = weighted_error(joint, cells.standard_error)[seat]
    error = jnp.sqrt(jnp.sum((weights * responses.error) ** 2) + value_error**2)
    return member(responses, jnp.argmax(gains)), jnp.sum(gains), error


def _rectified(
    payoffs: Float[Array, "capacity *others"], others: Float[Array, "*others"]
) -> Float[Array, "capacity *others"]:
    """For each own strategy the others' profiles that it does not lose to, weighted as they are played."""
    kept = jnp.where(payoffs >= 0, others, 0)
    mass = jnp.sum(kept, axis=tuple(range(1, kept.ndim)), keepdims=True)
    return jnp.where(mass > SUPPORT, kept / jnp.where(mass > SUPPORT, mass, 1), others)


@functools.partial(jax.jit, static_argnames="swap")
def _traced(state: PsroState, gain: Array, error: Array, *, swap: bool) -> dict[str, Array]:
    """The trace with the row of this iteration, which is of the mixture that was responded to."""
    game, joint = state.empirical.game, state.joint
    if swap:
        within = [jnp.sum(jnp.max(swap_gains(game, joint, i), axis=1)) for i in range(game.num_players)]
        meta_gap = jnp.sum(jnp.stack(within))
    else:
        meta_gap = jnp.sum(jnp.maximum(coarse_deviation_gains(game, joint), 0))
    row = {
        "gain": gain,
        "gain_error": error,
        "value": game.payoffs_of_joint(joint),
        "meta_gap": meta_gap,
        "size": state.empirical.sizes,
        "mixture": state.mixtures,
    }
    return {name: rows.at[state.iteration].set(row[name].astype(rows.dtype)) for name, rows in state.trace.items()}
