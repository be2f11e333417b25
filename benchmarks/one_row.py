"""Time to encode one row, as a service does: the whole call from a NumPy row to the code, or from C to C."""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import choose, measure

DESCRIPTION = (
    "microseconds per call on one row: PCA, MLPRegressor, torch, Autoencoder.transform, predictor, generated C"
)

Call = Callable[[NDArray[np.float32]], object]

GENERATED = "ours to_c, from C"

_CHUNK = 100  # calls behind one sample
_ROWS = 2000


def _pca(X: NDArray[np.float32]) -> Call:
    from sklearn.decomposition import PCA

    return PCA(n_components=16).fit(X).transform


def _mlp(X: NDArray[np.float32]) -> Call:
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes = PCA(n_components=16).fit_transform(X)
        model = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=2, random_state=0).fit(X, codes)
    return model.predict


def _torch(X: NDArray[np.float32]) -> Call:
    import torch
    from torch import nn

    torch.set_num_threads(2)
    layers = [nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)]
    encoder = nn.Sequential(*layers).eval()

    def encode(row: NDArray[np.float32]) -> object:
        with torch.inference_mode():
            return encoder(torch.from_numpy(row)).numpy()

    return encode


def _fitted(X: NDArray[np.float32]) -> Any:
    from autoenc import Autoencoder

    estimator = Autoencoder(
        n_components=16, hidden_layer_sizes=(64, 32), activation="relu", max_iter=2, n_jobs=2, random_state=0
    )
    return estimator.fit(X)


def _ours(X: NDArray[np.float32], predictor: bool) -> Call:
    estimator = _fitted(X)
    return estimator.predictor() if predictor else estimator.transform


# A program in C calls it row after row; what it learns from one call may not make the next one needless.
_LOOP = """
void loop(const float *rows, long n, float *codes) {
    for (long i = 0; i < n; i++)
        model_encode(rows + i * MODEL_N_FEATURES, codes + i * MODEL_N_COMPONENTS);
}
"""


def _generated(X: NDArray[np.float32]) -> Call:
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "model.c"), Path(folder, "model.so")
        source.write_text(_fitted(X).to_c() + _LOOP, encoding="utf-8")
        flags = ["-std=c99", "-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, "-o", str(library), str(source), "-lm"], check=True)
        loop = ctypes.CDLL(str(library)).loop

    def encode(rows: NDArray[np.float32]) -> object:
        codes = np.empty((len(rows), 16), np.float32)
        loop(ctypes.c_void_p(rows.ctypes.data), ctypes.c_long(len(rows)), ctypes.c_void_p(codes.ctypes.data))
        return codes

    return encode


# All but PCA compute the encoder 30-64-32-16 with relu between.
SUBJECTS: dict[str, Callable[[NDArray[np.float32]], Call]] = {
    "PCA.transform": _pca,
    "MLPRegressor.predict": _mlp,
    "torch inference_mode": _torch,
    "ours transform": partial(_ours, predictor=False),
    "ours predictor": partial(_ours, predictor=True),
    GENERATED: _generated,
}


class OneRow:
    """One way of encoding; a round is some thousand calls on changing rows."""

    note = ""

    def __init__(self, name: str) -> None:
        X = data.table(_ROWS)
        self._call = SUBJECTS[name](X)
        self._rows = [X[i : i + 1] for i in range(_ROWS)]
        self._many = [X[i : i + _CHUNK] for i in range(0, _ROWS, _CHUNK)] if name == GENERATED else None
        if np.asarray(self._call(self._rows[0])).shape != (1, 16):
            raise RuntimeError(f"{name} gave a code of another shape than (1, 16)")

    def round(self) -> dict[str, Any]:
        call, samples = self._call, []
        for first in range(0, _ROWS, _CHUNK):
            # One call of Python's for all that C calls.
            chunk = self._rows[first : first + _CHUNK] if self._many is None else [self._many[first // _CHUNK]]
            start = time.perf_counter()
            for row in chunk:
                call(row)
            samples.append(1e6 * (time.perf_counter() - start) / _CHUNK)
        return {"us": samples}


def open_subject(name: str) -> OneRow:
    """One way of encoding as a subject for `benchmarks.worker`."""
    return OneRow(name)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks transform-one-row", description=DESCRIPTION)
    parser.add_argument("--peers", help=f"comma-separated, of {', '.join(SUBJECTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {options.rounds}")
    names = choose(options.peers, list(SUBJECTS), "peer")
    facts = report.circumstances(["transform-one-row", *arguments])
    results, _, reasons = measure({name: ("benchmarks.one_row", {"name": name}) for name in names}, options.rounds)
    rows = []
    for name in names:
        if name in reasons:
            rows.append([name, "", reasons[name]])
        else:
            rows.append([name, report.spread(us for r in results[name] for us in r["us"]), ""])
    text = (
        f"{facts}\n* one float32 row of 30 columns to 16; all but PCA are the encoder 30-64-32-16 relu; "
        f"a sample is the mean of {_CHUNK} calls\n\n"
    )
    report.publish("transform-one-row", text + report.table(("call", "microseconds", "note"), rows), options.write)
