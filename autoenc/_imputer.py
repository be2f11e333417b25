"""Missing values filled by a denoising autoencoder."""

import copy
from collections.abc import Sequence
from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils._param_validation import Interval, MissingValues
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from autoenc import _checkpoint, _core, _data, _spec
from autoenc._autoencoder import Autoencoder
from autoenc._available import NotWithTheseParameters, available_if
from autoenc._base import MOST
from autoenc._checks import dense
from autoenc._declare import estimator
from autoenc._decorators import fit_context
from autoenc._export import Exportable
from autoenc._notebook import Diagram
from autoenc._options import ActivationName, OneOf, PrecisionName, check_count
from autoenc._refuse import refuse
from autoenc._row_blocks import row_blocks
from autoenc._row_statistics import moments
from autoenc._spec import Graph
from autoenc._training import type_callback
from autoenc._versioned import Versioned
from autoenc._watched import Watched, Within
from autoenc.corruption import Masking

CONSTANT = 1e-14  # standard deviation over the largest value: below there is rounding only
IMPORTANCE_SAMPLES = 5  # of a training step
REFUSED = {
    "X_clean": "what is observed is the target; let missing entries of X be NaN",
    "condition": "what is known about a row can be columns of X, which are restored to the bit where they are there",
    "X_val": "the network is trained for max_iter epochs; a callback can end it sooner",
}
FARTHEST = 1e4  # of what the network sees, in standard deviations; more than any column of up to 1e8 rows has in itself


class Known:
    """A network whose encoder also gets which entries of the row it sees."""

    def _add_seen(self, graph: Graph, x: str, seen: str) -> str:
        known = graph.add("present", "x_known", "x")
        if seen != x:  # entries that are masked in training are like missing ones
            kept = graph.add("emphasis", "x_kept", x, seen, value=(0.0, 1.0))
            known = graph.add("multiply", "x_seen", kept, known)
        return graph.add("concatenate", "x_and_known", seen, known, width=2 * graph.widths[x])


class Imputing(Known, Autoencoder):
    """The network behind the imputer."""

    def filled(self, Z: NDArray[Any]) -> NDArray[np.float64]:
        """Reconstructions of standardised rows."""
        return self.reconstruct(Z).astype(np.float64)


def _can_draw(model: Any) -> None:
    fitted = getattr(model, "autoencoder_", None)
    if not model.sample_posterior or (fitted is not None and not hasattr(fitted, "drawn")):
        raise NotWithTheseParameters(
            "sample needs a network that knows distributions; allowed: a fit with sample_posterior=True"
        )


