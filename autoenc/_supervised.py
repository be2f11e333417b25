"""Autoencoders with a supervised head: pretrained on all rows, labelled or not, then fine-tuned on the labels."""

from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import _check_y, check_consistent_length, check_is_fitted, column_or_1d

from autoenc import _checkpoint, _spec
from autoenc._autoencoder import Autoencoder
from autoenc._available import NotWithTheseParameters, available_if
from autoenc._base import MOST
from autoenc._checks import on_host
from autoenc._condition import listed
from autoenc._declare import estimator
from autoenc._decorators import fit_context
from autoenc._fitting import FEATURES, LEARNING_RATES, FitData, Rows
from autoenc._labels import Labels, finite_columns, has_label, numbers, weights_of
from autoenc._options import OneOf, RuleName
from autoenc._predictors import (
    HEAD,
    PROBABILITIES,
    ClassifierPredictor,
    RegressorPredictor,
    log_probabilities,
    of_standardised,
)
from autoenc._spec import Graph, Range, Spec, Stage, Term
from autoenc._training import History
from autoenc.callbacks import FINE_TUNE

LABELS = "labels"


@estimator
class _Supervised(Autoencoder):
    """What classifier and regressor share: a head behind the code, and the second training."""

    fine_tune_max_iter: int = 100
    fine_tune_learning_rate_init: float | None = 1e-3
    reconstruction_weight: float = 0.0
    solver: RuleName | Literal["lbfgs"] = "adamw"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Autoencoder._parameter_constraints,
        "solver": [OneOf(set(LEARNING_RATES) - {"kfac"})],
        "fine_tune_max_iter": [Interval(Integral, 1, MOST, closed="both")],
        "fine_tune_learning_rate_init": [Interval(Real, 0, None, closed="neither"), None],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
    }

    def _add_head(self, graph: Graph, node: str, source: int) -> Term:
        """Adds what is behind the head and its term; labels are the source of that number."""
        raise NotImplementedError(f"{type(self).__name__} must say what its head is for")

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        code, decoded = super()._add_code(graph, node)
        self._dense(graph, HEAD, decoded, self._n_targets, "identity")
        return code, decoded

    def _describe(
        self, n_features: int, n_outputs: int | None, n_conditions: int, ranges: list[Range] | None = None
    ) -> Spec:
        spec = super()._describe(n_features, n_outputs, n_conditions, ranges)
        spec["settings"]["columns of y"] = self._n_targets
        return spec

    def _fine_tuned(self, spec: Spec) -> Spec:
        """The same network, trained for the labels."""
        graph = Graph()
        graph.nodes, graph.widths = list(spec["nodes"]), _spec.widths(spec["nodes"])
        at = next(i for i, node in enumerate(graph.nodes) if node["name"] == HEAD)
        behind = graph.nodes[at + 1 :]
        del graph.nodes[at + 1 :]
        term = self._add_head(graph, HEAD, 1 + (spec["n_conditions"] > 0) + spec["clean"])
        last_of_head = graph.nodes[-1]["name"]
        graph.nodes += behind
        reconstruction = [
            Term(**{**one, "weight": one["weight"] * self.reconstruction_weight}) for one in spec["objective"]
        ]
        objective = [term, *(reconstruction if self.reconstruction_weight > 0.0 else ())]
        last = last_of_head if len(objective) == 1 else graph.nodes[-1]["name"]
        stage = Stage(last=last, terms=(0, len(objective)), groups=1, rate_factor=1.0)
        return Spec(**{**spec, "nodes": graph.nodes, "objective": objective, "stages": [stage], "kept": graph.kept})

    def _labelled(self, rows: Rows, labels: Labels) -> Rows:
        """Rows of the second training: those with a label, or all where they are restored too."""
        whole = rows._replace(labels=labels.targets)
        return whole if self.reconstruction_weight > 0.0 else whole.some(labels.known)

    def _n_epochs(self) -> int:
        return int(self.max_iter) + int(self.fine_tune_max_iter)

    def _fit_both(self, data: FitData, labels: Labels, validation: Labels | None, given: tuple[Any, Any]) -> History:
        """Both trainings on checked rows and labels, which are those `given` to the fit; how the second went."""
        self._check_options()
        self._n_targets = labels.targets.shape[1]
        spec = self._description(data.rows)
        labelled = data._replace(rows=data.rows._replace(labels=labels.targets))
        if validation is not None and data.validation is not None:
            labelled = labelled._replace(validation=data.validation._replace(labels=validation.targets))
        (seed,) = _checkpoint.seeds([int(check_random_state(self.random_state).randint(2**31 - 1))], labelled)
        resumes = self.warm_start and hasattr(self, "coefs_")
        initial = None if resumes else self._initial(data, seed)
        trainer, history = self._run_fit(spec, self._merge(data), seed, resumes=resumes, initial=initial, given=given)
        if history.interrupted:
            raise KeyboardInterrupt  # without its second training the head says nothing
        if history.error is not None:
            raise history.error
        pretrained = {name: trainer.get(i) for i, (name, _, _) in enumerate(trainer.parameters())}
        weights = data.weights
        if weights is not None and self.reconstruction_weight == 0.0:
            weights = weights[labels.known]
        held_out = None
        if validation is not None:
            assert data.validation is not None
            held_out = self._labelled(data.validation, validation)
        tuned = self._fine_tuned(spec)
        features = {name: self.__dict__[name] for name in FEATURES if name in vars(self)}
        trainer, further = self._run_fit(
            tuned,
            self._merge(FitData(self._labelled(data.rows, labels), weights, held_out)),
            seed,
            initial=pretrained,
            max_iter=self.fine_tune_max_iter,
            rate=self.fine_tune_learning_rate_init,
            given=given,
            features=features,
            training=FINE_TUNE,
        )
        self._forget()
        self._learn(trainer, tuned, history, features)
        self.fine_tune_loss_curve_ = further.loss
        if further.validation_loss:
            self.fine_tune_validation_loss_curve_ = further.validation_loss
        self._after_fit(trainer, data)
        return further

    def _cannot(self) -> None:
        raise NotWithTheseParameters(
            f"{type(self).__name__} has no partial_fit: its second training starts from the weights of the first"
        )

    @available_if(_cannot)
    def partial_fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]  # it never runs
        """Not available: the second training starts from the weights of the first.

        Parameters
        ----------
        X, y : ignored
            The names that `partial_fit` of other estimators has.

        Raises
        ------
        AttributeError
            Always, and before it is called.
        """
        raise NotImplementedError

    set_partial_fit_request = available_if(_cannot)(Autoencoder.set_partial_fit_request)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(  # type: ignore[override]  # y is needed: there is no learning from labels without
        self,
        X: Any,
        y: Any,
        *,
        X_clean: Any = None,
        condition: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
    ) -> Self:
        self._begin_fit(X, y)
        before = dict(vars(self))
        try:
            data = self._check_fit_data(X, X_clean, condition, X_val, sample_weight, reset=True)
            labels = self._read_labels(y, data, before)
            validation = None
            if y_val is not None:
                if data.validation is None:
                    raise ValueError("y_val is given without X_val; allowed are both, X_val alone or none")
                validation = self._read_validation(y_val, data.validation.X.shape[0])
                if not validation.known.any():
                    raise ValueError("no row of y_val has a label; without y_val, X_val is for the first training")
            with _checkpoint.checkpointing(self, checkpoint, checkpoint_every, resume):
                further = self._fit_both(data, labels, validation, (X, y))
        except BaseException:
            self.__dict__ = before
            raise
        # What is learned stays, whatever happens from here on.
        self._end_fit(X, y)
        self._report(further)
        return self

    def _read_labels(self, y: Any, data: FitData, before: dict[str, Any]) -> Labels:
        """y checked, and what is learned of it kept."""
        raise NotImplementedError(f"{type(self).__name__} must say what its y is")

    def _read_validation(self, y: Any, n_rows: int) -> Labels:
        """y of validation rows, as that of the training rows has been read."""
        raise NotImplementedError(f"{type(self).__name__} must say what its y is")

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        X_clean: Any = None,
        condition: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
    ) -> NDArray[Any]:
        """Fit to X and y and return the codes: the same as ``fit(X, y, ...).transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            As in `fit`.
        X_clean, condition, X_val, y_val, sample_weight, checkpoint : default=None
            As in `fit`.
        checkpoint_every, resume : int, bool, default=10, False
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            As `transform` gives them.
        """
        self.fit(
            X,
            y,
            X_clean=X_clean,
            condition=condition,
            X_val=X_val,
            y_val=y_val,
            sample_weight=sample_weight,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )
        return self.transform(X, condition=condition)

    def _head(self, X: Any, node: str, condition: Any) -> NDArray[Any]:
        X = self._check(X, finite=False)
        return self._of_rows(X, condition, node)


