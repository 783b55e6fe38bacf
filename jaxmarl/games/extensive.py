"""Small extensive-form games as arrays: trees with chance, hidden information and perfect recall.

With perfect recall a player's own moves on the way to a node are told by the last of them, its *sequence* (Koller,
Megiddo and von Stengel 1996). The weight of a sequence, the product of the own probabilities on it, is all that a node
needs to know of a policy: reach probabilities are products of one look-up a player, and nothing walks the tree.

Axes: `n` players, `T` nodes, `Z` terminal nodes, `I_i` information states and `A_i` actions of player i. A *policy* of
player i is a behaviour strategy `[I_i, A_i]`, rows of which are distributions over legal actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require

Policy: TypeAlias = Float[Array, "_ _"]
Policies: TypeAlias = Sequence[Policy]

CHANCE, TERMINAL = -1, -2
"""Who moves where no player does."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ExtensiveGame:
    """A finite game in extensive form; made and checked by `extensive_game`, or by `game_from_rules`.

    A pytree: `dataclasses.replace(game, payoffs=...)` is another game on the same tree, and vmaps.

    Attributes:
        parent: `[T]`, the node before; nodes come after their parents, and that of the root (node 0) is -1.
        branch: `[T]`, the action, or the outcome of chance, that led from the parent.
        player: `[T]`, who moves: a player's number, `CHANCE` or `TERMINAL`.
        info_state: `[T]`, what the mover knows, numbered for each player from 0; 0 where no player moves.
        chance: `[T]`, probability of the branch if chance took it, otherwise 1.
        payoffs: `[n, T]`, read at terminal nodes only.
        terminals: `[Z]`, the terminal nodes.
        chance_reach: `[T]`, product of chance's probabilities on the way.
        sequences: `[n, T]`, each player's last own move on the way, `1 + info_state * A_i + action`; 0 for none.
        masks: a player `[I_i, A_i]`, legal actions.
        sequence_before: a player `[I_i]`, the own sequence that leads to each information state.
        num_moves: the most own moves of each player on a path.
    """

    parent: Int[Array, " num_nodes"]
    branch: Int[Array, " num_nodes"]
    player: Int[Array, " num_nodes"]
    info_state: Int[Array, " num_nodes"]
    chance: Float[Array, " num_nodes"]
    payoffs: Float[Array, "num_players num_nodes"]
    terminals: Int[Array, " num_terminals"]
    chance_reach: Float[Array, " num_nodes"]
    sequences: Int[Array, "num_players num_nodes"]
    masks: tuple[Bool[Array, "_ _"], ...]
    sequence_before: tuple[Int[Array, " _"], ...]
    num_moves: tuple[int, ...] = field(metadata={"static": True})

    @property
    def num_players(self) -> int:
        """Number of players n."""
        return len(self.masks)

    @property
    def num_nodes(self) -> int:
        """Number of nodes T."""
        return self.parent.shape[0]

    @property
    def num_info_states(self) -> tuple[int, ...]:
        """Information states of each player."""
        return tuple(mask.shape[0] for mask in self.masks)

    @property
    def num_actions(self) -> tuple[int, ...]:
        """Actions of each player, at the information state that has most."""
        return tuple(mask.shape[1] for mask in self.masks)

    @property
    def terminal_payoffs(self) -> Float[Array, "num_players num_terminals"]:
        """`[n, Z]`, payoffs of terminal nodes."""
        return self.payoffs[:, self.terminals]

    def uniform_policies(self) -> tuple[Policy, ...]:
        """Every player's uniform policy over legal actions."""
        tables = [mask.astype(self.payoffs.dtype) for mask in self.masks]
        return tuple(table / table.sum(-1, keepdims=True) for table in tables)

    def sequence_weights(self, player: int, policy: Policy) -> Float[Array, " num_sequences"]:
        """`[1 + I_i A_i]`, the product of the player's own probabilities on each of its sequences.

        The realisation plan of the policy; first comes the empty sequence, of weight 1.
        """
        before = self.sequence_before[player]
        one = jnp.ones(1, policy.dtype)

        def longer(_: Any, weights: Array) -> Array:
            return jnp.concatenate([one, (weights[before][:, None] * policy).ravel()])

        weights = jnp.concatenate([one, policy.ravel()])
        return jax.lax.fori_loop(0, max(self.num_moves[player] - 1, 0), longer, weights)

    def own_reach(self, player: int, policy: Policy) -> Float[Array, " num_nodes"]:
        """`[T]`, probability of the player's own moves on the way to each node."""
        return self.sequence_weights(player, policy)[self.sequences[player]]

    def terminal_reach(self, player: int, policy: Policy) -> Float[Array, " num_terminals"]:
        """`[Z]`, probability of the player's own moves on the way to each terminal node."""
        return self.sequence_weights(player, policy)[self.sequences[player, self.terminals]]

    def reach(self, policies: Policies) -> Float[Array, " num_nodes"]:
        """`[T]`, probability that play comes to each node."""
        reach = self.chance_reach
        for player, policy in enumerate(policies):
            reach = reach * self.own_reach(player, policy)
        return reach

    def expected_payoffs(self, policies: Policies) -> Float[Array, " num_players"]:
        """`[n]`, each player's expected payoff."""
        reach = self.chance_reach[self.terminals]
        for player, policy in enumerate(policies):
            reach = reach * self.terminal_reach(player, policy)
        return jnp.matmul(self.terminal_payoffs, reach, precision="highest")

    def is_zero_sum(self, tolerance: float = 1e-5) -> Bool[Array, ""]:
        """Whether payoffs at every terminal node add to the same constant, up to `tolerance` times their range."""
        payoffs = self.terminal_payoffs
        spread = jnp.max(jnp.max(payoffs, axis=1) - jnp.min(payoffs, axis=1))
        total = payoffs.sum(0)
        return jnp.max(total) - jnp.min(total) <= tolerance * spread


