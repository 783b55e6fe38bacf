"""What scripted agents make of three marketplaces: price crashes, lemons and Sybils, search with a first-proposal bias.

    python scripts/reproduce/marketplaces.py [--matches 40] [--folder runs/marketplaces]
    python scripts/reproduce/marketplaces.py --smoke

Price crash: five firms of which k stabilise and the others undercut; all firms with fixed markups for comparison. Lemon
market: K of 12 sellers are Sybil identities of one principal, which drops identities once fewer than 3 of their last 10
votes are up, or 8 (fresh identities); buyers pick at random, or as guardians among those with 8 or more, or with 8 or
more and 10 steps old (who wait). Two-sided search: welfare over the best possible against the number of proposals
considered, with and without errors of search and a first-proposal bias, and the advantage of the first proposal. The
economic alignment score is computed in the first two. Tables are printed; the numbers go to `marketplaces.json`, the
figure to `marketplaces.png` in `--folder`.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.core.matches import play_steps
from jaxmarl.core.seating import Player, Seating
from jaxmarl.envs.marketplaces import (
    LemonMarket,
    PriceCrash,
    TwoSidedSearch,
    alignment_score,
    fixed_markup,
    fixed_principal,
    guardian,
    quality_markup,
    random_buyer,
    stabiliser,
    undercutter,
)
from jaxmarl.envs.markets.simulate import simulate

SYBILS = (0, 3, 6, 9)
TRADERS = {  # who buys, and below how many of ten up-votes an identity is dropped
    "random buyers": ("random", 3),
    "guardians": ("guardian", 3),
    "guardians, fresh identities": ("guardian", 8),
    "guardians who wait, fresh identities": ("wary", 8),
}
SEARCHES = {  # ranking noise, bias
    "ideal search": (0.0, 0.0),
    "ideal search, biased": (0.0, 0.3),
    "noisy search": (0.5, 0.0),
    "noisy search, biased": (0.5, 0.3),
}
BIASES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # over the temperature


def crash(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each mix of firms, with paths of the mean price of firms in business and of their number."""
    env = PriceCrash(num_steps=args.days)
    makers = undercutter(env), fixed_markup(env), stabiliser(env)
    mixes = {f"{k} stabilisers": [2] * k + [0] * (env.num_agents - k) for k in range(env.num_agents + 1)}
    mixes = {"5 fixed markups": [1] * env.num_agents} | mixes
    schedule = np.repeat(np.array(list(mixes.values())), args.matches, axis=0)
    seating = Seating(env, tuple(map(Player, makers)), schedule)
    params = replace(env.default_params, lowest_cost=jnp.ones(()))
    play = jax.jit(
        lambda key: play_steps(seating, seating.params, key, params, env.num_steps, lambda matches, reward, info: info)
    )
    matches, info = jax.tree.map(np.asarray, play(jax.random.key(args.seed)))
    state = matches.states
    rows, margin = [], env.benchmarks(params)["nash_profit"]
    for i, name in enumerate(mixes):
        at = slice(i * args.matches, (i + 1) * args.matches)
        alive, prices = info["alive"][:, at], info["prices"][:, at]
        before = np.concatenate([np.ones_like(alive[:1]), alive[:-1]])  # in business during the day
        traded = np.where(before, prices, np.nan)
        gross = (info["revenue"] - info["sold"] * info["unit_cost"][:, :, None])[:, at]
        deviation = np.nanstd(traded, axis=(0, 2)).mean()
        score = alignment_score(
            survival=float(state.alive[at].mean()),
            price_deviation=float(deviation),
            unit_cost=1.0,
            dishonest_purchases=0.0,
            purchases=1.0,
            surplus=float(info["utility"][:, at].sum()),
            max_surplus=float(info["best_utility"][:, at].sum()),
            profit=float(gross.mean()),
            benchmark_profit=margin,
        )
        firms = before.sum(axis=(1, 2))
        path = np.where(firms > 0, (before * prices).sum(axis=(1, 2)) / np.maximum(firms, 1), np.nan)
        rows.append(
            {"mix": name, "survivors": float(state.alive[at].sum(1).mean()), **_scored(score)}
            | {
                "price": [None if np.isnan(x) else float(x) for x in path],
                "in business": alive.sum(-1).mean(1).tolist(),
            }
        )
    return rows


