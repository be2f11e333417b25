"""The extension against callers that change data under it, fork, or call it from where it is already running."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
import scipy.sparse as sp

from autoenc import Autoencoder, _core, _spec


def run(script):
    """The script in a process of its own: what is feared is a crash or a hang."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_csr_that_a_callback_damages_leads_nowhere():
    script = """
        import numpy as np, scipy.sparse as sp
        from autoenc import Autoencoder
        X = sp.random(500, 64, 0.2, "csr", dtype=np.float32, random_state=0)
        def damage(state):
            X.indices[:] = 2**30
            X.indptr[1:-1] = 2**30
        model = Autoencoder(2, hidden_layer_sizes=(8,), max_iter=4, callbacks=[damage]).fit(X)
        print(len(model.loss_curve_))
    """
    assert run(script) == "4"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_predictor_works_in_a_child_that_was_forked_while_it_ran():
    script = """
        import os, threading, time, numpy as np
        from autoenc import Autoencoder
        X = np.random.default_rng(0).normal(size=(200, 300)).astype("f4")
        predictor = Autoencoder(20, hidden_layer_sizes=(600,), max_iter=1, random_state=0).fit(X).predictor()
        expected, many = predictor(X[:1]), np.tile(X, (300, 1))
        worker = threading.Thread(target=predictor.reconstruct, args=(many,))
        worker.start()
        time.sleep(0.05)
        running = worker.is_alive()
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(predictor(X[:1]), expected) else 1)
        status = os.waitpid(child, 0)[1]
        worker.join()
        print(running, status)
    """
    assert run(script) == "True 0"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_handler_that_calls_the_predictor_it_interrupts_gets_an_error():
    script = """
        import signal, numpy as np
        from autoenc import Autoencoder
        X = np.random.default_rng(0).normal(size=(100, 400)).astype("f4")
        predictor = Autoencoder(40, hidden_layer_sizes=(1500,), max_iter=1, random_state=0).fit(X).predictor()
        many = np.tile(X, (400, 1))
        signal.signal(signal.SIGALRM, lambda *_: predictor(X[:1]))
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02) # the first ones may come while the rows are checked
        try:
            predictor.reconstruct(many)
        except RuntimeError as error:
            print("in use by this thread" in str(error))
        signal.setitimer(signal.ITIMER_REAL, 0)
    """
    assert run(script) == "True"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_looking_for_a_value_can_be_interrupted():
    """As Ctrl-C does it, in rows that would take hours."""
    script = """
        import signal, numpy as np
        from autoenc import _core
        X = np.broadcast_to(np.zeros((1, 3), "f4"), (2**40, 3))
        def stop(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, stop)
        for look in (lambda: _core.find_nonfinite(X), lambda: _core.find_outside(X, 0, 1)):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                look()
            except KeyboardInterrupt:
                print("stopped")
    """
    assert run(script).split() == ["stopped", "stopped"]


def test_a_value_is_found_behind_many_others():
    """Rows are looked through in pieces."""
    X = np.zeros((3_000_001, 2), "f4")
    assert _core.find_nonfinite(X) is None and _core.find_outside(X, 0, 1) is None
    X[-1, 1], X[2_500_000, 0] = np.inf, np.nan
    assert _core.find_nonfinite(X)[:2] == (2_500_000, 0) and _core.find_nonfinite(X[:, ::-1])[:2] == (2_500_000, 1)
    assert _core.find_nonfinite(X, allow_nan=True) == (3_000_000, 1, np.inf)
    assert _core.find_outside(X, 0, 1, allow_nan=True) == _core.find_outside(X[::-1][::-1], 0, 1, allow_nan=True)
    assert _core.find_nonfinite(X[::-1])[:2] == (0, 1)


def test_a_trainer_in_use_refuses_other_threads():
    model = Autoencoder(3, hidden_layer_sizes=(64,), max_iter=1, random_state=0)
    X = np.random.default_rng(0).normal(size=(40_000, 50)).astype("f4")
    model.fit(X[:100])
    trainer = model._trainer(model._spec, len(X), 0, n_epochs=1)
    trainer.initialize()
    trainer.bind(0, [X])
    epoch = threading.Thread(target=trainer.epoch)
    epoch.start()
    refused = 0
    while epoch.is_alive():
        try:
            trainer.bind(0, [X[:100].astype(">f4")])
        except RuntimeError as error:
            assert "in use by another thread" in str(error)
            refused += 1
        time.sleep(0.001)
    epoch.join()
    assert refused > 0


