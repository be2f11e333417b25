"""The marginalized denoising autoencoder: its formula, what it is the limit of, what every estimator here promises."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from autoenc import MarginalizedDenoisingAutoencoder, __version__, _marginalized

DIGITS = load_digits().data / 16


def paper(X, p, n_layers, ridge):
    """The paper's equations, with features as rows as there: a list of W, of the outputs a list with X in front."""
    h = X.T
    Ws, hs = [], [h]
    for _ in range(n_layers):
        Xb = np.vstack([h, np.ones(h.shape[1])])
        d = Xb.shape[0]
        q = np.full(d, 1 - p)
        q[-1] = 1
        S = Xb @ Xb.T
        Q = S * np.outer(q, q)
        np.fill_diagonal(Q, q * np.diag(S))
        P = S * q[np.newaxis, :]
        W = P[:-1] @ np.linalg.inv(Q + ridge * np.eye(d))
        h = np.tanh(W @ Xb)
        Ws.append(W)
        hs.append(h)
    return Ws, hs


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("n_layers", [1, 3, 5])
def test_equals_the_formula(p, n_layers):
    X = np.random.default_rng(0).normal(1.0, 1.0, (200, 7)) @ np.random.default_rng(1).normal(size=(7, 7))
    Ws, hs = paper(X, p, n_layers, 1e-3)
    model = MarginalizedDenoisingAutoencoder(n_layers=n_layers, corruption_level=p, alpha=1e-3, precision="float64")
    features = model.fit_transform(X)
    for W, coef, intercept in zip(Ws, model.coefs_, model.intercepts_, strict=True):
        np.testing.assert_allclose(np.column_stack([coef.T, intercept]), W, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(features, np.hstack([h.T for h in hs]), rtol=1e-7, atol=1e-8)
    last = clone(model).set_params(concatenate=False).fit(X).transform(X)
    np.testing.assert_allclose(last, hs[-1].T, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(model.reconstruct(X), X @ Ws[0][:, :-1].T + Ws[0][:, -1], rtol=1e-7, atol=1e-8)


def test_is_the_limit_of_many_corrupted_copies():
    """Least squares on m corrupted copies of each row, by the QR decomposition, comes closer as 1 / sqrt(m).

    The distance at each m is an average of independent draws, so that its ratio is known within a few per cent: 256
    times the copies are 16 times closer.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(0.5, 1.0, (40, 5)) @ rng.normal(size=(5, 5))
    p = 0.3
    model = MarginalizedDenoisingAutoencoder(n_layers=1, corruption_level=p, alpha=0.0, precision="float64").fit(X)
    exact = np.vstack([model.coefs_[0], model.intercepts_[0]])

    def distance(m):
        copies = np.repeat(X, m, axis=0)
        corrupted = np.where(rng.random(copies.shape) < p, 0.0, copies)
        solution, *_ = np.linalg.lstsq(np.column_stack([corrupted, np.ones(len(copies))]), copies, rcond=None)
        return np.linalg.norm(solution - exact) / np.linalg.norm(exact)

    few = np.sqrt(np.mean([distance(8) ** 2 for _ in range(64)]))
    many = np.sqrt(np.mean([distance(2048) ** 2 for _ in range(16)]))
    assert many < 0.02
    assert 11 < few / many < 23


def test_bits_do_not_depend_on_threads():
    one, three = (MarginalizedDenoisingAutoencoder(n_jobs=n_jobs).fit(DIGITS) for n_jobs in (1, 3))
    for a, b in zip(one.coefs_ + one.intercepts_, three.coefs_ + three.intercepts_, strict=True):
        assert (a == b).all()
    assert (one.transform(DIGITS) == three.transform(DIGITS)).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_row_has_the_same_bits_alone_and_in_any_order(precision):
    model = MarginalizedDenoisingAutoencoder(precision=precision).fit(DIGITS)
    whole = model.transform(DIGITS)
    order = np.random.default_rng(0).permutation(len(DIGITS))
    assert (model.transform(DIGITS[order]) == whole[order]).all()
    for i in (0, 1, 500, 1796):
        assert (model.transform(DIGITS[i : i + 1]) == whole[i]).all()
        assert (model.score_samples(DIGITS[i : i + 1]) == model.score_samples(DIGITS)[i]).all()


def test_blocks_do_not_show_beyond_rounding(monkeypatch):
    fits = {}
    for rows in (100, 4096):
        monkeypatch.setattr(_marginalized, "ROWS_AT_ONCE", rows)
        fits[rows] = MarginalizedDenoisingAutoencoder(precision="float64").fit(DIGITS)
    for a, b in zip(fits[100].coefs_, fits[4096].coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("density", [0.02, 0.3])
@pytest.mark.parametrize("n_pivots", [5000, 12])
def test_sparse_is_dense(density, n_pivots, monkeypatch):
    monkeypatch.setattr(_marginalized, "SPARSE_ROWS_AT_ONCE", 150)
    monkeypatch.setattr(_marginalized, "ROWS_AT_ONCE", 100)
    sparse = sp.random_array((500, 40), density=density, format="csr", rng=np.random.default_rng(0))
    weights = np.random.default_rng(1).random(500)
    model = MarginalizedDenoisingAutoencoder(precision="float64", n_pivots=n_pivots, random_state=0)
    one, other = (
        clone(model).fit(sparse.toarray(), sample_weight=weights),
        clone(model).fit(sparse, sample_weight=weights),
    )
    assert (one.pivots_ == other.pivots_).all()
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert (one.transform(sparse) == one.transform(sparse.toarray())).all()
    assert (one.score_samples(sparse) == one.score_samples(sparse.toarray())).all()
    np.testing.assert_allclose(other.fit(sparse.tocsc(), sample_weight=weights).coefs_[0], one.coefs_[0], atol=1e-12)


@pytest.mark.parametrize(("n_rows", "n_columns", "density"), [(200_000, 50, 0.2), (200_000, 100, 1e-3)])
@pytest.mark.parametrize("n_pivots", [5000, 40])
def test_a_sparse_matrix_is_not_made_dense(n_rows, n_columns, density, n_pivots):
    """The dense matrix would take 80 MB or more, its first layer's output as much."""
    X = sp.random_array((n_rows, n_columns), density=density, format="csr", rng=np.random.default_rng(0))
    model = MarginalizedDenoisingAutoencoder(n_layers=2, n_pivots=n_pivots, random_state=0)
    tracemalloc.start()
    try:
        model.fit(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000 < n_rows * n_columns * 8


def test_more_features_than_pivots():
    """Each group by itself restores the most frequent features; the layer says the average."""
    rng = np.random.default_rng(0)
    X = np.where(rng.random((300, 25)) < np.linspace(0.2, 0.9, 25), rng.normal(1, 1, (300, 25)), 0.0)
    p, ridge = 0.4, 1e-2
    model = MarginalizedDenoisingAutoencoder(
        n_layers=2, corruption_level=p, alpha=ridge, n_pivots=10, precision="float64", random_state=3
    ).fit(X)
    frequent = np.argsort(-(X != 0).sum(axis=0), kind="stable")[:10]
    assert set(model.pivots_) == set(frequent)
    order = np.random.RandomState(3).permutation(25)
    said, groups = np.zeros((300, 10)), np.array_split(order, 3)
    for group in groups:
        Xb = np.column_stack([X[:, group], np.ones(300)])
        q = np.append(np.full(len(group), 1 - p), 1)
        Q = Xb.T @ Xb * np.outer(q, q)
        np.fill_diagonal(Q, q * np.diag(Xb.T @ Xb))
        P = (X[:, model.pivots_].T @ Xb) * q
        said += Xb @ (P @ np.linalg.inv(Q + ridge * np.eye(len(q)))).T / 3
    np.testing.assert_allclose(model.reconstruct(X), said, rtol=1e-8, atol=1e-9)
    features = model.transform(X)
    assert features.shape == (300, 25 + 2 * 10) and len(model.get_feature_names_out()) == 45
    np.testing.assert_allclose(features[:, 25:35], np.tanh(said), rtol=1e-8, atol=1e-9)
    _, hs = paper(np.tanh(said), p, 1, ridge)
    np.testing.assert_allclose(features[:, 35:], hs[1].T, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(-model.score(X), ((X[:, model.pivots_] - said) ** 2).mean(), rtol=1e-8)


def test_weights_are_repetitions():
    X = DIGITS[:300]
    weights = np.random.default_rng(0).integers(0, 4, 300)
    model = MarginalizedDenoisingAutoencoder(precision="float64", n_layers=2, alpha=1e-2)
    one = clone(model).fit(X, sample_weight=weights)
    other = clone(model).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=1e-9, atol=1e-10)
    assert abs(one.transform(X) - clone(model).fit(X).transform(X)).max() > 1e-3
    many = np.repeat(X, weights, axis=0)
    np.testing.assert_allclose(one.score(X, sample_weight=weights), one.score(many), rtol=1e-12)


def test_partial_fit_is_fit():
    weights = np.random.default_rng(0).random(len(DIGITS))
    model = MarginalizedDenoisingAutoencoder(n_layers=1, precision="float64")
    whole = clone(model).fit(DIGITS, sample_weight=weights)
    parts, after_fit = clone(model), clone(model).fit(DIGITS[:700], sample_weight=weights[:700])
    for first, last in ((0, 700), (700, 701), (701, 1797)):
        parts.partial_fit(DIGITS[first:last], sample_weight=weights[first:last])
    after_fit.partial_fit(DIGITS[700:], sample_weight=weights[700:])
    for other in (parts, after_fit, pickle.loads(pickle.dumps(after_fit))):
        np.testing.assert_allclose(other.coefs_[0], whole.coefs_[0], rtol=1e-8, atol=1e-9)


def test_partial_fit_where_it_cannot_work():
    deep = MarginalizedDenoisingAutoencoder(n_layers=2)
    assert not hasattr(deep, "partial_fit")
    for kind in (AttributeError, ValueError):
        with pytest.raises(kind, match=r"^partial_fit does not go with n_layers=2: the sums of a second layer"):
            deep.partial_fit(DIGITS)
    deep.fit(DIGITS).set_params(n_layers=1)
    with pytest.raises(ValueError, match="after a fit with n_layers=2"):
        deep.partial_fit(DIGITS)
    with pytest.raises(ValueError, match="n_pivots=10 and 64 features"):
        MarginalizedDenoisingAutoencoder(n_layers=1, n_pivots=10).partial_fit(DIGITS)


def test_restores_corrupted_rows():
    """Better than the mean of the column, which is the best that ignores the rest of a row."""
    train, test = DIGITS[:1200], DIGITS[1200:]
    model = MarginalizedDenoisingAutoencoder(n_layers=1, corruption_level=0.3).fit(train)
    corrupted = np.where(np.random.default_rng(0).random(test.shape) < 0.3, 0.0, test)
    error = -model.score(corrupted, X_clean=test)
    assert error < 0.5 * ((corrupted - test) ** 2).mean()
    assert error < 0.5 * ((train.mean(axis=0) - test) ** 2).mean()
    np.testing.assert_allclose(error, ((model.reconstruct(corrupted) - test) ** 2).mean(), rtol=1e-5)
    errors = model.feature_errors(corrupted, X_clean=test)
    np.testing.assert_allclose(errors.mean(axis=1), -model.score_samples(corrupted, X_clean=test), rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1e-5])
def test_columns_of_zeros(alpha):
    """They change nothing in the others, and come back as zeros."""
    X = np.random.default_rng(0).normal(size=(50, 6))
    wide = np.insert(X, [2, 6], 0.0, axis=1)
    kept = [0, 1, 3, 4, 5, 6]
    model = MarginalizedDenoisingAutoencoder(alpha=alpha, n_layers=2, precision="float64")
    one, other = clone(model).fit(X), clone(model).fit(wide)
    np.testing.assert_allclose(other.reconstruct(wide)[:, kept], one.reconstruct(X), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(other.transform(wide)[:, 16:][:, kept], one.transform(X)[:, 12:], rtol=1e-9, atol=1e-10)
    assert not other.transform(wide)[:, [2, 7, 10, 15, 18, 23]].any()


def test_singular_equations():
    X = np.random.default_rng(0).normal(size=(50, 3))
    X = np.column_stack([X, X.sum(axis=1)])
    with pytest.raises(ValueError, match=r"layer 1 are singular.*alpha=0.*corruption_level=0"):
        MarginalizedDenoisingAutoencoder(alpha=0.0, corruption_level=0.0).fit(X)
    MarginalizedDenoisingAutoencoder(alpha=0.0, corruption_level=0.1).fit(X)
    few = MarginalizedDenoisingAutoencoder(n_layers=1, corruption_level=0.1, alpha=0.0).fit(X[:2])
    assert np.isfinite(few.coefs_[0]).all()


def test_scales_far_apart_are_solved():
    """The condition that counts is that of the scaled equations."""
    X = np.random.default_rng(0).normal(1.0, 1.0, (100, 4))
    scale = np.array([1e-6, 1.0, 1e6, 1e3])
    model = MarginalizedDenoisingAutoencoder(n_layers=1, alpha=0.0, precision="float64")
    plain, scaled = clone(model).fit(X), clone(model).fit(X * scale)
    np.testing.assert_allclose(scaled.reconstruct(X * scale) / scale, plain.reconstruct(X), rtol=1e-9)


def test_overflow_is_an_error():
    X = np.random.default_rng(0).normal(size=(20, 3)) * 1e200
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ValueError, match="layer 1 overflow float64"):
        MarginalizedDenoisingAutoencoder(precision="float64").fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"corruption_level": 1.0}, r"corruption_level.*\[0\.?0?, 1\.?0?\)"),
        ({"n_layers": 0}, "n_layers"),
        ({"alpha": -1.0}, "alpha"),
        ({"n_pivots": 0}, "n_pivots"),
        ({"precision": "half"}, "precision"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        MarginalizedDenoisingAutoencoder(**parameters).fit(DIGITS)


def test_a_failed_fit_changes_nothing():
    model = MarginalizedDenoisingAutoencoder().fit(DIGITS)
    before = dict(vars(model))
    for X in (DIGITS[:, :5] * np.nan, np.empty((0, 64))):
        with pytest.raises(ValueError):
            model.fit(X)
        assert vars(model) == before
    with pytest.raises(NotFittedError):
        MarginalizedDenoisingAutoencoder().transform(DIGITS)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [("float32", "float32"), ("float64", "float64"), ("uint8", None), ("int64", None), (">f8", "float64")],
)
def test_types(precision, given, expected):
    X = (DIGITS * 16).astype(given)
    model = MarginalizedDenoisingAutoencoder(n_layers=1, precision=precision).fit(X)
    assert model.coefs_[0].dtype == model.intercepts_[0].dtype == precision
    for out in (model.transform(X), model.reconstruct(X), model.feature_errors(X)):
        assert out.dtype == (expected or precision)
    assert model.score_samples(X).dtype == np.float64
    reference = MarginalizedDenoisingAutoencoder(n_layers=1, precision=precision).fit(DIGITS * 16)
    assert (model.coefs_[0] == reference.coefs_[0]).all()


