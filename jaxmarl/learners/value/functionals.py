"""What the law of a return is worth to an agent that chooses between actions."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.distributional.law import Law, ReturnLaw
from jaxmarl.distributional.quantile import Quantile

Functional: TypeAlias = Callable[[ReturnLaw], Array]
"""Laws `[..., A]` to numbers `[..., A]`, larger is better: any functional of `distributional.risk`, its level bound."""


def risk_neutral(dist: ReturnLaw) -> Float[Array, "*batch"]:
    """The mean, without the sorting that other functionals need."""
    if isinstance(dist, Quantile):
        return jnp.sum(dist.values * dist.weights, -1)
    atoms, weights = dist if isinstance(dist, Law) else dist.law()
    return jnp.sum(atoms * weights, -1)
