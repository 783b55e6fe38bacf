"""Income taxes: tables of dues, hours in closed form, optimal rates by Saez and by search, the two environments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.macro import (
    US_RATES,
    US_THRESHOLDS,
    IncomeLaw,
    TaxEconomy,
    best_hours,
    default_economy,
    equal_equivalent,
    income_gini,
    linear_condition,
    marginal_rate,
    mimicking_gain,
    optimal_linear_rate,
    optimal_rates,
    optimal_schedule,
    respond,
    saez_schedule,
    tax_due,
    tax_outcome,
    top_rate,
    welfare,
)

HIGH_HOURS = 1e4


def quasi_linear(skills, elasticity, aversion) -> TaxEconomy:
    """Workers with utility `c - l^(1 + 1/e) / (1 + 1/e)`."""
    power = 1 + 1 / elasticity
    numbers = (1 / power, power, HIGH_HOURS, aversion, 1e-3)
    return TaxEconomy(*(jnp.asarray(x, float) for x in (skills, [0.0], *numbers)))


linear = jax.jit(optimal_linear_rate)
responses = jax.jit(respond)


@jax.jit
def worth_and_revenue(economy, rates):
    """Welfare and revenue of each single rate."""

    def one(rate):
        outcome = respond(economy, rate[None])
        return welfare(economy, outcome, "crra"), outcome.rebate

    return jax.vmap(one)(rates)


@jax.jit
def best_of_grid(economy, rates):
    """Utility, without the rebate, of the best of 4001 choices of hours, for each worker."""

    def worth(hours):
        incomes = hours * economy.skills
        return incomes - tax_due(incomes, rates, economy.thresholds) - economy.effort_cost * hours**3.5

    return jnp.max(jax.vmap(worth)(jnp.linspace(0, 100, 4001)), axis=0)


@functools.cache
def solved(num_brackets: int):
    env, params = make("income_tax", num_brackets=num_brackets)
    return env, params, env.benchmarks(params)


@pytest.mark.parametrize(
    ("aversion", "rate", "incomes", "utilities"),
    [
        (1.0, 0.350217, (0.806091, 2.279970, 6.448729), (1.462272, 2.100739, 3.906598)),
        (2.0, 0.441792, (0.747133, 2.113211, 5.977064), (1.579470, 2.087840, 3.525728)),
        (0.0, 0.0, (1.0, 2.828427, 8.0), (0.666667, 1.885618, 5.333333)),
    ],
)
def test_optimal_linear_taxes(aversion, rate, incomes, utilities):
    economy = quasi_linear([1.0, 2.0, 4.0], 0.5, aversion)
    found = linear(economy)
    assert float(found) == pytest.approx(rate, abs=2e-6)
    outcome = responses(economy, found[None])
    np.testing.assert_allclose(outcome.incomes, incomes, atol=3e-6)
    np.testing.assert_allclose(outcome.utilities, utilities, atol=3e-6)
    assert float(linear_condition(economy, outcome, "crra")) == pytest.approx(rate, abs=2e-6)
    # no other rate is better
    worth, _ = worth_and_revenue(economy, jnp.linspace(0, 1, 3001))
    assert float(worth.max()) <= float(welfare(economy, outcome, "crra")) * (1 + 1e-6)


def test_the_rate_of_largest_revenue():
    economy = quasi_linear([1.0, 2.0, 4.0], 0.5, 1.0)
    rates = jnp.linspace(0, 1, 3001)
    _, revenue = worth_and_revenue(economy, rates)
    best = int(revenue.argmax())
    assert float(rates[best]) == pytest.approx(2 / 3, abs=2e-3)
    assert float(revenue[best]) == pytest.approx(1.517588, abs=2e-6)
    assert 1 / (1 + float(economy.elasticity)) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("tail", "elasticity", "weight", "rate"),
    [(1.5, 0.25, 0, 0.727273), (2, 0.5, 0, 0.5), (2, 0.5, 0.25, 0.428571), (1.5, 0.4, 0, 0.625)],
)
def test_top_rates(tail, elasticity, weight, rate):
    assert top_rate(tail, elasticity, weight) == pytest.approx(rate, abs=5e-7)


def test_taxes_of_the_united_states():
    incomes = jnp.array([10.0, 50.0, 100.0, 250.0, 1000.0])
    due = tax_due(incomes, jnp.array(US_RATES), jnp.array(US_THRESHOLDS))
    np.testing.assert_allclose(due, [1.0, 6.053, 17.053, 57.87475, 328.18775], rtol=1e-6)
    np.testing.assert_allclose(
        marginal_rate(incomes, jnp.array(US_RATES), jnp.array(US_THRESHOLDS)), [0.10, 0.22, 0.22, 0.35, 0.37]
    )


def test_incomes_of_the_survey():
    law = IncomeLaw()
    found = law.quantile(np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.99]))
    # the published parameters have six digits, and so have the quantiles
    np.testing.assert_allclose(found, [6.85062, 17.39303, 38.10153, 72.15927, 124.50887, 361.3132], rtol=6e-6)
    assert law.mean == pytest.approx(59.2492, abs=2e-5)
    assert law.share_below(np.array(100.525)) == pytest.approx(0.852056, abs=1e-6)
    assert law.tail_index == pytest.approx(2.36436, abs=1e-5)
    np.testing.assert_allclose(law.share_below(found), [0.1, 0.25, 0.5, 0.75, 0.9, 0.99], rtol=1e-9)
    below, above = law.share_below(np.array([19.99, 20.01]))
    assert law.log_density(np.array(20.0)) == pytest.approx((above - below) / 0.02 * 20, rel=1e-5)


@pytest.mark.slow
def test_draws_have_the_quantiles_of_the_law():
    law, count = IncomeLaw(), 40_000
    drawn = np.asarray(jax.jit(law.sample, static_argnums=1)(jax.random.key(0), count))
    for share in (0.1, 0.5, 0.9, 0.99):
        found = np.mean(drawn <= law.quantile(np.array(share)))
        assert abs(found - share) < 4 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize(
    ("skill", "rate", "hours"),
    [(20, 0.2, 38.40898), (50, 0.2, 55.41263), (50, 0.37, 50.36270), (10, 0.0, 31.82620)],
)
def test_hours_in_closed_form(skill, rate, hours):
    economy = default_economy(2, 1).replace(skills=jnp.full(2, float(skill)), effort_cost=jnp.full((), 5e-4))
    assert float(best_hours(economy, jnp.array([rate]))[0]) == pytest.approx(hours, abs=2e-4)


def test_census_skills_in_dollars_work_without_rest():
    """With c = 5e-4 the median worker, at 950 dollars for an hour a week, is at the limit; with .02367 it works 40."""
    median = IncomeLaw().quantile(np.array(0.5)) * 1000 / 40
    economy = default_economy(2, 1).replace(skills=jnp.full(2, float(median)))
    hours = [
        float(best_hours(economy.replace(effort_cost=jnp.full((), c)), jnp.array([0.12]))[0]) for c in (5e-4, 0.02367)
    ]
    assert hours == [100.0, pytest.approx(40, abs=0.02)]


@pytest.mark.parametrize("rates", [(0.1, 0.3, 0.5), (0.6, 0.2, 0.4), (0.9, 0.0, 0.9), (1.0, 1.0, 1.0)])
def test_responses_are_the_best_of_a_fine_grid(rates):
    """Also where rates fall, so that a worker has several local maxima."""
    economy = default_economy(300, 3)
    found = responses(economy, jnp.array(rates))
    best = best_of_grid(economy, jnp.array(rates))
    mine = found.utilities - found.rebate
    np.testing.assert_array_less(best, mine + 2e-5 * jnp.maximum(1.0, found.incomes))
    assert float(jnp.mean(found.taxes)) == pytest.approx(float(found.rebate))
    assert np.all(np.diff(found.incomes) >= -1e-3)  # nobody with more skill earns less


def test_equal_equivalents():
    utilities = jnp.array([1.0, 2.0, 4.0])
    for aversion, wanted in ((0.0, 7 / 3), (1.0, 2.0), (2.0, 3 / 1.75)):
        assert float(equal_equivalent(utilities, jnp.asarray(aversion))) == pytest.approx(wanted, rel=1e-6)
    assert float(income_gini(jnp.array([1.0, 2.0, 4.0]))) == pytest.approx(2 / 7)  # Σ|differences| / (2 n² mean)


def test_saez_by_brackets_is_the_optimum():
    """Of the conditions only those over whole brackets lead to the optimum; those at middles lose half a per cent."""
    _, params, known = solved(3)
    found = jax.jit(lambda economy: saez_schedule(economy, condition="bracket"))(params)
    # with 200 workers, who is at a kink changes by steps
    np.testing.assert_allclose(found.rates, known["optimal_rates"], atol=0.005)
    assert known["optimal"] * (1 - 5e-5) < float(found.welfare) <= known["optimal"] * (1 + 1e-6)
    assert known["untaxed"] < known["saez"] < known["linear"] < known["optimal"]
    assert known["saez"] > 0.99 * known["optimal"]


def test_nothing_near_is_better_than_the_optimum():
    _, params, known = solved(3)
    best = jnp.asarray(known["optimal_rates"])
    near = jnp.clip(best + jax.random.normal(jax.random.key(0), (500, 3)) * 0.02, 0, 1)
    worth = jax.jit(jax.vmap(lambda rates: welfare(params, respond(params, rates), "crra")))(near)
    assert float(worth.max()) <= known["optimal"] * (1 + 1e-6)


def test_the_smooth_schedule():
    """Top rates follow Saez's formula with the tail of incomes, and many brackets come near the smooth optimum."""
    law = IncomeLaw()
    skills = law._replace(scale=law.scale / 40)
    smooth = optimal_schedule(skills, 2.367e-5, 3.5, 1.0)
    assert np.all(np.diff(smooth.incomes) > 0)
    # incomes are skill^(1 + e): their tail index is that of skills over 1 + e
    limit = top_rate(law.tail_index / 1.4, 0.4, 0.0)
    assert smooth.rates[-1] == pytest.approx(limit, abs=0.01)
    # a society of the same skills under the brackets of 2024
    economy = default_economy(4000, 7).replace(max_hours=jnp.full((), HIGH_HOURS))
    rates = jnp.interp(economy.thresholds * 1.2 + 2, jnp.asarray(smooth.incomes), jnp.asarray(smooth.rates))
    bracketed = float(welfare(economy, responses(economy, rates), "crra"))
    assert 0.98 * smooth.welfare < bracketed < smooth.welfare


