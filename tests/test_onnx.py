"""Exported ONNX models against the estimators, by ONNX Runtime on real tables; pipelines through skl2onnx."""

import warnings

import numpy as np
import pytest
from exported import (
    CANCER,
    COUNTS,
    DIGITS,
    KIND,
    LABELS,
    NAN_ROWS,
    NETWORKS,
    PRECISIONS,
    SCALED,
    seldom_assigned,
    small,
    unchecked,
)
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

import autoenc
from autoenc import _core, _spec

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of fits as short as these

# Relative to the largest number of the answer; float64 is 1e-10 absolute and relative.
LIMIT = {"float32": 1e-5, "float64": 1e-10}


def run(model, part, **inputs):
    made = model.to_onnx(part=part)
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == list(inputs)
    return session.run(None, inputs)


def agree(found, expected, precision):
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT[precision] * max(1e-3, np.abs(expected).max()))


def agree_in_all_parts(model, X, condition=None):
    """Encoder, decoder, reconstruction and score, on rows that were not fitted to."""
    dtype = np.dtype(model.precision)
    X = X.astype(dtype)
    more = {} if condition is None else {"condition": condition.astype(dtype)}
    code = model.transform(X, **more)
    agree(run(model, "encoder", x=X, **more)[0], code, model.precision)
    agree(run(model, "decoder", code=code, **more)[0], model.inverse_transform(code, **more), model.precision)
    agree(run(model, "reconstruction", x=X, **more)[0], model.reconstruct(X, **more), model.precision)
    scores = run(model, "score", x=X, **more)[0]
    assert scores.dtype == np.float64
    agree(scores, model.score_samples(X, **more), model.precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("activation", _core.ACTIVATIONS)
def test_activations(activation, precision):
    options = small(precision=precision)
    X = SCALED / 10  # "exp" of more overflows
    model = autoenc.Autoencoder(5, activation=activation, latent_activation=activation, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:400])
    agree_in_all_parts(model, X[400:])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", _spec.PLAIN_LOSSES)
def test_losses(loss, precision):
    model = autoenc.Autoencoder(5, loss=loss, **small(precision=precision)).fit(DIGITS[:1000])
    agree_in_all_parts(model, DIGITS[1000:])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, precision):
    from sklearn.base import clone

    model = clone(NETWORKS[name]).set_params(precision=precision).fit(DIGITS[:1000])
    agree_in_all_parts(model, DIGITS[1000:])


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_nan_are_as_in_the_core(name):
    from sklearn.base import clone

    model = clone(NETWORKS[name]).fit(DIGITS[:1000])
    X = NAN_ROWS.astype("float32")
    for part, expected in zip(("encoder", "reconstruction", "score"), unchecked(model, X), strict=True):
        found = run(model, part, x=X)[0]
        assert np.isnan(found).tolist() == np.isnan(expected).tolist()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.nanmax(np.abs(expected)))
    if hasattr(model, "hash"):  # where there is no room for NaN
        assert (
            run(model, "hash", x=X)[0]
            == np.where(np.isnan(X).any(axis=1)[:, np.newaxis], 0, model.hash(DIGITS[1000:1004]))
        ).all()
    if hasattr(model, "encode_indices"):
        found = run(model, "indices", x=X)[0]
        assert (found < 0).any(axis=1).tolist() == [False, True, True, False]
        assert (found[[0, 3]] == model.encode_indices(X[[0, 3]])).all()


