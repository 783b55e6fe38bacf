"""Does a planner that learns find the optimal income tax, and what do Saez's formulas find?

    python scripts/reproduce/optimal_tax.py [--seeds 5] [--updates 150] [--folder runs/optimal_tax]
    python scripts/reproduce/optimal_tax.py --smoke

Workers have the skills of a distribution fitted to the United States and respond to a tax on brackets in their own best
way; a planner with logarithmic utility sets the rates. Compared are PPO, which sees welfare only, Adam on the rates
through the economy itself, Saez's conditions as published for this environment (at the middles of brackets) and over
whole brackets, the best single rate, and the best rates by search. The tax without brackets (Diamond 1998) is drawn
beside them. The numbers go to `optimal_tax.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmarl import make
from jaxmarl.core import VectorEnv
from jaxmarl.core.files import replace_file
from jaxmarl.envs.macro import (
    US_RATES,
    IncomeLaw,
    TaxEconomy,
    optimal_linear_rate,
    optimal_rates,
    optimal_schedule,
    respond,
    saez_schedule,
    welfare,
)
from jaxmarl.learners import PPOConfig, over_seeds, ppo

NAMES = {
    "untaxed": "no tax",
    "us": "rates of 2024",
    "middle": "Saez, at middles of brackets",
    "bracket": "Saez, over whole brackets",
    "linear": "best single rate",
    "optimal": "best rates, by search",
}


def references(params: TaxEconomy) -> dict[str, np.ndarray]:
    """Rates of each benchmark."""
    ones = jnp.ones_like(params.thresholds)

    @jax.jit
    def solve(economy):
        found = {name: saez_schedule(economy, condition=name).rates for name in ("middle", "bracket")}
        return {**found, "linear": optimal_linear_rate(economy) * ones, "optimal": optimal_rates(economy).rates}

    known = {"untaxed": 0 * ones, **solve(params)}
    if len(ones) == len(US_RATES):
        known["us"] = jnp.array(US_RATES)
    return {name: np.asarray(known[name]) for name in NAMES if name in known}


def learn_by_ppo(env: Any, params: TaxEconomy, args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of each update `[U, seeds]`, and the rates in the end `[seeds, K]` (the mean of what it draws)."""
    config = PPOConfig(
        hidden=32,
        recurrent=False,
        chunk_length=env.horizon,
        epochs=4,
        minibatches=4,
        learning_rate=5e-3,
        anneal_updates=args.updates,
        discount=0.0,  # a year does not change the next
        trace=0.0,
        entropy_weight=0.0,
        value_norm=True,
        value_decay=0.99,
    )
    learner = over_seeds(ppo(VectorEnv(env, args.batch), config, params), args.seeds)
    state = jax.jit(learner.init)(jax.random.key(args.seed))
    state, metrics = jax.jit(lambda state: jax.lax.scan(lambda s, _: learner.update(s), state, length=args.updates))(
        state
    )
    obs = env.observe(env.initial((), params), params)[0]

    def mean_rates(network, key):
        keys = jax.random.split(key, 256)
        return jnp.mean(jax.vmap(lambda key: learner.policy.sample(key, network, (), obs)[0])(keys), axis=0)

    keys = jax.random.split(jax.random.key(args.seed + 1), args.seeds)
    return np.asarray(metrics["reward"]), np.asarray(jax.jit(jax.vmap(mean_rates))(learner.params(state), keys))


