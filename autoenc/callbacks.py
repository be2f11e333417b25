"""Callbacks for the parameter `callbacks` of the estimators: early stopping, checkpoints, a CSV file, TensorBoard and
MLflow.

A callback is anything that can be called with an `EpochState` after each epoch; one that returns True ends the
fit. These keep nothing from one fit to the next, so that an estimator that has them can be cloned, pickled and
searched over. One that counts over epochs may have a method `recall`, which gets the states of the epochs that were
done before, where a fit is resumed from a checkpoint in a new process. One that holds something open may have a method
`training_ended`, which is called behind the last epoch, whatever ended the training, with True where that was an error
or Ctrl-C. A classifier or regressor has two trainings in a fit, each with epochs from 1 and a loss of its own; the
state's `training` is "fit" in the first and "fine_tune" in the second. The members of a detector are trainings, too,
"member_0" and so on, several of them at the same time: the epochs of one come in order, between those of others. The
calls do not: they come one by one, in the thread that called `fit`, and `training_ended` is called once, behind the
last of all members. scikit-learn's own callbacks (`sklearn.callback`, 1.9 and later) are set by ``set_callbacks``.

Examples
--------
>>> from sklearn.datasets import load_digits
>>> from autoenc import Autoencoder
>>> from autoenc.callbacks import EarlyStopping
>>> model = Autoencoder(2, callbacks=[EarlyStopping(patience=2, min_delta=0.2)], random_state=0)
>>> model.fit(load_digits().data / 16).n_iter_ < 30
True
"""

import csv
import math
import secrets
from dataclasses import dataclass
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from autoenc import _checkpoint
from autoenc._whole_file import check_path, naming

__all__ = ["CSVLogger", "Checkpoint", "EarlyStopping", "EpochState", "MLflow", "TensorBoard"]

VALUES = ("loss", "validation_loss", "learning_rate")
FIT, FINE_TUNE = "fit", "fine_tune"  # trainings of a fit


@dataclass(frozen=True, slots=True)
class EpochState:
    """What a callback sees after each epoch.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted. Its learned attributes are still those from before the call.
    epoch : int
        Epochs done in this training, from 1.
    n_epochs : int
        The most epochs that it may do.
    loss : float
        Mean loss of the epoch's rows, without penalties.
    validation_loss : float or None
        Mean loss of the validation rows.
    learning_rate : float
        The last one of the epoch.
    training : str, default="fit"
        "fine_tune" in the second training of a classifier or regressor, whose epochs count from 1 again. Of a detector
        "member_0", "member_1" and so on, as in `estimators_`, each with epochs of its own.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import Autoencoder
    >>> from autoenc.callbacks import EpochState
    >>> def watch(state: EpochState) -> bool:
    ...     return state.loss < 0.5
    >>> Autoencoder(2, callbacks=watch, random_state=0).fit(load_iris().data).n_iter_ < 200
    True
    """

    estimator: Any
    epoch: int
    n_epochs: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    training: str = FIT


def _curve(prefix: str, name: str, state: EpochState) -> str:
    """The name of a curve; those of further trainings are curves of their own."""
    return prefix + ("" if state.training == FIT else f"{state.training}/") + name


