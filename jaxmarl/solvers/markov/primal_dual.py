"""Safe cooperation with general utilities: a primal-dual method on tabular games, and the linear program to check it.

A team maximises `sum_i f_i(l_i)` subject to `g_i(l_i) >= 0`, where the occupancy `l_i(s, a_i)` is the (discounted,
normalised) time that agent i spends in a state with an action of its own. Linear f is expected reward; concave f can
ask for more, such as the entropy of visited states (Zhang et al. 2020). Each agent climbs the *shadow reward*, the
gradient of the Lagrangian in occupancies (Ying, Ding and Lavaei 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.games.markov import MarkovGame, Policies
from jaxmarl.games.markov_kernels import dense_kernel
from jaxmarl.games.markov_metrics import deviation_gains_by_state, marginal_action_values, occupancy
from jaxmarl.solvers.recording import iterate

Occupancies: TypeAlias = tuple[Float[Array, "S _"], ...]
Utility: TypeAlias = Callable[[Float[Array, "S A"]], Float[Array, ""]]
"""A concave, differentiable function of one agent's occupancy `[S, A_i]`, which adds to 1."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PrimalDualResult:
    """Policies of a team and what they achieve, recomputed from the game.

    Attributes:
        policies: `[S, A_i]` an agent.
        occupancies: `[S, A_i]` an agent.
        multipliers: `[n]`, prices of the constraints.
        utilities: `[n]`, `f_i`.
        slacks: `[n]`, `g_i`: at least 0 where the constraint is kept.
        gains: `[n]`, what each agent could add to the Lagrangian by another policy of its own, to first order. Where
            agents do not interact (or there is one) and everything is concave, their sum bounds the distance from the
            optimum at these multipliers.
        trace: `"iteration"`, `"utility"` (of the team) and `"slacks"` `[R, n]` along the way.
    """

    policies: Policies
    occupancies: Occupancies
    multipliers: Float[Array, " num_players"]
    utilities: Float[Array, " num_players"]
    slacks: Float[Array, " num_players"]
    gains: Float[Array, " num_players"]
    trace: dict[str, Array]


class LinearOptimum(NamedTuple):
    """Optimum of a constrained Markov decision problem of a team that may correlate its actions.

    Attributes:
        value: expected reward under the occupancy.
        occupancy: `[S, A_1, ..., A_n]`, adds to 1.
        multipliers: `[m]`, of the constraints.
    """

    value: float
    occupancy: np.ndarray
    multipliers: np.ndarray


def state_entropy(occupancy: Float[Array, "S A"]) -> Float[Array, ""]:
    """Entropy of the states that are visited: the utility of exploring."""
    visits = jnp.sum(occupancy, axis=1)
    seen = visits > 0
    return -jnp.sum(jnp.where(seen, visits * jnp.log(jnp.where(seen, visits, 1)), 0))


def linear_utility(rewards: Float[Array, "S A"], threshold: Any = 0.0) -> Utility:
    """Expected reward less a threshold: a utility, or a constraint that it be reached."""
    return lambda occupancy: jnp.sum(rewards * occupancy) - threshold


def primal_dual(
    game: MarkovGame,
    utilities: Sequence[Utility],
    constraints: Sequence[Utility] | None = None,
    *,
    step_size: float = 20.0,
    dual_step_size: float = 1.0,
    damping: float = 10.0,
    perturbation: float = 0.0,
    neighbours: Any = None,
    iterations: int = 1000,
    policies: Policies | None = None,
    record_every: int | None = None,
) -> PrimalDualResult:
    """Maximises the sum of utilities under a constraint for each agent, by exact natural policy gradients.

    With `r_i = f_i'(l_i) + m_i g_i'(l_i)` agent j multiplies its policy by `exp(step * A_j)`, with A_j its advantages
    for the reward `sum_i r_i` over its neighbours i. Prices fall where constraints are slack, `m <- max(0, (1 - step *
    perturbation) m - step * g)`. What enters the reward is `max(0, m - damping * g)`, that of the augmented Lagrangian,
    without which policies circle about the optimum.

    Args:
        game: whose transitions, first states and discount count; its rewards do not. No horizon, no masks.
        utilities: f_i, one an agent.
        constraints: g_i, one an agent; None: there are none.
        step_size: of policies, in 1 / reward, for values multiplied by `1 - discount`. The defaults of this and
            the next two suit rewards of order 1.
        dual_step_size: of prices.
        damping: see above, >= 0.
        perturbation: of prices, towards 0, which biases them and makes them converge.
        neighbours: bool `[n, n]`, whose utilities each agent takes into account (those within kappa hops of it);
            everybody's where None.
        iterations: of policies and prices.
        policies: the first ones; uniform where None.
        record_every: iterations between two records.
    """
    n = game.num_players
    require(game.horizon is None, "game", f"horizon {game.horizon}", "without a horizon")
    require(game.masks is None, "game", "illegal actions", "without masks")
    require(len(utilities) == n, "utilities", f"{len(utilities)} functions", f"{n}, one an agent")
    limits = [lambda occupancy: jnp.zeros((), occupancy.dtype)] * n if constraints is None else list(constraints)
    require(len(limits) == n, "constraints", f"{len(limits)} functions", f"None or {n}, one an agent")
    for name, number in (("step_size", step_size), ("dual_step_size", dual_step_size)):
        require(number > 0, name, number, "positive")
    for name, number in (("damping", damping), ("perturbation", perturbation)):
        require(number >= 0, name, number, "at least 0")
    near = np.ones((n, n), bool) if neighbours is None else np.asarray(neighbours, bool)
    require(near.shape == (n, n), "neighbours", near.shape, f"of shape ({n}, {n})")
    require_int("iterations", iterations, 1)
    team = _Team(game, tuple(utilities), tuple(limits), near)

    def step(_: Array, state: tuple[Policies, Array]) -> tuple[Policies, Array]:
        current, prices = state
        occupancies = team.occupancies(current)
        slacks = team.slacks(occupancies)
        shadow = team.shadow_game(occupancies, jnp.maximum(prices - damping * slacks, 0))
        values = marginal_action_values(shadow, current)
        moved = tuple(_climb(own, step_size * (1 - game.discount) * q) for own, q in zip(current, values, strict=True))
        shrunk = (1 - dual_step_size * perturbation) * prices
        return moved, jnp.maximum(shrunk - dual_step_size * slacks, 0)

    def measure(state: tuple[Policies, Array]) -> dict[str, Array]:
        occupancies = team.occupancies(state[0])
        return {"utility": jnp.sum(team.values(occupancies)), "slacks": team.slacks(occupancies)}

    start = game.uniform_policies() if policies is None else policies
    state, trace = iterate(step, (start, jnp.zeros(n, game.rewards.dtype)), iterations, record_every, measure)
    return team.result(*state, trace)


