"""Files that are written stand there whole, or the old ones stand as they were."""

import errno
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import autoenc
from autoenc import _demo
from autoenc._whole_file import check_writable, replacing

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
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.write_text("new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("write", ["replacing", "check_writable"])
def test_what_kills_have_left_goes_a_day_later(write, tmp_path):
    path = tmp_path / "a[b].txt"
    day = 24 * 3600
    ages = {  # in seconds, of files that stand there; whether they go
        ".a[b].txt.0123456789abcdef.tmp": (day + 60, True),
        ".a[b].txt.0123456789abcdee.tmp": (day - 60, False),  # it may be written to
        ".a[b].txt.0123456789ABCDEF.tmp": (2 * day, False),  # the rest are not ours, or of another file
        ".a[b].txt.0123456789abcdef0.tmp": (2 * day, False),
        ".ab.txt.0123456789abcdef.tmp": (2 * day, False),
        ".b.txt.0123456789abcdef.tmp": (2 * day, False),
        "a[b].txt.tmp": (2 * day, False),
    }
    for name, (age, _) in ages.items():
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    if write == "replacing":
        with replacing(path) as file:
            file.write_text("new")
        assert path.read_text() == "new"
        path.unlink()
    else:
        check_writable(path)
    assert {p.name for p in tmp_path.iterdir()} == {name for name, (_, goes) in ages.items() if not goes}


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
    "explore": lambda model, path: autoenc.inspection.explore(model, path, X),
    "demo": lambda model, path: _demo.draw(
        str(path), {"original": np.zeros((2, 64))}, X[:, :2], np.arange(40) % 3, _demo.Result(2, *[0.0] * 6)
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_whatever_is_written_is_there_whole_or_not_at_all(name, model, tmp_path, monkeypatch):
    path = tmp_path / "file.png"
    path.write_text("old")

    def full(self, target):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            WRITERS[name](model, path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file.png"]
    WRITERS[name](model, path)
    assert path.stat().st_size > 500 and [p.name for p in tmp_path.iterdir()] == ["file.png"]


FULL = """
import json, resource, signal, sys, warnings
import numpy as np
import autoenc
from autoenc import _cli_rows
from autoenc.__main__ import main
from autoenc.callbacks import CSVLogger

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_cli_rows.MOST_BYTES = 1
X = np.random.default_rng(0).random((500, 5))
np.save("rows.npy", X)
np.savez("rows.npz", X)
model = autoenc.Autoencoder(2, max_iter=2, random_state=0).fit(X)
model.save("model.safetensors")
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
again = autoenc.Autoencoder(2, max_iter=30, random_state=0)
for write in (
    model.save,
    model.to_c,
    model.to_onnx,
    lambda path: autoenc.inspection.explore(model, path, X),
    lambda path: again.set_params(callbacks=CSVLogger(path)).fit(X),
):
    try:
        write("old.csv")
    except OSError as error:
        assert error.filename == "old.csv", error
    else:
        raise SystemExit(f"{write} has written it")
with warnings.catch_warnings(record=True) as caught:
    autoenc.Autoencoder(2, max_iter=2, random_state=0).fit(X, checkpoint="state", checkpoint_every=2)
assert all("goes on without" in str(warning.message) and "'state'" in str(warning.message) for warning in caught)
for command, output in (
    ("encode model.safetensors rows.npy", "old.csv"),
    ("encode model.safetensors rows.npy", "old.npy"),
    ("score model.safetensors rows.npy", "old.parquet"),
    ("export model.safetensors --format c", "old.c"),
    ("train rows.npz --n-components 2", "old.model"),  # the rows do not fit
    ("train rows.npy --n-components 2 --scale standard", "old.model"),  # the scaled ones do not
):
    print(command, output, file=sys.stderr, flush=True)
    assert main([*command.split(), "-o", output, "--json", "--quiet"]) == 1
"""


def test_a_full_disk_is_said_with_the_name_of_the_file(run_python, tmp_path):
    pytest.importorskip("resource")
    pytest.importorskip("onnx")
    pytest.importorskip("pyarrow")
    names = {f"old.{suffix}" for suffix in ("csv", "npy", "parquet", "c", "model")}
    for name in names:
        (tmp_path / name).write_text("old")
    done = run_python("-c", FULL)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert "'old." in line and "File too large" in line
    assert len(done.stdout.splitlines()) == 6
    assert {p.name for p in tmp_path.iterdir()} == {*names, "rows.npy", "rows.npz", "model.safetensors"}
    assert all((tmp_path / name).read_text() == "old" for name in names - {"old.csv"})
