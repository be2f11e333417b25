"""Codes of bits and neighbours by them."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from autoenc import Autoencoder, HashingAutoencoder
from autoenc._fitting import FitData, Rows
from autoenc.corruption import Masking
from autoenc.penalties import Decorrelation, Orthogonality

METHODS = ["noise", "bernoulli", "straight_through"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:900].astype(np.float32) / 16, y[:900]


def estimator(n_bits=20, **parameters):
    return HashingAutoencoder(n_bits, **{"max_iter": 10, "random_state": 0, **parameters})


def learned(model):
    return [*model.coefs_, *model.intercepts_, *model.other_parameters_.values(), model.hashes_]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_bits", [1, 7, 8, 33])
def test_codes_are_bits(digits, method, n_bits):
    X, _ = digits
    model = estimator(n_bits, method=method, max_iter=3).fit(X)
    bits, hashes = model.transform(X), model.hash(X)
    assert bits.shape == (len(X), n_bits) and bits.dtype == np.float32
    assert set(np.unique(bits)) <= {0.0, 1.0}
    assert model.transform(X.astype(np.float64)).dtype == np.float64
    assert hashes.dtype == np.uint8 and hashes.shape == (len(X), (n_bits + 7) // 8)
    assert_array_equal(hashes, np.packbits(bits.astype(bool), axis=1))
    assert_array_equal(np.unpackbits(hashes, axis=1, count=n_bits), bits)
    assert_array_equal(model.hashes_, hashes)
    assert_array_equal(model.inverse_transform(bits), model.reconstruct(X))
    assert_array_equal(bits, model._run(X, "logits") > 0)


@pytest.mark.parametrize("method", METHODS)
def test_bits_tell_rows_apart(digits, method):
    X, y = digits
    model = estimator(32, method=method, max_iter=60).fit(X[:600])
    found = model.kneighbors(X[600:], 10, return_distance=False)
    assert np.mean(y[:600][found] == y[600:, None]) > 0.7
    assert -model.score(X[600:]) < 0.75 * X.var(axis=0).mean()


@pytest.mark.parametrize("method", METHODS)
def test_balance(digits, method):
    X, _ = digits
    away = {}
    for weight in (0.0, 0.01):
        model = estimator(16, method=method, balance_weight=weight, max_iter=40).fit(X)
        away[weight] = np.mean((model.transform(X).mean(axis=0) - 0.5) ** 2)
    print(away)
    assert away[0.01] < 0.7 * away[0.0]


def brute_force(codes, queries, k, *, own=False):
    distances = np.unpackbits(queries[:, None] ^ codes, axis=2).sum(axis=2, dtype=np.int64)
    ranked = distances.copy()
    if own:
        np.fill_diagonal(ranked, 10**6)
    order = np.argsort(ranked, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


@pytest.mark.parametrize("n_bits", [3, 20, 70])
@pytest.mark.parametrize("k", [1, 5, 599])
def test_neighbours_equal_brute_force(digits, n_bits, k):
    X, _ = digits
    model = estimator(n_bits, max_iter=3).fit(X[:600])
    queries = model.hash(X[600:])
    distances, indices = model.kneighbors(X[600:], k)
    expected = brute_force(model.hashes_, queries, k)
    assert_array_equal(distances, expected[0])
    assert_array_equal(indices, expected[1])
    assert_array_equal(model.kneighbors(X[600:], n_neighbors=k, return_distance=False), indices)
    # Of the rows among themselves none is its own, though 3 bits make most of them equal.
    distances, indices = model.kneighbors(n_neighbors=k)
    expected = brute_force(model.hashes_, model.hashes_, k, own=True)
    assert_array_equal(distances, expected[0])
    assert_array_equal(indices, expected[1])
    assert not (indices == np.arange(600)[:, None]).any()


def test_another_index(digits):
    X, _ = digits
    model = estimator().fit(X[:300])
    weights = [array.copy() for array in model.coefs_]
    assert model.index(X[300:]) is model
    assert_array_equal(model.hashes_, model.hash(X[300:]))
    distances, indices = model.kneighbors(X[300:310], 1)
    assert not distances.any()
    assert_array_equal(model.hashes_[indices[:, 0]], model.hash(X[300:310]))
    for before, after in zip(weights, model.coefs_, strict=True):
        assert_array_equal(before, after)
    # A pass is a fit to its rows.
    assert len(model.partial_fit(X[:70]).hashes_) == 70
    assert_array_equal(model.hashes_, model.hash(X[:70]))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_threads_do_not_show(digits, method, precision):
    X, _ = digits
    reference = None
    for n_jobs in (1, 2, 3, 8):
        model = estimator(method=method, precision=precision, n_jobs=n_jobs, max_iter=4).fit(X)
        parts = [*learned(model), model.loss_curve_, model.transform(X), model.hash(X), model.reconstruct(X)]
        parts += [model.score_samples(X), *model.kneighbors(X[:50]), *model.kneighbors()]
        reference = reference or parts
        for one, other in zip(reference, parts, strict=True):
            assert_array_equal(one, other)


def test_a_row_does_not_depend_on_its_company(digits):
    X, _ = digits
    model = estimator().fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    neighbours = [lambda X: model.kneighbors(X, 7)[0], lambda X: model.kneighbors(X, 7)[1]]
    for method in (model.transform, model.hash, model.reconstruct, model.score_samples, *neighbours):
        whole = method(X)
        assert_array_equal(method(X), whole)
        assert_array_equal(method(X[order]), whole[order])
        for size in (1, 97, 191):
            assert_array_equal(
                np.concatenate([method(X[i : i + size]) for i in range(0, 300, size)])[:300], whole[:300]
            )


def test_codes_of_blocks_are_those_of_the_whole():
    X = np.random.default_rng(0).normal(size=(9000, 5)).astype(np.float32)
    model = estimator(12, max_iter=1).fit(X)
    assert_array_equal(model.hashes_, np.packbits(model.transform(X) > 0, axis=1))
    # Among themselves too: the nearest other row has the same code where there is one.
    distances, indices = model.kneighbors(n_neighbors=1)
    several = np.unique(model.hashes_, axis=0, return_inverse=True, return_counts=True)
    alone = several[2][several[1].ravel()] == 1
    assert_array_equal(distances[:, 0] > 0, alone)
    assert (indices[:, 0] != np.arange(9000)).all()


def word_counts(n_documents=600, n_words=120, n_topics=6):
    """Documents of 30 to 60 words, each mostly of one topic's."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(n_words, 0.05), size=n_topics)
    labels = rng.integers(n_topics, size=n_documents)
    counts = [rng.multinomial(rng.integers(30, 60), 0.8 * topics[label] + 0.2 / n_words) for label in labels]
    return sp.csr_matrix(np.array(counts, dtype=np.float32)), labels


