"""Moments, medians and thresholds over rows, with weights, of dense and sparse data to the same bits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from autoenc._row_blocks import row_blocks


def moments(X: Any, weights: NDArray[np.float64] | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means and standard deviations of columns; of a dense and a sparse matrix of the same values to the bit.

    NaN is left out; a column of nothing else has NaN. Every sum runs over the rows in order, and what is zero is
    counted, not summed. Columns are brought near one by powers of two, so that no square overflows.
    """
    n, d = X.shape
    largest, has_nan = np.zeros(d), False
    for block in row_blocks(X):
        values = abs(X[block])
        part = values.data if sp.issparse(X) else values
        missing = np.isnan(part)
        if missing.any():
            part[missing], has_nan = 0.0, True
        top = values.max(axis=0)
        np.maximum(largest, top.toarray().ravel() if sp.issparse(X) else top, out=largest)
    exponent = np.frexp(largest)[1]

    def total(
        term: Callable[[NDArray[np.float64], Any], NDArray[Any]], w: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        out = np.zeros(d)
        for block in row_blocks(X):
            part = X[block]
            if sp.issparse(X):
                values = np.ldexp(part.data.astype(np.float64), -exponent[part.indices])
                terms = term(values, part.indices).astype(np.float64)
                if w is not None:
                    terms *= np.repeat(w[block], np.diff(part.indptr))
                # The sum so far goes first, so that the blocks do not show in the order.
                columns = np.concatenate([np.arange(d), part.indices])
                out = np.bincount(columns, weights=np.concatenate([out, terms]), minlength=d)
            else:
                values = np.ldexp(np.ascontiguousarray(part, dtype=np.float64), -exponent)
                terms = term(values, slice(None)).astype(np.float64)
                if w is not None:
                    terms *= w[block, np.newaxis]
                terms[0] += out
                out = np.add.accumulate(terms, axis=0)[-1]
        return out

    def amounts(w: NDArray[np.float64] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of what is there, and of what is there and zero: by number or by weight."""
        there = np.full(d, float(n) if w is None else w.sum())
        if has_nan:
            there -= total(lambda values, _: np.isnan(values), w)
        return there, there - total(lambda values, _: (values != 0.0) & ~np.isnan(values), w)

    there, zeros = counts, n_zeros = amounts(None)
    if weights is not None:
        there, zeros = amounts(weights)
        zeros = np.where(n_zeros > 0.0, np.maximum(zeros, 0.0), 0.0)  # not the rounding of a difference
    there = np.where(counts > 0.0, there, np.nan)
    mean = total(lambda values, _: np.nan_to_num(values) if has_nan else values, weights) / there

    def square(values: NDArray[np.float64], at: Any) -> NDArray[np.float64]:
        return np.where((values != 0.0) & ~np.isnan(values), (values - mean[at]) ** 2, 0.0)

    variance = (total(square, weights) + zeros * mean**2) / there
    return np.ldexp(mean, exponent), np.ldexp(np.sqrt(variance), exponent)


def _counted(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Sorted values of positive weight, and the weight up to and with each; None where all count alike."""
    if weights is None:
        return np.sort(values), None
    values, weights = values[weights > 0.0], weights[weights > 0.0]
    order = np.argsort(values, kind="stable")
    alike = (weights == weights[0]).all()
    return values[order], None if alike else np.cumsum(weights[order])


def median(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> float:
    """Of values, each as often as its weight says."""
    ordered, up_to = _counted(values, weights)
    if up_to is None:
        return float(np.median(ordered))
    at = [np.searchsorted(up_to, up_to[-1] / 2, side=side) for side in ("left", "right")]
    low, high = ordered[np.minimum(at, len(ordered) - 1)]
    return float((low + high) / 2)


def _quartiles(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> tuple[float, float]:
    """The first and the third; of values of unlike weights the least up to which so much of the weight lies."""
    ordered, up_to = _counted(values, weights)
    if up_to is None:
        low, high = np.quantile(ordered, (0.25, 0.75))
        return float(low), float(high)
    at = np.searchsorted(up_to, up_to[-1] * np.array([0.25, 0.75]))
    low, high = ordered[np.minimum(at, len(ordered) - 1)]
    return float(low), float(high)


def offset(scores: NDArray[np.float64], contamination: float, weights: NDArray[np.float64] | None = None) -> float:
    """A threshold below which lies the nearest whole number to ``contamination * n`` of the scores (by weight)."""
    ordered, up_to = _counted(scores, weights)
    n = len(ordered)
    if up_to is None:
        below = min(math.floor(contamination * n + 0.5), n - 1)
    else:
        gaps = np.abs(np.concatenate([[0.0], up_to[:-1]]) - contamination * up_to[-1])
        below = n - 1 - int(gaps[::-1].argmin())
    if below == 0:
        return float(ordered[0])
    low, high = ordered[below - 1], ordered[below]
    middle = low + (high - low) / 2
    return float(middle if middle > low else high)


def fence(scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """Tukey's outer limit of the ordinary: one and a half interquartile ranges below the lower quartile."""
    low, high = _quartiles(scores, weights)
    return low - 1.5 * (high - low)
