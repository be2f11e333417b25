"""Networks put together of parts: conditions, tied weights, layers as descriptions."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from autoenc import Autoencoder, SparseAutoencoder
from autoenc.layers import Activation, BatchNorm, Dense, Dropout, LayerNorm, Residual
from autoenc.sparsity import TopK


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data[:600].astype(np.float32) / 16, np.eye(10, dtype=np.float32)[data.target[:600]]


def fitted(X, *, condition=None, X_clean=None, X_val=None, **parameters):
    return Autoencoder(4, max_iter=20, random_state=0, **parameters).fit(
        X, condition=condition, X_clean=X_clean, X_val=X_val
    )


def test_a_condition_is_known_to_the_decoder(digits):
    X, labels = digits
    plain, model = fitted(X), fitted(X, condition=labels)
    assert model.score(X, condition=labels) > plain.score(X)
    codes = model.transform(X, condition=labels)
    assert codes.shape == (600, 4)
    assert_array_equal(model.inverse_transform(codes, condition=labels), model.reconstruct(X, condition=labels))
    # The same code under another label is another digit.
    other = np.roll(labels, 1, axis=1)
    assert np.abs(model.inverse_transform(codes, condition=other) - model.reconstruct(X, condition=labels)).max() > 0.1
    errors = model.feature_errors(X, condition=labels)
    assert_allclose(errors.mean(axis=1), -model.score_samples(X, condition=labels), rtol=1e-5)
    predictor = pickle.loads(pickle.dumps(model)).predictor()
    assert_array_equal(predictor(X, condition=labels), codes)
    assert_array_equal(predictor(X[0], condition=labels[0]), codes[0])
    assert predictor.score_samples(X[0], condition=labels[0]) == model.score_samples(X, condition=labels)[0]
    assert_array_equal(predictor.inverse_transform(codes, condition=labels), model.reconstruct(X, condition=labels))


def test_a_condition_with_targets_and_validation(digits):
    X, labels = digits
    target = X[:, :7]
    model = fitted(X, condition=labels, X_clean=target, X_val=(X[:99], target[:99], labels[:99]), early_stopping=True)
    assert model.reconstruct(X, condition=labels).shape == (600, 7)
    assert_allclose(-model.score(X[:99], X_clean=target[:99], condition=labels[:99]), model.best_loss_, rtol=1e-5)
    with pytest.raises(ValueError, match="tuple of three"):
        fitted(X, condition=labels, X_clean=target, X_val=X[:99])
    with pytest.raises(ValueError, match="condition of X_val has 3 columns"):
        fitted(X, condition=labels, X_val=(X[:99], labels[:99, :3]))


def test_a_condition_belongs_to_every_call_or_to_none(digits):
    X, labels = digits
    model = fitted(X, condition=labels)
    for method in (model.transform, model.reconstruct, model.score_samples, model.predictor()):
        with pytest.raises(ValueError, match="called without condition, but the fit had 10 columns"):
            method(X)
    with pytest.raises(ValueError, match="condition has 5 rows and X has 600"):
        model.transform(X, condition=labels[:5])
    with pytest.raises(ValueError, match="condition has 3 columns"):
        model.transform(X, condition=labels[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        model.transform(X, condition=np.where(labels > 0, np.nan, labels))
    with pytest.raises(ValueError, match="called with condition, but the fit had none"):
        fitted(X).transform(X, condition=labels)


def test_tied_weights(digits):
    X, _ = digits
    for hidden in ((), (32,), (40, 20)):
        free, tied = fitted(X, hidden_layer_sizes=hidden), fitted(X, hidden_layer_sizes=hidden, tied_weights=True)
        assert len(tied.coefs_) == len(hidden) + 1 == len(free.coefs_) // 2
        assert len(tied.intercepts_) == len(free.intercepts_)
        assert_array_equal(tied.predictor()(X), tied.transform(X))
    # Without hidden layers the decoder is the transpose itself.
    tied = fitted(X, hidden_layer_sizes=(), tied_weights=True, precision="float64")
    by_hand = tied.transform(X) @ tied.coefs_[0].T + tied.intercepts_[1]
    assert_allclose(tied.reconstruct(X), by_hand, rtol=1e-5, atol=1e-6)
    warm = clone(tied).set_params(warm_start=True).fit(X)
    assert warm.fit(X).score(X) > tied.score(X)


@pytest.mark.parametrize(
    "parameters",
    [{"decoder_hidden_layer_sizes": (3,)}, {"decoder_hidden_layer_sizes": (8, 8)}, {"encoder": [Residual([Dense(9)])]}],
)
def test_tied_weights_need_a_mirror(digits, parameters):
    with pytest.raises(ValueError, match="tied_weights=True needs a decoder that mirrors the encoder"):
        fitted(digits[0], tied_weights=True, **parameters)


def test_tied_weights_need_targets_of_the_same_width(digits):
    X, _ = digits
    with pytest.raises(ValueError, match="tied_weights=True"):
        fitted(X, tied_weights=True, X_clean=X[:, :7])


LAYERS = {
    "batch": [Dense(24, "identity"), BatchNorm(), Activation("relu")],
    "layer": [Dense(24), LayerNorm(), Dropout(0.1), Dense(12)],
    "residual": [Dense(24), Residual([Dense(24), Dense(24)]), Residual([Dense(12)])],
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_as_descriptions(digits, name):
    X, _ = digits
    model = fitted(X, encoder=LAYERS[name])
    assert -model.score(X) < 0.9 * X.var(axis=0).mean()
    assert_array_equal(model.predictor()(X), model.transform(X))
    assert_array_equal(model.transform(X[5:6]), model.transform(X)[5:6])
    for n_jobs in (1, 2, 3):
        again = fitted(X, encoder=LAYERS[name], n_jobs=n_jobs)
        for one, other in zip(
            [*model.coefs_, *model.other_parameters_.values()],
            [*again.coefs_, *again.other_parameters_.values()],
            strict=True,
        ):
            assert_array_equal(one, other)
    # The fitted network survives a pickle, goes on warm, and refuses another shape.
    copy = pickle.loads(pickle.dumps(model)).set_params(warm_start=True)
    assert_array_equal(copy.transform(X), model.transform(X))
    assert copy.fit(X).score(X) > model.score(X)
    with pytest.raises(ValueError, match="hidden_layer_sizes from"):
        copy.set_params(encoder=[Dense(5)]).fit(X)


def test_plain_layers_are_hidden_layer_sizes(digits):
    X, _ = digits
    one = fitted(X, hidden_layer_sizes=(24, 12), dropout=0.2)
    other = fitted(X, encoder=[Dense(24), Dropout(0.2), Dense(12), Dropout(0.2)])
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        assert_array_equal(a, b)


def test_decoder_of_its_own(digits):
    X, _ = digits
    model = fitted(X, encoder=[Dense(24)], decoder=[Dense(9), Dense(11)])
    assert [w.shape for w in model.coefs_] == [(64, 24), (24, 4), (4, 9), (9, 11), (11, 64)]


def test_a_search_over_layers(digits):
    X, _ = digits
    search = GridSearchCV(
        Autoencoder(4, max_iter=60, random_state=0), {"encoder": [[Dense(2)], [Dense(64)]]}, cv=2
    ).fit(X)
    assert search.best_params_["encoder"][0].units == 64


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Dense(3), "allowed are lists"),
        ([3], r"encoder\[0\] is 3; allowed are the layers"),
        ([Dense(0)], r"encoder\[0\]: The 'units' parameter"),
        ([Dense(3), Dropout(1.0)], r"encoder\[1\]: The 'p' parameter"),
        ([Residual([])], "at least one layer"),
        ([Residual([Dense(-1)])], r"encoder\[0\].layers\[0\]: The 'units' parameter"),
    ],
)
def test_errors_of_layers_name_them(digits, encoder, message):
    with pytest.raises(ValueError, match=message):
        fitted(digits[0], encoder=encoder)


def test_going_on_does_not_depend_on_how_parts_are_printed(digits):
    X, _ = digits
    model = Autoencoder(8, sparsity=TopK(3), encoder=[Dense(9, "tanh")], warm_start=True, max_iter=2, random_state=0)
    model.fit(X)
    with sklearn.config_context(print_changed_only=False):
        model.fit(X)
    with pytest.raises(ValueError, match="sparsity from"):
        model.set_params(sparsity__k=4).fit(X)


def test_scores_are_of_the_loss_that_was_fitted(digits):
    X, _ = digits
    model = fitted(X, loss="log_loss")
    before = model.score_samples(X)
    model.set_params(loss="squared_error", missing="mask")
    assert_array_equal(model.score_samples(X), before)
    with pytest.raises(ValueError, match="log_loss"):
        model.score_samples(30 * X - 3)
    with pytest.raises(ValueError, match="NaN"):
        model.transform(np.full_like(X[:1], np.nan))


@pytest.mark.parametrize("estimator", [Autoencoder, SparseAutoencoder])
def test_layers_are_said_once(digits, estimator):
    X = digits[0][:50]
    for side, sizes in (("encoder", "hidden_layer_sizes"), ("decoder", "decoder_hidden_layer_sizes")):
        usual = estimator().get_params()[sizes]
        with pytest.raises(ValueError, match=rf"^{sizes}=\(50,\) and {side}=\[Dense\(units=20\)\] both say"):
            estimator(8, max_iter=1, **{side: [Dense(20)], sizes: (50,)}).fit(X)
        same = usual if usual is None else np.array(usual, dtype=int)
        estimator(8, max_iter=1, **{side: [Dense(20)], sizes: same}).fit(X)
    model = estimator(8, max_iter=1, encoder=[Dense(20)], decoder_hidden_layer_sizes=(30,)).fit(X)
    assert [weight.shape[1] for weight in model.coefs_] == [20, 8, 30, 64]
