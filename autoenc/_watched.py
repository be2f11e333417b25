"""scikit-learn's own callbacks (`sklearn.callback`, 1.9 and later): a fit is a task, each epoch one of its parts."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from autoenc._spec import Spec

if TYPE_CHECKING:
    from autoenc._training import EpochState

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...

else:
    try:
        from sklearn.callback import CallbackSupportMixin
    except ImportError:  # before 1.9

        class CallbackSupportMixin:
            pass


class Watched(CallbackSupportMixin):
    """Goes before BaseEstimator: with scikit-learn 1.9 there is `set_callbacks`, whose callbacks see every epoch.

    Their `fitted_estimator` is what the estimator would be if the fit had ended with that epoch, but for what is found
    after a fit (`components_` and the like), and in the first training of a classifier or regressor there is none. The
    fit ends where a callback answers True to the end of an epoch. Estimators without epochs of their own have a fit of
    one task.
    """

    def _n_epochs(self: Any) -> int:
        """The most epochs of a fit."""
        return int(self.max_iter)

    def _begin_fit(self: Any, X: Any, y: Any = None, n_tasks: int | None = None) -> None:
        """Must be called before the state to go back to is noted: scikit-learn looks for its own after the fit."""
        if getattr(self, "_skl_callbacks", None):
            context = self._init_callback_context(max_subtasks=self._n_epochs() if n_tasks is None else n_tasks)
            # Users know that name; epochs take it from here.
            context.estimator_name = getattr(self, "_shown_as", context.estimator_name)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)

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
        context = getattr(self, "_callback_fit_ctx", None)
        if context is None:
            return before_epoch, []
        tasks: list[Any] = []
        losses: list[float] = []

        def begin(done: int) -> None:
            if before_epoch is not None:
                before_epoch(done)
            tasks.append(context.subcontext(task_name="epoch"))
            tasks[-1].call_on_fit_task_begin(estimator=self, X=given[0], y=given[1])

        def end(state: "EpochState") -> bool:
            losses.append(state.loss)

            def learned() -> dict[str, Any]:
                now: dict[str, Any] = self._as_of_now(trainer, spec, features or {}, losses)
                return now

            lazy = None if features is None else learned
            return bool(
                tasks.pop().call_on_fit_task_end(estimator=self, X=given[0], y=given[1], reconstruction_attributes=lazy)
            )

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
