"""Fits with checkpoints, how one is killed within the process, and what two fits must agree in."""

import copy
import pickle

import numpy as np
import pytest

from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    _training,
)
from autoenc.corruption import Masking, SwapNoise
from autoenc.layers import BatchNorm, Dense, Dropout
from autoenc.sparsity import KL, BatchTopK, TopK

X = np.random.default_rng(0).random((120, 6)).astype(np.float32)
LABELS = np.arange(120) % 3
COMMON = {"max_iter": 6, "random_state": 0, "batch_size": 32, "hidden_layer_sizes": (9,)}
FLAT = {**COMMON, "hidden_layer_sizes": ()}
FITS = {
    "adamw": (Autoencoder(2, **COMMON), {}),
    "amsgrad in double": (Autoencoder(2, solver="adam", amsgrad=True, precision="float64", **COMMON), {}),
    "averages in bfloat16": (Autoencoder(2, state_precision="bfloat16", **COMMON), {}),
    "sgd": (Autoencoder(2, solver="sgd", learning_rate="step", step_size=2, **COMMON), {}),
    "rmsprop": (Autoencoder(2, solver="rmsprop", learning_rate="exponential", **COMMON), {}),
    "adagrad": (Autoencoder(2, solver="adagrad", learning_rate="one_cycle", **COMMON), {}),
    "lbfgs": (Autoencoder(2, solver="lbfgs", **{**COMMON, "max_iter": 30}), {}),
    "lbfgs, converged": (
        Autoencoder(2, solver="lbfgs", tol=0.02, n_iter_no_change=4, **{**COMMON, "max_iter": 30}),
        {},
    ),
    "kfac": (Autoencoder(2, solver="kfac", early_stopping=True, **COMMON), {}),
    "kfac in bfloat16": (Autoencoder(2, solver="kfac", precision="bfloat16", **COMMON), {}),
    "plateau": (
        Autoencoder(2, learning_rate="plateau", n_iter_no_change=1, learning_rate_init=0.3, **COMMON),
        {"X_val": X[:20]},
    ),
    "early stopping": (
        Autoencoder(
            2, early_stopping=True, n_iter_no_change=3, **{**COMMON, "max_iter": 40, "learning_rate_init": 0.1}
        ),
        {"sample_weight": 1.0 + np.arange(120) % 2},
    ),
    "layers": (
        Autoencoder(
            2, encoder=[Dense(9), BatchNorm(), Dropout(0.2)], **{k: v for k, v in COMMON.items() if "hidden" not in k}
        ),
        {},
    ),
    "dead latents": (SparseAutoencoder(20, k=None, sparsity=TopK(2, aux_k=8, dead_after=100), **FLAT), {}),
    "unit norms": (SparseAutoencoder(20, k=3, unit_norm_decoder=True, **COMMON), {}),
    "batch top-k": (SparseAutoencoder(20, k=None, sparsity=BatchTopK(2, aux_k=None, dead_after=100), **COMMON), {}),
    "running means": (Autoencoder(5, sparsity=KL(running=True), latent_activation="logistic", **COMMON), {}),
    "masking": (DenoisingAutoencoder(3, corruption_level=None, corruption=Masking(0.3), **COMMON), {}),
    "swap noise": (DenoisingAutoencoder(3, corruption_level=None, corruption=SwapNoise(0.3), **COMMON), {}),
    "annealed": (VariationalAutoencoder(2, beta_schedule="linear", **COMMON), {"condition": LABELS}),
    "discriminator": (VariationalAutoencoder(2, objective="factor", **{**COMMON, "max_iter": 5}), {}),
    "codebooks": (VectorQuantizedAutoencoder(4, n_codes=5, quantizer="residual", n_codebooks=2, **COMMON), {}),
    "pretrained": (
        DenoisingAutoencoder(
            3, pretrain="layerwise", pretrain_max_iter=3, **{**COMMON, "hidden_layer_sizes": (9, 5), "max_iter": 3}
        ),
        {},
    ),
    "fine-tuned": (
        AutoencoderClassifier(3, fine_tune_max_iter=4, early_stopping=True, **{**COMMON, "max_iter": 4}),
        {"y": np.where(np.arange(120) % 2, LABELS, -1)},
    ),
    "regression": (
        AutoencoderRegressor(3, fine_tune_max_iter=3, **{**COMMON, "max_iter": 3}),
        {"y": np.where(np.arange(120) % 2, X[:, 0], np.nan), "condition": LABELS},
    ),
    "contraction": (ContractiveAutoencoder(3, higher_order_weight=0.1, **COMMON), {"sample_weight": 1.0 + X[:, 0]}),
    "bits": (HashingAutoencoder(11, **COMMON), {"X_val": X[:20]}),
    "imputer": (AutoencoderImputer(3, **{**COMMON, "max_iter": 4}), {}),
    "detector": (
        AutoencoderOutlierDetector(n_estimators=3, trim=0.2, **{**COMMON, "max_iter": 9}),
        {"sample_weight": np.arange(120) % 4},
    ),
    "detector without trimming": (AutoencoderOutlierDetector(3, n_estimators=2, trim=0.0, **COMMON), {}),
}


class Killed(BaseException):
    """What a callback ends a fit with, after which nothing of it is left but the file."""


def learned(model):
    return {key: value for key, value in vars(model).items() if key.endswith("_") or key in ("_spec", "_seed")}


def assert_same(a, b):
    found = learned(a), learned(b)
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        if key == "autoencoder_":
            assert_same(value, found[1][key])
        elif key == "estimators_":
            for one, other in zip(value, found[1][key], strict=True):
                assert_same(one, other)
        else:
            assert pickle.dumps(value) == pickle.dumps(found[1][key]), key


def killed(model, path, after, method="fit", **arguments):
    """A fit that ends after so many epochs, of all its trainings together; whether it was complete before."""
    calls = []

    def update(self, state):
        calls.extend([state.epoch] * (self._unit == "epoch"))
        if len(calls) > after:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_training.Progress, "update", update)
        try:
            getattr(copy.deepcopy(model), method)(X, **({} if path is None else {"checkpoint": path}), **arguments)
        except Killed:
            return False
    return True
