"""Memory grows neither with the rows of a table, in a fit or a command, nor by copies of a model file that is read."""

import subprocess
import sys

import pytest


def said(script, environment, *arguments):
    """The number that a script prints in a new interpreter."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


SCRIPT = """
import os, sys
import numpy as np
from autoenc import Autoencoder

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

X = np.load(sys.argv[1], mmap_mode="r")
parameters = dict(hidden_layer_sizes=(16,), batch_size=256, n_jobs=2, random_state=0)
Autoencoder(8, max_iter=1, **parameters).fit(X[:2000])  # imports, pools, caches
before = anonymous()
peak = before
def callback(state):
    global peak
    peak = max(peak, anonymous())
for early_stopping in (False, True):
    model = Autoencoder(8, max_iter=2, callbacks=callback, early_stopping=early_stopping, **parameters).fit(X)
    peak = max(peak, anonymous())
assert model.n_iter_ == 2
score = model.score(X)
peak = max(peak, anonymous())
print(peak - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_fit_on_a_memory_map(tmp_path, environment, dtype):
    import numpy as np

    rows = 200_000 if dtype == "float32" else 800_000
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=dtype, shape=(rows, 100))
    rng = np.random.default_rng(0)
    for start in range(0, rows, 50_000):
        X[start : start + 50_000] = rng.integers(0, 200, (50_000, 100), dtype=np.uint8)
    X.flush()
    assert X.nbytes == 80_000_000
    del X
    # Scores of all rows take 6 MB, the network and its workers' memory the rest.
    assert said(SCRIPT, environment, tmp_path / "X.npy") < 50


READ = """
import os, sys
import autoenc

def of_the_process(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what)) * 1024

load, path = getattr(autoenc, sys.argv[1]), sys.argv[2]
load(path + ".small")  # imports, pools, caches
before = of_the_process("VmHWM")
model = load(path)
print((of_the_process("VmHWM") - before) / os.path.getsize(path))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.filterwarnings("ignore")
def test_a_model_file_is_read_once(tmp_path, environment):
    """Its arrays, and the network that the core makes of them."""
    import numpy as np

    import autoenc

    X = np.random.default_rng(0).normal(size=(32, 1500)).astype(np.float32)
    for name, hidden in (("model", 4000), ("model.small", 4)):
        autoenc.Autoencoder(64, hidden_layer_sizes=(hidden,), max_iter=1, random_state=0).fit(X).save(tmp_path / name)
    for load in ("load", "load_predictor"):
        assert said(READ, environment, load, tmp_path / "model") < 2.8


ENCODE = """
import sys, threading
from autoenc.__main__ import main

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def encode(table):
    assert main(["encode", model, table, "-o", out, "--quiet"]) == 0

model, small, large, out = sys.argv[1:]
encode(small)  # imports, pools, caches
before = peak = anonymous()
done = threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

watching = threading.Thread(target=watch, daemon=True)
watching.start()
encode(large)
done.set()
watching.join()
print(peak - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "out"), [("csv", "npy"), ("npy", "csv")])
def test_the_command_line_reads_and_writes_tables_in_blocks(tmp_path, environment, kind, out):
    import numpy as np

    import autoenc

    X = np.random.default_rng(0).random((400, 5))
    autoenc.Autoencoder(2, hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X).save(tmp_path / "model")
    small, large = tmp_path / f"small.{kind}", tmp_path / f"large.{kind}"
    if kind == "csv":
        lines = "".join(",".join(f"{value:.10f}" for value in row) + "\n" for row in X)
        small.write_text(lines)
        with large.open("w") as file:
            file.writelines(lines for _ in range(3100))
    else:
        np.save(small, X)
        rows = np.lib.format.open_memmap(large, mode="w+", dtype=X.dtype, shape=(2_000_000, 5))
        rows.reshape(-1, *X.shape)[:] = X
        rows.flush()
        del rows
    assert large.stat().st_size > 80_000_000
    assert said(ENCODE, environment, tmp_path / "model", small, large, tmp_path / f"out.{out}") < 50
