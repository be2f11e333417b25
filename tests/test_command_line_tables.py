"""Tables that the command line reads: names, blanks, separators, what is broken and where."""

import io
import os
import re
from csv import reader as reader_of_csv

import numpy as np
import pytest
from command_lines import NAMES, QUICK, ROWS, answer, call, without_pandas, write_csv, write_rows
from numpy.testing import assert_array_equal

import autoenc
from autoenc import _tables
from autoenc.__main__ import main

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


IMPUTER = ("--estimator", "AutoencoderImputer", *QUICK)


def test_the_first_line_has_names_or_is_a_row(reader, tmp_path, capsys):
    table, model = tmp_path / "t.csv", tmp_path / "m"
    table.write_text("".join(f"{i},{i % 7},{i % 5}\n" for i in range(20)))
    for more, rows, names in (
        ((), 20, None),
        (("--header",), 19, ["0", "0.0", "00"]),
        (("--no-header",), 20, None),
    ):
        table.write_text("0,0.0,00\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(1, 20)))
        assert answer(capsys, "train", table, "-o", model, *QUICK, *more)["rows"] == rows
        assert answer(capsys, "info", model)["feature_names"] == names
        assert answer(capsys, "encode", model, table, "-o", tmp_path / "o.csv", *more)["rows"] == rows
    table.write_text("a,b,c\n1,2,3\n")
    error = answer(capsys, "train", table, "-o", model, *QUICK, "--no-header", status=1)["error"]
    assert error == f"{table}, line 1: 'a' in column '0' is not a number (--ignore leaves a column out)"
    np.save(tmp_path / "t.npy", X)
    error = answer(capsys, "train", tmp_path / "t.npy", "-o", model, *QUICK, "--no-header", status=2)["error"]
    assert error == f"--no-header goes with a .csv file, and {tmp_path / 't.npy'} is none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.__setitem__(5, "1,2,x,4,a"), "line 6: 'x' in column 'depth' is not a number"),
        (
            lambda lines: lines.__setitem__(5, "1,2,?,4,a"),
            r"line 6: '\?' .* \(a cell without a value is blank, NA or nan",
        ),
        (lambda lines: lines.__setitem__(5, "1,2,1_0,4,a"), "line 6: '1_0' in column 'depth' is not a number"),
        (lambda lines: lines.__setitem__(5, "1,2,3,a"), "line 6: 4 fields where the first line has 5"),
        (lambda lines: lines.__setitem__(5, "1,2,3,4,a,9"), "line 6: 6 fields where the first line has 5"),
        (lambda lines: lines.__setitem__(1, "1,2,3,4,a,9"), "line 2: 6 fields where the first line has 5"),
        (
            lambda lines: (lines.insert(1, ""), lines.__setitem__(2, "1,2,3,4,a,9")),
            "line 3: 6 fields where the first line has 5",
        ),
        (
            lambda lines: lines.__setitem__(40, "1,,3,4,a"),
            r"contains NaN at row 39, column 1; .*; train --param missing=mask .*, line 41, column 'width'\)",
        ),
        (
            lambda lines: (lines.insert(3, ""), lines.__setitem__(41, "1,inf,3,4,a")),
            r"contains infinity at .*, line 42, column 'width'\)",
        ),
        (
            lambda lines: (lines.insert(3, "  "), lines.__setitem__(41, "1,inf,3,4,a")),
            r"contains infinity at .*, line 42, column 'width'\)",
        ),
        (
            lambda lines: lines.__setitem__(40, "1,2," + 140_000 * "3" + ",4,a"),
            "line 41: field larger than field limit",
        ),
        (lambda lines: lines.__setitem__(40, '1,2,"3,4,a'), "line 41: a quote is never closed"),
        (lambda lines: lines.__setitem__(0, "a,b,c,a,kind"), "line 1: two columns have the name 'a'"),
        (lambda lines: lines.clear(), "the file is empty"),
        (lambda lines: lines.__delitem__(slice(1, None)), "there are no rows"),
    ],
)
def test_a_broken_row_is_named_by_its_line(change, message, reader, csv, tmp_path, capsys):
    lines = csv.read_text().splitlines()
    change(lines)
    csv.write_text("\n".join(lines) + "\n" if lines else "")
    error = answer(capsys, "train", csv, "-o", tmp_path / "m", "--ignore", "kind", *QUICK, status=1)["error"]
    assert re.search(message, error), error
    assert str(csv) in error
    assert not (tmp_path / "m").exists()


