"""Files that are there whole or not at all."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def refuse_folder(path: Any) -> None:
    """Raises IsADirectoryError with the path as it was given; what the system says names another one, or none."""
    if not os.fspath(path) or Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, "a file is needed, and this is a folder", os.fspath(path))


def _sync_folder(folder: str) -> None:
    """Makes a rename last. Where a folder cannot be opened (Windows), the system does so by itself."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[Path]:
    """An empty file beside `path` to write to, which takes its place at the end; after an error it is deleted.

    So at any moment the old file or the new one is there, whole.

    Raises
    ------
    IsADirectoryError
        Where `path` is a folder.
    OSError
        Where a file cannot be made or written there; with `path` as the name where the folder is not to be had.
    """
    refuse_folder(path)
    final = os.path.realpath(os.fspath(path))  # a link stays one
    folder, name = os.path.split(final)
    temporary = Path(folder) / f".{name}.{secrets.token_hex(8)}.tmp"
    # As open() makes files: with the permissions that the process gives to new ones.
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise type(error)(error.errno, os.strerror(error.errno or 0), os.fspath(path)) from error
    mode = os.fstat(descriptor).st_mode
    os.close(descriptor)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # a writer may have put a file of its own, for the owner alone, there
        temporary.replace(final)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(folder)
