"""The agent: predictors and the network over them, as a policy of the library; its committed weights."""

from collections.abc import Iterable
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Uniform
from jaxmarl.core.files import replace_file
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.core.seating import Player
from jaxmarl.envs.rps import RepeatedRPS, get_bot
from jaxmarl.experiments.rrps_record import network, predictors
from jaxmarl.experiments.rrps_record.network import Record, RecordParams
from jaxmarl.experiments.rrps_record.predictors import NAMES, NUM_STATISTICS, Library, PredictorMemory

CHECKPOINT = Path(__file__).parent / "agent.npz"


class AgentMemory(NamedTuple):
    """What the agent carries from throw to throw; all of it is of the present match.

    Attributes:
        predictors: their memories.
        record: how they have done.
        predictions: `[P, 3]` for the coming throw, masked.
        opinions: `[heads, 3]`, the heads' log-probabilities for it.
    """

    predictors: PredictorMemory
    record: Record
    predictions: Float[Array, "P 3"]
    opinions: Float[Array, "heads 3"]


def record_agent(library: Library = NAMES) -> Policy:
    """The policy; its params are `RecordParams`, its observation is layout `moves`: nothing but the last throw.

    Args:
        library: names of the bots that it simulates; `network.narrowed` cuts trained params to fewer.
    """
    num_bots = len(library)

    def init(chance) -> AgentMemory:
        return AgentMemory(
            predictors.init(library, chance),
            network.new_record(num_bots),
            jnp.zeros((predictors.num_predictors(num_bots), predictors.MOVES), jnp.float32),
            jnp.zeros((num_bots + 1, predictors.MOVES), jnp.float32),
        )

    def act(params: RecordParams, memory: AgentMemory, obs: Int32[Array, " moves"], chance):
        drawn, unit = chance
        last = obs[:2]
        record = network.extend(memory.record, memory.predictions, memory.opinions, last)
        predictions, bots = predictors.predict(library, memory.predictors, last, drawn)
        predictions = network.masked(params.mask, predictions)
        opinions = network.heads(params, predictions, network.context_of(last))
        decision = network.decide(params, record, predictions, opinions)
        return categorical(decision.logits, unit), AgentMemory(bots, record, predictions, opinions)

    return Policy(
        init,
        act,
        init_chance=predictors.init_chance(library),
        act_chance=(predictors.act_chance(library), Uniform()),
        name="record_agent",
    )


def agent_player(params: RecordParams | None = None) -> Player:
    """The agent as a player of `RepeatedRPS`; by default with the committed weights."""
    params = load_params() if params is None else params
    return Player(record_agent(), params, view=RepeatedRPS(layout="moves"))


def mask_of(
    *, without_bots: Iterable[str] = (), clones: bool = True, advisers: bool = True, statistics: bool = True
) -> Float[np.ndarray, " P"]:
    """`RecordParams.mask` over the whole library: which predictors are in use.

    Args:
        without_bots: bots that are left out both as clones and as advisers.
        clones: whether any clone is used.
        advisers: whether any adviser is.
        statistics: whether the statistics are.

    Raises:
        ValueError: an unknown bot.
    """
    known = np.ones(len(NAMES), np.float32)
    for name in without_bots:
        known[NAMES.index(get_bot(name).name)] = 0
    rest = np.full(NUM_STATISTICS, statistics, np.float32)
    return np.concatenate([known * clones, known * advisers, rest]).astype(np.float32)


def save_params(params: RecordParams, path: Path = CHECKPOINT) -> Path:
    """Writes the weights as a compressed `npz`, a field an array."""
    buffer = BytesIO()
    arrays = {field.name: np.asarray(getattr(params, field.name)) for field in fields(RecordParams)}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return replace_file(path, buffer.getvalue())


def load_params(path: Path = CHECKPOINT) -> RecordParams:
    """Reads what `save_params` wrote; by default the weights that come with the project."""
    with np.load(path) as data:
        return RecordParams(**{field.name: jnp.asarray(data[field.name]) for field in fields(RecordParams)})