def extensive_game(parent: Any, branch: Any, player: Any, info_state: Any, chance: Any, payoffs: Any) -> ExtensiveGame:
    """The game of a tree given as arrays, once it is seen to be one. On the host: values must be known.

    Args:
        parent: `[T]`, the node before each node, which must come earlier; -1 of the root, node 0.
        branch: `[T]`, the action or outcome of chance, at least 0 (that of the root is not read).
        player: `[T]`, who moves: 0, ..., n - 1, `CHANCE` or `TERMINAL`.
        info_state: `[T]`, numbered from 0 for each player (not read where no player moves).
        chance: `[T]`, probabilities of the branches that chance takes (not read elsewhere).
        payoffs: `[n, T]`, read at terminal nodes.

    Raises:
        ValueError: arrays that are not a tree; nodes of one information state with different legal actions; a player
            that forgets what it did or knew (imperfect recall); probabilities of chance that do not add to 1;
            payoffs that are not finite.
    """
    tree = {
        "parent": np.asarray(parent),
        "branch": np.asarray(branch),
        "player": np.asarray(player),
        "info_state": np.asarray(info_state),
    }
    probabilities, worth = np.asarray(chance, np.float64), np.asarray(payoffs, np.float64)
    _check_shapes(tree, probabilities, worth)
    players = range(len(worth))
    mover = np.where(tree["parent"] >= 0, tree["player"][tree["parent"]], TERMINAL)  # who led to each node
    probabilities = np.where(mover == CHANCE, probabilities, 1.0)
    _check_tree(tree, probabilities)
    terminals = np.flatnonzero(tree["player"] == TERMINAL)
    num_bad = int(np.sum(~np.isfinite(worth[:, terminals])))
    require(num_bad == 0, "payoffs", f"{num_bad} entries that are NaN or infinite", "finite at terminal nodes")
    masks = [_legal_actions(tree, mover, i) for i in players]
    reach, sequences = _along_paths(tree, mover, probabilities, [mask.shape[1] for mask in masks])
    before, moves = zip(*(_recall(tree, sequences[i], i, masks[i].shape) for i in players), strict=True)
    dtype = jnp.result_type(float)
    return ExtensiveGame(
        **{name: jnp.asarray(array, jnp.int32) for name, array in tree.items()},
        chance=jnp.asarray(probabilities, dtype),
        payoffs=jnp.asarray(worth, dtype),
        terminals=jnp.asarray(terminals, jnp.int32),
        chance_reach=jnp.asarray(reach, dtype),
        sequences=jnp.asarray(sequences, jnp.int32),
        masks=tuple(jnp.asarray(mask) for mask in masks),
        sequence_before=tuple(jnp.asarray(array, jnp.int32) for array in before),
        num_moves=tuple(moves),
    )


def _check_shapes(tree: dict[str, np.ndarray], chance: np.ndarray, payoffs: np.ndarray) -> None:
    size = tree["parent"].size
    for name, array in tree.items():
        require(array.shape == (size,) and size > 0, name, array.shape, "a vector with one entry a node")
        require(np.issubdtype(array.dtype, np.integer), name, array.dtype.name, "of integers")
    require(chance.shape == (size,), "chance", chance.shape, f"of shape ({size},)")
    good = payoffs.ndim == 2 and len(payoffs) >= 1 and payoffs.shape[1] == size
    require(good, "payoffs", payoffs.shape, f"of shape [n, {size}]")
    players = payoffs.shape[0]
    odd = tree["player"][(tree["player"] < TERMINAL) | (tree["player"] >= players)]
    require(odd.size == 0, "player", odd[:1].tolist(), f"-2 (terminal), -1 (chance) or a player in [0, {players - 1}]")