def lemons(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each kind of trader and number of Sybils."""
    env = LemonMarket()
    buyers = {"random": random_buyer(env), "guardian": guardian(env), "wary": guardian(env, min_age=10)}
    principals = {below: fixed_principal(env, rotate_below=below) for below in (3, 8)}
    players = tuple(map(Player, (*buyers.values(), *principals.values())))
    places = {name: i for i, name in enumerate((*buyers, *principals))}
    table = [[*[places[buyer]] * env.num_buyers, places[below]] for buyer, below in TRADERS.values()]
    seating = Seating(env, players, np.repeat(table, args.matches, axis=0))
    one = replace(env.default_params, honest_discount=jnp.asarray(0.1))
    params = jax.tree.map(lambda x: jnp.stack([x] * len(SYBILS)), one).replace(num_sybils=jnp.asarray(SYBILS))
    keys = jax.random.split(jax.random.key(args.seed + 1), len(SYBILS))
    run = jax.jit(
        jax.vmap(
            lambda p, key: play_steps(
                seating, seating.params, key, p, env.num_steps, lambda matches, reward, info: info
            )
        )
    )
    _, info = jax.tree.map(np.asarray, run(params, keys))
    rows = []
    for i, name in enumerate(TRADERS):
        for j, sybils in enumerate(SYBILS):
            kept = {k: x[j][:, i * args.matches : (i + 1) * args.matches].sum(0) for k, x in info.items()}
            bought = float(kept["purchases"].mean())
            honest = bought - float(kept["sybil_purchases"].mean())  # sales, each of the same mean profit
            score = alignment_score(
                survival=1.0,
                price_deviation=0.0,
                unit_cost=1.0,
                dishonest_purchases=float(kept["sybil_purchases"].mean()),
                purchases=bought,
                surplus=float(kept["surplus"].mean()),
                max_surplus=float(kept["best_surplus"].mean()),
                profit=honest / max(env.num_sellers - sybils, 1),
                benchmark_profit=env.num_steps * (1 - (1 - 1 / env.num_sellers) ** env.num_buyers),
            )
            rows.append(
                {"traders": name, "sybils": sybils, "purchases": bought, **_scored(score)}
                | {
                    "lemon share": float(kept["sybil_purchases"].sum() / max(kept["purchases"].sum(), 1)),
                    "surplus per step": float(kept["surplus"].mean()) / env.num_steps,
                    "rotations": float(kept["rotations"].mean()),
                }
            )
    return rows


def _scored(score: Any) -> dict[str, float]:
    names = "stability", "integrity", "welfare", "profitability"
    return {name: float(getattr(score, name)) for name in names} | {"score": float(score.mean)}


def searches(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of welfare for each kind of search and number of proposals, and of first-proposal advantages."""
    env = TwoSidedSearch(num_agents=10, num_customers=30, num_steps=20)
    policy = quality_markup(env, share=0.5, effort=1.0)
    counts = np.arange(1, env.num_agents + 1)
    cases = [(noise, bias, m) for noise, bias in SEARCHES.values() for m in counts]
    default = env.default_params
    plain = replace(
        default, taste=jnp.zeros(()), fit=jnp.ones(()), lowest_quality=jnp.ones(()), num_results=jnp.array(3)
    )
    stacked = jax.tree.map(lambda x: jnp.stack([x] * len(cases)), default).replace(
        ranking_noise=jnp.array([x for x, _, _ in cases]),
        bias=jnp.array([x for _, x, _ in cases]),
        num_results=jnp.array([x for _, _, x in cases], jnp.int32),
    )
    equal = jax.tree.map(lambda x: jnp.stack([x] * len(BIASES)), plain).replace(
        bias=jnp.asarray(BIASES) * default.temperature
    )
    everything = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), stacked, equal)

    @jax.jit
    @jax.vmap
    def totals(params):
        _, _, info = simulate(
            env, params, policy, params, jax.random.key(args.seed + 2), args.matches, lambda info: info
        )
        return jax.tree.map(lambda x: jnp.sum(x, (0, 1), dtype=jnp.float32), info)

    info = jax.tree.map(np.asarray, totals(everything))
    welfare = info["welfare"] / info["best_welfare"]
    names = [name for name in SEARCHES for _ in counts]
    rows = [
        {"search": s, "considered": int(m), "welfare": float(w)}
        for s, (_, _, m), w in zip(names, cases, welfare, strict=False)
    ]
    advantages = []
    for k, ratio in enumerate(BIASES, start=len(cases)):
        known = env.benchmarks(jax.tree.map(lambda x, k=k: x[k], everything))
        first, later = (info[f"{x}_sales"][k] / info[f"{x}_offers"][k] for x in ("first", "later"))
        exact = {"first share exact": known["first_share"], "advantage exact": known["first_advantage"]}
        advantages.append({"bias": ratio, "first share": float(first), "advantage": float(first / later), **exact})
    return rows, advantages


def print_tables(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=130)

    def show(title: str, rows: list[dict[str, Any]], skip: tuple[str, ...] = ()) -> None:
        names = [name for name in rows[0] if name not in skip]
        table = Table(*names, title=title)
        for row in rows:
            table.add_row(*(f"{row[n]:,.3f}" if isinstance(row[n], float) else str(row[n]) for n in names))
        console.print(table)

    show("Price crash", record["crash"], ("price", "in business"))
    show("Lemon market", record["lemons"], ("stability", "profitability", "purchases"))
    show("Two-sided search", [row for row in record["search"] if row["considered"] in (1, 2, 3, 5, 10)])
    show("Advantage of the first of three equal proposals", record["advantage"])


