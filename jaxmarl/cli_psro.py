"""`jaxmarl psro`: populations that grow by best responses, in a game of the zoo or an environment."""

from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.live import Live
from rich.table import Table

from jaxmarl.cli_listing import require_figure
from jaxmarl.core.checks import did_you_mean, require, require_choice, require_int

ORACLES = ("exact", "ppo")
LAST_ROWS = 30  # of the live table


def psro(
    game: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="GAME")],
    meta: str = "nash",
    oracle: Annotated[str, tyro.conf.arg(metavar="{exact,ppo}")] = "",
    iterations: int = 0,
    variant: str = "standard",
    seed: int = 0,
    updates: int = 100,
    episodes: int = 200,
    horizon: int = 0,
    game_settings: Annotated[tuple[str, ...], tyro.conf.arg(name="game", metavar="NAME=VALUE ...")] = (),
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = (),
    ppo_settings: Annotated[tuple[str, ...], tyro.conf.arg(name="ppo", metavar="NAME=VALUE ...")] = (),
    run: Annotated[str, tyro.conf.arg(metavar="FOLDER")] = "",
    resume: bool = False,
    figure: Annotated[str, tyro.conf.arg(metavar="FILE.png")] = "",
) -> None:
    """Grows populations by responses to their own mixture (PSRO); prints certificates at every iteration.

    Args:
        game: a game of the zoo or a file of payoffs (see `jaxmarl solve`), kuhn_poker, leduc_poker or goofspiel, or an
            environment (see `jaxmarl envs`).
        meta: meta-solver that mixes the population: nash, uniform, prd, alpharank, mgcce, mgce, or any solver.
        oracle: exact (games) or ppo (environments; fresh networks, trained on episodes against the mixture).
        iterations: most iterations (default: as many as the largest number of actions; 8 in environments).
        variant: standard, rectified, anytime or preference.
        seed: of everything random.
        updates: of PPO, for one response.
        episodes: of every new pair of strategies, to estimate payoffs.
        horizon: steps of every episode, for an environment whose episodes may end early.
        game_settings: parameters of the game, or fields of the environment, as in --game num_throws=10.
        settings: of the loop, as in --set capacity=20 tolerance=1e-4 diversity=0.15 self_play=True.
        ppo_settings: of PPO, as in --ppo hidden=32 learning_rate=1e-3.
        run: keep checkpoints in this folder.
        resume: continue the run in that folder, bit for bit.
        figure: draw payoffs, mixtures and exploitability to this PNG.
    """
    from jaxmarl.solvers.psro import Psro, meta_solver_names
    from jaxmarl.solvers.psro.saved import run_saved

    require_choice("meta", meta, meta_solver_names())
    require(not resume or bool(run), "run", run, "given, to resume")
    require_int("iterations", iterations, 0)
    require_figure(figure)
    exact, psro_game, actions = _game(game, oracle, game_settings, ppo_settings, updates, episodes, horizon)
    loop = Psro(psro_game, _settings(settings, meta, variant, iterations, actions))
    config: dict[str, Any] = {"game": game, "game_settings": list(game_settings), "ppo": list(ppo_settings)}
    title = f"{Path(game).name}, {meta}, {'exact' if exact else 'learned'} responses"
    console = Console()
    live = Live(console=console, auto_refresh=False, transient=True)

    def show(state: Any) -> None:
        live.update(iterations_table(state, title, exact), refresh=console.is_terminal)

    with live:
        if run:
            Path(run).parent.mkdir(parents=True, exist_ok=True)
            config |= {} if exact else {"updates": updates, "episodes": episodes, "horizon": horizon}
            state = run_saved(loop, run, seed=seed, resume=resume, config=config, on_iteration=show)
        else:
            import jax

            state = loop.run(jax.random.key(seed), show)
    _report(console, state, title, exact, run, figure)


def _report(console: Console, state: Any, title: str, exact: bool, run: str, figure: str) -> None:
    """Prints the table, draws the figure that was asked for, and says what was written."""
    console.print(iterations_table(state, title, exact))
    if exact and bool(state.done):
        console.print("no response gains anything more", highlight=False)
    written = [run] if run else []
    if figure:
        from jaxmarl.viz.psro import plot_psro

        written.append(str(plot_psro(state, figure, title, exact)))
    if written:
        console.print(f"wrote {', '.join(written)}", highlight=False)


