"""Parameter objects of corruption, the layers that they name, and data with missing values in the core."""

import inspect
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from autoenc import _core, _spec, corruption
from autoenc.corruption import Gaussian, Masking, SaltAndPepper, SwapNoise

KINDS = [Gaussian(0.4), Masking(0.3), SaltAndPepper(0.3, low=-2.0, high=2.0), SwapNoise(0.3)]


def trainer(noise, *, n_threads=1, precision=64, width=12, batch_size=64):
    """Corrupted input, tanh code, clean target; data not bound yet."""
    kind, fields = noise._layer() if noise is not None else ("dropout", {})
    graph = _spec.Graph()
    graph.add("input", "x", width=width, source=0)
    graph.add(kind, "noise", "x", **fields)
    graph.add("dense", "code", "noise", width=8, activation="tanh")
    graph.add("dense", "out", "code", width=width, activation="identity")
    graph.term("squared_error", "out", "x")
    stage = np.zeros(1, _spec.STAGE)
    stage["last_node"], stage["n_losses"], stage["groups"] = 3, 1, 1
    stage["rule"], stage["rate_factor"] = _core.RULES.index("adam"), 1.0
    made = _core.Trainer(
        _spec.node_array(graph.nodes),
        _spec.loss_array(graph.objective, graph.nodes),
        stage,
        precision=precision,
        n_threads=n_threads,
        batch_size=batch_size,
        seed=3,
        rate=0.01,
        clip_norm=1e300,
    )
    made.initialize()
    return made


def data(n=500, width=12):
    rng = np.random.default_rng(0)
    return np.tanh(rng.standard_normal((n, 3)) @ rng.standard_normal((3, width)))


def test_everything_public_is_listed():
    own = {
        name
        for name, value in vars(corruption).items()
        if inspect.isclass(value) and value.__module__ == corruption.__name__ and not name.startswith("_")
    }
    assert own - {"Corruption"} == set(corruption.__all__)


@pytest.mark.parametrize("noise", KINDS, ids=lambda noise: type(noise).__name__)
def test_an_object_is_its_parameters(noise):
    assert noise.validate() is noise
    copy = clone(noise.set_params(emphasis=(1.0, 0.5)))
    assert copy is not noise
    assert copy.get_params() == noise.get_params()
    assert repr(copy) == repr(noise)
    assert eval(repr(noise)).get_params() == noise.get_params()
    assert pickle.loads(pickle.dumps(noise)).get_params() == noise.get_params()
    noise.set_params(emphasis=None)
    kind, fields = noise._layer()
    assert kind in _core.LAYERS
    assert set(fields) <= set(_spec.NODE.names)
    assert len(list(ParameterGrid({"corruption": [noise, copy]}))) == 2


def test_numbers_reach_the_layer():
    assert Gaussian(0.4)._layer() == ("gaussian_noise", {"value": (0.4, 0.0)})
    assert Masking(np.float32(0.25))._layer() == ("masking_noise", {"rate": 0.25, "value": (0.0, 0.0)})
    assert SaltAndPepper(low=-1, high=2)._layer() == ("salt_and_pepper", {"rate": 0.3, "value": (-1.0, 2.0)})
    assert SwapNoise()._layer() == ("swap_noise", {"rate": 0.15})
    assert Masking()._emphasis() is None
    assert Masking(emphasis=[2, 1])._emphasis() == (2.0, 1.0)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (Gaussian(-0.1), r"'std' parameter of Gaussian .* Got -0.1"),
        (Gaussian(np.nan), "'std' parameter of Gaussian"),
        (Gaussian(np.inf), "'std' parameter of Gaussian"),
        (Gaussian("much"), "'std' parameter of Gaussian"),
        (Masking(1.0), r"'p' parameter of Masking must be a float in the range \[0.0, 1.0\)"),
        (Masking(-0.2), "'p' parameter of Masking"),
        (SwapNoise(1.5), "'p' parameter of SwapNoise"),
        (SaltAndPepper(low=np.nan), "'low' parameter of SaltAndPepper"),
        (SaltAndPepper(high=np.inf), "'high' parameter of SaltAndPepper"),
        (SaltAndPepper(low=2.0), r"'low' parameter of SaltAndPepper is 2.0 and 'high' is 1.0"),
        (Masking(emphasis=0.5), "'emphasis' parameter of Masking"),
        (Masking(emphasis="ab"), "'emphasis' parameter of Masking"),
        (Masking(emphasis=(1.0,)), r"'emphasis' parameter of Masking is \(1.0,\); it must be None or a pair"),
        (Masking(emphasis=(1.0, "x")), "'emphasis' parameter of Masking"),
        (Masking(emphasis=(True, False)), "'emphasis' parameter of Masking"),
        (SwapNoise(emphasis=(-1.0, 1.0)), "'emphasis' parameter of SwapNoise"),
        (SwapNoise(emphasis=(0.0, 0.0)), "one of them positive"),
        (Gaussian(emphasis=(np.inf, 1.0)), "'emphasis' parameter of Gaussian"),
        (Gaussian(emphasis=(np.nan, 1.0)), "'emphasis' parameter of Gaussian"),
    ],
    ids=repr,
)
def test_wrong_parameters_are_named(noise, message):
    with pytest.raises(ValueError, match=message):
        noise.validate()


