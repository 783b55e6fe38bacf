"""SUBSAMPLE-Q: plan for k of n like agents, act on a fresh sample of k (Anand and Qu, arXiv 2403.00222).

The value of a global decision depends on n local agents only through the histogram of their states, of which there are
too many to list for large n. Value iteration runs in the system of k agents instead, exactly or with the next state
replaced by m samples (the empirical Bellman operator). In the system of n the decision maker draws k agents each step,
without replacement, and acts greedily on what it sees. What that loses falls like `1 / √k`.
"""

import itertools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import Policy
from jaxmarl.envs.pricing.global_local import GlobalLocalTables, inverse
from jaxmarl.solvers.multisets import expectation, multisets, num_multisets, rank

PRECISION = 1e-8  # weight of the rewards beyond which values are cut


@struct.dataclass
class SubsampleSolution:
    """Values and greedy actions of the system of `k` local agents; `M` multisets of their states (`multisets`).

    Attributes:
        q: `[G, M, A]`.
        policy: int32 `[G, M]`, the lowest of the best actions.
        residual: how far one more sweep changes any value.
    """

    q: Float[Array, "G M A"]
    policy: Int32[Array, "G M"]
    residual: Float[Array, ""]

    @property
    def values(self) -> Float[Array, "G M"]:
        """Of the best actions."""
        return jnp.max(self.q, axis=-1)


def subsample_q(
    model: GlobalLocalTables,
    k: int,
    *,
    discount: float = 0.9,
    num_samples: int | None = None,
    key: Array | None = None,
    num_sweeps: int | None = None,
) -> SubsampleSolution:
    """Value iteration in the system of `k` local agents.

    Args:
        model: as tables.
        k: local agents; there are `C(k + L - 1, k)` multisets of their states.
        discount: γ, in [0, 1).
        num_samples: m, draws of the next state of each state, or None for exact expectations.
        key: of the draws.
        num_sweeps: until the rest weighs 1e-8 of the rewards where None.

    Raises:
        ValueError: a discount out of range, samples without a key, or more than two million multisets.
    """
    require_int("k", k, 1)
    require(0 <= discount < 1, "discount", discount, "in [0, 1)")
    if num_samples is None:
        following: Any = None
    else:
        require_int("num_samples", num_samples, 1)
        require(key is not None, "key", key, "given with num_samples")
        following = _sample(model, k, num_samples, key)
    sweeps = _sweeps(discount) if num_sweeps is None else num_sweeps
    require_int("num_sweeps", sweeps, 0)
    return _iterate(model, following, k, discount, sweeps)


def subsampled_actions(policy: Int32[Array, "G M"], num_locals: int, k: int, num_actions: int) -> Float[Array, "G S A"]:
    """Probabilities of actions in the system of `num_locals` agents, where a random `k` of them are looked at.

    `S` lists the multisets of `num_locals` local states. All `C(n, k)` choices are enumerated.

    Args:
        policy: of the system of `k`.
        num_locals: n, at least `k`.
        k: agents looked at.
        num_actions: `A`.
    """
    require_int("num_locals", num_locals, k)
    num_kinds = _kinds(policy.shape[1], k)
    states = jnp.asarray(multisets(num_kinds, num_locals))

    def add(total, chosen):
        actions = policy[:, rank(states[:, chosen], num_kinds)]
        return total + (actions[..., None] == jnp.arange(num_actions)), None

    choices = jnp.asarray(list(itertools.combinations(range(num_locals), k)), jnp.int32)
    none = jnp.zeros((policy.shape[0], len(states), num_actions))
    return jax.lax.scan(add, none, choices)[0] / len(choices)


def policy_values(
    model: GlobalLocalTables,
    actions: Float[Array, "G S A"],
    num_locals: int,
    *,
    discount: float = 0.9,
    start: Float[Array, "G S"] | None = None,
) -> Float[Array, "G S"]:
    """Exact values in the system of `num_locals` agents of acting by these probabilities.

    Args:
        model: as tables.
        actions: probabilities, as of `subsampled_actions`.
        num_locals: n.
        discount: γ.
        start: a guess, as of the best values, from which as many sweeps come closer; zeros where None.
    """
    require(0 <= discount < 1, "discount", discount, "in [0, 1)")
    first = jnp.zeros(actions.shape[:-1], model.global_reward.dtype) if start is None else start
    return _evaluate(model, actions, first, num_locals, discount)


