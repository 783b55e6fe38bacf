"""Extensive-form games: trees against open_spiel's, best responses, mixtures, the normal form, what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.extensive import CHANCE, TERMINAL, extensive_game
from jaxmarl.games.extensive_metrics import (
    extensive_best_response,
    extensive_nash_conv,
    extensive_normal_form,
    mixture_policy,
)
from jaxmarl.games.extensive_rules import Decision, End, game_from_rules
from jaxmarl.games.extensive_zoo import goofspiel, kuhn_poker, leduc_poker, list_extensive_games, make_extensive_game
from jaxmarl.solvers.zero_sum import zero_sum_lp


@jax.jit
def audit(game, policies):
    """Expected payoffs, best responses, their values, reach, NashConv: one program a game."""
    responses, values = zip(*(extensive_best_response(game, i, policies) for i in range(game.num_players)), strict=True)
    reach = game.reach(policies)
    return game.expected_payoffs(policies), responses, jnp.stack(values), reach, extensive_nash_conv(game, policies)


@pytest.fixture(scope="module")
def kuhn():
    return kuhn_poker()


@pytest.fixture(scope="module")
def normal_form(kuhn):
    return extensive_normal_form(kuhn)


@pytest.fixture(scope="module")
def leduc():
    return leduc_poker()


def random_policies(game, seed):
    rng = np.random.default_rng(seed)
    tables = [rng.exponential(size=mask.shape) * np.asarray(mask) for mask in game.masks]
    return tuple(jnp.asarray(table / table.sum(1, keepdims=True), jnp.result_type(float)) for table in tables)


def uniform(game):
    tables = [np.asarray(mask, float) for mask in game.masks]
    return tuple(jnp.asarray(table / table.sum(1, keepdims=True), jnp.result_type(float)) for table in tables)


def kuhn_equilibrium(alpha):
    """Kuhn's family (1950): the first player bets a jack with probability alpha <= 1/3."""
    first = {(0, ()): alpha, (1, ()): 0.0, (2, ()): 3 * alpha, (0, (0, 1)): 0.0, (1, (0, 1)): alpha + 1 / 3}
    second = {(0, (0,)): 1 / 3, (1, (0,)): 0.0, (2, (0,)): 1.0, (0, (1,)): 0.0, (1, (1,)): 1 / 3}
    return first, second


def test_sizes(kuhn, leduc):
    assert (kuhn.num_nodes, len(kuhn.terminals), kuhn.num_info_states) == (58, 30, (6, 6))
    assert (leduc.num_nodes, len(leduc.terminals), leduc.num_info_states) == (9457, 5520, (468, 468))
    assert leduc_poker(suits=False).num_info_states == (144, 144)
    zero_sum = jax.jit(lambda game: game.is_zero_sum())
    assert bool(zero_sum(kuhn))
    assert not bool(zero_sum(goofspiel(3, returns="total_points")))
    assert list_extensive_games() == ["goofspiel", "kuhn_poker", "leduc_poker"]
    assert make_extensive_game("kuhn_poker", num_players=3).num_players == 3


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_kuhns_equilibria_have_value_minus_one_eighteenth(kuhn, alpha):
    tables = kuhn_equilibrium(alpha)
    policies = []
    for player in range(2):
        # information states are found by the cards and moves that lead to them, read off the tree
        bet = np.zeros(6)
        for node in np.flatnonzero(np.asarray(kuhn.player) == player):
            cards, moves = path_of(kuhn, node)
            bet[int(kuhn.info_state[node])] = tables[player].get((cards[player], moves), 1.0)
        policies.append(jnp.asarray(np.stack([1 - bet, bet], 1), jnp.result_type(float)))
    payoffs, *_, gap = audit(kuhn, tuple(policies))
    np.testing.assert_allclose(payoffs, [-1 / 18, 1 / 18], atol=1e-7)
    assert float(gap) == pytest.approx(0, abs=2e-7)


def path_of(kuhn, node):
    branches = []
    while node > 0:
        branches.append(int(kuhn.branch[node]))
        node = int(kuhn.parent[node])
    branches.reverse()
    return tuple(branches[:2]), tuple(branches[2:])