def learn_by_gradient(env: Any, params: TaxEconomy, args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of each step `[U, seeds]`, and rates in the end `[seeds, K]`, from random rates."""
    optimiser = optax.adam(0.05)
    start = env.initial((), params)

    def reward(logits):
        return env.transition(start, jax.nn.sigmoid(logits)[None], (), params)[1][0]

    def step(carry, _):
        logits, state = carry
        worth, slope = jax.vmap(jax.value_and_grad(reward))(logits)
        change, state = optimiser.update(-slope, state)
        return (optax.apply_updates(logits, change), state), worth

    @jax.jit
    def run(logits):
        (logits, _), worth = jax.lax.scan(step, (logits, optimiser.init(logits)), length=args.updates)
        return worth, jax.nn.sigmoid(logits)

    logits = jax.random.normal(jax.random.key(args.seed + 2), (args.seeds, env.num_brackets)) * 1.5
    worth, rates = run(logits)
    return np.asarray(worth), np.asarray(rates)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that is printed and drawn."""
    env, params = make("income_tax", num_workers=args.workers, num_brackets=args.brackets)
    worth_of = jax.jit(lambda rates: welfare(params, respond(params, rates), "crra"))
    known = references(params)
    rows = [
        {"planner": NAMES[name], "rates": rates.tolist(), "welfare": float(worth_of(rates))}
        for name, rates in known.items()
    ]
    curves = {}
    for name, learn in (("PPO", learn_by_ppo), ("gradient", learn_by_gradient)):
        started = time.perf_counter()
        curve, rates = learn(env, params, args)
        curves[name] = curve.tolist()
        for seed, each in enumerate(rates):
            rows.append({"planner": f"{name}, seed {seed}", "rates": each.tolist(), "welfare": float(worth_of(each))})
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    law = IncomeLaw()
    smooth = optimal_schedule(law._replace(scale=law.scale / 40), 2.367e-5, 3.5, 1.0)
    inside = (smooth.incomes > 0.5) & (smooth.incomes < 1000)
    return {
        "rows": rows,
        "curves": curves,
        "thresholds": np.asarray(params.thresholds).tolist(),
        "smooth": {"incomes": smooth.incomes[inside].tolist(), "rates": smooth.rates[inside].tolist()},
    }


def print_table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    best = max(row["welfare"] for row in found["rows"])
    table = Table(
        "planner", "rates", "welfare", "of the best", title="Welfare: the income for all that is worth as much"
    )
    for row in found["rows"]:
        rates = " ".join(f"{rate:.3f}" for rate in row["rates"])
        table.add_row(row["planner"], rates, f"{row['welfare']:.3f}", f"{100 * row['welfare'] / best:.3f} %")
    for name in found["curves"]:
        each = np.array([row["welfare"] for row in found["rows"] if row["planner"].startswith(f"{name},")]) / best * 100
        table.add_row(f"{name}, mean ± s.d.", "", "", f"{each.mean():.3f} ± {each.std(ddof=1):.3f} %")
    Console(width=120).print(table)


def draw_figure(found: dict[str, Any], path: Path) -> Path:
    """Schedules of the planners, and how much welfare learners are short of the best while they learn."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(11, 4.4)
    left, right = figure.subplots(1, 2)
    quiet_axes(left, grid="y")
    rows = {row["planner"]: row for row in found["rows"]}
    edges = np.array([*found["thresholds"], 1000.0])
    edges[0] = 0.5

    def schedule(rates, **style):
        left.plot(edges, [*rates, rates[-1]], drawstyle="steps-post", **style)

    schedule(rows[NAMES["optimal"]]["rates"], color=FAINT, linewidth=4.5, label=NAMES["optimal"])
    for name, look in zip(("bracket", "middle"), SERIES, strict=False):
        schedule(rows[NAMES[name]]["rates"], **look.line, linewidth=1.4, label=NAMES[name])
    for row in found["rows"]:
        if row["planner"].startswith("PPO"):
            schedule(
                row["rates"],
                **SERIES[2].line,
                linewidth=1.2,
                label="PPO, each seed" if row["planner"].endswith(" 0") else None,
            )
    smooth = found["smooth"]
    left.plot(smooth["incomes"], smooth["rates"], **SERIES[3].line, label="without brackets (Diamond)")
    left.set_xscale("log")
    left.set_xlim(1, 1000)
    left.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    left.set_ylim(0.38, 0.92)
    left.set_xlabel("income, thousands a year", fontsize=BODY, color=INK)
    left.set_ylabel("marginal rate", fontsize=BODY, color=INK)
    legend(left, loc="upper right")
    panel_title(left, "Marginal rates")
    quiet_axes(right, grid="y")
    best = rows[NAMES["optimal"]]["welfare"]
    labels = {"PPO": "PPO, as it explores", "gradient": "gradient through the economy"}
    for (name, curves), look in zip(found["curves"].items(), SERIES, strict=False):
        for i, curve in enumerate(np.array(curves).T):
            right.plot(1 - curve / best, **look.line, linewidth=1.2, label=labels[name] if i == 0 else None)
    for name, look in zip(("middle", "linear"), SERIES[2:], strict=False):
        short = 1 - rows[NAMES[name]]["welfare"] / best
        right.axhline(max(short, 1e-6), **look.line, linewidth=1.2, label=f"{NAMES[name]}: {100 * short:.2g} %")
    right.set_yscale("log")
    right.set_ylim(2e-4, 2)
    right.set_yticks([1e-3, 1e-2, 1e-1, 1])
    right.minorticks_off()
    right.set_xlabel("updates", fontsize=BODY, color=INK)
    right.set_ylabel("welfare short of the best, share", fontsize=BODY, color=INK)
    legend(right, loc="upper right")
    panel_title(right, "Welfare while learning")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=150)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--brackets", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32, help="economies that PPO plays at once")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--folder", type=Path, default=Path("runs/optimal_tax"))
    parser.add_argument("--smoke", action="store_true", help="few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.updates, args.workers, args.brackets, args.batch = 2, 4, 40, 3, 8
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    found = measure(args)
    print_table(found)
    settings = {name: getattr(args, name) for name in ("seeds", "updates", "workers", "brackets", "batch", "seed")}
    record = {"settings": settings, "seconds": time.perf_counter() - start, **found}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "optimal_tax.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(found, args.folder / "optimal_tax.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()
