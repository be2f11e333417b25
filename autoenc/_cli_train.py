"""``python -m autoenc train``: a model from a table."""

import argparse
import inspect
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _archive, _cli_rows, _spec, _tables, io
from autoenc._checks import check_finite
from autoenc._cli_shared import (
    MISSING,
    NO_NUMBER,
    CommandError,
    Progress,
    UsageError,
    broken,
    check_threads,
    labels,
    numbers,
    open_table,
    placed,
    refuse_blank,
)
from autoenc._scaling import SCALING
from autoenc._tables import Block, Table
from autoenc._whole_file import check_writable

INDEX = re.compile(r"__index_level_\d+__")  # columns of a data frame in Parquet whose index has no name
FEW_LABELS = 10  # of a condition, whatever the number of rows
LARGE = 100.0  # a number of that size, or of its inverse, as a condition: fits end worse, or as without it


def _parameters(chosen: argparse.Namespace, cls: Any) -> dict[str, Any]:
    from autoenc import _cli_values

    known = cls._get_param_names()
    width = "n_bits" if "n_bits" in known else "n_components"
    out: dict[str, Any] = {}
    for name, value in (("random_state", chosen.seed), (width, chosen.n_components), ("n_jobs", chosen.n_jobs)):
        if value is not None and (name in known or name == width):
            out[name] = value
    for text in chosen.param:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--param {text}: needed is NAME=VALUE")
        name = name.strip()
        if name in out:
            raise UsageError(f"--param {text}: {name} is given twice")
        try:
            out[name] = _cli_values.parse(value)
        except ValueError as error:
            raise UsageError(f"--param {text}: {error}") from error
    if "random_state" in known:
        out.setdefault("random_state", 0)
    for name in out:
        if name not in known:
            raise UsageError(f"{cls.__name__} has no parameter {name!r}; there are {', '.join(known)}")
    return out


def _check_parameters(model: Any) -> None:
    """Refuses parameters that no table would suit, before one is read."""
    try:
        model._validate_params()
        values = list(model.get_params(deep=False).values())
        while values:
            value = values.pop()
            if isinstance(value, (list, tuple)):
                values += value
            elif hasattr(value, "validate"):  # a part, with parameters of its own
                value.validate()
        for check in ("_check_options", "_hidden_layers"):
            if hasattr(model, check):
                getattr(model, check)()
        for name in ("n_components", "n_bits"):
            found = getattr(model, name, None)
            for width in found if isinstance(found, (list, tuple)) else [found]:
                if isinstance(width, int):
                    _spec.check_widths(name, [width])
        check_threads(getattr(model, "n_jobs", None))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _whole(table: Table, columns: Sequence[str], others: Sequence[str], progress: Progress, folder: Path) -> Block:
    """All rows. An array in a file stays where it is."""
    if isinstance(table, _tables.ArrayTable) and table.n_rows and list(columns) == table.names and not others:
        return Block(table.array, {})
    texts = {name: list[str]() for name in others}
    with _cli_rows.Gathered(folder) as rows:
        for block in table.blocks(columns, others):
            rows.add(block.numbers)
            for name, text in block.others.items():
                texts[name] += text
            progress.say(f"{rows.n} rows read")
        if not rows.n:
            raise CommandError(f"{table.path}: there are no rows")
        return Block(rows.array(), texts)


def _has_decimals(table: Table, texts: Sequence[str]) -> bool:
    """Whether all are numbers, not all of them whole; a zero in front (02.10) is that of a name."""
    some = False
    for text in texts:
        try:
            value = table.number(text)
        except ValueError:
            return False
        if re.match(r"[+-]?0\d", text):
            return False
        some |= not value.is_integer()
    return some


def _condition(chosen: argparse.Namespace, table: Table, column: str, texts: Sequence[str]) -> tuple[NDArray[Any], int]:
    """What --condition names: numbers, or labels and how many."""
    said = f"--condition {chosen.condition}: column {column!r} has"
    there = [text for text in texts if text not in MISSING]
    as_number = chosen.condition_as == "number"
    if chosen.condition_as is None and column not in table.texts:
        as_number = _has_decimals(table, there)
    if as_number:
        values = numbers(table, column, texts, blank=NO_NUMBER)
        largest = float(np.abs(values).max())
        if largest and not 1.0 / LARGE <= largest <= LARGE:
            what = "which the network gets as they are, whatever --scale says: bring them near 1 first"
            warnings.warn(f"{said} values up to {largest:.4g} in size, {what}", stacklevel=2)
        return values.reshape(-1, 1), 0
    whole = len(there) < len(texts) and labels(table, column, there).dtype != object
    refuse_blank(table, column, texts, blank=MISSING if whole else ("",))
    values = labels(table, column, texts)
    n = len(np.unique(values))
    if n > FEW_LABELS and 10 * n > len(texts):
        what = f"{said} {n} different labels in {len(texts)} rows"
        if 2 * n > len(texts) and chosen.condition_as is None:
            so_many = "--condition-as label takes so many labels, --condition-as number takes numbers as such"
            raise UsageError(f"{what}; needed is a column of groups, or {so_many}")
        warnings.warn(f"{what}, fewer than ten for each; --condition-as number is for numbers", stacklevel=2)
    return values, n