def test_a_broken_row_in_a_later_block(reader, model, csv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_tables, "ROWS", 7)
    lines = csv.read_text().splitlines()
    out = tmp_path / "codes.csv"
    out.write_text("as before")
    for wrong, message in (("1,,3,4,a", "line 41, column 'width')"), ("1,x,3,4,a", "line 41: 'x' in column 'width'")):
        lines[40] = wrong
        csv.write_text("\n".join(lines) + "\n")
        assert message in answer(capsys, "encode", model, csv, "-o", out, status=1)["error"]
    assert out.read_text() == "as before"
    assert not list(tmp_path.glob("*.tmp"))


def test_a_column_of_an_error_is_that_of_the_file(model, csv, tmp_path, capsys):
    """Not that of those which are left, in the order of the model."""
    lines = [",".join(line.split(",")[::-1]) for line in csv.read_text().splitlines()]
    lines[2] = "a,1,nan,3,4"
    csv.write_text("\n".join(lines) + "\n")
    error = answer(capsys, "encode", model, csv, "-o", tmp_path / "o.csv", status=1)["error"]
    assert "row 1, column 2; " in error and error.endswith(f"({csv}, line 3, column 'depth')")
    train = ("train", csv, "-o", tmp_path / "m", "--ignore", "kind", *QUICK, "--param", "loss=log_loss")
    error = answer(capsys, *train, "--ignore", "weight", status=1)["error"]
    assert "row 1, column 0; " in error and error.endswith(f"({csv}, line 3, column 'depth')")


@pytest.mark.parametrize("estimator", ["Autoencoder", "AutoencoderImputer", "AutoencoderOutlierDetector"])
@pytest.mark.parametrize("scale", ["none", "minmax"])
def test_a_table_of_another_width(estimator, scale, csv, tmp_path, capsys):
    more = ("--scale", scale) if estimator == "Autoencoder" else ()
    more += ("--param", "max_iter=1") if estimator != "AutoencoderOutlierDetector" else ("--param", "n_estimators=1")
    model, other = tmp_path / "m", tmp_path / "other.npy"
    answer(capsys, "train", csv, "-o", model, "--ignore", "kind", "--estimator", estimator, *more)
    np.save(other, np.column_stack([X, X]))
    command = "score" if estimator == "AutoencoderOutlierDetector" else "reconstruct"
    error = answer(capsys, command, model, other, "-o", tmp_path / "o.csv", "--ignore", "7", status=1)["error"]
    what = f"it has 7 columns for {model}, which was trained on 4; there are 0, 1, 2, 3, 4, 5, 6, 7"
    assert error == f"{other}: {what} (--ignore leaves a column out)"


def test_separators(csv, tmp_path, capsys):
    other = tmp_path / "other.csv"
    found = [answer(capsys, "train", csv, "-o", tmp_path / "m", "--ignore", "kind", *QUICK)["loss"]]
    for separator, written in ((";", ";"), ("tab", "\t"), (r"\t", "\t"), ("\t", "\t"), (" ", " ")):
        other.write_text(csv.read_text().replace(",", written))
        more = ("--ignore", "kind", "--separator", separator, *QUICK)
        found.append(answer(capsys, "train", other, "-o", tmp_path / "m", *more)["loss"])
    assert len(set(found)) == 1
    for wrong in (";;", "", "x", "1", ".", "\n", "¦"):
        with pytest.raises(SystemExit) as exit:
            call("train", csv, "-o", tmp_path / "m", "--separator", wrong)
        assert exit.value.code == 2
        assert "one character" in capsys.readouterr().err


