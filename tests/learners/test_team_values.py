"""Values of teams: mixers, targets and sequences by their identities, and the games that tell VDN from QMIX."""

import itertools
from functools import cache

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.dilemmas import TwoStepGame
from jaxmarl.learners import over_seeds
from jaxmarl.learners.team import (
    Communication,
    MonotonicMixer,
    SumMixer,
    TeamConfig,
    TeamNetwork,
    bootstrapped,
    group_policy,
    iql_config,
    member_policy,
    pqn_vdn,
    qmix_config,
    team_network,
    team_q,
    vdn_config,
)
from jaxmarl.learners.team.parallel import ParallelTeamQ, _Memoryless
from jaxmarl.learners.team.targets import TeamStep, evaluate
from jaxmarl.learners.value import PQNConfig
from jaxmarl.testing.probes import Climbing, MaskedChoice, Recall, SpeakerListener

SETTINGS = {
    "hidden": (32,),
    "collect": 1,
    "gradient_steps": 4,
    "rounds": 250,
    "batch": 32,
    "capacity": 2000,
    "warmup": 200,
    "learning_rate": 5e-3,
    "anneal_steps": 4000,
    "target_every": 20,
    "epsilon_end": 1.0,
    "double": False,
    "reward": "mean",
    "embed": 8,
    "hypernet": 16,
}

QUICK = {"xla_backend_optimization_level": 0}  # compiling takes longer than running


@cache
def trained(env, num_seeds=5, **settings):
    """A learner and its state after one update, for several seeds at once."""
    learner = team_q(VectorEnv(env, 8), TeamConfig(**{**SETTINGS, **settings}))
    runs = over_seeds(learner, num_seeds)
    state, _ = jax.jit(lambda key: runs.update(runs.init(key)), compiler_options=QUICK)(jax.random.key(0))
    return learner, state


def greedy_return(env, learner, params):
    """What the greedy team is paid in an episode without chance."""
    numbers, paid, memory = env.default_params, 0.0, learner.policy.init(())
    state = env.initial((), numbers)
    for _ in range(env.horizon):
        seen = MaskedObs(env.observe(state, numbers), env.action_mask(state, numbers))
        action, memory = learner.policy.act(params, memory, seen, ())
        state, reward, _, _ = env.transition(state, action, (), numbers)
        paid += reward[0]
    return paid


def greedy_returns(env, mixer):
    learner, state = trained(env, mixer=mixer)
    return np.asarray(jax.jit(jax.vmap(lambda params: greedy_return(env, learner, params)))(state.params))


def test_sums_settle_for_7_and_monotonic_mixers_find_8():
    np.testing.assert_array_equal(greedy_returns(TwoStepGame(), "sum"), 7)
    np.testing.assert_array_equal(greedy_returns(TwoStepGame(), "monotonic"), 8)


def monotone_fits():
    """Least mean square errors of all payoffs of the climbing game, by the payoff of the greedy joint action.

    For every order of both agents' actions, values that rise in both are non-negative sums of up-sets' indicators.
    """
    payoffs = np.asarray(Climbing().default_params.payoffs, float).reshape(3, 3)
    steps = [t for t in itertools.product(range(4), repeat=3) if t[0] >= t[1] >= t[2] and t != (3, 3, 3)]
    indicators = np.array([[column >= t[row] for row in range(3) for column in range(3)] for t in steps], float).T
    bounds = np.where(indicators.all(axis=0), -np.inf, 0.0), np.inf
    fits: dict[float, float] = {}
    for rows, columns in itertools.product(itertools.permutations(range(3)), repeat=2):
        error = 2 / 9 * lsq_linear(indicators, payoffs[np.ix_(rows, columns)].ravel(), bounds).cost
        greedy = payoffs[rows[-1], columns[-1]]
        fits[greedy] = min(error, fits.get(greedy, np.inf))
    return fits


def test_monotone_values_fit_the_climbing_game_best_without_its_top():
    fits = monotone_fits()
    found = [fits[payoff] for payoff in (5.0, 6.0, 0.0, 7.0, 11.0)]
    np.testing.assert_allclose(found, [110.8241, 115.6889, 117.9852, 161.4778, 162.2074], atol=1e-3)


