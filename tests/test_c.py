"""The C unit tests, one Python test for each program; they run without Python by ``python csrc/build.py test``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted(p.stem for p in (Path(__file__).resolve().parent / "c").glob("test_*.c"))


def test_there_are_programs(checkout):
    assert "test_gemm" in PROGRAMS
    assert (checkout / "csrc" / "build.py").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(checkout, program):
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        pytest.skip("no C compiler")
    command = [sys.executable, str(checkout / "csrc" / "build.py"), "test", "--native", "--only", f"^{program}$"]
    environment = {name: value for name, value in os.environ.items() if name != "AUTOENC_SANITIZE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "C tests: 1 passed, 0 failed" in done.stdout
