"""What holds for every kind of network: bits, pickles, going on, the predictor."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
)
from autoenc.contraction import Contraction
from autoenc.corruption import Bernoulli, Masking, SaltAndPepper
from autoenc.layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from autoenc.penalties import Decorrelation, Orthogonality, PredictiveSparse
from autoenc.sparsity import KL, L1, BatchTopK, Gated, JumpReLU, Matryoshka, TopK

COMMON = {"max_iter": 3, "random_state": 0, "batch_size": 50}
KINDS = {
    "sparse": SparseAutoencoder(40, k=5, **COMMON),
    "revived": SparseAutoencoder(40, k=None, sparsity=TopK(3, aux_k=8, dead_after=50), **COMMON),
    "batch top-k": SparseAutoencoder(40, k=None, sparsity=BatchTopK(3, aux_k=8, dead_after=50), **COMMON),
    "jump relu": SparseAutoencoder(40, k=None, sparsity=JumpReLU(bandwidth=0.1, threshold=0.1), **COMMON),
    "gated": SparseAutoencoder(40, k=None, sparsity=Gated(), tied_weights=True, **COMMON),
    "L1": SparseAutoencoder(40, k=None, sparsity=L1(), unit_norm_decoder=True, **COMMON),
    "KL": Autoencoder(40, sparsity=KL(running=True), latent_activation="logistic", **COMMON),
    "matryoshka": Autoencoder(40, sparsity=Matryoshka((8, 16), sparsity=TopK(4)), **COMMON),
    "gated matryoshka": Autoencoder(40, sparsity=Matryoshka((8,), sparsity=Gated()), **COMMON),
    "batch top-k in a matryoshka": Autoencoder(40, sparsity=Matryoshka((8, 16), sparsity=BatchTopK(4)), **COMMON),
    "denoising": DenoisingAutoencoder(10, **COMMON),
    "salt and pepper, norms, residual": Autoencoder(
        10,
        encoder=[Dense(30), BatchNorm(), Residual([Dense(30), Dropout(0.1)]), LayerNorm()],
        corruption=SaltAndPepper(0.2, emphasis=(1.0, 0.5)),
        **COMMON,
    ),
    "binarised": Autoencoder(10, corruption=Bernoulli(), loss="log_loss", **COMMON),
    "masking": DenoisingAutoencoder(
        10, corruption_level=None, corruption=Masking(0.3, emphasis=(1.0, 0.5)), missing="mask", **COMMON
    ),
    "swap": DenoisingAutoencoder(10, noise="swap", corruption_level=0.2, **COMMON),
    "contractive": ContractiveAutoencoder(10, higher_order_weight=0.01, **COMMON),
    "deep contractive": ContractiveAutoencoder(
        10, hidden_layer_sizes=(20,), contraction_weight=None, contraction=Contraction(n_directions=2), **COMMON
    ),
    "penalised": Autoencoder(10, penalties=[Orthogonality(), Decorrelation()], **COMMON),
    "predictive": Autoencoder(
        40, hidden_layer_sizes=(), penalties=PredictiveSparse(n_iterations=10), unit_norm_decoder=True, **COMMON
    ),
    "pretrained": DenoisingAutoencoder(
        6, hidden_layer_sizes=(30, 12), pretrain="layerwise", pretrain_max_iter=2, **COMMON
    ),
}
SUPERVISED = {
    "classifier": AutoencoderClassifier(10, fine_tune_max_iter=3, reconstruction_weight=0.1, **COMMON),
    "pretrained classifier": AutoencoderClassifier(
        10, fine_tune_max_iter=3, pretrain="layerwise", pretrain_max_iter=2, **COMMON
    ),
    "regressor": AutoencoderRegressor(10, fine_tune_max_iter=3, **COMMON),
}


@pytest.fixture(scope="module")
def X():
    return (load_digits().data[:330] / 16).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return load_digits().target[:330]


def assert_same(a, b):
    for one, other in zip((*a.coefs_, *a.intercepts_), (*b.coefs_, *b.intercepts_), strict=True):
        assert_array_equal(one, other)
    assert a.other_parameters_.keys() == b.other_parameters_.keys()
    for name, value in a.other_parameters_.items():
        assert_array_equal(value, b.other_parameters_[name], err_msg=name)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", [*KINDS, *SUPERVISED])
def test_same_bits_for_any_number_of_threads(X, y, kind, precision):
    model = {**KINDS, **SUPERVISED}[kind]
    fits = [clone(model).set_params(n_jobs=n, precision=precision).fit(X, y) for n in (1, 2, 3, 8)]
    for other in fits[1:]:
        assert_same(fits[0], other)
        assert_array_equal(fits[0].loss_curve_, other.loss_curve_)
        assert_array_equal(fits[0].transform(X), other.transform(X))
        assert_array_equal(fits[0].reconstruct(X), other.reconstruct(X))


@pytest.mark.parametrize("kind", [*KINDS, *SUPERVISED])
def test_pickles_predictors_and_company(X, y, kind):
    model = clone({**KINDS, **SUPERVISED}[kind]).fit(X, y)
    codes = model.transform(X)
    copy = pickle.loads(pickle.dumps(model))
    assert_same(model, copy)
    assert_array_equal(copy.transform(X), codes)
    assert_array_equal(copy.score_samples(X), model.score_samples(X))
    predictor = pickle.loads(pickle.dumps(model.predictor()))
    assert_array_equal(predictor(X), codes)
    assert_array_equal(predictor(X[0]), codes[0])
    # A row does not depend on its company, whatever couples rows in training.
    assert_array_equal(np.concatenate([model.transform(X[i : i + 7]) for i in range(0, len(X), 7)]), codes)
    assert_array_equal(model.reconstruct(X[::-1]), model.reconstruct(X)[::-1])
    assert_array_equal(model.inverse_transform(codes), model.reconstruct(X))


@pytest.mark.parametrize("kind", KINDS)
def test_going_on(X, kind):
    model = clone(KINDS[kind]).fit(X)
    before = model.score(X)
    warm = pickle.loads(pickle.dumps(model)).set_params(warm_start=True, max_iter=30).fit(X)
    assert warm.score(X) > before
    with pytest.raises(ValueError, match="n_components from"):
        warm.set_params(n_components=5).fit(X)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pretrained"])
def test_passes_go_on_where_they_were(X, kind):
    """Three passes at once, and with a pickle between them, are the same."""
    whole = clone(KINDS[kind])
    parts = clone(KINDS[kind])
    for _ in range(3):
        whole.partial_fit(X)
        parts = pickle.loads(pickle.dumps(parts)).partial_fit(X)
    assert_same(whole, parts)
    assert whole.loss_curve_[-1] < whole.loss_curve_[0]


@pytest.mark.parametrize("kind", ["sparse", "denoising", "contractive", "penalised"])
def test_inputs(X, kind):
    import scipy.sparse as sp

    model = clone(KINDS[kind])
    dense, sparse = clone(model).fit(X), clone(model).fit(sp.csr_array(X))
    assert_same(dense, sparse)
    assert_array_equal(dense.transform(X), sparse.transform(sp.csr_array(X)))
    bytes_ = clone(model).fit((X * 16).astype(np.uint8))
    assert_array_equal(bytes_.transform((X * 16).astype(np.uint8)), bytes_.transform(X * 16))


@pytest.mark.parametrize(
    "name", ["AutoencoderOutlierDetector", "AutoencoderImputer", "MarginalizedDenoisingAutoencoder"]
)
def test_pickles_carry_the_version(name):
    X = np.random.default_rng(0).random((40, 3))
    model = getattr(autoenc, name)().fit(X)
    state = model.__getstate__()
    assert state["_autoenc_version"] == autoenc.__version__
    other = type(model).__new__(type(model))
    with pytest.warns(UserWarning, match=r"pickled by autoenc 99\.0"):
        other.__setstate__({**state, "_autoenc_version": "99.0"})
    assert "_autoenc_version" not in vars(other)
