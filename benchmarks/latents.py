"""Networks of the training benchmarks whose code is drawn, or sparse."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Features = NDArray[np.float32] | sp.csr_array
AT_ONCE = 512  # rows whose loss is taken together


class NotForPeer(RuntimeError):
    """The peer has nothing that trains this network."""


def _dense(X: Features, start: int) -> NDArray[np.float64]:
    block = X[start : start + AT_ONCE]
    return (block.toarray() if sp.issparse(block) else block).astype(np.float64)


@dataclass(frozen=True)
class Variational:
    """A variational autoencoder that mirrors itself, with a standard normal prior and one draw a row.

    `widths` run from the input to the code, hidden layers have the `activation`. The likelihood is "log_loss"
    (Bernoulli) or "multinomial", from logits, summed over the features; the divergence is taken in closed form
    (Kingma and Welling 2014; Liang et al. 2018).
    """

    widths: tuple[int, ...]
    activation: str
    likelihood: str

    def flops(self, batch_size: int) -> int:
        """Of the products of a step on dense rows: forward, both gradients, but for that of the input."""
        encoder = [a * b for a, b in pairwise(self.widths)]
        heads = self.widths[-2] * self.widths[-1]
        return 2 * batch_size * (3 * (2 * sum(encoder) + heads) - encoder[0])

    def start_logits(self, X: Features) -> NDArray[np.float32]:
        """Output biases: the logits of the features' means."""
        mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
        if self.likelihood == "multinomial":
            return np.log(np.maximum(mean, 0.1 / X.shape[0])).astype(np.float32)
        mean = np.clip(mean, 1e-3, 1 - 1e-3)
        return np.log(mean / (1 - mean)).astype(np.float32)

    def _term(self, x: NDArray[np.float64], r: NDArray[np.float64]) -> float:
        if self.likelihood == "multinomial":
            return -float(np.sum(x * np.log(np.maximum(r, 1e-12))))
        r = np.clip(r, 1e-7, 1 - 1e-7)
        return -float(np.sum(x * np.log(r) + (1 - x) * np.log1p(-r)))

    def evaluate(self, X: Features, reconstruction: NDArray[Any]) -> float:
        """Mean over rows of the negative log-likelihood at the means of the codes, in nats."""
        total = 0.0
        for start in range(0, X.shape[0], AT_ONCE):
            total += self._term(_dense(X, start), np.asarray(reconstruction[start : start + AT_ONCE], dtype=np.float64))
        return total / X.shape[0]

    def trivial(self, X: Features) -> float:
        """What the feature means alone reach."""
        mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
        if self.likelihood == "multinomial":
            mean /= mean.sum()
        return sum(self._term(_dense(X, start), mean[None]) for start in range(0, X.shape[0], AT_ONCE)) / X.shape[0]


@dataclass(frozen=True)
class TopK:
    """A sparse autoencoder without hidden layers: of each row the k largest latents are kept, behind a ReLU."""

    width: int
    n_components: int
    k: int

    def flops(self, batch_size: int) -> int:
        """Of a step whose products are all dense."""
        return 2 * batch_size * 5 * self.width * self.n_components

    def evaluate(self, X: NDArray[np.float32], reconstruction: NDArray[Any]) -> float:
        """Mean squared error over rows and features."""
        return float(np.mean((X - reconstruction) ** 2, dtype=np.float64))

    def trivial(self, X: NDArray[np.float32]) -> float:
        """What the feature means alone reach."""
        return float(X.var(axis=0, dtype=np.float64).mean())
