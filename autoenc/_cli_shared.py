"""What the commands of ``python -m autoenc`` share: errors, progress, tables, and what model files say of columns."""

import argparse
import contextlib
import math
import re
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _archive, _schemas, _stored_scalers, _tables
from autoenc._checks import ALLOWING
from autoenc._tables import Table

SECONDS = 1.0  # between two lines of progress
MISSING = ("", "NA", "NaN", "nan")  # in a column of numbers
NO_NUMBER = "is no number, and --condition needs one in each row"


class CommandError(Exception):
    """Something that the user can mend; the message says how."""


class UsageError(CommandError):
    """Arguments that are not allowed."""


class Progress:
    """Lines on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._start = self._last = time.perf_counter()

    def say(self, text: str, *, now: bool = False) -> None:
        clock = time.perf_counter()
        if not self._quiet and (now or clock - self._last >= SECONDS):
            print(f"autoenc: {text} ({clock - self._start:.1f} s)", file=sys.stderr, flush=True)
            self._last = clock

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)


def printable(text: str) -> str:
    """For a terminal: what is no character to see goes by its number, since a file may have it to do harm."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def check_threads(n_jobs: Any) -> None:
    if n_jobs is not None:
        from autoenc._threads import n_threads  # takes joblib

        try:
            n_threads(n_jobs)
        except ValueError as error:
            raise UsageError(str(error)) from error


def open_table(chosen: argparse.Namespace, known: Sequence[str] | None = None) -> Table:
    """The table of a command; `known`: names of columns of the model that is applied to it."""
    suffix = Path(chosen.data).suffix.lower()
    if chosen.array is not None and suffix != ".npz":
        raise UsageError(f"--array {chosen.array} goes with an .npz file, and {chosen.data} is none")
    for option, given in (
        (f"--separator {chosen.separator!r}", chosen.separator),
        (f"--decimal {chosen.decimal}", chosen.decimal),
        ("--header" if chosen.header else "--no-header", chosen.header),
    ):
        if given is not None and suffix != ".csv":
            raise UsageError(f"{option} goes with a .csv file, and {chosen.data} is none")
    decimal = chosen.decimal or "."
    if chosen.separator == decimal:
        raise UsageError(f"--separator and --decimal are both {decimal!r}; allowed are different characters")
    table = _tables.open_table(
        chosen.data, array=chosen.array, separator=chosen.separator, header=chosen.header, known=known, decimal=decimal
    )
    if table.doubtful:
        what = "names; --no-header says that it is a row" if table.named else "a row; --header says that it has names"
        warnings.warn(f"{table.path}: line 1 is taken for {what}", stacklevel=2)
    return table


def header_of(path: str) -> dict[str, Any]:
    """What the header of a model says, of which the class and the names are used here."""
    with _archive.opened(path, _schemas.KEY, "a model of autoenc") as (_, _, configuration):
        _archive.check_format(configuration, _stored_scalers.FORMAT, "a model")
        found = configuration["estimator"]
        if not isinstance(found["class"], str) or not isinstance(found["state"], dict):
            raise _archive.Damaged("it has no class and no state")
        if not isinstance(found["state"].get("_spec", {}), dict):
            raise _archive.Damaged("its _spec is no dict")
        pipeline = configuration.get(_stored_scalers.PIPELINE)
        before = [] if pipeline is None else pipeline["before"]
        named = before[0] if before else found  # names of columns are where rows come in
        names = named["state"].get("feature_names_in_", {})
        return {**found, "names": names, "piped": pipeline is not None, "file": configuration}


def names_of(stored: dict[str, Any]) -> list[str]:
    """Of the columns that a model was trained on, where it knows them."""
    names = stored["names"].get("strings") if isinstance(stored["names"], dict) else None
    return names if isinstance(names, list) else []


def _whole(text: str, decimal: str) -> int:
    """A whole number without zeros before it, which int64 holds, or a ValueError."""
    if not re.fullmatch(rf"[+-]?(0|[1-9]\d{{0,17}})(\{decimal}0*)?", text):
        raise ValueError(text)
    return int(text.partition(decimal)[0])


def labels(table: Table, column: str, texts: Sequence[str]) -> NDArray[Any]:
    """Whole numbers where all are and the column is none of texts, else strings."""
    if column not in table.texts:
        with contextlib.suppress(ValueError):
            return np.array([_whole(text, table.decimal) for text in texts], dtype=np.int64)
    return np.array(texts, dtype=object)


def broken(table: Table, row: int, text: str, column: str, what: str) -> CommandError:
    """A cell that does not do; rows count from 0."""
    return CommandError(f"{table.path}, {table.where(row)}: {text!r} in column {column!r} {what}")


def numbers(
    table: Table, column: str, texts: Sequence[str], first: int = 0, *, blank: str | None = None
) -> NDArray[np.float64]:
    """Finite numbers. A blank cell is NaN, or refused in the words of `blank`. `first`: number of the first row."""
    out = np.full(len(texts), np.nan)
    for i, text in enumerate(texts):
        if text in MISSING:
            if blank is not None:
                raise broken(table, first + i, text, column, blank)
            continue
        try:
            out[i] = table.number(text)
        except ValueError:
            raise broken(table, first + i, text, column, "is not a number") from None
        if math.isinf(out[i]):
            raise broken(table, first + i, text, column, "is no finite number")
    return out


def conditions(table: Table, column: str, texts: Sequence[str], known: Any, first: int) -> NDArray[Any]:
    """What a network gets of some rows, of the kind of the labels of its fit; None: it had numbers."""
    if known is None:
        return numbers(table, column, texts, first, blank=NO_NUMBER).reshape(-1, 1)
    refuse_blank(table, column, texts, first)
    if "strings" in known:
        return np.array(texts, dtype=object)
    whole = np.empty(len(texts), dtype=np.int64)
    for i, text in enumerate(texts):
        try:
            whole[i] = _whole(text, table.decimal)
        except ValueError:
            raise broken(table, first + i, text, column, "is no whole number, and labels of the fit were") from None
    return whole


def refuse_blank(table: Table, column: str, texts: Sequence[str], first: int = 0, blank: Sequence[str] = ("",)) -> None:
    for i, text in enumerate(texts):
        if text in blank:
            raise broken(table, first + i, text, column, "is no label, and --condition needs one in each row")


def placed(table: Table, first: int, error: Exception, columns: Sequence[str]) -> CommandError:
    """An error of an estimator, with the line and the column of the file for those that it counts, and with options of
    the command line in place of Python."""
    text = str(error).replace(ALLOWING, "; train --param missing=mask allows NaN")
    text = text.replace(", for instance by StandardScaler in a pipeline", ": --scale standard")
    found = re.search(r"(\bX \w+ \S+ at )?\brow (\d+)(, column (\d+))?", text)
    if not found:
        return CommandError(text)
    place = table.where(first + int(found[2]))
    if found[1] and found[3] and table.named:  # counted among those that the estimator gets
        place += f", column {columns[int(found[4])]!r}"
    return CommandError(f"{text} ({table.path}, {place})")
