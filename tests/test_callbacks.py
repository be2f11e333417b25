"""Callbacks of the package, and logging by MLflow's autolog."""

import csv
import errno
import json
import os
import pickle
import sys
import threading
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import autoenc.callbacks
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
)
from autoenc.callbacks import CSVLogger, EarlyStopping, MLflow, TensorBoard

QUICK = {"hidden_layer_sizes": (4,), "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return np.arange(60) % 2


def test_early_stopping_stops_where_the_loss_says(X):
    full = Autoencoder(2, max_iter=60, **QUICK).fit(X)
    curve = np.array(full.loss_curve_)
    stopping = EarlyStopping(patience=3, min_delta=0.05)
    model = Autoencoder(2, max_iter=60, callbacks=[stopping], **QUICK).fit(X)
    best, waited, expected = np.inf, 0, 60
    for epoch, loss in enumerate(curve, 1):
        better = best == np.inf or loss < best * 0.95
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited == 3:
            expected = epoch
            break
    assert model.n_iter_ == expected < 60
    assert_array_equal(model.loss_curve_, curve[:expected])
    # Nothing is left over from one fit to the next.
    assert clone(model).fit(X).n_iter_ == model.fit(X).n_iter_ == expected


def test_early_stopping_at_a_target_and_by_validation(X):
    curve = Autoencoder(2, max_iter=20, **QUICK).fit(X).loss_curve_
    model = Autoencoder(2, max_iter=20, callbacks=EarlyStopping(target=curve[6]), **QUICK).fit(X)
    assert model.n_iter_ == 1 + next(i for i, loss in enumerate(curve) if loss <= curve[6])
    validated = Autoencoder(2, max_iter=20, callbacks=EarlyStopping(patience=1, min_delta=0.5), **QUICK)
    assert validated.fit(X, X_val=X[:9]).n_iter_ == 2
    with pytest.raises(ValueError, match="monitor='validation_loss', but this fit has no validation rows"):
        Autoencoder(2, callbacks=EarlyStopping(monitor="validation_loss"), **QUICK).fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"monitor": "accuracy"}, "monitor='accuracy'; allowed are 'auto'"),
        ({"patience": 0}, "patience=0; allowed are whole numbers from 1"),
        ({"patience": True}, "patience=True; allowed"),
        ({"min_delta": -0.1}, "min_delta=-0.1; allowed are finite numbers from 0"),
        ({"min_delta": float("nan")}, "min_delta=nan; allowed"),
        ({"target": "low"}, "target='low'; allowed are numbers and None"),
        ({"target": float("nan")}, "target=nan; allowed"),
    ],
)
def test_early_stopping_refuses(parameters, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**parameters)


def test_callbacks_are_shown_as_they_are_made():
    stopping = EarlyStopping(patience=3, target=0.5)
    assert repr(stopping) == "EarlyStopping(monitor='auto', patience=3, min_delta=0.0, target=0.5)"
    assert repr(TensorBoard("runs")) == "TensorBoard(log_dir='runs', prefix='')"
    assert repr(eval(repr(stopping))) == repr(stopping)
    shown = repr(Autoencoder(2, callbacks=[CSVLogger("log.csv"), MLflow()]))
    assert "CSVLogger(path='log.csv', append=False)" in shown and "MLflow(prefix='')" in shown and " at 0x" not in shown


def test_csv_has_the_curves(X, tmp_path):
    path = tmp_path / "log.csv"
    model = Autoencoder(2, max_iter=5, early_stopping=True, callbacks=CSVLogger(path), **QUICK).fit(X)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [float(row["loss"]) for row in rows] == model.loss_curve_
    assert [float(row["validation_loss"]) for row in rows] == model.validation_loss_curve_
    assert all(float(row["learning_rate"]) > 0 for row in rows)
    Autoencoder(2, max_iter=2, callbacks=CSVLogger(path), **QUICK).fit(X)
    assert len(path.read_text().splitlines()) == 3
    assert path.read_text().splitlines()[1].split(",")[3] == ""
    Autoencoder(2, max_iter=2, callbacks=CSVLogger(path, append=True), **QUICK).fit(X)
    assert len(path.read_text().splitlines()) == 5