@estimator
class AutoencoderClassifier(ClassifierMixin, _Supervised):
    """Classifier that learns its features from all rows and the classes from those that have a label.

    An autoencoder is fitted to all rows; then its encoder, with a softmax layer behind the code, is fine-tuned on the
    labelled rows by cross-entropy (a sum over classes and a mean over rows, in nats) [1]_. With few labels among many
    rows the features are better than the labels alone could make them.

    Parameters
    ----------
    n_components : int, default=64
        Features of the code, which the softmax layer sees.
    unlabeled_label : int, str or None, default=-1
        The entry of y that stands for "no label". None: every row has one.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the cross-entropy, as in scikit-learn.
    fine_tune_max_iter : int, default=100
        Epochs of the second training; `max_iter` are those of the first.
    fine_tune_learning_rate_init : float or None, default=1e-3
        Highest learning rate of the second training. None: as `learning_rate_init`.
    reconstruction_weight : float, default=0.0
        Weight of the reconstruction beside the cross-entropy in the second training, in which all rows then take part.
        With 0 the decoder stays as the first training left it while the encoder moves on: set it where reconstructions
        or scores of rows are wanted too.
    <latent_activation>
    <reconstruction>
    <sparsity>
    <contraction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; without `unlabeled_label`.
    fine_tune_loss_curve_ : list of float
        Loss of each epoch of the second training; `loss_curve_` is that of the first.
    fine_tune_validation_loss_curve_ : list of float
        Loss of its validation rows after each epoch. Only where there are some.
    <learned>

    See Also
    --------
    AutoencoderRegressor : The same for numbers.
    sklearn.semi_supervised.SelfTrainingClassifier : Any classifier, trained on its own predictions.

    References
    ----------
    .. [1] Hinton, G. E. and Salakhutdinov, R. R. (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import AutoencoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 10 == 0, y, -1)
    >>> model = AutoencoderClassifier(max_iter=30, random_state=0).fit(X / 16, few)
    >>> model.score(X / 16, y) > 0.85
    True
    """

    n_components: int = field(default=64, kw_only=False)
    unlabeled_label: int | str | None = -1
    class_weight: dict[Any, float] | Literal["balanced"] | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_Supervised._parameter_constraints,
        "unlabeled_label": [Integral, str, None],
        "class_weight": [dict, OneOf({"balanced"}), None],
    }

    def _add_head(self, graph: Graph, node: str, source: int) -> Term:
        graph.kept = (graph.add("activation", PROBABILITIES, node, activation="softmax"),)
        labels = graph.add("input", LABELS, width=self._n_targets, source=source)
        # The core's mean over classes, times their number, is the cross-entropy.
        return Term(loss="multinomial", prediction=node, target=labels, weight=float(self._n_targets), parameter=1.0)

    def _labels(self, y: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Labels, checked, and which rows have one."""
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        none = self.unlabeled_label
        labelled = has_label(y, none)
        if not labelled.all() and {-1, 1} == set(unique_labels(y).tolist()) and none == -1:
            raise ValueError(
                "y has the labels -1 and 1, and unlabeled_label=-1 says that -1 means no label; with two classes -1 "
                "and 1 set unlabeled_label=None"
            )
        if not labelled.any():
            raise ValueError(f"no row of y has a label: all are unlabeled_label={none!r}; at least one must have one")
        return y, labelled

    def _read_labels(self, y: Any, data: FitData, before: dict[str, Any]) -> Labels:
        y = _check_y(on_host(y, "y"), multi_output=False, y_numeric=False, estimator=self)
        if len(y) != data.rows.X.shape[0]:
            raise ValueError(f"y has {len(y)} entries and X has {data.rows.X.shape[0]} rows; they must be pairs")
        y, labelled = self._labels(y)
        if data.weights is not None and not data.weights[labelled].any():
            raise ValueError("sample_weight is zero for every row with a label; at least one weight must be positive")
        classes = np.unique(y[labelled])
        known = before.get("classes_", classes)
        if self.warm_start and "coefs_" in before and not np.array_equal(classes, known):
            raise ValueError(
                f"warm_start=True needs the classes of the fit before, {known.tolist()}; y has {classes.tolist()}"
            )
        self.classes_, self._unlabeled = classes, self.unlabeled_label
        weights = np.ones(len(self.classes_))
        if self.class_weight is not None:
            weights = self._class_weights(y[labelled], None if data.weights is None else data.weights[labelled])
            if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
                raise ValueError(
                    f"class_weight={self.class_weight!r} gives the classes the weights {weights.tolist()}; allowed "
                    "are finite numbers of at least 0, not all of them 0"
                )
        self._weights_of_classes = weights
        return self._one_hot(y, labelled)

    def _class_weights(self, y: NDArray[Any], sample_weight: Any) -> NDArray[np.float64]:
        if sample_weight is None or not (isinstance(self.class_weight, str) and self.class_weight == "balanced"):
            return np.asarray(compute_class_weight(self.class_weight, classes=self.classes_, y=y))
        # Of weights, as of so many rows: compute_class_weight counts them only in newer releases of scikit-learn.
        of_class = np.array([sample_weight[y == label].sum() for label in self.classes_])
        with np.errstate(divide="ignore"):
            balanced: NDArray[np.float64] = of_class.sum() / (len(of_class) * of_class)
        return balanced

    def _one_hot(self, y: NDArray[Any], labelled: NDArray[np.bool_]) -> Labels:
        targets = np.zeros((len(y), len(self.classes_)), np.float32)
        at = np.searchsorted(self.classes_, y[labelled])
        targets[np.flatnonzero(labelled), at] = self._weights_of_classes[at]
        return Labels(targets, labelled)

    def _read_validation(self, y: Any, n_rows: int) -> Labels:
        y = column_or_1d(on_host(y, "y_val"))
        if len(y) != n_rows:
            raise ValueError(f"y_val has {len(y)} entries and X_val has {n_rows} rows; they must be pairs")
        if (y.dtype.kind in "biuf") != (self.classes_.dtype.kind in "biuf"):
            raise ValueError(f"y_val is of type {y.dtype} and y of {self.classes_.dtype}; they must have labels alike")
        labelled = has_label(y, self._unlabeled)
        unknown = np.setdiff1d(y[labelled], self.classes_)
        if len(unknown):
            raise ValueError(f"y_val has labels that y has not: {listed(unknown)}; allowed are {listed(self.classes_)}")
        return self._one_hot(y, labelled)

    def fit(  # type: ignore[override]  # y is needed: there is no learning from labels without
        self,
        X: Any,
        y: Any,
        *,
        X_clean: Any = None,
        condition: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
    ) -> Self:
        """Fit to rows, of which some or all have labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Labels; `unlabeled_label` where there is none.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction of each row is to be. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row and not to be restored, labels or numbers, as in `Autoencoder`. The encoder
            gets it beside the row, and with it the head; every later method wants it too.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Rows to validate the first training on, which keeps the weights of its best epoch. With X_clean or condition
            a tuple: the rows, their clean targets, their conditions, in this order.
        y_val : array-like of shape (n_validation,), default=None
            Their labels, as y; the second training then keeps the weights of its best epoch on those that have one.
            Without y_val the second training validates on nothing, or with `early_stopping` on `validation_fraction` of
            its own rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows, in both trainings.
        checkpoint, checkpoint_every, resume : str, path-like or None, int, bool, default=None, 10, False
            A file to go on from after a kill, as in `Autoencoder.fit`.

        Returns
        -------
        self
            The fitted estimator itself.
        """
        return super().fit(
            X,
            y,
            X_clean=X_clean,
            condition=condition,
            X_val=X_val,
            y_val=y_val,
            sample_weight=sample_weight,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )

    def predict_proba(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._head(X, PROBABILITIES, condition)

    def predict_log_proba(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """Logarithms of `predict_proba`, exact where those are tiny.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        X = self._check(X)
        condition = self._check_condition(condition, X.shape[0])
        logits = self._run(X, HEAD, condition=condition, dtype=_spec.dtype(self._spec))
        dtype = X.dtype if X.dtype.kind == "f" else logits.dtype
        return log_probabilities(logits, self._run(logits, PROBABILITIES, start=HEAD, dtype=dtype))

    def predict(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """The most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples,)
            Of `classes_`, and of their type.
        """
        best = self._head(X, HEAD, condition).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predictor(self, *, n_jobs: int | None = 1) -> ClassifierPredictor:
        """The fitted network as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        ClassifierPredictor
            Also with `predict`, `predict_proba` and `predict_log_proba`.
        """
        return self._predictor_of(ClassifierPredictor, n_jobs)

    def score(  # type: ignore[override]
        self, X: Any, y: Any, sample_weight: Any = None, *, condition: Any = None
    ) -> float:
        """Share of the rows whose class is predicted, those without a label left out.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        float
            From 0 to 1.
        """
        check_is_fitted(self)
        X, y, sample_weight = on_host(X, "X"), column_or_1d(on_host(y, "y")), on_host(sample_weight, "sample_weight")
        check_consistent_length(X, y, sample_weight)
        known = has_label(y, self._unlabeled)
        if not known.any():
            raise ValueError(
                f"no row of y has a label: all are unlabeled_label={self._unlabeled!r}; at least one must have one"
            )
        weight = weights_of(known, sample_weight, X)
        return float(accuracy_score(y[known], self.predict(X, condition=condition)[known], sample_weight=weight))


@estimator
class AutoencoderRegressor(RegressorMixin, _Supervised):
    """Regressor that learns its features from all rows and the numbers from those that have one.

    An autoencoder is fitted to all rows; then its encoder, with a linear layer behind the code, is fine-tuned on the
    rows whose y is known by squared error (a mean over the columns of y), with y standardised inside [1]_.

    Parameters
    ----------
    n_components : int, default=64
        Features of the code, which the linear layer sees.
    fine_tune_max_iter : int, default=100
        Epochs of the second training; `max_iter` are those of the first.
    fine_tune_learning_rate_init : float or None, default=1e-3
        Highest learning rate of the second training. None: as `learning_rate_init`.
    reconstruction_weight : float, default=0.0
        Weight of the reconstruction beside the error of y in the second training, in which all rows then take part.
        With 0 the decoder stays as the first training left it while the encoder moves on: set it where reconstructions
        or scores of rows are wanted too.
    <latent_activation>
    <reconstruction>
    <sparsity>
    <contraction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    fine_tune_loss_curve_ : list of float
        Loss of each epoch of the second training; `loss_curve_` is that of the first.
    fine_tune_validation_loss_curve_ : list of float
        Loss of its validation rows after each epoch. Only where there are some.
    <learned>

    See Also
    --------
    AutoencoderClassifier : The same for classes.

    References
    ----------
    .. [1] Hinton, G. E. and Salakhutdinov, R. R. (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from autoenc import AutoencoderRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 2 == 0, y, np.nan)
    >>> model = AutoencoderRegressor(max_iter=20, fine_tune_max_iter=20, random_state=0).fit(scale(X), few)
    >>> model.score(scale(X), y) > 0.3
    True
    """

    n_components: int = field(default=64, kw_only=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _add_head(self, graph: Graph, node: str, source: int) -> Term:
        graph.kept = (node,)
        labels = graph.add("input", LABELS, width=self._n_targets, source=source)
        known = graph.add("observed", "labels_observed", labels)
        present = graph.add("present", "labels_present", labels)
        return Term(
            loss="squared_error", prediction=node, target=known, weight=1.0, parameter=1.0, entry_weight=present
        )

    def _read_labels(self, y: Any, data: FitData, before: dict[str, Any]) -> Labels:
        if y is None:
            _check_y(y, estimator=self)
        y = numbers(y)
        n = data.rows.X.shape[0]
        if y.ndim not in (1, 2) or len(y) != n:
            raise ValueError(f"y has shape {y.shape} and X has {n} rows; allowed are one or more columns of rows")
        columns = finite_columns(y, "y")
        if np.isnan(columns).all(axis=0).any():
            raise ValueError("a column of y has no value at all: all are NaN; at least one must be known")
        self._flat = y.ndim == 1
        weights = data.weights
        share = np.where(np.isnan(columns), 0.0, 1.0 if weights is None else weights[:, np.newaxis])
        if not share.any(axis=0).all():
            raise ValueError("a column of y has no value in rows of positive sample_weight; at least one must be known")
        filled = np.where(np.isnan(columns), 0.0, columns)
        self._y_mean = np.average(filled, axis=0, weights=share)
        spread = np.sqrt(np.average((filled - self._y_mean) ** 2, axis=0, weights=share))
        self._y_scale = np.where(spread > 0.0, spread, 1.0)
        return self._standardised(columns)

    def _standardised(self, columns: NDArray[np.float64]) -> Labels:
        targets = ((columns - self._y_mean) / self._y_scale).astype(_spec.real_type(self.precision))
        return Labels(targets, np.asarray(np.isfinite(columns).any(axis=1)))

    def _read_validation(self, y: Any, n_rows: int) -> Labels:
        y = numbers(y)
        shape = (n_rows,) if self._flat else (n_rows, len(self._y_mean))
        if y.shape != shape:
            raise ValueError(f"y_val has shape {y.shape}; the {n_rows} rows of X_val and y need {shape}")
        return self._standardised(finite_columns(y, "y_val"))

    def fit(  # type: ignore[override]  # y is needed: there is no learning from labels without
        self,
        X: Any,
        y: Any,
        *,
        X_clean: Any = None,
        condition: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight: Any = None,
        checkpoint: _checkpoint.File | None = None,
        checkpoint_every: int = _checkpoint.EVERY,
        resume: bool = False,
    ) -> Self:
        """Fit to rows, of which some or all have a y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers; NaN where there is none.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction of each row is to be. Default: X.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row and not to be restored, labels or numbers, as in `Autoencoder`. The encoder
            gets it beside the row, and with it the head; every later method wants it too.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Rows to validate the first training on, which keeps the weights of its best epoch. With X_clean or condition
            a tuple: the rows, their clean targets, their conditions, in this order.
        y_val : array-like of shape (n_validation,) or (n_validation, n_targets), default=None
            Their numbers, as y; the second training then keeps the weights of its best epoch on those that have one.
            Without y_val the second training validates on nothing, or with `early_stopping` on `validation_fraction` of
            its own rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows, in both trainings.
        checkpoint, checkpoint_every, resume : str, path-like or None, int, bool, default=None, 10, False
            A file to go on from after a kill, as in `Autoencoder.fit`.

        Returns
        -------
        self
            The fitted estimator itself.
        """
        return super().fit(
            X,
            y,
            X_clean=X_clean,
            condition=condition,
            X_val=X_val,
            y_val=y_val,
            sample_weight=sample_weight,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )

    def predict(self, X: Any, *, condition: Any = None) -> NDArray[Any]:
        """Numbers for rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            As y was in the fit; float32 for float32, float64 for float64, `precision` for everything else.
        """
        head = self._head(X, HEAD, condition)
        numbers: NDArray[Any] = of_standardised(head, self._y_mean, self._y_scale, self._flat)
        return numbers

    def predictor(self, *, n_jobs: int | None = 1) -> RegressorPredictor:
        """The fitted network as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        RegressorPredictor
            Also with `predict`.
        """
        return self._predictor_of(RegressorPredictor, n_jobs)

    def score(  # type: ignore[override]
        self, X: Any, y: Any, sample_weight: Any = None, *, condition: Any = None
    ) -> float:
        """Coefficient of determination on the rows whose y is known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their numbers; NaN where there is none.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        condition : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_conditions), default=None
            What is known about each row, labels or numbers, where the fit had it.

        Returns
        -------
        float
            1 at best; 0 where the mean of y would do as well.
        """
        check_is_fitted(self)
        X, y, sample_weight = on_host(X, "X"), numbers(y), on_host(sample_weight, "sample_weight")
        check_consistent_length(X, y, sample_weight)
        known = np.isfinite(y.reshape(len(y), -1)).all(axis=1)
        if not known.any():
            raise ValueError("no row of y has all its values: at least one must be without NaN")
        weight = weights_of(known, sample_weight, X)
        return float(r2_score(y[known], self.predict(X, condition=condition)[known], sample_weight=weight))
