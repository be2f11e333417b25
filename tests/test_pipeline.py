"""Together with the rest of scikit-learn, and through files."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import autoenc
from autoenc import Autoencoder


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def estimator():
    return Autoencoder(2, hidden_layer_sizes=(16,), max_iter=20, random_state=0)


def test_pipeline_passes_labels_through(iris, estimator):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), estimator.set_params(max_iter=100), LogisticRegression()).fit(X, y)
    assert pipeline.score(X, y) > 0.85
    assert_array_equal(estimator.fit(X, y).transform(X), estimator.fit(X).transform(X))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:joblib")
def test_grid_search_in_two_processes(iris, estimator):
    X, _ = iris
    search = GridSearchCV(estimator, {"n_components": [1, 3], "activation": ["tanh", "gelu"]}, n_jobs=2, cv=3).fit(X)
    assert search.best_params_["n_components"] == 3
    alone = GridSearchCV(estimator, {"n_components": [1, 3], "activation": ["tanh", "gelu"]}, cv=3).fit(X)
    assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_halving_search_over_epochs(iris, estimator):
    X, _ = iris
    search = HalvingGridSearchCV(
        estimator,
        {"alpha": [0.0, 1e-3, 1.0]},
        resource="max_iter",
        max_resources=9,
        min_resources=3,
        cv=2,
        random_state=0,
    ).fit(X)
    assert search.n_resources_ == [3, 9]
    assert search.best_estimator_.n_iter_ == 9
    assert sorted(set(search.cv_results_["n_resources"])) == [3, 9]


def test_cross_validation(iris, estimator):
    X, y = iris
    scores = cross_val_score(estimator, X, y, cv=3)
    assert scores.shape == (3,) and (scores < 0).all()
    # Its parameter check asks for `predict` whatever the method is, which no transformer has.
    with config_context(skip_parameter_validation=True):
        codes = cross_val_predict(estimator, X, y, cv=3, method="transform")
    assert codes.shape == (150, 2) and codes.dtype == np.float64


def test_clone_has_parameters_only(iris, estimator):
    estimator.fit(iris[0])
    other = clone(estimator)
    assert vars(other) == estimator.get_params()


def test_column_transformer_and_feature_union(iris, estimator):
    X, _ = iris
    split = ColumnTransformer([("first", estimator, [0, 1, 2]), ("rest", "passthrough", [3])]).fit(X)
    assert_array_equal(split.transform(X)[:, :2], clone(estimator).fit(X[:, :3]).transform(X[:, :3]))
    assert list(split.get_feature_names_out()) == ["first__autoencoder0", "first__autoencoder1", "rest__x3"]
    union = FeatureUnion([("codes", clone(estimator)), ("scaled", MinMaxScaler())]).fit(X)
    assert union.transform(X).shape == (150, 6)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_and_names(iris, estimator, library):
    module = pytest.importorskip(library)
    X, _ = iris
    columns = ["a", "b", "c", "d"]
    frame = module.DataFrame(dict(zip(columns, X.T, strict=True)))
    estimator.set_output(transform=library).fit(frame)
    assert list(estimator.feature_names_in_) == columns
    assert list(estimator.get_feature_names_out()) == ["autoencoder0", "autoencoder1"]
    for codes in (estimator.transform(frame), estimator.fit_transform(frame)):
        assert isinstance(codes, module.DataFrame)
        assert list(codes.columns) == ["autoencoder0", "autoencoder1"]
    if library == "pandas":
        frame.index = np.arange(150) + 7
        assert list(estimator.transform(frame).index) == list(frame.index)
    # What transform gives goes back in.
    restored = estimator.inverse_transform(estimator.transform(frame))
    assert_allclose(restored, estimator.reconstruct(frame), rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(module.DataFrame(dict(zip("abce", X.T, strict=True))))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.transform(X)


def test_fit_transform_is_fit_then_transform(iris, estimator):
    X, y = iris
    weight = np.arange(150.0)
    assert_array_equal(
        clone(estimator).fit_transform(X, y, X_clean=X[:, :2], sample_weight=weight),
        estimator.fit(X, X_clean=X[:, :2], sample_weight=weight).transform(X),
    )


def same(a, b, X):
    for left, right in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(left, right)
    assert_array_equal(a.transform(X), b.transform(X))
    assert a.loss_curve_ == b.loss_curve_
    assert a.get_params() == b.get_params()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_pickle_and_deepcopy(iris, estimator, precision):
    X, _ = iris
    estimator.set_params(precision=precision).fit(X)
    for other in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        same(estimator, other, X)
        assert not other.coefs_[0].flags.writeable
        assert_array_equal(other.fit(X).transform(X), estimator.transform(X))
    assert "_autoenc_version" not in vars(other)
    unfitted = pickle.loads(pickle.dumps(clone(estimator)))
    assert vars(unfitted) == estimator.get_params()


def test_pickle_of_a_later_release_warns(iris, estimator):
    estimator.fit(iris[0])
    state = estimator.__getstate__()
    assert state["_autoenc_version"] == autoenc.__version__
    other = Autoencoder.__new__(Autoencoder)
    with pytest.warns(UserWarning, match=r"99\.0"):
        other.__setstate__({**state, "_autoenc_version": "99.0"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.__setstate__({**state, "_autoenc_version": "0.0.1"})


def test_joblib_with_memory_mapped_weights(iris, estimator, tmp_path):
    X, _ = iris
    estimator.fit(X)
    joblib.dump(estimator, tmp_path / "model.joblib")
    other = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert isinstance(other.coefs_[0], np.memmap)
    same(estimator, other, X)
    assert_array_equal(other.predictor()(X), estimator.transform(X))
    # Read-only memory is remembered, so one row stays fast.
    assert other._network()[0] is other._network()[0]
    assert_array_equal(pickle.loads(pickle.dumps(other)).transform(X), estimator.transform(X))
    other.set_params(warm_start=True).fit(X)
    assert not isinstance(other.coefs_[0], np.memmap)


def test_metadata_routing(iris, estimator):
    X, y = iris
    weight = np.linspace(0, 1, 150)
    with config_context(enable_metadata_routing=True):
        estimator.set_fit_request(sample_weight=True, X_clean=True).set_score_request(sample_weight=True)
        pipeline = Pipeline([("scale", MinMaxScaler()), ("codes", estimator)])
        pipeline.fit(X, y, sample_weight=weight, X_clean=X[:, :3])
        expected = clone(estimator).fit(MinMaxScaler().fit_transform(X), sample_weight=weight, X_clean=X[:, :3])
        assert_array_equal(pipeline["codes"].coefs_[0], expected.coefs_[0])

        plain = Autoencoder(2, max_iter=3, random_state=0)
        plain.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(plain, {"alpha": [0.0, 0.1]}, cv=2).fit(X, y, sample_weight=weight)
        unweighted = GridSearchCV(clone(plain).set_score_request(sample_weight=False), {"alpha": [0.0, 0.1]}, cv=2)
        unweighted.fit(X, y, sample_weight=weight)
        assert (search.cv_results_["mean_test_score"] != unweighted.cv_results_["mean_test_score"]).any()
        with pytest.raises(UnsetMetadataPassedError, match="condition"):
            pipeline.fit(X, y, condition=y[:, np.newaxis])
        with pytest.raises(TypeError, match="colour"):
            pipeline.fit(X, y, colour=weight)
