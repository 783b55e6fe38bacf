"""Responses in conditional value at risk to a mixture of hunters, against the threshold known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.dilemmas import IteratedMatrix
from jaxmarl.learners.value import MeanHead, QuantileHead, ValueConfig, WithStock, from_stock
from jaxmarl.solvers.psro import Psro, PsroSettings
from jaxmarl.solvers.psro.environment import EnvironmentPsro
from jaxmarl.solvers.psro.tail_oracle import cvar_oracle, stock_oracle

STAG, HARE = 0, 1
CONFIG = ValueConfig(
    hidden=(8,),
    collect=1,
    gradient_steps=4,
    rounds=10,
    batch=64,
    capacity=4000,
    warmup=400,
    discount=1.0,
    learning_rate=1e-2,
    epsilon_end=0.5,
    target_every=10,
)
HEAD = QuantileHead(20, kappa=0.0)
GAME = IteratedMatrix(game="stag_hunt", num_steps=1)


def response(game, strategies, hunting):
    """What is played in answer to stag with probability `hunting`: 20 profiles hold it exactly."""
    populations = (jax.tree.map(lambda *leaves: jnp.stack(leaves), *strategies),) * 2
    return game.best_response(0, populations, jnp.array([hunting, 1 - hunting]), jax.random.key(0))


def played(game, params):
    obs = game.env.observe(game.env.initial(*_start(game.env), game._params), game._params)[0]
    seen = MaskedObs(obs, jnp.ones(2, bool))
    return int(game._template.policy.act(params, (), seen, None)[0])


def _start(env):
    from jaxmarl.core.chance import draw

    return (draw(env.reset_chance, jax.random.key(3)),)


def always(game, action):
    """Fresh parameters whose quantiles of one action are far above the other's."""
    params = game.initial_strategy(0, jax.random.key(1))
    outputs = params["params"]["outputs"]
    bias = outputs["bias"].reshape(2, -1).at[action].set(100.0).reshape(-1)
    return {"params": {**params["params"], "outputs": {"kernel": 0 * outputs["kernel"], "bias": bias}}}


@pytest.mark.parametrize(("level", "answers"), [(1.0, (HARE, STAG, STAG)), (0.5, (HARE, HARE, STAG))])
def test_stag_is_the_answer_above_one_less_a_third_of_the_level(level, answers):
    """Payoffs 4, 0 of the stag and 3, 2 of the hare: stag if and only if it is hunted with 1 - level / 3 or more."""
    game = EnvironmentPsro(GAME, cvar_oracle(CONFIG, level, HEAD), updates=12, profiles=20, matches=1, episodes=10)
    strategies = always(game, STAG), always(game, HARE)
    assert [played(game, strategy) for strategy in strategies] == [STAG, HARE]
    for hunting, answer in zip((0.55, 0.75, 0.95), answers, strict=True):
        assert (hunting >= 1 - level / 3) == (answer == STAG)
        assert played(game, response(game, strategies, hunting)) == answer


@pytest.mark.slow
def test_responses_by_stock_fear_to_be_left_alone_and_psro_runs_on_them():
    """From a stock of -2, what is missing to 2 counts: a hare never misses it, a stag with every gatherer."""
    env = WithStock(GAME, low=-4.0, high=0.0)
    params = from_stock(env.default_params, -2.0)
    oracle = stock_oracle(CONFIG, head=HEAD)
    game = EnvironmentPsro(env, oracle, updates=12, profiles=20, matches=1, episodes=20, env_params=params)
    strategies = always(game, STAG), always(game, HARE)
    for hunting in (0.75, 0.9):  # the best mean is the stag's
        assert played(game, response(game, strategies, hunting)) == HARE
    state = Psro(game, PsroSettings(capacity=2, meta_solver="uniform")).run(jax.random.key(0))
    assert np.all(np.isfinite(state.rows()["value"]))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="level"):
        cvar_oracle(CONFIG, 0.0)
    with pytest.raises(ValueError, match="head"):
        cvar_oracle(CONFIG, 0.5, MeanHead())
