"""Shields of a car platoon: every car keeps its distance, and may rely on the one before it not to reverse."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxmarl.core.checks import require_int
from jaxmarl.core.environment import AnyParams
from jaxmarl.envs.driving.car_platoon import ACCELERATIONS, SPEEDS, CarPlatoon, CarPlatoonState, next_speed
from jaxmarl.solvers.markov.shields import LocalSafetyGame, Shield, compositional_shields, safety_game, shield_masks


def platoon_game(max_gap: int, own_floor: int, before: Shield | None) -> LocalSafetyGame:
    """One car behind another, as the game `(gap, speed of the one in front, own speed)`.

    Numbers of states are `(gap * V + front) * V + own`, with gaps `0, ..., max_gap` (larger ones count as that, which
    errs on the safe side) and V speeds. The surroundings choose what the car in front does.

    Args:
        max_gap: in metres.
        own_floor: what the car guarantees to the next: unsafe are gaps below 1 and own speeds below this.
        before: shield of the car in front, whose actions are assumed to be what it allows at that speed at some gap;
            None for the leader, whose gap does not matter.
    """
    require_int("max_gap", max_gap, 1)
    speeds = np.array(SPEEDS)
    size, moves = len(speeds), np.arange(len(ACCELERATIONS))
    gap, front, own = np.meshgrid(np.arange(max_gap + 1), np.arange(size), np.arange(size), indexing="ij")
    gap, front, own = (x.reshape(-1, 1, 1) for x in (gap, front, own))
    front_after, own_after = next_speed(front, moves), next_speed(own, moves[:, None])
    gap_after = np.clip(gap + speeds[front_after] - speeds[own_after], 0, max_gap)
    successors = (gap_after * size + front_after) * size + own_after
    unsafe = speeds[own[:, 0, 0]] < own_floor
    possible = np.ones(successors.shape, bool)
    if before is not None:
        unsafe |= gap[:, 0, 0] < 1
        kept = np.asarray(before.mask & before.winning[:, None])
        allowed = np.any(kept.reshape(-1, size, len(moves)), axis=0)
        allowed |= ~np.any(
            allowed, axis=1, keepdims=True
        )  # a speed at which no car keeps its guarantee: anything may happen
        possible &= allowed[front[:, 0, 0]][:, None]
    return safety_game(successors, unsafe, possible)


def platoon_shields(env: CarPlatoon, floor: int = 0) -> tuple[Shield, ...]:
    """Shields of all cars: each guarantees a least speed to the next, besides keeping its own distance.

    Args:
        env: the platoon.
        floor: in metres a step. At -8, which no car can go below, nothing is guaranteed, and more distance is needed.
    """

    def follower(shields: tuple[Shield, ...]) -> LocalSafetyGame:
        return platoon_game(env.max_gap, floor, shields[-1])

    return compositional_shields([lambda _: platoon_game(1, floor, None), *[follower] * (env.num_agents - 1)])


def local_states(env: CarPlatoon, state: CarPlatoonState) -> Int[Array, " N"]:
    """Number of each car's state in `platoon_game`; the leader sees a car like itself, at a gap of 1."""
    front = jnp.concatenate([state.speed[:1], state.speed[:-1]])
    gap = jnp.concatenate([jnp.ones(1, jnp.int32), jnp.clip(state.gap, 0, env.max_gap)])
    return (gap * len(SPEEDS) + front) * len(SPEEDS) + state.speed


class PlatoonShield:
    """`(state, params) -> mask [N, A]`, for `jaxmarl.core.wrappers.Shielded`."""

    def __init__(self, env: CarPlatoon, shields: tuple[Shield, ...]):
        self.env, self.shields = env, shields

    def __call__(self, state: CarPlatoonState, params: AnyParams) -> Bool[Array, "N A"]:
        return shield_masks(self.shields, local_states(self.env, state))
