"""Checkpoints: a fit that was killed goes on from its last one, and ends to the bit as if nothing had happened.

A fit is a sequence of trainings (pretraining and fine-tuning are trainings of their own). A checkpoint has the seeds
that were drawn, what came of the trainings that are complete, and the state of the one in progress. Going on is the
same fit once more, in which complete trainings answer from the file.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoenc import __version__, _archive
from autoenc._archive import Reader, Writer, cut, damaged, refuse_more
from autoenc._checks import is_sparse
from autoenc._whole_file import check_path, check_writable

File = str | os.PathLike[str]

KEY = "autoenc_checkpoint"  # of the configuration in the header of a file
FORMAT = 1
WHAT = "a checkpoint of autoenc"
EVERY = 10  # epochs
ROWS = 256  # of the data that are looked at to tell it from other data
# Parameters that do not change what is learned.
FREE = frozenset({"callbacks", "n_jobs", "verbose"})
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


# ---- which fit it was ----


def _digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]


def _of_rows(part: Any) -> str:
    """Shape and type of data, and a digest of some of its rows."""
    n = part.shape[0]
    at = np.unique(np.linspace(0, n - 1, min(n, ROWS)).astype(np.intp))
    shape = " x ".join(map(str, part.shape))
    some = part[at]
    arrays = (some.indptr, some.indices, some.data) if is_sparse(part) else (np.asarray(some),)
    return f"{shape} of {part.dtype} {_digest(*arrays)}"


def describe(data: Any) -> dict[str, str]:
    """Data of a training, in words that tell it from other data."""
    names = ("X", "X_clean", "condition", "y")
    found = {name: _of_rows(part) for name, part in zip(names, data.rows.parts(), strict=True) if part is not None}
    if data.weights is not None:
        found["sample_weight"] = _of_rows(data.weights)
    if data.validation is not None:
        for name, part in zip(names, data.validation.parts(), strict=True):
            if part is not None:
                found[f"{name} of X_val"] = _of_rows(part)
    return found


def _alike(raw: Any) -> Any:
    """JSON of a value as any that is equal to it has it: a tuple as a list, NumPy's numbers as Python's, 1.0 as 1."""
    if isinstance(raw, dict):
        if set(raw) == {"tuple"}:
            return _alike(raw["tuple"])
        return _alike(raw["value"]) if "scalar" in raw else {key: _alike(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_alike(value) for value in raw]
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


def _parameters(estimator: Any) -> dict[str, str]:
    """Parameters as text, the same where they are equal; what is no data goes by the name of its kind."""
    from autoenc._stored_estimators import part

    found = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in FREE or isinstance(value, np.random.RandomState):
            continue
        writer = Writer(part)
        try:
            raw = _alike(writer.encode(value.tolist() if isinstance(value, np.ndarray) else value, name))
        except ValueError:
            raw = getattr(value, "__qualname__", type(value).__qualname__)
        digests = {key: _digest(array) for key, array in writer.tensors.items()}
        found[name] = json.dumps([raw, digests] if digests else raw)
    return found


def _refuse_unlike(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            was, now = (cut(one.get(name, "not there")) for one in (old, new))
            raise ValueError(
                f"{path} is the checkpoint of another fit: {cut(name)} was {was} and is now {now}; resume needs the "
                "same parameters and data (without resume the fit starts again)"
            )


# ---- a fit with checkpoints ----


class Checkpoints:
    """The file of one fit."""

    def __init__(self, estimator: Any, path: Any, every: Any, resume: bool) -> None:
        if not isinstance(every, Integral) or isinstance(every, bool) or every < 1:
            raise ValueError(f"checkpoint_every is {every!r}; it must be a whole number of epochs, at least 1")
        self.path = check_path(path, "checkpoint")
        self.every = int(every)
        self._class = type(estimator).__name__
        self._parameters = _parameters(estimator)
        self._seeds: list[int] = []
        self._trainings: list[_Stored] = []  # of the file, then of this fit
        self._n_seeds = self._n_trainings = 0  # so far
        check_writable(self.path)
        _archive.installed()
        if Path(self.path).exists() and (resume or Path(self.path).stat().st_size):
            self._read() if resume else self._refuse_loss()

    def _refuse_loss(self) -> None:
        try:
            with _archive.opened(self.path, KEY, WHAT):
                pass  # one of any fit may be replaced
        except ValueError as error:
            raise ValueError(f"checkpoint={self.path!r} is there already, and would be lost: {error}") from error

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
                "may train otherwise (without resume the fit starts again)"
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
            self._trainings = [_training(raw, f"trainings.{i}") for i, raw in enumerate(trainings)]

    def seed(self, drawn: int) -> int:
        """A seed of this fit: that of the file, where it has one."""
        if self._n_seeds == len(self._seeds):
            self._seeds.append(drawn)
        self._n_seeds += 1
        return self._seeds[self._n_seeds - 1]

    def training(self, data: Any) -> "Training":
        """The next training of this fit."""
        described = describe(data)
        i = self._n_trainings
        self._n_trainings += 1
        stored = self._trainings[i] if i < len(self._trainings) else None
        if stored is not None:
            _refuse_unlike(self.path, stored.data, described)
        return Training(self, i, described, stored)

    def write(self, i: int, stored: _Stored) -> None:
        """Puts a training behind those before it, and writes the file."""
        del self._trainings[i:]
        self._trainings.append(stored)
        writer = Writer()
        configuration = {
            "format": FORMAT,
            "autoenc": __version__,
            "class": self._class,
            "parameters": writer.encode(self._parameters, "parameters"),
            "seeds": self._seeds[: self._n_seeds],
            "trainings": [
                writer.encode({**one._asdict(), "progress": one.progress._asdict()}, f"trainings.{k}")
                for k, one in enumerate(self._trainings)
            ],
        }
        try:
            _archive.write(self.path, KEY, configuration, writer.tensors)
        except OSError as error:
            from autoenc._warn import warn

            warn(f"the checkpoint could not be written, and training goes on without: {error}")


def _texts(raw: Any, at: str) -> dict[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in raw.items()):
        damaged(at, "are not texts by name")
    return raw


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _training(raw: Any, at: str) -> _Stored:
    """A training of a file, checked; what its arrays must be the trainer says."""
    if not isinstance(raw, dict) or set(raw) != set(_Stored._fields) or not isinstance(raw["finished"], bool):
        damaged(at, f"does not have {', '.join(_Stored._fields)}")
    arrays, progress = raw["arrays"], raw["progress"]
    if not isinstance(arrays, dict) or not all(isinstance(array, np.ndarray) for array in arrays.values()):
        damaged(at, "has arrays that are none")
    if not isinstance(progress, dict) or set(progress) != set(Progress._fields):
        damaged(at, f"does not have {', '.join(Progress._fields)}")
    found = Progress(**progress)
    floats = [found.best, found.scale, *(found.validation_loss if isinstance(found.validation_loss, list) else [None])]
    epochs = found.epochs if isinstance(found.epochs, list) else [None]
    pairs = [found.waiting, found.plateau]
    if (
        not all(type(number) is float for number in floats)
        or not 0.0 < found.scale <= 1.0
        or len(found.validation_loss) not in (0, len(epochs))
        or (found.best_epoch is None) != (found.best == np.inf)
        or (found.best_epoch or 0) > len(found.validation_loss)
        or not all(
            isinstance(epoch, tuple) and [type(value) for value in epoch] == [float, float, int, bool]
            for epoch in epochs
        )
        or not all(
            isinstance(pair, tuple) and len(pair) == 2 and type(pair[0]) is float and _count(pair[1]) for pair in pairs
        )
        or not (found.best_epoch is None or _count(found.best_epoch))
        or not isinstance(found.converged, bool)
        or not found.epochs
    ):
        damaged(at, f"has a progress that is none: {str(progress)[:200]}")
    return _Stored(_texts(raw["data"], f"{at}.data"), found, raw["finished"], arrays)


class Training:
    """One training of a fit with checkpoints."""

    def __init__(self, checkpoints: Checkpoints, i: int, data: dict[str, str], stored: _Stored | None) -> None:
        self._checkpoints, self._i, self._data, self._stored = checkpoints, i, data, stored

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

    def after_epoch(self, trainer: Any, progress: Progress) -> None:
        """Writes the file, where it is time to."""
        if len(progress.epochs) % self._checkpoints.every == 0:
            self._checkpoints.write(self._i, _Stored(self._data, progress, False, trainer.snapshot()))

    def finish(self, trainer: Any, progress: Progress) -> None:
        """Writes what came of a training that is complete."""
        snapshot = trainer.snapshot()
        arrays = {name: snapshot[name] for name in KEPT}
        self._checkpoints.write(self._i, _Stored(self._data, progress, True, arrays))


_current: ContextVar[Checkpoints | None] = ContextVar("autoenc_checkpoints", default=None)


def _asked_by_callback(estimator: Any) -> tuple[Any, int, bool]:
    """Path, epochs between two states and whether to go on, of a callback that asks for checkpoints; else no path."""
    given = getattr(estimator, "callbacks", None)
    found = [c for c in (given if isinstance(given, list | tuple) else [given]) if isinstance(c, Asked)]
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


def seed(drawn: int) -> int:
    """A seed that was drawn, or that of the checkpoint."""
    checkpoints = _current.get()
    return drawn if checkpoints is None else checkpoints.seed(drawn)


@contextlib.contextmanager
def training(data: Any) -> Iterator[Training | None]:
    """The training within this block; what callbacks fit there is none of it."""
    checkpoints = _current.get()
    if checkpoints is None:
        yield None
        return
    found = checkpoints.training(data)
    token = _current.set(None)
    try:
        yield found
    finally:
        _current.reset(token)
