"""Pipelines of scalers and an estimator: in one file, as predictors, as C and as ONNX."""

import copy
import ctypes
import json
import pickle
import re
import shutil
import struct
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    HashingAutoencoder,
    MarginalizedDenoisingAutoencoder,
    VectorQuantizedAutoencoder,
    _core,
    _stored_estimators,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

X, Y = load_wine(return_X_y=True)
SMALL = {"max_iter": 2, "hidden_layer_sizes": (6,), "random_state": 0}
SCALERS = {
    "standard": [StandardScaler()],
    "centred": [StandardScaler(with_std=False)],
    "not centred": [StandardScaler(with_mean=False)],
    "nothing": [StandardScaler(with_mean=False, with_std=False)],
    "minmax": [MinMaxScaler()],
    "clipped": [MinMaxScaler((-1, 2), clip=True)],
    "maxabs": [MaxAbsScaler()],
    "robust": [RobustScaler(quantile_range=(10.0, 90.0))],
    "two": [RobustScaler(), MinMaxScaler()],
    "none": [],
}
ESTIMATORS = {
    "plain": Autoencoder(2, **SMALL),
    "double": Autoencoder(2, precision="float64", **SMALL),
    "classifier": AutoencoderClassifier(2, fine_tune_max_iter=2, **SMALL),
    "regressor": AutoencoderRegressor(2, fine_tune_max_iter=2, **SMALL),
    "bits": HashingAutoencoder(8, **SMALL),
    "codebooks": VectorQuantizedAutoencoder(2, n_codes=5, **SMALL),
    "closed": MarginalizedDenoisingAutoencoder(n_pivots=9),
    "detector": AutoencoderOutlierDetector(n_estimators=2, random_state=0),
}
METHODS = ("transform", "score_samples", "predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pipeline.safetensors"


@cache
def fitted(scalers, estimator):
    return make_pipeline(*map(clone, SCALERS[scalers]), clone(ESTIMATORS[estimator])).fit(X, Y)


def made(scalers="standard", estimator="plain"):
    return copy.deepcopy(fitted(scalers, estimator))


def pairs():
    return [(name, "plain") for name in SCALERS] + [("standard", name) for name in ESTIMATORS if name != "plain"]


# ---- files ----


@pytest.mark.parametrize(("scalers", "estimator"), pairs())
def test_a_pipeline_comes_back_to_the_bit(scalers, estimator, path):
    pipe = made(scalers, estimator)
    autoenc.save(pipe, path)
    again = autoenc.load(path)
    assert type(again) is Pipeline and repr(again) == repr(pipe)
    for step, other in zip(pipe, again, strict=True):
        assert vars(step).keys() == vars(other).keys()
    for rows in (X, X.astype(np.float32)):
        for method in METHODS:
            if hasattr(pipe, method):
                found = getattr(again, method)(rows)
                assert_array_equal(found, getattr(pipe, method)(rows))
    again.fit(X, Y)


@pytest.mark.parametrize(("scalers", "estimator"), pairs())
def test_its_predictor_has_its_bits(scalers, estimator, path):
    pipe = made(scalers, estimator)
    autoenc.save(pipe, path)
    predictor = pickle.loads(pickle.dumps(copy.deepcopy(autoenc.load_predictor(path))))
    assert (predictor.n_features_in == X.shape[1] and "Scaler" in repr(predictor)) or not SCALERS[scalers]
    for method in METHODS:
        assert hasattr(pipe, method) == hasattr(predictor, method)
        if hasattr(pipe, method):
            expected = getattr(pipe, method)(X)
            assert_array_equal(getattr(predictor, method)(X), expected)
            assert_array_equal(getattr(predictor, method)(X[5]), expected[5])
            found = getattr(predictor, method)(X.astype(np.float32))
            assert_allclose(found, getattr(pipe, method)(X.astype(np.float32)), rtol=1e-3, atol=1e-4)
    last, scaled = pipe[-1], pipe[:-1].transform(X) if SCALERS[scalers] else X
    if hasattr(last, "inverse_transform"):
        expected = pipe.inverse_transform(pipe.transform(X))
        assert_array_equal(predictor.reconstruct(X), expected)
        assert_array_equal(predictor.reconstruct(X[3]), expected[3])
        assert_array_equal(predictor.inverse_transform(pipe.transform(X)), expected)
        assert_array_equal(predictor(X), pipe.transform(X))
        assert_array_equal(predictor.score_samples(X, X_clean=X), pipe.score_samples(X))
        assert_array_equal(predictor.score_samples(X=X, X_clean=X), pipe.score_samples(X))
    for method in ("hash", "encode_indices", "feature_contributions"):
        if hasattr(last, method):
            assert_array_equal(getattr(predictor, method)(X), getattr(last, method)(scaled))
    if hasattr(last, "decode_indices"):
        numbers = predictor.encode_indices(X)
        assert_allclose(predictor.decode_indices(numbers), predictor.reconstruct(X), rtol=1e-6)  # of float32
        assert_array_equal(predictor.decode_indices(indices=numbers), predictor.decode_indices(numbers))
    if hasattr(last, "classes_"):
        assert_array_equal(predictor.classes, last.classes_)


@pytest.mark.parametrize(("scalers", "estimator"), pairs())
def test_skops_keeps_its_predictor(scalers, estimator, path):
    skops = pytest.importorskip("skops.io")
    autoenc.save(made(scalers, estimator), path)
    predictor = autoenc.load_predictor(path)
    again = skops.loads(skops.dumps(predictor), trusted=list(autoenc.io.SKOPS_TRUSTED))
    assert type(again) is type(predictor) and type(again.predictor) is type(predictor.predictor)
    assert len(again.scaling.steps) == len(SCALERS[scalers])
    for method in ("score_samples", "transform", "reconstruct", "predict", "hash"):
        if hasattr(predictor, method):
            assert_array_equal(getattr(again, method)(X), getattr(predictor, method)(X))


def test_the_reconstruction_of_some_columns_is_in_their_units(path):
    pipe = made("standard", "closed")
    autoenc.save(pipe, path)
    found = autoenc.load_predictor(path).reconstruct(X)
    pivots = pipe[-1].pivots_
    expected = pipe[-1].reconstruct(pipe[0].transform(X)) * pipe[0].scale_[pivots] + pipe[0].mean_[pivots]
    assert_allclose(found, expected, rtol=1e-12)


def test_other_rows_than_plain_ones(path):
    autoenc.save(made(), path)
    predictor = autoenc.load_predictor(path)
    whole = np.round(X[:9])
    assert_array_equal(predictor(whole.astype(np.int64)), predictor(whole))
    small = (X[:9] / 10).astype(np.uint8)
    assert_array_equal(predictor(small), predictor(small.astype(np.float64)))
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match="X is sparse, and the model has a StandardScaler that moves columns"):
        predictor(sparse.csr_array(X))
    with pytest.raises(ValueError, match=r"contains NaN at row 0, column 1; .*missing='mask'"):
        predictor(np.where(np.arange(13) == 1, np.nan, X[0]))
    with pytest.raises(ValueError, match=r"contains infinity at row 0, column 2"):
        predictor(np.where(np.arange(13) == 2, np.inf, X[0]))
    with pytest.raises(ValueError, match="X has 3 features, but 13 are expected"):
        predictor(X[:, :3])
    with pytest.raises(AttributeError, match="hash"):
        predictor.hash(X)
    before = X.copy()
    predictor.reconstruct(X)
    assert_array_equal(X, before)
    for name in ("not centred", "maxabs"):
        pipe = made(name)
        autoenc.save(pipe, path)
        rows = sparse.csr_array(np.where(X > 3, X, 0))
        assert_array_equal(autoenc.load_predictor(path)(rows), pipe.transform(rows))


