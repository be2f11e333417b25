"""Model files: `load` and `load_predictor` read what ``estimator.save(path)`` has written.

A file is safetensors, with all that is not an array in one JSON string; ``docs/files.md`` describes the format and says
what a file can do and what it cannot. Needs the package safetensors (``python -m pip install "autoenc[io]"``).
"""

import os
from collections.abc import Callable
from typing import Any

from autoenc import _archive, _schemas
from autoenc._archive import Damaged, Reader
from autoenc._marginalized_network import MarginalizedPredictor
from autoenc._outlier_scores import Fitted, OutlierPredictor
from autoenc._predictor import Predictor
from autoenc._predictors import ClassifierPredictor, HashingPredictor, RegressorPredictor, VectorQuantizedPredictor
from autoenc._schemas import Stored
from autoenc._stored_checks import rehearse

__all__ = ["SKOPS_TRUSTED", "load", "load_predictor"]

# What `skops.io.load(path, trusted=SKOPS_TRUSTED)` is to trust for any estimator of this package.
SKOPS_TRUSTED = (
    *(
        f"autoenc._{module}"
        for module in (
            "autoencoder.Autoencoder",
            "contractive.ContractiveAutoencoder",
            "denoising.DenoisingAutoencoder",
            "hashing.HashingAutoencoder",
            "imputer.AutoencoderImputer",
            "imputer.Imputing",
            "landmarks.Landmarks",
            "marginalized.MarginalizedDenoisingAutoencoder",
            "outlier_detector.AutoencoderOutlierDetector",
            "outlier_members.Member",
            "posterior.ImputingVariational",
            "sparse.SparseAutoencoder",
            "supervised.AutoencoderClassifier",
            "supervised.AutoencoderRegressor",
            "variational.VariationalAutoencoder",
            "vector_quantized.VectorQuantizedAutoencoder",
        )
    ),
    "autoenc.contraction.Contraction",
    *(f"autoenc.corruption.{name}" for name in ("Bernoulli", "Gaussian", "Masking", "SaltAndPepper", "SwapNoise")),
    *(f"autoenc.layers.{name}" for name in ("Activation", "BatchNorm", "Dense", "Dropout", "LayerNorm", "Residual")),
    "autoenc.losses.ColumnLoss",
    *(f"autoenc.penalties.{name}" for name in ("Decorrelation", "Orthogonality", "PredictiveSparse")),
    *(f"autoenc.sparsity.{name}" for name in ("BatchTopK", "Gated", "JumpReLU", "KL", "L1", "Matryoshka", "TopK")),
    "numpy.dtype",
)


def load(path: str | os.PathLike[str]) -> Any:
    """Read an estimator that was saved.

    Every method answers with the same bits as that of the estimator that was saved, and training goes on where its
    training could. Nothing of the file is run, no other file is opened, and the shape of every array is checked before
    there is memory for it: a file from anywhere gives an estimator of this package, or an error.

    Parameters
    ----------
    path : str or path-like
        A file that ``estimator.save(path)`` has written, in this release or an earlier one.

    Returns
    -------
    estimator
        Of the class that it was.

    Raises
    ------
    ValueError
        Where the file is damaged, is something else, or was written in the format of a later release.
    OSError
        Where it cannot be read.
    ImportError
        Where safetensors is not installed.

    See Also
    --------
    load_predictor : Only what predicts, without scikit-learn and SciPy.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import autoenc
    >>> from sklearn.datasets import load_iris
    >>> model = autoenc.Autoencoder(2, max_iter=5, random_state=0).fit(load_iris().data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "iris.safetensors")
    ...     autoenc.load(Path(folder) / "iris.safetensors")
    Autoencoder(max_iter=5, random_state=0)
    """
    from autoenc import _stored_estimators

    return _stored_estimators.load(path)


def _network(kind: type[Predictor], *beside: tuple[str, str]) -> Callable[[Stored, int], Any]:
    def make(stored: Stored, n_threads: int) -> Any:
        learned = {name: stored[attribute] for name, attribute in beside}
        fitted = _fitted(stored)
        predictor = kind(*fitted, n_threads, learned)
        rehearse(stored.name, *fitted)
        return predictor

    return make


