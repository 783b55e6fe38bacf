"""Games a second of the registered solvers: a batch in one jitted `vmap`, one by one where they run on the host."""

from functools import partial

import jax
import numpy as np

from jaxmarl.bench.harness import REPEATS, compiled, reset_peak_memory, timed
from jaxmarl.bench.results import Row, make_row
from jaxmarl.games import NormalFormGame
from jaxmarl.solvers import solver_entry

DEFAULT_SIZES = (1, 256)
DEFAULT_NAMES = (
    "alpha_rank",
    "ce_max_entropy",
    "fictitious_play",
    "lemke_howson",
    "regret_matching_plus",
    "zero_sum_interior_point",
    "zero_sum_lp",
)
ACTIONS = 5
MOST_ON_HOST = 16  # games that a solver on the host is given


def measure(names: tuple[str, ...], sizes: tuple[int, ...] = DEFAULT_SIZES, repeats: int = REPEATS) -> list[Row]:
    """A row for each solver and number of games, with default options."""
    return [_row(name, size, repeats) for name in names for size in _sizes(name, sizes)]


def _sizes(name: str, sizes: tuple[int, ...]) -> list[int]:
    most = MOST_ON_HOST if solver_entry(name).on_host else max(sizes)
    return sorted({min(size, most) for size in sizes})


def random_games(kind: str, count: int, actions: int = ACTIONS, seed: int = 0) -> NormalFormGame:
    """A batch of two-player games of a class of `SolverEntry.games`, payoffs uniform in [-1, 1]."""
    first, second = np.random.default_rng(seed).uniform(-1, 1, (2, count, actions, actions)).astype(np.float32)
    if kind == "zero_sum":
        second = -first
    if kind == "symmetric":
        second = first.transpose(0, 2, 1)
    return jax.vmap(NormalFormGame)(np.stack([first, second], axis=1))


def _row(name: str, size: int, repeats: int) -> Row:
    entry = solver_entry(name)
    games = random_games(entry.games, size)
    reset_peak_memory()
    if entry.on_host:
        singles = [jax.tree.map(lambda x, i=i: x[i], games) for i in range(size)]
        gaps = [float(entry.solve(game).gap) for game in singles]
        timing = timed(lambda: [entry.solve(game).gap for game in singles], repeats, warm_up=False)
    else:
        ready, compile_seconds = compiled(jax.vmap(entry.solve), games)
        gaps = np.asarray(ready(games).gap).tolist()
        timing = timed(partial(ready, games), repeats, compile_seconds=compile_seconds)
    note = f"gap {max(gaps):.1e}"
    return make_row("solvers", name, size, "games/s", timing, size, note=note)