def test_missing_values_pass_the_scaler(path):
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    pipe = make_pipeline(StandardScaler(), Autoencoder(2, missing="mask", **SMALL)).fit(holes)
    autoenc.save(pipe, path)
    assert_array_equal(autoenc.load(path).transform(holes), pipe.transform(holes))
    assert_array_equal(autoenc.load_predictor(path).transform(holes), pipe.transform(holes))


def test_names_and_settings_come_along(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=load_wine().feature_names)
    pipe = Pipeline([("scale", StandardScaler(with_std=False)), ("net", Autoencoder(2, **SMALL))], verbose=False)
    pipe.set_output(transform="pandas").fit(frame)
    autoenc.save(pipe, path)
    again = autoenc.load(path)
    assert [name for name, _ in again.steps] == ["scale", "net"]
    assert list(again.feature_names_in_) == load_wine().feature_names and again["scale"].with_std is False
    pandas.testing.assert_frame_equal(again.transform(frame), pipe.transform(frame))


def test_an_estimator_alone_goes_by_save_too(tmp_path):
    model = Autoencoder(2, **SMALL).fit(X)
    model.save(tmp_path / "a")
    autoenc.save(model, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    formats = []
    changed(tmp_path / "a", lambda c: formats.append(c["format"]))
    assert formats == [1]  # which releases before pipelines read


def test_what_a_file_cannot_hold_is_named(path, tmp_path):
    with pytest.raises(ValueError, match=r"step 'pca' of the pipeline is PCA\(\); before an estimator of autoenc"):
        autoenc.save(make_pipeline(PCA(), Autoencoder(2, **SMALL)).fit(X), path)
    with pytest.raises(ValueError, match="memory of the pipeline is 'cache'; a model file holds pipelines with memory"):
        autoenc.save(made().set_params(memory="cache"), path)
    for first, last in ((StandardScaler(), PCA()), (Autoencoder(2, **SMALL), StandardScaler())):
        pipe = make_pipeline(first, last).fit(X)
        what = rf"the last step of the pipeline, '{pipe.steps[-1][0]}', is {type(last).__name__}\(\), which is no estim"
        with pytest.raises(ValueError, match=what):
            autoenc.save(pipe, path)
    with pytest.raises(NotFittedError):
        autoenc.save(make_pipeline(StandardScaler(), Autoencoder(2)), path)
    paired = make_pipeline(StandardScaler(), Autoencoder(2, **SMALL))
    paired.fit(X, autoencoder__X_clean=X)
    with pytest.raises(ValueError, match="was fitted to pairs, X_clean, whose units"):
        autoenc.save(paired, path)
    odd = made()
    odd[0].note = 1
    with pytest.raises(ValueError, match=r"pipeline.0 has the attribute 'note', for which"):
        autoenc.save(odd, path)
    assert not path.exists() and list(tmp_path.iterdir()) == []
    imputer = make_pipeline(StandardScaler(), AutoencoderImputer(2, max_iter=2, random_state=0)).fit(X)
    autoenc.save(imputer, path)
    holes = np.where(np.arange(13) == 4, np.nan, X)
    assert_array_equal(autoenc.load(path).transform(holes), imputer.transform(holes))
    with pytest.raises(ValueError, match="AutoencoderImputer has no predictor"):
        autoenc.load_predictor(path)


def changed(path, change):
    """The file with another configuration."""
    raw = path.read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + n])
    configuration = json.loads(header["__metadata__"]["autoenc"])
    change(configuration)
    header["__metadata__"] = {"autoenc": json.dumps(configuration)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    other = path.with_name("changed")
    other.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + n :])
    return other


