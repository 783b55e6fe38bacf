"""HASAC: soft responses in turn settle where theory says, each agent answers what those before it have become."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.gridworlds import Foraging
from jaxmarl.learners import over_seeds
from jaxmarl.learners.hasac import HASACConfig, hasac, hasac_learning
from jaxmarl.learners.value import Transition
from jaxmarl.testing.probes import BoxMarket, Climbing
from jaxmarl.testing.probes.base import Probe

PAYOFFS = np.array([[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]])
LIMITS = {  # temperature: both strategies that exact soft responses in turn lead to, from uniform play
    5.0: ((0.014440, 0.656366, 0.329194), (0.003743, 0.427730, 0.568528)),
    2.0: ((0.000009, 0.894441, 0.105549), (0.0, 0.545674, 0.454326)),
    1.0: ((0.0, 0.995287, 0.004713), (0.0, 0.725463, 0.274537)),
}
SEEDS, UPDATES = 2, 20
SCALE = 0.1  # of rewards, and so of temperatures
CONFIG = HASACConfig(
    hidden=(32,),
    collect=1,
    rounds=100,
    batch=64,
    capacity=4096,
    warmup=1024,
    learning_rate=0.01,
    actor_learning_rate=0.003,
    anneal_steps=UPDATES * 100 * 8 * 2,
    max_grad_norm=100.0,
    target_rate=0.05,
    temperature=SCALE * 1.0,
    reward_scale=SCALE,
)


def quick(function, level=1):
    """Compiled with less effort: these programs are run a few times only."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": level})


@pytest.fixture(scope="module")
def climbing():
    """Lanes of temperatures and seeds: `(learning, parameters after one update, and at the end)`."""
    learning = hasac_learning(VectorEnv(Climbing(), 8), CONFIG)
    init = quick(learning.init, 0)
    lanes = [init(jax.random.key(seed)) for seed in range(SEEDS)] * (len(LIMITS) + 1)
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    weights = np.log(SCALE * np.repeat([*LIMITS, 1000.0], SEEDS))[:, None] * np.ones(2)
    state = replace(state, params={**state.params, "log_temperature": jnp.asarray(weights, jnp.float32)})
    update = quick(jax.vmap(learning.update))
    history = []
    for _ in range(UPDATES):
        state, _ = update(state)
        history.append(state.params)
    return learning, history[0], history[-1]


def played(learning, params):
    """Policies `[N, A]` and payoffs by both critics `[2, A, A]` of one lane."""
    seen = MaskedObs(jnp.ones((2, 1)), jnp.ones((2, 3), bool))
    policies = jax.nn.softmax(learning.network.outputs(params["actors"], seen))
    one, two = jnp.meshgrid(jnp.arange(3), jnp.arange(3), indexing="ij")
    joint = jax.nn.one_hot(jnp.stack([one, two], -1), 3)
    return policies, learning.network.values(params["critics"], jnp.ones((3, 3, 2)), joint) / SCALE


@pytest.fixture(scope="module")
def results(climbing):
    learning, _, last = climbing
    policies, critics = quick(jax.vmap(lambda p: played(learning, p)), 0)(last)
    lanes = (len(LIMITS) + 1, SEEDS)
    return tuple(np.asarray(x, np.float64).reshape(*lanes, *x.shape[1:]) for x in (policies, critics))


def soft(values, temperature):
    odds = np.exp((values - values.max()) / temperature)
    return odds / odds.sum()


def slope(strategy, temperature):
    """Derivative of a soft response by the values of its actions."""
    return (np.diag(strategy) - np.outer(strategy, strategy)) / temperature


def batch_error(strategy, payoffs, other, temperature):
    """Standard error of a soft response to a batch of the other's actions, largest over actions."""
    moved = slope(strategy, temperature) @ payoffs
    return np.sqrt((moved**2 @ other - (moved @ other) ** 2) / CONFIG.batch).max()


