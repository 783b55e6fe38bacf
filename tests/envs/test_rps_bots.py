"""Every bot against recorded matches of the original: teacher-forced, draws injected, all moves equal."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers
from jaxmarl.envs.rps import BOTS
from jaxmarl.envs.rps.bots import tables
from jaxmarl.envs.rps.bots.base import score

GOLDEN = np.load(Path(__file__).parent.parent / "data" / "rrps_golden.npz")
NAMES = list(GOLDEN["names"])
# the original breaks ties between faded counts by the rounding of their float64 products; none differ in float64
ALLOWED_MISMATCHES = {"mod1bot": 2}


def spec_size(spec) -> int:
    """Number of raw draws in a bot's chance specification."""
    return spec.shape[0] if isinstance(spec, Integers) else 0


def golden_match(name: str, k: int):
    """Own moves, opponent's moves `[1000]`, and draws at hand at each throw `[1000, 32]`."""
    index = NAMES.index(name)
    opponent = GOLDEN["opp_fixed"][k] if k < 5 else GOLDEN["opp_live"][index, k - 5]
    counts = GOLDEN["ndraws"][index, k].astype(int)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    stream = np.concatenate([GOLDEN["stream"][k], np.zeros(400, np.uint32)]).astype(np.int32)
    return GOLDEN["moves"][index, k].astype(np.int32), opponent.astype(np.int32), stream, first


def replay(name: str):
    """The bot's moves `[9, 1000]` when fed the recorded history and draws."""
    policy = BOTS[name].policy
    num_init, num_act = spec_size(policy.init_chance), spec_size(policy.act_chance)
    obs, act_draws, init_draws = [], [], []
    for k in range(9):
        own, opponent, stream, first = golden_match(name, k)
        last = np.stack([own, opponent], axis=1)[:-1]
        obs.append(np.concatenate([[[-1, -1]], last]))
        first = first.copy()
        first[0] += num_init  # the start of a match draws before its first throw
        act_draws.append(stream[first[:, None] + np.arange(num_act)])
        init_draws.append(stream[:num_init])

    @jax.jit
    @jax.vmap
    def play(obs, act_draws, init_draws):
        def throw(memory, x):
            move, memory = policy.act((), memory, x[0], x[1] if num_act else ())
            return memory, move

        memory = policy.init(init_draws if num_init else ())
        return jax.lax.scan(throw, memory, (obs, act_draws))[1]

    return np.asarray(play(jnp.asarray(np.stack(obs), jnp.int32), np.stack(act_draws), np.stack(init_draws)))


@pytest.mark.parametrize("name", BOTS)
def test_every_golden_move_is_equal(name):
    moves = replay(name)
    assert moves.dtype == np.int32
    mismatches = int((moves != GOLDEN["moves"][NAMES.index(name)]).sum())
    assert mismatches <= ALLOWED_MISMATCHES.get(name, 0), f"{mismatches} of 9000 moves differ"


@pytest.mark.parametrize("name", BOTS)
def test_facts_agree_with_the_record(name):
    policy = BOTS[name].policy
    assert BOTS[name].deterministic == bool(GOLDEN["deterministic"][NAMES.index(name)])
    drawn = GOLDEN["ndraws"][NAMES.index(name)]
    assert (spec_size(policy.act_chance) + spec_size(policy.init_chance)) >= drawn[:, 0].max()
    assert spec_size(policy.act_chance) == drawn[:, 1:].max()


def test_tables_equal_the_record():
    for ours, theirs in [
        (tables.PI, "pibot_seq"),
        (tables.DE_BRUIJN, "debruijn81_seq"),
        (tables.TEXT, "textbot_seq"),
        (tables.MD5, "multibot_md5_seq"),
        (tables.VOTES, "robertot_vote"),
    ]:
        assert np.array_equal(ours, GOLDEN[theirs]), theirs


# published returns of the row over 1000 throws
DETERMINISTIC = ("rockbot", "rotatebot", "copybot", "freqbot2", "pibot", "debruijn81", "textbot", "multibot")
RETURNS = [
    [0, 0, -1000, -999, 11, 0, 185, -999],
    [0, 0, -1, 0, 11, -21, 11, -997],
    [1000, 1, 0, 600, -22, 1, 74, -997],
    [999, 0, -600, 0, -30, -128, 185, -999],
    [-11, -11, 22, 30, 0, 1, -81, 20],
    [0, 21, -1, 128, -1, 0, 23, 50],
    [-185, -11, -74, -185, 81, -23, 0, -123],
    [999, 997, 997, 999, -20, -50, 123, 0],
]


def test_deterministic_bots_return_exactly_the_published_table():
    policies = [BOTS[name].policy for name in DETERMINISTIC]
    count = len(policies)

    def throw(carry, _):
        memories, moves = carry  # moves[i, j]: of bot i against bot j
        obs = jnp.stack([moves, moves.T], axis=-1)
        acted = [
            jax.vmap(lambda memory, obs, policy=policy: policy.act((), memory, obs, ()), axis_size=count)(memory, row)
            for policy, memory, row in zip(policies, memories, obs, strict=True)
        ]
        moves = jnp.stack([move for move, _ in acted])
        return ([memory for _, memory in acted], moves), score(moves, moves.T)

    def repeat(leaf):
        return jnp.broadcast_to(leaf, (count, *leaf.shape))

    memories = [jax.tree.map(repeat, policy.init(())) for policy in policies]
    start = memories, jnp.full((count, count), -1, jnp.int32)
    _, scores = jax.jit(lambda start: jax.lax.scan(throw, start, length=1000))(start)
    assert np.array_equal(scores.sum(0), RETURNS)
