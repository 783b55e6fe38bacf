"""Markov games as OpenSpiel games with simultaneous moves and chance (`pip install open-spiel`)."""

import itertools
from typing import Any, NamedTuple

import numpy as np

from jaxmarl.core.checks import require, require_int
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import SuccessorKernel
from jaxmarl.interop.open_spiel import game_type, registered_game

_NAMES = itertools.count()  # OpenSpiel keeps one game a name


class _Tables(NamedTuple):
    """A game on the host; copies of a state share it."""

    rewards: np.ndarray
    successors: np.ndarray | None
    probabilities: np.ndarray
    initial: np.ndarray
    legal: tuple[np.ndarray, ...]
    discount: float
    horizon: int

    def __deepcopy__(self, memo: Any) -> "_Tables":
        return self

    def outcomes(self, state: int, profile: tuple[int, ...]) -> list[tuple[int, float]]:
        """Where a profile leads, `num_states` standing for the end, with probabilities that add to 1."""
        row = self.probabilities[(state, *profile)]
        places = np.arange(len(row)) if self.successors is None else self.successors[(state, *profile)]
        mass: dict[int, float] = {}
        for place, share in zip(places.tolist(), row.tolist(), strict=True):
            if share > 0:
                mass[place] = mass.get(place, 0.0) + share
        rest = 1 - sum(mass.values())
        if rest > 1e-6:
            mass[len(self.initial)] = rest
        return _distribution(mass)


def _distribution(mass: dict[int, float]) -> list[tuple[int, float]]:
    total = sum(mass.values())
    return [(place, share / total) for place, share in sorted(mass.items())]


def markov_game_to_open_spiel(game: MarkovGame, horizon: int | None = None) -> Any:
    """The same game as a `pyspiel.Game`: rewards are discounted to the start, so returns are the game's payoffs.

    The first state, and every state that more than one may follow, is drawn at a chance node; the outcome numbered
    `S` ends the game. Players observe the state and the step. Turn it into a game of turns, for OpenSpiel's algorithms
    on trees, by `pyspiel.convert_to_turn_based`.

    Args:
        game: one game, not a batch.
        horizon: steps after which it is cut off (default: the game's own).

    Raises:
        ValueError: a game without end, and no `horizon`.
    """
    import pyspiel

    horizon = game.horizon if horizon is None else horizon
    require(horizon is not None, "horizon", None, "given for a game without end")
    require_int("horizon", horizon, 1)
    assert horizon is not None
    kernel = game.kernel
    tables = _Tables(
        rewards=np.asarray(game.rewards, np.float64),
        successors=np.asarray(kernel.successors) if isinstance(kernel, SuccessorKernel) else None,
        probabilities=np.asarray(kernel.probabilities, np.float64),
        initial=np.asarray(game.initial, np.float64),
        legal=tuple(np.asarray(game.mask(i)) for i in range(game.num_players)),
        discount=float(game.discount),
        horizon=horizon,
    )
    return _game_class(pyspiel, tables)()


def _game_class(pyspiel: Any, tables: _Tables) -> Any:
    """The registered class of one game."""
    players, longest = tables.rewards.shape[0], tables.horizon
    sums = tables.rewards.sum(axis=0)
    weights = tables.discount ** np.arange(longest)
    constant = bool(np.allclose(sums, 0, atol=1e-6))
    kinds = pyspiel.GameType
    about = game_type(
        short_name=f"jaxmarl_markov_game_{next(_NAMES)}",
        long_name="Markov game of jaxmarl",
        dynamics=kinds.Dynamics.SIMULTANEOUS,
        chance_mode=kinds.ChanceMode.EXPLICIT_STOCHASTIC,
        information=kinds.Information.PERFECT_INFORMATION,
        reward_model=kinds.RewardModel.REWARDS,
        num_players=players,
        zero_sum=constant,
        observations=True,
    )
    low, high = float(tables.rewards.min()) * weights.sum(), float(tables.rewards.max()) * weights.sum()
    facts = pyspiel.GameInfo(
        num_distinct_actions=max(tables.rewards.shape[2:]),
        max_chance_outcomes=len(tables.initial) + 1,
        num_players=players,
        min_utility=min(low, tables.rewards.min()) - 1e-6,
        max_utility=max(high, tables.rewards.max()) + 1e-6,
        utility_sum=0.0 if constant else None,
        max_game_length=longest,
    )
    return registered_game(about, facts, _state_class(pyspiel, tables), lambda: _Observer(len(tables.initial), longest))


def _state_class(pyspiel: Any, tables: _Tables) -> Any:
    class State(pyspiel.State):
        """A history of the game: the state of the Markov game, the step, and what was earned."""

        def __init__(self, game: Any):
            super().__init__(game)
            players = tables.rewards.shape[0]
            self.place, self.step = -1, 0
            self.outcomes: list[tuple[int, float]] = []
            self.earned, self.total = np.zeros(players), np.zeros(players)
            self.over = False
            first = {i: share for i, share in enumerate(tables.initial.tolist()) if share > 0}
            self._go(_distribution(first))

        def _go(self, outcomes: list[tuple[int, float]]) -> None:
            """On to the only outcome, or to a chance node."""
            self.outcomes = outcomes if len(outcomes) > 1 else []
            if len(outcomes) == 1:
                self._arrive(outcomes[0][0])

        def _arrive(self, place: int) -> None:
            self.place, self.outcomes = place, []
            self.over = place == len(tables.initial)

        def current_player(self) -> Any:
            if self.over:
                return pyspiel.PlayerId.TERMINAL
            return pyspiel.PlayerId.CHANCE if self.outcomes else pyspiel.PlayerId.SIMULTANEOUS

        def _legal_actions(self, player: int) -> list[int]:
            return np.flatnonzero(tables.legal[player][self.place]).tolist()

        def chance_outcomes(self) -> list[tuple[int, float]]:
            return self.outcomes

        def _apply_action(self, action: int) -> None:
            self._arrive(action)

        def _apply_actions(self, actions: list[int]) -> None:
            profile = tuple(actions)
            cell: Any = (slice(None), self.place, *profile)
            self.earned = tables.discount**self.step * tables.rewards[cell]
            self.total = self.total + self.earned
            self.step += 1
            if self.step == tables.horizon:
                self.over = True
            else:
                self._go(tables.outcomes(self.place, profile))

        def _action_to_string(self, player: int, action: int) -> str:
            return f"state {action}" if player == pyspiel.PlayerId.CHANCE else str(action)

        def is_terminal(self) -> bool:
            return self.over

        def rewards(self) -> np.ndarray:
            return self.earned

        def returns(self) -> np.ndarray:
            return self.total

        def __str__(self) -> str:
            return f"step {self.step}, " + (
                "chance" if self.outcomes else "end" if self.over else f"state {self.place}"
            )

    return State


class _Observer:
    """State, one-hot, and the share of the steps that are over; all players see the same."""

    def __init__(self, num_states: int, horizon: int):
        self.horizon = horizon
        self.tensor = np.zeros(num_states + 1, np.float32)
        self.dict = {"state": self.tensor[:-1], "step": self.tensor[-1:]}

    def set_from(self, state: Any, player: int) -> None:
        """Fills the tensor."""
        self.tensor.fill(0)
        if 0 <= state.place < len(self.tensor) - 1:
            self.tensor[state.place] = 1
        self.tensor[-1] = state.step / self.horizon

    def string_from(self, state: Any, player: int) -> str:
        """What the player sees."""
        return str(state)