def _classes(model: Any, table: Table, column: str, texts: Sequence[str], chosen: bool) -> NDArray[Any]:
    """y of a classifier, its `unlabeled_label` where a cell is blank, which gives way to labels if not `chosen`."""
    has = np.array([text not in MISSING for text in texts])
    known = labels(table, column, [text for text, one in zip(texts, has, strict=True) if one])
    none = model.unlabeled_label
    if known.dtype == object:  # among words these may be labels
        has = np.array(list(map(bool, texts)))
    if not chosen and known.dtype != object and none in known:  # a blank cell says it here, and -1 is a class
        model.set_params(unlabeled_label=None if has.all() else int(known.min()) - 1)
        warnings.warn(f"{none} in column {column!r} is a class, unless --param unlabeled_label={none}", stacklevel=2)
        none = model.unlabeled_label
    if has.all():
        return labels(table, column, texts)
    if none is None:
        what = "is no label, and unlabeled_label=None says that every row has one"
        raise broken(table, int(np.argmin(has)), "", column, what)
    if known.dtype == object and not isinstance(none, str):
        none = ""  # an entry of y that is none has the type of the others
        model.set_params(unlabeled_label=none)
    y = np.full(len(texts), none, dtype=object if isinstance(none, str) else np.int64)
    y[has] = np.array(texts, dtype=object)[has] if y.dtype == object else known
    return y


def _scaled(
    chosen: argparse.Namespace, model: Any, table: Table, columns: Sequence[str], X: NDArray[Any], folder: Path
) -> tuple[Any, NDArray[Any]]:
    """The scaler that --scale asks for, and scaled rows."""
    try:
        if X.dtype in (np.float32, np.float64):  # by row and column, which the scaler's own check does not name
            allowed = model.missing == "mask" if hasattr(model, "missing") else None
            check_finite(X, "float64", "X", allow_nan=allowed)
        return _cli_rows.scaled(chosen.scale, X, list(columns) if table.named else None, folder)
    except OverflowError as error:
        raise CommandError(f"{table.path}: {error}") from error
    except (ValueError, TypeError) as error:
        raise placed(table, 0, error, columns) from error


