"""Checkpoints: a fit that was killed goes on from its last one, and ends to the bit as if nothing had happened.

A fit is a sequence of trainings (pretraining and fine-tuning are trainings of their own), or has several at the same
time, of the members of a detector. A checkpoint has the seeds that were drawn, what came of the trainings that are
complete, and the states of those in progress. Going on is the same fit once more, in which complete trainings answer
from the file.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoenc import __version__, _archive
from autoenc._archive import Reader, Writer, cut, damaged, refuse_more
from autoenc._checks import is_sparse
from autoenc._describe import described, digest, digest_of
from autoenc._whole_file import check_folder, check_path, check_writable

File = str | os.PathLike[str]

KEY = "autoenc_checkpoint"  # of the configuration in the header of a file
FORMAT = 1
WHAT = "a checkpoint of autoenc"
EVERY = 10  # epochs
FREE = frozenset({"n_jobs", "verbose"})  # parameters that do not change what is learned
KEPT = ("parameters", "terms", "numbers")  # of a complete training
_KEYS = ("format", "autoenc", "class", "parameters", "seeds", "trainings")


class Progress(NamedTuple):
    """What the epoch loop knows, beside the trainer."""

    epochs: list[tuple[float, float, int, bool]]
    validation_loss: list[float]
    best_epoch: int | None
    best: float
    waiting: tuple[float, int]  # best loss, epochs since then
    plateau: tuple[float, int]
    scale: float
    converged: bool


class Asked:
    """Base of the callback that asks for checkpoints."""

    path: Any
    every: int
    resume: bool


class _Stored(NamedTuple):
    """A training as a file has it."""

    data: dict[str, str]
    progress: Progress
    finished: bool
    arrays: dict[str, NDArray[Any]]
    rows: NDArray[np.int64] | None = None  # that are trained on, where the others have been left out on the way


# ---- which fit it was ----


def _of_rows(part: Any) -> str:
    """Shape and type of data, and a digest of all its values."""
    shape = " x ".join(map(str, part.shape))
    arrays = (part.indptr, part.indices, part.data) if is_sparse(part) else (np.asarray(part),)
    return f"{shape} of {part.dtype} {digest(*arrays)}"


def _parts(data: Any) -> dict[str, Any]:
    """What there is of the data of a training, by name."""
    names = ("X", "X_clean", "condition", "y")
    parts = dict(zip(names, data.rows.parts(), strict=True)) | {"sample_weight": data.weights}
    if data.validation is not None:
        parts |= {f"{name} of X_val": part for name, part in zip(names, data.validation.parts(), strict=True)}
    return {name: part for name, part in parts.items() if part is not None}


def _callbacks(estimator: Any) -> list[Any]:
    given = getattr(estimator, "callbacks", None)
    return list(given) if isinstance(given, list | tuple) else [given]


def _parameters(estimator: Any) -> dict[str, str]:
    """Parameters as text, the same where they are equal. Of callbacks those that are data, and of a warm start the
    weights."""
    from autoenc._stored_estimators import part

    found = {}
    if getattr(estimator, "warm_start", False) and hasattr(estimator, "coefs_"):
        weights = (*estimator.coefs_, *estimator.intercepts_, *estimator.other_parameters_.values())
        found["warm start"] = f"from weights {digest(*weights)}"
    for name, value in estimator.get_params(deep=False).items():
        if name in FREE:
            continue
        if name == "callbacks":
            value = [callback for callback in _callbacks(estimator) if part(callback) is not None]
        said = described(value)
        found[name] = json.dumps(said[0] if isinstance(said, list) and len(said) == 1 else said)  # one or several
    return found


def _refuse_unlike(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            was, now = (cut(one.get(name, "not there")) for one in (old, new))
            raise ValueError(
                f"{path} is the checkpoint of another fit: {cut(name)} was {was} and is now {now}. A fit goes on "
                "with the same parameters and data alone; allowed too: to start again, which replaces the file, and a "
                "folder, in which each fit has a file of its own"
            )


# ---- a fit with checkpoints ----


class Checkpoints:
    """The file of one fit; in a folder it goes by the name of what is fitted to what."""

    def __init__(self, estimator: Any, path: Any, every: Any, resume: bool) -> None:
        if not isinstance(every, Integral) or isinstance(every, bool) or every < 1:
            raise ValueError(f"checkpoint_every is {every!r}; it must be a whole number of epochs, at least 1")
        self.path = check_path(path, "checkpoint")
        self.every = int(every)
        self._resume = resume
        self._class = type(estimator).__name__
        self._parameters = _parameters(estimator)
        self._seeds: list[int] = []
        self._trainings: list[_Stored | None] = []  # of the file, then of this fit; None: not begun
        self._encoded: dict[int, tuple[Any, dict[str, NDArray[Any]]]] = {}  # trainings as they are written, and arrays
        self._n_seeds = self._n_trainings = 0  # so far
        self._whole: dict[str, Any] = {}  # data of the fit
        self._digests: dict[int, str] = {}  # of these, by their ids: they are long to read
        _archive.installed()
        if self.path.endswith((os.sep, "/")):
            Path(self.path).mkdir(parents=True, exist_ok=True)
        self._in_folder = bool(self.path) and Path(self.path).is_dir()
        if self._in_folder:
            check_folder(self.path)
        else:
            self._open()

    def _open(self) -> None:
        check_writable(self.path)
        if Path(self.path).exists() and (self._resume or Path(self.path).stat().st_size):
            self._read() if self._resume else self._refuse_loss()

    def _refuse_loss(self) -> None:
        try:
            with _archive.opened(self.path, KEY, WHAT):
                pass  # one of any fit may be replaced
        except ValueError as error:
            raise ValueError(f"checkpoint {self.path} is there already, and would be lost: {error}") from error

    def _read(self) -> None:
        with _archive.opened(self.path, KEY, WHAT) as (file, names, configuration):
            _archive.check_format(configuration, FORMAT, "a checkpoint")
            refuse_more(configuration, _KEYS, "the configuration")
            reader = Reader(file, names)
            found = reader.decode({"dict": [[k, v] for k, v in configuration.items()]}, "checkpoint")
            reader.finish()
        if found.get("autoenc") != __version__:
            raise ValueError(
                f"{self.path} was written by autoenc {cut(repr(found.get('autoenc')))}; this is {__version__}, which "
                "may train otherwise; allowed: to start again, which replaces the file"
            )
        if found.get("class") != self._class:
            raise ValueError(f"{self.path} is the checkpoint of {cut(repr(found.get('class')))}, not of {self._class}")
        with _archive.named(self.path, WHAT):
            _refuse_unlike(self.path, _texts(found.get("parameters"), "parameters"), self._parameters)
            seeds, trainings = found.get("seeds"), found.get("trainings")
            if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds):
                damaged("seeds", "are not a list of whole numbers")
            if not isinstance(trainings, list):
                damaged("trainings", "are not a list")
            self._seeds = seeds
            self._trainings = [
                None if raw is None else _training(raw, f"trainings.{i}") for i, raw in enumerate(trainings)
            ]

    def seeds(self, drawn: Sequence[int], data: Any) -> list[int]:
        """Seeds of this fit: those of the file, where it has them. `data` are all that the fit is of."""
        if not self._whole:
            self._whole = _parts(data)
            self._digests = {id(part): _of_rows(part) for part in self._whole.values()}
        if self._in_folder:
            name = f"{self._class}-{digest_of([__version__, self._parameters, self._describe(data)])}.checkpoint"
            self.path, self._in_folder = str(Path(self.path, name)), False
            self._open()
        first, self._n_seeds = self._n_seeds, self._n_seeds + len(drawn)
        self._seeds += drawn[len(self._seeds) - first :]
        return self._seeds[first : self._n_seeds]

    def _describe(self, data: Any) -> dict[str, str]:
        """Data in words that tell it from other data."""
        found = {name: self._digests.get(id(part)) or _of_rows(part) for name, part in _parts(data).items()}
        if data.rows.ranges is not None:  # which names may have decided
            found["columns by loss"] = json.dumps([one["columns"] for one in data.rows.ranges])
        return found

    def trainings(self, data: Any, n: int) -> list["Training"]:
        """The next trainings of this fit."""
        described = self._describe(data)
        first, self._n_trainings = self._n_trainings, self._n_trainings + n
        self._trainings += [None] * (self._n_trainings - len(self._trainings))
        found = self._trainings[first : self._n_trainings]
        for stored in found:
            if stored is not None:
                _refuse_unlike(self.path, stored.data, described)
        return [Training(self, first + i, described, stored) for i, stored in enumerate(found)]

    def write(self, i: int, stored: _Stored) -> None:
        """Puts a training in its place, and writes the file."""
        self._trainings[i] = stored
        self._encoded.pop(i, None)
        try:
            self._write()
        except Exception as error:  # a disk that is full, too little memory, a header beyond what can be read
            from autoenc._warn import warn

            warn(f"the checkpoint could not be written, and training goes on without: {error}")

    def _write(self) -> None:
        for k, one in enumerate(self._trainings):
            if one is not None and k not in self._encoded:
                writer = Writer()
                progress = one.progress._asdict()
                # As arrays, since the header of a file is not for what is long.
                progress |= {name: np.array(progress[name], np.float64) for name in ("epochs", "validation_loss")}
                raw = writer.encode({**one._asdict(), "progress": progress}, f"trainings.{k}")
                self._encoded[k] = raw, writer.tensors
        writer = Writer()
        configuration = {
            "format": FORMAT,
            "autoenc": __version__,
            "class": self._class,
            "parameters": writer.encode(self._parameters, "parameters"),
            "seeds": self._seeds[: self._n_seeds],
            "trainings": [self._encoded.get(k, (None,))[0] for k in range(len(self._trainings))],
        }
        for _, tensors in self._encoded.values():
            writer.tensors |= tensors
        _archive.write(self.path, KEY, configuration, writer.tensors)


def _texts(raw: Any, at: str) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in raw.items()):
        damaged(at, "are not texts by name")
    return raw


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _floats(value: Any, ndim: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64 and value.ndim == ndim


def _epochs(raw: Any) -> list[tuple[float, float, int, bool]]:
    """The epochs of a file; none where they are no epochs."""
    if not _floats(raw, 2) or raw.shape[1] != 4:
        return []
    steps, converged = raw[:, 2], raw[:, 3]
    if not ((steps >= 0) & (steps < 2**53) & (steps == np.floor(steps)) & np.isin(converged, (0, 1))).all():
        return []
    return [(loss, rate, int(step), bool(last)) for loss, rate, step, last in raw.tolist()]


def _training(raw: Any, at: str) -> _Stored:
    """A training of a file, checked; what its arrays must be the trainer says."""
    if not isinstance(raw, dict) or set(raw) != set(_Stored._fields) or not isinstance(raw["finished"], bool):
        damaged(at, f"does not have {', '.join(_Stored._fields)}")
    arrays, progress, rows = raw["arrays"], raw["progress"], raw["rows"]
    if rows is not None and not (
        isinstance(rows, np.ndarray)
        and rows.ndim == 1
        and rows.dtype == np.int64
        and rows.size
        and rows[0] >= 0
        and (np.diff(rows) > 0).all()
    ):
        damaged(f"{at}.rows", "are not whole numbers that rise")
    if not isinstance(arrays, dict) or not all(isinstance(array, np.ndarray) for array in arrays.values()):
        damaged(at, "has arrays that are none")
    if not isinstance(progress, dict) or set(progress) != set(Progress._fields):
        damaged(at, f"does not have {', '.join(Progress._fields)}")
    epochs, losses = _epochs(progress["epochs"]), progress["validation_loss"]
    found = Progress(**{**progress, "epochs": epochs})
    pairs = [found.waiting, found.plateau]
    if (
        not all(type(number) is float for number in (found.best, found.scale))
        or not 0.0 < found.scale <= 1.0
        or not epochs
        or not _floats(losses, 1)
        or len(losses) not in (0, len(epochs))
        or (found.best_epoch is None) != (found.best == np.inf)
        or (found.best_epoch or 0) > len(losses)
        or not all(
            isinstance(pair, tuple) and len(pair) == 2 and type(pair[0]) is float and _count(pair[1]) for pair in pairs
        )
        or not (found.best_epoch is None or _count(found.best_epoch))
        or not isinstance(found.converged, bool)
    ):
        damaged(at, f"has a progress that is none: {str(progress)[:200]}")
    found = found._replace(validation_loss=losses.tolist())
    return _Stored(_texts(raw["data"], f"{at}.data"), found, raw["finished"], arrays, rows)


class Training:
    """One training of a fit with checkpoints."""

    def __init__(self, checkpoints: Checkpoints, i: int, data: dict[str, str], stored: _Stored | None) -> None:
        self._checkpoints, self._i, self._data, self._stored = checkpoints, i, data, stored
        self.rows: NDArray[np.int64] | None = None  # see `_Stored`
        self.ask: Callable[..., Any] = lambda function, *arguments: function(*arguments)  # has the file written

    def resume_rows(self, n: int) -> NDArray[np.int64]:
        """The rows, of so many, that the file says are trained on."""
        rows = None if self._stored is None else self._stored.rows
        if rows is None or rows[-1] >= n:
            with _archive.named(self._checkpoints.path, WHAT):
                damaged(f"trainings.{self._i}.rows", f"are not some of {n}")
        return rows

    def resume(self, trainer: Any) -> tuple[Progress, bool] | None:
        """Brings a trainer to where the file has it; what the epoch loop knew, and whether that was the end."""
        if self._stored is None:
            return None
        arrays = self._stored.arrays
        if self._stored.finished:
            arrays = {**trainer.snapshot(), **arrays}
        with _archive.named(self._checkpoints.path, WHAT):
            for name in ("parameters", "best"):
                if name in arrays and not np.isfinite(arrays[name]).all():
                    damaged(f"trainings.{self._i}.arrays", f"has weights in {name!r} that are not finite")
            trainer.restore(arrays)
        return self._stored.progress, self._stored.finished

    def after_epoch(self, trainer: Any, epoch: int, known: Callable[[], Progress]) -> None:
        """Writes the file, where it is time to; `known` copies what grows with the epochs."""
        if epoch % self._checkpoints.every == 0:
            stored = _Stored(self._data, known(), False, trainer.snapshot(), self.rows)
            self.ask(self._checkpoints.write, self._i, stored)

    def finish(self, trainer: Any, progress: Progress) -> None:
        """Writes what came of a training that is complete."""
        snapshot = trainer.snapshot()
        arrays = {name: snapshot[name] for name in KEPT}
        self.ask(self._checkpoints.write, self._i, _Stored(self._data, progress, True, arrays))


_current: ContextVar[Checkpoints | None] = ContextVar("autoenc_checkpoints", default=None)


def _asked_by_callback(estimator: Any) -> tuple[Any, int, bool]:
    """Path, epochs between two states and whether to go on, of a callback that asks for checkpoints; else no path."""
    found = [callback for callback in _callbacks(estimator) if isinstance(callback, Asked)]
    if len(found) > 1:
        raise ValueError(f"callbacks has {len(found)} Checkpoints; allowed is one")
    return (found[0].path, found[0].every, found[0].resume) if found else (None, EVERY, False)


@contextlib.contextmanager
def checkpointing(estimator: Any, path: Any = None, every: Any = EVERY, resume: Any = False) -> Iterator[None]:
    """A fit with checkpoints where there is a path, of the arguments of `fit` or of `autoenc.callbacks.Checkpoint`;
    without, it is part of the one around it, where there is one."""
    if not isinstance(resume, (bool, np.bool_)):
        raise ValueError(f"resume={resume!r}; allowed are True and False")
    if path is None:
        if resume:
            raise ValueError(f"resume={resume!r} needs checkpoint, the file to go on from")
        if every != EVERY:
            raise ValueError(f"checkpoint_every={every!r} needs checkpoint, the file to write")
        if _current.get() is None:
            path, every, resume = _asked_by_callback(estimator)
    elif _asked_by_callback(estimator)[0] is not None:
        raise ValueError(f"checkpoint={path!r}, and callbacks has a Checkpoint too; allowed is one of them")
    if path is None:
        yield
        return
    token = _current.set(Checkpoints(estimator, path, every, bool(resume)))
    try:
        yield
    finally:
        _current.reset(token)


def seeds(drawn: Sequence[int], data: Any) -> list[int]:
    """Seeds that were drawn for a fit to some data, or those of the checkpoint."""
    checkpoints = _current.get()
    return list(drawn) if checkpoints is None else checkpoints.seeds(drawn, data)


@contextlib.contextmanager
def trainings(data: Any, n: int = 1) -> Iterator[Sequence[Training | None]]:
    """The trainings within this block; what callbacks fit there is none of them."""
    checkpoints = _current.get()
    if checkpoints is None:
        yield [None] * n
        return
    found = checkpoints.trainings(data, n)
    token = _current.set(None)
    try:
        yield found
    finally:
        _current.reset(token)
