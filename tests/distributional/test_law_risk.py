"""Risk functionals against values computed by hand and closed forms of the normal law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from jaxmarl.distributional import risk
from jaxmarl.distributional.law import Law
from jaxmarl.distributional.quantile import uniform_quantile

X, P = np.array([-4.0, -1, 0, 2, 5]), np.array([0.1, 0.2, 0.3, 0.25, 0.15])

TABLE = {
    "cvar": {0.05: -4, 0.1: -4, 0.2: -2.5, 0.25: -2.2, 0.5: -1.2, 0.75: -0.4, 1.0: 0.65},
    "upper_cvar": {0.1: 5, 0.2: 4.25, 0.25: 3.8, 0.5: 2.5},
    "value_at_risk": {0.2: -1, 0.5: 0, 0.75: 2},
    "entropic": {0.1: 0.34716773, 0.5: -0.77451059, 1: -1.84661310, 2: -2.85168819, -1: 3.19804620, 0: 0.65},
    "wang": {-0.75: -1.05506137, 0.75: 2.37782610},
    "power": {-2: -1.33187500, 2: 2.69562500},
    "expectile": {0.1: -1.41666667, 0.25: -0.34375, 0.5: 0.65, 0.9: 3.02272727},
    "evar": {0.25: -3.20496386, 0.1: -4, 1.0: 0.65},
}
SINGLE = {
    "prospect": 0.37240898,
    "prospect formula as weighting": 0.92750764,
    "averaged uniforms": 0.4785625,
    "exponential spectrum": -1.86114103,
    "mean - variance / 10": 0.03725,
    "mean - deviation": -1.82537876,
    "mean of squares": 6.55,
}


@jax.jit
def valued(law):
    """Every functional of the table, of one law."""
    each = {
        "cvar": lambda level: risk.cvar(law, level),
        "upper_cvar": lambda level: risk.cvar(law, level, "upper"),
        "value_at_risk": lambda level: risk.value_at_risk(law, level),
        "entropic": lambda aversion: risk.entropic(law, aversion),
        "wang": lambda shift: risk.distorted_mean(law, risk.wang(shift)),
        "power": lambda exponent: risk.distorted_mean(law, risk.power(exponent)),
        "expectile": lambda level: risk.expectile(law, level),
        "evar": lambda level: risk.entropic_value_at_risk(law, level),
    }
    table = {name: jax.vmap(each[name])(jnp.array(list(row), float)) for name, row in TABLE.items()}
    prospect, spectrum = risk.prospect_weighting(), risk.exponential_spectrum(5.0)
    single = {
        "prospect": risk.distorted_mean(law, prospect),
        "prospect formula as weighting": risk.distorted_mean(law, risk.Distortion(*prospect[::-1])),
        "averaged uniforms": risk.distorted_mean(law, risk.averaged_uniforms(3)),
        "exponential spectrum": risk.distorted_mean(law, spectrum),
        "mean - variance / 10": risk.mean_variance(law, 0.1),
        "mean - deviation": risk.mean_deviation(law, 1.0),
        "mean of squares": risk.expected_utility(law, jnp.square),
    }
    mirrored = risk.cvar(risk.reflected(law), 0.25, "upper")
    return table, single, mirrored, risk.spectral(law, lambda u: 5 * jnp.exp(-5 * u) / -jnp.expm1(-5.0), 512)


@pytest.fixture(scope="module")
def found():
    shuffled = np.array([3, 0, 4, 1, 2])
    with jax.enable_x64(True):
        values = valued(Law(jnp.asarray(X[shuffled]), jnp.asarray(P[shuffled])))
        return jax.tree.map(np.asarray, values)


def test_functionals_of_a_known_law(found):
    table, single, _, _ = found
    for name, row in TABLE.items():
        np.testing.assert_allclose(table[name], list(row.values()), atol=1e-8, err_msg=name)
    for name, value in SINGLE.items():
        np.testing.assert_allclose(single[name], value, atol=1e-8, err_msg=name)


def test_upper_tails_mirror_lower_ones_and_quadrature_nears_the_spectrum(found):
    table, single, mirrored, quadrature = found
    np.testing.assert_allclose(mirrored, -table["cvar"][3], atol=1e-8)
    np.testing.assert_allclose(quadrature, single["exponential spectrum"], atol=2e-5)


@jax.jit
def distorted(levels):
    kinds = (
        risk.cvar_distortion(0.25),
        risk.wang(-0.75),
        risk.power(-2.0),
        risk.power(1.5),
        risk.prospect_weighting(),
        risk.averaged_uniforms(3),
        risk.exponential_spectrum(5.0),
    )
    ends = jnp.array([0.0, 1.0])
    return [(kind.weighting(kind.sampling(levels)), kind.weighting(levels), kind.weighting(ends)) for kind in kinds]


def test_weighting_inverts_sampling_and_keeps_the_ends():
    levels = np.linspace(0.02, 0.98, 9)
    with jax.enable_x64(True):
        rows = jax.tree.map(np.asarray, distorted(jnp.asarray(levels)))
    for back, weights, ends in rows:
        np.testing.assert_allclose(back, levels, atol=1e-9)
        np.testing.assert_allclose(ends, [0, 1], atol=1e-12)
        assert np.all(np.diff(weights) >= 0)


@jax.jit
def of_the_normal_law(cells):
    law = uniform_quantile(cells)
    return (
        jnp.stack([risk.cvar(law, level) for level in (0.05, 0.1, 0.25)]),
        risk.distorted_mean(law, risk.wang(-0.75)),
        risk.entropic(law, 0.5),
        risk.cvar(uniform_quantile(jnp.array([2.0, -1, 1, 0])), 0.3),
    )


def density(x):
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def test_closed_forms_of_the_normal_law():
    edges = ndtri(np.linspace(0, 1, 4001))
    with jax.enable_x64(True):  # cells' means, so that tails at multiples of 1/4000 are exact
        found = of_the_normal_law(jnp.asarray(1 - 2 * np.diff(density(edges)) * 4000))
    tails, wang, entropic, fractional = (np.asarray(part) for part in found)
    np.testing.assert_allclose(tails, [-3.12542562, -2.50996664, -1.54221258], atol=1e-8)
    levels = np.array([0.05, 0.1, 0.25])
    np.testing.assert_allclose(tails, 1 - 2 * density(ndtri(levels)) / levels, atol=1e-8)
    np.testing.assert_allclose(wang, -0.5, atol=5e-3)  # the cells widen the tails' steps
    np.testing.assert_allclose(entropic, 1 - 0.5 * 4 / 2, atol=5e-3)
    np.testing.assert_allclose(fractional, -0.83333333, atol=1e-8)


# Two steps: 1 or -1, then 1 or -1 after 1, and 3 or -3 after -1, all by fair coins.
STATIC = (np.array([2.0, 0, 2, -4]), np.full(4, 0.25))
LATER = (np.array([[1.0, -1], [3, -3]]), np.full((2, 2), 0.5))


@jax.jit
def static_and_nested(static, later):
    first = jnp.array([1.0, -1.0])

    def both(functional):
        following = functional(Law(*later))
        return jnp.stack([functional(Law(*static)), functional(Law(first + following, jnp.full(2, 0.5)))])

    coin = Law(jnp.array([1.0, -1.0]), jnp.full(2, 0.5))
    discounted = Law(jnp.array([1.5, 0.5, -0.5, -1.5]), jnp.full(4, 0.25))

    def two_steps(aversion_after):
        return risk.entropic(Law(coin.atoms + risk.entropic(coin, aversion_after) / 2, coin.weights), 1.0)

    return (
        both(lambda law: risk.cvar(law, 0.5)),
        both(lambda law: risk.cvar(law, 0.75)),
        both(lambda law: risk.entropic(law, 1.0)),
        jnp.stack([risk.entropic(discounted, 1.0), two_steps(0.5), two_steps(1.0)]),
    )


def test_only_entropic_risk_is_the_same_whole_and_step_by_step():
    with jax.enable_x64(True):
        half, most, entropic, discounted = static_and_nested(
            jax.tree.map(jnp.asarray, STATIC), jax.tree.map(jnp.asarray, LATER)
        )
    np.testing.assert_allclose(half, [-2, -4], atol=1e-9)
    np.testing.assert_allclose(most, [-0.6666667, -1.1111111], atol=1e-7)
    np.testing.assert_allclose(entropic, [-2.63671209, -2.63671209], atol=1e-8)
    # with discounting, the whole is the recursion whose aversion shrinks
    np.testing.assert_allclose(discounted, [-0.55389534, -0.55389534, -0.65067125], atol=1e-8)


def test_float32_and_gradients_where_nothing_is_random():
    def each(law):
        yield risk.cvar(law, 0.25)
        yield risk.entropic(law, 1.0)
        yield risk.entropic(law, 1e-5)
        yield risk.mean_deviation(law, 1.0)
        yield risk.expectile(law, 0.25)

    @jax.jit
    def both(law):
        def total(values):
            return sum(each(law._replace(atoms=values)))

        return jnp.stack(list(each(law))), jax.grad(total)(jnp.ones(5))

    values, slope = both(Law(jnp.asarray(X, jnp.float32), jnp.asarray(P, jnp.float32)))
    np.testing.assert_allclose(values, [-2.2, -1.84661310, 0.65 - 3.06e-5, -1.82537876, -0.34375], atol=2e-6)
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(np.sum(slope), 5, rtol=1e-5)  # each moves as much as the whole law does


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda law: risk.cvar(law, 0.0), "level"),
        (lambda law: risk.cvar(law, 0.5, "middle"), "tail"),
        (lambda law: risk.expectile(law, 1.0), "level"),
        (lambda law: risk.prospect_weighting(0.1), "curvature"),
        (lambda law: risk.averaged_uniforms(9), "count"),
        (lambda law: risk.exponential_spectrum(0.0), "steepness"),
    ],
)
def test_wrong_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call(uniform_quantile(jnp.zeros(2)))