def test_published_social_welfare_wants_the_poor_idle():
    """The mean of u / z is largest where the poor stop working: its weights explode as incomes vanish."""
    _, params = make("income_tax", objective="inverse_income")
    work, rest = (responses(params, jnp.array(rates)) for rates in ([0.5, 0.5, 0.5], [1.0, 0.3, 0.6]))
    worth = [float(welfare(params, outcome, "inverse_income")) for outcome in (work, rest)]
    assert worth[1] > 100 * worth[0]
    assert float(rest.incomes[0]) < 1e-3


def test_nobody_gains_by_earning_like_another():
    env, params, _ = solved(3)
    gain_of = jax.jit(env.misreport_gain)
    for rates in ([0.5, 0.5, 0.5], [0.9, 0.1, 0.6]):
        gain = np.asarray(gain_of(jnp.array(rates), params))
        np.testing.assert_allclose(np.diag(gain), 0, atol=1e-3)
        assert gain.max() < 1e-3
        assert gain.min() < -10
    # to be told what to earn is another matter: with equal hours for all, the able would rather be less so
    outcome = tax_outcome(params, jnp.full(200, 40.0), jnp.full(3, 0.5))
    assert float(mimicking_gain(params, outcome).max()) > 1


def test_a_planner_is_rewarded_with_welfare():
    env, params, known = solved(3)
    _, state = env.reset(jax.random.key(0), params)
    action = known["policy"].act((), (), jnp.zeros(9), ())[0][None]
    obs, _, reward, _, _, info = env.step(jax.random.key(1), state, action, params)
    assert float(reward[0]) == pytest.approx(known["optimal"], rel=1e-6)
    outcome = responses(params, action[0])
    assert float(info["gini"]) == pytest.approx(
        float(np.abs(np.subtract.outer(outcome.incomes, outcome.incomes)).mean() / (2 * outcome.incomes.mean())),
        rel=1e-4,
    )
    np.testing.assert_allclose(obs[0, 6:], action[0])


