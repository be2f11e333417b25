"""Columns of labels and conditions on the command line, with blank cells in them."""

import numpy as np
import pytest
from command_lines import QUICK, ROWS, answer, call, write_rows
from numpy.testing import assert_array_equal

import autoenc
from autoenc import _tables

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

CLASSIFIER = ("--estimator", "AutoencoderClassifier", "--label", "y", "--param", "fine_tune_max_iter=3", *QUICK)
REGRESSOR = ("--estimator", "AutoencoderRegressor", "--label", "y", "--param", "fine_tune_max_iter=3", *QUICK)
PARAMETERS = {"max_iter": 3, "hidden_layer_sizes": (6,), "fine_tune_max_iter": 3, "random_state": 0}


def some(values):
    """Every third row is without."""
    return [None if i % 3 == 1 else value for i, value in enumerate(values)]


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """A function that writes the rows with one more column, of which some cells are None."""

    def write(y):
        path = tmp_path / f"data.{request.param}"
        if request.param == "csv":
            lines = [",".join(map(str, (*row, "" if one is None else one))) for row, one in zip(ROWS, y, strict=True)]
            path.write_text("\n".join(["a,b,c,y", *lines]) + "\n")
        else:
            pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pyarrow.table({**dict(zip("abc", ROWS.T, strict=True)), "y": y}), path)
        return path

    return write


@pytest.mark.parametrize("kind", [int, float])
def test_blank_labels_among_numbers_are_none(kind, table, tmp_path, capsys):
    y = some([kind(i % 2) for i in range(60)])
    answer(capsys, "train", table(y), "-o", tmp_path / "m", *CLASSIFIER)
    model = autoenc.load(tmp_path / "m")
    assert model.classes_.dtype.kind == "i" and model.classes_.tolist() == [0, 1]
    few = np.array([-1 if one is None else int(one) for one in y])
    assert_array_equal(
        model.predict_proba(ROWS), autoenc.AutoencoderClassifier(2, **PARAMETERS).fit(ROWS, few).predict_proba(ROWS)
    )


def test_blank_labels_among_words_are_none(table, tmp_path, capsys):
    y = some(["NA" if i % 2 else "b" for i in range(60)])
    answer(capsys, "train", table(y), "-o", tmp_path / "m", *CLASSIFIER)
    model = autoenc.load(tmp_path / "m")
    assert model.classes_.tolist() == ["NA", "b"] and model.unlabeled_label == ""
    answer(capsys, "train", table(y), "-o", tmp_path / "m", *CLASSIFIER, "--param", "unlabeled_label=b")
    assert autoenc.load(tmp_path / "m").classes_.tolist() == ["NA"]


def test_a_gap_in_a_column_of_numbers_has_many_spellings(tmp_path, capsys):
    path, unnamed = tmp_path / "data.csv", ["3" if one == "y" else one for one in CLASSIFIER]
    y = np.array(["0", "1", "", "NA", "nan", "NaN"])[np.arange(60) % 6]
    path.write_text("".join(",".join(map(str, (*row, one))) + "\n" for row, one in zip(ROWS, y, strict=True)))
    answer(capsys, "train", path, "-o", tmp_path / "m", *unnamed)
    assert autoenc.load(tmp_path / "m").classes_.tolist() == [0, 1]
    np.save(tmp_path / "data.npy", np.column_stack([ROWS, np.arange(60) % 3, np.where(np.arange(60) % 2, np.nan, 1.0)]))
    answer(capsys, "train", tmp_path / "data.npy", "-o", tmp_path / "m", *unnamed, "--ignore", "4")
    assert autoenc.load(tmp_path / "m").classes_.tolist() == [0, 1, 2]
    more = ("--condition", "4", "--ignore", "3", *QUICK)
    error = answer(capsys, "train", tmp_path / "data.npy", "-o", tmp_path / "m", *more, status=1)["error"]
    assert error.endswith("data.npy, row 1: '' in column '4' is no label, and --condition needs one in each row")


