"""Gradients of whole estimators put together of several parts, against central differences of their training loss.

In float64, at the draws of one step: each parameter that the loss has, along a random direction and at single entries.
Where a gradient is not that of the value by design (gates, an auxiliary loss, thresholds, codebooks), NumPy holds still
what gets none: here for residual quantisers, in `test_contractive.py` and `test_sparse.py` for the others.
"""

import numpy as np
import pytest
import scipy.sparse as sp

from autoenc import Autoencoder, HashingAutoencoder, VariationalAutoencoder, VectorQuantizedAutoencoder
from autoenc.contraction import Contraction
from autoenc.corruption import Gaussian, Masking, SaltAndPepper, SwapNoise
from autoenc.layers import Activation, BatchNorm, Dense, Dropout, LayerNorm, Residual
from autoenc.losses import ColumnLoss
from autoenc.penalties import Decorrelation, Orthogonality
from autoenc.sparsity import KL, L1, BatchTopK, Matryoshka, TopK

N, D = 31, 9
MIXED = [("share", "log_loss", [0]), ("kind", "categorical", [1, 2, 3]), ("visits", "negative_binomial", [4])]
PLAIN = {
    "denoising, tied, contractive": dict(
        corruption=Gaussian(0.3), tied_weights=True, contraction=Contraction(0.05, higher_order_weight=0.02)
    ),
    "masking with emphasis, tied, contractive, deep": dict(
        corruption=Masking(0.3, emphasis=(1.0, 0.5)),
        tied_weights=True,
        contraction=Contraction(0.05, n_directions=3),
        hidden_layer_sizes=(7,),
    ),
    "deep contraction of silu and gelu, higher order": dict(
        contraction=Contraction(0.05, higher_order_weight=0.02), hidden_layer_sizes=(7, 6), latent_activation="silu"
    ),
    "salt and pepper, dropout, residual, layer norm": dict(
        corruption=SaltAndPepper(0.3, emphasis=(1.0, 0.2)),
        encoder=[Dense(7), LayerNorm(), Residual([Dense(7, "tanh"), Dropout(0.3), Dense(5)])],
    ),
    "swap noise through batch norm, decorrelated": dict(
        corruption=SwapNoise(0.3), encoder=[Dense(7, "tanh"), BatchNorm()], penalties=Decorrelation(2.0)
    ),
    "contractive, orthogonal, decorrelated, KL": dict(
        contraction=Contraction(0.05),
        penalties=[Orthogonality(0.1), Decorrelation(2.0)],
        sparsity=KL(0.1, 0.1),
        latent_activation="logistic",
    ),
    "L1 of a contracted silu": dict(sparsity=L1(0.1), latent_activation="silu", contraction=Contraction(0.05)),
    "matryoshka, unit norm, deep": dict(
        sparsity=Matryoshka((2, 4)), unit_norm_decoder=True, hidden_layer_sizes=(7,), latent_activation="tanh"
    ),
    "matryoshka of L1, batch norm, decorrelated": dict(
        sparsity=Matryoshka((2, 4), sparsity=L1(0.05)),
        encoder=[Dense(7, "identity"), BatchNorm(), Activation("tanh")],
        penalties=Decorrelation(0.5),
    ),
    "matryoshka, tied, condition": dict(sparsity=Matryoshka((2, 4)), condition=True, hidden_layer_sizes=(7,)),
    "missing, contractive, matryoshka": dict(
        missing="mask", contraction=Contraction(0.05), sparsity=Matryoshka((2,)), latent_activation="tanh"
    ),
    "missing, mixed losses, denoising": dict(
        missing="mask",
        loss=ColumnLoss(MIXED, weights={"visits": 0.3}),
        corruption=Masking(0.3),
        hidden_layer_sizes=(7,),
    ),
    "mixed losses, matryoshka, condition": dict(
        loss=ColumnLoss(MIXED), sparsity=Matryoshka((2, 4)), condition=True, hidden_layer_sizes=(7,)
    ),
    "huber of weighted rows": dict(loss="huber", weighted=True, hidden_layer_sizes=(7,)),
    "correntropy, CSR, batch norm": dict(loss="correntropy", csr=True, encoder=[Dense(7, "tanh"), BatchNorm()]),
    "L1 and L2 of weights do not count": dict(solver="adam", alpha=0.1, l1_ratio=0.5, hidden_layer_sizes=(7,)),
    "top-k, missing, masked": dict(sparsity=TopK(2), missing="mask", corruption=Masking(0.2), hidden_layer_sizes=(7,)),
    "batch top-k in a matryoshka, tied": dict(sparsity=Matryoshka((3,), sparsity=BatchTopK(3)), tied_weights=True),
}
VARIATIONAL = {
    "batch norm over CSR, learned variance": dict(
        encoder=[Dense(7, "tanh"), BatchNorm()], csr=True, noise_variance="learned"
    ),
    "vamp, condition": dict(prior="vamp", n_prior_components=4, condition=True),
    "iwae, vamp, missing, condition": dict(
        objective="iwae", n_importance_samples=3, prior="vamp", n_prior_components=4, condition=True, missing="mask"
    ),
    "mixture, several draws, denoising": dict(
        prior="mixture", n_prior_components=4, n_importance_samples=3, corruption=Gaussian(0.3)
    ),
    "mixed likelihoods, missing": dict(likelihood=ColumnLoss(MIXED), missing="mask"),
    "mixed likelihoods, iwae, condition": dict(
        likelihood=ColumnLoss(MIXED), objective="iwae", n_importance_samples=3, condition=True
    ),
    "beta_tc, layer norm, swap noise": dict(
        objective="beta_tc", beta=4.0, encoder=[Dense(7, "tanh"), LayerNorm()], corruption=SwapNoise(0.3)
    ),
    "mmd, batch norm, missing": dict(objective="mmd", encoder=[Dense(7, "tanh"), BatchNorm()], missing="mask"),
    "free bits of some components, tied": dict(free_bits=0.2, tied_weights=True, n_components=6),
    "negative binomial, weighted, dropout": dict(
        likelihood="negative_binomial", weighted=True, encoder=[Dense(7, "tanh"), Dropout(0.2)]
    ),
}
HASHING = {
    "noise, balance, batch norm, masking": dict(
        encoder=[Dense(7, "tanh"), BatchNorm()], corruption=Masking(0.3), balance_weight=0.1
    ),
    "noise, CSR, missing": dict(csr=True, missing="mask", balance_weight=0.1),
}
# What a step assigns; with "vamp" the components are found after the fit.
ASSIGNED = (".mean", ".variance", ".since", ".threshold", ".running_mean", ".running_variance")


