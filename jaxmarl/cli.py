"""The command line: `jaxmarl envs | train | evaluate | solve | play | psro | bench | verify`."""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from jaxmarl.cli_auctions import solve_auction
from jaxmarl.cli_bench import bench
from jaxmarl.cli_listing import listing, require_figure, sentence
from jaxmarl.cli_play import play
from jaxmarl.cli_psro import psro
from jaxmarl.cli_verify import verify
from jaxmarl.core.checks import require, require_choice

EXPERIMENTS = ("rrps",)
RUNS = Path("runs")

Experiment = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="{" + ",".join(EXPERIMENTS) + "}")]


def envs(name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]")] = "", bots: bool = False) -> None:
    """Lists the environments, or describes the one called NAME.

    Args:
        name: an environment; its description, fields and params are printed.
        bots: list the rock-paper-scissors tournament bots instead.
    """
    from jaxmarl.core.registry import env_factory, list_envs, make

    console = Console()
    if bots:
        console.print(_bot_table())
    elif name:
        factory = env_factory(name)
        env, params = make(name)
        fields = inspect.signature(factory).replace(return_annotation=inspect.Signature.empty)
        console.print(f"[bold]{name}[/bold]{fields}\n", highlight=False)
        console.print(inspect.getdoc(factory), markup=False, highlight=False)
        console.print(f"\n[bold]observation[/bold] {env.observation_space(params)}", highlight=False)
        console.print(f"[bold]action[/bold] {env.action_space(params)}", highlight=False)
        console.print(f"[bold]default params[/bold] {params}", highlight=False)
    else:
        rows = []
        for known in list_envs():
            env, _ = make(known)
            facts = f"agents: {env.num_agents}, steps: {env.horizon or 'varies'}"
            rows.append((known, sentence(env_factory(known).__doc__), facts))
        console.print(listing("jaxmarl.make(NAME)", rows))
        console.print("jaxmarl envs NAME describes one", highlight=False)


def _bot_table() -> Table:
    from jaxmarl.envs.rps import BOTS, bot_costs

    costs, measured_on = bot_costs()
    title = "repeated rock-paper-scissors: entrants of the 1999 and 2000 programming competitions, and seed bots"
    caption = f"bytes of memory a match; nanoseconds a throw, 256 matches at once ({measured_on})"
    table = Table("bot", "what it does", "random", "bytes", "ns", "author", title=title, caption=caption)
    for column in (0, 2, 3, 4):
        table.columns[column].no_wrap = True
    for name, bot in BOTS.items():
        author = f"{bot.author}, {bot.competition}" if bot.entrant else "seed bot"
        table.add_row(
            name, bot.summary, "" if bot.deterministic else "yes", str(bot.state_bytes), f"{costs[name]:.0f}", author
        )
    return table


