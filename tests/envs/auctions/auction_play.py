"""Plays environments by policies, one for each agent or one for all, from given starts and chance."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.policy import MaskedObs


@partial(jax.jit, static_argnums=(0, 1))
def play(env, policies, params, states, chances):
    """Episodes `[B]` from `states` under chances `[T, B, ...]`: final states, and reward, end and info `[T, B, ...]`.

    An episode that is over stands still; its rewards and info are zeros from then on.
    """
    alike = len(policies) == 1

    def actions(memories, obs, mask):
        seen = [MaskedObs(obs, mask) if policy.masked else obs for policy in policies]
        if alike:
            return jax.vmap(lambda m, o: policies[0].act((), m, o, ()))(memories, seen[0])
        acts = [
            policy.act((), memory, jax.tree.map(lambda x, i=i: x[i], view), ())
            for i, (policy, memory, view) in enumerate(zip(policies, memories, seen, strict=True))
        ]
        return jnp.stack([action for action, _ in acts]), tuple(memory for _, memory in acts)

    def one(carry, chance):
        state, memories, alive = carry
        masked = any(policy.masked for policy in policies)
        mask = env.action_mask(state, params) if masked else ()
        action, memories = actions(memories, env.observe(state, params), mask)
        after, reward, over, info = env.transition(state, action, chance, params)
        shown = jax.tree.map(lambda x: jnp.where(alive, x, jnp.zeros_like(x)), (reward, over, info))
        state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), after, state)
        return (state, memories, alive & ~over), (*shown, action)

    first = [policy.init(()) for policy in policies]
    if alike:
        memories = jax.tree.map(lambda x: jnp.broadcast_to(x, (env.num_agents, *jnp.shape(x))), first[0])
    else:
        memories = tuple(first)

    def episode(state, chance):
        (state, _, _), history = jax.lax.scan(one, (state, memories, jnp.ones((), bool)), chance)
        return state, history

    return jax.vmap(episode, in_axes=(0, 1), out_axes=(0, 1))(states, chances)


def draws(env, params, key, batch, num_steps):
    """Starting states `[B]` and the chance of `num_steps` steps `[T, B, ...]`."""
    chance = draw(env.reset_chance, jax.random.fold_in(key, 0), (batch,))
    states = jax.vmap(lambda c: env.initial(c, params), axis_size=batch)(chance)
    return states, draw(repeat(env.step_chance, batch), jax.random.fold_in(key, 1), (num_steps,))
