"""Environments that each break one invariant, for `test_check_env`."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmarl.core import Discrete, Integers, Uniform
from jaxmarl.testing.probes import BoxMarket, DelayedReward, MaskedChoice, OneStep, Recall, TimeLimited, TwoArmed
from jaxmarl.testing.probes.base import Clock, RewardParams

CALLS = itertools.count(1)


class RewardOf:
    """Mixin: the reward is `self.pay(params, state)` for the one agent."""

    def transition(self, state, action, chance, params):
        state, reward, terminated, info = super().transition(state, action, chance, params)
        return state, self.pay(reward, params, state), terminated, info


class WrongDtype(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward.astype(jnp.float16)


class WrongShape(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward[0]


class NanLater(RewardOf, TimeLimited):
    def pay(self, reward, params, state):
        return jnp.where(state.t == self.limit, jnp.nan, reward)


class NotZeroSum(TwoArmed):
    zero_sum = True


class Impure(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward + next(CALLS)


class InfoComesAndGoes(OneStep):
    def transition(self, state, action, chance, params):
        *rest, _ = super().transition(state, action, chance, params)
        return *rest, {"odd": jnp.zeros(())} if next(CALLS) % 2 else {}


class StateTurnsFloat(OneStep):
    def transition(self, state, action, chance, params):
        _, *rest = super().transition(state, action, chance, params)
        return Clock(state.t + 0.5), *rest


class WeaklyTypedStart(OneStep):
    def initial(self, chance, params):
        return Clock(jnp.asarray(0))


class StateGrows(OneStep):
    def transition(self, state, action, chance, params):
        _, *rest = super().transition(state, action, chance, params)
        return Clock(jnp.append(state.t, 0)), *rest


class ObservesOutside(TimeLimited):
    def observe(self, state, params):
        return jnp.full((1, 1), state.t, jnp.float32)


class ObservesIntegers(OneStep):
    def observe(self, state, params):
        return jnp.ones((1, 1), jnp.int32)


class ObservesOneAgentOnly(MaskedChoice):
    def observe(self, state, params):
        return super().observe(state, params)[:1]


class NothingLegal(MaskedChoice):
    def action_mask(self, state, params):
        return super().action_mask(state, params) & (jnp.arange(2) < state.parity)[:, None]


class MaskOfNumbers(TwoArmed):
    def action_mask(self, state, params):
        return jnp.ones((1, 2))


class EndsEarly(Recall):
    horizon = 5


class NeverEnds(TimeLimited):
    def truncated(self, state, params):
        return jnp.zeros((), bool)


class SometimesEarly(DelayedReward):
    def transition(self, state, action, chance, params):
        state, reward, terminated, info = super().transition(state, action, chance, params)
        return state, reward, terminated | (state.sign > 0), info


class DrawsInSecret(OneStep):
    step_chance = Uniform()


class DependsOnItsKey(OneStep):
    def reset(self, key, params):
        obs, _ = super().reset(key, params)
        return obs, Clock(jax.random.randint(key, (), 0, 1000))


class FavoursAgentZero(BoxMarket):
    def transition(self, state, action, chance, params):
        state, reward, *rest = super().transition(state, action, chance, params)
        return state, reward * jnp.asarray([2.0, 1.0]), *rest


class SeesAgentZero(BoxMarket):
    def observe(self, state, params):
        return state.noise.at[0].set(0.0)


class DeadGradient(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return jnp.round(8 * reward) / 8


class HalfGradient(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward * jax.lax.stop_gradient(reward)


class NanGradient(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward + jnp.sqrt(0.0 * reward)


class NoSuchField(OneStep):
    differentiable_params = ("rewards",)


@dataclass(frozen=True)
class Unhashable(OneStep):
    levels: Any = field(default_factory=lambda: [1, 2])


class ComparedByIdentity(OneStep):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class BranchesOnParams(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward if params.reward > 0 else -reward


class WeakParams(OneStep):
    default_params = property(lambda self: RewardParams(reward=jnp.asarray(1.0)))


@struct.dataclass
class Wealth:
    t: Any
    total: Any


class NarrowState(OneStep):
    def initial(self, chance, params):
        return Wealth(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def transition(self, state, action, chance, params):
        return Wealth(state.t + 1, state.total + params.reward), params.reward[None], jnp.ones((), bool), {}


class DiffersUnderJit(RewardOf, OneStep):
    def pay(self, reward, params, state):
        return reward + isinstance(reward, jax.core.Tracer)


class HiddenRandomness(RewardOf, OneStep):
    def pay(self, reward, params, state):
        extra = jax.pure_callback(lambda x: np.float32(next(CALLS)), jax.ShapeDtypeStruct((), jnp.float32), state.t)
        return reward + extra


@jax.custom_batching.custom_vmap
def _differs_under_vmap(x):
    return x


@_differs_under_vmap.def_vmap
def _rule(axis_size, in_batched, x):
    return x + 1, in_batched[0]


class DiffersUnderVmap(TimeLimited):
    differentiable_params = ()

    def observe(self, state, params):
        return _differs_under_vmap(0.0 * state.t.astype(jnp.float32))[None, None]


class StartsElsewhereUnderVmap(OneStep):
    deterministic = False
    reset_chance = Integers(1)

    def initial(self, chance, params):
        return Clock(_differs_under_vmap(chance))

    def observe(self, state, params):
        return super().observe(state, params) + (state.t == 1)


class RefusesItsDefaults(OneStep):
    def validate(self, params):
        raise ValueError("reward must be nothing, got 1.0")


class ResetsDifferently(OneStep):
    def reset(self, key, params):
        obs, state = super().reset(key, params)
        return obs, Clock(state.t + 1)


class StrangeSpace(Discrete):
    def contains(self, x):
        return jnp.asarray(x) > 0


class ActsOutside(TwoArmed):
    def action_space(self, params):
        return StrangeSpace(2)


class RewardsStackedParams(RewardOf, OneStep):
    differentiable_params = ()

    def pay(self, reward, params, state):
        return _differs_under_vmap(params.reward)[None]


BROKEN = [
    (WrongDtype(), "dtypes_and_shapes", "reward is float16[1], should be float32[1]"),
    (WrongShape(), "dtypes_and_shapes", "reward is float32[], should be float32[1]"),
    (ObservesIntegers(), "dtypes_and_shapes", "obs is int32[1, 1], should be float32[1, 1]"),
    (ObservesOneAgentOnly(), "dtypes_and_shapes", "obs is float32[1, 1], should be float32[2, 1]"),
    (MaskOfNumbers(), "dtypes_and_shapes", "mask is float32[1, 2], should be bool[1, 2]"),
    (NanLater(), "finite", "reward is not finite at step 4"),
    (NotZeroSum(), "zero_sum_rewards", "do not sum to zero"),
    (Impure(), "pure", "a second call returned something else"),
    (InfoComesAndGoes(), "structure_is_stable", "info changes from one call to the next"),
    (StateTurnsFloat(), "structure_is_stable", ".t is float32[]"),
    (WeaklyTypedStart(), "no_retracing", "weak types"),
    (StateGrows(), "structure_is_stable", ".t is int32[2] against int32[]"),
    (BranchesOnParams(), "structure_is_stable", "raised TracerBoolConversionError"),
    (ObservesOutside(), "observations_in_space", "of agent 0 at step 2 is not in Box"),
    (NothingLegal(), "masks_leave_a_legal_action", "has no legal action"),
    (EndsEarly(), "episodes_end_as_declared", "horizon is 5, but an episode ended after [4] steps"),
    (SometimesEarly(), "episodes_end_as_declared", "horizon is 2, but an episode ended after [1] steps"),
    (NeverEnds(), "episodes_end_as_declared", "no episode ended in"),
    (DrawsInSecret(), "deterministic_play", "step_chance draws"),
    (DependsOnItsKey(), "deterministic_play", "reset depends on its key"),
    (FavoursAgentZero(), "symmetric_play", "does not exchange rewards"),
    (SeesAgentZero(), "symmetric_play", "does not exchange obs"),
    (DeadGradient(), "gradients_match_differences", "all zero"),
    (HalfGradient(), "gradients_match_differences", "finite differences say"),
    (NanGradient(), "gradients_match_differences", "is not finite"),
    (NoSuchField(), "gradients_match_differences", "no field 'rewards'"),
    (Unhashable(), "frozen_and_hashable", "unhashable"),
    (ComparedByIdentity(), "frozen_and_hashable", "an equal copy compares unequal"),
    (WeakParams(), "no_retracing", "weakly typed leaves: ['.reward']"),
    (NarrowState(), "runs_in_x64", ".total is float64[] against float32[]"),
    (DiffersUnderJit(), "jit_equals_eager", "against"),
    (HiddenRandomness(), "same_key_same_numbers", "second scan"),
    (DiffersUnderVmap(), "vector_env_agrees", "['obs']"),
    (RewardsStackedParams(), "stacked_params_agree", "['reward']"),
    (StartsElsewhereUnderVmap(), "survives_auto_reset", "mode"),
    (RefusesItsDefaults(), "default_params_are_valid", "reward must be nothing"),
    (ResetsDifferently(), "reset_and_step_compose_the_pieces", "reset: "),
    (ActsOutside(), "actions_in_space", "sampled action"),
]
