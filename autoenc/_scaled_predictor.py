"""What predicts of a pipeline of scalers and an estimator, without scikit-learn and SciPy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autoenc._checks import read_rows
from autoenc._export import Exportable
from autoenc._marginalized_network import MarginalizedPredictor
from autoenc._names import NamedColumns, Names
from autoenc._outlier_scores import OutlierPredictor
from autoenc._predictor import Predictor
from autoenc._scaling import Scaling

# Methods of predictors, by what they take and give.
_OF_ROWS = frozenset(
    {
        "transform",
        "score_samples",
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "feature_contributions",
        "hash",
        "encode_indices",
    }
)
_TO_ROWS = frozenset({"inverse_transform", "decode_indices"})
_BOTH = frozenset({"reconstruct"})


class ScaledPredictor(NamedColumns, Exportable):
    """A predictor behind the scalers that its estimator was trained behind: rows go in, and come back, in their units.

    Made by `autoenc.load_predictor` of the file of a pipeline. It has the methods of the predictor of its estimator,
    which are those of the pipeline with `reconstruct` and its kin beside them. Codes, scores and contributions are
    what the estimator says of scaled rows. Results have the bits of the pipeline's for float64 rows, and with
    scikit-learn 1.9 for float32 rows; earlier releases round those otherwise. Columns of a frame must have the
    names and the order of the fit, where that had names. Calling it is `transform`.

    Parameters
    ----------
    predictor : Predictor, MarginalizedPredictor or OutlierPredictor
        Of the estimator.
    scaling : Scaling
        The fitted scalers.
    names : mapping of str to sequence of str, default=None
        Names of the columns of X in the fit of the first scaler, by "X".

    Attributes
    ----------
    predictor : Predictor, MarginalizedPredictor or OutlierPredictor
        That of the estimator, for scaled rows.
    n_features_in : int
        Features of a row.
    feature_names_in : ndarray of shape (n_features_in,) or None
        Names of the columns of X in the fit.

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
    ...     predictor = autoenc.load_predictor(Path(folder) / "wine.safetensors")
    >>> bool((predictor(X) == pipe.transform(X)).all())
    True
    >>> predictor.reconstruct(X[0]).round().shape
    (13,)
    """

    def __init__(
        self,
        predictor: Predictor | MarginalizedPredictor | OutlierPredictor,
        scaling: Scaling,
        names: Names | None = None,
    ) -> None:
        self.predictor = predictor
        self.scaling = scaling
        self._learn_names(names)

    def __reduce__(self) -> Any:
        return type(self), (self.predictor, self.scaling, self._known)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join([*(step.kind for step in self.scaling.steps), repr(self.predictor)])})"
        )

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self.predictor)})

    def _allow_nan(self) -> bool | None:
        if isinstance(self.predictor, OutlierPredictor):
            return bool(self.predictor._learned["masks"])
        return None if isinstance(self.predictor, MarginalizedPredictor) else self.predictor._masks

    def _scaled(self, X: Any, name: str = "X") -> Any:
        """Rows, or one, as the predictor takes them."""
        if name == "X":
            self._check_names(X)
        width = self.predictor.n_features_in
        rows, single, _ = read_rows(X, width, precision="float64", name=name, allow_nan=self._allow_nan())
        if rows.dtype == np.uint8:  # left to the core else
            rows = rows.astype(np.float64)
        rows = self.scaling.apply(rows)
        return rows[0] if single else rows

    def _columns(self) -> Any:
        """Those that a reconstruction has."""
        return self.predictor._pivots if isinstance(self.predictor, MarginalizedPredictor) else slice(None)

    def __call__(self, X: ArrayLike, **given: Any) -> Any:
        return self.transform(X, **given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("predictor", "scaling"):  # also while a copy is being made
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = getattr(self.predictor, name)
        if name not in _OF_ROWS | _TO_ROWS | _BOTH:
            return found

        def call(*rows: Any, **given: Any) -> Any:
            if name not in _TO_ROWS:
                rows = tuple(map(self._scaled, rows))
                own = [key for key in ("X", "X_clean") if given.get(key) is not None]
                given.update({key: self._scaled(given[key], key) for key in own})
            out = found(*rows, **given)
            return out if name in _OF_ROWS else self.scaling.undo(out, self._columns())

        call.__name__, call.__doc__ = name, found.__doc__
        return call
