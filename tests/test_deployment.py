"""The examples of docs/deployment.md, in order, in one session."""

import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.skipif(sys.platform == "win32", reason="has commands for a POSIX shell")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_examples(checkout, tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime", "skl2onnx"):
        pytest.importorskip(package)
    text = (checkout / "docs" / "deployment.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    done = []
    for kind, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "python":
            exec(compile(code, f"docs/deployment.md, block {len(done) + 1}", "exec"), names)
        elif kind == "c":
            (tmp_path / "program.c").write_text(code)
        else:
            subprocess.run(code, shell=True, check=True)
        done.append(kind)
    assert (done.count("python"), done.count("c"), done.count("sh")) == (6, 1, 1)