def table():
    """A share, a variable of three classes, a count and numbers."""
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(N, D)))
    X[:, 0] = rng.random(N)
    X[:, 1:4] = np.eye(3)[rng.integers(0, 3, N)]
    X[:, 4] = rng.poisson(2.0, N)
    return X, rng


def trainer_of(model, *, csr=False, condition=False, weighted=False):
    """The trainer of a fit of all rows in one minibatch, at weights that have nothing special."""
    X, rng = table()
    if model.missing == "mask":
        X[::3, 5] = X[1::4, 0] = X[2::5, 4] = np.nan
        X[::7, 1:4] = np.nan
    if csr:
        rows, columns = np.nonzero((X != 0) | np.isnan(X))
        X = sp.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    labels = np.array(["a", "b"])[rng.integers(0, 2, N)] if condition else None
    weights = rng.random(N) + 0.2 if weighted else None
    data = model._check_fit_data(X, None, labels, None, weights, reset=True)
    spec = model._description(data.rows)
    trainer = model._trainer(spec, N, 3, n_epochs=1)
    trainer.bind(0, data.rows.sources(), data.weights)
    model._start(trainer, spec, data.rows)
    for i, (name, _, _) in enumerate(trainer.parameters()):
        if not name.endswith(ASSIGNED):
            value = trainer.get(i)
            trainer.set(i, value + 0.1 * rng.normal(size=value.shape))
    return trainer, rng


def check(trainer, rng, still=(), unit_norm=()):
    """Each parameter alone, along a direction and at its entry of the largest gradient."""
    names = [name for name, _, _ in trainer.parameters()]
    loss, gradients = trainer.gradient(0, True)
    assert np.isfinite(loss)
    felt = 0
    for i, (name, gradient) in enumerate(zip(names, gradients, strict=True)):
        if name.endswith(ASSIGNED) or name.startswith(still):
            continue
        value = trainer.get(i)
        direction = rng.normal(size=value.shape)
        single = np.zeros(value.shape)
        single.flat[np.abs(gradient).argmax()] = 1.0
        if name in unit_norm:  # rows keep their norm, so that nothing along them counts
            np.testing.assert_allclose(np.linalg.norm(value, axis=1), 1.0, rtol=1e-12)
            for along in (direction, single):
                along -= (along * value).sum(axis=1, keepdims=True) * value
        for along in (direction / np.linalg.norm(direction), single):
            losses = []
            for step in (1e-5, -1e-5):
                trainer.set(i, value + step * along)
                losses.append(trainer.gradient(0, True)[0])
            trainer.set(i, value)
            slope = float((gradient * along).sum())
            assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(slope, rel=1e-6, abs=1e-9 * (1 + abs(loss))), name
        felt += abs(slope) > 1e-5
        # A shared variance is a bias: its weight is for an input of zeros.
        assert abs(slope) > 1e-5 or not name.endswith(".weight") or name == "noise.weight", f"{name} has no gradient"
    assert felt >= 3


