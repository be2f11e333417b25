"""Outliers by the reconstruction error of an ensemble of small autoencoders."""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import field
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, RealNotInt
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import check_is_fitted

from autoenc import _checkpoint, _core, _data, _outlier_members, _spec
from autoenc._autoencoder import Autoencoder
from autoenc._base import MOST
from autoenc._declare import estimator
from autoenc._decorators import fit_context, validate_params
from autoenc._export import Exportable
from autoenc._fitting import LEARNING_RATES, FitData, Rows
from autoenc._landmarks import Landmarks
from autoenc._notebook import Shown
from autoenc._options import ActivationName, OneOf, PrecisionName
from autoenc._outlier_members import Member, Watch, draw_landmarks
from autoenc._outlier_scores import OutlierPredictor, by_member, charbonnier, learned_of, standardised, widened
from autoenc._refuse import refuse
from autoenc._row_blocks import row_blocks
from autoenc._row_statistics import fence, median, moments, offset
from autoenc._spec import Spec
from autoenc._tasks import Tasks
from autoenc._threads import n_threads
from autoenc._training import Progress, check_callbacks, end_callbacks, type_callback
from autoenc._versioned import Versioned
from autoenc._warn import warn
from autoenc._watched import Watched
from autoenc.callbacks import EpochState

# Of a bag by default: its rows at most, and its share of all rows, so that few rows are in every bag.
BAG_ROWS, BAG_SHARE = 512, 0.6
# Epochs by default: of tables of up to so many features, and the least of wider ones.
EPOCHS, WIDE, LEAST_EPOCHS = 40, 128, 10
# Least standard deviation over the mean: less counts as rounding of a constant.
LEAST_SPREAD = 1e-9
FEW_ROWS = 10  # below, scores of normal rows are far from -1, and offset_ by orders of magnitude
# Least mean squared error, and least score per feature of the median row, that errors are divided by.
LEAST_ERROR, LEAST_MEDIAN = 1e-6, 1e-3
REFUSED = {
    "X_clean": "a row is compared with itself",
    "condition": "what is known about a row can be columns of X, and is then judged with the others",
    "X_val": "members are trained for max_iter epochs, and rows outside of their bags give oob_scores_",
}
CONTAMINATION: list[Any] = [OneOf({"auto"}), Interval(Real, 0, 0.5, closed="right")]


class _Member(NamedTuple):
    """A member with what its errors are divided by."""

    network: Autoencoder
    rows: NDArray[np.intp]
    error: float
    median: float
    landmarks: NDArray[Any]
    neighbor_median: float


def _look_for_rows(n: int, kind: str) -> None:
    """Refuses a single row, and warns of few."""
    if n == 1:
        raise ValueError(f"X has 1 sample{kind}, which is compared with nothing; at least 2 are needed, better 100")
    if n < FEW_ROWS:
        warn(
            f"X has {n} samples{kind}: scores, and the threshold offset_, mean little with fewer than {FEW_ROWS}; some "
            "hundred are better"
        )


