"""Cost of a row in a fit, from ten thousand to ten million rows of a float32 memory map.

An epoch should cost the same for each row however many there are: nothing is held that grows with them, and the next
rows are asked for while these are computed. The whole call has what is paid once besides, which many rows share, and
two passes over the rows before the first epoch (what is not finite; means and variances).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data, report
from benchmarks.runner import measure, say
from benchmarks.worker import THREADS

DESCRIPTION = "nanoseconds a row of fit on a float32 memory map of 10,000 to 10,000,000 rows"

_COLUMNS = 30
_DIFFERENT = 50_000  # rows, then they come again
_BATCH = 256
_PRESENTED = 2_000_000  # rows of the timed epochs of a round, at least


class RowsFit:
    """A round is a fit of one epoch, and one of several of which all but the first are timed."""

    note = ""

    def __init__(self, path: str, rows: int) -> None:
        from autoenc import Autoencoder

        self._class = Autoencoder
        self._X = np.memmap(path, dtype=np.float32, mode="r", shape=(rows, _COLUMNS))
        self._epochs = 1 + -(-_PRESENTED // rows)
        self._fit(1)

    def _fit(self, epochs: int) -> tuple[float, list[float]]:
        """Seconds of the call, and of each epoch but the first."""
        ticks: list[float] = []
        estimator = self._class(
            n_components=16,
            hidden_layer_sizes=(64, 32),
            activation="relu",
            batch_size=_BATCH,
            max_iter=epochs,
            n_jobs=THREADS,
            random_state=0,
            callbacks=[lambda *_: ticks.append(time.perf_counter())],
        )
        start = time.perf_counter()
        estimator.fit(self._X)
        seconds = time.perf_counter() - start
        loss = estimator.loss_curve_[-1]
        if len(ticks) != epochs or not loss < (1.5 if epochs == 1 else 0.9):  # the means alone have 1
            raise RuntimeError(f"{len(ticks)} of {epochs} epochs, loss {loss}")
        return seconds, list(np.diff(ticks))

    def round(self) -> dict[str, Any]:
        return {"call": self._fit(1)[0], "epochs": self._fit(self._epochs)[1]}


def open_subject(path: str, rows: int) -> RowsFit:
    """A fit on a memory map as a subject for `benchmarks.worker`."""
    return RowsFit(path, rows)


def _write_map(path: Path, rows: int) -> None:
    X = data.table(min(rows, _DIFFERENT))
    with path.open("wb") as file:
        for start in range(0, rows, len(X)):
            X[: rows - start].tofile(file)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fit-rows", description=DESCRIPTION)
    parser.add_argument(
        "--rows", default="10000,100000,1000000,10000000", help="comma-separated (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    counts = [int(text) for text in options.rows.split(",")]
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {options.rounds}")
    if min(counts) < _BATCH:
        parser.error(f"--rows must be at least {_BATCH} each; got {options.rows}")
    facts = report.circumstances(["fit-rows", *arguments])
    with tempfile.TemporaryDirectory() as folder:
        subjects: dict[str, tuple[str, dict[str, Any]]] = {}
        for count in counts:
            say(f"  writing {count} rows")
            path = Path(folder) / f"{count}.f32"
            _write_map(path, count)
            subjects[f"{count:,}"] = ("benchmarks.fit_rows", {"path": str(path), "rows": count})
        results, _, reasons = measure(subjects, options.rounds)
    lines = []
    first: list[float] = []
    for count in counts:
        name = f"{count:,}"
        if name in reasons:
            lines.append([name, "", "", "", "", reasons[name]])
            continue
        middles = [statistics.median(r["epochs"]) / count for r in results[name]]
        first = first or middles
        ratio = report.spread(a / b for a, b in zip(middles, first, strict=True))
        epochs = report.spread(1e9 * s / count for r in results[name] for s in r["epochs"])
        calls = report.spread(1e9 * r["call"] / count for r in results[name])
        lines.append([name, f"{4e-6 * count * _COLUMNS:.0f}", epochs, ratio, calls, ""])
    text = (
        f"{facts}\n* 30-64-32-16 mirrored, relu, squared error, AdamW, batch {_BATCH}, two threads; float32 memory map "
        f"in the page cache; {options.rounds} rounds of all in turn, each in its own process; an epoch is a sample, "
        "the first of a fit is none; the ratio is that of the medians of a round; wanted: the same for all\n\n"
    )
    head = ("rows", "data, MB", "ns a row of an epoch", "to the first line", "ns a row of a fit of one epoch", "note")
    report.publish("fit-rows", text + report.table(head, lines), options.write)