def european(text):
    return text.replace(",", ";").replace(".", ",")


def test_numbers_with_a_comma(reader, tmp_path, csv, capsys, monkeypatch):
    """The same models and results, in blocks, and the same broken rows."""
    monkeypatch.setattr(_tables, "ROWS", 7)
    other, found = tmp_path / "other.csv", []
    other.write_text(european(csv.read_text()))
    detector = ("--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=1")
    for path, more in ((csv, ()), (other, ("--decimal", ",")), (other, ("--decimal", ",", "--separator", ";"))):
        model, out = tmp_path / "m", tmp_path / "o.npy"
        answer(capsys, "train", path, "-o", model, "--condition", "kind", *QUICK, *more)
        results = []
        for command in ("encode", "reconstruct", "score"):
            answer(capsys, command, model, path, "-o", out, "--condition", "kind", *more)
            results.append(np.load(out))
        answer(capsys, "train", path, "-o", model, "--ignore", "kind", *detector, *more)
        answer(capsys, "predict", model, path, "-o", out, *more)
        found.append([*results, np.load(out)])
    for results in found[1:]:
        for one, first in zip(results, found[0], strict=True):
            assert_array_equal(one, first)
    text = other.read_text().splitlines()
    for wrong in ("1.5", "1.234,5", "1,5,2", "x"):
        other.write_text("\n".join([*text[:40], f"1;{wrong};3;4;a", *text[41:]]) + "\n")
        error = answer(capsys, "predict", model, other, "-o", out, "--decimal", ",", status=1)["error"]
        what = "--decimal , leaves no point in one" if "." in wrong else "--ignore leaves a column out"
        assert error == f"{other}, line 41: {wrong!r} in column 'width' is not a number ({what})"
    other.write_text("\n".join([*text[:40], "1;2,5;3", *text[41:]]) + "\n")
    error = answer(capsys, "predict", model, other, "-o", out, "--decimal", ",", status=1)["error"]
    assert error == f"{other}, line 41: 3 fields where the first line has 5"


def test_labels_and_first_lines_with_a_comma(reader, tmp_path, capsys):
    rows = X[:, :3].round(3)
    for y, more in ((np.arange(60) / 4, ("--condition", "3")), (np.arange(60) % 3 * 1.0, ("--condition", "3"))):
        losses = []
        for write, options in ((str, ()), (european, ("--decimal", ","))):
            lines = [",".join(map(str, (*row, one))) for row, one in zip(rows.tolist(), y.tolist(), strict=True)]
            (tmp_path / "t.csv").write_text(write("\n".join(lines) + "\n"))
            done = answer(capsys, "train", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK, *more, *options)
            losses.append((done["rows"], done["condition_labels"], done["loss"]))
        assert losses[0] == losses[1] and losses[0][0] == 60
        assert losses[0][1] == (None if y[1] < 1 else 3)
    regress = ("--estimator", "AutoencoderRegressor", "--label", "3", "--param", "fine_tune_max_iter=3", *QUICK)
    assert answer(capsys, "train", tmp_path / "t.csv", "-o", tmp_path / "m", *regress, "--decimal", ",")["rows"] == 60


def test_decimals_that_do_not_go(csv, model, tmp_path, capsys):
    np.save(tmp_path / "t.npy", X)
    for path, more, message in (
        (csv, ("--decimal", ",", "--separator", ","), "--separator and --decimal are both ','; allowed are different"),
        (
            tmp_path / "t.npy",
            ("--decimal", ","),
            f"--decimal , goes with a .csv file, and {tmp_path / 't.npy'} is none",
        ),
    ):
        for command in (("train", path, "-o", "m", *QUICK), ("encode", model, path, "-o", "o.npy")):
            assert message in answer(capsys, *command, *more, status=2)["error"]