def _check_tree(tree: dict[str, np.ndarray], chance: np.ndarray) -> None:
    parent, branch, player = tree["parent"], tree["branch"], tree["player"]
    size, above = len(parent), parent[1:]
    sound = bool(parent[0] == -1 and np.all((above >= 0) & (above < np.arange(1, size))))
    require(sound, "parent", parent[:8].tolist(), "-1 at node 0, and earlier nodes elsewhere")
    require(bool(np.all(branch[1:] >= 0)), "branch", int(branch.min()), "at least 0")
    edges = np.unique(np.stack([above, branch[1:]]), axis=1).shape[1]
    require(edges == size - 1, "branch", f"{size - 1 - edges} that occur twice at a node", "different at each node")
    children = np.bincount(above, minlength=size)
    wrong = np.flatnonzero((children == 0) != (player == TERMINAL))
    require(wrong.size == 0, "player", wrong[:1].tolist(), "terminal at the nodes without children, and only there")
    total = np.bincount(above, weights=chance[1:], minlength=size)[player == CHANCE]
    sums = bool(np.all(chance >= 0) and np.all(np.abs(total - 1) <= 1e-6))
    require(sums, "chance", total[np.abs(total - 1) > 1e-6][:1].tolist(), "non-negative, adding to 1 at each node")


def _legal_actions(tree: dict[str, np.ndarray], mover: np.ndarray, player: int) -> np.ndarray:
    """`[I, A]`, found from the branches of the player's nodes."""
    own = tree["player"] == player
    states = tree["info_state"][own]
    found = np.unique(states)
    size = len(found)
    numbered = bool(np.array_equal(found, np.arange(size)))
    require(numbered, "info_state", found[:8].tolist(), f"numbered 0, 1, ... without gaps for player {player}")
    children = mover == player
    actions = tree["branch"][children]
    mask = np.zeros((size, actions.max(initial=0) + 1), bool)
    mask[tree["info_state"][tree["parent"][children]], actions] = True
    count = np.bincount(tree["parent"][1:], minlength=len(own))[own]
    odd = states[count != mask.sum(1)[states]] if size else states
    require(odd.size == 0, "info_state", odd[:1].tolist(), f"of nodes with the same legal actions (player {player})")
    return mask


def _along_paths(
    tree: dict[str, np.ndarray], mover: np.ndarray, chance: np.ndarray, num_actions: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Chance's reach `[T]` and the players' last own moves `[n, T]`, one level of the tree at a time."""
    parent, size = tree["parent"], len(tree["parent"])
    depth = [0] * size
    for node, above in enumerate(parent.tolist()[1:], 1):
        depth[node] = depth[above] + 1
    levels = np.asarray(depth)
    reach, sequences = np.ones(size), np.zeros((len(num_actions), size), np.int64)
    widths = np.asarray(num_actions)
    for level in range(1, levels.max() + 1):
        nodes = np.flatnonzero(levels == level)
        above = parent[nodes]
        reach[nodes] = reach[above] * chance[nodes]
        sequences[:, nodes] = sequences[:, above]
        moved = mover[nodes] >= 0
        nodes, above = nodes[moved], above[moved]
        who = mover[nodes]
        sequences[who, nodes] = 1 + tree["info_state"][above] * widths[who] + tree["branch"][nodes]
    return reach, sequences


def _recall(
    tree: dict[str, np.ndarray], sequences: np.ndarray, player: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, int]:
    """The own sequence before each information state, which must be one, and the most own moves on a path."""
    own = tree["player"] == player
    states = tree["info_state"][own]
    before = np.zeros(shape[0], np.int64)
    before[states] = sequences[own]
    odd = states[before[states] != sequences[own]]
    allowed = f"of nodes that the same own moves lead to (player {player} must recall them)"
    require(odd.size == 0, "info_state", odd[:1].tolist(), allowed)
    moves, longer = np.zeros(shape[0], np.int64), np.ones(shape[0], np.int64)
    while not np.array_equal(moves, longer):
        moves, longer = longer, np.where(before > 0, longer[(before - 1) // shape[1]] + 1, 1)
    return before, int(moves.max(initial=0))
