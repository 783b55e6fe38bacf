"""Returns of play by a fixed policy: how what was learned is judged."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv, actor_from_policy, rollout, start_rollout


def first_returns(
    env: BatchedEnv,
    policy: Policy,
    params: PyTree,
    key: Array,
    env_params: PyTree,
    num_steps: int,
    discount: float = 1.0,
) -> Float[Array, "B N"]:
    """Returns of the first episode of each instance; one that has not ended counts as far as it came.

    Args:
        env: batch of environments.
        policy: of every agent.
        params: of the policy.
        key: of the play.
        env_params: of the environments.
        num_steps: of an episode, at most; the horizon of a fixed-horizon environment.
        discount: γ.
    """
    actor = actor_from_policy(policy, env.num_envs, env.num_agents)
    start_key, play_key = jax.random.split(key)
    state = start_rollout(env, actor, start_key, env_params)
    _, path, _ = rollout(env, actor, params, state, play_key, env_params, num_steps, keep_info=False)
    done = path.terminated | path.truncated
    first = jnp.cumsum(done, 0) - done == 0
    powers = discount ** jnp.arange(num_steps, dtype=path.reward.dtype)
    return jnp.sum(jnp.where(first, powers[:, None], 0.0)[..., None] * path.reward, 0)