def test_a_comma_for_the_point_is_told(reader, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1,5;2,5\n")
    train = ("train", path, "-o", tmp_path / "m", *QUICK)
    assert call(*train, "--quiet") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"autoenc: warning: {path}: line 1 has one field, 'a;b'; --separator ';' splits it"
    error = answer(capsys, *train, "--separator", ";", status=1)["error"]
    what = "'1,5' in column 'a' is not a number (--decimal , if the comma stands for the point)"
    assert error == f"{path}, line 2: {what}"


def test_a_separator_that_must_be_named(model, tmp_path, capsys):
    """With --decimal , semicolons are between fields; a line without has one field, unless it looks like several."""
    path = tmp_path / "t.csv"
    commands = (("train", path, "-o", tmp_path / "m", *QUICK), ("encode", model, path, "-o", tmp_path / "o.npy"))
    for line in ("a,b", "a|b", "a\tb", "1.5,2.5"):
        path.write_text(f"{line}\n1,2\n")
        for command in commands:
            error = answer(capsys, *command, "--decimal", ",", status=2)["error"]
            what = f"line 1 has one field, {line!r}, and --decimal , means semicolons between fields"
            assert error == f"{path}: {what}; --separator names what else there is, or ';' for a single column"
    path.write_text("1,5\n2,5\n")  # a number
    (block,) = _tables.open_table(str(path), decimal=",").blocks(["0"])
    assert_array_equal(block.numbers, [[1.5], [2.5]])
    path.write_text("a|b\n1,5\n")
    with pytest.warns(UserWarning, match="--separator '|' splits it"):
        table = _tables.open_table(str(path), separator=";", decimal=",")
    assert table.names == ["a|b"]


def test_true_and_false_are_one_and_zero(reader, tmp_path):
    """Also where pandas does not know them: among numbers, and in other letters."""
    (tmp_path / "t.csv").write_text("a,b,c\ntrue,1,tRUE\nFalse,TRUE,FALSE\n")
    (block,) = _tables.open_table(str(tmp_path / "t.csv")).blocks(["a", "b", "c"])
    assert_array_equal(block.numbers, [[1, 1, 1], [0, 1, 0]])


def test_an_ignored_column_need_not_be_there_when_a_model_is_applied(csv, model, tmp_path, capsys):
    out = tmp_path / "o.csv"
    lines = [line.rpartition(",")[0] for line in csv.read_text().splitlines()]
    (tmp_path / "fresh.csv").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "fresh.npy", X)
    results = []
    for path in (csv, tmp_path / "fresh.csv", tmp_path / "fresh.npy"):
        for command in ("encode", "reconstruct", "score"):
            answer(capsys, command, model, path, "-o", out, "--ignore", "kind" if path != csv else "4")
            results.append(out.read_text())
    assert results[:3] == results[3:6] == results[6:]
    assert call("encode", model, tmp_path / "fresh.csv", "-o", out, "--ignore", "kind") == 0
    assert f"autoenc: {tmp_path / 'fresh.csv'} has no column 'kind' to ignore" in capsys.readouterr().err
    train = ("train", tmp_path / "fresh.csv", "-o", tmp_path / "m", "--ignore", "kind", *QUICK)
    assert "there is no column 'kind'; there are height, " in answer(capsys, *train, status=2)["error"]


