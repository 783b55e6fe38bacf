"""Q-learners that move in turns: rounds against a plain loop, exact values against a fixed rival, what they learn."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.learners import SessionConfig, run_until_stable, sequential_q
from jaxmarl.learners.greedy_play import cycle_mean, limit_cycle
from jaxmarl.learners.reaction_play import deviation_gains, price_path, round_payoffs, round_policies
from jaxmarl.learners.sequential_q import play
from jaxmarl.learners.sessions import SessionState
from jaxmarl.testing import check_policy

UNDERCUT = [5, 0, 1, 2, 3, 4, 4]  # a price war: one below the rival, and back up where that is worth nothing


@pytest.fixture(scope="module")
def market():
    env, params = jaxmarl.make("sequential_pricing")
    return env, params, env.stage_payoffs(params)


def numpy_play(payoffs, state, drawn, settings, discount):
    """The same periods, one session and move after another."""
    q, m = np.array(state.q, np.float64), payoffs.shape[-1]
    recent = [list(np.unravel_index(h, (m, m, m))) for h in state.history]
    stable, total = np.array(state.stable), np.zeros((len(q), 2))
    for b in range(len(q)):
        for t in range(2 * len(drawn[0])):
            i = t % 2

            def pay(player, own, other):
                return payoffs[player][(own, other) if player == 0 else (other, own)]

            third, second, last = recent[b]
            before = q[b, :, i].argmax(-1)
            target = pay(i, second, third) + discount * pay(i, second, last) + discount**2 * q[b, last, i].max()
            q[b, third, i, second] += settings["step_size"][b, i] * (target - q[b, third, i, second])
            stable[b] = 0 if (q[b, :, i].argmax(-1) != before).any() else stable[b] + 1
            unit, forced = drawn[0][t // 2, b, i], drawn[1][t // 2, b, i]
            explores = unit < settings["epsilon"][b, i] * np.exp(-settings["decay"][b, i] * (state.periods[b] + t))
            action = forced if explores else q[b, last, i].argmax()
            recent[b] = [second, last, action]
            total[b] += (
                [pay(0, action, last), pay(1, last, action)]
                if i == 0
                else [
                    pay(0, last, action),
                    pay(1, action, last),
                ]
            )
    return q, [int(np.ravel_multi_index(x, (m, m, m))) for x in recent], stable, total / (2 * len(drawn[0]))


def test_rounds_against_a_plain_loop():
    rng, m, sessions, rounds = np.random.default_rng(0), 3, 2, 40
    payoffs = rng.normal(size=(2, m, m)).astype(np.float32)
    q = rng.normal(size=(sessions, m, 2, m)).astype(np.float32)
    state = SessionState(jnp.asarray(q), jnp.array([5, 26]), jnp.array([0, 6]), jnp.zeros(sessions, jnp.int32), ())
    shape = rounds, sessions, 2
    drawn = rng.random(shape, np.float32), rng.integers(0, m, shape, np.int32)
    settings = {name: rng.uniform(0.1, 0.5, (sessions, 2)).astype(np.float32) for name in ("step_size", "epsilon")}
    settings["decay"] = rng.uniform(0, 0.03, (sessions, 2)).astype(np.float32)
    config = SessionConfig(discount=0.8)
    after, earned = play(jnp.asarray(payoffs), state, jax.tree.map(jnp.asarray, drawn), settings, config)
    q, history, stable, total = numpy_play(payoffs, state, drawn, settings, 0.8)
    np.testing.assert_allclose(after.q, q, atol=1e-5)
    assert after.history.tolist() == history
    assert after.stable.tolist() == stable.tolist()
    assert after.periods.tolist() == [80, 86]
    np.testing.assert_allclose(earned, total, atol=1e-5)


def test_exact_values_against_a_fixed_rival(market):
    """What is tried often against a rival who never learns is worth what the Bellman equation says."""
    _, _, payoffs = market
    step, epsilon = np.array([[0.5, 0.0]] * 2), np.array([[1.0, 0.0]] * 2)
    config = SessionConfig(discount=0.9, steps_per_update=20_000)
    learner = sequential_q(payoffs, step, 0.0, config, epsilon=epsilon)
    state = learner.init(jax.random.key(0))
    state = state.replace(q=state.q.at[:, :, 1].set(jax.nn.one_hot(jnp.array(UNDERCUT), 7)))
    state, metrics = jax.jit(learner.update)(state)
    assert metrics["epsilon"] == 0.5
    mine, rival, values = np.asarray(payoffs[0]), np.array(UNDERCUT), np.zeros(7)
    for _ in range(200):
        later = mine[np.arange(7), rival] + 0.9 * values[rival]
        action_values = mine.T + 0.9 * later
        values = action_values.max(1)
    for q in state.q[:, :, 0]:
        np.testing.assert_allclose(q[:6], action_values[:6], atol=1e-4)  # the rival never charges the highest price
    learned = jax.vmap(lambda r: deviation_gains(r, payoffs, 0.9))(learner.params(state))
    np.testing.assert_allclose(learned[:, 0, :6], 0.0, atol=1e-4)
    assert (learned[:, 1] > 0.01).any()


def test_gains_of_deviations_by_trying_all_replies():
    rng, m, discount = np.random.default_rng(3), 3, 0.7
    payoffs = rng.normal(size=(2, m, m)).astype(np.float32)
    for reactions in rng.integers(0, m, (3, 2, m)):

        def value(player, own, other, standing):
            total = 0.0
            for t in range(0, 80, 2):
                action = own[standing]
                pay = payoffs[player] if player == 0 else payoffs[player].T
                total += discount**t * pay[action, standing]
                standing = other[action]
                total += discount ** (t + 1) * pay[action, standing]
            return total

        found = deviation_gains(jnp.asarray(reactions), jnp.asarray(payoffs), discount)
        for player, standing in itertools.product((0, 1), range(m)):
            other, usual = reactions[1 - player], reactions[player]
            best = max(value(player, own, other, standing) for own in itertools.product(range(m), repeat=m))
            wanted = best - value(player, usual, other, standing)
            np.testing.assert_allclose(found[player, standing], wanted, atol=1e-5)


def test_a_price_war_in_rounds(market):
    """Two firms that undercut one another: twelve periods from 5 down to 0 and up again, and their mean profits."""
    _, _, payoffs = market
    reactions = jnp.array([UNDERCUT, UNDERCUT])
    path = np.asarray(price_path(reactions, jnp.array([5, 6]), 1, 12))
    assert path[:7].tolist() == [[5, 4], [3, 4], [3, 2], [1, 2], [1, 0], [5, 0], [5, 4]]
    walked = np.asarray(payoffs)[:, path[6:, 0], path[6:, 1]].mean(1)
    cycle = jax.jit(lambda r: limit_cycle(round_policies(r), jnp.int32(5 * 7 + 4), 7))(reactions)
    assert cycle.length == 3
    np.testing.assert_allclose(cycle_mean(cycle, round_payoffs(reactions, payoffs)), walked, rtol=1e-5)


def test_policy_plays_in_the_environment(market):
    env, params, payoffs = market
    learner = sequential_q(payoffs, num_sessions=1)
    obs, _ = env.reset(jax.random.key(1), params)
    reactions = jnp.arange(7, dtype=jnp.int32)[::-1]
    assert learner.policy.act(reactions, (), obs[0], ())[0] == 6 - round(float(obs[0, 0]) * 6)
    check_policy(learner.policy, obs[0], params=reactions, action_space=env.action_space(params))


def test_refusals_of_turns_learned(market):
    payoffs = market[2]
    for word, call in [
        ("payoffs", lambda: sequential_q(jnp.zeros((3, 2, 2, 2)), num_sessions=1)),
        ("steps_per_update", lambda: sequential_q(payoffs, config=SessionConfig(steps_per_update=3), num_sessions=1)),
        ("step_size", lambda: sequential_q(payoffs, 1.5, num_sessions=1)),
        ("num_sessions", lambda: sequential_q(payoffs)),
        ("discount", lambda: deviation_gains(jnp.zeros((2, 7), jnp.int32), payoffs, 1.0)),
    ]:
        with pytest.raises(ValueError, match=word):
            call()


def test_firms_learn_to_earn_more_than_in_the_price_war(market):
    """A tenth of the published time, cooled ten times as fast: already above the competitive equilibrium."""
    env, params, payoffs = market
    learner = sequential_q(payoffs, 0.3, 2.763e-4, num_sessions=32)
    state = run_until_stable(learner, learner.init(jax.random.key(0)), 50, updates_per_call=50)
    assert state.periods.tolist() == [50_000] * 32

    @jax.jit
    @jax.vmap
    def profit(reactions, history):
        cycle = limit_cycle(round_policies(reactions), history % 49, 7)
        return cycle_mean(cycle, round_payoffs(reactions, payoffs)).mean()

    profits = profit(learner.params(state), state.history)
    known = env.benchmarks(params)
    assert profits.mean() - 4 * profits.std() / 32**0.5 > known["edgeworth_cycle_profit"]
    assert (profits <= known["monopoly_profit"] + 1e-6).all()
