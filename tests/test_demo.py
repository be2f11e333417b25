"""``python -m autoenc``: numbers, picture, exit statuses."""

import importlib.util
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autoenc.__main__ import main


def numbers(out: str, name: str) -> list[float]:
    """The figures of one line of the table, percentages as they are printed."""
    (line,) = re.findall(rf"^ *{name}.*$", out, re.MULTILINE)
    return [float(figure) for figure in re.findall(r"[\d.]+(?=%|\s|,|$)", line.removeprefix(name))]


@pytest.mark.slow
def test_demo_beats_pca_and_draws(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    from autoenc import _demo

    picture = tmp_path / "demo.png"
    result = _demo.run(str(picture), n_components=16)
    out = capsys.readouterr().out
    assert result.error < result.pca_error
    assert result.accuracy > result.pca_accuracy - 0.03
    assert result.denoised_error < 0.5 * result.corrupted_error
    assert numbers(out, "squared error per pixel") == [round(result.error, 5), round(result.pca_error, 5)]
    assert numbers(out, "accuracy of a classifier on the codes") == pytest.approx(
        [100 * result.accuracy, 100 * result.pca_accuracy], abs=0.06
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 20_000 < picture.stat().st_size < 200_000


def test_quick_demo_from_the_command_line(run_python, tmp_path):
    pytest.importorskip("matplotlib")
    done = run_python("-m", "autoenc", "demo", "--quick", "--components", "4", "--output", "small.png")
    assert done.returncode == 0, done.stderr
    assert "4 components" in done.stdout
    assert done.stdout.rstrip().endswith("picture: small.png")
    assert [p.name for p in tmp_path.iterdir()] == ["small.png"]


def test_quick_demo_for_programs(run_python, tmp_path):
    more = ("demo", "--quick", "--components", "2", "--output", "small.png")
    done = run_python("-m", "autoenc", *more, "--json")
    assert done.returncode == 0 and "autoencoder 64 -> 2 -> 64 ..." in done.stderr
    found = json.loads(done.stdout)
    has_matplotlib = importlib.util.find_spec("matplotlib") is not None
    assert found["n_components"] == 2 and found["picture"] == ("small.png" if has_matplotlib else None)
    assert numbers(done.stderr, "squared error per pixel") == [round(found["error"], 5), round(found["pca_error"], 5)]
    done = run_python("-m", "autoenc", *more, "--json", "--quiet")
    assert done.returncode == 0 and not done.stderr and json.loads(done.stdout) == found
    done = run_python("-m", "autoenc", *more, "--quiet")
    assert numbers(done.stdout, "squared error per pixel") and "autoencoder 64" not in done.stdout
    done = run_python("-m", "autoenc", "demo", "--components", "65", "--json")
    assert done.returncode == 2 and "at most 64" in json.loads(done.stdout)["error"]


def test_without_matplotlib_numbers_are_printed(capsys, monkeypatch, tmp_path):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--quick"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("matplotlib is not installed")
    assert len(numbers(out, "squared error per pixel")) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "the following arguments are required: command"),
        (["paint"], 2, "invalid choice: 'paint'"),
        (["demo", "--components", "0"], 2, "0 given; at least 1 is needed"),
        (["demo", "--components", "two"], 2, "'two' given; a whole number is needed"),
        (["demo", "--components", "65"], 2, "64 pixels, so at most 64"),
        (["demo", "--output", "picture.txt"], 2, "must end in .png"),
        (
            ["demo", "--output", "no/such/folder/picture.png"],
            1,
            "No such file or directory: 'no/such/folder/picture.png'",
        ),
        (["demo", "--output", "folder.png"], 1, "a file is needed, and this is a folder: 'folder.png'"),
        (["demo", "--output", "n" * 300 + ".png"], 1, "File name too long"),
    ],
)
def test_wrong_arguments(arguments, status, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    try:
        assert main(arguments) == status
    except SystemExit as stop:
        assert stop.code == status
    assert message in capsys.readouterr().err


def test_version(capsys):
    from autoenc import __version__

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"autoenc {__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_standard_output_that_is_full(environment, tmp_path):
    command = [sys.executable, "-u", "-m", "autoenc", "demo", "--quick", "--output", str(tmp_path / "demo.png")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    said = "autoenc demo: [Errno 28] No space left on device: 'standard output'\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_interruption_is_quiet(tmp_path, environment):
    command = [sys.executable, "-u", "-m", "autoenc", "demo", "--output", str(tmp_path / "demo.png")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        for line in process.stdout:
            if line.startswith("denoising"):
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.rstrip().endswith("interrupted")
    assert not (tmp_path / "demo.png").exists()


EARLY = """
import sys
class Finder:
    def find_spec(self, name, *_):
        if name == "autoenc._demo":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
from autoenc.__main__ import main
sys.exit(main(["demo"]))
"""


def test_interruption_while_modules_load_is_quiet(run_python):
    done = run_python("-c", EARLY)
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


def test_a_reader_that_goes_is_no_error(tmp_path, environment):
    command = [sys.executable, "-m", "autoenc", "demo", "--quick", "--output", str(tmp_path / "demo.png")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(120) == 141
