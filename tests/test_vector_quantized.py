"""Vector quantisation: nearest codes, whole numbers in the place of rows, codebooks that live."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from autoenc import VectorQuantizedAutoencoder
from autoenc._spec import Graph
from autoenc.corruption import Gaussian
from autoenc.layers import BatchNorm, Dense
from autoenc.penalties import Decorrelation

KINDS = {
    "one": {"n_codes": 40},
    "product": {"n_codes": 16, "n_codebooks": 4},
    "residual": {"n_codes": 16, "n_codebooks": 3, "quantizer": "residual"},
    "residual of one": {"n_codes": 16, "quantizer": "residual"},
}
SEVERAL = ["product", "residual"]


@pytest.fixture(scope="module")
def X():
    return load_digits().data[:700].astype(np.float32) / 16


def estimator(kind="one", **parameters):
    shared = {"n_components": 8, "max_iter": 12, "random_state": 0}
    return VectorQuantizedAutoencoder(**{**shared, **KINDS[kind], **parameters})


def learned(model):
    return [*model.coefs_, *model.intercepts_, *model.other_parameters_.values()]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_the_nearest_vectors(X, kind, precision):
    model = estimator(kind, precision=precision).fit(X)
    codes, indices, books = model.transform(X), model.encode_indices(X), model.codebooks_
    n_codebooks = model.n_codebooks
    assert indices.dtype == np.int32 and indices.shape == (len(X), n_codebooks)
    assert books.shape == (n_codebooks, model.n_codes, 8 // n_codebooks if kind == "product" else 8)
    assert books.dtype == precision
    embedding = model._run(X, "embedding").astype(np.float64)
    parts = np.split(embedding, n_codebooks, axis=1) if kind == "product" else [embedding] * n_codebooks
    left, chosen = np.zeros(1), []
    for book, numbers, part in zip(books.astype(np.float64), indices.T, parts, strict=True):
        rest = part - left if kind.startswith("residual") else part
        distances = ((rest[:, None] - book) ** 2).sum(axis=2)
        # Rounding may decide between two that are as near; nothing else may.
        assert_allclose(distances[np.arange(len(X)), numbers], distances.min(axis=1), rtol=1e-4, atol=1e-6)
        assert np.mean(distances.argmin(axis=1) == numbers) > 0.99
        left = left + book[numbers]
        chosen.append(book[numbers])
    expected = np.hstack(chosen) if kind == "product" else sum(chosen)
    assert_allclose(codes, expected, rtol=1e-5, atol=1e-6)
    assert len(np.unique(codes, axis=0)) == len(np.unique(indices, axis=0))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_from_their_numbers(X, kind):
    model = estimator(kind).fit(X)
    indices = model.encode_indices(X)
    restored = model.decode_indices(indices)
    assert_array_equal(restored, model.reconstruct(X))
    assert_array_equal(restored, model.inverse_transform(model.transform(X)))
    assert_array_equal(model.decode_indices(indices[3:5].tolist()), restored[3:5])


def test_more_codes_restore_better(X):
    errors = [-estimator(n_codes=n, max_iter=60).fit(X).score(X) for n in (1, 8, 64)]
    assert errors[0] > 1.3 * errors[1] > 1.3 * 1.2 * errors[2]
    # One code tells nothing: the mean is all that remains.
    assert_allclose(errors[0], X.var(axis=0).mean(), rtol=0.03)
    for kind in SEVERAL:
        few, many = (estimator(kind, n_codebooks=n, max_iter=60).fit(X).score(X) for n in (1, 4))
        assert many > 0.8 * few


@pytest.mark.parametrize("kind", KINDS)
def test_usage_and_perplexity(X, kind):
    model = estimator(kind).fit(X)
    indices = model.encode_indices(X)
    for book, usage, perplexity in zip(indices.T, model.code_usage_, model.perplexity_, strict=True):
        assert_allclose(usage, np.bincount(book, minlength=model.n_codes) / len(X))
        used = usage[usage > 0]
        assert_allclose(perplexity, np.exp(-(used * np.log(used)).sum()))
        assert 1.0 <= perplexity <= model.n_codes + 1e-9
    weights = np.arange(len(X)) % 3.0
    weighted = estimator(kind).fit(X, sample_weight=weights)
    indices = weighted.encode_indices(X)
    expected = np.bincount(indices[:, 0], weights, minlength=model.n_codes) / weights.sum()
    assert_allclose(weighted.code_usage_[0], expected)


def test_dead_codes_start_anew(X):
    """Rows of one blob for the first codebook to begin in, then of many: most codes stay without restarts."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(256, 6)).astype(np.float32) * 1e-3
    blobs = (rng.normal(size=(32, 6))[rng.integers(32, size=2000)] * 5).astype(np.float32)
    used = {}
    for threshold in (0.0, 0.1):
        model = VectorQuantizedAutoencoder(
            6,
            n_codes=32,
            hidden_layer_sizes=(),
            batch_size=64,
            random_state=0,
            dead_code_threshold=threshold,
            decay=0.9,
        )
        model.partial_fit(first)
        for _ in range(8):
            model.partial_fit(blobs)
        used[threshold] = len(np.unique(model.encode_indices(blobs)))
    assert used[0.1] >= 20
    assert used[0.1] > 2 * used[0.0]