@pytest.mark.parametrize("k", range(len(LIMITS)), ids=[*map(str, LIMITS)])
def test_teams_settle_at_the_limits_of_soft_responses(results, k):
    """How far from the limit follows from how far from soft responses to each other, and how wrong critics are.

    A soft response moves by half the error of its values over T at most; both strategies are then within the norm of
    (I - J)^-1 times the residual, J the derivative of both responses at the limit. As the steps of actors shrink to
    nothing, the residual is to be below the standard error of what the others' actions in one batch say.
    """
    temperature, (x, y) = list(LIMITS.items())[k]
    x, y = np.array(x), np.array(y)
    zero = np.zeros((3, 3))
    joint = np.block([[zero, slope(x, temperature) @ PAYOFFS], [slope(y, temperature) @ PAYOFFS.T, zero]])
    growth = np.abs(np.linalg.inv(np.eye(6) - joint)).sum(1).max()
    noise = max(batch_error(x, PAYOFFS, y, temperature), batch_error(y, PAYOFFS.T, x, temperature))
    policies, critics = results
    for (p, q), judged in zip(policies[k], critics[k], strict=True):
        error = np.abs(judged - PAYOFFS).max()
        residual = max(
            np.abs(p - soft(PAYOFFS @ q, temperature)).max(), np.abs(q - soft(PAYOFFS.T @ p, temperature)).max()
        )
        assert error < 0.2, error  # of a range of 41
        assert residual < noise, (residual, noise)
        off = max(np.abs(p - x).max(), np.abs(q - y).max())
        # a tenth more for what is not linear
        assert off < 1.1 * growth * (residual + error / (2 * temperature)) + 1e-4, (off, growth, residual, error)


def test_a_high_temperature_makes_play_uniform(results):
    """Odds within payoffs' range of 41, halved by averages over the other, over T = 1000."""
    policies, _ = results
    assert np.abs(policies[-1] - 1 / 3).max() < 41 / 1000


@pytest.mark.slow
def test_lanes_are_separate_runs(climbing):
    learning, first, _ = climbing
    lane = 2 * SEEDS + 1  # of the temperature that is also the setting
    alone, _ = quick(lambda key: learning.update(learning.init(key)), 0)(jax.random.key(1))
    for one, many in zip(jax.tree.leaves(alone.params), jax.tree.leaves(first), strict=True):
        np.testing.assert_allclose(one, many[lane], atol=1e-3)


@dataclass(frozen=True)
class Three(Probe):
    """Three agents with three actions who see two numbers."""

    num_agents = 3
    horizon = 1

    def observation_space(self, params):
        return Box(-1.0, 1.0, (2,))

    def action_space(self, params):
        return Discrete(3)

    def transition(self, state, action, chance, params):
        return state, jnp.zeros(3), jnp.ones((), bool), {}

    def observe(self, state, params):
        return jnp.ones((3, 2), jnp.float32)


@pytest.fixture(scope="module")
def trio():
    """One sequence of steps of three agents: `(step(actors, critics, seen, chance, order), its arguments)`."""
    rule = {"actor_learning_rate": 20.0, "adam_epsilon": 1.0}  # steps that grow with the gradient
    config = HASACConfig(hidden=(8,), collect=1, batch=16, temperature=0.2, **rule)
    learning = hasac_learning(VectorEnv(Three(), 2), config)
    rng = np.random.default_rng(1)
    obs, chance = (rng.uniform(0, 1, shape).astype(np.float32) for shape in ((16, 3, 2), (16, 3)))
    shapes = jax.eval_shape(learning.network.init, jax.random.key(0), jnp.asarray(obs))
    params = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)
    states = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(learning.first_opt_state, shapes)[0])
    mask = np.ones((16, 3, 3), bool)
    mask[:8, 1, 2] = False
    weights = jnp.full(3, jnp.log(0.2))

    def step(actors, critics, seen, chance, order):
        rest = {"critics": critics, "log_temperature": weights}
        found = learning.improve_actors(actors, states, actors, rest, seen, jnp.ones(16), order, chance)
        return jax.tree.map(lambda x: x.reshape(3, -1), jax.tree.leaves(found[0]))

    return quick(step, 0), (params["actors"], params["critics"], MaskedObs(obs, mask), chance)


