"""Fitted estimators of every kind, for the tests of model files and of the small files of earlier releases."""

import inspect
import json
import struct
import sys
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    MarginalizedDenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    save,
)
from autoenc.contraction import Contraction
from autoenc.corruption import Gaussian, Masking, SaltAndPepper, SwapNoise
from autoenc.layers import Activation, BatchNorm, Dense, Dropout, LayerNorm, Residual
from autoenc.losses import ColumnLoss
from autoenc.penalties import Decorrelation, Orthogonality, PredictiveSparse
from autoenc.sparsity import KL, L1, BatchTopK, Gated, JumpReLU, Matryoshka, TopK

COMMON = {"max_iter": 2, "random_state": 0, "batch_size": 32}
SMALL = {**COMMON, "hidden_layer_sizes": (7,)}

X = np.random.default_rng(0).random((90, 6)).astype(np.float32)
HOLES = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X).astype(np.float32)
MIXED = np.column_stack([X[:, :2], np.eye(3)[np.arange(90) % 3], np.floor(5 * X[:, 5])]).astype(np.float32)
LABELS = np.array(["north", "east", "south"])[np.arange(90) % 3]
HALF = np.where(np.arange(90) % 2, LABELS, "none")
NUMBERS = np.where(np.arange(90) % 3, X[:, 0], np.nan)
COLUMNS = ColumnLoss(
    [("kind", "categorical", np.array([2, 3, 4])), ("count", "poisson", slice(5, 6))], weights={"count": 0.5}
)

