"""The fitted layers of a marginalized denoising autoencoder, and their predictor. NumPy and the extension only."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoenc import _core, _spec
from autoenc._checks import is_sparse, read_rows, source
from autoenc._export import Exportable
from autoenc._names import Names, Rebuilt, learned_names
from autoenc._spec import Graph

_FAN_IN = _spec.NODE["inputs"].shape[0]


def _graph(n_features: int, width: int, n_layers: int, activation: str, joined: bool) -> Graph:
    """Input, layers of one width, and, where ``joined``, all of them side by side as the last node.

    Where they are not joined, the last layer's output can be compared with a target of its own.
    """
    graph = Graph()
    parts = [graph.add("input", "x", width=n_features, source=0)]
    for t in range(n_layers):
        parts.append(graph.add("dense", f"layer_{t}", parts[-1], width=width, activation=activation))
    while joined and len(parts) > 1:
        first, parts = parts[:_FAN_IN], parts[_FAN_IN:]
        whole = sum(graph.widths[part] for part in first)
        parts.insert(0, graph.add("concatenate", f"joined_{len(graph.nodes)}", *first, width=whole))
    if not joined:
        target = graph.add("input", "x_clean", width=width, source=1)
        graph.term("squared_error", parts[-1], target)
    return graph


def last_node(n_layers: int, *, joined: bool) -> int:
    return len(_graph(1, 1, n_layers, "tanh", joined=True).nodes) - 1 if joined else n_layers


def network(
    n_features: int,
    coefs: Sequence[NDArray[Any]],
    intercepts: Sequence[NDArray[Any]],
    activation: str,
    *,
    joined: bool,
    n_threads: int,
) -> _core.Predictor:
    """Some of the layers in the core; their outputs, or `joined` input and outputs side by side, are the last node."""
    parameters = []
    for weight, bias in zip(coefs, intercepts, strict=True):
        parameters += [np.ascontiguousarray(weight), np.ascontiguousarray(bias)[np.newaxis]]
    graph = _graph(n_features, len(intercepts[0]), len(coefs), activation, joined)
    return _core.Predictor(
        _spec.node_array(graph.nodes),
        parameters,
        precision=32 if coefs[0].dtype == np.float32 else 64,
        losses=None if joined else _spec.loss_array(graph.objective, graph.nodes),
        n_threads=n_threads,
    )


class MarginalizedPredictor(Rebuilt, Exportable):
    """A fitted `MarginalizedDenoisingAutoencoder` without scikit-learn and SciPy, with little overhead for one row.

    Made by ``estimator.predictor()``. It holds a copy of the weights; its results have the estimator's bits. It can be
    pickled, and used by several threads at once. Columns of a frame must have the names and the order of the fit, where
    that had names. Calling it is `transform`.

    Attributes
    ----------
    n_features_in : int
        Features of a row.
    feature_names_in : ndarray of shape (n_features_in,) or None
        Names of the columns of X in the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import MarginalizedDenoisingAutoencoder
    >>> X = np.random.default_rng(0).random((50, 4))
    >>> predictor = MarginalizedDenoisingAutoencoder(n_layers=2).fit(X).predictor()
    >>> predictor(X[0]).shape, predictor.reconstruct(X).shape
    ((12,), (50, 4))
    """

    _format = 1
    _kept = ("n_features_in", "_coefs", "_intercepts", "_pivots", "_joined", "_n_threads")

    def __init__(
        self,
        n_features: int,
        coefs: Sequence[NDArray[Any]],
        intercepts: Sequence[NDArray[Any]],
        pivots: NDArray[np.intp],
        joined: bool,
        n_threads: int,
        names: Names | None = None,
    ) -> None:
        self.n_features_in = n_features
        self._learn_names(names)
        self._coefs, self._intercepts = ([np.array(array) for array in arrays] for arrays in (coefs, intercepts))
        self._pivots, self._joined, self._n_threads = pivots.copy(), joined, n_threads
        self._start()

    @classmethod
    def _of_learned(cls, learned: Mapping[str, Any], n_threads: int) -> Self:
        """From the attributes of an estimator, which has them or a file."""
        d, coefs, intercepts = (learned[name] for name in ("n_features_in_", "coefs_", "intercepts_"))
        return cls(d, coefs, intercepts, learned["pivots_"], learned["_joined"], n_threads, learned_names(learned))

    def _start(self) -> None:
        n, weights = len(self._coefs), (self._coefs, self._intercepts)
        self._all = network(self.n_features_in, *weights, "tanh", joined=self._joined, n_threads=self._n_threads)
        self._last = last_node(n, joined=self._joined)
        first = self._coefs[:1], self._intercepts[:1]
        self._first = network(self.n_features_in, *first, "identity", joined=False, n_threads=self._n_threads)

    def _read(self, X: Any, width: int, name: str = "X") -> tuple[Any, bool, Any]:
        return read_rows(X, width, precision=str(self._coefs[0].dtype), name=name)

    def _features(self, X: Any) -> tuple[Any, bool, Any]:
        self._check_names(X)
        return self._read(X, self.n_features_in)

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Features of rows, as `transform` of the estimator gives them.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        ndarray of shape (n_features_out,) or (n_samples, n_features_out)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        rows, single, out = self._features(X)
        values = self._all.run((source(rows),), self._last, dtype=out)
        return values[0] if single else values

    __call__ = transform

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Corrupted rows restored by the first layer's linear map.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.

        Returns
        -------
        ndarray of shape (n_outputs,) or (n_samples, n_outputs)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        rows, single, out = self._features(X)
        values = self._first.run((source(rows),), 1, dtype=out)
        return values[0] if single else values

    def score_samples(self, X: ArrayLike, *, X_clean: ArrayLike | None = None) -> Any:
        """Minus the mean squared error of rows.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        X_clean : array-like, shaped like X, default=None
            What the reconstruction is compared with. Default: X.

        Returns
        -------
        float or ndarray of shape (n_samples,), float64
            Of one row a float.
        """
        rows, single, _ = self._features(X)
        target = rows if X_clean is None else self._read(X_clean, self.n_features_in, "X_clean")[0]
        if target.shape[0] != rows.shape[0]:
            raise ValueError(f"X_clean has {target.shape[0]} rows and X has {rows.shape[0]}; they must be pairs")
        if len(self._pivots) < self.n_features_in:
            target = target[:, self._pivots]
            target = target if is_sparse(target) else np.ascontiguousarray(target)
        losses = self._first.run((source(rows), source(target)), 1, _core.LOSS, dtype=np.float64)
        return -float(losses[0]) if single else -losses
