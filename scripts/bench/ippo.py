"""Training steps a second of independent PPO beside the public JaxMARL's IPPO script, on its environments and sizes.

    pip install --no-deps --target PEER jaxmarl==0.2.0
    python scripts/bench/ippo.py --peer PEER [--script FILE] [--instances 16] [--seeds 8] [--repeats 5] [--out FILE]
    python scripts/bench/ippo.py [--smoke]              # without the public package: ours alone, on our Coin Game

Whole training: playing, advantages, learning, metrics. A round of training plays 128 steps of each instance, then makes
4 passes of 4 minibatches; actors and critics have two layers of 64, shared by all agents. "their script" is the file
`baselines/IPPO/ippo_ff_mpe.py` of their repository given as `--script`, as it is but for a wandb that logs nothing; it
begins anew in each call, with one seed, and on `simple_spread` only (their Coin Game refuses its actions). "its manner"
is a trainer like it (`purejaxrl_style.ppo_on` on rows of all agents), which goes on: dictionaries stacked and unstacked
in each step, their `LogWrapper`, a key for each instance, their step with its reset inside. Ratios are to the first of
the two that is there. "ours" is `mappo(env, ippo_config(...))` on the same environment through `AgentDictEnvironment`,
or on ours where we have it: the public `coin_game` is our `CoinGame("two_coins")`. Where we are told how long episodes
are, instances restart together between roll-outs: 5 episodes of 26 steps of `simple_spread` a round, then, 1 of 100 of
the Coin Game.

One seed, and `--seeds` of them under `vmap`. All rows of a game are compiled, warmed up, then called in turns; medians
count, and so do ratios below 1. Steps are those of an environment, all seeds together. Memory is what the process held
most during the warm-up less what it held before the row was compiled.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import public_script
import purejaxrl_style

from jaxmarl.bench.harness import Timing, compiled, parser, peak_memory, reset_peak_memory, start, timed, write
from jaxmarl.core import VectorEnv
from jaxmarl.envs.dilemmas import CoinGame
from jaxmarl.interop import AgentDictEnvironment, import_public
from jaxmarl.learners import ippo_config, mappo, over_seeds

STEPS, EPOCHS, MINIBATCHES, WIDTH = 128, 4, 4, 64
SCRIPT, MANNER = "their script", "its manner"
GAMES = {"simple_spread": "MPE_simple_spread_v3", "coin_game": "coin_game"}
Trainer = tuple[Callable[[Any], Any], Callable[[Any], Any], int]
"""`init(key)`, `chunk(state) -> (state, metrics)`, steps of the environment in a chunk, which is a call."""


class Sizes(NamedTuple):
    """Of a call: instances of the environment for each seed, seeds, and updates."""

    instances: int
    seeds: int
    updates: int


def repeated(update: Callable[[Any], Any], updates: int) -> Callable[[Any], Any]:
    """Several updates as one."""
    return lambda state: jax.lax.scan(lambda s, _: update(s), state, length=updates)


def ours(env: Any, sizes: Sizes) -> Trainer:
    """Our independent PPO; instances of a fixed horizon play whole episodes, about 128 steps."""
    instances, seeds, updates = sizes
    length, chunks = STEPS, 1
    if env.horizon is not None:
        length, chunks = env.horizon, max(STEPS // env.horizon, 1)
    elif instances % MINIBATCHES:
        length, chunks = STEPS // MINIBATCHES, MINIBATCHES  # sequences must divide into minibatches
    config = ippo_config(
        hidden=WIDTH,
        chunk_length=length,
        chunks_per_update=chunks,
        epochs=EPOCHS,
        minibatches=MINIBATCHES,
        learning_rate=2.5e-4,
        value_norm=False,
        agent_id=False,
    )
    learner = mappo(VectorEnv(env, instances), config)
    if seeds > 1:
        learner = over_seeds(learner, seeds)
    return learner.init, repeated(learner.update, updates), updates * seeds * instances * length * chunks


def in_its_manner(env: Any, log_wrapper: Any, sizes: Sizes) -> Trainer:
    """A trainer in the manner of the public script."""
    instances, seeds, updates = sizes
    init, update = purejaxrl_style.ppo_on(dictionary_world(env, log_wrapper, instances), STEPS, EPOCHS, MINIBATCHES)
    if seeds > 1:
        one_init, update = init, jax.vmap(update)
        init = lambda key: jax.vmap(one_init)(jax.random.split(key, seeds))  # noqa: E731
    return init, repeated(update, updates), updates * seeds * instances * STEPS


def the_script(make_train: Callable[[dict[str, Any]], Callable[[Any], Any]], name: str, sizes: Sizes) -> Trainer:
    """The public script itself, one seed; a chunk is a whole run of it, and its state the key of the next."""
    steps = sizes.updates * sizes.instances * STEPS
    config: dict[str, Any] = {
        **public_script.SETTINGS,
        "ENV_NAME": name,
        "NUM_ENVS": sizes.instances,
        "NUM_STEPS": STEPS,
        "TOTAL_TIMESTEPS": steps,
        "UPDATE_EPOCHS": EPOCHS,
        "NUM_MINIBATCHES": MINIBATCHES,
    }
    train = make_train(config)

    def chunk(key: Any) -> tuple[Any, Any]:
        following, now = jax.random.split(key)
        return following, train(now)

    return lambda key: key, chunk, steps


def dictionary_world(env: Any, log_wrapper: Any, instances: int) -> purejaxrl_style.World:
    """Instances of a public environment, as rows of all agents: those of the first agent, then those of the second."""
    logged, agents = log_wrapper(env, replace_info=True), env.agents

    def batchify(by_agent):
        return jnp.stack([by_agent[agent] for agent in agents]).reshape(len(agents) * instances, -1)

    def reset(key):
        obs, state = jax.vmap(logged.reset)(jax.random.split(key, instances))
        return batchify(obs), state

    def step(key, state, action):
        by_agent = dict(zip(agents, action.reshape(len(agents), instances), strict=True))
        obs, state, reward, done, info = jax.vmap(logged.step)(jax.random.split(key, instances), state, by_agent)
        info = jax.tree.map(lambda x: x.reshape(-1), info)
        return batchify(obs), state, batchify(reward)[:, 0], batchify(done)[:, 0], info

    return purejaxrl_style.World(env.action_space(agents[0]).n, reset, step)


def public_games(folder: Path | None) -> tuple[Any, Any, Any] | None:
    """Their two games and their wrapper that logs returns, if there is a folder to find them in."""
    if folder is None:
        return None
    public: Any = import_public(folder, "jaxmarl")
    log_wrapper = import_public(folder, "jaxmarl.wrappers.baselines").LogWrapper
    return *(public.make(name) for name in GAMES.values()), log_wrapper


def trainers(peer: tuple[Any, Any, Any] | None, script: Any, game: str, sizes: Sizes) -> dict[str, Trainer]:
    """The rows of a game; those of the peer come first."""
    coins = CoinGame("two_coins", num_steps=10, num_rounds=10, zero_last=True)
    if peer is None:
        return {"ours, our game": ours(coins, sizes)} if game == "coin_game" else {}
    env, log_wrapper = peer[list(GAMES).index(game)], peer[-1]
    # several seeds at once wait for ever for the QR decompositions of their first weights, where there are two cores
    runs = script is not None and game == "simple_spread" and sizes.seeds == 1
    rows = {SCRIPT: the_script(script, GAMES[game], sizes)} if runs else {}
    rows |= {MANNER: in_its_manner(env, log_wrapper, sizes), "ours, their game": ours(AgentDictEnvironment(env), sizes)}
    if game == "coin_game":
        return rows | {"ours, our game": ours(coins, sizes)}
    return rows | {"ours, their game, 26 steps known": ours(AgentDictEnvironment(env, 26), sizes)}


def measure(rows: dict[str, Trainer], repeats: int) -> dict[str, dict[str, float]]:
    """Rates of trainers that take turns."""
    calls, figures = {}, {}
    for name, (init, chunk, steps) in rows.items():
        reset_peak_memory()
        before = peak_memory()
        state = [jax.jit(init)(jax.random.key(0))]
        ready, seconds = compiled(chunk, state[0])

        def call(ready: Any = ready, state: list[Any] = state) -> Any:
            state[0], metrics = ready(state[0])
            return state[0], metrics

        reset_peak_memory()
        jax.block_until_ready(call())
        memory = (peak_memory() - before) / 2**20
        calls[name] = call, seconds
        figures[name] = {"steps": float(steps), "memory_mib": memory}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, (call, _) in calls.items():
            taken[name] += timed(call, 1, warm_up=False).seconds
    timings = {name: Timing(tuple(taken[name]), seconds) for name, (_, seconds) in calls.items()}
    return {name: {**row, **timings[name].rates(row["steps"])} for name, row in figures.items()}


def main() -> None:
    """Measures, prints and writes."""
    options = parser(__doc__)
    options.add_argument("--peer", type=Path, help="folder in which the public package is installed")
    options.add_argument("--script", type=Path, help="their file baselines/IPPO/ippo_ff_mpe.py (needs --peer)")
    options.add_argument("--instances", type=int, default=16, help="of the environment, for each seed")
    options.add_argument("--seeds", type=int, default=8, help="that train at once, beside one alone")
    options.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    options.add_argument("--updates", type=int, default=8, help="in a timed call of one seed; of several, a quarter")
    options.add_argument("--smoke", action="store_true", help="one update of a few: that it runs")
    args = options.parse_args()
    if args.script and not args.peer:
        options.error("--script needs --peer, the package that it trains on")
    if args.smoke:
        args.instances, args.seeds, args.updates, args.repeats = 4, 2, 1, 1
    device = start(args)
    from rich.console import Console
    from rich.table import Table

    peer = public_games(args.peer)
    script = public_script.load_script(args.script, args.peer) if args.script else None
    heads = "game", "seeds", "trainer", "steps/s (median)", "range", "ratio", "compile s", "MiB"
    table = Table(*heads, title=f"IPPO, {args.instances} instances, {device}")
    rows: list[dict[str, Any]] = []
    sizes = {name: getattr(args, name) for name in ("instances", "updates", "repeats")}
    for seeds in (args.seeds,) if args.smoke else (1, args.seeds):
        updates = args.updates if seeds == 1 else max(args.updates // 4, 1)
        for game in args.games:
            made = trainers(peer, script, game, Sizes(args.instances, seeds, updates))
            if args.smoke:
                made = dict(list(made.items())[:2])
            found = measure(made, args.repeats)
            first = next((name for name in (SCRIPT, MANNER) if name in found), None)
            for name, row in found.items():
                ratio = row["steps_per_second"] / found[first]["steps_per_second"] if first else None
                rows.append({"game": game, "seeds": seeds, "trainer": name, "ratio": ratio, **row})
                speed, low, high = (f"{row[key]:,.0f}" for key in ("steps_per_second", "slowest", "fastest"))
                shown = "" if ratio is None else f"{ratio:.2f}"
                last = f"{row['compile_seconds']:.1f}", f"{row['memory_mib']:.0f}"
                table.add_row(game, str(seeds), name, speed, f"{low} - {high}", shown, *last)
            table.add_section()
            write(args.out, {"sizes": sizes, "rows": rows})
    Console(width=130).print(table)
    if args.peer is None:
        print("No --peer: ours alone, beside nothing.")


if __name__ == "__main__":
    main()
