"""Scaled columns, predictions, wrong arguments as JSON and signals of the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from command_lines import NAMES, QUICK, answer, call, write_csv
from numpy.testing import assert_array_equal
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import autoenc
from autoenc import _cli_rows, _row_blocks
from autoenc.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

X = np.random.default_rng(0).normal(size=(60, 4)) * [1.0, 1e-5, 1e6, 3.0] + [0.0, 1.0, 1e7, -2.0]
SMALL = {"n_components": 2, "max_iter": 3, "hidden_layer_sizes": (6,), "random_state": 0}


@pytest.fixture
def csv(tmp_path):
    return write_csv(tmp_path / "data.csv", X)


@pytest.mark.parametrize(("kind", "scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_the_model_takes_and_gives_rows_in_their_units(kind, scaler, csv, tmp_path, capsys):
    model, out = tmp_path / "model.safetensors", tmp_path / "out.npy"
    done = answer(capsys, "train", csv, "-o", model, "--ignore", "kind", "--scale", kind, *QUICK)
    assert done["scale"] == kind
    direct = make_pipeline(scaler, autoenc.Autoencoder(**SMALL)).fit(X)
    assert done["loss"] == direct[-1].loss_curve_[-1]
    loaded = autoenc.load(model, Pipeline)
    assert repr(loaded) == repr(direct) and list(loaded.feature_names_in_) == NAMES
    answer(capsys, "encode", model, csv, "-o", out)
    assert_array_equal(np.load(out), direct.transform(X))
    answer(capsys, "reconstruct", model, csv, "-o", out)
    assert_array_equal(np.load(out), direct.inverse_transform(direct.transform(X)))
    answer(capsys, "score", model, csv, "-o", out)
    assert_array_equal(np.load(out)[:, 1], direct.score_samples(X))
    capsys.readouterr()
    assert call("reconstruct", model, csv, "--quiet") == 0  # columns have their names
    assert capsys.readouterr().out.splitlines()[0] == ",".join(NAMES)
    found = answer(capsys, "info", model)
    assert found["feature_names"] == NAMES and found["format"] == 2 and found["estimator"] == "Autoencoder"
    assert found["scaling"][0]["scaler"] == repr(scaler)
    assert found["scaling"][0]["scale_"] == direct[0].scale_.tolist()
    assert call("info", model) == 0
    assert f"scaling      {scaler!r}" in capsys.readouterr().out
    target = tmp_path / "model.c"
    answer(capsys, "export", model, "--format", "c", "-o", target)
    assert "void model_encode(const double *x, model_real *code)" in target.read_text()


def test_no_scaling_is_the_default_and_its_warning_names_the_option(csv, tmp_path, capsys):
    for more in ((), ("--scale", "none")):
        assert call("train", csv, "-o", tmp_path / "m", "--ignore", "kind", *more, *QUICK) == 0
        err = capsys.readouterr().err
        assert "Scale the columns first: --scale standard or --scale minmax does, and the model keeps how." in err
        assert "pipeline" not in err
        assert type(autoenc.load(tmp_path / "m")) is autoenc.Autoencoder
    assert call("train", csv, "-o", tmp_path / "m", "--ignore", "kind", "--scale", "standard", *QUICK) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_neither_the_file_nor_blocks_nor_memory_show(dtype, tmp_path, capsys, monkeypatch):
    rows = (X * 10).astype(dtype)
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", X=rows)
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",", fmt="%.17g")
    direct = make_pipeline(StandardScaler(), autoenc.Autoencoder(**SMALL)).fit(rows)
    models = []
    for name in ("a.npy", "a.npz", "a.csv"):
        for most, at_once in ((_cli_rows.MOST_BYTES, 65_536), (1000, 7)):
            monkeypatch.setattr(_cli_rows, "MOST_BYTES", most)
            monkeypatch.setattr("autoenc._tables.ROWS", at_once)
            model = tmp_path / "model"
            answer(capsys, "train", tmp_path / name, "-o", model, "--scale", "standard", *QUICK)
            models.append(model.read_bytes())
    exact = models if dtype != np.float32 else models[:4]  # CSV has float64 alone
    assert len(set(exact)) == 1
    assert_array_equal(autoenc.load(model)[0].mean_, direct[0].mean_)
    assert np.load(tmp_path / "a.npy").tobytes() == rows.tobytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "a.npy", "a.npz", "model"]


def test_passes_over_more_than_one_block(tmp_path, monkeypatch):
    """The statistics are those of all rows; columns fix the size of a block, so that it is always the same."""
    monkeypatch.setattr(_row_blocks, "ROWS_AT_ONCE", 7)
    rows = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
    for kind, scaler in (("standard", StandardScaler()), ("minmax", MinMaxScaler())):
        found, scaled = _cli_rows.scaled(kind, rows.copy(), NAMES, tmp_path)
        expected = scaler.fit_transform(rows)
        np.testing.assert_allclose(found.scale_, scaler.scale_, rtol=1e-10)  # the sums have another order
        np.testing.assert_allclose(scaled, expected, rtol=1e-7, atol=1e-7)


def test_many_rows_go_to_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(_cli_rows, "MOST_BYTES", 500)
    with _cli_rows.Gathered(tmp_path) as gathered:
        for rows in np.array_split(X, 11):
            gathered.add(rows)
        found = gathered.array()
    assert isinstance(found, np.memmap) and gathered.n == 60
    assert_array_equal(found, X)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_scaled_is_named(csv, tmp_path, capsys):
    for estimator in ("AutoencoderOutlierDetector", "AutoencoderImputer"):
        more = ("--estimator", estimator, "--scale", "standard")
        error = answer(capsys, "train", csv, "-o", tmp_path / "m", *more, status=2)["error"]
        assert error == f"--scale standard: {estimator} scales columns by itself; allowed: none"
    lines = csv.read_text().splitlines()
    for wrong, message, name in (
        ("1,,3,4,a", "NaN at row 39, column 1", "width"),
        ("1,2,inf,4,a", "infinity at row 39, column 2", "depth"),
    ):
        lines[40] = wrong
        csv.write_text("\n".join(lines) + "\n")
        more = ("--ignore", "kind", "--scale", "standard", *QUICK)
        error = answer(capsys, "train", csv, "-o", tmp_path / "m", *more, status=1)["error"]
        assert message in error and error.endswith(f"({csv}, line 41, column {name!r})")


@pytest.mark.parametrize(
    ("kind", "size"), [("standard", 1e304), ("standard", 1e160), ("standard", 1.7e308), ("minmax", 1.7e308)]
)
def test_values_that_are_too_large_to_be_scaled_are_named(kind, size, tmp_path, capsys):
    rows = X.copy()
    rows[:, 2] = np.linspace(-0.25, 0.75, 60) * size
    rows[50, 2] = -size
    if kind == "standard":
        rows[40, 2] = np.nan
    more = ("--scale", kind, *QUICK, "--param", "missing=mask")
    expected = (
        f"values up to {size!r} in size, which are too large to be scaled: their sums or squares are beyond float64"
    )
    csv = write_csv(tmp_path / "data.csv", rows)
    error = answer(capsys, "train", csv, "-o", tmp_path / "m", "--ignore", "kind", *more, status=1)["error"]
    assert error == f"{csv}: column 2 ('depth') has {expected}; divide the column first"
    np.save(tmp_path / "data.npy", rows)
    assert call("train", tmp_path / "data.npy", "-o", tmp_path / "m", *more) == 1
    err = capsys.readouterr().err
    assert f"{tmp_path / 'data.npy'}: column 2 has {expected}" in err
    assert "overflow" not in err and "NaN" not in err and not (tmp_path / "m").exists()


def test_large_values_and_columns_without_any_are_scaled(tmp_path):
    rows = np.where(np.arange(4) == 1, np.nan, X)
    rows[:, 2] = np.linspace(-1e150, 1e150, 60)
    for kind in ("standard", "minmax"):
        scaled = _cli_rows.scaled(kind, rows.copy(), NAMES, tmp_path)[1]
        assert np.isnan(scaled[:, 1]).all() and np.isfinite(scaled[:, [0, 2, 3]]).all()


def test_rows_with_gaps_may_be_scaled(csv, tmp_path, capsys):
    lines = csv.read_text().splitlines()
    lines[40] = "1,,3,4,a"
    csv.write_text("\n".join(lines) + "\n")
    more = ("--ignore", "kind", "--scale", "standard", "--param", "missing=mask", *QUICK)
    answer(capsys, "train", csv, "-o", tmp_path / "m", *more)
    answer(capsys, "encode", tmp_path / "m", csv, "-o", tmp_path / "out.npy")
    rows = X.copy()
    rows[39] = [1, np.nan, 3, 4]
    assert_array_equal(np.load(tmp_path / "out.npy"), autoenc.load(tmp_path / "m").transform(rows))


# ---- predictions ----


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_labels_and_their_probabilities(scale, csv, tmp_path, capsys):
    model, out = tmp_path / "m", tmp_path / "out.csv"
    train = ("--estimator", "AutoencoderClassifier", "--label", "kind", "--param", "fine_tune_max_iter=2", *QUICK)
    answer(capsys, "train", csv, "-o", model, "--scale", scale, *train)
    loaded = autoenc.load(model)
    assert answer(capsys, "predict", model, csv, "-o", out)["rows"] == 60
    assert out.read_text().splitlines() == ["label", *loaded.predict(X)]
    answer(capsys, "predict", model, csv, "-o", out, "--probabilities")
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["label", "probability of a", "probability of b", "probability of c"]
    assert_array_equal([list(map(float, row[1:])) for row in rows[1:]], loaded.predict_proba(X))
    error = answer(capsys, "predict", model, csv, "-o", tmp_path / "out.npy", status=2)["error"]
    assert "an .npy file has numbers alone, and the labels are texts" in error


def test_numbers_and_outliers(csv, tmp_path, capsys):
    model, out = tmp_path / "m", tmp_path / "out.npy"
    train = ("--estimator", "AutoencoderRegressor", "--label", "weight", "--param", "fine_tune_max_iter=2", *QUICK)
    answer(capsys, "train", csv, "-o", model, "--ignore", "kind", "--scale", "minmax", *train)
    answer(capsys, "predict", model, csv, "-o", out)
    assert_array_equal(np.load(out)[:, 0], autoenc.load(model).predict(X[:, :3]))
    error = answer(capsys, "predict", model, csv, "-o", out, "--probabilities", status=2)["error"]
    assert error == f"--probabilities is for AutoencoderClassifier; {model} is of AutoencoderRegressor"
    train = ("--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=1", "--ignore", "kind")
    answer(capsys, "train", csv, "-o", model, *train)
    answer(capsys, "predict", model, csv, "-o", out)
    assert_array_equal(np.load(out)[:, 0], autoenc.load(model).predict(X))
    answer(capsys, "train", csv, "-o", model, "--ignore", "kind", *QUICK)
    error = answer(capsys, "predict", model, csv, "-o", out, status=2)["error"]
    assert error.startswith(f"{model} is of Autoencoder, which predicts nothing; needed is AutoencoderClassifier, ")


# ---- as a program ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--json"], "the following arguments are required: DATA, -o/--output"),
        (["train", "a.csv", "-o", "m", "--scale", "x", "--json"], "argument --scale: invalid choice: 'x'"),
        (["score", "m", "a.csv", "--below", "low", "--js"], "argument --below: 'low' given; a number is needed"),
        (["nothing", "--json"], "invalid choice: 'nothing'"),
        (["info", "m", "--wrong", "--json"], "unrecognized arguments: --wrong"),
    ],
)
def test_wrong_arguments_are_json_too(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    captured = capsys.readouterr()
    assert exit.value.code == 2 and "usage:" in captured.err
    assert message in json.loads(captured.out)["error"]
    with pytest.raises(SystemExit):
        main([one for one in arguments if not one.startswith("--js")])
    assert capsys.readouterr().out == ""


def test_help_names_the_part_of_each_estimator(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Autoencoders: encoder (the default), decoder" in text
    assert "AutoencoderOutlierDetector: score (the default), decision, prediction" in text


posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture
def heard():
    """Signals as a shell leaves them: under nohup one of them is ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@posix
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_told_to_end_it_leaves_nothing_behind(name, status, csv, tmp_path, capsys, monkeypatch):
    """As Ctrl-C, with a status of its own; while rows are being written."""
    model, out = tmp_path / "m", tmp_path / "out.csv"
    answer(capsys, "train", csv, "-o", model, "--ignore", "kind", *QUICK)
    out.write_text("as before")
    seen = []

    def write(self, rows):
        seen.extend(file.name for file in tmp_path.glob(".out.csv.*.tmp"))
        signal.raise_signal(getattr(signal, name))

    monkeypatch.setattr("autoenc._tables.Sink.write", write)
    before = signal.getsignal(getattr(signal, name))
    assert call("encode", model, csv, "-o", out, "--quiet") == status
    assert seen and not list(tmp_path.glob(".*")) and out.read_text() == "as before"
    assert "told to end" in capsys.readouterr().err
    assert signal.getsignal(getattr(signal, name)) is before
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)  # under nohup it goes on
    raised = []
    monkeypatch.setattr("autoenc._tables.Sink.write", lambda self, rows: raised.append(rows))
    call("encode", model, csv, "-o", out, "--quiet")
    assert raised


