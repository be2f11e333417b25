"""Contraction and penalties in an estimator; gradients of networks of which parts get none by design."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from autoenc import Autoencoder, ContractiveAutoencoder
from autoenc._fitting import Rows
from autoenc.contraction import Contraction
from autoenc.layers import BatchNorm, Dense
from autoenc.penalties import Decorrelation, Orthogonality, PredictiveSparse
from autoenc.sparsity import Gated, TopK


@pytest.fixture(scope="module")
def X():
    return load_digits().data[:300] / 16


def trainer_of(model, X):
    """The trainer of a fit, before its first step; `clip_norm` makes it keep gradients."""
    spec = model.set_params(clip_norm=1e300)._description(Rows(X))
    trainer = model._trainer(spec, len(X), 0, n_epochs=1)
    trainer.bind(0, [X])
    model._start(trainer, spec, Rows(X))
    return trainer


def squared_norms(model, X, h=1e-4):
    """Of the Jacobian of `transform`, by row."""
    total = np.zeros(len(X))
    for column in range(X.shape[1]):
        step = np.zeros(X.shape[1])
        step[column] = h
        total += (((model.transform(X + step) - model.transform(X - step)) / (2 * h)) ** 2).sum(axis=1)
    return total


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"latent_activation": "silu"},
        {"hidden_layer_sizes": (12,), "tied_weights": False},
        {"hidden_layer_sizes": (12,), "activation": "tanh", "latent_activation": "identity"},
    ],
)
def test_the_penalty_is_the_norm_of_the_jacobian_of_transform(X, parameters):
    common = {"max_iter": 3, "random_state": 0, "precision": "float64", "batch_size": len(X)}
    model = ContractiveAutoencoder(5, contraction_weight=0.01, **common, **parameters).fit(X)
    trainer = trainer_of(model, X)
    model._resume(trainer, model._spec)
    assert trainer.evaluate(0, 0, len(X), False) == pytest.approx(
        -model.score(X) + 0.01 * squared_norms(model, X).mean(), rel=1e-6
    )


def test_the_norm_of_the_jacobian_falls(X):
    for parameters in ({}, {"hidden_layer_sizes": (24,), "tied_weights": False}):
        norms = [
            squared_norms(
                ContractiveAutoencoder(
                    16, contraction_weight=weight, max_iter=60, random_state=0, precision="float64", **parameters
                ).fit(X),
                X[:50],
            ).mean()
            for weight in (0.0, 0.003, 0.03)
        ]
        assert norms[0] > 1.2 * norms[1] > 1.4 * norms[2]


def test_no_weight_is_no_contraction(X):
    for activation in ("logistic", "gelu"):
        plain = Autoencoder(5, activation=activation, max_iter=2, random_state=0).fit(X)
        other = Autoencoder(5, activation=activation, max_iter=2, random_state=0, contraction=Contraction(0.0)).fit(X)
        for a, b in zip(plain.coefs_, other.coefs_, strict=True):
            assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_flat_parameters_mean_the_object(X):
    flat = ContractiveAutoencoder(5, contraction_weight=0.02, higher_order_weight=0.1, max_iter=2, random_state=0)
    part = Contraction(0.02, higher_order_weight=0.1)
    whole = ContractiveAutoencoder(5, contraction_weight=None, contraction=part, max_iter=2, random_state=0)
    assert_array_equal(flat.fit(X).coefs_[0], whole.fit(X).coefs_[0])
    assert_array_equal(whole.set_params(contraction_weight=0.003).fit(X).coefs_[0], flat.coefs_[0])
    with pytest.raises(ValueError, match=r"weight=0.1 and contraction=Contraction\(\) both say.*weight=None for contr"):
        ContractiveAutoencoder(contraction_weight=0.1, contraction=Contraction()).fit(X)
    with pytest.raises(ValueError, match=r"higher_order_weight=0.1 and contraction=Contraction\(\) both say"):
        ContractiveAutoencoder(higher_order_weight=0.1, contraction=Contraction()).fit(X)
    with pytest.raises(ValueError, match=r"higher_order_weight=0.1 does not go with contraction_weight"):
        ContractiveAutoencoder(contraction_weight=None, higher_order_weight=0.1).fit(X)


def test_parameters_of_parts_are_searched(X):
    search = GridSearchCV(
        Autoencoder(8, contraction=Contraction(), max_iter=10, random_state=0),
        {"contraction__weight": [1e-4, 10.0]},
        cv=2,
    ).fit(X)
    assert search.best_params_ == {"contraction__weight": 1e-4}


def keep_largest(values, k):
    """Of each row the k largest, if positive."""
    order = np.argsort(-values, axis=1)[:, :k]
    mask = np.zeros(values.shape)
    np.put_along_axis(mask, order, 1.0, axis=1)
    return np.maximum(values, 0) * mask


def loss_of_top_k(values, fixed, X):
    """Top-k of 2 with an auxiliary loss of 0.5; what the auxiliary loss is to restore gets no gradient."""

    def parts(v):
        pre = X @ v["code.weight"] + v["code.bias"]
        return pre, keep_largest(pre, 2) @ v["reconstruction.weight"] + v["reconstruction.bias"]

    pre, output = parts(values)
    residual = X - parts(fixed)[1]
    dead = np.where(DEAD >= 1, pre, -np.inf)
    again = keep_largest(dead, 3) @ values["reconstruction.weight"]
    return ((output - X) ** 2).mean() + 0.5 * ((again - residual) ** 2).mean()


def loss_of_tied_gated(values, fixed, X):
    """The decoder that reads the gate is frozen."""
    u = X @ values["code.weight"]
    gate = u + values["code_selected.gate_bias"]
    magnitude = np.exp(values["code_selected.magnitude_scale"]) * u + values["code_selected.magnitude_bias"]
    code = (gate > 0) * np.maximum(magnitude, 0)
    output = code @ values["code.weight"].T + values["reconstruction.bias"]
    again = np.maximum(gate, 0) @ fixed["code.weight"].T + fixed["reconstruction.bias"]
    penalty = 0.1 * np.maximum(gate, 0).sum(axis=1).mean()
    return ((output - X) ** 2).mean() + penalty + ((again - X) ** 2).mean()


DEAD = np.arange(6.0)[np.newaxis] % 2 * 5  # every other latent


@pytest.mark.parametrize(
    ("parameters", "loss"),
    [
        ({"sparsity": TopK(2, aux_k=3, aux_weight=0.5, dead_after=1)}, loss_of_top_k),
        ({"sparsity": Gated(0.1), "tied_weights": True}, loss_of_tied_gated),
    ],
)
def test_gradients_that_stop(parameters, loss):
    """Against NumPy, with the parts fixed that get no gradient."""
    model = Autoencoder(6, hidden_layer_sizes=(), precision="float64", batch_size=40, alpha=0.0, **parameters)
    X = np.random.default_rng(0).uniform(-1, 1, (40, 9))
    trainer = trainer_of(model, X)
    names = [entry[0] for entry in trainer.parameters()]
    if "code_selected.since" in names:
        trainer.set(names.index("code_selected.since"), DEAD)
    value, gradients = trainer.gradient(0, True)
    values = {name: trainer.get(i) for i, name in enumerate(names)}
    assert value == pytest.approx(loss(values, values, X), rel=1e-12)
    checked = 0
    for name, gradient in zip(names, gradients, strict=True):
        if name == "code_selected.since":
            continue
        for at in range(gradient.size):
            h, losses = 1e-6, []
            for sign in (1, -1):
                moved = values[name].copy()
                moved.flat[at] += sign * h
                losses.append(loss({**values, name: moved}, values, X))
            assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(gradient.flat[at], rel=1e-5, abs=1e-8), name
            checked += 1
    assert checked > 60


@pytest.mark.parametrize("penalty", [Orthogonality(0.1), Decorrelation(10.0)])
def test_penalties_do_what_they_say(X, penalty):
    def off(model):
        if isinstance(penalty, Orthogonality):
            w = model.coefs_[0]
            return np.abs(w.T @ w - np.eye(8)).max()
        c = np.cov(model.transform(X).T)
        return np.abs(c - np.diag(np.diag(c))).max()

    common = {"hidden_layer_sizes": (), "max_iter": 60, "random_state": 0}
    assert off(Autoencoder(8, penalties=penalty, **common).fit(X)) < 0.3 * off(Autoencoder(8, **common).fit(X))


def test_the_encoder_learns_to_predict_sparse_codes(X):
    common = {"hidden_layer_sizes": (), "max_iter": 60, "random_state": 0, "unit_norm_decoder": True}
    model = Autoencoder(32, penalties=PredictiveSparse(3e-3, prediction_weight=0.1), **common).fit(X)
    plain = Autoencoder(32, **common).fit(X)
    assert np.abs(model.transform(X)).sum(axis=1).mean() < 0.5 * np.abs(plain.transform(X)).sum(axis=1).mean()
    assert -model.score(X) < 0.5 * X.var(axis=0).mean()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contraction": Contraction(-1)}, "'weight' parameter of Contraction"),
        ({"contraction": 0.1}, "'contraction' parameter of Autoencoder"),
        ({"contraction": Contraction(), "dropout": 0.1}, r"contraction=Contraction\(\) needs an encoder of dense"),
        (
            {"contraction": Contraction(), "encoder": [Dense(4), BatchNorm()]},
            r"contraction=.*'encoder_1' is a batch_norm",
        ),
        ({"contraction": Contraction(), "sparsity": TopK(2)}, "contraction=.*'code_selected' is a top_k"),
        ({"contraction": Contraction(), "activation": "softmax"}, "contraction=.*softmax"),
        ({"contraction": Contraction(), "latent_activation": "softmax"}, "contraction=.*softmax"),
        ({"contraction": Contraction(n_directions=2), "solver": "lbfgs"}, "contraction=.* solver='lbfgs'"),
        ({"contraction": Contraction(higher_order_weight=1), "solver": "lbfgs"}, "contraction=.* solver='lbfgs'"),
        ({"penalties": PredictiveSparse(), "hidden_layer_sizes": (), "solver": "lbfgs"}, "penalties=.*solver='lbfgs'"),
        ({"penalties": PredictiveSparse()}, "penalties with .* decoder of more than one linear layer"),
        ({"penalties": PredictiveSparse(), "hidden_layer_sizes": (), "tied_weights": True}, "penalties.*tied_weights"),
        ({"penalties": PredictiveSparse(), "hidden_layer_sizes": (), "loss": "huber"}, "penalties.*loss='huber'"),
        ({"penalties": PredictiveSparse(), "hidden_layer_sizes": (), "missing": "mask"}, "penalties.*missing='mask'"),
        ({"penalties": PredictiveSparse(), "hidden_layer_sizes": (), "sparsity": TopK(2)}, "penalties with .*dense"),
        ({"penalties": [Orthogonality(), 3]}, r"penalties\[1\] is 3"),
        ({"penalties": [Orthogonality(), Orthogonality()]}, "penalties has two of Orthogonality"),
        ({"penalties": Orthogonality(-1)}, "'weight' parameter of Orthogonality"),
        ({"penalties": 3}, "'penalties' parameter of Autoencoder"),
    ],
)
def test_errors_name_the_parameter(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(8, **parameters).fit(X)


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")
def test_smooth_penalties_go_with_lbfgs(X):
    parts = {"contraction": Contraction(0.01), "penalties": [Orthogonality(0.01), Decorrelation(0.1)]}
    model = Autoencoder(5, hidden_layer_sizes=(), solver="lbfgs", max_iter=30, precision="float64", **parts).fit(X)
    assert (np.diff(model.loss_curve_) <= 0).all()
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