@pytest.mark.parametrize("method", METHODS)
def test_semantic_hashing_of_word_counts(method):
    X, topics = word_counts()
    model = HashingAutoencoder(16, loss="multinomial", method=method, max_iter=40, random_state=0).fit(X[:500])
    found = model.kneighbors(X[500:], 20, return_distance=False)
    assert np.mean(topics[:500][found] == topics[500:, None]) > 0.8
    assert_allclose(model.reconstruct(X).sum(axis=1), 1.0, rtol=1e-4)
    assert_array_equal(model.hash(X), model.hash(X.toarray()))
    assert_array_equal(model.hash(X[7]), model.hash(X)[7:8])


def test_state_goes_along(digits):
    X, _ = digits
    model = estimator().fit(X)
    copy = pickle.loads(pickle.dumps(model))
    for one, other in zip(model.kneighbors(X[:9]), copy.kneighbors(X[:9]), strict=True):
        assert_array_equal(one, other)
    assert_array_equal(model.predictor()(X), model.transform(X))
    warm = copy.set_params(warm_start=True).fit(X)
    assert warm.score(X) > model.score(X)
    with pytest.raises(ValueError, match="n_components from 20 to 21"):
        warm.set_params(n_bits=21).fit(X)
    other = estimator()
    one = estimator()
    for _ in range(3):
        one.partial_fit(X)
        other = pickle.loads(pickle.dumps(other.partial_fit(X)))
    for a, b in zip(learned(one), learned(other), strict=True):
        assert_array_equal(a, b)


