"""What all tests share. They run from a checkout and, copied elsewhere, against an installed wheel."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def pytest_configure() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and every process they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers beside each other would else have a thread for every processor each, here and in NumPy's products.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def seed_of_what_has_none() -> None:
    """scikit-learn's checks fit many estimators of random_state=None: a failure comes again."""
    np.random.seed(0)  # noqa: NPY002  the state that random_state=None draws from


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the source tree; tests that read sources are skipped where there is none."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "csrc" / "build.py").is_file():
        pytest.skip("needs the source tree, and these tests run outside of it")
    return root


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of large data sets (MNIST and others), named by AUTOENC_DATA."""
    folder = os.environ.get("AUTOENC_DATA")
    if not folder:
        pytest.skip("AUTOENC_DATA does not name a folder of data sets")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"AUTOENC_DATA={folder}: no such folder")
    return path


@pytest.fixture
def environment() -> dict[str, str]:
    """Environment variables under which a new interpreter imports the package that is tested here."""
    import autoenc

    package_parent = str(Path(autoenc.__file__).resolve().parent.parent)
    path = os.pathsep.join([package_parent, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"}


@pytest.fixture
def run_python(tmp_path: Path, environment: dict[str, str]):
    """run_python(*arguments): a new interpreter in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)

    return run
