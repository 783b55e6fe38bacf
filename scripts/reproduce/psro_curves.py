"""NashConv against iterations of PSRO with exact best responses, beside OpenSpiel's `psro_v2` run alongside.

    python scripts/reproduce/psro_curves.py [--games kuhn_poker ...] [--meta nash uniform prd] [--folder FOLDER]
    python scripts/reproduce/psro_curves.py --smoke

Rock-paper-scissors, Colonel Blotto (10 units, 3 fields, 66 allocations), a random zero-sum game of 100 x 100 actions,
Kuhn poker and Goofspiel with 4 cards. Both sides start from the same strategies (action 0 in matrices, uniform in
trees), mix by the same meta-solver and answer by exact best responses; the peer is given exact payoffs. Where best
responses are unique the curves agree; where they tie, which one is found first is luck, so matrix games are also run
with the actions renamed at random (the peer in Blotto only, with Nash mixtures: it takes its time). The numbers go to
`psro_curves.json` and `.png` in `--folder` (default: runs/psro_curves), and what is there is not run again; without
open-spiel, the peer's columns stay empty.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.games import zero_sum_game
from jaxmarl.games.extensive_zoo import goofspiel, kuhn_poker
from jaxmarl.games.zoo import make_game
from jaxmarl.solvers.psro import ExtensivePsro, NormalFormPsro, Psro, PsroGame, PsroSettings

SOLVED = 1e-5
SHARES = (0.5, 0.1, 0.01)  # of the first NashConv, whose first iterations are counted
METAS = ("nash", "uniform", "prd")
PRD_STEPS, PRD_STEP = 5000, 1e-2  # of time, in units of 1 / (payoff range)


@dataclass(frozen=True)
class Case:
    """A game for both sides.

    Attributes:
        title: in figures.
        matrix: payoffs of the row player, or None for a tree.
        tree: the tree on our side.
        peer: name and parameters of the tree on the peer's.
        most: iterations by meta-solver.
    """

    title: str
    most: dict[str, int]
    matrix: Callable[[], np.ndarray] | None = None
    tree: Callable[[], Any] | None = None
    peer: tuple[str, dict[str, Any]] = ("", {})


CASES = {
    "rps": Case("rock-paper-scissors", dict.fromkeys(METAS, 12), lambda: payoffs("rps")),
    "blotto": Case(
        "Blotto, 10 units, 3 fields",
        {"nash": 80, "uniform": 60, "prd": 25},
        lambda: payoffs("blotto", row_units=10, column_units=10, mode="majority"),
    ),
    "random_100": Case(
        "random, 100 x 100",
        {"nash": 80, "uniform": 50, "prd": 25},
        lambda: np.random.default_rng(0).uniform(-1, 1, (100, 100)),
    ),
    "kuhn_poker": Case("Kuhn poker", {"nash": 12, "uniform": 60, "prd": 20}, None, kuhn_poker, ("kuhn_poker", {})),
    "goofspiel_4": Case(
        "Goofspiel, 4 cards",
        {"nash": 40, "uniform": 40, "prd": 20},
        None,
        goofspiel,
        ("goofspiel", {"num_cards": 4, "points_order": "descending"}),
    ),
}


def payoffs(name: str, **options: Any) -> np.ndarray:
    """The row player's matrix of a game of the zoo."""
    return np.asarray(make_game(name, **options).payoffs[0], np.float64)


def our_curve(game: PsroGame, meta: str, most: int) -> list[float]:
    """NashConv of the mixture at every iteration; 0 is where the run ended because nothing gains."""
    settings = PsroSettings(capacity=most, meta_solver=meta, shared=False, tolerance=SOLVED)
    return Psro(game, settings).run(jax.random.key(0)).rows()["nash_conv"].tolist()


def matrix_game(matrix: np.ndarray) -> PsroGame:
    """Our side's game of a matrix."""
    return NormalFormPsro(zero_sum_game(matrix.astype(np.float32)), True, False)