@pytest.mark.slow
def test_sums_and_monotonic_mixers_miss_the_top_of_the_climbing_game():
    """Sums have one best fit; of monotonic ones, 11 is a poor local optimum that a seed may fall into."""
    np.testing.assert_array_equal(greedy_returns(Climbing(), "sum"), 5)
    found = greedy_returns(Climbing(), "monotonic")
    assert np.sum(found == 11) <= 1, found


def test_mixers_rise_in_every_value_and_are_sums_with_unit_weights():
    mixer = MonotonicMixer(embed=4, hypernet=8)
    draws = np.random.default_rng(0)
    values, state = (scale * draws.normal(size=(500, size)).astype(np.float32) for scale, size in ((5, 3), (1, 6)))
    params = jax.jit(mixer.init)(jax.random.key(0), values, state)

    @jax.jit
    def mixed(params):
        value, slope_of = jax.vjp(lambda q: mixer.apply(params, q, state), values)
        return value, slope_of(jnp.ones((500, 1)))[0]

    slopes = mixed(params)[1]
    assert float(slopes.min()) >= 0
    assert float(slopes.max()) > 0.01
    # W = 1, w2 = 1 / embed, no biases: elu leaves what is positive
    flat = flax.traverse_util.flatten_dict(jax.tree.map(np.zeros_like, params))
    flat["params", "first", "bias"] += 1
    flat["params", "second", "bias"] += 1 / 4
    found, _ = mixed(flax.traverse_util.unflatten_dict(flat))
    summed = values.sum(-1, keepdims=True)
    np.testing.assert_allclose(SumMixer().apply({}, values, state), summed, rtol=1e-5)
    np.testing.assert_allclose(found, jax.nn.elu(summed), rtol=2e-5, atol=1e-6)


def test_lambda_targets():
    reward, ends = np.array([1.0, 0, -1, 2, 0.5]), np.array([False, False, True, False, False])
    following = np.array([0.6, -0.2, 0.9, 0.1, 0.8])

    def targets(trace):
        columns = (jnp.asarray(x, jnp.float32)[:, None] for x in (reward, following))
        flags = jnp.asarray(ends)
        return np.asarray(bootstrapped(*columns, flags, flags, 0.99, trace))[:, 0]

    np.testing.assert_allclose(targets(0.65), [0.749213, -0.712800, -1, 2.866052, 1.292], atol=2e-6)
    np.testing.assert_allclose(targets(0.0), reward + 0.99 * np.where(ends, 0, following), atol=1e-6)
    last = 0.5 + 0.99 * 0.8
    np.testing.assert_allclose(targets(1.0), [1 - 0.99**2, -0.99, -1, 2 + 0.99 * last, last], atol=2e-6)


