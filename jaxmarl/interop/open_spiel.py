"""Normal-form games from and to OpenSpiel (`pip install open-spiel`)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.games.normal_form import NormalFormGame


def normal_form_from_open_spiel(game: Any) -> NormalFormGame:
    """The payoff tensor of a one-shot OpenSpiel game: a matrix game, a tensor game, or any other of one joint move.

    Args:
        game: a `pyspiel.Game` in which all players move once, simultaneously, without chance; or its name for
            `pyspiel.load_game`. Turn a sequential game into such a one by `pyspiel.extensive_to_tensor_game`.

    Raises:
        ValueError: for any other game.
    """
    import pyspiel

    game = pyspiel.load_game(game) if isinstance(game, str) else game
    start = game.new_initial_state()
    require(start.is_simultaneous_node(), "game", str(game), "a game whose players move simultaneously")
    actions = [start.legal_actions(player) for player in range(game.num_players())]
    payoffs = np.zeros((game.num_players(), *map(len, actions)))
    for profile in np.ndindex(*payoffs.shape[1:]):
        state = start.clone()
        state.apply_actions([legal[a] for legal, a in zip(actions, profile, strict=True)])
        require(state.is_terminal(), "game", str(game), "over after one joint move")
        payoffs[(slice(None), *profile)] = state.returns()
    return NormalFormGame(payoffs)


def normal_form_to_open_spiel(game: NormalFormGame, name: str = "jaxmarl") -> Any:
    """The same game as a `pyspiel` tensor game (two players: a matrix game), illegal actions left out.

    Args:
        game: one game, not a batch.
        name: its short name in OpenSpiel.
    """
    import pyspiel

    legal = [np.flatnonzero(np.asarray(game.mask(i))) for i in range(game.num_players)]
    payoffs = np.asarray(game.payoffs, np.float64)[np.ix_(np.arange(game.num_players), *legal)]
    names = [[str(action) for action in actions] for actions in legal]
    if game.num_players == 2:
        return pyspiel.create_matrix_game(name, name, *names, *(matrix.tolist() for matrix in payoffs))
    return pyspiel.create_tensor_game(name, name, names, [tensor.ravel().tolist() for tensor in payoffs])


def game_type(*, num_players: int, zero_sum: bool, observations: bool, **facts: Any) -> Any:
    """A `pyspiel.GameType` of a game for this number of players, which says information states as strings.

    Args:
        num_players: for which it is.
        zero_sum: or of general sum.
        observations: whether it says those as well, as strings and tensors.
        **facts: other fields of the type.
    """
    import pyspiel

    utilities = pyspiel.GameType.Utility
    return pyspiel.GameType(
        **facts,
        utility=utilities.ZERO_SUM if zero_sum else utilities.GENERAL_SUM,
        max_num_players=num_players,
        min_num_players=num_players,
        provides_information_state_string=True,
        provides_information_state_tensor=False,
        provides_observation_string=observations,
        provides_observation_tensor=observations,
        provides_factored_observation_string=False,
        parameter_specification={},
    )


def registered_game(about: Any, facts: Any, state_class: type, observer: Callable[[], Any]) -> type:
    """A game written in Python, registered with OpenSpiel.

    Args:
        about: its `pyspiel.GameType`.
        facts: its `pyspiel.GameInfo`.
        state_class: of its states, made from the game alone.
        observer: makes what describes states.
    """
    import pyspiel

    class Game(pyspiel.Game):
        """What states and observers are made from."""

        def __init__(self, params: Any = None):
            super().__init__(about, facts, params or {})

        def new_initial_state(self) -> Any:
            return state_class(self)

        def make_py_observer(self, iig_obs_type: Any = None, params: Any = None) -> Any:
            return observer()

    pyspiel.register_game(about, Game)
    return Game
