"""The learned part: how predictors' records in a match become a distribution of the opponent's next move, and a move.

Two stages, both shared by all opponents and both functions of the present match only:

1. *Who is it?* Each known bot has a head, a distribution from its clone's prediction (sharpened or blurred by two
   learned numbers) and from a learned table over the last joint move. The posterior of the heads is Bayes' rule on the
   moves seen, with a learned prior and one head, uniform play, for "none of them". A second posterior forgets.
2. *What next?* The posterior mean of the heads, to a learned power, times a product of experts: each predictor and each
   of its rotations votes with a weight from a small network that sees its fading records, the predictor's learned
   embedding, and the two posteriors through a bottleneck.

The move is drawn from `softmax(sharpness · expected payoff)`: near uniform where nothing is known. The sharpness is
learned up to a limit, and fades where the match so far is lost: exact best replies to a faint forecast are a pattern
that an opponent can learn, and no forecast knows how it will. Untrained (`init_params`) this is Bayes' rule over the
clones alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.experiments.rrps_record.predictors import MOVES, NAMES, num_predictors

FADES = (1.0, 0.98, 0.9, 0.7, 0.4)
FORGET = 0.97
NUM_FEATURES = 2 * len(FADES) + 4
NUM_CONTEXTS = 10
SAFETY = (8.0, 3.0, 0.5)
NO_SAFETY = (1e9, 0.0, 20.0)
_LOWEST = -1e9


@struct.dataclass
class RecordParams:
    """Everything that is learned, and which predictors are in use.

    Attributes:
        mask: `[P]`, 1 for the predictors in use; the others count as uniform. Not trained.
        safety: `[3]`, greatest sharpness, slope and offset of the trust in a running score (`decide`). Not trained.
        prior: `[heads]`, log prior of each known bot and of none.
        sharpen, blur: `[K]`, of each head's clone.
        context: `[K, 10, 3]`, logits of each head by the last joint move (0: there was none).
        bottleneck: `[2 · heads, Z]`, from the posteriors; `situation_bias` `[Z]`, `time` `[3, Z]`.
        features: `[F, H]`, `embedding` `[P, H]`, `situation` `[Z, H]`, `vote` `[H]`: of the weight of a vote.
        gate: `[P, Z]`: a vote's weight by its record and the situation.
        power: `[Z + 1]`, of the heads' mixture (softplus; the last is the bias).
        sharpness: `[Z + 1]`, of the play (exponential; the last is the bias).
    """

    mask: Float[Array, " P"]
    safety: Float[Array, " 3"]
    prior: Float[Array, " heads"]
    sharpen: Float[Array, " K"]
    blur: Float[Array, " K"]
    context: Float[Array, "K 10 3"]
    bottleneck: Float[Array, "posteriors Z"]
    situation_bias: Float[Array, " Z"]
    time: Float[Array, "3 Z"]
    features: Float[Array, "F H"]
    embedding: Float[Array, "P H"]
    situation: Float[Array, "Z H"]
    vote: Float[Array, " H"]
    gate: Float[Array, "P Z"]
    power: Float[Array, " Z+1"]
    sharpness: Float[Array, " Z+1"]


class Record(NamedTuple):
    """What has happened in a match so far, as the network sees it.

    Attributes:
        hits: `[fades, P, 3]`, fading sums of the probability that each rotation of a predictor gave to what happened.
        weight: `[fades]`, the fading number of throws.
        evidence: `[2, heads]`, log-likelihood of the moves under each head, in full and fading.
        score: the running score.
    """

    hits: Float[Array, "fades P 3"]
    weight: Float[Array, " fades"]
    evidence: Float[Array, "2 heads"]
    score: Float[Array, ""]


class Decision(NamedTuple):
    """For one throw: log-probabilities of the opponent's moves, and the logits of the agent's."""

    forecast: Float[Array, " 3"]
    logits: Float[Array, " 3"]


def init_params(key: Array, width: int = 16, situation: int = 10, num_bots: int = len(NAMES)) -> RecordParams:
    """Bayes' rule over the clones, and votes of weight zero.

    Args:
        key: of the random weights.
        width: `H`.
        situation: `Z`.
        num_bots: `K`, size of the library.
    """
    keys = jax.random.split(key, 4)
    num_rows = num_predictors(num_bots)

    def normal(key: Array, shape: tuple[int, ...], fan: float) -> Array:
        return jax.random.normal(key, shape, jnp.float32) / jnp.sqrt(fan)

    zeros = jnp.zeros
    return RecordParams(
        mask=jnp.ones(num_rows),
        safety=jnp.asarray(SAFETY, jnp.float32),
        prior=zeros(num_bots + 1),
        sharpen=jnp.ones(num_bots),
        blur=jnp.full(num_bots, -3.0),
        context=zeros((num_bots, NUM_CONTEXTS, MOVES)),
        bottleneck=normal(keys[0], (2 * (num_bots + 1), situation), 2.0),
        situation_bias=zeros(situation),
        time=zeros((3, situation)),
        features=normal(keys[1], (NUM_FEATURES, width), NUM_FEATURES),
        embedding=normal(keys[2], (num_rows, width), 10.0),
        situation=normal(keys[3], (situation, width), situation),
        vote=zeros(width),
        gate=zeros((num_rows, situation)),
        power=zeros(situation + 1).at[-1].set(0.5413),  # softplus: 1
        sharpness=zeros(situation + 1).at[-1].set(2.0),
    )


def new_record(num_bots: int) -> Record:
    """Before the first throw, for a library of so many bots."""
    fades = len(FADES)
    return Record(
        jnp.zeros((fades, num_predictors(num_bots), MOVES), jnp.float32),
        jnp.zeros(fades, jnp.float32),
        jnp.zeros((2, num_bots + 1), jnp.float32),
        jnp.zeros((), jnp.float32),
    )


def narrowed(params: RecordParams, bots: Sequence[int]) -> RecordParams:
    """The params of an agent whose library is only these bots (numbers in the library of `params`)."""
    size, kept = len(params.blur), np.asarray(bots)
    heads = np.append(kept, size)
    rows = np.concatenate([kept, size + kept, np.arange(2 * size, len(params.mask))])
    return params.replace(  # type: ignore[attr-defined]
        mask=params.mask[rows],
        prior=params.prior[heads],
        sharpen=params.sharpen[kept],
        blur=params.blur[kept],
        context=params.context[kept],
        bottleneck=params.bottleneck[np.concatenate([heads, size + 1 + heads])],
        embedding=params.embedding[rows],
        gate=params.gate[rows],
    )


def masked(mask: Float[Array, " P"], predictions: Float[Array, "*batch P 3"]) -> Float[Array, "*batch P 3"]:
    """The predictions with those not in use made uniform."""
    return mask[:, None] * predictions + (1 - mask[:, None]) / MOVES


def count_hits(
    hits: Float[Array, "fades P 3"], predictions: Float[Array, "P 3"], move: Int32[Array, ""]
) -> Float[Array, "fades P 3"]:
    """The fading hits with one more throw: rotation `r` predicted what happened with probability `p[move - r]`."""
    fades = jnp.asarray(FADES, jnp.float32)[:, None, None]
    return fades * hits + _rotated(predictions, move)


def _rotated(predictions: Float[Array, "P 3"], move: Int32[Array, ""]) -> Float[Array, "P 3"]:
    """Probability of `move` under each rotation of each prediction."""
    moved = jax.nn.one_hot(move, MOVES, dtype=predictions.dtype)
    # rotation r gave `move` the probability p[move - r]
    return jnp.stack([predictions @ jnp.roll(moved, -r) for r in range(MOVES)], axis=-1)


def heads(
    params: RecordParams, predictions: Float[Array, "*batch P 3"], context: Int32[Array, "*batch"]
) -> Float[Array, "*batch heads 3"]:
    """Log-probabilities of the opponent's move if it were each known bot, or none.

    Args:
        params: of the network.
        predictions: masked.
        context: number of the last joint move, `1 + 3 · own + opponent`, or 0.
    """
    clone = predictions[..., : len(params.blur), :] + jax.nn.softplus(params.blur)[:, None]
    tables = jnp.moveaxis(params.context, 1, 0)[context]
    logits = params.sharpen[:, None] * jnp.log(clone) + tables
    known = jax.nn.log_softmax(logits, axis=-1)
    none = jnp.full((*known.shape[:-2], 1, MOVES), -jnp.log(float(MOVES)))
    return jnp.concatenate([known, none], axis=-2)


def decide(
    params: RecordParams,
    record: Record,
    predictions: Float[Array, "P 3"],
    opinions: Float[Array, "heads 3"],
) -> Decision:
    """The forecast and the play of one throw.

    Args:
        params: of the network.
        record: of the match so far.
        predictions: masked, of the coming move.
        opinions: of `heads`, for the coming move.
    """
    known = jnp.concatenate([params.mask[: len(params.blur)], jnp.ones(1)])
    beliefs = jax.nn.log_softmax(jnp.where(known > 0, params.prior + record.evidence, _LOWEST), axis=-1)
    throws, score = record.weight[0], record.score
    moment = jnp.stack([throws / 1000, jnp.log1p(throws) / 7, score / jnp.sqrt(throws + 10.0) / 10])
    shares = jnp.exp(beliefs).reshape(-1)
    z = jnp.tanh(shares @ params.bottleneck + params.situation_bias + moment @ params.time)

    x = _features(record)
    hidden = x @ params.features + (params.embedding + z @ params.situation)[:, None, :]
    gates = x[..., 1] * (params.gate @ z)[:, None]
    weights = jax.nn.relu(hidden) @ params.vote + gates
    # votes of rotation r go to the moves (prediction + r) mod 3
    votes = sum(weights[:, r] @ jnp.roll(predictions, r, axis=-1) for r in range(MOVES))

    mixture = jax.nn.logsumexp(beliefs[0][:, None] + opinions, axis=0)
    forecast = jax.nn.log_softmax(_affine(jax.nn.softplus, params.power, z) * mixture + votes)
    chance = jnp.exp(forecast)
    payoff = jnp.roll(chance, 1) - jnp.roll(chance, -1)
    limit, slope, offset = params.safety
    # the running score in standard deviations of uniform play
    trust = jax.nn.sigmoid(slope * (score / jnp.sqrt(2 / 3 * throws + 20.0) + offset))
    sharpness = jnp.minimum(_affine(jnp.exp, params.sharpness, z), limit)
    return Decision(forecast, trust * sharpness * payoff)


def _affine(link, weights: Float[Array, " Z+1"], z: Float[Array, " Z"]) -> Float[Array, ""]:
    return link(z @ weights[:-1] + weights[-1])


def _features(record: Record) -> Float[Array, "P 3 F"]:
    """Of every predictor and rotation: how far its fading hits are above chance, as a rate and in deviations."""
    weight = record.weight[:, None, None]
    excess = record.hits - weight / MOVES
    rate = excess / (weight + 2)
    deviations = excess / jnp.sqrt(weight + 4)
    others = [jnp.roll(rate[i], -r, axis=-1) for i in (1, 2) for r in (1, 2)]
    return jnp.stack([*rate, *deviations, *others], axis=-1)


def context_of(last: Int32[Array, "*batch 2"]) -> Int32[Array, "*batch"]:
    """The context of `heads` from the last throw (own move and opponent's; -1 for none)."""
    return jnp.where(last[..., 0] >= 0, 1 + 3 * last[..., 0] + last[..., 1], 0)


def extend(
    record: Record, predictions: Float[Array, "P 3"], opinions: Float[Array, "heads 3"], last: Int32[Array, " 2"]
) -> Record:
    """The record with the last throw, for which there were these predictions and opinions; -1 moves: no throw yet."""
    own, other = last
    seen = own >= 0
    likelihood = opinions[:, jnp.maximum(other, 0)]
    after = Record(
        count_hits(record.hits, predictions, other),
        jnp.asarray(FADES, jnp.float32) * record.weight + 1,
        jnp.asarray([1.0, FORGET], jnp.float32)[:, None] * record.evidence + likelihood,
        record.score + (own - other + 1) % MOVES - 1,
    )
    return Record(*(jnp.where(seen, new, old) for new, old in zip(after, record, strict=True)))