# Estimator, what it is fitted to.
KINDS = {
    "plain": (Autoencoder(2, **SMALL), (X,), {}),
    "double": (Autoencoder(2, precision="float64", early_stopping=True, **SMALL), (X,), {}),
    "linear": (Autoencoder(2, hidden_layer_sizes=(), max_iter=4, solver="lbfgs", random_state=0), (X,), {}),
    "conditions": (Autoencoder(2, **SMALL), (X,), {"condition": LABELS}),
    "numbered conditions": (Autoencoder(2, **SMALL), (X,), {"condition": np.arange(90) % 4}),
    "columns of condition": (VariationalAutoencoder(2, **SMALL), (X,), {"condition": X[:, :2]}),
    "targets": (Autoencoder(2, **SMALL), (X,), {"X_clean": X[:, :3], "X_val": (X[:9], X[:9, :3])}),
    "layers": (
        Autoencoder(
            2,
            encoder=[
                Dense(8),
                BatchNorm(),
                Activation("relu"),
                Residual([Dense(8), LayerNorm(), Dense(5)]),
                Dropout(0.2),
            ],
            **COMMON,
        ),
        (X,),
        {},
    ),
    "tied": (Autoencoder(3, tied_weights=True, activation="tanh", **SMALL), (X,), {}),
    "columns": (Autoencoder(2, loss=COLUMNS, **SMALL), (MIXED,), {}),
    "missing": (Autoencoder(2, missing="mask", corruption=Masking(0.2, emphasis=(1.0, 0.5)), **SMALL), (HOLES,), {}),
    "L1": (SparseAutoencoder(20, k=None, sparsity=L1(), unit_norm_decoder=True, **COMMON), (X,), {}),
    "KL": (Autoencoder(9, sparsity=KL(running=True), latent_activation="logistic", **SMALL), (X,), {}),
    "top-k": (SparseAutoencoder(20, k=None, sparsity=TopK(3, aux_k=8, dead_after=50), **COMMON), (X,), {}),
    "batch top-k": (SparseAutoencoder(20, k=None, sparsity=BatchTopK(3, aux_k=8, dead_after=50), **COMMON), (X,), {}),
    "jump relu": (SparseAutoencoder(20, k=None, sparsity=JumpReLU(bandwidth=0.1, threshold=0.1), **COMMON), (X,), {}),
    "gated": (SparseAutoencoder(20, k=None, sparsity=Gated(), tied_weights=True, **COMMON), (X,), {}),
    "matryoshka": (Autoencoder(12, sparsity=Matryoshka((4, 12), sparsity=TopK(4)), **SMALL), (X,), {}),
    "penalties": (Autoencoder(4, penalties=[Orthogonality(), Decorrelation()], **SMALL), (X,), {}),
    "predictive": (
        Autoencoder(
            9, hidden_layer_sizes=(), penalties=PredictiveSparse(n_iterations=5), unit_norm_decoder=True, **COMMON
        ),
        (X,),
        {},
    ),
    "gaussian": (DenoisingAutoencoder(3, corruption_level=None, corruption=Gaussian(0.1), **SMALL), (X,), {}),
    "salt": (DenoisingAutoencoder(3, corruption_level=None, corruption=SaltAndPepper(0.1), **SMALL), (X,), {}),
    "swap": (DenoisingAutoencoder(3, corruption_level=None, corruption=SwapNoise(0.1), **SMALL), (X,), {}),
    "contractive": (ContractiveAutoencoder(3, higher_order_weight=0.01, **SMALL), (X,), {}),
    "deep contractive": (
        ContractiveAutoencoder(3, contraction_weight=None, contraction=Contraction(n_directions=2), **SMALL),
        (X,),
        {},
    ),
    "variational": (VariationalAutoencoder(2, beta_schedule="linear", free_bits=0.1, **SMALL), (X,), {}),
    "iwae": (VariationalAutoencoder(2, objective="iwae", n_importance_samples=3, prior="mixture", **SMALL), (X,), {}),
    "vamp": (
        VariationalAutoencoder(2, prior="vamp", n_prior_components=9, noise_variance="learned", **SMALL),
        (X,),
        {"condition": LABELS},
    ),
    "factor": (VariationalAutoencoder(2, objective="factor", **SMALL), (X,), {}),
    "beta_tc": (VariationalAutoencoder(2, objective="beta_tc", **SMALL), (X,), {}),
    "mmd": (VariationalAutoencoder(2, objective="mmd", likelihood="log_loss", **SMALL), (X,), {}),
    "likelihoods": (VariationalAutoencoder(2, likelihood=COLUMNS.__class__(COLUMNS.losses), **SMALL), (MIXED,), {}),
    "product": (VectorQuantizedAutoencoder(4, n_codes=5, n_codebooks=2, **SMALL), (X,), {}),
    "residual": (
        VectorQuantizedAutoencoder(4, n_codes=5, n_codebooks=3, quantizer="residual", **SMALL),
        (X,),
        {},
    ),
    "hashing": (HashingAutoencoder(11, **SMALL), (X,), {}),
    "classes": (
        AutoencoderClassifier(3, unlabeled_label="none", class_weight="balanced", fine_tune_max_iter=2, **SMALL),
        (X, HALF),
        {},
    ),
    "weighted classes": (
        AutoencoderClassifier(3, class_weight={0: 1.0, 1: 2.5, 2: 1}, fine_tune_max_iter=2, **SMALL),
        (X, np.arange(90) % 3),
        {"X_val": X[:9], "y_val": np.arange(9) % 3},
    ),
    "number": (AutoencoderRegressor(3, fine_tune_max_iter=2, **SMALL), (X, NUMBERS), {}),
    "numbers": (AutoencoderRegressor(3, fine_tune_max_iter=2, **SMALL), (X, X[:, :2]), {}),
    "marginalized": (MarginalizedDenoisingAutoencoder(n_layers=2), (X,), {}),
    "one marginalized": (MarginalizedDenoisingAutoencoder(n_layers=1, concatenate=False), (X,), {}),
    "pivots": (MarginalizedDenoisingAutoencoder(n_pivots=4, random_state=3), (X,), {}),
    "imputer": (AutoencoderImputer(3, add_indicator=True, **SMALL), (HOLES,), {}),
    "drawing imputer": (AutoencoderImputer(3, sample_posterior=True, **SMALL), (HOLES,), {}),
    "detector": (AutoencoderOutlierDetector(n_estimators=3, **SMALL), (X,), {}),
    "incomplete detector": (
        AutoencoderOutlierDetector(n_estimators=2, missing="mask", neighbor_weight=0.0, precision="float64", **SMALL),
        (HOLES,),
        {"sample_weight": 1.0 + np.arange(90) % 2},
    ),
}

