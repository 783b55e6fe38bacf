"""What do bargainers learn? Self-play in alternating offers beside backward induction, and in the division of items.

    python scripts/reproduce/learned_bargainers.py [--seeds 5] [--updates 400] [--folder runs/learned_bargainers]
    python scripts/reproduce/learned_bargainers.py --smoke

Buyer and seller (independent PPO, one network told who it is) haggle over eleven prices, with both values known (1 and
0), discounts of 0.9, and T offers: backward induction gives the buyer, who starts, all of the gains with T = 1, a tenth
with T = 2, 0.91 with T = 3. Whoever is left nothing is indifferent, and learns to refuse as well as to accept. In the
division of items (Lewis et al. 2017, random problems, four offers), each side knows its own values only; the best joint
value of a problem is 15.2 on average, but without discounts whoever proposes last may as well take everything, which is
worth 10. Learned play is drawn, as while learning. Numbers go to `learned_bargainers.json` and `.png` in `--folder`.
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

from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.files import replace_file
from jaxmarl.core.policy import uniform_policy
from jaxmarl.core.rollout import actor_from_group_policy, actor_from_policy, rollout, start_rollout
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.negotiation import AlternatingOffers, DealOrNoDeal
from jaxmarl.learners import ippo_config, mappo, over_seeds

INSTANCES, POINTS = 256, 20
MEASURES = {"offers": ("agreement", "buyer_share"), "division": ("agreement", "joint", "pareto")}
BEST_JOINT = 15.222
"""Mean over random problems of the largest sum of both values."""


def cases(smoke: bool) -> dict[str, tuple[str, AnyEnvironment, Any, float | None]]:
    """Kind of measures, environment, params, and what backward induction gives the buyer."""
    found: dict[str, tuple[str, AnyEnvironment, Any, float | None]] = {}
    for offers in (2,) if smoke else (1, 2, 3):
        env = AlternatingOffers(num_offers=offers, num_prices=11, complete_information=True)
        known = jnp.array([1.0, 0.0])
        params = replace(env.default_params, low=known, high=known)
        found[f"alternating offers, T = {offers}"] = "offers", env, params, env.benchmarks(params)["buyer_share"]
    if not smoke:
        division = DealOrNoDeal(num_offers=4)
        found["division of items, T = 4"] = "division", division, division.default_params, None
    return found


def measured(kind: str, played: Any) -> dict[str, jax.Array]:
    """Means over the episodes that ended; shares and joint values are of those with an agreement."""
    ended = played.terminated | played.truncated
    agreed = ended & (played.info["agreement"] > 0)

    def mean(x: jax.Array, where: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(where, x, 0.0)) / jnp.maximum(jnp.sum(where), 1)

    found = {name: mean(played.info[name], agreed) for name in MEASURES[kind][1:]}
    return {"agreement": mean(agreed, ended), **found}


def learn(kind: str, env: AnyEnvironment, params: Any, args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Each measure `[seeds, points]` as learning goes on, and of uniform play `[1]`."""
    batch, steps = VectorEnv(env, INSTANCES), 16
    config = ippo_config(
        hidden=64, chunk_length=steps, minibatches=8, learning_rate=1e-3, entropy_weight=0.01, discount=1.0
    )
    learner = mappo(batch, replace(config, anneal_updates=args.updates), params)
    runs = over_seeds(learner, args.seeds)
    num_actions = env.action_mask(env.reset(jax.random.key(0), params)[1], params).shape[-1]
    actor = actor_from_policy(uniform_policy(num_actions), INSTANCES, env.num_agents)

    def play(policy: Any, weights: Any, key: jax.Array) -> dict[str, jax.Array]:
        first, key = jax.random.split(key)
        state = start_rollout(batch, policy, first, params)
        return measured(kind, rollout(batch, policy, weights, state, key, params, 4 * steps)[1])

    team = actor_from_group_policy(learner.policy, INSTANCES)

    @jax.jit
    def point(state: Any, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        state, _ = jax.lax.scan(lambda s, _: (runs.update(s)[0], None), state, length=max(args.updates // POINTS, 1))
        keys = jax.random.split(key, args.seeds)
        return state, jax.vmap(lambda w, k: play(team, w, k))(runs.params(state), keys)

    key = jax.random.key(args.seed)
    state, rows = jax.jit(runs.init)(key), []
    for k in jax.random.split(key, POINTS):
        state, found = point(state, k)
        rows.append(found)
    curves = {name: np.stack([np.asarray(row[name]) for row in rows], axis=1) for name in MEASURES[kind]}
    chance = jax.jit(lambda k: play(actor, (), k))(key)
    return curves | {f"uniform {name}": np.asarray(chance[name])[None] for name in MEASURES[kind]}


def print_table(rows: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "game", "measure", "uniform play", "learned: mean (range of seeds)", "known", title="bargaining by self-play"
    )
    for game, row in rows.items():
        for name, value in row["final"].items():
            learned = f"{np.mean(value):.3f} ({min(value):.3f} to {max(value):.3f})"
            known = row["known"] if name == "buyer_share" else BEST_JOINT if name == "joint" else None
            table.add_row(game, name, f"{row['uniform'][name]:.3f}", learned, "" if known is None else f"{known:.3f}")
    Console(width=120).print(table)


def draw(rows: dict[str, dict[str, Any]], path: Path) -> Path:
    """Shares of the buyer by T, and what divisions are worth, as learning goes on."""
    from jaxmarl.viz.style import (
        ACCENT,
        BODY,
        FAINT,
        INK,
        SERIES,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        write_figure,
    )

    figure = new_figure(10.5, 4.0)
    left, right = figure.subplots(1, 2)
    offers = [(game, row) for game, row in rows.items() if row["known"] is not None]
    for (game, row), look in zip(offers, SERIES, strict=False):
        name = game.removeprefix("alternating offers, ")
        for k, curve in enumerate(row["curves"]["buyer_share"]):
            label = name if k == 0 else None
            left.plot(row["updates"], curve, **look.line, linewidth=1.3, alpha=0.8, label=label)
        left.axhline(row["known"], color=FAINT, linewidth=0.9)
        left.text(1.01, row["known"], name, transform=left.get_yaxis_transform(), fontsize=BODY, color=INK, va="center")
    panel_title(left, "Buyer's share, beside that of induction")
    for row in (row for row in rows.values() if row["known"] is None):
        for curve in row["curves"]["joint"]:
            right.plot(row["updates"], curve, color=ACCENT, linewidth=1.1, alpha=0.8)
        right.axhline(BEST_JOINT, color=FAINT, linestyle="--", linewidth=0.9)
        panel_title(right, "Joint value of agreed divisions (dashes: the best)")
    for axes in (left, right):
        quiet_axes(axes, grid="y")
        axes.set_xlabel("updates", fontsize=BODY, color=INK)
    legend(left)
    return write_figure(figure, path)


def main() -> None:
    """Learns, prints and writes everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/learned_bargainers"))
    parser.add_argument("--smoke", action="store_true", help="one game, a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.updates = 2, POINTS
    args.folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for game, (kind, env, params, known) in cases(args.smoke).items():
        started = time.perf_counter()
        found = learn(kind, env, params, args)
        updates = [(i + 1) * max(args.updates // POINTS, 1) for i in range(POINTS)]
        rows[game] = {
            "known": known,
            "updates": updates,
            "seconds": time.perf_counter() - started,
            "uniform": {name: float(found[f"uniform {name}"][0]) for name in MEASURES[kind]},
            "final": {name: found[name][:, -3:].mean(1).round(4).tolist() for name in MEASURES[kind]},
            "curves": {name: found[name].round(4).tolist() for name in MEASURES[kind]},
        }
        print(f"{game}: {rows[game]['seconds']:.0f} s", flush=True)
        written = replace_file(args.folder / "learned_bargainers.json", (json.dumps(rows) + "\n").encode())
    print_table(rows)
    print(f"wrote {written} and {draw(rows, args.folder / 'learned_bargainers.png')}")


if __name__ == "__main__":
    main()