def test_kuhns_normal_form_has_its_value(kuhn, normal_form):
    """Of a pure policy only what can be reached counts: 3 plans a card for the first player, 4 for the second."""
    normal, pure = normal_form
    assert normal.num_actions == (27, 64)
    solution = zero_sum_lp(normal)
    assert float(solution.payoffs[0]) == pytest.approx(-1 / 18, abs=1e-6)
    # its equilibrium as behaviour strategies is one of the tree
    policies = tuple(
        mixture_policy(kuhn, player, jnp.asarray(solution.strategies[player], jnp.result_type(float)), pure[player])
        for player in range(2)
    )
    assert float(audit(kuhn, policies)[-1]) == pytest.approx(0, abs=1e-5)


def test_a_best_response_is_the_best_pure_policy(kuhn, normal_form):
    """By the matrix of all pure policies, which knows nothing of backward induction."""
    normal, pure = normal_form
    policies = random_policies(kuhn, 0)
    _, responses, values, _, _ = audit(kuhn, policies)
    for player in range(2):
        swapped = tuple(responses[i] if i == player else policy for i, policy in enumerate(policies))
        assert float(audit(kuhn, swapped)[0][player]) == pytest.approx(float(values[player]), abs=1e-6)
        weights = np.asarray(plan_weights(kuhn, 1 - player, policies[1 - player], pure[1 - player]))
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        payoffs = np.tensordot(np.asarray(normal.payoffs[player]), weights, ((1 - player,), (0,)))
        assert float(values[player]) == pytest.approx(payoffs.max(), abs=1e-6)


def plan_weights(game, player, policy, pure):
    """Probability of each (reduced) pure policy when the behaviour strategy draws at every information state."""
    table, mask = np.asarray(policy, np.float64), np.asarray(game.masks[player])
    before, weights = np.asarray(game.sequence_before[player]), []
    for plan in np.asarray(pure):
        relevant = [k for k in range(len(mask)) if before[k] == 0 or plan.ravel()[before[k] - 1] == 1]
        weights.append(np.prod([table[k] @ plan[k] for k in relevant]))
    return np.array(weights)


def test_a_mixture_and_its_policy_lead_to_every_node_alike(leduc):
    other = random_policies(leduc, 4)
    members = [random_policies(leduc, seed)[0] for seed in range(2)]
    members.append(audit(leduc, other)[1][0])  # pure: leads to a part of the tree only
    weights = jnp.asarray([0.5, 0.2, 0.3])
    mix = jax.jit(mixture_policy, static_argnums=1)
    mixed = np.asarray(mix(leduc, 0, weights, jnp.stack(members)))
    np.testing.assert_allclose(mixed.sum(1), 1, atol=1e-6)
    reaches = [np.asarray(audit(leduc, (member, other[1]))[3]) for member in [*members, mixed]]
    np.testing.assert_allclose(reaches[3], np.asarray(weights) @ np.stack(reaches[:3]), atol=1e-6)
    # where nothing leads, it is uniform
    blind = np.asarray(mix(leduc, 0, jnp.asarray([0.0, 0.0, 1.0]), jnp.stack(members)))
    own = np.asarray(leduc.player) == 0
    unreached = np.unique(np.asarray(leduc.info_state)[own & (reaches[2] == 0)])
    assert unreached.size > 0
    np.testing.assert_allclose(blind[unreached], np.asarray(uniform(leduc)[0])[unreached], atol=1e-7)


def test_play_comes_from_a_node_to_its_children_and_ends(leduc):
    reach = np.asarray(audit(leduc, random_policies(leduc, 1))[3])
    assert reach[np.asarray(leduc.terminals)].sum() == pytest.approx(1, abs=1e-5)
    left = reach.copy()
    np.add.at(left, np.asarray(leduc.parent)[1:], -reach[1:])
    np.testing.assert_allclose(left[np.asarray(leduc.player) != TERMINAL], 0, atol=1e-6)


def test_suits_are_of_no_consequence_to_best_responses(leduc):
    games = (leduc, leduc_poker(suits=False))
    gaps = [float(audit(game, uniform(game))[-1]) for game in games]
    np.testing.assert_allclose(gaps, 4.74722, atol=1e-5)  # NashConv of uniform play


