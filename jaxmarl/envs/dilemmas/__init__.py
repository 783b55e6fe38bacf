"""Social dilemmas in time: iterated matrix games and the Coin Game."""

from jaxmarl.envs.dilemmas.iterated_matrix import (
    IteratedMatrix,
    IteratedMatrixParams,
    IteratedMatrixState,
    memory_one_policy,
)

__all__ = ["IteratedMatrix", "IteratedMatrixParams", "IteratedMatrixState", "memory_one_policy"]
