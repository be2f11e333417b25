"""The nearest of some training rows, with the same bits for a row in any company."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec
from autoenc._spec import Node

VALUES_AT_ONCE = 2**20  # of distances


class Landmarks:
    """Rows that others are compared with (Sugiyama and Borgwardt 2013, Rapid distance-based outlier detection via
    sampling). Plain arrays; the core's predictor is made at first use and not kept in pickles.

    ``|z - r|^2`` is least where ``r.z - |r|^2 / 2`` is largest, which is a dense layer; the core's products do not
    depend on the other rows.

    Attributes
    ----------
    rows : ndarray of shape (n_landmarks, n_features)
        Different rows.
    single : ndarray of bool of shape (n_landmarks,)
        Whether the row occurred once.
    """

    def __init__(self, Z: NDArray[Any]) -> None:
        self.rows, counts = np.unique(Z, axis=0, return_counts=True)
        self.single = counts == 1
        self._core: tuple[int, _core.Predictor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_core": None}

    def _predictor(self) -> _core.Predictor:
        # A fork may have come while another thread was inside the parent's.
        process = os.getpid()
        if self._core is None or self._core[0] != process:
            n, d = self.rows.shape
            nodes = [
                Node(kind="input", name="row", inputs=(), fields={"width": d, "source": 0}),
                Node(kind="dense", name="near", inputs=("row",), fields={"width": n, "activation": "identity"}),
            ]
            half = -0.5 * np.square(self.rows.astype(np.float64)).sum(axis=1)
            core = _core.Predictor(
                _spec.node_array(nodes),
                [np.ascontiguousarray(self.rows.T), half.astype(self.rows.dtype)[np.newaxis]],
                precision=8 * self.rows.dtype.itemsize,
            )
            self._core = process, core
        return self._core[1]

    def differences(self, Z: NDArray[Any]) -> NDArray[np.float64]:
        """Rows less the nearest landmark.

        A landmark that equals the row counts only where it occurred more than once: a row that is a landmark itself is
        thus compared with the others, as a fresh one is.
        """
        out = np.empty(Z.shape)
        core, at_once = self._predictor(), max(1, VALUES_AT_ONCE // len(self.rows))
        for first in range(0, len(Z), at_once):
            part = Z[first : first + at_once]
            nearness = core.run([part], 1)
            nearest = nearness.argmax(axis=1)
            difference = np.subtract(part, self.rows[nearest], out=out[first : first + at_once], dtype=np.float64)
            itself = np.flatnonzero(self.single[nearest] & ~difference.any(axis=1))
            if len(itself) and len(self.rows) > 1:
                rest = nearness[itself]
                rest[np.arange(len(itself)), nearest[itself]] = -np.inf
                difference[itself] = part[itself] - self.rows[rest.argmax(axis=1)].astype(np.float64)
        return out
