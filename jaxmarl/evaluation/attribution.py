"""How much of a team's return each agent brings: the value of a coalition whose other members are replaced."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.spaces import Discrete
from jaxmarl.games.coalitional import CoalitionValue

Replacement: TypeAlias = Literal["no_op", "random", "member"]


def team_value(
    env: AnyEnvironment,
    policy: Policy,
    policy_params: PyTree,
    key: Array,
    num_episodes: int,
    *,
    replacement: Replacement = "random",
    no_op: Any = 0,
    measure: Callable[[Float[Array, " N"]], Float[Array, ""]] = jnp.mean,
    params: PyTree = None,
    max_steps: int | None = None,
) -> CoalitionValue:
    """The game among the agents of `env` whose value is what a coalition's members achieve with the others replaced.

        value = team_value(env, policy, trained, key, 256, replacement="random")
        exact_shapley(value, env.num_agents, batch_size=8)

    Members act by the policy. Others do nothing (`"no_op"`: they always play `no_op`), act at random (`"random"`:
    uniformly over legal actions, or over the box), or act as a member would in their place (`"member"`: with the params
    of one drawn at the start of the episode; at random where there are no members). Results differ, so say which. All
    coalitions meet the same chance (common random numbers), so that differences of values vary less than values.

    Args:
        env: of N agents.
        policy: of all agents.
        policy_params: one set for each agent, with a leading axis N on each leaf.
        key: of all chance; the game is a fixed function of masks.
        num_episodes: over which returns are averaged.
        replacement: as above.
        no_op: the action that does nothing.
        measure: undiscounted returns of all agents in an episode -> the team's; their mean by default.
        params: of the environment (default: its own).
        max_steps: length of an episode where the environment has no horizon; unfinished ones count as they stand.

    Returns:
        A jitted function of masks `[B, N]`: mean values `[B]`.
    """
    require_int("num_episodes", num_episodes, 1)
    require_choice("replacement", replacement, get_args(Replacement))
    num_steps = env.horizon or max_steps
    if num_steps is None:
        raise ValueError("max_steps must be given: the environment has no horizon")
    params = env.default_params if params is None else params
    leading = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(policy_params)}
    require(leading <= {(env.num_agents,)}, "policy_params", leading, f"stacked, {env.num_agents} agents first")
    play = _Play(env, policy, replacement, no_op, params)
    batch = num_episodes, env.num_agents

    def episodes(masks):
        start_key, steps_key = jax.random.split(key)
        spec = repeat(env.reset_chance, num_episodes), repeat(policy.init_chance, *batch), Uniform(batch)
        env_chance, init_chance, units = draw(spec, start_key)
        states = jax.vmap(env.initial, in_axes=(0, None), axis_size=num_episodes)(env_chance, params)
        inits = jax.vmap(jax.vmap(policy.init, axis_size=batch[1]), axis_size=num_episodes)(init_chance)
        acting = jax.vmap(lambda mask: _actors(mask, units, replacement))(masks)
        begin = states, inits, jnp.ones(num_episodes, bool), jnp.zeros(batch, jnp.float32)
        carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(masks), *x.shape)), begin)

        def step(carry, key):
            units = Uniform((*batch, *play.space.shape))
            chance = draw((repeat(env.step_chance, num_episodes), repeat(policy.act_chance, *batch), units), key)
            one = jax.vmap(play.step, in_axes=(0, 0, None, 0), axis_size=num_episodes)
            return jax.vmap(one, in_axes=(0, None, None, 0))(carry, chance, policy_params, acting), None

        (_, _, _, returns), _ = jax.lax.scan(step, carry, jax.random.split(steps_key, num_steps))
        return jnp.mean(jax.vmap(jax.vmap(measure))(returns), axis=1)

    return jax.jit(episodes)


def _actors(mask: Bool[Array, " N"], units: Float[Array, "E N"], replacement: str) -> Array:
    """`[E, N]`: whose params each agent acts with; -1 where it is replaced by something else."""
    agents = jnp.arange(mask.size)
    if replacement != "member":
        return jnp.broadcast_to(jnp.where(mask, agents, -1), units.shape)
    members = jnp.cumsum(mask)
    wanted = jnp.floor(units * members[-1])  # its number among the members
    drawn = jnp.sum(members <= wanted[..., None], axis=-1)
    return jnp.where(mask, agents, jnp.where(members[-1] > 0, drawn, -1))


class _Play:
    """One step of one episode in which some agents are replaced."""

    def __init__(self, env: AnyEnvironment, policy: Policy, replacement: str, no_op: Any, params: PyTree):
        self.env, self.policy, self.replacement, self.no_op, self.params = env, policy, replacement, no_op, params
        self.space = env.action_space(params)
        if isinstance(self.space, Discrete):
            legal = isinstance(no_op, int) and 0 <= no_op < self.space.n
            require(replacement != "no_op" or legal, "no_op", no_op, f"an action below {self.space.n}")

    def step(self, carry, chance, policy_params, actors):
        states, memories, alive, returns = carry
        env_chance, act_chance, units = chance
        obs = self.env.observe(states, self.params)
        legal: Any = self.env.action_mask(states, self.params) if isinstance(self.space, Discrete) else ()
        used = jax.tree.map(lambda x: x[jnp.maximum(actors, 0)], policy_params)
        view = MaskedObs(obs, legal) if self.policy.masked else obs
        actions, memories = jax.vmap(self.policy.act, axis_size=self.env.num_agents)(used, memories, view, act_chance)
        present = (actors >= 0).reshape(-1, *(1,) * (actions.ndim - 1))
        actions = jnp.where(present, actions, self._replaced(legal, units).astype(actions.dtype))
        after, reward, terminated, _ = self.env.transition(states, actions, env_chance, self.params)
        over = terminated | self.env.truncated(after, self.params)
        return after, memories, alive & ~over, returns + jnp.where(alive, reward, 0.0)

    def _replaced(self, legal, units):
        if self.replacement == "no_op":
            return jnp.broadcast_to(jnp.asarray(self.no_op), units.shape)
        if isinstance(self.space, Discrete):
            return categorical(jnp.where(legal, 0.0, -jnp.inf), units)
        return self.space.low + (self.space.high - self.space.low) * units
