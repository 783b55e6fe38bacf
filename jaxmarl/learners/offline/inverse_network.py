"""What experts may have wanted: marginal critics, rewards and joint critics of all agents, for inverse Q-learning."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.policy import categorical
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.networks import ILLEGAL_LOGIT
from jaxmarl.learners.team.network import TeamNetwork
from jaxmarl.learners.team.targets import TeamStep


class JointCritic(nn.Module):
    """Values of each agent's actions given what the others do; parameters are shared, and agents told apart.

    Attributes:
        num_actions: A.
        hidden: widths of the dense layers.
        layer_norm: whether they are normalised.
    """

    num_actions: int
    hidden: tuple[int, ...]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, state: Float[Array, "*batch S"], action: Int32[Array, "*batch N"]) -> Float[Array, "*batch N A"]:
        """Of a global state and all agents' actions, of which an agent's own is not read."""
        num = action.shape[-1]
        own = jnp.eye(num, dtype=jnp.float32)
        others = jax.nn.one_hot(action, self.num_actions)[..., None, :, :] * (1 - own)[..., None]
        others = others.reshape(*action.shape, num * self.num_actions)
        around = jnp.broadcast_to(state[..., None, :], (*action.shape, state.shape[-1]))
        seen = jnp.concatenate([around, others, jnp.broadcast_to(own, (*action.shape, num))], axis=-1)
        x = Encoder(seen.shape[-1:], self.hidden, self.layer_norm, name="encoder")(seen)
        return nn.Dense(self.num_actions, name="outputs")(x)


class SoftValues(NamedTuple):
    """Values of sequences of steps, in units of reward.

    Attributes:
        marginal: `[L, batch, N, A]`, Q̄ of each agent's actions.
        value: `[L, batch, N]`, V̄ before each step.
        next_value: `[L, batch, N]`, discounted V̄ of what follows; 0 where the game ended.
    """

    marginal: Float[Array, "L batch N A"]
    value: Float[Array, "L batch N"]
    next_value: Float[Array, "L batch N"]


@dataclass(frozen=True, eq=False)
class InverseNetwork:
    """The networks of `mamql`; parameters are a dict of `"critic"`, `"reward"` and `"joint"`.

    Attributes:
        team: body of the marginal critics, which play, and (with parameters of its own) of the rewards.
        critic: of joint actions.
        temperature: τ, of policies.
        discount: γ.
        samples: joint actions drawn for an expectation over the others' policies,
        exact: unless there are no more than so many, of which all are then weighed.
    """

    team: TeamNetwork
    critic: JointCritic
    temperature: float
    discount: float
    samples: int
    exact: int

    def init(self, key: Array) -> PyTree:
        """Parameters."""
        lanes, keys = (1, self.team.num_agents), jax.random.split(key, 3)
        obs = jnp.zeros((*lanes, *self.team.agents.obs_shape))
        params = {"critic": self.team.init(keys[0], obs), "reward": self.team.init(keys[1], obs)}
        return {**params, "joint": self.critic.init(keys[2], self.team.state_of(obs), jnp.zeros(lanes, jnp.int32))}

    def run(self, params: PyTree, steps: TeamStep) -> tuple[PyTree, Float[Array, "L batch N A"]]:
        """Memories after each of consecutive steps, time first, and outputs by `"critic"` or `"reward"` parameters."""
        start = jnp.broadcast_to(steps.start[..., None], steps.action.shape)
        # the data's agents had memories of their own
        memory = self.team.agents.initial_memory(steps.action.shape[1:])
        return self.team.run(params, memory, steps.obs, start)

    def values(self, params: PyTree, steps: TeamStep) -> SoftValues:
        """Marginal critics of sequences of steps, by `"critic"` parameters."""
        memories, marginal = self.run(params, steps)
        _, following = self.team.step(params, memories, steps.next.obs, jnp.zeros_like(steps.start))
        after = self.soft_value(following, steps.next.mask)
        after = self.discount * jnp.where(steps.terminated[..., None], 0.0, after)
        return SoftValues(marginal, self.soft_value(marginal, steps.mask), after)

    def soft_value(self, marginal: Float[Array, "*batch A"], mask: Bool[Array, "*batch A"]) -> Float[Array, "*batch"]:
        """`τ log Σ_a exp(Q̄(a) / τ)` over legal actions."""
        return self.temperature * jax.nn.logsumexp(self.logits(marginal, mask), axis=-1)

    def logits(self, marginal: Float[Array, "*batch A"], mask: Bool[Array, "*batch A"]) -> Float[Array, "*batch A"]:
        """Of the soft policies."""
        return jnp.where(mask, marginal / self.temperature, ILLEGAL_LOGIT)

    def over_others(
        self,
        params: PyTree,
        state: Float[Array, "*batch S"],
        logits: Float[Array, "*batch N A"],
        key: Array,
    ) -> Float[Array, "*batch N A"]:
        """`E Q_i(s, a_i, a_-i)` of each agent's actions, where others play by `logits`; of `"joint"` parameters."""
        profiles, weights = self._profiles(logits, key)
        states = jnp.broadcast_to(state, (*profiles.shape[:-1], state.shape[-1]))
        values: Any = self.critic.apply(params, states, profiles)
        return jnp.sum(weights[..., None, None] * values, axis=0)

    def _profiles(self, logits: Array, key: Array) -> tuple[Int32[Array, "P *batch N"], Float[Array, "P *batch"]]:
        """Joint actions and their weights: all of them, or a sample. Own actions are not read, and weigh nothing."""
        batch, num, size = logits.shape[:-2], *logits.shape[-2:]
        if size**num > self.exact:
            unit = jax.random.uniform(key, (self.samples, *batch, num))
            drawn = categorical(jnp.broadcast_to(logits, (self.samples, *logits.shape)), unit)
            return drawn, jnp.full((self.samples, *batch), 1 / self.samples)
        every = np.array(list(itertools.product(range(size), repeat=num)), np.int32)
        policies = jax.nn.softmax(logits)
        chances = jnp.stack([policies[..., i, :][..., every[:, i]] for i in range(num)]).prod(0)
        profiles = jnp.broadcast_to(every.reshape(-1, *(1 for _ in batch), num), (len(every), *batch, num))
        return profiles, jnp.moveaxis(chances, -1, 0)
