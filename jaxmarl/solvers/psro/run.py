"""Drivers of PSRO: a host loop over compiled iterations, and a whole run inside `jit`."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.checks import require
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.solvers.psro.game import PsroGame, mix
from jaxmarl.solvers.psro.iteration import expand, remix
from jaxmarl.solvers.psro.meta_solvers import MetaSolver
from jaxmarl.solvers.psro.normal_form import NormalFormPsro
from jaxmarl.solvers.psro.state import PsroSettings, PsroState, choose_meta_solver, initial_state
from jaxmarl.solvers.solution import Solution, correlated_solution, nash_solution

Call = TypeVar("Call", bound=Callable[..., PsroState])

_STATIC = ("settings", "solver")
_initial_jit = jax.jit(initial_state, static_argnames=_STATIC)
_expand_jit = jax.jit(expand, static_argnames=_STATIC)
_remix_jit = jax.jit(remix, static_argnames=_STATIC)


class Psro:
    """PSRO on one game: `state = psro.start(key)`, then `state = psro.step(state)` until `psro.finished(state)`.

    What can be compiled is: iterations of games that are `pure`, meta-solvers that do not run on the host.

    Attributes:
        game: what is played.
        settings: how.
        solver: the meta-solver.
    """

    def __init__(self, game: PsroGame, settings: PsroSettings | None = None) -> None:
        """Refuses settings that do not go with the game, in one line (`ValueError`)."""
        self.game, self.settings = game, settings or PsroSettings()
        self.solver = choose_meta_solver(game, self.settings)

    def start(self, key: Array) -> PsroState:
        """One strategy a seat."""
        call = _initial_jit if self.game.pure else initial_state
        return call(self.game, settings=self.settings, solver=self.solver, key=key)

    def step(self, state: PsroState) -> PsroState:
        """One iteration: responses, new strategies with their payoffs, a new mixture."""
        call = _expand_jit if self.game.pure else expand
        state = call(self.game, state, settings=self.settings, solver=self.solver)
        if self.finished(state):  # nothing was added: the mixture is the one that was certified
            return state
        if self.solver.on_host and self.settings.variant != "anytime":
            return remix(self.game, state, self.settings, self.solver)
        # a meta-solver sees payoffs only; the game comes along for what is static, and for anytime mixtures
        if self.game.pure:
            return _remix_jit(self.game, state, settings=self.settings, solver=self.solver)
        return self._remix_alone(state)

    @functools.cached_property
    def _remix_alone(self) -> Callable[[PsroState], PsroState]:
        return jax.jit(lambda state: remix(self.game, state, self.settings, self.solver))

    def finished(self, state: PsroState) -> bool:
        """Whether the run is over."""
        return bool(state.done) or int(state.iteration) >= self.settings.num_iterations

    def run(self, key: Array, on_iteration: Callable[[PsroState], Any] | None = None) -> PsroState:
        """All iterations; `on_iteration` is given the state after each."""
        state = self.start(key)
        while not self.finished(state):
            state = self.step(state)
            if on_iteration:
                on_iteration(state)
        return state


def run_inside_jit(game: PsroGame, settings: PsroSettings, key: Array) -> PsroState:
    """`Psro(game, settings).run(key)` as one `while_loop`: it jits, and vmaps over games of one shape.

    Args:
        game: a pure game.
        settings: with a meta-solver that does not run on the host.
        key: of the run.

    Raises:
        ValueError: a game that is not pure, or a meta-solver on the host.
    """
    require(game.pure, "game", type(game).__name__, "a game that can be traced (pure)")
    solver = choose_meta_solver(game, settings)
    require(not solver.on_host, "meta_solver", solver.name, "one that runs inside jit")

    def goes_on(state: PsroState) -> Array:
        return ~state.done & (state.iteration < settings.num_iterations)

    def advance(state: PsroState) -> PsroState:
        state = expand(game, state, settings, solver)
        over = ~goes_on(state)
        mixed = remix(game, state, settings, solver)
        return jax.tree_util.tree_map(lambda old, new: _choose(over, old, new), state, mixed)

    return jax.lax.while_loop(goes_on, advance, initial_state(game, settings, solver, key))


def _choose(first: Array, old: Array, new: Array) -> Array:
    return old if jnp.issubdtype(old.dtype, jax.dtypes.prng_key) else jnp.where(first, old, new)


def double_oracle(game: NormalFormGame, settings: PsroSettings | None = None, first_action: int = 0) -> Solution:
    """PSRO with exact best responses on a normal-form game, as a `Solution` of the whole game.

    McMahan, Gordon and Blum (2003): a game with many actions is solved through a few. With `meta_solver` a
    (coarse) correlated equilibrium this is joint PSRO (Marris et al. 2021).

    Args:
        game: any number of players; one game, outside `jit`.
        settings: `capacity` is the most actions a player may need; the default is as many as there are.
        first_action: in every player's population at the start.

    Returns:
        Strategies over all actions with their gap in the game; `trace` is that of `PsroState.rows`.
    """
    settings = settings or PsroSettings(capacity=max(game.num_actions))
    psro = Psro(NormalFormPsro(game, first_action=first_action), settings)
    state = psro.run(jax.random.key(0))
    return solution_of(game, state, psro.solver)


def solution_of(game: NormalFormGame, state: PsroState, solver: MetaSolver) -> Solution:
    """The mixture of a run on a normal-form game as a solution of that game."""
    trace = {name: jnp.asarray(column) for name, column in state.rows().items()}
    trace["iteration"] = jnp.arange(1, len(trace["gain"]) + 1)
    independent = jnp.max(jnp.abs(state.joint - state.empirical.game.joint(tuple(state.mixtures)))) < 1e-6
    if bool(independent) and not solver.swap:
        strategies = tuple(mix(w, pop) for w, pop in zip(state.mixtures, state.populations, strict=True))
        return nash_solution(game, strategies, state.iteration, trace)
    joint = state.joint
    for population in state.populations:
        joint = jnp.tensordot(joint, population, ((0,), (0,)), precision="highest")
    return correlated_solution(game, joint, "ce_gap" if solver.swap else "cce_gap", state.iteration, trace)
