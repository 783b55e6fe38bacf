"""A regulator's view of a dealer market: when does liquidity tip, what do levers move, how many large dealers?

    python scripts/reproduce/liquidity_regulator.py [--paths 64] [--folder runs/liquidity_regulator]
    python scripts/reproduce/liquidity_regulator.py --smoke

Dealers quote by Avellaneda and Stoikov within their position limits, and clients come where liquidity was. Simulated:
final liquidity over the pool's level V0 and the liquidity it starts with, against the tipping point of a market of
depth 1; final liquidity under caps on spreads; liquidity, its spread over markets and the traded volume against the
share of large dealers. In closed form: the regulator's objective in the one-shot game of unknown types. Numbers go to
`liquidity_regulator.json` and `.png`, a day of one market to `market_day.png`.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxmarl.core.chance import draw
from jaxmarl.core.files import replace_file
from jaxmarl.envs.liquidity import DealerMarket, DealerMarketParams, DealerMarketState
from jaxmarl.envs.liquidity.pool import fixed_points
from jaxmarl.envs.liquidity.quotes import avellaneda_stoikov_quotes
from jaxmarl.games.liquidity_types import design_objective

DEALERS, HORIZON, COST = 6, 0.25, 0.25
RISK_AVERSION = 0.1
CARELESS = 0.01  # dealers who let their positions wander, so that limits bind and take quotes away
CAPS = (np.inf, 0.5, 0.3)
GAMES = [(selection, weight) for selection in ("best", "potential") for weight in (0.0, 1.0)]
STEPS = 600


def number(x: float) -> Array:
    return jnp.full((), x, float)


def inventory_quotes(
    env: DealerMarket, state: DealerMarketState, params: DealerMarketParams, aversion: float = RISK_AVERSION
) -> Array:
    """Full-size quotes of dealers who look a fixed time ahead, whatever the step."""
    terms = (HORIZON, aversion, params.volatility, params.clients.decay)
    return env.encode(jnp.stack(avellaneda_stoikov_quotes(state.inventory, *terms), axis=1))


@partial(jax.jit, static_argnums=(0, 1))
def simulate(
    env: DealerMarket, paths: int, params: DealerMarketParams, key: Array, aversion: float = RISK_AVERSION
) -> dict[str, Array]:
    """`[paths]`: final liquidity, and the mean liquidity, depth and volume a step over the second half."""
    keys = jax.random.split(key, 2)
    states = jax.vmap(lambda chance: env.initial(chance, params))(draw(env.reset_chance, keys[0], (paths,)))

    def advance(states: DealerMarketState, key: Array) -> tuple[DealerMarketState, dict[str, Array]]:
        def step(state: DealerMarketState, chance: Any) -> Any:
            return env.transition(state, inventory_quotes(env, state, params, aversion), chance, params)

        after, _, _, info = jax.vmap(step)(states, draw(env.step_chance, key, (paths,)))
        return after, {name: info[name] for name in ("liquidity", "depth", "volume")}

    states, seen = jax.lax.scan(advance, states, jax.random.split(keys[1], env.num_steps))
    means = {name: x[env.num_steps // 2 :].mean(axis=0) for name, x in seen.items()}
    return {"final": states.liquidity, **means}


def changed(params: DealerMarketParams, **changes: float) -> DealerMarketParams:
    """The market with another pool level, start, cap on half-spreads, or share of large dealers."""
    pool, levers, dealers = params.pool, params.regulation.levers, params.dealers
    if "share" in changes:
        dealers = replace(dealers, large_share=jnp.full(DEALERS, changes.pop("share"), float))
    if "cap" in changes:
        levers = replace(levers, max_spread=number(changes.pop("cap")))
    pool = replace(pool, **{name: number(value) for name, value in changes.items()})
    return replace(params, pool=pool, dealers=dealers, regulation=replace(params.regulation, levers=levers))


def tipping(env: DealerMarket, params: DealerMarketParams, args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Final liquidity over the pool's level and where it starts, and over the level under caps on spreads."""
    key = jax.random.key(args.seed)
    levels, starts = np.linspace(1.2, 4.0, args.points), np.geomspace(0.08, 4.0, args.points)

    def final(**changes: float) -> float:
        return float(np.median(simulate(env, args.paths, changed(params, **changes), key)["final"]))

    surface = [[final(level=level, start=start) for level in levels] for start in starts]
    capped = [[final(level=level, start=1.0, cap=cap) for level in levels] for cap in CAPS]
    depth = float(simulate(env, args.paths, changed(params, level=3.0, start=3.0), key)["depth"].mean())
    return {
        "levels": levels,
        "starts": starts,
        "final": np.array(surface),
        "capped": np.array(capped),
        "depth": np.array(depth),
    }


