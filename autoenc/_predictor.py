"""A fitted network that needs NumPy and the extension only."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoenc import _bound, _condition, _core, _spec
from autoenc._checks import check_target, is_sparse, read_rows, source
from autoenc._export import Exportable
from autoenc._names import Names, Rebuilt, learned_names
from autoenc._spec import Spec

NETWORK = ("_spec", "coefs_", "intercepts_", "other_parameters_")  # attributes that a fitted network is


def parameters(
    spec: Spec,
    coefs: Sequence[NDArray[Any]],
    intercepts: Sequence[NDArray[Any]],
    others: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """All parameters of a fitted network by name, two-dimensional.

    Raises
    ------
    ValueError
        Where an array has not the shape that the network needs, or holds a value that is not finite.
    """
    given = {"weight": list(coefs), "bias": list(intercepts)}
    kinds = list(_spec.kinds(spec).values())
    n = (kinds.count("weight"), kinds.count("bias"))
    if (len(coefs), len(intercepts)) != n:
        raise ValueError(
            f"coefs_ has {len(coefs)} and intercepts_ {len(intercepts)} arrays; the network has {n[0]} and {n[1]}"
        )
    out: dict[str, NDArray[Any]] = {}
    count = {"weight": 0, "bias": 0}
    for (name, n_rows, n_columns), kind in zip(spec["parameters"], kinds, strict=True):
        if kind == "other":
            if name not in others:
                raise ValueError(f"other_parameters_ has no {name!r}, which the network needs")
            label, array = f"other_parameters_[{name!r}]", others[name]
        else:
            i = count[kind]
            count[kind] += 1
            label, array = f"{'coefs_' if kind == 'weight' else 'intercepts_'}[{i}]", given[kind][i]
        expected = (n_columns,) if kind == "bias" else (n_rows, n_columns)
        if np.shape(array) != expected:
            raise ValueError(f"{label} has shape {np.shape(array)}; the network needs {expected}")
        matrix = np.asarray(array, dtype=_spec.dtype(spec), order="C").reshape((n_rows, n_columns))
        found = _core.find_nonfinite(matrix)
        if found is not None:
            at = f"{found[1]}" if kind == "bias" else f"{found[0]}, {found[1]}"
            raise ValueError(f"{label} has {found[2]} at [{at}]; every weight must be finite")
        out[name] = matrix
    return out


def build(
    spec: Spec,
    coefs: Sequence[NDArray[Any]],
    intercepts: Sequence[NDArray[Any]],
    others: Mapping[str, NDArray[Any]],
    n_threads: int,
) -> _core.Predictor:
    """The core's predictor of some weights; raises what `parameters` raises."""
    values = parameters(spec, coefs, intercepts, others)
    nodes = _spec.inference_nodes(spec)
    return _core.Predictor(
        _spec.node_array(nodes),
        [values[name] for name, _, _ in _spec.owned(spec, nodes)],
        precision=_spec.bits(spec),
        losses=_spec.loss_array(spec["scores"], nodes),
        n_threads=n_threads,
    )


