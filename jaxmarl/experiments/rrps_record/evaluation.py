"""What the record agent is worth: matches to the protocol, unseen bots, ablations, and learners trained against it."""

import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.files import replace_file
from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.seating import Player
from jaxmarl.envs.rps import BOTS, RepeatedRPS, split_bots
from jaxmarl.evaluation.cross_play import play
from jaxmarl.evaluation.metrics import score_returns
from jaxmarl.experiments.rrps_record import network
from jaxmarl.experiments.rrps_record.agent import load_params, mask_of, record_agent
from jaxmarl.experiments.rrps_record.matches import MatchPlay
from jaxmarl.experiments.rrps_record.network import RecordParams, init_params
from jaxmarl.experiments.rrps_record.predictors import NAMES, Library
from jaxmarl.experiments.rrps_record.training import TrainConfig, fit, load_recorded, train
from jaxmarl.experiments.rrps_table import load_cross_table
from jaxmarl.learners import (
    Learner,
    PPOConfig,
    QLearningConfig,
    RegretMatchingConfig,
    ppo,
    q_learning,
    regret_matching,
)

Note = Callable[[str], None]

FINAL = TrainConfig()
"""How the committed weights were trained."""
SHORT = TrainConfig(calls=(1, 2), steps=(200, 300), left_out=0.5)
"""The same, cheaper: of a split or an ablation."""


