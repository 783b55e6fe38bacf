"""Independent Q-learners in repeated games: periods against a plain loop, known best replies, cycles by walking."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.games import NormalFormGame, pure_equilibria
from jaxmarl.learners import RepeatedQConfig, repeated_q, run_until_stable
from jaxmarl.learners.greedy_play import cycle_mean, deviate, greedy_values, limit_cycle, profit_gain
from jaxmarl.learners.repeated_q import joint_table, play
from jaxmarl.learners.sessions import SessionState, greedy_actions, initial_q, is_stable
from jaxmarl.testing import check_policy

# of the duopoly with 15 prices, whatever the history
INITIAL_Q = [5.78976, 6.008108, 6.162084, 6.251637, 6.278005, 6.243737, 6.152642, 6.009668, 5.820729, 5.592467]
INITIAL_Q += [5.331993, 5.046607, 4.743518, 4.429599, 4.111179]


@pytest.fixture(scope="module")
def duopoly():
    env, params = jaxmarl.make("logit_pricing", layout="index")
    return env, params, env.stage_payoffs(params)


def numpy_play(payoffs, state, drawn, settings, config):
    """The same periods, one session, player and cell after another."""
    q, n, a = np.array(state.q, np.float64), payoffs.shape[0], payoffs.shape[1]
    history, stable = np.array(state.history), np.array(state.stable)
    for b in range(len(q)):
        for t in range(len(drawn[0])):
            explores = drawn[0][t, b] < settings["epsilon"][b] * np.exp(-settings["decay"][b] * (state.periods[b] + t))
            before = q[b].argmax(-1)
            action = np.where(explores, drawn[1][t, b], before[history[b]])
            joint = int(np.ravel_multi_index(action, (a,) * n))
            following = joint + a**n * (history[b] % a ** (n * (config.memory - 1)))
            for i in range(n):
                target = payoffs[(i, *action)] + config.discount * q[b, following, i].max()
                # what a player learns must not depend on who is updated first: rows are a player's own
                q[b, history[b], i, action[i]] += settings["step_size"][b, i] * (
                    target - q[b, history[b], i, action[i]]
                )
            history[b] = following
            stable[b] = 0 if (q[b].argmax(-1) != before).any() else stable[b] + 1
    return q, history, stable


@pytest.mark.parametrize(("n", "memory"), [(2, 1), (2, 2), (3, 1)])
def test_periods_against_a_plain_loop(n, memory):
    rng, actions, sessions, periods = np.random.default_rng(n), 3, 2, 40
    payoffs = rng.normal(size=(n, *[actions] * n)).astype(np.float32)
    states = actions ** (n * memory)
    q = rng.normal(size=(sessions, states, n, actions)).astype(np.float32)
    zeros = jnp.zeros(sessions, jnp.int32)
    state = SessionState(jnp.asarray(q), jnp.array([0, states - 1]), zeros + jnp.array([0, 7]), zeros, ())
    drawn = rng.random((periods, sessions, n), np.float32), rng.integers(0, actions, (periods, sessions, n), np.int32)
    settings = {name: rng.uniform(0.1, 0.5, (sessions, n)).astype(np.float32) for name in ("step_size", "epsilon")}
    settings["decay"] = rng.uniform(0, 0.05, (sessions, n)).astype(np.float32)
    config = RepeatedQConfig(memory=memory, discount=0.8)
    after, _ = play(jnp.asarray(payoffs), state, jax.tree.map(jnp.asarray, drawn), settings, config)
    wanted = numpy_play(payoffs, state, drawn, settings, config)
    np.testing.assert_allclose(after.q, wanted[0], atol=1e-5)
    assert after.history.tolist() == wanted[1].tolist()
    assert after.stable.tolist() == wanted[2].tolist()  # a change anywhere, though only visited rows are looked at


def test_initial_values(duopoly):
    np.testing.assert_allclose(initial_q(duopoly[2], 0.95), [INITIAL_Q] * 2, atol=5e-6)


def test_exchanged_firms_play_the_exchanged_game():
    rng = np.random.default_rng(1)
    payoffs = rng.normal(size=(2, 3, 3)).astype(np.float32)
    exchanged = payoffs[::-1].swapaxes(1, 2)
    learner, other = (repeated_q(jnp.asarray(x), 0.2, 0.01, num_sessions=3) for x in (payoffs, exchanged))
    state = learner.init(jax.random.key(0))
    flipped = np.arange(9).reshape(3, 3).T.ravel()
    mirrored = other.init(jax.random.key(0)).replace(history=jnp.asarray(flipped)[state.history])
    drawn = (rng.random((50, 3, 2)).astype(np.float32), rng.integers(0, 3, (50, 3, 2), np.int32))
    settings = {"step_size": jnp.full((3, 2), 0.2), "decay": jnp.full((3, 2), 0.01), "epsilon": jnp.ones((3, 2))}
    config = RepeatedQConfig()
    after, _ = play(jnp.asarray(payoffs), state, drawn, settings, config)
    mirror, _ = play(jnp.asarray(exchanged), mirrored, tuple(x[..., ::-1] for x in drawn), settings, config)
    np.testing.assert_array_equal(after.q, mirror.q[:, flipped, ::-1])
    assert flipped[after.history].tolist() == mirror.history.tolist()


def limit_cycles(learner, state, num_actions):
    policies = jnp.swapaxes(learner.params(state), 1, 2)
    return policies, jax.jit(jax.vmap(partial(limit_cycle, num_actions=num_actions)))(policies, state.history)


def test_best_reply_to_a_constant_opponent(duopoly):
    step, explore = np.array([[0.15, 0.0]] * 4), np.array([[0.1, 0.0]] * 4)
    learner = repeated_q(duopoly[2], step, 0.0, RepeatedQConfig(discount=0.0, steps_per_update=40_000), epsilon=explore)
    state = learner.init(jax.random.key(2))
    state = state.replace(q=state.q.at[:, :, 1].set(jax.nn.one_hot(13, 15)))
    state, _ = jax.jit(learner.update)(state)
    # exploration may have left another history behind: what counts is the limit
    _, cycles = limit_cycles(learner, state, 15)
    assert cycles.history.tolist() == [6 * 15 + 13] * 4
    assert cycles.length.tolist() == [1] * 4


def test_without_a_future_firms_learn_the_stage_equilibria():
    env, params = jaxmarl.make("logit_pricing", num_prices=5)
    payoffs = env.stage_payoffs(params)
    equilibria = np.asarray(pure_equilibria(NormalFormGame(payoffs))).ravel()
    assert np.flatnonzero(equilibria).tolist() == [0, 6]  # both at the lowest price, or both at the next one
    config = RepeatedQConfig(discount=0.0, stable_periods=20_000)
    learner = repeated_q(payoffs, 0.1, 1e-4, config, num_sessions=16)
    state = run_until_stable(learner, learner.init(jax.random.key(3)), 200, updates_per_call=25)
    assert bool(is_stable(state, config).all())
    _, cycles = limit_cycles(learner, state, 5)
    np.testing.assert_allclose(cycles.frequency.sum(-1), 1.0, rtol=1e-6)
    # a few sessions stop in a cycle with a reply that is nearly as good, since both explored while they learned
    assert float(cycles.frequency[:, equilibria].sum(-1).mean()) > 0.9


def test_sessions_stop_when_stable_and_are_told_apart(duopoly):
    payoffs = duopoly[2]
    config = RepeatedQConfig(stable_periods=20, steps_per_update=20)
    learner = repeated_q(payoffs, [0.0, 0.5], 0.0, config)
    state = learner.init(jax.random.key(0))
    update = jax.jit(learner.update)
    first, metrics = update(state)
    assert first.stable[0] == 20  # nothing is learned, so nothing changes
    second, _ = update(first)
    assert second.periods.tolist() == [20, 40]
    np.testing.assert_array_equal(second.q[0], state.q[0])
    assert metrics["stable"] == 0.5
    assert not np.array_equal(second.q[1], state.q[1])


def test_policy_plays_in_the_environment(duopoly):
    env, params, payoffs = duopoly
    learner = repeated_q(payoffs, num_sessions=1)
    table = learner.params(learner.init(jax.random.key(0)))[0]
    assert table.shape == (2, 225)
    obs, _ = env.reset(jax.random.key(1), params)
    assert learner.policy.act(table[0], (), obs[0], ())[0] == 4  # the best of the initial values
    check_policy(learner.policy, obs[0], params=table[0], action_space=env.action_space(params))


def test_greedy_actions_are_the_first_of_the_best():
    q = jnp.array([[0.0, 2.0, 2.0], [1.0, 1.0, 1.0], [0.0, 0.0, 3.0]])
    assert greedy_actions(q).tolist() == [1, 0, 2] == jnp.argmax(q, -1).tolist()


@pytest.mark.parametrize(("n", "actions", "memory"), [(2, 3, 1), (2, 2, 2), (3, 2, 1)])
def test_cycles_values_and_deviations_by_walking(n, actions, memory):
    rng, discount = np.random.default_rng(5), 0.9
    states, joint = actions ** (n * memory), actions**n
    payoffs = rng.normal(size=(joint, n))

    def walk(policy, history, first=None, periods=600):
        path = []
        for t in range(periods):
            action = policy[history] if t or first is None else first
            history = int(np.ravel_multi_index(action, (actions,) * n)) + joint * (history % (states // joint))
            path.append(history)
        return path

    def discounted(path):
        return (discount ** np.arange(len(path))) @ payoffs[np.array(path) % joint]

    cycle_of = jax.jit(partial(limit_cycle, num_actions=actions))
    deviation_of = jax.jit(partial(deviate, num_actions=actions, discount=discount, num_periods=12, player=1))
    for _ in range(6):
        policy, start = rng.integers(0, actions, (states, n), np.int32), int(rng.integers(states))
        cycle = cycle_of(policy, jnp.int32(start))
        path = walk(policy, start)
        length = path[::-1][1:].index(path[-1]) + 1
        assert cycle.length == length
        assert int(cycle.history) in path[-length:]
        np.testing.assert_allclose(
            cycle_mean(cycle, jnp.asarray(payoffs)), payoffs[np.array(path[-length:]) % joint].mean(0), atol=1e-6
        )
        values = greedy_values(jnp.asarray(policy), jnp.asarray(payoffs), actions, discount)
        np.testing.assert_allclose(values[start], discounted(path), atol=1e-5)
        home = int(cycle.history)
        replies = [[*policy[home][:1], a, *policy[home][2:]] for a in range(actions)]
        earned = [payoffs[np.ravel_multi_index(r, (actions,) * n), 1] for r in replies]
        off, on = walk(policy, home, replies[int(np.argmax(earned))]), walk(policy, home)
        found = deviation_of(policy, cycle, jnp.asarray(payoffs))
        np.testing.assert_allclose(found.gain, (discounted(off) - discounted(on))[1], atol=1e-5)
        np.testing.assert_allclose(found.immediate_gain, max(earned) - payoffs[on[0] % joint, 1], atol=1e-6)
        assert bool(found.returned) == (off[-1] in path[-length:])
        digits = [np.unravel_index(h % joint, (actions,) * n) for h in [home, *off[:12]]]
        assert found.actions.tolist() == [list(map(int, d)) for d in digits]
        assert found.periods_to_return == sum(h not in path[-length:] for h in off[1:12])


def test_grim_trigger_sustains_cooperation_where_it_should():
    payoffs = jnp.array([[[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]]])  # cooperate 0, defect 1
    table, grim = joint_table(payoffs), jnp.array([[0, 0], [1, 1], [1, 1], [1, 1]], jnp.int32)
    cycle = limit_cycle(grim, jnp.int32(0), 2)
    for discount, sign in [(0.4, 1), (0.6, -1)]:  # the threshold is (5 - 3) / (5 - 1)
        found = deviate(grim, cycle, table, num_actions=2, discount=discount)
        assert np.sign(found.gain) == sign
        np.testing.assert_allclose(found.gain, 5 + discount / (1 - discount) - 3 / (1 - discount), rtol=1e-5)
        assert not found.returned
        assert found.periods_to_return == 24
    assert profit_gain(cycle_mean(cycle, table), jnp.ones(2), jnp.full(2, 3.0)) == 1.0


def test_refusals(duopoly):
    payoffs = duopoly[2]
    for word, call in [
        ("payoffs", lambda: repeated_q(payoffs[:, 0], num_sessions=1)),
        ("step_size", lambda: repeated_q(payoffs, 1.5, num_sessions=1)),
        ("decay", lambda: repeated_q(payoffs, 0.1, [-1.0])),
        ("num_sessions", lambda: repeated_q(payoffs)),
        ("num_sessions", lambda: repeated_q(payoffs, [0.1, 0.2], [1e-5])),
        ("memory", lambda: repeated_q(payoffs, config=RepeatedQConfig(memory=3), num_sessions=100)),
        ("discount", lambda: RepeatedQConfig(discount=1.0)),
        ("policies", lambda: limit_cycle(jnp.zeros((5, 2), jnp.int32), jnp.int32(0), 2)),
    ]:
        with pytest.raises(ValueError, match=word):
            call()


def study(duopoly, decay, periods):
    """Profit gains, share of stable sessions and deviations' gains of 64 sessions."""
    env, params, payoffs = duopoly
    config = RepeatedQConfig()
    learner = repeated_q(payoffs, 0.15, decay, config, num_sessions=64)
    state = run_until_stable(learner, learner.init(jax.random.key(0)), periods // config.steps_per_update)
    table = joint_table(payoffs)
    policies, cycles = limit_cycles(learner, state, 15)
    known = env.benchmarks(params)
    levels = (jnp.asarray(known[name].profits, jnp.float32) for name in ("nash", "monopoly"))
    gains = profit_gain(jax.vmap(cycle_mean, (0, None))(cycles, table), *levels)
    deviations = jax.vmap(partial(deviate, payoffs=table, num_actions=15, discount=0.95))(policies, cycles)
    return float(gains.mean()), float(is_stable(state, config).mean()), deviations


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_collusion_with_fast_cooling(duopoly):
    gain, _, _ = study(duopoly, 2e-5, 600_000)
    assert 0.75 <= gain <= 0.81


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_collusion_as_published(duopoly):
    gain, stable, deviations = study(duopoly, 4e-6, 2_500_000)
    assert 0.80 <= gain <= 0.90  # published: about 0.85; four standard errors of 64 sessions are 0.05
    assert stable > 0.8
    assert (deviations.gain < 0).mean() > 0.8
    assert deviations.gain.mean() < 0
