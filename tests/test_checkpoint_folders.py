"""Which fit a checkpoint belongs to: of the same parameters, rows and start; in a folder each has a file of its own."""

import copy
import functools
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from checkpoints import COMMON, FITS, LABELS, Killed, X, assert_same, killed
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    VariationalAutoencoder,
    _checkpoint,
    _training,
)
from autoenc.callbacks import Checkpoint, CSVLogger, EarlyStopping
from autoenc.losses import ColumnLoss

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("by_callback", [True, False])
def test_fits_of_a_search_have_files_of_their_own_in_a_folder(by_callback, tmp_path):
    """One that was killed is not done again as far as it had come, that of the best parameters included."""
    kept = {"resume": True} | ({"every": 2} if by_callback else {"checkpoint_every": 2})
    callback = Checkpoint(tmp_path, **kept) if by_callback else None
    model = Autoencoder(2, **COMMON, callbacks=callback)
    given = {} if by_callback else {"checkpoint": tmp_path, **kept}
    values = {"n_components": [1, 2]}
    plain = GridSearchCV(Autoencoder(2, **COMMON), values, cv=3).fit(X)
    search = GridSearchCV(model, values, cv=3, error_score="raise")
    calls = []

    def update(self, state):
        calls.append(state.epoch)
        if limit is not None and len(calls) > limit:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_training.Progress, "update", update)
        limit = 20
        with pytest.raises(Killed):
            search.fit(X, **given)
        assert len(list(tmp_path.iterdir())) == 4
        calls, limit = [], None
        search.fit(X, **given)
        assert len(calls) == 7 * 6 - 18 - 2
        calls.clear()
        search.fit(X, **given)
        assert not calls
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 7 and all(name.startswith("Autoencoder-") for name in names)
    assert_same(search.best_estimator_, plain.best_estimator_)
    assert_array_equal(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])


@pytest.mark.parametrize("separator", sorted({"/", os.sep}))
def test_a_path_that_ends_with_a_separator_is_a_folder(separator, tmp_path):
    """Made where it is not there, with those around it."""
    folder = tmp_path / "some" / "states"
    model = Autoencoder(max_iter=2, random_state=0, callbacks=Checkpoint(f"{folder}{separator}", resume=True))
    for _ in range(2):
        GridSearchCV(model, {"n_components": [1, 2]}, cv=2, refit=False, error_score="raise").fit(X)
        assert len(list(folder.glob("Autoencoder-*.checkpoint"))) == len(list(folder.iterdir())) == 4


def test_other_files_in_a_folder_do_not_matter(tmp_path):
    """But for what is no checkpoint under the name of one, which is an error, and not lost."""
    (tmp_path / "Autoencoder").mkdir()
    Autoencoder(2, **COMMON).fit(X, checkpoint=tmp_path)
    (path,) = tmp_path.glob("*.checkpoint")
    path.write_text("notes")
    for resume in (False, True):
        with pytest.raises(ValueError, match="as a checkpoint of autoenc") as found:
            Autoencoder(2, **COMMON).fit(X, checkpoint=tmp_path, resume=resume)
        assert str(path) in str(found.value)
        assert path.read_text() == "notes"
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError) as found:
        Autoencoder(2, **COMMON).fit(X, checkpoint=tmp_path)
    assert found.value.filename == str(path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_where_no_file_can_be_made_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **_):
        raise PermissionError(13, "Permission denied", *arguments[:1])

    monkeypatch.setattr(_checkpoint.os, "open", refuse)
    with pytest.raises(PermissionError) as found:
        Autoencoder(2, **COMMON).fit(X, checkpoint=tmp_path)
    assert found.value.filename == str(tmp_path)


def test_a_folder_tells_callbacks_and_states_of_seeds_apart(tmp_path):
    """As a file does. Callbacks that are no data, such as a function or a logger, do not count."""

    def model(change):
        return clone(FITS["adamw"][0]).set_params(**copy.deepcopy(change))  # a state is new for each

    apart = [{"callbacks": EarlyStopping(patience=n)} for n in (1, 2)]
    apart += [{"random_state": np.random.RandomState(n)} for n in (0, 1)]
    apart += [{"random_state": np.random.RandomState(np.random.PCG64(0))}]
    for i, change in enumerate(apart):
        for _ in range(2):
            fitted = model(change).fit(X, checkpoint=tmp_path, resume=True)
            assert_same(fitted, model(change).fit(X))
            assert len(list(tmp_path.iterdir())) == i + 1
    path = tmp_path / "one"
    for change, other in zip(apart[:3:2], apart[1::2], strict=True):
        model(change).fit(X, checkpoint=path)
        with pytest.raises(ValueError, match=f"another fit: {next(iter(change))} was .* and is now "):
            model(other).fit(X, checkpoint=path, resume=True)
    several = [CSVLogger(tmp_path / "log"), EarlyStopping(patience=1), lambda state: None]
    for callbacks in (several, tuple(several[1:]), [EarlyStopping(patience=1)]):
        n = len(list(tmp_path.glob("Autoencoder-*")))
        model({"callbacks": callbacks}).fit(X, checkpoint=tmp_path, resume=True)
        assert len(list(tmp_path.glob("Autoencoder-*"))) == n


