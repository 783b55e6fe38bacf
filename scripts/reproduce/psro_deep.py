"""PSRO whose responses are learned by PPO, end to end, with exact certificates: Markov soccer and repeated RPS.

    python scripts/reproduce/psro_deep.py [--games soccer rps] [--runs nash uniform last greedy] [--folder FOLDER]
    python scripts/reproduce/psro_deep.py --smoke

Soccer is Littman's (1994) with at most 20 steps. Repeated rock-paper-scissors has three throws, all of which are seen;
rock wins double, so that the equilibrium is (1/4, 1/2, 1/4) and not what a fresh network plays.
Every iteration trains a fresh network against the population's mixture, estimates the payoffs of the new pairs from
matches, and mixes anew: by a Nash equilibrium of the payoffs (PSRO), equally (fictitious play), or by playing the
newest only (self-play). Networks see the state and have no memory, so members are tables in the *enumerated* game, and
NashConv there is exact: of the mixture as one policy by step and state (in RPS, where states are histories, the same as
drawing a member once an episode); in runs called greedy, whose members play their likeliest actions, of the mixture
drawn once an episode itself, by backward induction over what the responder may believe. Beside it stands what learned
responses gained, a bound from below on the mixture drawn once an episode. Runs called exact are PSRO with exact best
responses, by dynamic programming in the tree of histories (of RPS; soccer's is too large): how fast learned ones could
be at best. Runs are kept in `--folder` (default:
runs/psro_deep) and resumed if they are there; `psro_deep.json` and `.png` are written there too.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.files import replace_file
from jaxmarl.core.fixed_horizon import FixedHorizon
from jaxmarl.envs.markov.enumerate import Enumeration, enumerate_game
from jaxmarl.envs.markov.soccer import Soccer
from jaxmarl.envs.rps.repeated import RepeatedRPS, RPSParams
from jaxmarl.learners.policy_gradient import PPOConfig
from jaxmarl.solvers.psro import MarkovPsro, Psro, PsroSettings, PsroState, unroll
from jaxmarl.solvers.psro.deterministic import mixtures_nash_conv
from jaxmarl.solvers.psro.environment import EnvironmentPsro
from jaxmarl.solvers.psro.memoryless import markov_nash_conv, memoryless_ppo_oracle, policy_tables, state_mixtures
from jaxmarl.solvers.psro.saved import run_saved

RUNS = {"nash": "nash_lp", "uniform": "uniform", "last": "last", "greedy": "nash_lp", "exact": "nash_lp"}
SOCCER_STEPS, THROWS = 20, 3


@dataclass(frozen=True)
class Case:
    """A game, and how responses are learned.

    Attributes:
        title: in figures.
        env: of fixed horizon, which is played.
        table: the environment that is enumerated.
        config: of PPO.
        updates: for one response.
        episodes: of every new pair.
        params: of the environment (None: its own).
    """

    title: str
    env: AnyEnvironment
    table: AnyEnvironment
    config: PPOConfig
    updates: int
    episodes: int
    params: Any = None


def settings_of_ppo(horizon: int, **other: Any) -> PPOConfig:
    """PPO on whole episodes without discount."""
    options = {"hidden": 64, "minibatches": 4, "epochs": 4, "learning_rate": 2e-3, "label_weight": 0.0} | other
    return PPOConfig(chunk_length=horizon, discount=1.0, **options)


def case(name: str, smoke: bool) -> Case:
    """A game by name."""
    if name == "soccer":
        field = Soccer(turned=True)
        env = FixedHorizon(field, SOCCER_STEPS)
        config = settings_of_ppo(SOCCER_STEPS, entropy_weight=0.01)
        return Case("Markov soccer", env, field, config, 2 if smoke else 150, 4 if smoke else 400)
    rps = RepeatedRPS(num_throws=THROWS, recall=THROWS)
    config = settings_of_ppo(THROWS, entropy_weight=0.02, learning_rate=5e-3)
    params = RPSParams(payoffs=jnp.asarray([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-2.0, 1.0, 0.0]]))
    updates, episodes = (2, 4) if smoke else (150, 400)
    return Case(f"rock-paper-scissors, {THROWS} throws", rps, rps, config, updates, episodes, params)


def exact_curve(psro: EnvironmentPsro, state: PsroState, chosen: Case, table: Enumeration, greedy: bool) -> list[float]:
    """NashConv of the mixture at every iteration in the enumerated game."""
    tables = [
        policy_tables(chosen.table, chosen.config, psro.players(state, seat).params, table.states, seat, chosen.params)
        for seat in range(2)
    ]
    curve = []
    for mixtures in state.rows()["mixture"]:
        weights = [mixture[: len(rows)] for mixture, rows in zip(mixtures, tables, strict=True)]
        if greedy:
            curve.append(mixtures_nash_conv(table.game, [rows.argmax(-1) for rows in tables], weights))
        else:
            curve.append(float(markov_nash_conv(table.game, state_mixtures(table.game, tables, weights))))
    return curve


def exact_run(name: str, table: Enumeration, iterations: int) -> dict[str, Any]:
    """PSRO with exact best responses to mixtures drawn once an episode."""
    started = time.perf_counter()
    psro = Psro(MarkovPsro(unroll(table.game)), PsroSettings(capacity=iterations, meta_solver=RUNS["exact"]))
    rows = psro.run(jax.random.key(0)).rows()
    seconds, gaps = time.perf_counter() - started, rows["nash_conv"].tolist()
    played = [int((mixture[0] > 1e-6).sum()) for mixture in rows["mixture"]]
    times = {"trained": seconds, "certificates": 0.0}
    row = {"game": name, "run": "exact", "exact": gaps, "learned": gaps, "error": [0.0] * len(gaps)}
    return row | {"played": played, "seconds": times}


def run(name: str, kind: str, args: argparse.Namespace) -> dict[str, Any]:
    """One run of PSRO and its certificates."""
    chosen, greedy = case(name, args.smoke), kind == "greedy"
    table = enumerate_game(chosen.table, chosen.params, discount=1.0, horizon=chosen.env.horizon)
    if kind == "exact":
        return exact_run(name, table, args.iterations)
    oracle = memoryless_ppo_oracle(chosen.config, greedy)
    game = EnvironmentPsro(
        chosen.env, oracle, chosen.updates, matches=8, episodes=chosen.episodes, env_params=chosen.params
    )
    psro = Psro(game, PsroSettings(capacity=args.iterations, meta_solver=RUNS[kind]))
    folder, started = args.folder / f"{name}_{kind}", time.perf_counter()

    def report(state: PsroState) -> None:
        t = int(state.iteration) - 1
        gain, error = (state.rows()[column][t] for column in ("nash_conv", "nash_conv_error"))
        seconds = time.perf_counter() - started
        print(f"{name}, {kind}, iteration {t + 1}: learned gain {gain:.3f} ± {error:.3f}, {seconds:.0f} s", flush=True)

    state = run_saved(psro, folder, seed=args.seed, resume=folder.exists(), on_iteration=report)
    trained = time.perf_counter() - started
    rows = state.rows()
    return {
        "game": name,
        "run": kind,
        "exact": exact_curve(game, state, chosen, table, greedy),
        "learned": rows["nash_conv"].tolist(),
        "error": rows["nash_conv_error"].tolist(),
        "played": [int((mixture[0] > 1e-6).sum()) for mixture in rows["mixture"]],
        "seconds": {"trained": trained, "certificates": time.perf_counter() - started - trained},
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = ("first", "middle", "last", "best", "learned gain, last", "played", "seconds")
    title = "exact NashConv in the enumerated game, by iteration; what the learned response gained"
    table = Table("game", "run", *heads, title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        curve = row["exact"]
        numbers = [curve[0], curve[len(curve) // 2], curve[-1], min(curve)]
        learned = f"{row['learned'][-1]:.3f} ± {row['error'][-1]:.3f}"
        cells = [*(f"{number:.3f}" for number in numbers), learned, str(row["played"][-1])]
        table.add_row(row["game"], row["run"], *cells, f"{row['seconds']['trained']:.0f}")
    Console(width=120).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """One panel a game: exact NashConv (lines) and what learned responses gained (dots) by iteration."""
    from jaxmarl.viz.style import BODY, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    games = list(dict.fromkeys(row["game"] for row in rows))
    names = {"nash": "Nash mixture", "uniform": "uniform mixture", "last": "newest only", "greedy": "Nash, greedy"}
    names["exact"] = "Nash, exact responses"
    looks = dict(zip([run for run in RUNS if any(row["run"] == run for row in rows)], SERIES, strict=False))
    figure = new_figure(6.2 * len(games), 4.4)
    for axes, game in zip(figure.subplots(1, len(games), squeeze=False)[0], games, strict=True):
        quiet_axes(axes, grid="y")
        for row in (row for row in rows if row["game"] == game):
            places, look = np.arange(1, len(row["exact"]) + 1), looks[row["run"]]
            axes.plot(places, row["exact"], **look.line, linewidth=1.6, label=names[row["run"]])
            if row["run"] == "exact":
                continue
            errors = 2 * np.asarray(row["error"])
            dots = {**look.dots, "linestyle": "none", "markersize": 4, "elinewidth": 0.9, "alpha": 0.7}
            axes.errorbar(places, row["learned"], errors, **dots)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("iteration", fontsize=BODY, color=INK)
        panel_title(axes, case(game, smoke=True).title)
    figure.axes[0].set_ylabel("NashConv: exact (lines), learned gain (dots)", fontsize=BODY, color=INK)
    legend(figure.axes[0])
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", nargs="+", choices=("soccer", "rps"), default=["soccer", "rps"])
    parser.add_argument("--runs", nargs="+", choices=tuple(RUNS), default=list(RUNS))
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/psro_deep"))
    parser.add_argument("--smoke", action="store_true", help="two tiny iterations: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.games, args.runs, args.iterations = ["rps"], ["uniform", "exact"], 2
    return args


def main() -> None:
    """Trains, certifies, prints and writes everything."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for game in args.games:
        for kind in args.runs:
            if (game, kind) == ("soccer", "exact"):
                continue
            rows.append(run(game, kind, args))
            record = json.dumps({"seed": args.seed, "rows": rows}, indent=1) + "\n"
            written = replace_file(args.folder / "psro_deep.json", record.encode())
    print_table(rows)
    print(f"wrote {written} and {draw_figure(rows, args.folder / 'psro_deep.png')}")


if __name__ == "__main__":
    main()
