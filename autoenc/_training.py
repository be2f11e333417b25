"""The epoch loop: validation, early stopping, best weights, callbacks, progress, interruption."""

import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import Any

import numpy as np

from autoenc import _core, _profile
from autoenc._checkpoint import Progress as Known
from autoenc._checkpoint import Training
from autoenc._scaling import SCALING
from autoenc._spec import SOLVERS
from autoenc.callbacks import FINE_TUNE, FIT, EpochState
from autoenc.exceptions import DivergenceError

PLATEAU_FACTOR = 0.5
PLATEAU_THRESHOLD = 1e-4  # relative
LINES = 20  # of plain progress at verbose=1


type_callback = Callable[[EpochState], bool | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train and what to look at."""

    max_iter: int
    tol: float | None = None
    n_iter_no_change: int = 10
    stop_early: bool = False  # stop also where tol is None
    validation: tuple[int, int, int, bool] | None = None  # arguments of Trainer.evaluate
    lowest_scale: float | None = None  # learning_rate="plateau": no further down than this
    callbacks: Sequence[type_callback] = ()
    verbose: int = 0
    before_epoch: Callable[[int], None] | None = None  # gets the number of epochs done
    checkpoint: Training | None = None  # where this training goes on from, and is written to
    training: str = FIT


@dataclass(slots=True)
class History:
    earlier: list[float] = field(default_factory=list)  # losses of the passes that this training goes on from
    epochs: list[tuple[float, float, int, bool]] = field(default_factory=list)  # answers of Trainer.epoch
    validation_loss: list[float] = field(default_factory=list)
    converged: bool = False  # stopped by tol, by early stopping or by the solver
    interrupted: bool = False
    best_epoch: int | None = None  # of validation; that the trainer was left with
    error: DivergenceError | None = None

    @property
    def loss(self) -> list[float]:
        return self.earlier + [epoch[0] for epoch in self.epochs]


class Patience:
    """Counts epochs without an improvement by a relative amount."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self.best = math.inf
        self.count = 0

    def update(self, loss: float) -> None:
        if loss < self.best * (1.0 - self._threshold) if math.isfinite(self.best) else math.isfinite(loss):
            self.best = loss
            self.count = 0
        else:
            self.count += 1


def check_callbacks(given: Any) -> list[Any]:
    """The callbacks of an estimator, whose parameter may be one, several or None."""
    callbacks = [] if given is None else [given] if callable(given) else list(given)
    for callback in callbacks:
        if isinstance(callback, type):
            raise ValueError(f"callbacks has the class {callback.__name__}; needed is {callback.__name__}(...)")
        if not callable(callback):
            raise ValueError(
                f"callbacks has {callback!r}, which is not callable; allowed: a callable or a list of callables"
            )
    return callbacks


def tell(callbacks: Sequence[type_callback], state: EpochState) -> bool:
    """Calls all of them, whatever the others say; whether one wants to stop."""
    return True in [_says_stop(callback(state)) for callback in callbacks]


def recall(callbacks: Sequence[type_callback], state: EpochState) -> None:
    """Tells those that have a method for it of an epoch that was done before the fit was resumed."""
    for callback in callbacks:
        if hasattr(callback, "recall"):
            callback.recall(state)


def end_callbacks(callbacks: Sequence[type_callback], failed: bool) -> None:
    """Tells callbacks that hold something open, which they say by a method `training_ended`: all of them, whatever one
    of them raises. That is the caller's then, unless the training has failed by itself."""
    error = None
    for ended in filter(None, (getattr(callback, "training_ended", None) for callback in callbacks)):
        try:
            ended(failed)
        except Exception as found:
            error = error or found
    if error is not None and not failed:
        raise error


def _says_stop(answer: Any) -> bool:
    """True alone, for a callback may answer what it likes, such as the loss that it has logged."""
    return answer is True or (isinstance(answer, np.bool_) and bool(answer))


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    return get is not None and "IPKernelApp" in getattr(get(), "config", {})


class Progress:
    """A bar where someone watches and tqdm is installed, lines on standard output otherwise."""

    def __init__(self, verbose: int, n_epochs: int, label: str, unit: str = "epoch", done: int = 0) -> None:
        self._n_epochs = n_epochs
        self._unit = unit
        self._label = label
        self._every = 0 if verbose <= 0 else 1 if verbose > 1 else max(1, n_epochs // LINES)
        self._start = time.perf_counter()
        self._bar: Any = None
        if verbose == 1 and ((sys.stderr is not None and sys.stderr.isatty()) or _in_notebook()):
            try:
                # In a notebook without ipywidgets it warns that there will be a bar of text, which is as good.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    from tqdm.auto import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=n_epochs, initial=done, desc=label, unit=unit)

    def update(self, state: EpochState) -> None:
        if self._bar is not None:
            shown = {"loss": f"{state.loss:.4g}"}
            if state.validation_loss is not None:
                shown["validation"] = f"{state.validation_loss:.4g}"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
        elif self._every and (state.epoch % self._every == 0 or state.epoch in (1, self._n_epochs)):
            validation = "" if state.validation_loss is None else f", validation loss {state.validation_loss:.6g}"
            print(
                f"[{self._label}] {self._unit} {state.epoch}/{self._n_epochs}, loss {state.loss:.6g}{validation}, "
                f"{time.perf_counter() - self._start:.1f} s",
                flush=True,
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _remedy(epoch: int, done: int, best_epoch: int | None, estimator: Any) -> str:
    rate = getattr(estimator, "learning_rate_init", None)
    rate = "learning_rate_init" if rate is None else f"learning_rate_init (now {rate:g})"
    kept = "the weights of the last complete epoch are kept" if done else "the estimator is unchanged"
    if best_epoch is not None:
        kept = f"the weights of epoch {best_epoch}, the best on the validation rows, are kept"
    clip = " set clip_norm," if hasattr(estimator, "clip_norm") and estimator.solver not in SOLVERS else ""
    scale = "scale the features (for instance by StandardScaler)"
    if type(estimator).__name__ in SCALING:
        scale = "look for values far from all others"
    return f"Training diverged in epoch {epoch}: the loss is not finite; {kept}. Lower {rate},{clip} or {scale}."


def train(trainer: _core.Trainer, plan: Plan, estimator: Any) -> History:
    """Runs epochs until one of the reasons to stop.

    The trainer is left with the weights of the best epoch on validation rows where there are some, else with those of
    the last complete epoch; so it is also after Ctrl-C and after divergence, which are noted in the answer.

    Raises
    ------
    KeyboardInterrupt
        Where no epoch was complete.
    DivergenceError
        Where no epoch was complete.
    ValueError
        Where a checkpoint is not of this training.
    """
    history = History()
    before = trainer.position()[1]
    waiting = Patience(plan.tol or 0.0)
    plateau = Patience(PLATEAU_THRESHOLD)
    best = math.inf
    scale = 1.0

    def known() -> Known:
        return Known(
            list(history.epochs),
            list(history.validation_loss),
            history.best_epoch,
            best,
            (waiting.best, waiting.count),
            (plateau.best, plateau.count),
            scale,
            history.converged,
        )

    found = None if plan.checkpoint is None else plan.checkpoint.resume(trainer)
    name = type(estimator).__name__
    label, progress = name + (", fine-tuning" if plan.training == FINE_TUNE else ""), None
    failed = True
    try:
        if found is not None:
            stored, finished = found
            for i, (loss, rate, *_) in enumerate(stored.epochs):
                validated = stored.validation_loss[i] if stored.validation_loss else None
                state = EpochState(estimator, i + 1, plan.max_iter, loss, validated, rate, plan.training)
                recall(plan.callbacks, state)
            # Not before, so that Ctrl-C until here is raised.
            history.epochs, history.validation_loss = list(stored.epochs), list(stored.validation_loss)
            history.best_epoch, history.converged = stored.best_epoch, stored.converged
            if finished:
                failed = False
                return history
            best, scale = stored.best, stored.scale
            (waiting.best, waiting.count), (plateau.best, plateau.count) = stored.waiting, stored.plateau
        progress = Progress(plan.verbose, plan.max_iter, label, done=len(history.epochs))
        for epoch in range(len(history.epochs) + 1, plan.max_iter + 1):
            if plan.before_epoch is not None:
                plan.before_epoch(epoch - 1)
            # In one call, so that Ctrl-C at its end does not lose what a complete epoch answered.
            history.epochs.extend(starmap(trainer.epoch, ((),)))
            loss, rate, _, converged = history.epochs[-1]
            validation_loss = None
            if plan.validation is not None:
                validation_loss = trainer.evaluate(*plan.validation)
                if validation_loss < best:
                    trainer.keep_best()
                    best = validation_loss
                    history.best_epoch = epoch
                history.validation_loss.append(validation_loss)
            watched = loss if validation_loss is None else validation_loss
            state = EpochState(estimator, epoch, plan.max_iter, loss, validation_loss, rate, plan.training)
            progress.update(state)
            stop = tell(plan.callbacks, state)
            waiting.update(watched)
            if converged or ((plan.tol is not None or plan.stop_early) and waiting.count >= plan.n_iter_no_change):
                history.converged = True
                break
            if stop:
                break
            if plan.lowest_scale is not None:
                plateau.update(watched)
                if plateau.count > plan.n_iter_no_change // 2:
                    scale = max(scale * PLATEAU_FACTOR, plan.lowest_scale)
                    trainer.scale_rate(scale)
                    plateau.count = 0
            if plan.checkpoint is not None and epoch < plan.max_iter:
                plan.checkpoint.after_epoch(trainer, epoch, known)
        failed = False
    except KeyboardInterrupt:
        if not history.epochs:
            raise
        history.interrupted = True
        if len(history.epochs) > len(history.validation_loss) > 0:
            del history.epochs[-1]  # that nobody has judged: the weights are those of an epoch before
    except _core.DivergenceError as error:
        done = trainer.position()[1] - before
        # Where the validation loss was what overflowed, the epoch itself is complete.
        validating = plan.validation is not None and len(history.epochs) > len(history.validation_loss)
        at = done if validating else done + 1
        history.error = DivergenceError(_remedy(at, done, history.best_epoch, estimator), at)
        history.error.__cause__ = error
        if done == 0:
            raise history.error from error
    finally:
        if progress is not None:
            progress.close()
        end_callbacks(plan.callbacks, failed)
        if (taken := trainer.profile()) is not None:
            _profile.show(taken, name)
    if best < math.inf:
        trainer.restore_best()
    if plan.checkpoint is not None and not history.interrupted and history.error is None:
        plan.checkpoint.finish(trainer, known())
    return history
