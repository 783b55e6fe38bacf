"""Whether telling the truth pays: what every mechanism offers, and the one search behind it.

A mechanism of this family answers three questions, each by a method of its environment:

- `truthful(params)`: a `Policy` that reports the truth (or obeys), from its observation alone, where agents play;
- `optimal(...)`: what the designer would do who knew everything: an outcome, a contract, payments;
- `misreport_gain(...)`: `[N]`, the most that each agent gains by a lie while all others tell the truth.

So a rule is strategyproof on a sample of types where `is_truthful(env.misreport_gain(types, params))`, one line. For a
direct mechanism (agents report types once and are paid by a function of types and reports) all but the function itself
is written here: derive the environment from `DirectMechanism`.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy

State = TypeVar("State")
Params = TypeVar("Params")


class Misreports(NamedTuple):
    """The best lies.

    Attributes:
        gain: `[N]`, utility of the best candidate minus that of the truth; negative where every candidate is worse.
        report: `[N, ...]`, the candidate that attains it.
    """

    gain: Float[Array, " N"]
    report: Num[Array, "N ..."]


def best_misreports(
    utilities: Callable[[Array], Array], truth: Num[Array, "N ..."], candidates: Num[Array, "K ..."]
) -> Misreports:
    """Tries every candidate as the report of each agent in turn, all others telling the truth (pure, jit-able).

    Args:
        utilities: reports `[N, ...]` -> expected utilities `[N]`, given the true types.
        truth: truthful reports.
        candidates: reports that an agent may send instead, each of the shape of one report.
    """
    agents = jnp.arange(truth.shape[0])

    def lied(agent, report):
        return utilities(truth.at[agent].set(report))[agent]

    tried = jax.vmap(jax.vmap(lied, in_axes=(None, 0)), in_axes=(0, None))(agents, candidates)
    best = jnp.argmax(tried, axis=1)
    return Misreports(jnp.take_along_axis(tried, best[:, None], axis=1)[:, 0] - utilities(truth), candidates[best])


def misreport_gain(
    utilities: Callable[[Array], Array], truth: Num[Array, "N ..."], candidates: Num[Array, "K ..."]
) -> Float[Array, " N"]:
    """`best_misreports(...).gain`: at most rounding for a strategyproof rule, whatever the candidates."""
    return best_misreports(utilities, truth, candidates).gain


def is_truthful(gain: Float[Array | np.ndarray, "..."], tolerance: float = 1e-6) -> bool:
    """Whether no gain is above `tolerance` (units of utility); on the host."""
    return bool(np.max(gain) <= tolerance)


class DirectMechanism(Environment[State, Params]):
    """Environments in which each agent observes its type, reports one, and is paid by a function of both.

    A subclass is a frozen dataclass like any environment and writes `utilities` and `misreports` besides the
    environment's own methods; its `transition` should pay `utilities(types, action, params)`. An agent's observation
    must be its type in the shape of a report, or `truthful` be overridden.
    """

    @abc.abstractmethod
    def utilities(self, types: Array, reports: Array, params: Params) -> Float[Array, " N"]:
        """Expected utilities of agents of these types `[N, ...]` when these reports `[N, ...]` are sent."""

    @abc.abstractmethod
    def misreports(self, params: Params) -> Array:
        """Reports that are tried as lies, `[K, ...]`."""

    def optimal(self, types: Array, params: Params) -> dict[str, Any]:
        """What a designer would choose who knew the types; empty where nothing is known."""
        return {}

    def truthful(self, params: Params) -> Policy:
        """Reports what it observes."""
        return Policy(lambda chance: (), lambda params, memory, obs, chance: (obs, memory), name="truthful")

    def misreport_gain(self, types: Array, params: Params) -> Float[Array, "*batch N"]:
        """What the best lie of each agent gains, of those in `misreports`; types may have leading batch axes."""
        candidates = self.misreports(params)

        def gain(types):
            return misreport_gain(lambda reports: self.utilities(types, reports, params), types, candidates)

        event = self.action_space(params).shape
        flat = types.reshape(-1, self.num_agents, *event)
        return jax.vmap(gain)(flat).reshape(*types.shape[: types.ndim - len(event)])
