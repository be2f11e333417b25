"""Greedy layer-wise pretraining."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

from autoenc import Autoencoder, AutoencoderClassifier, ContractiveAutoencoder, DenoisingAutoencoder
from autoenc._fitting import FitData, Rows
from autoenc._pretraining import layerwise
from autoenc.corruption import Bernoulli, Masking
from autoenc.layers import BatchNorm, Dense
from autoenc.sparsity import TopK


@pytest.fixture(scope="module")
def X():
    return (load_digits().data[:600] / 16).astype(np.float32)


def deep(**parameters):
    defaults = {"activation": "logistic", "hidden_layer_sizes": (64, 48, 32), "max_iter": 20, "random_state": 0}
    return Autoencoder(8, **{**defaults, **parameters})


@pytest.mark.parametrize("tied", [False, True])
def test_deep_networks_of_logistic_units_start_better(X, tied):
    """Such a network does not leave the mean within a few epochs; the layers alone do."""
    plain = deep(tied_weights=tied).fit(X)
    pretrained = deep(tied_weights=tied, pretrain="layerwise").fit(X)
    assert pretrained.loss_curve_[-1] < 0.8 * plain.loss_curve_[-1]
    assert pretrained.loss_curve_[0] < plain.loss_curve_[0]


@pytest.mark.parametrize("parameters", [{}, {"sparsity": TopK(3)}, {"loss": "log_loss"}, {"dropout": 0.1}])
def test_two_fits_are_the_same(X, parameters):
    model = deep(pretrain="layerwise", pretrain_max_iter=2, max_iter=2, **parameters)
    one, other = (clone(model).set_params(n_jobs=n).fit(X) for n in (1, 3))
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        assert_array_equal(a, b)
    assert not np.array_equal(one.coefs_[0], clone(model).set_params(random_state=1).fit(X).coefs_[0])


def test_ctrl_c_behind_a_layer_ends_the_fit(X, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Autoencoder, "_find_components", interrupted)
    model = deep(activation="identity", latent_activation="identity", pretrain="layerwise", hidden_layer_sizes=(9,))
    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
        warnings.simplefilter("error")
        model.set_params(max_iter=1, pretrain_max_iter=1).fit(X)


def test_one_layer_goes_on_where_the_shallow_one_ended(X):
    """A network without hidden layers is its own shallow one, under another seed."""
    model = deep(hidden_layer_sizes=(), pretrain="layerwise", pretrain_max_iter=40, max_iter=1)
    assert model.fit(X).loss_curve_[0] < 0.5 * deep(hidden_layer_sizes=(), max_iter=1).fit(X).loss_curve_[0]


def test_the_shallow_ones_have_the_parts_of_the_whole(X):
    """A stack of denoising or contractive autoencoders differs from one of plain ones."""
    common = {
        "hidden_layer_sizes": (16,),
        "pretrain": "layerwise",
        "pretrain_max_iter": 20,
        "max_iter": 1,
        "random_state": 0,
    }
    for kind, neutral in ((DenoisingAutoencoder, "corruption_level"), (ContractiveAutoencoder, "contraction_weight")):
        model = kind(4, **common)
        shallow = clone(model).set_params(**{neutral: 0.0})
        starts = [layerwise(Autoencoder, one, FitData(Rows(X), None, None), 0) for one in (model, shallow)]
        assert np.abs(starts[0]["encoder_0.weight"] - starts[1]["encoder_0.weight"]).max() > 1e-3


@pytest.mark.parametrize(("corruption", "behind"), [(Bernoulli(), None), (Masking(0.3), Masking)])
def test_only_the_rows_themselves_are_binarised(X, monkeypatch, corruption, behind):
    """Outputs of a layer of tanh are no probabilities."""
    seen, fit = [], Autoencoder.fit

    def watched(self, *arguments, **named):
        seen.append(self.corruption)
        return fit(self, *arguments, **named)

    monkeypatch.setattr(Autoencoder, "fit", watched)
    model = deep(pretrain="layerwise", pretrain_max_iter=2, max_iter=1, activation="tanh", corruption=corruption)
    layerwise(Autoencoder, model, FitData(Rows(X), None, None), 0)
    assert [None if part is None else type(part) for part in seen] == [type(corruption), *[behind] * 3]


def test_warm_starts_do_not_pretrain_again(X):
    model = deep(pretrain="layerwise", pretrain_max_iter=5, max_iter=5).fit(X)
    before = model.score(X)
    assert model.set_params(warm_start=True, max_iter=20).fit(X).score(X) > before


def test_classifiers_pretrain(X):
    y = load_digits().target[:600]
    common = {"activation": "logistic", "hidden_layer_sizes": (64, 48), "max_iter": 3, "fine_tune_max_iter": 2}
    plain = AutoencoderClassifier(16, random_state=0, **common).fit(X, y)
    pretrained = AutoencoderClassifier(16, random_state=0, pretrain="layerwise", **common).fit(X, y)
    assert pretrained.loss_curve_[-1] < plain.loss_curve_[-1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pretrain": "greedy"}, "pretrain"),
        ({"pretrain_max_iter": 0}, "pretrain_max_iter"),
        (
            {"encoder": [Dense(9), BatchNorm()], "hidden_layer_sizes": 128},
            "pretrain='layerwise' needs dense layers; encoder has BatchNorm",
        ),
        ({"decoder_hidden_layer_sizes": (9,)}, "pretrain='layerwise' needs a decoder that mirrors the encoder"),
    ],
)
def test_errors_name_the_parameter(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        deep(**{"pretrain": "layerwise", **parameters}).fit(X)


def test_targets_and_conditions_have_no_place(X):
    for given in ({"X_clean": X[:, :5]}, {"condition": X[:, :5]}):
        with pytest.raises(ValueError, match="pretrain='layerwise' does not go with X_clean or condition"):
            deep(pretrain="layerwise").fit(X, **given)