@pytest.mark.parametrize("none", [False, True])
@pytest.mark.parametrize("quantizer", ["product", "residual"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_that_nothing_was_assigned_to(precision, quantizer, none):
    model, X = seldom_assigned(quantizer, precision, none=none)
    with np.errstate(invalid="ignore"):
        known = unchecked(model, X)
    for part, expected in zip(("encoder", "reconstruction", "score"), known, strict=True):
        np.testing.assert_allclose(run(model, part, x=X)[0], expected, rtol=0, atol=LIMIT[precision])
    found = run(model, "indices", x=X)[0]
    assert (found[[0, 3]] == model.encode_indices(X[[0, 3]])).all()
    assert found[[0, 3], 0].any() != none
    assert (np.delete(found, [0, 3], axis=0)[:, not none] < 0).all()


@pytest.mark.parametrize(("classes", "none"), [(np.arange(10), -(2**63)), (np.array(list("abcdefghij")), "")])
def test_a_row_of_nan_has_no_class(classes, none):
    model = autoenc.AutoencoderClassifier(8, unlabeled_label=None, **small(fine_tune_max_iter=3))
    model.fit(DIGITS[:1000], classes[LABELS[:1000]])
    X = NAN_ROWS.astype("float32")
    label, probabilities = run(model, "prediction", x=X)
    first, last = model.predict(X[[0, 3]])
    assert label.tolist() == [first, none, none, last]
    assert np.isnan(probabilities).any(axis=1).tolist() == [False, True, True, False]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_conditions_and_missing_values(precision):
    holes = np.where(np.random.default_rng(0).random(DIGITS.shape) < 0.2, np.nan, DIGITS)
    model = autoenc.Autoencoder(8, missing="mask", **small(precision=precision))
    agree_in_all_parts(model.fit(holes[:1000]), holes[1000:])
    condition = np.eye(10)[LABELS]
    model.fit(holes[:1000], condition=condition[:1000])
    agree_in_all_parts(model, holes[1000:], condition[1000:])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pairs(precision):
    clean, noisy = DIGITS[:, :20].astype(precision), DIGITS[:, 20:].astype(precision)
    model = autoenc.Autoencoder(8, **small(precision=precision)).fit(noisy[:1000], X_clean=clean[:1000])
    expected = model.score_samples(noisy[1000:], X_clean=clean[1000:])
    agree(run(model, "score", x=noisy[1000:], x_clean=clean[1000:])[0], expected, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_predictions_hashes_and_indices(precision):
    X = DIGITS.astype(precision)
    options = small(precision=precision, fine_tune_max_iter=3)
    for classes in (np.arange(10), np.arange(10.0), np.array(list("abcdefghij"))):
        y = classes[LABELS]
        model = autoenc.AutoencoderClassifier(8, unlabeled_label=None, **options).fit(X[:1000], y[:1000])
        label, probabilities = run(model, "prediction", x=X[1000:])
        assert label.dtype == (object if classes.dtype.kind == "U" else np.int64)
        assert (label == model.predict(X[1000:])).all()
        assert len(set(label)) > 3
        agree(probabilities, model.predict_proba(X[1000:]), precision)
        agree_in_all_parts(model, DIGITS[1000:])
    y = 5.0 * DIGITS[:, 3:6] + 2.0
    model = autoenc.AutoencoderRegressor(8, **options).fit(X[:1000], y[:1000])
    agree(run(model, None, x=X[1000:])[0], model.predict(X[1000:]), precision)
    model = autoenc.HashingAutoencoder(20, **small(precision=precision)).fit(X[:1000])
    assert (run(model, "hash", x=X)[0] == model.hash(X)).all()
    model = autoenc.VectorQuantizedAutoencoder(8, n_codes=16, **small(precision=precision)).fit(X[:1000])
    assert (run(model, "indices", x=X)[0] == model.encode_indices(X)).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("parameters", [{}, {"n_pivots": 20, "concatenate": False}])
def test_marginalized(parameters, precision):
    X = DIGITS.astype(precision)
    model = autoenc.MarginalizedDenoisingAutoencoder(precision=precision, **parameters).fit(X[:1000])
    agree(run(model, "encoder", x=X)[0], model.transform(X), precision)
    agree(run(model, "reconstruction", x=X)[0], model.reconstruct(X), precision)
    agree(run(model, "score", x=X)[0], model.score_samples(X), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("missing", ["error", "mask"])
@pytest.mark.parametrize("neighbor_weight", [0.0, 1.0])
def test_outlier_detector(neighbor_weight, missing, precision):
    X = CANCER.copy()
    if missing == "mask":
        X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
        X[:, 3] = np.nan
    options = {"neighbor_weight": neighbor_weight, "missing": missing, "precision": precision}
    model = autoenc.AutoencoderOutlierDetector(n_estimators=3, max_iter=5, random_state=0, **options).fit(X[:400])
    agree(run(model, "score", x=X)[0], model.score_samples(X), precision)  # training rows too
    agree(run(model, "decision", x=X)[0], model.decision_function(X), precision)
    label = run(model, "prediction", x=X)[0]
    assert (label == model.predict(X)).all()
    assert set(label) == {-1, 1}
    if missing == "error":  # Python refuses such a row; what it must not be is an inlier
        assert run(model, "prediction", x=np.full_like(X[:1], np.nan))[0] == [-1]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "parameters", [{}, {"keep_empty_features": True}, {"add_indicator": True}, {"missing_values": -1}]
)
def test_imputer(parameters, precision):
    holes = np.random.default_rng(0).random(CANCER.shape) < 0.2
    holes[:, 3] = True
    X = np.where(holes, parameters.get("missing_values", np.nan), CANCER)
    model = autoenc.AutoencoderImputer(8, precision=precision, **small(**parameters)).fit(X[:400])
    filled = run(model, "reconstruction", x=X)[0]
    agree(filled, model.transform(X), precision)
    assert (filled[:, :3][~holes[:, :3]] == CANCER[:, :3][~holes[:, :3]]).all()


def test_imputer_fills_only_what_stands_for_a_missing_value():
    """Python refuses NaN then; here it stays, and for the other entries it is one that is missing."""
    holes = np.random.default_rng(0).random(CANCER.shape) < 0.2
    holes[:, 3] = True
    X = np.where(holes, -1, CANCER)
    options = small(missing_values=-1, add_indicator=True, keep_empty_features=True)
    model = autoenc.AutoencoderImputer(8, **options).fit(X)
    row, gap = X[:1].copy(), X[:1].copy()
    row[0, [3, 5]], gap[0, [3, 5]] = np.nan, -1
    expected = model.transform(gap)
    expected[0, [3, 5]], marks = np.nan, 30 + model.indicator_.features_.searchsorted([3, 5])
    assert (expected[0, marks] == 1).all()
    expected[0, marks] = 0
    np.testing.assert_allclose(run(model, "reconstruction", x=row)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"noise_variance": "learned"},
        {"noise_variance": 0.1, "prior": "mixture"},
        {"prior": "vamp", "likelihood": "log_loss"},
        {"missing": "mask"},
        {"likelihood": "poisson"},
        {"likelihood": "multinomial"},
        {"likelihood": "negative_binomial"},
    ],
    ids=str,
)
def test_variational(parameters, precision):
    """Codes are means; scores are bounds by the draws of the estimator."""
    X = COUNTS if parameters.get("likelihood", "log_loss") not in ("log_loss", "squared_error") else DIGITS
    if "missing" in parameters:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    model = autoenc.VariationalAutoencoder(4, **small(precision=precision, learning_rate_init=1e-3, **parameters))
    agree_in_all_parts(model.fit(X[:1000]), X[1000:1200])


def test_variational_with_condition():
    model = autoenc.VariationalAutoencoder(4, **small(precision="float64"))
    condition = np.eye(10)[LABELS]
    agree_in_all_parts(model.fit(DIGITS[:1000], condition=condition[:1000]), DIGITS[1000:1200], condition[1000:1200])


def test_a_predictor_gives_the_same_model(tmp_path):
    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    made = model.to_onnx(tmp_path / "model.onnx", part="score")
    assert onnx.load(tmp_path / "model.onnx") == made
    assert model.predictor().to_onnx(part="score").graph == made.graph
    assert made.producer_name == "autoenc"
    assert made.producer_version == autoenc.__version__
    assert "score" in made.doc_string
    assert {one.key: one.value for one in made.metadata_props}["precision"] == "float32"
    assert [(one.domain, one.version) for one in made.opset_import] == [("", 17)]
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"


def test_what_is_refused():
    with pytest.raises(NotFittedError):
        autoenc.Autoencoder(3).to_onnx()
    with pytest.raises(NotFittedError):
        autoenc.AutoencoderImputer().to_onnx()
    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    with pytest.raises(ValueError, match=r"part is 'hash'; Autoencoder has: 'encoder', 'decoder'"):
        model.to_onnx(part="hash")
    with pytest.raises(TypeError, match="fitted estimators of autoenc"):
        autoenc.onnx.convert(LogisticRegression())
    model._spec["nodes"][1]["kind"] = "convolution"
    with pytest.raises(NotImplementedError, match="kind 'convolution', 'encoder_0'"):
        autoenc.onnx._NETWORK["encoder"](autoenc.onnx._Model(np.float32), _Stub(model._spec))
    drawing = autoenc.AutoencoderImputer(3, sample_posterior=True, **small()).fit(np.where(SCALED > 2, np.nan, SCALED))
    with pytest.raises(NotImplementedError, match="sample_posterior=False"):
        drawing.to_onnx()


def test_without_the_package(monkeypatch):
    import sys

    model = autoenc.Autoencoder(3, **small()).fit(SCALED)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install onnx$"):
        model.to_onnx()


# ---- pipelines ----


@pytest.fixture(scope="module")
def to_onnx():
    skl2onnx = pytest.importorskip("skl2onnx")
    from autoenc.onnx import register

    register()
    return skl2onnx.to_onnx


def run_pipeline(to_onnx, model, X, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = to_onnx(model, X[:1], **options)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pipeline_of_scaler_autoencoder_and_classifier(to_onnx, precision):
    X = CANCER.astype(precision)
    encoder = autoenc.Autoencoder(6, **small(precision=precision))
    model = make_pipeline(StandardScaler(), encoder, LogisticRegression(max_iter=2000)).fit(X[:400], KIND[:400])
    label, probabilities = run_pipeline(to_onnx, model, X[400:], options={"zipmap": False})
    assert (label == model.predict(X[400:])).all()
    agree(probabilities, model.predict_proba(X[400:]), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_estimators_in_pipelines(to_onnx, precision):
    X, y = CANCER.astype(precision), CANCER[:, 0]
    options = small(precision=precision)

    def fitted(*steps):
        return make_pipeline(*steps).fit(X[:400], KIND[:400] if "Classifier" in type(steps[-1]).__name__ else y[:400])

    for step in (
        autoenc.SparseAutoencoder(16, max_iter=3, random_state=0, precision=precision),
        autoenc.DenoisingAutoencoder(4, **options),
        autoenc.ContractiveAutoencoder(4, **options),
        autoenc.VariationalAutoencoder(4, **options),
        autoenc.HashingAutoencoder(8, **options),
        autoenc.VectorQuantizedAutoencoder(8, **options),
        autoenc.MarginalizedDenoisingAutoencoder(precision=precision),
    ):
        model = fitted(StandardScaler(), step)
        agree(run_pipeline(to_onnx, model, X[400:])[0], model.transform(X[400:]), precision)
    model = fitted(StandardScaler(), autoenc.AutoencoderClassifier(4, **options))
    label, probabilities = run_pipeline(to_onnx, model, X[400:], options={"zipmap": False})
    assert (label == model.predict(X[400:])).all()
    agree(probabilities, model.predict_proba(X[400:]), precision)
    model = fitted(StandardScaler(), autoenc.AutoencoderRegressor(4, **options))
    agree(run_pipeline(to_onnx, model, X[400:])[0][:, 0], model.predict(X[400:]), precision)
    model = fitted(StandardScaler(), autoenc.AutoencoderOutlierDetector(n_estimators=2, max_iter=3, random_state=0))
    label, scores = run_pipeline(to_onnx, model, X[400:])
    assert (label[:, 0] == model.predict(X[400:])).all()
    agree(scores[:, 0], model.decision_function(X[400:]), "float32")
    label, _ = run_pipeline(to_onnx, model, np.full_like(X[:1], np.nan))
    assert label.tolist() == [[-1]]
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X).astype(precision)
    model = make_pipeline(autoenc.AutoencoderImputer(4, **options), StandardScaler()).fit(holes)
    agree(run_pipeline(to_onnx, model, holes)[0], model.transform(holes), precision)
    holes = np.where(np.isnan(holes), np.array(0.1, precision), holes)
    model = make_pipeline(autoenc.AutoencoderImputer(4, missing_values=0.1, **options), StandardScaler()).fit(holes)
    agree(run_pipeline(to_onnx, model, holes)[0], model.transform(holes), precision)


def test_a_regressor_before_other_steps_gives_its_code(to_onnx):
    X, y = SCALED.astype(np.float32), CANCER[:, 0]
    regressor = autoenc.AutoencoderRegressor(4, **small(fine_tune_max_iter=3))
    union = FeatureUnion([("code", clone(regressor)), ("scaled", StandardScaler())])
    columns = ColumnTransformer([("code", clone(regressor), list(range(9)))])
    search = GridSearchCV(clone(regressor), {"alpha": [1e-4]}, cv=2)
    nested = GridSearchCV(make_pipeline(StandardScaler(), clone(regressor)), {}, cv=2)
    for step in (regressor, union, columns, search, nested, FeatureUnion([("search", clone(search))])):
        model = make_pipeline(step, LogisticRegression(max_iter=9)).fit(X, KIND)
        *_, probabilities = run_pipeline(to_onnx, model, X, options={"zipmap": False})  # skl2onnx adds a search's own
        np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
    for last in (union, columns, make_pipeline(columns)):
        agree(run_pipeline(to_onnx, last.fit(X, y), X)[0], last.transform(X), "float32")


def test_what_takes_predictions_gets_a_regressors(to_onnx):
    X, y = CANCER.astype(np.float32), CANCER[:, 0].astype(np.float32)
    regressor = autoenc.AutoencoderRegressor(4, **small(fine_tune_max_iter=3))
    model = VotingRegressor([("network", regressor), ("tree", DecisionTreeRegressor(max_depth=2))]).fit(X, y)
    agree(run_pipeline(to_onnx, model, X)[0][:, 0], model.predict(X), "float32")


def test_a_search_over_a_regressor_predicts(to_onnx):
    X, y = SCALED.astype(np.float32), CANCER[:, 0]
    regressor = autoenc.AutoencoderRegressor(1, **small(fine_tune_max_iter=3))
    for model in (
        GridSearchCV(regressor, {}, cv=2),
        make_pipeline(StandardScaler(), GridSearchCV(regressor, {}, cv=2)),
    ):
        agree(run_pipeline(to_onnx, model.fit(X, y), X)[0][:, 0], model.predict(X), "float32")


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_before_other_steps_is_refused(to_onnx, zipmap):
    X = CANCER.astype(np.float32)
    classifier = autoenc.AutoencoderClassifier(4, **small(fine_tune_max_iter=3))
    last = LogisticRegression(max_iter=9)
    for first in (classifier, GridSearchCV(classifier, {}, cv=2), ColumnTransformer([("code", classifier, [0, 1, 2])])):
        model = make_pipeline(first, last).fit(X, KIND)
        options = {id(classifier): {"zipmap": zipmap}, id(first): {"zipmap": zipmap}, id(last): {"zipmap": False}}
        with pytest.raises(NotImplementedError, match=r"AutoencoderClassifier before other steps.*as last step"):
            to_onnx(model, X[:1], options=options)
    with pytest.raises(NotImplementedError, match="AutoencoderClassifier before other steps"):
        to_onnx(first, X[:1])  # which gives codes


def test_a_classifier_in_a_pipeline_has_labels_of_each_kind(to_onnx):
    X = CANCER.astype(np.float32)
    for y in (KIND, KIND.astype(np.float64), KIND.astype(bool), np.array(["no", "yes"])[KIND]):
        classifier = autoenc.AutoencoderClassifier(4, unlabeled_label=None, **small(fine_tune_max_iter=3))
        model = make_pipeline(StandardScaler(), classifier).fit(X[:400], y[:400])
        label, _ = run_pipeline(to_onnx, model, X[400:], options={"zipmap": False})
        assert label.dtype == (object if y.dtype.kind == "U" else np.int64)
        assert (label == model.predict(X[400:])).all() and len(set(label)) == 2


def test_pipelines_have_no_condition(to_onnx):
    model = autoenc.Autoencoder(3, **small()).fit(SCALED, condition=np.eye(2)[KIND])
    with pytest.raises(NotImplementedError, match="fitted with a condition"):
        run_pipeline(to_onnx, model, SCALED)


class _Stub:
    """What a predictor has, for a network that the core would refuse."""

    def __init__(self, spec):
        self._spec, self._coefs, self._intercepts, self._others = spec, [], [], {}
        self._spec = {**spec, "parameters": []}
