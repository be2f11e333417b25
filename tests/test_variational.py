"""The variational autoencoder: its bounds against closed forms, its draws, its objectives and priors."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import integrate, stats
from scipy.special import expit, logsumexp, softmax
from sklearn.base import clone
from sklearn.decomposition import PCA

from autoenc import VariationalAutoencoder, _bound
from autoenc.corruption import Bernoulli, Gaussian, Masking
from autoenc.layers import BatchNorm, Dense

SMALL = dict(n_components=2, hidden_layer_sizes=(6,), max_iter=3, random_state=0, n_jobs=1)
KINDS = {
    "elbo": {},
    "several draws": dict(n_importance_samples=3),
    "iwae": dict(objective="iwae", n_importance_samples=4),
    "beta_tc": dict(objective="beta_tc", beta=3.0),
    "factor": dict(objective="factor", beta=3.0),
    "mmd": dict(objective="mmd", beta=10.0),
    "mixture": dict(prior="mixture", n_prior_components=5),
    "vamp": dict(prior="vamp", n_prior_components=5),
    "iwae and vamp": dict(objective="iwae", n_importance_samples=2, prior="vamp", n_prior_components=5),
    "free bits": dict(free_bits=0.2),
}


def rows(n=61, d=7, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)) @ random.normal(size=(2, d)) + 0.3 * random.normal(size=(n, d))


def model(**parameters):
    return VariationalAutoencoder(**{**SMALL, **parameters})


def arrays(fitted):
    return [*fitted.coefs_, *fitted.intercepts_, *fitted.other_parameters_.values()]


def same_weights(a, b):
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


def linear(weight, offset, noise, *, posterior=1.0, **parameters):
    """A linear network with the exact posterior, or one of another variance: rows are z @ weight + offset + noise."""
    d, n = weight.shape
    inverse = np.diag(1.0 / np.diag(weight @ weight.T + noise * np.eye(d)))
    fitted = model(
        n_components=d, hidden_layer_sizes=(), noise_variance=noise, precision="float64", max_iter=1, **parameters
    ).fit(np.random.default_rng(0).normal(size=(30, n)))
    encoder = weight.T @ inverse
    fitted.coefs_ = [encoder, np.zeros((n, d)), weight]
    fitted.intercepts_ = [-offset @ encoder, np.log(posterior * noise * np.diag(inverse)), offset]
    return fitted


WEIGHT = np.array([[1.0, 2.0, -1.0, 0.5, 0.0], [2.0, -1.0, 0.5, 1.0, 0.3]])
WEIGHT[1] -= (
    WEIGHT[1] @ WEIGHT[0] / (WEIGHT[0] @ WEIGHT[0]) * WEIGHT[0]
)  # then the posterior's components are independent
OFFSET = np.array([0.5, -1.0, 0.0, 2.0, 1.0])


def test_the_divergence_is_that_of_quadrature():
    X = rows()
    fitted = model(precision="float64").fit(X)
    means, deviations = fitted.encode_distribution(X)
    found = fitted._posterior(X, None)[2]
    for i in range(5):
        for j in range(2):
            q = stats.norm(means[i, j], deviations[i, j])
            wide = (means[i, j] - 12 * deviations[i, j], means[i, j] + 12 * deviations[i, j])
            value, _ = integrate.quad(lambda z, q=q: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), *wide)
            assert found[i, j] == pytest.approx(value, abs=1e-7)
    np.testing.assert_allclose(fitted.kl_per_component_, found.mean(axis=0), rtol=1e-12)
    assert fitted.active_units_ == np.count_nonzero(means.var(axis=0) > 0.01)


def test_means_of_weighted_rows():
    X, weights = rows(), np.arange(61.0)
    fitted = model(precision="float64").fit(X, sample_weight=weights)
    found = fitted._posterior(X, None)[2]
    np.testing.assert_allclose(fitted.kl_per_component_, np.average(found, axis=0, weights=weights), rtol=1e-12)


@pytest.mark.parametrize("n_samples", [1, 3, 200])
def test_the_likelihood_of_a_linear_network_is_probabilistic_pcas(n_samples):
    """With the exact posterior each importance weight is the likelihood."""
    fitted = linear(WEIGHT, OFFSET, 0.3)
    X = np.random.default_rng(1).normal(size=(40, 5)) * 2
    exact = stats.multivariate_normal(OFFSET, WEIGHT.T @ WEIGHT + 0.3 * np.eye(5)).logpdf(X)
    np.testing.assert_allclose(fitted.log_likelihood(X, n_samples=n_samples), exact, rtol=1e-9)


def test_importance_sampling_reaches_the_likelihood_from_another_posterior():
    fitted = linear(WEIGHT, OFFSET, 0.3, posterior=1.6)
    X = np.random.default_rng(1).normal(size=(40, 5)) * 2
    exact = stats.multivariate_normal(OFFSET, WEIGHT.T @ WEIGHT + 0.3 * np.eye(5)).logpdf(X)
    many = fitted.log_likelihood(X, n_samples=5000)
    assert np.abs(many - exact).max() < 0.1
    means, deviations = fitted.encode_distribution(X)
    one = exact - sum(  # of many draws the bound lacks the divergence from the exact posterior, here without its mean
        0.5 * (1.6 - 1.0 - np.log(1.6)) for _ in range(2)
    )
    # Two draws have the mean and the variance of the posterior, so those of a quadratic are exact.
    for n_samples in (2, 16, 200):
        np.testing.assert_allclose(fitted.elbo(X, n_samples=n_samples), one, rtol=1e-9)
    assert np.abs(fitted.elbo(X, n_samples=1) - one).max() > 0.5


def test_the_bound_of_few_draws_is_that_of_many():
    """The draws are the same for each row: what they are off by is not evened out by many rows."""
    X = rows(200)
    fitted = model(max_iter=100, hidden_layer_sizes=(32,), learning_rate_init=0.01).fit(X)
    many = fitted.elbo(X, n_samples=9600)
    assert fitted.score_samples(X).mean() == pytest.approx(many.mean(), abs=0.05)
    assert (many < fitted.log_likelihood(X)).all()


def test_the_bound_rises_with_the_draws():
    """By Jensen's inequality, the mean of the bounds of parts of the draws is below that of all, for every row."""
    X = rows(20)
    fitted = model(max_iter=1, precision="float64").fit(X)
    sources = [X, X]
    networks = list(_bound.predictors(fitted._spec, fitted._values(), 288, 1, closed=False))
    assert [n for _, n in networks] == [96] * 3
    parts = [_bound.log_likelihood(iter([network]), sources) for network in networks]
    whole = fitted.log_likelihood(X, n_samples=288)
    np.testing.assert_allclose(whole, logsumexp(parts, axis=0) - np.log(3), rtol=1e-12)
    assert (np.mean(parts, axis=0) < whole).all()
    assert fitted.log_likelihood(X, n_samples=1).mean() < np.mean(parts) < whole.mean()


