"""A file of arrays and a string of configuration: the container of models and checkpoints. NumPy and safetensors only.

Written whole or not at all, read without running anything: see ``docs/files.md``.
"""

import contextlib
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from autoenc._whole_file import check_path, refuse_others, replacing

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}
_CODES = {name: code for code, name in DTYPES.items()}
CHECKSUMS = "autoenc_crc32"  # in the metadata, as JSON: of the configuration (by the name ""), and of each array
MOST_ROOM = 2**26  # bytes of a file's arrays of strings that mostly hold nothing
MOST_HEADER = 100_000_000  # bytes that safetensors reads
# Lists and objects of a configuration, each of which takes a hundred bytes: more need so many characters for each.
FREE_LISTS, CHARACTERS_A_LIST = 2**18, 16
MOST_SHOWN = 900  # characters of what is wrong
_STRING = re.compile('"[^"]*"')  # of a text without escapes


class Damaged(ValueError):
    """What a file says cannot be: it is damaged, or it was made to do harm."""


def damaged(at: str, what: str) -> NoReturn:
    raise Damaged(f"{at} {what}")


def cut(text: str, most: int = 200) -> str:
    """Text of a file, whose length nobody has promised, for a message."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} ... {text[-most // 3 :]}"


def refuse_more(found: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    more = sorted(set(found) - set(known))
    if more:
        raise Damaged(f"{what} has {more!r}, which this release does not know")


def installed() -> Any:
    """The package safetensors; raises ImportError, with what to install, where it is not there."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "model files and checkpoints need safetensors, which is not installed: python -m pip install safetensors"
        ) from error
    return safetensors


# ---- writing ----


def dumped(configuration: Mapping[str, Any]) -> str:
    return json.dumps(configuration, allow_nan=False, separators=(",", ":"))


def write(path: Any, key: str, configuration: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes a file whole, or leaves the old one as it was.

    safetensors itself would do so by a file with a name of its own, which a kill leaves behind for ever.
    """
    configured = dumped(configuration)
    sums = {"": _crc(configured.encode()), **{name: checksum(array) for name, array in tensors.items()}}
    header: dict[str, Any] = {"__metadata__": {key: configured, CHECKSUMS: dumped(sums)}}
    arrays = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))  # so each begins at its alignment
    end = 0
    for name, array in arrays:
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _CODES[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
    text = dumped(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MOST_HEADER:
        raise ValueError(
            f"{path!s} is not written: what is not arrays, such as names of features, takes {len(text):,} bytes of "
            f"{MOST_HEADER:,} at most"
        )
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in arrays:
            file.write(_stored(array))


def _stored(array: NDArray[Any]) -> memoryview:
    """The bytes of an array as the file has them."""
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).data


def _crc(data: bytes | memoryview, before: bytes = b"") -> str:
    return f"{zlib.crc32(data, zlib.crc32(before)):08x}"


def checksum(array: NDArray[Any]) -> str:
    """CRC-32 of type, shape and bytes, in 8 hexadecimal digits."""
    return _crc(_stored(array), f"{array.dtype.name} {array.shape}".encode())


class Writer:
    """Turns values into what JSON has, and collects the arrays among them.

    `objects` says of an object its name in the file and its parameters, None of one that is not known; `estimators`
    writes a fitted estimator within another.
    """

    def __init__(
        self,
        objects: Callable[[Any], tuple[str, Mapping[str, Any]] | None] = lambda _: None,
        estimators: Callable[[Any, str, "Writer"], Any] | None = None,
    ) -> None:
        self.tensors: dict[str, NDArray[Any]] = {}
        self._objects = objects
        self._estimators = estimators

    def estimator(self, value: Any, at: str) -> Any:
        assert self._estimators is not None
        return self._estimators(value, at, self)

    def array(self, value: NDArray[Any], at: str) -> Any:
        kind = value.dtype.kind
        if kind == "U" or (kind == "O" and all(type(entry) is str for entry in value.flat)):
            out: dict[str, Any] = {"strings": value.ravel().tolist(), "shape": list(value.shape)}
            return out if kind == "O" else {**out, "width": value.dtype.itemsize // 4}
        native = value.dtype.newbyteorder("=")
        if native.name not in DTYPES.values():
            raise ValueError(f"{at} is an array of {value.dtype}, which a model file cannot hold")
        self.tensors[at] = value.astype(native, copy=False)
        return {"array": at}

    def encode(self, value: Any, at: str) -> Any:
        """A value as JSON has it.

        Raises
        ------
        ValueError
            Where it is no data; the message has `at`, its name.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, (np.bool_, np.integer, np.floating)) and value.dtype.name in DTYPES.values():
            return {"scalar": value.dtype.name, "value": self.encode(value.item(), at)}
        if isinstance(value, np.str_):
            return {"scalar": "str", "value": str(value)}
        if type(value) is list:
            return [self.encode(entry, f"{at}.{i}") for i, entry in enumerate(value)]
        if type(value) is tuple:
            return {"tuple": [self.encode(entry, f"{at}.{i}") for i, entry in enumerate(value)]}
        if type(value) is dict:
            pairs = enumerate(value.items())
            return {"dict": [[self.encode(k, f"{at}.{i}.key"), self.encode(v, f"{at}.{i}")] for i, (k, v) in pairs]}
        if type(value) is slice:
            return {"slice": [self.encode(part, at) for part in (value.start, value.stop, value.step)]}
        if isinstance(value, np.ndarray):
            return self.array(value, at)
        found = self._objects(value)
        if found is None:
            raise ValueError(
                f"{at} is {value!r}, which cannot be written as data; allowed are None, numbers, strings, lists, "
                "tuples, dicts, arrays and the objects of autoenc"
            )
        name, parameters = found
        return {"object": name, "parameters": {k: self.encode(v, f"{at}.{k}") for k, v in parameters.items()}}