@dataclass(frozen=True, eq=False)
class _Team:
    game: MarkovGame
    utilities: tuple[Utility, ...]
    limits: tuple[Utility, ...]
    near: np.ndarray

    def occupancies(self, policies: Policies) -> Occupancies:
        visits = occupancy(self.game, policies)
        return tuple(visits[:, None] * policy for policy in policies)

    def values(self, occupancies: Occupancies) -> Float[Array, " num_players"]:
        return jnp.stack([f(own) for f, own in zip(self.utilities, occupancies, strict=True)])

    def slacks(self, occupancies: Occupancies) -> Float[Array, " num_players"]:
        return jnp.stack([g(own) for g, own in zip(self.limits, occupancies, strict=True)])

    def shadow_game(self, occupancies: Occupancies, prices: Array) -> MarkovGame:
        """The game whose rewards are the neighbours' gradients of the Lagrangian."""
        game, n = self.game, self.game.num_players
        shadows = []
        for i, own in enumerate(occupancies):
            gradient = jax.grad(self.utilities[i])(own) + prices[i] * jax.grad(self.limits[i])(own)
            shape = [own.shape[0], *(own.shape[1] if j == i else 1 for j in range(n))]
            shadows.append(jnp.broadcast_to(gradient.reshape(shape), game.rewards.shape[1:]))
        weights = jnp.asarray(self.near, game.rewards.dtype)
        rewards = jnp.tensordot(weights, jnp.stack(shadows), 1, precision="highest")
        return MarkovGame(rewards, game.kernel, game.initial, game.discount)

    def result(self, policies: Policies, prices: Array, trace: dict[str, Array]) -> PrimalDualResult:
        occupancies = self.occupancies(policies)
        shadow = self.shadow_game(occupancies, prices)
        gains = (1 - shadow.discount) * jnp.dot(deviation_gains_by_state(shadow, policies), shadow.initial)
        values, slacks = self.values(occupancies), self.slacks(occupancies)
        return PrimalDualResult(policies, occupancies, prices, values, slacks, gains, trace)


def _climb(policy: Float[Array, "S A"], change: Float[Array, "S A"]) -> Float[Array, "S A"]:
    """The policy times `exp(change)`, renormalised; no action dies for good by rounding."""
    logs = jnp.log(jnp.maximum(policy, jnp.finfo(policy.dtype).tiny)) + change
    return jax.nn.softmax(logs, axis=1)


def constrained_optimum(
    game: MarkovGame, rewards: Any, constraint_rewards: Any = (), thresholds: Any = ()
) -> LinearOptimum:
    """The best occupancy for a linear objective under linear constraints, by linear programming (Altman 1999).

    On the host. All agents act as one here: a bound for independent policies, and exact for one agent or several that
    do not interact.

    Args:
        game: whose transitions, first states and discount count.
        rewards: `[S, A_1, ..., A_n]`.
        constraint_rewards: `[m, S, A_1, ..., A_n]`: their expectations must be at least
        thresholds: `[m]`.

    Raises:
        ValueError: no policy keeps the constraints.
    """
    size, shape = game.num_states, game.rewards.shape[1:]
    kernel = np.asarray(dense_kernel(game.kernel).probabilities, float).reshape(-1, size)
    flow = np.repeat(np.eye(size), len(kernel) // size, 1) - float(game.discount) * kernel.T
    limits = np.asarray(constraint_rewards, float).reshape(-1, len(kernel))
    found = scipy.optimize.linprog(
        -np.asarray(rewards, float).ravel(),
        A_ub=-limits if len(limits) else None,
        b_ub=-np.asarray(thresholds, float) if len(limits) else None,
        A_eq=flow,
        b_eq=(1 - float(game.discount)) * np.asarray(game.initial, float),
    )
    require(found.status == 0, "thresholds", np.asarray(thresholds).tolist(), "such that some policy reaches them")
    prices = -found.ineqlin.marginals if len(limits) else np.zeros(0)
    return LinearOptimum(-found.fun, found.x.reshape(shape), prices)
