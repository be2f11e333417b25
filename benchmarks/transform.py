"""Rows a second of `transform` over many rows, ours beside runtimes that only evaluate networks.

Every subject encodes the same float32 rows by the same weights into a new array, and its codes are compared with a
float64 reference before its time counts. Peers choose among batch sizes when they start.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import choose, measure, say
from benchmarks.worker import THREADS

DESCRIPTION = "rows a second of transform over many rows: ONNX Runtime, torch, MLPRegressor, ours"

Rows = NDArray[np.float32]
Encode = Callable[[Rows], NDArray[Any]]
Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

TOLERANCE = 1e-5  # largest error that a peer's codes may have, relative to the largest code
_FITTED = 2048  # rows that the network is fitted to, for one epoch
_JUDGED = 2000
_TRIED = 0.1  # seconds for which a batch size is tried
_BATCHES = (64, 256, 1024, 4096, 16384, 65536)


def _tables(rows: int) -> Rows:
    """Repeats 50,000 different rows, whose making takes long; no cache that they would stay in is as large as they."""
    return np.resize(data.table(min(rows, 50_000)), (rows, 30))


def _images(rows: int) -> Rows:
    return np.resize(data.mnist_pixels(), (rows, 784))


@dataclass(frozen=True)
class Encoder:
    """relu between the layers, a linear code."""

    widths: tuple[int, ...]
    rows: int
    passes: int  # in a round
    load: Callable[[int], Rows]

    @property
    def flops(self) -> int:
        """Multiplications and additions of the products of one row."""
        return 2 * sum(a * b for a, b in pairwise(self.widths))

    @property
    def title(self) -> str:
        return "-".join(map(str, self.widths))


ENCODERS = {
    "small": Encoder((30, 64, 32, 16), 1_000_000, 5, _tables),
    "deep": Encoder((784, 1000, 500, 250, 30), 100_000, 1, _images),
}


def _fitted(encoder: Encoder, X: Rows) -> Any:
    """The estimator, the same in every process."""
    from autoenc import Autoencoder

    return Autoencoder(
        n_components=encoder.widths[-1],
        hidden_layer_sizes=encoder.widths[1:-1],
        activation="relu",
        max_iter=1,
        n_jobs=THREADS,
        random_state=0,
    ).fit(X[:_FITTED])


def _weights(estimator: Any, encoder: Encoder) -> Weights:
    n = len(encoder.widths) - 1
    return list(zip(estimator.coefs_[:n], estimator.intercepts_[:n], strict=True))


def _reference(weights: Weights, X: Rows) -> NDArray[np.float64]:
    value = X.astype(np.float64)
    for i, (W, b) in enumerate(weights):
        value = value @ W.astype(np.float64) + b
        value = np.maximum(value, 0) if i + 1 < len(weights) else value
    return value


def _best_batch(encode: Callable[[Rows, NDArray[np.float32], int], None], X: Rows, width: int) -> tuple[Encode, str]:
    """Encoding by the batch size that takes least time a row: `encode` fills an array batch by batch."""

    def fill(batch: int, rows: Rows) -> NDArray[np.float32]:
        out = np.empty((len(rows), width), dtype=np.float32)
        encode(rows, out, batch)
        return out

    times = {}
    for batch in (*(b for b in _BATCHES if b < len(X)), len(X)):
        part = X[: max(batch, 4096)]
        fill(batch, part)
        seconds = []
        stop = time.perf_counter() + _TRIED
        while len(seconds) < 2 or time.perf_counter() < stop:
            start = time.perf_counter()
            fill(batch, part)
            seconds.append(time.perf_counter() - start)
        times[batch] = min(seconds) / len(part)
    best = min(times, key=times.__getitem__)
    return partial(fill, best), f"batch {best:,}"


def _onnx_runtime(estimator: Any, encoder: Encoder, X: Rows) -> tuple[Encode, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    model = estimator.to_onnx(part="encoder").SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()

    def encode(rows: Rows, out: NDArray[np.float32], batch: int) -> None:
        # Bound memory: it reads and writes in place, where `session.run` would make an array for each batch.
        binding = session.io_binding()
        for start in range(0, len(rows), batch):
            x, code = rows[start : start + batch], out[start : start + batch]
            binding.bind_input(taken.name, "cpu", 0, np.float32, x.shape, x.ctypes.data)
            binding.bind_output(given.name, "cpu", 0, np.float32, code.shape, code.ctypes.data)
            session.run_with_iobinding(binding)

    call, note = _best_batch(encode, X, encoder.widths[-1])
    return call, f"{onnxruntime.__version__}, {note}"


def _torch(estimator: Any, encoder: Encoder, X: Rows) -> tuple[Encode, str]:
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)
    layers: list[nn.Module] = []
    with torch.no_grad():
        for W, b in _weights(estimator, encoder):
            linear = nn.Linear(*W.shape)
            linear.weight.copy_(torch.from_numpy(W.T.copy()))
            linear.bias.copy_(torch.from_numpy(b.copy()))
            layers += [linear, nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers[:-1]).eval()

    def encode(rows: Rows, out: NDArray[np.float32], batch: int) -> None:
        with torch.inference_mode():
            x, codes = torch.from_numpy(rows), torch.from_numpy(out)
            for start in range(0, len(rows), batch):
                codes[start : start + batch] = model(x[start : start + batch])

    return _best_batch(encode, X, encoder.widths[-1])


def _mlp(estimator: Any, encoder: Encoder, X: Rows) -> tuple[Encode, str]:
    from sklearn.neural_network import MLPRegressor

    weights = _weights(estimator, encoder)
    model = MLPRegressor(hidden_layer_sizes=encoder.widths[1:-1], max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:256], np.zeros((256, encoder.widths[-1]), dtype=np.float32))
    model.coefs_, model.intercepts_ = [W.copy() for W, _ in weights], [b.copy() for _, b in weights]

    def encode(rows: Rows, out: NDArray[np.float32], batch: int) -> None:
        for start in range(0, len(rows), batch):
            out[start : start + batch] = model.predict(rows[start : start + batch])

    return _best_batch(encode, X, encoder.widths[-1])


def _transform(estimator: Any, encoder: Encoder, X: Rows) -> tuple[Encode, str]:
    return estimator.transform, ""


def _predictor(estimator: Any, encoder: Encoder, X: Rows) -> tuple[Encode, str]:
    return estimator.predictor(n_jobs=THREADS), ""


OURS = "ours transform"
SUBJECTS: dict[str, Callable[[Any, Encoder, Rows], tuple[Encode, str]]] = {
    "ONNX Runtime": _onnx_runtime,
    "torch inference_mode": _torch,
    "MLPRegressor.predict": _mlp,
    OURS: _transform,
    "ours predictor": _predictor,
}


class ManyRows:
    """One way of encoding; a round is some passes over all rows."""

    def __init__(self, name: str, encoder: str, rows: int) -> None:
        self._encoder = ENCODERS[encoder]
        self._X = self._encoder.load(rows)
        estimator = _fitted(self._encoder, self._X)
        self._judged = np.linspace(0, rows - 1, min(rows, _JUDGED)).astype(np.int64)
        self._expected = _reference(_weights(estimator, self._encoder), self._X[self._judged])
        self._encode, self.note = SUBJECTS[name](estimator, self._encoder, self._X)
        self._encode(self._X)

    def round(self) -> dict[str, Any]:
        seconds = []
        for _ in range(self._encoder.passes):
            start = time.perf_counter()
            codes = self._encode(self._X)
            seconds.append(time.perf_counter() - start)
        if codes.shape != (len(self._X), self._encoder.widths[-1]) or codes.dtype != np.float32:
            raise RuntimeError(f"codes of shape {codes.shape} and type {codes.dtype}")
        error = np.abs(codes[self._judged] - self._expected).max() / np.abs(self._expected).max()
        return {"seconds": seconds, "error": float(error)}


def open_subject(name: str, encoder: str, rows: int) -> ManyRows:
    """One way of encoding as a subject for `benchmarks.worker`."""
    return ManyRows(name, encoder, rows)


_ROOF = "sgemm roof"
Outcome = tuple[dict[str, list[dict[str, Any]]], dict[str, str], dict[str, str]]


def _section(encoder: Encoder, rows: int, names: Sequence[str], outcome: Outcome, roof: float) -> str:
    results, notes, reasons = outcome
    errors = {name: max(r["error"] for r in results[name]) for name in names if name in results}
    middles = {name: [statistics.median(r["seconds"]) for r in results[name]] for name in errors}
    ours = middles.get(OURS) if errors.get(OURS, 1.0) <= TOLERANCE else None
    lines = []
    for name in names:
        if name in reasons:
            lines.append([name, "", "", "", "", reasons[name]])
            continue
        seconds = [s for r in results[name] for s in r["seconds"]]
        if not errors[name] <= TOLERANCE:
            lines.append([name, "", "", "", f"{errors[name]:.1e}", "codes differ: not compared"])
            continue
        ratio = report.spread(a / b for a, b in zip(middles[name], ours, strict=True)) if ours else ""
        fraction = encoder.flops * rows / statistics.median(seconds) / (roof * 1e9)
        speed = report.spread(1e-3 * rows / s for s in seconds)
        lines.append([name, speed, ratio, f"{100 * fraction:.1f} %", f"{errors[name]:.1e}", notes[name]])
    text = (
        f"### {encoder.title}, {rows:,} rows\n\n"
        f"{encoder.flops / 1e3:.4g} kflop a row, {1e-3 * roof * 1e9 / encoder.flops:.4g} thousand rows a second at the "
        f"roof; largest error relative to the largest code, at most {TOLERANCE:.0e} or not compared.\n\n"
    )
    head = ("call", "1000 rows a second", "time / ours", "of the roof", "error", "note")
    return text + report.table(head, lines)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks transform", description=DESCRIPTION)
    parser.add_argument("--encoders", help=f"comma-separated, of {', '.join(ENCODERS)} (default: all)")
    parser.add_argument("--peers", help=f"comma-separated, of {', '.join(SUBJECTS)} (default: all)")
    parser.add_argument("--rows", type=int, help="rows of every encoder (default: 1,000,000 and 100,000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="also write the tables to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    encoders = choose(options.encoders, list(ENCODERS), "encoder")
    names = choose(options.peers, list(SUBJECTS), "peer")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {options.rounds}")
    if options.rows is not None and options.rows < _FITTED:
        parser.error(f"--rows must be at least {_FITTED}; got {options.rows}")
    facts = report.circumstances(["transform", *arguments])
    outcomes: dict[str, tuple[int, Outcome]] = {}
    for which in encoders:
        rows = options.rows or ENCODERS[which].rows
        say(f"{ENCODERS[which].title}, {rows} rows")
        subjects: dict[str, tuple[str, dict[str, Any]]] = {_ROOF: ("benchmarks.roof", {})}
        for name in names:
            subjects[name] = ("benchmarks.transform", {"name": name, "encoder": which, "rows": rows})
        outcomes[which] = rows, measure(subjects, options.rounds)
    roof = max(r["gflops"] for _, (results, _, _) in outcomes.values() for r in results[_ROOF])
    sections = [_section(ENCODERS[which], rows, names, outcome, roof) for which, (rows, outcome) in outcomes.items()]
    text = (
        f"{facts}\n* {options.rounds} rounds of all in turn, two threads each, each in its own process; a sample is a "
        "pass over all float32 rows into a new array; relu between the layers, linear code\n"
        f"* roof: {roof:.0f} GFLOP/s, the best float32 sgemm on two threads\n\n" + "\n\n".join(sections)
    )
    report.publish("transform", text, options.write)
