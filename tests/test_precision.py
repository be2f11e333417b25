"""Products of dense layers by bfloat16 factors: precision="high" and "bfloat16"."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    ContractiveAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)

LOW = ("high", "bfloat16")
SMALL = {"hidden_layer_sizes": (200,), "max_iter": 6, "random_state": 0}
ESTIMATORS = [
    Autoencoder(7, **SMALL),
    Autoencoder(7, tied_weights=True, **SMALL),
    Autoencoder(7, solver="kfac", activation="tanh", **{**SMALL, "max_iter": 2}),
    SparseAutoencoder(300, k=8, hidden_layer_sizes=(), max_iter=6, random_state=0),
    ContractiveAutoencoder(7, **SMALL),
    VariationalAutoencoder(7, **SMALL),
    VectorQuantizedAutoencoder(7, **SMALL),
    HashingAutoencoder(16, **SMALL),
    AutoencoderClassifier(7, fine_tune_max_iter=2, **SMALL),
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:500] / 16).astype(np.float32), y[:500]


def rounded(x):
    """To the nearest number of 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


@pytest.mark.parametrize("precision", LOW)
def test_products_are_those_of_rounded_factors(digits, precision):
    """A linear layer against NumPy in double, with factors rounded as the documentation says."""
    X, _ = digits
    model = Autoencoder(200, hidden_layer_sizes=(), max_iter=2, random_state=0, precision=precision).fit(X)
    W, b = model.coefs_[0].astype(np.float64), model.intercepts_[0]
    x0, w0 = rounded(X), rounded(W)
    code = x0 @ w0
    if precision == "high":
        code += x0 @ rounded(W - w0) + rounded(X - x0) @ w0
    size = np.abs(X) @ np.abs(W)
    assert (np.abs(model.transform(X) - (code + b)) / size).max() < 3e-6
    exact = np.abs(model.transform(X) - (X.astype(np.float64) @ W + b)) / size
    assert exact.max() < (3 * 2**-16 if precision == "high" else 2**-7) + 3e-6
    # High has float's digits where one part has three.
    assert exact.mean() < 2e-6 if precision == "high" else exact.mean() > 1e-4


def test_narrow_layers_of_high_are_of_floats(digits):
    """Where twice the product of the widths is below 96 times their sum, as 64 x 191; K-FAC's are all alike."""
    X, _ = digits
    for solver, width, same in (("adamw", 191, True), ("adamw", 192, False), ("kfac", 191, False)):
        model = Autoencoder(width, hidden_layer_sizes=(), solver=solver, precision="high", max_iter=2, random_state=0)
        exact = clone(model).set_params(precision="float32").fit(X)
        assert (model.fit(X).coefs_[0] == exact.coefs_[0]).all() == same
        assert (model.transform(X) == exact.transform(X)).all() == same
    rounded = Autoencoder(5, hidden_layer_sizes=(), precision="bfloat16", max_iter=2, random_state=0).fit(X)
    assert (rounded.coefs_[0] != clone(rounded).set_params(precision="float32").fit(X).coefs_[0]).any()


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda model: f"{type(model).__name__}-{model.solver}")
def test_every_estimator_learns_alike_and_keeps_its_bits(digits, model, precision, tmp_path):
    X, y = digits
    model = clone(model).set_params(precision=precision, n_jobs=1)
    exact = clone(model).set_params(precision="float32").fit(X, y)
    model.fit(X, y)
    assert model.transform(X).dtype == model.coefs_[0].dtype == np.float32
    assert any((a != b).any() for a, b in zip(model.coefs_, exact.coefs_, strict=True))
    assert_allclose(model.loss_curve_[0], exact.loss_curve_[0], rtol=1e-2 if precision == "bfloat16" else 1e-3)
    assert_allclose(model.loss_curve_[-1], exact.loss_curve_[-1], rtol=0.1)
    again = clone(model).set_params(n_jobs=2).fit(X, y)
    for a, b in zip(model.coefs_, again.coefs_, strict=True):
        assert_array_equal(a, b)
    code = model.transform(X)
    for row in (0, 7, 499):
        assert_array_equal(model.transform(X[row : row + 1])[0], code[row])
    model.save(tmp_path / "model.safetensors")
    loaded = autoenc.load(tmp_path / "model.safetensors")
    assert loaded.precision == precision
    assert_array_equal(loaded.transform(X), code)
    predictor = autoenc.load_predictor(tmp_path / "model.safetensors")
    assert_array_equal(predictor(X), code)