def test_csv_has_both_trainings_of_a_classifier(X, y, tmp_path):
    path = tmp_path / "log.csv"
    model = AutoencoderClassifier(2, max_iter=3, fine_tune_max_iter=4, callbacks=CSVLogger(path), **QUICK)
    for _ in range(2):  # the second fit starts the file again
        model.fit(X, y)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["training"], int(row["epoch"])) for row in rows] == [
            *(("fit", i) for i in (1, 2, 3)),
            *(("fine_tune", i) for i in (1, 2, 3, 4)),
        ]
        assert [float(row["loss"]) for row in rows] == model.loss_curve_ + model.fine_tune_loss_curve_


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_of_a_detector_counts_members(n_jobs, X, capsys):
    detector = AutoencoderOutlierDetector(n_estimators=3, max_iter=2, verbose=1, n_jobs=n_jobs).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for i, (line, member) in enumerate(zip(lines, detector.estimators_, strict=True)):
        start = f"[AutoencoderOutlierDetector] member {i + 1}/3, loss {member.loss_curve_[-1]:.6g}, "
        assert line.startswith(start)
    detector.set_params(verbose=0).fit(X)
    assert not capsys.readouterr().out


DETECTOR = {"n_estimators": 3, "max_iter": 6, "hidden_layer_sizes": (4,), "random_state": 0}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_see_every_epoch_of_every_member(n_jobs, X):
    """One at a time, in the thread of the fit; those of a member in order, whatever comes between them."""
    seen, threads = [], set()

    def callback(state):
        seen.append(state)
        threads.add(threading.get_ident())
        return 1.0  # no True

    plain = AutoencoderOutlierDetector(**DETECTOR).fit(X)
    detector = AutoencoderOutlierDetector(**DETECTOR, n_jobs=n_jobs, callbacks=callback).fit(X)
    assert threads == {threading.get_ident()}
    assert all(state.estimator is detector and state.n_epochs == 6 for state in seen)
    for i, member in enumerate(detector.estimators_):
        own = [state for state in seen if state.training == f"member_{i}"]
        assert [state.epoch for state in own] == [1, 2, 3, 4, 5, 6]
        assert [state.loss for state in own] == member.loss_curve_
        assert member.callbacks is None
    assert_array_equal(detector.training_scores_, plain.training_scores_)
    again = pickle.loads(pickle.dumps(clone(detector).set_params(callbacks=[EarlyStopping()])))
    assert again.get_params()["callbacks"][0].patience == 10


def test_a_callback_ends_the_training_of_a_member(X):
    """By its own losses, with any number of threads."""
    stopping = EarlyStopping(patience=1, min_delta=0.01)
    found = [
        AutoencoderOutlierDetector(**{**DETECTOR, "max_iter": 60}, n_jobs=n, callbacks=stopping).fit(X) for n in (1, 2)
    ]
    n_iter = [member.n_iter_ for member in found[0].estimators_]
    assert min(n_iter) < max(n_iter) == found[0].n_iter_ < 60
    for one in found[0].estimators_:
        falls = np.array(one.loss_curve_[1:]) < 0.99 * np.array(one.loss_curve_[:-1])
        assert falls[:-1].all() and not falls[-1]
    assert_array_equal(found[0].training_scores_, found[1].training_scores_)


def test_learned_attributes_are_those_of_before_until_a_fit_is_complete(X):
    for model in (AutoencoderOutlierDetector(**DETECTOR), AutoencoderImputer(2, max_iter=2, **QUICK)):
        holes = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
        before, after = (X, 2 * X + 1) if isinstance(model, AutoencoderOutlierDetector) else (holes, 2 * holes + 1)
        use = model.score_samples if isinstance(model, AutoencoderOutlierDetector) else model.transform

        def callback(state, model=model, use=use, before=before, expected=[]):  # noqa: B006
            assert state.estimator is model
            if hasattr(model, "mean_"):
                expected.append(use(before))
                assert_array_equal(expected[-1], expected[0])

        model.set_params(callbacks=callback).fit(before)
        old = model.mean_
        model.fit(after)
        assert (model.mean_ != old).all()


@pytest.mark.parametrize("kind", [Autoencoder, AutoencoderImputer, AutoencoderOutlierDetector])
def test_what_a_callback_sets_on_the_estimator_stays(kind, X):
    def callback(state):
        state.estimator.note = state.epoch
        state.estimator.set_params(verbose=0)

    model = kind(max_iter=2, callbacks=callback, verbose=3, random_state=0).fit(X)
    other = kind(max_iter=2, random_state=0).fit(X)
    assert model.note == 2 and model.verbose == 0
    assert vars(model).keys() - {"note"} == vars(other).keys() and model.n_features_in_ == X.shape[1]


