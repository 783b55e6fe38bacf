"""Other libraries, those that are installed, on the same tasks in the same run: one after the other, as users do."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.bench.harness import REPEATS, Timing, chained, compiled, reset_peak_memory, timed
from jaxmarl.bench.results import Row, make_row

ROUNDS = 1000  # of regret matching


def measure(names: tuple[str, ...], sizes: tuple[int, ...] = (), repeats: int = REPEATS) -> list[Row]:
    """Rows of tasks, ours first and the peers' after it; `sizes` of ours in place of each task's own."""
    return [row for name in names for row in _task_rows(name, sizes, repeats)]


class Task(NamedTuple):
    """What both sides do.

    Attributes:
        unit: what is counted.
        sizes: how many of ours at once.
        ours: (size, repeats) -> timing, and how many units a call makes.
        peers: by name, a call that makes so many units, which may raise `ImportError`.
    """

    unit: str
    sizes: tuple[int, ...]
    ours: Callable[[int, int], tuple[Timing, float]]
    peers: dict[str, tuple[Callable[[], Any], int]]


def _task_rows(name: str, sizes: tuple[int, ...], repeats: int) -> list[Row]:
    task, rows = TASKS[name], []
    for size in sizes or task.sizes:
        reset_peak_memory()
        timing, units = task.ours(size, repeats)
        rows.append(make_row("peers", name, size, task.unit, timing, units))
    for peer, (call, units) in task.peers.items():
        reset_peak_memory()
        try:
            timing = timed(call, repeats)
        except ImportError:
            continue
        rows.append(make_row("peers", name, 1, task.unit, timing, units, peer=peer))
    return rows


def matrices(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Payoffs `[count, size, size]` of a row player, uniform in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size))


def zero_sum_games(payoffs: np.ndarray) -> Any:
    """A batch of zero-sum games in float32."""
    from jaxmarl.games import zero_sum_game

    return jax.vmap(zero_sum_game)(payoffs.astype(np.float32))


def open_spiel_solver(module: str, iterations: int) -> Callable[[np.ndarray], Any]:
    """One of OpenSpiel's solvers of payoff tensors by name."""

    def solve(matrix: np.ndarray) -> Any:
        import importlib

        library = importlib.import_module(f"open_spiel.python.algorithms.{module}")
        return getattr(library, module)([matrix, -matrix], iterations=iterations)

    return solve


def open_spiel_alpha_rank(matrix: np.ndarray) -> None:
    """Alpha-rank of two populations."""
    from open_spiel.python.egt import alpharank

    alpharank.compute([matrix, -matrix], alpha=0.1)


