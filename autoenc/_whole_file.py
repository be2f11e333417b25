"""Files that are there whole or not at all."""

import contextlib
import errno
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What a disk that takes no more says, without the name of a file.
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
DAY = 86_400.0  # seconds


def check_path(path: Any, name: str = "path") -> str:
    """The path as text; refuses what is none, by the name of the parameter.

    Raises
    ------
    TypeError
        Where it is of another type, bytes included.
    ValueError
        Where it has a zero character, which no system allows.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"{name} is {path!r}; allowed are str and path-like objects, such as pathlib.Path")
    if "\0" in text:
        raise ValueError(f"{name} is {text!r}; allowed are names without a zero character")
    return text


def refuse_others(path: Any) -> None:
    """Raises OSError for folders, and for what has no end and no place: to read it may take for ever, and a rename
    would replace it."""
    text = os.fspath(path)
    if not text or Path(text).is_dir():
        raise IsADirectoryError(errno.EISDIR, "a file is needed, and this is a folder", text)
    final = os.path.realpath(text)
    if os.path.lexists(final) and not Path(final).is_file():
        raise OSError(errno.EINVAL, "a file is needed, and this is a device, a pipe or a socket", text)


@contextlib.contextmanager
def naming(path: Any) -> Iterator[None]:
    """In this block the error of a full disk has a name: the path that was given."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno not in FULL:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _sync_folder(folder: str) -> None:
    """Makes a rename last. Where a folder cannot be opened (Windows), the system does so by itself."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(path: Any) -> tuple[str, Path]:
    """The file that a path means, and a name for a new one in its folder."""
    check_path(path)
    refuse_others(path)
    final = os.path.realpath(os.fspath(path))  # a link stays one
    folder, name = os.path.split(final)
    # Of the name what leaves room in any alphabet: 255 bytes are all that a name may have.
    return final, Path(folder) / f".{name[:32]}.{secrets.token_hex(8)}.tmp"


def _create(temporary: Path, path: Any) -> int:
    """Makes the new file; its permissions, which are those that the process gives to new ones, as of open().

    What processes that were killed have left of the same file goes, a day after its last byte.
    """
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise type(error)(error.errno, os.strerror(error.errno or 0), os.fspath(path)) from error
    try:
        made = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):  # all times are of the clock of that disk
        for old in temporary.parent.glob(glob.escape(temporary.name[:-20]) + "[0-9a-f]" * 16 + ".tmp"):
            if old.lstat().st_mtime < made.st_mtime - DAY:
                _delete(old)
    return made.st_mode


def _delete(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()


def check_writable(path: Any) -> None:
    """Raises what `replacing` would where no file can be made, before there is anything to write."""
    _probe(_beside(path)[1], path)


def check_folder(path: Any) -> None:
    """Raises OSError, with the name of the folder, where no file can be made in it."""
    _probe(Path(path) / f".{secrets.token_hex(8)}.tmp", path)


def _probe(temporary: Path, path: Any) -> None:
    try:
        _create(temporary, path)
    finally:
        _delete(temporary)


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[Path]:
    """An empty file beside `path` to write to, which takes its place at the end; after an error it is deleted.

    So at any moment the old file or the new one is there, whole. The new one has the permissions of the old.

    Raises
    ------
    IsADirectoryError
        Where `path` is a folder.
    OSError
        Where a file cannot be made or written there; with `path` as the name where the folder is not to be had, or the
        disk is full. Where `path` is a device, a pipe or a socket.
    """
    final, temporary = _beside(path)
    try:  # from before there is a file: Ctrl-C may come at any moment
        mode = _create(temporary, path)
        with contextlib.suppress(OSError):
            mode = Path(final).stat().st_mode  # what was private stays so, from the first byte
            temporary.chmod(mode | 0o200)
        with naming(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(mode)  # a writer may have put a file of its own there
        temporary.replace(final)
    except BaseException:
        _delete(temporary)
        raise
    _sync_folder(str(Path(final).parent))
