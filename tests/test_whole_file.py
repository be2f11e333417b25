"""Files that are written stand there whole, or the old ones stand as they were."""

import errno
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

import autoenc
from autoenc._whole_file import replacing

X = np.random.default_rng(0).random((40, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return autoenc.Autoencoder(2, max_iter=2, random_state=0).fit(X)


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as file:
        assert file.parent == tmp_path and file != path
        file.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error in (ValueError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)), replacing(path) as file:
            file.write_text("half")
            raise error
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and permissions are others")
def test_a_link_stays_one_and_permissions_are_those_of_new_files(tmp_path):
    (tmp_path / "link").symlink_to("file")
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "link") as file:
            file.unlink()  # as writers do that put a file of their own there
            file.write_text("new")
            file.chmod(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_what_was_private_stays_private(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o600)
    with replacing(path) as file:
        file.write_text("new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_errors_name_the_path_that_was_given(tmp_path):
    nowhere = tmp_path / "nowhere" / "a.txt"
    with pytest.raises(FileNotFoundError) as found, replacing(nowhere):
        pass
    assert found.value.filename == str(nowhere) and found.value.errno == errno.ENOENT
    with pytest.raises(IsADirectoryError, match="this is a folder"), replacing(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_what_is_no_file_is_not_replaced(tmp_path):
    """As root, /dev/null would be a file from then on."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OSError, match="this is a device, a pipe or a socket") as found, replacing(path) as file:
            file.write_text("new")
        assert found.value.filename == str(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="a whole path has 260 characters at most there")
@pytest.mark.parametrize("name", ["n" * 250, "ü" * 125])
def test_names_as_long_as_they_may_be(name, tmp_path):
    with replacing(tmp_path / name) as file:
        file.write_text("new")
    assert (tmp_path / name).read_text() == "new"


WRITERS = {
    "save": lambda model, path: model.save(path),
    "to_c": lambda model, path: model.to_c(path),
    "to_onnx": lambda model, path: model.to_onnx(path, part="encoder"),
    "explore": lambda model, path: model.explore(path, X),
}


@pytest.mark.parametrize("name", WRITERS)
def test_whatever_is_written_is_there_whole_or_not_at_all(name, model, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(self, target):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            WRITERS[name](model, path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]
    WRITERS[name](model, path)
    assert path.stat().st_size > 500 and [p.name for p in tmp_path.iterdir()] == ["file"]
