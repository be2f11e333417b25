"""Marginalized stacked denoising autoencoder: the average over all corruptions, in closed form."""

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from autoenc import _cache, _core, _data
from autoenc._available import NotWithTheseParameters, available_if
from autoenc._checks import dense
from autoenc._declare import estimator
from autoenc._decorators import fit_context
from autoenc._export import Exportable
from autoenc._marginalized_network import MarginalizedPredictor, last_node, network
from autoenc._notebook import Diagram
from autoenc._options import OneOf
from autoenc._refuse import refuse
from autoenc._threads import n_threads
from autoenc._versioned import Versioned
from autoenc._watched import Watched

ROWS_AT_ONCE = 4096  # of dense data; fixed, since the order of a sum shows in its last bits
SPARSE_ROWS_AT_ONCE = 65_536
MOST_STORED = 0.05  # share of stored values up to which sparse products are the faster ones
MAX_LAYERS = 1000
REFUSED = {
    "X_clean": "the corruption that is averaged over is of X itself; Autoencoder learns from pairs",
    "condition": "what is known about a row can be columns of X",
    "checkpoint": "the solution is closed, there are no epochs to go on from",
    "X_val": "the solution is closed, there are no epochs to choose from",
}


class _Sums(NamedTuple):
    """Sums over rows of products of features: what one layer is solved from. The last feature is the constant one."""

    square: NDArray[np.float64]  # (n_in + 1, n_in + 1)
    cross: NDArray[np.float64]  # (n_in + 1, n_out): inputs times what is to be restored


def _blocks(X: Any, weights: NDArray[np.float64] | None) -> Iterator[tuple[Any, NDArray[np.float64]]]:
    """Rows as they are, and their weights."""
    step = SPARSE_ROWS_AT_ONCE if sp.issparse(X) else ROWS_AT_ONCE
    for first in range(0, X.shape[0], step):
        rows = X[first : first + step]
        yield rows, np.ones(rows.shape[0]) if weights is None else weights[first : first + step]


def _dense(rows: Any) -> NDArray[np.float64]:
    return np.asarray(dense(rows), dtype=np.float64)


def _is_very_sparse(rows: Any) -> bool:
    return sp.issparse(rows) and bool(rows.nnz <= MOST_STORED * rows.shape[0] * rows.shape[1])


def _add_rows(total: NDArray[np.float64], rows: Any, weights: NDArray[np.float64]) -> None:
    """Adds the products of some rows to the sums of a layer that restores its own input."""
    d = rows.shape[1]
    if _is_very_sparse(rows):
        values = rows.astype(np.float64)
        weighted = sp.diags_array(weights) @ values
        products = (values.T @ weighted).tocoo()
        total[products.coords] += products.data
        sums = np.asarray(weighted.sum(axis=0)).ravel()
        total[:d, d] += sums
        total[d, :d] += sums
    else:
        for first in range(0, rows.shape[0], ROWS_AT_ONCE):
            values = _dense(rows[first : first + ROWS_AT_ONCE])
            part = weights[first : first + ROWS_AT_ONCE]
            # The square root, so that the product is one of a matrix with itself: half the work, and symmetric.
            rooted = values * np.sqrt(part)[:, np.newaxis]
            total[:d, :d] += rooted.T @ rooted
            sums = part @ values
            total[:d, d] += sums
            total[d, :d] += sums
    total[d, d] += weights.sum()


def _own_sums(blocks: Iterator[tuple[Any, NDArray[np.float64]]], n_features: int) -> _Sums:
    square = np.zeros((n_features + 1, n_features + 1))
    for rows, weights in blocks:
        _add_rows(square, rows, weights)
    return _Sums(square, square[:, :n_features])


