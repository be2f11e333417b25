"""A linear autoencoder is PCA: Bourlard and Kamp (1988), Baldi and Hornik (1989)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from autoenc import Autoencoder

SETS = {"digits": (load_digits, 16), "wine": (load_wine, 2), "breast_cancer": (load_breast_cancer, 2)}


@pytest.mark.filterwarnings("ignore:lbfgs has not converged")  # 3000 iterations leave the last digits
@pytest.mark.parametrize("name", sorted(SETS))
def test_lbfgs_finds_the_principal_subspace(name):
    load, k = SETS[name]
    X = StandardScaler().fit_transform(load().data)
    pca = PCA(k, svd_solver="full").fit(X)
    estimator = Autoencoder(
        k, hidden_layer_sizes=(), solver="lbfgs", precision="float64", alpha=0.0, max_iter=3000, random_state=0
    ).fit(X)
    error = np.mean((X - pca.inverse_transform(pca.transform(X))) ** 2)
    assert error * (1 - 1e-12) <= -estimator.score(X) <= error * 1.0001
    assert subspace_angles(estimator.components_.T, pca.components_.T).max() < 0.01
    assert subspace_angles(estimator.coefs_[-1].T, pca.components_.T).max() < 0.01

    cosines = np.abs((estimator.components_ * pca.components_).sum(axis=1))
    assert (cosines > np.cos(0.01)).all()
    assert_allclose(estimator.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-3)
    largest = np.abs(estimator.components_).argmax(axis=1)
    assert (estimator.components_[np.arange(k), largest] > 0).all()


def test_deep_linear_network_and_minibatches():
    X = StandardScaler().fit_transform(load_wine().data)
    pca = PCA(2).fit(X)
    error = np.mean((X - pca.inverse_transform(pca.transform(X))) ** 2)
    for parameters in (
        dict(solver="lbfgs", hidden_layer_sizes=(8,), precision="float64", max_iter=3000),
        dict(solver="adam", hidden_layer_sizes=(), learning_rate_init=0.01, max_iter=600),
    ):
        estimator = Autoencoder(2, activation="identity", alpha=0.0, random_state=0, **parameters).fit(X)
        assert -estimator.score(X) <= error * 1.005
        assert subspace_angles(estimator.components_.T.astype(float), pca.components_.T).max() < 0.1
