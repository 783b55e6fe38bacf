"""Social dilemmas in time: iterated matrix games and the Coin Game."""

from jaxmarl.envs.dilemmas.coin_game import CoinGame, CoinGameParams, CoinGameState
from jaxmarl.envs.dilemmas.coin_policies import coin_policy
from jaxmarl.envs.dilemmas.iterated_matrix import (
    IteratedMatrix,
    IteratedMatrixParams,
    IteratedMatrixState,
    memory_one_policy,
)

__all__ = [
    "CoinGame",
    "CoinGameParams",
    "CoinGameState",
    "IteratedMatrix",
    "IteratedMatrixParams",
    "IteratedMatrixState",
    "coin_policy",
    "memory_one_policy",
]
