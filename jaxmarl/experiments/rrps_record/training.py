"""Training of the record agent: matches are recorded with the present weights, the network is fitted to all of them.

The opponent's next move in a recorded match is an exact label, so this is supervised; since opponents react to the
agent, the matches are recorded anew after each fit (DAgger). The loss of a throw is the cross-entropy of the forecast
less `payoff_weight` times the expected payoff of the play, plus the cross-entropy of the opponent's own head. Whose
matches they are is used there, and to leave the opponent's own clone and adviser out of some matches, so that the votes
also learn to do without. The agent never sees it.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Int8, PyTree, UInt8

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.files import replace_file
from jaxmarl.experiments.rrps_record import network
from jaxmarl.experiments.rrps_record.agent import load_params, mask_of, save_params
from jaxmarl.experiments.rrps_record.matches import SCALE, Matches, MatchPlay
from jaxmarl.experiments.rrps_record.network import FADES, FORGET, RecordParams
from jaxmarl.experiments.rrps_record.predictors import NAMES, NUM_STATISTICS


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    Attributes:
        without_bots: bots that are neither simulated nor met in training.
        calls: calls of two matches a bot recorded in each round.
        steps: gradient steps of each round, which goes on from the weights of the one before.
        batch: matches a gradient step.
        moments: throws kept of each recorded match.
        learning_rate: at the start of a round; it falls to a twentieth by a cosine.
        payoff_weight: of the expected payoff against the cross-entropy, in each round.
        left_out: share of the matches of a batch in which the opponent's own predictors are left out.
        width, situation: of `init_params`.
        seed: of everything.
    """

    without_bots: tuple[str, ...] = ()
    calls: tuple[int, ...] = (2, 3, 4, 4)
    steps: tuple[int, ...] = (250, 250, 250, 300)
    batch: int = 16
    moments: int = 64
    learning_rate: float = 5e-3
    payoff_weight: float = 1.0
    left_out: float = 0.15
    width: int = 16
    situation: int = 10
    seed: int = 0

    def __post_init__(self):
        mask_of(without_bots=self.without_bots)
        for name in ("batch", "moments", "width", "situation"):
            require_int(name, getattr(self, name), 1)
        for name in ("calls", "steps"):
            require(min(getattr(self, name), default=0) > 0, name, getattr(self, name), "positive, one number a round")
        require(len(self.calls) == len(self.steps), "calls", self.calls, f"as many as steps ({len(self.steps)})")
        require(0 <= self.left_out <= 1, "left_out", self.left_out, "in [0, 1]")


class Examples(NamedTuple):
    """Recorded matches, `B` of them, and `n` moments of each.

    Attributes:
        bot: `[B]`, number of the opponent; a label.
        clones: `[B, T, K, 3]`, the clones' predictions at every throw.
        moves: `[B, T, 2]`, own and opponent's.
        times: `[B, n]`.
        predictions: `[B, n, P, 3]` at those times.
        hits: `[B, n, fades, P, 3]`, the record at those times.
    """

    bot: Int[np.ndarray, " B"]
    clones: UInt8[np.ndarray, "B T K 3"]
    moves: Int8[np.ndarray, "B T 2"]
    times: Int[np.ndarray, "B n"]
    predictions: UInt8[np.ndarray, "B n P 3"]
    hits: Float[np.ndarray, "B n fades P 3"]


@jax.jit
def _records(predictions: UInt8[Array, "T P 3"], others: Int8[Array, " T"], times: Int[Array, " n"]):
    """The hits before each of the times."""

    def step(hits, throw):
        shown, move = throw
        return network.count_hits(hits, shown.astype(jnp.float32) / SCALE, move), hits.astype(jnp.float16)

    start = jnp.zeros((len(FADES), *predictions.shape[1:]), jnp.float32)
    return jax.lax.scan(step, start, (predictions, others))[1][times]


def examples(matches: Matches, bots: Sequence[int], moments: int, seed: int, num_bots: int = len(NAMES)) -> Examples:
    """The matches as training examples, `moments` random throws of each.

    Args:
        matches: against each of `bots`.
        bots: numbers of the opponents in the agent's library.
        moments: `n`.
        seed: of the choice.
        num_bots: size of the library.
    """
    rng, rows = np.random.default_rng(seed), []
    for k, bot in enumerate(bots):
        for predictions, moves in zip(matches.predictions[k], matches.moves[k], strict=True):
            times = np.sort(rng.choice(len(moves), moments, replace=False))
            hits = np.asarray(_records(predictions, moves[:, 1], times))
            rows.append((bot, predictions[:, :num_bots], moves, times, predictions[times], hits))
    return Examples(*map(np.stack, zip(*rows, strict=True)))


