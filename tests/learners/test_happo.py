"""HAPPO: with one agent it is PPO, later agents weigh by what earlier ones became, and teams coordinate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.policy import MaskedObs, uniform_policy
from jaxmarl.core.vector import VectorEnv
from jaxmarl.core.wrappers import AgainstPolicies
from jaxmarl.envs.markov.tabular import tabular_game
from jaxmarl.envs.rps.repeated import RepeatedRPS
from jaxmarl.games import NormalFormGame, markov_game_from_normal_form
from jaxmarl.learners import MAPPOConfig, mappo, over_seeds
from jaxmarl.learners.happo import HAPPOConfig, happo

# two agents had better not do the same: whoever is alone with the second action is paid for both
PAYOFFS = np.array([[0.0, 2.0], [2.0, -1.0]], np.float32)
SMALL = {"hidden": 16, "chunk_length": 1, "learning_rate": 1e-2, "value_norm": False, "entropy_weight": 0.003}


def test_a_team_of_one_is_ppo():
    env = VectorEnv(AgainstPolicies(RepeatedRPS(num_throws=4), (uniform_policy(3),)), 6)
    shared = {**SMALL, "chunk_length": 4, "epochs": 1, "minibatches": 1, "max_grad_norm": 1e6}
    after = []
    for learner in (
        happo(env, HAPPOConfig(**shared)),
        mappo(env, MAPPOConfig(share=False, agent_id=False, **shared)),
    ):
        state, metrics = jax.jit(lambda key, learner=learner: learner.update(learner.init(key)))(jax.random.key(0))
        after.append(state.params)
        assert float(metrics["first_ratio"]) == pytest.approx(1, abs=1e-6)
    for one, two in zip(*map(jax.tree.leaves, after), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.fixture(scope="module")
def team():
    game = NormalFormGame(np.stack([PAYOFFS, PAYOFFS]))
    return tabular_game(markov_game_from_normal_form(game, horizon=1))


@pytest.mark.parametrize("kl_weight", [0.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_teams_learn_not_to_do_the_same(team, kl_weight):
    env, params = team
    learner = happo(VectorEnv(env, 64), HAPPOConfig(kl_weight=kl_weight, **SMALL), params)
    runs = over_seeds(learner, 5)

    @jax.jit
    def train(key):
        return jax.lax.scan(lambda s, _: runs.update(s), runs.init(key), length=80)

    metrics = train(jax.random.key(1))[1]
    assert float(metrics["reward"][:2].mean()) < 1.2
    assert (np.asarray(metrics["reward"][-5:].mean(0)) > 1.9).all(), metrics["reward"][-5:].mean(0)


def test_the_second_agent_improves_for_what_the_first_has_become(team):
    """Both first get a push towards the second action, which is best for each alone but not for both."""
    env, params = team
    config = HAPPOConfig(**{**SMALL, "learning_rate": 0.3, "epochs": 12, "entropy_weight": 0.0, "clip": 10.0})
    learner = happo(VectorEnv(env, 512), config, params)

    @jax.jit
    @jax.vmap
    def play(key):
        state = learner.update(learner.init(key))[0]
        obs, mask = jnp.ones((2, 1)), jnp.ones((2, 2), bool)
        draws = jax.random.uniform(jax.random.key(9), (400, 2))
        actions = jax.vmap(
            lambda u: learner.policy.act(state.params, learner.policy.init(()), MaskedObs(obs, mask), u)[0]
        )
        return jnp.mean(actions(draws), axis=0)

    second = np.sort(np.asarray(play(jax.random.split(jax.random.key(2), 8))), axis=1)
    assert (second[:, 0] < 0.2).all(), second
    assert (second[:, 1] > 0.8).all(), second


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"share": True}, "share must be False"),
        ({"critic": "own"}, "critic must be mean or concat"),
        ({"kl_weight": -1.0}, "kl_weight must be non-negative"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        HAPPOConfig(**settings)
