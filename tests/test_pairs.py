"""CSR rows in training: products over stored values, with the bits of dense rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from autoenc import Autoencoder, DenoisingAutoencoder, VariationalAutoencoder
from autoenc._fitting import FitData, Rows


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(1.0, (150, 60)) * (rng.random((150, 60)) < 0.1)


def same_weights(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bits_of_dense_rows(counts, dtype, n_jobs):
    X = counts.astype(dtype)
    parameters = dict(likelihood="multinomial", hidden_layer_sizes=(20,), max_iter=3, batch_size=32, random_state=0)
    dense = VariationalAutoencoder(4, **parameters).fit(X)
    assert same_weights(dense, VariationalAutoencoder(4, n_jobs=n_jobs, **parameters).fit(sp.csr_array(X)))


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (Autoencoder, {"loss": "multinomial"}),
        (DenoisingAutoencoder, {"loss": "multinomial", "corruption_level": 0.3}),
        (VariationalAutoencoder, {"likelihood": "multinomial", "objective": "iwae", "n_importance_samples": 3}),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_multinomial_target_by_pairs(counts, kind, parameters, weighted):
    """The loss reads the stored values alone: rows with none, explicit zeros, weights of zero, rows held out."""
    X = counts.astype(np.float32)
    X[3] = 0
    X[70] = 1
    sparse = sp.csr_array(X)
    sparse.data[::7] = 0
    X = sparse.toarray()
    weight = np.arange(len(X)) % 4 if weighted else None
    models = [
        kind(
            4, hidden_layer_sizes=(20,), max_iter=3, batch_size=32, random_state=0, early_stopping=True, **parameters
        ).fit(rows, sample_weight=weight)
        for rows in (X, sparse)
    ]
    assert same_weights(*models)
    assert models[0].loss_curve_ == models[1].loss_curve_
    assert models[0].validation_loss_curve_ == models[1].validation_loss_curve_


def test_validation_rows_may_be_dense(counts):
    X, X_val = counts[:100].astype(float), counts[100:].astype(float)
    parameters = dict(max_iter=3, random_state=0)
    plain = Autoencoder(4, **parameters).fit(X, X_val=X_val)
    for train, validation in (
        (sp.csr_array(X), X_val),
        (X, sp.csr_array(X_val)),
        (sp.csr_array(X), sp.csr_array(X_val)),
    ):
        model = Autoencoder(4, **parameters).fit(train, X_val=validation)
        assert same_weights(plain, model) and model.validation_loss_curve_ == plain.validation_loss_curve_


def test_a_row_may_be_full(counts):
    X = counts.astype(float)
    X[7] = 1.0
    parameters = dict(max_iter=2, random_state=0)
    assert same_weights(Autoencoder(4, **parameters).fit(X), Autoencoder(4, **parameters).fit(sp.csr_array(X)))


def test_most_stored():
    X = sp.csr_array(np.eye(3, 5))
    wide = sp.csr_array(np.ones((2, 5)))
    assert FitData(Rows(X), None, None).most_stored() == [1]
    assert FitData(Rows(X), None, Rows(wide)).most_stored() == [5]
    assert FitData(Rows(X), None, Rows(wide.toarray())).most_stored() == [0]
    assert FitData(Rows(X, target=np.ones((3, 2))), None, None).most_stored() == [1, 0]
    assert FitData(Rows(sp.csr_array((0, 5))), None, None).most_stored() == [0]