def test_numbers_that_no_int_holds():
    model = Autoencoder(2, max_iter=1, random_state=0).fit(np.eye(8))
    trainer = model._trainer(model._spec, 8, 0, n_epochs=1)
    with pytest.raises(IndexError):
        trainer.get(2**32)
    with pytest.raises(ValueError, match="step is"):
        trainer.seek(2**63 - 1, 0)
    with pytest.raises(ValueError, match="malformed CSR"):
        _core.find_nonfinite((np.zeros(0), np.zeros(0, "i4"), np.zeros(1, "i4"), (2**63 - 1, 5)))
    X = sp.random(20, 5, 0.5, "csr", random_state=0)
    assert _core.find_nonfinite((X.data, X.indices.astype("i4"), X.indptr.astype("i4"), X.shape)) is None


def test_sources_that_change_while_they_are_read():
    """A number of a CSR shape is asked for by __index__, which may run anything."""
    script = """
        import gc, numpy as np
        from autoenc import _core, _spec
        nodes = np.zeros(2, _spec.NODE)
        nodes["name"], nodes["width"], nodes["n_inputs"] = ["x", "h"], 3, [0, 1]
        nodes["kind"] = [_core.LAYERS.index("input"), _core.LAYERS.index("scale")]
        nodes["value"] = 1
        predictor = _core.Predictor(nodes, [], precision=32)
        class Number:
            def __index__(self):
                sources.clear()
                gc.collect()
                self.others = [tuple(range(i, i + n)) for i in range(300, 600) for n in (2, 4)]
                return 4
        for _ in range(50):
            arrays = np.arange(1, 5, dtype="f4"), np.array([0, 1, 2, 0], "i4"), np.arange(5, dtype="i4")
            sources = [(*arrays, (Number(), 3))]
            del arrays
            print(predictor.run(sources, 1).tolist(), sources)
    """
    assert set(run(script).splitlines()) == {"[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [4.0, 0.0, 0.0]] []"}


def test_rows_that_cannot_be_counted():
    """Rows of data times rows of a node: 2**64, which is 0 in 64 bits."""
    script = """
        import numpy as np
        from autoenc import _core, _spec
        nodes = np.zeros(2, _spec.NODE)
        nodes["name"], nodes["width"], nodes["n_inputs"], nodes["multiplicity"] = ["x", "h"], 1, [0, 1], 16
        nodes["kind"] = [_core.LAYERS.index("input"), _core.LAYERS.index("repeat")]
        predictor = _core.Predictor(nodes, [], precision=32)
        try:
            predictor.run([np.broadcast_to(np.zeros((1, 1), "u1"), (2**60, 1))], 1)
        except OverflowError as error:
            print(error)
    """
    assert run(script) == f"{2**60} rows of data with 16 rows of node 'h' each are more than can be addressed"


def test_no_thread_sees_a_trainer_that_is_being_made():
    """The garbage collector names it to anybody from its allocation on."""
    script = """
        import gc, threading, numpy as np
        from autoenc import _core, _spec
        n = 1500
        nodes, losses, stages = np.zeros(n, _spec.NODE), np.zeros(1, _spec.LOSS), np.zeros(1, _spec.STAGE)
        nodes["name"] = [f"{'n' * 30}{i}" for i in range(n)]
        nodes["kind"], nodes["width"], nodes["n_inputs"] = _core.LAYERS.index("dense"), 3, 1
        nodes[0]["kind"], nodes[0]["n_inputs"] = _core.LAYERS.index("input"), 0
        losses["prediction"], losses["entry_weight"], losses["second"], losses["weight"] = n - 1, -1, -1, 1
        stages["last_node"], stages["n_losses"], stages["groups"], stages["rate_factor"] = n - 1, 1, 1, 1
        counts, done = set(), threading.Event()
        def look():
            while not done.is_set():
                counts.update(len(o.parameters()) for o in gc.get_objects() if type(o) is _core.Trainer)
        thread = threading.Thread(target=look)
        thread.start()
        for _ in range(5):
            trainer = _core.Trainer(nodes, losses, stages, precision=32, n_threads=1, batch_size=8)
        while not counts:
            pass
        done.set()
        thread.join()
        print(counts)
    """
    assert run(script) == "{2998}"