@pytest.mark.parametrize("name", ["adamw", "fine-tuned"])
def test_a_warm_start_is_a_fit_of_its_own(name, tmp_path):
    """In a folder each fit of a chain has its file; a file of one start is not that of another."""
    model, arguments = clone(FITS[name][0]).set_params(warm_start=True), FITS[name][1]

    def chain(**given):
        fits = []
        fitted = clone(model)
        for _ in range(3):
            fits.append(pickle.loads(pickle.dumps(fitted.fit(X, **given, **arguments))))
        return fits

    plain = chain()
    for _ in range(2):
        for one, other in zip(chain(checkpoint=tmp_path, resume=True), plain, strict=True):
            assert_same(one, other)
        assert len(list(tmp_path.iterdir())) == 3
    path = tmp_path / "one"
    first = clone(model).fit(X, checkpoint=path, **arguments)
    with pytest.raises(ValueError, match="another fit: warm start was not there and is now from weights"):
        first.fit(X, checkpoint=path, resume=True, **arguments)
    assert first.loss_curve_ == plain[0].loss_curve_
    # The same start in another process, where its model comes from a file.
    first.save(tmp_path / "model")
    path.unlink()
    assert not killed(first, path, 3, checkpoint_every=1, **arguments)
    again = autoenc.load(tmp_path / "model").fit(X, checkpoint=path, resume=True, **arguments)
    assert_array_equal(again.transform(X), plain[1].transform(X))
    assert again.loss_curve_ == plain[1].loss_curve_


@pytest.mark.parametrize("kind", [np.asarray, np.asfortranarray, sp.csr_array])
def test_a_file_knows_all_values(kind, tmp_path):
    rows = np.random.default_rng(0).random((5000, 4))
    other = rows.copy()
    other[4321, 2] += 1e-9
    path = tmp_path / "fit.checkpoint"
    given = {"checkpoint": path, "resume": True}
    for model in (Autoencoder(2, max_iter=1), AutoencoderOutlierDetector(n_estimators=1, max_iter=1)):
        clone(model).fit(kind(rows), checkpoint=path)
        with pytest.raises(ValueError, match=r"another fit: X was 5000 x 4 of float64 \w+ and is now 5000 x 4"):
            clone(model).fit(kind(other), **given)
        clone(model).fit(kind(rows), **given)
    weights = np.ones(5000)
    clone(model).fit(kind(rows), sample_weight=weights, checkpoint=path)
    weights[17] = 2.0
    with pytest.raises(ValueError, match="another fit: sample_weight was"):
        clone(model).fit(kind(rows), sample_weight=weights, **given)


def test_data_of_a_fit_are_read_once(tmp_path, monkeypatch):
    """For the name in a folder and for all trainings."""
    read = []
    of_rows = _checkpoint._of_rows
    monkeypatch.setattr(_checkpoint, "_of_rows", lambda part: read.append(part.shape) or of_rows(part))
    model, arguments = FITS["pretrained"]
    clone(model).fit(X, checkpoint=tmp_path, **arguments)
    assert sorted(read) == [(120, 5), (120, 6), (120, 9)]  # and the rows of deeper layers


def scaled(factor, t):
    return factor * t


def lossy(factor, kind="squared_error", remainder="squared_error", columns=None):
    columns = make_column_selector(pattern="a|b") if columns is None else columns
    return {"loss": ColumnLoss([("n", kind, columns)], weights={"n": factor}, remainder=remainder)}


def schedule(factor):
    return {"beta_schedule": lambda t: factor * t}


CALLED = {
    "losses": [
        lossy(0.01),
        lossy(100.0),
        lossy(1.0, "huber"),
        lossy(1.0, remainder="huber"),
        lossy(3.0, columns=make_column_selector(pattern="c")),
        lossy(3.0, columns=lambda X: [0, 1]),
        lossy(3.0, columns=lambda X: [0, 2]),
    ],
    "schedules": [
        {"beta_schedule": functools.partial(scaled, 0.0)},
        {"beta_schedule": functools.partial(scaled, 5.0)},
        *(schedule(factor) for factor in (1.0, 2.0)),
        {"beta_schedule": lambda t: 3.0 * t},
        {"beta_schedule": lambda t: 4.0 * t},
    ],
}


