"""Decision markets: truth pays under a stochastic choice and not under a greedy one; payments telescope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.mechanisms import is_truthful


@pytest.fixture(scope="module")
def markets():
    return {rule: make("decision_market", num_agents=2, num_arms=2, rule=rule) for rule in ("stochastic", "greedy")}


@pytest.fixture(scope="module")
def gains(markets):
    """Gains of the last agent on random prices and beliefs, by the rule."""
    incoming, belief = jax.random.uniform(jax.random.key(0), (2, 300, 2), minval=0.05, maxval=0.95)
    found = {}
    for rule, (env, params) in markets.items():
        gain = jax.jit(jax.vmap(lambda p, q, params, env=env: env.misreport_gain(p, q, params)[0], (0, 0, None)))
        found[rule] = np.asarray(gain(incoming, belief, params))
    return found


def test_truth_is_best_under_a_stochastic_choice(gains):
    assert is_truthful(gains["stochastic"])


def test_a_greedy_choice_is_manipulated(gains):
    assert np.mean(gains["greedy"] > 0.01) > 0.2


def test_how_a_greedy_choice_is_manipulated(markets):
    """Arm 0 is priced right at .8; who knows that arm 1 is at .7, not at .2, gains only if arm 1 is chosen."""
    env, params = markets["greedy"]
    incoming, belief = jnp.array([0.8, 0.2]), jnp.array([0.8, 0.7])
    assert float(env.expected_payment(belief, incoming, belief, params)) == pytest.approx(0, abs=1e-6)
    lie = jnp.array([0.01, 0.7])
    assert float(env.expected_payment(lie, incoming, belief, params)) == pytest.approx(0.25, abs=1e-5)


@pytest.fixture(scope="module")
def truthful_play(markets):
    """4000 rounds of truthful agents under the stochastic rule."""
    env, params = markets["stochastic"]
    policy = env.truthful(params)

    @jax.jit
    def play(start, units):
        def one(start, units):
            def step(state, unit):
                act = jax.vmap(lambda obs: policy.act((), (), obs, ())[0])
                state, reward, _, info = env.transition(state, act(env.observe(state, params)), unit, params)
                return state, (reward, info)

            state, (rewards, info) = jax.lax.scan(step, env.initial(start, params), units)
            return state, rewards.sum(axis=0), jax.tree.map(lambda x: x[-1], info)

        return jax.vmap(one)(start, units)

    keys = jax.random.split(jax.random.key(1))
    return jax.device_get(play(jax.random.uniform(keys[0], (4000, 3, 2)), jax.random.uniform(keys[1], (4000, 2))))


def test_truthful_reports_add_up_to_the_posterior_given_all_signals(markets, truthful_play):
    env, params = markets["stochastic"]
    state = truthful_play[0]
    wanted = jax.vmap(lambda told: env.posterior(told, params))(state.signals)
    np.testing.assert_allclose(state.prices[:, -1], wanted, atol=1e-5)


def test_payments_telescope(markets, truthful_play):
    env, params = markets["stochastic"]
    state, rewards, info = truthful_play
    rows = np.arange(4000)
    law = np.asarray(jax.vmap(lambda p: env.choice(p, params))(state.prices[:, -1]))
    first, last = (1 - (info["success"] - state.prices[rows, i, info["arm"]]) ** 2 for i in (0, 2))
    np.testing.assert_allclose(rewards.sum(axis=1), (last - first) / law[rows, info["arm"]], atol=1e-4)


def test_truthful_agents_choose_as_well_as_one_who_knows_all(markets, truthful_play):
    env, params = markets["stochastic"]
    known = env.optimal(params)
    success = truthful_play[2]["success"]
    assert abs(success.mean() - known["centralised"]) < 4 * success.std() / 4000**0.5
    chance = truthful_play[2]["chance"]
    assert abs(chance.mean() - known["centralised"]) < 4 * chance.std() / 4000**0.5
    assert known["prior"] < known["centralised"] < known["best_arm"]


def test_information_is_paid_for(truthful_play):
    rewards = truthful_play[1]
    assert np.all(rewards.mean(axis=0) > 4 * rewards.std(axis=0) / 4000**0.5)


def test_what_is_wrong_is_named(markets):
    env, params = markets["stochastic"]
    with pytest.raises(ValueError, match="rule must be one of"):
        make("decision_market", rule="random")
    with pytest.raises(ValueError, match="floor must be"):
        env.validate(params.replace(floor=params.floor * 20))
    with pytest.raises(ValueError, match="accuracy must be"):
        env.validate(params.replace(accuracy=params.accuracy * 2))
