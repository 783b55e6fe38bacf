"""Hidden action: what an agent does under a contract, what that is worth, and linear contracts in closed form."""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require, require_int

Numbers: TypeAlias = Array | np.ndarray

TIE = 1e-6  # utilities closer than this are equal, and the agent then does what the principal prefers


@struct.dataclass
class HiddenAction:
    """A principal-agent problem; the principal sees the outcome, never the action.

    Attributes:
        laws: `[n, m]`, probability of each outcome given each action.
        costs: `[n]`, of each action to the agent; the first is 0 (not to work is free).
        rewards: `[m]`, what the principal earns from each outcome.
    """

    laws: Float[Array, "n m"]
    costs: Float[Array, " n"]
    rewards: Float[Array, " m"]


class LinearContract(NamedTuple):
    """A contract that pays a share of the reward.

    Attributes:
        share: α, so that the agent is paid α r.
        action: int32, what the agent does.
        utility: of the principal.
    """

    share: Float[Array, ""]
    action: Int32[Array, ""]
    utility: Float[Array, ""]


def four_efforts() -> HiddenAction:
    """A small problem whose optimum (0.645) is far above the best linear contract (0.4375), on the host's arrays."""
    laws = [[1, 0, 0], [0.5, 0.4, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]
    numbers: list[Any] = [np.array(x, float) for x in (laws, [0, 0.05, 0.2, 0.5], [0, 0.6, 1.5])]
    return HiddenAction(*numbers)


def random_hidden_action(key: Array, num_actions: int, num_outcomes: int) -> HiddenAction:
    """A random problem in which dearer actions earn more, and the sum of both parties' utilities rises with them.

    Laws are uniform on the simplex and sorted by expected reward; the first action always brings the first outcome,
    which is worth nothing. Other rewards are uniform on [0, 1]; a step to the next action costs a uniform share of what
    it earns more.

    Args:
        key: consumed by this call.
        num_actions: n.
        num_outcomes: m.
    """
    laws_key, costs_key, rewards_key = jax.random.split(key, 3)
    rewards = jax.random.uniform(rewards_key, (num_outcomes,)).at[0].set(0.0)
    laws = jax.random.exponential(laws_key, (num_actions, num_outcomes))
    laws = laws / jnp.sum(laws, axis=1, keepdims=True)
    laws = laws.at[0].set(jnp.zeros(num_outcomes).at[0].set(1.0))
    laws = laws[jnp.argsort(_dot(laws, rewards))]
    steps = jnp.diff(_dot(laws, rewards)) * jax.random.uniform(costs_key, (num_actions - 1,))
    return HiddenAction(laws, jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)]), rewards)


def validate_hidden_action(problem: HiddenAction, num_actions: int, num_outcomes: int) -> None:
    """Raises a one-line `ValueError` where a number of the problem is not allowed (on the host)."""
    laws, costs, rewards = (np.asarray(x) for x in (problem.laws, problem.costs, problem.rewards))
    shape = (num_actions, num_outcomes)
    require(laws.shape[-2:] == shape, "laws", laws.shape, f"of shape {shape}")
    proper = (laws >= 0).all() and np.allclose(laws.sum(axis=-1), 1, atol=1e-4)
    require(bool(proper), "laws", laws.tolist(), "probabilities that add to 1 in each row")
    free = (costs >= 0).all() and (costs[..., 0] == 0).all() and np.isfinite(costs).all()
    require(bool(free), "costs", costs.tolist(), "at least 0 and finite, the first 0")
    require(bool(np.isfinite(rewards).all()), "rewards", rewards.tolist(), "finite")


def agent_utilities(problem: HiddenAction, contract: Float[Numbers, "*batch m"]) -> Float[Array, "*batch n"]:
    """What each action is worth to an agent paid `contract[outcome]`."""
    return _dot(contract, problem.laws.T) - problem.costs


def principal_utilities(problem: HiddenAction, contract: Float[Numbers, "*batch m"]) -> Float[Array, "*batch n"]:
    """What each action is worth to the principal who pays `contract[outcome]`."""
    return _dot(problem.rewards - contract, problem.laws.T)


def disobedience_gain(problem: HiddenAction, contract: Float[Numbers, "*batch m"]) -> Float[Array, "*batch n"]:
    """For each action that the principal may recommend: what the agent gains by doing what is best for itself."""
    utilities = agent_utilities(problem, contract)
    return jnp.max(utilities, axis=-1, keepdims=True) - utilities


def best_response(
    problem: HiddenAction, contract: Float[Numbers, "*batch m"], tolerance: float = TIE
) -> Int32[Array, "*batch"]:
    """The action that the agent takes; of those within `tolerance` of its best the one that the principal prefers."""
    tied = disobedience_gain(problem, contract) <= tolerance
    return jnp.argmax(jnp.where(tied, principal_utilities(problem, contract), -jnp.inf), axis=-1).astype(jnp.int32)


def contract_utility(
    problem: HiddenAction, contract: Float[Numbers, "*batch m"], tolerance: float = TIE
) -> Float[Array, "*batch"]:
    """What a contract earns the principal, in expectation, given what the agent then does."""
    action = best_response(problem, contract, tolerance)
    return jnp.take_along_axis(principal_utilities(problem, contract), action[..., None], axis=-1)[..., 0]


def best_linear_contract(problem: HiddenAction) -> LinearContract:
    """The best contract of the form α r, α in [0, 1]: one at which the agent is just about to work harder.

    The agent's choice changes only where two of its utilities `α R_a - c_a` cross, `α = (c_a - c_b) / (R_a - R_b)`, and
    between crossings the principal wants α small; so the n² crossings, and 0, are all there is to try.
    """
    earned = _dot(problem.laws, problem.rewards)
    more = earned[:, None] - earned
    crossing = (problem.costs[:, None] - problem.costs) / jnp.where(more > 0, more, 1.0)
    shares = jnp.ravel(jnp.where((more > 0) & (crossing >= 0) & (crossing <= 1), crossing, 0.0))
    values = contract_utility(problem, shares[:, None] * problem.rewards)
    best = jnp.argmax(values)
    action = best_response(problem, shares[best] * problem.rewards)
    return LinearContract(shares[best], action, values[best])


def contract_grid(num_outcomes: int, num_levels: int, highest: float) -> Float[np.ndarray, "K m"]:
    """All contracts whose payments are multiples of `highest / (num_levels - 1)`: K = num_levels^m of them."""
    require_int("num_levels", num_levels, 2)
    levels = np.linspace(0, highest, num_levels)
    return np.stack(np.meshgrid(*[levels] * num_outcomes, indexing="ij"), axis=-1).reshape(-1, num_outcomes)


def linear_grid(rewards: Float[np.ndarray, " m"], num_levels: int) -> Float[np.ndarray, "K m"]:
    """Linear contracts with equally spaced shares from 0 to 1."""
    require_int("num_levels", num_levels, 2)
    return np.linspace(0, 1, num_levels)[:, None] * np.asarray(rewards)


def first_best(problem: HiddenAction) -> Float[Array, ""]:
    """The largest sum of both parties' utilities, which no contract can exceed for the principal."""
    return jnp.max(_dot(problem.laws, problem.rewards) - problem.costs)


def _dot(left: Numbers, right: Numbers) -> Array:
    return jnp.dot(left, right, precision="highest")