def test_commitment_keeps_the_encoder_near_the_codes(X):
    distance = {}
    for weight in (0.0, 5.0):
        model = estimator(commitment_weight=weight, max_iter=40).fit(X)
        embedding = model._run(X, "embedding")
        distance[weight] = np.mean((embedding - model.transform(X)) ** 2) / embedding.var(axis=0).mean()
    assert distance[5.0] < 0.8 * distance[0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_has_the_commitment_and_the_score_has_not(X, kind):
    model = estimator(kind, early_stopping=True, max_iter=5).fit(X, X_val=X)
    embedding, books = model._run(X, "embedding"), model.codebooks_
    error = np.mean((model.reconstruct(X) - X) ** 2)
    assert_allclose(-model.score(X), error, rtol=1e-5)
    code, commitment = 0.0, 0.0
    if kind.startswith("residual"):
        for book, numbers in zip(books, model.encode_indices(X).T, strict=True):
            code = code + book[numbers]
            commitment += np.mean((embedding - code) ** 2)
    else:
        commitment = np.mean((embedding - model.transform(X)) ** 2)
    assert_allclose(model.best_loss_, error + 0.25 * commitment, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", SEVERAL)
def test_threads_do_not_show(X, kind, precision):
    reference = None
    for n_jobs in (1, 2, 3, 8):
        model = estimator(kind, precision=precision, n_jobs=n_jobs, max_iter=4).fit(X)
        parts = [*learned(model), model.loss_curve_, model.transform(X), model.encode_indices(X)]
        parts += [model.reconstruct(X), model.score_samples(X), model.perplexity_, model.code_usage_]
        reference = reference or parts
        for one, other in zip(reference, parts, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("kind", SEVERAL)
def test_a_row_does_not_depend_on_its_company(X, kind):
    model = estimator(kind).fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    for method in (model.transform, model.encode_indices, model.reconstruct, model.score_samples, model.feature_errors):
        whole = method(X)
        assert_array_equal(method(X), whole)
        assert_array_equal(method(X[order]), whole[order])
        for size in (1, 97, 191):
            assert_array_equal(
                np.concatenate([method(X[i : i + size]) for i in range(0, 300, size)])[:300], whole[:300]
            )


@pytest.mark.parametrize("kind", SEVERAL)
def test_state_goes_along(X, kind):
    model = estimator(kind).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.encode_indices(X), model.encode_indices(X))
    assert_array_equal(copy.codebooks_, model.codebooks_)
    assert_array_equal(model.predictor()(X), model.transform(X))
    warm = copy.set_params(warm_start=True, max_iter=1, learning_rate_init=1e-7).fit(X)
    # With a tiny rate the encoder stays, and the codes move by averages alone: they are the old ones, not new rows.
    assert np.mean(warm.encode_indices(X) == model.encode_indices(X)) > 0.5
    for name, array in warm.other_parameters_.items():
        assert not np.array_equal(array, model.other_parameters_[name])
    with pytest.raises(ValueError, match="n_codes from 16 to 17"):
        warm.set_params(n_codes=17).fit(X)


@pytest.mark.parametrize("kind", SEVERAL)
def test_passes_are_epochs(X, kind):
    """partial_fit carries codes and counts: passes through a pickle have the bits of passes without one."""
    one, other = estimator(kind), estimator(kind)
    for _ in range(4):
        one.partial_fit(X)
        other = pickle.loads(pickle.dumps(other.partial_fit(X)))
    for a, b in zip(learned(one), learned(other), strict=True):
        assert_array_equal(a, b)
    assert one.n_iter_ == 4
    assert one.loss_curve_[-1] < one.loss_curve_[0]
    assert one.code_usage_.sum() == pytest.approx(one.n_codebooks)


def test_fewer_rows_than_codes(X):
    model = estimator(n_codes=100, max_iter=3).fit(X[:10])
    codes = model.transform(X[:10])
    assert np.isfinite(codes).all()
    assert set(np.flatnonzero(model.code_usage_[0])) == set(model.encode_indices(X[:10])[:, 0])


def test_with_other_parts(X):
    labels = np.eye(10, dtype=np.float32)[load_digits().target[:700]]
    model = estimator("product", corruption=Gaussian(0.1)).fit(X, condition=labels)
    indices = model.encode_indices(X, condition=labels)
    assert_array_equal(model.decode_indices(indices, condition=labels), model.reconstruct(X, condition=labels))
    assert model.code_usage_.shape == (4, 16)
    normed = estimator("residual", encoder=[Dense(32), BatchNorm()]).fit(X, X_clean=X[:, :5])
    assert normed.decode_indices(normed.encode_indices(X)).shape == (700, 5)
    tied = estimator("product", tied_weights=True).fit(X)
    assert len(tied.coefs_) == 2
    assert_array_equal(tied.decode_indices(tied.encode_indices(X)), tied.reconstruct(X))
    # The layers of a pretraining end at the embedding.
    pretrained = estimator(pretrain="layerwise", pretrain_max_iter=3).fit(X)
    assert not np.array_equal(pretrained.coefs_[0], estimator().fit(X).coefs_[0])
    sparse = estimator().fit(sp.csr_matrix(X))
    assert_array_equal(sparse.transform(sp.csr_matrix(X)), estimator().fit(X).transform(X))
    X_missing = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    masked = estimator(missing="mask").fit(X_missing)
    assert masked.encode_indices(X_missing).shape == (700, 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_codes": 0}, "The 'n_codes' parameter"),
        ({"n_codes": 2**24 + 1}, "The 'n_codes' parameter"),
        ({"n_codebooks": 0}, "The 'n_codebooks' parameter"),
        ({"n_codebooks": 3}, "n_codebooks=3 does not divide n_components=8"),
        ({"quantizer": "scalar"}, "The 'quantizer' parameter"),
        ({"commitment_weight": -1}, "The 'commitment_weight' parameter"),
        ({"decay": 1.0}, "The 'decay' parameter"),
        ({"decay": 0}, "The 'decay' parameter"),
        ({"dead_code_threshold": 1.0}, "The 'dead_code_threshold' parameter"),
        ({"solver": "lbfgs"}, "solver='lbfgs' does not go with vector quantisation"),
    ],
)
def test_wrong_parameters_are_named(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        estimator(**parameters).fit(X)


@pytest.mark.parametrize("indices", [[[0]], [0, 1], [[0.0] * 4], [[0, 1, 2, 16]], [[0, 1, -1, 2]], [[True] * 4]])
def test_wrong_numbers_are_named(X, indices):
    model = estimator("product", max_iter=2).fit(X)
    with pytest.raises(ValueError, match=r"indices has .* allowed are"):
        model.decode_indices(indices)


def test_before_the_fit(X):
    model = estimator()
    for method in (model.encode_indices, model.decode_indices):
        with pytest.raises(NotFittedError):
            method(X)
    assert not hasattr(model, "codebooks_")
    assert not {"sparsity", "contraction"} & set(model.get_params())
    assert clone(model).get_params() == model.get_params()


SCRIPT = """
import hashlib
import numpy as np
from autoenc import HashingAutoencoder, VectorQuantizedAutoencoder
X = (np.arange(3000).reshape(200, 15) * 7919 % 1009 / 1009).astype("f4")
settings = {"max_iter": 3, "random_state": 0}
digest = hashlib.sha256()
for model in (
    VectorQuantizedAutoencoder(10, n_codes=9, n_codebooks=2, **settings),
    VectorQuantizedAutoencoder(10, n_codes=9, n_codebooks=3, quantizer="residual", **settings),
    HashingAutoencoder(12, balance_weight=0.01, **settings),
    HashingAutoencoder(12, method="bernoulli", **settings),
):
    model.fit(X)
    for array in (*model.coefs_, *model.other_parameters_.values(), model.transform(X), model.reconstruct(X)):
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_instruction_sets_do_not_show(environment):
    digests = set()
    for isa in ("", "ref"):
        chosen = {**environment, **({"AUTOENC_ISA": isa} if isa else {})}
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=chosen)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def test_a_copy_of_a_quantiser_has_its_codes():
    graph = Graph()
    graph.add("input", "x", width=4, source=0)
    graph.add("vector_quantize", "code", "x", size=(3, 1, 0))
    graph.add("input", "other", width=4, source=1)
    copy = graph.copy("x", "code", "other", "again_")
    assert graph.nodes[-1]["name"] == copy
    assert graph.nodes[-1]["fields"]["shares"] == "code"


def test_penalties_are_about_the_embedding(X):
    correlation = {}
    for weight in (0.0, 1.0):
        model = estimator("product", penalties=Decorrelation(weight=weight), max_iter=20).fit(X)
        covariance = np.cov(model._run(X, "embedding").T)
        correlation[weight] = np.square(covariance - np.diag(np.diag(covariance))).sum()
    assert correlation[1.0] < 0.5 * correlation[0.0]