def test_blank_labels_where_every_row_must_have_one(table, tmp_path, capsys):
    more = (*CLASSIFIER, "--param", "unlabeled_label=None")
    path = table(some(["b"] * 60))
    error = answer(capsys, "train", path, "-o", tmp_path / "m", *more, status=1)["error"]
    place = "line 3" if path.suffix == ".csv" else "row 1"
    what = "is no label, and unlabeled_label=None says that every row has one"
    assert error == f"{path}, {place}: '' in column 'y' {what}"


def test_blank_numbers_of_a_regressor_are_none(table, tmp_path, capsys):
    y = some([float(i) for i in range(60)])
    answer(capsys, "train", table(y), "-o", tmp_path / "m", *REGRESSOR)
    few = np.array([np.nan if one is None else one for one in y])
    assert_array_equal(
        autoenc.load(tmp_path / "m").predict(ROWS),
        autoenc.AutoencoderRegressor(2, **PARAMETERS).fit(ROWS, few).predict(ROWS),
    )


@pytest.mark.parametrize(
    ("wrong", "what"), [("x", "is not a number"), ("1_0", "is not a number"), ("inf", "is no finite number")]
)
def test_a_wrong_number_of_a_regressor_is_named_by_its_line(wrong, what, table, tmp_path, capsys):
    path = table(["1", "2", wrong] * 20)
    error = answer(capsys, "train", path, "-o", tmp_path / "m", *REGRESSOR, status=1)["error"]
    assert error == f"{path}, {'line 4' if path.suffix == '.csv' else 'row 2'}: {wrong!r} in column 'y' {what}"


@pytest.mark.parametrize("kind", [int, str])
def test_a_condition_has_no_blank_cells(kind, table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_tables, "ROWS", 7)
    whole = [kind(i % 2) + kind(2) for i in range(60)]
    answer(capsys, "train", table(whole), "-o", tmp_path / "m", "--condition", "y", *QUICK)
    path = table([*whole[:20], None, *whole[21:]])
    place = "line 22" if path.suffix == ".csv" else "row 20"
    what = f"{path}, {place}: '' in column 'y' is no label, and --condition needs one in each row"
    more = ("--condition", "y")
    error = answer(capsys, "train", path, "-o", tmp_path / "other", *more, *QUICK, status=1)["error"]
    assert error == what
    assert answer(capsys, "encode", tmp_path / "m", path, "-o", tmp_path / "o.npy", *more, status=1)["error"] == what


def test_a_condition_of_another_kind_is_named_by_its_line(table, tmp_path, capsys):
    answer(capsys, "train", table([1, 2] * 30), "-o", tmp_path / "m", "--condition", "y", *QUICK)
    path = table(["1"] * 59 + ["x"])
    error = answer(capsys, "encode", tmp_path / "m", path, "-o", tmp_path / "o.npy", "--condition", "y", status=1)[
        "error"
    ]
    place = "line 61" if path.suffix == ".csv" else "row 59"
    unknown = table([1] * 59 + [3])
    found = answer(capsys, "encode", tmp_path / "m", unknown, "-o", tmp_path / "o.npy", "--condition", "y", status=1)
    assert found["error"].endswith(f"3; allowed are 1, 2; the first of them is at row 59 ({unknown}, {place})")
    assert error == f"{path}, {place}: 'x' in column 'y' is no whole number, and labels of the fit were"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_texts_of_digits_stay_texts(suffix, tmp_path, capsys):
    kinds = np.array(["02138", "2138", "00"])[np.arange(60) % 3]
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        write_rows(path, kinds)
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({**dict(zip("abc", ROWS.T, strict=True)), "y": kinds}), path)
    found = answer(capsys, "train", path, "-o", tmp_path / "m", *CLASSIFIER)
    assert found["classes"] == ["00", "02138", "2138"] and found["labelled"] == 60
    out = tmp_path / "o.npy"
    answer(capsys, "train", path, "-o", tmp_path / "m", "--condition", "y", *QUICK)
    answer(capsys, "encode", tmp_path / "m", path, "-o", out, "--condition", "y")
    assert_array_equal(np.load(out), autoenc.load(tmp_path / "m").transform(ROWS, condition=kinds.astype(object)))