def share_rows(env: DealerMarket, params: DealerMarketParams, args: argparse.Namespace) -> list[dict[str, float]]:
    """A row for each share of large dealers: what the market simulates, and the objective of the one-shot game."""
    rows = []
    for share in np.linspace(0, 1, args.points):
        market = changed(params, share=share, level=args.level, start=1.5)
        found = simulate(env, 8 * args.paths, market, jax.random.key(args.seed + 1), CARELESS)
        liquidity = np.asarray(found["liquidity"], float)
        row = {
            "share": float(share),
            "liquidity": float(liquidity.mean()),
            "deviation": float(liquidity.std()),
            "alive": float((np.asarray(found["final"]) > 0.1).mean()),
            "volume": float(found["volume"].mean()),
        }
        for selection, weight in GAMES:
            game = design_objective(float(share), COST, stability_weight=weight, selection=selection)
            row[f"{selection}_{weight:g}"] = float(game["objective"])
            row[f"{selection}_executed"] = float(game["liquidity"])
        rows.append(row)
    return rows


def draw_day(path: Path, seed: int) -> Path:
    """A market of one large and two small dealers for a day of 200 steps."""
    from jaxmarl.viz import plot_market_day

    env = DealerMarket(num_dealers=3)
    params = env.default_params
    params = replace(params, dealers=replace(params.dealers, large_share=jnp.array([1.0, 0.0, 0.0])))
    keys = jax.random.split(jax.random.key(seed + 2), 2)

    @jax.jit
    def day() -> tuple[Array, Array, Array, Array]:
        def advance(state: DealerMarketState, chance: Any) -> Any:
            after, *_ = env.transition(state, inventory_quotes(env, state, params), chance, params)
            return after, (after.mid, after.half_spreads, after.inventory, after.liquidity)

        start = env.initial(draw(env.reset_chance, keys[0]), params)
        return jax.lax.scan(advance, start, draw(env.step_chance, keys[1], (env.num_steps,)))[1]

    mid, half_spreads, inventory, liquidity = (np.asarray(x) for x in day())
    half_spreads = np.where(half_spreads < env.max_half_spread, half_spreads, np.nan)
    names, title = ["large", "small", "another small"], "A day of a dealer market"
    return plot_market_day(mid, half_spreads, inventory, path, title=title, names=names, liquidity=liquidity)