def train(
    experiment: Experiment,
    preset: Annotated[str, tyro.conf.arg(metavar="{quick,full,smoke}")] = "quick",
    run: Annotated[str, tyro.conf.arg(metavar="RUN")] = "",
    seed: int = 0,
    resume: bool = False,
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = (),
    evaluate: bool = True,
    devices: int | None = None,
    coordinator: Annotated[str, tyro.conf.arg(metavar="HOST:PORT")] = "",
    num_processes: int = 1,
    process_id: int = 0,
) -> int:
    """Trains an agent, evaluates it, and leaves checkpoint, metrics, report and figure in runs/RUN/.

    On many hosts, start the same command on each with --coordinator, --num-processes and its own --process-id. The
    first process writes; a signal to any stops all, and --resume goes on with any number of devices and processes.

    Args:
        experiment: what to train on: rrps (repeated rock-paper-scissors against the tournament bots).
        preset: quick (three minutes on two cores), full (hours; meant for an accelerator) or smoke (seconds; a test).
        run: folder of the run below runs/, or a path (default: EXPERIMENT-PRESET, numbered when taken).
        seed: of everything random in training.
        resume: continue the run called RUN, bit for bit.
        settings: change settings of the preset, as in --set ppo.learning_rate=1e-3 num_updates=100.
        evaluate: evaluate the agent when it is trained (with --coordinator: leave that to jaxmarl evaluate).
        devices: split the environments over so many devices (default: one; with --coordinator, all).
        coordinator: address of process 0 of several that train together, the same for all.
        num_processes: how many these are.
        process_id: which one this is, from 0.
    """
    from jaxmarl.experiments import rrps
    from jaxmarl.experiments.config import override
    from jaxmarl.training.processes import by_first

    require_choice("experiment", experiment, EXPERIMENTS)
    config = override(rrps.preset(preset), settings)
    if resume and not run:
        raise ValueError("--resume needs --run NAME, the run to continue")
    mesh = _mesh(devices, coordinator, num_processes, process_id)
    folder = _run_folder(run) if run else by_first(lambda: _free_folder(f"{experiment}-{preset}"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = [f"jaxmarl train {experiment} --preset {preset} --run {run or folder.name} --seed {seed} --resume"]
    hint = " ".join([*words, *(["--set", *settings] if settings else [])])
    console = Console()
    console.print(f"training {experiment} ({preset}) in [bold]{folder}[/bold]", highlight=False)
    result = rrps.train(config, folder, seed=seed, resume=resume, resume_hint=f"to go on: {hint}", mesh=mesh)
    if result.interrupted:
        return 130
    return _report(folder, None, 1, console) if evaluate and not coordinator else 0


def _mesh(devices: int | None, coordinator: str, num_processes: int, process_id: int) -> Any:
    """The devices to train on, other processes' included once they are connected; None for the default one."""
    from jaxmarl.training import connect, make_mesh

    if coordinator:
        connect(coordinator, num_processes, process_id)
    elif num_processes != 1 or process_id != 0:
        raise ValueError("--num-processes and --process-id need --coordinator HOST:PORT")
    return make_mesh(data=devices) if coordinator or devices is not None else None


def evaluate(
    experiment: Experiment,
    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[RUN]")] = "",
    matches: int | None = None,
    seed: int = 1,
    cross_table: bool = False,
    compare: Annotated[str, tyro.conf.arg(metavar="FILE")] = "",
) -> int:
    """Plays the newest checkpoint of RUN against its population; prints the ranking, writes report and figure.

    Args:
        experiment: what was trained: rrps.
        run: name below runs/, or path, of the run (with --cross-table: of the folder to write, rrps-table by default).
        matches: matches against each opponent, half in each seat (default: the preset's; of a pair of bots: 100).
        seed: of the evaluation matches.
        cross_table: play the bots against each other instead; writes the table and a heat map.
        compare: with --cross-table, compare cell by cell with the released table in FILE.
    """
    require_choice("experiment", experiment, EXPERIMENTS)
    if cross_table:
        return _cross_table(
            _run_folder(run or f"{experiment}-table"), 100 if matches is None else matches, seed, compare
        )
    if not run:
        raise ValueError("evaluate needs RUN, the run to evaluate (or --cross-table)")
    return _report(_run_folder(run), matches, seed, Console())


def solve(
    game: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[GAME]")] = "",
    solver: str = "",
    game_settings: Annotated[tuple[str, ...], tyro.conf.arg(name="game", metavar="NAME=VALUE ...")] = (),
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="FILE")] = "",
    figure: Annotated[str, tyro.conf.arg(metavar="FILE.png")] = "",
) -> None:
    """Solves GAME; prints strategies and a gap recomputed from the game. Without GAME: lists games and solvers.

    `jaxmarl solve auction` learns the equilibrium bids of a sealed-bid auction and has options of its own: see
    `jaxmarl solve auction --help`.

    Args:
        game: a game of the zoo, a file (.npz or .npy with payoffs, .nfg of Gambit), or auction.
        solver: name of a solver (default: exact, by the game's class).
        game_settings: parameters of a game of the zoo, as in --game hi=20 reward=5.
        settings: options of the solver, as in --set num_iterations=100000.
        out: write the solution to this .json or .npz file.
        figure: draw gaps, paths and strategies to this PNG.
    """
    from jaxmarl import solvers
    from jaxmarl.evaluation import solutions
    from jaxmarl.experiments.config import assignments

    console = Console()
    if not game:
        _print_games_and_solvers(console)
        return
    if out:
        require_choice("out's suffix", Path(out).suffix, solutions.SUFFIXES)
    require_figure(figure)
    array = _load_game(game, assignments("game", game_settings))
    solver = solver or solvers.default_solver(array)
    with console.status(f"{solver} …"):
        solution = solvers.solve(array, solver, **assignments("set", settings))
        table = solutions.solution_table(array, solution, f"{game} by {solver}")
    console.print(table)
    written = [solutions.save_solution(solution, _file(out))] if out else []
    if figure:
        from jaxmarl.viz import plot_solution

        written.append(plot_solution(solution, figure, f"{game}, {solver}"))
    if written:
        console.print(f"wrote {', '.join(map(str, written))}", highlight=False)


def _load_game(game: str, settings: dict[str, Any]) -> Any:
    from jaxmarl.games.zoo import list_games, make_game
    from jaxmarl.interop.payoff_files import SUFFIXES, load_game

    if game in list_games() or Path(game).suffix not in SUFFIXES:
        if game not in list_games():
            _point_elsewhere(game)
        return make_game(game, **settings)
    if settings:
        raise ValueError(f"--game sets parameters of a game of the zoo; {game} is a file")
    return load_game(game)