def draw_figure(record: dict[str, Any], path: Path) -> Path:
    """Two panels for each marketplace."""
    from jaxmarl.viz.style import new_figure, quiet_axes, write_figure

    figure = new_figure(14, 8.2)
    top, bottom = figure.subplots(2, 3)
    for axes in (*top, *bottom):
        quiet_axes(axes, grid="y")
    for draw_pair, upper, lower in zip((_draw_crash, _draw_lemons, _draw_search), top, bottom, strict=True):
        draw_pair(record, upper, lower)
    return write_figure(figure, path)


def _draw_crash(record: dict[str, Any], price: Any, business: Any) -> None:
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, panel_title

    mixes = [f"{n} stabilisers" for n in (0, 1, 3, 5)]
    labels = ("all undercut", "1 stabiliser, 4 undercut", "3 stabilisers, 2 undercut", "all stabilise")
    shown = min(record["settings"]["days"], 120)  # nothing happens later
    rows, days = {row["mix"]: row for row in record["crash"]}, np.arange(1, shown + 1)
    for mix, label, look in zip(mixes, labels, SERIES, strict=False):
        prices = [np.nan if x is None else x for x in rows[mix]["price"][:shown]]
        price.plot(days, prices, **look.line, label=label)
        business.plot(days, rows[mix]["in business"][:shown], **look.line)
    price.axhline(1.0, color=FAINT, linewidth=0.8)
    price.annotate("unit cost", (shown, 1.0), ha="right", va="bottom", fontsize=BODY, color=FAINT)
    legend(price, loc="lower right")
    panel_title(price, "Undercutting crashes the price")
    panel_title(business, "Stabilisers outlive the crash")
    price.set_ylabel("mean price of firms in business", fontsize=BODY, color=INK)
    business.set_ylabel("firms in business", fontsize=BODY, color=INK)
    for axes in (price, business):
        axes.set_xlabel("day", fontsize=BODY, color=INK)
        axes.set_ylim(bottom=0)


def _draw_lemons(record: dict[str, Any], lemon: Any, surplus: Any) -> None:
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, panel_title

    for name, look in zip(TRADERS, SERIES, strict=False):
        rows = [row for row in record["lemons"] if row["traders"] == name]
        lemon.plot(SYBILS, [100 * row["lemon share"] for row in rows], **look.marked, label=name)
        surplus.plot(SYBILS, [row["surplus per step"] / 1000 for row in rows], **look.marked)
    panel_title(lemon, "Fresh identities defeat reputation")
    panel_title(surplus, "What buyers gain or lose")
    lemon.set_ylabel("lemons, % of purchases", fontsize=BODY, color=INK)
    surplus.set_ylabel("buyers' surplus a step, thousands", fontsize=BODY, color=INK)
    surplus.axhline(0, color=FAINT, linewidth=0.8)
    legend(lemon, loc="upper left")
    for axes in (lemon, surplus):
        axes.set_xlabel("Sybils among 12 sellers", fontsize=BODY, color=INK)
        axes.set_xticks(SYBILS)


def _draw_search(record: dict[str, Any], welfare: Any, advantage: Any) -> None:
    from jaxmarl.viz.style import ACCENT, BODY, FAINT, INK, SERIES, legend, panel_title

    for name, look in zip(SEARCHES, SERIES, strict=False):
        rows = [row for row in record["search"] if row["search"] == name]
        heights = [100 * row["welfare"] for row in rows]
        welfare.plot([row["considered"] for row in rows], heights, **look.marked, label=name)
    panel_title(welfare, "With a bias, long lists spoil good search")
    welfare.set_xlabel("proposals considered, of 10 businesses", fontsize=BODY, color=INK)
    welfare.set_ylabel("welfare, % of the best", fontsize=BODY, color=INK)
    legend(welfare, loc="lower right")
    ratios = [row["bias"] for row in record["advantage"]]
    smooth = np.linspace(min(ratios), max(ratios), 100)
    advantage.plot(smooth, np.exp(smooth), color=FAINT, label="exp(bias / temperature)")
    advantage.plot(ratios, [row["advantage"] for row in record["advantage"]], "o", color=ACCENT, label="measured")
    panel_title(advantage, "The first of three equal proposals")
    advantage.set_xlabel("bias / temperature", fontsize=BODY, color=INK)
    advantage.set_ylabel("acceptance over that of a later one", fontsize=BODY, color=INK)
    advantage.set_ylim(bottom=0)
    legend(advantage)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--matches", type=int, default=40, help="episodes of each case")
    parser.add_argument("--days", type=int, default=365, help="of a price crash")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--folder", type=Path, default=Path("runs/marketplaces"))
    parser.add_argument("--smoke", action="store_true", help="few short episodes: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.matches, args.days = 2, 60
    return args


def main() -> None:
    """Plays, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    settings = {"matches": args.matches, "days": args.days, "seed": args.seed}
    search, advantage = searches(args)
    record = {
        "settings": settings,
        "crash": crash(args),
        "lemons": lemons(args),
        "search": search,
        "advantage": advantage,
    }
    print_tables(record)
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "marketplaces.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(record, args.folder / "marketplaces.png")
    print(f"{time.perf_counter() - start:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()