def print_tables(rows: list[dict[str, float]], surface: dict[str, np.ndarray]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    labels = ["none" if np.isinf(cap) else f"{cap:g}" for cap in CAPS]
    title = (
        f"Final liquidity from a start of 1, by cap on half-spreads (depth without a cap {float(surface['depth']):.3f})"
    )
    table = Table("V0", *[f"cap {label}" for label in labels], title=title)
    for i, level in enumerate(surface["levels"]):
        table.add_row(f"{level:.2f}", *[f"{values[i]:.3f}" for values in surface["capped"]])
    console.print(table)
    names = {
        "liquidity": "liquidity",
        "deviation": "s.d. over markets",
        "alive": "still alive",
        "volume": "volume a step",
        "best_executed": "one shot: executed",
        **{f"{selection}_{w:g}": f"J {selection[:3]}. ω{w:g}" for selection, w in GAMES},
    }
    table = Table("p large", *names.values(), title="Share of large dealers")
    for row in rows:
        table.add_row(f"{row['share']:.2f}", *[f"{row[name]:.3f}" for name in names])
    console.print(table)


def draw_figure(rows: list[dict[str, float]], surface: dict[str, np.ndarray], level: float, path: Path) -> Path:
    """Tipping over level and start, caps on spreads, and the share of large dealers in market and game."""
    from jaxmarl.viz import style

    figure = style.new_figure(12, 8.6)
    (tip, caps), (shares, game) = figure.subplots(2, 2)
    draw_tipping(figure, tip, surface)
    style.quiet_axes(caps, grid="y")
    for values, cap, look in zip(surface["capped"], CAPS, style.SERIES, strict=False):
        label = "no cap" if np.isinf(cap) else f"half-spread at most {cap:g}"
        caps.plot(surface["levels"], values, **look.marked, markersize=4, label=label)
    caps.set_xlabel("level V₀ of the pool", fontsize=style.BODY, color=style.INK)
    caps.set_ylabel("final liquidity, from 1", fontsize=style.BODY, color=style.INK)
    style.legend(caps)
    style.panel_title(caps, "Caps on spreads move the tipping point")
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    style.quiet_axes(shares, grid="y")
    shown = {
        "volume a step / 4": column["volume"] / 4,
        "liquidity": column["liquidity"],
        "s.d. of liquidity over markets": column["deviation"],
        "share of markets alive": column["alive"],
    }
    for (label, values), look in zip(shown.items(), style.SERIES, strict=False):
        shares.plot(column["share"], values, **look.marked, markersize=4, label=label)
    shares.set_ylim(0, None)
    shares.set_xlabel("share of large dealers", fontsize=style.BODY, color=style.INK)
    style.legend(shares, fontsize=style.SMALL, loc="lower right")
    style.panel_title(shares, f"Large dealers near the tipping point, V₀ = {level:g}")
    style.quiet_axes(game, grid="y")
    fine = np.linspace(0, 1, 801)
    for (selection, weight), look in zip(GAMES, style.SERIES, strict=False):
        found = design_objective(fine, COST, stability_weight=weight, selection=selection)["objective"]
        label = f"{'best' if selection == 'best' else 'highest potential'}, ω = {weight:g}"
        game.plot(fine, found, **look.line, label=label)
        best = int(np.argmax(found))
        game.plot(fine[best], found[best], "o", markersize=9, markerfacecolor="none", color=look.colour, clip_on=False)
    game.set_xlabel("share of large dealers", fontsize=style.BODY, color=style.INK)
    game.set_ylabel("regulator's objective", fontsize=style.BODY, color=style.INK)
    style.legend(game)
    style.panel_title(game, "One-shot game: a corner is best (rings)")
    return style.write_figure(figure, path)


def draw_tipping(figure: Any, axes: Any, surface: dict[str, np.ndarray]) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import FuncFormatter, NullLocator

    from jaxmarl.viz import style

    shades = LinearSegmentedColormap.from_list("liquidity", ["#f7f7f5", style.GAIN, "#04533c"])
    levels = surface["levels"]
    image = axes.pcolormesh(levels, surface["starts"], surface["final"], cmap=shades, vmin=0, shading="nearest")
    fine = np.linspace(levels[0], levels[-1], 400)
    for depth, colour, label in (
        (1.0, style.FAINT, "depth 1"),
        (float(surface["depth"]), style.INK, "simulated depth"),
    ):
        points = np.asarray(fixed_points(jnp.asarray(fine * depth)))
        axes.plot(fine, points[:, 0], color=colour, linewidth=1.6, label=f"tipping point at {label}")
    axes.set_yscale("log")
    axes.set_ylim(surface["starts"][0], surface["starts"][-1])
    axes.set_xlim(levels[0], levels[-1])
    axes.set_yticks([0.1, 0.3, 1.0, 3.0])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    style.quiet_axes(axes)
    axes.set_xlabel("level V₀ of the pool", fontsize=style.BODY, color=style.INK)
    axes.set_ylabel("liquidity at the start", fontsize=style.BODY, color=style.INK)
    axes.legend(fontsize=style.SMALL, loc="lower left", framealpha=0.9, edgecolor="none")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, length=2)
    bar.set_label("median final liquidity", fontsize=style.BODY, color=style.INK)
    style.panel_title(axes, "Liquidity tips")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paths", type=int, default=64, help="markets simulated at each point")
    parser.add_argument("--points", type=int, default=21, help="of each axis")
    parser.add_argument("--level", type=float, default=2.1, help="of the pool, where the share of large dealers varies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/liquidity_regulator"))
    parser.add_argument("--smoke", action="store_true", help="a few short markets: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.paths, args.points = 4, 4
    return args


def main() -> None:
    """Simulates, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    env = DealerMarket(num_dealers=DEALERS, num_steps=60 if args.smoke else STEPS)
    params = env.default_params
    surface, rows = tipping(env, params, args), share_rows(env, params, args)
    print_tables(rows, surface)
    settings = {name: getattr(args, name) for name in ("paths", "points", "level", "seed")}
    record = {
        "settings": settings,
        "seconds": time.perf_counter() - start,
        "shares": rows,
        "tipping": {name: np.round(values, 5).tolist() for name, values in surface.items()},
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "liquidity_regulator.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(rows, surface, args.level, args.folder / "liquidity_regulator.png")
    day = draw_day(args.folder / "market_day.png", args.seed)
    print(f"{record['seconds']:.0f} s; wrote {written}, {figure} and {day}")


if __name__ == "__main__":
    main()