def _fitted(stored: Stored) -> Fitted:
    return Fitted(stored["_spec"], stored["coefs_"], stored["intercepts_"], stored["other_parameters_"])


def _marginalized(stored: Stored, n_threads: int) -> MarginalizedPredictor:
    d, coefs, intercepts = (stored[name] for name in ("n_features_in_", "coefs_", "intercepts_"))
    return MarginalizedPredictor(d, coefs, intercepts, stored["pivots_"], stored["_joined"], n_threads)


def _outliers(stored: Stored, n_threads: int) -> OutlierPredictor:
    names = ("mean_", "scale_", "_clip", "_used", "_masks", "error_", "median_", "_neighbors", "_center", "_weight")
    learned = {name.strip("_"): stored[name] for name in (*names, "offset_")}
    learned["landmarks"] = stored["_landmarks"] if stored["_neighbors"].any() else None
    return OutlierPredictor([_fitted(member) for member in stored["estimators_"]], learned, n_threads)


_MAKERS: dict[str, Callable[[Stored, int], Any]] = {
    **{
        name: _network(Predictor)
        for name in (
            "Autoencoder",
            "SparseAutoencoder",
            "DenoisingAutoencoder",
            "ContractiveAutoencoder",
            "VariationalAutoencoder",
        )
    },
    "HashingAutoencoder": _network(HashingPredictor),
    "VectorQuantizedAutoencoder": _network(VectorQuantizedPredictor),
    "AutoencoderClassifier": _network(ClassifierPredictor, ("classes", "classes_")),
    "AutoencoderRegressor": _network(RegressorPredictor, ("mean", "_y_mean"), ("scale", "_y_scale"), ("flat", "_flat")),
    "MarginalizedDenoisingAutoencoder": _marginalized,
    "AutoencoderOutlierDetector": _outliers,
}


def load_predictor(path: str | os.PathLike[str], *, n_jobs: int | None = 1) -> Any:
    """Read what predicts of an estimator that was saved, without scikit-learn and SciPy.

    The same as ``autoenc.load(path).predictor()``, and as strict. It needs NumPy, safetensors and the extension.

    Parameters
    ----------
    path : str or path-like
        A file that ``estimator.save(path)`` has written. Any estimator but AutoencoderImputer, which has no predictor.
    n_jobs : int or None, default=1
        Threads of a call, as the parameter of the same name; other values than 1 need joblib.

    Returns
    -------
    Predictor, OutlierPredictor or MarginalizedPredictor
        As ``estimator.predictor()`` gives it.

    Raises
    ------
    ValueError
        As `load`.
    OSError
        Where it cannot be read.
    ImportError
        Where safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import autoenc
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = autoenc.Autoencoder(2, max_iter=5, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "iris.safetensors")
    ...     predictor = autoenc.load_predictor(Path(folder) / "iris.safetensors")
    >>> bool((predictor(X[0]) == model.transform(X[:1])[0]).all())
    True
    """
    threads = 1
    if n_jobs != 1:
        from autoenc._threads import n_threads  # takes joblib

        threads = n_threads(n_jobs)
    with _archive.opened(path, _schemas.KEY, "a model of autoenc") as (file, names, configuration):
        _archive.check_format(configuration, _schemas.FORMAT, "a model")
        raw = configuration.get("estimator")
        if isinstance(raw, dict) and raw.get("class") == "AutoencoderImputer":
            raise Damaged("AutoencoderImputer has no predictor; autoenc.load reads it")
        reader = Reader(file, names)
        stored = _schemas.read_estimator(raw, "", reader, tuple(_MAKERS))
        reader.finish()
        try:
            return _MAKERS[stored.name](stored, threads)
        except Damaged:
            raise
        except (ValueError, OverflowError, RuntimeError) as error:
            raise Damaged(f"the network cannot be built: {error}") from error