def _point_elsewhere(name: str) -> None:
    """Refuses trees and environments, which are not solved as tables, with the command that takes them."""
    from jaxmarl.core.registry import list_envs
    from jaxmarl.games.extensive_zoo import list_extensive_games

    kind = "a tree" if name in list_extensive_games() else "an environment" if name in list_envs() else ""
    require(not kind, "GAME", name, f"a game of the zoo or a file: this is {kind}, for `jaxmarl psro {name}`")


def _print_games_and_solvers(console: Console) -> None:
    from jaxmarl import solvers
    from jaxmarl.games.zoo import game_entry, list_games

    games = []
    for name in list_games():
        entry = game_entry(name)
        parameters = ", ".join(f"{key}={value!r}" for key, value in entry.params.items())
        games.append((name, sentence(entry.summary), parameters))
    console.print(listing("jaxmarl solve GAME --game NAME=VALUE ...", games))
    entries = [solvers.solver_entry(name) for name in solvers.list_solvers()]
    facts = [f"{entry.games.replace('_', '-')} games, {entry.gap_kind}" for entry in entries]
    rows = [(entry.name, sentence(entry.summary), known) for entry, known in zip(entries, facts, strict=True)]
    console.print(listing("--solver NAME (for which games, and what it drives to zero)", rows))
    console.print("sealed-bid auctions: jaxmarl solve auction --help", highlight=False)
    console.print("trees (kuhn_poker, leduc_poker, goofspiel) and environments: jaxmarl psro --help", highlight=False)


def _file(path: str) -> Path:
    """The path, in a folder that is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


def _cross_table(folder: Path, matches: int, seed: int, released: str) -> int:
    from rich.progress import Progress

    from jaxmarl.experiments import rrps_table

    folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("matches of each pair of bots", total=matches)
        table = rrps_table.play_cross_table(
            matches, seed=seed, on_progress=lambda finished: progress.update(task, completed=finished)
        )
    console = Console()
    console.print(rrps_table.ranking(table))
    if released:
        console.print(rrps_table.compare(table, Path(released)).summary)
    paths = table.save(folder / rrps_table.TABLE_FILE), rrps_table.draw(table, folder / rrps_table.FIGURE_FILE)
    console.print(f"wrote {', '.join(map(str, paths))}", highlight=False)
    return 0


def _report(folder: Path, matches: int | None, seed: int, console: Console) -> int:
    from jaxmarl.experiments import rrps

    with console.status("evaluating") as status:
        report = rrps.evaluate(folder, matches=matches, seed=seed, note=lambda text: status.update(text + " …"))
    report.print(console)
    files = ", ".join(name for name in ("report.json", rrps.FIGURE_FILE, "metrics.jsonl") if (folder / name).exists())
    console.print(f"wrote {files} in [bold]{folder}[/bold]", highlight=False)
    return 0


def _run_folder(run: str) -> Path:
    """A path as it is; a bare name below `runs/`."""
    path = Path(run)
    return path if len(path.parts) > 1 or path.is_dir() else RUNS / run


def _free_folder(name: str) -> Path:
    taken = {path.name for path in RUNS.glob(f"{name}*")}
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return RUNS / next(candidate for candidate in candidates if candidate not in taken)


def _cache_compilations() -> None:
    """Keeps compiled programs between runs, where the user has not said where (JAX_COMPILATION_CACHE_DIR)."""
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxmarl"
        jax.config.update("jax_compilation_cache_dir", str(folder))


COMMANDS: dict[str, Callable[..., Any]] = {
    "envs": envs,
    "train": train,
    "evaluate": evaluate,
    "solve": solve,
    "play": play,
    "psro": psro,
    "bench": bench,
    "verify": verify,
}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `jaxmarl` command.

    What is wrong with the user's input is one line on stderr and exit code 2 (with JAXMARL_TRACEBACK set, a traceback).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    app = tyro.extras.SubcommandApp()
    for name, command in COMMANDS.items():
        app.command(name=name)(command)
    try:
        if arguments == ["--version"]:
            from jaxmarl import __version__

            print(f"jaxmarl {__version__}")
            sys.exit(0)
        if arguments and not arguments[0].startswith("-"):
            require_choice("command", arguments[0], COMMANDS)
        _cache_compilations()
        if arguments[:2] == ["solve", "auction"]:
            code = tyro.cli(solve_auction, prog="jaxmarl solve auction", args=arguments[2:])
        else:
            code = app.cli(
                prog="jaxmarl",
                description="Markets and games as pure JAX functions: list environments, train agents, solve games.",
                args=arguments,
            )
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("JAXMARL_TRACEBACK"):
            raise
        told = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            told = f"{error.filename}: {error.strerror}"
        print(f"jaxmarl: {told}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