@pytest.mark.parametrize("name", CALLED)
def test_fits_with_callables_that_differ_have_files_of_their_own(name, tmp_path):
    """Of a search, too; in one file they are those of other fits."""
    frame, quick = pd.DataFrame(X, columns=list("abcdef")), {**COMMON, "max_iter": 2}
    model = Autoencoder(2, **quick) if name == "losses" else VariationalAutoencoder(2, **quick)
    results = []
    for i, change in enumerate(CALLED[name] * 2):
        fitted = clone(model).set_params(**change).fit(frame, checkpoint=tmp_path, resume=True)
        results.append(fitted.loss_curve_)
        assert fitted.loss_curve_ == clone(model).set_params(**change).fit(frame).loss_curve_
        assert len(list(tmp_path.iterdir())) == min(i + 1, len(CALLED[name]))
    assert len({str(curve) for curve in results}) == len(CALLED[name])
    parameter = next(iter(CALLED[name][0]))
    path = tmp_path / "file"
    clone(model).set_params(**CALLED[name][-2]).fit(frame, checkpoint=path)
    with pytest.raises(ValueError, match=f"another fit: {parameter} was .* and is now "):
        clone(model).set_params(**CALLED[name][-1]).fit(frame, checkpoint=path, resume=True)
    values = {parameter: [change[parameter] for change in CALLED[name]]}
    scores = []
    for callback in (None, Checkpoint(f"{tmp_path}/search/", resume=True)):
        search = GridSearchCV(clone(model).set_params(callbacks=callback), values, cv=2, refit=False)
        scores.append(search.fit(frame).cv_results_["mean_test_score"])
    assert_array_equal(*scores)


def test_columns_that_names_choose_are_part_of_a_fit(tmp_path):
    """The same values under other names have another loss by column."""
    model = Autoencoder(2, loss=ColumnLoss([("q", "log_loss", ["a", "b"])], weights={"q": 5.0}), **COMMON)
    frames = [pd.DataFrame(X, columns=list(names)) for names in ("abcdef", "fedcba", "abdcfe")]
    path = tmp_path / "file"
    for frame, n in zip(frames, (1, 2, 2), strict=True):
        fitted = clone(model).fit(frame, checkpoint=f"{tmp_path}/states/", resume=True)
        assert fitted.loss_curve_ == clone(model).fit(frame).loss_curve_
        assert len(list((tmp_path / "states").iterdir())) == n
    clone(model).fit(frames[0], checkpoint=path)
    with pytest.raises(ValueError, match=r"another fit: columns by loss was \[\[0, 1\], \[2, .* now \[\[4, 5\], \[0, "):
        clone(model).fit(frames[1], checkpoint=path, resume=True)


@pytest.mark.parametrize("kind", [AutoencoderClassifier, AutoencoderRegressor])
def test_labels_of_validation_rows_are_part_of_a_fit(kind, tmp_path):
    model, y = kind(2, fine_tune_max_iter=2, **{**COMMON, "max_iter": 2}), np.arange(120) % 3
    for i, labels in enumerate((y[:20], y[1:21])):
        given = {"X_val": X[:20], "y_val": labels}
        fitted = clone(model).fit(X, y, checkpoint=tmp_path, resume=True, **given)
        assert len(list(tmp_path.iterdir())) == i + 1
        assert_same(fitted, clone(model).fit(X, y, **given))


def test_the_order_of_a_dict_does_not_count(tmp_path):
    model, path = AutoencoderClassifier(2, fine_tune_max_iter=2, **COMMON), tmp_path / "file"
    curves = []
    for weights in ({0: 1.0, 1: 2.0, 2: 3.0}, {2: 3, 1: 2, 0: 1}):
        fitted = clone(model).set_params(class_weight=weights).fit(X, LABELS, checkpoint=path, resume=True)
        curves.append(fitted.fine_tune_loss_curve_)
    assert curves[0] == curves[1]
    with pytest.raises(ValueError, match="another fit: class_weight was"):
        clone(model).set_params(class_weight={0: 1, 1: 2, 2: 4}).fit(X, LABELS, checkpoint=path, resume=True)


def test_a_folder_tells_all_data_apart(tmp_path):
    """Labels, weights, and rows that a file of one fit does not look at."""
    rows = np.random.default_rng(0).random((1000, 4)).astype(np.float32)
    other = rows.copy()
    other[1, 0] += 0.25
    y = np.arange(1000) % 2
    given = {"checkpoint": tmp_path, "resume": True}
    quick = {"max_iter": 1, "random_state": 0}
    fits = [(rows, y, None), (other, y, None), (rows, 1 - y, None), (rows, y, 1.0 + y)]
    for i, (given_rows, labels, weights) in enumerate(fits):
        model = AutoencoderClassifier(2, fine_tune_max_iter=1, **quick)
        fitted = clone(model).fit(given_rows, labels, sample_weight=weights, **given)
        assert len(list(tmp_path.iterdir())) == i + 1
        assert_same(fitted, clone(model).fit(given_rows, labels, sample_weight=weights))
    AutoencoderOutlierDetector(n_estimators=1, **quick).fit(sp.csr_array(rows), **given)
    assert len(list(tmp_path.glob("AutoencoderOutlierDetector-*.checkpoint"))) == 1


def test_the_file_of_a_search_says_that_a_folder_is_needed(tmp_path):
    model = Autoencoder(2, **COMMON, callbacks=Checkpoint(tmp_path / "file", resume=True))
    with pytest.raises(ValueError, match=r"allowed too: .* a folder, in which each fit has a file of its own"):
        GridSearchCV(model, {"n_components": [1, 2]}, cv=2, error_score="raise").fit(X)
