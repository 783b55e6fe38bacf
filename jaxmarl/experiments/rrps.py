"""The repeated rock-paper-scissors benchmark: train an agent against the tournament bots, and see where it ranks."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.seating import Player
from jaxmarl.envs.rps import BOTS, RepeatedRPS, bot_players, get_bot, split_bots
from jaxmarl.evaluation.cross_play import versus
from jaxmarl.evaluation.metrics import score_returns
from jaxmarl.evaluation.report import PopulationReport, make_report
from jaxmarl.experiments.config import from_dict
from jaxmarl.experiments.rrps_table import load_cross_table
from jaxmarl.learners.base import Learner
from jaxmarl.learners.ppo import PPOConfig, ppo
from jaxmarl.training import RunResult, restore_state, run
from jaxmarl.viz.population import plot_population

FIGURE_FILE = "report.png"


@dataclass(frozen=True)
class RRPSConfig:
    """Everything that a run is made from.

    Attributes:
        bots: names of the opponents (empty: all, but for those held out).
        held_out: number of bots kept for evaluation, drawn by `split_seed`.
        split_seed: of the split.
        matches_per_bot: simultaneous training matches against each.
        num_throws: length of a training match; evaluation always plays 1000.
        recall: throws visible in the observation.
        append_time: whether the agent sees how far the match has gone.
        num_updates: PPO updates.
        eval_matches: evaluation matches against each bot, half in each seat.
        ppo: settings of the learner.
    """

    bots: tuple[str, ...] = ()
    held_out: int = 0
    split_seed: int = 0
    matches_per_bot: int = 16
    num_throws: int = 1000
    recall: int = 1
    append_time: bool = False
    num_updates: int = 400
    eval_matches: int = 100
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self):
        for name in ("matches_per_bot", "num_throws", "recall", "num_updates"):
            require_int(name, getattr(self, name), 1)
        require_int("eval_matches", self.eval_matches, 2)
        require(self.eval_matches % 2 == 0, "eval_matches", self.eval_matches, "even, half in each seat")
        for name in self.bots:
            get_bot(name)
        require(len(set(self.bots)) == len(self.bots), "bots", self.bots, "without repetition")
        require_int("held_out", self.held_out, 0, len(BOTS) - 1)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Names of the bots held out."""
        return split_bots(self.split_seed, self.held_out)[1] if self.held_out else ()

    def resolved(self) -> "RRPSConfig":
        """The config with every opponent named, so that a run's record says it."""
        unseen = self.unseen
        return replace(self, bots=tuple(name for name in self.bots or BOTS if name not in unseen))


PRESETS: dict[str, RRPSConfig] = {
    "quick": RRPSConfig(
        num_updates=400,
        ppo=PPOConfig(learning_rate=3e-3, discount=0.95, minibatches=8, reward_scale=0.1, anneal_updates=400),
    ),
    "full": RRPSConfig(
        matches_per_bot=64,
        recall=2,
        append_time=True,
        num_updates=20_000,
        eval_matches=1000,
        ppo=PPOConfig(hidden=256, chunk_length=200, epochs=2, minibatches=8, reward_scale=0.1, anneal_updates=20_000),
    ),
    "smoke": RRPSConfig(
        bots=("copybot", "rockbot", "switchbot"),
        matches_per_bot=4,
        num_throws=100,
        num_updates=4,
        eval_matches=4,
        ppo=PPOConfig(hidden=8, chunk_length=50, minibatches=2),
    ),
}


def preset(name: str) -> RRPSConfig:
    """A named configuration; `ValueError` with the nearest name where there is none."""
    require_choice("preset", name, PRESETS)
    return PRESETS[name]


def make_env(config: RRPSConfig, num_throws: int = 1000) -> RepeatedRPS:
    """The match as the agent of `config` sees it."""
    return RepeatedRPS(num_throws=num_throws, recall=config.recall, append_time=config.append_time)


def make_learner(config: RRPSConfig) -> Learner:
    """PPO against the population of `config`."""
    env = make_env(config, config.num_throws)
    population = PopulationEnv(env, bot_players(env, config.resolved().bots), config.matches_per_bot)
    return ppo(population, config.ppo)


def train(config: RRPSConfig, run_dir: Path, *, seed: int = 0, resume: bool = False, **options: Any) -> RunResult:
    """Trains `config` in `run_dir` (see `training.run` for the files, `resume` and the other options)."""
    config = config.resolved()
    settings = asdict(config)
    num_updates = settings.pop("num_updates")  # not what a run is, but how far it goes: a longer one resumes a shorter
    return run(
        make_learner(config), run_dir, num_updates=num_updates, seed=seed, resume=resume, config=settings, **options
    )


