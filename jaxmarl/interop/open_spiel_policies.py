"""OpenSpiel's policies and bots as behaviour strategies of our trees, and back (`pip install open-spiel`).

For sequential games. The rock-paper-scissors bots of `pyspiel.make_roshambo_bot` are written natively in
`jaxmarl.envs.rps.bots`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.envs.trees.tree import TreeGame
from jaxmarl.games.extensive import CHANCE, TERMINAL, ExtensiveGame

_SAME = 1e-6  # probabilities nearer than that are one


def behaviour_strategies_from_open_spiel(
    game: ExtensiveGame | TreeGame, spiel: Any, policies: Any
) -> tuple[Float[Array, "I_i A_i"], ...]:
    """What policies or bots of OpenSpiel do in every information state of a tree, exactly.

    `extensive_nash_conv` judges the result without sampling, and `strategy_policy(strategy_table(...))` of
    `jaxmarl.envs.trees` plays it, in populations too. Bots are set to every history by `restart_at`.

    Args:
        game: the tree, as from `extensive_game_from_open_spiel(spiel)`; or its environment.
        spiel: the `pyspiel.Game` of the same tree, node by node; or its name for `pyspiel.load_game`.
        policies: of all players, an `open_spiel.python.policy.Policy` or a `pyspiel.Policy`; or a list of one such
            policy or `pyspiel.Bot` a player. Bots must say their policy, by `get_policy` or by `step_with_policy`.

    Returns:
        A behaviour strategy of each player.

    Raises:
        ValueError: games of different trees; not one policy a player; a bot that does not say its policy, or cannot
            restart at a state; what is no distribution over legal actions; a policy that differs between histories of
            one information state.
    """
    game = game.game if isinstance(game, TreeGame) else game
    sources = list(policies) if isinstance(policies, list | tuple) else [policies] * game.num_players
    require(len(sources) == game.num_players, "policies", len(sources), f"one a player, {game.num_players}")
    readers = [_reader(source) for source in sources]
    tables = [np.full(mask.shape, np.nan) for mask in game.masks]
    for player, known, state in _decisions(game, spiel):
        row = _distribution(readers[player](state), state, tables[player].shape[1])
        before = tables[player][known]
        same = bool(np.isnan(before[0]) or np.abs(row - before).max() <= _SAME)
        got = f"{before.tolist()}, and {row.tolist()} after {state.history()}"
        require(same, "policies", got, "the same at all histories of an information state")
        tables[player][known] = row
    return tuple(jnp.asarray(table, jnp.result_type(float)) for table in tables)


def behaviour_strategies_to_open_spiel(
    game: ExtensiveGame | TreeGame, spiel: Any, strategies: Sequence[Float[Array, "I_i A_i"]]
) -> Any:
    """The same strategies as an `open_spiel.python.policy.TabularPolicy` of all players.

    Args:
        game: the tree, as from `extensive_game_from_open_spiel(spiel)`; or its environment.
        spiel: the `pyspiel.Game` of the same tree, node by node, as from `extensive_game_to_open_spiel(game)`; or its
            name for `pyspiel.load_game`.
        strategies: a behaviour strategy of each player.

    Raises:
        ValueError: games of different trees; strategies of other shapes; strategies that differ where `spiel`, which
            may forget a player's own moves, does not tell information states apart.
    """
    import pyspiel
    from open_spiel.python import policy

    game = game.game if isinstance(game, TreeGame) else game
    spiel = pyspiel.load_game(spiel) if isinstance(spiel, str) else spiel
    tables = [np.asarray(table, np.float64) for table in strategies]
    shapes, wanted = [table.shape for table in tables], [mask.shape for mask in game.masks]
    require(shapes == wanted, "strategies", shapes, f"of shapes {wanted}")
    tabular = policy.TabularPolicy(spiel)
    seen: dict[str, np.ndarray] = {}
    for player, known, state in _decisions(game, spiel):
        key = state.information_state_string()
        chosen = {action: float(tables[player][known, action]) for action in state.legal_actions()}
        row = _distribution(chosen, state, spiel.num_distinct_actions())
        before = seen.setdefault(key, row)
        got = f"{before.tolist()} and {row.tolist()} at {key!r}"
        same = bool(np.abs(row - before).max() <= _SAME)
        require(same, "strategies", got, "the same in information states that `spiel` does not tell apart")
        tabular.policy_for_key(key)[:] = row
    return tabular


def _decisions(game: ExtensiveGame, spiel: Any) -> Iterator[tuple[int, int, Any]]:
    """Player, its information state and OpenSpiel's state of every node where a player moves."""
    import pyspiel

    spiel = pyspiel.load_game(spiel) if isinstance(spiel, str) else spiel
    parent, branch, player, known = (
        np.asarray(leaf).tolist() for leaf in (game.parent, game.branch, game.player, game.info_state)
    )
    moves: list[list[int]] = [[] for _ in parent]
    for node in range(1, len(parent)):
        moves[parent[node]].append(branch[node])
    special = {CHANCE: int(pyspiel.PlayerId.CHANCE), TERMINAL: int(pyspiel.PlayerId.TERMINAL)}
    states: list[Any] = []
    for node, who in enumerate(player):
        state = states[parent[node]].child(branch[node]) if node else spiel.new_initial_state()
        states.append(state)
        theirs = (int(state.current_player()), sorted(state.legal_actions()))
        # also keeps their library from moves it does not know, which end the process
        require(theirs == (special.get(who, who), sorted(moves[node])), "spiel", str(spiel), "a game of the same tree")
        if who >= 0:
            yield who, known[node], state


def _reader(source: Any) -> Callable[[Any], Any]:
    """Probabilities of actions in a state, as a policy or a bot says them."""
    import pyspiel

    if not isinstance(source, pyspiel.Bot):
        require(hasattr(source, "action_probabilities"), "policies", type(source).__name__, "of policies or bots")
        return lambda state: source.action_probabilities(state)
    kind = type(source)
    overridden = [getattr(kind, name) is not getattr(pyspiel.Bot, name) for name in ("get_policy", "step_with_policy")]
    by_step = overridden == [False, True]  # OpenSpiel's own bots in Python have nothing else
    says = by_step or source.provides_policy()
    require(says, "policies", f"a bot of type {kind.__name__}", "policies, or bots that say theirs")

    def read(state: Any) -> Any:
        try:
            source.restart_at(state)
        except RuntimeError as error:
            require(False, "policies", f"{kind.__name__}: {error}", "policies, or bots that restart at any state")
        return source.step_with_policy(state)[0] if by_step else source.get_policy(state)

    return read


def _distribution(chosen: Any, state: Any, width: int) -> np.ndarray:
    """`[A]`, once it is seen to be a distribution over the state's legal actions."""
    row, shares = np.zeros(width), dict(chosen)
    legal = set(state.legal_actions())
    odd = [action for action, share in shares.items() if share != 0 and action not in legal]
    values = np.array([shares.get(action, 0.0) for action in sorted(legal)], np.float64)
    good = not odd and bool((values >= 0).all() and abs(values.sum() - 1) <= 1e-4)
    got = f"{shares} after {state.history()}"
    require(good, "policies", got, f"probabilities of the legal actions {sorted(legal)}")
    row[sorted(legal)] = values / values.sum()
    return row
