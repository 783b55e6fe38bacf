"""The Coin Game as a tabular Markov game, enumerated through its own transition (3 x 3)."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from jaxmarl.envs.dilemmas.coin_game import CoinGameState

TIES = 60  # divisible by every number of tied moves


class Chain:
    """States, joint actions and chance of a game; `start` is the law of its reset."""

    def __init__(self, env, fixed_player=False):
        """`fixed_player`: states up to shifts of the torus, with the first player in cell 0."""
        self.env, self.params = env, env.default_params
        cells = range(env.num_cells)
        alternating = env.version == "alternating"
        firsts = [0] if fixed_player else cells
        if alternating:
            coins = [(c, -1) for c in cells] + [(-1, c) for c in cells]
        else:
            coins = list(itertools.product(cells, cells))
        rows = [(a, b, *c) for a in firsts for b in cells for c in coins if not (alternating and max(c) in (a, b))]
        self.states = np.array(rows, np.int32)
        free = np.where(self.states[:, 0] == self.states[:, 1], 8, 7) if alternating else 1
        self.start = 1 / (free * np.ones(len(rows)))
        self.start /= self.start.sum()
        self.actions = np.array(list(itertools.product(range(env.action_space(self.params).n), repeat=2)), np.int32)
        words = np.arange(56) if alternating else np.array(list(itertools.product(cells, cells)))
        self.words = np.asarray(words, np.int32)
        self._enumerate()

    def state(self, row):
        return CoinGameState(jnp.zeros((), jnp.int32), row[..., :2], row[..., 2:])

    def _enumerate(self):
        env, params = self.env, self.params
        numbers = np.full(9 * 9 * 10 * 10, -1, np.int32)
        numbers[code(self.states)] = np.arange(len(self.states))
        whole = len(np.unique(self.states[:, 0])) == 1

        @jax.jit
        @partial(jax.vmap, in_axes=(0, None, None))
        @partial(jax.vmap, in_axes=(None, 0, None))
        @partial(jax.vmap, in_axes=(None, None, 0))
        def step(row, action, word):
            after, reward, _, _ = env.transition(self.state(row), action, ((), word, ()), params)
            row = jnp.concatenate([after.players, after.coins])
            return jnp.asarray(numbers)[code(shifted(row) if whole else row)], reward

        after, reward = (np.asarray(x) for x in step(self.states, self.actions, self.words))
        size, num_joint, num_words = after.shape
        assert after.min() >= 0
        assert (reward == reward[:, :, :1]).all()  # chance only moves coins
        self.reward = reward[:, :, 0].astype(np.float64)  # [S, J, 2]
        rows = np.repeat(np.arange(size * num_joint), num_words)
        weights = np.full(after.size, 1 / num_words)
        self.kernel = sp.coo_matrix((weights, (rows, after.ravel())), (size * num_joint, size)).tocsr()

    def policy(self, policy, player):
        """Probabilities `[S, A]`, by letting the policy draw each of its ties equally often."""
        units = (jnp.arange(TIES, dtype=jnp.float32) + 0.5) / TIES

        @jax.jit
        @jax.vmap
        def choices(row):
            obs = self.env.observe(self.state(row), self.params)[player]
            return jax.vmap(lambda u: policy.act((), (), obs, u)[0])(units)

        drawn = np.asarray(choices(self.states))
        return np.stack([(drawn == a).mean(1) for a in range(1 + self.actions.max())], axis=1)

    def joint(self, first, second):
        return first[:, self.actions[:, 0]] * second[:, self.actions[:, 1]]

    def under(self, joint):
        """Transition matrix `[S, S]` and rewards `[S, 2]` under a joint policy `[S, J]`."""
        size, num_joint = joint.shape
        rows = np.repeat(np.arange(size), num_joint)
        mix = sp.csr_matrix((joint.ravel(), (rows, np.arange(size * num_joint))), (size, size * num_joint))
        return mix @ self.kernel, np.einsum("sj,sji->si", joint, self.reward)

    def rewards(self, joint, steps):
        """Expected rewards `[steps, 2]` from the start."""
        transition, reward = self.under(joint)
        law, out = self.start, []
        for _ in range(steps):
            out.append(law @ reward)
            law = law @ transition
        return np.array(out)

    def plan(self, objective, discount, other=None):
        """A greedy joint policy for `objective` `[S, J]`; with `other` `[S, A]`, the second player is given."""
        size, num_joint = objective.shape
        num_actions = 1 + self.actions.max()
        value = np.zeros(size)
        for _ in range(1000):
            q = objective + discount * (self.kernel @ value).reshape(size, num_joint)
            if other is not None:
                q = (q.reshape(size, num_actions, num_actions) @ other[:, :, None])[:, :, 0]
            new = q.max(1)
            gap, value = np.abs(new - value).max(), new
            if gap < 1e-10:
                break
        best = q >= value[:, None] - 1e-8
        best = best / best.sum(1, keepdims=True)
        return best if other is None else self.joint(best, other)


def code(row):
    return ((row[..., 0] * 9 + row[..., 1]) * 10 + row[..., 2] + 1) * 10 + row[..., 3] + 1


def shifted(row):
    """The same places with the first player in cell 0."""
    down, right = row // 3 - row[0] // 3, row % 3 - row[0] % 3
    return jnp.where(row >= 0, down % 3 * 3 + right % 3, -1)
