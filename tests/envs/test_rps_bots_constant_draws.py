"""Bots in free play with every draw the same number: returns and checksums that no random generator enters.

Opponents: L plays a fixed congruential sequence; M changes its rule every hundred throws, and two of its five rules
answer the bot's last move; N beats the bot every time. A draw is a fraction `u` of 2³¹, chosen so that its remainders
agree with `u`: by 3 it is `⌊3u⌋`, and it is odd if `u` is below a half.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers
from jaxmarl.envs.rps import BOTS
from jaxmarl.envs.rps.bots.base import RAW, score

FRACTIONS = [0.1487, 0.5523, 0.8519]
THROWS = np.arange(1, 1001)
# (return, checksum) for L and for M at each fraction, then the checksums for N at the first two
EXPECTED = {
    "greenberg": (
        [(-10, 484071), (40, 495736), (-17, 614327)],
        [(717, 515389), (703, 519346), (719, 511099)],
        [497325, 479042],
    ),
    "russrocker4": (
        [(-8, 549128), (42, 507963), (17, 455098)],
        [(688, 500765), (701, 505484), (722, 504573)],
        [492592, 515652],
    ),
    "boom": (
        [(-12, 244091), (-48, 521131), (4, 543906)],
        [(343, 457080), (315, 520489), (380, 540872)],
        [0, 500501],
    ),
    "shofar": (
        [(2, 106739), (-25, 499543), (16, 997)],
        [(511, 516589), (485, 497234), (456, 528769)],
        [480388, 521023],
    ),
    "granite": (
        [(-5, 565055), (-2, 550831), (9, 532228)],
        [(544, 551095), (539, 548926), (526, 534098)],
        [220871, 503187],
    ),
    "marble": (
        [(-5, 565055), (-2, 550831), (9, 532228)],
        [(544, 551095), (539, 548926), (526, 534098)],
        [504277, 503187],
    ),
    "biopic": (
        [(10, 491894), (15, 503929), (-2, 500188)],
        [(649, 520468), (684, 520525), (665, 561315)],
        [300, 500414],
    ),
    "halbot": (
        [(3, 414839), (14, 423505), (5, 469423)],
        [(672, 492774), (672, 492800), (663, 494569)],
        [493693, 495688],
    ),
    "iocainebot": (
        [(-12, 515640), (-5, 483029), (1, 501352)],
        [(783, 512611), (761, 525547), (763, 516097)],
        [506495, 520383],
    ),
    "phasenbott": (
        [(-14, 509212), (-48, 544002), (26, 588028)],
        [(666, 530834), (663, 522822), (645, 537867)],
        [508204, 493164],
    ),
    "zq_move": (
        [(-2, 444628), (62, 535564), (25, 291259)],
        [(505, 570611), (517, 492114), (503, 592887)],
        [500376, 499324],
    ),
}


def raw_draw(u: float) -> int:
    """A draw near `u · 2³¹` with the remainders that go with `u`."""
    near = int(u * RAW)
    return next(r for r in range(near, near + 6) if r % 3 == int(3 * u) and r % 2 == (u < 0.5))


def congruential_moves() -> np.ndarray:
    """The moves of opponent L."""
    x, moves = 12345, []
    for _ in THROWS:
        x = (1103515245 * x + 12345) % RAW
        moves.append(x // 65536 % 3)
    return np.array(moves, np.int32)


def play(policy, raw: int):
    """Moves of the bot and of its three opponents, `[1000, 3]` each."""

    def constant(spec):
        return jnp.full(spec.shape, raw, jnp.int32) if isinstance(spec, Integers) else ()

    def throw(carry, x):
        memory, obs = carry
        t, fixed = x
        own, memory = jax.vmap(lambda memory, obs: policy.act((), memory, obs, constant(policy.act_chance)))(
            memory, obs
        )
        last = jnp.maximum(obs[1, 0], 0)
        copied, beaten = jnp.where(t == 1, 0, last), jnp.where(t == 1, 0, (last + 1) % 3)
        rules = jnp.stack([t % 3, copied, fixed, beaten, jnp.array([0, 0, 1, 0, 2, 1])[t % 6]])
        opponents = jnp.stack([fixed, rules[(t - 1) // 100 % 5], (own[2] + 1) % 3])
        return (memory, jnp.stack([own, opponents], axis=1)), (own, opponents)

    memory = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (3, *leaf.shape)), policy.init(constant(policy.init_chance))
    )
    start = memory, jnp.full((3, 2), -1, jnp.int32)
    return jax.lax.scan(throw, start, (jnp.asarray(THROWS), congruential_moves()))[1]


@pytest.mark.parametrize("name", EXPECTED)
def test_free_play_with_constant_draws(name):
    # one compilation for the three fractions
    policy = BOTS[name].policy
    own, opponents = jax.jit(jax.vmap(lambda raw: play(policy, raw)))(jnp.array([raw_draw(u) for u in FRACTIONS]))
    returns = np.asarray(score(own, opponents)).sum(1)  # [fractions, opponents]
    checksums = (THROWS[:, None] * np.asarray(own)).sum(1) % 1000003
    sequence, phases, nemesis = EXPECTED[name]
    assert list(zip(returns[:, 0], checksums[:, 0], strict=True)) == sequence
    assert list(zip(returns[:, 1], checksums[:, 1], strict=True)) == phases
    assert list(checksums[:2, 2]) == nemesis
    assert list(returns[:, 2]) == [-1000] * 3