def loss_of_residual_quantisers(values, codes, X):
    """Straight through: the code moves with the embedding, by what it is off at `codes`; those themselves stay."""
    embedding, (sums, off) = np.tanh(X @ values["encoder_0.weight"] + values["encoder_0.bias"]), codes
    embedding = embedding @ values["embedding.weight"] + values["embedding.bias"]
    hidden = np.tanh((embedding + off) @ values["decoder_0.weight"] + values["decoder_0.bias"])
    output = hidden @ values["reconstruction.weight"] + values["reconstruction.bias"]
    return ((output - X) ** 2).mean() + 0.7 * sum(((embedding - part) ** 2).mean() for part in sums)


def test_residual_quantisers():
    """Against NumPy with its own search for the nearest vectors."""
    parameters, _ = split({"hidden_layer_sizes": (7,), "commitment_weight": 0.7, "dead_code_threshold": 0.0})
    model = VectorQuantizedAutoencoder(4, n_codes=5, n_codebooks=3, quantizer="residual", **parameters)
    trainer, rng = trainer_of(model)
    X = table()[0]
    names = [name for name, _, _ in trainer.parameters()]
    for i, name in enumerate(names):  # codes that have been used, so that none is taken from the rows
        if name.endswith((".codes", ".counts")):
            shape = trainer.get(i).shape
            trainer.set(i, rng.normal(size=shape) if name.endswith(".codes") else np.ones(shape))
    value, gradients = trainer.gradient(0, True)
    values = {name: trainer.get(i) for i, name in enumerate(names)}
    embedding = np.tanh(X @ values["encoder_0.weight"] + values["encoder_0.bias"]) @ values["embedding.weight"]
    embedding = embedding + values["embedding.bias"]
    total, sums = np.zeros(embedding.shape), []
    for i in range(3):
        book = values[f"code_{i}.codes"].T if values[f"code_{i}.codes"].shape[0] == 4 else values[f"code_{i}.codes"]
        nearest = ((embedding - total)[:, None] - book).__pow__(2).sum(axis=2).argmin(axis=1)
        total = total + book[nearest]
        sums.append(total)
    codes = (sums, total - embedding)
    assert value == pytest.approx(loss_of_residual_quantisers(values, codes, X), rel=1e-12)
    checked = 0
    for name, gradient in zip(names, gradients, strict=True):
        if name.endswith((".codes", ".counts")):
            continue
        for at in range(gradient.size):
            losses = []
            for step in (1e-5, -1e-5):
                moved = values[name].copy()
                moved.flat[at] += step
                losses.append(loss_of_residual_quantisers({**values, name: moved}, codes, X))
            assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(gradient.flat[at], rel=1e-6, abs=1e-9), name
            checked += 1
    assert checked > 150


def split(parameters):
    about_data = {name: parameters[name] for name in ("csr", "condition", "weighted") if name in parameters}
    rest = {name: value for name, value in parameters.items() if name not in about_data}
    if "encoder" in rest:
        rest.pop("hidden_layer_sizes", None)
    else:
        rest.setdefault("hidden_layer_sizes", ())
    return {"activation": "tanh", "precision": "float64", "batch_size": N, "clip_norm": 1e300, **rest}, about_data


@pytest.mark.parametrize("name", PLAIN)
def test_autoencoders(name):
    parameters, about_data = split(PLAIN[name])
    unit_norm = ("decoder_0.weight",) if parameters.get("unit_norm_decoder") else ()
    check(*trainer_of(Autoencoder(6, **parameters), **about_data), unit_norm=unit_norm)


@pytest.mark.parametrize("name", VARIATIONAL)
def test_variational(name):
    parameters, about_data = split({"n_components": 3, "hidden_layer_sizes": (7,), **VARIATIONAL[name]})
    model = VariationalAutoencoder(**parameters)
    check(*trainer_of(model, **about_data), still=("divergence",) if model.prior == "vamp" else ())


@pytest.mark.parametrize("name", HASHING)
def test_hashing(name):
    parameters, about_data = split({"hidden_layer_sizes": (7,), **HASHING[name]})
    check(*trainer_of(HashingAutoencoder(6, **parameters), **about_data))
