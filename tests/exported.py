"""Real tables and one network of every kind, for the tests of exported models (ONNX and C)."""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

import autoenc
from autoenc import _core, layers, losses, sparsity

DIGITS, LABELS = load_digits().data / 16, load_digits().target
CANCER, KIND = load_breast_cancer(return_X_y=True)
SCALED = StandardScaler().fit_transform(CANCER)
COUNTS = np.round(4 * DIGITS)
PRECISIONS = ("float32", "float64")


NAN_ROWS = DIGITS[1000:1004].copy()
NAN_ROWS[1], NAN_ROWS[2, 5] = np.nan, np.nan


def unchecked(model, X):
    """Codes, reconstructions and minus losses of the core, which estimators refuse to ask for of rows with NaN."""
    predictor = model.predictor()
    nodes = ((predictor._code, _core.VALUES), (predictor._linked_node, predictor._linked))
    return *(predictor._run((X,), *one, dtype=X.dtype) for one in nodes), -predictor._losses((X, X))


def small(**parameters):
    return {"hidden_layer_sizes": (24,), "max_iter": 3, "random_state": 0, **parameters}


def seldom_assigned(quantizer, precision, *, none):
    """A model most of whose codes nothing was ever assigned to, and rows; `none`: no code of the first codebook was."""
    model = autoenc.VectorQuantizedAutoencoder(8, n_codes=50, n_codebooks=2, quantizer=quantizer, **small())
    model.set_params(precision=precision).fit(DIGITS[:5])
    name = next(name for name in model.other_parameters_ if name.endswith(".counts"))
    counts = model.other_parameters_[name].copy()
    assert 0 < (counts > 0).sum(axis=1).max() < 50
    if none:
        counts[0] = 0
        model.other_parameters_[name] = counts
        return model, NAN_ROWS.astype(precision)
    overflowing = np.sqrt(np.finfo(precision).max)  # as a square
    infinite = np.full_like(NAN_ROWS[:1], np.inf)
    return model, np.vstack([NAN_ROWS, 10 * overflowing * NAN_ROWS[:1], infinite]).astype(precision)


NETWORKS = {
    "default": autoenc.Autoencoder(8, max_iter=3, random_state=0),
    "topk": autoenc.Autoencoder(40, sparsity=sparsity.TopK(5), **small()),
    "topk signed": autoenc.Autoencoder(40, sparsity=sparsity.TopK(5, relu=False), **small()),
    "batch topk": autoenc.Autoencoder(40, sparsity=sparsity.BatchTopK(5), **small()),
    "jumprelu": autoenc.Autoencoder(40, sparsity=sparsity.JumpReLU(), **small()),
    "gated": autoenc.Autoencoder(40, sparsity=sparsity.Gated(), **small()),
    "matryoshka": autoenc.Autoencoder(8, sparsity=sparsity.Matryoshka((2, 4, 8)), **small()),
    "layers": autoenc.Autoencoder(
        8,
        encoder=[layers.Dense(40), layers.BatchNorm(), layers.LayerNorm(), layers.Residual([layers.Dense(40)])],
        max_iter=3,
        random_state=0,
    ),
    "tied": autoenc.Autoencoder(8, tied_weights=True, dropout=0.1, **small()),
    "sparse": autoenc.SparseAutoencoder(48, max_iter=3, random_state=0),
    "denoising": autoenc.DenoisingAutoencoder(8, **small()),
    "contractive": autoenc.ContractiveAutoencoder(8, **small()),
    "hashing": autoenc.HashingAutoencoder(20, **small()),
    "product": autoenc.VectorQuantizedAutoencoder(8, n_codes=16, n_codebooks=4, **small()),
    "residual": autoenc.VectorQuantizedAutoencoder(8, n_codes=16, n_codebooks=3, quantizer="residual", **small()),
    "columns": autoenc.Autoencoder(
        8,
        loss=losses.ColumnLoss(
            [("bits", "log_loss", [0, 5, 6, 7]), ("counts", "poisson", range(20, 30))], remainder="squared_error"
        ),
        **small(),
    ),
}
