"""Ctrl-C: a real signal, in another process."""

import signal
import subprocess
import sys

import pytest

PREAMBLE = """
import os, signal, sys, threading, time, warnings
import numpy as np
from autoenc import Autoencoder

X = np.random.default_rng(0).normal(size=(4000, 300)).astype(np.float32)

def interrupt(seconds):
    if os.name == "nt":  # os.kill would end the process there, without a signal
        threading.Timer(seconds, signal.raise_signal, (signal.SIGINT,)).start()
    else:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
"""

AFTER_SOME_EPOCHS = """
epochs = []
def callback(state):
    epochs.append(state.loss)
    if state.epoch == 3:
        interrupt(0.2)
model = Autoencoder(16, hidden_layer_sizes=(512,), max_iter=100000, random_state=0, learning_rate="constant",
                    warmup_fraction=0, callbacks=callback)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert model.fit(X) is model
done = model.n_iter_
messages = [str(warning.message) for warning in caught]
assert messages == [f"fitting was interrupted; the estimator is as after {done} complete epochs"], messages
# The signal may come between the end of an epoch and its callback; the epoch counts.
assert 3 <= done < 100000 and model.loss_curve_[:len(epochs)] == epochs and len(epochs) in (done - 1, done)
assert len(model.loss_curve_) == done
# The same weights as of a fit that ended there, and usable.
other = Autoencoder(16, hidden_layer_sizes=(512,), max_iter=done, random_state=0, learning_rate="constant",
                    warmup_fraction=0).fit(X)
for a, b in zip(model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True):
    assert (a == b).all()
assert (model.transform(X[:5]) == other.transform(X[:5])).all()
model.set_params(callbacks=None, max_iter=1, warm_start=True).fit(X)
print("fine")
"""

IN_THE_FIRST_EPOCH = """
model = Autoencoder(2, max_iter=1, random_state=0).fit(X)
before = dict(vars(model))
# One epoch of this takes minutes: the signal falls into it, and is answered within a minibatch or a few.
big = np.random.default_rng(0).normal(size=(200_000, 300)).astype(np.float32)
slow = dict(hidden_layer_sizes=(2000, 2000), batch_size=256, n_jobs=1)
for estimator in (model.set_params(**slow), Autoencoder(2, **slow)):
    before = dict(vars(estimator))
    interrupt(1.5)
    try:
        estimator.fit(big)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("no KeyboardInterrupt")
    assert vars(estimator) == before
print("fine")
"""

IN_TRANSFORM = """
model = Autoencoder(2, max_iter=1, hidden_layer_sizes=(3000, 3000), random_state=0, n_jobs=1).fit(X[:50])
big = np.broadcast_to(X[:1], (3_000_000, 300))
before = dict(vars(model))
core = model._network()[0]
interrupt(1.5)
try:
    core.run([big], 3)
except KeyboardInterrupt:
    pass
else:
    raise AssertionError("no KeyboardInterrupt")
assert vars(model) == before and np.isfinite(model.transform(X[:5])).all()
print("fine")
"""

WITH_VALIDATION = """
state_of = {}
def callback(state):
    state_of[state.epoch] = state.validation_loss
    if state.epoch == 30:
        interrupt(0.05)
small = np.random.default_rng(0).normal(size=(300, 30)).astype(np.float32)
model = Autoencoder(5, max_iter=10**6, random_state=0, learning_rate="constant", learning_rate_init=0.02,
                    callbacks=callback)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    model.fit(small[:200], X_val=small[200:])
assert model.best_loss_ == min(model.validation_loss_curve_)
assert abs(-model.score(small[200:]) / model.best_loss_ - 1) < 1e-5
assert len(model.loss_curve_) == model.n_iter_ >= 30
print("fine")
"""

# A handler that runs a third time before a call of the core ends: one that did not look for signals would be
# followed by a single run, however many signals came.
THREE_TIMES = """
from autoenc import _core, _spec

def trainer_of(n_features, n_components, init):
    spec = Autoencoder(n_components, hidden_layer_sizes=(), activation="tanh", init=init)._describe(n_features, None, 0)
    return _core.Trainer(_spec.node_array(spec["nodes"]), _spec.loss_array(spec["objective"], spec["nodes"]),
                         _spec.stage_array(spec, "adam"), precision=32, n_threads=1, batch_size=256)

class Third(Exception):
    pass

runs = []
def handler(*_):
    runs.append(1)
    if len(runs) == 3:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Third

signal.signal(signal.SIGALRM, handler)

def stops(call):
    runs.clear()
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    try:
        call()
    except Third:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False
"""