class _Report:
    """Says after each epoch how it went, and once how far a checkpoint had come."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._stored = progress, ""

    def recall(self, state: Any) -> None:
        self._stored = f"going on from the checkpoint, at {self._epoch(state)}"

    def resumed(self) -> None:
        if self._stored:
            self._progress.say(self._stored, now=True)
            self._stored = ""

    def _epoch(self, state: Any) -> str:
        training = {"fit": "", "fine_tune": "fine-tuning, "}.get(state.training, f"{state.training}, ")
        return f"{training}epoch {state.epoch} of {state.n_epochs}"

    def __call__(self, state: Any) -> None:
        self.resumed()
        validation = "" if state.validation_loss is None else f", validation loss {state.validation_loss:.6g}"
        last = state.epoch == state.n_epochs and not state.training.startswith("member_")
        self._progress.say(f"{self._epoch(state)}, loss {state.loss:.6g}{validation}", now=last)


def train(chosen: argparse.Namespace) -> dict[str, Any]:
    from autoenc import _checkpoint, _stored_estimators
    from autoenc._labels import has_label  # takes scikit-learn

    progress = Progress(chosen.quiet)
    if chosen.estimator not in _stored_estimators.OUTER:
        raise UsageError(f"--estimator {chosen.estimator}: allowed are {', '.join(_stored_estimators.OUTER)}")
    cls = _stored_estimators.classes()[chosen.estimator]
    regresses = chosen.estimator == "AutoencoderRegressor"
    supervised = regresses or chosen.estimator == "AutoencoderClassifier"
    if supervised and chosen.label is None:
        raise UsageError(f"{chosen.estimator} needs --label, the column of y")
    if not supervised and chosen.label is not None:
        raise UsageError(f"--label: {chosen.estimator} takes none; --ignore leaves a column out")
    _archive.installed()
    if chosen.scale != "none" and chosen.estimator in SCALING:
        raise UsageError(f"--scale {chosen.scale}: {chosen.estimator} scales columns by itself; allowed: none")
    if Path(chosen.output).suffix.lower() in _tables.READ:  # where a model would replace rows
        what = f"that is the name of a table; a model's may not end in {', '.join(_tables.READ)}"
        raise UsageError(f"-o {chosen.output}: {what}")
    check_writable(chosen.output)
    parameters = _parameters(chosen, cls)
    model = cls(**parameters)
    _check_parameters(model)
    for option in ("condition", "checkpoint"):
        if getattr(chosen, option) is not None and option not in inspect.signature(cls.fit).parameters:
            raise UsageError(f"--{option}: {chosen.estimator} takes none")
    for option, asked, needed in (
        ("--resume", chosen.resume, "checkpoint"),
        ("--checkpoint-every", chosen.checkpoint_every, "checkpoint"),
        ("--condition-as", chosen.condition_as, "condition"),
    ):
        if asked and getattr(chosen, needed) is None:
            raise UsageError(f"{option} needs --{needed}")
    table = open_table(chosen)
    taken = [table.column(name) for name in (chosen.label, chosen.condition) if name is not None]
    ignored = [table.column(name) for name in chosen.ignore]
    twice = {*taken} & {*ignored} if len({*taken}) == len(taken) else taken[:1]
    if twice:
        raise UsageError(f"column {next(iter(twice))!r}: --label, --condition and --ignore exclude each other")
    out = {*taken, *ignored}
    columns = [name for name in table.names if name not in out]
    if not columns:
        raise UsageError(f"{table.path}: no column is left")
    if table.named and columns[0] == "" == table.names[0]:
        what = 'the first column has no name and looks like an index; --ignore "" leaves it out'
        warnings.warn(f"{table.path}: {what}", stacklevel=2)
    for name in filter(INDEX.fullmatch, columns):
        what = f"column {name!r} is an index that pandas has written; --ignore {name} leaves it out"
        warnings.warn(f"{table.path}: {what}", stacklevel=2)
    folder = Path(chosen.output).absolute().parent
    rows = _whole(table, columns, taken, progress, folder)
    X = rows.numbers
    given: dict[str, Any] = {}
    beside = ""
    if chosen.condition is not None:
        column = table.column(chosen.condition)
        given["condition"], n_labels = _condition(chosen, table, column, rows.others[column])
        what = f"{n_labels} label{'s' * (n_labels > 1)}" if n_labels else "a number"
        beside = f", condition {chosen.condition}: {what}"
    if supervised:
        column = table.column(chosen.label)
        texts = rows.others[column]
        y = (
            numbers(table, column, texts)
            if regresses
            else _classes(model, table, column, texts, "unlabeled_label" in parameters)
        )
        given["y"], none = y, None if regresses else model.unlabeled_label
        has = ~np.isnan(y) if regresses else has_label(y, none)
        labelled = int(has.sum())
        if not regresses:
            n_classes = len(np.unique(y[has]))
            beside += f", label {chosen.label}: {n_classes} classes"
            if n_classes > FEW_LABELS and _has_decimals(table, [text for text in texts if text not in MISSING]):
                what = f"{n_classes} numbers with decimals, each of them a class; AutoencoderRegressor predicts numbers"
                warnings.warn(f"--label {chosen.label}: column {column!r} has {what}", stacklevel=2)
    if chosen.checkpoint is not None:
        every = _checkpoint.EVERY if chosen.checkpoint_every is None else chosen.checkpoint_every
        given.update(checkpoint=chosen.checkpoint, checkpoint_every=every, resume=chosen.resume)
    progress.say(f"{X.shape[0]} rows of {X.shape[1]} columns{beside}; training {chosen.estimator}", now=True)
    scaler = None
    if chosen.scale != "none":
        scaler, X = _scaled(chosen, model, table, columns, X, folder)
    reports = "callbacks" in cls._get_param_names()
    own = model.callbacks if reports else None
    report = _Report(progress)
    if reports:
        model.set_params(callbacks=[report, *([own] if callable(own) else own or ())])
    try:
        model.fit(X, **given)
    except (ValueError, TypeError) as error:
        raise placed(table, 0, error, columns) from error
    except KeyboardInterrupt as error:
        by_epochs = reports and not chosen.estimator.endswith("Detector")
        first = "the first epoch of fine-tuning" if supervised else "the first epoch" if by_epochs else "its whole fit"
        error.args = (f"no model is saved: {chosen.estimator} has none before the end of {first}",)
        raise
    report.resumed()  # of a fit that was complete
    if reports:
        model.set_params(callbacks=own)
    if chosen.estimator == "AutoencoderImputer":
        if model.autoencoder_ is None:
            raise CommandError(f"{table.path}: no column has any value")
        for name, least in zip(columns, model.min_, strict=True):
            if np.isnan(least):
                out_of = "" if model.keep_empty_features else ": reconstruct leaves it out"
                warnings.warn(f"column {name!r} has no value{out_of}", stacklevel=2)
    if table.named and scaler is None:
        model.feature_names_in_ = np.array(columns, dtype=object)
    if scaler is not None:
        from sklearn.pipeline import make_pipeline

        io.save(make_pipeline(scaler, model), chosen.output)
    else:
        model.save(chosen.output)
    curve = getattr(model, "loss_curve_", None)
    done = {
        "model": chosen.output,
        "estimator": chosen.estimator,
        "scale": chosen.scale,
        "rows": int(X.shape[0]),
        "features": int(X.shape[1]),
        "epochs": None if not hasattr(model, "n_iter_") else int(model.n_iter_),
        "loss": None if curve is None else float(curve[-1]),
        "seconds": progress.seconds,
    }
    if chosen.condition is not None:
        done["condition_labels"] = n_labels or None
    if supervised:
        done.update(labelled=labelled, classes=None if regresses else model.classes_.tolist())
    progress.say(f"saved {chosen.output}", now=True)
    return {**done, "interrupted": True} if chosen.interrupted else done
