"""The moments of Krusell and Smith, Aiyagari and Huggett, a million households in one step, and learning from prices.

    python scripts/reproduce/krusell_smith.py [--periods 11000] [--households 1000000] [--folder runs/krusell_smith]
    python scripts/reproduce/krusell_smith.py --parts classic population      (what else is in the folder is kept)
    python scripts/reproduce/krusell_smith.py --smoke

Stationary equilibria are solved exactly and compared with known rates. The economy of 1998 is solved for the rule by
which households forecast capital; the rule is compared with the published one, and a population of households that
saves by the resulting table, in `KrusellSmith` itself, with the histogram. In the yearly economy with aggregate shocks
structural learning, whose policies see prices and no distribution, is compared with the forecasting rule. The numbers
go to `krusell_smith.json` and `.png` in `--folder`.
"""

import argparse
import functools
import json
import resource
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl import make
from jaxmarl.core.files import replace_file
from jaxmarl.envs.macro import (
    Households,
    KrusellSmithState,
    Production,
    asset_grid,
    huggett_1993,
    income_chain,
    krusell_smith_1998,
    saving_policy,
    solve_stationary,
)
from jaxmarl.solvers.macro import (
    CapitalMarket,
    Crowd,
    krusell_smith_forecast,
    simulate_crowd,
    simulate_histogram,
    structural_policy_gradient,
)

PARTS = ("stationary", "classic", "population", "structural")
RULES = ((0.085, 0.965), (0.095, 0.962))  # published, bad and good times
R_SQUARED = 0.999998
YEARLY = {"rate": 0.043821, "capital": 5.299462}
HUGGETT_RATE = 0.014325
BONDS = {-2: (1.012787, 1.0124), -4: (0.998006, 0.9962), -6: (0.995031, 0.9944), -8: (0.994095, 0.9935)}


