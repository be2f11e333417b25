"""Paths that are none: the parameter, its value and what is allowed are named, and nothing is written."""

import numpy as np
import pytest

import autoenc
from autoenc import Autoencoder
from autoenc.callbacks import Checkpoint, CSVLogger, TensorBoard

X = np.random.default_rng(0).random((30, 4))


@pytest.fixture(scope="module")
def model():
    return Autoencoder(2, hidden_layer_sizes=(5,), max_iter=1, random_state=0).fit(X)


CALLS = {
    "save": ("path", lambda model, path: model.save(path)),
    "autoenc.save": ("path", lambda model, path: autoenc.save(model, path)),
    "load": ("path", lambda model, path: autoenc.load(path)),
    "load_predictor": ("path", lambda model, path: autoenc.load_predictor(path)),
    "to_c": ("path", lambda model, path: model.to_c(path)),
    "to_onnx": ("path", lambda model, path: model.to_onnx(path)),
    "explore": ("path", lambda model, path: model.explore(path, X)),
    "checkpoint": ("checkpoint", lambda model, path: model.fit(X, checkpoint=path)),
    "Checkpoint": ("path", lambda model, path: Checkpoint(path)),
    "CSVLogger": ("path", lambda model, path: CSVLogger(path)),
    "TensorBoard": ("log_dir", lambda model, path: TensorBoard(path)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("path", [3, 2.5, None, b"model", ["model"]])
def test_what_is_no_path_is_named(call, path, model, tmp_path, monkeypatch):
    if path is None and call in ("to_c", "to_onnx", "checkpoint"):
        return  # no file is wanted
    monkeypatch.chdir(tmp_path)
    name, made = CALLS[call]
    with pytest.raises(TypeError) as error:
        made(model, path)
    assert str(error.value) == f"{name} is {path!r}; allowed are str and path-like objects, such as pathlib.Path"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", CALLS)
def test_a_zero_character_is_named(call, model):
    name, made = CALLS[call]
    with pytest.raises(ValueError, match=rf"^{name} is 'a\\x00b'; allowed are names without a zero character$"):
        made(model, "a\0b")
