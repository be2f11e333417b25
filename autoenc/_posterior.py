"""Missing values drawn from their distribution given what is observed: a variational network and importance sampling.

Mattei, P.-A. and Frellsen, J. (2019). MIWAE: deep generative modelling and imputation of incomplete data sets. ICML.
"""

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec
from autoenc._imputer import Known
from autoenc._latent import LARGEST_LOG_VARIANCE
from autoenc._variational import VariationalAutoencoder

DRAWS = 128  # of the code of each row
ROWS_AT_ONCE = 256
LARGEST_SECOND = 10.0  # of log-variances of entries, as losses/pair.h has it
LOG_2_PI = float(np.log(2.0 * np.pi))


def shares(log_weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that add up to one over the draws of a row."""
    weight: NDArray[np.float64] = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return weight


class ImputingVariational(Known, VariationalAutoencoder):
    """The network: normal entries of learned variance given the code; the bound is over what is observed."""

    def _weighted(
        self, Z: NDArray[np.floating], noise: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Logarithms of the weights of draws of the code, and means and log-variances of all entries given each.

        A weight is the density of what is observed given the draw, times that of the draw by the prior over that by
        which it was drawn, so that the mean of the weights is the likelihood of what is observed.

        `noise` is standard normal, (rows or 1, draws, n_components).
        """
        mean, log_variance, _ = self._posterior(Z, None)
        log_variance = np.clip(log_variance, -LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
        codes = mean[:, np.newaxis] + np.exp(0.5 * log_variance)[:, np.newaxis] * noise
        log_weight = 0.5 * (noise**2 - codes**2 + log_variance[:, np.newaxis]).sum(axis=2)
        flat = np.ascontiguousarray(codes.reshape(-1, codes.shape[2]), dtype=_spec.dtype(self._spec))
        entries = [
            self._run(flat, node, what, start=self._spec["code"], dtype=np.float64).reshape(*codes.shape[:2], -1)
            for node, what in ((self._spec["output"], _core.LINKED), ("second", _core.VALUES))
        ]
        entries[1] = np.clip(entries[1], -LARGEST_SECOND, LARGEST_SECOND)
        observed = ~np.isnan(Z)[:, np.newaxis]
        errors = np.where(observed, Z[:, np.newaxis], entries[0]) - entries[0]
        log_weight -= 0.5 * (np.where(observed, entries[1] + LOG_2_PI, 0.0) + errors**2 * np.exp(-entries[1])).sum(
            axis=2
        )
        return log_weight, entries[0], entries[1]

    def filled(self, Z: NDArray[np.floating]) -> NDArray[np.float64]:
        """Means given what is observed. The draws are the same for each row, so that a row depends on itself alone."""
        noise = np.random.RandomState(0).standard_normal((1, DRAWS, self._spec["n_components"]))
        out = np.empty(Z.shape)
        for at in range(0, len(Z), ROWS_AT_ONCE):
            log_weight, means, _ = self._weighted(Z[at : at + ROWS_AT_ONCE], noise)
            out[at : at + ROWS_AT_ONCE] = (shares(log_weight)[:, :, np.newaxis] * means).sum(axis=1)
        return out

    def drawn(self, Z: NDArray[np.floating], n: int, random: np.random.RandomState) -> NDArray[np.float64]:
        """Draws given what is observed, (n, rows, features): of a code by its weight, then of the entries."""
        out = np.empty((n, *Z.shape))
        for at in range(0, len(Z), ROWS_AT_ONCE):
            part = Z[at : at + ROWS_AT_ONCE]
            log_weight, means, log_variances = self._weighted(
                part, random.standard_normal((len(part), DRAWS, self._spec["n_components"]))
            )
            up_to = shares(log_weight).cumsum(axis=1)
            for i in range(n):
                chosen = (random.random_sample((len(part), 1)) * up_to[:, -1:] > up_to).sum(axis=1)
                rows = np.arange(len(part)), np.minimum(chosen, DRAWS - 1)
                noise = random.standard_normal(part.shape)
                out[i, at : at + ROWS_AT_ONCE] = means[rows] + np.exp(0.5 * log_variances[rows]) * noise
        return out