def test_files_that_are_none(model, csv, tmp_path, capsys):
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.parquet").write_text("no table")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "flat.npy", X[0])
    np.savez(tmp_path / "two.npz", a=X, b=X)
    out = tmp_path / "o.csv"
    for name, message in (
        ("nothing.csv", "there is no such file"),
        ("data.xlsx", "the name must end in .csv, .npy, .npz, .parquet"),
        ("text.npy", "cannot be read"),
        ("objects.npy", "cannot be read"),
        ("flat.npy", "needed are rows of numbers"),
        ("two.npz", "it has the arrays a, b; say which by --array"),
        ("text.parquet", "Parquet"),
    ):
        status = 2 if name in ("data.xlsx", "two.npz") else 1
        assert message in answer(capsys, "encode", model, tmp_path / name, "-o", out, status=status)["error"]
    for command in (("info",), ("encode", "--quiet")):
        assert call(command[0], *([csv] if command[0] == "info" else [csv, csv])) == 1
        assert "cannot be read as a model of autoenc" in capsys.readouterr().err
    lines = csv.read_text().replace("height", "length")
    csv.write_text(lines)
    assert "there is no column 'height'" in answer(capsys, "encode", model, csv, "-o", out, status=1)["error"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_and_a_folder_are_no_tables(model, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        error = answer(capsys, "encode", model, tmp_path / name, "-o", tmp_path / "o.csv", status=1)["error"]
        assert error == f"{tmp_path / name}: this is a folder, a pipe or a device; a file is needed"


def test_texts_come_back_from_csv():
    texts = ["a", "a,b", 'a"b', "a\nb", "a\rb", "a\r\nb", " a", "a ", "\ta", "", "a b"]
    columns = [(text, np.array([text, text], dtype=object)) for text in texts]
    lines = io.StringIO(_tables.csv_rows(columns, header=True), newline="")
    assert list(reader_of_csv(lines)) == [texts] * 3
    assert _tables.csv_rows(columns[:1] + columns[-1:], header=True) == "a,a b\n" * 3


def test_an_archive_that_is_none_is_an_error_and_no_traceback(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04garbage")
    with pytest.raises(_tables.TableError, match=r"bad\.npz cannot be read: it is no .npz archive"):
        _tables.open_table(str(tmp_path / "bad.npz"))


def test_a_quote_that_is_never_closed_is_named_by_its_line(reader, tmp_path):
    for lines, number in (('a,b\n1,"2\n3,4\n', 2), ('a,b\n1,2\n3,4\n5,"6\n7,8\n', 4)):
        (tmp_path / "quote.csv").write_text(lines)
        for columns in (["a", "b"], ["a"]):
            with pytest.raises(_tables.TableError, match=rf"quote\.csv, line {number}: a quote is never closed"):
                list(_tables.open_table(str(tmp_path / "quote.csv")).blocks(columns))


@pytest.mark.parametrize(
    ("line", "number", "byte"), [(0, 1, "0xe9 (character 3"), (1, 2, "0xe9 (character 3"), (4000, 4001, "0xe9")]
)
def test_a_byte_that_is_not_utf8_is_named_by_its_line(line, number, byte, reader, tmp_path, capsys):
    lines = ["a,b", *(f"{i},{i}" for i in range(5000))]
    lines[line] = lines[line][:1] + ",é"
    lines[2] = '2,"3\n"'  # a row of two lines, which are counted, is the third
    number += line > 2
    path = tmp_path / "latin.csv"
    path.write_bytes("\n".join(lines).encode("latin-1"))
    error = answer(capsys, "train", path, "-o", tmp_path / "m", *QUICK, status=1)["error"]
    assert f"latin.csv, line {number}: byte {byte}" in error and "is not UTF-8" in error


def test_a_row_with_a_missing_value_is_not_taken_for_names(reader, tmp_path):
    (tmp_path / "t.csv").write_text("1,NA\n2,3\n")
    table = _tables.open_table(str(tmp_path / "t.csv"))
    assert not table.named and table.names == ["0", "1"]
    (block,) = table.blocks(table.names)
    np.testing.assert_array_equal(block.numbers, [[1, np.nan], [2, 3]])


def test_numbers_that_pandas_does_not_know(reader, tmp_path, monkeypatch):
    """Both readers take the same for a number; rows before it are not given twice."""
    monkeypatch.setattr(_tables, "ROWS", 3)
    rows = [f"{i},{i} " for i in range(10)]
    rows[7] = "7,\u0667"
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(rows) + "\n", encoding="utf-8")
    table = _tables.open_table(str(tmp_path / "t.csv"))
    blocks = list(table.blocks(["a"], ["b"]))
    assert [text for block in blocks for text in block.others["b"]] == [*"0123456", "\u0667", *"89"]
    blocks = list(table.blocks(["b"]))
    assert [block.numbers.ravel().tolist() for block in blocks] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


@pytest.mark.parametrize("suffix", ["csv", "npy", "npz", "parquet"])
def test_a_table_without_rows_is_named(suffix, model, tmp_path, capsys):
    data = tmp_path / f"none.{suffix}"
    if suffix == "csv":
        data.write_text(",".join(NAMES) + "\n")
    elif suffix == "parquet":
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({name: pyarrow.array([], pyarrow.float64()) for name in NAMES}), data)
    elif suffix == "npy":
        np.save(data, X[:0])
    else:
        np.savez(data, X=X[:0])
    for command, out in ((("train", data), tmp_path / "out"), (("encode", model, data), tmp_path / "out.npy")):
        assert answer(capsys, *command, "-o", out, status=1)["error"] == f"{data}: there are no rows"
        assert not out.exists()


def test_a_detector_names_a_table_without_rows(csv, tmp_path, capsys):
    detector, none = tmp_path / "detector.safetensors", tmp_path / "none.csv"
    train = ("--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=1", "--ignore", "kind")
    answer(capsys, "train", csv, "-o", detector, *train)
    none.write_text(",".join(NAMES) + "\n")
    assert (
        answer(capsys, "score", detector, none, "-o", tmp_path / "out.csv", status=1)["error"]
        == f"{none}: there are no rows"
    )


def test_damaged_pages_of_parquet_name_the_file(model, tmp_path, capsys):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "damaged.parquet"
    rows = np.random.default_rng(0).random((500, len(NAMES)))
    parquet.write_table(pyarrow.table(dict(zip(NAMES, rows.T, strict=True))), path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[4:204] = bytes(200)
    path.write_bytes(content)
    error = answer(capsys, "encode", model, path, "-o", tmp_path / "out.csv", status=1)["error"]
    assert error.startswith(f"{path} cannot be read as Parquet: ")


def test_large_whole_numbers_of_parquet_are_numbers(tmp_path):
    """Rounded, where float64 does not hold them; in CSV they are, too."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"a": [2**60 + 1, -(2**53) - 1], "b": pyarrow.array([2**64 - 1, 2**53 + 1], pyarrow.uint64())}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    (block,) = _tables.open_table(str(tmp_path / "t.parquet")).blocks(["a", "b"])
    assert_array_equal(block.numbers, [[2.0**60, 2.0**64], [-(2.0**53), 2.0**53]])


def test_a_parquet_file_with_a_name_twice(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = [pyarrow.array([1.0, 2.0])] * 3
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=["a", "b", "a"]), tmp_path / "t.parquet")
    with pytest.raises(_tables.TableError, match=r"t\.parquet: two columns have the name 'a'"):
        _tables.open_table(str(tmp_path / "t.parquet"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_arrays_are_named(save, tmp_path):
    path, rng = tmp_path / "x.npz", np.random.default_rng(0)
    save(path, X=rng.random((40, 5)))
    whole = path.read_bytes()
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            _tables.open_table(str(path))
        except _tables.TableError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 5


def test_a_table_of_blanks_is_refused(tmp_path, capsys):
    path = tmp_path / "blanks.csv"
    path.write_text("a,b,c,d\n" + ",,,\n" * 5)
    error = answer(capsys, "train", path, "-o", tmp_path / "m", *IMPUTER, status=1)["error"]
    assert error == f"{path}: no column has any value" and not (tmp_path / "m").exists()
    autoenc.AutoencoderImputer(2).fit(np.full((5, 4), np.nan)).save(tmp_path / "m")  # as a program may
    for suffix in ("csv", "npy"):
        out = tmp_path / f"o.{suffix}"
        error = answer(capsys, "reconstruct", tmp_path / "m", path, "-o", out, status=1)["error"]
        assert error == "the model gives back no column" and not out.exists()
    assert call("reconstruct", tmp_path / "m", path) == 1


def test_a_blank_column_is_named(tmp_path, capsys):
    path = write_rows(tmp_path / "t.csv", [""] * 60)
    for more, comes in (((), ": reconstruct leaves it out"), (("--param", "keep_empty_features=True"), "")):
        assert call("train", path, "-o", tmp_path / "m", *IMPUTER, *more, "--quiet") == 0
        said = capsys.readouterr().err
        assert said == f"autoenc: warning: column 'y' has no value{comes}\n"


def test_names_that_are_numbers_are_names_to_the_model_that_knows_them(tmp_path, capsys):
    path, other = (write_rows(tmp_path / name, range(60), "2019,2020,2021,2022") for name in ("t.csv", "u.csv"))
    model, out = tmp_path / "m", tmp_path / "o.csv"
    answer(capsys, "train", path, "-o", model, *QUICK, "--header")
    assert answer(capsys, "encode", model, path, "-o", out)["rows"] == 60
    assert answer(capsys, "encode", model, path, "-o", out, "--no-head")["rows"] == 61
    assert answer(capsys, "encode", model, path, "-o", out, "--head")["rows"] == 60
    other.write_text("".join(f"{line},1\n" for line in path.read_text().splitlines()))  # with a column more
    assert answer(capsys, "encode", model, other, "-o", out)["rows"] == 60
    other.write_text(path.read_text().replace("2022", "2023", 1))
    assert answer(capsys, "encode", model, other, "-o", out)["rows"] == 61


def test_a_first_line_of_numbers_and_texts_is_doubtful(tmp_path, capsys):
    train = ("train", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK, "--quiet")
    write_rows(tmp_path / "t.csv", range(60), "1.5,2,x,4")
    assert call(*train) == 0
    what = "line 1 is taken for names; --no-header says that it is a row"
    assert capsys.readouterr().err == f"autoenc: warning: {tmp_path / 't.csv'}: {what}\n"
    assert call(*train, "--header") == 0 and not capsys.readouterr().err
    write_rows(tmp_path / "t.csv", range(60), ",b,c,y")  # as pandas writes an index
    assert call(*train) == 0
    index = 'the first column has no name and looks like an index; --ignore "" leaves it out'
    assert capsys.readouterr().err == f"autoenc: warning: {tmp_path / 't.csv'}: {index}\n"
    assert call(*train, "--ignore", "") == 0 and not capsys.readouterr().err
    write_rows(tmp_path / "t.csv", range(60), ",0,1,2")
    assert call(*train) == 0
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == [what, index]


@pytest.mark.parametrize("first", ["0,1", "0,1,2"])
def test_numbers_in_order_are_names_only_to_a_model_that_knows_them(first, reader, tmp_path, capsys):
    n, table, model = first.count(",") + 1, tmp_path / "t.csv", tmp_path / "m"
    table.write_text(first + "\n" + "".join(",".join(map(repr, row)) + "\n" for row in ROWS[:, :n].tolist()))

    def encoded(*more):
        assert call("encode", model, table, "-o", tmp_path / "o.npy", "--quiet", *more) == 0
        error, codes = capsys.readouterr().err, np.load(tmp_path / "o.npy")
        said = f"autoenc: warning: {table}: line 1 is taken for a row; --header says that it has names\n"
        assert error in ("", said)
        return len(codes), bool(error)

    def trained(data, *more):
        answer(capsys, "train", data, "-o", model, "--n-components", "1", "--param", "max_iter=1", *more)

    np.save(tmp_path / "t.npy", ROWS[:, :n])
    trained(tmp_path / "t.npy")
    assert encoded() == (61, True)
    assert encoded("--no-header") == (61, False) and encoded("--header") == (60, False)
    trained(table)  # which has names then, and warns of it
    assert encoded() == (60, False)
    trained(table, "--ignore", "0")
    assert encoded() == (60, False)
    others = ("--ignore", "y") if n == 3 else ("--ignore", "c", "--ignore", "y")
    trained(write_rows(tmp_path / "named.csv", range(60)), *others)
    assert encoded() == (61, True)


def test_a_first_line_of_a_text_among_numbers_is_doubtful_to_a_model_without_names(tmp_path, capsys):
    table, model = tmp_path / "t.csv", tmp_path / "m"
    train = ("train", table, "-o", model, *QUICK, "--condition", "3", "--condition-as", "label")
    write_rows(table, np.where(np.arange(60) % 2, "x", "z"), "1.5,2,4,x")
    answer(capsys, *train, "--no-header")
    assert call("encode", model, table, "--condition", "3", "-o", tmp_path / "o.csv", "--quiet") == 0
    assert "line 1 is taken for names; --no-header says that it is a row" in capsys.readouterr().err


def test_an_index_in_parquet_is_pointed_out(tmp_path, capsys):
    """pandas writes one without a name whenever it is not 0, 1, ..."""
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    path, train = tmp_path / "t.parquet", ("train", tmp_path / "t.parquet", "-o", tmp_path / "m", *QUICK, "--quiet")
    frame[frame.a > frame.a.min()].to_parquet(path)
    name = "__index_level_0__"
    assert call(*train) == 0
    what = f"column {name!r} is an index that pandas has written; --ignore {name} leaves it out"
    assert capsys.readouterr().err == f"autoenc: warning: {path}: {what}\n"
    assert call(*train, "--ignore", name) == 0 and not capsys.readouterr().err


def test_a_model_does_not_take_the_name_of_a_table(csv, tmp_path, capsys):
    other = tmp_path / "other.CSV"
    other.write_text("rows\n")
    error = answer(capsys, "train", csv, "-o", other, "--ignore", "kind", *QUICK, status=2)["error"]
    what = "that is the name of a table; a model's may not end in .csv, .npy, .npz, .parquet"
    assert error == f"-o {other}: {what}" and other.read_text() == "rows\n"


def test_no_separator_is_offered_that_is_the_decimal(tmp_path, capsys):
    path, train = tmp_path / "t.csv", ("train", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK, "--quiet")
    path.write_text("a,b\n" + "".join(f"{i},5\n" for i in range(60)))
    assert call(*train, "--decimal", ",", "--separator", ";") == 0 and not capsys.readouterr().err
    assert call(*train, "--separator", ";") == 1
    assert "line 1 has one field, 'a,b'; --separator ',' splits it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("0,1,2,3", ["0", "1", "2", "3"]),
        (",0,1,2", ["", "0", "1", "2"]),
        ("1,2,3,4", None),
        ("0,1,2,3.0", None),
        (",1,2,3", None),
    ],
)
def test_a_first_line_that_counts_the_columns_has_names(header, names, reader, tmp_path, capsys):
    table, model, out = (tmp_path / name for name in ("t.csv", "m", "o.csv"))
    write_rows(table, range(60), header)
    more = ("--estimator", "AutoencoderImputer") if header[0] == "," else QUICK  # which takes a blank cell of a row
    rows = 60 if names else 61
    assert answer(capsys, "train", table, "-o", model, *more)["rows"] == rows
    assert answer(capsys, "info", model)["feature_names"] == names
    assert answer(capsys, "train", table, "-o", model, *more, "--no-header")["rows"] == 61
    if names and names[0] == "":
        assert answer(capsys, "train", table, "-o", model, *QUICK, "--ignore", "")["rows"] == 60
        assert answer(capsys, "info", model)["feature_names"] == names[1:]
        assert answer(capsys, "encode", model, table, "-o", out)["rows"] == 60


def test_a_single_column_whose_first_value_is_0_has_no_name(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("".join(f"{i}\n" for i in range(20)))
    assert answer(capsys, "train", tmp_path / "t.csv", "-o", tmp_path / "m", "--n-components", "1")["rows"] == 20


def test_a_table_by_the_name_of_an_array(tmp_path):
    path = tmp_path / "t.npy"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(_tables.TableError) as error:
        _tables.open_table(str(path))
    assert str(error.value) == f"{path} cannot be read: it is no .npy file"