def loss(
    params: RecordParams, batch: Examples, left_out: Float[Array, " B"], weight: Float[Array, " K"], payoff: float
) -> tuple[Array, dict[str, Array]]:
    """Mean loss of a batch and its parts.

    Args:
        params: of the network.
        batch: of matches.
        left_out: 1 where the opponent's own predictors are left out.
        weight: of each opponent.
        payoff: weight of the expected payoff.
    """
    known = jax.nn.one_hot(batch.bot, len(params.blur))
    own = jnp.concatenate([known, known, jnp.zeros((len(known), NUM_STATISTICS))], axis=1)
    masks = params.mask * (1 - own * left_out[:, None])
    entropy, reward, head = jax.vmap(partial(_match_loss, params))(masks, batch)
    weights = weight[batch.bot]
    head = head * (1 - left_out)
    total = jnp.mean(weights * (entropy - payoff * reward)) + 0.2 * jnp.mean(head)
    total += 1e-5 * jnp.sum(params.context**2)
    return total, {"cross_entropy": jnp.mean(entropy), "payoff": jnp.mean(reward), "head": jnp.mean(head)}


def _match_loss(params: RecordParams, mask: Float[Array, " P"], match: Examples):
    """Means over the moments of one match: cross-entropy, expected payoff; and the cross-entropy of the own head."""
    params = replace(params, mask=jax.lax.stop_gradient(mask))
    before = jnp.concatenate([jnp.full((1, 2), -1), match.moves[:-1].astype(jnp.int32)])
    other = match.moves[:, 1].astype(jnp.int32)
    clones = network.masked(mask[: len(params.blur)], jnp.asarray(match.clones, jnp.float32) / SCALE)
    opinions = network.heads(params, clones, network.context_of(before))
    likelihood = jnp.take_along_axis(opinions, other[:, None, None], axis=2)[..., 0]
    evidence = _evidence(likelihood)[match.times]
    wins = (match.moves[:, 0] - other + 1) % 3 - 1
    score = jnp.concatenate([jnp.zeros(1), jnp.cumsum(wins)[:-1]])[match.times].astype(jnp.float32)
    times = match.times.astype(jnp.float32)
    weight = jnp.stack([times if f == 1 else (1 - f**times) / (1 - f) for f in FADES], axis=-1)
    used = mask[:, None]
    hits = used * match.hits.astype(jnp.float32) + (1 - used) * weight[:, :, None, None] / 3
    predictions = network.masked(mask, jnp.asarray(match.predictions, jnp.float32) / SCALE)
    record = network.Record(hits, weight, evidence, score)
    decision = jax.vmap(partial(network.decide, params))(record, predictions, opinions[match.times])

    moves = jax.nn.one_hot(other[match.times], 3)
    entropy = -jnp.mean(jnp.sum(moves * decision.forecast, axis=-1))
    play = jax.nn.softmax(decision.logits)
    reward = jnp.mean(jnp.sum(play * (jnp.roll(moves, 1, -1) - jnp.roll(moves, -1, -1)), axis=-1))
    return entropy, reward, -jnp.mean(likelihood[:, match.bot])


def _evidence(likelihood: Float[Array, "T heads"]) -> Float[Array, "T 2 heads"]:
    """Sums of the log-likelihoods before each throw, in full and fading."""

    def step(evidence, row):
        return jnp.asarray([1.0, FORGET])[:, None] * evidence + row, evidence

    return jax.lax.scan(step, jnp.zeros((2, likelihood.shape[1])), likelihood)[1]


def fit(
    params: RecordParams,
    data: Examples,
    config: TrainConfig,
    steps: int,
    seed: int,
    weight: Float[np.ndarray, " K"] | None = None,
    note: Callable[[str], None] = print,
    path: Path | None = None,
) -> RecordParams:
    """Adam on random batches of the examples; mask and safety stay.

    The weights are saved to `path` in the end, and next to it as JSON the losses of every step.
    """
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps, 0.05))
    )
    weights = jnp.ones(len(params.blur)) if weight is None else jnp.asarray(weight, jnp.float32)
    update = _update(optimiser, config.payoff_weight)
    state, rng, start, parts = optimiser.init(params), np.random.default_rng(seed), params, []
    for step in range(steps):
        rows = rng.choice(len(data.bot), config.batch, replace=False)
        left_out = (rng.random(config.batch) < config.left_out).astype(np.float32)
        batch = Examples(*(x[rows] for x in data))
        params, state, part = update(params, state, batch, left_out, weights)
        params = replace(params, mask=start.mask, safety=start.safety)
        parts.append(part)
        if step == 0 or (step + 1) % 50 == 0:
            means = {name: float(np.mean([p[name] for p in parts[-50:]])) for name in part}
            note(f"step {step + 1}: " + "  ".join(f"{name} {value:.4f}" for name, value in means.items()))
    if path is not None:
        curve = {name: [round(float(part[name]), 5) for part in parts] for name in parts[0]}
        replace_file(path.with_suffix(".json"), json.dumps(curve).encode())
        save_params(params, path)
    return params


