"""What every estimator shares: data in, training, codes and scores out, state."""

import math
import sys
import warnings
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from types import FrameType, MethodType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from autoenc import __version__, _cache, _core, _data, _predictor, _spec
from autoenc._spec import Spec
from autoenc._threads import n_threads
from autoenc._training import History, Plan, train

# Highest learning rate where none is given.
LEARNING_RATES = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3, "adagrad": 3e-2, "sgd": 5e-2, "lbfgs": 1.0}
SCHEDULES = ("constant", "step", "exponential", "cosine", "one_cycle", "linear", "plateau")
SCALE_RATIO = 1e3  # of standard deviations of columns, above which there is a warning
MOST = 2**31 - 1  # of what is counted: epochs, rows of a batch
MOST_WEIGHTS = 2**55  # with their gradients and the states of the optimiser
FEATURES = ("n_features_in_", "feature_names_in_")
ROWS_AT_ONCE = 4096  # where Python passes over the data


_NAMES = {  # of parameters, by key of a description
    "encoder": "hidden_layer_sizes",
    "decoder": "decoder_hidden_layer_sizes",
    "loss_parameter": "huber_delta",
}
# Folders, with a separator behind.
_NOT_THE_USERS = tuple(str(Path(file).parent / "_")[:-1] for file in (__file__, str(sklearn.__file__)))


def _warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line of the user: the first outside of this package and scikit-learn."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level - (frame is None))


class _NotWithTheseParameters(AttributeError, ValueError):
    """A method cannot work: an AttributeError, so that `hasattr` says so, and a ValueError, because of a parameter."""


class _AvailableIf:
    """A method that is there only where a check passes; the check's own exception tells why it is not."""

    def __init__(self, method: Callable[..., Any], check: Callable[[Any], None]) -> None:
        self._method = method
        self._check = check
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._method
        self._check(instance)
        return MethodType(self._method, instance)


def _can_fit_partially(estimator: Any) -> None:
    for name, value, others in (("solver", "lbfgs", "the other solvers"), ("early_stopping", True, "False")):
        if getattr(estimator, name) == value:
            raise _NotWithTheseParameters(
                f"partial_fit does not go with {name}={value!r}, which needs all rows at once; allowed: {others}"
            )