def test_the_bound_of_one_draw_is_the_importance_weighted_one():
    X = rows()
    with pytest.warns(UserWarning, match="n_importance_samples=1 is the evidence lower bound"):
        b = model(objective="iwae").fit(X)
    a = model().fit(X)
    assert a.loss_curve_ == b.loss_curve_ and same_weights(a, b)
    several, joined = (model(objective=name, n_importance_samples=5, max_iter=40).fit(X) for name in ("elbo", "iwae"))
    assert not same_weights(several, joined)


def test_a_draw_by_hand():
    """One draw: the same noise for each row, found from the answer of a decoder that shows the code."""
    X = rows(10, 2)
    fitted = linear(np.eye(2), np.zeros(2), 0.5, posterior=1.7)
    means, deviations = fitted.encode_distribution(X)
    nodes, _ = _bound._network(fitted._spec, 1, 0, closed=False)
    core, _ = next(_bound.predictors(fitted._spec, fitted._values(), 1, 1, closed=False))
    at = [node["name"] for node in nodes].index("z")
    z = core.run([X, X], at, sampling=True)
    noise = (z - means) / deviations
    np.testing.assert_allclose(noise, np.tile(noise[0], (10, 1)), rtol=1e-9)
    np.testing.assert_array_equal(core.run([X, X], at), means)
    by_hand = stats.norm.logpdf(X, z, np.sqrt(0.5)) + stats.norm.logpdf(z) - stats.norm.logpdf(z, means, deviations)
    np.testing.assert_allclose(fitted.log_likelihood(X, n_samples=1), by_hand.sum(axis=1), rtol=1e-9)


