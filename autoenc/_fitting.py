"""How an estimator is fitted: data checked, a trainer built and started, epochs run, what was learned kept."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from autoenc import _cache, _checkpoint, _columns, _condition, _core, _data, _predictor, _spec
from autoenc._archive import cut
from autoenc._available import NotWithTheseParameters
from autoenc._spec import Range, Spec
from autoenc._start import start_of_output
from autoenc._threads import n_threads
from autoenc._training import History, Plan, check_callbacks, train
from autoenc._warn import warn
from autoenc._watched import Watched
from autoenc.callbacks import FIT

# Highest learning rate where none is given.
LEARNING_RATES = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3, "adagrad": 3e-2, "sgd": 5e-2, "lbfgs": 1.0, "kfac": 1.0}
# What solvers that are no update rule need, and what therefore goes with none of them, with the value without effect.
NEEDS = {
    "lbfgs": "a smooth objective without randomness",
    "kfac": "one chain of dense layers and the gradient of its loss as it is",
}
SMOOTH = (("l1_ratio", 0.0), ("dropout", 0.0), ("max_norm", None), ("clip_value", None), ("clip_norm", None))
SCHEDULES = ("constant", "step", "exponential", "cosine", "one_cycle", "linear", "plateau")
SCALE_RATIO = 1e3  # of standard deviations of columns, above which there is a warning
MOST_WEIGHTS = 2**55  # with their gradients and the states of the optimiser
# Found with the data.
FEATURES = ("n_features_in_", "feature_names_in_", "condition_categories_", "condition_names_in_")
ROWS_AT_ONCE = 4096  # where Python passes over the data


def can_fit_partially(model: Any) -> None:
    needs = {
        ("solver", "lbfgs"): ("all rows at once", "the other solvers"),
        ("solver", "kfac"): (
            "steps enough to learn the curvature in one call",
            "the other solvers",
        ),
        ("early_stopping", True): ("all rows at once", "False"),
    }
    for (name, value), (what, others) in needs.items():
        if getattr(model, name) == value:
            raise NotWithTheseParameters(
                f"partial_fit does not go with {name}={value!r}, which needs {what}; allowed: {others}"
            )


class Rows(NamedTuple):
    """Rows as the core reads them, with what belongs to each."""

    X: Any
    target: Any = None  # None: X itself
    condition: Any = None
    ranges: list[Range] | None = None  # losses by column of the target, where they differ
    labels: Any = None  # what a supervised head is to say

    def parts(self) -> tuple[Any, Any, Any, Any]:
        """What there may be for each row."""
        return self.X, self.target, self.condition, self.labels

    def with_parts(self, X: Any, target: Any, condition: Any, labels: Any) -> "Rows":
        return Rows(X, target, condition, self.ranges, labels)

    def sources(self) -> list[Any]:
        return [_data.source(part) for part in (self.X, self.condition, self.target, self.labels) if part is not None]

    def some(self, which: NDArray[Any]) -> "Rows":
        return self.with_parts(*(None if part is None else part[which] for part in self.parts()))


class FitData(NamedTuple):
    """What one fit works on."""

    rows: Rows
    weights: NDArray[np.float64] | None
    validation: Rows | None

    def most_stored(self) -> list[int]:
        """By source the most values that a row of its CSR matrix stores; 0 where that of a slot is dense."""
        slots = [rows.sources() for rows in (self.rows, self.validation) if rows is not None]
        counts = [[int(np.diff(s[2]).max(initial=0)) if isinstance(s, tuple) else 0 for s in slot] for slot in slots]
        return [max(by_slot) if all(by_slot) else 0 for by_slot in zip(*counts, strict=True)]


class Fitting(Watched):
    """The part of `BaseAutoencoder` that fits. It has neither parameters nor public methods."""

    # What does not go with a solver: parameter and value without effect.
    _not_with: ClassVar[dict[str, tuple[tuple[str, Any], ...]]] = {
        "lbfgs": (*SMOOTH, ("corruption", None)),
        "kfac": (*SMOOTH, ("missing", "error")),
    }

    # The parameter that says what the loss is, and losses that a range of columns may have.
    _is_start = False  # of the network of another fit
    _loss_parameter: ClassVar[str] = "loss"
    _range_losses: ClassVar[tuple[str, ...]] = (*_spec.PLAIN_LOSSES, "categorical", "negative_binomial")

    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    other_parameters_: dict[str, NDArray[Any]]
    n_parameters_: int
    loss_curve_: list[float]
    validation_loss_curve_: list[float]
    best_loss_: float
    n_iter_: int
    components_: NDArray[Any]
    explained_variance_ratio_: NDArray[np.float64]
    _spec: Spec
    # Where partial_fit goes on: arrays by state and parameter, their solver, steps, epochs, seed.
    _optimizer_state: list[NDArray[Any]]
    _solver: str
    _step: int
    _epoch: int
    _seed: int

    def _describe(
        self, n_features: int, n_outputs: int | None, n_conditions: int, ranges: list[Range] | None = None
    ) -> Spec:
        """The network of these parameters. ``n_outputs`` is None where the row is its own target."""
        raise NotImplementedError(f"{type(self).__name__} must say which network it is")

    def _check_options(self: Any) -> None:
        """What `_parameter_constraints` cannot say: parameters that exclude each other."""
        for name, neutral in self._not_with.get(self.solver, ()):
            if getattr(self, name) != neutral:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} does not go with solver={self.solver!r}, which needs "
                    f"{NEEDS[self.solver]}; allowed: {neutral!r}"
                )
        if self.solver == "lbfgs" and self.precision == "bfloat16":
            raise ValueError(
                "precision='bfloat16' does not go with solver='lbfgs', whose line search needs a loss of more digits; "
                "allowed: 'high', 'float32', 'float64'"
            )
        if self.state_precision is not None:
            for name, value in (("precision", "float64"), ("solver", "kfac"), ("solver", "lbfgs")):
                if getattr(self, name) == value:
                    raise ValueError(
                        f"state_precision={self.state_precision!r} does not go with {name}={value!r}; allowed: None"
                    )
        check_callbacks(self.callbacks)

    def _batch_size(self: Any, n_rows: int) -> int:
        if self.solver == "lbfgs":
            return n_rows
        if self.batch_size == "auto":
            power = round(math.log2(max(1.0, n_rows / 16)))
            return int(min(n_rows, max(16, min(1024 if self.solver == "kfac" else 256, 2**power))))
        return min(n_rows, int(self.batch_size))

    # ---- data ----

    def _target_loss(self) -> Any:
        """The loss whose range targets must keep to: a name or a ColumnLoss."""
        return getattr(self, self._loss_parameter)

    def _check_rows(
        self: Any, X: Any, X_clean: Any, condition: Any, *, reset: bool, name: str = "X", like: Rows | None = None
    ) -> Rows:
        """Rows with their targets and conditions; `like` are the training rows that these belong to."""
        precision, allow_nan = _spec.real_type(self.precision), self.missing == "mask"
        frame = X if X_clean is None else X_clean
        goes_on = not reset or (self.warm_start and hasattr(self, "coefs_"))
        X = _data.check_features(self, X, reset=not goes_on, precision=precision, name=name, allow_nan=allow_nan)
        loss, ranges = self._target_loss(), None if like is None else like.ranges
        if X_clean is not None:
            label = "X_clean" if like is None else "the X_clean of X_val"
            X_clean = _data.check_other(
                X_clean,
                precision=precision,
                name=label,
                n_rows=X.shape[0],
                n_columns=None if like is None else like.target.shape[1],
                of="X_clean",
                rows_of=name,
                allow_nan=allow_nan,
            )
        target = X if X_clean is None else X_clean
        if like is None and not isinstance(loss, str):
            ranges = _columns.resolve(loss, frame, target.shape[1], self._range_losses, self._loss_parameter)
        _data.check_target(target, loss, name if X_clean is None else label, ranges=ranges, allow_nan=allow_nan)
        condition = self._read_condition(
            condition,
            X.shape[0],
            goes_on=goes_on,
            name="condition" if like is None else "the condition of X_val",
            n_columns=None if like is None or like.condition is None else like.condition.shape[1],
            rows_of=name,
        )
        return Rows(X, X_clean, condition, ranges)

    def _check_fit_data(
        self: Any, X: Any, X_clean: Any, condition: Any, X_val: Any, sample_weight: Any, *, reset: bool
    ) -> FitData:
        rows = self._check_rows(X, X_clean, condition, reset=reset)
        weights = _data.check_weights(sample_weight, rows.X)
        if X_val is None:
            return FitData(rows, weights, None)
        parts = ["X_clean"] * (X_clean is not None) + ["condition"] * (condition is not None)
        if not parts and isinstance(X_val, tuple):
            raise ValueError(
                "X_val is a tuple, which is for a fit with X_clean or condition; allowed without them: an array or "
                "matrix of rows"
            )
        if parts and (not isinstance(X_val, tuple) or len(X_val) != 1 + len(parts)):
            raise ValueError(
                f"with {' and '.join(parts)}, X_val must be a tuple of {('two', 'three')[len(parts) - 1]}: "
                f"features and their {' and '.join(parts)}"
            )
        given = dict(zip(["X", *parts], X_val if parts else (X_val,), strict=True))
        validation = self._check_rows(
            given["X"], given.get("X_clean"), given.get("condition"), reset=False, name="X_val", like=rows
        )
        return FitData(rows, weights, validation)

    def _merge(self: Any, data: FitData) -> FitData:
        """What is trained on: for L-BFGS equal rows are one."""
        if self.solver != "lbfgs" or data.rows.X.shape[0] > _data.MERGED_ROWS:
            return data
        parts, weights = _data.merge_rows(data.rows.parts(), data.weights)
        return FitData(data.rows.with_parts(*parts), weights, data.validation)

    def _n_validation(self: Any, n: int) -> int:
        n_val: int = max(1, round(self.validation_fraction * n))
        if n_val >= n:
            raise ValueError(
                f"early_stopping with validation_fraction={self.validation_fraction!r} leaves no training row "
                f"of n_samples = {n}"
            )
        return n_val

    def _hold_out(self: Any, trainer: _core.Trainer, data: FitData) -> tuple[int, int, int, bool] | None:
        """Binds the data; arguments of `evaluate` for the validation rows."""
        n = data.rows.X.shape[0]
        trainer.bind(0, data.rows.sources(), data.weights)
        if data.validation is not None:
            trainer.bind(1, data.validation.sources())
            return 1, 0, data.validation.X.shape[0], False
        if not self.early_stopping:
            return None
        n_val = self._n_validation(n)
        trainer.subset(n_val, n - n_val, True)
        return 0, 0, n_val, True

    # ---- the trainer ----

    def _trainer(
        self: Any,
        spec: Spec,
        n_rows: int,
        seed: int,
        *,
        data: FitData | None = None,
        n_epochs: int,
        constant: bool = False,
        keep_best: bool = False,
        rate: float | None = None,
    ) -> _core.Trainer:
        if rate is None:
            rate = LEARNING_RATES[self.solver] if self.learning_rate_init is None else self.learning_rate_init
        batch = self._batch_size(n_rows)
        steps = -(-n_rows // batch)
        total = n_epochs * steps
        schedule = "constant" if constant or self.learning_rate == "plateau" else self.learning_rate
        period = self.step_size or max(1, n_epochs // 3)
        trainer: _core.Trainer = self._new_trainer(
            _spec.node_array(spec["nodes"], data.most_stored() if data else ()),
            _spec.loss_array(spec["objective"], spec["nodes"]),
            _spec.stage_array(spec, self.solver),
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
            state_bits=0 if self.state_precision is None else 16,
            schedule=_core.SCHEDULES.index(schedule),
            rate=float(rate),
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
        return trainer

    def _new_trainer(self: Any, *descriptions: Any, **options: Any) -> _core.Trainer:
        """Where only the core sees that K-FAC cannot train a network, its words get the parameter that asks for it."""
        try:
            return _core.Trainer(*descriptions, **options)
        except ValueError as error:
            if self.solver != "kfac":
                raise
            raise ValueError(
                f"solver='kfac' does not go with this network: {error}; allowed: the other solvers"
            ) from None

    def _check_size(self: Any, spec: Spec) -> None:
        """Refuses what cannot be addressed, before the core is asked for it."""
        widths = _spec.widths(spec["nodes"])
        n_weights = sum(
            (widths[node["inputs"][0]] + 1) * widths[node["name"]] for node in spec["nodes"] if node["kind"] == "dense"
        )
        if n_weights > MOST_WEIGHTS:
            raise ValueError(
                f"n_components={spec['n_components']!r} and hidden_layer_sizes={self.hidden_layer_sizes!r} mean "
                f"{n_weights} weights; at most {MOST_WEIGHTS} can be addressed"
            )

    def _start(self: Any, trainer: _core.Trainer, spec: Spec, rows: Rows) -> None:
        """Draws the weights, sets the output at the mean, looks at the scales."""
        trainer.initialize()
        mean, variance = trainer.moments(0)
        self._look_for_values("X", rows.X, mean, variance)
        columns = self._scaled_columns(spec)
        if columns:
            self._warn_of_scales(mean[columns], variance[columns], columns, rows.X)
        if spec["clean"]:
            mean, variance = trainer.moments(2 if spec["n_conditions"] else 1)
            self._look_for_values("X_clean", rows.target, mean, variance)
        self._set(trainer, spec, self._starts(spec, mean, variance))
        self._set(trainer, spec, self._starts_at_rows(spec, rows))

    def _set(self, trainer: _core.Trainer, spec: Spec, values: Mapping[str, NDArray[Any]]) -> None:
        names = [name for name, _, _ in trainer.parameters()]
        for name, value in values.items():
            trainer.set(names.index(name), np.ascontiguousarray(np.atleast_2d(value), dtype=_spec.dtype(spec)))

    def _starts(
        self, spec: Spec, mean: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """Parameters that start at other values than the core draws, by name, from moments of the target's columns."""
        if spec.get("ranges"):
            return {f"{spec['output']}.bias": _columns.start(spec, mean)}
        return {f"{spec['output']}.bias": start_of_output(_spec.inverse_link(spec), mean)}

    def _starts_at_rows(self, spec: Spec, rows: Rows) -> dict[str, NDArray[Any]]:
        """Parameters that start at training rows, by name."""
        return {}

    def _look_for_values(
        self: Any, name: str, X: Any, mean: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> None:
        """Refuses a table without any value, and warns of columns without."""
        if self.missing == "error":
            return
        # Moments of nothing are zero; so are those of a column of zeros.
        none = _data.without_values(X, np.flatnonzero((mean == 0.0) & (variance == 0.0)))
        if len(none) == len(mean):
            raise ValueError(f"{name} has no value at all: every entry is missing (NaN); at least one must be there")
        if len(none):
            warn(
                f"{name} has no observed value in the columns {_condition.listed(none)}: what is restored there means "
                "nothing. Leave them out, or fill them."
            )

    @staticmethod
    def _scaled_columns(spec: Spec) -> list[int]:
        """Columns of X whose scale the loss goes by."""
        ranges = spec.get("ranges")
        if not ranges or spec["clean"]:
            goes = any(_columns.is_any(term["loss"]) for term in spec["scores"])
            return list(range(spec["n_features"])) if goes else []
        return sorted(i for r in ranges if _columns.is_any(r["loss"]) for i in r["columns"])

    def _warn_of_scales(
        self, mean: NDArray[np.float64], variance: NDArray[np.float64], columns: list[int], X: Any
    ) -> None:
        # A constant column has the rounding errors of its mean's square for a variance.
        with np.errstate(over="ignore"):  # a mean whose square is infinite
            varies = variance > 1e-12 * mean * mean
        spread = np.sqrt(variance[varies])
        if spread.size and spread.max() > SCALE_RATIO * spread.min():
            if _data.has_one_range(X):
                return
            warn(
                f"the standard deviations of the columns of X reach from {spread.min():.3g} to {spread.max():.3g}: "
                "the loss hardly sees the small ones. Scale the columns first, for instance by StandardScaler in a "
                "pipeline."
            )
            return  # which mends what follows, too
        # Constant columns count too: the first layer gets their values all the same. So does an offset beside which the
        # spread is lost in those rounding errors.
        column = int(np.abs(mean).argmax())
        typical = float(np.median(spread)) if spread.size else 1.0
        if abs(mean[column]) > SCALE_RATIO * typical:
            beside = "no column varies by a millionth of its mean"
            if spread.size:
                beside = f"the columns have standard deviations of about {typical:.3g}"
            warn(
                f"column {columns[column]} of X has a mean of {mean[column]:.3g}, and {beside}: the first layer sees "
                "little but the mean. Centre the columns first, for instance by StandardScaler in a pipeline."
            )

    def _refuse_changed(self, spec: Spec) -> None:
        """Refuses to go on with another network, before there is memory for it."""
        old, new = self._spec["settings"], spec["settings"]
        unlike = [key for key in new if old.get(key) != new[key]]
        changed = [f"{key} from {cut(repr(old.get(key)))} to {cut(repr(new[key]))}" for key in unlike]
        if changed:
            raise ValueError(
                f"the fitted network differs from what parameters and data now mean: {', '.join(changed)}; training "
                "can only go on with the same (clone the estimator or set warm_start=False to start again)"
            )

    def _resume(self: Any, trainer: _core.Trainer, spec: Spec) -> None:
        """Sets the weights of the fitted estimator."""
        dtype = _spec.dtype(spec)
        values = _predictor.parameters(self._spec, self.coefs_, self.intercepts_, self.other_parameters_)
        for i, (name, _, _) in enumerate(trainer.parameters()):
            trainer.set(i, np.asarray(values[name], dtype=dtype, order="C"))

    # ---- a fit ----

    def _withhold_names(self, before: dict[str, Any]) -> dict[str, Any]:
        """Puts back the number and names of features of before; returns those of the new data, for `_learn`."""
        new = {name: self.__dict__.pop(name) for name in FEATURES if name in self.__dict__}
        for name in FEATURES:
            if name in before:
                setattr(self, name, before[name])
        return new

    def _description(self: Any, rows: Rows) -> Spec:
        n_outputs = None if rows.target is None else rows.target.shape[1]
        n_conditions = 0 if rows.condition is None else rows.condition.shape[1]
        spec: Spec = self._describe(rows.X.shape[1], n_outputs, n_conditions, rows.ranges)
        self._check_size(spec)
        return spec

    def _fit(self: Any, X: Any, y: Any, X_clean: Any, condition: Any, X_val: Any, sample_weight: Any) -> FitData:
        """`fit` on a fresh or a warm network. Whatever fails leaves the estimator as it was. y is for scikit-learn's
        callbacks alone."""
        self._begin_fit(X, y)
        before = dict(vars(self))
        try:
            self._check_options()
            resumes = bool(self.warm_start) and hasattr(self, "coefs_")
            given: FitData = self._check_fit_data(X, X_clean, condition, X_val, sample_weight, reset=True)
            features = self._withhold_names(before)
            spec = self._description(given.rows)
            data = self._merge(given)
            (seed,) = _checkpoint.seeds([int(check_random_state(self.random_state).randint(2**31 - 1))], data)
            initial = None if resumes else self._initial(data, seed)
            trainer, history = self._run_fit(
                spec, data, seed, resumes=resumes, initial=initial, given=(X, y), features=features
            )
            self._forget()
            self._learn(trainer, spec, history, features)
        except BaseException:
            self.__dict__ = before
            raise
        # What is learned stays, whatever happens from here on.
        try:
            self._after_fit(trainer, data)
        except KeyboardInterrupt:
            self._interrupted(
                f"fitting was interrupted after the training; the estimator has no {self._found_after_fit()}"
            )
        self._end_fit(X, y)
        self._report(history)
        return given

    def _run_fit(
        self: Any,
        spec: Spec,
        data: FitData,
        seed: int,
        *,
        resumes: bool = False,
        initial: Mapping[str, NDArray[Any]] | None = None,
        max_iter: int | None = None,
        rate: float | None = None,
        given: tuple[Any, Any] = (None, None),
        features: dict[str, Any] | None = None,
        training: str = FIT,
    ) -> tuple[_core.Trainer, History]:
        """Trains a network from its start, from the estimator's weights or from given ones of some of its layers.

        `max_iter` and `rate` stand for those of the parameters, where they are given; `given` and `features` are for
        scikit-learn's callbacks; `training` is its name, for callbacks.
        """
        n_epochs = int(self.max_iter if max_iter is None else max_iter)
        n = data.rows.X.shape[0]
        validates = self.early_stopping or data.validation is not None
        n_train = n - self._n_validation(n) if self.early_stopping and data.validation is None else n
        if resumes:
            self._refuse_changed(spec)
        trainer = self._trainer(spec, n_train, seed, data=data, n_epochs=n_epochs, keep_best=validates, rate=rate)
        validation = self._hold_out(trainer, data)
        if resumes:
            self._resume(trainer, spec)
        elif initial is None:
            self._start(trainer, spec, data.rows)
        else:
            trainer.initialize()
            self._set(trainer, spec, initial)
        before_epoch, watching = self._watch(trainer, spec, given, features, self._before_epoch(trainer, spec))
        try:
            with _checkpoint.trainings(data) as (checkpoint,):
                plan = Plan(
                    max_iter=n_epochs,
                    tol=self.tol,
                    n_iter_no_change=int(self.n_iter_no_change),
                    stop_early=bool(self.early_stopping),
                    validation=validation,
                    lowest_scale=float(self.final_learning_rate_ratio) if self.learning_rate == "plateau" else None,
                    callbacks=[*check_callbacks(self.callbacks), *watching],
                    verbose=int(self.verbose),
                    before_epoch=before_epoch,
                    checkpoint=checkpoint,
                    training=training,
                )
                return trainer, train(trainer, plan, self._known_as())
        except ValueError as error:
            # The core's word for validation rows whose weights are all zero.
            if validation is None or data.weights is None or "add up to" not in str(error):
                raise
            raise ValueError(
                f"early_stopping with validation_fraction={self.validation_fraction!r} held out rows that all have "
                "a sample_weight of zero; hold out more, or pass validation rows by X_val"
            ) from error

    def _initial(self, data: FitData, seed: int) -> Mapping[str, NDArray[Any]] | None:
        """Weights to start from, by name; None: those that are drawn."""
        return None

    def _before_epoch(self, trainer: _core.Trainer, spec: Spec) -> Any:
        """A callable that gets the number of each epoch to come, from 0, or None: for weights of terms that change."""
        return None

    def _found_after_fit(self) -> str:
        return "components_"

    def _after_fit(self: Any, trainer: _core.Trainer, data: FitData) -> None:
        """What is found with the finished network and the data."""
        if _spec.is_linear(self._spec):
            self._find_components(trainer, data)

    def _interrupted(self, message: str) -> None:
        """Says what Ctrl-C has left."""
        if self._is_start:
            raise KeyboardInterrupt  # the other fit would go on, from half a start
        warn(message)

    def _report(self: Any, history: History) -> None:
        if history.error is not None:
            raise history.error
        if history.interrupted and history.best_epoch is not None:
            self._interrupted(
                f"fitting was interrupted after {len(history.loss)} complete epochs; the estimator has the weights of "
                f"epoch {history.best_epoch}, the best on the validation rows"
            )
        elif history.interrupted:
            self._interrupted(f"fitting was interrupted; the estimator is as after {len(history.loss)} complete epochs")
        elif history.converged or len(history.epochs) < self.max_iter:
            return
        elif self.solver == "lbfgs":
            warn(
                f"lbfgs has not converged within max_iter={self.max_iter} iterations; more may improve the loss",
                ConvergenceWarning,
            )
        elif self.tol is not None:
            warn(
                f"max_iter={self.max_iter} epochs passed, and the loss was still improving by more than "
                f"tol={self.tol:g}",
                ConvergenceWarning,
            )

    def _forget(self) -> None:
        for name in (
            "validation_loss_curve_",
            "fine_tune_validation_loss_curve_",
            "components_",
            "dead_latents_",
            "kl_per_component_",
            "active_units_",
            "noise_variance_",
            "explained_variance_ratio_",
            "_optimizer_state",
            "_solver",
            "_step",
            "_epoch",
            "_seed",
        ):
            self.__dict__.pop(name, None)

    def _learn(self, trainer: _core.Trainer, spec: Spec, history: History, features: dict[str, Any]) -> None:
        self._take_weights(trainer, Spec(**{**spec, "categories": features.get("condition_categories_")}))
        for name in FEATURES:
            self.__dict__.pop(name, None)
        self.__dict__.update(features)
        curve = self.loss_curve_ = history.loss
        self.n_iter_ = len(curve)
        if history.validation_loss:
            curve = self.validation_loss_curve_ = history.validation_loss
        self.best_loss_ = min(curve)

    def _take_weights(self, trainer: _core.Trainer, spec: Spec) -> None:
        table = trainer.parameters()
        self._spec = _spec.Spec(**{**spec, "parameters": table})
        weights: list[NDArray[Any]] = []
        biases: list[NDArray[Any]] = []
        others: dict[str, NDArray[Any]] = {}
        for i, (name, kind) in enumerate(_spec.kinds(self._spec).items()):
            array = trainer.get(i)
            if kind == "weight":
                weights.append(array)
            elif kind == "bias":
                biases.append(array[0].copy())
            else:
                others[name] = array
        arrays = (*weights, *biases, *others.values())
        for array in arrays:
            _cache.freeze(array)
        # At once, for a thread that transforms by what was fitted before.
        self.coefs_, self.intercepts_, self.other_parameters_ = weights, biases, others
        self.n_parameters_ = sum(array.size for array in arrays)

    def _find_components(self: Any, trainer: _core.Trainer, data: FitData) -> None:
        """`components_` of a linear network: principal axes of what it reconstructs.

        The covariance of the codes is summed over blocks of rows about the code of the mean row, so that neither memory
        nor cancellation grows with the rows.
        """
        n = data.rows.X.shape[0]
        trainer.subset(0, n, False)
        _, variance = trainer.moments(0 if data.rows.target is None else 1)
        k = self._spec["n_components"]
        decoder = np.eye(k)
        values = _predictor.parameters(self._spec, self.coefs_, self.intercepts_, self.other_parameters_)
        for weight in _spec.matrices_after_code(self._spec, values):
            decoder = decoder @ weight.astype(np.float64)
        origin = None
        square, total, weight_sum = np.zeros((k, k)), np.zeros(k), 0.0
        for first in range(0, n, ROWS_AT_ONCE):
            rows = data.rows.X[first : first + ROWS_AT_ONCE]
            codes = self._run(rows, self._spec["code"], dtype=np.float64)
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

    def _fit_one_pass(
        self: Any, X: Any, condition: Any, sample_weight: Any, before: dict[str, Any]
    ) -> tuple[_core.Trainer, FitData, bool]:
        """`partial_fit`; the last answer is whether Ctrl-C came."""
        self._check_options()
        first = not hasattr(self, "coefs_")
        if not first and self._spec["clean"]:
            raise ValueError("partial_fit does not go on after a fit with X_clean: it takes no targets")
        data = self._check_fit_data(X, None, condition, None, sample_weight, reset=first)
        features = self._withhold_names(before)
        spec = self._description(data.rows)
        goes_on = not first and getattr(self, "_solver", None) == self.solver
        seed = self._seed if goes_on else int(check_random_state(self.random_state).randint(2**31 - 1))
        if not first:
            self._refuse_changed(spec)
        trainer = self._trainer(spec, data.rows.X.shape[0], seed, data=data, n_epochs=1, constant=True)
        self._hold_out(trainer, data)
        if first:
            self._start(trainer, spec, data.rows)
        else:
            self._resume(trainer, spec)
        n_parameters = len(trainer.parameters())
        if goes_on and len(self._optimizer_state) == trainer.n_state * n_parameters:
            for i, array in enumerate(self._optimizer_state):
                value = np.asarray(array, dtype=_spec.dtype(spec), order="C")
                trainer.set_state(i // n_parameters, i % n_parameters, value)
            trainer.seek(self._step, self._epoch)
        loss_curve = list(self.loss_curve_) if goes_on else []
        plan = Plan(
            max_iter=1,
            callbacks=check_callbacks(self.callbacks),
            verbose=int(self.verbose),
            before_epoch=self._before_epoch(trainer, spec),
        )
        history = train(trainer, plan, self)
        self._forget()
        history.earlier = loss_curve
        self._learn(trainer, spec, history, features)
        self._optimizer_state = [
            trainer.get_state(which, i) for which in range(trainer.n_state) for i in range(n_parameters)
        ]
        self._step, self._epoch = trainer.position()
        self._seed, self._solver = seed, self.solver
        return trainer, data, history.interrupted