def test_many_games_and_policies_at_once_and_gradients(kuhn):
    stakes, policies = np.array([1.0, 2.0, 5.0]), random_policies(kuhn, 2)

    @jax.jit
    def gaps_and_gradient(stakes, policies):
        games = jax.vmap(lambda stake: replace(kuhn, payoffs=stake * kuhn.payoffs))(stakes)
        gradient = jax.grad(lambda own: kuhn.expected_payoffs((own, policies[1]))[0])(policies[0])
        return jax.vmap(extensive_nash_conv, in_axes=(0, None))(games, policies), gradient

    gaps, gradient = gaps_and_gradient(stakes, policies)
    payoffs, *_, gap = audit(kuhn, policies)
    np.testing.assert_allclose(gaps, stakes * float(gap), rtol=1e-5)
    # payoffs are linear in the probabilities of one information state
    moved, step = np.asarray(policies[0]).copy(), np.array([-0.1, 0.1])
    moved[2] += step
    change = audit(kuhn, (jnp.asarray(moved), policies[1]))[0][0] - payoffs[0]
    assert float(change) == pytest.approx(float(gradient[2] @ step), abs=1e-6)


# open_spiel's game, ours, whether values are compared as well as trees
SPIEL = [
    ("kuhn_poker", kuhn_poker, True),
    ("kuhn_poker(players=3)", lambda: kuhn_poker(3), False),
    ("leduc_poker", leduc_poker, True),
    ("goofspiel(num_cards=4,points_order=descending)", goofspiel, True),
    ("goofspiel(num_cards=3,players=3,points_order=descending)", lambda: goofspiel(3, num_players=3), True),
    (
        "goofspiel(num_cards=3,points_order=random,returns_type=point_difference)",
        lambda: goofspiel(3, points_order="random", returns="point_difference"),
        False,
    ),
    (
        "goofspiel(num_cards=4,points_order=ascending,returns_type=total_points,imp_info=true)",
        lambda: goofspiel(4, points_order="ascending", returns="total_points", hidden_bids=True),
        False,
    ),
]


def matched_info_states(game, spiel):
    """Walks both trees together: the same movers, moves, chances, payoffs; our information states refine theirs."""
    parent, branch, player = (np.asarray(leaf).tolist() for leaf in (game.parent, game.branch, game.player))
    known, chance = np.asarray(game.info_state).tolist(), np.asarray(game.chance).tolist()
    payoffs = np.asarray(game.payoffs)
    children = [[] for _ in parent]
    for node in range(1, len(parent)):
        children[parent[node]].append(node)
    names, stack, visited = {}, [(0, spiel.new_initial_state())], 0
    while stack:
        node, state = stack.pop()
        visited += 1
        if state.is_terminal():
            assert player[node] == TERMINAL
            assert payoffs[:, node].tolist() == pytest.approx(state.returns(), abs=1e-6)
            continue
        if state.is_chance_node():
            assert player[node] == CHANCE
            moves = state.chance_outcomes()
            assert [chance[child] for child in children[node]] == pytest.approx([p for _, p in moves])
            actions = [action for action, _ in moves]
        else:
            assert player[node] == state.current_player()
            actions = state.legal_actions()
            assert actions == [branch[child] for child in children[node]]
            text = state.information_state_string()
            assert names.setdefault((player[node], known[node]), text) == text
        stack += zip(children[node], (state.child(action) for action in actions), strict=True)
    assert visited == game.num_nodes
    assert len(names) == sum(game.num_info_states)
    return names


@pytest.mark.parametrize(("name", "build", "valued"), SPIEL, ids=[name for name, _, _ in SPIEL])
def test_against_open_spiel(name, build, valued):
    pyspiel = pytest.importorskip("pyspiel")
    simultaneous = name.startswith("goofspiel")
    game = build()
    spiel = pyspiel.load_game(f"turn_based_simultaneous_game(game={name})" if simultaneous else name)
    names = matched_info_states(game, spiel)
    # open_spiel's players forget bids that no longer matter once both hands are known
    assert (len(set(names.values())) < len(names)) == (build is goofspiel)
    zero_sum = spiel.get_type().utility == pyspiel.GameType.Utility.ZERO_SUM
    assert zero_sum == ("total_points" not in name)
    if valued:
        check_values(pyspiel, game, spiel, names)


