"""The same bits: any number of threads, any instruction set, any company of a row."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from autoenc import Autoencoder, _core

pytestmark = pytest.mark.filterwarnings("ignore:lbfgs has not converged")
NETWORKS = {
    "small": (
        (200, 9),
        dict(n_components=2, hidden_layer_sizes=(33, 17), batch_size=32, early_stopping=True, dropout=0.1),
    ),
    "wide": (
        (300, 100),
        dict(
            n_components=40,
            hidden_layer_sizes=(600,),
            activation="tanh",
            loss="log_loss",
            solver="adam",
            clip_norm=0.1,
            max_norm=2.0,
            batch_size=100,
        ),
    ),
    "linear": ((150, 20), dict(n_components=3, hidden_layer_sizes=(), solver="lbfgs")),
    "curved": (
        (150, 40),
        dict(
            n_components=5, hidden_layer_sizes=(70,), activation="tanh", loss="log_loss", solver="kfac", batch_size=100
        ),
    ),
    "rounded": ((150, 40), dict(n_components=5, hidden_layer_sizes=(70,), state_precision="bfloat16", batch_size=32)),
    # Layers so wide that those of "high" are in parts.
    "flat": ((150, 130), dict(n_components=100, hidden_layer_sizes=(), solver="lbfgs")),
    "broad": (
        (150, 130),
        dict(n_components=100, hidden_layer_sizes=(130,), tied_weights=True, state_precision="bfloat16", batch_size=50),
    ),
}
# SHA-256 of weights and biases after 20 epochs. A change here is a change of what everybody's fits give.
# Running this file prints them.
CASES = [
    (name, precision)
    for name in sorted(NETWORKS)
    for precision in ("float32", "float64", "high", "bfloat16")
    # Which are refused:
    if (name, precision)
    not in (("linear", "bfloat16"), ("flat", "bfloat16"), ("rounded", "float64"), ("broad", "float64"))
]

GOLDEN = {
    ("small", "float32"): "55122da36a18d47b0ac55792cc848575f682b34180329b8c1b6054a59d46eb6c",
    ("small", "float64"): "f272bfa95582ae4a4d71dea4f2b79cebe2a530c3604dcc6635e3e7e0e029ab79",
    ("wide", "float32"): "78b9d249593bfccbb09a8713331f2bb61a905902d2642ff13658018bcc32bfa9",
    ("wide", "float64"): "86f333968e9f08aeaa8c947b89432c310d5129cfc9b5a2e5b703177763c98109",
    ("linear", "float32"): "da6dea54972700adc6b3631afc7afa0adeb5e5573c93a2be61e86196a936b6c2",
    ("curved", "float32"): "3d7956eabead4911d1b8ef93c1ab895af43a98cf88b8d429e6af40e99ef1d18b",
    ("curved", "float64"): "3a82beb116c0d6bc560d98d869073d1a4f9ee00c0b4f19623d7fdf861021459d",
    ("linear", "float64"): "aaa40b6879d9303f2d68187dcf75f3676126311e925a3ba62c0e8273eb7fe626",
    ("curved", "high"): "739932897827b23643ac95848e3030a392d4805e78e0818e8ff5926e47ffd55d",
    ("curved", "bfloat16"): "647b39caef504f422db89f9b8cdf607216a56554e88ef8eb77d9b6b20c60132a",
    ("linear", "high"): "da6dea54972700adc6b3631afc7afa0adeb5e5573c93a2be61e86196a936b6c2",
    ("small", "high"): "55122da36a18d47b0ac55792cc848575f682b34180329b8c1b6054a59d46eb6c",
    ("small", "bfloat16"): "d77f8f721bc8371401b00c4d70f1d9b163248711fd1584dcdd07d706e9921e8d",
    ("wide", "high"): "837f861815b3a5d0f6a2d2d061c6502b02f9a1a67e34f869357b1314038d7c16",
    ("rounded", "float32"): "b3e614f1ba4d7250244ea584e036f935981bfef5cef100e981f43e33e2a2b532",
    ("rounded", "high"): "b3e614f1ba4d7250244ea584e036f935981bfef5cef100e981f43e33e2a2b532",
    ("rounded", "bfloat16"): "2a2b964b027cfca8dcf4aa4d372949cd0c25ff96b88d67420fe1d9675c2ae36d",
    ("wide", "bfloat16"): "601ecd2f41ee240aa5b1b11cb7af007e8cf93e45dbdf23e3f7bd4380e146a45a",
    ("broad", "float32"): "a421ab2b6c4c4e6f73b14cac0c37f2807009bf74be80a2060212a7780b68dfbb",
    ("broad", "high"): "c86b5020032537fdd59394b4fcbf4bfd6a84404d5d25f8050f1373019d345296",
    ("broad", "bfloat16"): "c94e911fc2d5f5c31b76b66b9dfb894ac10d627e8d5d6c25697bddbf6f63457c",
    ("flat", "float32"): "53f306817669902ca891a290423e3011dba087cd8de4f82fe3f30a801682eb62",
    ("flat", "float64"): "df40c608777eb7ea8e7293f718da9616b718101265e5c0a6cf52c0b38a0c71f7",
    ("flat", "high"): "1f7ccc32286b8d9c532bf70fdcc7eaac254847d2add9162b9d0ee88052d22873",
}


def rows(shape):
    """The same numbers on every machine: of a linear congruential generator, over a power of two."""
    out, state = np.empty(int(np.prod(shape))), 12345
    for i in range(out.size):
        state = (1103515245 * state + 12345) % 2**31
        out[i] = (state >> 16) % 256
    return out.reshape(shape) / 256


def network(name, precision, **parameters):
    shape, settings = NETWORKS[name]
    estimator = Autoencoder(**{**settings, "max_iter": 20, "random_state": 0, "precision": precision, **parameters})
    return estimator, rows(shape)


def digest(estimator):
    hasher = hashlib.sha256()
    for array in estimator.coefs_ + estimator.intercepts_:
        hasher.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes())
    return hasher.hexdigest()


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_golden_hashes(name, precision):
    estimator, X = network(name, precision)
    assert digest(estimator.fit(X)) == GOLDEN[name, precision]


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_number_of_threads(name, precision):
    reference = None
    for n_jobs in (1, 2, 3, 8):
        estimator, X = network(name, precision, n_jobs=n_jobs, max_iter=5)
        estimator.fit(X)
        parts = (*estimator.coefs_, *estimator.intercepts_, estimator.loss_curve_, estimator.transform(X))
        parts = (*parts, estimator.reconstruct(X), estimator.score_samples(X), estimator.feature_errors(X))
        if reference is None:
            reference = parts
        for a, b in zip(reference, parts, strict=True):
            assert_array_equal(a, b)


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import json, numpy as np
from autoenc import _core
import test_determinism as t
out = {{"isa": _core.isa()}}
for name, precision in t.CASES:
    epochs = 2 if precision in ("float32", "float64") else 1  # plain C takes products in parts slowly
    estimator, X = t.network(name, precision, max_iter=epochs)
    estimator.fit(X)
    hasher = t.hashlib.sha256(t.digest(estimator).encode())
    for values in (estimator.transform(X), estimator.reconstruct(X), estimator.score_samples(X)):
        hasher.update(values.tobytes())
    out[name + precision] = hasher.hexdigest()
print(json.dumps(out))
"""


