"""LOQA: the differentiable return and its gradient, updates, refusals, and (slow) what is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Player
from jaxmarl.envs.dilemmas import CoinGame, IteratedMatrix, coin_policy
from jaxmarl.evaluation.cross_play import versus
from jaxmarl.learners import over_seeds
from jaxmarl.learners.loqa import _LOQA, loqa
from jaxmarl.learners.loqa_config import LOQAConfig, coin_config, ipd_config
from jaxmarl.learners.opponent_shaping import differentiable_action_values, discounted_sums, opponent_log_prob

DISCOUNT, TRACE = 0.96, 0.9


@pytest.fixture(scope="module")
def episode():
    """Logits, actions, rewards and values of 6 steps."""
    keys = jax.random.split(jax.random.key(0), 4)
    logits, reward, value = (jax.random.normal(k, shape) for k, shape in zip(keys, ((6, 3), (6,), (6,)), strict=False))
    return logits, jax.random.randint(keys[3], (6,), 0, 3), reward, value


@pytest.mark.parametrize("final", [0.0, 2.5])
def test_value_and_gradient_of_the_differentiable_return(episode, final):
    logits, action, reward, value = episode

    def worth(logits):
        log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=1)[:, 0]
        return differentiable_action_values(log_prob, reward, value, DISCOUNT, TRACE, final)

    returns = np.zeros(7)
    returns[6] = final
    for t in range(5, -1, -1):
        returns[t] = reward[t] + DISCOUNT * returns[t + 1]
    np.testing.assert_allclose(worth(logits), reward + DISCOUNT * returns[1:], rtol=1e-5)
    score = np.eye(3)[action] - np.asarray(jax.nn.softmax(logits))
    wanted = np.zeros((6, 6, 3))
    for t in range(6):
        for k in range(t + 1, 6):
            surplus = returns[k] - float(value[k])
            wanted[t, k] = DISCOUNT * (DISCOUNT * TRACE) ** (k - t - 1) * surplus * score[k]
    np.testing.assert_allclose(jax.jacrev(worth)(logits), wanted, atol=1e-5)


def test_returns_may_rely_on_the_opponents_critic(episode):
    logits, action, reward, value = episode

    def worth(logits, trace):
        log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=1)[:, 0]
        return differentiable_action_values(log_prob, reward, value, DISCOUNT, TRACE, 2.5, trace)

    after = np.append(value, 2.5)
    for trace in (0.0, 0.7):
        returns = np.append(np.zeros(6), 2.5)
        for t in range(5, -1, -1):
            returns[t] = reward[t] + DISCOUNT * (trace * returns[t + 1] + (1 - trace) * after[t + 1])
        np.testing.assert_allclose(worth(logits, trace), reward + DISCOUNT * returns[1:], rtol=1e-4)
        score = np.eye(3)[int(action[5])] - np.asarray(jax.nn.softmax(logits[5]))
        gradient = DISCOUNT * (returns[5] - float(value[5])) * score
        np.testing.assert_allclose(jax.jacrev(worth)(logits, trace)[4, 5], gradient, atol=1e-5)


def test_discounted_sums(episode):
    x = np.asarray(episode[0], np.float64)
    wanted = [sum(0.7 ** (k - t) * x[k] for k in range(t, 6)) for t in range(6)]
    np.testing.assert_allclose(discounted_sums(jnp.asarray(x), 0.7), wanted, rtol=1e-5)


def test_opponents_log_probability(episode):
    q, action, _, value = episode
    replaced = np.array(q)
    replaced[np.arange(6), action] = value
    wanted = np.log(np.exp(replaced / 2) / np.exp(replaced / 2).sum(1, keepdims=True))[np.arange(6), action]
    np.testing.assert_allclose(opponent_log_prob(q, action, value, 2.0), wanted, rtol=1e-5)
    by_q, by_value = jax.grad(lambda q, v: opponent_log_prob(q, action, v, 2.0).sum(), (0, 1))(q, value)
    assert not by_q.any()  # the opponent's other values are given
    np.testing.assert_allclose(by_value, (1 - np.exp(wanted)) / 2, rtol=1e-5)  # the normaliser's part is kept


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_errors_while_learning(episode, rate):
    learner = _LOQA(CoinGame(), LOQAConfig(exploration=rate), None, None, None)
    policy = np.asarray(jax.nn.softmax(episode[0]))
    np.testing.assert_allclose(jnp.exp(learner._erring(episode[0])), (1 - rate) * policy + rate / 3, rtol=1e-5)


def test_opponents_from_the_naive_updates():
    settings = {"num_envs": 4, "naive_updates": 40, "replay": 300, "replay_every": 20, "num_opponents": 4}
    learner = _LOQA(CoinGame(), LOQAConfig(naive_opponents=2, **settings), None, None, None)
    keys = jax.random.split(jax.random.key(0), 400)
    rows = {age: np.asarray(jax.vmap(learner._picked, (None, 0))(jnp.int32(age), keys)) for age in (0, 1, 21, 41, 401)}
    assert not rows[0].any()
    assert not rows[1].any()
    assert set(rows[21][:, 0]) == {1}
    assert set(rows[21][:, 2]) == {0, 1}
    for age, entries in ((41, 3), (401, 21)):
        assert set(rows[age][:, :2].ravel()) == {1, 2}
        assert set(rows[age][:, 2:].ravel()) == set(range(entries))


def test_entries_of_the_naive_updates_stay_in_a_full_replay():
    settings = {"num_envs": 2, "actor_layers": (), "critic_layers": (4,), "recurrent": False}
    config = LOQAConfig(**settings, naive_updates=2, replay=5, num_opponents=2, naive_opponents=1)
    learner = loqa(CoinGame(num_steps=2), config)
    assert config.naive_entries == 3

    def step(state, _):
        after, _ = learner.update(state)
        return after, state.params["actor"]["params"]["output"]["bias"]

    state, biases = jax.jit(lambda s: jax.lax.scan(step, s, length=9))(learner.init(jax.random.key(0)))
    kept = state.replay["actor"]["params"]["output"]["bias"]
    np.testing.assert_array_equal(kept, biases[jnp.array([0, 1, 2, 7, 8])])


def test_logits_are_kept_small_until_that_is_annealed():
    settings = {"num_envs": 4, "actor_layers": (), "critic_layers": (8,), "recurrent": False, "entropy_weight": 0.0}
    held = loqa(CoinGame(num_steps=2), LOQAConfig(**settings, logit_weight=10.0, anneal_updates=5))
    free = loqa(CoinGame(num_steps=2), LOQAConfig(**settings))
    start = jax.jit(held.init)(jax.random.key(0))

    def actor(state):
        return np.concatenate([x.ravel() for x in jax.tree.leaves(state.params["actor"])])

    update = jax.jit(held.update)
    early, late = (update(start.replace(count=jnp.int32(count)))[0] for count in (0, 5))
    assert np.abs(actor(early) - actor(late)).max() > 1e-4
    other = jax.jit(free.update)(start.replace(count=jnp.int32(5)))[0]
    np.testing.assert_allclose(actor(late), actor(other), atol=1e-6)


def test_naive_updates_leave_shaping_out():
    settings = {"num_envs": 4, "actor_layers": (8,), "critic_layers": (8,)}

    def after_two(**changes):
        learner = loqa(CoinGame(num_steps=3), LOQAConfig(**settings, **changes))
        state = jax.jit(learner.init)(jax.random.key(0))
        update = jax.jit(learner.update)
        states = [state := update(state)[0] for _ in range(2)]
        return [np.concatenate([x.ravel() for x in jax.tree.leaves(s.params["actor"])]) for s in states]

    naive, late, shaping = after_two(shaping_weight=0.0), after_two(naive_updates=1), after_two()
    np.testing.assert_allclose(late[0], naive[0], atol=1e-6)
    assert np.abs(late[1] - naive[1]).max() > 1e-4
    assert np.abs(shaping[0] - naive[0]).max() > 1e-4


def test_updates_of_the_coin_game():
    config = LOQAConfig(num_envs=4, actor_layers=(8,), critic_layers=(8,), replay=2, num_opponents=2, warm_up=1)
    learner = loqa(CoinGame(num_steps=3), config)
    update = jax.jit(learner.update)
    start = jax.jit(learner.init)(jax.random.key(0))
    first, metrics = update(start)
    second, _ = update(first)
    assert all(np.isfinite(x) for x in metrics.values())

    def moved(a, b, network):
        changes = jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), a.params[network], b.params[network])
        return max(jax.tree.leaves(changes))

    assert moved(start, first, "actor") == 0.0  # warming up
    assert moved(start, first, "critic") > 0
    assert moved(first, second, "actor") > 0
    # the second entry of the replay is the params before the second update after the warm-up
    third, _ = update(second)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[1], y), third.replay, second.params)


def cooperation(params):
    """Probabilities of cooperation `[..., 5]` of a row of logits for each state."""
    output = params["params"]["output"]
    return np.asarray(jax.nn.softmax(output["kernel"] + output["bias"][..., None, :]))[..., 0]


@pytest.mark.slow
def test_loqa_learns_to_reciprocate():
    """Tit for tat, on seeds that settings were not chosen on; naive policy gradients earn -1.98 with themselves."""
    from jaxmarl.games.iterated import memory_one_values

    env = IteratedMatrix(num_steps=50)
    learner = over_seeds(loqa(env, ipd_config()), 3)

    @jax.jit
    def run(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=100)[0]

    state = jax.jit(learner.init)(jax.random.key(7))
    for _ in range(12):
        state = run(state)
    found = cooperation(learner.params(state))
    _, after_cc, after_cd, after_dc, _ = found.T
    values = [float(memory_one_values(p, p, env.default_params.payoffs, DISCOUNT)[0]) for p in found]
    assert after_cc.min() >= 0.9, found
    assert after_cd.max() <= 0.3, found
    assert after_dc.min() >= 0.6, found
    assert min(values) >= -1.1, found


@pytest.mark.slow
def test_loqa_cooperates_in_the_coin_game_and_retaliates():
    """Cooperators earn 0.334 a step with themselves and lose 0.260 to defectors; defectors earn 0 with themselves."""
    env = CoinGame(num_steps=50, egocentric=True, show_balance=True)
    learner = loqa(env, coin_config())

    @jax.jit
    def run(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=800)[0]

    for seed in range(3):
        state = run(jax.jit(learner.init)(jax.random.key(10 + seed)))
        player = Player(learner.policy, learner.params(state))
        others = [player, *(Player(coin_policy(env, kind)) for kind in ("cooperate", "defect"))]
        itself, cooperator, defector = versus(env, player, others, jax.random.key(seed), 2000).mean(1) / 50
        assert itself >= 0.28, (seed, itself)
        assert cooperator >= 0.30, (seed, cooperator)
        assert defector >= -0.02, (seed, defector)


def test_refusals_of_loqa():
    with pytest.raises(ValueError, match="num_opponents"):
        LOQAConfig(num_envs=10, num_opponents=3)
    with pytest.raises(ValueError, match="naive_opponents"):
        LOQAConfig(num_envs=10, naive_opponents=2)
    with pytest.raises(ValueError, match="naive_opponents must be 0 unless replay holds"):
        LOQAConfig(naive_opponents=1, naive_updates=20, replay=20)
    with pytest.raises(ValueError, match="exploration"):
        LOQAConfig(exploration=1.0)
    with pytest.raises(ValueError, match="actor_layers"):
        LOQAConfig(actor_layers=())
    with pytest.raises(ValueError, match="symmetric"):
        loqa(IteratedMatrix(game="matching_pennies"), LOQAConfig())