def play_matches(
    params: RecordParams, folder: Path, num_matches: int, *, seed: int, matches: MatchPlay, note: Note = print
) -> Float[np.ndarray, "K M"]:
    """Returns against each bot of `matches`, half of the matches in each seat; matches that lie in `folder` count.

    Args:
        params: weights of the agent.
        folder: where finished matches are kept, by weights and seed.
        num_matches: `M`, a multiple of `2 · matches.pairs`.
        seed: of the matches.
        matches: how they are played.
        note: told how far it is, now and then.
    """
    per_call = 2 * matches.pairs
    require_int("num_matches", num_matches, per_call)
    require(num_matches % per_call == 0, "num_matches", num_matches, f"a multiple of {per_call}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"returns-{_digest(params):08x}-{per_call}-{seed}.npy"
    done = np.load(path) if path.exists() else np.zeros((len(matches.names), 0), np.float32)
    for call in range(done.shape[1] // per_call, num_matches // per_call):
        returns = matches(params, jax.random.fold_in(jax.random.key(seed), call)).returns
        done = np.concatenate([done, returns], axis=1)
        buffer = io.BytesIO()
        np.save(buffer, done)
        replace_file(path, buffer.getvalue())
        if call % 10 == 9:
            means = done.mean(axis=1)
            note(f"{done.shape[1]} matches a bot: return {means.mean():.1f}, worst {means.min():.1f}")
    return done[:, :num_matches]


def _digest(params: RecordParams) -> int:
    return zlib.crc32(b"".join(np.asarray(leaf, np.float32).tobytes() for leaf in jax.tree.leaves(params)))


# --- unseen bots ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SplitScore:
    """Figures against one set of opponents.

    Attributes:
        split: seed of the split.
        agent: who plays.
        seen: whether against the bots trained with, or the others.
        population_return, within_pop_expl, aggregate_score: against that set.
    """

    split: int
    agent: str
    seen: bool
    population_return: float
    within_pop_expl: float
    aggregate_score: float


def split_scores(
    split: int, folder: Path, num_matches: int, matches: MatchPlay, config: TrainConfig = SHORT, note: Note = print
) -> list[SplitScore]:
    """Trains without 10 bots and scores on both sets, beside greenberg and iocainebot.

    The bots left out are neither met in training nor simulated, as clone or as adviser; the two best bots are scored
    by the cross-table that comes with the project.
    """
    seen, unseen = split_bots(split)
    config = replace(config, without_bots=unseen, seed=split)
    trained = train(config, folder / f"split{split}", matches=matches, note=note)
    returns = {"ours": play_matches(trained, folder, num_matches, seed=split, matches=matches, note=note)}
    table = load_cross_table().of(tuple(BOTS))
    for name in ("greenberg", "iocainebot"):
        returns[name] = np.repeat(table.mean[table.names.index(name)][:, None], 2, axis=1)
    scores = []
    for agent, values in returns.items():
        for names in (seen, unseen):
            rows = [table.names.index(name) for name in names]
            plain = score_returns(values[rows], num_bootstrap=0, split_half=False).plain
            figures = plain.population_return, plain.within_pop_expl, plain.aggregate_score
            scores.append(SplitScore(split, agent, names is seen, *figures))
    return scores


# --- what each ingredient is worth ------------------------------------------------------------------------------------


def ablations(recorded: Path, folder: Path, note: Note = print) -> dict[str, RecordParams]:
    """Weights of variants: first those that need no training, then some fitted once to the matches of a training run.

    The latter are not met by opponents that react to them, as the agent was in its later rounds; "everything, fitted
    once" is what to compare them with. Finished fits that lie in `folder` are not done again.

    Args:
        recorded: folder of the training run.
        folder: where fits are kept.
        note: told what is being done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    full = load_params(recorded / f"round{len(FINAL.steps) - 1}.npz")
    width, situation = full.embedding.shape[1], full.gate.shape[1]
    bayes = init_params(jax.random.key(0), width, situation)
    unsafe = replace(full, safety=jnp.asarray(network.NO_SAFETY, jnp.float32))
    variants = {"full": full, "no safety": unsafe, "Bayes' rule over clones, untrained": bayes}
    fits = {
        "everything, fitted once as those below": (mask_of(), FINAL),
        "no clones": (mask_of(clones=False), FINAL),
        "no advisers": (mask_of(advisers=False), FINAL),
        "no statistics": (mask_of(statistics=False), FINAL),
        "clones alone": (mask_of(advisers=False, statistics=False), FINAL),
        "forecast alone (no payoff in the loss)": (mask_of(), replace(FINAL, payoff_weight=0.0)),
    }
    for k, (name, (mask, config)) in enumerate(fits.items()):
        path = folder / f"ablation{k}.npz"
        if not path.exists():
            note(name)
            start = replace(bayes, mask=jnp.asarray(mask))
            fit(start, load_recorded(recorded), config, config.steps[-1], seed=k, note=note, path=path)
        variants[name] = load_params(path)
    first = recorded / "round0.npz"
    if first.exists():
        variants["matches recorded once"] = load_params(first)
    return variants


def beaten(returns: Float[np.ndarray, "K M"], names: Sequence[str]) -> str:
    """How many bots are beaten, tied and lost to, at two standard errors."""
    mean = returns.mean(axis=1)
    error = returns.std(axis=1, ddof=1) / np.sqrt(returns.shape[1])
    lost = [name for name, m, e in zip(names, mean, error, strict=True) if m < -2 * e]
    won = int((mean > 2 * error).sum())
    return f"beats {won} of {len(names)}, loses to {len(lost)}" + (f" ({', '.join(lost)})" if lost else "")


# --- learners trained against it --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exploiter:
    """What a learner trained against the frozen agent earns from it: a lower bound on its exploitability.

    Attributes:
        name: of the learner.
        throws: it has learned from.
        mean, standard_error: of its return in fresh matches.
    """

    name: str
    throws: int
    mean: float
    standard_error: float


def exploiters(
    params: RecordParams,
    *,
    seed: int,
    matches: int = 500,
    lanes: int = 16,
    library: Library = NAMES,
    note: Note = print,
) -> Iterator[Exploiter]:
    """Trains regret matching, Q-learning and PPO on about `matches` matches against the frozen agent, one by one."""
    throws = 500  # of an update of the tabular learners
    updates = max(2 * matches // lanes, 1)
    makers: dict[str, tuple[int, int, Callable[[PopulationEnv], Learner]]] = {}
    for recall in (1, 2):
        regret = RegretMatchingConfig(recall=recall, steps_per_update=throws)
        makers[f"regret matching, R={recall}"] = recall, updates, partial(regret_matching, config=regret)
    q_config = QLearningConfig(recall=10, steps_per_update=throws, log2_size=22)
    makers["Q-learning, R=10"] = 10, updates, partial(q_learning, config=q_config)
    ppo_config = PPOConfig(learning_rate=3e-3, discount=0.95, minibatches=4, reward_scale=0.1)
    makers["PPO, memory of 64"] = 1, 5 * updates, partial(ppo, config=ppo_config)
    for name, (recall, count, make) in makers.items():
        note(f"training {name}")
        env = RepeatedRPS(recall=recall, layout="own_first" if name.startswith("PPO") else "moves")
        agent = Player(record_agent(library), params, view=env.moves_view)
        learner = make(PopulationEnv(env, (agent,), lanes))
        update = jax.jit(learner.update, donate_argnums=0)
        state = jax.jit(learner.init)(jax.random.key(seed))
        for _ in range(count):
            state, _ = update(state)
        learned = Player(learner.policy, learner.params(state), view=env)
        key = jax.random.fold_in(jax.random.key(seed), 1)
        returns = play(env, (learned, agent), np.array([[0, 1], [1, 0]]), key, 2 * lanes, matches_per_call=2 * lanes)
        earned = np.concatenate([returns[0, :, 0], returns[1, :, 1]])
        yield Exploiter(
            name,
            count * learner.steps_per_update,
            float(earned.mean()),
            float(earned.std(ddof=1) / np.sqrt(len(earned))),
        )
