"""Deal or no deal: the known problem, the generator's law, turns, and scripted bargainers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.negotiation import (
    BargainingState,
    DealOrNoDeal,
    bundles,
    division_problems,
    mean_maxima,
    pareto_frontier,
    solve_division,
    split_payoffs,
)

COUNTS, VALUES = np.array([3, 2, 1]), np.array([[1.0, 3, 1], [2, 1, 2]])
ACCEPT = 125


def test_the_known_problem():
    found = solve_division(COUNTS, VALUES)
    payoffs = split_payoffs(COUNTS, VALUES)
    assert np.sum(~np.isnan(payoffs[:, 0])) == 24
    assert found.max_joint == 14
    np.testing.assert_array_equal(found.nash_split, [0, 2, 0])
    np.testing.assert_array_equal(found.nash_payoffs, [6, 8])
    np.testing.assert_array_equal(found.frontier, [[0, 10], [3, 9], [6, 8], [7, 6], [8, 4], [9, 2], [10, 0]])


def test_problems_are_those_described_and_no_others():
    table = division_problems()
    counts = np.repeat(table.counts, table.sizes, axis=0)
    assert len(table.counts) == 28
    assert len(table.values) == table.sizes.sum() == 5295
    assert set(counts.sum(axis=1)) == {5, 6, 7}
    np.testing.assert_array_equal((table.values * counts[:, None]).sum(axis=2), 10)
    assert (table.values.sum(axis=1) > 0).all()
    assert (table.values > 0).all(axis=1).any(axis=1).all()
    assert len(np.unique(np.concatenate([counts, table.values.reshape(-1, 6)], axis=1), axis=0)) == 5295


@pytest.fixture(scope="module")
def started():
    """Many random problems."""
    env, params = make("deal_or_no_deal")
    states = jax.vmap(env.initial, (0, None))(jax.random.uniform(jax.random.key(0), (4000, 2)), params)
    return jax.device_get(states.types)


def test_random_problems_have_their_law(started):
    """Counts uniform; mean largest sum 15.178 and product 56.72 exactly, of which a sample of 1000 problems of others
    (15.222 ± 0.041, 57.1) is within two standard errors."""
    joint, nash = mean_maxima()
    assert joint == pytest.approx(15.177947, abs=1e-6)
    assert nash == pytest.approx(56.720110, abs=1e-6)
    assert abs(joint - 15.222) < 2 * 0.041
    assert abs(nash - 57.1) < 0.5
    counts, values = started.counts, started.values
    np.testing.assert_array_equal((values * counts[:, None]).sum(axis=2), 10)
    rows = np.argmax((counts[:, None] == division_problems().counts).all(axis=2), axis=1)
    seen = np.bincount(rows, minlength=28)
    assert np.sum((seen - 4000 / 28) ** 2) / (4000 / 28) < 27 + 4 * (2 * 27) ** 0.5
    taken = bundles()
    first = np.einsum("bk,ak->ba", values[:, 0], taken)
    second = np.einsum("bk,bak->ba", values[:, 1], counts[:, None] - taken)
    real = (taken <= counts[:, None]).all(axis=2)
    for scores, mean in ((first + second, joint), (first * second, nash)):
        best = np.where(real, scores, -np.inf).max(axis=1)
        assert abs(best.mean() - mean) < 4 * best.std() / 4000**0.5


@pytest.fixture(scope="module")
def table():
    """The known problem, and its jitted step."""
    env, params = make("deal_or_no_deal", random_problems=False)
    return env, params.replace(discounts=jnp.array([0.5, 0.9])), jax.jit(env.transition), jax.jit(env.observe)


def test_turns_offers_and_pay(table):
    env, params, step, observe = table
    state = env.initial((), params)
    mask = np.asarray(env.action_mask(state, params))
    np.testing.assert_array_equal(mask.sum(axis=1), [24, 1])
    state, reward, over, _ = step(state, jnp.array([25 * 3 + 1, 7]), (), params)  # side 0 keeps (3, 0, 1)
    np.testing.assert_array_equal(reward, 0)
    assert not over
    obs = np.asarray(observe(state, params))
    np.testing.assert_allclose(obs[:, 6:9] * 4, [[3, 0, 1], [0, 2, 0]])
    np.testing.assert_allclose(obs[:, 9:11], [[0, 1 / 9], [1, 1 / 9]], atol=1e-6)
    np.testing.assert_allclose(obs[:, 11:14], obs[:, 6:9])
    assert (obs[:, 14:] == -1).all()
    np.testing.assert_array_equal(env.action_mask(state, params).sum(axis=1), [1, 25])
    state, _, over, _ = step(state, jnp.array([0, 25 * 3 + 1]), (), params)  # side 1 keeps the same: 0 has (0, 2, 0)
    assert not over
    state, reward, over, info = step(state, jnp.array([ACCEPT, 0]), (), params)
    assert bool(over)
    np.testing.assert_allclose(reward, [6 * 0.5, 8 * 0.9])
    assert {name: float(value) for name, value in info.items()} == {
        "agreement": 1, "rejected": 1, "joint": 14, "nash_product": 48, "pareto": 1,
    }  # fmt: skip


def test_pareto_efficiency_of_every_split(table):
    env, params, *_ = table
    splits = np.flatnonzero((bundles() <= COUNTS).all(axis=1))
    types = env.initial((), params).types
    info = jax.jit(jax.vmap(lambda split: env.measures(types, split, jnp.asarray(True))))(jnp.asarray(splits))
    np.testing.assert_array_equal(info["pareto"], pareto_frontier(split_payoffs(COUNTS, VALUES)[splits]))


def test_no_agreement_pays_nothing(table):
    env, params, step, _ = table
    state = env.initial((), params)
    for turn in range(10):
        state, reward, over, info = step(state, jnp.array([93, 93]), (), params)
        np.testing.assert_array_equal(reward, 0)
        assert bool(over) == (turn == 9)
    assert not info["agreement"]
    assert int(info["rejected"]) == 9


def test_known_answers_of_the_problem(table):
    """Undiscounted, the last to offer (side 0, of nine offers) takes everything; of eight it is side 1."""
    env, params, *_ = table
    plain = params.replace(discounts=jnp.ones(2))
    np.testing.assert_array_equal(env.benchmarks(plain)["subgame_perfect"], [10, 0])
    np.testing.assert_array_equal(
        DealOrNoDeal(num_offers=8, random_problems=False).benchmarks(plain)["subgame_perfect"], [0, 10]
    )
    known = env.benchmarks(params)
    assert known["max_joint"] == 14
    assert known["subgame_perfect"].tolist() in known["frontier"].tolist()


@pytest.fixture(scope="module")
def played(started):
    """Episodes of 200 random problems between scripted bargainers, by who plays."""
    accepted = _played(started, "acceptance", [("boulware", "conceder"), ("fair", "fair")])
    return accepted | _played(started, "selection", [("linear", "boulware")])


def _played(started, closing, pairs):
    env, params = make("deal_or_no_deal", closing=closing)
    known = env.benchmarks(params)
    problems = jax.tree.map(lambda x: jnp.asarray(x[:200]), started)

    def episode(problem, policies):
        def turn(carry, _):
            state, memories, total, agreed, over, pareto = carry
            obs = env.observe(state, params)
            moves = [p.act((), m, o, ()) for p, m, o in zip(policies, memories, obs, strict=True)]
            action = jnp.stack([move[0] for move in moves])
            legal = env.action_mask(state, params)[jnp.arange(2), action].all()
            state, reward, ends, info = env.transition(state, action, (), params)
            total, agreed = total + jnp.where(over, 0, reward), agreed | (info["agreement"] & ~over)
            pareto = pareto | (info["pareto"] & ~over)
            return (state, [move[1] for move in moves], total, agreed, over | ends, pareto), legal | over

        state = BargainingState(jnp.int32(0), jnp.full(9, -1, jnp.int32), problem)
        off = jnp.zeros((), bool)
        start = (state, [p.init(()) for p in policies], jnp.zeros(2), off, off, off)
        (_, _, total, agreed, over, pareto), legal = jax.lax.scan(turn, start, length=10)
        return total, agreed, over, pareto, legal.all()

    def run(*names):
        policies = [known[name] for name in names]
        return jax.device_get(jax.jit(jax.vmap(lambda problem: episode(problem, policies)))(problems))

    return {pair: run(*pair) for pair in pairs}


def test_scripted_bargainers_play_by_the_rules_and_agree(played):
    for total, agreed, over, pareto, legal in played.values():
        assert over.all()
        assert legal.all()
        assert (total[~agreed] == 0).all()
        assert not pareto[~agreed].any()
    assert played["linear", "boulware"][1].all()  # each takes its part of the last offer
    total, agreed, *_ = played["fair", "fair"]
    assert (total[agreed] >= 5).all()


def test_conceding_late_pays(played):
    total = played["boulware", "conceder"][0]
    assert total[:, 0].mean() > total[:, 1].mean() + 1


def test_selections_must_add_up():
    env, params = make("deal_or_no_deal", closing="selection", random_problems=False, num_offers=1)
    state = env.initial((), params)
    state = env.transition(state, jnp.array([0, 0]), (), params)[0]
    np.testing.assert_array_equal(env.action_mask(state, params).sum(axis=1), [24, 24])
    for action, paid in (([10, 76], [6, 8]), ([10, 75], [0, 0]), ([35, 76], [0, 0])):
        _, reward, over, info = env.transition(state, jnp.array(action), (), params)
        np.testing.assert_array_equal(reward, paid)
        assert bool(over)
        assert bool(info["agreement"]) == (paid[0] > 0)


def test_what_is_wrong_is_named():
    env, params = make("deal_or_no_deal")
    with pytest.raises(ValueError, match="closing must be one of"):
        DealOrNoDeal(closing="shouting")
    with pytest.raises(ValueError, match="counts must be"):
        env.validate(params.replace(counts=jnp.array([5, 0, 1])))
    with pytest.raises(ValueError, match="floor must be"):
        env.conceder(1.0, 2.0)
