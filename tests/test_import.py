"""Importing costs nothing, and scoring needs NumPy and the extension only."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autoenc
from autoenc import Autoencoder


def run(script, environment, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_alone_loads_nothing(environment):
    script = """
import sys
before = set(sys.modules)
import autoenc
new = sorted(name for name in set(sys.modules) - before)
assert "Autoencoder" in dir(autoenc) and autoenc.__version__
print(" ".join(new))
"""
    loaded = run(script, environment).split()
    assert "autoenc" in loaded
    for name in ("numpy", "scipy", "sklearn", "joblib", "matplotlib", "tqdm", "autoenc._core", "autoenc._base"):
        assert name not in loaded


def test_sources_without_the_core_say_what_to_do(environment, tmp_path):
    """As in a clone after `pip install .`, where Python finds the folder of the sources first."""
    shutil.copytree(
        Path(autoenc.__file__).parent,
        tmp_path / "autoenc",
        ignore=shutil.ignore_patterns("_core.*.so", "_core*.pyd", "__pycache__"),
    )
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path = [one for one in sys.meta_path if "Editable" not in getattr(one, "__name__", "")]
try:
    from autoenc import Autoencoder
except ImportError as error:
    print(error)
"""
    said = run(script, environment)
    assert f"the compiled core of autoenc is not in {tmp_path / 'autoenc'}" in said and "pip install -e ." in said


def test_public_modules_are_there_without_an_import_of_their_own(environment):
    script = """
from pathlib import Path
import autoenc
folder = Path(autoenc.__file__).parent
public = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
public = {name for name in public if not name.startswith("_")}
assert public == autoenc._MODULES, public ^ autoenc._MODULES
assert public <= set(dir(autoenc))
for name in public:
    assert getattr(autoenc, name).__name__ == f"autoenc.{name}"
print("all")
"""
    assert run(script, environment) == "all\n"


def test_the_predictor_module_loads_numpy_and_the_extension_only(environment):
    script = """
import sys
import autoenc
autoenc.Predictor, autoenc.DivergenceError
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""
    loaded = run(script, environment).split()
    assert "numpy" in loaded
    assert not {"scipy", "sklearn", "joblib", "pandas", "matplotlib", "torch"} & set(loaded)


def test_a_predictor_works_where_scikit_learn_and_scipy_are_not(environment, tmp_path):
    X = np.random.default_rng(0).random((50, 6)).astype(np.float32)
    for name, precision in (("a", "float32"), ("b", "float64")):
        estimator = Autoencoder(2, loss="log_loss", max_iter=3, precision=precision, random_state=0).fit(X)
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(estimator.predictor()))
        np.savez(
            tmp_path / f"{name}.npz",
            X=X,
            codes=estimator.transform(X),
            back=estimator.inverse_transform(estimator.transform(X)),
            restored=estimator.reconstruct(X),
            scores=estimator.score_samples(X),
        )
        script = """
import sys
for blocked in ("sklearn", "scipy", "joblib"):
    sys.modules[blocked] = None
import pickle
import numpy as np
with open(sys.argv[1], "rb") as file:
    predictor = pickle.load(file)
known = np.load(sys.argv[2])
X = known["X"]
assert (predictor(X) == known["codes"]).all() and (predictor.transform(X) == known["codes"]).all()
assert all((predictor(row) == code).all() for row, code in zip(X, known["codes"]))
assert (predictor.inverse_transform(known["codes"]) == known["back"]).all()
assert (predictor.reconstruct(X) == known["restored"]).all()
assert (predictor.score_samples(X) == known["scores"]).all()
print(repr(predictor))
"""
        out = run(script, environment, tmp_path / f"{name}.pickle", tmp_path / f"{name}.npz", precision)
        assert out.strip() == "Predictor(6 -> 2 -> 6)"


PREDICTORS = {
    "AutoencoderClassifier": ({"fine_tune_max_iter": 2}, ("predict", "predict_proba", "predict_log_proba")),
    "AutoencoderRegressor": ({"fine_tune_max_iter": 2}, ("predict", "transform")),
    "HashingAutoencoder": ({"n_bits": 11}, ("hash", "transform")),
    "VectorQuantizedAutoencoder": ({"n_components": 4, "n_codes": 5, "n_codebooks": 2}, ("encode_indices",)),
    "VariationalAutoencoder": ({"noise_variance": 0.01, "max_iter": 60}, ("transform", "score_samples")),
    "MarginalizedDenoisingAutoencoder": ({"n_layers": 6, "n_pivots": 4}, ("transform", "reconstruct", "score_samples")),
    "AutoencoderOutlierDetector": (
        {"n_estimators": 5},
        ("score_samples", "decision_function", "predict", "feature_contributions"),
    ),
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_predictors_of_all_kinds_work_where_scikit_learn_and_scipy_are_not(name, environment, tmp_path):
    X = np.random.default_rng(0).random((50, 6)).astype(np.float32)
    parameters, methods = PREDICTORS[name]
    if name != "MarginalizedDenoisingAutoencoder":
        parameters = {"max_iter": 2, **parameters}
    model = getattr(autoenc, name)(random_state=0, **parameters).fit(X, (X[:, 0] > 0.5).astype(int))
    (tmp_path / "predictor.pickle").write_bytes(pickle.dumps(model.predictor()))
    np.savez(tmp_path / "known.npz", X=X, **{method: getattr(model, method)(X) for method in methods})
    script = """
import sys
for blocked in ("sklearn", "scipy", "joblib"):
    sys.modules[blocked] = None
import pickle
import numpy as np
with open(sys.argv[1], "rb") as file:
    predictor = pickle.load(file)
known = np.load(sys.argv[2])
X = known["X"]
methods = [name for name in known if name != "X"]
for name in methods:
    method = getattr(predictor, name)
    assert np.array_equal(method(X), known[name]), name
    assert all(np.array_equal(method(row), answer) for row, answer in zip(X, known[name])), name
print(*methods)
"""
    out = run(script, environment, tmp_path / "predictor.pickle", tmp_path / "known.npz")
    assert out.split() == list(methods)


def test_names():
    assert set(autoenc.__all__) <= set(dir(autoenc))
    for name in autoenc.__all__:
        assert getattr(autoenc, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        autoenc.nothing_of_this_name  # noqa: B018