def test_rewards_have_finite_slopes():
    env, params, _ = solved(3)
    state = env.initial((), params)

    def reward(rates, params):
        return env.transition(state, rates[None], (), params)[1][0]

    slopes_of = jax.jit(jax.grad(reward, (0, 1)))
    slopes, by_params = slopes_of(jnp.array([0.3, 0.4, 0.5]), params)
    assert np.all(np.isfinite(slopes))
    assert float(slopes[0]) > 0  # the optimum is .52
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(by_params))
    assert np.all(np.isfinite(slopes_of(jnp.ones(3), params)[0]))


@pytest.fixture(scope="module")
def game():
    env, params = make("income_tax_game", num_workers=5, num_years=2, steps_per_year=3)
    return env, params, jax.jit(env.transition), jax.jit(env.observe)


def test_rates_last_for_a_year(game):
    env, params, step, _ = game
    state, seen = env.initial((), params), []
    for t in range(env.horizon):
        action = jnp.full((6, 4), 0.4).at[0, 1:].set(0.1 * (t + 1))
        state, _, done, _ = step(state, action, (), params)
        seen.append(float(state.rates[0]))
    np.testing.assert_allclose(seen, [0.1] * 3 + [0.4] * 3, rtol=1e-6)
    assert bool(done)


def test_best_responding_workers_have_no_regret(game):
    env, params, step, observe = game
    policy = env.truthful(params)
    state = env.initial((), params)
    setting = jnp.full((6, 4), 0.3).at[0, 1:].set(jnp.array([0.2, 0.5, 0.3]))
    state, *_ = step(state, setting, (), params)
    obs = observe(state, params)
    act = jax.jit(jax.vmap(lambda seen: policy.act(params.economy, (), seen, ())[0]))
    action = jnp.concatenate([setting[:1], act(obs[1:])])
    state, reward, _, info = step(state, action, (), params)
    assert abs(float(info["regret"])) < 1e-4
    outcome = responses(params.economy, jnp.array([0.2, 0.5, 0.3]))
    np.testing.assert_allclose(reward[1:], outcome.utilities, rtol=1e-4)
    assert float(reward[0]) == pytest.approx(float(welfare(params.economy, outcome, "crra")), rel=1e-4)
    _, _, _, lazy = step(state, action.at[1:, 0].set(0.0), (), params)
    assert float(lazy["regret"]) > 1