METHODS = (
    *("transform", "reconstruct", "score_samples", "feature_errors", "decision_function", "predict", "predict_proba"),
    *("predict_log_proba", "hash", "encode_indices", "encode_distribution", "feature_contributions", "p_values"),
    *("elbo", "log_likelihood"),
)


def fitted(name):
    model, data, beside = KINDS[name]
    return clone(model).fit(*data, **beside)


def arguments(name):
    """Rows that the fitted estimator is asked about, and what goes with them."""
    _, data, beside = KINDS[name]
    given = {}
    if "condition" in beside:
        given["condition"] = beside["condition"][:40]
    return data[0][:40], given


def answers(model, name, methods=METHODS):
    """What each method that an estimator or predictor has says."""
    rows, given = arguments(name)
    found = {}
    for method in methods:
        function = getattr(model, method, None)
        if function is None:
            continue
        known = inspect.signature(function).parameters
        extra = {k: v for k, v in given.items() if k in known}
        if name == "targets" and "X_clean" in known:
            extra["X_clean"] = rows[:, :3]
        if method == "log_likelihood":
            extra["n_samples"] = 20
        found[method] = function(rows, **extra)
    return found


# Format 2: scalers before an estimator. Rows are float64, which every release of scikit-learn scales to the same bits.
def assert_equal(a, b):
    """Learned attributes, recursively."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    elif hasattr(a, "__dict__") and not isinstance(a, type):
        assert_equal(learned(a), learned(b))
    else:
        assert a == b or (a != a and b != b)


def learned(model):
    return {key: value for key, value in vars(model).items() if key not in ("_networks", "indicator_")}


def parts(file):
    """Header and data of a safetensors file."""
    raw = file.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + n]), raw[8 + n :]


ROWS = X.astype(np.float64)
PIPELINES = {
    "standard": make_pipeline(StandardScaler(), Autoencoder(2, **SMALL)),
    "minmax": make_pipeline(MinMaxScaler((-1, 1), clip=True), HashingAutoencoder(5, **SMALL)),
    "maxabs": make_pipeline(MaxAbsScaler(), AutoencoderRegressor(3, fine_tune_max_iter=2, **SMALL)),
    "robust": make_pipeline(RobustScaler(), AutoencoderClassifier(3, fine_tune_max_iter=2, **SMALL)),
    "two": make_pipeline(StandardScaler(), MinMaxScaler(), MarginalizedDenoisingAutoencoder()),
}


def said(model):
    """What a pipeline of these says."""
    asked = (getattr(model, method, None) for method in ("transform", "score_samples", "predict"))
    return {method.__name__: method(ROWS[:40]) for method in asked if method is not None}


if __name__ == "__main__":  # writes the files that later releases must read: once for each format, by hand
    folder = Path(__file__).parent / "model_files" / sys.argv[1]
    folder.mkdir(parents=True)
    for name, pipeline in PIPELINES.items() if sys.argv[1] == "format_2" else ():
        pipeline.fit(ROWS, X[:, 0] if name == "maxabs" else LABELS)
        save(pipeline, folder / f"{name}.safetensors")
        np.savez_compressed(folder / f"{name}.npz", **said(pipeline))
    for name in (
        ()
        if sys.argv[1] == "format_2"
        else ("plain", "conditions", "vamp", "product", "classes", "number", "pivots", "top-k")
    ):
        model = fitted(name)
        model.save(folder / f"{name}.safetensors")
        np.savez_compressed(
            folder / f"{name}.npz", **answers(model, name, ("transform", "score_samples", "predict", "encode_indices"))
        )