@estimator
class AutoencoderImputer(Diagram, Watched, Versioned, Exportable, TransformerMixin, BaseEstimator):
    """Fills missing values by what a denoising autoencoder restores from the rest of the row.

    Columns are standardised by what is observed. In training more entries of each row are masked, anew at each
    presentation, and the network learns to restore them beside the others; entries that are missing have no part in the
    loss [1]_ [2]_. The encoder gets the row, zero where it is missing or masked, and ones and zeros that say where that
    is. Observed values come back as they are, to the bit, and filled ones lie within the range that their column had
    in `fit`. A row is filled alike whatever the other rows of the call.

    Parameters
    ----------
    n_components : int, default=64
        Features of the code.
    missing_values : int, float or np.nan, default=np.nan
        What stands for a missing value. With another one than NaN, NaN in X is refused.
    add_indicator : bool, default=False
        Whether the columns of `sklearn.impute.MissingIndicator` are appended: zeros and ones, for each column that had
        missing values in `fit`.
    keep_empty_features : bool, default=False
        Whether columns without any value in `fit` are kept, filled with zeros, rather than dropped. Either way they
        are not part of the network and change nothing in the others.
    hidden_layer_sizes : int or array-like of int, default=(256,)
        Units of the encoder's hidden layers; the decoder mirrors them.
    activation : str, default="gelu"
        Of the hidden layers and the code; the names of `Autoencoder`.
    corruption_level : float, default=0.3
        Probability of an observed entry to be masked in training.
    dropout : float, default=0.2
        Probability with which an output of a hidden layer is zero in training.
    sample_posterior : bool, default=False
        Whether the network is variational, trained by the importance weighted bound on the likelihood of what is
        observed [4]_; `corruption_level` and `dropout`, by which it would tell too wide distributions, do not count.
        `transform` then fills by means over draws of the code, the same draws in each call, and `sample`
        gives several imputations. Its means are worse than the fillings of the plain network.
    alpha : float, default=1e-4
        Weight decay.
    learning_rate_init : float or None, default=None
        The highest learning rate of adamw, which falls along a cosine. None: 3e-3.
    batch_size : int or "auto", default="auto"
        Rows of a step, as in `Autoencoder`.
    max_iter : int, default=200
        Epochs.
    random_state : int, RandomState instance or None, default=None
        Determines first weights, order and masks.
    verbose : int, default=0
        As in `Autoencoder`.
    precision : {"float32", "float64", "high", "bfloat16"}, default="float32"
        Of the network.
    n_jobs : int or None, default=None
        Threads, as in `Autoencoder`; the result does not depend on it.
    callbacks : callable, list of callables or None, default=None
        Called after each epoch, as in `Autoencoder`.

    Attributes
    ----------
    autoencoder_ : Autoencoder or None
        The network, over the standardised columns that have values. None where no column has any.
    mean_, scale_ : ndarray of shape (`n_features_in_`,)
        Means and standard deviations of what is observed. The scale of a constant column is its largest absolute
        value, or one.
    min_, max_ : ndarray of shape (`n_features_in_`,)
        Smallest and largest observed value. NaN, as are means and scales, for columns without values.
    n_iter_ : int
        Epochs done.
    indicator_ : MissingIndicator or None
        Where add_indicator is set.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X has strings for column names.

    See Also
    --------
    sklearn.impute.KNNImputer : Means over the nearest rows.
    sklearn.impute.IterativeImputer : Regression of each column on the others, in turn.
    Autoencoder : ``missing="mask"`` for any network.

    Notes
    -----
    The defaults were chosen by the error over entries missing completely at random, 10, 30 and 50 %, in eight tables of
    ADBench [3]_ (glass, vertebral, Pima, yeast, Ionosphere, breastw, fault, annthyroid); ``benchmarks/RESULTS.md``
    shows others. Filled rows put into the network again made it worse there, so it is asked once.

    References
    ----------
    .. [1] Vincent, P. et al. (2010). Stacked denoising autoencoders: learning useful representations in a deep network
       with a local denoising criterion. JMLR 11, 3371-3408.
    .. [2] Gondara, L. and Wang, K. (2018). MIDA: multiple imputation using denoising autoencoders. PAKDD, 260-272.
    .. [3] Han, S., Hu, X., Huang, H., Jiang, M. and Zhao, Y. (2022). ADBench: anomaly detection benchmark. NeurIPS 35.
    .. [4] Mattei, P.-A. and Frellsen, J. (2019). MIWAE: deep generative modelling and imputation of incomplete data
       sets. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import AutoencoderImputer
    >>> X = load_iris().data
    >>> missing = np.random.default_rng(0).random(X.shape) < 0.2
    >>> holes = np.where(missing, np.nan, X)
    >>> filled = AutoencoderImputer(random_state=0).fit_transform(holes)
    >>> bool(np.isfinite(filled).all() and (filled == X)[~missing].all())
    True
    >>> mean = np.nanmean(holes, axis=0)
    >>> bool(np.mean((filled - X)[missing] ** 2) < 0.3 * np.mean((mean - X)[missing] ** 2))
    True
    """

    n_components: int = field(default=64, kw_only=False)
    missing_values: float = np.nan
    add_indicator: bool = False
    keep_empty_features: bool = False
    hidden_layer_sizes: Sequence[int] | int = (256,)
    activation: ActivationName = "gelu"
    corruption_level: float = 0.3
    dropout: float = 0.2
    sample_posterior: bool = False
    alpha: float = 1e-4
    learning_rate_init: float | None = None
    batch_size: int | Literal["auto"] = "auto"
    max_iter: int = 200
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0
    precision: PrecisionName = "float32"
    n_jobs: int | None = None
    callbacks: type_callback | Sequence[type_callback] | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "missing_values": [MissingValues(numeric_only=True)],
        "add_indicator": ["boolean"],
        "sample_posterior": ["boolean"],
        "keep_empty_features": ["boolean"],
        "activation": [OneOf(set(_core.ACTIVATIONS))],
        "corruption_level": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [Interval(Integral, 1, MOST, closed="both")],
        **{
            name: Autoencoder._parameter_constraints[name]
            for name in (
                "n_components",
                "hidden_layer_sizes",
                "dropout",
                "alpha",
                "learning_rate_init",
                "batch_size",
                "random_state",
                "verbose",
                "precision",
                "n_jobs",
                "callbacks",
            )
        },
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._by_nan()
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return "autoencoder_" in vars(self)

    def _by_nan(self) -> bool:
        return bool(is_scalar_nan(self.missing_values) or is_pandas_na(self.missing_values))

    def _check(self, X: Any, *, reset: bool) -> Any:
        """X as float32 or float64 of our own, dense or CSR, NaN where it is missing."""
        allow_nan = self._by_nan() or None
        X = _data.check_features(self, X, reset=reset, precision="float64", allow_nan=allow_nan, own=True)
        if sp.issparse(X) and self.missing_values == 0:
            raise ValueError("missing_values=0 does not go with sparse X, where zeros are what is not stored")
        if not self._by_nan():
            values = X.data if sp.issparse(X) else X
            values[self.missing_values == values] = np.nan
        return X

    def _standardised(self, X: Any) -> NDArray[Any]:
        """What the network sees."""
        used = self._used()
        out = np.empty((X.shape[0], len(used)), dtype=_spec.real_type(self.precision))
        for rows in row_blocks(X):
            with np.errstate(over="ignore"):
                z = (dense(X[rows])[:, used] - self.mean_[used]) / self.scale_[used]
            out[rows] = np.clip(z, -FARTHEST, FARTHEST)
        return out

    def _used(self) -> NDArray[np.intp]:
        """Columns that had values in `fit`."""
        return np.flatnonzero(np.isfinite(self.mean_))

    def _find_scales(self, X: Any, weights: NDArray[np.float64] | None) -> None:
        self.mean_, spread = moments(X, weights)
        least, most = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
        for rows in row_blocks(X):
            block = dense(X[rows])
            least, most = np.fmin(least, np.fmin.reduce(block)), np.fmax(most, np.fmax.reduce(block))
        largest = np.fmax(np.abs(least), np.abs(most))
        largest[largest == 0.0] = 1.0
        self.scale_ = np.where(spread > CONSTANT * largest, spread, largest)
        self.min_, self.max_ = least, most

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
        **refused: Any,
    ) -> Self:
        """Learn from incomplete rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows with missing values. In a sparse matrix a stored NaN is missing and what is not stored is an observed
            zero; the results have the bits of those of the dense table. The network is trained on a dense table of
            `precision`.
        y : ignored
            For pipelines, which pass labels to every step.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows, in means and deviations and in the loss of the network. Only their ratios
            count. A row without weight is as if it were not there: it is neither in the range of a column nor in the
            indicator.
        checkpoint, checkpoint_every, resume : str, path-like or None, int, bool, default=None, 10, False
            A file to go on from after a kill, as in `Autoencoder.fit`.
        **refused
            X_clean, condition or X_val, which other estimators take: an error that says why not here.

        Returns
        -------
        self
            The fitted estimator itself.

        Raises
        ------
        ValueError
            Where a parameter or the data is not allowed; infinity is not.
        """
        refuse(self, refused, REFUSED)
        self._begin_fit(X, y)
        before, model = dict(vars(self)), copy.copy(self)  # this one stays as it was until all is learned
        with _checkpoint.checkpointing(self, checkpoint, checkpoint_every, resume):
            model._fit(X, y, sample_weight, self)
        self._become(model, before)
        self._end_fit(X, y)
        return self

    def _fit(self, given: Any, y: Any, sample_weight: Any, known_as: Self) -> None:
        X = self._check(given, reset=True)
        weights = _data.check_weights(sample_weight, X)
        if weights is not None and not weights.all():
            X, weights = X[weights > 0.0], weights[weights > 0.0]
        self._find_scales(X, weights)
        self.indicator_ = MissingIndicator(error_on_new=False).fit(X) if self.add_indicator else None
        self.autoencoder_, self.n_iter_ = None, 0
        if not self._used().size:
            return
        network = self._network()

        def learned(now: dict[str, Any]) -> dict[str, Any]:
            inner = copy.copy(network)
            del inner._within
            vars(inner).update(now, callbacks=None)
            found = {name: value for name, value in vars(self).items() if name.endswith("_")}
            return {**found, "autoencoder_": inner, "n_iter_": inner.n_iter_}

        network._within = Within(known_as, (given, y), learned)
        network.fit(self._standardised(X), sample_weight=weights)
        del network._within
        network.callbacks = None  # they are the imputer's, which may go without them into a file
        self.autoencoder_, self.n_iter_ = network, network.n_iter_

    def _network(self) -> Any:
        if self.sample_posterior:
            from autoenc._posterior import ImputingVariational  # takes this module's `Known`

            network: Any = ImputingVariational(
                noise_variance="learned", objective="iwae", n_importance_samples=IMPORTANCE_SAMPLES
            )
        else:
            network = Imputing(latent_activation=self.activation)
        shared = set(network._get_param_names()) & set(self._get_param_names())
        network.set_params(**{name: getattr(self, name) for name in shared}, missing="mask")
        if self.sample_posterior:
            return network.set_params(dropout=0.0)
        if self.corruption_level:
            network.set_params(corruption=Masking(float(self.corruption_level)))
        return network

    def transform(self, X: Any) -> Any:
        """Fill what is missing.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows with missing values.

        Returns
        -------
        {ndarray, sparse matrix} of shape (n_samples, n_features_out)
            Sparse (CSR) for sparse X. float32 for float32, float64 for everything else. The columns are those of X,
            without empty ones unless they are kept, then those of the indicator.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        marks = None if self.indicator_ is None else self.indicator_.transform(X)
        filled = self._without_empty(self._fill_sparse(X) if sp.issparse(X) else self._fill(X))
        if marks is None:
            return filled
        if sp.issparse(filled):
            return sp.hstack([filled, marks.astype(filled.dtype)], format="csr")
        return np.hstack([filled, marks.astype(filled.dtype)])

    def _fill(self, X: NDArray[Any]) -> NDArray[Any]:
        at = np.flatnonzero(np.isnan(X[:, self._used()]).any(axis=1))
        if not at.size:
            return X
        network: Any = self.autoencoder_
        return self._filled(X, at, network.filled(self._standardised(X[at])))

    def _fill_sparse(self, X: Any) -> Any:
        """The same for CSR: rows with gaps are made dense, some at a time."""
        gaps = np.flatnonzero(np.isnan(X.data))
        rows = np.searchsorted(X.indptr, gaps, side="right") - 1
        for block in row_blocks(X):
            first, last = np.searchsorted(rows, (block.start, block.stop))
            at = np.unique(rows[first:last])
            if at.size:
                filled = self._fill(X[at].toarray())
                these = gaps[first:last]
                X.data[these] = filled[np.searchsorted(at, rows[first:last]), X.indices[these]]
        return X

    @available_if(_can_draw)
    def sample(
        self, X: Any, n_imputations: int = 5, random_state: int | np.random.RandomState | None = None
    ) -> NDArray[Any]:
        """Several imputations: missing values drawn from their distribution given what is observed.

        Only with ``sample_posterior=True``. For each row codes are drawn by the encoder and weighed by how likely they
        make what is observed; for each imputation one is chosen by weight, and from it the entries are drawn (MIWAE).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows with missing values; sparse ones are made dense.
        n_imputations : int, default=5
            How many.
        random_state : int, RandomState instance or None, default=None
            Determines the draws.

        Returns
        -------
        ndarray of shape (n_imputations, n_samples, n_features_out)
            Without columns of an indicator. Observed values are the same in each, drawn ones lie within the range that
            their column had in `fit`.
        """
        check_is_fitted(self)
        n = check_count("n_imputations", n_imputations)
        X = dense(self._check(X, reset=False))
        at = np.flatnonzero(np.isnan(X[:, self._used()]).any(axis=1))
        tables = [X] * n
        if at.size:
            network: Any = self.autoencoder_
            drawn = network.drawn(self._standardised(X[at]), n, check_random_state(random_state))
            tables = [self._filled(X, at, values) for values in drawn]
        return np.stack([self._without_empty(table) for table in tables])

    def _filled(self, X: NDArray[Any], at: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[Any]:
        """X with standardised values in the place of what is missing in some rows."""
        used = self._used()
        with np.errstate(over="ignore"):
            values = np.clip(values * self.scale_[used] + self.mean_[used], self.min_[used], self.max_[used])
        out = X.copy()
        block = X[np.ix_(at, used)]
        out[np.ix_(at, used)] = np.where(np.isnan(block), values.astype(X.dtype), block)
        return out

    def _without_empty(self, X: Any) -> Any:
        if not self.keep_empty_features:
            return X[:, self._used()]
        values = X.data if sp.issparse(X) else X
        values[np.isnan(values)] = 0.0
        return X

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of the result.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; None: those seen in `fit`, or x0, x1, ...

        Returns
        -------
        ndarray of str
            Without those of dropped columns; of indicators ``missingindicator_<name>``.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        kept: NDArray[np.object_] = names if self.keep_empty_features else names[self._used()]
        if self.indicator_ is None:
            return kept
        return np.concatenate([kept, self.indicator_.get_feature_names_out(names)])
