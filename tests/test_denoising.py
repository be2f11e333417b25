"""Denoising: each corruption, emphasis, given pairs, and what it is good for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from autoenc import Autoencoder, DenoisingAutoencoder
from autoenc.corruption import Gaussian, Masking, SaltAndPepper, SwapNoise


@pytest.fixture(scope="module")
def X():
    return (load_digits().data / 16).astype(np.float32)


def corrupted(X, noise, level):
    rng = np.random.default_rng(1)
    hit = rng.random(X.shape) < level
    if noise == "gaussian":
        return X + rng.normal(scale=level, size=X.shape).astype(np.float32)
    if noise == "masking":
        return np.where(hit, np.float32(0), X)
    if noise == "salt_and_pepper":
        return np.where(hit, rng.integers(2, size=X.shape).astype(np.float32), X)
    return np.where(hit, rng.permuted(X, axis=0), X)


def psnr(X, other):
    return -10 * np.log10(np.mean((X.astype(float) - other) ** 2))


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper", "swap"])
def test_each_corruption_is_taken_off_better_than_by_a_plain_autoencoder(X, noise):
    train, test = X[:1400], X[1400:]
    noisy = corrupted(test, noise, 0.3)
    common = {"max_iter": 40, "random_state": 0}
    denoising = DenoisingAutoencoder(32, noise=noise, corruption_level=0.3, **common).fit(train)
    plain = Autoencoder(32, **common).fit(train)
    assert psnr(test, denoising.reconstruct(noisy)) > psnr(test, plain.reconstruct(noisy)) + 1
    assert psnr(test, denoising.reconstruct(noisy)) > psnr(test, noisy) + 1


@pytest.mark.parametrize(
    ("noise", "part"),
    [
        ("gaussian", Gaussian(0.2)),
        ("masking", Masking(0.2)),
        ("salt_and_pepper", SaltAndPepper(0.2)),
        ("swap", SwapNoise(0.2)),
    ],
)
def test_flat_parameters_mean_the_objects(X, noise, part):
    common = {"max_iter": 2, "random_state": 0}
    flat = DenoisingAutoencoder(4, noise=noise, corruption_level=0.2, **common).fit(X)
    for other in (
        Autoencoder(4, corruption=part, **common),
        DenoisingAutoencoder(4, corruption_level=None, corruption=part, **common),
    ):
        assert_array_equal(flat.coefs_[0], other.fit(X).coefs_[0])


def test_no_corruption_is_the_plain_autoencoder(X):
    plain = Autoencoder(4, max_iter=2, random_state=0).fit(X)
    for other in (DenoisingAutoencoder(4, corruption_level=0.0, max_iter=2, random_state=0),):
        assert_array_equal(plain.coefs_[0], other.fit(X).coefs_[0])


def test_emphasis_puts_weight_on_corrupted_entries(X):
    """With all the weight on what is corrupted, clean entries are left to themselves."""
    train, test = X[:1400], X[1400:]
    hit = np.random.default_rng(0).random(test.shape) < 0.3
    noisy = np.where(hit, np.float32(0), test)

    def errors(emphasis):
        part = Masking(0.3, emphasis=emphasis)
        fitted = Autoencoder(16, corruption=part, max_iter=40, random_state=0).fit(train)
        error = (fitted.reconstruct(noisy) - test) ** 2
        # What is zero anyway is not changed by the mask.
        return error[hit & (test > 0)].mean(), error[~hit].mean()

    (at_all, clean_at_all), (at_hit, clean_at_hit) = errors(None), errors((1.0, 0.0))
    assert at_hit < at_all
    assert clean_at_hit > clean_at_all


def test_equal_emphasis_is_none(X):
    a = Autoencoder(4, corruption=Masking(0.3, emphasis=(1.0, 1.0)), max_iter=3, random_state=0).fit(X)
    b = Autoencoder(4, corruption=Masking(0.3), max_iter=3, random_state=0).fit(X)
    assert_allclose(a.coefs_[0], b.coefs_[0], rtol=1e-4, atol=1e-5)


def test_given_pairs(X):
    noisy = corrupted(X, "gaussian", 0.3)
    fitted = Autoencoder(32, max_iter=40, random_state=0).fit(noisy[:1400], X_clean=X[:1400])
    plain = Autoencoder(32, max_iter=40, random_state=0).fit(noisy[:1400])
    assert psnr(X[1400:], fitted.reconstruct(noisy[1400:])) > psnr(X[1400:], plain.reconstruct(noisy[1400:])) + 1
    # Targets of another width, with corruption on top.
    half = DenoisingAutoencoder(16, max_iter=5, random_state=0).fit(noisy, X_clean=X[:, :32])
    assert half.reconstruct(noisy).shape == (1797, 32)
    errors = ((half.reconstruct(noisy) - X[:, :32]) ** 2).mean(axis=1)
    assert_allclose(-half.score_samples(noisy, X_clean=X[:, :32]), errors, rtol=1e-5)


def test_noise_acts_in_training_only(X):
    fitted = DenoisingAutoencoder(4, max_iter=2, random_state=0).fit(X)
    assert_array_equal(fitted.transform(X), fitted.transform(X))
    assert_array_equal(fitted.predictor()(X), fitted.transform(X))


def test_parameters_of_parts_are_searched(X):
    search = GridSearchCV(
        Autoencoder(8, corruption=Gaussian(0.1), max_iter=10, random_state=0), {"corruption__std": [0.1, 3.0]}, cv=2
    ).fit(X[:400])
    assert search.best_params_ == {"corruption__std": 0.1}


def test_a_part_takes_the_place_of_the_defaults(X):
    part = DenoisingAutoencoder(8, corruption=Masking(0.2), max_iter=2, random_state=0).fit(X)
    said = DenoisingAutoencoder(8, noise="masking", corruption_level=0.2, max_iter=2, random_state=0).fit(X)
    assert_array_equal(part.coefs_[0], said.coefs_[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"noise": "masking", "corruption_level": 1.0}, "corruption_level=1.0 is a probability"),
        ({"corruption_level": -0.1}, "corruption_level"),
        ({"noise": "pink"}, "noise"),
        (
            {"corruption": Gaussian(), "corruption_level": 0.2},
            r"corruption_level=0.2 and corruption=Gaussian\(\) both say.* corruption_level=None for corruption",
        ),
        ({"corruption": Gaussian(), "noise": "swap"}, r"noise='swap' and corruption=Gaussian\(\) both say"),
        ({"solver": "lbfgs"}, "corruption.* does not go with solver='lbfgs'"),
    ],
)
def test_errors_name_the_parameter(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        DenoisingAutoencoder(4, **parameters).fit(X)


def test_emphasis_has_no_place_for_pairs(X):
    with pytest.raises(ValueError, match="emphasis does not go with X_clean"):
        Autoencoder(4, corruption=Masking(0.3, emphasis=(1.0, 0.5))).fit(X, X_clean=X)
