"""autoenc as one of the peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import Autoencoder
from benchmarks.workloads import Network


class OursTrainer:
    """`autoenc.Autoencoder`; epochs are timed from its per-epoch callback, so set-up is outside.

    It starts from its own initialisation (He for relu, output bias at the feature means), as the others do with
    another seed.
    """

    def __init__(
        self,
        network: Network,
        X: NDArray[np.float32],
        batch_size: int,
        *,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        seed: int = 0,
    ) -> None:
        self._X = X
        self._parameters: dict[str, Any] = {
            "n_components": network.n_components,
            "hidden_layer_sizes": network.hidden_layer_sizes,
            "activation": network.activation,
            "latent_activation": network.code_activation,
            "output_activation": "auto" if network.loss == "log_loss" else "identity",
            "loss": network.loss,
            "solver": "adam",
            "learning_rate_init": learning_rate,
            "learning_rate": schedule,
            "alpha": 0.0,
            "batch_size": batch_size,
            "precision": "float32",
            "n_jobs": 2,
            "random_state": seed,
            "shuffle": True,
        }

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        def after_epoch(*_: object) -> None:
            tick()

        self._estimator = Autoencoder(**self._parameters, max_iter=epochs, callbacks=[after_epoch])
        self._estimator.fit(self._X)

    def reconstruct(self, X: NDArray[np.float32]) -> NDArray[Any]:
        reconstruction: NDArray[Any] = self._estimator.reconstruct(X)
        return reconstruction

    @property
    def note(self) -> str:
        return ""