def test_callbacks_of_a_detector_are_told_once_that_it_is_over(X):
    class Open:
        def __init__(self, raises=None):
            self.raises, self.told = raises, []

        def __call__(self, state):
            if self.raises is not None and state.epoch == 2:
                raise self.raises

        def training_ended(self, failed):
            self.told.append(failed)

    fine, n_threads = Open(), threading.active_count()
    AutoencoderOutlierDetector(**DETECTOR, callbacks=fine).fit(X)
    assert fine.told == [False]
    for error in (OSError("the disk is full"), KeyboardInterrupt()):
        broken = Open(error)
        detector = AutoencoderOutlierDetector(**DETECTOR, n_jobs=2, callbacks=[fine, broken])
        with pytest.raises(type(error)):
            detector.fit(X)
        assert broken.told == [True] and not hasattr(detector, "estimators_")
        assert threading.active_count() == n_threads
    with pytest.raises(ValueError, match=r"callbacks has the class EarlyStopping; needed is EarlyStopping\(\.\.\.\)"):
        AutoencoderOutlierDetector(callbacks=[EarlyStopping]).fit(X)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_logs_of_a_detector(n_jobs, X, tmp_path, runs):
    path = tmp_path / "log.csv"
    log = CSVLogger(path)
    detector = AutoencoderOutlierDetector(**DETECTOR, n_jobs=n_jobs, callbacks=[log, MLflow()])
    for _ in range(2):  # the second fit starts the file again
        detector.fit(X)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for i, member in enumerate(detector.estimators_):
            own = [float(row["loss"]) for row in rows if row["training"] == f"member_{i}"]
            assert own == member.loss_curve_
        assert len(rows) == 18
    assert runs.ended == [("1", "FINISHED"), ("2", "FINISHED")]
    assert {name for *_, metrics in runs.logged for name in metrics} == {
        f"member_{i}/{name}" for i in range(3) for name in ("loss", "learning_rate")
    }
    # One that was broken off leaves nothing behind either.
    with pytest.raises(RuntimeError):
        detector.set_params(callbacks=[log, FailsAt(3)]).fit(X)
    detector.set_params(callbacks=log).fit(X)
    assert len(path.read_text().splitlines()) == 1 + 18


class FailsAt:
    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, state):
        if state.epoch == self.epoch:
            raise RuntimeError


def test_progress_says_which_training_it_is(X, y, capsys):
    AutoencoderClassifier(2, max_iter=1, fine_tune_max_iter=2, verbose=2, **QUICK).fit(X, y)
    lines = [line.partition(", loss")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "[AutoencoderClassifier] epoch 1/1",
        "[AutoencoderClassifier, fine-tuning] epoch 1/2",
        "[AutoencoderClassifier, fine-tuning] epoch 2/2",
    ]


def test_the_state_that_callbacks_get_is_public(X, y):
    seen = []
    AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=1, callbacks=seen.append, **QUICK).fit(X, y)
    assert {type(state) for state in seen} == {autoenc.callbacks.EpochState}
    assert [(state.training, state.epoch, state.n_epochs) for state in seen] == [
        ("fit", 1, 2),
        ("fit", 2, 2),
        ("fine_tune", 1, 1),
    ]
    assert "EpochState" in autoenc.callbacks.__all__
    assert autoenc.callbacks.EpochState.__module__ == "autoenc.callbacks"
    state = autoenc.callbacks.EpochState(None, 1, 2, 0.5, None, 0.1)
    assert pickle.loads(pickle.dumps(state)) == state
    assert all(f"``{field.name}``" in Autoencoder.__doc__ for field in fields(autoenc.callbacks.EpochState))


def test_callbacks_can_be_cloned_pickled_and_searched(X, tmp_path):
    callbacks = [EarlyStopping(patience=2), CSVLogger(tmp_path / "log.csv"), TensorBoard(tmp_path), MLflow()]
    model = Autoencoder(2, max_iter=2, callbacks=callbacks[:2], **QUICK)
    assert pickle.loads(pickle.dumps(clone(model).fit(X))).n_iter_ == 2
    search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2).fit(X)
    assert search.best_estimator_.n_iter_ == 2
    assert [type(callback) for callback in pickle.loads(pickle.dumps(callbacks))] == list(map(type, callbacks))


def curves(folder):
    """What TensorBoard's files of a run have, by name: steps and values."""
    from tensorboardX.proto import event_pb2

    found = {}
    for path in folder.glob("events.*"):
        data = path.read_bytes()
        while data:  # records: length (8 bytes), checksum (4), event, checksum (4)
            n = int.from_bytes(data[:8], "little")
            event = event_pb2.Event.FromString(data[12 : 12 + n])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            data = data[16 + n :]
    return found


