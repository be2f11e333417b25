"""What the commands of ``python -m autoenc`` share: errors, progress, tables, and what model files say of columns."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _archive, _schemas, _stored_scalers, _tables
from autoenc._tables import Table

SECONDS = 1.0  # between two lines of progress


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


def open_table(chosen: argparse.Namespace, known: Sequence[str] = ()) -> Table:
    """The table of a command; `known`: names of columns of a model."""
    suffix = Path(chosen.data).suffix.lower()
    if chosen.array is not None and suffix != ".npz":
        raise UsageError(f"--array {chosen.array} goes with an .npz file, and {chosen.data} is none")
    if chosen.separator is not None and suffix != ".csv":
        raise UsageError(f"--separator {chosen.separator!r} goes with a .csv file, and {chosen.data} is none")
    if chosen.header is not None and suffix != ".csv":
        option = "--header" if chosen.header else "--no-header"
        raise UsageError(f"{option} goes with a .csv file, and {chosen.data} is none")
    separator = chosen.separator or ","
    return _tables.open_table(chosen.data, array=chosen.array, separator=separator, header=chosen.header, known=known)


def header_of(path: str) -> dict[str, Any]:
    """What the header of a model says, of which the class and the names are used here."""
    with _archive.opened(path, _schemas.KEY, "a model of autoenc") as (_, _, configuration):
        _archive.check_format(configuration, _stored_scalers.FORMAT, "a model")
        found = configuration["estimator"]
        if not isinstance(found["class"], str) or not isinstance(found["state"], dict):
            raise _archive.Damaged("it has no class and no state")
        pipeline = configuration.get(_stored_scalers.PIPELINE)
        before = [] if pipeline is None else pipeline["before"]
        named = before[0] if before else found  # names of columns are where rows come in
        names = named["state"].get("feature_names_in_", {})
        return {**found, "names": names, "piped": pipeline is not None, "file": configuration}


def names_of(stored: dict[str, Any]) -> list[str]:
    """Of the columns that a model was trained on, where it knows them."""
    names = stored["names"].get("strings") if isinstance(stored["names"], dict) else None
    return list(names or [])


def labels(texts: Sequence[str], kept: bool) -> NDArray[Any]:
    """Whole numbers where all are, without zeros before them, and int64 holds them; else, or if `kept`, strings."""
    if not kept and all(re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})(\.0)?", text) for text in texts):
        return np.array([int(text.removesuffix(".0")) for text in texts], dtype=np.int64)
    return np.array(texts, dtype=object)


def broken(table: Table, row: int, text: str, column: str, what: str) -> CommandError:
    """A cell that does not do; rows count from 0."""
    return CommandError(f"{table.path}, {table.where(row)}: {text!r} in column {column!r} {what}")


def conditions(table: Table, column: str, texts: Sequence[str], known: Any = None, first: int = 0) -> NDArray[Any]:
    """Labels that a network gets, of the kind of those known; a row without one is refused. `first`: its number."""
    if "" in texts:
        raise broken(table, first + texts.index(""), "", column, "is no label, and --condition needs one in each row")
    if known is None or (isinstance(known, dict) and "strings" in known):
        return labels(texts, known is not None or column in table.texts)
    whole = np.empty(len(texts), dtype=np.int64)
    for i, text in enumerate(texts):
        try:
            whole[i] = int(text.removesuffix(".0"))
        except (ValueError, OverflowError):
            raise broken(table, first + i, text, column, "is no whole number, and labels of the fit were") from None
    return whole


def placed(table: Table, first: int, error: Exception) -> CommandError:
    """An error of an estimator, with the line of the file for the row that it names."""
    text = str(error)
    found = re.search(r"\brow (\d+)", text)
    return CommandError(f"{text} ({table.path}, {table.where(first + int(found[1]))})" if found else text)
