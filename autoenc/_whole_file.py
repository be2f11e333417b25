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


def refuse_device(path: Any) -> None:
    """Raises OSError for what has no end and no place: to read it may take for ever, and a rename would replace it."""
    final = os.path.realpath(os.fspath(path))
    if os.path.lexists(final) and not Path(final).is_file():
        raise OSError(errno.EINVAL, "a file is needed, and this is a device, a pipe or a socket", os.fspath(path))


def _sync_folder(folder: str) -> None:
    """Makes a rename last. Where a folder cannot be opened (Windows), the system does so by itself."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(path: Any) -> tuple[str, Path, int]:
    """The file that a path means, and a new empty one in its folder, open."""
    refuse_folder(path)
    refuse_device(path)
    final = os.path.realpath(os.fspath(path))  # a link stays one
    folder, name = os.path.split(final)
    # Of the name what leaves room in any alphabet: 255 bytes are all that a name may have.
    temporary = Path(folder) / f".{name[:32]}.{secrets.token_hex(8)}.tmp"
    # As open() makes files: with the permissions that the process gives to new ones.
    try:
        return final, temporary, os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise type(error)(error.errno, os.strerror(error.errno or 0), os.fspath(path)) from error


def check_writable(path: Any) -> None:
    """Raises what `replacing` would where no file can be made, before there is anything to write."""
    _, temporary, descriptor = _beside(path)
    os.close(descriptor)
    temporary.unlink()


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[Path]:
    """An empty file beside `path` to write to, which takes its place at the end; after an error it is deleted.

    So at any moment the old file or the new one is there, whole. The new one has the permissions of the old.

    Raises
    ------
    IsADirectoryError
        Where `path` is a folder.
    OSError
        Where a file cannot be made or written there; with `path` as the name where the folder is not to be had. Where
        `path` is a device, a pipe or a socket.
    """
    final, temporary, descriptor = _beside(path)
    mode = os.fstat(descriptor).st_mode
    os.close(descriptor)
    with contextlib.suppress(OSError):
        mode = Path(final).stat().st_mode  # what was private stays so
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
    _sync_folder(str(Path(final).parent))