def test_tensorboard(X, tmp_path):
    pytest.importorskip("tensorboardX")
    model = Autoencoder(2, max_iter=3, callbacks=TensorBoard(tmp_path, prefix="a/"), **QUICK).fit(X)
    found = curves(tmp_path)
    assert model.callbacks._writer is None  # closed
    assert [step for step, _ in found["a/loss"]] == [1, 2, 3]
    assert [v for _, v in found["a/loss"]] == [pytest.approx(loss, rel=1e-6) for loss in model.loss_curve_]
    assert "a/learning_rate" in found
    assert "a/validation_loss" not in found


def test_tensorboard_has_curves_for_each_training(X, y, tmp_path):
    pytest.importorskip("tensorboardX")
    log = TensorBoard(tmp_path)
    model = AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=3, callbacks=log, **QUICK).fit(X, y)
    found = curves(tmp_path)
    assert set(found) == {"loss", "learning_rate", "fine_tune/loss", "fine_tune/learning_rate"}
    assert found["loss"] == [(i, pytest.approx(v, rel=1e-6)) for i, v in enumerate(model.loss_curve_, 1)]
    expected = [(i, pytest.approx(v, rel=1e-6)) for i, v in enumerate(model.fine_tune_loss_curve_, 1)]
    assert found["fine_tune/loss"] == expected


@pytest.mark.parametrize(
    ("make", "modules", "message"),
    [
        (lambda: TensorBoard("x"), ("tensorboardX", "torch.utils.tensorboard"), "pip install tensorboardX"),
        (MLflow, ("mlflow",), "pip install mlflow-skinny"),
    ],
)
def test_what_is_not_installed_is_named(make, modules, message, X, monkeypatch):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        Autoencoder(2, max_iter=1, callbacks=make(), **QUICK).fit(X)


class Runs:
    """What the callback asks of MLflow: at most one run is active."""

    def __init__(self):
        self.active, self.started, self.ended, self.logged = None, 0, [], []

    def active_run(self):
        return self.active

    def start_run(self):
        assert self.active is None
        self.started += 1
        self.active = SimpleNamespace(info=SimpleNamespace(run_id=str(self.started)))
        return self.active

    def end_run(self, status="FINISHED"):
        self.ended.append((self.active.info.run_id, status))
        self.active = None

    def log_metrics(self, metrics, step):
        self.logged.append((self.active.info.run_id, step, metrics))


@pytest.fixture
def runs(monkeypatch):
    found = Runs()
    monkeypatch.setitem(sys.modules, "mlflow", found)
    return found


def test_mlflow_gets_every_epoch(X, runs):
    model = Autoencoder(2, max_iter=3, callbacks=MLflow(prefix="net_"), **QUICK).fit(X)
    assert [step for _, step, _ in runs.logged] == [1, 2, 3]
    assert [metrics["net_loss"] for *_, metrics in runs.logged] == model.loss_curve_
    assert set(runs.logged[0][2]) == {"net_loss", "net_learning_rate"}


@pytest.mark.parametrize("full", ["flush", "close", "both"])
def test_tensorboard_names_its_folder_on_a_full_disk(X, tmp_path, monkeypatch, full):
    """And lets go of the writer; callbacks behind it still learn that the training is over."""

    def fails(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    names = ("flush", "close") if full == "both" else (full,)
    nothing = dict.fromkeys(("__init__", "add_scalar", "flush", "close"), lambda self, *arguments, **options: None)
    monkeypatch.setattr(
        "autoenc.callbacks._summary_writer", lambda: type("Full", (), nothing | dict.fromkeys(names, fails))
    )
    board, told = TensorBoard(tmp_path), []
    behind = type(
        "Behind", (), {"__call__": lambda self, state: None, "training_ended": lambda self, f: told.append(f)}
    )
    with pytest.raises(OSError, match="No space left on device") as caught:
        Autoencoder(2, max_iter=2, callbacks=[board, behind()], **QUICK).fit(X)
    assert caught.value.filename == str(tmp_path)
    assert board._writer is None
    assert told == [full != "close"]


def test_an_error_at_the_end_of_a_training_does_not_hide_that_of_the_training(X):
    class Behind:
        def __call__(self, state):
            raise RuntimeError("first")

        def training_ended(self, failed):
            raise OSError("second")

    with pytest.raises(RuntimeError, match="first"):
        Autoencoder(2, max_iter=2, callbacks=Behind(), **QUICK).fit(X)


def test_mlflow_ends_the_runs_that_it_started(X, y, runs):
    callback = MLflow()
    model = Autoencoder(2, max_iter=9, callbacks=[callback, lambda state: state.epoch == 2], **QUICK)
    model.fit(X).fit(X)
    assert runs.ended == [("1", "FINISHED"), ("2", "FINISHED")]

    def breaks(state):
        if state.epoch == 2:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        model.set_params(callbacks=[callback, breaks]).fit(X)
    assert runs.ended[2:] == [("3", "FAILED")]
    # One for each training of a classifier.
    AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=3, callbacks=callback, **QUICK).fit(X, y)
    assert runs.ended[3:] == [("4", "FINISHED"), ("5", "FINISHED")]
    assert "loss" in runs.logged[-4][2] and all("fine_tune/loss" in metrics for *_, metrics in runs.logged[-3:])
    assert runs.active is None
    # One that was there before stays.
    runs.start_run()
    model.set_params(callbacks=callback).fit(X)
    assert runs.active.info.run_id == "6" == runs.logged[-1][0]
    assert len(runs.ended) == 5