def agent(leaves, i):
    return np.concatenate([np.asarray(x).reshape(3, -1)[i] for x in leaves])


def test_exchanging_agents_exchanges_what_they_learn(trio):
    step, (actors, critics, seen, chance) = trio
    swap, order = np.array([2, 0, 1]), np.array([1, 0, 2])
    plain = step(actors, critics, seen, chance, order)
    rows = np.concatenate([(swap[:, None] * 2 + np.arange(2)).ravel(), 6 + (swap[:, None] * 3 + np.arange(3)).ravel()])
    kernel = critics["params"]["encoder"]["Dense_0"]["kernel"]
    exchanged = jax.tree.map(lambda x: x[:, rows] if x is kernel else x, critics)
    mine, view, words = jax.tree.map(lambda x: x[swap], actors), jax.tree.map(lambda x: x[:, swap], seen), chance
    other = step(mine, exchanged, view, words[:, swap], np.argsort(swap)[order])
    for i, j in enumerate(swap):
        np.testing.assert_allclose(agent(other, i), agent(plain, j), atol=1e-5)


def test_agents_answer_those_before_them(trio):
    step, (actors, critics, seen, chance) = trio

    def after(order, actors=actors):
        return step(actors, critics, seen, chance, np.array(order))

    forward = after((0, 1, 2))
    np.testing.assert_array_equal(agent(after((0, 2, 1)), 0), agent(forward, 0), "the first answers nobody")
    assert np.abs(agent(after((1, 0, 2)), 1) - agent(forward, 1)).max() > 1e-3, "the second does"
    # as if the first had been like that from the start
    leaves, tree = jax.tree.flatten(actors)
    already = [np.concatenate([new[:1].reshape(1, *old.shape[1:]), old[1:]]) for new, old in zip(forward, leaves)]  # noqa: B905
    again = after((1, 0, 2), jax.tree.unflatten(tree, already))
    np.testing.assert_allclose(agent(again, 1), agent(forward, 1), atol=1e-6)