def test_texts_of_parquet_stay_texts_without_zeros_before_them(tmp_path, capsys):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kinds = pyarrow.array(["1", "2", None] * 20)
    for column in (kinds, kinds.dictionary_encode(), kinds.cast("large_string")):
        parquet.write_table(
            pyarrow.table({**dict(zip("abc", ROWS.T, strict=True)), "y": column}), tmp_path / "t.parquet"
        )
        found = answer(capsys, "train", tmp_path / "t.parquet", "-o", tmp_path / "m", *CLASSIFIER)
        assert found["classes"] == ["1", "2"] and found["labelled"] == 40


def test_minus_one_is_a_class(tmp_path, capsys):
    y = [i % 3 - 1 for i in range(60)]
    found = answer(capsys, "train", write_rows(tmp_path / "t.csv", y), "-o", tmp_path / "m", *CLASSIFIER)
    assert found["classes"] == [-1, 0, 1] and found["labelled"] == 60
    assert autoenc.load(tmp_path / "m").unlabeled_label is None
    gaps = ["" if i % 5 == 0 else one for i, one in enumerate(y)]
    found = answer(capsys, "train", write_rows(tmp_path / "t.csv", gaps), "-o", tmp_path / "m", *CLASSIFIER)
    assert found["classes"] == [-1, 0, 1] and found["labelled"] == 48
    assert autoenc.load(tmp_path / "m").unlabeled_label == -2
    more = ("--param", "unlabeled_label=-1")
    found = answer(capsys, "train", tmp_path / "t.csv", "-o", tmp_path / "m", *CLASSIFIER, *more)
    assert found["classes"] == [0, 1] and found["labelled"] == 32


def test_rows_of_a_regressor_with_a_number(tmp_path, capsys):
    y = ["" if i % 4 == 0 else i for i in range(60)]
    more = ("--estimator", "AutoencoderRegressor", *CLASSIFIER[2:])
    found = answer(capsys, "train", write_rows(tmp_path / "t.csv", y), "-o", tmp_path / "m", *more)
    assert found["classes"] is None and found["labelled"] == 45


def test_classes_are_counted_and_numbers_are_no_classes(tmp_path, capsys):
    train = ("train", tmp_path / "t.csv", "-o", tmp_path / "m", *CLASSIFIER)
    write_rows(tmp_path / "t.csv", [i % 20 + 0.5 for i in range(60)])
    assert call(*train) == 0
    said = capsys.readouterr().err.splitlines()
    what = "has 20 numbers with decimals, each of them a class; AutoencoderRegressor predicts numbers"
    assert said[0] == f"autoenc: warning: --label y: column 'y' {what}"
    assert "60 rows of 3 columns, label y: 20 classes; training AutoencoderClassifier" in said[1]
    write_rows(tmp_path / "t.csv", range(60))
    assert call(*train, "--condition", "a", "--condition-as", "label", "--quiet") == 0
    assert "numbers with decimals" not in capsys.readouterr().err


def test_a_condition_is_not_left_out(tmp_path, capsys):
    path, model = write_rows(tmp_path / "t.csv", [i % 2 for i in range(60)]), tmp_path / "m"
    answer(capsys, "train", path, "-o", model, "--condition", "y", *QUICK)
    out = ("-o", tmp_path / "o.csv")
    error = answer(capsys, "encode", model, path, *out, "--condition", "y", "--ignore", "3", status=2)["error"]
    assert error == "--ignore leaves out the column of --condition y"
