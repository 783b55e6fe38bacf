"""How much each feature of the state brings a policy's performance (SVERL, Beechey, Smith and Şimşek 2023), exactly."""

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int

from jaxmarl.core.checks import require, require_choice
from jaxmarl.evaluation.shapley import shapley_of_table
from jaxmarl.games.coalitional import all_coalitions

Scope: TypeAlias = Literal["local", "global"]


class DecisionProcess(NamedTuple):
    """A Markov decision process as arrays.

    Attributes:
        rewards: `[S, A]`, expected.
        kernel: `[S, A, S]`; rows may sum to less than 1, the process then ends with what is left.
        initial: `[S]`, distribution of the first state.
        discount: in [0, 1]; 1 only where every policy of interest ends.
    """

    rewards: Float[np.ndarray, "S A"]
    kernel: Float[np.ndarray, "S A S"]
    initial: Float[np.ndarray, " S"]
    discount: float


class FeatureContributions(NamedTuple):
    """Contributions of features to performance in each state.

    Attributes:
        shapley: `[S, F]`; they sum to the value with all features minus that with none.
        values: `[S, 2^F]`, of all sets of known features, in the order of `all_coalitions`.
        visits: `[S]`, the discounted share of time that the policy spends in each state.
    """

    shapley: Float[np.ndarray, "S F"]
    values: Float[np.ndarray, "S coalitions"]
    visits: Float[np.ndarray, " S"]


def feature_contributions(
    process: DecisionProcess, policy: Float[np.ndarray, "S A"], features: Int[np.ndarray, "S F"], scope: Scope = "local"
) -> FeatureContributions:
    """Shapley values of the features in the game "how well does the policy do that knows only these?", in each state.

    Who knows only some features acts by `E[policy(s') | s' agrees on them]`, over the states s' that the policy visits.
    In the `"local"` game ignorance lasts for the decision in the state itself, in the `"global"` one for all decisions
    from there on. Where the policy never meets a state like this one, knowing less changes nothing. On the host.

    Args:
        process: to act in.
        policy: probabilities of actions.
        features: of each state, compared for equality; F at most 12.
        scope: as above.
    """
    require_choice("scope", scope, get_args(Scope))
    num_states, num_actions = process.rewards.shape
    wanted = (num_states, num_actions, num_states)
    require(process.kernel.shape == wanted, "kernel", process.kernel.shape, f"of shape {wanted}")
    require(policy.shape == (num_states, num_actions), "policy", policy.shape, f"of shape {wanted[:2]}")
    require(1 <= features.shape[1] <= 12, "features", features.shape, "of 1 to 12 columns")
    policy, visits = np.asarray(policy, float), state_visits(process, policy)
    own = action_values(process, policy)
    columns = []
    for known in all_coalitions(features.shape[1]):
        ignorant = partial_policy(policy, features, visits, known)
        after = own if scope == "local" else action_values(process, ignorant)
        columns.append(np.sum(ignorant * after, axis=1))
    values = np.stack(columns, axis=1)
    return FeatureContributions(np.stack([shapley_of_table(row) for row in values]), values, visits)


def partial_policy(policy: np.ndarray, features: np.ndarray, visits: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`[S, A]`: what the policy does on average in the visited states that agree on the known features."""
    alike = (features[:, None, known] == features[None, :, known]).all(axis=-1) * visits
    total = alike.sum(axis=1, keepdims=True)
    return np.where(total > 0, alike @ policy / np.where(total > 0, total, 1.0), policy)


def state_visits(process: DecisionProcess, policy: np.ndarray) -> Float[np.ndarray, " S"]:
    """Discounted share of time in each state, from the first state on."""
    moves = np.einsum("sa,sat->st", policy, process.kernel)
    visits = np.linalg.solve(np.eye(len(moves)) - process.discount * moves.T, np.asarray(process.initial, float))
    return np.maximum(visits, 0) / visits.sum()


def action_values(process: DecisionProcess, policy: np.ndarray) -> Float[np.ndarray, "S A"]:
    """What each action is worth where the policy decides from then on."""
    moves = np.einsum("sa,sat->st", policy, process.kernel)
    gains = np.sum(policy * process.rewards, axis=1)
    values = np.linalg.solve(np.eye(len(moves)) - process.discount * moves, gains)
    return process.rewards + process.discount * process.kernel @ values