def test_pqn_of_a_team_regresses_the_sum_on_the_sum_of_the_best():
    env, config = VectorEnv(Pair(num_cues=3), 6), PQNConfig(hidden=(8,), collect=4, minibatches=2, trace=0.4)
    network = _Memoryless(team_network(env, vdn_config(hidden=(8,))))
    learning = ParallelTeamQ(env, config, env.default_params, network, "mean")
    team = TeamNetwork(network.team.agents, None, network.team.state_of, 2)
    steps = random_steps(team, 4, 6, 3, [1])
    steps = steps.replace(next=steps.next._replace(mask=steps.next.mask.at[..., 0].set(False)))

    @jax.jit
    def found(key):
        params = network.init(key, steps.obs[0])
        best = jnp.max(network.apply(params, steps.next.obs)[..., 1:], -1).sum(-1)
        values = jnp.take_along_axis(network.apply(params, steps.obs), steps.action[..., None], -1)[..., 0].sum(-1)
        rows = (steps.obs[0], steps.action[0], jnp.zeros((6, 1)))
        return best, values, learning._targets(params, steps)[..., 0], learning._loss(params, rows)

    best, values, targets, loss = (np.asarray(x) for x in found(jax.random.key(0)))
    reward, last = np.asarray(steps.reward).mean(-1), targets[3]
    np.testing.assert_allclose(last, reward[3] + 0.99 * best[3], rtol=1e-5)
    np.testing.assert_allclose(targets[2], reward[2] + 0.99 * (0.4 * last + 0.6 * best[2]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets[1], reward[1], rtol=1e-5, atol=1e-5)  # the game ended
    np.testing.assert_allclose(loss, np.mean(values[0] ** 2) / 2, rtol=1e-5)


@pytest.mark.slow
def test_pqn_of_a_team_settles_for_7_as_sums_do():
    env = TwoStepGame()
    config = PQNConfig(hidden=(32,), collect=2, minibatches=4, learning_rate=5e-3, epsilon_end=1.0, anneal_steps=40_000)
    learner = pqn_vdn(VectorEnv(env, 32), config, reward="mean")
    runs = over_seeds(learner, 5)
    train = jax.jit(lambda key: jax.lax.scan(lambda s, _: runs.update(s), runs.init(key), length=300)[0])
    state = train(jax.random.key(0))
    found = jax.jit(jax.vmap(lambda params: greedy_return(env, learner, params)))(state.params)
    np.testing.assert_array_equal(found, 7)


class Pair(Recall):
    """`Recall` with two agents, of whom only shapes matter."""

    num_agents = 2

    def observe(self, state, params):
        return jnp.repeat(super().observe(state, params), 2, 0)


def random_steps(network, length, batch, num_actions, ends):
    """Steps `[L, batch, 2]` of random numbers; every row ends episodes after the steps in `ends`."""
    keys = jax.random.split(jax.random.key(1), 4)
    shape = length, batch, network.num_agents
    size = network.agents.obs_shape
    done = jnp.broadcast_to(jnp.isin(jnp.arange(length), jnp.array(ends))[:, None], shape[:2])
    mask = jnp.ones((*shape, num_actions), bool)
    return TeamStep(
        obs=jax.random.normal(keys[0], (*shape, *size)),
        action=jax.random.randint(keys[1], shape, 0, num_actions),
        reward=jax.random.normal(keys[2], shape),
        next=MaskedObs(jax.random.normal(keys[3], (*shape, *size)), mask),
        terminated=done,
        done=done,
        mask=mask,
        start=jnp.concatenate([jnp.ones((1, batch), bool), done[:-1]]),
        memory=jax.tree.map(
            lambda x: jnp.broadcast_to(x, (length, *x.shape)), network.agents.initial_memory((batch, shape[2]))
        ),
    )


def test_a_sequence_of_two_episodes_is_two_sequences():
    config = qmix_config(hidden=(8,), embed=4, hypernet=8, recurrent=True, sequence=5, trace=0.5)
    network = team_network(VectorEnv(Pair(num_cues=3), 2), config)
    steps = random_steps(network, 5, 3, 3, [2, 4])
    params, old = (jax.jit(network.init)(jax.random.key(i), steps.obs[0]) for i in range(2))
    value = jax.jit(lambda s: evaluate(network, config, params, old, s))
    whole = value(steps)
    first, second = (value(jax.tree.map(lambda x, part=part: x[part], steps)) for part in (slice(3), slice(3, 5)))
    for together, one, two in zip(whole, first, second, strict=True):
        np.testing.assert_allclose(together, np.concatenate([one, two]), atol=1e-5)
    dirty = steps.replace(memory=steps.memory + 1)  # forgotten, as the first step starts an episode
    np.testing.assert_allclose(value(dirty).target, whole.target, atol=1e-6)
    carried = dirty.replace(start=steps.start.at[0].set(False))
    assert float(jnp.abs(value(carried).target - whole.target).max()) > 1e-3


def test_members_play_as_the_group_does():
    env = MaskedChoice()
    network = team_network(VectorEnv(env, 2), iql_config(hidden=(16,)))
    group = group_policy(network, "group")

    @jax.jit
    def actions(key):
        params = network.init(key, jnp.zeros((1, 2, 1)))
        now = env.initial(jnp.int32(1), ())
        seen = MaskedObs(env.observe(now, ()), env.action_mask(now, ()))
        each = [jax.tree.map(lambda x, i=i: x[i], seen) for i in range(2)]
        alone = [member_policy(network, i).act(params, (), one, ())[0] for i, one in enumerate(each)]
        return group.act(params, (), seen, ())[0], jnp.stack(alone)

    together, alone = actions(jax.random.key(0))
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together % 2, [1, 0])  # legal
    talking = team_network(VectorEnv(SpeakerListener(), 2), vdn_config(communication=TALK))
    with pytest.raises(ValueError, match="talk"):
        member_policy(talking, 0)


