"""A fitted network that needs NumPy and the extension only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoenc import _core, _spec
from autoenc._checks import FLOATS, canonical, check_compressed, check_finite, check_target, is_sparse, source

_FORMAT = 1  # of the pickled state


def build(
    spec: _spec.Spec, coefs: Sequence[NDArray[Any]], intercepts: Sequence[NDArray[Any]], n_threads: int
) -> _core.Predictor:
    """The core's predictor of some weights.

    Raises
    ------
    ValueError
        Where an array has not the shape that the network needs, or holds a value that is not finite.
    """
    dtype = _spec.dtype(spec)
    parameters = []
    shapes = _spec.shapes(spec)
    if not len(coefs) == len(intercepts) == len(shapes):
        raise ValueError(
            f"coefs_ has {len(coefs)} and intercepts_ {len(intercepts)} arrays; the network has {len(shapes)} layers"
        )
    for i, (shape, weight, bias) in enumerate(zip(shapes, coefs, intercepts, strict=True)):
        for name, array, expected in ((f"coefs_[{i}]", weight, shape), (f"intercepts_[{i}]", bias, (shape[1],))):
            if np.shape(array) != expected:
                raise ValueError(f"{name} has shape {np.shape(array)}; the network needs {expected}")
            matrix = np.asarray(array, dtype=dtype, order="C").reshape((-1, shape[1]))
            found = _core.find_nonfinite(matrix)
            if found is not None:
                at = f"{found[0]}, {found[1]}" if array.ndim == 2 else f"{found[1]}"
                raise ValueError(f"{name} has {found[2]} at [{at}]; every weight must be finite")
            parameters.append(matrix)
    graph = _spec.nodes(spec, target=True)
    return _core.Predictor(
        graph,
        parameters,
        precision=_spec.bits(spec),
        losses=_spec.losses(spec, graph),
        n_threads=n_threads,
    )


class Predictor:
    """Codes, reconstructions and scores of a fitted autoencoder, without scikit-learn.

    Made by ``estimator.predictor()``. It holds a copy of the weights, so later changes of the estimator do not reach
    it, and its results have the same bits as the estimator's. It can be pickled, and used by several threads at once.

    Calling it is `transform`.

    Attributes
    ----------
    n_features_in : int
        Features of a row.
    n_components : int
        Features of a code.
    n_outputs : int
        Features of a reconstruction.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import Autoencoder
    >>> X = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    >>> predictor = Autoencoder(2, max_iter=5, random_state=0).fit(X).predictor()
    >>> predictor(X[0]).shape, predictor(X).shape
    ((2,), (100, 2))
    """

    def __init__(
        self,
        spec: _spec.Spec,
        coefs: Sequence[NDArray[Any]],
        intercepts: Sequence[NDArray[Any]],
        n_threads: int = 1,
    ) -> None:
        dtype = _spec.dtype(spec)
        self._spec = spec.copy()
        self._coefs = [np.array(a, dtype=dtype, order="C") for a in coefs]
        self._intercepts = [np.array(a, dtype=dtype, order="C") for a in intercepts]
        self._n_threads = n_threads
        self._start()

    def _start(self) -> None:
        spec = self._spec
        self._core = build(spec, self._coefs, self._intercepts, self._n_threads)
        self._run = self._core.run
        self._code = _spec.code_node(spec)
        self._output = _spec.output_node(spec)
        self._dtype = _spec.dtype(spec)
        self.n_features_in = spec["n_features"]
        self.n_components = spec["n_components"]
        self.n_outputs = spec["n_outputs"]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "spec": self._spec,
            "coefs": self._coefs,
            "intercepts": self._intercepts,
            "n_threads": self._n_threads,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.get("format") != _FORMAT:
            raise ValueError(
                f"this Predictor was pickled in format {state.get('format')}; this release reads {_FORMAT}"
            )
        self._spec = state["spec"]
        self._coefs = state["coefs"]
        self._intercepts = state["intercepts"]
        self._n_threads = state["n_threads"]
        self._start()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_features_in} -> {self.n_components} -> {self.n_outputs})"

    def _rows(self, X: Any, width: int, name: str = "X") -> tuple[Any, bool, np.dtype[Any]]:
        """As the core takes it; whether it was one row; dtype of the answer."""
        single = False
        if is_sparse(X):
            if len(X.shape) != 2:
                raise ValueError(f"{name} is sparse with {len(X.shape)} dimension; allowed are 2 (or one dense row)")
            check_compressed(X, name)
            values = X.data if hasattr(X, "data") and isinstance(X.data, np.ndarray) else np.empty(0, X.dtype)
            kept, out = self._dtypes(X.dtype if values.dtype == object else values.dtype, name)
            if X.format != "csr":
                X = X.tocsr()
            X = canonical(X if X.dtype == kept else X.astype(kept))
        else:
            X = np.asarray(X)
            kept, out = self._dtypes(X.dtype, name)
            X = X if X.dtype == kept else X.astype(kept)
            single = X.ndim == 1
            if single:
                X = X[np.newaxis]
            elif X.ndim != 2:
                raise ValueError(f"{name} has {X.ndim} dimensions; allowed are 1 (one row) and 2")
        if X.shape[1] != width:
            raise ValueError(f"{name} has {X.shape[1]} features, but {width} are expected")
        check_finite(X, self._spec["precision"], name)
        return X, single, out

    def _dtypes(self, dtype: np.dtype[Any], name: str) -> tuple[np.dtype[Any], np.dtype[Any]]:
        """What data of a type are read as, and the type of the answer."""
        if dtype in FLOATS:
            return dtype, dtype
        if dtype == np.uint8:
            return dtype, self._dtype
        if dtype.kind == "c":
            raise ValueError(f"Complex data not supported: {name} is {dtype}")
        native = FLOATS[1] if dtype.kind == "O" else dtype.newbyteorder("=")
        kept = native if native in FLOATS else self._dtype
        return kept, kept

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Codes.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        ndarray of shape (n_components,) or (n_samples, n_components)
        """
        rows, single, out = self._rows(X, self.n_features_in)
        values = self._run((source(rows),), self._code, dtype=out)
        return values[0] if single else values

    __call__ = transform

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Reconstructions from codes of shape (n_components,) or (n_samples, n_components)."""
        rows, single, out = self._rows(X, self.n_components)
        values = self._run((source(rows),), self._output, _core.LINKED, from_node=self._code, dtype=out)
        return values[0] if single else values

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Reconstructions of rows: `transform`, then `inverse_transform`."""
        rows, single, out = self._rows(X, self.n_features_in)
        values = self._run((source(rows),), self._output, _core.LINKED, dtype=out)
        return values[0] if single else values

    def score_samples(self, X: ArrayLike, *, X_clean: ArrayLike | None = None) -> Any:
        """Minus the loss of one row (a float) or of each of many rows (float64). Higher is better.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        X_clean : array-like, shaped like the reconstruction, default=None
            What the reconstruction is compared with. Default: X.
        """
        rows, single, _ = self._rows(X, self.n_features_in)
        if X_clean is None:
            if self.n_outputs != self.n_features_in:
                raise ValueError(
                    f"X_clean is needed: the reconstruction has {self.n_outputs} features, X {self.n_features_in}"
                )
            check_target(rows, self._spec["loss"], "X")
            values = self._run((source(rows), source(rows)), self._output, _core.LOSS)
        else:
            clean, _, _ = self._rows(X_clean, self.n_outputs, "X_clean")
            if clean.shape[0] != rows.shape[0]:
                raise ValueError(f"X_clean has {clean.shape[0]} rows and X has {rows.shape[0]}; they must be pairs")
            check_target(clean, self._spec["loss"], "X_clean")
            values = self._run((source(rows), source(clean)), self._output, _core.LOSS)
        return -float(values[0]) if single else -values