def check_values(pyspiel, game, spiel, names):
    """Payoffs, best responses and NashConv of random behaviour strategies."""
    rng = np.random.default_rng(0)
    tables, policy = [np.zeros(mask.shape) for mask in game.masks], {}
    for (i, state), text in names.items():
        legal = np.flatnonzero(game.masks[i][state])
        row = policy.setdefault(text, list(zip(legal.tolist(), rng.dirichlet(np.ones(len(legal))), strict=True)))
        tables[i][state, legal] = [probability for _, probability in row]
    payoffs, _, values, _, gap = audit(game, tuple(jnp.asarray(table, jnp.result_type(float)) for table in tables))
    policy, root = pyspiel.TabularPolicy(policy), spiel.new_initial_state()
    np.testing.assert_allclose(payoffs, pyspiel.expected_returns(root, policy, -1, True), atol=2e-5)
    for player in range(game.num_players):
        theirs = pyspiel.TabularBestResponse(spiel, player, policy).value_from_state(root)
        assert float(values[player]) == pytest.approx(theirs, abs=2e-5)
    assert float(gap) == pytest.approx(pyspiel.nash_conv(spiel, policy, True), abs=4e-5)


def two_moves(sees):
    """One player moves twice; `sees` is what it knows the second time."""

    def turn(moves):
        return End((0.0,)) if len(moves) == 2 else Decision(0, sees(moves) if moves else "start", (0, 1))

    return game_from_rules((), turn, lambda moves, move: (*moves, move))


GOOD = {
    "parent": [-1, 0, 0],
    "branch": [0, 0, 1],
    "player": [0, -2, -2],
    "info_state": [0, 0, 0],
    "chance": [1.0, 1.0, 1.0],
    "payoffs": [[0.0, 1.0, 2.0]],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parent": [-1, 2, 0]}, "parent must be -1 at node 0"),
        ({"parent": [0, 0, 0]}, "parent must be -1 at node 0"),
        ({"branch": [0, 1, 1]}, "branch must be different at each node"),
        ({"branch": [0, -1, 1]}, "branch must be at least 0"),
        ({"branch": [0.0, 0.0, 1.0]}, "branch must be of integers"),
        ({"player": [0, -2, 0]}, "player must be terminal"),
        ({"player": [-2, -2, -2]}, "player must be terminal"),
        ({"player": [1, -2, -2]}, r"player must be .* a player in \[0, 0\]"),
        ({"info_state": [1, 0, 0]}, "info_state must be numbered 0, 1"),
        ({"player": [-1, -2, -2]}, "chance must be non-negative, adding to 1"),
        ({"payoffs": [[0.0, np.nan, 0.0]]}, "payoffs must be finite"),
        ({"payoffs": [[0.0, 1.0]]}, r"payoffs must be of shape \[n, 3\]"),
        ({"chance": [1.0]}, "chance must be of shape"),
    ],
)
def test_trees_that_are_none_are_refused(change, message):
    assert extensive_game(**GOOD).num_actions == (2,)
    with pytest.raises(ValueError, match=message) as error:
        extensive_game(**{**GOOD, **change})
    assert "\n" not in str(error.value)


def test_forgetful_players_are_refused():
    assert two_moves(lambda moves: moves).num_moves == (2,)
    with pytest.raises(ValueError, match="must recall them"):
        two_moves(lambda moves: "second")
    with pytest.raises(ValueError, match="must recall them"):
        two_moves(lambda moves: "start")  # absent-minded

    def turn(moves):
        actions = (0, 1) if not moves or moves[0] == 0 else (0, 1, 2)
        return End((0.0, 0.0)) if len(moves) == 2 else Decision(len(moves), len(moves), actions)

    with pytest.raises(ValueError, match="same legal actions"):
        game_from_rules((), turn, lambda moves, move: (*moves, move))


def test_large_or_unknown_games_are_refused(leduc):
    with pytest.raises(ValueError, match="at most 4096"):
        extensive_normal_form(leduc)
    with pytest.raises(ValueError, match="more than 100 nodes"):
        game_from_rules((), lambda m: Decision(0, m, (0, 1)), lambda m, move: (*m, move), max_nodes=100)
    with pytest.raises(ValueError, match="did you mean 'kuhn_poker'"):
        make_extensive_game("kuhn")
    with pytest.raises(ValueError, match="parameter of leduc_poker must be one of suits"):
        make_extensive_game("leduc_poker", suit=False)
    with pytest.raises(ValueError, match="points_order must be one of"):
        goofspiel(3, points_order="up")