DAMAGE = {
    "format": (lambda c: c.update(format=1), "it is of format 1 and has a pipeline"),
    "later": (lambda c: c.update(format=3), "a model of format 3"),
    "no pipeline": (lambda c: c.pop("pipeline"), "it is of format 2 and has no pipeline"),
    "other keys": (lambda c: c["pipeline"].pop("name"), "does not have before, name and verbose"),
    "a class": (lambda c: c["pipeline"]["before"][0].update({"class": "PCA"}), "is of the class 'PCA'; allowed are"),
    "an attribute": (
        lambda c: c["pipeline"]["before"][0]["state"].update(x=1),
        r"pipeline.0 has \['x'\], which StandardScaler does not have",
    ),
    "gone": (lambda c: c["pipeline"]["before"][0]["state"].pop("scale_"), r"pipeline.0.scale_ is missing"),
    "null": (lambda c: c["pipeline"]["before"][0]["state"].update(mean_=None), "arrays that nothing refers to|is null"),
    "width": (
        lambda c: c["pipeline"]["before"][0]["state"].update(n_features_in_=12),
        r"pipeline.0.mean_ has shape \(13,\); needed is \(12\)",
    ),
    "parameter": (lambda c: c["pipeline"]["before"][0]["parameters"].update(clip=True), "is no parameter of Standard"),
    "no flag": (lambda c: c["pipeline"]["before"][0]["parameters"].update(with_mean=3), "is 3; allowed: true, false"),
    "two names": (lambda c: c["pipeline"].update(name="standardscaler"), "two steps of one name"),
    "a name": (lambda c: c["pipeline"].update(name="a__b"), "allowed are texts without __"),
    "verbose": (lambda c: c["pipeline"].update(verbose=1), "does not have before, name and verbose"),
    "another's array": (
        lambda c: c["pipeline"]["before"][0]["state"].update(scale_=c["pipeline"]["before"][0]["state"]["mean_"]),
        "or has for something else",
    ),
    "output": (lambda c: c["pipeline"]["before"][0].update(output={"transform": 1}), "has the output"),
    "not a list": (lambda c: c["pipeline"].update(before={}), "is not a list"),
    "many": (lambda c: c["pipeline"].update(before=c["pipeline"]["before"] * 99), "has for something else|more than"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_pipelines_are_refused(name, path):
    autoenc.save(made(), path)
    change, message = DAMAGE[name]
    other = changed(path, change)
    for read in (autoenc.load, autoenc.load_predictor):
        if name == "output" and read is autoenc.load_predictor:
            continue  # which does not look at it
        with pytest.raises(ValueError, match=message) as error:
            read(other)
        assert str(other) in str(error.value)


def altered(step, **values):
    """A change of a fitted pipeline; a pair is a value for one column."""

    def change(pipe):
        for name, value in values.items():
            if isinstance(value, tuple):
                getattr(pipe[step], name)[value[0]] = value[1]
            else:
                setattr(pipe[step], name, value)

    return change


def narrower(pipe):
    pipe.steps[0] = ("standardscaler", StandardScaler().fit(X[:, :5]))


POSITIVE = "allowed are finite numbers above 0, and NaN of columns without any value"
COUNTS = "allowed are finite numbers from 0"
WHOLE = f"allowed are whole numbers from 1 to {2**62}"
UNREADABLE = {
    "zero": ("standard", altered(0, scale_=(3, 0.0)), f"pipeline.0.scale_ is 0.0 in column 3; {POSITIVE}"),
    "infinite": ("standard", altered(0, scale_=(3, np.inf)), f"pipeline.0.scale_ is inf in column 3; {POSITIVE}"),
    "negative": ("robust", altered(0, scale_=(0, -2.5)), f"pipeline.0.scale_ is -2.5 in column 0; {POSITIVE}"),
    "minmax": ("minmax", altered(0, scale_=(12, -1.0)), f"pipeline.0.scale_ is -1.0 in column 12; {POSITIVE}"),
    "second": ("two", altered(1, scale_=(1, -1.0)), f"pipeline.1.scale_ is -1.0 in column 1; {POSITIVE}"),
    "nan": (
        "maxabs",
        altered(0, scale_=(2, np.nan)),
        "pipeline.0.scale_ is nan in column 2, of which max_abs_ is 3.23",
    ),
    "nan mean": (
        "standard",
        altered(0, mean_=(2, np.nan)),
        "pipeline.0.mean_ is nan in column 2, of which var_ is 0.07",
    ),
    "moved": ("standard", altered(0, mean_=(4, -np.inf)), "pipeline.0.mean_ is -inf in column 4; allowed are finite"),
    "half": (
        "standard",
        altered(0, scale_=np.ones(13, np.float16)),
        "pipeline.0.scale_ is an array of float16; allowed",
    ),
    "short": ("standard", altered(0, scale_=np.ones(4)), r"pipeline.0.scale_ has shape (4,); needed is (13)"),
    "width": ("standard", narrower, "pipeline.0 is of 5 columns; the estimator has 13"),
    "counts": ("standard", altered(0, n_samples_seen_=-4), f"pipeline.0.n_samples_seen_ is -4; {COUNTS}"),
    "no number": ("standard", altered(0, n_samples_seen_=np.float64("nan")), f"n_samples_seen_ is nan; {COUNTS}"),
    "each": (
        "standard",
        altered(0, n_samples_seen_=np.where(np.arange(13) == 5, -1, 178)),
        f"pipeline.0.n_samples_seen_ is -1 in column 5; {COUNTS}",
    ),
    "shape": (
        "standard",
        altered(0, n_samples_seen_=np.full(3, 178)),
        "pipeline.0.n_samples_seen_ has shape (3,); needed is (13)",
    ),
    "fraction": ("minmax", altered(0, n_samples_seen_=2.5), f"pipeline.0.n_samples_seen_ is 2.5; {WHOLE}"),
    "none": ("maxabs", altered(0, n_samples_seen_=0), f"pipeline.0.n_samples_seen_ is 0; {WHOLE}"),
    "by column": ("minmax", altered(0, n_samples_seen_=np.full(13, 178)), "pipeline.0.n_samples_seen_ is array"),
    "weight": ("standard", lambda pipe: spoil(pipe[1]), "coefs_[0] has nan at [1, 2]; every weight must be finite"),
}


def spoil(model):
    model.coefs_[0] = model.coefs_[0].copy()
    model.coefs_[0][1, 2] = np.nan


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_read_is_not_written_either(name, path, monkeypatch):
    scalers, change, message = UNREADABLE[name]
    pipe = made(scalers)
    change(pipe)
    path.write_text("as before")
    message = re.escape(message)
    with pytest.raises(ValueError, match=f"{path} is not written: it could not be read as a model of .*{message}"):
        autoenc.save(pipe, path)
    assert path.read_text() == "as before" and list(path.parent.iterdir()) == [path]
    with monkeypatch.context() as unchecked:
        unchecked.setattr(_stored_estimators, "_read", lambda *_: None)
        autoenc.save(pipe, path)
    for read in (autoenc.load, autoenc.load_predictor):
        with pytest.raises(ValueError, match=f"{path} cannot be read as a model of autoenc: .*{message}"):
            read(path)


def test_an_estimator_alone_that_is_not_read_is_not_written(path):
    model = Autoencoder(2, **SMALL).fit(X)
    spoil(model)
    with pytest.raises(ValueError, match=r"is not written: .* coefs_\[0\] has nan at \[1, 2\]"):
        model.save(path)
    assert not path.exists()


@pytest.mark.filterwarnings("ignore:invalid value encountered", "ignore:All-NaN slice", "ignore:Mean of empty")
def test_sums_of_weights_and_columns_without_values_are_read(path):
    weights = np.random.default_rng(0).random(len(X))
    holes = np.where(np.arange(13) == 4, np.nan, X)
    holes[0, 2] = np.nan
    for scaler, given in (
        (StandardScaler(), {"sample_weight": weights}),
        (StandardScaler(), {}),
        (MinMaxScaler(), {}),
        (RobustScaler(), {}),
        (MaxAbsScaler(), {}),
    ):
        for rows in (X, holes):
            pipe = make_pipeline(scaler, Autoencoder(2, missing="mask", **SMALL))
            pipe.fit(rows, **{f"{pipe.steps[0][0]}__{name}": value for name, value in given.items()})
            autoenc.save(pipe, path)
            assert_array_equal(autoenc.load(path).transform(rows), pipe.transform(rows))
            assert_array_equal(autoenc.load_predictor(path).transform(rows), pipe.transform(rows))


def test_bytes_in_the_other_order_are_written_as_they_are_read(path):
    pipe = made()
    pipe[0].scale_ = pipe[0].scale_.astype(">f8")
    autoenc.save(pipe, path)
    assert_array_equal(autoenc.load(path)[0].scale_, pipe[0].scale_)


def test_predicting_needs_no_scikit_learn(path, run_python):
    autoenc.save(made(), path)
    np.save(path.with_name("X.npy"), X)
    script = f"""
import sys
for blocked in ("sklearn", "scipy"):
    sys.modules[blocked] = None
import numpy, autoenc
print(repr(autoenc.load_predictor({str(path)!r}).reconstruct(numpy.load({str(path.with_name("X.npy"))!r}))[2, 3]))
"""
    done = run_python("-c", script)
    assert done.stdout.strip() == repr(autoenc.load_predictor(path).reconstruct(X)[2, 3]), done.stderr


def test_the_class_that_is_expected(path):
    autoenc.save(made(), path)
    assert type(autoenc.load(path, Pipeline)) is Pipeline
    with pytest.raises(ValueError, match=r"pipeline.safetensors holds Pipeline; expected is Autoencoder"):
        autoenc.load(path, Autoencoder)
    Autoencoder(2, **SMALL).fit(X).save(path)
    assert type(autoenc.load(path, Autoencoder)) is Autoencoder
    with pytest.raises(TypeError, match="expected is 'Autoencoder'; allowed are None and classes"):
        autoenc.load(path, "Autoencoder")
    assert type(autoenc.load_predictor(path, autoenc.Predictor)) is autoenc.Predictor
    with pytest.raises(ValueError, match=r"pipeline.safetensors holds Predictor; expected is OutlierPredictor"):
        autoenc.load_predictor(path, autoenc.io.OutlierPredictor)
    autoenc.save(made(), path)
    assert type(autoenc.load_predictor(path, autoenc.io.ScaledPredictor)) is autoenc.io.ScaledPredictor
    with pytest.raises(ValueError, match=r"holds ScaledPredictor; expected is Predictor"):
        autoenc.load_predictor(path, autoenc.Predictor)
    with pytest.raises(TypeError, match=r"expected is 3; allowed are None and classes, such as autoenc.Predictor"):
        autoenc.load_predictor(path, 3)


# ---- other programs ----


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize(("scalers", "estimator"), pairs())
def test_as_c(scalers, estimator, path, tmp_path):
    autoenc.save(made(scalers, estimator), path)
    predictor = autoenc.load_predictor(path)
    predictor.to_c(tmp_path / "model.c")
    exact = ["-O2", "-mfma", "-mavx2"] if _core.isa() in ("avx2", "avx512") else ["-O2", "-DMODEL_EXACT"]
    warned = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
    target = tmp_path / "model.so"
    command = ["gcc", *warned, *exact, "-shared", "-fPIC", "-o", target, tmp_path / "model.c", "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    library = ctypes.CDLL(str(target))
    row = np.ascontiguousarray(X[7])

    def call(name, n=None, dtype=None):
        function = getattr(library, f"model_{name}")
        if n is None:
            function.restype = ctypes.c_double
            return function(ctypes.c_void_p(row.ctypes.data))
        function.restype = None
        out = np.zeros(n, dtype)
        function(ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(out.ctypes.data))
        return out

    assert call("score") == predictor.score_samples(X[7:8])[0]
    if estimator == "detector":
        assert call("decision") == predictor.decision_function(X[7:8])[0]
        assert_array_equal(call("contributions", 13, np.float64), predictor.feature_contributions(row))
        return
    real = np.float64 if estimator == "double" else np.float32
    expected = predictor.reconstruct(row)
    assert_array_equal(call("reconstruct", len(expected), np.float64), expected)
    assert_array_equal(call("encode", len(predictor(row)), real), predictor(row).astype(real))
    if estimator == "classifier":
        found = predictor.predict_proba(row)
        assert_array_equal(call("predict_proba", len(found), np.float32), found.astype(np.float32))
    if estimator == "regressor":
        assert call("predict", 1, np.float64)[0] == predictor.predict(row)


@pytest.mark.parametrize(("scalers", "estimator"), pairs())
def test_as_onnx(scalers, estimator, path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    autoenc.save(made(scalers, estimator), path)
    predictor = autoenc.load_predictor(path)

    def run(part, **given):
        proto = predictor.to_onnx(part=part)
        session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, given)[0]

    assert_allclose(run("score", x=X), predictor.score_samples(X), rtol=1e-4)
    if estimator == "detector":
        assert_array_equal(run("prediction", x=X), predictor.predict(X))
        return
    close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(X).max(axis=0)[predictor._columns()].max()}
    assert_allclose(run("reconstruction", x=X), predictor.reconstruct(X), **close)
    if estimator != "closed":
        code = predictor.transform(X)
        real = np.float64 if estimator == "double" else np.float32
        assert_allclose(run("encoder", x=X), code, rtol=1e-3, atol=1e-4)
        assert_allclose(run("decoder", code=code.astype(real)), predictor.inverse_transform(code), **close)
    if estimator == "classifier":
        assert_array_equal(run("prediction", x=X), predictor.predict(X))


def test_nothing_of_this_is_imported_early(run_python):
    done = run_python("-c", "import sys, autoenc; print('sklearn' in sys.modules, 'numpy' in sys.modules)")
    assert done.stdout.split() == ["False", "False"], (done.stderr, sys.version)


@pytest.mark.parametrize(
    ("scaler", "flag"),
    [(StandardScaler, "with_std"), (StandardScaler, "with_mean"), (RobustScaler, "with_scaling")]
    + [(RobustScaler, "with_centering")],
)
def test_flags_set_after_the_fit(scaler, flag, path):
    pipe = make_pipeline(scaler(), Autoencoder(2, **SMALL)).fit(X)
    pipe[0].set_params(**{flag: False})
    autoenc.save(pipe, path)
    assert_array_equal(autoenc.load_predictor(path)(X), pipe.transform(X))
    pipe = make_pipeline(scaler(**{flag: False}), Autoencoder(2, **SMALL)).fit(X)
    pipe[0].set_params(**{flag: True})
    if flag == "with_mean":  # the mean is learned all the same
        autoenc.save(pipe, path)
        assert_array_equal(autoenc.load_predictor(path)(X), pipe.transform(X))
        return
    with pytest.raises(ValueError, match=f"has {flag}=True, and was fitted with False"):
        autoenc.save(pipe, path)


def test_a_parameter_of_a_later_scikit_learn_is_named_with_the_release(path, monkeypatch):
    autoenc.save(make_pipeline(MinMaxScaler(clip=True), clone(ESTIMATORS["plain"])).fit(X), path)
    predictor = autoenc.load_predictor(path)  # goes without scikit-learn
    monkeypatch.setattr(MinMaxScaler, "_get_param_names", lambda: ["copy", "feature_range"])
    message = rf"pipeline\.0 has the parameters \['clip'\], which MinMaxScaler of scikit-learn {sklearn.__version__}"
    with pytest.raises(ValueError, match=message):
        autoenc.load(path)
    assert_array_equal(autoenc.load_predictor(path)(X), predictor(X))


def test_no_more_scalers_are_saved_than_are_read(path):
    with pytest.raises(ValueError, match="has 17 steps before the last; a model file holds up to 16"):
        autoenc.save(make_pipeline(*(MaxAbsScaler() for _ in range(17)), Autoencoder(2, **SMALL)).fit(X), path)
    assert not path.exists()
