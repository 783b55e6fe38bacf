"""One game, many notions of a solution: what each pays, and how far it is from what it claims to be.

python examples/solve_a_game.py
"""

from rich.console import Console
from rich.table import Table

from jaxmarl.games import make_game
from jaxmarl.solvers import solve

SOLVERS = ("lemke_howson", "pure_nash", "quantal_response", "ce_max_welfare", "ce_max_entropy", "cce_max_entropy")


def main() -> None:
    """Solves chicken by several solvers."""
    game = make_game("chicken")
    table = Table("solver", "first player", "payoffs", "welfare", "gap", "of kind", title="chicken")
    for name in SOLVERS:
        solution = solve(game, name)
        mixed = ", ".join(f"{p:.3f}" for p in solution.strategies[0])
        payoffs = ", ".join(f"{p:.2f}" for p in solution.payoffs)
        total = f"{float(solution.payoffs.sum()):.2f}"
        table.add_row(name, mixed, payoffs, total, f"{float(solution.gap):.1e}", solution.gap_kind)
    Console().print(table)
    best = solve(game, "pure_nash").payoffs.sum()
    print(f"the best pure equilibrium has welfare {float(best):.2f}; a mediator does better")


if __name__ == "__main__":
    main()