def linear_program(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A zero-sum game by SciPy's HiGHS, both players' strategies from one program."""
    from scipy.optimize import linprog

    rows, columns = matrix.shape
    solved = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.hstack([-matrix.T, np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
        method="highs",
    )
    return solved.x[:-1], -solved.ineqlin.marginals


def gambit(method: str) -> Callable[[np.ndarray], Any]:
    """One of Gambit's solvers by name, in floating point."""

    def solve(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import pygambit

        game = pygambit.Game.from_arrays(matrix, -matrix)
        options: dict[str, Any] = {"rational": False}
        if method == "lcp_solve":
            options["stop_after"] = 1
        profile = getattr(pygambit.nash, method)(game, **options).equilibria[0]
        x, y = ([float(p) for _, p in profile[player]] for player in game.players)
        return np.array(x), np.array(y)

    return solve


def nashpy_linear_program(matrix: np.ndarray) -> Any:
    """A zero-sum game by nashpy."""
    import nashpy

    return nashpy.Game(matrix, -matrix).linear_program()


def discrete_auction(size: int, repeats: int, steps: int) -> tuple[Timing, float]:
    """First-price auctions of values 1 to 10 and random bids below them: timing, and a bidder's mean payoff."""
    from jaxmarl.core import Uniform, draw, make
    from jaxmarl.envs.auctions import SealedBidState

    env, params = make("first_price_auction", num_bid_levels=10, max_bid=9.0, tie_rule="random")

    def rounds(carry):
        def one(total, key):
            values, bids, lots = draw((Uniform((2,)), Uniform((2,)), Uniform((2,))), key, (size,))
            values = 1 + jnp.floor(10 * values)
            actions = jnp.floor(bids * values).astype(jnp.int32)
            reward = jax.vmap(lambda v, b, lot: env.transition(SealedBidState(v, v), b, lot, params)[1])
            return total + reward(values, actions, lots).mean(), None

        keys = jax.random.split(carry[1], steps + 1)
        return jax.lax.scan(one, jnp.zeros(()), keys[1:])[0], keys[0]

    first = jnp.zeros(()), jax.random.key(0)
    timing = chained(rounds, first, repeats)
    return timing, float(jax.jit(rounds)(first)[0]) / steps


def open_spiel_auctions(games: int) -> float:
    """Plays the same auction `games` times at random, from Python; the first bidder's mean payoff."""
    import pyspiel

    game, payoff = pyspiel.load_game("first_sealed_auction(players=2,max_value=10)"), 0.0
    for _ in range(games):
        state = game.new_initial_state()
        while not state.is_terminal():
            # chance is uniform in this game
            state.apply_action(random.choice(state.legal_actions()))
        payoff += state.returns()[0]
    return payoff / games


def open_spiel_soccer(moves: int) -> float:
    """Seconds of random play of `markov_soccer`, a move being both players' and the chance node that orders them."""
    import pyspiel

    game = pyspiel.load_game("markov_soccer")
    state, moved, started = game.new_initial_state(), 0, time.perf_counter()
    while moved < moves:
        if state.is_terminal():
            state = game.new_initial_state()
        elif state.is_chance_node():
            state.apply_action(random.choice(state.legal_actions()))  # chance is uniform in this game
        else:
            state.apply_actions([random.choice(state.legal_actions(player)) for player in (0, 1)])
            moved += 1
    return time.perf_counter() - started


def open_spiel_dilemma(size: int, steps: int) -> float:
    """Seconds of random play of the iterated prisoner's dilemma, `size` games at once in NumPy."""
    from open_spiel.python.environments.iterated_matrix_game import IteratedPrisonersDilemma

    game = IteratedPrisonersDilemma(steps, size)
    actions = np.random.default_rng(0).integers(0, 2, (steps, size, 2))
    game.reset()
    started = time.perf_counter()
    for action in actions:
        game.step(action)
    return time.perf_counter() - started


def open_spiel_bots(row: str, column: str, num_throws: int = 1000) -> float:
    """Seconds of one match of two of OpenSpiel's compiled rock-paper-scissors bots."""
    import pyspiel

    game = pyspiel.create_repeated_game("matrix_rps", {"num_repetitions": num_throws})
    bots = [pyspiel.make_roshambo_bot(0, row), pyspiel.make_roshambo_bot(1, column)]
    started = time.perf_counter()
    pyspiel.evaluate_bots(game.new_initial_state(), bots, 0)
    return time.perf_counter() - started


def _solved(solver: Callable[..., Any], actions: int, size: int, repeats: int) -> tuple[Timing, float]:
    ready, seconds = compiled(jax.vmap(solver), zero_sum_games(matrices(size, actions)))
    games = zero_sum_games(matrices(size, actions))
    return timed(partial(ready, games), repeats, compile_seconds=seconds), size


def _regret_matching(size: int, repeats: int) -> tuple[Timing, float]:
    from jaxmarl.solvers.no_regret import regret_matching, self_play

    return _solved(lambda game: self_play(game, regret_matching(), ROUNDS).solution(game), 10, size, repeats)


def _interior_point(size: int, repeats: int) -> tuple[Timing, float]:
    from jaxmarl.solvers import zero_sum_interior_point

    return _solved(zero_sum_interior_point, 10, size, repeats)


def _alpha_rank(size: int, repeats: int) -> tuple[Timing, float]:
    from jaxmarl.solvers import alpha_rank

    return _solved(lambda game: alpha_rank(game, alpha=0.1), 9, size, repeats)


def _auction(size: int, repeats: int) -> tuple[Timing, float]:
    return discrete_auction(size, repeats, 64)[0], 64 * size


def _play(name: str, size: int, repeats: int) -> tuple[Timing, float]:
    from jaxmarl.bench.environments import steps_for, time_play
    from jaxmarl.core import make

    return time_play(*make(name), size, repeats, steps_for(size))


def _one(solve: Callable[[np.ndarray], Any], actions: int) -> tuple[Callable[[], Any], int]:
    matrix = matrices(1, actions)[0]

    def call() -> None:
        solve(matrix)

    return call, 1


TASKS: dict[str, Task] = {
    "alpha_rank": Task("games/s", (1, 256), _alpha_rank, {"OpenSpiel": _one(open_spiel_alpha_rank, 9)}),
    "first_price_auction": Task(
        "auctions/s", (1, 16384), _auction, {"OpenSpiel": (lambda: open_spiel_auctions(500), 500)}
    ),
    "iterated_matrix": Task(
        "steps/s",
        (1, 4096),
        partial(_play, "iterated_matrix"),
        {"OpenSpiel": (lambda: open_spiel_dilemma(4096, 16), 4096 * 16)},
    ),
    "regret_matching": Task(
        "games/s",
        (1, 256),
        _regret_matching,
        {"OpenSpiel": _one(open_spiel_solver("regret_matching", ROUNDS), 10)},
    ),
    "soccer": Task(
        "steps/s", (1, 4096), partial(_play, "soccer"), {"OpenSpiel": (lambda: open_spiel_soccer(500), 500)}
    ),
    "zero_sum": Task(
        "games/s",
        (1, 1024),
        _interior_point,
        {
            "HiGHS": _one(linear_program, 10),
            "nashpy": _one(nashpy_linear_program, 10),
            "pygambit": _one(gambit("lp_solve"), 10),
        },
    ),
}
DEFAULT_NAMES = tuple(TASKS)
