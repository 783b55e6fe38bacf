"""What information costs at least: optimal payments to agents who may shirk and lie, by linear programs on the host."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require
from jaxmarl.envs.mechanisms.information_rules import InformationProblem, reporting_maps

_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class InformationMechanism(NamedTuple):
    """Whom to ask for how much effort, and what to pay for which reports.

    Attributes:
        recommendation: `[b] * k`, probability of each profile of recommended efforts; each agent learns its own.
        payments: `[b] * k + [k] + [s] * k + [W]`, for the profile of reports and the state after a recommendation; 0
            after one that is not made.
        utility: of the principal, after payments.
        payment: expected, to all agents.
        gap: the most that an agent gains by other efforts and reports after some recommendation, times its probability.
    """

    recommendation: Float[np.ndarray, "..."]
    payments: Float[np.ndarray, "..."]
    utility: float
    payment: float
    gap: float


def optimal_information(
    problem: InformationProblem,
    efforts: Sequence[int] | None = None,
    *,
    max_payment: float = 100.0,
    margin: float = 0.0,
) -> InformationMechanism:
    """The best mechanism that recommends efforts jointly at random, and in which agents obey and tell the truth.

    Payments are at least 0 (so that nobody need be forced to take part if some effort is free). In the variables
    "probability of a recommendation" and "that times the payment" the problem is linear (Cacciamani et al. 2023); it
    has `k b^k s^k W` of them, so k, b and s must be tiny.

    Args:
        problem: not batched.
        efforts: induce this profile for certain at least cost; the best distribution where None.
        max_payment: to an agent in any event.
        margin: that obedience must gain over any other plan with another effort, given a recommendation.

    Raises:
        ValueError: the efforts cannot be induced.
    """
    from scipy.optimize import linprog

    require(max_payment > 0, "max_payment", max_payment, "positive")
    require(margin >= 0, "margin", margin, "at least 0")
    host: Any = jax.tree.map(lambda x: np.asarray(x, float), problem)
    k, b, num_states, s = host.sizes
    profiles = list(itertools.product(range(b), repeat=k))
    law = np.moveaxis(host.signals * host.prior.reshape(-1, *(1,) * k), k, -1)  # [b.., s.., W]
    each = s**k * num_states  # events after a recommendation
    paid = k * each
    decided = np.array([_decision_value(host, profile) for profile in profiles])
    weights = np.concatenate([np.tile(law[profile].ravel(), k) for profile in profiles])
    rows = _obedience_rows(host, law, profiles, margin)
    cost = np.concatenate([-decided, weights])
    limit = np.zeros((len(profiles) * paid, cost.size))  # payments times probability are at most the cap times it
    limit[np.arange(len(limit)), len(profiles) + np.arange(len(limit))] = 1
    limit[np.arange(len(limit)), np.repeat(np.arange(len(profiles)), paid)] = -max_payment
    certain = np.zeros((1, cost.size))
    certain[0, : len(profiles)] = 1
    highest = np.full(cost.size, np.inf)
    if efforts is not None:
        require(tuple(efforts) in profiles, "efforts", efforts, f"{k} numbers below {b}")
        highest[: len(profiles)] = [float(profile == tuple(efforts)) for profile in profiles]
    found = linprog(
        cost,
        np.concatenate([rows, limit]),
        np.zeros(len(rows) + len(limit)),
        certain,
        [1.0],
        np.column_stack([np.zeros(cost.size), highest]),
        "highs",
        options=_EXACT,
    )
    if found.x is None:
        raise ValueError(f"efforts must be ones that payments can induce, got {efforts!r} (HiGHS: {found.message})")
    share, money = found.x[: len(profiles)], found.x[len(profiles) :]
    asked = (share > 1e-9)[:, None]
    payments = np.where(asked, money.reshape(len(profiles), paid) / np.where(asked, share[:, None], 1.0), 0.0)
    payment = float(weights @ (payments * share[:, None]).ravel())
    gap = max(0.0, float((rows @ np.concatenate([share, (payments * share[:, None]).ravel()])).max(initial=0.0)))
    shape = (b,) * k + (k,) + (s,) * k + (num_states,)
    return InformationMechanism(
        share.reshape((b,) * k), payments.reshape(shape), float(decided @ share) - payment, payment, gap
    )


def _decision_value(problem: InformationProblem, profile: tuple[int, ...]) -> float:
    worth = np.tensordot(problem.decisions * problem.prior, problem.signals[profile], axes=1)
    return float(worth.max(axis=0).sum())


def _obedience_rows(problem: InformationProblem, law: np.ndarray, profiles: list, margin: float) -> np.ndarray:
    """`rows @ x <= 0`: what each agent gains, by each other plan after each recommendation, plus the margin."""
    k, b, num_states, s = problem.sizes
    each = s**k * num_states
    rows = []
    for i, asked, effort, reported in itertools.product(range(k), range(b), range(b), reporting_maps(s)):
        if effort == asked and (reported == np.arange(s)).all():
            continue
        row = np.zeros(len(profiles) * (1 + k * each))
        for p, profile in enumerate(profiles):
            if profile[i] != asked:
                continue
            other = (*profile[:i], effort, *profile[i + 1 :])
            moved = np.zeros(law[profile].shape)  # probability of each profile of reports after the lie
            np.add.at(np.moveaxis(moved, i, 0), reported, np.moveaxis(law[other], i, 0))
            start = len(profiles) + (p * k + i) * each
            row[start : start + each] = (moved - law[profile]).ravel()
            row[p] = problem.costs[i, asked] - problem.costs[i, effort] + margin * (effort != asked)
        rows.append(row)
    return np.array(rows)
