"""OpenSpiel's PSRO (`psro_v2`) with exact best responses, one iteration at a time: a reference for `solvers.psro`.

Needs `open-spiel`, and `cvxpy` for its Nash meta-solver.
"""

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxmarl.core.checks import require_int


class PeerIteration(NamedTuple):
    """The mixture of a population before an iteration adds to it, as a row of `PsroState.rows`.

    Attributes:
        size: strategies of a player, repetitions included.
        nash_conv: of the mixture in the whole game.
        seconds: since the start, without what it took to measure `nash_conv`.
    """

    size: int
    nash_conv: float
    seconds: float


def psro_v2_iterations(
    game: Any, meta: str = "nash", *, first_action: int | None = None, episodes: int = 0, **options: Any
) -> Iterator[PeerIteration]:
    """`psro_v2` with its `BestResponseOracle`, without end; marginals are aggregated, its faster way.

    Args:
        game: a two-player `pyspiel.Game` whose players move in turn (see `pyspiel.convert_to_turn_based`).
        meta: `meta_strategy_method`: nash, uniform, prd, rm, ...
        first_action: of both first strategies, wherever they move; None: uniform strategies.
        episodes: played for every new pair of strategies, as the library does (one is exact for pure strategies in a
            matrix game); 0 to give it expected payoffs, computed by its own `policy_value`.
        **options: of the meta-solver, as in `prd_iterations=5000`.

    Yields:
        One row an iteration, the first of which is of the first strategies.
    """
    from open_spiel.python import policy
    from open_spiel.python.algorithms import expected_game_score
    from open_spiel.python.algorithms.psro_v2 import best_response_oracle, psro_v2

    class Expected(psro_v2.PSROSolver):
        def sample_episodes(self, policies: Any, num_episodes: int) -> np.ndarray:
            return np.asarray(expected_game_score.policy_value(game.new_initial_state(), policies))

    require_int("episodes", episodes, 0)
    firsts = None
    if first_action is not None:
        first = policy.TabularPolicy(game)
        first.action_probability_array[:] = np.eye(game.num_distinct_actions())[first_action]
        firsts = [first, first]
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
        solver = (psro_v2.PSROSolver if episodes else Expected)(
            game,
            best_response_oracle.BestResponseOracle(game=game, policy=None),
            sims_per_entry=episodes,
            initial_policies=firsts,
            meta_strategy_method=meta,
            training_strategy_selector="probabilistic",
            sample_from_marginals=True,
            **options,
        )
    seconds = time.perf_counter() - started
    while True:
        yield PeerIteration(len(solver.get_policies()[0]), _nash_conv(game, solver), seconds)
        started = time.perf_counter()
        solver.iteration()
        seconds += time.perf_counter() - started


def _nash_conv(game: Any, solver: Any) -> float:
    """Of the behaviour strategies that play like the mixtures, by the library's own exact measure."""
    from open_spiel.python.algorithms import exploitability, policy_aggregator

    aggregator = policy_aggregator.PolicyAggregator(game)
    mixed = aggregator.aggregate([0, 1], solver.get_policies(), solver.get_meta_strategies())
    return float(exploitability.nash_conv(game, mixed, use_cpp_br=True))
