"""Between behaviour strategies of a tree, one table a player, and policies of its environment."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Uniform, draw
from jaxmarl.core.checks import require
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.envs.trees.tree import TreeGame


def behaviour_strategies(env: TreeGame, policy: Policy, params: PyTree) -> tuple[Float[Array, "I_i A_i"], ...]:
    """What a policy that all players share does in every information state of a tree, exactly.

    With it a network is judged without sampling: `extensive_nash_conv(env.game, behaviour_strategies(...))`. Pure in
    `params`, so it jits and vmaps. Illegal actions count as the first legal one, as in play.

    Args:
        env: the environment of the tree.
        policy: without a memory, which says its `probabilities`: those of `ppo(...)` without recurrence, `mmd`, `rnad`,
            `nfsp`, `strategy_policy`.
        params: of the policy.

    Returns:
        A behaviour strategy of each player.

    Raises:
        ValueError: a policy with a memory, or without `probabilities`.
    """
    require(policy.probabilities is not None, "policy", policy.name, "one that says its probabilities")
    memory = jax.eval_shape(lambda: policy.init(draw(policy.init_chance, jax.random.key(0))))
    require(not jax.tree.leaves(memory), "policy", f"{policy.name} with a memory", "without one")
    probabilities, masks = policy.probabilities, info_state_masks(env)
    assert probabilities is not None
    index = jnp.arange(env.num_info_states, dtype=jnp.int32)
    obs = index if env.observation == "index" else env.features(index)
    seen = MaskedObs(obs, jnp.asarray(masks)) if policy.masked else obs
    rows = jax.vmap(lambda one: probabilities(params, memory, one))(seen)
    first_legal = np.arange(masks.shape[1]) == masks.argmax(-1)[:, None]
    illegal = jnp.sum(jnp.where(masks, 0.0, rows), axis=-1, keepdims=True)
    rows = jnp.where(masks, rows, 0.0) + jnp.where(first_legal, illegal, 0.0)
    rows = rows / jnp.sum(rows, axis=-1, keepdims=True)
    stops = np.cumsum(env.tables.num_info_states)[:-1]
    widths = env.tables.num_actions
    return tuple(part[:, :width] for part, width in zip(jnp.split(rows, stops), widths, strict=True))


def info_state_masks(env: TreeGame) -> np.ndarray:
    """Legal actions `[S, A]` of all information states, those of the first player first."""
    tables = env.tables
    width, turns = max(tables.num_actions), np.flatnonzero(tables.player >= 0)
    masks = np.zeros((env.num_info_states, width), bool)
    masks[tables.number[turns]] = tables.children[turns, :width] >= 0
    return masks


def strategy_table(strategies: Sequence[Array]) -> Float[Array, "S A"]:
    """Behaviour strategies `[I_i, A_i]` of all players as one table, the first player's rows first."""
    width = max(table.shape[1] for table in strategies)
    return jnp.concatenate([jnp.pad(table, ((0, 0), (0, width - table.shape[1]))) for table in strategies])


def strategy_policy(table: Array | None = None, name: str = "strategies") -> Policy:
    """Plays behaviour strategies, in any seat, by the one-hot observations of `TreeGame` (`observation="features"`).

    Args:
        table: `[S, A]`, from `strategy_table`; None: it is the policy's params.
        name: of the policy.
    """

    def probabilities(params, memory, seen: MaskedObs):
        rows = params if table is None else jnp.asarray(table)
        on_move = jnp.sum(seen.obs) > 0
        return jnp.where(on_move, seen.obs @ rows, seen.mask / jnp.sum(seen.mask))

    def act(params, memory, seen: MaskedObs, chance):
        return categorical(jnp.log(probabilities(params, memory, seen)), chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), masked=True, name=name, probabilities=probabilities)
