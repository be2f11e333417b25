"""Checkpoints of the command line."""

import os
import signal

import numpy as np
import pytest
from command_lines import QUICK, ROWS, answer, call, write_csv, write_rows
from numpy.testing import assert_array_equal
from sklearn.base import clone

import autoenc

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


@pytest.fixture
def csv(tmp_path):
    return write_csv(tmp_path / "data.csv", np.random.default_rng(0).normal(size=(60, 4)))


def test_a_fit_goes_on_from_its_checkpoint(csv, tmp_path, capsys):
    model, state = tmp_path / "model.safetensors", tmp_path / "fit.checkpoint"
    answer(capsys, "train", csv, "-o", model, "--ignore", "kind", "--checkpoint", state, *QUICK)
    first = model.read_bytes()
    assert state.exists()
    answer(capsys, "train", csv, "-o", model, "--ignore", "kind", "--checkpoint", state, "--resume", *QUICK)
    assert model.read_bytes() == first
    said = "it is a checkpoint, the state of a fit: fit(X, checkpoint=..., resume=True), or train with --checkpoint and"
    assert said in answer(capsys, "info", state, status=1)["error"]
    for load in (autoenc.load, autoenc.load_predictor):
        with pytest.raises(ValueError, match="it is a checkpoint, the state of a fit"):
            load(state)
    for more in (["--resume"], ["--checkpoint-every", "2"]):
        error = answer(capsys, "train", csv, "-o", model, "--ignore", "kind", *more, *QUICK, status=2)["error"]
        assert error == f"{more[0]} needs --checkpoint"


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM that a program could answer")
def test_told_to_end_in_pretraining_it_saves_nothing_and_goes_on(csv, tmp_path, capsys, monkeypatch):
    train = ("train", csv, "--ignore", "kind", *QUICK, "--param", "pretrain=layerwise", "--checkpoint")
    answer(capsys, *train, tmp_path / "c", "-o", tmp_path / "whole")
    epochs = []

    def update(self, state):
        epochs.append(state)
        if len(epochs) == 33:  # of the second layer; the first has 30
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # under nohup it is ignored
    with monkeypatch.context() as patch:
        patch.setattr(autoenc._training.Progress, "update", update)
        assert call(*train, tmp_path / "c", "-o", tmp_path / "m", "--quiet", "--checkpoint-every", "1") == 143
    signal.signal(signal.SIGTERM, before)
    assert "no model is saved: Autoencoder has none before the end of the first epoch" in capsys.readouterr().err
    assert len(epochs) == 33 and not (tmp_path / "m").exists()
    answer(capsys, *train, tmp_path / "c", "-o", tmp_path / "m", "--resume")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()


def test_how_often_a_checkpoint_is_written(csv, tmp_path, capsys, monkeypatch):
    written = []
    write = autoenc._checkpoint.Checkpoints.write
    monkeypatch.setattr(
        autoenc._checkpoint.Checkpoints, "write", lambda self, *more: written.append(1) or write(self, *more)
    )
    train = ("train", csv, "-o", tmp_path / "m", "--ignore", "kind", "--n-components", "2", "--param", "max_iter=12")
    for more, n in (((), 2), (("--checkpoint-every", "3"), 4)):
        written.clear()
        answer(capsys, *train, "--checkpoint", tmp_path / "fit.checkpoint", *more)
        assert len(written) == n
    with pytest.raises(SystemExit) as exit:
        call(*train, "--checkpoint", tmp_path / "fit.checkpoint", "--checkpoint-every", "0")
    assert exit.value.code == 2 and "0 given; at least 1 is needed" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_is_kept(tmp_path, capsys):
    path, precious = write_rows(tmp_path / "t.csv", range(60)), tmp_path / "precious.csv"
    precious.write_text("a,b\n")
    train = ("train", path, "-o", tmp_path / "m", "--checkpoint", precious, *QUICK)
    error = answer(capsys, *train, status=1)["error"]
    assert f"checkpoint {precious} is there already, and would be lost: " in error
    with pytest.raises(ValueError, match="would be lost"):
        autoenc.Autoencoder(2, callbacks=autoenc.callbacks.Checkpoint(precious)).fit(ROWS)
    assert precious.read_text() == "a,b\n"
    precious.write_text("")
    for _ in range(2):  # an empty file, then a checkpoint
        answer(capsys, *train)
        assert precious.stat().st_size > 100


def test_going_on_is_said(tmp_path, capsys):
    path = write_rows(tmp_path / "t.csv", range(60))
    train = ("train", path, "-o", tmp_path / "m", "--checkpoint", tmp_path / "c", *QUICK)
    assert call(*train) == 0 and "going on" not in capsys.readouterr().err
    assert call(*train, "--resume") == 0
    assert "autoenc: going on from the checkpoint, at epoch 3 of 3 (" in capsys.readouterr().err
    error = answer(capsys, *train, "--resume", "--seed", "1", status=1)["error"]
    # No word of it is Python's: no argument, no path.
    words = (
        "A fit goes on with the same parameters and data alone; allowed too: to start again, which replaces the file"
    )
    assert words in error


def test_a_folder_that_is_not_there(tmp_path, capsys):
    path, folder = write_rows(tmp_path / "t.csv", range(60)), tmp_path / "states"
    for seed in ("1", "2"):
        train = ("train", path, "-o", tmp_path / "m", "--checkpoint", f"{folder}/", "--resume", "--seed", seed, *QUICK)
        assert call(*train) == 0
    assert len(list(folder.glob("Autoencoder-*.checkpoint"))) == 2


def test_a_detector_goes_on(tmp_path, capsys):
    path, detector = write_rows(tmp_path / "t.csv", range(60)), tmp_path / "m"
    train = ("train", path, "-o", detector, "--checkpoint", tmp_path / "c", "--checkpoint-every", "2")
    train += ("--estimator", "AutoencoderOutlierDetector", "--param", "n_estimators=2", "--param", "max_iter=5")
    model = autoenc.AutoencoderOutlierDetector(n_estimators=2, max_iter=5, random_state=0)
    expected = clone(model).fit(np.column_stack([ROWS, np.arange(60.0)]))

    def stop(state):
        if (state.training, state.epoch) == ("member_0", 5):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        model.set_params(callbacks=stop, n_jobs=1).fit(
            np.column_stack([ROWS, np.arange(60.0)]), checkpoint=tmp_path / "c", checkpoint_every=2
        )
    assert answer(capsys, *train, "--resume")["epochs"] == 5
    assert_array_equal(autoenc.load(detector).training_scores_, expected.training_scores_)
    assert call(*train, "--resume") == 0
    assert "going on from the checkpoint, at member_1, epoch 5 of 5 (" in capsys.readouterr().err


def test_going_on_in_the_midst(tmp_path, capsys):
    path = write_rows(tmp_path / "t.csv", range(60))
    names = ("--checkpoint-every", "2", "--resume", "--checkpoint", tmp_path / "c", "--n-components", "2")

    def stop(state):
        if state.epoch == 5:
            raise RuntimeError

    half = autoenc.Autoencoder(2, max_iter=8, random_state=0, callbacks=stop)
    with pytest.raises(RuntimeError):
        half.fit(np.column_stack([ROWS, np.arange(60.0)]), checkpoint=tmp_path / "c", checkpoint_every=2)
    assert call("train", path, "-o", tmp_path / "m", *names, "--param", "max_iter=8") == 0
    assert "going on from the checkpoint, at epoch 4 of 8 (" in capsys.readouterr().err