def test_critics_regress_on_reward_and_soft_worth_of_what_follows(climbing):
    """Half the square of the error of either critic; target: r + discount (least Q + T times the entropies)."""
    learning, first, _ = climbing
    full, obs, number = np.ones((1, 2, 3), bool), np.ones((1, 2, 1), np.float32), np.full((1, 2), 0.25, np.float32)
    limited = full.copy()
    limited[0, 0, 1:] = False  # the first agent will have no choice
    after = MaskedObs(obs, limited)
    reward, action = np.array([[1.0, 3.0]], np.float32), np.array([[2, 0]])
    batch = Transition(MaskedObs(obs, full), action, reward, number, number, after)

    def everything(params, key):
        team, rest = learning.network, {name: leaf for name, leaf in params.items() if name != "actors"}
        loss = learning.losses(rest, params, batch, key)
        policies = jax.nn.softmax(team.outputs(params["actors"], after)[0])
        return loss, policies, played(learning, params)[1], draw(repeat(team.actions.chance, 1, 2), key)

    params = jax.tree.map(lambda x: np.asarray(x[0]), first)
    loss, policies, critics, words = map(np.asarray, quick(everything, 0)(params, jax.random.key(5)))
    np.testing.assert_allclose(policies[0], [1, 0, 0])
    follows = int(np.sum(np.cumsum(policies[1]) <= words[0, 1]))
    entropy = -np.sum(policies[1] * np.log(policies[1]))
    worth = SCALE * critics[:, 0, follows].min() + np.exp(params["log_temperature"][0]) * entropy
    target = 2.0 + 0.25 * worth
    np.testing.assert_allclose(loss, [[0.5 * np.sum((SCALE * critics[:, 2, 0] - target) ** 2)]], rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"drift_weight": -1.0}, "drift_weight must be non-negative"),
        ({"actor_learning_rate": 0.0}, "actor_learning_rate must be positive"),
        ({"reward": "own"}, "reward must be one of mean, sum"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        HASACConfig(**settings)


def test_wrong_shares_of_entropy_are_refused():
    with pytest.raises(ValueError, match="entropy must be in"):
        hasac(VectorEnv(Climbing(), 2), HASACConfig(collect=1, entropy=1.5))


@pytest.mark.slow
def test_temperatures_bring_entropies_to_their_aim():
    config = replace(CONFIG, entropy=0.6, rounds=2000)
    learning = hasac_learning(VectorEnv(Climbing(), 8), config)
    state, metrics = quick(lambda key: learning.update(learning.init(key)))(jax.random.key(0))
    policies, _ = played(learning, state.params)
    entropy = -jnp.sum(policies * jnp.log(policies + 1e-20), -1)
    np.testing.assert_allclose(entropy, 0.6 * np.log(3), atol=0.05)
    assert float(metrics["temperature"]) > 0


@pytest.mark.slow
def test_drift_keeps_policies_near_the_old_ones():
    """At the old policy drift has no slope, so that the first step is the same; later ones are held back."""
    policies = []
    for weight in (0.0, 100.0):
        config = replace(CONFIG, drift_weight=weight, rounds=200, target_rate=1e-6)
        learning = hasac_learning(VectorEnv(Climbing(), 8), config)
        state, _ = quick(lambda key, learning=learning: learning.update(learning.init(key)))(jax.random.key(0))
        policies.append(np.asarray(played(learning, state.params)[0]))
    free, held = (np.abs(x - 1 / 3).max() for x in policies)
    assert free > 0.3
    assert held < 0.05


@pytest.mark.slow
def test_boxes_are_filled_by_draws():
    """Two agents pay the squared distance of an action to 0.5, observing noise."""
    config = HASACConfig(hidden=(32,), collect=4, rounds=1000, gradient_steps=2, batch=128, warmup=500, discount=0.9,
                         learning_rate=3e-3, actor_learning_rate=1e-3, temperature=1e-3, target_rate=0.02)  # fmt: skip
    learning = hasac_learning(VectorEnv(BoxMarket(), 16), config)
    state, _ = quick(lambda key: learning.update(learning.init(key)))(jax.random.key(0))
    seen = MaskedObs(jax.random.normal(jax.random.key(1), (64, 2, 1)), jnp.ones((64, 2, 1), bool))
    found = learning.network.actions.mode(learning.network.outputs(state.params["actors"], seen))
    assert float(jnp.mean((found - 0.5) ** 2)) < 0.025  # at the start: 0.25


@pytest.mark.slow
def test_five_teams_forage_together(capsys):
    """Two foods on a field of 5 x 5, each of which takes both agents: all of it is worth 1/2 each."""
    env = VectorEnv(Foraging(2, 1, 5, coop=True, num_steps=20), 16)
    config = HASACConfig(hidden=(64, 64), collect=4, rounds=256, gradient_steps=2, batch=128, capacity=50_000,
                         warmup=2000, n_step=3, discount=0.95, learning_rate=1e-3, actor_learning_rate=5e-4,
                         temperature=0.02, entropy=0.2, target_rate=0.01)  # fmt: skip
    runs = over_seeds(hasac(env, config), 5)
    _, metrics = quick(lambda key: jax.lax.scan(lambda s, _: runs.update(s), runs.init(key), length=16))(
        jax.random.key(3)
    )
    returns = np.asarray(metrics["episode_return"])
    last = returns[-1]
    with capsys.disabled():
        print(f"\nHASAC, foraging, mean return an agent by sixteenths:\n{returns.round(3)}")
        print(f"last: mean {last.mean():.3f}, spread {last.std(ddof=1):.3f}, least {last.min():.3f}")
    assert (returns[0] < 0.15).all()
    assert (last > 0.4).all()