@pytest.mark.parametrize("precision", LOW)
def test_detectors_and_imputers_pass_it_on(digits, precision):
    X, _ = digits
    detector = AutoencoderOutlierDetector(n_estimators=2, precision=precision, **{**SMALL, "max_iter": 4}).fit(X)
    exact = clone(detector).set_params(precision="float32").fit(X)
    assert (detector.score_samples(X) != exact.score_samples(X)).any()
    assert np.corrcoef(detector.score_samples(X), exact.score_samples(X))[0, 1] > 0.99
    holes = X.copy()
    holes[::3, 20] = np.nan
    imputer = AutoencoderImputer(precision=precision, **{**SMALL, "max_iter": 4})
    filled, plain = imputer.fit_transform(holes), clone(imputer).set_params(precision="float32").fit_transform(holes)
    assert np.isfinite(filled).all() and (filled != plain).any()
    assert np.abs(filled - plain).max() < 0.2


@pytest.mark.parametrize("precision", LOW)
def test_sparse_rows(precision):
    """Sums over stored entries alone are of floats, whatever the precision; the other layers' are not."""
    X = sparse.random(200, 90, 0.05, format="csr", dtype=np.float32, random_state=0)
    model = Autoencoder(4, precision=precision, **SMALL)
    codes = model.fit(X).transform(X)
    exact = Autoencoder(4, **SMALL).fit(X)
    assert_allclose(model.loss_curve_[0], exact.loss_curve_[0], rtol=1e-2)
    assert (codes != exact.transform(X)).any()


@pytest.mark.parametrize("precision", LOW)
def test_a_fit_goes_on_from_its_checkpoint(digits, precision, tmp_path):
    X, _ = digits
    whole = Autoencoder(4, precision=precision, **SMALL).fit(X)
    path = tmp_path / "run.checkpoint"

    def stop(state):
        if state.epoch == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        Autoencoder(4, precision=precision, callbacks=stop, **SMALL).fit(X, checkpoint=path, checkpoint_every=1)
    resumed = Autoencoder(4, precision=precision, **SMALL)
    resumed.fit(X, checkpoint=path, checkpoint_every=1, resume=True)
    for a, b in zip(whole.coefs_, resumed.coefs_, strict=True):
        assert_array_equal(a, b)


def test_a_checkpoint_of_another_precision_is_refused(digits, tmp_path):
    X, _ = digits
    path = tmp_path / "run.checkpoint"
    Autoencoder(4, precision="high", **SMALL).fit(X, checkpoint=path)
    with pytest.raises(ValueError, match="precision"):
        Autoencoder(4, precision="bfloat16", **SMALL).fit(X, checkpoint=path, resume=True)


@pytest.mark.parametrize("precision", LOW)
def test_warm_start_and_partial_fit_change_precision(digits, precision):
    X, _ = digits
    model = Autoencoder(4, warm_start=True, **SMALL).fit(X)
    before = model.loss_curve_[-1]
    model.set_params(precision=precision).fit(X)
    assert model.loss_curve_[-1] < before
    other = Autoencoder(4, precision=precision, **SMALL)
    for _ in range(3):
        other.partial_fit(X)
    assert np.isfinite(other.transform(X)).all()


def test_lbfgs_needs_digits(digits):
    X, _ = digits
    with pytest.raises(ValueError, match=r"precision='bfloat16' does not go with solver='lbfgs'.*'high'"):
        Autoencoder(4, solver="lbfgs", precision="bfloat16").fit(X)


@pytest.mark.parametrize("precision", LOW)
def test_exports_are_of_floats(digits, precision, tmp_path):
    """Their products are not rounded: what differs is what the roundings of the factors make."""
    onnxruntime = pytest.importorskip("onnxruntime")
    X, _ = digits
    model = Autoencoder(4, precision=precision, **SMALL).fit(X)
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    codes = session.run(None, {session.get_inputs()[0].name: X})[0]
    assert_allclose(codes, model.transform(X), atol=1e-4 if precision == "high" else 5e-2)