class Predictor(Rebuilt, Exportable):
    """Codes, reconstructions and scores of a fitted autoencoder, without scikit-learn.

    Made by ``estimator.predictor()``. It holds a copy of the weights, so later changes of the estimator do not reach
    it, and its results have the same bits as the estimator's. It can be pickled, and used by several threads at once.
    Columns of a frame must have the names and the order of the fit, where that had names; those of anything else go by
    position.

    Calling it is `transform`.

    Parameters
    ----------
    spec : dict
        The network, as the estimator describes it to the core.
    coefs, intercepts : list of ndarray
        Weights and biases of its dense layers.
    others : mapping of str to ndarray
        Whatever else it learned, by ``layer.role``.
    n_threads : int, default=1
        Threads; results do not depend on their number.
    beside : mapping of str to object, default=None
        What predictors of some estimators know besides the network, for instance classes.
    names : mapping of str to sequence of str, default=None
        Names of the columns of the fit, of "X" and of "condition", where they had some.

    Attributes
    ----------
    n_features_in : int
        Features of a row.
    n_components : int
        Features of a code.
    n_outputs : int
        Features of a reconstruction.
    feature_names_in : ndarray of shape (n_features_in,) or None
        Names of the columns of X in the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import Autoencoder
    >>> X = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    >>> predictor = Autoencoder(2, max_iter=5, random_state=0).fit(X).predictor()
    >>> predictor(X[0]).shape, predictor(X).shape
    ((2,), (100, 2))
    """

    _format = 4
    _kept = ("_spec", "_coefs", "_intercepts", "_others", "_n_threads", "_beside")
    _attributes: ClassVar[dict[str, str]] = {}  # of the estimator, by the name that they have in `beside`

    def __init__(
        self,
        spec: Spec,
        coefs: Sequence[NDArray[Any]],
        intercepts: Sequence[NDArray[Any]],
        others: Mapping[str, NDArray[Any]],
        n_threads: int = 1,
        beside: Mapping[str, Any] | None = None,
        names: Names | None = None,
    ) -> None:
        dtype = _spec.dtype(spec)
        self._beside = dict(beside or {})  # what a subclass knows besides the network
        self._spec = spec.copy()
        self._coefs = [np.array(a, dtype=dtype, order="C") for a in coefs]
        self._intercepts = [np.array(a, dtype=dtype, order="C") for a in intercepts]
        self._others = {name: np.array(a, dtype=dtype, order="C") for name, a in others.items()}
        self._n_threads = n_threads
        self._learn_names(names)
        self._start()

    @classmethod
    def _of_learned(cls, learned: Mapping[str, Any], n_threads: int) -> Self:
        """From the attributes of an estimator, which has them or a file."""
        spec, coefs, intercepts, others = (learned[name] for name in NETWORK)
        beside = {name: learned[attribute] for name, attribute in cls._attributes.items()}
        return cls(spec, coefs, intercepts, others, n_threads, beside, learned_names(learned))

    def _start(self) -> None:
        spec = self._spec
        self._core = build(spec, self._coefs, self._intercepts, self._others, self._n_threads)
        self._run = self._core.run
        self._bound: list[tuple[_core.Predictor, int]] | None = None
        self._at = at = _spec.positions(_spec.inference_nodes(spec))
        linked, self._linked = _spec.reconstruction(spec)
        self._code, self._output, self._linked_node = at[spec["code"]], at[spec["output"]], at[linked]
        self._loss, self._ranges = spec["scores"][0]["loss"], spec.get("ranges")
        self._masks = any(node["kind"] == "observed" for node in spec["nodes"])
        self._alone = not spec["n_conditions"]  # rows are all that a call needs
        self.n_features_in = spec["n_features"]
        self.n_components = spec["n_components"]
        self.n_outputs = spec["n_outputs"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_features_in} -> {self.n_components} -> {self.n_outputs})"

    def _rows(self, X: Any, width: int, name: str = "X", *, missing: bool = True) -> tuple[Any, bool, np.dtype[Any]]:
        """As the core takes it; whether it was one row; dtype of the answer."""
        allow_nan = self._masks if missing else None
        return read_rows(X, width, precision=self._spec["precision"], name=name, allow_nan=allow_nan)

    def _features(self, X: Any) -> tuple[Any, bool, np.dtype[Any]]:
        self._check_names(X)
        return self._rows(X, self.n_features_in)

    def _conditions(self, condition: Any, n_rows: int, single: bool) -> tuple[Any, ...]:
        """The condition as a source, where the fit had one."""
        n = self._spec["n_conditions"]
        if not _condition.is_given(condition, n):
            return ()
        labels = None
        if not single:
            labels = _condition.labels(condition)
        elif not is_sparse(condition) and np.ndim(condition) == 0:
            labels = _condition.labels([condition])
        if labels is not None:
            categories = self._spec["categories"]
            if categories is None:
                _condition.refuse_labels("condition")
            if len(labels) != n_rows:
                raise ValueError(f"condition has {len(labels)} rows and X has {n_rows}; they must be pairs")
            return (_condition.one_hot(_condition.codes(labels, categories), n),)
        self._check_names(condition, "condition")
        rows, one, _ = self._rows(condition, n, "condition", missing=False)
        if rows.shape[0] != n_rows or one != single:
            raise ValueError(f"condition has {rows.shape[0]} rows and X has {n_rows}; they must be pairs")
        return (source(rows),)

    def _values(self, X: Any, condition: Any, node: int, what: int, start: int = -1) -> NDArray[Any]:
        if condition is None and self._alone:
            found = self._core.values(X, node, what, start, self._masks and start < 0)
            if found is not None:
                return found
        if start < 0:
            rows, single, out = self._features(X)
        else:
            rows, single, out = self._rows(X, self.n_components, missing=False)
        sources = (source(rows), *self._conditions(condition, rows.shape[0], single))
        values = self._run(sources, node, what, from_node=start, dtype=out)
        return values[0] if single else values

    def transform(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[Any]:
        """Codes.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_components,) or (n_samples, n_components)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        return self._values(X, condition, self._code, _core.VALUES)

    __call__ = transform

    def inverse_transform(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[Any]:
        """Reconstructions from codes.

        Parameters
        ----------
        X : array-like of shape (n_components,) or (n_samples, n_components)
            One code or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_outputs,) or (n_samples, n_outputs)
            Of the codes' type where that is float32 or float64, else of `precision`.
        """
        return self._values(X, condition, self._linked_node, self._linked, self._code)

    def reconstruct(self, X: ArrayLike, *, condition: ArrayLike | None = None) -> NDArray[Any]:
        """Reconstructions of rows: `transform`, then `inverse_transform`.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        ndarray of shape (n_outputs,) or (n_samples, n_outputs)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        return self._values(X, condition, self._linked_node, self._linked)

    def _losses(self, sources: Sequence[Any]) -> NDArray[np.float64]:
        if not _bound.is_variational(self._spec):
            return np.asarray(self._run(sources, self._output, _core.LOSS))
        if self._bound is None:
            values = parameters(self._spec, self._coefs, self._intercepts, self._others)
            networks = _bound.predictors(self._spec, values, _bound.DRAWS, self._n_threads, closed=True)
            self._bound = list(networks)
        return -_bound.elbo(self._bound, sources)

    def score_samples(
        self, X: ArrayLike, *, X_clean: ArrayLike | None = None, condition: ArrayLike | None = None
    ) -> Any:
        """Minus the loss of one row (a float) or of each of many rows (float64), as `score_samples` of the estimator.

        Parameters
        ----------
        X : array-like of shape (n_features,) or (n_samples, n_features), or sparse matrix
            One row or many.
        X_clean : array-like, shaped like the reconstruction, default=None
            What the reconstruction is compared with. Default: X.
        condition : label, array-like of shape (n_samples,), (n_conditions,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it; of one row its label or its numbers.

        Returns
        -------
        float or ndarray of shape (n_samples,)
            Of one row a float.
        """
        rows, single, _ = self._features(X)
        sources = (source(rows), *self._conditions(condition, rows.shape[0], single))
        if X_clean is None:
            if self.n_outputs != self.n_features_in:
                raise ValueError(
                    f"X_clean is needed: the reconstruction has {self.n_outputs} features, X {self.n_features_in}"
                )
            check_target(rows, self._loss, "X", ranges=self._ranges, allow_nan=self._masks)
            values = self._losses((*sources, source(rows)))
        else:
            clean, _, _ = self._rows(X_clean, self.n_outputs, "X_clean")
            if clean.shape[0] != rows.shape[0]:
                raise ValueError(f"X_clean has {clean.shape[0]} rows and X has {rows.shape[0]}; they must be pairs")
            check_target(clean, self._loss, "X_clean", ranges=self._ranges, allow_nan=self._masks)
            values = self._losses((*sources, source(clean)))
        return -float(values[0]) if single else -values
