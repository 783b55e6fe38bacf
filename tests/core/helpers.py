"""Small games and players whose every number is known, for the tests of batches."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from jaxmarl.core import Box, Environment, Integers, Policy
from jaxmarl.testing.probes import Recall
from jaxmarl.testing.probes.base import Probe


@struct.dataclass
class TagState:
    """A tag drawn at reset, and the steps since."""

    tag: jax.Array
    t: jax.Array


@struct.dataclass
class Bonus:
    """Added to the tag in the reward."""

    bonus: jax.Array


@dataclass(frozen=True)
class Tagged(Probe):
    """Shows its start's tag and the time; ends when an agent plays 1, is cut when one plays 2. No horizon."""

    num_agents = 2
    reset_chance = Integers(2**20)

    @property
    def default_params(self):
        return Bonus(jnp.zeros(()))

    def observation_space(self, params):
        return Box(0, 2**20, (2,), jnp.int32)

    def action_space(self, params):
        return Recall(num_cues=3).action_space(())

    def initial(self, chance, params):
        return TagState(chance, jnp.zeros((), jnp.int32))

    def transition(self, state, action, chance, params):
        cut = jnp.any(action == 2)
        state = TagState(state.tag, jnp.where(cut, -1, state.t + 1))
        reward = jnp.stack([state.tag + params.bonus, action[1].astype(jnp.float32)]).astype(jnp.float32)
        return state, reward, jnp.any(action == 1), {"tag": state.tag}

    def truncated(self, state, params):
        return state.t < 0

    def observe(self, state, params):
        return jnp.broadcast_to(jnp.stack([state.tag, state.t]), (2, 2))


def constant(action: int) -> Policy:
    """Always `action`."""
    return Policy(lambda chance: (), lambda params, memory, obs, chance: (jnp.int32(action), memory), name=f"{action}")


# plays its params
OBEDIENT = Policy(
    lambda chance: (), lambda params, memory, obs, chance: (params.astype(jnp.int32), memory), name="obey"
)


def _rotate(params, memory, obs, chance):
    return memory % 3, memory + 1


# 0, 1, 2, 0, … from its own memory
ROTATE = Policy(lambda chance: jnp.zeros((), jnp.int32), _rotate, name="rotate")


def _drawn(params, memory, obs, chance):
    return (memory + chance) % 3, memory


# a move drawn at the start plus one drawn at each step
DRAWN = Policy(lambda chance: chance, _drawn, init_chance=Integers(3), act_chance=Integers(3), name="drawn")


def beat_last(env: Environment) -> Policy:
    """In layout `moves`: beats the other's last move; rock first."""
    del env
    return Policy(lambda chance: (), lambda params, memory, obs, chance: ((obs[1] + 1) % 3, memory), name="beat_last")