def counts(n=50, d=5):
    return np.random.default_rng(0).poisson(2.0, size=(n, d)).astype(float)


def _normal(X, parameters):
    mean, log_variance = parameters
    return stats.norm.logpdf(X, mean, np.exp(0.5 * log_variance)).sum(axis=1)


def _negative_binomial(X, parameters):
    mean, theta = np.exp(parameters[0]), np.exp(parameters[1])
    return stats.nbinom.logpmf(X, theta, theta / (theta + mean)).sum(axis=1)


LIKELIHOODS = {
    "squared_error": (rows(50, 5), lambda X, p: stats.norm.logpdf(X, p[0], np.sqrt(0.7)).sum(axis=1)),
    "shared": (rows(50, 5), _normal),
    "learned": (rows(50, 5), _normal),
    "log_loss": ((rows(50, 5) > 0).astype(float), lambda X, p: stats.bernoulli.logpmf(X, expit(p[0])).sum(axis=1)),
    "poisson": (counts(), lambda X, p: stats.poisson.logpmf(X, np.exp(p[0])).sum(axis=1)),
    "multinomial": (
        counts(),
        lambda X, p: np.array([stats.multinomial.logpmf(x, int(x.sum()), softmax(p[0].astype(float))) for x in X]),
    ),
    "negative_binomial": (counts(), _negative_binomial),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_are_scipys(name):
    """A decoder that ignores the code, and codes that are the prior: all bounds are the likelihood."""
    X, expected = LIKELIHOODS[name]
    own = name in ("shared", "learned")
    choice = dict(noise_variance=name) if own else dict(likelihood=name, noise_variance=0.7)
    fitted = model(precision="float64", max_iter=5, **choice).fit(X)
    names = [entry[0].partition(".")[0] for entry in fitted._spec["parameters"] if entry[0].endswith(".weight")]
    names = [n for n in names if n != "noise"]
    ignored = ("mean", "log_variance", "second", "reconstruction")
    fitted.coefs_ = [w * (n not in ignored) for w, n in zip(fitted.coefs_, names, strict=True)]
    by_name = dict(zip(names, fitted.intercepts_, strict=True))
    by_name["mean"], by_name["log_variance"] = np.zeros(2), np.zeros(2)
    fitted.intercepts_ = [by_name[n] for n in names]
    second = fitted.other_parameters_["noise.bias"] if name == "shared" else by_name.get("second")
    wanted = expected(X, [by_name["reconstruction"], second])
    for found in (fitted.elbo(X), fitted.log_likelihood(X, n_samples=70), fitted.score_samples(X)):
        np.testing.assert_allclose(found, wanted, rtol=1e-8)
    assert fitted.feature_errors(X).shape[0] == len(X)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_for_any_threads(kind, precision):
    X = rows(150, 40).astype(precision)
    common = {**KINDS[kind], "n_components": 3, "precision": precision}
    one = model(**common).fit(X)
    for n_jobs in (2, 3, 8):
        other = model(**common, n_jobs=n_jobs).fit(X)
        assert same_weights(one, other)
        assert one.loss_curve_ == other.loss_curve_
        np.testing.assert_array_equal(one.elbo(X), other.elbo(X))
        np.testing.assert_array_equal(one.log_likelihood(X, n_samples=70), other.log_likelihood(X, n_samples=70))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_deterministic(kind):
    X = rows(230)
    fitted = model(**KINDS[kind]).fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    for score in (fitted.score_samples, lambda X: fitted.log_likelihood(X, n_samples=100)):
        whole = score(X)
        assert np.isfinite(whole).all()
        np.testing.assert_array_equal(score(X), whole)
        np.testing.assert_array_equal(np.concatenate([score(X[:1]), score(X[1:99]), score(X[99:])]), whole)
        np.testing.assert_array_equal(score(X[order]), whole[order])
        np.testing.assert_array_equal(score(sp.csr_matrix(X)), whole)
    np.testing.assert_array_equal(fitted.transform(X), fitted.encode_distribution(X)[0])
    assert fitted.score(X) == fitted.score_samples(X).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_state_goes_through_pickle_predictor_and_warm_start(kind):
    X = rows()
    fitted = model(**KINDS[kind]).fit(X)
    for other in (pickle.loads(pickle.dumps(fitted)), pickle.loads(pickle.dumps(fitted.predictor()))):
        np.testing.assert_array_equal(other.score_samples(X), fitted.score_samples(X))
        np.testing.assert_array_equal(other.transform(X), fitted.transform(X))
        np.testing.assert_array_equal(other.reconstruct(X), fitted.reconstruct(X))
    assert fitted.predictor().score_samples(X[3]) == fitted.score_samples(X)[3]
    assert same_weights(clone(fitted).fit(X), fitted)
    before = fitted.coefs_[0]
    fitted.set_params(warm_start=True).fit(X)
    assert not np.array_equal(before, fitted.coefs_[0])
    passes = model(**KINDS[kind])
    for _ in range(2):
        passes.partial_fit(X)
    assert passes.n_iter_ == 2 and np.isfinite(passes.elbo(X)).all()


def conditional():
    """Rows that are their condition, but for noise."""
    C = np.eye(3)[np.arange(120) % 3]
    return 3.0 * C @ np.random.default_rng(0).normal(size=(3, 6)) + 0.1 * rows(120, 6), C


@pytest.mark.parametrize("kind", KINDS)
def test_conditions(kind):
    X, C = conditional()
    fitted = model(**{**KINDS[kind], "max_iter": 20}).fit(X, condition=C)
    assert np.diff(fitted.inverse_transform(np.zeros((3, 2)), condition=np.eye(3)), axis=0).any(axis=1).all()
    assert np.diff(fitted.transform(X[[0, 0]], condition=np.eye(3)[:2]), axis=0).all()
    assert fitted.elbo(X, condition=C).mean() > fitted.elbo(X, condition=C[::-1]).mean()
    assert np.isfinite(fitted.log_likelihood(X, n_samples=70, condition=C)).all()
    assert np.isfinite(fitted.kl_per_component_).all()
    path = fitted.interpolate(X[0], X[3], 4, condition=C[0])
    np.testing.assert_allclose(path[[0, -1]], fitted.reconstruct(X[[0, 3]], condition=C[[0, 0]]), rtol=1e-5, atol=1e-6)
    assert fitted.sample(3, 0, condition=C[:3]).shape == (3, 6)
    with pytest.raises(ValueError, match="condition"):
        fitted.elbo(X)
    with pytest.raises(ValueError, match="condition"):
        fitted.sample(2)


def test_a_decoder_that_is_told_the_condition_needs_no_code():
    X, C = conditional()
    with pytest.warns(UserWarning, match="active"):
        fitted = model(beta=20.0, max_iter=150, hidden_layer_sizes=(16,)).fit(X, condition=C)
    means = np.array([X[i::3].mean(axis=0) for i in range(3)])
    drawn = fitted.sample(30, random_state=0, condition=np.tile(np.eye(3), (10, 1)))
    np.testing.assert_allclose(drawn, np.tile(means, (10, 1)), atol=0.8)
    assert fitted.kl_per_component_.sum() < 0.1


def test_a_condition_of_several_draws_stands_beside_each():
    X, C = rows(), np.random.default_rng(3).normal(size=(61, 2))
    fitted = model(n_importance_samples=3).fit(X, condition=C)
    alone = np.concatenate([fitted.elbo(X[i : i + 1], condition=C[i : i + 1]) for i in range(61)])
    np.testing.assert_array_equal(fitted.elbo(X, condition=C), alone)


@pytest.mark.parametrize("kind", ["elbo", "iwae", "mixture", "vamp"])
def test_missing_values(kind):
    X = rows()
    plain, masked = (model(missing=how, **KINDS[kind]).fit(X) for how in ("error", "mask"))
    assert same_weights(plain, masked)
    np.testing.assert_array_equal(plain.elbo(X), masked.elbo(X))
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    fitted = model(missing="mask", **KINDS[kind]).fit(holes)
    assert np.isfinite(fitted.elbo(holes)).all() and np.isfinite(fitted.reconstruct(holes)).all()


def test_the_likelihood_of_missing_values_is_that_of_the_others():
    fitted = linear(0.0 * WEIGHT, OFFSET, 0.3, missing="mask", posterior=1.0)
    X = np.random.default_rng(1).normal(size=(4, 5))
    X[0, 1:] = X[1, 3] = np.nan
    X[2] = np.nan
    wanted = np.nansum(stats.norm.logpdf(X, OFFSET, np.sqrt(0.3)), axis=1)
    for found in (fitted.elbo(X), fitted.log_likelihood(X, n_samples=70)):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_clean_targets_of_another_width():
    X, Y = rows(), rows(61, 3, seed=1)
    fitted = model(corruption=Gaussian(0.1)).fit(X, X_clean=Y)
    assert fitted.reconstruct(X).shape == (61, 3)
    assert np.isfinite(fitted.elbo(X, X_clean=Y)).all()
    assert np.isfinite(fitted.log_likelihood(X, X_clean=Y, n_samples=5)).all()
    with pytest.raises(ValueError, match="X_clean is needed"):
        fitted.elbo(X)


def test_the_weight_of_the_divergence_follows_its_schedule():
    X = rows()
    seen = []

    def nothing(share):
        seen.append(share)
        return 0.0

    assert same_weights(model(beta_schedule=nothing).fit(X), model(beta=0.0).fit(X))
    assert seen == [0.0, 1 / 3, 2 / 3]
    assert same_weights(model(beta_schedule=lambda share: 1.0, beta=2.0).fit(X), model(beta=2.0).fit(X))
    linear, steps = model(beta_schedule="linear", max_iter=8), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert same_weights(linear.fit(X), model(beta_schedule=lambda share: steps[round(share * 8)], max_iter=8).fit(X))
    cyclical, steps = model(beta_schedule="cyclical", max_iter=16), [0, 0.5, 1, 1] * 4
    assert same_weights(
        cyclical.fit(X), model(beta_schedule=lambda share: steps[round(share * 16)], max_iter=16).fit(X)
    )
    for kind in ("beta_tc", "factor", "mmd", "iwae", "vamp"):
        parameters = {**KINDS[kind], "beta": 0.0}
        assert same_weights(model(**KINDS[kind], beta_schedule=nothing).fit(X), model(**parameters).fit(X))
    with pytest.raises(ValueError, match="beta_schedule answered -1"):
        model(beta_schedule=lambda share: -1).fit(X)


def test_passes_of_partial_fit_follow_the_schedule():
    X, seen = rows(), []

    def factor(share):
        seen.append(share)
        return share

    passes = model(beta_schedule=factor, max_iter=4)
    for _ in range(6):
        passes.partial_fit(X)
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    cyclical, plain = model(beta_schedule="cyclical", max_iter=2), model(beta_schedule=lambda share: float(share == 1))
    plain.set_params(max_iter=2)
    for _ in range(4):
        cyclical.partial_fit(X)
        plain.partial_fit(X)
    assert same_weights(cyclical, plain)


def test_beta_presses_and_free_bits_let_be():
    X = rows(200)
    settings = dict(noise_variance=1.0, max_iter=100, learning_rate_init=0.02)
    free = model(**settings, beta=20.0, free_bits=1.0).fit(X).kl_per_component_
    plain = model(**settings).fit(X).kl_per_component_
    with pytest.warns(UserWarning, match="active"):
        pressed = model(**settings, beta=20.0).fit(X).kl_per_component_
    assert (pressed < 0.05).all()
    assert (free > 0.5).all() and (plain > 0.8).all()


def test_a_fit_without_active_components_says_what_may_help():
    """As on rows in [0, 1], beside whose variance that of the likelihood was 1 (Lucas et al. 2019)."""
    X = 1.0 / (1.0 + np.exp(-rows(200)))
    with pytest.warns(UserWarning, match="none of the 2 components is active") as seen:
        collapsed = model(noise_variance=1.0, max_iter=100).fit(X)
    assert collapsed.active_units_ == 0
    for way in ("a noise_variance below 1.0, or 'shared'", "a beta below 1.0", "beta_schedule=", "free_bits above 0"):
        assert way in str(seen[0].message)
    pressed = model(likelihood="log_loss", prior="mixture", beta=50.0, beta_schedule="linear", max_iter=100)
    with pytest.warns(UserWarning, match=r"\. What may help: a beta below 50.0; more epochs than max_iter=100$"):
        pressed.fit(X)


def test_a_shared_variance_is_learned():
    """It lets the codes live on rows in [0, 1], and is what the reconstruction of draws leaves."""
    X = 1.0 / (1.0 + np.exp(-rows(400)))
    fitted = model(hidden_layer_sizes=(32,), max_iter=300).fit(X)
    assert fitted.active_units_ == 2
    assert fitted.noise_variance_ == pytest.approx(np.exp(fitted.other_parameters_["noise.bias"][0, 0]))
    means, deviations = fitted.encode_distribution(X)
    draws = np.random.default_rng(0).normal(means, deviations, size=(50, 400, 2))
    left = [np.mean((fitted.inverse_transform(z) - X) ** 2) for z in draws]
    assert fitted.noise_variance_ == pytest.approx(np.mean(left), rel=0.05)
    assert (fitted.feature_errors(X) >= 0).all()
    np.testing.assert_allclose(fitted.feature_errors(X), (fitted.reconstruct(X) - X) ** 2, rtol=1e-4, atol=1e-6)
    untrained = model(learning_rate_init=1e-9, hidden_layer_sizes=()).fit(X)
    assert untrained.noise_variance_ == pytest.approx(X.var(axis=0).mean(), rel=1e-4)
    clean = model(learning_rate_init=1e-9, hidden_layer_sizes=()).fit(X, X_clean=3.0 * X)
    assert clean.noise_variance_ == pytest.approx(9.0 * untrained.noise_variance_, rel=1e-4)
    with pytest.warns(UserWarning, match="active"):
        constant = model(max_iter=1).fit(np.zeros((50, 3)))
    assert constant.noise_variance_ == pytest.approx(np.exp(-10.0), rel=1e-2)
    assert not hasattr(model(noise_variance=0.5).fit(rows()), "noise_variance_")


def test_a_linear_network_learns_probabilistic_pca():
    """The bound of a linear network has its best value at the likelihood of probabilistic PCA, with its noise
    (Lucas et al. 2019, "Don't blame the ELBO!", section 4)."""
    X = rows(300, 6)
    exact = PCA(2).fit(X)
    fitted = model(
        hidden_layer_sizes=(), precision="float64", max_iter=3000, batch_size=300, alpha=0.0, learning_rate_init=0.02
    ).fit(X)
    assert fitted.noise_variance_ == pytest.approx(exact.noise_variance_ * 299 / 300, rel=0.05)
    assert fitted.log_likelihood(X, n_samples=2000).mean() == pytest.approx(exact.score(X), abs=0.05)


def test_total_correlation_knows_the_rows():
    X = rows()
    fitted = model(**KINDS["beta_tc"]).fit(X)
    node = next(node for node in fitted._spec["nodes"] if node["kind"] == "total_correlation")
    assert node["fields"]["value"] == (61.0,)


def test_a_discriminator_is_no_part_of_the_network():
    X = rows()
    fitted = model(**KINDS["factor"]).fit(X)
    assert len(fitted.coefs_) == len(fitted.intercepts_) == 5
    assert {name.partition(".")[0] for name in fitted.other_parameters_} == {
        "discriminator_0",
        "discriminator_1",
        "divergence",
        "noise",
    }
    assert [stage["groups"] for stage in fitted._spec["stages"]] == [1, 2]
    longer = model(**KINDS["factor"], max_iter=4).fit(X)
    for name, value in fitted.other_parameters_.items():
        assert not np.array_equal(value, longer.other_parameters_[name])


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_priors_of_components(prior):
    """The likelihood under the prior, by hand from one draw; draws come from the components."""
    X = rows(90, 2)
    fitted = model(
        prior=prior,
        n_prior_components=4,
        noise_variance=1.0,
        precision="float64",
        max_iter=30,
        hidden_layer_sizes=(),
    ).fit(X)
    means, log_variances, logits = _bound.mixture(fitted._spec, fitted._values())
    assert means.shape == log_variances.shape == (4, 2)
    if prior == "vamp":
        pseudo = fitted.other_parameters_["pseudo.inputs"]
        assert pseudo.shape == (4, 2)
        own, deviations = fitted.encode_distribution(pseudo)
        np.testing.assert_allclose(means, own, rtol=1e-12)
        np.testing.assert_allclose(np.exp(0.5 * log_variances), deviations, rtol=1e-12)
    nodes, _ = _bound._network(fitted._spec, 1, 0, closed=False)
    core, _ = next(_bound.predictors(fitted._spec, fitted._values(), 1, 1, closed=False))
    z = core.run([X, X], [node["name"] for node in nodes].index("z"), sampling=True)
    posterior = stats.norm.logpdf(z, *fitted.encode_distribution(X)).sum(axis=1)
    each = stats.norm.logpdf(z[:, None], means, np.exp(0.5 * log_variances)).sum(axis=2)
    under_prior = logsumexp(each + np.log(softmax(logits[0])), axis=1)
    given = stats.norm.logpdf(X, fitted.inverse_transform(z)).sum(axis=1)
    np.testing.assert_allclose(fitted.log_likelihood(X, n_samples=1), given + under_prior - posterior, rtol=1e-8)
    drawn = fitted.sample(4000, random_state=0)
    expected = fitted.inverse_transform((softmax(logits[0]) @ means)[np.newaxis])[0]
    assert np.abs(drawn.mean(axis=0) - expected).max() < 0.2


def test_pseudo_rows_start_at_rows():
    X = rows()
    fitted = model(prior="vamp", n_prior_components=5, learning_rate_init=1e-9).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(fitted.other_parameters_["pseudo.inputs"], X[[0, 15, 30, 45, 60]], atol=1e-4)


def test_samples_and_paths():
    X = rows()
    fitted = model(max_iter=20).fit(X)
    assert fitted.sample(4, random_state=1).shape == (4, 7)
    np.testing.assert_array_equal(fitted.sample(4, 1), fitted.sample(4, np.random.RandomState(1)))
    assert not np.array_equal(fitted.sample(4, 1), fitted.sample(4, 2))
    for method in ("linear", "spherical"):
        path = fitted.interpolate(X[0], X[1], 7, method=method)
        assert path.shape == (7, 7)
        np.testing.assert_allclose(path[[0, -1]], fitted.reconstruct(X[:2]), rtol=1e-4, atol=1e-5)
    exact = linear(WEIGHT, OFFSET, 0.3)
    codes = [exact.transform(exact.interpolate(*X[:2, :5], 5, method=m)) for m in ("linear", "spherical")]
    np.testing.assert_allclose(np.diff(codes[0], axis=0), np.tile(np.diff(codes[0], axis=0)[0], (4, 1)), atol=1e-9)
    same = fitted.interpolate(X[0], X[0], 3, method="spherical")
    np.testing.assert_allclose(same, np.tile(same[0], (3, 1)))
    for wrong in (dict(steps=1), dict(method="cubic")):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            fitted.interpolate(X[0], X[1], **wrong)
    for name in ("sample", "elbo", "log_likelihood"):
        with pytest.raises(ValueError, match="n_samples=0; allowed are whole numbers from 1"):
            getattr(fitted, name)(*([] if name == "sample" else [X]), n_samples=0)


def test_spherical_paths_keep_their_length():
    fitted = linear(np.eye(2), np.zeros(2), 1e-4)
    path = fitted.interpolate([2.0, 0.0], [0.0, 2.0], 5, method="spherical")
    angles = np.linspace(0, np.pi / 2, 5)
    np.testing.assert_allclose(path, 2 * np.column_stack([np.cos(angles), np.sin(angles)]), atol=1e-3)


def test_binary_draws_are_input_and_target():
    means = expit(rows())
    binary = (means > 0.5).astype(float)
    a, b = (model(likelihood="log_loss", corruption=part).fit(binary) for part in (None, Bernoulli()))
    assert same_weights(a, b)
    drawn = model(likelihood="log_loss", corruption=Bernoulli()).fit(means)
    assert not same_weights(drawn, model(likelihood="log_loss").fit(means))
    # A target of draws costs the entropy of the entries: their own means would be at a lower loss.
    with pytest.warns(UserWarning, match="active"):  # there is nothing to tell
        fitted = model(likelihood="log_loss", corruption=Bernoulli(), max_iter=30).fit(np.full((200, 7), 0.9))
    assert fitted.reconstruct(np.full((1, 7), 0.9)) == pytest.approx(0.9, abs=0.05)


def test_layers_and_tied_weights():
    X = rows()
    blocks = [Dense(6), BatchNorm()]
    fitted = model(
        encoder=blocks, hidden_layer_sizes=128, prior="vamp", n_prior_components=5, corruption=Masking(0.1)
    ).fit(sp.csr_matrix(X))
    assert np.isfinite(fitted.elbo(X)).all()
    tied = model(tied_weights=True).fit(X)
    assert len(tied.coefs_) == 3
    assert np.isfinite(tied.elbo(X)).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(objective="mmd", prior="vamp"), "prior='vamp'"),
        (dict(objective="beta_tc", n_importance_samples=2), "n_importance_samples=2"),
        (dict(objective="iwae", n_importance_samples=2, free_bits=0.1), "free_bits=0.1"),
        (dict(prior="mixture", free_bits=0.1), "free_bits=0.1"),
        (dict(prior="vamp", n_prior_components=70), "n_prior_components=70"),
        (dict(prior="vamp", n_prior_components=20, batch_size=10), "n_prior_components=20"),
        (dict(corruption=Masking(0.1, emphasis=(1, 0.5))), "emphasis"),
        (dict(solver="lbfgs"), "solver"),
        (dict(noise_variance=0.0), "noise_variance"),
        (dict(noise_variance="known"), "noise_variance"),
        (dict(likelihood="huber"), "likelihood"),
    ],
)
def test_what_does_not_go_together(wrong, message):
    with pytest.raises(ValueError, match=message):
        model(**wrong).fit(rows())