class Unwritten:
    """The arrays of a Writer as `Reader` takes them from an open file: what is to be written can be read first."""

    def __init__(self, writer: Writer) -> None:
        self._tensors = writer.tensors

    def header(self, name: str) -> tuple[str, tuple[int, ...]]:
        array = self._tensors[name]
        return _CODES[array.dtype.name], array.shape

    def array(self, name: str) -> NDArray[Any]:
        return self._tensors[name].view()


# ---- reading ----


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Damaged("it has a key twice")
    return out


def _refuse_constant(name: str) -> NoReturn:
    raise Damaged(f"it has {name}, which JSON does not have")


def parse(text: str) -> Any:
    """JSON without what the standard leaves open: keys that occur twice, NaN, nesting without end, and lists."""
    if text.count("[") + text.count("{") > FREE_LISTS:
        bare = _STRING.sub("", text.replace(r"\\", "").replace(r"\"", ""))
        n = bare.count("[") + bare.count("{")
        if n > max(FREE_LISTS, len(text) // CHARACTERS_A_LIST):
            raise Damaged(f"it has {n} lists and objects in {len(text)} characters")
    try:
        return json.loads(text, object_pairs_hook=_unlike, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Damaged("it is nested too deeply") from error
    except Damaged:
        raise
    except ValueError as error:
        raise Damaged(f"it is not JSON: {error}") from error


class Reader:
    """Values and arrays of an open file. An array is read once, so that a small file cannot ask for much memory."""

    def __init__(
        self, file: Any, names: list[str], objects: Callable[[str, dict[str, Any], str], Any] | None = None
    ) -> None:
        self._file = file
        self._left = set(names)
        self._objects = objects
        self._room = MOST_ROOM

    @property
    def knows_objects(self) -> bool:
        return self._objects is not None

    def shape(self, raw: Any, at: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """What the header says of an array, which is not read."""
        if not isinstance(raw, dict) or set(raw) != {"array"} or not isinstance(raw["array"], str):
            damaged(at, "is not an array")
        if raw["array"] not in self._left:
            damaged(at, f"is the array {raw['array']!r}, which the file does not have, or has for something else")
        kind, shape = self._file.header(raw["array"])
        if kind not in DTYPES:
            damaged(at, f"is of type {kind}; allowed are {', '.join(DTYPES)}")
        return np.dtype(DTYPES[kind]), shape

    def array(self, raw: Any, at: str) -> NDArray[Any]:
        self.shape(raw, at)
        self._left.discard(raw["array"])
        found: NDArray[Any] = self._file.array(raw["array"])
        return found

    def finish(self) -> None:
        if self._left:
            raise Damaged(f"it has arrays that nothing refers to: {', '.join(sorted(self._left)[:5])}")

    def skip(self, raw: Any) -> None:
        """Passes over the arrays of a value that is not wanted."""
        if isinstance(raw, dict) and set(raw) == {"array"} and isinstance(raw["array"], str):
            self._left.discard(raw["array"])
        elif isinstance(raw, (dict, list)):
            for part in raw.values() if isinstance(raw, dict) else raw:
                self.skip(part)

    def decode(self, raw: Any, at: str) -> Any:
        """The value that `Writer.encode` made this of."""
        if raw is None or isinstance(raw, (bool, int, str)):
            return raw
        if isinstance(raw, float):
            if not math.isfinite(raw):
                damaged(at, "is a number too large for float64")
            return raw
        if isinstance(raw, list):
            return [self.decode(entry, f"{at}.{i}") for i, entry in enumerate(raw)]
        if not isinstance(raw, dict):
            damaged(at, f"is a {type(raw).__name__}")
        return self._tagged(raw, at)

    def _tagged(self, raw: dict[str, Any], at: str) -> Any:
        keys = set(raw)
        if keys == {"array"}:
            return self.array(raw, at)
        if keys in ({"strings", "shape"}, {"strings", "shape", "width"}):
            return self._strings(raw, at)
        if keys == {"float"} and raw["float"] in ("nan", "inf", "-inf"):
            return float(raw["float"])
        if keys == {"scalar", "value"}:
            return self._scalar(raw, at)
        if keys == {"tuple"} and isinstance(raw["tuple"], list):
            return tuple(self.decode(raw["tuple"], at))
        if keys == {"slice"} and isinstance(raw["slice"], list) and len(raw["slice"]) == 3:
            return slice(*self.decode(raw["slice"], at))
        if keys == {"dict"} and isinstance(raw["dict"], list):
            pairs = [self.decode(pair, f"{at}.{i}") for i, pair in enumerate(raw["dict"])]
            if all(isinstance(pair, list) and len(pair) == 2 and is_plain(pair[0]) for pair in pairs):
                # Of whole numbers without end any number can have one hash.
                if any(type(key) is int and not -(2**63) <= key < 2**64 for key, _ in pairs):
                    damaged(at, "has a key that no integer of 64 bits is")
                out = dict(pairs)
                if len(out) != len(pairs):
                    damaged(at, "has a key twice")
                return out
        if (
            self._objects is not None
            and keys == {"object", "parameters"}
            and isinstance(raw["object"], str)
            and isinstance(raw["parameters"], dict)
        ):
            parameters = {k: self.decode(v, f"{at}.{k}") for k, v in raw["parameters"].items()}
            return self._objects(raw["object"], parameters, at)
        damaged(at, f"has the keys {sorted(keys)}, which mean no value")

    def _strings(self, raw: dict[str, Any], at: str) -> NDArray[Any]:
        entries, shape, width = raw["strings"], raw["shape"], raw.get("width")
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            damaged(at, "is not a list of strings")
        if (
            not isinstance(shape, list)
            or not all(type(n) is int and n >= 0 for n in shape)
            or math.prod(shape) != len(entries)
        ):
            damaged(at, f"has the shape {shape!r} and {len(entries)} strings")
        longest = max((len(entry) for entry in entries), default=0)
        if width is None:
            return np.array(entries, dtype=object).reshape(shape)
        if type(width) is not int or width < max(1, longest):
            damaged(at, f"has strings of up to {longest} characters and the width {width!r}")
        # Every entry takes the room of the widest, so that few characters could ask for gigabytes.
        room = 4 * width * len(entries)
        if room > 256 * sum(map(len, entries)):
            self._room -= room
            if self._room < 0:
                damaged(at, f"has {len(entries)} strings, which would take {room} bytes by a width of {width}")
        return np.array(entries, dtype=f"U{width}").reshape(shape)

    def _scalar(self, raw: dict[str, Any], at: str) -> Any:
        name, value = raw["scalar"], self.decode(raw["value"], at)
        if name == "str" and isinstance(value, str):
            return np.str_(value)
        if name not in DTYPES.values() or not isinstance(value, (bool, int, float)):
            damaged(at, f"is a scalar of type {name!r}")
        dtype = np.dtype(name)
        if (dtype.kind == "b") != isinstance(value, bool) or (dtype.kind in "iu") != (type(value) is int):
            damaged(at, f"is {value!r}, which is no {name}")
        try:
            return dtype.type(value)
        except OverflowError:
            damaged(at, f"is {value!r}, which {name} does not hold")


def is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


@contextlib.contextmanager
def named(name: str, what: str, *, written: bool = True) -> Iterator[None]:
    """Errors of a file in the block are ValueErrors that name it. `written`: it is there, or it is about to be.

    Raises
    ------
    ValueError
        Where it is damaged, or something else than `what`.
    """
    failed = f"{name} {'cannot be read' if written else 'is not written: it could not be read'} as {what}"
    safetensors = installed()
    try:
        yield
    except (safetensors.SafetensorError, ValueError) as error:
        if not isinstance(error, Damaged) and name in str(error)[: len(name) + MOST_SHOWN]:
            raise
        raise ValueError(f"{failed}: {cut(str(error), MOST_SHOWN)}") from error
    except RecursionError as error:
        raise ValueError(f"{failed}: its values are nested too deeply") from error
    except MemoryError as error:
        raise MemoryError(f"{failed}: {error}") from error
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration, OverflowError) as error:
        # What no check has foreseen is still a damaged file, and nothing of it has been given to anyone.
        raise ValueError(f"{failed}: {type(error).__name__}: {cut(str(error), MOST_SHOWN)}") from error


class Arrays:
    """Those of an open file: each is read into memory of its own when it is asked for, and compared with its checksum.

    `entries` is the header, without its metadata, `start` where the arrays begin; `sums` may be None.
    """

    def __init__(self, raw: Any, entries: Mapping[str, Any], start: int, sums: Mapping[str, Any] | None) -> None:
        self._raw, self._entries, self._start, self._sums = raw, entries, start, sums

    def header(self, name: str) -> tuple[str, tuple[int, ...]]:
        return self._entries[name]["dtype"], tuple(self._entries[name]["shape"])

    def array(self, name: str) -> NDArray[Any]:
        kind, shape = self.header(name)
        first, end = self._entries[name]["data_offsets"]
        dtype = np.dtype(DTYPES[kind])
        if end - first != math.prod(shape) * dtype.itemsize:
            raise Damaged(f"the array {name!r} of {kind} and shape {shape} has {end - first} bytes")
        array = np.empty(shape, dtype.newbyteorder("<"))
        self._raw.seek(self._start + first)
        if self._raw.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:
            raise Damaged(f"it ends within the array {name!r}")
        array = array.astype(dtype, copy=False)
        if self._sums is not None:
            _compare(f"the array {name!r}", checksum(array), self._sums[name])
        return array


def _compare(what: str, found: str, noted: Any) -> None:
    if found != noted:
        raise Damaged(
            f"{what} has changed since it was written: its checksum is {found}, noted is {noted!r} (whoever changes "
            f"a file on purpose leaves {CHECKSUMS!r} out)"
        )


def _checksums(text: str, noted: str | None, names: Iterable[str]) -> Mapping[str, Any] | None:
    """Those of arrays, where the configuration, `text`, has its own; files of other writers may have none."""
    if noted is None:
        return None
    sums = parse(noted)
    if not isinstance(sums, dict) or set(sums) != {"", *names}:
        raise Damaged("its checksums are not those of its arrays")
    _compare("the configuration", _crc(text.encode()), sums[""])
    return sums


@contextlib.contextmanager
def opened(path: Any, key: str, what: str) -> Iterator[tuple[Arrays, list[str], dict[str, Any]]]:
    """The arrays of the file, their names and its configuration; errors as of `named`."""
    name = check_path(path)
    safetensors = installed()
    refuse_others(name)
    with named(name, what):
        with safetensors.safe_open(name, framework="numpy"):
            pass  # the header is in order, and the arrays lie side by side up to the end of the file
        # Read from here, since safetensors maps the file beside its copies, and takes the last of two of one name.
        with Path(name).open("rb") as raw:
            length = min(int.from_bytes(raw.read(8), "little"), MOST_HEADER)
            entries = parse(raw.read(length).decode())
            metadata = entries.pop("__metadata__", {})
            text = metadata.get(key)
            if text is None and f"{key}_checkpoint" in metadata:
                raise Damaged(
                    "it is a checkpoint, the state of a fit: fit(X, checkpoint=..., resume=True), or train with "
                    "--checkpoint and --resume, goes on from it to a model, which is saved beside it"
                )
            if text is None:
                raise Damaged(f"it has no configuration {key!r}, as {what} has")
            sums = _checksums(text, metadata.get(CHECKSUMS), entries)
            configuration = parse(text)
            if not isinstance(configuration, dict):
                raise Damaged("the configuration is not an object")
            yield Arrays(raw, entries, 8 + length, sums), list(entries), configuration


def check_format(configuration: Mapping[str, Any], known: int, what: str) -> None:
    """Refuses formats of later releases."""
    found = configuration.get("format")
    if type(found) is not int or not 1 <= found <= known:
        written = configuration.get("autoenc")
        by = f", written by autoenc {written!r}," if isinstance(written, str) else ""
        raise Damaged(f"it is {what} of format {found!r}{by} and this release reads 1 to {known}")