def _check(name: str, value: Any, kind: Any, least: float, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or not value >= least or math.isinf(value):
        raise ValueError(f"{name}={value!r}; allowed are {what}")


class _Callback:
    """Shown as its constructor is called, in the representation of an estimator that has it too."""

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"


class EarlyStopping(_Callback):
    """Ends a fit when a loss no longer falls.

    The estimators' own ``early_stopping=True`` holds rows out and keeps the best weights; this one also watches the
    loss of the training rows, and may stop at a given loss. Weights are those of
    the last epoch, unless there are validation rows. Each member of a detector ends by its own loss.

    Parameters
    ----------
    monitor : {"auto", "loss", "validation_loss"}, default="auto"
        What is watched. "auto": the validation loss where there is one.
    patience : int, default=10
        Epochs in a row without an improvement after which the fit ends.
    min_delta : float, default=0.0
        Least fall that counts as an improvement, relative to the best loss.
    target : float or None, default=None
        The fit also ends as soon as the loss is at most this.

    Raises
    ------
    ValueError
        Where a parameter is not allowed, and in the fit where `monitor` is "validation_loss" and there is none.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import Autoencoder
    >>> from autoenc.callbacks import EarlyStopping
    >>> enough = EarlyStopping(monitor="loss", patience=5, min_delta=1e-3, target=0.1)
    >>> model = Autoencoder(2, max_iter=200, callbacks=enough, random_state=0).fit(load_iris().data)
    >>> model.n_iter_ < 200 and model.loss_curve_[-1] <= 0.1 < model.loss_curve_[-2]
    True
    """

    def __init__(
        self,
        *,
        monitor: Literal["auto", "loss", "validation_loss"] = "auto",
        patience: int = 10,
        min_delta: float = 0.0,
        target: float | None = None,
    ) -> None:
        if monitor not in ("auto", "loss", "validation_loss"):
            raise ValueError(f"monitor={monitor!r}; allowed are 'auto', 'loss' and 'validation_loss'")
        _check("patience", patience, Integral, 1, "whole numbers from 1")
        _check("min_delta", min_delta, Real, 0.0, "finite numbers from 0")
        if target is not None and (isinstance(target, bool) or not isinstance(target, Real) or math.isnan(target)):
            raise ValueError(f"target={target!r}; allowed are numbers and None")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.target = target
        self._seen: dict[str, tuple[float, int]] = {}  # by training: best loss, epochs since then

    def __call__(self, state: EpochState) -> bool:
        none = (math.inf, 0)
        best, waited = none if state.epoch == 1 else self._seen.get(state.training, none)
        loss = state.loss
        if self.monitor != "loss" and state.validation_loss is not None:
            loss = state.validation_loss
        elif self.monitor == "validation_loss":
            raise ValueError(
                "monitor='validation_loss', but this fit has no validation rows; allowed with early_stopping=True or "
                "X_val, else 'loss'"
            )
        better = best == math.inf or loss < best - self.min_delta * abs(best)
        best, waited = self._seen[state.training] = (loss, 0) if better else (best, waited + 1)
        return waited >= self.patience or (self.target is not None and loss <= self.target)

    def recall(self, state: EpochState) -> None:
        """Take notice of an epoch that was done before the fit was resumed.

        Parameters
        ----------
        state : EpochState
            As the callback got it then.
        """
        self(state)


class Checkpoint(_Callback, _checkpoint.Asked):
    """Writes the state of the fit to a file, from which a fit that was killed goes on.

    The same as the arguments `checkpoint`, `checkpoint_every` and `resume` of `fit`, for a fit that gets no arguments,
    as within another estimator. `partial_fit` writes none. Fits of a search such as GridSearchCV need a folder: one
    file would be that of the fit that wrote last, and with `resume` the others fail.

    Parameters
    ----------
    path : str or path
        The file, written whole or not at all (with the extra `io`). A text that ends with a separator, as "folder/", or
        the path of a folder that is there: each fit has a file of its own in the folder, which is made where it is
        missing. Its name goes by class, parameters and data of the fit; equal fits share it.
    every : int, default=10
        Epochs between two states; the end of a training is written too.
    resume : bool, default=False
        Whether a fit goes on from the file where there is one, to end bit for bit as one that was never stopped. It
        must be a fit of the same estimator, parameters and data, and with `warm_start` from the same weights. A search
        that is started again has its fits go on that are in the folder.

    Raises
    ------
    ValueError
        Where `every` is not allowed, and in the fit where the file is that of another fit, or `fit` gets a checkpoint
        of its own.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from autoenc import Autoencoder
    >>> from autoenc.callbacks import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     state = Checkpoint(Path(folder) / "iris.checkpoint", every=5, resume=True)
    ...     model = Autoencoder(2, max_iter=20, callbacks=state, random_state=0)
    ...     pipeline = make_pipeline(StandardScaler(), model).fit(load_iris().data)
    ...     state.path.exists()
    True
    """

    def __init__(self, path: str | Path, *, every: int = _checkpoint.EVERY, resume: bool = False) -> None:
        _check("every", every, Integral, 1, "whole numbers of epochs from 1")
        if not isinstance(resume, bool):
            raise ValueError(f"resume={resume!r}; allowed are True and False")
        check_path(path)
        self.path = path
        self.every = every
        self.resume = resume

    def __call__(self, state: EpochState) -> None:
        """Nothing: the epoch loop writes the state, which a callback does not see."""


class CSVLogger(_Callback):
    """Writes a line an epoch: training, epoch, loss, validation loss, learning rate.

    Each line is in the file as soon as its epoch is over, so that it can be followed, and read after a crash. The
    training is "fit"; that of the second one of a classifier or regressor, whose epochs count from 1 again and whose
    loss is another, "fine_tune"; those of a detector are "member_0" and so on, whose lines stand between each other.
    The fits of a search write to the same file, one after the other (with ``n_jobs`` at the same time): the last one is
    left.

    Parameters
    ----------
    path : str or path
        The file.
    append : bool, default=False
        Whether a fit goes on behind what is there, or overwrites it. A resumed fit that goes on behind what is there
        has the epochs twice that came after its last checkpoint.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import Autoencoder
    >>> from autoenc.callbacks import CSVLogger
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = Path(folder) / "log.csv"
    ...     model = Autoencoder(2, max_iter=3, callbacks=CSVLogger(log), random_state=0).fit(load_iris().data)
    ...     print(log.read_text().splitlines()[0], len(log.read_text().splitlines()))
    training,epoch,loss,validation_loss,learning_rate 4
    """

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        check_path(path)
        self.path = path
        self.append = append
        self._open = False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": False}  # a copy is of no fit

    def __call__(self, state: EpochState) -> None:
        path = Path(self.path)
        starts = not (self._open or self.append or state.training == FINE_TUNE)
        self._open = True
        with naming(path), path.open("w" if starts else "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(("training", "epoch", *VALUES))
            values = (
                "" if value is None else repr(float(value)) for value in (getattr(state, name) for name in VALUES)
            )
            writer.writerow((state.training, state.epoch, *values))

    def recall(self, state: EpochState) -> None:
        """Write an epoch again that was done before the fit was resumed: those after its last checkpoint go.

        Parameters
        ----------
        state : EpochState
            As the callback got it then.
        """
        if not self.append:
            self(state)

    def training_ended(self, failed: bool) -> None:
        """The file has all lines of a training; what comes is another one's.

        Parameters
        ----------
        failed : bool
            Of no account here.
        """
        self._open = False


class TensorBoard(_Callback):
    """Writes losses and learning rates for TensorBoard.

    Needs one of the packages tensorboardX (light) and torch with tensorboard: ``pip install tensorboardX``.

    Parameters
    ----------
    log_dir : str or path
        Folder of the run.
    prefix : str, default=""
        In front of the names of the curves, for instance "fold_1/". The second training of a classifier or regressor
        has curves of its own, "fine_tune/loss" and so on, and so has each member of a detector, "member_0/loss".

    Raises
    ------
    ImportError
        In the fit, where neither package is installed.

    Examples
    --------
    ``tensorboard --logdir runs`` shows the curves of all folders in ``runs``.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import Autoencoder
    >>> from autoenc.callbacks import TensorBoard
    >>> with tempfile.TemporaryDirectory() as runs:
    ...     board = TensorBoard(Path(runs) / "first")
    ...     model = Autoencoder(2, max_iter=3, callbacks=board, random_state=0).fit(load_iris().data)
    ...     [file.name.split(".")[0] for file in (Path(runs) / "first").iterdir()]
    ['events']
    """

    def __init__(self, log_dir: str | Path, *, prefix: str = "") -> None:
        check_path(log_dir, "log_dir")
        self.log_dir = log_dir
        self.prefix = prefix
        self._writer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_writer": None}  # an open file goes into no copy

    def __call__(self, state: EpochState) -> None:
        with naming(self.log_dir):
            if self._writer is None:
                # tensorboardX names files by the second, and would write over that of a training just before.
                self._writer = _summary_writer()(str(self.log_dir), filename_suffix=f".{secrets.token_hex(4)}")
            for name in VALUES:
                value = getattr(state, name)
                if value is not None:
                    self._writer.add_scalar(_curve(self.prefix, name, state), float(value), state.epoch)
            self._writer.flush()

    def training_ended(self, failed: bool) -> None:
        """Close the file; a training does so by itself.

        Parameters
        ----------
        failed : bool
            Whether the training ended by an error or Ctrl-C; the file is closed either way.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            with naming(self.log_dir):
                writer.close()


def _summary_writer() -> Any:
    for module in ("tensorboardX", "torch.utils.tensorboard"):
        try:
            return import_module(module).SummaryWriter
        except ImportError:
            continue
    raise ImportError("TensorBoard needs a package that writes its files; none is here: pip install tensorboardX")


class MLflow(_Callback):
    """Logs losses and learning rates as metrics of the active MLflow run.

    Where none is active each training (of a detector the fit) has a run of its own, which ends with it, as failed after
    an error or Ctrl-C. The fits of a search such as GridSearchCV within an active run all log to that run, under the
    same names and steps, so that their curves are mixed, and in other processes (``n_jobs``) to runs of their own:
    search with ``refit=False``, and give it to a fit with ``best_params_`` that follows, in another run, since autolog
    notes parameters once in one.

    Needs MLflow: ``pip install mlflow-skinny`` or ``mlflow``. Parameters and the score of a whole pipeline or search
    are logged by ``mlflow.sklearn.autolog()``; this adds the epochs to its run.

    Parameters
    ----------
    prefix : str, default=""
        In front of the names of the metrics. Those of the second training of a classifier or regressor are
        "fine_tune/loss" and so on, those of a detector's members "member_0/loss".

    Raises
    ------
    ImportError
        In the fit, where MLflow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import mlflow
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import Autoencoder
    >>> from autoenc.callbacks import MLflow
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    ...     with mlflow.start_run() as run:
    ...         model = Autoencoder(2, max_iter=3, callbacks=MLflow(), random_state=0).fit(load_iris().data)
    ...     history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    >>> [metric.value for metric in history] == model.loss_curve_
    True
    """

    def __init__(self, *, prefix: str = "") -> None:
        self.prefix = prefix
        self._run: str | None = None  # that it has started

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_run": None}  # a copy has started none

    def __call__(self, state: EpochState) -> None:
        try:
            mlflow = import_module("mlflow")
        except ImportError as error:
            raise ImportError("MLflow is not installed: pip install mlflow-skinny") from error
        if mlflow.active_run() is None:
            self._run = mlflow.start_run().info.run_id
        values = {_curve(self.prefix, name, state): getattr(state, name) for name in VALUES}
        mlflow.log_metrics({name: float(v) for name, v in values.items() if v is not None}, step=state.epoch)

    def training_ended(self, failed: bool) -> None:
        """End the run where this callback has started it.

        Parameters
        ----------
        failed : bool
            Whether the training ended by an error or Ctrl-C; the run says so.
        """
        run, self._run = self._run, None
        if run is not None:
            mlflow = import_module("mlflow")
            active = mlflow.active_run()
            if active is not None and active.info.run_id == run:  # someone else may have ended it
                mlflow.end_run("FAILED" if failed else "FINISHED")
