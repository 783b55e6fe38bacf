"""Self-play by preferences: shares of wins, and averages of policies that come near minimax winners."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Box, Discrete, Environment, Uniform
from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.rollout import Trajectory
from jaxmarl.core.vector import VectorEnv
from jaxmarl.learners.actions import GaussianActions
from jaxmarl.learners.networks import FeedForwardActorCritic
from jaxmarl.learners.spo import AlikeStarts, Play, PreferenceGradient, SPOConfig, spo, win_shares

PREFERRED = np.array([[0.5, 0.7, 0.2], [0.3, 0.5, 0.9], [0.8, 0.1, 0.5]])
WINNER = np.array([4, 3, 2]) / 9
JUDGES = np.array([[9, 3, 1], [1, 9, 3], [3, 1, 9]])
"""Each judge looks at one good first, and at the next where that is equal (of at most two units)."""


@dataclass(frozen=True)
class Basket(Environment):
    """One of three goods is added at each step; the basket is seen, and pays nothing.

    Attributes:
        horizon: goods in the end.
    """

    horizon: int = 1

    num_agents = 1
    default_params = ()
    reset_chance = Uniform()

    def action_space(self, params):
        return Discrete(3)

    def observation_space(self, params):
        return Box(0.0, 1.0, (3,))

    def initial(self, chance, params):
        return jnp.zeros(3), chance

    def transition(self, state, action, chance, params):
        basket, mark = state
        basket = basket + jax.nn.one_hot(action[0], 3)
        done = jnp.sum(basket) >= self.horizon
        return (basket, mark), jnp.zeros(1), done, {"basket": basket, "mark": mark}

    def observe(self, state, params):
        return state[0][None] / self.horizon


def by_table(first: Play, second: Play):
    return jnp.asarray(PREFERRED, jnp.float32)[first.action[0, 0], second.action[0, 0]]


def majority(first: Play, second: Play):
    """Whether two of three judges prefer the first basket; one half for equal ones."""
    one, two = first.info["basket"][-1], second.info["basket"][-1]
    votes = jnp.sum(jnp.sign(JUDGES @ (one - two)))
    return 0.5 * (1 + jnp.sign(votes))


def settings(**changes):
    common = {"hidden": 16, "recurrent": False, "epochs": 1, "minibatches": 1, "learning_rate": 1e-4, "group": 4}
    return SPOConfig(**{**common, "entropy_weight": 0.05, "chunk_length": 1, **changes})


def quick(function, level=0):
    """Compiled with less effort: these programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": level})


def histories(learner, measure, updates, seeds):
    """What `measure` says of the parameters after each update, `[seeds, updates, ...]`."""

    def run(key):
        def step(state, _):
            state, _ = learner.update(state)
            return state, measure(learner.params(state))

        return jax.lax.scan(step, learner.init(key), length=updates)[1]

    return np.asarray(quick(jax.vmap(run), 1)(jax.random.split(jax.random.key(0), seeds)), np.float64)


def policies(params, obs):
    """Probabilities of the three goods at each observation `[K, 3]`."""
    network = FeedForwardActorCritic(3, 1, 16)
    seen = MaskedObs(obs[None], jnp.ones((1, len(obs), 3), bool))
    return jax.nn.softmax(network.run(params, (), seen, jnp.ones((1, len(obs)), bool))[1].policy[0])


def exploitability(preferred, mixtures):
    return (mixtures @ preferred.T).max(-1) - 0.5


def test_shares_of_wins():
    actions = np.array([0, 1, 2, 0, 2, 2, 1, 0])
    plays = Play(np.zeros((8, 1, 1)), actions[:, None, None], np.zeros((8, 1, 1)), {})
    shares = np.asarray(quick(lambda plays: win_shares(by_table, plays, 4))(plays))
    for block in (slice(0, 4), slice(4, 8)):
        table = PREFERRED[actions[block][:, None], actions[block]]
        np.testing.assert_allclose(shares[block], (table.sum(1) - 0.5) / 3, rtol=1e-6)
    np.testing.assert_allclose(shares.mean(), 0.5, rtol=1e-6)


