"""What --condition is: labels, and how many, or a number."""

import numpy as np
import pytest
from command_lines import QUICK, ROWS, answer, call, write_rows
from numpy.testing import assert_array_equal

import autoenc
from autoenc import _tables

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

PARAMETERS = {"max_iter": 3, "hidden_layer_sizes": (6,), "random_state": 0}
NUMBERS = np.round(np.random.default_rng(5).normal(size=60), 3)


def train(path, model, *more):
    return ("train", path, "-o", model, "--condition", "y", *QUICK, *more)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy"])
def test_numbers_with_decimals_are_a_number(suffix, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_tables, "ROWS", 7)
    path, model, out = tmp_path / f"t.{suffix}", tmp_path / "m", tmp_path / "o.npy"
    column = "3" if suffix == "npy" else "y"
    if suffix == "csv":
        write_rows(path, NUMBERS)
    elif suffix == "npy":
        np.save(path, np.column_stack([ROWS, NUMBERS]))
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({**dict(zip("abc", ROWS.T, strict=True)), "y": NUMBERS}), path)
    assert call("train", path, "-o", model, "--condition", column, *QUICK) == 0
    assert f"60 rows of 3 columns, condition {column}: a number; training" in capsys.readouterr().err
    done = answer(capsys, "train", path, "-o", model, "--condition", column, *QUICK)
    assert done["condition_labels"] is None and done["features"] == 3
    direct = autoenc.Autoencoder(2, **PARAMETERS).fit(ROWS, condition=NUMBERS[:, None])
    answer(capsys, "encode", model, path, "-o", out, "--condition", column)
    assert_array_equal(np.load(out), direct.transform(ROWS, condition=NUMBERS[:, None]))
    assert answer(capsys, "info", model)["condition"] == {"columns": 1, "labels": None}
    assert call("info", model) == 0 and "\ncondition    1 column of numbers\n" in capsys.readouterr().out


def test_whole_numbers_and_texts_are_labels_which_are_counted(tmp_path, capsys):
    path, model = tmp_path / "t.csv", tmp_path / "m"
    for y in (np.arange(60) % 4, np.array(["1.5", "2.10.1", "03.5", "x"])[np.arange(60) % 4]):
        assert call(*train(write_rows(path, y), model)) == 0
        assert "60 rows of 3 columns, condition y: 4 labels; training" in capsys.readouterr().err
        assert answer(capsys, *train(path, model))["condition_labels"] == 4
        assert answer(capsys, "info", model)["condition"] == {"columns": 4, "labels": sorted({*y.tolist()})}


def test_what_a_condition_is_can_be_said(tmp_path, capsys):
    path, model = write_rows(tmp_path / "t.csv", np.arange(60) % 4), tmp_path / "m"
    assert answer(capsys, *train(path, model, "--condition-as", "number"))["condition_labels"] is None
    direct = autoenc.Autoencoder(2, **PARAMETERS).fit(ROWS, condition=np.arange(60)[:, None] % 4)
    assert autoenc.load(model).loss_curve_ == direct.loss_curve_
    write_rows(path, np.array([0.5, 1.5])[np.arange(60) % 2])
    assert answer(capsys, *train(path, model, "--condition-as", "label"))["condition_labels"] == 2
    assert autoenc.load(model).condition_categories_.tolist() == ["0.5", "1.5"]
    error = answer(capsys, "train", path, "-o", model, "--condition-as", "label", *QUICK, status=2)["error"]
    assert error == "--condition-as needs --condition"


