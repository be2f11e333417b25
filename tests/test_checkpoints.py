"""Checkpoints: a fit that was killed ends to the bit as one that was not."""

import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import scipy.sparse as sp
from checkpoints import COMMON, FITS, LABELS, Killed, X, assert_same, killed
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderOutlierDetector,
    MarginalizedDenoisingAutoencoder,
    SparseAutoencoder,
    VectorQuantizedAutoencoder,
    _archive,
    _checkpoint,
    _core,
    _training,
)
from autoenc.callbacks import Checkpoint, CSVLogger, EarlyStopping
from autoenc.sparsity import KL

pytestmark = pytest.mark.filterwarnings("ignore")

HERE = str(Path(__file__).parent)


def test_every_estimator_with_checkpoints_is_here():
    estimators = (getattr(autoenc, name) for name in autoenc.__all__ if hasattr(getattr(autoenc, name), "fit"))
    found = {kind for kind in estimators if "checkpoint" in inspect.signature(kind.fit).parameters}
    assert {type(model) for model, _ in FITS.values()} == found


@pytest.mark.parametrize("name", FITS)
def test_a_fit_goes_on_to_the_same_bits(name, tmp_path):
    model, arguments = FITS[name]
    path = tmp_path / "fit.checkpoint"
    whole = clone(model).fit(X, **arguments)
    assert_same(clone(model).fit(X, checkpoint=path, checkpoint_every=2, **arguments), whole)  # writing changes nothing
    path.unlink()
    n = 0
    while not killed(model, path, 3, checkpoint_every=2, resume=n > 0, **arguments):
        n += 1  # again and again, a few epochs further each time
        assert n < 60
    assert n > 0
    assert killed(model, path, 0, resume=True, **arguments)  # of what is complete, nothing is done again
    for n_jobs in (1, 2):
        assert_same(clone(model).set_params(n_jobs=n_jobs).fit(X, checkpoint=path, resume=True, **arguments), whole)


def test_other_threads_go_on_to_the_same_bits(tmp_path):
    model, path = FITS["adamw"][0], tmp_path / "fit.checkpoint"
    assert not killed(clone(model).set_params(n_jobs=1), path, 3, checkpoint_every=1)
    again = clone(model).set_params(n_jobs=2, verbose=0).fit(X, checkpoint=path, resume=True)
    assert_same(again, clone(model).fit(X))


def test_a_random_seed_is_that_of_the_file(tmp_path):
    model = Autoencoder(2, **{**COMMON, "random_state": None})
    seen = []
    path = tmp_path / "fit.checkpoint"

    def callback(state):
        seen.append(state.loss)
        if len(seen) == 4:
            raise Killed

    with pytest.raises(Killed):
        clone(model).set_params(callbacks=callback).fit(X, checkpoint=path, checkpoint_every=1)
    again = clone(model).fit(X, checkpoint=path, resume=True)
    assert again.loss_curve_[:4] == seen
    assert clone(model).fit(X).loss_curve_[:4] != seen