def test_groups_start_alike_and_are_paid_at_the_end():
    """Two updates' worth of episodes of two steps, with what each preferred by: the mark of its start, or its goods."""
    env = AlikeStarts(Basket(2), 8, group=4)
    network = FeedForwardActorCritic(1, 1, 16)
    learning = PreferenceGradient(env, settings(), (), network, GaussianActions((), 0.0, 1.0), majority)
    baskets = np.random.default_rng(0).multinomial(2, np.ones(3) / 3, (2, 8))  # of two episodes of eight instances

    def marks_and_rewards(key, info):
        zero = jnp.zeros((4, 8, 1))
        flag = jnp.zeros((4, 8), bool)
        trajectory = Trajectory(zero, flag, zero, zero, flag, flag, zero, (), info)
        return env.reset(key, ())[1].env[1], learning.rewards(trajectory)[..., 0]

    info = {"basket": np.repeat(baskets, 2, axis=0).astype(np.float32)}
    marks, reward = map(np.asarray, quick(marks_and_rewards)(jax.random.key(0), info))
    assert len(np.unique(marks)) == 2
    assert len(np.unique(marks[:4])) == 1
    assert (reward[::2] == 0).all()
    for episode, group in itertools.product(range(2), (slice(0, 4), slice(4, 8))):
        mine = baskets[episode, group]
        table = 0.5 * (1 + np.sign(np.sign((mine[:, None] - mine[None]) @ JUDGES.T).sum(-1)))
        np.testing.assert_allclose(reward[2 * episode + 1, group], (table.sum(1) - 0.5) / 3, rtol=1e-6)


def test_averages_of_self_play_come_near_the_minimax_winner():
    """The policies themselves keep circling: what they leave to an opponent is not what their average leaves."""
    learner = spo(VectorEnv(Basket(1), 32), by_table, settings())
    played = histories(learner, lambda params: policies(params, jnp.zeros((1, 3)))[0], 8000, 4)
    averages = played[:, 800:].mean(1)
    np.testing.assert_allclose(averages.mean(0), WINNER, atol=0.01)
    left = exploitability(PREFERRED, averages)
    assert (left < 0.01).all(), left
    assert (exploitability(PREFERRED, played[:, 800:]).mean(1) > 3 * left).all()


BASKETS = [s for s in itertools.product(range(3), repeat=3) if sum(s) == 2]
VERDICTS = np.array(
    [[0.5 * (1 + np.sign(np.sign(JUDGES @ np.subtract(a, b)).sum())) for b in BASKETS] for a in BASKETS]
)


def test_no_reward_explains_the_judges():
    """They run in circles, so that no numbers are in their order; whatever basket is best, another beats it."""
    one, two, three = (BASKETS.index(s) for s in ((1, 1, 0), (1, 0, 1), (0, 1, 1)))
    assert VERDICTS[one, two] == VERDICTS[two, three] == VERDICTS[three, one] == 1
    np.testing.assert_array_equal(exploitability(VERDICTS, np.eye(6)), 0.5)
    winner = np.array([max(s) == 1 for s in BASKETS]) / 3
    assert exploitability(VERDICTS, winner) < 1e-12


@pytest.mark.slow
def test_judges_are_met_by_never_taking_the_same_twice():
    """Two steps: the winner mixes evenly over the three pairs of unlike goods, so the second step must remember."""

    def law(params):
        seen = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3) / 2])
        chosen = policies(params, seen)
        pairs = chosen[0][:, None] * chosen[1:]
        both = pairs + pairs.T
        return jnp.stack([both[i, j] * (0.5 if i == j else 1) for i, j in goods])

    goods = [tuple(np.repeat(np.arange(3), s)) for s in BASKETS]
    learner = spo(VectorEnv(Basket(2), 64), majority, settings(chunk_length=2, entropy_weight=0.1))
    played = histories(learner, law, 8000, 3)
    averages = played[:, 4000:].mean(1)
    left = exploitability(VERDICTS, averages)
    assert (left < 0.02).all(), left
    assert (exploitability(VERDICTS, played[:, 4000:]).mean(1) > 3 * left).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: settings(group=1), "group must be an integer >= 2"),
        (lambda: spo(VectorEnv(Basket(2), 6), majority, settings()), "group must be a divisor of the 6 instances"),
        (lambda: spo(VectorEnv(Basket(2), 8), majority, settings()), "chunks_per_update must be whole episodes"),
    ],
)
def test_wrong_settings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
