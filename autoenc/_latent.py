"""Arithmetic on codes that are normal distributions, and how the weight of their divergence grows."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_LOG_VARIANCE = 20.0  # as layers/latent.h has it
LARGEST_LOG_NOISE = 10.0  # as losses/gaussian.c has it

# Factors of beta, by the number of epochs done and of all (Fu et al. 2019; in half of each cycle it rises).
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "linear": lambda done, n: min(1.0, 2.0 * (done + 1) / n),
    "cyclical": lambda done, n: min(1.0, 2.0 * ((4.0 * done / n) % 1.0)) if done < n else 1.0,
}


def deviations(log_variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations as the core takes them."""
    return np.asarray(np.exp(0.5 * np.clip(log_variance, -LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)))


def draw(
    random: np.random.RandomState, shape: tuple[int, int], components: tuple[NDArray[np.generic], ...] | None
) -> NDArray[np.float64]:
    """Codes from the standard normal, or from a mixture given by means, log-variances and logits of its components."""
    codes = random.standard_normal(shape)
    if components is None:
        return codes
    means, log_variances, logits = (np.asarray(part, dtype=np.float64) for part in components)
    shares = np.exp(logits[0] - logits.max())
    chosen = random.choice(len(means), size=len(codes), p=shares / shares.sum())
    return np.asarray(means[chosen] + deviations(log_variances)[chosen] * codes)


def path(start: NDArray[np.float64], stop: NDArray[np.float64], steps: int, *, spherical: bool) -> NDArray[np.float64]:
    """Points between two codes, with both: at equal distances, or turning about the origin by equal angles.

    Codes in line with the origin have no arc between them: there both are the same.
    """
    share = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    lengths = np.linalg.norm(start) * np.linalg.norm(stop)
    cosine = float(start @ stop) / lengths if lengths > 0.0 else 1.0
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if not spherical or np.sin(angle) < 1e-6:
        return (1.0 - share) * start + share * stop
    return np.asarray((np.sin((1.0 - share) * angle) * start + np.sin(share * angle) * stop) / np.sin(angle))


def log_noise(variance: float) -> float:
    """A variance of the normal likelihood as the core takes it."""
    least, most = math.exp(-LARGEST_LOG_NOISE), math.exp(LARGEST_LOG_NOISE)
    return math.log(min(max(variance, least), most))


def noise(log_variance: float) -> float:
    return math.exp(min(max(log_variance, -LARGEST_LOG_NOISE), LARGEST_LOG_NOISE))


def remedy(model: Any) -> str:
    """What may keep the codes of a network alive, by its parameters."""
    ways = []
    if model.likelihood == "squared_error" and not isinstance(model.noise_variance, str):
        ways.append(f"a noise_variance below {model.noise_variance!r}, or 'shared', which learns it")
    if model.beta > 0.0:
        ways.append(f"a beta below {model.beta!r}")
    if model.beta_schedule is None:
        ways.append("beta_schedule='linear'")
    if model.free_bits == 0.0 and model.objective == "elbo" and model.prior == "normal":
        ways.append("free_bits above 0")
    ways.append(f"more epochs than max_iter={model.max_iter!r}")
    return f"the decoder ignores the codes (posterior collapse). What may help: {'; '.join(ways)}"