def iterations_table(state: Any, title: str, exact: bool) -> Table:
    """One row an iteration: sizes of the populations, what responses gain, what is gained within them."""
    rows = state.rows()
    gap = "NashConv" if exact else "responses gain"
    legend = (
        "of each player: strategies in the population, those that its mixture plays, and its payoff; "
        f"{gap}: by leaving the mixture for any strategy of the game; meta-gap: for one of the population"
    )
    table = Table("round", "strategies", "played", gap, "meta-gap", "payoffs", title=title, caption=legend, padding=0)
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    count = len(rows["gain"])
    for t in range(max(0, count - LAST_ROWS), count):
        error = "" if exact else f" ± {rows['nash_conv_error'][t]:.3f}"
        table.add_row(
            str(t + 1),
            ", ".join(map(str, rows["size"][t])),
            ", ".join(str(int((mixture > 1e-6).sum())) for mixture in rows["mixture"][t]),
            f"{rows['nash_conv'][t]:.4g}{error}" if exact else f"{rows['nash_conv'][t]:.3f}{error}",
            f"{rows['meta_gap'][t]:.1e}",
            ", ".join(f"{value:.3f}" for value in rows["value"][t]),
        )
    return table


def _settings(words: tuple[str, ...], meta: str, variant: str, iterations: int, actions: int) -> Any:
    from jaxmarl.experiments.config import assignments
    from jaxmarl.solvers.psro import PsroSettings

    chosen = assignments("set", words)
    known = sorted(PsroSettings.__dataclass_fields__)
    for name in chosen:
        require_choice("set", name, known)
    if isinstance(options := chosen.get("meta_options"), dict):
        chosen["meta_options"] = tuple(options.items())
    capacity = iterations or actions
    return PsroSettings(
        **{"meta_solver": meta, "variant": variant, "iterations": iterations, "capacity": capacity, **chosen}
    )


def _game(
    name: str,
    oracle: str,
    fields: tuple[str, ...],
    ppo_words: tuple[str, ...],
    updates: int,
    episodes: int,
    horizon: int,
) -> tuple[bool, Any, int]:
    """Whether responses are exact, the game, and how many iterations it is given by default."""
    import jaxmarl.envs  # noqa: F401  # registers the environments
    from jaxmarl.core.registry import list_envs
    from jaxmarl.experiments.config import assignments
    from jaxmarl.games.extensive_zoo import list_extensive_games, make_extensive_game
    from jaxmarl.games.zoo import list_games, make_game
    from jaxmarl.interop.payoff_files import SUFFIXES, load_game

    if oracle:
        require_choice("oracle", oracle, ORACLES)
    is_file = Path(name).suffix in SUFFIXES
    known = {*list_games(), *list_extensive_games()}
    environment = name in list_envs() and (oracle == "ppo" or name not in known)
    if not (is_file or environment or name in known):
        near = did_you_mean(name, [*known, *list_envs()])
        trees = ", ".join(list_extensive_games())
        raise ValueError(f"unknown game {name!r}{near} (known: those of jaxmarl solve and jaxmarl envs, {trees})")
    if not environment:
        require(oracle != "ppo", "oracle", oracle, f"exact for {name}, which is no environment")
        require(not ppo_words, "ppo", list(ppo_words), "left out with exact responses")
        require(horizon == 0, "horizon", horizon, "left out with exact responses")
        from jaxmarl.solvers.psro import ExtensivePsro, NormalFormPsro

        if name in list_extensive_games():
            return True, ExtensivePsro(make_extensive_game(name, **assignments("game", fields))), 30
        require(not (is_file and fields), "game", list(fields), f"left out for {name}, which is a file")
        array = load_game(name) if is_file else make_game(name, **assignments("game", fields))
        return True, NormalFormPsro(array), max(array.num_actions)
    require(oracle != "exact", "oracle", oracle, f"ppo for {name}, which is an environment")
    return False, _environment(name, assignments("game", fields), ppo_words, updates, episodes, horizon), 8


def _environment(
    name: str, fields: dict[str, Any], ppo_words: tuple[str, ...], updates: int, episodes: int, horizon: int
) -> Any:
    from jaxmarl.core.fixed_horizon import FixedHorizon
    from jaxmarl.core.registry import make
    from jaxmarl.experiments.config import override
    from jaxmarl.learners.ppo import PPOConfig
    from jaxmarl.solvers.psro.environment import EnvironmentPsro, ppo_oracle

    env, params = make(name, **fields)
    if env.horizon is None:
        require(horizon > 0, "horizon", horizon, f"the steps of an episode, which in {name} may end early")
        env = FixedHorizon(env, horizon)
    else:
        require(horizon == 0, "horizon", horizon, f"left out: episodes of {name} are {env.horizon} steps long")
    config = PPOConfig(
        hidden=32, chunk_length=env.horizon or 1, minibatches=2, learning_rate=5e-3, label_weight=0.0, discount=1.0
    )
    oracle = ppo_oracle(override(config, ppo_words))
    return EnvironmentPsro(env, oracle, updates=updates, matches=8, episodes=episodes, env_params=params)