def test_what_is_told_when_a_training_is_over(X):
    class Open:
        def __init__(self, raises=None):
            self.raises, self.told = raises, []

        def __call__(self, state):
            if self.raises is not None:
                raise self.raises

        def training_ended(self, failed):
            self.told.append(failed)

    fine, last = Open(), Open()
    model = Autoencoder(2, max_iter=2, callbacks=[fine, lambda state: None, last], **QUICK).fit(X)
    assert (fine.told, last.told) == ([False], [False])
    model.partial_fit(X)
    assert last.told == [False, False]
    stopped = Open(KeyboardInterrupt())
    with pytest.warns(UserWarning, match="interrupted|Interrupted"):
        Autoencoder(2, max_iter=5, callbacks=[stopped], **QUICK).fit(X)
    assert stopped.told == [True]


MLFLOW = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from autoenc import Autoencoder
from autoenc.callbacks import MLflow
from autoenc.io import SKOPS_TRUSTED

mlflow.set_tracking_uri(sys.argv[1])
mlflow.sklearn.autolog()
X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
y = np.arange(60) % 2
network = Autoencoder(2, hidden_layer_sizes=(4,), max_iter=4, random_state=0, callbacks=MLflow(prefix="net_"))
pipe = make_pipeline(network, LogisticRegression())
with mlflow.start_run() as run:
    pipe.fit(X, y)
client = mlflow.MlflowClient()
data = client.get_run(run.info.run_id).data
logged = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
logged = bool((logged.predict_proba(X) == pipe.predict_proba(X)).all())
mlflow.sklearn.autolog(log_models=False, log_datasets=False)  # which takes long for each search
history = client.get_metric_history(run.info.run_id, "net_loss")
with mlflow.start_run() as run:
    network.set_params(callbacks=None)
    GridSearchCV(pipe, {"autoencoder__n_components": [1, 2]}, cv=2).fit(X, y)
mlflow.sklearn.save_model(pipe, sys.argv[2], skops_trusted_types=list(SKOPS_TRUSTED), pip_requirements=[])
loaded = mlflow.sklearn.load_model(sys.argv[2])
same = bool((loaded.predict_proba(X) == pipe.predict_proba(X)).all())
best = client.get_run(run.info.run_id).data
mlflow.sklearn.autolog(disable=True)
network.set_params(callbacks=MLflow()).fit(X)
still = mlflow.active_run() is not None
(own, *_) = mlflow.search_runs(order_by=["attributes.start_time DESC"], output_format="list")
print(json.dumps({
    "parameter": data.params["autoencoder__n_components"],
    "steps": [m.step for m in history],
    "losses": [m.value for m in history],
    "curve": pipe[0].loss_curve_,
    "score": "training_score" in data.metrics,
    "best": best.params["best_autoencoder__n_components"],
    "cv": "best_cv_score" in best.metrics,
    "still": still,
    "own": [own.info.status, own.data.metrics["loss"]],
    "last": network.loss_curve_[-1],
    "loaded": same,
    "logged": logged,
}))
"""


def test_mlflow_and_its_autolog(run_python, tmp_path):
    pytest.importorskip("mlflow.sklearn")
    done = run_python("-c", MLFLOW, f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["parameter"] == "2"
    assert found["steps"] == [1, 2, 3, 4]
    assert found["losses"] == found["curve"]
    assert found["best"] in ("1", "2")
    assert found["score"]
    assert found["cv"]
    assert not found["still"]
    assert found["loaded"]
    assert found["logged"]
    assert found["own"] == ["FINISHED", found["last"]]


def test_the_class_of_a_callback_is_no_callback():
    for given in (EarlyStopping, [EarlyStopping]):
        with pytest.raises(
            ValueError, match=r"callbacks has the class EarlyStopping; needed is EarlyStopping\(\.\.\.\)"
        ):
            Autoencoder(2, callbacks=given).fit(np.eye(4))
