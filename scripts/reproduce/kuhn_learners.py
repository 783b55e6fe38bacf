"""Which learners come to an equilibrium of Kuhn poker in self-play, and which do not?

    python scripts/reproduce/kuhn_learners.py [--seeds 5] [--scale 1.0] [--learners mmd nfsp] [--folder runs/kuhn]
    python scripts/reproduce/kuhn_learners.py --smoke

PPO, magnetic mirror descent, regularised Nash dynamics (last iterates) and neural fictitious self-play (its average
policy) learn from play alone. What their networks do in all twelve information states is read off, and NashConv, what
both players could gain together by best responses, is computed on the tree. Curves are means over seeds, bands reach
from the best to the worst. Numbers go to `kuhn_learners.json` and the figure to `kuhn_learners.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jaxmarl.core import VectorEnv
from jaxmarl.core.files import replace_file
from jaxmarl.envs.trees import KuhnPoker, behaviour_strategies
from jaxmarl.games.extensive_metrics import extensive_nash_conv
from jaxmarl.learners import (
    Learner,
    MMDConfig,
    NFSPConfig,
    PPOConfig,
    RNaDConfig,
    mmd,
    nfsp,
    over_seeds,
    ppo,
    rnad,
)

NAMES = {"ppo": "PPO", "mmd": "MMD", "rnad": "R-NaD", "nfsp": "NFSP (average)"}
UPDATES = {"ppo": 2000, "mmd": 2000, "rnad": 2000, "nfsp": 240}


def make_learner(name: str, updates: int) -> tuple[KuhnPoker, Learner]:
    """The environment as the learner plays it, and the learner."""
    env = KuhnPoker(padded=name != "nfsp")
    if name == "nfsp":
        settings: dict[str, Any] = {"collect": 8, "rounds": 20, "gradient_steps": 2, "epsilon_steps": 2_000_000}
        return env, nfsp(VectorEnv(env, 64), NFSPConfig(learning_rate=2e-3, average_rate=2e-3, **settings))
    batch = VectorEnv(env, 256)
    shared: dict[str, Any] = {"chunk_length": 3, "hidden": 32, "learning_rate": 3e-3, "anneal_updates": updates}
    if name == "mmd":
        return env, mmd(batch, MMDConfig(temperature=0.3, magnet_rate=0.01, max_grad_norm=1.0, **shared))
    if name == "rnad":
        return env, rnad(batch, RNaDConfig(temperature=0.2, period=100, max_grad_norm=10.0, **shared))
    whole: dict[str, Any] = {"recurrent": False, "death_masking": True, "discount": 1.0, "trace": 1.0}
    return env, ppo(batch, PPOConfig(epochs=1, minibatches=1, **whole, **shared))


def curves(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """NashConv and the first player's payoff along the learning of one algorithm, a row a seed."""
    updates = max(args.looks, round(UPDATES[name] * args.scale / args.looks) * args.looks)
    env, learner = make_learner(name, updates)
    many = over_seeds(learner, args.seeds)

    def judge(params: Any) -> tuple[Array, Array]:
        strategies = behaviour_strategies(env, learner.policy, params)
        return extensive_nash_conv(env.game, strategies), env.game.expected_payoffs(strategies)[0]

    @jax.jit
    def run(key: Array) -> tuple[Array, Array]:
        state = many.init(key)

        def look(state: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
            state, _ = jax.lax.scan(lambda s, _: (many.update(s)[0], None), state, length=updates // args.looks)
            return state, jax.vmap(judge)(many.params(state))

        return jax.lax.scan(look, state, length=args.looks)[1]

    compiled = run.lower(jax.random.key(args.seed)).compile()
    start = time.perf_counter()
    gaps, payoffs = (np.asarray(x).T for x in compiled(jax.random.key(args.seed)))
    every = updates // args.looks
    steps = (every * learner.steps_per_update // env.num_agents) * np.arange(1, args.looks + 1)
    return {
        "learner": name,
        "updates": (every * np.arange(1, args.looks + 1)).tolist(),
        "steps": steps.tolist(),
        "nash_conv": gaps.tolist(),
        "payoff": payoffs.tolist(),
        "seconds": time.perf_counter() - start,
    }


def uniform_gap() -> float:
    """NashConv of uniform play, where all learners start."""
    game = KuhnPoker().game
    return float(extensive_nash_conv(game, game.uniform_policies()))


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"Kuhn poker, {len(rows[0]['nash_conv'])} seeds: the last policies"
    columns = ("learner", "steps", "NashConv", "s.d.", "best", "worst", "first player gets (-0.0556)", "seconds")
    table = Table(*columns, title=title)
    for row in rows:
        last, payoff = np.array(row["nash_conv"])[:, -1], np.mean(row["payoff"], axis=0)[-1]
        numbers = [
            f"{x:.3f}" for x in (last.mean(), last.std(ddof=1) if len(last) > 1 else 0.0, last.min(), last.max())
        ]
        steps = f"{row['steps'][-1] / 1e6:.2f} M"
        table.add_row(NAMES[row["learner"]], steps, *numbers, f"{payoff:+.4f}", f"{row['seconds']:.0f}")
    Console(width=120).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """NashConv against steps of play, both on logarithmic axes, named at the ends of the curves."""
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    from jaxmarl.viz.style import (
        BODY,
        FAINT,
        INK,
        SERIES,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        seed_curves,
        write_figure,
    )

    figure = new_figure(8, 4.6)
    axes = figure.subplots()
    quiet_axes(axes, grid="y")
    axes.set_xscale("log")
    axes.set_yscale("log")
    looks = dict(zip(NAMES, SERIES, strict=False))
    for row in rows:
        name = row["learner"]
        seed_curves(axes, row["steps"], np.array(row["nash_conv"]), looks[name], NAMES[name])
    axes.axhline(uniform_gap(), color=FAINT, linewidth=0.9)
    axes.text(0.99, uniform_gap(), "uniform play", transform=axes.get_yaxis_transform(), fontsize=BODY, color=INK,
              ha="right", va="top")  # fmt: skip
    axes.yaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2, 0.5, 1.0]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("steps of play", fontsize=BODY, color=INK)
    axes.set_ylabel("NashConv", fontsize=BODY, color=INK)
    legend(axes, loc="lower left")
    panel_title(axes, "Kuhn poker in self-play: all but PPO come near an equilibrium")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of updates")
    parser.add_argument("--learners", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--folder", type=Path, default=Path("runs/kuhn"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.looks, args.scale = 2, 2, 0.0
    return args


def main() -> None:
    """Learns, prints and writes everything; numbers are written after each learner."""
    args, rows = arguments(), []
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.learners:
        rows.append(curves(name, args))
        last = np.array(rows[-1]["nash_conv"])[:, -1]
        print(f"{NAMES[name]}: NashConv {last.mean():.3f} in {rows[-1]['seconds']:.0f} s", flush=True)
        record = {"settings": {"seeds": args.seeds, "seed": args.seed, "scale": args.scale}, "learners": rows}
        written = replace_file(args.folder / "kuhn_learners.json", (json.dumps(record, indent=1) + "\n").encode())
    print_table(rows)
    figure = draw_figure(rows, args.folder / "kuhn_learners.png")
    print(f"wrote {written} and {figure}")


if __name__ == "__main__":
    main()
