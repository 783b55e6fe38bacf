"""Social dilemmas in time: iterated matrix games, the Coin Game, and the two-step game of a team."""

from jaxmarl.envs.dilemmas.coin_game import CoinGame, CoinGameParams, CoinGameState
from jaxmarl.envs.dilemmas.coin_policies import coin_policy
from jaxmarl.envs.dilemmas.iterated_matrix import (
    IteratedMatrix,
    IteratedMatrixParams,
    IteratedMatrixState,
    memory_one_policy,
)
from jaxmarl.envs.dilemmas.two_step import TwoStepGame, TwoStepParams, TwoStepState

__all__ = [
    "CoinGame",
    "CoinGameParams",
    "CoinGameState",
    "IteratedMatrix",
    "IteratedMatrixParams",
    "IteratedMatrixState",
    "TwoStepGame",
    "TwoStepParams",
    "TwoStepState",
    "coin_policy",
    "memory_one_policy",
]
