"""What the solver keeps for each weight in bfloat16: state_precision="bfloat16"."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

import autoenc
from autoenc import Autoencoder, VariationalAutoencoder

X = (load_digits().data[:600] / 16).astype(np.float32)
SMALL = {"hidden_layer_sizes": (40,), "max_iter": 8, "random_state": 0}
SOLVERS = ("adamw", "adam", "sgd", "rmsprop", "adagrad")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("precision", ["float32", "high", "bfloat16"])
def test_it_learns_alike_on_any_number_of_threads(solver, precision):
    shape = {**SMALL, "hidden_layer_sizes": (200,)}  # so wide that "high" is not float32
    model = Autoencoder(7, solver=solver, precision=precision, state_precision="bfloat16", n_jobs=1, **shape).fit(X)
    full = clone(model).set_params(state_precision=None).fit(X)
    assert any((a != b).any() for a, b in zip(model.coefs_, full.coefs_, strict=True))
    assert abs(model.loss_curve_[-1] / full.loss_curve_[-1] - 1) < 0.02
    again = clone(model).set_params(n_jobs=2).fit(X)
    for a, b in zip(model.coefs_, again.coefs_, strict=True):
        assert_array_equal(a, b)


def test_the_largest_average_of_amsgrad_and_clipping():
    for options in ({"amsgrad": True}, {"clip_norm": 0.1}, {"max_norm": 1.0}, {"alpha": 0.1, "l1_ratio": 0.5}):
        model = Autoencoder(7, state_precision="bfloat16", **options, **SMALL).fit(X)
        full = clone(model).set_params(state_precision=None).fit(X)
        assert abs(model.loss_curve_[-1] / full.loss_curve_[-1] - 1) < 0.02, options


def test_partial_fit_goes_on_with_averages_of_eight_bits():
    model = Autoencoder(4, state_precision="bfloat16", hidden_layer_sizes=(40,), random_state=0)
    for part in range(4):
        model.partial_fit(X[part * 100 : part * 100 + 100])
    for array in model._optimizer_state:
        assert not (np.ascontiguousarray(array).view(np.uint32) & 0xFFFF).any()
    other = pickle.loads(pickle.dumps(model))
    model.partial_fit(X)
    other.partial_fit(X)
    for a, b in zip(model.coefs_, other.coefs_, strict=True):
        assert_array_equal(a, b)


def test_partial_fit_goes_on_in_the_other_precision():
    for before, after in ((None, "bfloat16"), ("bfloat16", None)):
        model = Autoencoder(4, state_precision=before, hidden_layer_sizes=(40,), random_state=0).partial_fit(X)
        loss = model.loss_curve_[-1]
        for _ in range(5):
            model.set_params(state_precision=after).partial_fit(X)
        assert model.loss_curve_[-1] < loss


def test_it_is_kept_in_model_files(tmp_path):
    model = VariationalAutoencoder(3, state_precision="bfloat16", **SMALL).fit(X)
    model.save(tmp_path / "model.safetensors")
    loaded = autoenc.load(tmp_path / "model.safetensors")
    assert loaded.state_precision == "bfloat16"
    assert_array_equal(loaded.transform(X), model.transform(X))


def test_a_checkpoint_of_the_other_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    Autoencoder(4, **SMALL).fit(X, checkpoint=path)
    with pytest.raises(ValueError, match="state_precision"):
        Autoencoder(4, state_precision="bfloat16", **SMALL).fit(X, checkpoint=path, resume=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"precision": "float64"}, "does not go with precision='float64'; allowed: None"),
        ({"solver": "kfac"}, "does not go with solver='kfac'; allowed: None"),
        ({"solver": "lbfgs"}, "does not go with solver='lbfgs'; allowed: None"),
        ({"state_precision": "float16"}, "'state_precision' parameter of Autoencoder must be"),
    ],
)
def test_what_does_not_go_together_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Autoencoder(2, **{"state_precision": "bfloat16", **options}).fit(X)
