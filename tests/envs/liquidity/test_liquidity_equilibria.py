"""Which equilibria liquidity games have, which has the highest potential, and which is selected in the long run."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import make_game, nash_conv, price_of_anarchy, price_of_stability, pure_equilibria
from jaxmarl.games.liquidity_payoffs import provision_payoffs, provision_potential
from jaxmarl.solvers import all_equilibria, fictitious_play, log_linear_learning, replicator_dynamics


@jax.jit
def long_run(game, temperature):
    return log_linear_learning(game, temperature=temperature).joint


KNOWN_DIRECTION = {"low": (0, -2), "high": (2, 0)}

# name: (parameters, number of equilibria by support enumeration, pure ones as orders)
TABLE = {
    "small banks, free": ({"capacities": (1, 1), "cost": 0.0}, 4, {(-1, 1), (0, 0), (1, -1)}),
    "small banks": ({"capacities": (1, 1)}, 7, {(-1, 1), (0, 0), (1, -1)}),
    "large and small": ({"capacities": (2, 1)}, 7, {(-1, 1), (0, 0), (1, -1)}),
    "large banks": ({}, 24, {(-2, 2), (-1, 1), (0, 0), (1, -1), (2, -2)}),
    "direction known": (KNOWN_DIRECTION, 6, {(0, 0), (1, -1), (2, -2)}),
}

# mixed equilibria worth testing: name, strategies over the orders from the least to the largest, value
A, B, C = (Fraction(x) for x in ("1/4", "3/4", "1/2"))
MIXED = [
    ("small banks, free", (C, 0, C), (C, 0, C), 0.5),
    ("small banks", (C, 0, C), (C, 0, C), 0.25),
    ("small banks", (A, C, A), (A, C, A), 0),
    ("small banks", (A, B, 0), (0, B, A), 0),
    ("large and small", (0, C, 0, C, 0), (0, C, 0, C, 0), 0.25),
    ("large banks", (C, 0, 0, 0, C), (C, 0, 0, 0, C), 0.5),
    ("large banks", (0, C, 0, C, 0), (0, C, 0, C, 0), 0.25),
    ("large banks", (A, B, 0, 0, 0), (0, 0, 0, B, A), 0.75),
    ("direction known", (0, 0, B, 0, A), (A, 0, B, 0, 0), 0),
    ("direction known", (0, 0, B, A, 0), (0, A, B, 0, 0), 0),
    ("direction known", (0, 0, 0, B, A), (A, B, 0, 0, 0), 0.75),
]


@pytest.fixture(scope="module")
def solved():
    games = {name: make_game("liquidity_matrix", **options) for name, (options, _, _) in TABLE.items()}
    return {name: (game, all_equilibria(game)) for name, game in games.items()}


@pytest.mark.parametrize("name", TABLE)
def test_equilibria_of_the_two_player_game(solved, name):
    (game, found), (_, count, pure) = solved[name], TABLE[name]
    assert len(found) == count
    most = game.num_actions[0] // 2
    stable = {(int(i) - most, int(j) - most) for i, j in np.argwhere(np.asarray(pure_equilibria(game)))}
    assert stable == pure
    cost = TABLE[name][0].get("cost", 0.25)
    for a, b in pure:
        np.testing.assert_allclose(game.payoffs[:, a + most, b + most], abs(a) * (1 - cost), atol=1e-6)
    assert all(solution.gap < 1e-9 for solution in found)


@pytest.mark.parametrize(("name", "row", "column", "value"), MIXED)
def test_mixed_equilibria_of_the_two_player_game(solved, name, row, column, value):
    game, found = solved[name]
    wanted = [np.array(x, float) for x in (row, column)]
    assert float(nash_conv(game, tuple(jnp.asarray(x, jnp.float32) for x in wanted))) < 1e-6
    near = [s for s in found if all(np.allclose(a, b) for a, b in zip(s.strategies, wanted, strict=True))]
    assert len(near) == 1
    np.testing.assert_allclose(near[0].payoffs, value, atol=1e-6)


def test_a_large_bank_posts_no_more_than_a_known_small_one_can_take(solved):
    _, found = solved["large and small"]
    assert max(float(s.strategies[0][[0, 4]].max()) for s in found) == 0


@pytest.mark.parametrize("name", ["small banks", "large banks"])
def test_other_libraries_find_no_other_equilibria(solved, name):
    pygambit = pytest.importorskip("pygambit")
    game, found = solved[name]
    row, column = (np.asarray(x, float) for x in game.payoffs)
    exact = pygambit.Game.from_arrays(row * 4, column * 4)  # whole numbers
    theirs = pygambit.nash.enummixed_solve(exact, rational=True).equilibria
    ours = {tuple(np.round(np.concatenate(s.strategies), 9)) for s in found}
    size = row.shape[0]
    others = set()
    for profile in theirs:
        mixed = np.array([float(profile[action]) for player in exact.players for action in player.strategies])
        assert len(mixed) == 2 * size
        others.add(tuple(np.round(mixed, 9)))
    assert ours == others


def test_nashpy_finds_the_equilibria_of_small_banks(solved):
    nashpy = pytest.importorskip("nashpy")
    game, found = solved["small banks"]
    theirs = list(nashpy.Game(*(np.asarray(x, float) for x in game.payoffs)).support_enumeration())
    ours = {tuple(np.round(np.concatenate(s.strategies), 6)) for s in found}
    assert {tuple(np.round(np.concatenate(s), 6)) for s in theirs} == ours


@pytest.mark.parametrize("cost", [0.0, 0.1, 0.4])
def test_closed_forms_of_mixtures(cost):
    game = make_game("liquidity_matrix", cost=cost)
    for size in (1, 2):
        mix = jnp.zeros(5).at[jnp.array([2 - size, 2 + size])].set(0.5)
        assert float(nash_conv(game, (mix, mix))) < 1e-6
        np.testing.assert_allclose(game.expected_payoffs((mix, mix)), size * (0.5 - cost), atol=1e-6)
    game = make_game("liquidity_matrix", capacities=(1, 1), cost=cost)
    one_sided = jnp.array([cost, 1 - cost, 0]), jnp.array([0, 1 - cost, cost])
    both_sides = (jnp.array([cost, 1 - 2 * cost, cost]),) * 2
    for profile in (one_sided, both_sides):
        assert float(nash_conv(game, profile)) < 1e-6
        np.testing.assert_allclose(game.expected_payoffs(profile), 0, atol=1e-6)


def test_without_cost_interests_are_identical_and_only_coordination_can_fail():
    game = make_game("liquidity_matrix", cost=0.0)
    np.testing.assert_array_equal(game.payoffs[0], game.payoffs[1])
    assert float(price_of_stability(game)) == 1
    assert np.isinf(float(price_of_anarchy(game)))


def test_learning_without_cost_ends_in_opposite_orders_or_stays_mixed_by_symmetry():
    game, rng = make_game("liquidity_matrix", capacities=(1, 1), cost=0.0), np.random.default_rng(0)
    evolve = jax.jit(lambda start: replicator_dynamics(game, initial=start, num_iterations=1000, output="last"))
    for _ in range(3):
        noisy = 1 / 3 + 1e-3 * rng.random((2, 3))
        start = tuple(jnp.asarray(x / x.sum(), jnp.float32) for x in noisy)
        played = evolve(start).strategies
        assert sorted(int(np.argmax(x)) for x in played) == [0, 2]
        assert min(float(x.max()) for x in played) > 0.999
    even = evolve(game.uniform_strategies()).strategies
    np.testing.assert_allclose(even[0], [0.5, 0, 0.5], atol=1e-4)
    played = fictitious_play(game, num_iterations=1000, initial=start)
    assert sorted(int(np.argmax(x)) for x in played.strategies) == [0, 2]
    assert float(played.gap) < 0.01


# --- minimum effort -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacities", [(2, 2), (3, 2, 3)])
@pytest.mark.parametrize("cost", [0.25, 0.75])
def test_every_common_depth_is_an_equilibrium(capacities, cost):
    game = make_game("liquidity_provision", capacities=capacities, cost=cost)
    stable = {tuple(map(int, x)) for x in np.argwhere(np.asarray(pure_equilibria(game)))}
    assert stable == {(s,) * len(capacities) for s in range(min(capacities) + 1)}
    for s in range(min(capacities) + 1):
        np.testing.assert_allclose(game.payoffs[(slice(None), *(s,) * len(capacities))], s * (1 - cost), atol=1e-6)


@pytest.mark.parametrize(
    ("players", "cost", "top"), [(2, 0.25, True), (2, 0.75, False), (3, 0.25, True), (17, 0.05, True), (17, 0.1, False)]
)
def test_the_potential_is_highest_at_the_top_where_n_times_cost_is_below_one(players, cost, top):
    common = np.array([np.full(players, s) for s in range(4)]).T
    potential = provision_potential(common, cost)
    assert int(np.argmax(potential)) == (3 if top else 0)
    rng = np.random.default_rng(2)
    others = provision_potential(rng.integers(0, 4, (players, 2000)), cost)
    assert others.max() <= potential.max() + 1e-12


@pytest.mark.parametrize("aggregation", ["min", "mean_min"])
def test_payoff_changes_of_a_single_dealer_are_those_of_the_potential(aggregation):
    rng = np.random.default_rng(3)
    depths, cost = rng.integers(0, 4, (5, 300)), rng.random((5, 1))
    changed, mover = depths.copy(), rng.integers(0, 5, 300)
    at = np.arange(300)
    changed[mover, at] = rng.integers(0, 4, 300)
    for backstop in (0.0, 1.0):
        gain = [provision_payoffs(x, cost, aggregation, backstop)[mover, at] for x in (depths, changed)]
        rise = [provision_potential(x, cost, aggregation, backstop) for x in (depths, changed)]
        np.testing.assert_allclose(gain[1] - gain[0], rise[1] - rise[0], atol=1e-12)


def test_an_obligation_deletes_exactly_the_equilibria_below_it():
    def stable(**levers):
        game = make_game("liquidity_provision", capacities=(2, 2, 2), **levers)
        return {tuple(map(int, x)) for x in np.argwhere(np.asarray(pure_equilibria(game)))}

    free = stable()
    assert free == {(0,) * 3, (1,) * 3, (2,) * 3}
    assert stable(minimum=1) == free - {(0,) * 3}
    assert stable(minimum=2) == {(2,) * 3}


def test_a_subsidy_is_a_lower_cost_and_a_backstop_replaces_what_it_covers():
    subsidised = make_game("liquidity_provision", cost=0.6, subsidy=0.2)
    np.testing.assert_allclose(subsidised.payoffs, make_game("liquidity_provision", cost=0.4).payoffs, atol=1e-6)
    backed = make_game("liquidity_provision", backstop=1.0)
    stable = {tuple(map(int, x)) for x in np.argwhere(np.asarray(pure_equilibria(backed)))}
    assert stable == {(0, 0), (2, 2)}  # nobody posts the parcel that the central bank provides anyway
    np.testing.assert_allclose(backed.payoffs[:, 0, 0], 1)


MEAN_LEVELS = {(0.25, 0.25): 2.272172, (0.75, 0.25): 0.059026, (0.25, 0.1): 2.896869, (0.75, 0.1): 0.000557}


@pytest.mark.parametrize("cost", [0.25, 0.75])
def test_log_linear_learning_selects_the_maximum_of_the_potential(cost):
    game = make_game("liquidity_provision", capacities=(3, 3, 3), cost=cost)
    depths = np.indices((4, 4, 4))
    for temperature in (0.25, 0.1):
        law = np.asarray(long_run(game, temperature), float)
        mean = float(np.sum(law * depths.mean(axis=0)))
        assert mean == pytest.approx(MEAN_LEVELS[cost, temperature], abs=2e-6)
        gibbs = np.exp(provision_potential(depths, cost) / temperature)
        np.testing.assert_allclose(law, gibbs / gibbs.sum(), rtol=1e-4)


def test_log_linear_learning_in_the_long_run():
    cost, temperature, steps, runs = 0.25, 0.25, 2000, 64
    game = make_game("liquidity_provision", capacities=(3, 3, 3), cost=cost)

    def revise(profile, draws):
        player, uniforms = draws
        others = jnp.where(jnp.arange(3) == player, jnp.arange(4)[:, None], profile)
        pays = game.payoffs[player, others[:, 0], others[:, 1], others[:, 2]]
        chosen = jnp.argmax(pays / temperature + uniforms)
        return profile.at[player].set(chosen), profile.mean()

    def run(key):
        players = jax.random.randint(key, (steps,), 0, 3)
        gumbels = jax.random.gumbel(jax.random.fold_in(key, 1), (steps, 4))
        return jax.lax.scan(revise, jnp.zeros(3, jnp.int32), (players, gumbels))[1][200:].mean()

    mean = float(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), runs)).mean())
    assert mean == pytest.approx(MEAN_LEVELS[cost, temperature], abs=0.05)
