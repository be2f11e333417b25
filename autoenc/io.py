"""Model files: `load` and `load_predictor` read what ``estimator.save(path)`` or `save` has written.

A file is safetensors, with all that is not an array in one JSON string; ``docs/files.md`` describes the format and says
what a file can do and what it cannot. Needs the package safetensors (``python -m pip install safetensors``).
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, overload

from numpy.typing import NDArray

from autoenc import _archive, _schemas, _stored_scalers
from autoenc._archive import Damaged, Reader
from autoenc._marginalized_network import MarginalizedPredictor
from autoenc._names import learned_names
from autoenc._outlier_scores import Fitted, OutlierPredictor
from autoenc._predictor import Predictor
from autoenc._predictors import ClassifierPredictor, HashingPredictor, RegressorPredictor, VectorQuantizedPredictor
from autoenc._scaled_predictor import ScaledPredictor
from autoenc._stored_checks import rehearse

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from autoenc._base import BaseAutoencoder
    from autoenc._imputer import AutoencoderImputer
    from autoenc._marginalized import MarginalizedDenoisingAutoencoder
    from autoenc._outlier_detector import AutoencoderOutlierDetector

__all__ = [
    "SKOPS_TRUSTED",
    "AnyPredictor",
    "ClassifierPredictor",
    "HashingPredictor",
    "MarginalizedPredictor",
    "OutlierPredictor",
    "RegressorPredictor",
    "ScaledPredictor",
    "VectorQuantizedPredictor",
    "load",
    "load_predictor",
    "save",
]

Path = str | os.PathLike[str]
T = TypeVar("T")
# What a model file may hold for `load_predictor`; those of classifiers and their kin are classes derived of Predictor.
AnyPredictor = Predictor | MarginalizedPredictor | OutlierPredictor | ScaledPredictor

# What `skops.io.load(path, trusted=SKOPS_TRUSTED)` is to trust for any estimator and any predictor of this package.
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
            "marginalized_network.MarginalizedPredictor",
            "outlier_detector.AutoencoderOutlierDetector",
            "outlier_members.Member",
            "outlier_scores.Fitted",
            "outlier_scores.OutlierPredictor",
            "posterior.ImputingVariational",
            "predictor.Predictor",
            "predictors.ClassifierPredictor",
            "predictors.HashingPredictor",
            "predictors.RegressorPredictor",
            "predictors.VectorQuantizedPredictor",
            "scaled_predictor.ScaledPredictor",
            "scaling.Scaling",
            "scaling.Step",
            "sparse.SparseAutoencoder",
            "supervised.AutoencoderClassifier",
            "supervised.AutoencoderRegressor",
            "variational.VariationalAutoencoder",
            "vector_quantized.VectorQuantizedAutoencoder",
        )
    ),
    "autoenc.callbacks.EarlyStopping",
    "autoenc.contraction.Contraction",
    *(f"autoenc.corruption.{name}" for name in ("Bernoulli", "Gaussian", "Masking", "SaltAndPepper", "SwapNoise")),
    *(f"autoenc.layers.{name}" for name in ("Activation", "BatchNorm", "Dense", "Dropout", "LayerNorm", "Residual")),
    "autoenc.losses.ColumnLoss",
    *(f"autoenc.penalties.{name}" for name in ("Decorrelation", "Orthogonality", "PredictiveSparse")),
    *(f"autoenc.sparsity.{name}" for name in ("BatchTopK", "Gated", "JumpReLU", "KL", "L1", "Matryoshka", "TopK")),
    "numpy.dtype",
)


def save(model: Any, path: Path) -> None:
    """Write a fitted estimator, or a pipeline of scalers and one, to a file that `load` and `load_predictor` read.

    Parameters
    ----------
    model : estimator or sklearn.pipeline.Pipeline
        A fitted estimator of this package, as ``model.save(path)``, or a fitted pipeline whose last step is one and
        whose other steps are `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler` or `RobustScaler` of scikit-learn.
    path : str or path-like
        The file, ``.safetensors`` by custom. It is written whole or not at all.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before `fit`.
    ValueError
        Where a step is something else, or a parameter is not data, such as a callable; the message names it. Where the
        last step was fitted to pairs, whose units the scalers do not know. Where `load` would refuse the file, for
        instance since a scaler knows other columns than the estimator, in its words.
    TypeError
        Where the path is none.
    OSError
        Where the file cannot be written.
    ImportError
        Where safetensors is not installed.

    See Also
    --------
    load : Reads it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import autoenc
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = load_wine().data
    >>> pipe = make_pipeline(StandardScaler(), autoenc.Autoencoder(2, max_iter=5, random_state=0)).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     autoenc.save(pipe, Path(folder) / "wine.safetensors")
    ...     again = autoenc.load(Path(folder) / "wine.safetensors")
    >>> bool((again.transform(X) == pipe.transform(X)).all())
    True
    """
    from autoenc import _stored_estimators

    _stored_estimators.save(model, path)


@overload
def load(
    path: Path, expected: None = None
) -> (
    "BaseAutoencoder | MarginalizedDenoisingAutoencoder | AutoencoderImputer | AutoencoderOutlierDetector | Pipeline"
): ...


@overload
def load(path: Path, expected: type[T]) -> T: ...


def load(path: Path, expected: type[T] | None = None) -> Any:
    """Read an estimator, or a pipeline, that was saved.

    Every method answers with the same bits as that of the estimator that was saved, and training goes on where its
    training could. Nothing of the file is run, no other file is opened, and the shape of every array is checked before
    there is memory for it: a file from anywhere gives an estimator of this package, alone or behind scalers of
    scikit-learn, or an error.

    Parameters
    ----------
    path : str or path-like
        A file that ``estimator.save(path)`` or `save` has written, in this release or an earlier one.
    expected : type, default=None
        The class that the file is to be of, or a base of it: another one is an error, and type checkers know what they
        have. None: any.

    Returns
    -------
    estimator or sklearn.pipeline.Pipeline
        Of the class that it was.

    Raises
    ------
    ValueError
        Where the file is damaged, is something else, or was written in the format of a later release, and where it is
        of another class than `expected`.
    TypeError
        Where the path is none, or `expected` is no class.
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
    ...     autoenc.load(Path(folder) / "iris.safetensors", autoenc.Autoencoder)
    Autoencoder(max_iter=5, random_state=0)
    """
    from autoenc import _stored_estimators

    _check_class(expected, "autoenc.Autoencoder")
    return _of_class(_stored_estimators.load(path), expected, path)


def _check_class(expected: Any, example: str) -> None:
    if expected is not None and not isinstance(expected, type):
        raise TypeError(f"expected is {expected!r}; allowed are None and classes, such as {example}")


def _of_class(found: Any, expected: type | None, path: Path) -> Any:
    if expected is not None and not isinstance(found, expected):
        raise ValueError(f"{os.fspath(path)} holds {type(found).__name__}; expected is {expected.__name__}")
    return found


_KINDS: dict[str, type[Predictor | MarginalizedPredictor | OutlierPredictor]] = {
    **dict.fromkeys(
        (
            "Autoencoder",
            "SparseAutoencoder",
            "DenoisingAutoencoder",
            "ContractiveAutoencoder",
            "VariationalAutoencoder",
        ),
        Predictor,
    ),
    "HashingAutoencoder": HashingPredictor,
    "VectorQuantizedAutoencoder": VectorQuantizedPredictor,
    "AutoencoderClassifier": ClassifierPredictor,
    "AutoencoderRegressor": RegressorPredictor,
    "MarginalizedDenoisingAutoencoder": MarginalizedPredictor,
    "AutoencoderOutlierDetector": OutlierPredictor,
}


def _handed_over(arrays: list[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Arrays that nobody holds any more when the next one is asked for: predictors copy what they are made of."""
    while arrays:
        yield arrays.pop(0)