@pytest.mark.parametrize("kind", [str, int])
def test_as_many_labels_as_rows_are_refused(kind, tmp_path, capsys):
    path, model = tmp_path / "t.csv", tmp_path / "m"
    error = answer(capsys, *train(write_rows(path, [*range(59), "x"] if kind is str else range(60)), model), status=2)
    what = "--condition y: column 'y' has 60 different labels in 60 rows"
    assert error["error"].startswith(f"{what}; needed is a column of groups, or --condition-as label takes so many")
    assert not model.exists()
    assert call(*train(path, model, "--condition-as", "label", "--quiet")) == 0
    assert (
        capsys.readouterr().err
        == f"autoenc: warning: {what}, fewer than ten for each; --condition-as number is for numbers\n"
    )
    if kind is str:
        error = answer(capsys, *train(path, model, "--condition-as", "number"), status=1)["error"]
        assert error == f"{path}, line 61: 'x' in column 'y' is not a number"


def test_many_labels_are_warned_of(tmp_path, capsys):
    path, model = write_rows(tmp_path / "t.csv", np.arange(60) % 20), tmp_path / "m"
    assert call(*train(path, model, "--quiet")) == 0
    assert "has 20 different labels in 60 rows, fewer than ten for each" in capsys.readouterr().err
    assert call(*train(write_rows(path, np.arange(60) % 6), model, "--quiet")) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("factor", "shown"), [(1e4, "2.432e+04"), (1e-4, "0.0002432"), (10.0, None), (0.0, None)])
def test_numbers_that_the_network_hardly_sees_are_warned_of(factor, shown, tmp_path, capsys):
    path = write_rows(tmp_path / "t.csv", NUMBERS * factor)
    assert call(*train(path, tmp_path / "m", "--condition-as", "number", "--quiet")) == 0
    said = f"--condition y: column 'y' has values up to {shown} in size, which the network gets as they are"
    said += ", whatever --scale says"
    assert capsys.readouterr().err == (f"autoenc: warning: {said}: bring them near 1 first\n" if shown else "")


def test_the_help_says_that_conditions_are_not_scaled(capsys):
    with pytest.raises(SystemExit):
        call("train", "--help")
    assert "--scale leaves numbers as they are" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("", "is no number, and --condition needs one in each row"),
        ("nan", "is no number, and --condition needs one in each row"),
        ("x", "is not a number"),
        ("inf", "is no finite number"),
    ],
)
def test_a_wrong_number_is_named_by_its_line(wrong, what, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_tables, "ROWS", 7)
    path, model = write_rows(tmp_path / "t.csv", NUMBERS), tmp_path / "m"
    answer(capsys, *train(path, model))
    write_rows(path, [*NUMBERS[:40], wrong, *NUMBERS[41:]])
    error = f"{path}, line 42: {wrong!r} in column 'y' {what}"
    apply = ("encode", model, path, "-o", tmp_path / "o.npy", "--condition", "y")
    assert answer(capsys, *apply, status=1)["error"] == error
    assert answer(capsys, *train(path, model, "--condition-as", "number"), status=1)["error"] == error


def test_gaps_among_whole_numbers_are_no_label(tmp_path, capsys):
    path, model = write_rows(tmp_path / "t.csv", np.arange(60) % 3), tmp_path / "m"
    answer(capsys, *train(path, model))
    for text, what in (("NA", "is no whole number, and labels of the fit were"), ("1_0", "is no whole number")):
        write_rows(path, [0, 1, text] * 20)
        error = answer(capsys, "encode", model, path, "-o", tmp_path / "o.npy", "--condition", "y", status=1)["error"]
        assert f"{path}, line 4: {text!r} in column 'y' {what}" in error
    write_rows(path, [0, 1, "NA"] * 20)
    error = answer(capsys, *train(path, model), status=1)["error"]
    assert error == f"{path}, line 4: 'NA' in column 'y' is no label, and --condition needs one in each row"


def test_a_condition_of_several_columns(tmp_path, capsys):
    path, model = write_rows(tmp_path / "t.csv", NUMBERS), tmp_path / "m"
    autoenc.Autoencoder(2, **PARAMETERS).fit(ROWS, condition=ROWS[:, :2]).save(model)
    error = answer(capsys, "encode", model, path, "-o", tmp_path / "o.npy", "--condition", "y", status=2)["error"]
    assert error == f"{model} was trained with 2 columns of condition; --condition is one"