def test_pickle_and_copies():
    model = MarginalizedDenoisingAutoencoder(n_layers=2).fit(DIGITS)
    expected = model.transform(DIGITS[:9])
    assert pickle.loads(pickle.dumps(model)).__dict__.keys() == model.__dict__.keys()
    assert model.__getstate__()["_autoenc_version"] == __version__
    for other in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        assert (other.transform(DIGITS[:9]) == expected).all()
    assert not model.coefs_[0].flags.writeable
    assert not pickle.loads(pickle.dumps(model)).coefs_[0].flags.writeable


def test_names_and_frames():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(DIGITS, columns=[f"pixel{i}" for i in range(64)])
    model = MarginalizedDenoisingAutoencoder(n_layers=1).fit(X)
    out = model.set_output(transform="pandas").transform(X)
    assert list(out.columns) == list(model.get_feature_names_out()) and out.shape == (1797, 128)
    assert out.columns[0] == "marginalizeddenoisingautoencoder0"
    assert list(model.feature_names_in_) == list(X.columns)


def test_in_a_pipeline_and_a_grid():
    y = load_digits().target
    pipe = make_pipeline(MarginalizedDenoisingAutoencoder(n_layers=1), LogisticRegression(max_iter=500))
    grid = GridSearchCV(pipe, {"marginalizeddenoisingautoencoder__corruption_level": [0.1, 0.5]}, cv=2)
    assert grid.fit(DIGITS[:600], y[:600]).score(DIGITS[600:], y[600:]) > 0.85