@pytest.mark.parametrize("noise", KINDS, ids=lambda noise: type(noise).__name__)
def test_noise_acts_in_training_only(noise):
    X = data()
    plain, noisy = trainer(None, batch_size=500), trainer(noise, batch_size=500)
    for one in (plain, noisy):
        one.bind(0, [X])
    # The layers' names are the same, and so are the first weights.
    assert noisy.evaluate(0, 0, 500, False) == plain.evaluate(0, 0, 500, False)
    assert noisy.gradient(0, False)[0] == plain.gradient(0, False)[0]
    corrupted = noisy.gradient(0, True)[0]
    assert corrupted != plain.gradient(0, True)[0]
    assert corrupted == noisy.gradient(0, True)[0]


@pytest.mark.parametrize("noise", KINDS, ids=lambda noise: type(noise).__name__)
def test_bits_do_not_depend_on_threads(noise):
    X = data()
    results = []
    for n_threads in (1, 2, 3, 8):
        made = trainer(noise, n_threads=n_threads, precision=32)
        made.bind(0, [X])
        losses = [made.epoch()[0] for _ in range(3)]
        results.append((losses, [made.get(i).tobytes() for i in range(len(made.parameters()))]))
    assert len(set(results[0][0])) == 3
    assert all(result == results[0] for result in results)


def test_denoising_learns_to_denoise():
    """Rows that lie on a surface of three dimensions: noise is told from data, better with noise in training."""
    X, noise = data(2000), Masking(0.3)
    rng = np.random.default_rng(1)
    corrupted = np.where(rng.random(X.shape) < 0.3, 0.0, X)
    errors = []
    for corruption_of_input in (None, noise):
        made = trainer(corruption_of_input)
        made.bind(0, [X])
        for _ in range(40):
            made.epoch()
        weight, bias, out, out_bias = (made.get(i) for i in range(4))
        errors.append(np.mean((np.tanh(corrupted @ weight + bias) @ out + out_bias - X) ** 2))
    assert errors[1] < 0.7 * errors[0]
    assert errors[1] < 0.7 * np.mean((corrupted - X) ** 2)


def missing(X):
    rng = np.random.default_rng(2)
    X = X.copy()
    X[rng.random(X.shape) < 0.3] = np.nan
    return X


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_may_be_allowed_and_infinity_not(dtype):
    X = missing(data(50)).astype(dtype)
    first = tuple(np.argwhere(np.isnan(X))[0])
    csr = sp.csr_array(np.ones(X.shape, dtype))
    csr.data[:] = X.ravel()
    for source in (X, np.asfortranarray(X), X[::-1][::-1], (csr.data, csr.indices, csr.indptr, csr.shape)):
        assert _core.find_nonfinite(source)[:2] == first
        assert np.isnan(_core.find_nonfinite(source, allow_nan=False)[2])
        assert _core.find_nonfinite(source, allow_nan=True) is None
    X[40, 3] = csr.data[40 * 12 + 3] = -np.inf
    for source in (X, np.asfortranarray(X), (csr.data, csr.indices, csr.indptr, csr.shape)):
        assert _core.find_nonfinite(source, allow_nan=True) == (40, 3, -np.inf)
    assert _core.find_nonfinite(np.ones((3, 2), np.uint8), allow_nan=True) is None


def test_arguments_of_find_nonfinite():
    X = np.ones((2, 2))
    with pytest.raises(TypeError):
        _core.find_nonfinite(X, True)
    with pytest.raises(TypeError):
        _core.find_nonfinite(source=X)
    with pytest.raises(TypeError):
        _core.find_nonfinite()
    with pytest.raises(TypeError, match="allow_inf"):
        _core.find_nonfinite(X, allow_inf=True)
    assert str(inspect.signature(_core.find_nonfinite)) == "(source, /, *, allow_nan=False)"


def test_moments_of_what_is_there():
    X = missing(data())
    X[:, 4] = np.nan
    weight = np.random.default_rng(3).random(len(X))
    results = {}
    for n_threads in (1, 3):
        made = trainer(None, n_threads=n_threads)
        made.bind(0, [X])
        plain = made.moments(0)
        made.bind(0, [X], weight)
        results[n_threads] = [*plain, *made.moments(0)]
    np.testing.assert_array_equal(results[1], results[3])
    mean, variance, weighted, spread = results[1]
    others = np.arange(X.shape[1]) != 4
    np.testing.assert_allclose(mean[others], np.nanmean(X[:, others], axis=0), atol=1e-13)
    np.testing.assert_allclose(variance[others], np.nanvar(X[:, others], axis=0), atol=1e-13)
    assert mean[4] == variance[4] == weighted[4] == spread[4] == 0.0
    for column in np.flatnonzero(others):
        here = ~np.isnan(X[:, column])
        expected = np.average(X[here, column], weights=weight[here])
        assert weighted[column] == pytest.approx(expected, abs=1e-13)
        square = np.average((X[here, column] - expected) ** 2, weights=weight[here])
        assert spread[column] == pytest.approx(square, abs=1e-12)
