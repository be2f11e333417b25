"""The commands that make models of tables and apply them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_lines import KIND, NAMES, QUICK, answer, call, without_pandas, write_csv
from numpy.testing import assert_array_equal

import autoenc
from autoenc import _cli, _cli_values, _tables
from autoenc.__main__ import main
from autoenc._training import FINE_TUNE, FIT
from autoenc.corruption import Masking
from autoenc.sparsity import TopK

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

X = np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture
def csv(tmp_path):
    return write_csv(tmp_path / "data.csv", X)


@pytest.fixture
def model(csv, tmp_path):
    path = tmp_path / "model.safetensors"
    assert main(["train", str(csv), "-o", str(path), "--ignore", "kind", *QUICK, "--quiet"]) == 0
    return path


@pytest.fixture(params=["pandas", "python"])
def reader(request, monkeypatch):
    """With and without pandas."""
    if request.param == "pandas":
        pytest.importorskip("pandas")
    else:
        without_pandas(monkeypatch)


# ---- train, encode, reconstruct, score ----


def test_train_and_apply(reader, csv, tmp_path, capsys):
    model, codes = tmp_path / "model.safetensors", tmp_path / "codes.csv"
    done = answer(capsys, "train", csv, "-o", model, "--ignore", "kind", *QUICK)
    assert done.items() >= {"estimator": "Autoencoder", "rows": 60, "features": 4, "epochs": 3}.items()
    direct = autoenc.Autoencoder(2, max_iter=3, hidden_layer_sizes=(6,), random_state=0).fit(X)
    loaded = autoenc.load(model)
    assert_array_equal(loaded.transform(X), direct.transform(X))
    assert list(loaded.feature_names_in_) == NAMES
    assert done["loss"] == direct.loss_curve_[-1]
    # Columns go by name: here in another order, among others.
    assert answer(capsys, "encode", model, csv, "-o", codes)["rows"] == 60
    lines = codes.read_text().splitlines()
    assert lines[0] == "c0,c1" and len(lines) == 61
    assert_array_equal(np.loadtxt(codes, delimiter=",", skiprows=1), direct.transform(X))
    restored = tmp_path / "restored.npy"
    assert answer(capsys, "reconstruct", model, csv, "-o", restored)["rows"] == 60
    assert_array_equal(np.load(restored), direct.reconstruct(X))
    assert answer(capsys, "score", model, csv, "-o", tmp_path / "scores.csv")["written"] == 60
    scores = np.loadtxt(tmp_path / "scores.csv", delimiter=",", skiprows=1)
    assert_array_equal(scores[:, 0], np.arange(60))
    assert_array_equal(scores[:, 1], direct.score_samples(X))
    middle = float(np.median(scores[:, 1]))
    found = answer(capsys, "score", model, csv, "-o", tmp_path / "low.csv", "--below", middle)
    assert (found["rows"], found["written"]) == (60, 30)


def test_the_width_of_a_code_of_bits(csv, tmp_path, capsys):
    model = tmp_path / "model.safetensors"
    kind = ["--estimator", "HashingAutoencoder", "--n-components", "5"]
    quick = ["--param", "max_iter=2", "--param", "hidden_layer_sizes=(6,)"]
    done = answer(capsys, "train", csv, "-o", model, "--ignore", "kind", *kind, *quick)
    assert done["estimator"] == "HashingAutoencoder"
    assert autoenc.load(model).n_bits == 5


@pytest.mark.parametrize("kind", ["Autoencoder", "AutoencoderImputer"])
def test_early_stopping_as_a_parameter(kind, csv, tmp_path, capsys):
    model = tmp_path / "model.safetensors"
    stop = ["--estimator", kind, "--ignore", "kind", "--param", "callbacks=EarlyStopping(target=1e9)"]
    assert answer(capsys, "train", csv, "-o", model, *stop)["epochs"] == 1
    assert autoenc.load(model).callbacks.target == 1e9


def test_standard_output_is_the_table(model, csv, capsys):
    capsys.readouterr()
    assert call("reconstruct", model, csv, "--quiet") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == ",".join(NAMES)
    assert_array_equal(np.array([line.split(",") for line in out[1:]], dtype=float), autoenc.load(model).reconstruct(X))
    assert call("encode", model, csv, "--json") == 2
    assert "say by --output" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("suffix", ["csv", "npy", "npz", "parquet"])
def test_every_kind_of_file_gives_the_same(suffix, tmp_path, capsys):
    data = tmp_path / f"data.{suffix}"
    if suffix == "csv":
        np.savetxt(data, X, delimiter=",", fmt="%.17g")
    elif suffix == "npy":
        np.save(data, X)
    elif suffix == "npz":
        np.savez(data, X=X, other=X[:3])
    else:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table(dict(zip(NAMES, X.T, strict=True))), data)
    model = tmp_path / "model.safetensors"
    answer(capsys, "train", data, "-o", model, *QUICK)
    direct = autoenc.Autoencoder(2, max_iter=3, hidden_layer_sizes=(6,), random_state=0).fit(X)
    out = tmp_path / f"out.{'npy' if suffix == 'npz' else suffix}"
    assert answer(capsys, "encode", model, data, "-o", out)["rows"] == 60
    if suffix == "parquet":
        found = np.column_stack([column.to_numpy() for column in pq.read_table(out).columns])
    else:
        found = np.load(out) if out.suffix == ".npy" else np.loadtxt(out, delimiter=",", skiprows=1)
    assert_array_equal(found, direct.transform(X))


def test_blocks_do_not_show(reader, monkeypatch, model, csv, tmp_path, capsys):
    for suffix in ("csv", "npy"):
        whole, parts = tmp_path / f"whole.{suffix}", tmp_path / f"parts.{suffix}"
        answer(capsys, "encode", model, csv, "-o", whole)
        with monkeypatch.context() as patch:
            patch.setattr(_tables, "ROWS", 7)
            assert answer(capsys, "encode", model, csv, "-o", parts)["rows"] == 60
        assert whole.read_bytes() == parts.read_bytes()


def test_a_mapped_array_is_not_copied(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "data.npy", X.astype(np.float32))
    seen = []
    monkeypatch.setattr(autoenc.Autoencoder, "fit", lambda self, X, **_: seen.append(X) or 1 / 0)
    assert call("train", tmp_path / "data.npy", "-o", tmp_path / "m.safetensors") == 1
    assert isinstance(seen[0], np.memmap)


def test_a_detector_names_outliers_and_features(csv, tmp_path, capsys):
    strange = X.copy()
    strange[7, 2] += 40.0
    data, model, out = tmp_path / "strange.csv", tmp_path / "model.safetensors", tmp_path / "out.csv"
    np.savetxt(data, strange, delimiter=",", fmt="%.17g", header=",".join(NAMES), comments="")
    answer(capsys, "train", data, "-o", model, "--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=4")
    detector = autoenc.load(model)
    found = answer(capsys, "score", model, data, "-o", out)
    assert found["outliers"] == int((detector.predict(strange) == -1).sum()) >= 1
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["row", "score", "outlier", "feature"]
    assert_array_equal([float(row[1]) for row in rows[1:]], detector.score_samples(strange))
    assert rows[8][2:] == ["1", "depth"]
    found = answer(capsys, "score", model, data, "-o", out, "--only-outliers")
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert len(rows) == found["written"] == found["outliers"] and all(row[2] == "1" for row in rows)
    assert answer(capsys, "encode", model, data, "-o", out, status=2)["error"].endswith("which has no transform")


def test_outliers_of_later_blocks_alone_go_to_parquet(tmp_path, capsys, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    data, model, out = tmp_path / "rows.npy", tmp_path / "m", tmp_path / "out.parquet"
    np.save(data, X)
    answer(capsys, "train", data, "-o", model, "--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=1")
    scores = autoenc.load(model).score_samples(X)
    np.save(data, X[np.argsort(-scores)])
    monkeypatch.setattr(_tables, "ROWS", 10)
    few = ("--below", repr(float(np.sort(scores)[7])))
    for more, written in ((few, 7), ((*few, "--only-outliers"), None), (("--below", "-1e300"), 0)):
        found = answer(capsys, "score", model, data, "-o", out, *more)
        table = parquet.read_table(out)
        assert table.num_rows == found["written"] == (found["outliers"] if written is None else written)
        assert table.column_names == ["row", "score", "outlier", "feature"]
        assert [str(kind) for kind in table.schema.types] == ["int64", "double", "int64", "string"]


def test_labels_and_conditions(csv, tmp_path, capsys):
    model = tmp_path / "model.safetensors"
    arguments = ("--estimator", "AutoencoderClassifier", "--label", "kind", "--param", "unlabeled_label=None")
    answer(capsys, "train", csv, "-o", model, *arguments, "--param", "fine_tune_max_iter=2", *QUICK)
    assert list(autoenc.load(model).classes_) == ["a", "b", "c"]
    answer(capsys, "train", csv, "-o", model, "--condition", "kind", *QUICK)
    loaded = autoenc.load(model)
    assert list(loaded.condition_categories_) == ["a", "b", "c"] and loaded.n_features_in_ == 4
    out = tmp_path / "codes.npy"
    answer(capsys, "encode", model, csv, "-o", out, "--condition", "kind")
    assert_array_equal(np.load(out), loaded.transform(X, condition=KIND))
    error = answer(capsys, "encode", model, csv, "-o", out, status=2)["error"]
    assert error == f"{model} was trained with a condition: --condition must name its column"
    arguments = ("--estimator", "AutoencoderRegressor", "--label", "weight", "--ignore", "kind")
    answer(capsys, "train", csv, "-o", model, *arguments, "--param", "fine_tune_max_iter=2", *QUICK)
    assert list(autoenc.load(model).feature_names_in_) == NAMES[:3]
    error = answer(capsys, "train", csv, "-o", model, *arguments[:2], "--label", "kind", status=1)["error"]
    assert error == f"{csv}, line 2: 'a' in column 'kind' is not a number"


def test_the_imputer_fills(csv, tmp_path, capsys):
    holes = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
    data, model, out = tmp_path / "holes.csv", tmp_path / "model.safetensors", tmp_path / "filled.csv"
    text = "\n".join(",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in holes)
    data.write_text(",".join(NAMES) + "\n" + text + "\n")
    answer(capsys, "train", data, "-o", model, "--estimator", "AutoencoderImputer", *QUICK)
    assert answer(capsys, "reconstruct", model, data, "-o", out)["rows"] == 60
    filled = np.loadtxt(out, delimiter=",", skiprows=1)
    assert_array_equal(filled, autoenc.load(model).transform(holes))
    assert np.isfinite(filled).all()
    assert out.read_text().partition("\n")[0] == ",".join(NAMES)
    empty = "\n".join(",".join(["", *line.split(",")[1:]]) for line in text.splitlines())
    data.write_text(",".join(NAMES) + "\n" + empty + "\n")
    marks = ("--param", "add_indicator=True")
    answer(capsys, "train", data, "-o", model, "--estimator", "AutoencoderImputer", *marks, *QUICK)
    answer(capsys, "reconstruct", model, data, "-o", out)
    names = out.read_text().partition("\n")[0].split(",")
    assert names == [*NAMES[1:], *(f"missingindicator_{name}" for name in NAMES)]


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_the_most_frequent_columns_come_back_by_name(csv, tmp_path, capsys, scale):
    model, out = tmp_path / "model.safetensors", tmp_path / "restored.csv"
    arguments = ("--estimator", "MarginalizedDenoisingAutoencoder", "--param", "n_pivots=2", "--ignore", "kind")
    answer(capsys, "train", csv, "-o", model, *arguments, "--scale", scale)
    assert answer(capsys, "reconstruct", model, csv, "-o", out)["rows"] == 60
    loaded = autoenc.load(model)
    pivots = (loaded if scale == "none" else loaded[-1]).pivots_
    assert out.read_text().partition("\n")[0].split(",") == [NAMES[i] for i in pivots]
    restored = np.loadtxt(out, delimiter=",", skiprows=1)
    assert_array_equal(restored, autoenc.load_predictor(model).reconstruct(X))


def test_codes_by_number(csv, tmp_path, capsys):
    model, out = tmp_path / "model.safetensors", tmp_path / "codes.npy"
    arguments = ("--estimator", "VectorQuantizedAutoencoder", "--param", "n_codes=5", "--ignore", "kind")
    answer(capsys, "train", csv, "-o", model, *arguments, *QUICK)
    answer(capsys, "encode", model, csv, "--indices", "-o", out)
    assert_array_equal(np.load(out), autoenc.load(model).encode_indices(X))


def test_info(model, capsys):
    found = answer(capsys, "info", model)
    assert found["estimator"] == "Autoencoder" and found["feature_names"] == NAMES
    assert found["parameters"] == autoenc.load(model).n_parameters_
    assert found["layers"][0] == {"name": "encoder_0.weight", "shape": [4, 6]}
    assert call("info", model) == 0
    out = capsys.readouterr().out
    assert "encoder_0.weight" in out and "4 x 6" in out and "height, width" in out


def test_export_to_c(model, tmp_path, capsys):
    target = tmp_path / "model.c"
    assert answer(capsys, "export", model, "--format", "c", "-o", target)["format"] == "c"
    assert target.read_text() == autoenc.load(model).to_c(tmp_path / "same.c")
    target.unlink()
    more = ("--format", "c", "-o", target, "--part", "encoder")
    assert "--part encoder goes with --format onnx" in answer(capsys, "export", model, *more, status=2)["error"]
    assert not target.exists()
    answer(capsys, "export", model, *more[:4], "--prefix", "sensor")
    assert target.read_text() == autoenc.load(model).to_c(prefix="sensor")
    error = answer(capsys, "export", model, "--format", "onnx", "-o", target, "--prefix", "sensor", status=2)["error"]
    assert "--prefix sensor goes with --format c" in error
    before = target.read_bytes()
    error = answer(capsys, "export", model, *more[:4], "--prefix", "a b", status=2)["error"]
    assert error == "prefix is 'a b'; allowed are names of C: letters, digits and _, with a letter in front; no keyword"
    assert target.read_bytes() == before


def test_export_to_onnx(model, tmp_path, capsys):
    pytest.importorskip("onnx")
    target = tmp_path / "model.onnx"
    assert answer(capsys, "export", model, "--format", "onnx", "-o", target, "--part", "score")["format"] == "onnx"
    made = autoenc.load(model).to_onnx(part="score")
    assert target.read_bytes() == made.SerializeToString()
    error = answer(capsys, "export", model, "--format", "onnx", "-o", target, "--part", "head", status=2)["error"]
    assert "part is 'head'" in error and target.read_bytes() == made.SerializeToString()


# ---- what is wrong, and where ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--estimator", "Exec"], "--estimator Exec: allowed are Autoencoder, "),
        (["--param", "alpha"], "--param alpha: needed is NAME=VALUE"),
        (["--param", "beta=1"], "Autoencoder has no parameter 'beta'; there are activation"),
        (["--param", "alpha=open('x')"], "'open' is no part; there are Activation"),
        (["--param", "class_weight={[1]: 2}"], "has a key that is none; allowed are numbers and strings"),
        (["--array", "X"], "--array X goes with an .npz file"),
        (["--param", "alpha=-1"], "The 'alpha' parameter of Autoencoder must be"),
        (["--seed", "-1"], "train: The 'random_state' parameter of Autoencoder must be"),
        (["--n-jobs", "0"], "n_jobs=0 has no meaning; allowed: None, 1 to 1024 threads, or a negative whole number"),
        (["--param", "n_jobs=5000"], "n_jobs=5000 is too large; allowed: None, 1 to 1024 threads"),
        (["--param", "hidden_layer_sizes=(8, 0)"], "hidden_layer_sizes is (8, 0); allowed are positive whole numbers"),
        (["--param", "sparsity=TopK(0)"], "The 'k' parameter of TopK must be"),
        (["--param", "encoder=[Dense(0)]"], "encoder[0]: The 'units' parameter of Dense must be"),
        (["--param", "solver=lbfgs", "--param", "dropout=0.5"], "dropout=0.5 does not go with solver='lbfgs'"),
        (
            ["--estimator", "AutoencoderImputer", "--condition", "kind"],
            "--condition: AutoencoderImputer takes none",
        ),
        (
            ["--estimator", "MarginalizedDenoisingAutoencoder", "--checkpoint", "c"],
            "--checkpoint: MarginalizedDenoisingAutoencoder takes none",
        ),
        (["--n-components", "0"], "parameter of Autoencoder must be"),
        (["--n-components", "1000000000000"], "n_components has a layer of 1000000000000 units; a layer has 1 to"),
        (
            ["--estimator", "AutoencoderOutlierDetector", "--param", "n_components=(2, 3000000000)"],
            "n_components has a layer of 3000000000 units",
        ),
        (
            ["--estimator", "HashingAutoencoder", "--n-components", "3000000000"],
            "n_bits has a layer of 3000000000 units",
        ),
        (["--label", "colour", "--estimator", "AutoencoderClassifier"], "there is no column 'colour'; there are"),
        (["--ignore", "colour"], "there is no column 'colour'; there are height, width, depth, weight, kind"),
        (["--estimator", "AutoencoderClassifier"], "needs --label"),
        (["--label", "kind"], "--label: Autoencoder takes none; --ignore leaves a column out"),
        (
            ["--condition", "kind", "--ignore", "4"],
            "column 'kind': --label, --condition and --ignore exclude each other",
        ),
        (
            ["--label", "kind", "--condition", "4", "--estimator", "AutoencoderClassifier"],
            "column 'kind': --label, --condition and --ignore exclude each other",
        ),
        (
            ["--n-components", "2", "--param", "n_components=3"],
            "--param n_components=3: n_components is given twice",
        ),
        (["--seed", "1", "--param", "random_state=1"], "random_state is given twice"),
        (["--param", "alpha=1", "--param", "alpha=1"], "--param alpha=1: alpha is given twice"),
        ([], "line 2: 'a' in column 'kind' is not a number (--ignore leaves a column out)"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, csv, tmp_path, capsys):
    assert call("train", csv, "-o", tmp_path / "m", *arguments, "--quiet") == (2 if arguments else 1)
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("autoenc train: ") and not captured.out


def test_wrong_arguments_of_commands_that_apply_a_model(model, csv, tmp_path, capsys):
    out = tmp_path / "out.csv"
    for command in ("encode", "reconstruct", "score"):
        error = answer(capsys, command, model, csv, "-o", out, "--n-jobs", "0", status=2)["error"]
        assert error.startswith("n_jobs=0 has no meaning")
    for wrong in ("nan", "low"):
        with pytest.raises(SystemExit) as exit:
            call("score", model, csv, "-o", out, "--below", wrong)
        assert exit.value.code == 2
        assert f"--below: '{wrong}' given; a number is needed" in capsys.readouterr().err
    for below in ("-1e-1", "-.5E+2", "-inf"):
        assert call("score", model, csv, "-o", out, "--below", below) == 0
        assert len(out.read_text().splitlines()) == 1 + (autoenc.load(model).score_samples(X) < float(below)).sum()
    out.unlink()
    detector = tmp_path / "detector"
    train = ("--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=1", "--ignore", "kind")
    answer(capsys, "train", csv, "-o", detector, *train)
    error = answer(capsys, "score", detector, csv, "-o", out, "--condition", "kind", status=2)["error"]
    assert error == f"--condition kind: {detector} (AutoencoderOutlierDetector) was trained without one"
    for command, options, message in (
        ("encode", ["--ignore", "kind", "--ignore", "1"], "--ignore leaves out the column 'width', which"),
        ("encode", ["--indices"], f"--indices is for VectorQuantizedAutoencoder; {model} is of Autoencoder"),
        ("encode", ["-o", tmp_path / "o.xlsx"], "o.xlsx: the name must end in .csv, .npy, .parquet"),
        ("score", ["--only-outliers"], f"--only-outliers is for AutoencoderOutlierDetector; {model} is of Autoencoder"),
    ):
        assert message in answer(capsys, command, model, csv, "-o", out, *options, status=2)["error"]
    assert call("encode", model, csv, "-o", out, "--ignore", "kind") == 0
    out.unlink()


def test_what_nobody_foresaw_is_an_object_too(tmp_path, capsys, monkeypatch):
    def fail(_):
        raise IndexError("a mistake")

    monkeypatch.setattr(_cli, "info", fail)
    with pytest.raises(IndexError, match="a mistake"):
        call("info", tmp_path / "m", "--json")
    assert json.loads(capsys.readouterr().out) == {"error": "IndexError: a mistake"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "a", "--label", "b"], "argument --label: given twice"),
        (["--condition", "a", "--condition", "a"], "argument --condition: given twice"),
        (["--header", "--no-header"], "argument --header/--no-header: given twice"),
    ],
)
def test_options_that_contradict_each_other(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        call("train", "t.csv", "-o", tmp_path / "m", *arguments, "--json")
    assert exit.value.code == 2 and json.loads(capsys.readouterr().out) == {"error": message}


def test_threads_of_the_imputer_too(csv, tmp_path, capsys, monkeypatch):
    model, seen = tmp_path / "model.safetensors", []
    answer(capsys, "train", csv, "-o", model, "--estimator", "AutoencoderImputer", "--ignore", "kind", *QUICK)
    monkeypatch.setattr(autoenc.AutoencoderImputer, "transform", lambda self, X: seen.append(self.n_jobs) or X)
    answer(capsys, "reconstruct", model, csv, "-o", tmp_path / "o.npy", "--n-jobs", "2")
    assert seen == [2]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_nothing_that_is_read_is_written_over(model, csv, tmp_path, capsys):
    before = csv.read_bytes(), model.read_bytes()
    link = tmp_path / "link.csv"
    link.symlink_to(csv)
    train = ("train", csv, "--ignore", "kind", *QUICK)
    for command, message in (
        ((*train, "-o", csv), "this is the file of DATA"),
        ((*train, "-o", link), "this is the file of DATA"),
        ((*train, "-o", tmp_path / "m", "--checkpoint", csv), "this is the file of DATA"),
        ((*train, "-o", tmp_path / "m", "--checkpoint", tmp_path / "m"), "this is the file of OUTPUT"),
        (("encode", model, csv, "-o", csv), "this is the file of DATA"),
        (("score", model, csv, "-o", csv), "this is the file of DATA"),
        (("export", model, "-o", model, "--format", "c"), "this is the file of MODEL"),
    ):
        assert message in answer(capsys, *command, status=2)["error"]
    assert (csv.read_bytes(), model.read_bytes()) == before
    assert not (tmp_path / "m").exists()


def test_values():
    assert _cli_values.parse("(64, 32)") == (64, 32)
    assert _cli_values.parse("-0.5") == -0.5
    assert _cli_values.parse("one_cycle") == "one_cycle" and _cli_values.parse("a-b c") == "a-b c"
    assert _cli_values.parse("None") is None and _cli_values.parse("True") is True
    assert repr(_cli_values.parse("Masking(0.3)")) == repr(Masking(0.3))
    assert repr(_cli_values.parse("[TopK(k=3), 'a']")) == repr([TopK(k=3), "a"])
    for text in ("open('x')", "a.b", "1 + 1", "lambda: 0", "Masking(q=1)", "-'a'", "b'a'"):
        with pytest.raises(ValueError, match=r"is no part|is no value|unexpected"):
            _cli_values.parse(text)


# ---- as a program ----


def test_from_the_shell(csv, run_python, tmp_path):
    done = run_python("-m", "autoenc", "train", "data.csv", "-o", "m.safetensors", "--ignore", "kind", *QUICK)
    assert done.returncode == 0 and not done.stdout, done.stderr
    assert "60 rows of 4 columns; training Autoencoder" in done.stderr and "epoch 3 of 3" in done.stderr
    done = run_python("-m", "autoenc", "encode", "m.safetensors", "data.csv", "--quiet")
    assert done.returncode == 0 and not done.stderr and len(done.stdout.splitlines()) == 61
    done = run_python("-m", "autoenc", "score", "m.safetensors", "nothing.csv")
    assert done.returncode == 1 and done.stderr == "autoenc score: nothing.csv: there is no such file\n"
    done = run_python("-m", "autoenc", "score", "m.safetensors")
    assert done.returncode == 2 and "usage:" in done.stderr
    done = run_python("-m", "autoenc", "--help")
    assert done.returncode == 0 and "Exit status: 0 done" in done.stdout
    for command in ("demo", "train", "encode", "reconstruct", "score", "info", "export"):
        assert command in done.stdout
        assert run_python("-m", "autoenc", command, "--help").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_interrupted_by_hand_it_saves_what_it_has(csv, environment, tmp_path):
    command = [
        sys.executable,
        "-m",
        "autoenc",
        "train",
        str(csv),
        "-o",
        str(tmp_path / "m"),
        "--ignore",
        "kind",
        "--json",
    ]
    more = ["--param", "max_iter=1000000", "--param", "hidden_layer_sizes=(6,)"]
    child = subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    while "epoch" not in child.stderr.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "autoenc: warning: fitting was interrupted" in err
    done = json.loads(out)
    assert done["interrupted"] and 0 < done["epochs"] < 1000000
    assert autoenc.load(tmp_path / "m").n_iter_ == done["epochs"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("estimator", "at", "before"),
    [
        ("AutoencoderRegressor", (FIT, 2), "the first epoch of fine-tuning"),
        ("AutoencoderRegressor", (FINE_TUNE, 2), None),
        ("AutoencoderOutlierDetector", (), "its whole fit"),
        ("MarginalizedDenoisingAutoencoder", (), "its whole fit"),
    ],
)
def test_interrupted_without_a_model_it_says_so(estimator, at, before, csv, tmp_path, capsys, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    supervised = ("--label", "weight", "--param", "fine_tune_max_iter=3", *QUICK)
    monkeypatch.setattr(
        "autoenc._cli_train._Report.__call__", lambda _, state: (state.training, state.epoch) == at and stop()
    )
    if not at:
        monkeypatch.setattr(getattr(autoenc, estimator), "_fit", stop)
    train = ("train", csv, "-o", tmp_path / "m", "--estimator", estimator, "--ignore", "kind")
    done = answer(capsys, *train, *(supervised if at else ()), status=130)
    assert done["interrupted"] is True and (tmp_path / "m").exists() == (before is None)
    said = f"interrupted; no model is saved: {estimator} has none before the end of {before}"
    assert done.get("error") == (said if before else None)


@pytest.mark.skipif(not hasattr(signal, "raise_signal") or os.name == "nt", reason="needs POSIX signals")
def test_interrupted_while_a_table_is_read(model, csv, tmp_path, capsys, monkeypatch):
    """pandas gives the bare KeyboardInterrupt of Python's own handler as an error of the file."""
    pandas = pytest.importorskip("pandas")

    class Interrupted:
        def read(self, n=-1):
            signal.raise_signal(signal.SIGINT)
            return ""

        def __iter__(self):
            return iter(())

    read_csv = pandas.read_csv
    monkeypatch.setattr(pandas, "read_csv", lambda path, **more: read_csv(Interrupted(), **more))
    out = tmp_path / "codes.csv"
    out.write_text("as before")
    before = signal.getsignal(signal.SIGINT)
    assert call("encode", model, csv, "-o", out, "--json") == 130
    assert json.loads(capsys.readouterr().out) == {"error": "interrupted", "interrupted": True}
    assert out.read_text() == "as before" and not list(tmp_path.glob(".*"))
    assert signal.getsignal(signal.SIGINT) is before


