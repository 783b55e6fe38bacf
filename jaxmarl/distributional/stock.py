"""Optimal control of whole return distributions: the state is augmented with a stock of what was earned so far.

The stock starts at `c` and becomes `(c + reward) / discount`, so that `c + G`, what the return from here adds up to, is
known up to a power of the discount at every step. Maximising `E f(c + G)` then is dynamic programming over pairs
(state, stock), which gives tail risk, targets and exceedance probabilities from one recursion (Bäuerle and Ott 2011;
Pires et al. 2025, "Optimizing return distributions with distributional dynamic programming").
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.distributional.categorical import Categorical, interpolation, scatter_projection, two_hot
from jaxmarl.distributional.law import level_slack
from jaxmarl.distributional.mdp import TabularMDP
from jaxmarl.distributional.utility import Utility, shortfall, surplus


class StockSolution(NamedTuple):
    """Values and greedy actions over states and stocks.

    Attributes:
        stocks: `[C]`, the grid.
        values: `[T + 1, S, C]`, `max E f(c + G)` with t steps done of T; with `keep_steps=False`, `[S, C]` for all T.
        policy: `[T, S, C]`, or `[S, C]`: actions, the lowest index among equals.
        error_bound: on `|values - optimum|` at the first step; infinite where none is known.
        lattice: whether the process is undiscounted, and every reward and every stock a multiple of one gap: then a
            best first stock is on the grid.
    """

    stocks: Float[Array, " num_stocks"]
    values: Float[Array, "*steps num_states num_stocks"]
    policy: Int[Array, "*steps num_states num_stocks"]
    error_bound: Float[Array, ""]
    lattice: Bool[Array, ""]

    def first(self) -> Float[Array | np.ndarray, "num_states num_stocks"]:
        """Values before the first step."""
        return self.values[0] if self.values.ndim == 3 else self.values

    def value(self, state: int, stock: Any) -> Float[Array, ""]:
        """Value before the first step, by interpolation; stocks outside the grid count as its ends."""
        return _read(self.first(), self.stocks, state, stock)


@jax.jit
def _read(values: Any, stocks: Any, state: Any, stock: Any) -> Array:
    low, share = interpolation(jnp.asarray(stock, stocks.dtype), stocks)
    row = values[state]
    return (1 - share) * row[low] + share * row[low + 1]


class _Tables(NamedTuple):
    """Where each outcome leads from each stock, `[S, A, W, C]`.

    `beyond` is what values gain outside the grid, `ended` the utility where the episode is over.
    """

    low: Array
    share: Array
    beyond: Array
    ended: Array
    scale: Array


def stock_value_iteration(
    mdp: TabularMDP,
    utility: Utility,
    stocks: Float[Array, " num_stocks"],
    num_steps: int,
    *,
    keep_steps: bool = True,
) -> StockSolution:
    """Maximises `E f(c + G)` from every state and stock of a grid, backwards from a return of 0.

    With a horizon, `num_steps` steps are the whole episode and the answer is exact if every reward leads from grid
    points to grid points (undiscounted lattices). Without, it is the n-th iterate of value iteration.

    Args:
        mdp: the process.
        utility: f.
        stocks: `[C]`, increasing. Between grid points values are interpolated; outside they go on by the utility's
            slopes, which is exact for `linear`, `shortfall`, `surplus` and `distance` if the grid spans 0 and minus
            every return. For other utilities it must span every stock that is reached.
        num_steps: n, static.
        keep_steps: whether values and actions of every step are kept, or those of the first only.

    Returns:
        The solution. Its bound is `lipschitz * (discount^n max E|reward| / (1 - discount) + interpolation errors)`,
        on the optimum without horizon; undiscounted, every episode must end within the steps, and interpolation alone
        counts.

    Raises:
        ValueError: a discounted process with a utility of no degree, a grid that is not increasing, no steps.
    """
    require_int("num_steps", num_steps, 1)
    tables = _tables(mdp, utility, stocks)
    start = jnp.broadcast_to(utility.function(stocks), (mdp.num_states, stocks.size))
    values, policy = _optimise(mdp, tables, start, num_steps, keep_steps)
    bound = _error_bound(mdp, utility, stocks, tables, num_steps)
    return StockSolution(stocks, values, policy, bound, _is_lattice(mdp, stocks))


class PolicyIterations(NamedTuple):
    """The last solution of policy iteration and, for each of the I iterations, the values `[I, S, C]` of its policy."""

    solution: StockSolution
    trace: Float[Array, "iterations num_states num_stocks"]


def stock_policy_iteration(
    mdp: TabularMDP,
    utility: Utility,
    stocks: Float[Array, " num_stocks"],
    num_sweeps: int = 60,
    num_iterations: int = 5,
    first_policy: Int[Array, "num_states num_stocks"] | None = None,
) -> PolicyIterations:
    """Policy iteration over states and stocks: each policy is evaluated by sweeps, then improved greedily everywhere.

    Values never fall from one iteration to the next, up to what the evaluation leaves.

    Args:
        mdp: the process, discounted or ending.
        utility: f.
        stocks: `[C]`, as for `stock_value_iteration`.
        num_sweeps: of each evaluation, static.
        num_iterations: I, static.
        first_policy: `[S, C]`; None is action 0 everywhere.

    Returns:
        The last policy, its values, and those of all before it. The error bound is on the values of that *policy*,
        evaluated by `num_sweeps` sweeps, not on the gap to the optimum: compare with `stock_value_iteration`.
    """
    require_int("num_sweeps", num_sweeps, 1)
    require_int("num_iterations", num_iterations, 1)
    tables = _tables(mdp, utility, stocks)
    shape = (mdp.num_states, stocks.size)
    start = jnp.broadcast_to(utility.function(stocks), shape)
    policy = jnp.zeros(shape, jnp.int32) if first_policy is None else first_policy
    trace, policy = _improve(mdp, tables, start, policy, num_sweeps, num_iterations)
    bound = _error_bound(mdp, utility, stocks, tables, num_sweeps)
    return PolicyIterations(StockSolution(stocks, trace[-1], policy, bound, _is_lattice(mdp, stocks)), trace)


class CVaRSolution(NamedTuple):
    """The best conditional value at risk, and how to attain it.

    Attributes:
        value: `max CVaR`, of the return from the asked state.
        stock: to start with, minus the value at risk of the optimal return; the lowest among equals.
        solution: of the utility; follow its policy from `stock`.
        error_bound: on `value`: the solution's, divided by the level, plus what a finer grid of stocks could add.
    """

    value: Float[Array, ""]
    stock: Float[Array, ""]
    solution: StockSolution
    error_bound: Float[Array, ""]


def solve_cvar(
    mdp: TabularMDP,
    level: Any,
    state: int,
    stocks: Float[Array, " num_stocks"],
    num_steps: int,
    tail: str = "lower",
) -> CVaRSolution:
    """The largest conditional value at risk of the return from a state, over all policies.

    `CVaR_l(G) = max_c (-c + E min(c + G, 0) / l)`: the inner problem is `stock_value_iteration` of `shortfall`, the
    outer one a search over the first stock. For the upper tail it is `min_c (-c + E max(c + G, 0) / l)`; that minimum
    may need a policy drawn at random before the first step, as the best-tailed law can be a mixture, and lie between
    the stocks of a lattice: the value on the grid is an upper bound, within `error_bound`.

    Args:
        mdp: the process.
        level: probability of the tail, in (0, 1].
        state: where the return starts.
        stocks: `[C]`, as for `stock_value_iteration`; the best first stock is looked for on it, so it must hold minus
            the value at risk.
        num_steps: static.
        tail: `"lower"` or `"upper"`.

    Raises:
        ValueError: a level outside (0, 1], an unknown tail, and as `stock_value_iteration`.
    """
    require(tail in ("lower", "upper"), "tail", tail, "'lower' or 'upper'")
    solution = stock_value_iteration(mdp, shortfall() if tail == "lower" else surplus(), stocks, num_steps)
    return cvar_from_solution(solution, level, state, tail)


def cvar_from_solution(solution: StockSolution, level: Any, state: int, tail: str = "lower") -> CVaRSolution:
    """`solve_cvar` at another level or state, from the solution of `shortfall` (or `surplus`, for the upper tail)."""
    if not isinstance(level, jax.Array):
        require(0 < float(level) <= 1, "level", level, "in (0, 1]")
    value, stock, finer = _outer(solution.stocks, solution.first(), solution.lattice, level, state, tail == "upper")
    bound = solution.error_bound / level + finer
    return CVaRSolution(value, stock, solution, bound)


@jax.jit
def _outer(stocks: Any, values: Any, lattice: Any, level: Any, state: Any, upper: Any) -> tuple[Array, Array, Array]:
    objective = -stocks + values[state] / level
    best = first_best(jnp.where(upper, -objective, objective))
    # what the objective can gain between grid points, its slopes being in [-1, 1 / level - 1]
    finer = jnp.max(jnp.diff(stocks)) * (1 - level)
    finer = jnp.where(lattice & ~jnp.asarray(upper), 0, finer)  # kinks of a policy's shortfall are minus its returns
    return objective[best], stocks[best], finer


def stock_laws(
    mdp: TabularMDP,
    policy: Int[Array, "*steps_states_stocks"],
    stocks: Float[Array, " num_stocks"],
    atoms: Float[Array, " num_atoms"],
) -> Categorical:
    """Laws of the return from every state and stock when a stock-dependent policy is followed.

    Args:
        mdp: the process.
        policy: `[T, S, C]`, as in a `StockSolution`.
        stocks: `[C]`; a stock between two grid points is rounded to them at random, one outside to the end.
        atoms: `[K]`, of the returns; exact if all returns are atoms and all stocks on the grid.

    Returns:
        `[S, C, K]`, before the first step.
    """
    require(policy.ndim == 3, "policy", policy.shape, "of shape [T, S, C]")
    return Categorical(atoms, _laws(mdp, policy, stocks, atoms))


def first_best(scores: Float[Array, "*batch num_options"]) -> Int[Array, "*batch"]:
    """The lowest index whose score is the maximum up to rounding: 5e-6 of the largest in float32, 5e-12 in float64."""
    slack = 5 * level_slack(scores.dtype) * jnp.max(jnp.abs(scores), -1, keepdims=True)
    return jnp.argmax(scores >= jnp.max(scores, -1, keepdims=True) - slack, -1)


def _tables(mdp: TabularMDP, utility: Utility, stocks: Array) -> _Tables:
    require(stocks.ndim == 1 and stocks.size >= 2, "stocks", stocks.shape, "a vector of two stocks or more")
    if not isinstance(stocks, jax.core.Tracer):
        require(bool(np.all(np.diff(np.asarray(stocks)) > 0)), "stocks", "a grid that is not increasing", "increasing")
    if utility.degree is None and not isinstance(mdp.discount, jax.core.Tracer):
        require(float(mdp.discount) == 1, "discount", float(mdp.discount), "1 for a utility that has no degree")
    following, low, share, beyond = _places(mdp, stocks, *utility.slopes)
    return _Tables(low, share, beyond, utility.function(following), mdp.discount ** (utility.degree or 0.0))


@jax.jit
def _places(mdp: TabularMDP, stocks: Array, left: Any, right: Any) -> tuple[Array, Array, Array, Array]:
    following = (stocks + mdp.rewards[..., None]) / mdp.discount
    beyond = following - jnp.clip(following, stocks[0], stocks[-1])
    return following, *interpolation(following, stocks), jnp.where(beyond < 0, left, right) * beyond


def _action_values(mdp: TabularMDP, tables: _Tables, values: Array) -> Array:
    """`[S, A, C]`: expected utility after one step, given values `[S, C]` of what follows."""
    states = mdp.successors[..., None]
    reached = (1 - tables.share) * values[states, tables.low] + tables.share * values[states, tables.low + 1]
    outcomes = jnp.where(mdp.continues[..., None], reached + tables.beyond, tables.ended)
    return tables.scale * jnp.sum(mdp.probabilities[..., None] * outcomes, 2)


def _greedy(action_values: Array) -> tuple[Array, Array]:
    scores = jnp.moveaxis(action_values, 1, -1)
    return jnp.max(scores, -1), first_best(scores).astype(jnp.int32)


@partial(jax.jit, static_argnames=("num_steps", "keep_steps"))
def _optimise(mdp: TabularMDP, tables: _Tables, start: Array, num_steps: int, keep_steps: bool) -> tuple[Array, Array]:
    if keep_steps:

        def step(values: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
            before, policy = _greedy(_action_values(mdp, tables, values))
            return before, (before, policy)

        _, (values, policy) = jax.lax.scan(step, start, length=num_steps, reverse=True)
        return jnp.concatenate([values, start[None]]), policy

    def sweep(_: Any, values: Array) -> Array:
        return jnp.max(_action_values(mdp, tables, values), 1)

    return _greedy(_action_values(mdp, tables, jax.lax.fori_loop(0, num_steps - 1, sweep, start)))


@partial(jax.jit, static_argnames=("num_sweeps", "num_iterations"))
def _improve(
    mdp: TabularMDP, tables: _Tables, start: Array, policy: Array, num_sweeps: int, num_iterations: int
) -> tuple[Array, Array]:
    def evaluate(policy: Array) -> Array:
        def sweep(_: Any, values: Array) -> Array:
            chosen = jnp.take_along_axis(_action_values(mdp, tables, values), policy[:, None], 1)
            return chosen[:, 0]

        return jax.lax.fori_loop(0, num_sweeps, sweep, start)

    def improve(carry: Array, _: None) -> tuple[Array, Array]:
        values = evaluate(carry)
        return _greedy(_action_values(mdp, tables, values))[1], values

    policy, before = jax.lax.scan(improve, policy, length=num_iterations - 1)
    return jnp.concatenate([before, evaluate(policy)[None]]), policy


@jax.jit
def _laws(mdp: TabularMDP, policy: Array, stocks: Array, atoms: Array) -> Array:
    size, num_stocks, num_atoms = mdp.num_states, stocks.size, atoms.size
    start = jnp.broadcast_to(two_hot(jnp.zeros((), atoms.dtype), atoms), (size, num_stocks, num_atoms))

    def chosen(table: Array, actions: Array) -> Array:  # [S, A, W] -> [S, C, W]
        return jnp.take_along_axis(table, actions[..., None], 1)

    def step(laws: Array, actions: Array) -> tuple[Array, None]:
        chances, rewards = chosen(mdp.probabilities, actions), chosen(mdp.rewards, actions)
        discounts, states = chosen(mdp.discounts(), actions), chosen(mdp.successors, actions)
        place, part = interpolation((stocks[:, None] + rewards) / mdp.discount, stocks)
        part = part[..., None]
        following = (1 - part) * laws[states, place] + part * laws[states, place + 1]
        low, share = interpolation(rewards[..., None] + discounts[..., None] * atoms, atoms)
        rows = (size * num_stocks, -1)
        mass = (chances[..., None] * following).reshape(rows)
        before = scatter_projection(mass, low.reshape(rows), share.reshape(rows), num_atoms)
        return before.reshape(size, num_stocks, num_atoms), None

    return jax.lax.scan(step, start, policy, reverse=True)[0]


def _error_bound(mdp: TabularMDP, utility: Utility, stocks: Array, tables: _Tables, num_steps: int) -> Array:
    if utility.lipschitz is None:
        return jnp.asarray(jnp.inf, stocks.dtype)
    return utility.lipschitz * _distance_bound(mdp, stocks, tables, num_steps)


@jax.jit
def _is_lattice(mdp: TabularMDP, stocks: Array) -> Bool[Array, ""]:
    gaps = jnp.diff(stocks)
    even = jnp.max(jnp.abs(gaps - gaps[0])) < 1e-4 * gaps[0]
    amounts = jnp.append(jnp.where(mdp.probabilities > 0, mdp.rewards, 0), stocks[0]) / gaps[0]
    return (mdp.discount == 1) & even & jnp.all(jnp.abs(amounts - jnp.round(amounts)) < 1e-3)


@partial(jax.jit, static_argnames="num_steps")
def _distance_bound(mdp: TabularMDP, stocks: Array, tables: _Tables, num_steps: int) -> Array:
    """W1 error of truncation after `num_steps`, plus that of interpolation of functions of slope 1 at most."""
    reached = (mdp.continues & (mdp.probabilities > 0))[..., None]
    off = tables.share * (1 - tables.share)
    off = jnp.where(reached & (off > 1e-6), off, 0)  # rounding puts points of a lattice beside it
    each = 2 * jnp.max(jnp.diff(stocks)[tables.low] * off)
    powers = mdp.discount ** jnp.arange(1, num_steps + 1)
    largest = jnp.max(jnp.sum(jnp.abs(mdp.rewards) * mdp.probabilities, -1))
    discounted = mdp.discount < 1
    tail = powers[-1] * largest / jnp.where(discounted, 1 - mdp.discount, 1)
    return jnp.where(discounted, tail, 0) + each * jnp.sum(powers)