def wide(tree: Any) -> Any:
    """The tree in float64."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)


def stationary_rows(size: int) -> list[dict[str, Any]]:
    """Rates and prices of stationary equilibria, in float64, beside known ones."""
    rows = []
    with jax.enable_x64(True):
        chain = wide(income_chain())
        numbers = {"tolerance": 1e-9}
        grid = wide(asset_grid(0.0, 50.0, size))
        firms = Production(*wide((0.36, 0.08)))
        found = solve_stationary(Households(*wide((0.95, 3.0)), *chain), grid, wide((0.02, 0.052)), firms, **numbers)
        rows.append({"economy": "capital, yearly: rate", "found": float(found.rate), "known": YEARLY["rate"]})
        rows.append({"economy": "capital, yearly: capital", "found": float(found.assets), "known": YEARLY["capital"]})
        grid = wide(asset_grid(-1.0, 30.0, size))
        found = solve_stationary(Households(*wide((0.96, 2.0)), *chain), grid, wide((-0.02, 0.041)), **numbers)
        rows.append({"economy": "bonds, yearly: rate", "found": float(found.rate), "known": HUGGETT_RATE})
        who = wide(huggett_1993()[0])
        for limit, (known, published) in BONDS.items():
            grid = wide(asset_grid(limit, 20.0, size, 1.5))
            found = solve_stationary(who, grid, wide((-0.03, 0.0066)), discount_bonds=True, **numbers)
            row = {"economy": f"Huggett (1993), limit {limit}: price", "found": 1 / (1 + float(found.rate))}
            rows.append({**row, "known": known, "published": published})
    return rows


def classic(args: argparse.Namespace, tables: Path) -> dict[str, Any]:
    """The economy of 1998 in float64: its rule, R² and moments; what households consume is written to `tables`."""
    with jax.enable_x64(True):
        params = wide(krusell_smith_1998())
        grid, capital = wide(asset_grid(0.0, 250.0, args.grid)), wide(np.linspace(9.0, 14.5, args.capital_grid))
        options = {"num_periods": args.periods, "burn_in": args.periods // 11, "num_rounds": args.rounds}
        found = jax.jit(functools.partial(krusell_smith_forecast, **options))(params, grid, capital, jax.random.key(1))
        shares = np.asarray(found.mass).sum(axis=0)
    points, shares = np.asarray(grid), shares / shares.sum()
    np.savez(tables, grid=points, capital=np.asarray(capital), consumption=np.asarray(found.consumption))
    return {
        "rule": np.asarray(found.rule).tolist(),
        "r_squared": np.asarray(found.r_squared).tolist(),
        "error": np.asarray(found.error).tolist(),
        "drift": float(found.drift),
        "capital": float(np.mean(np.asarray(found.capital))),
        "capital_spread": float(np.std(np.asarray(found.capital))),
        "gini": float(found.gini),
        "lorenz": [np.cumsum(shares).tolist(), (np.cumsum(shares * points) / (shares @ points)).tolist()],
    }


def population(tables: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Households of the environment that save by the tables, beside the histogram on the same path of productivity."""
    env, _ = make(
        "krusell_smith",
        num_households=args.households,
        num_productivities=2,
        num_incomes=2,
        num_steps=args.steps,
    )
    params = krusell_smith_1998()
    with np.load(tables) as saved:
        grid, capital, consumption = (jnp.asarray(saved[name], float) for name in ("grid", "capital", "consumption"))
    labour = params.individual_law @ params.endowments
    rate, wage = params.production.prices(capital, labour[:, None], params.productivity[:, None])
    cash = (1 + rate)[..., None, None] * grid + wage[..., None, None] * params.endowments[:, None]
    savings = cash - consumption
    act = saving_policy(params, grid, capital, savings).act

    def step(key, state: KrusellSmithState):
        action = jax.vmap(lambda seen: act((), (), seen, ())[0])(env.observe(state, params))
        _, state, reward, _, _, info = env.step(key, state, action, params)
        return state, (info["capital"], jnp.mean(reward))

    advance = jax.jit(step, donate_argnums=1)
    state = jax.jit(env.reset)(jax.random.key(2), params)[1]
    keys = jax.random.split(jax.random.key(3), args.steps)
    path, found, seconds = [], [], []
    for key in keys:
        path.append(int(state.productivity))
        started = time.perf_counter()
        state, (mean, _) = jax.block_until_ready(advance(key, state))
        seconds.append(time.perf_counter() - started)
        found.append(float(mean))
    law = params.individual_law[path[0]]
    low = int(np.searchsorted(np.asarray(grid), 11.7)) - 1
    upper = (11.7 - grid[low]) / (grid[low + 1] - grid[low])
    mass = law[:, None] * (jnp.arange(len(grid)) == low) * (1 - upper)
    mass += law[:, None] * (jnp.arange(len(grid)) == low + 1) * upper
    histogram = jax.jit(simulate_histogram)(params, grid, capital, consumption, jnp.array(path), mass)[0]
    return {
        "households": args.households,
        "seconds_a_step": float(np.median(seconds[1:])),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "state_mib": sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)) / 2**20,
        "capital": found,
        "histogram": np.asarray(histogram).tolist(),
        "gap": float(np.max(np.abs(np.array(found) / np.asarray(histogram) - 1))),
    }