def test_streams_that_are_closed(model, csv, tmp_path, capsys, monkeypatch):
    """None of what is for one of them goes into the other."""
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert call("encode", model, csv) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[0] == "c0,c1" and len(out) == 61 and not any("rows" in line for line in out)
        assert call("encode", model, tmp_path / "nothing.csv") == 1
        assert capsys.readouterr().out == ""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert call("encode", model, csv, "--quiet") == 1
        expected = "autoenc encode: standard output is closed; --output takes a file\n"
        assert capsys.readouterr().err == expected
        assert call("encode", model, csv, "--quiet", "-o", tmp_path / "o.csv", "--json") == 0
        assert call("info", model) == 0
        assert capsys.readouterr().err == "" and sys.stdout is None
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 61


@pytest.mark.parametrize("to_file", [False, True])
def test_names_stand_once_above_rows_of_which_the_first_are_left_out(to_file, model, tmp_path, capsys, monkeypatch):
    scores = autoenc.load(model).score_samples(X)
    order = np.argsort(-scores)
    np.save(tmp_path / "rows.npy", X[order])
    monkeypatch.setattr("autoenc._tables.ROWS", 10)
    out = ["-o", tmp_path / "o.csv"] if to_file else []
    assert call("score", model, tmp_path / "rows.npy", "--below", repr(float(scores[order[25]])), "--quiet", *out) == 0
    lines = ((tmp_path / "o.csv").read_text() if to_file else capsys.readouterr().out).splitlines()
    assert lines[0] == "row,score"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(26, len(X)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_standard_output_that_is_full(model, csv, environment):
    for arguments in (["info", model, "--json"], ["info", model], ["encode", model, csv, "--quiet"]):
        command = [sys.executable, "-m", "autoenc", *map(str, arguments)]
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and "No space left on device" in lines[0] and "standard output" in lines[0]


@pytest.mark.skipif(os.name == "nt", reason="closes a pipe of POSIX")
def test_standard_output_that_nobody_reads(model, csv, environment):
    for arguments in (["info", model], ["info", model, "--json"], ["encode", model, csv, "--quiet"]):
        command = [sys.executable, "-m", "autoenc", *map(str, arguments)]
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
        os.close(write)
        assert (done.returncode, done.stderr) == (141, "")


def test_applying_a_model_needs_no_scikit_learn(model, csv, environment):
    script = f"""
import sys
for blocked in ("sklearn", "scipy", "pandas"):
    sys.modules[blocked] = None
from autoenc.__main__ import main
raise SystemExit(main(["encode", {str(model)!r}, {str(csv)!r}, "--quiet", "--n-jobs", "1"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 61, done.stderr


def test_labels_of_many_digits_stay_apart(tmp_path, capsys):
    """Beyond 2**53, where float64 has no odd numbers, and beyond int64."""
    for start, kind in ((2**53 + 1, "i"), (2**63, "O")):
        labels = [start + i % 3 for i in range(30)]
        (tmp_path / "t.csv").write_text("a,b,id\n" + "".join(f"{i},{i % 7},{one}\n" for i, one in enumerate(labels)))
        classifier = ("--estimator", "AutoencoderClassifier", "--label", "id", "--param", "fine_tune_max_iter=1")
        answer(capsys, "train", tmp_path / "t.csv", "-o", tmp_path / "m", *classifier, *QUICK)
        classes = autoenc.load(tmp_path / "m").classes_
        assert classes.dtype.kind == kind and classes.tolist() == [type(classes[0])(start + i) for i in range(3)]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_no_permission_shows_before_the_fit(csv, tmp_path, capsys):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert call("train", csv, "-o", folder / "m", "--ignore", "kind") == 1
    captured = capsys.readouterr()
    assert "Permission denied" in captured.err and "training" not in captured.err


def test_a_folder_for_the_model_shows_before_the_fit(csv, tmp_path, capsys):
    assert call("train", csv, "-o", tmp_path, "--ignore", "kind") == 1
    captured = capsys.readouterr()
    assert "a file is needed, and this is a folder" in captured.err and "training" not in captured.err


def test_nothing_of_a_file_steers_the_terminal(tmp_path, capsys):
    model = autoenc.Autoencoder(1, max_iter=1, random_state=0).fit(X)
    model.feature_names_in_ = np.array(
        ["a\x1b]0;x\x07", "\ud800", *(f"c{i}" for i in range(X.shape[1] - 2))], dtype=object
    )
    model.save(tmp_path / "m")
    assert call("info", tmp_path / "m") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and r"a\x1b]0;x\x07, \ud800, c0" in shown
