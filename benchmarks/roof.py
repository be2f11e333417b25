"""The roof: how fast this machine multiplies and adds in float32, by a large product on two threads.

sgemm reaches most, not all, of what the FMA units can do, so a fraction of this roof is a little flattering.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np


class SgemmRoof:
    """Best rate seen over squares of 1024 and 2048."""

    note = "numpy sgemm"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._pairs = []
        for n in (1024, 2048):
            A, B = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
            self._pairs.append((A, B, np.empty_like(A)))

    def round(self) -> dict[str, Any]:
        best = 0.0
        for A, B, C in self._pairs:
            np.matmul(A, B, out=C)
            stop = time.perf_counter() + 0.3
            while (start := time.perf_counter()) < stop:
                np.matmul(A, B, out=C)
                best = max(best, 2 * len(A) ** 3 / (time.perf_counter() - start) / 1e9)
        return {"gflops": best}


def open_subject() -> SgemmRoof:
    """The roof as a subject for `benchmarks.worker`."""
    return SgemmRoof()