@posix
def test_told_to_end_within_an_import_it_says_so(run_python, tmp_path):
    """Dataclasses and named tuples are text that Python executes; `python -m` died of SIGINT after that."""
    (tmp_path / "command.py").write_text("""
import signal, sys
from autoenc import _cli
from autoenc.__main__ import main

signal.signal(signal.SIGTERM, signal.SIG_DFL)
_cli.run = lambda chosen: exec("signal.raise_signal(signal.SIGTERM)")
sys.exit(main(["info", "model"]))
""")
    done = run_python("-m", "command")
    assert (done.returncode, done.stderr) == (143, "\ntold to end\n")


@posix
def test_told_to_end_in_a_fit_it_saves_what_it_has(csv, environment, tmp_path):
    command = [sys.executable, "-m", "autoenc", "train", str(csv), "-o", str(tmp_path / "m"), "--ignore", "kind"]
    more = ["--json", "--param", "max_iter=1000000", "--param", "hidden_layer_sizes=(6,)", "--scale", "standard"]
    child = subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    while "epoch" not in child.stderr.readline():
        assert child.poll() is None
    time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 143, err
    done = json.loads(out)
    assert done["interrupted"] and 0 < done["epochs"] < 1000000
    assert autoenc.load(tmp_path / "m")[-1].n_iter_ == done["epochs"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.csv", "m"]


@pytest.mark.filterwarnings("ignore:the standard deviations of the columns")
def test_a_pipeline_of_one_step(tmp_path, capsys):
    path = tmp_path / "one.safetensors"
    autoenc.save(make_pipeline(autoenc.Autoencoder(**SMALL)).fit(X), path)
    assert repr(autoenc.load_predictor(path)) == "ScaledPredictor(Predictor(4 -> 2 -> 4))"
    done = answer(capsys, "info", path)
    assert done["estimator"] == "Autoencoder" and done["scaling"] is None
    answer(capsys, "export", path, "--format", "c", "-o", tmp_path / "one.c")
    assert "_encode" in (tmp_path / "one.c").read_text()


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide", "ignore:the standard deviations")
@pytest.mark.filterwarnings("ignore:X has no observed value:UserWarning")
def test_columns_without_values_are_null_in_json(tmp_path, capsys):
    holes = np.where(np.arange(4) == 1, np.nan, X)
    path = tmp_path / "holes.safetensors"
    autoenc.save(make_pipeline(StandardScaler(), autoenc.Autoencoder(missing="mask", **SMALL)).fit(holes), path)
    assert answer(capsys, "info", path)["scaling"][0]["mean_"][1] is None
