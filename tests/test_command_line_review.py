"""What users of the command line ran into: blank tables, texts that look like numbers, numbers that are names, -1."""

import json

import numpy as np
import pytest
from command_lines import QUICK, answer, call
from numpy.testing import assert_array_equal

import autoenc
from autoenc import _cli, _tables

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

X = np.random.default_rng(0).normal(size=(60, 3))
CLASSIFIER = ("--estimator", "AutoencoderClassifier", "--label", "y", "--param", "fine_tune_max_iter=3", *QUICK)
IMPUTER = ("--estimator", "AutoencoderImputer", *QUICK)


def write(path, y, header="a,b,c,y"):
    rows = [",".join(map(str, (*row, one))) for row, one in zip(X, y, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


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
    path = write(tmp_path / "t.csv", [""] * 60)
    for more, comes in (((), ": reconstruct leaves it out"), (("--param", "keep_empty_features=True"), "")):
        assert call("train", path, "-o", tmp_path / "m", *IMPUTER, *more, "--quiet") == 0
        said = capsys.readouterr().err
        assert said == f"autoenc: warning: column 'y' has no value{comes}\n"


def test_what_nobody_foresaw_is_an_object_too(tmp_path, capsys, monkeypatch):
    def fail(_):
        raise IndexError("a mistake")

    monkeypatch.setattr(_cli, "info", fail)
    with pytest.raises(IndexError, match="a mistake"):
        call("info", tmp_path / "m", "--json")
    assert json.loads(capsys.readouterr().out) == {"error": "IndexError: a mistake"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_texts_of_digits_stay_texts(suffix, tmp_path, capsys):
    kinds = np.array(["02138", "2138", "00"])[np.arange(60) % 3]
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        write(path, kinds)
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({**dict(zip("abc", X.T, strict=True)), "y": kinds}), path)
    found = answer(capsys, "train", path, "-o", tmp_path / "m", *CLASSIFIER)
    assert found["classes"] == ["00", "02138", "2138"] and found["labelled"] == 60
    out = tmp_path / "o.npy"
    answer(capsys, "train", path, "-o", tmp_path / "m", "--condition", "y", *QUICK)
    answer(capsys, "encode", tmp_path / "m", path, "-o", out, "--condition", "y")
    assert_array_equal(np.load(out), autoenc.load(tmp_path / "m").transform(X, condition=kinds.astype(object)))


def test_texts_of_parquet_stay_texts_without_zeros_before_them(tmp_path, capsys):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kinds = pyarrow.array(["1", "2", None] * 20)
    for column in (kinds, kinds.dictionary_encode(), kinds.cast("large_string")):
        parquet.write_table(pyarrow.table({**dict(zip("abc", X.T, strict=True)), "y": column}), tmp_path / "t.parquet")
        found = answer(capsys, "train", tmp_path / "t.parquet", "-o", tmp_path / "m", *CLASSIFIER)
        assert found["classes"] == ["1", "2"] and found["labelled"] == 40


def test_names_that_are_numbers_are_names_to_the_model_that_knows_them(tmp_path, capsys):
    path, other = (write(tmp_path / name, range(60), "2019,2020,2021,2022") for name in ("t.csv", "u.csv"))
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
    write(tmp_path / "t.csv", range(60), "1.5,2,x,4")
    assert call(*train) == 0
    what = "line 1 is taken for names; --no-header says that it is a row"
    assert capsys.readouterr().err == f"autoenc: warning: {tmp_path / 't.csv'}: {what}\n"
    assert call(*train, "--header") == 0 and not capsys.readouterr().err
    write(tmp_path / "t.csv", range(60), ",b,c,y")  # as pandas writes an index
    assert call(*train) == 0 and not capsys.readouterr().err


def test_minus_one_is_a_class(tmp_path, capsys):
    y = [i % 3 - 1 for i in range(60)]
    found = answer(capsys, "train", write(tmp_path / "t.csv", y), "-o", tmp_path / "m", *CLASSIFIER)
    assert found["classes"] == [-1, 0, 1] and found["labelled"] == 60
    assert autoenc.load(tmp_path / "m").unlabeled_label is None
    gaps = ["" if i % 5 == 0 else one for i, one in enumerate(y)]
    found = answer(capsys, "train", write(tmp_path / "t.csv", gaps), "-o", tmp_path / "m", *CLASSIFIER)
    assert found["classes"] == [-1, 0, 1] and found["labelled"] == 48
    assert autoenc.load(tmp_path / "m").unlabeled_label == -2
    more = ("--param", "unlabeled_label=-1")
    found = answer(capsys, "train", tmp_path / "t.csv", "-o", tmp_path / "m", *CLASSIFIER, *more)
    assert found["classes"] == [0, 1] and found["labelled"] == 32


def test_rows_of_a_regressor_with_a_number(tmp_path, capsys):
    y = ["" if i % 4 == 0 else i for i in range(60)]
    more = ("--estimator", "AutoencoderRegressor", *CLASSIFIER[2:])
    found = answer(capsys, "train", write(tmp_path / "t.csv", y), "-o", tmp_path / "m", *more)
    assert found["classes"] is None and found["labelled"] == 45


def test_a_table_by_the_name_of_an_array(tmp_path):
    path = tmp_path / "t.npy"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(_tables.TableError) as error:
        _tables.open_table(str(path))
    assert str(error.value) == f"{path} cannot be read: it is no .npy file"


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


def test_a_condition_is_not_left_out(tmp_path, capsys):
    path, model = write(tmp_path / "t.csv", [i % 2 for i in range(60)]), tmp_path / "m"
    answer(capsys, "train", path, "-o", model, "--condition", "y", *QUICK)
    out = ("-o", tmp_path / "o.csv")
    error = answer(capsys, "encode", model, path, *out, "--condition", "y", "--ignore", "3", status=2)["error"]
    assert error == "--ignore leaves out the column of --condition y"


def test_a_file_that_is_no_checkpoint_is_kept(tmp_path, capsys):
    path, precious = write(tmp_path / "t.csv", range(60)), tmp_path / "precious.csv"
    precious.write_text("a,b\n")
    train = ("train", path, "-o", tmp_path / "m", "--checkpoint", precious, *QUICK)
    error = answer(capsys, *train, status=1)["error"]
    assert f"checkpoint={str(precious)!r} is there already, and would be lost: " in error
    with pytest.raises(ValueError, match="would be lost"):
        autoenc.Autoencoder(2, callbacks=autoenc.callbacks.Checkpoint(precious)).fit(X)
    assert precious.read_text() == "a,b\n"
    precious.write_text("")
    for _ in range(2):  # an empty file, then a checkpoint
        answer(capsys, *train)
        assert precious.stat().st_size > 100


def test_going_on_is_said_in_words_of_the_command_line(tmp_path, capsys):
    path = write(tmp_path / "t.csv", range(60))
    train = ("train", path, "-o", tmp_path / "m", "--checkpoint", tmp_path / "c", *QUICK)
    assert call(*train) == 0 and "going on" not in capsys.readouterr().err
    assert call(*train, "--resume") == 0
    assert "autoenc: going on from the checkpoint, at epoch 3 of 3 (" in capsys.readouterr().err
    error = answer(capsys, *train, "--resume", "--seed", "1", status=1)["error"]
    assert "--resume needs the same parameters and data (without --resume it starts again)" in error


def test_going_on_in_the_midst(tmp_path, capsys):
    path = write(tmp_path / "t.csv", range(60))
    names = ("--checkpoint-every", "2", "--resume", "--checkpoint", tmp_path / "c", "--n-components", "2")

    def stop(state):
        if state.epoch == 5:
            raise RuntimeError

    half = autoenc.Autoencoder(2, max_iter=8, random_state=0, callbacks=stop)
    with pytest.raises(RuntimeError):
        half.fit(np.column_stack([X, np.arange(60.0)]), checkpoint=tmp_path / "c", checkpoint_every=2)
    assert call("train", path, "-o", tmp_path / "m", *names, "--param", "max_iter=8") == 0
    assert "going on from the checkpoint, at epoch 4 of 8 (" in capsys.readouterr().err


def test_the_class_of_a_callback_is_no_callback():
    for given in (autoenc.callbacks.EarlyStopping, [autoenc.callbacks.EarlyStopping]):
        with pytest.raises(
            ValueError, match=r"callbacks has the class EarlyStopping; needed is EarlyStopping\(\.\.\.\)"
        ):
            autoenc.Autoencoder(2, callbacks=given).fit(X)
