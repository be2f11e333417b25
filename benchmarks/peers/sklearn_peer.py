"""scikit-learn's MLPRegressor, fitted from X to X."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._base import ACTIVATIONS, DERIVATIVES

from benchmarks.latents import Features, NotForPeer, TopK, Variational
from benchmarks.workloads import Network, Parameters


def _register_linear_code(width: int) -> str:
    """Adds to scikit-learn's tables a relu that leaves layers of that width linear; returns its name."""

    def activate(Z: NDArray[Any]) -> None:
        if Z.shape[1] != width:
            ACTIVATIONS["relu"](Z)

    def derive(Z: NDArray[Any], delta: NDArray[Any]) -> None:
        if Z.shape[1] != width:
            DERIVATIVES["relu"](Z, delta)

    name = f"relu but for {width}"
    ACTIVATIONS[name], DERIVATIVES[name] = activate, derive
    return name


class _TickingRegressor(MLPRegressor):
    """MLPRegressor that trains what `Network` says from given parameters, and reports its epochs.

    The hooks are private to scikit-learn: `_init_coef` makes the parameters of one layer; `_initialize` settles the
    output activation, and runs after the parameters were validated, so names that the constructor would refuse enter
    there; `_update_no_improvement_count` is called once at the end of an epoch.
    """

    def _begin(self, network: Network, parameters: Parameters, tick: Callable[[], None]) -> None:
        self._network, self._given, self._tick = network, iter(parameters), tick

    def _initialize(self, *args: Any) -> None:
        super()._initialize(*args)
        if self._network.loss == "log_loss":
            self.loss, self.out_activation_ = "log_loss", "logistic"
        if self._network.code_activation != self._network.activation:
            self.activation = _register_linear_code(self._network.n_components)

    def _init_coef(self, *_: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        W, b = next(self._given)
        return W.copy(), b.copy()

    def _update_no_improvement_count(self, *args: Any) -> None:
        super()._update_no_improvement_count(*args)
        self._tick()


class MLPTrainer:
    """float32 MLPRegressor without penalty and without early end."""

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
        if not isinstance(network, Network):
            raise NotForPeer(f"MLPRegressor has no {type(network).__name__} network")
        if schedule != "constant":
            raise ValueError(f"MLPRegressor's Adam knows no schedule; got {schedule!r}")
        if (
            network.code_activation not in (network.activation, "identity")
            or network.widths.count(network.n_components) > 1
        ):
            raise ValueError(f"a code of its own activation needs to be linear and of its own width; got {network}")
        self._network, self._X, self._seed = network, X, seed
        self._batch_size, self._rate = batch_size, learning_rate

    def train(self, epochs: int, tick: Callable[[], None]) -> None:
        self._model = _TickingRegressor(
            hidden_layer_sizes=self._network.widths[1:-1],
            activation=self._network.activation,
            solver="adam",
            alpha=0.0,
            batch_size=self._batch_size,
            learning_rate_init=self._rate,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=math.inf,
            random_state=self._seed,
        )
        start = self._network.initial_parameters(self._X, self._seed)
        self._model._begin(self._network, start, tick)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(self._X, self._X)

    def reconstruct(self, X: NDArray[np.float32]) -> NDArray[Any]:
        reconstruction: NDArray[Any] = self._model.predict(X)
        return reconstruction

    @property
    def note(self) -> str:
        patches = []
        if self._network.loss == "log_loss":
            patches.append("logistic output")
        if self._network.code_activation != self._network.activation:
            patches.append("linear code")
        return " and ".join(patches) + " patched in" if patches else ""