def structural(args: argparse.Namespace) -> dict[str, Any]:
    """The yearly economy with aggregate shocks: structural learning, and the forecasting rule."""
    _, params = make("krusell_smith", num_productivities=args.productivities)
    points = asset_grid(0.0, 40.0, args.learner_grid)
    grid, rates = jnp.asarray(points, float), jnp.asarray(np.linspace(0.02, 0.07, 10), float)
    mass = params.individual_law[0][:, None] * (jnp.arange(len(points)) == int(np.searchsorted(points, 5.3)))
    start = Crowd(mass, jnp.asarray(0.04, float))
    options = {"num_updates": args.updates, "num_paths": args.paths, "learning_rate": 0.1, "decay": 0.05}

    @jax.jit
    def learn(key):
        return structural_policy_gradient(CapitalMarket(params, grid, rates), start, key, **options)

    started = time.perf_counter()
    learned = jax.block_until_ready(learn(jax.random.key(4)))
    seconds = time.perf_counter() - started
    capital = jnp.asarray(np.linspace(3.0, 11.0, 14), float)
    options = {"num_periods": args.path, "burn_in": args.path // 5, "num_rounds": args.rounds}
    wide_grid = jnp.asarray(asset_grid(0.0, 80.0, 120), float)
    known = jax.jit(functools.partial(krusell_smith_forecast, **options))(params, wide_grid, capital, jax.random.key(5))
    labour = (params.individual_law @ params.endowments)[0]
    rates_of = params.production.prices(known.capital, labour, params.productivity[known.productivity])[0]

    # what was learned, along the same path
    path = jnp.concatenate([known.productivity, known.productivity[-1:]])
    crowd = jax.tree.map(lambda x: x[0], learned.crowd)
    market, weights = CapitalMarket(params, grid, rates), jnp.zeros(len(known.productivity))
    play = jax.jit(lambda shares: simulate_crowd(market, grid, shares, crowd, path, weights)[2])
    learned_rates, learned_capital = (x[args.path // 5 :] for x in play(learned.shares))
    return {
        "seconds": seconds,
        "trace": np.asarray(learned.rates).tolist(),
        "change": np.asarray(learned.change).tolist(),
        "learned": moments(learned_capital, learned_rates),
        "forecast": {**moments(known.capital[args.path // 5 :], rates_of[args.path // 5 :])},
        "r_squared": np.asarray(known.r_squared).min().item(),
        "capital": [np.asarray(x[-300:]).tolist() for x in (learned_capital, known.capital)],
    }


def moments(capital: Any, rates: Any) -> dict[str, float]:
    """Means and standard deviations."""
    names = {"capital": capital, "rate": rates}
    return {
        f"{kind} {name}": float(getattr(np, kind)(np.asarray(x)))
        for name, x in names.items()
        for kind in ("mean", "std")
    }


def print_tables(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    table = Table("economy", "found", "known", "published", title="Stationary equilibria")
    for row in found["stationary"]:
        known = [f"{row[name]:.6f}" if name in row else "" for name in ("found", "known", "published")]
        table.add_row(row["economy"], *known)
    console.print(table)
    rule, error = found["classic"], found["classic"]["error"]
    table = Table("", "bad times", "good times", "published", title="Krusell and Smith (1998)")
    for i, name in enumerate(("intercept", "slope")):
        row = [f"{rule['rule'][z][i]:.4f}" for z in range(2)]
        table.add_row(name, *row, ", ".join(f"{RULES[z][i]:.3f}" for z in range(2)))
    table.add_row("R²", *(f"{x:.6f}" for x in rule["r_squared"]), f"{R_SQUARED:.6f}")
    table.add_row("standard error", *(f"{100 * x:.4f} %" for x in error), "")
    table.add_row("largest drift of the iterated rule", f"{100 * rule['drift']:.2f} %", "", "")
    table.add_row("capital, mean and s.d.", f"{rule['capital']:.3f}", f"{rule['capital_spread']:.3f}", "")
    table.add_row("Gini coefficient of wealth", f"{rule['gini']:.3f}", "", "")
    console.print(table)
    crowd = found["population"]
    console.print(
        f"{crowd['households']:,} households: {crowd['seconds_a_step']:.3f} s a step, {crowd['state_mib']:.1f} MiB"
        f" of state, {crowd['peak_mib']:.0f} MiB at most in the process;"
        f" capital within {100 * crowd['gap']:.3f} % of the histogram",
        highlight=False,
    )
    learned = found["structural"]
    title = f"Yearly, with aggregate shocks (R² of its rule {learned['r_squared']:.5f})"
    table = Table("moment", "structural learning", "forecasting rule", title=title)
    for name, value in learned["learned"].items():
        table.add_row(name, f"{value:.5f}", f"{learned['forecast'][name]:.5f}")
    console.print(table)


def draw_figure(found: dict[str, Any], path: Path) -> Path:
    """The rule, the population beside the histogram, the Lorenz curve, and learning."""
    from jaxmarl.viz.style import (
        ACCENT,
        BODY,
        FAINT,
        GAIN,
        INK,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        write_figure,
    )

    figure = new_figure(11, 7.6)
    (rule, crowd), (lorenz, learning) = figure.subplots(2, 2)
    places = np.linspace(10.5, 12.8, 50)
    for z, (name, colour) in enumerate((("bad times", ACCENT), ("good times", GAIN))):
        intercept, slope = found["classic"]["rule"][z]
        gap = intercept + slope * np.log(places) - np.log(places)
        rule.plot(places, 100 * gap, color=colour, label=f"{name}, found")
        gap = RULES[z][0] + RULES[z][1] * np.log(places) - np.log(places)
        rule.plot(places, 100 * gap, color=colour, linestyle="--", label=f"{name}, published")
        digits = 0.0005 * (1 + np.log(places))  # what rounding to three digits may change
        rule.fill_between(places, 100 * (gap - digits), 100 * (gap + digits), color=colour, alpha=0.12, linewidth=0)
    rule.axhline(0, color=FAINT, linewidth=0.8)
    rule.set_xlabel("capital", fontsize=BODY, color=INK)
    rule.set_ylabel("expected growth of capital, %", fontsize=BODY, color=INK)
    panel_title(rule, "The rule by which capital is forecast")
    people = found["population"]
    crowd.plot(people["histogram"], color=FAINT, linewidth=4, label="histogram")
    crowd.plot(people["capital"], color=ACCENT, linewidth=1.4, label=f"{people['households']:,} households")
    crowd.set_xlabel("quarter", fontsize=BODY, color=INK)
    crowd.set_ylabel("capital", fontsize=BODY, color=INK)
    panel_title(crowd, "A population and its histogram")
    lorenz.plot(*found["classic"]["lorenz"], color=ACCENT, label=f"found: Gini {found['classic']['gini']:.3f}")
    lorenz.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
    lorenz.set_xlabel("share of households, poorest first", fontsize=BODY, color=INK)
    lorenz.set_ylabel("share of wealth", fontsize=BODY, color=INK)
    panel_title(lorenz, "Wealth in the economy of 1998")
    learned = found["structural"]
    mine, theirs = learned["capital"]
    learning.plot(theirs, color=FAINT, linewidth=3, label="with the forecasting rule")
    learning.plot(mine, color=ACCENT, linewidth=1.4, label="learned from prices")
    learning.set_xlabel("year", fontsize=BODY, color=INK)
    learning.set_ylabel("capital", fontsize=BODY, color=INK)
    panel_title(learning, "Policies that see prices only")
    for axes in (crowd, learning):
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend
    for axes in (rule, crowd, lorenz, learning):
        quiet_axes(axes, grid="y")
        legend(axes, loc="upper right" if axes is rule else "upper left")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--periods", type=int, default=11_000, help="simulated by the histogram")
    parser.add_argument("--rounds", type=int, default=30, help="of estimating the rule")
    parser.add_argument("--grid", type=int, default=250)
    parser.add_argument("--capital-grid", type=int, default=12)
    parser.add_argument("--stationary-grid", type=int, default=500)
    parser.add_argument("--households", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=50, help="of the population")
    parser.add_argument("--productivities", type=int, default=5, help="states of productivity while learning")
    parser.add_argument("--learner-grid", type=int, default=60)
    parser.add_argument("--path", type=int, default=2000, help="periods in which learned policies are compared")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--paths", type=int, default=16)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured anew")
    parser.add_argument("--folder", type=Path, default=Path("runs/krusell_smith"))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.periods, args.rounds, args.grid, args.capital_grid, args.stationary_grid = 110, 2, 30, 3, 30
        args.households, args.steps, args.productivities = 1000, 5, 2
        args.learner_grid, args.updates, args.paths, args.path = 12, 3, 2, 60
    return args


def main() -> None:
    """Measures, prints and writes everything; what is done is written as it comes."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    path, tables = args.folder / "krusell_smith.json", args.folder / "savings.npz"
    measures: dict[str, Any] = {
        "stationary": lambda: stationary_rows(args.stationary_grid),
        "classic": lambda: classic(args, tables),
        "population": lambda: population(tables, args),
        "structural": lambda: structural(args),
    }
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in (name for name in PARTS if name in args.parts):
        start = time.perf_counter()
        found[name] = measures[name]()
        found[f"{name}_seconds"] = time.perf_counter() - start
        found[f"{name}_settings"] = {key: value for key, value in vars(args).items() if isinstance(value, int)}
        replace_file(path, (json.dumps(found, indent=1) + "\n").encode())
        print(f"{name}: done in {found[f'{name}_seconds']:.0f} s", flush=True)
    missing = [name for name in PARTS if name not in found]
    if missing:
        print(f"wrote {path}; no tables or figure without {', '.join(missing)}")
        return
    print_tables(found)
    print(f"wrote {path} and {draw_figure(found, args.folder / 'krusell_smith.png')}")


if __name__ == "__main__":
    main()
