"""Callbacks of scikit-learn 1.9 and later see what is trained, and can end it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autoenc.callbacks
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    MarginalizedDenoisingAutoencoder,
    VariationalAutoencoder,
)

QUICK = {"hidden_layer_sizes": (4,), "random_state": 0}
DETECTOR = {"n_estimators": 3, "max_iter": 6, "hidden_layer_sizes": (4,), "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return np.arange(60) % 2


class Recorder:
    """What scikit-learn's callbacks see, as (hook, task, number of the task)."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.seen, self.models, self.stop_after, self.setups = [], [], stop_after, 0
        self.estimators = set()

    def setup(self, estimator, context):
        self.setups += 1

    def teardown(self, estimator, context):
        self.setups -= 1

    def on_fit_task_begin(self, estimator, context):
        self.estimators.add(estimator)
        self.seen.append(("begin", context.estimator_name, context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.estimators.add(estimator)
        self.seen.append(("end", context.estimator_name, context.task_name, context.task_id))
        self.models.append((X, y, fitted_estimator))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@pytest.fixture
def callbacks_of_sklearn():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and later")


def test_callbacks_see_every_epoch(X, callbacks_of_sklearn):
    recorder = Recorder()
    model = Autoencoder(2, max_iter=3, **QUICK).set_callbacks(recorder).fit(X)
    epochs = [(hook, "Autoencoder", "epoch", i) for i in range(3) for hook in ("begin", "end")]
    assert recorder.seen == [("begin", "Autoencoder", "fit", 0), *epochs, ("end", "Autoencoder", "fit", 0)]
    assert recorder.setups == 0
    assert not {"_callback_fit_ctx", "_skl_callbacks_to_teardown"} & set(vars(model))
    assert_array_equal(model.transform(X), Autoencoder(2, max_iter=3, **QUICK).fit(X).transform(X))
    recorder.seen.clear()
    model.fit_transform(X)
    assert len(recorder.seen) == 8
    recorder.seen.clear()
    model.partial_fit(X)
    assert recorder.seen == []


def test_a_callback_can_end_the_fit(X, callbacks_of_sklearn):
    assert Autoencoder(2, max_iter=9, **QUICK).set_callbacks(Recorder(stop_after=4)).fit(X).n_iter_ == 4


@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(2, max_iter=1, **QUICK),
        AutoencoderClassifier(2, max_iter=1, fine_tune_max_iter=1, **QUICK),
        AutoencoderOutlierDetector(n_estimators=1, max_iter=1, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_is_learned_stays_where_a_callback_fails_at_the_end(model, X, callbacks_of_sklearn):
    class Fails(Recorder):
        def on_fit_task_end(self, estimator, context, **_):
            if context.task_name == "fit":
                raise OSError("the disk is full")

    y = np.arange(len(X)) % 2
    expected = clone(model).fit(X, y).score_samples(X)
    model = clone(model).set_callbacks(callback := Fails())
    with pytest.raises(OSError, match="the disk is full"):
        model.fit(X, y)
    assert_array_equal(model.score_samples(X), expected)
    assert callback.setups == 0


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder])
def test_the_fitted_estimator_is_that_of_a_shorter_fit(kind, X, callbacks_of_sklearn):
    recorder = Recorder()
    constant = {"learning_rate": "constant", "warmup_fraction": 0.0, **QUICK}
    kind(2, max_iter=4, **constant).set_callbacks(recorder).fit(X, condition=X[:, :2])
    data, labels, model = recorder.models[1]
    assert data is X
    assert labels is None
    shorter = kind(2, max_iter=2, **constant).fit(X, condition=X[:, :2])
    assert_array_equal(model.transform(X, condition=X[:, :2]), shorter.transform(X, condition=X[:, :2]))
    assert (model.n_iter_, model.loss_curve_, model.n_features_in_) == (2, shorter.loss_curve_, 5)
    last = recorder.models[-1][2]
    assert last.n_iter_ == 4


def test_both_trainings_of_a_classifier(X, y, callbacks_of_sklearn):
    recorder = Recorder()
    model = AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=3, **QUICK).set_callbacks(recorder).fit(X, y)
    assert [task for hook, _, name, task in recorder.seen if hook == "end" and name == "epoch"] == list(range(5))
    assert [fitted is None for _, _, fitted in recorder.models] == [True, True, False, False, False, False]
    assert_array_equal(recorder.models[4][2].predict(X), model.predict(X))
    assert recorder.models[4][1] is y
    monitor = callbacks_of_sklearn.ScoringMonitor(scoring="accuracy")
    model.set_callbacks(monitor).fit(X, y)
    scores = [row["accuracy"] for row in monitor.get_logs().data]
    assert scores[-1] == model.score(X, y)