def renamed(matrix: np.ndarray, count: int) -> list[np.ndarray]:
    """The matrix with actions other than the first in random orders, so that ties are broken at random."""
    tables = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        rows, columns = (np.append(0, 1 + rng.permutation(size - 1)) for size in matrix.shape)
        tables.append(matrix[np.ix_(rows, columns)])
    return tables


def peer_curve(case: Case, matrix: np.ndarray | None, meta: str, most: int) -> list[float] | None:
    """The same of `psro_v2` on a matrix or the tree of a case, until it is solved; None if it is not installed."""
    try:
        import pyspiel

        from jaxmarl.interop.open_spiel_psro import psro_v2_iterations
    except ImportError:
        return None
    span, first = 2.0, None
    if matrix is not None:
        first = 0
        span = float(np.ptp(matrix))
        game = pyspiel.convert_to_turn_based(pyspiel.create_matrix_game(matrix.tolist(), (-matrix).tolist()))
    else:
        game = pyspiel.load_game(*case.peer)
        span = game.max_utility() - game.min_utility()
        if game.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
            game = pyspiel.convert_to_turn_based(game)
    options = {"prd_iterations": PRD_STEPS, "prd_dt": PRD_STEP / span, "prd_gamma": 1e-6} if meta == "prd" else {}
    curve: list[float] = []
    rows = psro_v2_iterations(game, meta, first_action=first, episodes=0 if matrix is None else 1, **options)
    for row in itertools.islice(rows, most):
        curve.append(row.nash_conv)
        if row.nash_conv <= SOLVED:
            break
    return curve


def reached(curve: list[float], level: float) -> int | None:
    """The first iteration (from 1) at which NashConv is at most `level`."""
    return next((t + 1 for t, gap in enumerate(curve) if gap <= level), None)


def mean_ratio(ours: list[float], peer: list[float]) -> float:
    """Geometric mean, over iterations at which neither had ended, of our NashConv over the peer's."""
    pairs = [(a, b) for a, b in zip(ours, peer, strict=False) if min(a, b) > SOLVED]
    return float(np.exp(np.mean([np.log(a / b) for a, b in pairs]))) if pairs else 1.0


def compare(name: str, meta: str, args: argparse.Namespace) -> dict[str, Any]:
    """Both curves of one game and meta-solver."""
    case = CASES[name]
    most = min(case.most[meta], args.most)
    matrix = case.matrix() if case.matrix else None
    started = time.perf_counter()
    if matrix is not None:
        ours = our_curve(matrix_game(matrix), meta, most)
    else:
        assert case.tree
        ours = our_curve(ExtensivePsro(case.tree()), meta, most)
    tables = [] if matrix is None else renamed(matrix, args.renamed)
    again = [our_curve(matrix_game(table), meta, most) for table in tables]
    middle = time.perf_counter()
    peer = peer_curve(case, matrix, meta, most)
    times = {"ours": middle - started, "peer": time.perf_counter() - middle}
    tables = tables[: args.renamed_peer] if name == "blotto" and meta == "nash" else []
    peer_again = [curve for table in tables if (curve := peer_curve(case, table, meta, most))]
    row = {"game": name, "meta": meta, "most": most, "seconds": times, "ours": ours, "peer": peer}
    return {**row, "renamed": again, "peer_renamed": peer_again}


def summary(row: dict[str, Any]) -> list[str]:
    """Iterations to each level (ours, theirs), the last NashConv of both, and the mean ratio of the curves."""
    ours, peer = row["ours"], row["peer"]
    levels = [share * ours[0] for share in SHARES] + [SOLVED]
    cells = [row["game"], row["meta"]]
    for level in levels:
        pair = [reached(curve, level) for curve in (ours, peer or [])]
        cells.append(" / ".join("-" if number is None else str(number) for number in pair))
    cells.append(" / ".join(mean_solved(row[name]) for name in ("renamed", "peer_renamed") if row[name]))
    last = [f"{max(curve[-1], 0):.1e}" for curve in (ours, peer or []) if curve]
    return [*cells, " / ".join(last), f"{mean_ratio(ours, peer):.3f}" if peer else ""]


