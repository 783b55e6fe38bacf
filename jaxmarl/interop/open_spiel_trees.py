"""Games in extensive form from and to OpenSpiel (`pip install open-spiel`)."""

import itertools
from typing import Any, NamedTuple

import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.games.extensive import CHANCE, TERMINAL, ExtensiveGame
from jaxmarl.games.extensive_rules import MAX_NODES, Chance, Decision, End, Turn, game_from_rules
from jaxmarl.interop.open_spiel import game_type, registered_game

_NAMES = itertools.count()  # OpenSpiel keeps one game a name


def extensive_game_from_open_spiel(game: Any, max_nodes: int = MAX_NODES) -> ExtensiveGame:
    """The tree of a sequential OpenSpiel game; actions and outcomes of chance keep their numbers.

    Players know what `information_state_string` says, together with their own past moves and what they then knew,
    which some of OpenSpiel's games leave out (perfect recall is what our trees need).

    Args:
        game: a `pyspiel.Game` whose players move in turn and whose chance is explicit; or its name for
            `pyspiel.load_game`. Turn a game of simultaneous moves into one by `pyspiel.convert_to_turn_based`.
        max_nodes: refused beyond.

    Raises:
        ValueError: another kind of game, or one with more than `max_nodes` nodes.
    """
    import pyspiel

    game = pyspiel.load_game(game) if isinstance(game, str) else game
    kind = game.get_type()
    in_turn = kind.dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL
    require(in_turn, "game", str(game), "a game whose players move in turn")
    sampled = kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC
    require(not sampled, "game", str(game), "a game that lists its outcomes of chance")
    require(kind.provides_information_state_string, "game", str(game), "a game that says what players know")
    players = game.num_players()

    def turn(at: Any) -> Turn:
        state, known = at
        if state.is_terminal():
            return End(tuple(state.returns()))
        if state.is_chance_node():
            outcomes, odds = zip(*state.chance_outcomes(), strict=True)
            return Chance(outcomes, odds)
        player = state.current_player()
        return Decision(player, (known[player], state.information_state_string()), tuple(state.legal_actions()))

    def after(at: Any, move: int) -> Any:
        state, known = at
        player = state.current_player()
        if player >= 0:
            more = (known[player], state.information_state_string(), move)
            known = (*known[:player], more, *known[player + 1 :])
        return state.child(move), known

    return game_from_rules((game.new_initial_state(), ((),) * players), turn, after, max_nodes)


def extensive_game_to_open_spiel(game: ExtensiveGame) -> Any:
    """The same game as a `pyspiel.Game`; information states are called `player:number`, as ours are numbered.

    Args:
        game: one game, not a batch.
    """
    import pyspiel

    parent, branch, player, known = (
        np.asarray(leaf).tolist() for leaf in (game.parent, game.branch, game.player, game.info_state)
    )
    children: list[dict[int, int]] = [{} for _ in parent]
    for node in range(1, len(parent)):
        children[parent[node]][branch[node]] = node
    tree = _Tree(player, known, children, np.asarray(game.chance, np.float64), np.asarray(game.payoffs, np.float64))
    return _game_class(pyspiel, tree, game)()


class _Tree(NamedTuple):
    """A game on the host; copies of a state share it."""

    player: list[int]
    known: list[int]
    children: list[dict[int, int]]
    chance: np.ndarray
    payoffs: np.ndarray

    def __deepcopy__(self, memo: Any) -> "_Tree":
        return self


def _game_class(pyspiel: Any, tree: _Tree, game: ExtensiveGame) -> Any:
    """The registered class of one game."""
    kinds, players = pyspiel.GameType, game.num_players
    worth = np.asarray(game.terminal_payoffs, np.float64)
    zero_sum, chance = bool(np.allclose(worth.sum(0), 0, atol=1e-6)), CHANCE in tree.player
    about = game_type(
        short_name=f"jaxmarl_extensive_game_{next(_NAMES)}",
        long_name="Extensive-form game of jaxmarl",
        dynamics=kinds.Dynamics.SEQUENTIAL,
        chance_mode=kinds.ChanceMode.EXPLICIT_STOCHASTIC if chance else kinds.ChanceMode.DETERMINISTIC,
        information=kinds.Information.IMPERFECT_INFORMATION,
        reward_model=kinds.RewardModel.TERMINAL,
        num_players=players,
        zero_sum=zero_sum,
        observations=False,
    )
    outcomes = [max(row) + 1 for row, who in zip(tree.children, tree.player, strict=True) if who == CHANCE]
    facts = pyspiel.GameInfo(
        num_distinct_actions=max(game.num_actions),
        max_chance_outcomes=max(outcomes, default=0),
        num_players=players,
        min_utility=float(worth.min()) - 1e-6,
        max_utility=float(worth.max()) + 1e-6,
        utility_sum=0.0 if zero_sum else None,
        max_game_length=sum(game.num_moves),
    )
    return registered_game(about, facts, _state_class(pyspiel, tree), lambda: _Observer(tree))


def _state_class(pyspiel: Any, tree: _Tree) -> Any:
    special = {CHANCE: pyspiel.PlayerId.CHANCE, TERMINAL: pyspiel.PlayerId.TERMINAL}

    class State(pyspiel.State):
        """A node of the tree."""

        def __init__(self, game: Any):
            super().__init__(game)
            self.node = 0

        def current_player(self) -> Any:
            who = tree.player[self.node]
            return special.get(who, who)

        def _legal_actions(self, player: int) -> list[int]:
            return sorted(tree.children[self.node])

        def chance_outcomes(self) -> list[tuple[int, float]]:
            odds = [(outcome, float(tree.chance[node])) for outcome, node in sorted(tree.children[self.node].items())]
            total = sum(share for _, share in odds)  # of rounded numbers
            return [(outcome, share / total) for outcome, share in odds if share > 0]

        def _apply_action(self, action: int) -> None:
            self.node = tree.children[self.node][action]

        def _action_to_string(self, player: int, action: int) -> str:
            return str(action)

        def is_terminal(self) -> bool:
            return tree.player[self.node] == TERMINAL

        def returns(self) -> list[float]:
            return tree.payoffs[:, self.node].tolist() if self.is_terminal() else [0.0] * len(tree.payoffs)

        def __str__(self) -> str:
            return f"node {self.node}"

    return State


class _Observer:
    """What a player on the move knows: the number of its information state."""

    def __init__(self, tree: _Tree):
        self.tree = tree
        self.tensor = np.zeros(0, np.float32)
        self.dict: dict[str, np.ndarray] = {}

    def set_from(self, state: Any, player: int) -> None:
        """There is no tensor."""

    def string_from(self, state: Any, player: int) -> str:
        """The player and the number of its information state."""
        on_move = self.tree.player[state.node] == player
        return f"{player}:{self.tree.known[state.node]}" if on_move else f"{player} waits"