def subsampling_policy(num_locals: int, k: int, num_global: int, num_local: int) -> Policy:
    """Acts in a `GlobalLocal` environment of `num_locals` agents on a fresh sample of `k`; params are `policy [G, M]`.

    Args:
        num_locals: n, of the environment.
        k: agents looked at.
        num_global: `G`.
        num_local: `L`.
    """
    require_int("k", k, 1, num_locals)

    def act(policy, memory, obs, chance):
        shared = jnp.round(obs[0] * (num_global - 1)).astype(jnp.int32)
        until = jnp.cumsum(jnp.round(obs[1:] * num_locals).astype(jnp.int32))
        states = jnp.sum(until <= jnp.arange(num_locals)[:, None], axis=-1, dtype=jnp.int32)
        seen = jnp.sort(states[jnp.argsort(chance)[:k]])
        return policy[shared, rank(seen, num_local)], memory

    return Policy(lambda chance: (), act, act_chance=Uniform((num_locals,)), name=f"subsample_{k}")


@partial(jax.jit, static_argnums=(2, 3, 4))
def _iterate(model, following, k: int, discount: float, sweeps: int) -> SubsampleSolution:
    reward = _rewards(model, k)
    expect = partial(_exact, model, k) if following is None else partial(_empirical, following)

    def sweep(values):
        return reward + discount * expect(values)

    q = jax.lax.fori_loop(0, sweeps, lambda _, q: sweep(jnp.max(q, axis=-1)), jnp.zeros_like(reward))
    again = sweep(jnp.max(q, axis=-1))
    return SubsampleSolution(again, jnp.argmax(again, axis=-1).astype(jnp.int32), jnp.max(jnp.abs(again - q)))


@partial(jax.jit, static_argnums=(3, 4))
def _evaluate(model, actions, first, num_locals: int, discount: float) -> Float[Array, "G S"]:
    reward = _rewards(model, num_locals)

    def sweep(_, values):
        q = reward + discount * _exact(model, num_locals, values)
        return jnp.sum(actions * q, axis=-1)

    return jax.lax.fori_loop(0, _sweeps(discount), sweep, first)


def _rewards(model: GlobalLocalTables, k: int) -> Float[Array, "G M A"]:
    local = jnp.mean(model.local_reward[:, multisets(model.local_reward.shape[1], k)], axis=-1)
    return model.global_reward[:, None, :] + local[:, :, None]


def _exact(model: GlobalLocalTables, k: int, values: Float[Array, "G M"]) -> Float[Array, "G M A"]:
    """Expected values of the next state, by enumeration."""
    by_action = jnp.einsum("gah,hm->gam", model.global_kernel, values)
    member = jax.vmap(jax.vmap(partial(expectation, size=k), (0, None)))
    return jnp.swapaxes(member(by_action, model.local_kernel), 1, 2)


def _empirical(following, values: Float[Array, "G M"]) -> Float[Array, "G M A"]:
    """Mean values of the sampled next states."""
    shared, members = following
    worth = values[shared[:, None], members[:, :, None]]
    return jnp.mean(worth, axis=-1)


@partial(jax.jit, static_argnums=(1, 2))
def _sample(model: GlobalLocalTables, k: int, num_samples: int, key: Array):
    """Next global states `[G, A, m]`, and numbers of the next multisets `[G, M, m]`."""
    num_kinds = model.local_reward.shape[1]
    states = jnp.asarray(multisets(num_kinds, k))
    global_key, local_key = jax.random.split(key)
    shape = *model.global_reward.shape, num_samples
    shared = inverse(model.global_kernel[:, :, None, :], jax.random.uniform(global_key, shape))

    def draw(x):
        kernel, key = x
        unit = jax.random.uniform(key, (len(states), num_samples, k))
        return rank(jnp.sort(inverse(kernel[states][:, None], unit), axis=-1), num_kinds)

    return shared, jax.lax.map(draw, (model.local_kernel, jax.random.split(local_key, len(model.local_kernel))))


def _sweeps(discount: float) -> int:
    return math.ceil(math.log(PRECISION) / math.log(discount)) if discount > 0 else 1


def _kinds(count: int, k: int) -> int:
    """Number of local states of which there are `count` multisets of `k`."""
    kinds = next(x for x in range(1, count + 1) if num_multisets(x, k) >= count)
    require(num_multisets(kinds, k) == count, "policy", count, f"of a number of multisets of {k}")
    return kinds