# Each attempt is a process of its own, forked before anything has been trained: to import takes longer than to train.
# It is waited for on demand, so that its number is nobody else's when it is killed.
ATTEMPTS = """
import os, pickle, sys, traceback
sys.path.insert(0, sys.argv[1])
from test_checkpoints import SLOW, ROWS

def attempt():
    model = SLOW[sys.argv[2]]
    model.fit(ROWS, checkpoint=sys.argv[3], checkpoint_every=1, resume=True)
    with open(sys.argv[4], "wb") as file:
        pickle.dump(model, file)

while sys.stdin.readline():
    child = os.fork()
    if child == 0:
        try:
            attempt()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
ROWS = np.random.default_rng(1).random((3000, 40)).astype(np.float32)
SLOW = {
    "adamw": SparseAutoencoder(200, k=8, max_iter=40, random_state=0, early_stopping=True, n_jobs=2),
    "lbfgs": Autoencoder(8, hidden_layer_sizes=(100,), solver="lbfgs", max_iter=60, random_state=0, n_jobs=2),
    "codebooks": VectorQuantizedAutoencoder(8, n_codes=64, max_iter=80, random_state=0, n_jobs=2),
    "detector": AutoencoderOutlierDetector(
        n_estimators=5, max_samples=1.0, batch_size=64, max_iter=30, random_state=0, n_jobs=2
    ),
}


@pytest.mark.parametrize("resume", ["no", 1, None, [], np.array([1, 2])])
def test_resume_is_true_or_false(resume, tmp_path):
    for method in (Autoencoder(2).fit, Autoencoder(2).fit_transform):
        with pytest.raises(ValueError, match=r"resume=.*; allowed are True and False"):
            method(X, checkpoint=tmp_path / "state", resume=resume)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("name", SLOW)
def test_killed_at_random_moments(name, tmp_path, environment):
    """SIGKILL, in an epoch or while the file is written."""
    whole = clone(SLOW[name]).fit(ROWS)
    path, result = tmp_path / "fit.checkpoint", tmp_path / "result.pickle"
    rng = np.random.default_rng(0)
    kills = 0
    command = [sys.executable, "-W", "ignore", "-c", ATTEMPTS, HERE, name, str(path), str(result)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    ) as attempts:
        for _ in range(40):
            attempts.stdin.write("begin\n")
            child = int(attempts.stdout.readline())
            if kills < 3:
                time.sleep(0.25 * rng.random())  # a fit takes twice as long on a quiet machine
                os.kill(child, signal.SIGKILL)
            attempts.stdin.write("wait\n")
            code = int(attempts.stdout.readline())
            if code == 0:
                break
            assert code == -signal.SIGKILL
            kills += 1
    assert kills >= 1 and result.exists()
    assert_same(pickle.loads(result.read_bytes()), whole)


def test_callbacks_go_on_where_they_were(tmp_path):
    """A resumed fit has new ones, which are told of the epochs before."""
    path = tmp_path / "fit.checkpoint"

    def model(log):
        callbacks = [EarlyStopping(patience=5, min_delta=0.9), CSVLogger(tmp_path / log)]
        return Autoencoder(2, max_iter=12, callbacks=callbacks, random_state=0)

    whole = model("whole.csv").fit(X)
    assert whole.n_iter_ == 6
    assert not killed(model("resumed.csv"), path, 5, checkpoint_every=2)
    assert len((tmp_path / "resumed.csv").read_text().splitlines()) == 1 + 5
    resumed = model("resumed.csv").fit(X, checkpoint=path, resume=True)
    assert resumed.n_iter_ == 6
    assert_same(resumed, whole)
    assert (tmp_path / "resumed.csv").read_text() == (tmp_path / "whole.csv").read_text()
    # A fit that was complete is over, too: the next one starts its log.
    for _ in range(2):
        resumed.fit(X, checkpoint=path, resume=True)
        assert (tmp_path / "resumed.csv").read_text() == (tmp_path / "whole.csv").read_text()


@pytest.mark.parametrize("after", [3, 5, 7, 9])
def test_the_log_of_two_trainings_is_that_of_an_unbroken_fit(after, tmp_path):
    """Whichever of them was broken: in a new process the log starts again with the epochs that are in the file."""

    def model(log):
        callbacks = CSVLogger(tmp_path / log)
        return AutoencoderClassifier(2, fine_tune_max_iter=4, callbacks=callbacks, **{**COMMON, "max_iter": 4})

    model("whole.csv").fit(X, LABELS)
    path = tmp_path / "fit.checkpoint"
    assert killed(model("resumed.csv"), path, after, y=LABELS, checkpoint_every=1) == (after == 9)
    if after == 7:
        (tmp_path / "resumed.csv").unlink()
    model("resumed.csv").fit(X, LABELS, checkpoint=path, resume=True)
    assert (tmp_path / "resumed.csv").read_text() == (tmp_path / "whole.csv").read_text()
    assert len((tmp_path / "whole.csv").read_text().splitlines()) == 1 + 4 + 4


def test_a_file_of_another_fit_is_refused(tmp_path):
    model, path = FITS["adamw"][0], tmp_path / "fit.checkpoint"
    assert not killed(model, path, 3, checkpoint_every=1)
    before = path.read_bytes()

    def refused(match, model, *data, **arguments):
        with pytest.raises(ValueError, match=match):
            model.fit(*data, checkpoint=path, resume=True, **arguments)
        assert path.read_bytes() == before
        assert not hasattr(model, "coefs_")

    refused("another fit: n_components was 2 and is now 3", clone(model).set_params(n_components=3), X)
    refused("another fit: max_iter was 6 and is now 7", clone(model).set_params(max_iter=7), X)
    refused("random_state was 0 and is now 1", clone(model).set_params(random_state=1), X)
    refused(r"another fit: X was 120 x 6 of float32 \w+ and is now 119 x 6", clone(model), X[:119])
    refused("is now 120 x 6 of float64", clone(model), X.astype(np.float64))
    refused(r"X was 120 x 6 of float32 \w+ and is now 120 x 6 of float32", clone(model), X[::-1])
    refused("sample_weight was not there and is now 120", clone(model), X, sample_weight=np.arange(120.0))
    refused("X of X_val was not there", clone(model), X, X_val=X)
    refused("is the checkpoint of 'Autoencoder', not of SparseAutoencoder", SparseAutoencoder(2), X)
    # Without resume it starts again, and the file is that of the new fit.
    assert_same(clone(model).set_params(max_iter=2).fit(X, checkpoint=path), clone(model).set_params(max_iter=2).fit(X))
    assert path.read_bytes() != before


def test_equal_parameters_are_those_of_the_same_fit(tmp_path):
    path = tmp_path / "fit.checkpoint"
    model = Autoencoder(2, **COMMON, latent_activation="logistic", sparsity=KL(0.25), alpha=0.0)
    whole = clone(model).fit(X)
    equal = {
        "n_components": np.int64(2),
        "random_state": np.int32(0),
        "alpha": 0,
        "sparsity": KL(np.float64(0.25)),
        "shuffle": np.True_,
    }
    for sizes in ([9], np.array([9]), (np.int64(9),)):
        assert not killed(model, path, 3, checkpoint_every=1)
        other = clone(model).set_params(hidden_layer_sizes=sizes, **equal)
        other.fit(X, checkpoint=path, resume=True)
        assert other.loss_curve_ == whole.loss_curve_
        assert_array_equal(other.transform(X), whole.transform(X))
    one_layer = {"adamw": (9, [9]), "detector": ([9], np.array([9]))}
    for name, sizes in one_layer.items():
        for size in (*sizes, (9,)):
            assert not killed(FITS[name][0], path, 3, checkpoint_every=1)
            clone(FITS[name][0]).set_params(hidden_layer_sizes=size).fit(X, checkpoint=path, resume=True)
    assert not killed(FITS["detector without trimming"][0], path, 3, checkpoint_every=1)
    clone(FITS["detector without trimming"][0]).set_params(n_components=[3]).fit(X, checkpoint=path, resume=True)
    assert not killed(model, path, 3, checkpoint_every=1)
    for name, value in (("hidden_layer_sizes", (9, 9)), ("alpha", 1e-9), ("sparsity", KL(0.3)), ("shuffle", False)):
        with pytest.raises(ValueError, match=f"another fit: {name} was"):
            clone(model).set_params(**{name: value}).fit(X, checkpoint=path, resume=True)


def test_a_file_of_another_release_is_refused(tmp_path, monkeypatch):
    model, path = FITS["adamw"][0], tmp_path / "fit.checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "__version__", "99.0")
        assert not killed(model, path, 3, checkpoint_every=1)
    with pytest.raises(ValueError, match=r"was written by autoenc '99.0'; this is "):
        clone(model).fit(X, checkpoint=path, resume=True)


def test_a_damaged_file_is_refused(tmp_path):
    model, path = FITS["lbfgs"][0], tmp_path / "fit.checkpoint"
    assert not killed(model, path, 3, checkpoint_every=1)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-9] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="has changed since it was written"):
        clone(model).fit(X, checkpoint=path, resume=True)
    # What the other checks find, without the sum that finds everything.
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    del header["__metadata__"][_archive.CHECKSUMS]
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + whole[8 + size :]
    rng = np.random.default_rng(0)
    size = int.from_bytes(whole[:8], "little")
    for n in (0, 9, size, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match="cannot be read as a checkpoint of autoenc"):
            clone(model).fit(X, checkpoint=path, resume=True)
    refused = 0
    for _ in range(150):
        changed = bytearray(whole)
        for at in rng.integers(8, 8 + size, rng.choice((1, 1, 3))):
            changed[at] = rng.integers(32, 127)
        path.write_bytes(changed)
        try:
            clone(model).fit(X, checkpoint=path, resume=True)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        path.unlink()
    assert refused > 100


EPOCHS, LOSSES = "trainings.0.1.0", "trainings.0.1.1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, a: a["trainings.0.3.0"].__setitem__(0, np.inf), "has weights in 'parameters' that are not finite"),
        (lambda c, a: c.update(more=1), r"has \['more'\], which this release does not know"),
        (lambda c, a: a.update(more=np.zeros(2)), "has arrays that nothing refers to: more"),
        (lambda c, a: c.update({"class": "x" * 10**6}), "is the checkpoint of 'xxx"),
        (lambda c, a: c.update(autoenc="x" * 10**6), "was written by autoenc 'xxx"),
        (lambda c, a: c["parameters"]["dict"].append(["more", "x" * 10**6]), "more was xxx"),
        (lambda c, a: progress(c).update(scale={"float": "inf"}), "has a progress that is none"),
        *(
            (lambda c, a, change=change: a.update(change(a[EPOCHS], a[LOSSES])), "has a progress that is none")
            for change in (
                lambda epochs, losses: {LOSSES: np.ones(1)},
                lambda epochs, losses: {LOSSES: np.ones((3, 1))},
                lambda epochs, losses: {LOSSES: np.ones(3, np.float32)},
                lambda epochs, losses: {EPOCHS: epochs[:0]},
                lambda epochs, losses: {EPOCHS: epochs[:, :3].copy()},
                lambda epochs, losses: {EPOCHS: epochs.astype(np.float32)},
                lambda epochs, losses: {EPOCHS: epochs.ravel()},
                lambda epochs, losses: {EPOCHS: epochs + [0, 0, 0.5, 0]},
                lambda epochs, losses: {EPOCHS: epochs - [0, 0, 99, 0]},
                lambda epochs, losses: {EPOCHS: epochs + [0, 0, np.nan, 0]},
                lambda epochs, losses: {EPOCHS: epochs + [0, 0, np.inf, 0]},
                lambda epochs, losses: {EPOCHS: epochs + [0, 0, 0, 2]},
                lambda epochs, losses: {EPOCHS: epochs + [0, 0, 0, np.nan]},
            )
        ),
        (lambda c, a: a.pop(LOSSES) is progress(c).update(validation_loss=[]), "has a progress that is none"),
        (lambda c, a: a.pop(EPOCHS) is progress(c).update(epochs=[(1.0, 1.0, 1, True)]), "has a progress that is none"),
        (lambda c, a: progress(c).update(best_epoch=2), "has a progress that is none"),
        (lambda c, a: progress(c).update(best=0.5), "has a progress that is none"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change, message, tmp_path):
    model, path = FITS["adamw"][0], tmp_path / "fit.checkpoint"
    assert not killed(model, path, 3, checkpoint_every=1)
    with safetensors.safe_open(path, framework="numpy") as file:
        configuration = json.loads(file.metadata()[_checkpoint.KEY])
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    change(configuration, arrays)
    safetensors.numpy.save_file(arrays, path, metadata={_checkpoint.KEY: json.dumps(configuration)})
    with pytest.raises(ValueError, match=message) as caught:
        clone(model).fit(X, checkpoint=path, resume=True)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "rows are not some of"),
        (np.array([], np.int64), "rows are not whole numbers that rise"),
        (np.array([0, 2, 1]), "rows are not whole numbers that rise"),
        (np.array([-1, 2]), "rows are not whole numbers that rise"),
        (np.array([0.0, 1.0]), "rows are not whole numbers that rise"),
        (np.array([[0, 1]]), "rows are not whole numbers that rise"),
        (np.array([0, 10**6]), "rows are not some of"),
    ],
)
def test_rows_of_a_member_that_cannot_be_are_refused(rows, message, tmp_path):
    """Behind the half of its epochs it is trained on some."""
    model, path = clone(FITS["detector"][0]).set_params(n_jobs=1), tmp_path / "fit.checkpoint"
    assert not killed(model, path, 6, checkpoint_every=1)
    with safetensors.safe_open(path, framework="numpy") as file:
        configuration = json.loads(file.metadata()[_checkpoint.KEY])
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    at = "trainings.0.4"
    assert arrays[at].dtype == np.int64
    if rows is None:
        del arrays[at]
        (pair,) = (p for p in configuration["trainings"][0]["dict"] if p[0] == "rows")
        pair[1] = None
    else:
        arrays[at] = rows
    safetensors.numpy.save_file(arrays, path, metadata={_checkpoint.KEY: json.dumps(configuration)})
    with pytest.raises(ValueError, match=message) as caught:
        clone(model).fit(X, checkpoint=path, resume=True)
    assert str(path) in str(caught.value)


def test_a_detector_goes_on_with_seeds_of_the_file(tmp_path):
    path = tmp_path / "fit.checkpoint"
    model = clone(FITS["detector"][0]).set_params(random_state=None)
    assert not killed(model, path, 12, checkpoint_every=2)
    results = [clone(model).fit(X, checkpoint=path, resume=True) for _ in range(2)]
    assert_same(*results)
    assert (clone(model).fit(X).training_scores_ != results[0].training_scores_).any()
    with pytest.raises(ValueError, match=r"another fit: X was 120 x 6 of float32 \w+ and is now 119 x 6"):
        clone(model).fit(X[:119], checkpoint=path, resume=True)
    assert_array_equal(clone(model).fit_predict(X, checkpoint=path, resume=True), results[0].predict(X))


def test_what_a_detector_tells_when_it_goes_on(tmp_path):
    """Callbacks are told of the epochs before, by member; a warning of the file points here."""
    path, log = tmp_path / "fit.checkpoint", tmp_path / "log.csv"
    model = clone(FITS["detector"][0]).set_params(callbacks=CSVLogger(log), n_jobs=2)
    assert not killed(model, path, 14, checkpoint_every=2)
    log.unlink()
    again = clone(model).fit(X, checkpoint=path, resume=True)
    lines = [line.split(",")[:3] for line in log.read_text().splitlines()[1:]]
    for i, member in enumerate(again.estimators_):
        own = [(int(epoch), float(loss)) for training, epoch, loss in lines if training == f"member_{i}"]
        assert own == list(enumerate(member.loss_curve_, 1))
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="goes on without") as caught:
        patch.setattr(_archive, "write", full)
        clone(model).fit(X, checkpoint=path)
    assert {one.filename for one in caught} == {__file__}


def test_a_callback_is_told_that_it_is_over_where_another_fails_at_what_was_done(tmp_path):
    class Fails:
        def __call__(self, state):
            pass

        def recall(self, state):
            if state.epoch == 2:
                raise OSError("full")

    path, log = tmp_path / "c", CSVLogger(tmp_path / "log.csv")
    for epochs in (3, 6):  # in the middle of a training, and behind its end
        killed(Autoencoder(2, **COMMON), path, epochs, checkpoint_every=1)
        with pytest.raises(OSError, match="full"):
            Autoencoder(2, callbacks=[log, Fails()], **COMMON).fit(X, checkpoint=path, resume=True)
        Autoencoder(2, callbacks=log, **{**COMMON, "max_iter": 2}).fit(X)
        assert [line.split(",")[:2] for line in (tmp_path / "log.csv").read_text().splitlines()[1:]] == [
            ["fit", "1"],
            ["fit", "2"],
        ]


@pytest.mark.parametrize("after", [2, 3, 5])
def test_ctrl_c_in_pretraining_ends_the_fit_which_goes_on_to_the_same_bits(after, tmp_path):
    """In the first layer, at its end, and in the second; each has three epochs."""
    model, path = FITS["pretrained"][0], tmp_path / "c"
    calls = []

    def update(self, state):
        calls.append(state)
        if len(calls) == after:
            signal.raise_signal(signal.SIGINT)

    interrupted = clone(model)
    before = dict(vars(interrupted))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(_training.Progress, "update", update)
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(X, checkpoint=path, checkpoint_every=1)
    assert len(calls) == after and vars(interrupted) == before
    assert_same(interrupted.fit(X, checkpoint=path, resume=True), clone(model).fit(X))


def full(*arguments):
    raise OSError(28, "No space left on device")


def progress(configuration):
    """What the epoch loop knew in the first training, by name, as the file has it."""
    (training,) = configuration["trainings"]
    fields = dict(training["dict"])["progress"]["dict"]

    class Fields:
        def update(self, **values):
            for pair in fields:
                pair[1] = values.get(pair[0], pair[1])

    return Fields()


def test_what_a_trainer_refuses(tmp_path):
    """Sizes, types and numbers of a state are checked before anything changes."""
    found = []

    def trainer(bound=True):
        model = Autoencoder(2, solver="lbfgs", max_iter=3, random_state=0)
        model.fit(X)
        spec = model._spec
        made = model._trainer(spec, 120, 0, n_epochs=3, keep_best=True)
        made.bind(0, [X])
        model._resume(made, spec)
        return made

    one = trainer()
    one.epoch(), one.epoch()
    state = one.snapshot()
    assert [array.ndim for array in state.values()] == [1] * len(state)
    other = trainer()
    before = other.snapshot()
    for change in (
        {"parameters": state["parameters"][1:]},
        {"parameters": state["parameters"].astype(np.float64)},
        {"parameters": state["parameters"].tolist()},
        {"lbfgs_pairs": state["lbfgs_pairs"][::2]},
        *(
            {"numbers": np.where(np.arange(len(state["numbers"])) == i, value, state["numbers"])}
            for i, value in (
                (0, -1.0),
                (0, np.nan),
                (1, 0.5),
                (1, 1e300),
                (2, 0.0),
                (2, np.inf),
                (7, 2.0),
                (8, 11.0),
                (8, 0.5),
                (9, 10.0),
                (9, np.nan),
                (14, -1.0),
            )
        ),
    ):
        with pytest.raises(ValueError, match=r"the state needs|numbers of a trainer's state"):
            other.restore({**state, **change})
        found.append(change)
    for wrong in ({**state, "more": state["best"]}, {k: v for k, v in state.items() if k != "best"}):
        with pytest.raises(ValueError, match="parts; this trainer has"):
            other.restore(wrong)
    with pytest.raises(TypeError, match="a dict as of snapshot"):
        other.restore([])
    for name, array in other.snapshot().items():
        assert_array_equal(array, before[name])
    other.restore(state)
    for _ in range(3):
        assert other.epoch() == one.epoch()
    for name, array in other.snapshot().items():
        assert_array_equal(array, one.snapshot()[name])
    assert isinstance(one, _core.Trainer)


def test_arguments(tmp_path):
    model = Autoencoder(2, **COMMON)
    for every in (0, 1.5, True, "often"):
        with pytest.raises(ValueError, match=f"checkpoint_every is {every!r}; it must be a whole number"):
            model.fit(X, checkpoint=tmp_path / "a", checkpoint_every=every)
    with pytest.raises(ValueError, match="resume=True needs checkpoint"):
        model.fit(X, resume=True)
    with pytest.raises(ValueError, match="checkpoint_every=3 needs checkpoint"):
        model.fit(X, checkpoint_every=3)
    with pytest.raises(FileNotFoundError) as found:
        model.fit(X, checkpoint=tmp_path / "nowhere" / "a")
    assert found.value.filename == str(tmp_path / "nowhere" / "a")
    with pytest.raises(TypeError, match="takes no checkpoint: the solution is closed"):
        MarginalizedDenoisingAutoencoder().fit(X, checkpoint=tmp_path / "a")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError) as found:
        model.fit(X, checkpoint=f"{tmp_path}/file/")
    assert found.value.filename == str(tmp_path / "file")


@pytest.mark.parametrize("name", ["adamw", "fine-tuned", "imputer", "detector"])
def test_a_callback_asks_for_the_same_file(name, tmp_path):
    model, arguments = FITS[name]
    path, by_argument = tmp_path / "by_callback", tmp_path / "by_argument"
    whole = clone(model).fit(X, **arguments)
    watched = clone(model).set_params(callbacks=[Checkpoint(path, every=2)])
    first, again = clone(watched), clone(watched).set_params(callbacks=Checkpoint(path, every=2, resume=True))
    assert not killed(first, None, 3, **arguments)
    assert not killed(model, by_argument, 3, checkpoint_every=2, **arguments)
    assert name == "detector" or path.read_bytes() == by_argument.read_bytes()  # threads may be faster or slower
    assert_same(clone(again).fit(X, **arguments), whole)
    assert killed(again, None, 0, **arguments)  # of what is complete, nothing is done again
    if hasattr(model, "fit_transform") and name != "imputer":
        assert killed(again, None, 0, method="fit_transform", **arguments)


def test_fit_and_fit_transform_take_the_same_arguments():
    for kind in {type(model) for model, _ in FITS.values() if hasattr(type(model), "fit_transform")}:
        taken = inspect.signature(kind.fit_transform).parameters
        if not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
            assert set(taken) == set(inspect.signature(kind.fit).parameters), kind


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize("name", ["adamw", "fine-tuned", "imputer", "detector"])
def test_a_step_of_a_pipeline_has_checkpoints(name, routed, tmp_path):
    model, y = clone(FITS[name][0]), FITS[name][1].get("y", LABELS)
    path = tmp_path / "step.checkpoint"
    with config_context(enable_metadata_routing=routed):
        prefix = "" if routed else "step__"
        if routed:
            model.set_fit_request(checkpoint=True, checkpoint_every=True, resume=True)
        last = [("last", LogisticRegression())] if hasattr(model, "transform") else []
        pipe = Pipeline([("step", model), *last])
        whole = clone(pipe).fit(X, y)
        given = {f"{prefix}checkpoint": path, f"{prefix}checkpoint_every": 2, f"{prefix}resume": True, "y": y}
        assert not killed(pipe, None, 3, **given)
        assert path.exists()
        assert_same(clone(pipe).fit(X, **given)[0], whole[0])
        assert killed(pipe, None, 0, **given)  # of what is complete, nothing is done again


def test_a_callback_and_an_argument_do_not_both_ask(tmp_path):
    both = [Checkpoint(tmp_path / "a"), Checkpoint(tmp_path / "b")]
    with pytest.raises(ValueError, match="callbacks has 2 Checkpoints; allowed is one"):
        Autoencoder(2, callbacks=both, **COMMON).fit(X)
    with pytest.raises(ValueError, match="and callbacks has a Checkpoint too"):
        Autoencoder(2, callbacks=both[:1], **COMMON).fit(X, checkpoint=tmp_path / "c")
    for every in (0, True, 1.5, "often"):
        with pytest.raises(ValueError, match=f"every={every!r}; allowed are whole numbers of epochs from 1"):
            Checkpoint(tmp_path / "a", every=every)
    with pytest.raises(ValueError, match="resume=1; allowed are True and False"):
        Checkpoint(tmp_path / "a", resume=1)
    assert not list(tmp_path.iterdir())


def test_partial_fit_writes_no_checkpoint(tmp_path):
    Autoencoder(2, **COMMON, callbacks=Checkpoint(tmp_path / "a", every=1)).partial_fit(X)
    assert not list(tmp_path.iterdir())


def test_sparse_and_mapped_data(tmp_path):
    model, path = FITS["adamw"][0], tmp_path / "fit.checkpoint"
    matrix = sp.csr_array(np.where(X > 0.5, X, 0))
    np.save(tmp_path / "X.npy", X)
    for data in (matrix, np.load(tmp_path / "X.npy", mmap_mode="r")):
        calls = []

        def callback(state, calls=calls):
            calls.append(state)
            if len(calls) == 3:
                raise Killed

        with pytest.raises(Killed):
            clone(model).set_params(callbacks=callback).fit(data, checkpoint=path, checkpoint_every=1)
        assert_same(clone(model).fit(data, checkpoint=path, resume=True), clone(model).fit(data))


def test_a_callback_may_fit_another_estimator(tmp_path):
    """Which is no part of the fit around it."""
    model, path = FITS["adamw"][0], tmp_path / "fit.checkpoint"

    def callback(state):
        Autoencoder(3, max_iter=1, random_state=0).fit(X[:50])

    clone(model).set_params(callbacks=callback).fit(X, checkpoint=path, checkpoint_every=1)
    assert_same(clone(model).fit(X, checkpoint=path, resume=True), clone(model).fit(X))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_where_no_file_can_be_the_fit_does_not_begin(tmp_path):
    """As in a folder that is closed, which is none to root."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "pipe", tmp_path / "loop", tmp_path / ("n" * 300)):
        begun = []
        model = Autoencoder(2, callbacks=begun.append, **COMMON)
        with pytest.raises(OSError) as found:
            model.fit(X, checkpoint=path)
        assert found.value.filename == str(path) and not begun
    assert sorted(file.name for file in tmp_path.iterdir()) == ["loop", "pipe"]