def test_a_trainer_in_a_cycle_with_its_data_is_collected():
    class Rows(np.ndarray):
        pass

    spec = Autoencoder(2, hidden_layer_sizes=(), precision="float64")._describe(3, None, 0)
    trainer = _core.Trainer(
        _spec.node_array(spec["nodes"]),
        _spec.loss_array(spec["objective"], spec["nodes"]),
        _spec.stage_array(spec, "adam"),
        precision=64,
        n_threads=1,
        batch_size=4,
    )
    assert gc.is_tracked(trainer)
    X = np.arange(12.0).reshape(4, 3).view(Rows)
    trainer.bind(0, [X])
    trainer.initialize()
    X.trainer = trainer
    alive = weakref.ref(X)
    del X
    gc.collect()
    assert alive() is not None and np.isfinite(trainer.epoch()[0])
    del trainer
    gc.collect()
    assert alive() is None


@pytest.fixture(scope="module")
def lapack_of_scipy():
    """Skips where the extension is linked with a LAPACK and never asks SciPy for one."""
    script = """
        import sys
        sys.modules["scipy"] = None
        import numpy as np
        from autoenc import _core
        try:
            _core.svd(np.eye(2))
        except ImportError:
            print("asks SciPy")
    """
    if run(script) != "asks SciPy":
        pytest.skip("this build has a LAPACK of its own")


@pytest.mark.parametrize(
    "signature",
    [
        "void (char *, int *, int *)",
        "void (char *, __pyx_t_5numpy_int64_t *, {d}, int *, int *)",
        "void (char *, int *, float *, int *, int *)",
        "void (char *, int *, {d}, int *, int *, int *)",
        "void (char *, int *, {d}, int *)",
        "int (char *, int *, {d}, int *, int *)",
        "dpotrf",
        "",
    ],
)
def test_a_routine_of_another_signature_is_refused(signature, lapack_of_scipy):
    """As Cython does. What is called is asked for by name, and the name of the capsule is its signature."""
    script = f"""
        import ctypes, numpy as np
        import scipy.linalg.cython_lapack as lapack
        from autoenc import _core
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        name = {signature!r}.replace("{{d}}", "__pyx_t_5scipy_6linalg_13cython_lapack_d *").encode()
        right = lapack.__pyx_capi__["dpotrf"]
        lapack.__pyx_capi__["dpotrf"] = new(1, name, None)
        try:
            _core.svd(np.eye(3))
        except ImportError as error:
            assert "dpotrf has the signature '" + name.decode() + "'" in str(error), error
        else:
            raise AssertionError("no error")
        lapack.__pyx_capi__["dpotrf"] = right
        print(_core.svd(np.eye(3))[1].tolist())
    """
    assert run(script) == "[1.0, 1.0, 1.0]"


def test_double_under_its_own_name_is_known(lapack_of_scipy):
    script = """
        import ctypes, numpy as np
        import scipy.linalg.cython_lapack as lapack
        from autoenc import _core
        pythonapi = ctypes.pythonapi
        pythonapi.PyCapsule_GetName.restype, pythonapi.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
        get, new = pythonapi.PyCapsule_GetPointer, pythonapi.PyCapsule_New
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        old = lapack.__pyx_capi__["dgesdd"]
        name = pythonapi.PyCapsule_GetName(old)
        plain = name.replace(b"__pyx_t_5scipy_6linalg_13cython_lapack_d", b"double")
        lapack.__pyx_capi__["dgesdd"] = new(get(old, name), plain, None)
        print(_core.svd(2 * np.eye(2))[1].tolist(), b"double" in plain)
    """
    assert run(script) == "[2.0, 2.0] True"
