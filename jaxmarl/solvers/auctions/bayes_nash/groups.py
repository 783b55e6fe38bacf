"""Which bidders are alike, and so share a strategy."""

from typing import Any

import jax
import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions.sealed_bid import SealedBidParams


def is_concrete(tree: Any) -> bool:
    """Whether no leaf is being traced."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def checked_groups(params: SealedBidParams, groups: tuple[int, ...] | None) -> tuple[int, ...]:
    """The group of each bidder: as given, or those of bidders with the same numbers (inactive ones join the first).

    Raises:
        ValueError: groups that do not fit, whose bidders are not alike, or that are missing inside `jit`.
    """
    num_agents = params.risk.shape[-1]
    if groups is not None:
        fits = len(groups) == num_agents and set(groups) == set(range(max(groups) + 1))
        require(fits, "groups", groups, f"a group from 0 up for each of {num_agents} bidders, none left out")
    if not is_concrete(params):
        require(groups is not None, "groups", groups, "given inside jit and vmap")
        return groups  # type: ignore[return-value]
    numbers = _numbers_of_bidders(params)
    active = np.asarray(params.active)
    if groups is None:
        kinds: list[tuple[float, ...]] = []
        for i in np.flatnonzero(active):
            if numbers[i] not in kinds:
                kinds.append(numbers[i])
        return tuple(kinds.index(numbers[i]) if active[i] else 0 for i in range(num_agents))
    for g in set(groups):
        kinds = [numbers[i] for i in range(num_agents) if groups[i] == g and active[i]]
        require(len(set(kinds)) <= 1, "groups", groups, f"groups of bidders alike; those of group {g} differ")
    return groups


def _numbers_of_bidders(params: SealedBidParams) -> list[tuple[float, ...]]:
    shape = params.risk.shape
    leaves = [params.risk, *(leaf for leaf in jax.tree.leaves(params.prior) if np.shape(leaf) == shape)]
    return [tuple(float(np.asarray(leaf)[i]) for leaf in leaves) for i in range(shape[-1])]