class _Fit(NamedTuple):
    """What one fit works on."""

    X: Any
    target: Any  # None: X itself
    weights: NDArray[np.float64] | None
    validation: tuple[Any, Any] | None  # X and target

    def sources(self) -> list[Any]:
        return [_data.source(self.X)] + ([] if self.target is None else [_data.source(self.target)])


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the estimators. A subclass has a constructor that assigns, and says by `_describe` what network it
    means."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions(set(_spec.PLAIN_LOSSES))],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "init": [StrOptions(set(_core.INITIALIZERS) - {"zero"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "clip_value": [Interval(Real, 0, None, closed="neither"), None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "solver": [StrOptions(set(LEARNING_RATES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither"), None],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "final_learning_rate_ratio": [Interval(Real, 0, 1, closed="both")],
        "step_size": [Interval(Integral, 1, MOST, closed="both"), None],
        "step_factor": [Interval(Real, 0, 1, closed="right")],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "amsgrad": ["boolean"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, MOST, closed="both")],
        "max_iter": [Interval(Integral, 1, MOST, closed="both")],
        "tol": [Interval(Real, 0, 1, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, MOST, closed="both")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "precision": [StrOptions({"float32", "float64"})],
        "n_jobs": [Integral, None],
        "callbacks": [callable, list, tuple, None],
    }

    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    loss_curve_: list[float]
    n_iter_: int
    _spec: Spec
    # Where partial_fit goes on: arrays by state and parameter, their solver, steps, epochs, seed.
    _optimizer_state: list[NDArray[Any]]
    _solver: str
    _step: int
    _epoch: int
    _seed: int

    def _describe(self, n_features: int, n_outputs: int | None) -> Spec:
        """The network of these parameters: what each estimator of the family answers for itself."""
        raise NotImplementedError(f"{type(self).__name__} must say which network it is")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        if self.loss in _spec.PLAIN_LOSSES:
            tags.input_tags.positive_only = _core.LOSS_TARGETS[_core.LOSSES.index(self.loss)] != "any"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ---- state ----

    def __sklearn_is_fitted__(self) -> bool:
        return "coefs_" in vars(self)

    def __copy__(self) -> Self:
        # Not by __setstate__, which makes arrays read-only that are the user's own where they have been put in.
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state["_autoenc_version"] = __version__
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        written = state.pop("_autoenc_version", __version__)
        if _release(written) > _release(__version__):
            _warn(
                f"this {type(self).__name__} was pickled by autoenc {written}; this is {__version__}, "
                "which may read it wrongly"
            )
        super().__setstate__(state)
        for array in (*state.get("coefs_", ()), *state.get("intercepts_", ())):
            _cache.freeze(array)

    @property
    def _n_features_out(self) -> int:
        return self._spec["n_components"]

    # ---- fitting ----

    def _check_options(self) -> None:
        """What `_parameter_constraints` cannot say: parameters that exclude each other."""
        if self.solver == "lbfgs":
            for name, neutral in (
                ("l1_ratio", 0.0),
                ("dropout", 0.0),
                ("max_norm", None),
                ("clip_value", None),
                ("clip_norm", None),
            ):
                if getattr(self, name) != neutral:
                    raise ValueError(
                        f"{name}={getattr(self, name)!r} does not go with solver='lbfgs', which needs a smooth "
                        f"objective without randomness; allowed: {neutral!r}"
                    )
        for callback in self._callbacks():
            if not callable(callback):
                raise ValueError(
                    f"callbacks has {callback!r}, which is not callable; allowed: a callable or a list of callables"
                )

    def _callbacks(self) -> list[Any]:
        if self.callbacks is None:
            return []
        return [self.callbacks] if callable(self.callbacks) else list(self.callbacks)

    def _batch_size(self, n_rows: int) -> int:
        if self.solver == "lbfgs":
            return n_rows
        if self.batch_size == "auto":
            power = round(math.log2(max(1.0, n_rows / 16)))
            return min(n_rows, max(16, min(256, 2**power)))
        return min(n_rows, int(self.batch_size))

    def _trainer(
        self,
        spec: Spec,
        n_rows: int,
        seed: int,
        *,
        n_epochs: int,
        constant: bool = False,
        keep_best: bool = False,
    ) -> _core.Trainer:
        n_weights = sum((n_in + 1) * n_out for n_in, n_out in _spec.shapes(spec))
        if n_weights > MOST_WEIGHTS:
            sizes = getattr(self, "hidden_layer_sizes", ())
            raise ValueError(
                f"n_components={self.n_components!r} and hidden_layer_sizes={sizes!r} mean {n_weights} weights; "
                f"at most {MOST_WEIGHTS} can be addressed"
            )
        batch = self._batch_size(n_rows)
        steps = -(-n_rows // batch)
        total = n_epochs * steps
        schedule = "constant" if constant or self.learning_rate == "plateau" else self.learning_rate
        graph = _spec.nodes(spec, dropout=float(self.dropout), init=self.init, target=spec["clean"])
        period = self.step_size or max(1, n_epochs // 3)
        return _core.Trainer(
            graph,
            _spec.losses(spec, graph),
            _spec.stages(graph, self.solver),
            precision=_spec.bits(spec),
            n_threads=n_threads(self.n_jobs),
            batch_size=batch,
            seed=seed,
            shuffle=bool(self.shuffle),
            keep_best=keep_best,
            momentum=float(self.momentum) if self.solver == "sgd" else 0.0,
            nesterov=bool(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            amsgrad=bool(self.amsgrad),
            schedule=_core.SCHEDULES.index(schedule),
            rate=float(LEARNING_RATES[self.solver] if self.learning_rate_init is None else self.learning_rate_init),
            final_ratio=float(self.final_learning_rate_ratio),
            factor=float(self.step_factor),
            period=int(period) * steps,
            warmup_steps=0 if constant or schedule == "one_cycle" else round(self.warmup_fraction * total),
            total_steps=total,
            l1=float(self.alpha * self.l1_ratio),
            l2=float(self.alpha * (1.0 - self.l1_ratio)),
            max_norm=math.inf if self.max_norm is None else float(self.max_norm),
            clip_value=math.inf if self.clip_value is None else float(self.clip_value),
            clip_norm=math.inf if self.clip_norm is None else float(self.clip_norm),
        )

    def _check_fit_data(self, X: Any, X_clean: Any, X_val: Any, sample_weight: Any, *, reset: bool) -> _Fit:
        precision = self.precision
        X = _data.check_features(self, X, reset=reset, precision=precision)
        target = None
        if X_clean is None:
            _data.check_target(X, self.loss, "X")
        else:
            target = _data.check_other(X_clean, precision=precision, name="X_clean", n_rows=X.shape[0])
            _data.check_target(target, self.loss, "X_clean")
        weights = _data.check_weights(sample_weight, X)
        validation = None
        if X_val is not None:
            clean = None
            if X_clean is not None:
                if not isinstance(X_val, tuple) or len(X_val) != 2:
                    raise ValueError("with X_clean, X_val must be a tuple of two: features and their clean targets")
                X_val, clean = X_val
            elif isinstance(X_val, tuple):
                raise ValueError(
                    "X_val is a tuple, which is for a fit with X_clean; allowed without X_clean: an array or matrix of "
                    "rows"
                )
            X_val = _data.check_features(self, X_val, reset=False, precision=precision, name="X_val")
            if target is None:
                _data.check_target(X_val, self.loss, "X_val")
            else:
                clean = _data.check_other(
                    clean,
                    precision=precision,
                    name="X_val[1]",
                    n_rows=X_val.shape[0],
                    n_columns=target.shape[1],
                    of="X_clean",
                )
                _data.check_target(clean, self.loss, "X_val[1]")
            validation = (X_val, clean)
        return _Fit(X, target, weights, validation)

    def _hold_out(self, trainer: _core.Trainer, data: _Fit) -> tuple[int, int, int, bool] | None:
        """Binds the data; arguments of `evaluate` for the validation rows."""
        n = data.X.shape[0]
        trainer.bind(0, data.sources(), data.weights)
        if data.validation is not None:
            held = _Fit(*data.validation, None, None)
            trainer.bind(1, held.sources())
            return 1, 0, held.X.shape[0], False
        if not self.early_stopping:
            return None
        n_val = self._n_validation(n)
        trainer.subset(n_val, n - n_val, True)
        return 0, 0, n_val, True

    def _n_validation(self, n: int) -> int:
        n_val = max(1, round(self.validation_fraction * n))
        if n_val >= n:
            raise ValueError(
                f"early_stopping with validation_fraction={self.validation_fraction!r} leaves no training row "
                f"of n_samples = {n}"
            )
        return n_val

    def _start(self, trainer: _core.Trainer, spec: Spec) -> None:
        """Draws the weights, sets the output at the mean, looks at the scales."""
        trainer.initialize()
        mean, variance = trainer.moments(0)
        if _core.LOSS_TARGETS[_core.LOSSES.index(spec["loss"])] == "any":
            self._warn_of_scales(mean, variance)
        if spec["clean"]:
            mean, _ = trainer.moments(1)
        last = len(trainer.parameters()) - 1
        trainer.set(last, np.ascontiguousarray(_spec.start_of_output(spec, mean)[np.newaxis], dtype=_spec.dtype(spec)))

    def _warn_of_scales(self, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
        # A constant column has the rounding errors of its mean's square for a variance.
        varies = variance > 1e-12 * mean * mean
        spread = np.sqrt(variance[varies])
        if spread.size and spread.max() > SCALE_RATIO * spread.min():
            _warn(
                f"the standard deviations of the columns of X reach from {spread.min():.3g} to {spread.max():.3g}: "
                "the loss hardly sees the small ones. Scale the columns first, for instance by StandardScaler in a "
                "pipeline."
            )
        column = int(np.abs(np.where(varies, mean, 0.0)).argmax())
        if spread.size and abs(mean[column]) > SCALE_RATIO * np.median(spread):
            _warn(
                f"column {column} of X has a mean of {mean[column]:.3g}, and the columns have standard deviations of "
                f"about {np.median(spread):.3g}: the first layer sees little but the mean. Centre the columns first, "
                "for instance by StandardScaler in a pipeline."
            )

    def _resume(self, trainer: _core.Trainer, spec: Spec) -> None:
        """Sets the weights of the fitted estimator."""
        old: dict[str, Any] = {**self._spec}
        new: dict[str, Any] = {**spec}
        # Precision may change, and whether there are targets; the rest is the network.
        changed = [
            f"{_NAMES.get(key, key)} from {old[key]!r} to {new[key]!r}"
            for key in new
            if key not in ("precision", "clean") and old[key] != new[key]
        ]
        if changed:
            raise ValueError(
                f"the fitted network differs from what parameters and data now mean: {', '.join(changed)}; training "
                "can only go on with the same (clone the estimator or set warm_start=False to start again)"
            )
        _predictor.build(self._spec, self.coefs_, self.intercepts_, 1)  # refuses weights that are not finite
        dtype = _spec.dtype(spec)
        for i, (weight, bias) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            trainer.set(2 * i, np.asarray(weight, dtype=dtype, order="C"))
            trainer.set(2 * i + 1, np.asarray(bias, dtype=dtype, order="C")[np.newaxis])

    def _withhold_names(self, before: dict[str, Any]) -> dict[str, Any]:
        """Puts back the number and names of features of before; returns those of the new data, for `_learn`."""
        new = {name: self.__dict__.pop(name) for name in FEATURES if name in self.__dict__}
        for name in FEATURES:
            if name in before:
                setattr(self, name, before[name])
        return new

    def _merge(self, data: _Fit) -> _Fit:
        """What is trained on: for L-BFGS equal rows are one."""
        if self.solver != "lbfgs" or data.X.shape[0] > _data.MERGED_ROWS:
            return data
        return _Fit(*_data.merge_rows(data.X, data.target, data.weights), data.validation)

    def _fit(self, X: Any, X_clean: Any, X_val: Any, sample_weight: Any) -> _Fit:
        """`fit` on a fresh or a warm network. Whatever fails leaves the estimator as it was."""
        before = dict(vars(self))
        try:
            self._check_options()
            resumes = bool(self.warm_start) and hasattr(self, "coefs_")
            given = self._check_fit_data(X, X_clean, X_val, sample_weight, reset=True)
            features = self._withhold_names(before)
            spec = self._describe(given.X.shape[1], None if given.target is None else given.target.shape[1])
            data = self._merge(given)
            n = data.X.shape[0]
            validates = self.early_stopping or data.validation is not None
            n_train = n - self._n_validation(n) if self.early_stopping and data.validation is None else n
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            trainer = self._trainer(spec, n_train, seed, n_epochs=int(self.max_iter), keep_best=validates)
            validation = self._hold_out(trainer, data)
            if resumes:
                self._resume(trainer, spec)
            else:
                self._start(trainer, spec)
            plan = Plan(
                max_iter=int(self.max_iter),
                tol=self.tol,
                n_iter_no_change=int(self.n_iter_no_change),
                stop_early=bool(self.early_stopping),
                validation=validation,
                lowest_scale=float(self.final_learning_rate_ratio) if self.learning_rate == "plateau" else None,
                callbacks=self._callbacks(),
                verbose=int(self.verbose),
            )
            try:
                history = train(trainer, plan, self)
            except ValueError as error:
                # The core's word for validation rows whose weights are all zero.
                if validation is None or data.weights is None or "add up to" not in str(error):
                    raise
                raise ValueError(
                    f"early_stopping with validation_fraction={self.validation_fraction!r} held out rows that all have "
                    "a sample_weight of zero; hold out more, or pass validation rows by X_val"
                ) from error
            self._forget()
            self._learn(trainer, spec, history, features)
        except BaseException:
            self.__dict__ = before
            raise
        # What is learned stays, whatever happens from here on.
        if _spec.is_linear(spec):
            try:
                self._find_components(trainer, data)
            except KeyboardInterrupt:
                _warn("fitting was interrupted after the training; the estimator has no components_")
        self._report(history)
        return given

    def _report(self, history: History) -> None:
        if history.error is not None:
            raise history.error
        if history.interrupted and history.best_epoch is not None:
            _warn(
                f"fitting was interrupted after {self.n_iter_} complete epochs; the estimator has the weights of epoch "
                f"{history.best_epoch}, the best on the validation rows"
            )
        elif history.interrupted:
            _warn(f"fitting was interrupted; the estimator is as after {self.n_iter_} complete epochs")
        elif history.converged or len(history.epochs) < self.max_iter:
            return
        elif self.solver == "lbfgs":
            _warn(
                f"lbfgs has not converged within max_iter={self.max_iter} iterations; more may improve the loss",
                ConvergenceWarning,
            )
        elif self.tol is not None:
            _warn(
                f"max_iter={self.max_iter} epochs passed, and the loss was still improving by more than "
                f"tol={self.tol:g}",
                ConvergenceWarning,
            )

    def _forget(self) -> None:
        for name in (
            "validation_loss_curve_",
            "components_",
            "explained_variance_ratio_",
            "_optimizer_state",
            "_solver",
            "_step",
            "_epoch",
            "_seed",
        ):
            self.__dict__.pop(name, None)

    def _learn(self, trainer: _core.Trainer, spec: Spec, history: History, features: dict[str, Any]) -> None:
        self._take_weights(trainer, spec)
        for name in FEATURES:
            self.__dict__.pop(name, None)
        self.__dict__.update(features)
        curve = self.loss_curve_ = history.loss
        self.n_iter_ = len(curve)
        if history.validation_loss:
            curve = self.validation_loss_curve_ = history.validation_loss
        self.best_loss_ = min(curve)

    def _take_weights(self, trainer: _core.Trainer, spec: Spec) -> None:
        arrays = [trainer.get(i) for i in range(len(trainer.parameters()))]
        self._spec = spec
        self.coefs_ = arrays[::2]
        self.intercepts_ = [bias[0].copy() for bias in arrays[1::2]]
        for array in (*self.coefs_, *self.intercepts_):
            _cache.freeze(array)
        self.n_parameters_ = sum(array.size for array in arrays)

    def _find_components(self, trainer: _core.Trainer, data: _Fit) -> None:
        """`components_` of a linear network: principal axes of what it reconstructs.

        The covariance of the codes is summed over blocks of rows about the code of the mean row, so that neither memory
        nor cancellation grows with the rows.
        """
        n = data.X.shape[0]
        trainer.subset(0, n, False)
        _, variance = trainer.moments(0 if data.target is None else 1)
        core = self._core_predictor()
        code = _spec.code_node(self._spec)
        k = self._spec["n_components"]
        decoder = np.eye(k)
        for weight in self.coefs_[len(self._spec["encoder"]) + 1 :]:
            decoder = decoder @ weight.astype(np.float64)
        origin = None
        square, total, weight_sum = np.zeros((k, k)), np.zeros(k), 0.0
        for first in range(0, n, ROWS_AT_ONCE):
            rows = data.X[first : first + ROWS_AT_ONCE]
            codes = core.run((_data.source(rows),), code, dtype=np.float64)
            if origin is None:
                origin = codes.mean(axis=0)
            codes -= origin
            weights = np.ones(len(codes)) if data.weights is None else data.weights[first : first + ROWS_AT_ONCE]
            weighted = codes * weights[:, np.newaxis]
            square += codes.T @ weighted
            total += weighted.sum(axis=0)
            weight_sum += weights.sum()
        mean = total / weight_sum
        u, s, _ = _core.svd(np.ascontiguousarray(square / weight_sum - np.outer(mean, mean)))
        _, singular, axes = _core.svd(np.ascontiguousarray((np.sqrt(s)[:, np.newaxis] * u.T) @ decoder))
        largest = np.abs(axes).argmax(axis=1)
        axes *= np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, np.newaxis]
        self.components_ = axes.astype(_spec.dtype(self._spec))
        whole = variance.sum()
        self.explained_variance_ratio_ = singular**2 / whole if whole > 0 else np.zeros_like(singular)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, X_clean: Any = None, X_val: Any = None, sample_weight: Any = None) -> Self:
        """Fit the network to rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. float32, float64 and uint8 arrays and CSR matrices are read in place, never copied or
            changed; only ``solver="lbfgs"`` copies up to 65,536 rows (see Notes).
        y : ignored
            For pipelines, which pass labels to every step.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What each row is to be turned into, for instance the row without its noise. It may have another number of
            columns. Default: X.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Rows to validate on; they take the place of `validation_fraction`. With X_clean a tuple of two, the rows and
            their clean targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows in loss and means. Only their ratios count.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where a parameter or the data is not allowed; the message names it, its value and what is allowed.
        DivergenceError
            Where the loss became infinite or NaN. The estimator keeps the last complete epoch.

        Notes
        -----
        Ctrl-C ends the fit with a warning and leaves the estimator as of the last complete epoch; before the end of the
        first, KeyboardInterrupt is raised and the estimator is as it was. Where rows are held out the best epoch
        counts, not the last.

        With ``solver="lbfgs"`` and up to 65,536 rows, rows without weight are left out and equal rows (with equal rows
        of X_clean) are merged into one of their summed weights, in an order that depends on the rows alone; rows are
        held out among the merged ones. A repeated row is then the same as a weighted one to the bit: the objective is
        the same anyway, but rounding differences grow with the iterations. With more rows they are read in place, and
        the two agree up to rounding. The other solvers draw minibatches from the rows as they are.

        There is no argument for conditions, that is for inputs that are known and not to be restored: append them to X
        as columns and pass the rows without them as X_clean.
        """
        self._fit(X, X_clean, X_val, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self, X: Any, y: Any = None, *, X_clean: Any = None, X_val: Any = None, sample_weight: Any = None
    ) -> NDArray[Any]:
        """Fit to X and return its codes: the same as ``fit(X, ...).transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : ignored
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What each row is to be turned into. Default: X.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), default=None
            Rows to validate on; with X_clean a tuple of two, the rows and their clean targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        data = self._fit(X, X_clean, X_val, sample_weight)
        return self._run(data.X, _spec.code_node(self._spec))

    @partial(_AvailableIf, check=_can_fit_partially)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> Self:
        """One pass over X at a constant rate of `learning_rate_init`, going on from where the last call stopped.

        The first call draws the weights and starts the output at the means of X. After `fit` it goes on with its
        weights and a fresh optimiser. `n_iter_` and `loss_curve_` count passes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of this pass.
        y : ignored
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            With ``solver="lbfgs"``, ``early_stopping=True``, after a fit with X_clean, or where parameters that
            describe the network have changed.
        KeyboardInterrupt
            By Ctrl-C. A pass that was complete is kept; within a pass the estimator stays as it was.
        """
        before = dict(vars(self))
        try:
            trainer, data, interrupted = self._partial_fit(X, sample_weight, before)
        except BaseException:
            self.__dict__ = before
            raise
        if interrupted:
            raise KeyboardInterrupt
        if _spec.is_linear(self._spec):
            self._find_components(trainer, data)
        return self

    def _partial_fit(self, X: Any, sample_weight: Any, before: dict[str, Any]) -> tuple[_core.Trainer, _Fit, bool]:
        self._check_options()
        first = not hasattr(self, "coefs_")
        if not first and self._spec["clean"]:
            raise ValueError("partial_fit does not go on after a fit with X_clean: it takes no targets")
        data = self._check_fit_data(X, None, None, sample_weight, reset=first)
        features = self._withhold_names(before)
        spec = self._describe(data.X.shape[1], None)
        goes_on = not first and getattr(self, "_solver", None) == self.solver
        seed = self._seed if goes_on else int(check_random_state(self.random_state).randint(2**31 - 1))
        trainer = self._trainer(spec, data.X.shape[0], seed, n_epochs=1, constant=True)
        self._hold_out(trainer, data)
        if first:
            self._start(trainer, spec)
        else:
            self._resume(trainer, spec)
        n_parameters = len(trainer.parameters())
        if goes_on and len(self._optimizer_state) == trainer.n_state * n_parameters:
            for i, array in enumerate(self._optimizer_state):
                value = np.asarray(array, dtype=_spec.dtype(spec), order="C")
                trainer.set_state(i // n_parameters, i % n_parameters, value)
            trainer.seek(self._step, self._epoch)
        loss_curve = list(self.loss_curve_) if goes_on else []
        history = train(trainer, Plan(max_iter=1, callbacks=self._callbacks(), verbose=int(self.verbose)), self)
        self._forget()
        history.earlier = loss_curve
        self._learn(trainer, spec, history, features)
        self._optimizer_state = [
            trainer.get_state(which, i) for which in range(trainer.n_state) for i in range(n_parameters)
        ]
        self._step, self._epoch = trainer.position()
        self._seed, self._solver = seed, self.solver
        return trainer, data, history.interrupted

    # ---- the fitted network ----

    def _core_predictor(self) -> _core.Predictor:
        return _cache.core_predictor(self, self._spec, self.coefs_, self.intercepts_)

    def _run(self, X: Any, node: int, what: int = _core.VALUES, *, start: int = -1, target: Any = None) -> NDArray[Any]:
        """Runs checked rows through the network."""
        values = X.data if sp.issparse(X) else X
        out = values.dtype if values.dtype.kind == "f" else _spec.dtype(self._spec)
        sources = [_data.source(X)] + ([] if target is None else [_data.source(target)])
        return self._core_predictor().run(sources, node, what, from_node=start, dtype=out)

    def _check(self, X: Any) -> Any:
        if not hasattr(self, "coefs_"):  # check_is_fitted asks for all tags first, which takes longer than one row
            check_is_fitted(self)
        return _data.check_features(self, X, reset=False, precision=self._spec["precision"])

    def transform(self, X: Any) -> NDArray[Any]:
        """Codes of rows.

        A row's code does not depend on the other rows of the call, on their order or on the number of threads, to the
        bit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            float32 for float32, float64 for float64, `precision` for everything else.
        """
        X = self._check(X)
        return self._run(X, _spec.code_node(self._spec))

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Reconstructions from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        check_is_fitted(self)
        k = self._spec["n_components"]
        X = _data.check_other(X, precision=self._spec["precision"], name="X", n_columns=k, of="a code")
        return self._run(X, _spec.output_node(self._spec), _core.LINKED, start=_spec.code_node(self._spec))

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """Reconstructions of rows: `transform`, then `inverse_transform`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            On the scale of the data: after the loss's link, where it has one.
        """
        X = self._check(X)
        return self._run(X, _spec.output_node(self._spec), _core.LINKED)

    def _compare(self, X: Any, X_clean: Any, what: int) -> NDArray[Any]:
        X = self._check(X)
        spec, clean = self._spec, None
        if X_clean is not None:
            clean = _data.check_other(
                X_clean,
                precision=spec["precision"],
                name="X_clean",
                n_rows=X.shape[0],
                n_columns=spec["n_outputs"],
                of="the reconstruction",
            )
        elif spec["n_outputs"] != spec["n_features"]:
            raise ValueError(
                f"X_clean is needed: the reconstruction has {spec['n_outputs']} features and X {spec['n_features']}"
            )
        _data.check_target(X if clean is None else clean, spec["loss"], "X" if clean is None else "X_clean")
        return self._run(X, _spec.output_node(spec), what, target=X if clean is None else clean)

    def score_samples(self, X: Any, *, X_clean: Any = None) -> NDArray[np.float64]:
        """Minus the loss of each row: the mean of its `feature_errors`, negated. Higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction is compared with. Default: X.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return -self._compare(X, X_clean, _core.LOSS)

    def feature_errors(self, X: Any, *, X_clean: Any = None) -> NDArray[Any]:
        """The nonnegative terms of the loss, by feature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction is compared with. Default: X.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        return self._compare(X, X_clean, _core.TERMS)

    def score(self, X: Any, y: Any = None, *, X_clean: Any = None, sample_weight: Any = None) -> float:
        """Mean of `score_samples`: minus the loss, without penalties and dropout. Higher is better.

        It is in the unit of the loss, so that estimators of different `loss` or `huber_delta` cannot be compared by it:
        a grid search over those needs a scorer of its own.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : ignored
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_outputs), default=None
            What the reconstruction is compared with. Default: X.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        float
        """
        scores = self.score_samples(X, X_clean=X_clean)
        return float(np.average(scores, weights=_data.check_weights(sample_weight, scores)))

    def predictor(self, *, n_jobs: int | None = 1) -> _predictor.Predictor:
        """The fitted network as an object that needs neither scikit-learn nor SciPy, with little overhead for one row.

        Parameters
        ----------
        n_jobs : int or None, default=1
            Threads of a call, as the parameter of the same name.

        Returns
        -------
        Predictor
            Callable on one row or many; its codes have the bits of `transform`.
        """
        check_is_fitted(self)
        return _predictor.Predictor(self._spec, self.coefs_, self.intercepts_, n_threads(n_jobs))


def _release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