@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(2, max_iter=2, **QUICK),
        AutoencoderImputer(2, max_iter=2, **QUICK),
        AutoencoderOutlierDetector(n_estimators=2, max_iter=2, random_state=0),
        MarginalizedDenoisingAutoencoder(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_they_get_the_y_that_a_fit_ignores(model, X, y, callbacks_of_sklearn):
    recorder = Recorder()
    clone(model).set_callbacks(recorder).fit(X, y)
    assert recorder.models and all(labels is y for _, labels, _ in recorder.models)
    if hasattr(model, "score_samples"):  # by whose sum the monitor knows which model it is
        monitor = callbacks_of_sklearn.ScoringMonitor(scoring={"score": lambda model, X, y: model.score_samples(X) @ y})
        fitted = clone(model).set_callbacks(monitor).fit(X, y)
        assert monitor.get_logs().data[0]["score"] == fitted.score_samples(X) @ y
        assert all("score" in row for row in monitor.get_logs().data)


def test_an_error_tears_down_and_leaves_the_state_of_before(X, callbacks_of_sklearn):
    recorder = Recorder()
    model = Autoencoder(2, max_iter=2, **QUICK).set_callbacks(recorder).fit(X)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan))
    assert recorder.setups == 0
    assert vars(model).keys() == before.keys()


def test_in_pipelines_and_searches_and_through_clone(X, y, callbacks_of_sklearn):
    recorder = Recorder()
    pipe = make_pipeline(StandardScaler(), Autoencoder(2, max_iter=3, **QUICK), LogisticRegression())
    pipe.set_callbacks(recorder).fit(X, y)
    own = [task for hook, name, kind, task in recorder.seen if (hook, name, kind) == ("end", "Autoencoder", "epoch")]
    assert own == [0, 1, 2]
    assert "_parent_callback_ctx" not in vars(pipe[1])
    assert not getattr(pipe[1], "_skl_callbacks", None)
    set_here = Autoencoder(2, max_iter=2, **QUICK).set_callbacks(Recorder())
    assert len(clone(set_here)._skl_callbacks) == 1


@pytest.mark.parametrize("posterior", [False, True])
def test_they_see_the_epochs_of_an_imputer(posterior, X, callbacks_of_sklearn):
    model = AutoencoderImputer(2, max_iter=9, sample_posterior=posterior, **QUICK)
    model.set_callbacks(recorder := Recorder(stop_after=2)).fit(X)
    epochs = [(hook, "AutoencoderImputer", "epoch", i) for i in range(2) for hook in ("begin", "end")]
    assert recorder.seen[1:-1] == epochs
    assert recorder.seen[0] == ("begin", "AutoencoderImputer", "fit", 0)
    assert (model.n_iter_, recorder.setups) == (2, 0)
    assert not hasattr(model.autoencoder_, "_skl_callbacks") and "_within" not in vars(model.autoencoder_)
    assert model._skl_callbacks == [recorder]
    assert recorder.estimators == {model}
    assert all(given is X for given, *_ in recorder.models)


def test_the_fitted_imputer_is_that_of_a_shorter_fit(X, callbacks_of_sklearn, tmp_path):
    holes = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    recorder = Recorder()
    model = AutoencoderImputer(2, max_iter=40, add_indicator=True, callbacks=lambda state: None, **QUICK)
    model.set_callbacks(recorder).fit(holes)
    fitted = [fitted for *_, fitted in recorder.models]
    assert [one.n_iter_ for one in fitted] == [*range(1, 41), 40]
    stopped = clone(model).set_params(callbacks=lambda state: state.epoch == 3).fit(holes)
    assert_array_equal(fitted[2].transform(holes), stopped.transform(holes))
    assert_array_equal(fitted[-1].transform(holes), model.transform(holes))
    fitted[2].set_params(callbacks=None).save(tmp_path / "third")
    assert_array_equal(autoenc.load(tmp_path / "third").transform(holes), stopped.transform(holes))


