"""Does attention to a product graph pay in retail pricing? MAPPO with and without it, and independent PPO.

    python scripts/reproduce/retail_pricing.py [--seeds 10] [--updates 150] [--folder runs/retail_pricing]
    python scripts/reproduce/retail_pricing.py --smoke

A synthetic catalogue of ten products (52 weeks, Poisson sales, no penalties) is priced by MAPPO whose actors and critic
attend to linked products, by MAPPO, and by independent PPO, all three for the team's profit; and by independent PPO for
each product's own. Each learns with the same seeds, once with cross effects and once without, where the static prices
`c ε / (1 + ε)` are optimal. Greedy policies then play the same years, as do rules that move prices to the static and to
the jointly optimal ones as fast as may be. Differences between methods are paired by seed. (The question is that of
arXiv 2511.00039, whose sizes, demand and tables are not known.) Numbers go to `retail_pricing.json` and `.png` in
`--folder`.
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

from jaxmarl.core import VectorEnv, rollout, start_rollout
from jaxmarl.core.files import replace_file
from jaxmarl.core.rollout import Actor
from jaxmarl.envs.pricing import RetailGraph, RetailGraphParams, jain_index, synthetic_catalogue
from jaxmarl.envs.pricing.retail_optimum import static_prices, weekly_profits
from jaxmarl.learners import MAPPOConfig, adjacency_matrix, mappo, over_seeds
from jaxmarl.learners.mappo import greedy_actor

NUM_PRODUCTS, WEEKS, STEADY = 10, 52, 26  # prices are at rest in the second half of a year
METHODS: dict[str, dict[str, Any]] = {
    "MAPPO + attention": {"critic": "mean", "attend": True, "goal": "team"},
    "MAPPO": {"critic": "mean", "attend": False, "goal": "team"},
    "independent, team's profit": {"critic": "own", "attend": False, "goal": "team"},
    "independent, own profit": {"critic": "own", "attend": False, "goal": "own"},
}
MARKETS = ("linked", "unlinked")


def catalogue(market: str) -> RetailGraphParams:
    """Ten products of two categories, without penalties; unlinked: the same without cross effects."""
    params, zero = synthetic_catalogue(NUM_PRODUCTS, num_categories=2, seed=1), jnp.zeros(())
    params = replace(params, volatility_weight=zero, fairness_weight=zero)
    return params if market == "linked" else replace(params, cross=jnp.zeros_like(params.cross))


def settings(args: argparse.Namespace, method: dict[str, Any]) -> MAPPOConfig:
    return MAPPOConfig(
        critic=method["critic"],
        hidden=args.hidden,
        heads=4,
        chunk_length=WEEKS,
        learning_rate=args.rate,
        anneal_updates=args.updates,
        entropy_weight=args.entropy,
        discount=0.95,
    )


def trainer(args: argparse.Namespace, method: dict[str, Any]):
    """Jitted `(catalogue, key) -> (params of all seeds, mean weekly reward [updates, seeds])`, and the environment."""
    env = VectorEnv(RetailGraph(num_agents=NUM_PRODUCTS, goal=method["goal"]), args.envs)
    graph = graph_of(method)

    @jax.jit
    def train(params, key):
        many = over_seeds(mappo(env, settings(args, method), params, graph), args.seeds)
        state, metrics = jax.lax.scan(lambda s, _: many.update(s), many.init(key), length=args.updates)
        return many.params(state), metrics["reward"]

    return train


def graph_of(method: dict[str, Any]) -> np.ndarray | None:
    params = catalogue("linked")
    return adjacency_matrix(params.neighbours, params.linked) if method["attend"] else None


def measure(env: VectorEnv, actor: Actor, actor_params: Any, params: RetailGraphParams, key: jax.Array):
    """Means over the years of `env`: profits `[weeks, N]`, prices `[weeks, N]`, volatility `[weeks]`."""
    start_key, key = jax.random.split(key)
    state = start_rollout(env, actor, start_key, params)
    _, trajectory, _ = rollout(env, actor, actor_params, state, key, params, WEEKS)
    info = trajectory.info
    return jax.tree.map(lambda x: jnp.mean(x, axis=1), (info["profit"], info["prices"], info["volatility"]))


def rule(shop: RetailGraph) -> Actor:
    """Moves prices towards those in its params; reads log prices from observations."""

    def act(params, memory, seen, start, key):
        wanted, base = params
        return shop.nearest_action(jnp.log(wanted / base) - seen[..., 0]), memory, ()

    return Actor(lambda key: (), act)


def summary(measured: Any, params: RetailGraphParams) -> dict[str, Any]:
    """Of one or more seeds (a leading axis): what the tables show."""
    alone = weekly_profits(static_prices(params), replace(params, cross=jnp.zeros_like(params.cross)))
    profits, prices, volatility = map(np.asarray, measured)
    return {
        "year": profits.sum(axis=(-1, -2)).tolist(),
        "steady": profits[..., STEADY:, :].sum(axis=-1).mean(axis=-1).tolist(),
        "jain": np.asarray(jain_index(jnp.asarray(profits.mean(axis=-2) / alone))).tolist(),
        "volatility": volatility.mean(axis=-1).tolist(),
        "steady_volatility": volatility[..., STEADY:].mean(axis=-1).tolist(),
        "prices": (prices[..., STEADY:, :].mean(axis=-2) / np.asarray(params.base_price)).tolist(),
    }


def study(args: argparse.Namespace) -> dict[str, Any]:
    """Trains and measures every method in both markets: `{market: {method or rule: numbers}}`."""
    shop = RetailGraph(num_agents=NUM_PRODUCTS)
    env = VectorEnv(shop, args.years)
    key = jax.random.key(args.seed + 1)
    found: dict[str, Any] = {market: {"methods": {}, "rules": {}} for market in MARKETS}
    follow = jax.jit(lambda wanted, params: measure(env, rule(shop), (wanted, params.base_price), params, key))
    for market in MARKETS:
        params = catalogue(market)
        known = shop.benchmarks(params)
        for name in ("static", "joint"):
            wanted = jnp.asarray(known[f"{name}_prices"], jnp.float32)
            numbers = summary(follow(wanted, params), params)
            found[market]["rules"][name] = {**numbers, "expected": known[f"{name}_profit"]}
    for name, method in METHODS.items():
        train = trainer(args, method)
        actor = greedy_actor(env, settings(args, method), catalogue("linked"), graph_of(method))
        judge = jax.jit(jax.vmap(partial(measure, env, actor), in_axes=(0, None, None)))
        compiled = None
        for market in MARKETS:
            params, start = catalogue(market), time.perf_counter()
            compiled = compiled or train.lower(params, jax.random.key(args.seed)).compile()
            begun, cpu = time.perf_counter(), time.process_time()
            learned, reward = jax.block_until_ready(compiled(params, jax.random.key(args.seed)))
            times = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
            numbers = summary(judge(learned, params, key), params)
            curve = np.asarray(reward).T.tolist()
            found[market]["methods"][name] = {**numbers, **times, "compile_seconds": begun - start, "curve": curve}
            print(f"{name}, {market}: {np.mean(numbers['steady']):.1f} a week, {times['seconds']:.0f} s", flush=True)
    return found


def comparison(one: list[float], other: list[float]) -> dict[str, Any]:
    """Paired by seed: relative gain of `one` over `other`, share of seeds won, bootstrap interval, and two tests."""
    from scipy import stats

    gain = np.asarray(one) / np.asarray(other) - 1
    rng = np.random.default_rng(0)
    means = rng.choice(gain, (10_000, len(gain))).mean(axis=1)
    return {
        "gain": float(gain.mean()),
        "won": float((gain > 0).mean()),
        "interval": np.quantile(means, [0.025, 0.975]).tolist(),
        "wilcoxon": float(stats.wilcoxon(gain).pvalue),
        "paired_t": float(stats.ttest_1samp(gain, 0.0).pvalue),
    }


def comparisons(found: dict[str, Any]) -> list[dict[str, Any]]:
    """MAPPO with attention against every other method, and MAPPO against independent PPO, in profits of the year."""
    rows = []
    names = list(METHODS)
    for market in MARKETS:
        methods = found[market]["methods"]
        for one, other in [(names[0], name) for name in names[1:]] + [(names[1], names[2])]:
            row = {"market": market, "one": one, "other": other}
            rows.append({**row, **comparison(methods[one]["year"], methods[other]["year"])})
    return rows


def print_tables(found: dict[str, Any], pairs: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=150)
    for market in MARKETS:
        rules = found[market]["rules"]
        columns = ["year's profit", "seeds' s.d.", "of static", "of joint", "steady: of static", "of joint"]
        table = Table("", *columns, "Jain", "volatility", "when steady", "seconds", title=f"{market} products")
        for name, row in [*found[market]["methods"].items(), *rules.items()]:
            year, steady = np.atleast_1d(row["year"]), np.atleast_1d(row["steady"])
            shares = [x.mean() / rules[r][kind] for x, kind in ((year, "year"), (steady, "steady")) for r in rules]
            spread = f"{year.std(ddof=1) / year.mean():.2%}" if len(year) > 1 else ""
            numbers = [f"{np.mean(row[key]):.4f}" for key in ("jain", "volatility", "steady_volatility")]
            seconds = f"{row['seconds']:.0f}" if "seconds" in row else ""
            table.add_row(name, f"{year.mean():.0f}", spread, *(f"{x:.2%}" for x in shares), *numbers, seconds)
        console.print(table)
    table = Table("market", "method", "against", "gain", "95 % interval", "seeds won", "Wilcoxon p", "paired t p")
    for row in pairs:
        low, high = row["interval"]
        names = row["market"], row["one"], row["other"]
        sizes = f"{row['gain']:+.2%}", f"{low:+.2%} to {high:+.2%}", f"{row['won']:.0%}"
        table.add_row(*names, *sizes, f"{row['wilcoxon']:.4f}", f"{row['paired_t']:.4f}")
    console.print(table)


def draw_figure(found: dict[str, Any], path: Path) -> Path:
    """Learning curves in both markets, and the year's profit of every seed."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(13, 4.4)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    looks = dict(zip(METHODS, SERIES, strict=False))
    scale = float((catalogue("linked").base_demand * catalogue("linked").base_price).sum())
    for panel, market in zip(axes, MARKETS, strict=False):
        quiet_axes(panel, grid="y")
        rules = found[market]["rules"]
        for name, row in found[market]["methods"].items():
            curve = np.asarray(row["curve"]) * WEEKS * scale / rules["static"]["year"]
            steps = np.arange(1, curve.shape[1] + 1)
            panel.plot(steps, curve.mean(axis=0), **looks[name].line, label=name, linewidth=1.6)
            low, high = np.quantile(curve, [0.1, 0.9], axis=0)
            panel.fill_between(steps, low, high, color=looks[name].colour, alpha=0.15, linewidth=0)
        joint = rules["joint"]["year"] / rules["static"]["year"]
        for level, text in {1.0: "static prices", joint: "joint prices" if joint > 1.005 else "static = joint"}.items():
            panel.axhline(level, color=FAINT, linewidth=1)
            beside = {"transform": panel.get_yaxis_transform(), "ha": "right", "va": "bottom"}
            panel.text(1.0, level, text, fontsize=BODY, color=INK, **beside)
        panel.set_xlabel("updates", fontsize=BODY, color=INK)
        panel_title(panel, f"{market.capitalize()} products: training")
    axes[0].set_ylabel("year's profit, in units of static prices'", fontsize=BODY, color=INK)
    legend(axes[1], fontsize=BODY - 1, loc="lower right")
    panel = axes[2]
    quiet_axes(panel, grid="x")
    rules = found["linked"]["rules"]
    for place, name in enumerate(METHODS):
        years = np.asarray(found["linked"]["methods"][name]["year"]) / rules["static"]["year"]
        heights = place + np.linspace(-0.18, 0.18, len(years))
        panel.scatter(years, heights, **looks[name].dots, s=16, alpha=0.8)
        panel.plot([years.mean()] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.6)
    for rule_name in ("static", "joint"):
        panel.axvline(rules[rule_name]["year"] / rules["static"]["year"], color=FAINT, linewidth=1)
    panel.set_yticks(range(len(METHODS)), [name.replace(", ", ",\n") for name in METHODS], fontsize=BODY)
    panel.invert_yaxis()
    panel.set_xlabel("year's profit of greedy play, in units of static prices'", fontsize=BODY, color=INK)
    panel_title(panel, "Linked products: every seed")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=150)
    parser.add_argument("--envs", type=int, default=8, help="years played at once in training")
    parser.add_argument("--years", type=int, default=64, help="years that a learned policy is judged on")
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate, which falls linearly to 0")
    parser.add_argument("--entropy", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/retail_pricing"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.updates, args.envs, args.years, args.hidden = 3, 2, 4, 2, 8
    return args


def main() -> None:
    """Trains, measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    found = study(args)
    pairs = comparisons(found)
    print_tables(found, pairs)
    used = {name: value for name, value in vars(args).items() if name not in ("folder", "smoke")}
    record = {"settings": used, "seconds": time.perf_counter() - start, "comparisons": pairs, "markets": found}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "retail_pricing.json", (json.dumps(record) + "\n").encode())
    figure = draw_figure(found, args.folder / "retail_pricing.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()