def _update(optimiser: optax.GradientTransformation, payoff: float) -> Callable[..., tuple]:
    @jax.jit
    def update(params: RecordParams, state: PyTree, batch: Examples, left_out: Array, weights: Array):
        grad = jax.grad(lambda p: loss(p, batch, left_out, weights, payoff), has_aux=True)
        gradients, parts = grad(params)
        updates, state = optimiser.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, parts

    return update


def train(
    config: TrainConfig, folder: Path, *, matches: MatchPlay | None = None, note: Callable[[str], None] = print
) -> RecordParams:
    """All rounds; what lies finished in `folder` is not done again, so that a killed run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [k for k, name in enumerate(NAMES) if name not in config.without_bots]
    play = MatchPlay() if matches is None else matches
    params = network.init_params(jax.random.key(config.seed), config.width, config.situation)
    params = replace(params, mask=jnp.asarray(mask_of(without_bots=config.without_bots)))
    recorded: list[Examples] = []
    for k, (calls, steps) in enumerate(zip(config.calls, config.steps, strict=True)):
        for call in range(calls):
            recorded.append(_recorded(play, params, numbers, config, folder / f"round{k}_call{call}.npz", note))
        path = folder / f"round{k}.npz"
        if not path.exists():
            fit(params, _joined(recorded), config, steps, config.seed + k, note=note, path=path)
        params = load_params(path)
    return params


def load_recorded(folder: Path) -> Examples:
    """All matches that a run of `train` has recorded in its folder.

    Raises:
        ValueError: there are none.
    """
    paths = sorted(folder.glob("round*_call*.npz"))
    require(len(paths) > 0, "folder", str(folder), "the folder of a training run")
    return _joined([_load(path) for path in paths])


@dataclass(frozen=True)
class RoundCurve:
    """What a training run looked like in one round.

    Attributes:
        throws: played so far, those of this round's matches included.
        returns: `[num_bots, M]`, of the matches recorded in this round, before its fit.
        losses: `[steps]` each: cross-entropy of the forecast, expected payoff of a throw, loss of the opponent's head.
    """

    throws: int
    returns: Float[np.ndarray, "num_bots M"]
    losses: dict[str, list[float]]


def training_curve(folder: Path) -> list[RoundCurve]:
    """The rounds of a finished run of `train`, read from its folder.

    Raises:
        ValueError: there are none.
    """
    rounds: list[RoundCurve] = []
    while (path := folder / f"round{len(rounds)}.json").exists():
        calls = [_load(call) for call in sorted(folder.glob(f"{path.stem}_call*.npz"))]
        bots, moves = (np.concatenate([getattr(call, name) for call in calls]) for name in ("bot", "moves"))
        won = ((moves[..., 0].astype(int) - moves[..., 1] + 1) % 3 - 1).sum(axis=1)
        before = rounds[-1].throws if rounds else 0
        returns = np.stack([won[bots == bot] for bot in np.unique(bots)]).astype(float)
        rounds.append(RoundCurve(before + moves[..., 0].size, returns, json.loads(path.read_text())))
    require(len(rounds) > 0, "folder", str(folder), "the folder of a finished training run")
    return rounds


def _load(path: Path) -> Examples:
    with np.load(path) as data:
        return Examples(**data)


def _joined(recorded: list[Examples]) -> Examples:
    return Examples(*(np.concatenate(parts) for parts in zip(*recorded, strict=True)))


def _recorded(
    play: MatchPlay, params: RecordParams, numbers: list[int], config: TrainConfig, path: Path, note
) -> Examples:
    if not path.exists():
        seed = zlib.crc32(f"{path.stem} {config.seed}".encode())
        played = play(params, jax.random.key(seed))
        matches = Matches(*(x[numbers] for x in played))  # those left out are not looked at
        means = matches.returns.mean(axis=1)
        note(f"{path.stem}: PopulationReturn {means.mean():.1f}, worst {means.min():.0f}")
        partial_file = path.with_name("partial.npz")
        np.savez(partial_file, **examples(matches, numbers, config.moments, seed)._asdict())
        partial_file.replace(path)
    return _load(path)
