"""Tables of numbers in files, read and written in blocks of rows, for the command line.

CSV by pandas where it is installed, else by Python; Parquet by pyarrow; NumPy's own files in place.
"""

import contextlib
import csv
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoenc._whole_file import replacing

ROWS = 65_536  # of a block
MOST_VALUES = 2**24  # of a block
READ = (".csv", ".npy", ".npz", ".parquet")
WRITTEN = (".csv", ".npy", ".parquet")


class TableError(Exception):
    """A file that cannot be read or written; the message says where it is wrong."""


class ArgumentError(TableError):
    """A name of a file or of a column that is not allowed."""


class Block(NamedTuple):
    """Some rows: numbers, and the texts of further columns by name."""

    numbers: NDArray[Any]
    others: dict[str, list[str]]


def _extension(path: str, allowed: Sequence[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in allowed:
        raise ArgumentError(f"{path}: the name must end in {', '.join(allowed)}")
    return suffix


def _missing(text: str) -> bool:
    return text.strip() in ("", "NA")


def _text(value: Any) -> str:
    """A label of Parquet or NumPy as it stands in CSV; nothing for null and NaN."""
    return "" if value is None or value != value else str(value).strip()


def _blank(fields: list[str]) -> bool:
    """Whether a line has nothing but space, as pandas has it too."""
    return not fields or (len(fields) == 1 and fields[0].isspace())


def _counts(names: list[str]) -> bool:
    """Whether they are 0, 1, ..., with or without a blank one before them, which is pandas' index."""
    counted = names[names[0] == "" :]
    return len(names) > 1 and counted == [str(i) for i in range(len(counted))]


def _check_unlike(place: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"{place}: two columns have the name {twice!r}")


class Table:
    """A file of rows. `names` are those of its columns, or their numbers as text where it has none."""

    decimal = "."  # in numbers that are text
    names: list[str]
    named: bool = False
    doubtful = False  # whether some names are numbers, and nobody said that they are names
    texts: Sequence[str] = ()  # columns of texts, even where all look like numbers
    n_rows: int | None = None  # where it is known before the end

    def __init__(self, path: str) -> None:
        self.path = path

    def column(self, asked: str) -> str:
        """The name of a column, from a name or a position (negative ones from the end)."""
        if asked in self.names:
            return asked
        with contextlib.suppress(ValueError, IndexError):
            return self.names[int(asked)]
        raise ArgumentError(f"{self.path}: there is no column {asked!r}; there are {self.shown()}")

    def shown(self) -> str:
        """Names of columns in words."""
        return ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")

    def where(self, row: int) -> str:
        """A row, counted from 0, in words."""
        return f"row {row}"

    def number(self, text: str) -> float:
        """A number from a text, or a ValueError; true and false are 1 and 0, as pandas has it."""
        if "_" in text or (self.decimal != "." and "." in text):  # Python's own 1_000, which no table means
            raise ValueError(text)
        try:
            return float(text.replace(self.decimal, "."))
        except ValueError:
            word = text.strip().lower()
            if word not in ("true", "false"):
                raise
            return float(word == "true")

    def blocks(self, columns: Sequence[str], others: Sequence[str] = ()) -> Iterator[Block]:
        """Rows in order: some columns as numbers, others as text."""
        raise NotImplementedError

    def _size(self, n_columns: int) -> int:
        return max(1, min(ROWS, MOST_VALUES // max(1, n_columns)))


class ArrayTable(Table):
    """A two-dimensional array, which may be mapped from a file."""

    def __init__(self, path: str, array: NDArray[Any]) -> None:
        super().__init__(path)
        if array.ndim != 2 or array.dtype.kind not in "biuf" or not array.shape[1]:
            raise TableError(
                f"{path}: an array of shape {array.shape} and type {array.dtype}; needed are rows of numbers"
            )
        self.array = array
        self.n_rows = array.shape[0]
        self.names = [str(i) for i in range(array.shape[1])]

    def blocks(self, columns: Sequence[str], others: Sequence[str] = ()) -> Iterator[Block]:
        at = [int(name) for name in columns]
        whole = at == list(range(self.array.shape[1]))
        size = self._size(self.array.shape[1])
        for first in range(0, len(self.array), size):
            rows = self.array[first : first + size]
            texts = {name: list(map(_text, rows[:, int(name)].tolist())) for name in others}
            yield Block(rows if whole else rows[:, at], texts)


class _Lines:
    """Rows of CSV, with the number of the line that one ends with, and of that before it: rows may have several."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.before = 0

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self.before = self._reader.line_num
        fields: list[str] = next(self._reader)
        return fields

    @property
    def line_num(self) -> int:
        return int(self._reader.line_num)


class CsvTable(Table):
    """Text with one row a line. A first line has the names if an entry is no number, if `known` ones are all there, or,
    where none can be known (None), if it counts the columns as pandas does those of an array; or as `header` says. By
    default a comma is between fields, or a semicolon where the comma is for decimals."""

    def __init__(
        self,
        path: str,
        separator: str | None = None,
        header: bool | None = None,
        known: Sequence[str] | None = None,
        decimal: str = ".",
    ) -> None:
        super().__init__(path)
        self._separator, self.decimal = separator or (";" if decimal == "," else ","), decimal
        with self._lines() as lines:
            first, second = next(lines, None), next((fields for fields in lines if not _blank(fields)), None)
            number = lines.line_num
        if not first:
            raise TableError(f"{path}: the file is empty, or its first line is")
        other = next((one for one in ",;\t|" if one in first[0]), None)
        if len(first) == 1 and other is not None and not self._is_number(first[0]):
            if separator is None and decimal == ",":
                what = f"line 1 has one field, {first[0][:40]!r}, and --decimal , means semicolons between fields"
                raise ArgumentError(f"{path}: {what}; --separator names what else there is, or ';' for a single column")
            if other != decimal:
                shown = "tab" if other == "\t" else f"'{other}'"
                what = f"line 1 has one field, {first[0][:40]!r}; --separator {shown} splits it"
                warnings.warn(f"{path}: {what}", stacklevel=2)
        if second:  # by its length pandas decides whether lines begin with an index
            self._check_length(second, number, len(first))
        names = [name.strip() for name in first]
        texts = not all(map(self._is_number, names))
        counted, found = _counts(names), bool(known) and set(known or ()) <= {*names}
        doubtful = counted or (texts and any(self._is_number(name) and not _missing(name) for name in names))
        self.doubtful = header is None and doubtful and not found
        said = texts or found or (counted and known is None)
        self.named = said if header is None else header
        self.names = names if self.named else [str(i) for i in range(len(first))]
        _check_unlike(f"{path}, line 1", self.names)

    @contextlib.contextmanager
    def _lines(self) -> Iterator[Any]:
        with Path(self.path).open(encoding="utf-8-sig", newline="") as file:
            lines = _Lines(csv.reader(file, delimiter=self._separator, strict=True))
            try:
                yield lines
            except UnicodeDecodeError as error:
                raise TableError(f"{self.path}, {self._not_utf8()}") from error
            except csv.Error as error:
                what = "a quote is never closed" if "end of data" in str(error) else error
                raise TableError(f"{self.path}, line {lines.before + 1}: {what}") from error

    def _not_utf8(self) -> str:
        """The first byte that is not UTF-8, and its line. Python decodes ahead of the lines, and does not know it."""
        with Path(self.path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            for number, line in enumerate(file, 1):
                found = re.search("[\udc80-\udcff]", line)
                if found:
                    byte = ord(found[0]) - 0xDC00
                    return f"line {number}: byte 0x{byte:02x} (character {found.start() + 1} of the line) is not UTF-8"
        return "it is not UTF-8"

    def _rows(self, lines: Any) -> Iterator[tuple[int, list[str]]]:
        """Lines with their numbers, from 1; empty ones and the names left out."""
        names = self.named
        for fields in lines:
            if _blank(fields):
                continue
            if names:
                names = False
                continue
            yield lines.line_num, fields

    def where(self, row: int) -> str:
        with self._lines() as lines:
            for i, (number, _) in enumerate(self._rows(lines)):
                if i == row:
                    return f"line {number}"
        return f"row {row}"

    def blocks(self, columns: Sequence[str], others: Sequence[str] = ()) -> Iterator[Block]:
        try:
            import pandas
        except ImportError:
            yield from self._by_python(columns, others)
            return
        # Releases before 4 round otherwise, by default, or say that they no longer do.
        exact = {"float_precision": "round_trip"} if int(pandas.__version__.partition(".")[0]) < 4 else {}
        n = 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The 'float_precision' argument")
                read = self._open(pandas, columns, others, exact)
            with read:
                checked = False
                for frame in read:
                    if not checked and frame[self.names[-1]].isin([np.nan, ""]).any():
                        self._check_lengths()  # pandas takes a short line for one with missing values
                        checked = True
                    texts = {name: frame[name].astype(str).str.strip().tolist() for name in others}
                    yield Block(frame[list(columns)].to_numpy(np.float64), texts)
                    n += 1
        except ValueError:
            # Once more, by lines, for the place; pandas tells it in words of its own, or not at all. A number that only
            # Python knows, such as one with a space that is not ASCII's, is one.
            yield from islice(self._by_python(columns, others), n, None)

    def _open(self, pandas: Any, columns: Sequence[str], others: Sequence[str], exact: dict[str, str]) -> Any:
        return pandas.read_csv(
            self.path,
            sep=self._separator,
            header=0 if self.named else None,
            names=self.names,
            dtype={**dict.fromkeys(self.names, str), **dict.fromkeys(columns, np.float64)},
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN", "NA"] for name in columns},
            chunksize=self._size(len(self.names)),
            decimal=self.decimal,
            encoding="utf-8-sig",
            skipinitialspace=True,
            on_bad_lines="error",
            **exact,
        )

    def _check_length(self, fields: list[str], line: int, n: int) -> None:
        if len(fields) != n:
            raise TableError(f"{self.path}, line {line}: {len(fields)} fields where the first line has {n}")

    def _check_lengths(self) -> None:
        with self._lines() as lines:
            for line, fields in self._rows(lines):
                self._check_length(fields, line, len(self.names))

    def _by_python(self, columns: Sequence[str], others: Sequence[str]) -> Iterator[Block]:
        at, kept = [self.names.index(name) for name in columns], [self.names.index(name) for name in others]
        size = self._size(len(self.names))
        numbers: list[list[float]] = []
        texts: list[list[str]] = [[] for _ in others]
        with self._lines() as lines:
            for number, fields in self._rows(lines):
                self._check_length(fields, number, len(self.names))
                numbers.append([self._number(fields[i], number, i) for i in at])
                for text, i in zip(texts, kept, strict=True):
                    text.append(fields[i].strip())
                if len(numbers) == size:
                    yield Block(np.array(numbers), dict(zip(others, texts, strict=True)))
                    numbers, texts = [], [[] for _ in others]
        if numbers:
            yield Block(np.array(numbers).reshape(len(numbers), len(at)), dict(zip(others, texts, strict=True)))

    def _is_number(self, text: str) -> bool:
        try:
            self.number(text)
        except ValueError:
            return _missing(text)
        return True

    def _number(self, text: str, line: int, column: int) -> float:
        text = text.strip()
        if _missing(text):
            return float("nan")
        try:
            return self.number(text)
        except ValueError:
            what = "--ignore leaves a column out"
            if self.decimal == "." and re.fullmatch(r"[+-]?\d*,\d+", text):
                what = "--decimal , if the comma stands for the point"
            elif self.decimal != "." and "." in text:
                what = f"--decimal {self.decimal} leaves no point in one"
            elif text.lower() in ("?", "-", "*", ".", "n/a", "#n/a", "null", "none"):
                what = "a cell without a value is blank, NA or nan"
            raise TableError(
                f"{self.path}, line {line}: {text!r} in column {self.names[column]!r} is not a number ({what})"
            ) from None


class ParquetTable(Table):
    named = True

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._parquet = _pyarrow()
        with self._named():
            file = self._parquet.ParquetFile(path)
            self.names = list(file.schema_arrow.names)
            self.texts = [field.name for field in file.schema_arrow if "string" in str(field.type)]
            self.n_rows = file.metadata.num_rows
        _check_unlike(path, self.names)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowException, OSError) as error:  # damaged pages are an OSError
            raise TableError(f"{self.path} cannot be read as Parquet: {error}") from error

    def blocks(self, columns: Sequence[str], others: Sequence[str] = ()) -> Iterator[Block]:
        with self._named():
            # Without asking ahead, which by default keeps every column's pages until the end.
            file = self._parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=2**20)
            for batch in file.iter_batches(self._size(len(columns)), columns=[*columns, *others]):
                parts = []
                for name in columns:
                    column = batch.column(name)
                    try:
                        # Not "safe": whole numbers beyond 2**53 are rounded, as in the other formats.
                        parts.append(np.asarray(column.cast("float64", safe=False).to_numpy(zero_copy_only=False)))
                    except (ValueError, NotImplementedError) as error:
                        raise TableError(
                            f"{self.path}: column {name!r} is of type {column.type} and not of numbers "
                            "(--ignore leaves a column out)"
                        ) from error
                texts = {name: list(map(_text, batch.column(name).to_pylist())) for name in others}
                yield Block(np.column_stack(parts), texts)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise TableError("Parquet needs pyarrow, which is not installed: python -m pip install pyarrow") from None
    return pyarrow.parquet


def open_table(
    path: str,
    *,
    array: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
    known: Sequence[str] | None = None,
    decimal: str = ".",
) -> Table:
    """A file by the ending of its name. `array`: which one of an .npz file; the others: of CSV."""
    suffix = _extension(path, READ)
    if not Path(path).is_file():
        # Rows are read twice, where one is to be named or columns are scaled.
        found = (
            "this is a folder, a pipe or a device; a file is needed" if Path(path).exists() else "there is no such file"
        )
        raise TableError(f"{path}: {found}")
    if suffix == ".csv":
        return CsvTable(path, separator, header, known, decimal)
    if suffix == ".parquet":
        return ParquetTable(path)
    if suffix == ".npz" and not zipfile.is_zipfile(path):  # NumPy would leave the file open
        raise TableError(f"{path} cannot be read: it is no .npz archive, or not all of one")
    if suffix == ".npy":
        with Path(path).open("rb") as file:
            if file.read(6) != np.lib.format.MAGIC_PREFIX:
                raise TableError(f"{path} cannot be read: it is no .npy file")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if suffix == ".npy":
            return ArrayTable(path, found)
        with found:
            names = list(found)
            name = array or ("X" if "X" in names else names[0] if len(names) == 1 else None)
            if name not in names:
                raise ArgumentError(f"{path}: it has the arrays {', '.join(names) or '(none)'}; say which by --array")
            return ArrayTable(path, found[name])
    # What zipfile and NumPy's reader of headers raise over damaged bytes.
    except (
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        SyntaxError,
        TokenError,
    ) as error:
        raise TableError(f"{path} cannot be read: {error}") from error


# ---- writing ----


Columns = Sequence[tuple[str, NDArray[Any]]]


def by_name(columns: Columns | NDArray[Any], names: Sequence[str] | None) -> Columns:
    """Columns of an array with their names, which are c0, c1, ... where there are none; others have theirs."""
    if not isinstance(columns, np.ndarray):
        return columns
    if not columns.shape[1]:
        raise TableError("the model gives back no column")
    return list(zip(names or [f"c{i}" for i in range(columns.shape[1])], columns.T, strict=True))


class Sink:
    """Rows to a file, which is there when all of them are."""

    def __init__(self, path: str, names: Sequence[str] | None) -> None:
        self._suffix = _extension(path, WRITTEN)
        self._path, self._names = path, names
        if self._suffix == ".parquet":
            _pyarrow()
        self._n = 0
        self._shape: tuple[int, np.dtype[Any]] | None = None
        self._writer: Any = None
        self._replacing = replacing(path)
        self._file: Any = self._replacing.__enter__().open("wb")

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *error: Any) -> None:
        with ExitStack() as stack:  # backwards: what is left of the file is written, it is closed, it takes its place
            stack.push(self._replacing.__exit__)
            stack.callback(self._file.close)
            if self._writer is not None:
                stack.callback(self._writer.close)
            if error[0] is None:
                self._finish()
            else:
                raise error[1]

    def _header(self, n: int) -> None:
        assert self._shape is not None
        width, dtype = self._shape
        described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n, width)}
        np.lib.format.write_array_header_1_0(self._file, described)

    def write(self, columns: Columns | NDArray[Any]) -> None:
        """Some rows: an array, or columns with names."""
        parts, first = by_name(columns, self._names), self._shape is None
        if self._suffix == ".npy":
            array = columns if isinstance(columns, np.ndarray) else np.column_stack([part for _, part in parts])
            if first:
                self._shape = (len(parts), array.dtype)
                self._header(0)
            self._file.write(array.tobytes())
        elif self._suffix == ".csv":
            self._file.write(csv_rows(parts, header=first).encode())
        else:
            import pyarrow

            # Texts by name: pyarrow has no type for none of them, as in a block of which all rows are left out.
            types = [pyarrow.string() if part.dtype == object else None for _, part in parts]
            arrays = [pyarrow.array(np.ascontiguousarray(one[1]), kind) for one, kind in zip(parts, types, strict=True)]
            table = pyarrow.Table.from_arrays(arrays, names=[name for name, _ in parts])
            if first:
                self._writer = _pyarrow().ParquetWriter(self._file, table.schema)
            self._writer.write_table(table)
        self._shape = self._shape or (len(parts), parts[0][1].dtype)
        self._n += len(parts[0][1])

    def _finish(self) -> None:
        if self._shape is None:
            raise TableError("there are no rows to write")
        if self._suffix == ".npy":
            before = self._file.tell() - self._n * self._shape[0] * self._shape[1].itemsize
            self._file.seek(0)
            self._header(self._n)  # NumPy leaves room for the number of rows to grow
            if self._file.tell() != before:
                raise TableError(f"{self._path}: this NumPy gives headers no room")


def _quoted(name: str) -> str:
    """As readers take it for what it is: with a comma, a quote, an end of line or outer spaces, between quotes."""
    if name and name == name.strip() and not any(c in name for c in ',"\n\r'):
        return name
    return f'"{name.replace(chr(34), chr(34) * 2)}"'


def csv_rows(columns: Columns, *, header: bool) -> str:
    """Columns as lines, behind that of the names; numbers with as many digits as tell them from all others."""
    shown = [
        [_quoted(value) if isinstance(value, str) else str(value) for value in part.tolist()]
        if part.dtype != np.float32
        else [str(value) for value in part]
        for _, part in columns
    ]
    names = [[_quoted(name) for name, _ in columns]] if header else []
    return "".join(",".join(row) + "\n" for row in (*names, *zip(*shown, strict=True)))