@pytest.mark.slow
def test_independent_learners_respect_masks():
    env = MaskedChoice()
    learner, state = trained(env, 1, mixer="none", reward="own", rounds=60)
    params = jax.tree.map(lambda x: x[0], state.params)
    for parity in range(2):
        now = env.initial(jnp.int32(parity), ())
        seen = MaskedObs(env.observe(now, ()), env.action_mask(now, ()))
        action, _ = learner.policy.act(params, (), seen, ())
        np.testing.assert_array_equal(action, [2 + parity, 3 - parity])  # the best of the legal ones


@pytest.mark.slow
def test_agents_with_memory_remember_a_cue():
    memory = {"recurrent": True, "sequence": 4, "burn_in": 2, "collect": 4, "epsilon_end": 0.2, "rounds": 400}
    learner, state = trained(Recall(), 2, mixer="sum", **memory)

    def answers(params, cue):
        env, memory = Recall(), learner.policy.init(())
        now = env.initial(cue, ())
        for _ in range(4):
            action, memory = learner.policy.act(
                params, memory, MaskedObs(env.observe(now, ()), jnp.ones((1, 2), bool)), ()
            )
            now, reward, _, _ = env.transition(now, action, (), ())
        return reward[0]

    found = jax.vmap(lambda p: jax.vmap(lambda cue: answers(p, cue))(jnp.arange(2)))(state.params)
    np.testing.assert_array_equal(found, 1)


TALK = Communication(layers=1, width=16, heads=2, feed_forward=16)


def test_messages_start_silent_and_do_not_know_places():
    quiet = team_network(VectorEnv(SpeakerListener(), 2), vdn_config(hidden=(8,), agent_id=False))
    talking = team_network(
        VectorEnv(SpeakerListener(), 2), vdn_config(hidden=(8,), agent_id=False, communication=TALK, absent_zeros=True)
    )
    obs = jax.random.normal(jax.random.key(0), (3, 2, 5))
    start = jnp.zeros(3, bool)
    params = jax.jit(talking.init)(jax.random.key(1), obs)
    say = jax.jit(lambda params, obs: talking.step(params, (), obs, start)[1])
    silent = {"params": {k: v for k, v in params["agents"]["params"].items() if k != "messages"}}
    said = say(params, obs)
    np.testing.assert_array_equal(said, quiet.step({"agents": silent}, (), obs, start)[1])

    messages = params["agents"]["params"]["messages"]
    messages["message"]["kernel"] = jax.random.normal(jax.random.key(2), messages["message"]["kernel"].shape)
    heard = say(params, obs)
    assert float(jnp.abs(heard - said).max()) > 0.01
    np.testing.assert_allclose(say(params, obs[:, ::-1]), heard[:, ::-1], atol=1e-5)
    absent = obs.at[:, 1].set(0)  # the second has left: as if the first were on its own
    pair, both = say(params, absent), say(params, obs)
    lone = talking.agents.apply(params["agents"], (), obs[None, :, :1], jnp.zeros((1, 3, 1), bool), jnp.eye(1))[1]
    np.testing.assert_allclose(pair[:, 0], lone[0, :, 0], atol=1e-5)
    assert float(jnp.abs(both[:, 0] - pair[:, 0]).max()) > 0.01


@pytest.mark.slow
def test_a_listener_needs_messages():
    """One in four without them, always with them."""

    def share(communication):
        env = SpeakerListener()
        learner, state = trained(env, mixer="sum", communication=communication, rounds=300)

        def reward(params, target):
            now = env.initial(target, ())
            seen = MaskedObs(env.observe(now, ()), jnp.ones((2, 4), bool))
            return env.transition(now, learner.policy.act(params, (), seen, ())[0], (), ())[1][0]

        return np.asarray(jax.vmap(lambda p: jnp.mean(jax.vmap(lambda t: reward(p, t))(jnp.arange(4))))(state.params))

    np.testing.assert_array_equal(share(None), 0.25)
    np.testing.assert_array_equal(share(TALK), 1.0)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"mixer": "average"}, "mixer"),
        ({"mixer": "sum", "reward": "own"}, "reward"),
        ({"burn_in": 2}, "burn_in"),
        ({"n_step": 3}, "n_step"),
        ({"trace": 1.5}, "trace"),
    ],
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        iql_config(**wrong) if "mixer" not in wrong else TeamConfig(**wrong)


def test_a_warm_up_fills_a_sequence():
    with pytest.raises(ValueError, match="warmup"):
        team_q(VectorEnv(TwoStepGame(), 8), qmix_config(warmup=4, collect=1))
