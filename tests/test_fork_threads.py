"""Processes and threads."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from autoenc import Autoencoder, _cache
from autoenc import _threads as threads


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32)


def make(seed=0, **parameters):
    # Wide enough for more than one thread to be used.
    return Autoencoder(
        8, hidden_layer_sizes=(512,), max_iter=3, batch_size=256, random_state=seed, **{"n_jobs": 2, **parameters}
    )


FORK = """
import os, sys
import numpy as np
from autoenc import Autoencoder, _cache
X = np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32)
model = Autoencoder(8, hidden_layer_sizes=(512,), max_iter=3, batch_size=256, random_state=0, n_jobs=2).fit(X)
codes, predictor = model.transform(X), model.predictor(n_jobs=2)
predictor(X)
for _ in range(3):
    child = os.fork()
    if child == 0:
        same = (model.transform(X) == codes).all() and (predictor(X) == codes).all()
        model.fit(X)
        same = same and (model.transform(X) == codes).all()
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
model.fit(X)
assert (model.transform(X) == codes).all() and (predictor(X) == codes).all()
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_idle(environment):
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fine"


FORK_INSIDE = """
import os, threading
import numpy as np
from autoenc import Autoencoder, _cache
X = np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32)
model = Autoencoder(8, hidden_layer_sizes=(512,), max_iter=2, batch_size=256, random_state=0, n_jobs=2).fit(X)
codes = model.transform(X)
stop = threading.Event()
def use():
    while not stop.is_set():
        model.transform(X)
thread = threading.Thread(target=use)
thread.start()
try:
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if (model.transform(X) == codes).all() else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
finally:
    stop.set()
    thread.join()
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_transforms(environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK_INSIDE],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fine"


def test_fits_in_several_threads_at_once(X):
    alone = [make(seed).fit(X).coefs_ for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda seed: make(seed).fit(X).coefs_, range(6)))
    for a, b in zip(alone, together, strict=True):
        for left, right in zip(a, b, strict=True):
            assert_array_equal(left, right)


def test_an_estimator_is_forgotten_without_a_line_of_python(X):
    """Ctrl-C within a finaliser that is Python would raise an exception that nobody sees."""
    model = Autoencoder(2, max_iter=1).fit(X)
    model.transform(X)
    key = id(model)
    assert key in _cache._entries
    lines = []
    old = sys.getprofile()
    sys.setprofile(lambda frame, event, _: lines.append(frame.f_code.co_name) if event == "call" else None)
    del model
    sys.setprofile(old)
    assert key not in _cache._entries
    assert lines == []


def test_one_estimator_in_many_threads(X):
    estimator = make().fit(X)
    predictor = estimator.predictor(n_jobs=2)
    parts = [X[i : i + 50] for i in range(0, 600, 50)]
    expected = [estimator.transform(part) for part in parts]
    # Nothing is remembered at the start, so that the threads also race to build.
    estimator = make().fit(X)
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        return [(estimator.transform(part), predictor(part), estimator.reconstruct(part)) for part in parts * 5]

    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(work, range(4)):
            for (codes, others, _), right in zip(result, expected * 5, strict=True):
                assert_array_equal(codes, right)
                assert_array_equal(others, right)


def test_joblib_backends_give_the_same_bits(X):
    expected = make().fit(X).coefs_[0]
    for backend in ("threading", "loky"):
        results = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(make(n_jobs=None).fit)(X) for _ in range(2))
        for result in results:
            assert_array_equal(result.coefs_[0], expected)


def threads_here(_):
    return threads.n_threads(None)


def test_number_of_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads.joblib, "cpu_count", lambda: 6)
    assert [threads.n_threads(n) for n in (None, 1, 3, 20, -1, -2, -6, -9)] == [6, 1, 3, 20, 6, 5, 1, 1]
    for value, expected in (("4", 4), ("3,2", 3), ("16", 6), ("", 6), ("0", 6), ("many", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert threads.n_threads(None) == expected
    monkeypatch.delenv("OMP_NUM_THREADS")
    with joblib.parallel_config("threading"):
        assert joblib.Parallel(2)(joblib.delayed(threads_here)(i) for i in range(2)) == [1, 1]


def test_workers_of_joblib_share_the_processors():
    n = joblib.cpu_count()
    used = joblib.Parallel(2, backend="loky")(joblib.delayed(threads_here)(i) for i in range(2))
    assert used == [max(1, n // 2)] * 2


def test_no_thread_is_left_behind(X):
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("needs /proc")
    make(n_jobs=4).fit(X)
    before = len(list(tasks.iterdir()))
    for _ in range(3):
        make(n_jobs=4).fit(X)
    assert len(list(tasks.iterdir())) <= before