@overload
def load_predictor(path: Path, expected: None = None, *, n_jobs: int | None = 1) -> AnyPredictor: ...


@overload
def load_predictor(path: Path, expected: type[T], *, n_jobs: int | None = 1) -> T: ...


def load_predictor(path: Path, expected: type[T] | None = None, *, n_jobs: int | None = 1) -> Any:
    """Read what predicts of an estimator that was saved, without scikit-learn and SciPy.

    The same as ``autoenc.load(path).predictor()``, and as strict. It needs NumPy, safetensors and the extension.

    Parameters
    ----------
    path : str or path-like
        A file that ``estimator.save(path)`` or `save` has written. Any estimator but AutoencoderImputer, which has no
        predictor.
    expected : type, default=None
        The class that the predictor is to be of, or a base of it: another one is an error, and type checkers know what
        they have. They are `autoenc.Predictor` and, in `autoenc.io`, its kin. None: any.
    n_jobs : int or None, default=1
        Threads of a call, as the parameter of the same name; other values than 1 need joblib.

    Returns
    -------
    Predictor, OutlierPredictor, MarginalizedPredictor or ScaledPredictor
        As ``estimator.predictor()`` gives it; of a pipeline what takes rows as its scalers do, and gives
        reconstructions in their units.

    Raises
    ------
    ValueError
        As `load`.
    TypeError
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
    ...     predictor = autoenc.load_predictor(Path(folder) / "iris.safetensors", autoenc.Predictor)
    >>> bool((predictor(X[0]) == model.transform(X[:1])[0]).all())
    True
    """
    _check_class(expected, "autoenc.Predictor")
    threads = 1
    if n_jobs != 1:
        from autoenc._threads import n_threads  # takes joblib

        threads = n_threads(n_jobs)
    with _archive.opened(path, _schemas.KEY, "a model of autoenc") as (file, names, configuration):
        _archive.check_format(configuration, _stored_scalers.FORMAT, "a model")
        raw = configuration.get("estimator")
        if isinstance(raw, dict) and raw.get("class") == "AutoencoderImputer":
            raise Damaged("AutoencoderImputer has no predictor; autoenc.load reads it")
        reader = Reader(file, names)
        pipeline = _stored_scalers.read(configuration, reader)
        stored = _schemas.read_estimator(raw, "", reader, tuple(_KINDS))
        reader.finish()
        if pipeline is not None:
            _stored_scalers.check_width(pipeline, stored)
        try:
            if "_spec" in stored:
                rehearse(stored.name, *Fitted.of(stored))
                stored["coefs_"] = _handed_over(stored["coefs_"])
            predictor: Any = _KINDS[stored.name]._of_learned(stored, threads)
        except Damaged:
            raise
        except (ValueError, OverflowError, RuntimeError) as error:
            raise Damaged(f"the network cannot be built: {error}") from error
        if pipeline is not None:
            first = pipeline.before[0] if pipeline.before else stored
            predictor = ScaledPredictor(predictor, pipeline.scaling(), learned_names(first))
    return _of_class(predictor, expected, path)