def test_with_other_parts(digits):
    X, y = digits
    labels = np.eye(10, dtype=np.float32)[y]
    model = estimator(corruption=Masking(0.1), tied_weights=True).fit(X)
    assert len(model.coefs_) == 2
    model = estimator().fit(X, condition=labels)
    assert_array_equal(model.hashes_, model.hash(X, condition=labels))
    assert model.kneighbors(X[:5], 3, condition=labels[:5])[1].shape == (5, 3)
    assert model.index(X[:7], condition=labels[:7]).kneighbors(n_neighbors=2)[0].shape == (7, 2)
    with pytest.raises(ValueError, match="condition is given without X"):
        model.kneighbors(condition=labels)
    # The layers of a pretraining end at the input of the bits.
    start = estimator(pretrain_max_iter=3, pretrain="layerwise")._initial(FitData(Rows(X), None, None), 5)
    first = Autoencoder(128, hidden_layer_sizes=(), latent_activation="gelu", max_iter=3, random_state=5).fit(X)
    last = Autoencoder(20, hidden_layer_sizes=(), output_activation="gelu", max_iter=3, random_state=6)
    last.fit(first.transform(X))
    assert_array_equal(start["encoder_0.weight"], first.coefs_[0])
    assert_array_equal(start["logits.weight"], last.coefs_[0])
    assert_array_equal(start["logits.bias"], last.intercepts_[0])
    assert estimator(pretrain_max_iter=3, pretrain="layerwise").fit(X).hashes_.shape == (900, 3)
    X_missing = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    masked = estimator(missing="mask").fit(X_missing)
    assert_array_equal(masked.hashes_, masked.hash(X_missing))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_bits": 0}, "The 'n_bits' parameter"),
        ({"n_bits": 2.5}, "The 'n_bits' parameter"),
        ({"n_bits": 2**31}, "n_bits has a layer of"),
        ({"method": "sign"}, "The 'method' parameter"),
        ({"noise_std": -1}, "The 'noise_std' parameter"),
        ({"balance_weight": -1}, "The 'balance_weight' parameter"),
        ({"solver": "lbfgs"}, "solver='lbfgs' does not go with codes of bits"),
    ],
)
def test_wrong_parameters_are_named(digits, parameters, message):
    with pytest.raises(ValueError, match=message):
        estimator(**parameters).fit(digits[0])


@pytest.mark.parametrize("k", [0, -1, 31, 2.0, True, "all"])
def test_wrong_numbers_of_neighbours(digits, k):
    model = estimator(max_iter=1).fit(digits[0][:30])
    with pytest.raises(ValueError, match=r"n_neighbors is .* allowed are 1 to 30"):
        model.kneighbors(digits[0], k)
    assert model.kneighbors(digits[0][:2], 30)[1].shape == (2, 30)
    with pytest.raises(ValueError, match="n_neighbors is 30; allowed are 1 to 29"):
        model.kneighbors(n_neighbors=30)
    with pytest.raises(ValueError, match="X is None and 1 row is indexed, which has no other beside it"):
        model.index(digits[0][:1]).kneighbors(n_neighbors=1)


def test_before_the_fit(digits):
    model = estimator()
    for method in (model.hash, model.kneighbors, model.index):
        with pytest.raises(NotFittedError):
            method(digits[0])
    assert not {"n_components", "latent_activation", "sparsity", "contraction"} & set(model.get_params())
    assert not hasattr(model, "n_components")
    assert clone(model).get_params() == model.get_params()


def test_penalties_are_about_the_bits(digits):
    X, _ = digits
    correlation = {}
    for weight in (0.0, 0.1):
        model = estimator(8, penalties=Decorrelation(weight=weight), max_iter=30).fit(X)
        covariance = np.cov(model.transform(X).T)
        correlation[weight] = np.square(covariance - np.diag(np.diag(covariance))).sum()
    assert correlation[0.1] < 0.7 * correlation[0.0]
    estimator(unit_norm_decoder=True, penalties=Orthogonality(), max_iter=2).fit(X)


def test_what_it_has_not_is_not_listed():
    absent = {"n_components", "latent_activation", "sparsity", "contraction"}
    model = HashingAutoencoder()
    assert not absent & set(dir(model))
    assert {"n_bits", "fit", "kneighbors", "random_state"} <= set(dir(model))
    for name in dir(HashingAutoencoder):
        getattr(HashingAutoencoder, name)
    with pytest.raises(AttributeError, match="HashingAutoencoder has no n_components; allowed: n_bits"):
        model.n_components  # noqa: B018
