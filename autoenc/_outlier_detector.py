"""Outliers by the reconstruction error of an ensemble of small autoencoders."""

import math
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import check_is_fitted

from autoenc import _core, _data, _outlier_members
from autoenc._autoencoder import Autoencoder
from autoenc._base import LEARNING_RATES, MOST
from autoenc._landmarks import Landmarks
from autoenc._outlier_members import Member
from autoenc._spec import Spec
from autoenc._threads import n_threads
from autoenc._versioned import Versioned

# Of a bag by default: its rows at most, and its share of all rows, so that few rows are in every bag.
BAG_ROWS, BAG_SHARE = 512, 0.6
LANDMARKS = 192  # of a bag at most
VALUES_AT_ONCE, ROWS_AT_ONCE = 2**18, 4096  # of a block of rows
# Least standard deviation over the mean: less counts as rounding of a constant.
LEAST_SPREAD = 1e-9
# Least mean squared error, and least score per feature of the median row, that errors are divided by.
LEAST_ERROR, LEAST_MEDIAN = 1e-6, 1e-3
SECONDS_TO_SIGNAL = 0.05  # in which the main thread looks for signals while others work
CONTAMINATION: list[Any] = [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")]


class _Fitted(NamedTuple):
    """A member with what its errors are divided by."""

    network: Autoencoder
    rows: NDArray[np.intp]
    error: float
    median: float
    landmarks: Landmarks
    neighbor_median: float


def _blocks(X: Any) -> Iterator[slice]:
    rows = max(1, min(ROWS_AT_ONCE, VALUES_AT_ONCE // X.shape[1]))
    return (slice(first, first + rows) for first in range(0, X.shape[0], rows))


def _moments(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations of columns; of a dense and a sparse matrix of the same values to the bit.

    Every sum runs over the rows in order, and what is zero is counted, not summed. Columns are brought near one by
    powers of two, so that no square overflows.
    """
    n, d = X.shape
    largest = np.zeros(d)
    for block in _blocks(X):
        values = abs(X[block])
        top = values.max(axis=0)
        np.maximum(largest, top.toarray().ravel() if sp.issparse(X) else top, out=largest)
    exponent = np.frexp(largest)[1]

    def total(term: Callable[[NDArray[np.float64], Any], NDArray[np.float64]]) -> NDArray[np.float64]:
        out = np.zeros(d)
        for block in _blocks(X):
            part = X[block]
            if sp.issparse(X):
                values = np.ldexp(part.data.astype(np.float64), -exponent[part.indices])
                out += np.bincount(part.indices, weights=term(values, part.indices), minlength=d)
            else:
                values = np.ldexp(np.ascontiguousarray(part, dtype=np.float64), -exponent)
                out += np.add.accumulate(term(values, slice(None)), axis=0)[-1]
        return out

    mean = total(lambda values, _: values) / n
    zeros = n - total(lambda values, _: (values != 0.0).astype(np.float64))
    square = total(lambda values, at: np.where(values != 0.0, (values - mean[at]) ** 2, 0.0)) + zeros * mean**2
    return np.ldexp(mean, exponent), np.ldexp(np.sqrt(square / n), exponent)


def _charbonnier(difference: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """``sqrt(1 + difference ** 2 / scale) - 1``, in place: a square up to the scale, the absolute value beyond.

    Nothing but operations that round exactly, so the bits are the same on every instruction set, where NumPy's
    logarithms differ.
    """
    return _charbonnier_of_squares(np.square(difference, out=difference), scale)


def _charbonnier_of_squares(square: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    square /= scale
    square += 1.0
    np.sqrt(square, out=square)
    square -= 1.0
    return square


def _offset(scores: NDArray[np.float64], contamination: float) -> float:
    """A threshold below which lies the nearest whole number to ``contamination * n`` of the scores."""
    n = len(scores)
    below = min(math.floor(contamination * n + 0.5), n - 1)
    ordered = np.sort(scores)
    if below == 0:
        return float(ordered[0])
    low, high = ordered[below - 1], ordered[below]
    middle = low + (high - low) / 2
    return float(middle if middle > low else high)


def _fence(scores: NDArray[np.float64]) -> float:
    """Tukey's outer limit of the ordinary: one and a half interquartile ranges below the lower quartile."""
    low, high = np.quantile(scores, (0.25, 0.75))
    return float(low - 1.5 * (high - low))


class AutoencoderOutlierDetector(Versioned, OutlierMixin, BaseEstimator):
    """Outliers by the reconstruction error of an ensemble of small autoencoders.

    Each member is an `Autoencoder` trained on a bag of rows drawn without replacement [1]_ [2]_, half of the epochs on
    the whole bag, the other half without the tenth of it that was reconstructed worst, so that outliers among the
    training rows are hardly learned. What a member cannot restore is strange, and so is what lies far from the mean or
    from the bag's rows. Small bags keep clusters of outliers too small to be learned, as in IsolationForest.

    Columns are standardised and clipped here; pass them as they are. The same estimator serves training rows with
    outliers among them (unsupervised) and without (semi-supervised, novelty detection).

    Parameters
    ----------
    n_components : "auto", int or sequence of int, default="auto"
        Features of the members' codes; a sequence is gone through in turn. "auto" alternates between 2 and
        ``floor(2 * sqrt(n_features))``, both at most ``n_features - 1``.
    n_estimators : int, default=12
        Members.
    hidden_layer_sizes : int or array-like of int, default=(64,)
        Units of the encoder's hidden layers; the decoder mirrors them.
    activation : str, default="gelu"
        Of the hidden layers, as in `Autoencoder`.
    max_samples : "auto", int or float, default="auto"
        Rows of a bag: a number, or a share of the training rows. "auto" is 512, at most 60 % of the rows.
    trim : float, default=0.1
        Share of a bag that is left out in the second half of the epochs, those of the largest error. 0: none, and the
        epochs are not split.
    center_weight : float, default=0.5
        Weight of a row's distance from the mean beside the members' errors, which count 1 together. A row far out along
        what the members have learned is restored well, and yet strange.
    neighbor_weight : float, default=1.0
        Likewise of its distance from the nearest of up to 192 rows of each member's bag [7]_: a row between what is
        common may be restored well, too. A training row is not compared with itself. 0: none.
    clip : float, default=4.0
        Standardised values are clipped to ``[-clip, clip]``.
    contamination : "auto" or float, default="auto"
        Sets `offset_`. A float in (0, 0.5] is the share of the training rows that `predict` calls outliers: exactly the
        nearest whole number to ``contamination * n_samples`` (halves up), unless scores are equal; the offset lies
        midway between two neighbouring scores. "auto" is Tukey's fence: the lower quartile of the out-of-bag scores
        less 1.5 interquartile ranges [4]_.
    dropout : float, default=0.0
        Of the members' hidden layers in training.
    alpha : float, default=0.01
        Weight decay of the members.
    learning_rate_init : float, default=3e-3
        Highest learning rate (AdamW, cosine).
    batch_size : int, default=16
        Rows of a step.
    max_iter : int, default=40
        Epochs of each member.
    random_state : int, RandomState instance or None, default=None
        Determines bags and members.
    precision : {"float32", "float64"}, default="float32"
        Of the members.
    n_jobs : int or None, default=None
        Threads, each with a member or a block of rows at a time; as in `Autoencoder`. The results do not depend on it.

    Attributes
    ----------
    estimators_ : list of Autoencoder
        Fitted members.
    estimators_samples_ : list of ndarray of int
        Rows of each member's bag.
    offset_ : float
        ``decision_function = score_samples - offset_``.
    mean_, scale_ : ndarray of shape (n_features_in_,)
        Standardisation. The scale is at least 1e-9 of the mean, so a value in a column that was constant in training
        counts as extreme, like a rare one in a column that hardly varied, unless it is the constant but for rounding.
    error_, median_ : ndarray of shape (n_estimators,)
        Mean squared error and median row error of each member on its bag; see `feature_contributions`.
    neighbor_median_ : ndarray of shape (n_estimators,)
        Median distance of a bag's row from the nearest of the others that rows are compared with.
    center_median_ : float
        Median distance of a training row from the mean.
    training_scores_ : ndarray of shape (n_samples,)
        `score_samples` of the training rows.
    oob_scores_ : ndarray of shape (n_samples,)
        Their scores by the members that have not seen the row; NaN where there is none.
    n_iter_ : int
        Epochs of each member: `max_iter`.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has strings for column names.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Random trees.
    sklearn.neighbors.LocalOutlierFactor : Local density.
    Autoencoder : The members.

    Notes
    -----
    One set of defaults, for training rows with outliers and without, was chosen for the mean area under the ROC curve
    over ten of the twenty sets of ADBench [3]_ that ``benchmarks/quality/outlier_detection.py`` runs (annthyroid,
    campaign, fault, Hepatitis, Ionosphere, magic.gamma, optdigits, shuttle, vertebral and WBC: every other one in the
    order of their numbers) and over tasks made of other tables, where some classes of scikit-learn's breast cancer,
    wine, iris and digits, of the heartbeats ECG5000 or of MNIST at 7 x 7 pixels, or the highest targets of diabetes,
    are the outliers. Four means count the same: over the ten sets and over the other tables, with outliers in training
    and without. Epochs are the fewest tried that keep that mean. The other ten sets chose nothing, but they were looked
    at between choices: that earlier defaults were weaker there than the nearest neighbours are led to columns without
    variance being scaled as they are, to the tasks of other tables, and to distances from the mean and from neighbours;
    a sum over all twenty short of what was wanted led to one more choice among members, rows to compare with and
    weights, by the four means. ``benchmarks/RESULTS.md`` shows both halves.

    References
    ----------
    .. [1] Chen, J., Sathe, S., Aggarwal, C. and Turaga, D. (2017). Outlier detection with autoencoder ensembles.
       Proceedings of the SIAM International Conference on Data Mining, 90-98.
    .. [2] Liu, F. T., Ting, K. M. and Zhou, Z.-H. (2008). Isolation forest. IEEE International Conference on Data
       Mining, 413-422.
    .. [3] Han, S., Hu, X., Huang, H., Jiang, M. and Zhao, Y. (2022). ADBench: anomaly detection benchmark. Advances in
       Neural Information Processing Systems 35.
    .. [4] Tukey, J. W. (1977). Exploratory data analysis. Addison-Wesley.
    .. [5] Charbonnier, P., Blanc-Feraud, L., Aubert, G. and Barlaud, M. (1994). Two deterministic half-quadratic
       regularization algorithms for computed imaging. IEEE International Conference on Image Processing 2, 168-172.
    .. [6] Vovk, V., Gammerman, A. and Shafer, G. (2005). Algorithmic learning in a random world. Springer.
    .. [7] Sugiyama, M. and Borgwardt, K. (2013). Rapid distance-based outlier detection via sampling. Advances in
       Neural Information Processing Systems 26, 467-475.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import AutoencoderOutlierDetector
    >>> rng = np.random.default_rng(0)
    >>> hidden = rng.normal(size=(300, 2))
    >>> X = hidden @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(300, 6))
    >>> detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    >>> strange = X[:1].copy()
    >>> strange[0, 3] += 3.0
    >>> detector.predict(strange)
    array([-1])
    >>> int(detector.feature_contributions(strange).argmax())
    3
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), "array-like"],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Integral],
        "activation": [StrOptions(set(_core.ACTIVATIONS))],
        "max_samples": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
        ],
        "trim": [Interval(Real, 0, 1, closed="left")],
        "center_weight": [Interval(Real, 0, None, closed="left")],
        "neighbor_weight": [Interval(Real, 0, None, closed="left")],
        "clip": [Interval(Real, 0, None, closed="neither")],
        "contamination": CONTAMINATION,
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, MOST, closed="both")],
        "max_iter": [Interval(Integral, 1, MOST, closed="both")],
        "random_state": ["random_state"],
        "precision": [StrOptions({"float32", "float64"})],
        "n_jobs": [Integral, None],
    }

    estimators_: list[Autoencoder]
    estimators_samples_: list[NDArray[np.intp]]
    offset_: float
    training_scores_: NDArray[np.float64]
    oob_scores_: NDArray[np.float64]

    def __init__(
        self,
        n_components: int | Sequence[int] | Literal["auto"] = "auto",
        *,
        n_estimators: int = 12,
        hidden_layer_sizes: Sequence[int] | int = (64,),
        activation: str = "gelu",
        max_samples: int | float | Literal["auto"] = "auto",
        trim: float = 0.1,
        center_weight: float = 0.5,
        neighbor_weight: float = 1.0,
        clip: float = 4.0,
        contamination: float | Literal["auto"] = "auto",
        dropout: float = 0.0,
        alpha: float = 0.01,
        learning_rate_init: float = LEARNING_RATES["adamw"],
        batch_size: int = 16,
        max_iter: int = 40,
        random_state: int | np.random.RandomState | None = None,
        precision: str = "float32",
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_estimators = n_estimators
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.max_samples = max_samples
        self.trim = trim
        self.center_weight = center_weight
        self.neighbor_weight = neighbor_weight
        self.clip = clip
        self.contamination = contamination
        self.dropout = dropout
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.random_state = random_state
        self.precision = precision
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- fitting ----

    def _codes(self, n_features: int) -> list[int]:
        if isinstance(self.n_components, str):
            most = max(1, n_features - 1)
            return [min(2, most), min(math.isqrt(4 * n_features), most)]
        sizes: list[Any] = list(self.n_components) if isinstance(self.n_components, Iterable) else [self.n_components]
        if not sizes or any(not isinstance(k, Integral) or isinstance(k, bool) or k < 1 for k in sizes):
            raise ValueError(
                f"n_components is {self.n_components!r}; allowed are 'auto', a positive whole number or several"
            )
        return [int(k) for k in sizes]

    def _bag_size(self, n: int) -> int:
        if isinstance(self.max_samples, str):
            return max(1, min(BAG_ROWS, int(BAG_SHARE * n)))
        if isinstance(self.max_samples, Integral):
            return min(n, int(self.max_samples))
        return max(1, int(self.max_samples * n))

    def _standardise(self, X: Any) -> NDArray[Any]:
        """Some rows as the members read them."""
        dense = X.toarray() if sp.issparse(X) else X
        with np.errstate(over="ignore"):  # beyond the largest number is beyond the clip
            Z = (dense.astype(np.float64) - self.mean_) / self.scale_
        return np.ascontiguousarray(np.clip(Z, -self._clip, self._clip, out=Z), dtype=self._dtype)

    def _errors(self, network: Autoencoder, error: float, Z: NDArray[Any]) -> NDArray[np.float64]:
        difference = _outlier_members.reconstruct(network, Z).astype(np.float64)
        difference -= Z
        return _charbonnier(difference, error)

    def _member(self, n_components: int) -> Member:
        return Member(
            n_components,
            hidden_layer_sizes=self.hidden_layer_sizes,
            activation=self.activation,
            dropout=self.dropout,
            alpha=self.alpha,
            learning_rate_init=self.learning_rate_init,
            batch_size=self.batch_size,
            max_iter=self.max_iter,
            precision=self.precision,
            n_jobs=1,
        )

    def _fit_member(self, X: Any, bag: int, spec: Spec, seeds: Sequence[int], stop: threading.Event) -> _Fitted:
        def look(_: Any) -> None:
            if stop.is_set():
                raise CancelledError

        random_state = check_random_state(seeds[0])
        rows = np.sort(sample_without_replacement(X.shape[0], bag, random_state=random_state))
        Z = self._standardise(X[rows])
        network = self._member(spec["n_components"]).set_params(random_state=seeds[1])
        _outlier_members.fit(network, spec, Z, seeds[1], self.trim, look)
        errors = np.square(_outlier_members.reconstruct(network, Z).astype(np.float64) - Z)
        error = max(float(errors.mean()), LEAST_ERROR)
        landmarks = Landmarks(Z[random_state.permutation(bag)[:LANDMARKS]])

        def median(errors: NDArray[np.float64]) -> float:
            return max(float(np.median(errors.sum(axis=1))), LEAST_MEDIAN * Z.shape[1])

        neighbors = _charbonnier(landmarks.differences(Z), 1.0)
        return _Fitted(
            network, rows, error, median(_charbonnier_of_squares(errors, error)), landmarks, median(neighbors)
        )

    def _map(self, function: Callable[..., Any], *arguments: Any, stop: threading.Event | None = None) -> list[Any]:
        """Results in order. In threads of its own even if it is one: Ctrl-C then ends it between two tasks.

        Signals reach the main thread alone: whatever ends the waiting there sets `stop`, for which tasks may look.

        scikit-learn's checks change the filters of warnings for a moment, which threads undo in any order: those of
        before are put back in the end.
        """
        tasks = list(zip(*arguments, strict=True))
        with warnings.catch_warnings(), ThreadPoolExecutor(min(len(tasks), n_threads(self.n_jobs))) as pool:
            try:
                futures = [pool.submit(function, *task) for task in tasks]
                for future in futures:
                    while not wait([future], timeout=SECONDS_TO_SIGNAL).done:
                        pass
                    future.result()  # the first failure, in order, ends the others
                return [future.result() for future in futures]
            except BaseException:
                if stop is not None:
                    stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the members to bags of the rows of X, and the offset to the scores.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, with or without outliers. They are read in place; a sparse matrix is made dense by bags and
            blocks only, and gives the same bits as a dense one.
        y : ignored

        Returns
        -------
        self
        """
        before = dict(vars(self))
        try:
            n_threads(self.n_jobs)
            X = _data.check_features(self, X, reset=True, precision="float64")
            self._fit(X)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _fit(self, X: Any) -> None:
        n, d = X.shape
        codes = self._codes(d)
        bag = self._bag_size(n)
        self._clip = float(self.clip)
        self.mean_, scale = _moments(X)
        self.scale_ = np.maximum(scale, np.maximum(LEAST_SPREAD * abs(self.mean_), np.finfo(np.float64).tiny))
        self._dtype = np.dtype(self.precision)
        distances = np.concatenate(
            [_charbonnier(self._standardise(X[rows]).astype(np.float64), 1.0).sum(axis=1) for rows in _blocks(X)]
        )
        self.center_median_ = max(float(np.median(distances)), LEAST_MEDIAN * d)
        self._center = self.center_weight / self.center_median_
        self._weight = 1.0 + self.center_weight + self.neighbor_weight
        random_state = check_random_state(self.random_state)
        kinds = [_outlier_members.describe(self._member(k), d) for k in codes]
        specs = [kinds[i % len(kinds)] for i in range(self.n_estimators)]
        seeds = random_state.randint(2**31 - 1, size=(self.n_estimators, 2)).tolist()
        m = self.n_estimators
        stop = threading.Event()
        members = self._map(self._fit_member, [X] * m, [bag] * m, specs, seeds, [stop] * m, stop=stop)
        self.estimators_ = [member.network for member in members]
        self.estimators_samples_ = [member.rows for member in members]
        self.error_ = np.array([member.error for member in members])
        self.median_ = np.array([member.median for member in members])
        self.neighbor_median_ = np.array([member.neighbor_median for member in members])
        self._neighbors = self.neighbor_weight / self.neighbor_median_
        self._landmarks = [member.landmarks for member in members]
        unseen = np.ones((self.n_estimators, n), dtype=bool)
        for i, rows in enumerate(self.estimators_samples_):
            unseen[i, rows] = False
        self.n_iter_ = int(self.max_iter)
        self.training_scores_, self.oob_scores_ = self._scores(X, unseen)
        self.calibrate()

    def _block(self, X: Any, unseen: NDArray[np.bool_] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Contributions of some rows, and their scores by the members that have not seen them."""
        Z = self._standardise(X)
        total = np.zeros(Z.shape)
        sums, count = np.zeros(len(Z)), np.zeros(len(Z))
        for i, network in enumerate(self.estimators_):
            errors = self._errors(network, self.error_[i], Z)
            errors /= self.median_[i]
            if self._neighbors[i] > 0.0:
                distances = _charbonnier(self._landmarks[i].differences(Z), 1.0)
                distances *= self._neighbors[i]
                errors += distances
            total += errors
            if unseen is not None:
                sums += np.where(unseen[i], errors.sum(axis=1), 0.0)
                count += unseen[i]
        center = _charbonnier(Z.astype(np.float64), 1.0)
        center *= self._center
        total /= len(self.estimators_)
        total += center
        total /= self._weight
        with np.errstate(invalid="ignore"):
            return total, -(sums / count + center.sum(axis=1)) / self._weight

    def _scores(self, X: Any, unseen: NDArray[np.bool_] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        def scores(block: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            contributions, others = self._block(X[block], None if unseen is None else unseen[:, block])
            return -contributions.sum(axis=1), others

        blocks = list(_blocks(X))
        parts = [scores(blocks[0])] if len(blocks) == 1 else self._map(scores, blocks)
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _check(self, X: Any, name: str = "X") -> Any:
        if "estimators_" not in vars(self):  # check_is_fitted asks for all tags first
            check_is_fitted(self)
        return _data.check_features(self, X, reset=False, precision="float64", name=name)

    # ---- scores ----

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Scores of rows, higher for ordinary ones: minus the sum of `feature_contributions`.

        About -1 for the median row of a bag. A row's score does not depend on the other rows of the call, on their
        order or on the number of threads, to the bit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self._scores(self._check(X), None)[0]

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """``score_samples(X) - offset_``: negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """-1 for outliers, 1 for the others.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def feature_contributions(self, X: Any) -> NDArray[np.float64]:
        """What each feature has to do with the score: nonnegative, and a row adds up to ``-score_samples``.

        With the squared error ``e`` of a standardised feature ``z``, a member's mean ``error_`` and its ``median_``, it
        is the members' mean of ``(sqrt(1 + e / error_) - 1) / median_`` and of ``neighbor_weight`` times
        ``(sqrt(1 + (z - r) ** 2) - 1) / neighbor_median_`` with the feature ``r`` of the nearest row, plus
        ``center_weight`` times ``(sqrt(1 + z ** 2) - 1) / center_median_``, all divided by
        ``1 + center_weight + neighbor_weight``: Charbonnier's penalty (see the class for the reference), like a square
        for small errors and like the absolute value for large ones, so that one wild value does not decide alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        X = self._check(X)
        blocks = list(_blocks(X))
        return np.concatenate(self._map(lambda block: self._block(X[block], None)[0], blocks))

    @validate_params({"contamination": [*CONTAMINATION, None]}, prefer_skip_nested_validation=True)
    def calibrate(self, X: Any = None, *, contamination: float | str | None = None) -> Self:
        """Move `offset_`, and nothing else.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Rows whose scores set the offset. Default: the training rows.
        contamination : "auto" or float in (0, 0.5], default=None
            Share of them that are to be called outliers, or "auto"; as the parameter of the class, which None means.

        Returns
        -------
        self
        """
        share = self.contamination if contamination is None else contamination
        if X is not None:
            scores = ordinary = self.score_samples(X)
        else:
            check_is_fitted(self)
            scores, ordinary = self.training_scores_, self.oob_scores_[~np.isnan(self.oob_scores_)]
        if isinstance(share, str):
            self.offset_ = _fence(ordinary if len(ordinary) else scores)
        else:
            self.offset_ = _offset(scores, float(share))
        return self

    def p_values(self, X: Any, X_calibration: Any = None) -> NDArray[np.float64]:
        """Conformal p-values [6]_: of ordinary rows they are uniform on (0, 1], those of outliers are small.

        That of a row is the share of rows, itself included, whose score is no higher. It is exact with rows that the
        estimator was not fitted to; with out-of-bag scores of the training rows, each of which comes from fewer members
        than a fresh row's, approximate. Outliers among the rows compared with make p-values too large.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_calibration : {array-like, sparse matrix} of shape (n_calibration, n_features), default=None
            Ordinary rows not used in fitting. Default: the training rows, by their out-of-bag scores.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self.score_samples(X)
        if X_calibration is None:
            known = self.oob_scores_[~np.isnan(self.oob_scores_)]
            if not len(known):
                raise ValueError(
                    f"every one of the {len(self.oob_scores_)} training rows is in every bag (max_samples="
                    f"{self.max_samples!r}, n_estimators={self.n_estimators!r}), so none has a score of its own; pass "
                    "X_calibration, or fit with smaller bags"
                )
        else:
            known = self._scores(self._check(X_calibration, "X_calibration"), None)[0]
        return (1 + np.searchsorted(np.sort(known), scores, side="right")) / (1 + len(known))

    def as_pyod(self) -> "PyODAdapter":
        """This detector under PyOD's names and signs.

        Returns
        -------
        PyODAdapter
            It refers to this estimator, and copies nothing.
        """
        return PyODAdapter(self)


class PyODAdapter:
    """A detector under PyOD's names and signs: high scores and ones are outliers. PyOD is not needed.

    Made by ``detector.as_pyod()``.

    Attributes
    ----------
    detector : AutoencoderOutlierDetector
        What it adapts.
    decision_scores_ : ndarray of shape (n_samples,)
        Scores of the training rows: ``-training_scores_``.
    threshold_ : float
        Scores above are outliers: ``-offset_``.
    labels_ : ndarray of shape (n_samples,)
        Of the training rows: 1 for outliers, 0 for the others.
    """

    def __init__(self, detector: AutoencoderOutlierDetector) -> None:
        self.detector = detector

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the detector; y is ignored."""
        self.detector.fit(X)
        return self

    @property
    def decision_scores_(self) -> NDArray[np.float64]:
        check_is_fitted(self.detector)
        return -self.detector.training_scores_

    @property
    def threshold_(self) -> float:
        check_is_fitted(self.detector)
        return -self.detector.offset_

    @property
    def labels_(self) -> NDArray[np.int64]:
        return (self.decision_scores_ > self.threshold_).astype(np.int64)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores of rows, higher for outliers."""
        return -self.detector.score_samples(X)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 for outliers, 0 for the others."""
        return (self.decision_function(X) > self.threshold_).astype(np.int64)
