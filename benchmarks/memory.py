"""Anonymous memory that a fit takes when its data are a float32 memory map. Linux only.

RssAnon leaves out the pages of the map itself. It is sampled from outside the process: a thread within would see
nothing while a fit holds the interpreter's lock.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.runner import SubjectUnavailable, Worker, choose, say

DESCRIPTION = "peak anonymous memory of fit on a float32 memory map of 50,000 and 500,000 rows"

_COLUMNS = 100
_WIDTHS = (100, 64, 16, 64, 100)
_PEERS = ("ours", "torch", "sklearn")
_EPOCHS = 2
_BATCH = 256


class MappedFit:
    """A fit of 100-64-16-64-100 on a memory map; everything it needs is imported before the round."""

    note = ""

    def __init__(self, peer: str, path: str, rows: int) -> None:
        self._peer = peer
        self._X = np.memmap(path, dtype=np.float32, mode="r", shape=(rows, _COLUMNS))
        if peer == "ours":
            from autoenc import Autoencoder  # noqa: F401
        elif peer == "torch":
            import torch  # noqa: F401
        else:
            from sklearn.neural_network import MLPRegressor  # noqa: F401

    def round(self) -> dict[str, Any]:
        start = time.perf_counter()
        {"ours": self._fit_ours, "torch": self._fit_torch, "sklearn": self._fit_sklearn}[self._peer]()
        return {"seconds": time.perf_counter() - start}

    def _fit_ours(self) -> None:
        from autoenc import Autoencoder

        Autoencoder(
            n_components=16,
            hidden_layer_sizes=(64,),
            activation="relu",
            batch_size=_BATCH,
            max_iter=_EPOCHS,
            n_jobs=2,
            random_state=0,
        ).fit(self._X)

    def _fit_torch(self) -> None:
        import torch
        from torch import nn

        torch.set_num_threads(2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the map is read-only
            x = torch.from_numpy(self._X)
        layers: list[nn.Module] = []
        for d_in, d_out in pairwise(_WIDTHS):
            layers += [nn.Linear(d_in, d_out), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for _ in range(_EPOCHS):
            order = torch.randperm(len(x))
            for i in range(0, len(x), _BATCH):
                batch = x[order[i : i + _BATCH]]
                optimizer.zero_grad(set_to_none=True)
                nn.functional.mse_loss(model(batch), batch).backward()
                optimizer.step()

    def _fit_sklearn(self) -> None:
        from sklearn.neural_network import MLPRegressor

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            MLPRegressor(hidden_layer_sizes=_WIDTHS[1:-1], batch_size=_BATCH, max_iter=_EPOCHS, random_state=0).fit(
                self._X, self._X
            )


def open_subject(peer: str, path: str, rows: int) -> MappedFit:
    """A fit on a memory map as a subject for `benchmarks.worker`."""
    return MappedFit(peer, path, rows)


def rss_anon(pid: int) -> float:
    """RssAnon of a process in MB (1e6 bytes)."""
    content = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^RssAnon:\s+(\d+) kB$", content, re.MULTILINE)
    if found is None:
        raise RuntimeError("this kernel does not report RssAnon")
    return int(found[1]) * 1024 / 1e6


def peak_growth(worker: Worker) -> tuple[float, float, float]:
    """RssAnon before a round and its highest rise in the round, both in MB, and the seconds of the round."""
    start = peak = rss_anon(worker.pid)
    finished = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not finished.wait(0.002):
            try:
                peak = max(peak, rss_anon(worker.pid))
            except (OSError, RuntimeError):  # the process has ended
                return

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        seconds = worker.round()["seconds"]
    finally:
        finished.set()
        sampler.join()
    return start, peak - start, seconds


def _write_map(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, rows, 50_000):
            rng.standard_normal((min(50_000, rows - start), _COLUMNS), dtype=np.float32).tofile(file)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=DESCRIPTION)
    parser.add_argument("--peers", help=f"comma-separated, of {', '.join(_PEERS)} (default: all)")
    parser.add_argument(
        "--rows", default="50000,500000", help="comma-separated numbers of rows (default: 50000,500000)"
    )
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    peers = choose(options.peers, _PEERS, "peer")
    facts = report.circumstances(["memory", *arguments])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (int(text) for text in options.rows.split(",")):
            path = Path(folder) / f"{count}.f32"
            _write_map(path, count)
            for peer in peers:
                say(f"  {peer}, {count} rows")
                line = [peer, f"{count:,}", f"{4e-6 * count * _COLUMNS:.0f}"]
                try:
                    with Worker("benchmarks.memory", {"peer": peer, "path": str(path), "rows": count}) as worker:
                        start, growth, seconds = peak_growth(worker)
                    rows.append([*line, f"{start:.0f}", f"{growth:.1f}", f"{seconds:.1f}", ""])
                except SubjectUnavailable as error:
                    rows.append([*line, "", "", "", str(error)])
            path.unlink()
    text = (
        f"{facts}\n* {'-'.join(map(str, _WIDTHS))} relu, batch {_BATCH}, {_EPOCHS} epochs, float32 memory map "
        f"of {_COLUMNS} columns; RssAnon is sampled every 2 ms, each fit in a fresh process; MB are 1e6 bytes\n\n"
    )
    head = ("peer", "rows", "data, MB", "RssAnon before, MB", "rise in fit, MB", "seconds", "note")
    report.publish("memory", text + report.table(head, rows), options.write)