def test_range_of_the_likelihood():
    with pytest.raises(ValueError, match="log_loss"):
        model(likelihood="log_loss").fit(rows())
    fitted = model(likelihood="poisson").fit(counts())
    with pytest.raises(ValueError, match="poisson"):
        fitted.elbo(-counts() - 1)


# What a step assigns, and the components of a prior that its rows do not reach.
ASSIGNED = (".mean", ".variance", ".running_mean", ".running_variance", "divergence.means", "divergence.log_variances")


@pytest.mark.parametrize("kind", [*KINDS, "missing", "fixed", "learned", "negative_binomial", "beta_tc and condition"])
def test_gradients_by_differences(kind):
    """Of whole networks with batch norm over CSR rows, at random directions of all parameters."""
    parameters = {**KINDS.get(kind.partition(" and c")[0], {})}
    X = np.abs(rows(23, 6))
    if kind == "negative_binomial":
        parameters["likelihood"] = kind
    if kind in ("fixed", "learned"):
        parameters["noise_variance"] = {"fixed": 0.3}.get(kind, kind)
    if kind == "missing":
        parameters["missing"] = "mask"
        X[::3, 2] = np.nan
    if kind == "free bits":
        parameters["free_bits"] = 1e-3  # passes: the bend is not met
    fitted = model(
        **parameters,
        precision="float64",
        hidden_layer_sizes=128,
        encoder=[Dense(5, activation="tanh"), BatchNorm()],
        decoder=[Dense(5, activation="tanh")],
        clip_norm=1e9,
        batch_size=23,
    )
    C = np.random.default_rng(5).normal(size=(23, 2)) if "condition" in kind else None
    data = fitted._check_fit_data(sp.csr_matrix(X), None, C, None, None, reset=True)
    spec = fitted._description(data.rows)
    trainer = fitted._trainer(spec, 23, 7, n_epochs=1)
    trainer.bind(0, data.rows.sources(), None)
    fitted._start(trainer, spec, data.rows)
    names = [name for name, _, _ in trainer.parameters()]
    start = [trainer.get(i) for i in range(len(names))]
    _, gradients = trainer.gradient(0, True)
    random = np.random.default_rng(9)
    still = ASSIGNED if kind != "mixture" else ASSIGNED[:4]
    if kind == "factor":  # of the other stage
        still = (*still, *(name for name in names if name.startswith(("divergence", "discriminator"))))
    for _ in range(6):
        directions = [
            random.normal(size=value.shape) * (not name.endswith(still))
            for name, value in zip(names, start, strict=True)
        ]
        losses = []
        for step in (1e-5, -1e-5):
            for i, (value, direction) in enumerate(zip(start, directions, strict=True)):
                trainer.set(i, value + step * direction)
            losses.append(trainer.gradient(0, True)[0])
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_answers_that_are_no_codes_are_arrays_whatever_the_output_is_set_to():
    X = rows(40, 3)
    model = VariationalAutoencoder(2, max_iter=2, random_state=0).fit(X)
    means, deviations = model.encode_distribution(X)
    path = model.interpolate(X[0], X[1], 4)
    model.set_output(transform="pandas")
    for one, other in zip(model.encode_distribution(X), (means, deviations), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.interpolate(X[0], X[1], 4), path)