# Each of these takes minutes or, the moments, many seconds.
WHILE_WEIGHTS_ARE_DRAWN = (
    THREE_TIMES
    + """
assert stops(trainer_of(6000, 6000, "orthogonal").initialize)
wide = np.random.default_rng(0).normal(size=(40, 6000)).astype(np.float32)
model = Autoencoder(2, max_iter=1, random_state=0).fit(X)
model.set_params(n_components=6000, hidden_layer_sizes=(), init="orthogonal")
for estimator in (model, Autoencoder(6000, hidden_layer_sizes=(), init="orthogonal")):
    before = dict(vars(estimator))
    assert stops(lambda: estimator.fit(wide))
    assert vars(estimator) == before
assert np.isfinite(model.transform(X[:5])).all()
print("fine")
"""
)

WHILE_MOMENTS_ARE_TAKEN = (
    THREE_TIMES
    + """
trainer = trainer_of(300, 2, "glorot")
trainer.bind(0, [np.broadcast_to(X[:1], (100_000_000, 300))])
trainer.initialize()
assert stops(lambda: trainer.moments(0))
trainer.bind(0, [X])
mean, variance = trainer.moments(0)
assert np.allclose(mean, X.mean(axis=0, dtype=np.float64)) and np.allclose(variance, X.var(axis=0, dtype=np.float64))
print("fine")
"""
)

# Members train in other threads, which no signal reaches; all of their epochs would take hours.
IN_MEMBERS = """
from autoenc import AutoencoderOutlierDetector
for n_jobs in (1, 2):
    fresh = AutoencoderOutlierDetector(max_iter=10**6, n_estimators=5, n_jobs=n_jobs)
    fitted = AutoencoderOutlierDetector(max_iter=2, n_estimators=2, n_jobs=n_jobs).fit(X[:200])
    assert all(member.callbacks is None for member in fitted.estimators_)
    for detector in (fresh, fitted.set_params(max_iter=10**6)):
        before = dict(vars(detector))
        interrupt(0.5)
        try:
            detector.fit(X)
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("no KeyboardInterrupt")
        assert vars(detector) == before
        assert threading.active_count() <= 2  # the timer may be about to end
    fitted.predict(X[:5])
print("fine")
"""


IN_VALIDATION = """
# An epoch takes a millisecond and its validation far longer: the signal falls into that.
def callback(state):
    if state.epoch == 3:
        interrupt(0.1)
X_val = np.random.default_rng(1).normal(size=(100_000, 300)).astype(np.float32)
parameters = dict(hidden_layer_sizes=(256,), random_state=0, learning_rate="constant", warmup_fraction=0, n_jobs=1)
model = Autoencoder(16, max_iter=1000, callbacks=callback, **parameters)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(X[:64], X_val=X_val)
assert str(caught[0].message).startswith("fitting was interrupted"), caught[0].message
# An epoch that was not validated does not count, since the weights are those of the best that was.
assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_loss_curve_) == 3, model.n_iter_
other = Autoencoder(16, max_iter=3, **parameters).fit(X[:64], X_val=X_val)
assert other.validation_loss_curve_ == model.validation_loss_curve_
for a, b in zip(model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True):
    assert (a == b).all()
print("fine")
"""

needs_setitimer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")


@pytest.mark.parametrize(
    "script",
    [
        AFTER_SOME_EPOCHS,
        IN_THE_FIRST_EPOCH,
        IN_TRANSFORM,
        WITH_VALIDATION,
        IN_VALIDATION,
        pytest.param(WHILE_WEIGHTS_ARE_DRAWN, marks=needs_setitimer),
        pytest.param(WHILE_MOMENTS_ARE_TAKEN, marks=needs_setitimer),
        IN_MEMBERS,
    ],
    ids=["epochs", "first", "transform", "best", "validation", "start", "moments", "members"],
)
def test_interrupt(script, environment):
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + script], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fine"
