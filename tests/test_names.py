"""Predictors know columns by the names of the fit, where it had some, and by position otherwise."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    HashingAutoencoder,
    MarginalizedDenoisingAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)

pandas = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

NAMES = ["height", "width", "depth", "weight"]
X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
SMALL = {"max_iter": 2, "hidden_layer_sizes": (6,), "random_state": 0}
MODELS = {
    "plain": Autoencoder(2, **SMALL),
    "variational": VariationalAutoencoder(2, **SMALL),
    "classifier": AutoencoderClassifier(2, fine_tune_max_iter=2, **SMALL),
    "regressor": AutoencoderRegressor(2, fine_tune_max_iter=2, **SMALL),
    "bits": HashingAutoencoder(8, **SMALL),
    "codebooks": VectorQuantizedAutoencoder(2, n_codes=5, **SMALL),
    "closed": MarginalizedDenoisingAutoencoder(),
    "detector": AutoencoderOutlierDetector(n_estimators=1, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), AutoencoderClassifier(2, fine_tune_max_iter=2, **SMALL)),
    "one step": make_pipeline(Autoencoder(2, **SMALL)),
}
METHODS = ("transform", "reconstruct", "score_samples", "predict", "predict_proba", "predict_log_proba", "hash")
METHODS += ("decision_function", "feature_contributions", "encode_indices", "__call__")


@pytest.fixture(scope="module")
def frame():
    return pandas.DataFrame(X, columns=NAMES)


def predictors(model, path):
    """As an estimator makes it, from a file, and through copies."""
    skops = pytest.importorskip("skops.io")
    autoenc.save(model, path)
    loaded = autoenc.load_predictor(path)
    found = [loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)]
    found.append(skops.loads(skops.dumps(loaded), trusted=list(autoenc.io.SKOPS_TRUSTED)))
    return [*found, model.predictor()] if hasattr(model, "predictor") else found


@pytest.mark.parametrize("name", MODELS)
def test_frames_go_by_the_names_of_the_fit(name, frame, tmp_path):
    model = clone(MODELS[name]).fit(frame, Y)
    swapped = frame[["width", "height", "depth", "weight"]]
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
        model.score_samples(swapped)
    for predictor in predictors(model, tmp_path / "model"):
        assert predictor.feature_names_in.tolist() == NAMES
        for method in METHODS:
            call = getattr(predictor, method, None)
            if call is None:
                continue
            expected = call(X)
            assert_array_equal(call(frame), expected)
            assert_array_equal(call(frame.iloc[3]), call(X[3]))
            assert_array_equal(call(X.tolist()), expected)
            for wrong in (swapped, swapped.iloc[3], swapped.iloc[:1]):
                with pytest.raises(
                    ValueError,
                    match=r"^The feature names should match those that were passed during fit: of X, the order is "
                    r"another: column 0 is 'width', and in the fit it was 'height'\. Allowed are the columns of",
                ):
                    call(wrong)


def test_what_differs_is_named(frame, tmp_path):
    for predictor in predictors(Autoencoder(2, **SMALL).fit(frame), tmp_path / "model"):
        with pytest.raises(ValueError, match=r"of X, it has 'age', unknown to the fit and it lacks 'width'\. Allowed"):
            predictor(frame.rename(columns={"width": "age"}))
        with pytest.raises(ValueError, match=r"of X, it lacks 'weight'\. Allowed"):
            predictor(frame[NAMES[:3]])
        with pytest.raises(ValueError, match=r"of X, it has 'width' twice\. Allowed"):
            predictor(frame[[*NAMES, "width"]])
        many = pandas.DataFrame(np.zeros((2, 9)), columns=list("abcdefghi"))
        with pytest.raises(ValueError, match="it has 'a', 'b', 'c', 'd', 'e' and 4 more, unknown to the fit and it"):
            predictor(many)


def test_where_there_are_no_names_columns_go_by_position(frame, tmp_path):
    swapped = frame[["width", "height", "depth", "weight"]]
    for model in (Autoencoder(2, **SMALL), AutoencoderOutlierDetector(n_estimators=1, random_state=0)):
        for predictor in predictors(model.fit(X), tmp_path / "model"):
            assert predictor.feature_names_in is None
            assert_array_equal(predictor.score_samples(swapped), predictor.score_samples(swapped.to_numpy()))
    predictor = Autoencoder(2, **SMALL).fit(frame).predictor()
    numbered = pandas.DataFrame(X)
    levels = pandas.DataFrame(X, columns=pandas.MultiIndex.from_product([["a", "b"], ["c", "d"]]))
    for other in (numbered, numbered.iloc[:, ::-1], levels, numbered.iloc[3]):
        assert_array_equal(predictor(other), predictor(np.asarray(other)))

    class Rows:
        """What has attributes of those names for something else."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return self.values

        def columns(self):
            raise AssertionError

        ndim, index = 1, None

    assert_array_equal(predictor(Rows(X)), predictor(X))
    codes = pandas.DataFrame(predictor(X), columns=["width", "height"])  # codes are no rows
    assert_array_equal(predictor.inverse_transform(codes), predictor.reconstruct(X))


def test_other_frames_have_names_too(frame):
    predictor = Autoencoder(2, **SMALL).fit(frame).predictor()
    swapped = frame[["width", "height", "depth", "weight"]]
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for make in (polars.from_pandas, arrow.Table.from_pandas, arrow.RecordBatch.from_pandas):
        if hasattr(make(frame), "__array__"):
            assert_array_equal(predictor(make(frame)), predictor(X))
        with pytest.raises(ValueError, match="column 0 is 'width', and in the fit it was 'height'"):
            predictor(make(swapped))


def test_predictors_that_were_pickled_before_go_by_position(frame):
    for model in (MODELS["plain"], MODELS["closed"], MODELS["detector"]):
        predictor = clone(model).fit(frame).predictor()
        state = {key: value for key, value in predictor.__getstate__().items() if key not in ("names", "_known")}
        old = type(predictor).__new__(type(predictor))
        old.__setstate__(state)
        assert old.feature_names_in is None
        assert_array_equal(old.score_samples(frame[NAMES[::-1]]), predictor.score_samples(X[:, ::-1]))


@pytest.mark.parametrize("model", [Autoencoder, AutoencoderClassifier])
def test_a_fit_that_goes_on_has_the_columns_of_before(frame, model):
    swapped = frame[["width", "height", "depth", "weight"]]
    warm = model(2, warm_start=True, **SMALL).fit(frame, Y)
    weights = [array.copy() for array in warm.coefs_]
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
        warm.fit(swapped, Y)
    for array, before in zip(warm.coefs_, weights, strict=True):
        assert_array_equal(array, before)
    assert warm.fit(X, Y).feature_names_in_.tolist() == NAMES  # columns of an array go by position
    again = model(2, **SMALL).fit(frame, Y).fit(swapped, Y)  # starts anew
    assert again.feature_names_in_.tolist() == swapped.columns.tolist()
