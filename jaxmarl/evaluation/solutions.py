"""A solution of a normal-form game for people and for scripts: a table on the terminal, JSON or NumPy files."""

import io
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.table import Table

from jaxmarl.core.checks import require_choice
from jaxmarl.core.files import replace_file
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.solvers.solution import Solution

SUFFIXES = (".json", ".npz")  # of files of solutions
MOST_ROWS = 20  # of a player in a table on the terminal
GAP_NAMES = {"nash_conv": "NashConv", "ce_gap": "CE gap", "cce_gap": "CCE gap"}
JSON_TRACE = 1  # axes of the measurements that JSON gets; the archive gets all of them


def solution_table(game: NormalFormGame, solution: Solution, title: str = "") -> Table:
    """Each player's most played actions with their probabilities and payoffs, and the certificate below.

    Args:
        game: one game, not a batch.
        solution: of this game.
        title: above the table.
    """
    certificate = (
        f"{GAP_NAMES[solution.gap_kind]} {float(solution.gap):.3g} ({relative_gap(game, solution):.2g} of the payoffs' "
        f"range), recomputed from the game · {int(solution.iterations)} iterations"
    )
    table = Table("player", "payoff", "action", "probability", "pays", title=title or None, caption=certificate)
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    for i, strategy in enumerate(map(np.asarray, solution.strategies)):
        action_payoffs = _action_payoffs(game, solution, i)
        shown = [int(a) for a in np.argsort(-strategy, kind="stable") if strategy[a] > 5e-5][:MOST_ROWS]
        hidden = int((strategy > 5e-5).sum()) - len(shown)
        for row, action in enumerate(sorted(shown)):
            head = (str(i), f"{float(solution.payoffs[i]):.6g}") if row == 0 else ("", "")
            table.add_row(*head, str(action), f"{strategy[action]:.4f}", f"{action_payoffs[action]:.6g}")
        if hidden:
            table.add_row("", "", f"{hidden} more", f"{1 - strategy[shown].sum():.4f}", "")
        table.add_section()
    return table


def relative_gap(game: NormalFormGame, solution: Solution) -> float:
    """The gap as a share of the largest payoff range of a player (0 where all payoffs are equal)."""
    spread = float(game.payoff_range().max())
    return max(float(solution.gap), 0.0) / spread if spread > 0 else 0.0


def save_solution(solution: Solution, path: str | Path) -> Path:
    """Writes a solution to `.json` (strategies, payoffs, gap, curves) or `.npz` (the same and the whole trace).

    Returns:
        The path.

    Raises:
        ValueError: another suffix.
        OSError: it cannot be written; what was there is untouched.
    """
    path = Path(path)
    require_choice("path's suffix", path.suffix, SUFFIXES)
    arrays = {
        **{f"strategy_{i}": np.asarray(strategy) for i, strategy in enumerate(solution.strategies)},
        "payoffs": np.asarray(solution.payoffs),
        "gap": np.asarray(solution.gap),
        "iterations": np.asarray(solution.iterations),
    }
    if solution.joint is not None:
        arrays["joint"] = np.asarray(solution.joint)
    trace = {f"trace_{name}": np.asarray(values) for name, values in solution.trace.items()}
    if path.suffix == ".json":
        short = {name: values for name, values in trace.items() if values.ndim <= JSON_TRACE}
        rows: dict[str, Any] = {name: values.tolist() for name, values in (arrays | short).items()}
        return replace_file(path, json.dumps({"gap_kind": solution.gap_kind, **rows}, indent=1).encode())
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, gap_kind=np.asarray(solution.gap_kind), **arrays, **trace)
    return replace_file(path, content.getvalue())


def _action_payoffs(game: NormalFormGame, solution: Solution, player: int) -> np.ndarray:
    """Of each own action against what the others do; of a joint distribution, against their marginal behaviour."""
    if solution.joint is None:
        strategies = tuple(jnp.asarray(strategy, game.payoffs.dtype) for strategy in solution.strategies)
        return np.asarray(game.action_payoffs(player, strategies))
    others = np.asarray(solution.joint).sum(player).ravel()
    payoffs = np.moveaxis(np.asarray(game.payoffs[player]), player, 0)
    return payoffs.reshape(len(payoffs), -1) @ others