def load_agent(run_dir: Path) -> Player:
    """The agent of a run's newest checkpoint, as a player of the match: an opponent or a member of a population.

    Raises:
        ValueError: there is no such run.
    """
    _, config = load_run(run_dir)
    learner = make_learner(config)
    state, _ = restore_state(learner, run_dir)
    return Player(learner.policy.named(Path(run_dir).name), learner.params(state), view=make_env(config))


def evaluate(
    run_dir: Path, *, matches: int | None = None, seed: int = 1, note: Callable[[str], None] = lambda text: None
) -> PopulationReport:
    """Plays the newest checkpoint of a run against its bots and writes `report.json` and `report.png`.

    The bots' own scores come from the cross-table that is part of the project (1000 matches a pair); an agent with
    fewer matches is judged a little too severely, since the worst of noisy means is biased. Bots that were held out are
    part of the population, and the scores against them alone are among the report's facts.

    Args:
        run_dir: folder of the run.
        matches: against each bot, half in each seat (default: of the config).
        seed: of the matches and of the resampling.
        note: told what is being done.

    Raises:
        ValueError: there is no such run, or matches are not an even number of them.
    """
    session, config = load_run(run_dir)
    agent, names = load_agent(run_dir), (*config.bots, *config.unseen)
    env = make_env(config)
    num_matches = config.eval_matches if matches is None else matches
    require_int("matches", num_matches, 2)
    started = time.perf_counter()
    note(f"playing {num_matches} matches against each of {len(names)} bots")
    per_call = _divisor(num_matches // 2, 100)
    returns = versus(env, agent, bot_players(env, names), jax.random.key(seed), num_matches, matches_per_call=per_call)
    table = load_cross_table().of(names)
    report = make_report(
        "agent",
        names,
        returns,
        table.mean,
        table.standard_error,
        facts={
            **{name: session[name] for name in ("compile_seconds", "steps_per_second") if name in session},
            "evaluation_seconds": round(time.perf_counter() - started, 1),
            **_unseen_facts(config, returns),
        },
        config={"recall": config.recall, "hidden": config.ppo.hidden, "throws_in_training": config.num_throws},
        seed=seed,
    )
    report.save(run_dir)
    plot_population(report, run_dir / FIGURE_FILE, learning_curve(run_dir, config))
    return report


def _unseen_facts(config: RRPSConfig, returns: np.ndarray) -> dict[str, Any]:
    if not config.unseen:
        return {}
    plain = score_returns(returns[len(config.bots) :], num_bootstrap=0).plain
    scores = ("population_return", "within_pop_expl", "aggregate_score")
    return {"unseen": list(config.unseen), **{f"unseen_{name}": round(getattr(plain, name), 1) for name in scores}}


def load_run(run_dir: Path) -> tuple[dict[str, Any], RRPSConfig]:
    """What `run.json` says of the last session of a run (speed, versions, device), and the run's config."""
    path = Path(run_dir) / "run.json"
    if not path.is_file():
        raise ValueError(f"{run_dir} is not a run: it has no run.json")
    record = json.loads(path.read_text())
    return record["sessions"][-1], from_dict(RRPSConfig(), record["config"])


def learning_curve(run_dir: Path, config: RRPSConfig) -> dict[str, np.ndarray]:
    """Population return and worst loss during training, a point each time the environments have played a match.

    Rewards a throw are scaled to a match of 1000; the worst loss is over noisy means and so biased up.
    """
    rows = list(_metrics(run_dir))
    chunk = config.ppo.chunk_length * config.ppo.chunks_per_update
    window = max(1, min(config.num_throws // chunk, len(rows)))
    whole = len(rows) // window * window

    def per_match(name: str) -> np.ndarray:
        values = np.array([row[name] for row in rows[:whole]], np.float64)
        return 1000 * values.reshape(-1, window).mean(axis=1)

    steps = np.array([row["agent_steps"] for row in rows[window - 1 : whole : window]], np.float64)
    return {"steps": steps, "population_return": per_match("reward"), "within_pop_expl": -per_match("reward_worst")}


def _metrics(run_dir: Path) -> Iterator[dict[str, Any]]:
    with (Path(run_dir) / "metrics.jsonl").open() as file:
        yield from map(json.loads, file)


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` up to `limit`."""
    return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)