@estimator
class AutoencoderOutlierDetector(Shown, Watched, Versioned, Exportable, OutlierMixin, BaseEstimator):
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
        common may be restored well, too. A training row is not compared with itself. The 192 are drawn by weight, and
        by the share of their entries that are there. 0: none.
    clip : float, default=4.0
        Standardised values are clipped to ``[-clip, clip]``.
    missing : {"error", "mask"}, default="error"
        What becomes of NaN in X. "error": it is refused. "mask": it is missing, in training and in scores. The members
        read zero, the mean, in its place, where it also stands in rows that others are compared with. A row's own
        missing entries have no part in distances and no contribution; those of its other entries are multiplied by
        n_features over their number, so that rows with few and with many entries compare. A row without any entry
        scores 0. In CSR a stored NaN is missing and an absent entry is zero. A column that is always NaN in `fit` has
        no part in anything. Without NaN the two are the same to the bit.
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
    max_iter : "auto" or int, default="auto"
        Epochs of each member. "auto" is 40, and for more than 128 features the nearest whole number to
        ``40 * sqrt(128 / n_features)``, at least 10: a row of a wide table says more, and takes longer.
    random_state : int, RandomState instance or None, default=None
        Determines bags and members.
    verbose : int, default=0
        As in `Autoencoder`, by members, each with its last loss.
    precision : {"float32", "float64", "high", "bfloat16"}, default="float32"
        Of the members.
    n_jobs : int or None, default=None
        Threads, each with a member or a block of rows at a time; as in `Autoencoder`. The results do not depend on it.
    callbacks : callable, list of callables or None, default=None
        Called after each epoch of each member, as in `Autoencoder`, one at a time in the thread that called `fit`; the
        state's ``training`` is "member_0", "member_1" and so on. One that returns True ends the training of that
        member. With several threads the epochs of some members come between each other in no fixed order, to which a
        callback that stops must pay no heed if the results are not to depend on it.

    Attributes
    ----------
    estimators_ : list of Autoencoder
        Fitted members.
    estimators_samples_ : list of ndarray of int
        Rows of each member's bag.
    offset_ : float
        ``decision_function = score_samples - offset_``.
    mean_, scale_ : ndarray of shape (`n_features_in_`,)
        Standardisation; NaN for a column without any value. The scale is at least 1e-9 of the mean, so a value in a
        column that was constant in training counts as extreme, like a rare one in a column that hardly varied, unless
        it is the constant but for rounding.
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
        Epochs of each member; of the one that had most, where callbacks have ended some.
    n_features_in_ : int
        Features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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

    That tables of more than 128 features get fewer epochs is for the time of a fit. None of the ten is so wide; with
    one class of MNIST (784 features, 16 epochs) as the ordinary rows the areas are those of 40 epochs within 0.4 %.

    With ``missing="mask"``, and 0, 30 or 60 % of the entries of each row missing, the mean area over those twenty sets
    is 77.3 %; it is 72.6 where the entries that are there are not multiplied, 74.0 where means are filled in for what
    is missing, and 82.3 where nothing is (``outlier-missing`` in ``benchmarks/RESULTS.md``, one draw of 600 rows).

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

    n_components: int | Sequence[int] | Literal["auto"] = field(default="auto", kw_only=False)
    n_estimators: int = 12
    hidden_layer_sizes: Sequence[int] | int = (64,)
    activation: ActivationName = "gelu"
    max_samples: int | float | Literal["auto"] = "auto"
    trim: float = 0.1
    center_weight: float = 0.5
    neighbor_weight: float = 1.0
    clip: float = 4.0
    missing: Literal["error", "mask"] = "error"
    contamination: float | Literal["auto"] = "auto"
    dropout: float = 0.0
    alpha: float = 0.01
    learning_rate_init: float = LEARNING_RATES["adamw"]
    batch_size: int = 16
    max_iter: int | Literal["auto"] = "auto"
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0
    precision: PrecisionName = "float32"
    n_jobs: int | None = None
    callbacks: type_callback | Sequence[type_callback] | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [OneOf({"auto"}), Interval(Integral, 1, None, closed="left"), "array-like"],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Integral],
        "activation": [OneOf(set(_core.ACTIVATIONS))],
        "max_samples": [
            OneOf({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "trim": [Interval(Real, 0, 1, closed="left")],
        "center_weight": [Interval(Real, 0, None, closed="left")],
        "neighbor_weight": [Interval(Real, 0, None, closed="left")],
        "clip": [Interval(Real, 0, None, closed="neither")],
        "missing": [OneOf({"error", "mask"})],
        "contamination": CONTAMINATION,
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, MOST, closed="both")],
        "max_iter": [OneOf({"auto"}), Interval(Integral, 1, MOST, closed="both")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "precision": [OneOf(set(_spec.PRECISIONS))],
        "n_jobs": [Integral, None],
        "callbacks": Autoencoder._parameter_constraints["callbacks"],
    }

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
        return standardised(X, self._used, self.mean_, self.scale_, self._clip, self._dtype)

    def _missing(self, Z: NDArray[Any]) -> NDArray[np.bool_] | None:
        return np.isnan(Z) if self._masks else None

    def _distances(self, Z: NDArray[Any], others: Any) -> NDArray[np.float64]:
        """Of entries from those of other rows, or from the mean, 0."""
        return charbonnier(np.subtract(Z, others, dtype=np.float64), 1.0, self._missing(Z))

    def _errors(self, network: Autoencoder, error: float, Z: NDArray[Any]) -> NDArray[np.float64]:
        difference = _outlier_members.reconstruct(network, Z).astype(np.float64)
        difference -= Z
        return charbonnier(difference, error, self._missing(Z))

    def _draw_bag(self, n: int, bag: int, random_state: np.random.RandomState) -> NDArray[np.intp]:
        """Rows of a bag, rising; those without weight are in none."""
        kept = None if self._weights is None else np.flatnonzero(self._weights)
        n = n if kept is None else len(kept)
        rows = np.sort(sample_without_replacement(n, bag, random_state=random_state))
        return rows if kept is None else kept[rows]

    def _epochs(self, n_features: int) -> int:
        if self.max_iter != "auto":
            return int(self.max_iter)
        return max(LEAST_EPOCHS, round(EPOCHS * math.sqrt(min(1.0, WIDE / n_features))))

    def _member(self, n_components: int, n_epochs: int) -> Member:
        return Member(
            n_components,
            hidden_layer_sizes=self.hidden_layer_sizes,
            activation=self.activation,
            dropout=self.dropout,
            alpha=self.alpha,
            learning_rate_init=self.learning_rate_init,
            batch_size=self.batch_size,
            max_iter=n_epochs,
            precision=self.precision,
            missing=self.missing,
            n_jobs=1,
        )

    def _fit_member(
        self,
        X: Any,
        bag: int,
        n_epochs: int,
        spec: Spec,
        seeds: Sequence[int],
        watch: Watch,
        checkpoint: _checkpoint.Training | None,
    ) -> _Member:
        random_state = check_random_state(seeds[0])
        rows = self._draw_bag(X.shape[0], bag, random_state)
        Z = self._standardise(X[rows])
        weights = None if self._weights is None else _data.check_weights(self._weights[rows], Z)
        network = self._member(spec["n_components"], n_epochs).set_params(random_state=seeds[1])
        _outlier_members.fit(network, spec, Z, weights, seeds[1], self.trim, watch, checkpoint)
        error = max(float(np.average(_outlier_members.losses(network, Z), weights=weights)), LEAST_ERROR)
        landmarks = draw_landmarks(Z, weights, random_state)
        nearest = Landmarks([landmarks]).nearest(Z, self._missing(Z))[:, 0]

        def middle(errors: NDArray[np.float64]) -> float:
            return max(median(errors.sum(axis=1), weights), float(LEAST_MEDIAN * Z.shape[1]))

        return _Member(
            network,
            rows,
            error,
            middle(self._errors(network, error, Z)),
            landmarks,
            middle(self._distances(Z, nearest)),
        )

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
        """Fit the members to bags of the rows of X, and the offset to the scores.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, with or without outliers. They are read in place; a sparse matrix is made dense by bags and
            blocks only, and gives the same bits as a dense one.
        y : ignored
            For pipelines, which pass labels to every step.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows: in means and deviations, in the members' losses, in the share that is
            trimmed, in medians and quartiles, in `contamination` and in `p_values`. Only their ratios count. Bags are
            drawn among the rows of positive weight, each as likely as the others; a row without weight is scored, and
            else as if it were not there.
        checkpoint, checkpoint_every, resume : str, path-like or None, int, bool, default=None, 10, False
            A file to go on from after a kill, as in `Autoencoder.fit`. It has the members that are complete, and the
            others as of every so many of their epochs.
        **refused
            X_clean, condition or X_val, which other estimators take: an error that says why not here.

        Returns
        -------
        self
            The fitted estimator itself.

        Raises
        ------
        ValueError
            Where X has a single row, or one of positive weight.

        Warns
        -----
        UserWarning
            Where they are fewer than ten: thresholds mean little then.
        """
        refuse(self, refused, REFUSED)
        self._begin_fit(X, y, n_tasks=self.n_estimators, sequential_subtasks=False)
        before, model = dict(vars(self)), copy.copy(self)  # this one stays as it was until all is learned
        with _checkpoint.checkpointing(self, checkpoint, checkpoint_every, resume):
            model._fit(X, y, sample_weight, self)
        self._become(model, before)
        self._end_fit(X, y)
        return self

    def _fit(self, given: Any, y: Any, sample_weight: Any, known_as: Self) -> None:
        tasks, callbacks = Tasks(n_threads(self.n_jobs)), check_callbacks(self.callbacks)
        self._masks = self.missing == "mask"
        X = _data.check_features(self, given, reset=True, precision="float64", allow_nan=self._masks)
        weights = self._weights = _data.check_weights(sample_weight, X)
        n, m = X.shape[0], self.n_estimators
        self._clip = float(self.clip)
        counted = n if weights is None else int(np.count_nonzero(weights))
        _look_for_rows(counted, "" if counted == n else " of positive weight")
        bag = self._bag_size(counted)
        if weights is None or counted == n:
            self.mean_, scale = moments(X, weights)
        else:
            self.mean_, scale = moments(X[weights > 0.0], weights[weights > 0.0])
        self.scale_ = np.maximum(scale, np.maximum(LEAST_SPREAD * abs(self.mean_), np.finfo(np.float64).tiny))
        used = np.flatnonzero(~np.isnan(self.mean_))
        self._used = None if len(used) == X.shape[1] else used
        d = len(used)
        if d == 0:
            raise ValueError("X has no value at all: every entry is missing (NaN); at least one must be there")
        codes = self._codes(d)
        self._dtype = np.dtype(_spec.real_type(self.precision))
        distances = np.concatenate(
            [self._distances(Z, 0.0).sum(axis=1) for Z in (self._standardise(X[rows]) for rows in row_blocks(X))]
        )
        self.center_median_ = max(median(distances, weights), LEAST_MEDIAN * d)
        self._center = self.center_weight / self.center_median_
        self._weight = 1.0 + self.center_weight + self.neighbor_weight
        n_epochs = self._epochs(d)
        kinds = [_outlier_members.describe(self._member(k, n_epochs), d) for k in codes]
        specs = [kinds[i % len(kinds)] for i in range(m)]
        data = FitData(Rows(X), weights, None)
        drawn = check_random_state(self.random_state).randint(2**31 - 1, size=2 * m).tolist()
        seeds = np.reshape(_checkpoint.seeds(drawn, data), (m, 2)).tolist()
        watches = [Watch(tasks, known_as, (given, y), callbacks, i) for i in range(m)]
        progress = Progress(int(self.verbose), m, type(self).__name__, "member")

        def seen(i: int, member: _Member) -> None:
            watches[i].finish()
            progress.update(EpochState(known_as, i + 1, m, member.network.loss_curve_[-1], None, 0.0))

        failed = True
        try:
            with _checkpoint.trainings(data, m) as checkpoints:
                for one in filter(None, checkpoints):
                    one.ask = tasks.ask
                shared = [X] * m, [bag] * m, [n_epochs] * m
                members = tasks.map(self._fit_member, *shared, specs, seeds, watches, checkpoints, seen=seen)
            failed = False
        finally:
            progress.close()
            end_callbacks(callbacks, failed)
        self.n_iter_ = max(member.network.n_iter_ for member in members)
        self.estimators_: list[Autoencoder] = [member.network for member in members]
        self.estimators_samples_: list[NDArray[np.intp]] = [member.rows for member in members]
        self.error_ = np.array([member.error for member in members])
        self.median_ = np.array([member.median for member in members])
        self.neighbor_median_ = np.array([member.neighbor_median for member in members])
        self._neighbors = self.neighbor_weight / self.neighbor_median_
        self._landmarks = Landmarks([member.landmarks for member in members])
        unseen = np.ones((self.n_estimators, n), dtype=bool)
        for i, rows in enumerate(self.estimators_samples_):
            unseen[i, rows] = False
        self.training_scores_, self.oob_scores_ = self._scores(X, unseen)
        self.calibrate()

    def _block(self, X: Any, unseen: NDArray[np.bool_] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Contributions of some rows, and their scores by the members that have not seen them."""
        members = [partial(_outlier_members.reconstruct, network) for network in self.estimators_]
        return by_member(self._standardise(X), members, learned_of(vars(self)), unseen)

    def _scores(self, X: Any, unseen: NDArray[np.bool_] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        def scores(block: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            contributions, others = self._block(X[block], None if unseen is None else unseen[:, block])
            return -contributions.sum(axis=1), others

        blocks = list(row_blocks(X))
        parts = [scores(blocks[0])] if len(blocks) == 1 else Tasks(n_threads(self.n_jobs)).map(scores, blocks)
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _check(self, X: Any, name: str = "X") -> Any:
        if "estimators_" not in vars(self):  # check_is_fitted asks for all tags first
            check_is_fitted(self)
        return _data.check_features(self, X, reset=False, precision="float64", name=name, allow_nan=self._masks)

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
            In float64, of whatever type X is.
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
            In float64, of whatever type X is.
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
            Whole numbers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def feature_contributions(self, X: Any) -> NDArray[np.float64]:
        """What each feature has to do with the score: nonnegative, and a row adds up to ``-score_samples``.

        With the squared error ``e`` of a standardised feature ``z``, a member's mean ``error_`` and its ``median_``, it
        is the members' mean of ``(sqrt(1 + e / error_) - 1) / median_`` and of ``neighbor_weight`` times
        ``(sqrt(1 + (z - r) ** 2) - 1) / neighbor_median_`` with the feature ``r`` of the nearest row, plus
        ``center_weight`` times ``(sqrt(1 + z ** 2) - 1) / center_median_``, all divided by
        ``1 + center_weight + neighbor_weight``: Charbonnier's penalty (see the class for the reference), like a square
        for small errors and like the absolute value for large ones, so that one wild value does not decide alone. With
        missing values see `missing`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In float64, of whatever type X is.
        """
        X = self._check(X)
        blocks = list(row_blocks(X))
        tasks = Tasks(n_threads(self.n_jobs))
        contributions = np.concatenate(tasks.map(lambda block: self._block(X[block], None)[0], blocks))
        return widened(contributions, self._used, X.shape[1])

    @validate_params({"contamination": [*CONTAMINATION, None]}, prefer_skip_nested_validation=True)
    def calibrate(self, X: Any = None, *, contamination: float | Literal["auto"] | None = None) -> Self:
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
            The estimator itself.
        """
        share = self.contamination if contamination is None else contamination
        if X is not None:
            scores, weights = self.score_samples(X), None
        else:
            check_is_fitted(self)
            scores, weights = self.training_scores_, self._weights
        if not isinstance(share, str):
            self.offset_ = offset(scores, float(share), weights)
            return self
        if X is None and not np.isnan(self.oob_scores_).all():
            scores, weights = self._out_of_bag()
        self.offset_ = fence(scores, weights)
        return self

    def _out_of_bag(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Scores of the training rows that have one from members that have not seen them, and their weights."""
        known = ~np.isnan(self.oob_scores_)
        if self._weights is not None:
            known &= self._weights > 0.0
        return self.oob_scores_[known], None if self._weights is None else self._weights[known]

    def p_values(self, X: Any, X_calibration: Any = None) -> NDArray[np.float64]:
        """Conformal p-values: of ordinary rows they are uniform on (0, 1], those of outliers are small.

        Source: Vovk et al. 2005.

        That of a row is the share of rows, itself included, whose score is no higher. It is exact with rows that the
        estimator was not fitted to; with out-of-bag scores of the training rows, each of which comes from fewer members
        than a fresh row's, approximate. Outliers among the rows compared with make p-values too large. Training rows
        count by their weights, of mean one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_calibration : {array-like, sparse matrix} of shape (n_calibration, n_features), default=None
            Ordinary rows not used in fitting. Default: the training rows, by their out-of-bag scores.

        Returns
        -------
        ndarray of shape (n_samples,)
            In float64, of whatever type X is.
        """
        scores = self.score_samples(X)
        weights = None
        if X_calibration is None:
            known, weights = self._out_of_bag()
            if not len(known):
                raise ValueError(
                    f"every one of the {len(self.oob_scores_)} training rows is in every bag (max_samples="
                    f"{self.max_samples!r}, n_estimators={self.n_estimators!r}), so none has a score of its own; pass "
                    "X_calibration, or fit with smaller bags"
                )
        else:
            known = self._scores(self._check(X_calibration, "X_calibration"), None)[0]
        order = np.argsort(known, kind="stable")
        at = np.searchsorted(known[order], scores, side="right")
        if weights is None:
            return (1 + at) / (1 + len(known))
        up_to = np.concatenate([[0.0], np.cumsum(weights[order])])
        up_to *= len(known) / up_to[-1]
        return (1.0 + up_to[at]) / (1.0 + len(known))

    def predictor(self, *, n_jobs: int | None = 1) -> OutlierPredictor:
        """The fitted detector as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        OutlierPredictor
            With `score_samples`, `decision_function`, `predict` and `feature_contributions`, which have the bits of
            this estimator's.
        """
        check_is_fitted(self)
        return OutlierPredictor._of_learned(vars(self), n_threads(n_jobs))

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