def _add_products(
    total: NDArray[np.float64], inputs: Any, targets: Any, weights: NDArray[np.float64], *, sparse: bool
) -> None:
    """Adds the products of some rows' inputs, the constant one last, and targets."""
    if sparse:
        weighted = sp.diags_array(weights) @ targets.astype(np.float64)
        products = (inputs.astype(np.float64).T @ weighted).tocoo()
        total[products.coords] += products.data
        total[-1] += np.asarray(weighted.sum(axis=0)).ravel()
        return
    for first in range(0, inputs.shape[0], ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        weighted = _dense(targets[part]) * weights[part, np.newaxis]
        total[:-1] += _dense(inputs[part]).T @ weighted
        total[-1] += weighted.sum(axis=0)


def _subset_sums(
    X: Any, sample_weight: NDArray[np.float64] | None, inputs: NDArray[np.intp], pivots: NDArray[np.intp]
) -> _Sums:
    """Sums of a subset of the features among themselves and with the pivots."""
    sums = _Sums(np.zeros((len(inputs) + 1, len(inputs) + 1)), np.zeros((len(inputs) + 1, len(pivots))))
    for rows, weights in _blocks(X, sample_weight):
        part = rows[:, inputs]
        _add_rows(sums.square, part, weights)
        _add_products(sums.cross, part, rows[:, pivots], weights, sparse=_is_very_sparse(rows))
    return sums


def _solve(sums: _Sums, corruption_level: float, alpha: float, layer: int) -> NDArray[np.float64]:
    """W^T of the paper, (n_in + 1, n_out): ``(E[Q] + alpha I)^-1 E[P]^T``, the last row the bias."""
    if not (np.isfinite(sums.square).all() and np.isfinite(sums.cross).all()):
        raise ValueError(
            f"the sums of squares of the input of layer {layer} overflow float64; scale the columns of X first, for "
            "instance by StandardScaler in a pipeline"
        )
    keeps = np.full(len(sums.square), 1.0 - corruption_level)
    keeps[-1] = 1.0  # the constant feature is never corrupted
    expected = sums.square * np.outer(keeps, keeps)
    diagonal = keeps * sums.square.diagonal() + alpha
    # A feature that is always zero: without alpha, its equation says 0 = 0; its weights are zero either way.
    diagonal[diagonal == 0.0] = 1.0
    np.fill_diagonal(expected, diagonal)
    # With ones on its diagonal, so that its condition does not tell of mere differences in scale.
    scale = 1.0 / np.sqrt(diagonal)
    expected *= scale[:, np.newaxis]
    expected *= scale
    remedy = f"alpha={alpha:g} must be larger, or corruption_level={corruption_level:g}"
    norm = np.abs(expected).sum(axis=0).max()
    try:
        factor, lower = scipy.linalg.cho_factor(expected, lower=True, overwrite_a=True, check_finite=False)
    except scipy.linalg.LinAlgError as error:
        raise ValueError(
            f"the equations of layer {layer} are singular, because columns depend on each other: {remedy}"
        ) from error
    condition, _ = scipy.linalg.lapack.dpocon(factor, norm, uplo="L")
    if condition < np.finfo(np.float64).eps:
        raise ValueError(
            f"the equations of layer {layer} are singular to working precision (reciprocal condition {condition:.1g}): "
            f"{remedy}"
        )
    right = sums.cross * (keeps * scale)[:, np.newaxis]
    solution: NDArray[np.float64] = scipy.linalg.cho_solve((factor, lower), right, overwrite_b=True, check_finite=False)
    return solution * scale[:, np.newaxis]


def _can_fit_partially(estimator: Any) -> None:
    if estimator.n_layers != 1:
        raise NotWithTheseParameters(
            f"partial_fit does not go with n_layers={estimator.n_layers!r}: the sums of a second layer "
            "are of outputs of the first, which changes with each call; allowed: 1"
        )


@estimator
class MarginalizedDenoisingAutoencoder(
    Diagram, Watched, Versioned, Exportable, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Stacked denoising autoencoder without iterations: each layer is solved for all corruptions at once.

    A layer learns the linear map that best restores rows of which each feature was set to zero with probability
    `corruption_level`. Over infinitely many such corruptions of every row the least-squares solution has a closed form
    that needs the sums of products of features only [1]_: ``W = P (Q + alpha I)^-1`` with P and Q the expected sums of
    ``x c'`` and ``c c'`` over rows x and corrupted rows c, which have a constant one beside them. The layer's output is
    tanh of the map, applied to rows as they are, and the next layer learns from it in the same way. The learned
    features, and the input beside them, are for a linear model.

    All layers are as wide as X. With more than `n_pivots` features the first layer follows the paper's extension for
    high-dimensional data: features are divided at random into groups of at most `n_pivots`, each group restores
    the `n_pivots` most frequent features, and the layer's output is tanh of the average of what the groups say.

    Parameters
    ----------
    n_layers : int, default=3
        Layers.
    corruption_level : float, default=0.5
        Probability with which a feature is zero, in [0, 1).
    alpha : float, default=1e-5
        Added to the diagonal of the equations, which are sums over rows, not means: as in the paper, it weighs less the
        more rows there are, and multiplying all sample weights is dividing it.
    concatenate : bool, default=True
        Whether `transform` gives the input and the outputs of all layers side by side, as in the paper, or the last
        layer's output alone.
    n_pivots : int, default=5000
        Features up to which a layer restores all features. It bounds the size of the equations, whose solution takes
        time as its third and memory as its second power.
    random_state : int, RandomState instance or None, default=None
        Determines the groups of features where there are more than n_pivots. Otherwise nothing is random.
    precision : {"float32", "float64"}, default="float32"
        Of weights and `transform`. Sums and solutions are float64 always.
    n_jobs : int or None, default=None
        Threads of the layers' application; -1 is all processors. None: those that affinity, cgroups, OMP_NUM_THREADS
        and joblib leave. Sums and solutions have those of NumPy's and SciPy's BLAS.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights of the layers, the transposes of the paper's W without its last column. Read-only.
    intercepts_ : list of ndarray of shape (n_out,)
        That last column.
    pivots_ : ndarray of shape (n_outputs,)
        Columns of X that the first layer restores, rising: all of them, or the n_pivots most frequent.
    n_parameters_ : int
        Number of weights and biases.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has strings for column names.

    See Also
    --------
    Autoencoder : Trained by gradients; ``fit(X_noisy, X_clean=X)`` learns from given pairs.

    Notes
    -----
    The same fit has the same bits for any n_jobs. The sums over rows and the solution are computed by BLAS and LAPACK,
    whose last bits may change with their version, processor and number of threads, and so may the weights'.
    For given weights `transform` has the same bits everywhere, and a row's do not depend on other rows.

    Sparse matrices are never made dense as a whole. The output of `transform` is dense.

    References
    ----------
    .. [1] Chen, M., Xu, Z., Weinberger, K. Q. and Sha, F. (2012). Marginalized denoising autoencoders for domain
       adaptation. Proceedings of the 29th International Conference on Machine Learning. arXiv:1206.4683.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import MarginalizedDenoisingAutoencoder
    >>> X = load_digits().data / 16
    >>> model = MarginalizedDenoisingAutoencoder(n_layers=2).fit(X)
    >>> model.transform(X).shape
    (1797, 192)
    >>> model.reconstruct(X).shape
    (1797, 64)
    """

    n_layers: int = 3
    corruption_level: float = 0.5
    alpha: float = 1e-5
    concatenate: bool = True
    n_pivots: int = 5000
    random_state: int | np.random.RandomState | None = None
    precision: Literal["float32", "float64"] = "float32"
    n_jobs: int | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_layers": [Interval(Integral, 1, MAX_LAYERS, closed="both")],
        "corruption_level": [Interval(Real, 0, 1, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "concatenate": ["boolean"],
        "n_pivots": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "precision": [OneOf({"float32", "float64"})],
        "n_jobs": [Integral, None],
    }

    def __sklearn_is_fitted__(self) -> bool:
        return "coefs_" in vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for array in (*self.__dict__.get("coefs_", ()), *self.__dict__.get("intercepts_", ())):
            _cache.freeze(array)

    @property
    def _n_features_out(self) -> int:
        width = len(self.pivots_)
        return self.n_features_in_ + len(self.coefs_) * width if self._joined else width

    # ---- fitting ----

    def _layer(self, sums: _Sums, layer: int) -> NDArray[np.float64]:
        return _solve(sums, float(self.corruption_level), float(self.alpha), layer)

    def _first_layer(self, X: Any, weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """The first layer where there are more features than pivots: each group's share of the average."""
        d, r = X.shape[1], int(self.n_pivots)
        counts = np.zeros(d)
        for rows, part in _blocks(X, weights):
            if sp.issparse(rows):
                counts += np.bincount(
                    rows.indices,
                    weights=np.repeat(part, np.diff(rows.indptr)) * (rows.data != 0),
                    minlength=d,
                )
            else:
                counts += part @ (rows != 0)
        self.pivots_ = np.sort(np.argsort(-counts, kind="stable")[:r])
        order = check_random_state(self.random_state).permutation(d)
        groups = np.array_split(order, -(-d // r))
        whole = np.zeros((d + 1, r))
        for group in groups:
            inputs = np.sort(group)
            solution = self._layer(_subset_sums(X, weights, inputs, self.pivots_), 1)
            whole[np.append(inputs, d)] += solution / len(groups)
        return whole

    def _take(self, solutions: list[NDArray[np.float64]]) -> None:
        dtype = np.dtype(self.precision)
        with np.errstate(over="ignore"):
            self._joined = bool(self.concatenate)
            self.coefs_ = [solution[:-1].astype(dtype) for solution in solutions]
            self.intercepts_ = [solution[-1].astype(dtype) for solution in solutions]
        for array in (*self.coefs_, *self.intercepts_):
            if not np.isfinite(array).all():
                raise ValueError(
                    f"weights of the solution overflow precision={self.precision!r}; alpha={self.alpha!r} "
                    "must be larger"
                )
            _cache.freeze(array)
        self.n_parameters_ = sum(array.size for array in (*self.coefs_, *self.intercepts_))

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Any:
        given = X
        self._begin_fit(given, y, n_tasks=0)
        before = dict(vars(self))
        try:
            X = _data.check_features(self, X, reset=True, precision=self.precision)
            weights = _data.check_weights(sample_weight, X)
            self.__dict__.pop("_square", None)
            solutions = []
            if X.shape[1] > self.n_pivots:
                solutions.append(self._first_layer(X, weights))
            else:
                self.pivots_ = np.arange(X.shape[1])
                sums = _own_sums(_blocks(X, weights), X.shape[1])
                if self.n_layers == 1:
                    self._square = sums.square
                solutions.append(self._layer(sums, 1))
            self._take(solutions)
            for layer in range(2, self.n_layers + 1):
                outputs = self._outputs(X, weights)
                solutions.append(self._layer(_own_sums(outputs, len(self.pivots_)), layer))
                self._take(solutions)
        except BaseException:
            self.__dict__ = before
            raise
        self._end_fit(given, y)
        return X

    def _outputs(
        self, X: Any, weights: NDArray[np.float64] | None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Outputs of the layers so far by blocks of rows, computed anew for each layer: no copy of the data is held."""
        core = self._core(len(self.coefs_), "tanh", joined=False)
        for first in range(0, X.shape[0], ROWS_AT_ONCE):
            rows = X[first : first + ROWS_AT_ONCE]
            values = core.run((_data.source(rows),), len(self.coefs_), dtype=np.float64)
            yield values, np.ones(len(values)) if weights is None else weights[first : first + ROWS_AT_ONCE]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, **refused: Any) -> Self:
        """Solve for the layers, one after the other.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : ignored
            For pipelines, which pass labels to every step.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows: a weight of two is a row that is there twice.
        **refused
            X_clean, condition or X_val, which other estimators take: an error that says why not here.

        Returns
        -------
        self
            The fitted estimator itself.

        Raises
        ------
        ValueError
            Where a parameter or the data is not allowed, or the equations are singular.
        """
        refuse(self, refused, REFUSED)
        self._fit(X, y, sample_weight)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, *, sample_weight: Any = None, **refused: Any) -> NDArray[Any]:
        """Fit to X and return its features: the same as ``fit(X, ...).transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : ignored
            For pipelines, which pass labels to every step.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows.
        **refused
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            As `transform` gives them.
        """
        refuse(self, refused, REFUSED)
        return self._transform(self._fit(X, y, sample_weight))

    @available_if(_can_fit_partially)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> Self:
        """Add rows to those fitted so far: the same as one `fit` to all of them, up to rounding.

        Only with ``n_layers=1``, whose sums over rows add up. Each call solves the equations again.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows.
        y : ignored
            For pipelines, which pass labels to every step.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows.

        Returns
        -------
        self
            The fitted estimator itself.

        Raises
        ------
        ValueError
            With more than `n_pivots` features, whose frequencies only all rows tell, or after a fit of several layers.
        """
        before = dict(vars(self))
        try:
            first = not hasattr(self, "coefs_")
            if not first and not hasattr(self, "_square"):
                raise ValueError(
                    f"partial_fit cannot go on after a fit with n_layers={len(self.coefs_)} and {len(self.pivots_)} of "
                    f"{self.n_features_in_} features restored: it has no sums to add to"
                )
            X = _data.check_features(self, X, reset=first, precision=self.precision)
            weights = _data.check_weights(sample_weight, X)
            if X.shape[1] > self.n_pivots:
                raise ValueError(
                    f"partial_fit does not go with n_pivots={self.n_pivots!r} and {X.shape[1]} features, of which the "
                    f"most frequent are not known before the end; allowed: at least {X.shape[1]}"
                )
            self.pivots_ = np.arange(X.shape[1])
            sums = _own_sums(_blocks(X, weights), X.shape[1])
            if not first:
                square = sums.square + self._square
                sums = _Sums(square, square[:, : X.shape[1]])
            self._square = sums.square
            self._take([self._layer(sums, 1)])
        except BaseException:
            self.__dict__ = before
            raise
        return self

    # ---- the fitted layers ----

    def _core(self, n_layers: int, activation: str, *, joined: bool) -> _core.Predictor:
        weights = self.coefs_[:n_layers], self.intercepts_[:n_layers]
        return network(self.n_features_in_, *weights, activation, joined=joined, n_threads=n_threads(self.n_jobs))

    def _check(self, X: Any) -> Any:
        check_is_fitted(self)
        return _data.check_features(self, X, reset=False, precision=str(self.coefs_[0].dtype))

    def _out(self, X: Any) -> Any:
        return X.dtype if X.dtype.kind == "f" else self.coefs_[0].dtype

    def _transform(self, X: Any) -> NDArray[Any]:
        n = len(self.coefs_)
        core = self._core(n, "tanh", joined=self._joined)
        return core.run((_data.source(X),), last_node(n, joined=self._joined), dtype=self._out(X))

    def transform(self, X: Any) -> NDArray[Any]:
        """Input and outputs of all layers side by side, or with ``concatenate=False`` the last layer's output.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; they are not corrupted.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        return self._transform(self._check(X))

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """What the first layer's linear map, before its tanh, makes of rows: corrupted rows restored.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            The columns `pivots_` of X, which are all columns unless there are more than `n_pivots`.
        """
        X = self._check(X)
        return self._core(1, "identity", joined=False).run((_data.source(X),), 1, dtype=self._out(X))

    def _compare(self, X: Any, X_clean: Any, what: int) -> NDArray[Any]:
        X = self._check(X)
        target = X
        if X_clean is not None:
            target = _data.check_other(
                X_clean,
                precision=str(self.coefs_[0].dtype),
                name="X_clean",
                n_rows=X.shape[0],
                n_columns=X.shape[1],
                of="X",
            )
        if len(self.pivots_) < X.shape[1]:
            target = target[:, self.pivots_]
        sources = [_data.source(X), _data.source(target)]
        core = self._core(1, "identity", joined=False)
        dtype = np.float64 if what == _core.LOSS else self._out(X)
        return core.run(sources, 1, what, dtype=dtype)

    def score_samples(self, X: Any, *, X_clean: Any = None) -> NDArray[np.float64]:
        """Minus the mean squared error of each row's reconstruction. Higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            What the reconstruction is compared with, for rows that are corrupted. Default: X.

        Returns
        -------
        ndarray of shape (n_samples,)
            In float64, of whatever type X is.
        """
        return -self._compare(X, X_clean, _core.LOSS)

    def feature_errors(self, X: Any, *, X_clean: Any = None) -> NDArray[Any]:
        """Squared errors of the reconstruction, by feature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            What the reconstruction is compared with. Default: X.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Of X's type where that is float32 or float64, else of `precision`.
        """
        return self._compare(X, X_clean, _core.TERMS)

    def score(self, X: Any, y: Any = None, *, X_clean: Any = None, sample_weight: Any = None) -> float:
        """Mean of `score_samples`. Higher is better.

        Rows are taken as they are: to choose a `corruption_level`, corrupt them and pass the originals as X_clean, or
        use the score of the model that takes the features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : ignored
            For pipelines, which pass labels to every step.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            What the reconstruction is compared with. Default: X.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        float
            0 where every row is restored, negative otherwise.
        """
        scores = self.score_samples(X, X_clean=X_clean)
        return float(np.average(scores, weights=_data.check_weights(sample_weight, scores)))

    def predictor(self, *, n_jobs: int | None = 1) -> MarginalizedPredictor:
        """The fitted layers as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        MarginalizedPredictor
            With `transform`, `reconstruct` and `score_samples`, which have the bits of this estimator's.
        """
        check_is_fitted(self)
        return MarginalizedPredictor._of_learned(vars(self), n_threads(n_jobs))