def test_instruction_sets(environment):
    results = {}
    for isa in ("ref", "avx2", ""):
        if isa == "avx2" and _core.isa() not in ("avx2", "avx512"):
            continue
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(folder=str(Path(__file__).parent))],
            capture_output=True,
            text=True,
            env={**environment, **({"AUTOENC_ISA": isa} if isa else {})},
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        assert result.pop("isa") == (isa or _core.isa())
        results[isa] = result
    assert len(results) >= 2
    for result in results.values():
        assert result == results["ref"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_row_does_not_depend_on_its_company(name, precision, dtype):
    estimator, X = network(name, precision, max_iter=2)
    X = np.tile(estimator.fit(X) and X, (3, 1)).astype(dtype)
    order = np.random.default_rng(0).permutation(len(X))
    for method in (
        estimator.transform,
        estimator.reconstruct,
        estimator.score_samples,
        estimator.feature_errors,
        lambda X: estimator.inverse_transform(estimator.transform(X)),
    ):
        whole = method(X)
        assert_array_equal(np.concatenate([method(X[i : i + 1]) for i in range(0, len(X), 7)]), whole[::7])
        assert_array_equal(method(X[order]), whole[order])
        assert_array_equal(method(X[::-1]), whole[::-1])
        for size in (3, 97, 191):
            pieces = [method(X[i : i + size]) for i in range(0, len(X), size)]
            assert_array_equal(np.concatenate(pieces), whole)


def test_two_fits_and_other_seeds():
    a, X = network("small", "float32")
    b, _ = network("small", "float32")
    c, _ = network("small", "float32", random_state=1)
    assert digest(a.fit(X)) == digest(b.fit(X)) == digest(a.fit(X)) != digest(c.fit(X))


def test_floating_point_state_of_others_does_not_matter():
    """Libraries built with -ffast-math switch denormal numbers off for the whole thread."""
    torch = pytest.importorskip("torch")
    a, X = network("small", "float32")
    X = X * 2.0**-70  # squares of errors are denormal in float32
    before = digest(a.fit(X))
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    try:
        assert digest(a.fit(X)) == before
        assert np.float32(1e-40) * np.float32(1) == 0  # the setting of others is left alone
    finally:
        torch.set_flush_denormal(False)


if __name__ == "__main__":
    for name, precision in CASES:
        estimator, X = network(name, precision)
        print(f'    ("{name}", "{precision}"): "{digest(estimator.fit(X))}",')