def mean_solved(curves: list[list[float]]) -> str:
    """Mean and range of the iterations until curves are solved; empty unless all are."""
    solved = [number for number in (reached(curve, SOLVED) for curve in curves) if number]
    if len(solved) < len(curves):
        return ""
    return f"{np.mean(solved):.1f} ({min(solved)} to {max(solved)})"


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = [*(f"to {share:.0%}" for share in SHARES), f"to {SOLVED:g}", "renamed", "last NashConv", "mean ratio"]
    title = "iterations to a share of the first NashConv: ours / psro_v2 (-: not within the run)"
    table = Table("game", "meta-solver", *heads, title=title, padding=(0, 1))
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*summary(row))
    Console(width=150).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """One panel a game: NashConv by iteration, a look a meta-solver, ours as lines and the peer's as points."""
    from matplotlib.ticker import MaxNLocator

    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    games = list(dict.fromkeys(row["game"] for row in rows))
    columns = min(len(games), 3)
    lines = -(-len(games) // columns)
    figure = new_figure(4.6 * columns, 3.7 * lines + 0.5)
    looks = dict(zip(METAS, SERIES, strict=False))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(games) :]:
        axes.set_axis_off()
    for axes, game in zip(panels, games, strict=False):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        quiet_axes(axes, grid="y")
        for row in (row for row in rows if row["game"] == game):
            look = looks[row["meta"]]
            for curve in row["renamed"]:
                _draw_curve(axes, curve, color=look.colour, linewidth=0.7, alpha=0.3)
            _draw_curve(axes, row["ours"], **look.line, linewidth=1.4, label=f"{row['meta']}, jaxmarl")
            if row["peer"]:
                dots = {**look.dots, "linestyle": "none", "markersize": 4, "markerfacecolor": "none"}
                _draw_curve(axes, row["peer"], label=f"{row['meta']}, psro_v2", **dots)
        axes.set_yscale("log")
        axes.set_ylim(SOLVED / 2, 3 * max(row["ours"][0] for row in rows if row["game"] == game))
        axes.axhline(SOLVED, color=FAINT, linewidth=0.8)
        axes.set_xlabel("iteration", fontsize=BODY, color=INK)
        panel_title(axes, CASES[game].title)
        if game == games[0]:
            axes.set_ylabel("NashConv", fontsize=BODY, color=INK)
    legend(figure)
    return write_figure(figure, path)


def _draw_curve(axes: Any, curve: list[float], **look: Any) -> None:
    axes.plot(range(1, len(curve) + 1), np.maximum(curve, SOLVED), **look)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--meta", nargs="+", choices=METAS, default=list(METAS))
    parser.add_argument("--most", type=int, default=1000, help="iterations at most, in all games")
    parser.add_argument("--renamed", type=int, default=8, help="runs with actions renamed")
    parser.add_argument("--renamed-peer", type=int, default=4, help="the same of the peer")
    parser.add_argument("--folder", type=Path, default=Path("runs/psro_curves"))
    parser.add_argument("--fresh", action="store_true", help="run again what the folder has already")
    parser.add_argument("--smoke", action="store_true", help="two small games, few iterations: that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.games, args.meta, args.most, args.renamed = ["rps", "kuhn_poker"], ["uniform"], 6, 1
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "psro_curves.json"
    known = json.loads(path.read_text())["rows"] if path.exists() and not args.fresh else []
    rows = []
    for game, meta in itertools.product(args.games, args.meta):
        found = [row for row in known if (row["game"], row["meta"]) == (game, meta)]
        rows.append(found[0] if found else compare(game, meta, args))
        print(
            f"{game}, {meta}: {rows[-1]['seconds']['ours']:.1f} s, peer {rows[-1]['seconds']['peer']:.1f} s", flush=True
        )
        keys = [(row["game"], row["meta"]) for row in rows]
        others = [row for row in known if (row["game"], row["meta"]) not in keys]
        written = replace_file(path, (json.dumps({"rows": rows + others}, indent=1) + "\n").encode())
    print_table(rows)
    print(f"wrote {written} and {draw_figure(rows, args.folder / 'psro_curves.png')}")


if __name__ == "__main__":
    main()
