"""The nearest of some training rows, with the same bits for a row in any company. NumPy and the extension only."""

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec
from autoenc._spec import Node

VALUES_AT_ONCE = 2**20  # of distances


class Landmarks:
    """Rows of several groups that others are compared with (Sugiyama and Borgwardt 2013, Rapid distance-based outlier
    detection via sampling). Plain arrays; the core's networks are made at first use and not kept in pickles.

    ``|z - r|^2`` is least where ``r.z - |r|^2 / 2`` is largest, which is a dense layer; the core's products do not
    depend on the other rows. What is missing (NaN) in a landmark is zero. What is missing in a row has no part in the
    distance: half of the landmark's squares there are added again, which adds zeros for a complete row.

    Parameters
    ----------
    groups : sequence of ndarray of shape (n_rows, n_features)
        The landmarks of each group.

    Attributes
    ----------
    rows : ndarray of shape (n_groups, n_landmarks, n_features)
        Different rows; groups of fewer than the largest end with zeros, which are never nearest.
    single : ndarray of bool of shape (n_groups, n_landmarks)
        Whether the row occurred once, beside others.
    weight, bias : ndarray of shape (n_features, n_groups * n_landmarks) and (1, n_groups * n_landmarks)
        Of the dense layer.
    """

    def __init__(self, groups: Sequence[NDArray[Any]]) -> None:
        found = [np.unique(np.where(np.isnan(Z), 0, Z), axis=0, return_counts=True) for Z in groups]
        dtype, d = groups[0].dtype, groups[0].shape[1]
        most = max(len(rows) for rows, _ in found)
        self.rows = np.zeros((len(found), most, d), dtype=dtype)
        self.single = np.zeros((len(found), most), dtype=bool)
        bias = np.full((len(found), most), -np.finfo(dtype).max, dtype=dtype)
        for i, (rows, counts) in enumerate(found):
            n = len(rows)
            self.rows[i, :n], self.single[i, :n] = rows, (counts == 1) & (n > 1)
            bias[i, :n] = -0.5 * np.square(rows.astype(np.float64)).sum(axis=1)
        self._take(bias.reshape(1, -1))

    @classmethod
    def of_arrays(cls, rows: NDArray[Any], single: NDArray[np.bool_], bias: NDArray[Any]) -> Self:
        """What was made of groups before, from its attributes."""
        new = cls.__new__(cls)
        new.rows, new.single = rows, single
        new._take(bias)
        return new

    def _take(self, bias: NDArray[Any]) -> None:
        self.weight = np.ascontiguousarray(self.rows.reshape(-1, self.rows.shape[2]).T)
        self.bias = bias
        self._group = np.arange(len(self.rows))
        self._networks: tuple[int, list[_core.Predictor]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_networks": None}

    def layer(self, name: str, row: str) -> Node:
        """The dense layer, whose answer `nearest` takes."""
        return Node(kind="dense", name=name, inputs=(row,), fields={"width": self.bias.size, "activation": "identity"})

    def _run(self, which: int, Z: NDArray[Any]) -> NDArray[Any]:
        """What the dense layer says of rows (0), and what it lacks where they are incomplete (1)."""
        # A fork may have come while another thread was inside the parent's.
        process = os.getpid()
        if self._networks is None or self._networks[0] != process:
            width, bits = self.weight.shape[0], 8 * self.weight.dtype.itemsize
            row = Node(kind="input", name="row", inputs=(), fields={"width": width, "source": 0})
            nodes = _spec.node_array([row, self.layer("near", "row")])
            squares = (0.5 * np.square(self.weight.astype(np.float64))).astype(self.weight.dtype)
            layers = [[self.weight, self.bias], [squares, np.zeros_like(self.bias)]]
            self._networks = process, [_core.Predictor(nodes, layer, precision=bits) for layer in layers]
        return self._networks[1][which].run([Z], 1)

    def nearest(
        self, Z: NDArray[Any], missing: NDArray[np.bool_] | None = None, near: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The nearest landmark of each group, for each row.

        A landmark that equals the row counts only where it occurred more than once: a row that is a landmark itself is
        thus compared with the others, as a fresh one is.

        Parameters
        ----------
        Z : ndarray of shape (n_rows, n_features)
            Rows.
        missing : ndarray of bool of shape (n_rows, n_features), default=None
            What is missing in them. None: nothing.
        near : ndarray of shape (n_rows, n_groups * n_landmarks), default=None
            What the dense layer says of them; it is overwritten. None: it is run here.

        Returns
        -------
        ndarray of shape (n_rows, n_groups, n_features)
        """
        if missing is not None:
            Z = np.where(missing, Z.dtype.type(0), Z)
        if near is not None:
            return self._nearest(Z, missing, near)
        out = np.empty((len(Z), len(self.rows), Z.shape[1]), dtype=Z.dtype)
        at_once = max(1, VALUES_AT_ONCE // self.bias.size)
        for first in range(0, len(Z), at_once):
            part = slice(first, first + at_once)
            out[part] = self._nearest(Z[part], None if missing is None else missing[part], self._run(0, Z[part]))
        return out

    def _nearest(self, Z: NDArray[Any], missing: NDArray[np.bool_] | None, near: NDArray[Any]) -> NDArray[Any]:
        if missing is not None:
            some = np.flatnonzero(missing.any(axis=1))
            if len(some):
                near[some] += self._run(1, missing[some].astype(Z.dtype))
        near = near.reshape(len(Z), *self.single.shape)
        at = near.argmax(axis=2)
        rows: NDArray[Any] = self.rows[self._group, at]
        itself = self.single[self._group, at] & (rows == Z[:, np.newaxis]).all(axis=2)
        if itself.any():
            i, group = np.nonzero(itself)
            rest = near[i, group]
            rest[np.arange(len(i)), at[i, group]] = -np.inf
            rows[i, group] = self.rows[group, rest.argmax(axis=1)]
        return rows
