"""Meta-solvers: how a population's strategies are mixed, given the empirical game of their payoffs.

A meta-solver is a function of a masked `NormalFormGame` and of the variances of its payoffs' episodes, and returns a
distribution over profiles `[K, ..., K]` (of independent mixtures: their product). Most are this package's solvers.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import did_you_mean, require
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.registry import list_solvers, solver_entry
from jaxmarl.solvers.registry import solve as solve_by_name
from jaxmarl.solvers.simplex import masked_softmax, normalise

Joint: TypeAlias = Float[Array, "*cells"]
Solve: TypeAlias = Callable[[NormalFormGame, Array], Array]

ALIASES = {
    "alpharank": "alpha_rank",
    "mecce": "cce_max_entropy",
    "mece": "ce_max_entropy",
    "mgcce": "cce_max_gini",
    "mgce": "ce_max_gini",
    "mwcce": "cce_max_welfare",
    "mwce": "ce_max_welfare",
    "rm": "regret_matching",
    "rm+": "regret_matching_plus",
    "prm+": "predictive_regret_matching_plus",
    "mmd": "magnetic_mirror_descent",
    "qre": "quantal_response",
    "rae": "rae_extragradient",
    "nash_lp": "zero_sum_lp",
}
"""Short names of registered solvers. Every other registered solver of normal-form games goes by its own name."""

SIMPLE = ("uniform", "uniform_biased", "last")
START_MATTERS = ("prd",)
"""Averages of a path from the uniform mixture: as in OpenSpiel's `psro_v2`, what is found again counts twice there."""


@dataclass(frozen=True)
class MetaSolver:
    """How a population is mixed.

    Attributes:
        name: as the user gave it.
        solve: (empirical game, variances `[n, K, ..., K]` of an episode's return) -> distribution `[K, ..., K]`.
        on_host: whether it runs outside `jit`.
        swap: whether it is a correlated equilibrium, so that oracles respond to each recommendation.
        repeats: whether a strategy that is there already counts twice when it is found again (fictitious play, or
            dynamics that have not converged).
    """

    name: str
    solve: Solve
    on_host: bool = False
    swap: bool = False
    repeats: bool = False


def meta_solver_names() -> list[str]:
    """What `meta_solver` knows, sorted."""
    return sorted({"nash", *SIMPLE, *ALIASES, *list_solvers()})


def meta_solver(name: str, num_players: int, zero_sum: bool, **options: Any) -> MetaSolver:
    """The meta-solver called `name`.

    `"uniform"` mixes equally (fictitious play); `"uniform_biased"` by a softmax of the strategies' numbers, so that
    new ones count most; `"last"` plays the newest. `"nash"` is a Nash equilibrium: of two-player zero-sum games by an
    interior-point method inside `jit`, of two-player games by Lemke and Howson's method on the host, of more players
    by the limit of logit equilibria. Any registered solver does as well, by its name or one of `ALIASES`.

    Args:
        name: one of `meta_solver_names()`.
        num_players: of the game.
        zero_sum: whether it is zero-sum; then `"nash"` means the zero-sum method.
        **options: of the solver, as in `num_iterations=5000`.

    Raises:
        ValueError: an unknown name or option.
    """
    if name in SIMPLE:
        require(not options, "meta_options", sorted(options), f"empty for {name}")
        return MetaSolver(name, _independent(_SIMPLE[name]), repeats=True)
    known = meta_solver_names()
    if name not in known:
        raise ValueError(f"unknown meta-solver {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
    solver = _nash_solver(num_players, zero_sum) if name == "nash" else ALIASES.get(name, name)
    entry = solver_entry(solver)
    parameters = inspect.signature(entry.solve).parameters
    for option in options:
        allowed = [parameter for parameter in parameters if parameter != "game"]
        require(option in parameters, "meta_options", option, f"one of {', '.join(allowed) or 'none'} for {solver}")

    def solve(game: NormalFormGame, variances: Array) -> Array:
        more = {"variances": variances} if "variances" in parameters else {}
        solution = solve_by_name(game, solver, **options, **more)
        dtype = game.payoffs.dtype
        if solution.joint is not None:
            return _legal_joint(game, jnp.asarray(solution.joint, dtype))
        return game.joint(tuple(jnp.asarray(strategy, dtype) for strategy in solution.strategies))

    swap, repeats = entry.gap_kind == "ce_gap", solver in START_MATTERS
    return MetaSolver(name, solve, entry.on_host, swap, repeats)


def _nash_solver(num_players: int, zero_sum: bool) -> str:
    if num_players != 2:
        return "logit_limit"
    return "zero_sum_interior_point" if zero_sum else "lemke_howson"


def _independent(mixture: Callable[[Array], Array]) -> Solve:
    def solve(game: NormalFormGame, variances: Array) -> Array:
        return game.joint(tuple(mixture(game.mask(i)).astype(game.payoffs.dtype) for i in range(game.num_players)))

    return solve


def _legal_joint(game: NormalFormGame, joint: Joint) -> Joint:
    """Exact zeros on illegal profiles, nothing negative, and a sum of 1."""
    return normalise(jnp.maximum(joint, 0).ravel(), game.legal_profiles().ravel()).reshape(joint.shape)


def _uniform(mask: Array) -> Array:
    return mask / jnp.sum(mask)


def _uniform_biased(mask: Array) -> Array:
    return masked_softmax(jnp.arange(mask.size, dtype=jnp.result_type(float)), mask)


def _last(mask: Array) -> Array:
    return jax.nn.one_hot(jnp.sum(mask) - 1, mask.size)


_SIMPLE = {"uniform": _uniform, "uniform_biased": _uniform_biased, "last": _last}


def marginals_of(joint: Joint) -> Strategies:
    """Each player's own mixture `[K]`."""
    axes = range(joint.ndim)
    return tuple(jnp.sum(joint, axis=tuple(j for j in axes if j != i)) for i in axes)
