"""autoenc as one of the peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from autoenc import Autoencoder, VariationalAutoencoder
from autoenc.sparsity import TopK as TopKSparsity
from benchmarks.latents import Features, TopK, Variational
from benchmarks.workloads import Network


def _estimator_of(network: Network | Variational | TopK) -> tuple[type[Any], dict[str, Any]]:
    """Class of the estimator, and those of its parameters that say what the network is."""
    if isinstance(network, Variational):
        return VariationalAutoencoder, {
            "n_components": network.widths[-1],
            "hidden_layer_sizes": network.widths[1:-1],
            "activation": network.activation,
            "likelihood": network.likelihood,
        }
    if isinstance(network, TopK):
        return Autoencoder, {
            "n_components": network.n_components,
            "hidden_layer_sizes": (),
            "sparsity": TopKSparsity(network.k),
            "output_activation": "identity",
            "loss": "squared_error",
        }
    return Autoencoder, {
        "n_components": network.n_components,
        "hidden_layer_sizes": network.hidden_layer_sizes,
        "activation": network.activation,
        "latent_activation": network.code_activation,
        "output_activation": "auto" if network.loss == "log_loss" else "identity",
        "loss": network.loss,
    }


class OursTrainer:
    """An estimator of `autoenc`; epochs are timed from its per-epoch callback, so set-up is outside.

    It starts from its own initialisation (He for relu, output bias at the feature means), as the others do with
    another seed.
    """

    precision = "float32"
    state_precision: str | None = None

    def __init__(
        self,
        network: Network | Variational | TopK,
        X: Features,
        batch_size: int,
        *,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        seed: int = 0,
    ) -> None:
        self._X = X
        self._class, parameters = _estimator_of(network)
        self._parameters: dict[str, Any] = {
            **parameters,
            "solver": "adam",
            "learning_rate_init": learning_rate,
            "learning_rate": schedule,
            "alpha": 0.0,
            "batch_size": batch_size,
            "precision": self.precision,
            "state_precision": self.state_precision,
            "n_jobs": 2,
            "random_state": seed,
            "shuffle": True,
        }

    def estimator(self, epochs: int) -> Any:
        """What `train` fits, without its callback."""
        return self._class(**self._parameters, max_iter=epochs)

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        def after_epoch(*_: object) -> None:
            tick()

        self._estimator = self.estimator(epochs).set_params(callbacks=[after_epoch])
        self._estimator.fit(self._X)

    def reconstruct(self, X: Features) -> NDArray[Any]:
        reconstruction: NDArray[Any] = self._estimator.reconstruct(X)
        return reconstruction

    @property
    def note(self) -> str:
        return ""


class HighTrainer(OursTrainer):
    """Factors of dense products in two bfloat16 parts."""

    precision = "high"


class BFloat16Trainer(OursTrainer):
    """Factors of dense products in one bfloat16 part."""

    precision = "bfloat16"


class BFloat16StateTrainer(BFloat16Trainer):
    """And the averages of Adam in bfloat16."""

    state_precision = "bfloat16"
