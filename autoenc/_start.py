"""Where the output's bias starts: at the values with which the reconstruction is the mean of the target's columns."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Values before the output function start no further than this from zero: beyond, its slope is too small to return.
_FAR = 10.0


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf


def _logit(x: float) -> float:
    return math.log(x) - math.log1p(-x) if 0.0 < x < 1.0 else math.copysign(math.inf, x - 0.5)


def _arctanh(x: float) -> float:
    return math.atanh(x) if -1.0 < x < 1.0 else math.copysign(math.inf, x)


def _inverse_softplus(x: float) -> float:
    return x + math.log(-math.expm1(-x)) if x > 0.0 else -math.inf


# With their ranges. A large mean of exp or softplus is no saturation, so only small ones are cut.
_INVERSES: dict[str, tuple[Callable[[float], float], float, float]] = {
    "logistic": (_logit, -_FAR, _FAR),
    "exp": (_log, -_FAR, math.inf),
    "softmax": (_log, -_FAR, math.inf),
    "tanh": (_arctanh, -_FAR, _FAR),
    "softplus": (_inverse_softplus, -_FAR, math.inf),
}


def start_of_output(link: str, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values before the function `link` whose values behind it are the means of the target's columns.

    Zero where the output function has no inverse. By the C library's functions: NumPy's give other bits on processors
    with AVX-512.
    """
    if link == "identity":
        return mean
    if link not in _INVERSES:
        return np.zeros_like(mean)
    values = mean.tolist()
    if link == "softmax":
        total = math.fsum(max(value, 0.0) for value in values)
        values = [value / total if total > 0.0 else 1.0 for value in values]
    inverse, low, high = _INVERSES[link]
    return np.array([min(max(inverse(value), low), high) for value in values])