def test_a_disk_that_is_full_does_not_end_a_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "write", full)
    with pytest.warns(UserWarning, match=r"could not be written, and training goes on without: .*No space left"):
        model = clone(FITS["adamw"][0]).fit(X, checkpoint=tmp_path / "a")
    assert_same(model, clone(model).fit(X))


@pytest.mark.parametrize("name", ["MOST_HEADER", "checksum"])
def test_whatever_keeps_it_from_being_written_a_fit_goes_on(name, tmp_path, monkeypatch):
    """A header that nobody could read, or too little memory."""

    def exhausted(array):
        raise MemoryError("no room")

    monkeypatch.setattr(_archive, name, 100 if name == "MOST_HEADER" else exhausted)
    with pytest.warns(UserWarning, match=r"could not be written, and training goes on without: (.*is not written|no )"):
        model = clone(FITS["adamw"][0]).fit(X, checkpoint=tmp_path / "a")
    assert_same(model, clone(model).fit(X))
    assert not list(tmp_path.iterdir())


def test_what_grows_with_the_epochs_are_arrays(tmp_path):
    """The header of a file is small, and as long after any number of epochs."""
    sizes, path = [], tmp_path / "state"
    for n in (100, 200):
        Autoencoder(2, max_iter=n, random_state=0, early_stopping=True, n_iter_no_change=n).fit(X, checkpoint=path)
        sizes.append((int.from_bytes(path.read_bytes()[:8], "little"), path.stat().st_size))
    assert sizes[1][0] - sizes[0][0] < 100
    assert sizes[1][1] - sizes[0][1] >= 100 * 8 * 5


def test_interrupted_by_hand_it_goes_on_to_the_end(tmp_path, run_python):
    path = tmp_path / "fit.checkpoint"
    script = f"""
import sys, signal, os, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {HERE!r})
from test_checkpoints import FITS, X, assert_same, clone
model = FITS["adamw"][0]
def callback(state):
    if state.epoch == 3:
        signal.raise_signal(signal.SIGINT)
stopped = clone(model).set_params(callbacks=callback).fit(X, checkpoint={str(path)!r}, checkpoint_every=1)
assert stopped.n_iter_ < 6
assert_same(clone(model).fit(X, checkpoint={str(path)!r}, resume=True), clone(model).fit(X))
print("fine")
"""
    done = run_python("-c", script)
    assert done.stdout.strip() == "fine", done.stderr