def test_an_imputer_without_a_usable_column_has_a_fit(X, callbacks_of_sklearn):
    model = AutoencoderImputer(2, **QUICK).set_callbacks(recorder := Recorder())
    model.fit(np.full_like(X, np.nan))
    assert recorder.seen == [(hook, "AutoencoderImputer", "fit", 0) for hook in ("begin", "end")]
    assert model.autoencoder_ is None and recorder.setups == 0


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_members_of_a_detector_are_tasks_with_epochs(n_jobs, X, callbacks_of_sklearn):
    recorder = Recorder()
    detector = AutoencoderOutlierDetector(**DETECTOR, n_jobs=n_jobs).set_callbacks(recorder).fit(X)
    name = "AutoencoderOutlierDetector"
    assert recorder.seen[0] == ("begin", name, "fit", 0) and recorder.seen[-1] == ("end", name, "fit", 0)
    members = [(hook, task) for hook, _, kind, task in recorder.seen if kind == "member"]
    assert sorted(members) == [(hook, i) for hook in ("begin", "end") for i in range(3)]
    epochs = [(hook, task) for hook, _, kind, task in recorder.seen if kind == "epoch"]
    assert sorted(epochs) == sorted([(hook, i) for hook in ("begin", "end") for i in range(6)] * 3)
    *parts, (given, _, fitted) = recorder.models
    assert given is X and all(one is None for *_, one in parts)
    assert_array_equal(fitted.score_samples(X), detector.score_samples(X))
    assert (recorder.setups, recorder.estimators) == (0, {detector})
    assert clone(detector).set_callbacks(Recorder(stop_after=2)).fit(X).n_iter_ == 2


def test_a_fit_without_epochs_is_one_task(X, callbacks_of_sklearn):
    recorder = Recorder()
    model = MarginalizedDenoisingAutoencoder().set_callbacks(recorder).fit(X)
    name = type(model).__name__
    assert recorder.seen == [("begin", name, "fit", 0), ("end", name, "fit", 0)]
    given, _, fitted = recorder.models[0]
    assert given is X
    assert_array_equal(fitted.score_samples(X), model.score_samples(X))
    assert recorder.setups == 0
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan))
    assert recorder.setups == 0


def test_every_estimator_is_seen_within_a_pipeline(X, callbacks_of_sklearn):
    class Everywhere(Recorder):  # as scikit-learn's bars and monitors
        max_propagation_depth = None

    for last in (
        AutoencoderImputer(2, max_iter=3, **QUICK),
        MarginalizedDenoisingAutoencoder(),
        AutoencoderOutlierDetector(n_estimators=2, max_iter=2, random_state=0),
    ):
        recorder = Everywhere()
        make_pipeline(StandardScaler(), last).set_callbacks(recorder).fit(X)
        assert ("end", type(last).__name__) in {seen[:2] for seen in recorder.seen}


def test_progress_bar_of_scikit_learn(run_python):
    pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    code = (
        "import numpy as np\n"
        "from sklearn.callback import ProgressBar\n"
        "from sklearn.model_selection import GridSearchCV\n"
        "from autoenc import Autoencoder, AutoencoderOutlierDetector\n"
        "X = np.random.default_rng(0).normal(size=(60, 5))\n"
        "model = Autoencoder(2, max_iter=3, hidden_layer_sizes=(4,), random_state=0)\n"
        "model.set_callbacks(ProgressBar()).fit(X)\n"
        "model.set_callbacks()\n"
        "detector = AutoencoderOutlierDetector(n_estimators=3, max_iter=4)\n"
        "detector.set_callbacks(ProgressBar()).fit(X)\n"
        "search = GridSearchCV(model, {'n_components': [1, 2]}, cv=2)\n"
        "search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X)\n"
    )
    done = run_python("-W", "error::UserWarning", "-c", code)
    assert done.returncode == 0, done.stderr
    assert "Autoencoder - fit" in done.stdout
    assert "GridSearchCV - fit" in done.stdout
    assert "AutoencoderOutlierDetector - member" in done.stdout
    assert "100%" in done.stdout