def test_altruists_and_adversaries(game):
    env, params, step, _ = game
    minded = params.replace(regard=jnp.array([0.0, 1.0, -1.0, 0.0, 1.0]))
    _, reward, _, _ = step(env.initial((), params), jnp.full((6, 4), 0.4), (), minded)
    outcome = tax_outcome(params.economy, jnp.full(5, 40.0), jnp.full(3, 0.4))
    mean = float(outcome.utilities.mean())
    np.testing.assert_allclose(reward[1:], [outcome.utilities[0], mean, -mean, outcome.utilities[3], mean], rtol=1e-5)


def test_voters_get_the_median(game):
    env, params = make("income_tax_game", num_workers=5, voting=True, num_years=1, steps_per_year=1)
    action = jnp.full((5, 4), 0.4).at[:, 1].set(jnp.array([0.9, 0.1, 0.3, 0.2, 1.0]))
    state, reward, _, _ = jax.jit(env.transition)(env.initial((), params), action, (), params)
    np.testing.assert_allclose(state.rates, [0.3, 0.4, 0.4], rtol=1e-6)
    assert reward.shape == (5,)


def test_refusals():
    with pytest.raises(ValueError, match="objective must be one of crra, inverse_income, rawls; got 'rawl'"):
        make("income_tax", objective="rawl")
    env, params = make("income_tax")
    with pytest.raises(ValueError, match="skills must be positive and ascending"):
        env.validate(params.replace(skills=params.skills[::-1]))
    with pytest.raises(ValueError, match="effort_power must be above 1"):
        env.validate(params.replace(effort_power=jnp.ones(())))
    with pytest.raises(ValueError, match="num_best must be an integer in"):
        optimal_rates(params, num_best=1)
    with pytest.raises(ValueError, match="aversion must be above 0"):
        optimal_schedule(IncomeLaw(), 1.0, 3.0, 0.0)


@pytest.mark.slow
def test_workers_learn_to_respond(game):
    """PPO for planner and workers at once: after 100 updates workers miss about a per cent of their utility."""
    from jaxmarl.core import VectorEnv
    from jaxmarl.learners import PPOConfig, ppo

    env, params = make("income_tax_game", num_workers=5, num_brackets=1, num_years=2, steps_per_year=10)
    skills = jnp.asarray(IncomeLaw().quantile(np.linspace(0.35, 0.85, 5)) / 40, float)
    params = params.replace(economy=params.economy.replace(skills=skills))
    config = PPOConfig(
        hidden=32,
        recurrent=False,
        chunk_length=20,
        epochs=4,
        learning_rate=3e-3,
        discount=0.9,
        trace=0.9,
        entropy_weight=0.0,
        value_norm=True,
        value_decay=0.99,
        spread="state",
    )
    learner = ppo(VectorEnv(env, 48), config, params)
    state = jax.jit(learner.init)(jax.random.key(0))
    state, _ = jax.jit(lambda state: jax.lax.scan(lambda s, _: learner.update(s), state, length=100))(state)

    def step(carry, key):
        obs, now = carry
        keys = jax.random.split(key, (6, 64))
        draws = jax.vmap(
            jax.vmap(lambda k, seen: learner.policy.sample(k, learner.params(state), (), seen)[0], (0, None))
        )
        obs, now, reward, _, _, info = env.step(key, now, jnp.mean(draws(keys, obs), axis=1), params)
        return (obs, now), (info["regret"], jnp.mean(reward[1:]))

    start, *keys = jax.random.split(jax.random.key(1), 21)
    regret, utility = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[1])(
        env.reset(start, params), jnp.stack(keys)
    )
    assert float(regret[1:].mean()) < 0.02 * float(utility.mean())
