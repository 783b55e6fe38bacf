"""Dividing indivisible goods and chores: maximin shares, envy up to one item, and rules that reach it.

Reference functions on the host, for a few agents and items (`N ** m` allocations at most 10⁶ where all are tried).
Values are additive, `[N, m]`; positive for goods, negative for chores, and an item may be a good to one and a chore to
another. An allocation is `owners [m]`. References: Budish 2011, Lipton et al. 2004, Caragiannis et al. 2019, Aziz et
al. 2022.
"""

import itertools
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Int, Num

from jaxmarl.core.checks import require, require_choice

Fairness: TypeAlias = Literal["EF", "EF1", "EFX", "EFX0"]

Values = Num[np.ndarray, "N m"]
Owners = Int[np.ndarray, "*allocations m"]

_MOST = 10**6
_ROUNDING = 1e-9


def all_allocations(num_agents: int, num_items: int) -> Int[np.ndarray, "K m"]:
    """Every way to give m items to N agents, N^m of them (at most 10⁶, or `ValueError`)."""
    count = num_agents**num_items
    require(count <= _MOST, "num_items", num_items, f"so few that N ** m is at most {_MOST}")
    return np.arange(count)[:, None] // num_agents ** np.arange(num_items) % num_agents


def bundle_values(values: Values, owners: Owners) -> Num[np.ndarray, "*allocations N N"]:
    """`[..., i, j]`: what agent i thinks of the bundle of agent j."""
    held = np.asarray(owners)[..., None, :] == np.arange(len(values))[:, None]
    return np.einsum("im,...jm->...ij", values, held)


def maximin_shares(values: Values) -> Num[np.ndarray, " N"]:
    """What each agent can make sure of when it divides the items into N bundles and is left with the worst one."""
    n, m = np.shape(values)
    held = all_allocations(n, m)[:, None, :] == np.arange(n)[:, None]
    return np.array([(held @ own).min(axis=1).max() for own in np.asarray(values)])


def maximin_allocation(values: Values) -> tuple[Int[np.ndarray, " m"], float]:
    """The allocation of the largest `min_i v_i(A_i) - MMS_i`, and that number.

    It is at least 0 just where an allocation exists that gives everybody the maximin share.
    """
    n, m = np.shape(values)
    owners = all_allocations(n, m)
    own = np.stack([(owners == i) @ np.asarray(values)[i] for i in range(n)], axis=1)
    surplus = (own - maximin_shares(values)).min(axis=1)
    best = int(np.argmax(surplus))
    return owners[best], float(surplus[best])


def is_fair(values: Values, owners: Int[np.ndarray, " m"], criterion: str) -> bool:
    """Whether nobody envies anybody, or no longer once an item is taken out of one of the two bundles.

    Args:
        values: of items.
        owners: the allocation.
        criterion: `"EF"`, no envy at all; `"EF1"`, none after removing some item, a good from the other's bundle or a
            chore from the own; `"EFX"`, none after removing any item whose removal helps (a good of the other's, or an
            own chore); `"EFX0"`, any such item or one that the envious agent values at 0.
    """
    require_choice("criterion", criterion, get_args(Fairness))
    values, owners = np.asarray(values, float), np.asarray(owners)
    bundles = bundle_values(values, owners)
    for i, j in itertools.permutations(range(len(values)), 2):
        envy = bundles[i, j] - bundles[i, i]
        if envy <= _ROUNDING:
            continue
        # how much the removal of each item of the two bundles lowers the envy
        helps = np.concatenate([values[i, owners == j], -values[i, owners == i]])
        if criterion == "EF":
            return False
        if criterion == "EF1":
            fair = helps.size > 0 and helps.max() >= envy - _ROUNDING
        else:
            removed = helps[helps > 0] if criterion == "EFX" else helps[helps >= 0]
            fair = removed.size > 0 and removed.min() >= envy - _ROUNDING
        if not fair:
            return False
    return True


def is_pareto_optimal(values: Values, owners: Int[np.ndarray, " m"]) -> bool:
    """Whether no allocation of all is better for somebody and as good for all others."""
    n, m = np.shape(values)
    every = all_allocations(n, m)
    own = np.stack([(every == i) @ np.asarray(values, float)[i] for i in range(n)], axis=1)
    here = np.diagonal(bundle_values(values, owners))
    better = (own >= here - _ROUNDING).all(axis=1) & (own > here + _ROUNDING).any(axis=1)
    return not bool(better.any())


def round_robin(values: Values, order: tuple[int, ...] | None = None) -> Int[np.ndarray, " m"]:
    """Agents pick the item they like best of those left, in turns; EF1 for goods.

    Args:
        values: of items.
        order: in which agents pick, again and again; by number if None.
    """
    values = np.asarray(values, float)
    n, m = values.shape
    turns = range(n) if order is None else order
    owners = np.full(m, -1)
    for turn in range(m):
        agent = turns[turn % n]
        owners[np.argmax(np.where(owners < 0, values[agent], -np.inf))] = agent
    return owners


def double_round_robin(values: Values) -> Int[np.ndarray, " m"]:
    """EF1 for goods and chores together (Aziz et al. 2022): what is a chore to everybody is picked first, in the order
    of numbers and padded with items worth 0 so that all pick equally often; then the rest in reverse order, where who
    finds no good left passes.
    """
    values = np.asarray(values, float)
    n, m = values.shape
    chores = (values <= 0).all(axis=0)
    owners = np.full(m, -1)
    idle = -int(chores.sum()) % n
    for turn in range(int(chores.sum()) + idle):
        agent = turn % n
        left = np.where(chores & (owners < 0), values[agent], -np.inf)
        if idle and (left.max(initial=-np.inf) < 0):
            idle -= 1  # an item worth 0 is the best one left
        else:
            owners[np.argmax(left)] = agent
    turn = 0
    while (owners < 0).any():
        agent = n - 1 - turn % n
        left = np.where(owners < 0, values[agent], -np.inf)
        if left.max() > 0:
            owners[np.argmax(left)] = agent
        turn += 1
    return owners


def envy_cycle_elimination(values: Values) -> Int[np.ndarray, " m"]:
    """EF1 for goods (Lipton et al. 2004): each item in turn goes to somebody whom nobody envies; where all are envied,
    bundles move along a cycle of envy first.
    """
    values = np.asarray(values, float)
    require(bool((values >= 0).all()), "values", values.tolist(), "not negative")
    owners = np.full(values.shape[1], -1)
    for item in range(values.shape[1]):
        while True:
            bundles = bundle_values(values, owners)
            envies = bundles > np.diagonal(bundles)[:, None] + _ROUNDING
            free = np.flatnonzero(~envies.any(axis=0))
            if free.size:
                break
            owners = _along_cycle(owners, envies)
        owners[item] = free[0]
    return owners


def _along_cycle(owners: np.ndarray, envies: Bool[np.ndarray, "N N"]) -> np.ndarray:
    """Gives each agent of a cycle of envy the bundle it envies; everybody is envied by somebody."""
    path = [0]
    while (envious := int(np.argmax(envies[:, path[-1]]))) not in path:
        path.append(envious)
    cycle = path[path.index(envious) :]
    receiver = np.arange(len(envies))
    receiver[cycle] = np.roll(cycle, -1)  # each bundle moves to the one who envies it
    return np.where(owners < 0, -1, receiver[owners])
