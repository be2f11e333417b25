"""scikit-learn's own callbacks (`sklearn.callback`, 1.9 and later): a fit is a task, each epoch one of its parts."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from autoenc._spec import Spec

if TYPE_CHECKING:
    from autoenc.callbacks import EpochState

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...

else:
    try:
        from sklearn.callback import CallbackSupportMixin
    except ImportError:  # before 1.9

        class CallbackSupportMixin:
            pass


class Within(NamedTuple):
    """What a private network is a part of."""

    estimator: Any  # that users know
    given: tuple[Any, Any]  # X and y of its fit
    learned: Callable[[dict[str, Any]], dict[str, Any]]  # by it, where the network has some attributes


class Epochs:
    """Epochs as parts of a task, one after the other."""

    def __init__(self, estimator: Any, task: Any, X: Any, y: Any = None, learned: Any = None) -> None:
        self._estimator, self._task, self._data, self._learned = estimator, task, {"X": X, "y": y}, learned
        self._epoch: Any = None

    def begin(self) -> None:
        self._epoch = self._task.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end(self) -> bool:
        end = self._epoch.call_on_fit_task_end
        return bool(end(estimator=self._estimator, **self._data, reconstruction_attributes=self._learned))


class Watched(CallbackSupportMixin):
    """Goes before BaseEstimator: with scikit-learn 1.9 there is `set_callbacks`, whose callbacks see every epoch.

    Their `fitted_estimator` is what the estimator would be if the fit had ended with that epoch, but for what is found
    after a fit (`components_` and the like), and in the first training of a classifier or regressor there is none. The
    fit ends where a callback answers True to the end of an epoch. Estimators without epochs of their own have a fit of
    one task.
    """

    _within: Within | None = None  # in the fit of a private network

    def _n_epochs(self: Any) -> int:
        """The most epochs of a fit."""
        return int(self.max_iter)

    def _known_as(self) -> Any:
        """The estimator that users know."""
        return self if self._within is None else self._within.estimator

    def _begin_fit(self: Any, X: Any, y: Any = None, n_tasks: int | None = None, **options: Any) -> None:
        """Must be called before the state to go back to is noted: scikit-learn looks for its own after the fit."""
        if getattr(self, "_skl_callbacks", None):
            n = self._n_epochs() if n_tasks is None else n_tasks
            context = self._init_callback_context(max_subtasks=n, **options)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)

    def _become(self, model: Any, before: dict[str, Any]) -> None:
        """Takes what a copy has become by a fit; but parameters and the like that callbacks have set since `before`
        stay."""
        own = {k: v for k, v in vars(self).items() if k[-1] != "_" and (k not in before or before[k] is not v)}
        self.__dict__ = {**vars(model), **own}

    def _end_fit(self: Any, X: Any, y: Any = None) -> None:
        context = getattr(self, "_callback_fit_ctx", None)
        if context is not None:
            learned = {name: value for name, value in vars(self).items() if name.endswith("_") or name == "_spec"}
            context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=learned)

    def _watch(
        self: Any,
        trainer: Any,
        spec: Spec,
        given: tuple[Any, Any],
        features: dict[str, Any] | None,
        before_epoch: Callable[[int], None] | None,
    ) -> tuple[Callable[[int], None] | None, list[Callable[["EpochState"], bool]]]:
        """What is called before each epoch, the given callable among it, and further callbacks for after it.

        `given` are X and y of the fit; `features` what a fitted estimator knows of its features, None: there is no
        fitted estimator yet.
        """
        within, whole = self._within, self._known_as()
        context = getattr(whole, "_callback_fit_ctx", None)
        if context is None:
            return before_epoch, []
        losses: list[float] = []

        def learned() -> dict[str, Any]:
            now: dict[str, Any] = self._as_of_now(trainer, spec, features or {}, losses)
            return now if within is None else within.learned(now)

        X, y = given if within is None else within.given
        epochs = Epochs(whole, context, X, y, None if features is None else learned)

        def begin(done: int) -> None:
            if before_epoch is not None:
                before_epoch(done)
            epochs.begin()

        def end(state: "EpochState") -> bool:
            losses.append(state.loss)
            return epochs.end()

        return begin, [end]

    def _as_of_now(
        self: Any, trainer: Any, spec: Spec, features: dict[str, Any], losses: list[float]
    ) -> dict[str, Any]:
        """Attributes of an estimator with the weights of the moment."""
        model = copy.copy(self)
        model._forget()
        before = dict(vars(model))
        model._take_weights(trainer, Spec(**{**spec, "categories": features.get("condition_categories_")}))
        vars(model).update(features)
        model.loss_curve_, model.n_iter_, model.best_loss_ = list(losses), len(losses), min(losses)
        return {name: value for name, value in vars(model).items() if name not in before or before[name] is not value}
