"""Losses by column: terms against NumPy and SciPy, one range against the plain loss, bits, pickles, missing values."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, train_test_split

from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    _core,
)
from autoenc._spec import PLAIN_LOSSES
from autoenc.corruption import Masking
from autoenc.losses import ColumnLoss
from autoenc.sparsity import L1, Gated, Matryoshka

N = 120
# Nothing stands in order: the columns of kind and size are scattered, and losses alternate.
KIND, SIZE = [1, 4, 11], [6, 7]
BINARY, COUNTS, DISPERSED, PLAIN, ROBUST = [3, 9], [5], [2, 12], [0, 10], [8]
RANGES = [
    ("kind", "categorical", KIND),
    ("size", "categorical", SIZE),
    ("flags", "log_loss", BINARY),
    ("visits", "poisson", COUNTS),
    ("claims", "negative_binomial", DISPERSED),
]
LOSS = ColumnLoss([*RANGES, ("robust", "huber", ROBUST)])
LIKELIHOOD = ColumnLoss(RANGES)
COMMON = {"max_iter": 4, "random_state": 0, "batch_size": 32, "hidden_layer_sizes": (16,)}


def table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    kind, size = rng.integers(3, size=n), rng.integers(2, size=n)
    X = np.empty((n, 13))
    X[:, KIND], X[:, SIZE] = np.eye(3)[kind], np.eye(2)[size]
    X[:, BINARY] = rng.random((n, 2)) < 0.2 + 0.3 * kind[:, None]
    X[:, COUNTS] = rng.poisson(1.0 + 3.0 * size)[:, None]
    X[:, DISPERSED] = rng.negative_binomial(2, 0.3, size=(n, 2))
    X[:, PLAIN + ROBUST] = rng.normal(size=(n, 3)) + kind[:, None]
    return X


@pytest.fixture(scope="module")
def X():
    return table()


def same(a, b):
    for one, other in zip((*a.coefs_, *a.intercepts_), (*b.coefs_, *b.intercepts_), strict=True):
        assert_array_equal(one, other)
    assert_array_equal(a.loss_curve_, b.loss_curve_)


def outputs(model, X):
    """Values before the links, and second parameters, by NumPy from the weights."""
    dense = dict(zip((n for n, _, _ in model._spec["parameters"] if n.endswith(".weight")), model.coefs_, strict=True))
    bias = dict(
        zip((n for n, _, _ in model._spec["parameters"] if n.endswith(".bias")), model.intercepts_, strict=True)
    )
    code = model.transform(X)
    h = np.tanh(code @ dense["decoder_0.weight"] + bias["decoder_0.bias"])
    z, second = (h @ dense[f"{name}.weight"] + bias[f"{name}.bias"] for name in ("reconstruction", "second"))
    return z, second


def expected_terms(X, z, second, huber_delta=1.0):
    """The formulas of all ranges, by column."""
    terms = (z - X) ** 2
    for group in (KIND, SIZE):
        terms[:, group] = -X[:, group] * log_softmax(z[:, group], axis=1)
    terms[:, BINARY] = -X[:, BINARY] * log_expit(z[:, BINARY]) - (1 - X[:, BINARY]) * log_expit(-z[:, BINARY])
    x, log_rate = X[:, COUNTS], z[:, COUNTS]
    terms[:, COUNTS] = np.exp(log_rate) - x * log_rate + x * np.log(np.where(x > 0, x, 1.0)) - x
    theta, mean = np.exp(second), np.exp(z[:, DISPERSED])
    terms[:, DISPERSED] = -stats.nbinom.logpmf(X[:, DISPERSED], theta, theta / (theta + mean))
    d = np.abs(z[:, ROBUST] - X[:, ROBUST])
    terms[:, ROBUST] = np.where(d <= huber_delta, d**2 / 2, huber_delta * (d - huber_delta / 2))
    return terms


def expected_reconstruction(z):
    out = z.copy()
    for group in (KIND, SIZE):
        out[:, group] = softmax(z[:, group], axis=1)
    out[:, BINARY] = expit(z[:, BINARY])
    out[:, COUNTS + DISPERSED] = np.exp(z[:, COUNTS + DISPERSED])
    return out


WEIGHTS = {"kind": 0.5, "claims": 3.0, "remainder": 2.0}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_terms_reconstructions_and_scores_are_those_of_numpy(X, weights):
    loss = ColumnLoss(LOSS.losses, weights=weights)
    model = Autoencoder(3, loss=loss, huber_delta=0.7, activation="tanh", precision="float64", **COMMON).fit(X)
    z, second = outputs(model, X)
    factor = np.ones(13)
    if weights:
        factor[KIND], factor[DISPERSED], factor[PLAIN] = 0.5, 3.0, 2.0
    terms = expected_terms(X, z, second, 0.7) * factor
    assert_allclose(model.feature_errors(X), terms, rtol=1e-9, atol=1e-12)
    assert_allclose(model.score_samples(X), -terms.mean(axis=1), rtol=1e-10)
    assert model.score(X) == model.score_samples(X).mean()
    assert_allclose(model.reconstruct(X), expected_reconstruction(z), rtol=1e-10)
    assert_array_equal(model.inverse_transform(model.transform(X)), model.reconstruct(X))
    # The objective is the score: on validation rows there is neither corruption nor penalty.
    validated = clone(model).fit(X, X_val=table(50, 1))
    assert_allclose(min(validated.validation_loss_curve_), -validated.score(table(50, 1)), rtol=1e-12)


def split(loss):
    """The same loss for all columns, as one range and, where columns do not hang together, as two that interlace."""
    yield [("all", loss, range(40))]
    if loss != "multinomial":
        yield [("a", loss, slice(0, None, 3)), ("b", loss, [i for i in range(40) if i % 3])]


@pytest.mark.parametrize("loss", PLAIN_LOSSES)
def test_one_loss_for_all_columns_is_the_plain_loss_to_the_bit(loss):
    X = np.random.default_rng(0).random((N, 40))
    plain = Autoencoder(3, loss=loss, **COMMON).fit(X)
    for losses in split(loss):
        mapped = Autoencoder(3, loss=ColumnLoss(losses), **COMMON).fit(X)
        same(plain, mapped)
        for method in ("score_samples", "feature_errors", "reconstruct"):
            assert_array_equal(getattr(plain, method)(X), getattr(mapped, method)(X))


@pytest.mark.parametrize("likelihood", ["squared_error", "learned", "log_loss", "poisson", "negative_binomial"])
def test_one_range_over_all_columns_is_the_plain_likelihood_to_the_bit(likelihood):
    X = np.random.default_rng(0).random((N, 9))
    choice = {"noise_variance": "learned"} if likelihood == "learned" else {}
    likelihood = "squared_error" if likelihood == "learned" else likelihood
    plain = VariationalAutoencoder(2, likelihood=likelihood, **choice, **COMMON).fit(X)
    mapped = clone(plain).set_params(likelihood=ColumnLoss([], remainder=likelihood)).fit(X)
    assert_array_equal(plain.loss_curve_, mapped.loss_curve_)
    assert_array_equal(plain.elbo(X), mapped.elbo(X))
    assert_array_equal(plain.log_likelihood(X, n_samples=70), mapped.log_likelihood(X, n_samples=70))
    assert_array_equal(plain.feature_errors(X), mapped.feature_errors(X))


def test_columns_in_another_order_are_the_same_network(X):
    """With its weights in the same order: everything but the order of sums."""
    order = np.random.default_rng(1).permutation(13)
    place = np.argsort(order)  # where each column has gone
    moved = [(name, loss, place[columns]) for name, loss, columns in LOSS.losses]
    settings = {**COMMON, "precision": "float64"}
    one = Autoencoder(2, loss=ColumnLoss(LOSS.losses, weights=WEIGHTS), **settings).fit(X)
    other = Autoencoder(2, loss=ColumnLoss(moved, weights=WEIGHTS), **settings).fit(X[:, order])
    second = np.argsort(place[DISPERSED])  # dispersions stand in the order of their columns
    first, *inner, out, dispersion = one.coefs_
    other.coefs_ = [first[order], *inner, out[:, order], dispersion[:, second]]
    *inner, out, dispersion = one.intercepts_
    other.intercepts_ = [*inner, out[order], dispersion[second]]
    moved_rows = np.ascontiguousarray(X[:, order])
    assert_allclose(other.score_samples(moved_rows), one.score_samples(X), rtol=1e-10)
    assert_allclose(other.feature_errors(moved_rows), one.feature_errors(X)[:, order], rtol=1e-8, atol=1e-12)
    assert_allclose(other.reconstruct(moved_rows), one.reconstruct(X)[:, order], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("learned", [False, True])
def test_likelihoods_are_scipys(X, learned):
    """A decoder that ignores the code, and codes that are the prior: all bounds are the likelihood."""
    choice = {"noise_variance": "learned" if learned else 0.7}
    fitted = VariationalAutoencoder(2, likelihood=LIKELIHOOD, precision="float64", **choice, **COMMON).fit(X)
    names = [entry[0].partition(".")[0] for entry in fitted._spec["parameters"] if entry[0].endswith(".weight")]
    ignored = ("mean", "log_variance", "second", "reconstruction")
    fitted.coefs_ = [w * (n not in ignored) for w, n in zip(fitted.coefs_, names, strict=True)]
    by_name = dict(zip(names, fitted.intercepts_, strict=True))
    by_name["mean"], by_name["log_variance"] = np.zeros(2), np.zeros(2)
    fitted.intercepts_ = [by_name[n] for n in names]
    z, numbers = by_name["reconstruction"], PLAIN + ROBUST
    z = np.tile(z, (N, 1))
    # Second parameters stand part after part, by first column.
    second = by_name["second"]
    with_second = sorted(numbers + DISPERSED) if learned else DISPERSED
    assert len(second) == len(with_second)
    second = dict(zip(with_second, second, strict=True))
    theta = np.exp([second[i] for i in DISPERSED])
    scale = np.exp(0.5 * np.array([second[i] for i in numbers])) if learned else np.sqrt(0.7)
    wanted = stats.norm.logpdf(X[:, numbers], z[:, numbers], scale).sum(axis=1)
    for group in (KIND, SIZE):
        wanted += (X[:, group] * log_softmax(z[:, group], axis=1)).sum(axis=1)
    wanted += stats.bernoulli.logpmf(X[:, BINARY], expit(z[:, BINARY])).sum(axis=1)
    wanted += stats.poisson.logpmf(X[:, COUNTS], np.exp(z[:, COUNTS])).sum(axis=1)
    mean = np.exp(z[:, DISPERSED])
    wanted += stats.nbinom.logpmf(X[:, DISPERSED], theta, theta / (theta + mean)).sum(axis=1)
    for found in (fitted.elbo(X), fitted.log_likelihood(X, n_samples=70), fitted.score_samples(X)):
        assert_allclose(found, wanted, rtol=1e-8)


def test_probabilities_of_classes_are_scored_by_cross_entropy():
    """No multinomial coefficient, which is not zero for fractions."""
    X = np.random.default_rng(0).dirichlet(np.ones(4), size=N)
    likelihood = ColumnLoss([("all", "categorical", slice(None))])
    model = VariationalAutoencoder(2, likelihood=likelihood, precision="float64", **COMMON)
    with pytest.warns(UserWarning, match="posterior collapse"):  # such probabilities have nothing to tell
        fitted = model.fit(X)
    kl = fitted._posterior(X, None)[2].sum(axis=1)
    bound = fitted.elbo(X, n_samples=64) + kl
    assert (bound < 0).all() and (
        bound <= (X * np.log(X)).sum(axis=1) + 1e-9
    ).all()  # Gibbs: no better than the entropy


def test_the_output_starts_at_the_means(X):
    rows = np.vstack([X, X[:1] * 0])
    rows[-1, KIND], rows[-1, SIZE] = 0.0, 0.0
    model = Autoencoder(2, loss=LOSS, learning_rate_init=1e-12, precision="float64", **{**COMMON, "max_iter": 1})
    model.fit(rows, sample_weight=np.arange(len(rows)))
    bias = model.intercepts_[-2]  # the last are those of the dispersions
    mean = np.average(rows, axis=0, weights=np.arange(len(rows)))
    mean[KIND] /= mean[KIND].sum()
    mean[SIZE] /= mean[SIZE].sum()
    assert_allclose(expected_reconstruction(bias[None])[0], mean, rtol=1e-6)


NETWORKS = {
    "plain": Autoencoder(3, loss=LOSS, **COMMON),
    "weighted": Autoencoder(3, loss=ColumnLoss(LOSS.losses, weights=WEIGHTS), tied_weights=True, **COMMON),
    "denoising": DenoisingAutoencoder(
        3, loss=LOSS, corruption_level=None, corruption=Masking(0.3, emphasis=(1.0, 0.5)), missing="mask", **COMMON
    ),
    "swap": DenoisingAutoencoder(3, loss=LOSS, noise="swap", corruption_level=0.2, **COMMON),
    "sparse": SparseAutoencoder(20, k=4, loss=LOSS, **{**COMMON, "hidden_layer_sizes": ()}),
    "gated": SparseAutoencoder(20, k=None, sparsity=Gated(), loss=LOSS, **COMMON),
    "matryoshka": Autoencoder(8, sparsity=Matryoshka((2, 8), sparsity=L1(1e-3)), loss=LOSS, **COMMON),
    "contractive": ContractiveAutoencoder(3, loss=LOSS, **COMMON),
    "pretrained": Autoencoder(3, loss=LOSS, pretrain="layerwise", pretrain_max_iter=2, **COMMON),
    "quantised": VectorQuantizedAutoencoder(4, n_codes=8, loss=LOSS, **COMMON),
    "hashing": HashingAutoencoder(9, loss=LOSS, **COMMON),
    "variational": VariationalAutoencoder(2, likelihood=LIKELIHOOD, noise_variance="learned", **COMMON),
    "importance": VariationalAutoencoder(
        2, likelihood=LIKELIHOOD, objective="iwae", n_importance_samples=3, missing="mask", **COMMON
    ),
    "vamp": VariationalAutoencoder(2, likelihood=LIKELIHOOD, prior="vamp", n_prior_components=5, **COMMON),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_bits_of_threads_and_inputs(X, kind, precision):
    X = X.astype(precision)
    one, *others = [clone(NETWORKS[kind]).set_params(n_jobs=n, precision=precision).fit(X) for n in (1, 2, 8)]
    sparse = clone(NETWORKS[kind]).set_params(precision=precision).fit(sp.csr_matrix(X))
    for other in (*others, sparse):
        same(one, other)
    for method in ("transform", "reconstruct", "score_samples", "feature_errors"):
        whole = getattr(one, method)(X)
        assert np.isfinite(whole).all()
        for other in others:
            assert_array_equal(getattr(other, method)(X), whole)
        assert_array_equal(getattr(sparse, method)(sp.csr_matrix(X)), whole)
        assert_array_equal(np.concatenate([getattr(one, method)(X[i : i + 7]) for i in range(0, N, 7)]), whole)
        assert_array_equal(getattr(one, method)(X[::-1]), whole[::-1])
    if not isinstance(one, VariationalAutoencoder):
        tolerance = 1e-5 if precision == "float32" else 1e-12
        assert_allclose(one.feature_errors(X).mean(axis=1), -one.score_samples(X), rtol=tolerance)
        assert (one.feature_errors(X) >= 0).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_state(X, kind):
    model = clone(NETWORKS[kind]).fit(X)
    for other in (pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(model.predictor()))):
        for method in ("transform", "reconstruct", "score_samples"):
            assert_array_equal(getattr(other, method)(X), getattr(model, method)(X))
        assert_array_equal(other.inverse_transform(model.transform(X)), model.inverse_transform(model.transform(X)))
    assert model.predictor().score_samples(X[3]) == model.score_samples(X)[3]
    same(clone(model).fit(X), model)
    before = model.score(X)
    warm = pickle.loads(pickle.dumps(model)).set_params(warm_start=True, max_iter=40).fit(X)
    assert warm.score(X) > before
    name = "likelihood" if isinstance(model, VariationalAutoencoder) else "loss"
    with pytest.raises(ValueError, match=f"{name} from "):
        fewer = [(who, loss, [3] if who == "flags" else columns) for who, loss, columns in getattr(model, name).losses]
        warm.set_params(**{f"{name}__losses": fewer}).fit(X)
    if kind != "pretrained":
        whole, parts = clone(NETWORKS[kind]), clone(NETWORKS[kind])
        for _ in range(3):
            whole.partial_fit(X)
            parts = pickle.loads(pickle.dumps(parts)).partial_fit(X)
        same(whole, parts)


@pytest.mark.parametrize("kind", ["plain", "gated", "variational", "denoising"])
def test_targets_and_conditions_of_their_own(X, kind):
    """The ranges are those of X_clean, whose columns are others than those of X."""
    noisy = np.random.default_rng(0).normal(size=(N, 5)) + X[:, [0]]
    condition = X[:, KIND]
    model = clone(NETWORKS[kind])
    if kind == "denoising":
        model.set_params(corruption=Masking(0.3))
    model.fit(noisy, X_clean=X, condition=condition, X_val=(noisy[:9], X[:9], condition[:9]))
    assert model.reconstruct(noisy, condition=condition).shape == X.shape
    errors = model.feature_errors(noisy, X_clean=X, condition=condition)
    assert errors.shape == X.shape
    scores = model.score_samples(noisy, X_clean=X, condition=condition)
    predictor = model.predictor()
    assert_array_equal(predictor.score_samples(noisy, X_clean=X, condition=condition), scores)
    if kind != "variational":
        assert_allclose(errors.mean(axis=1), -scores, rtol=1e-5)
    # A row that is its own target is scored like a pair of itself.
    plain = clone(NETWORKS[kind]).fit(X)
    assert_array_equal(plain.score_samples(X, X_clean=X.copy()), plain.score_samples(X))


def holes(X, seed=3):
    """Values of X, those of a softmax all together, become NaN."""
    rng = np.random.default_rng(seed)
    out = X.copy()
    for columns in (KIND, SIZE, *([i] for i in BINARY + COUNTS + DISPERSED + PLAIN + ROBUST)):
        out[np.ix_(rng.random(len(X)) < 0.25, columns)] = np.nan
    return out


@pytest.mark.parametrize("given", [False, True])
def test_missing_values_have_no_part(X, given):
    rows = holes(X)
    settings = {**COMMON, "activation": "tanh", "precision": "float64", "missing": "mask", "max_iter": 10}
    model = Autoencoder(3, loss=LOSS, **settings)
    pairs = {"X_clean": rows} if given else {}
    source = np.nan_to_num(rows) if given else rows
    model.fit(source, **pairs)
    terms = expected_terms(np.nan_to_num(rows), *outputs(model, source))
    present = ~np.isnan(rows)
    n = np.maximum(present.sum(axis=1, keepdims=True), 1)
    # Terms are scaled so that their mean over all columns is the one over those that are there.
    expected = np.where(present, terms, 0.0) * 13 / n
    assert_allclose(model.feature_errors(source, **pairs), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(model.score_samples(source, **pairs), -expected.mean(axis=1), rtol=1e-9)
    sparse = clone(model).fit(sp.csr_matrix(source), **pairs)
    same(sparse, model)
    assert not np.isnan(model.reconstruct(source)).any()
    assert_array_equal(model.predictor().score_samples(source, **pairs), model.score_samples(source, **pairs))


def test_a_mask_without_nan_is_the_plain_fit(X):
    settings = {**COMMON, "precision": "float64"}
    plain = Autoencoder(3, loss=LOSS, **settings).fit(X)
    masked = Autoencoder(3, loss=LOSS, missing="mask", **settings).fit(X)
    for a, b in zip(plain.coefs_ + plain.intercepts_, masked.coefs_ + masked.intercepts_, strict=True):
        assert_array_equal(a, b)
    assert_allclose(masked.score_samples(X), plain.score_samples(X), rtol=1e-12)


def test_missing_values_of_a_likelihood(X):
    """The bound is on what is there: a column that nobody observes has none."""
    rows = X.copy()
    rows[:, KIND] = np.nan
    model = VariationalAutoencoder(2, likelihood=LIKELIHOOD, missing="mask", precision="float64", **COMMON)
    with pytest.warns(UserWarning, match="no observed value in the columns"):
        model.fit(rows)
    errors = model.feature_errors(rows)
    assert (errors[:, KIND] == 0).all() and (errors[:, SIZE].sum(axis=1) > 0).all()
    one = rows.copy()
    one[:, :] = np.nan
    kl = model._posterior(one, None)[2].sum(axis=1)
    assert_allclose(model.elbo(one), -kl, rtol=1e-10)


def test_emphasis_weighs_the_terms_of_what_was_corrupted(X):
    """With weight zero for what was left alone and rate near zero, hardly anything is learned."""
    settings = {**COMMON, "max_iter": 20, "corruption_level": None, "loss": LOSS}
    some = DenoisingAutoencoder(3, corruption=Masking(1e-9, emphasis=(1.0, 0.0)), **settings).fit(X)
    assert_allclose(some.loss_curve_, 0.0, atol=1e-12)
    alike = DenoisingAutoencoder(3, corruption=Masking(0.3, emphasis=(1.0, 1.0)), **settings).fit(X)
    plain = DenoisingAutoencoder(3, corruption=Masking(0.3), **settings).fit(X)
    assert_allclose(alike.loss_curve_, plain.loss_curve_, rtol=1e-5)
    half = DenoisingAutoencoder(3, corruption=Masking(0.3, emphasis=(0.5, 0.5)), alpha=0.0, **settings).fit(X)
    assert_allclose(half.loss_curve_[0], 0.5 * plain.loss_curve_[0], rtol=0.05)


@pytest.mark.parametrize("kind", ["plain", "variational"])
def test_weights_of_rows_are_repetitions(X, kind):
    weights = np.arange(N) % 3
    settings = {"solver": "lbfgs", "precision": "float64", "max_iter": 15, "batch_size": "auto"}
    if kind == "variational":
        model = clone(NETWORKS[kind]).fit(X, sample_weight=weights)
        again = clone(NETWORKS[kind]).fit(X, sample_weight=2.0 * weights)
        same(model, again)
        return
    with pytest.warns(UserWarning, match="lbfgs"):
        model = clone(NETWORKS[kind]).set_params(**settings).fit(X, sample_weight=weights)
        repeated = clone(NETWORKS[kind]).set_params(**settings).fit(np.repeat(X, weights, axis=0))
    same(model, repeated)
    assert model.score(X, sample_weight=weights) == np.average(model.score_samples(X), weights=weights)


def test_all_zero_rows_of_a_softmax_cost_nothing(X):
    rows = X.copy()
    rows[:40, KIND] = 0.0
    model = Autoencoder(3, loss=LOSS, **COMMON).fit(rows)
    errors = model.feature_errors(rows)
    assert (errors[:40, KIND] == 0).all() and (errors[40:, KIND].sum(axis=1) > 0).all()
    assert_allclose(model.reconstruct(rows)[:, KIND].sum(axis=1), 1.0, rtol=1e-5)


def test_bytes(X):
    bytes_ = np.abs(X).round().astype(np.uint8)
    model = Autoencoder(3, loss=LOSS, **COMMON).fit(bytes_)
    same(model, clone(model).fit(bytes_.astype(np.float32)))
    assert_array_equal(model.score_samples(bytes_), model.score_samples(bytes_.astype(np.float32)))


def test_classifiers_take_it(X):
    y = X[:, KIND].argmax(axis=1)
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(13)])
    named = [(name, loss, [f"c{i}" for i in columns]) for name, loss, columns in LOSS.losses]
    settings = {**COMMON, "fine_tune_max_iter": 60, "reconstruction_weight": 0.1, "pretrain": "layerwise"}
    model = AutoencoderClassifier(4, loss=ColumnLoss(named), **settings).fit(frame, y)
    array = AutoencoderClassifier(4, loss=LOSS, **settings).fit(X, y)
    for a, b in zip(model.coefs_ + model.intercepts_, array.coefs_ + array.intercepts_, strict=True):
        assert_array_equal(a, b)
    assert model.score(frame, y) > 0.6
    with pytest.raises(ValueError, match=r"Negative values in data: the loss 'categorical' of 'kind' .* column 'c\d"):
        model.fit(-frame, y)


def test_grids(X):
    grid = {"loss": ["squared_error", LOSS], "n_components": [1, 2]}
    search = GridSearchCV(Autoencoder(**COMMON), grid, scoring=lambda m, X, y=None: m.score(X), cv=2).fit(X)
    assert search.best_params_["n_components"] in (1, 2)
    nested = {"loss__weights": [None, {"kind": 5.0}], "loss__remainder": ["squared_error", "huber"]}
    assert len(GridSearchCV(Autoencoder(loss=LOSS, **COMMON), nested, cv=2).fit(X).cv_results_["params"]) == 4


N_NUMBERS = 7
SOFTMAXES, SEX = {"pressure": slice(7, 10), "decade": slice(10, 17)}, 17


def patients():
    """Diabetes patients: measurements; third of the blood pressure and decade of age as one-hot columns; sex."""
    X = load_diabetes(scaled=False).data
    third = np.eye(3)[np.searchsorted(np.quantile(X[:, 3], [1 / 3, 2 / 3]), X[:, 3])]
    decade = np.floor(X[:, [0]] / 10.0) == np.arange(1, 8)
    return np.hstack([X[:, [2, 4, 5, 6, 7, 8, 9]], third, decade, X[:, [1]] - 1.0])


def log_probability(X, R, log_variance, *, by_column):
    """Nats per row given its code. A discrete variable has the probability of what it is among what it could be; where
    its likelihood was normal, from the densities at all possible values."""
    scale = np.exp(0.5 * log_variance)
    total = stats.norm.logpdf(X[:, :N_NUMBERS], R[:, :N_NUMBERS], scale[:, :N_NUMBERS]).sum(axis=1)
    if by_column:
        total += sum(np.log((X[:, columns] * R[:, columns]).sum(axis=1)) for columns in SOFTMAXES.values())
        return total + stats.bernoulli.logpmf(X[:, SEX], R[:, SEX])
    for columns in (*SOFTMAXES.values(), slice(SEX, SEX + 1)):
        x, r, s = X[:, columns], R[:, columns], scale[:, columns]
        could_be = np.eye(x.shape[1]) if x.shape[1] > 1 else np.array([[0.0], [1.0]])
        possible = [stats.norm.logpdf(row, r, s).sum(axis=1) for row in could_be]
        total += stats.norm.logpdf(x, r, s).sum(axis=1) - logsumexp(possible, axis=0)
    return total


def held_out(model, X, units=None, n_draws=200):
    """Mean log-likelihood of rows in nats by importance sampling; `units`: mean and deviation of each column, for a
    network that saw these."""
    means, deviations = model.encode_distribution(X if units is None else (X - units[0]) / units[1])
    rng = np.random.default_rng(0)
    weights = []
    for _ in range(n_draws):
        noise = rng.normal(size=means.shape)
        z = (means + deviations * noise).astype(np.float32)
        second = np.clip(model._run(z, "second", _core.VALUES, start="mean", dtype=np.float64), -10.0, 10.0)
        R = model.inverse_transform(z).astype(float)
        if units is not None:
            R, second = units[0] + units[1] * R, second + 2.0 * np.log(units[1])
        given = log_probability(X, R, second, by_column=units is None)
        weights.append(given + 0.5 * (noise**2 - z**2).sum(axis=1) + np.log(deviations).sum(axis=1))
    return float((logsumexp(weights, axis=0) - np.log(n_draws)).mean())


@pytest.mark.slow
def test_likelihoods_by_column_predict_a_mixed_table_better():
    """With learned variances; the normal network has all columns standardised and is told what values there are."""
    loss = ColumnLoss(
        [(name, "categorical", columns) for name, columns in SOFTMAXES.items()] + [("sex", "log_loss", SEX)]
    )
    for seed in range(3):
        train, test = train_test_split(patients(), random_state=seed, test_size=0.4)
        numbers = slice(N_NUMBERS)
        mean, scale = train[:, numbers].mean(axis=0), train[:, numbers].std(axis=0)
        for part in (train, test):
            part[:, numbers] = (part[:, numbers] - mean) / scale
        units = train.mean(axis=0), train.std(axis=0)
        settings = {"hidden_layer_sizes": (32,), "max_iter": 100, "noise_variance": "learned", "random_state": seed}
        ours = VariationalAutoencoder(3, likelihood=loss, **settings).fit(train)
        plain = VariationalAutoencoder(3, **settings).fit((train - units[0]) / units[1])
        found, normal = held_out(ours, test), held_out(plain, test, units)
        assert found > normal + 0.5, (found, normal)
        # What the estimator says is the same likelihood.
        assert abs(ours.log_likelihood(test, n_samples=1000).mean() - found) < 0.2
