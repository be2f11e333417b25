"""Arrays of other libraries: read as NumPy's where NumPy can, else an error that says what to do."""

import numpy as np
import pytest

from autoenc import Autoencoder, AutoencoderClassifier, AutoencoderRegressor

DISPATCHED = """
import os
os.environ["SCIPY_ARRAY_API"] = "1"
import numpy as np, sklearn
import array_api_strict as xp
import autoenc

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 4)).astype(np.float32)
labels, numbers, weights = np.arange(40) % 3, X[:, 0].copy(), rng.random(40) + 0.1
quick = {"max_iter": 2, "fine_tune_max_iter": 2, "n_estimators": 2, "random_state": 0}
methods = ("transform", "reconstruct", "score_samples", "predict", "predict_proba", "decision_function",
           "feature_errors", "hash", "encode_indices")


def fitted(name, of):
    kind = getattr(autoenc, name)
    model = kind(**{key: value for key, value in quick.items() if key in kind().get_params()})
    y = {"AutoencoderClassifier": labels, "AutoencoderRegressor": numbers}.get(name)
    model.fit(of(X), None if y is None else of(y), sample_weight=of(weights))
    return model, y


n = 0
for name in sorted(name for name in autoenc.__all__ if hasattr(getattr(autoenc, name), "fit")):
    ours, y = fitted(name, lambda array: array)
    with sklearn.config_context(array_api_dispatch=True):
        theirs, _ = fitted(name, xp.asarray)
        for method in methods:
            if hasattr(ours, method):
                found = getattr(theirs, method)(xp.asarray(X))
                assert type(found) is np.ndarray, (name, method)
                np.testing.assert_array_equal(found, getattr(ours, method)(X), err_msg=f"{name}.{method}")
                n += 1
        if y is not None:
            assert theirs.score(xp.asarray(X), xp.asarray(y)) == ours.score(X, y)
        if hasattr(ours, "predictor"):
            np.testing.assert_array_equal(theirs.predictor().score_samples(xp.asarray(X)), ours.score_samples(X))
        if name in ("Autoencoder", "VariationalAutoencoder", "AutoencoderClassifier"):
            def conditional(of):
                model = fitted(name, of)[0]
                more = {"y_val": of(labels)} if y is not None else {}
                valid = (of(X), of(X), of(labels))
                model.fit(of(X), None if y is None else of(y), X_clean=of(X), condition=of(labels), X_val=valid, **more)
                return model.inverse_transform(of(model.transform(X, condition=of(labels))), condition=of(labels))
            np.testing.assert_array_equal(conditional(xp.asarray), conditional(lambda array: array))
print(n)
"""


def test_they_are_read_whatever_scikit_learn_dispatches(run_python):
    """Results are NumPy's and have the bits of the same numbers in NumPy's arrays."""
    pytest.importorskip("array_api_strict")
    done = run_python("-W", "ignore", "-c", DISPATCHED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.splitlines()[-1]) > 35


class Elsewhere:
    """What NumPy cannot read, as a tensor on another device or of a type of its own."""

    shape = (6, 2)

    def __dlpack__(self):
        raise BufferError

    def __array__(self, dtype=None, copy=None):
        raise TypeError("cannot convert elsewhere:0; use .here() first")


class OnDevice:
    """An array of the standard without ``__array__``, of which NumPy would make an object."""

    shape = (6, 2)

    def __array_namespace__(self, api_version=None):
        return np


class OnDeviceWithDLPack(OnDevice):
    def __dlpack__(self, **options):
        raise BufferError("the array lies on device 2:0")

    def __dlpack_device__(self):
        return 2, 0


class InMainMemory(OnDevice):
    """The same in main memory, where DLPack hands it over."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Elsewhere, r"cannot convert elsewhere:0; use .here\(\) first"),
        (OnDevice, "it has neither __array__ nor __dlpack__"),
        (OnDeviceWithDLPack, ".+"),
    ],
)
@pytest.mark.parametrize("name", ["X", "y", "y_val", "X_val", "X_clean", "condition", "sample_weight"])
def test_what_numpy_cannot_read_is_named(name, kind, reason):
    X = [[0.0, 1.0], [1.0, 0.5], [0.2, 0.1]] * 2
    given = {"X": X, "y": [0, 1] * 3, "X_val": X, "y_val": [0, 1] * 3}
    given = {key: value for key, value in given.items() if (name in ("X_val", "y_val")) or not key.endswith("_val")}
    message = rf"{name}.* is a .*{kind.__name__} that NumPy cannot read \({reason}\); allowed are dense arrays in main"
    with pytest.raises(TypeError, match=message):
        AutoencoderClassifier(max_iter=1).fit(**{**given, name: kind()})


def test_dlpack_is_read_where_there_is_no_other_way():
    X = np.random.default_rng(0).random((20, 3)).astype("float32")
    model = Autoencoder(1, max_iter=1, random_state=0).fit(InMainMemory(X), sample_weight=InMainMemory(X[:, 0].copy()))
    expected = Autoencoder(1, max_iter=1, random_state=0).fit(X, sample_weight=X[:, 0]).transform(X)
    for method in (model.transform, model.predictor()):
        np.testing.assert_array_equal(method(InMainMemory(X)), expected)
    for kind, y in ((AutoencoderClassifier, np.arange(20) % 2), (AutoencoderRegressor, X[:, 1].copy())):
        model = kind(1, max_iter=1, fine_tune_max_iter=1, random_state=0).fit(X, y)
        found = model.score(InMainMemory(X), InMainMemory(y), sample_weight=InMainMemory(X[:, 0].copy()))
        assert found == model.score(X, y, sample_weight=X[:, 0])


def test_so_they_are_in_methods_and_predictors():
    model = Autoencoder(1, max_iter=1, random_state=0).fit([[0.0, 1.0], [1.0, 0.5], [0.2, 0.1]])
    for method in (model.transform, model.inverse_transform, model.score_samples, model.predictor()):
        for kind in (Elsewhere, OnDevice, OnDeviceWithDLPack):
            with pytest.raises(TypeError, match=r"is a .* that NumPy cannot read .*; allowed are dense arrays"):
                method(kind())
