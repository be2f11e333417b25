"""Members of an outlier detector: networks trained without the checks and copies of a `fit` of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _core
from autoenc._autoencoder import Autoencoder
from autoenc._declare import estimator
from autoenc._fitting import Rows
from autoenc._spec import Spec
from autoenc._training import History, Plan, train


@estimator
class Member(Autoencoder):
    """The detector has standardised the columns; that few rows of a bag may vary less is no news to the user."""

    def _warn_of_scales(self, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
        pass


def describe(network: Member, n_features: int) -> Spec:
    """The network of a member, with all of its parameters checked: once for all members of its kind."""
    network._validate_params()
    network._check_options()
    spec: Spec = network._describe(n_features, None, 0)
    network._check_size(spec)
    return spec


def reconstruct(network: Autoencoder, Z: NDArray[Any]) -> NDArray[Any]:
    """Reconstructions of rows that need no check."""
    return network._run(Z, network._spec["output"], _core.LINKED)


def fit(network: Member, spec: Spec, Z: NDArray[Any], seed: int, trim: float, stop: Callable[[Any], None]) -> None:
    """Trains a member to a bag of rows, in the second half of the epochs without the share `trim` restored worst.

    One trainer and one schedule of the learning rate serve both halves; `seed` is that of its draws. `stop` is called
    after each epoch, and may raise.
    """
    first = int(network.max_iter) // 2 if trim > 0 else 0
    trainer = network._trainer(spec, len(Z), seed, n_epochs=int(network.max_iter))
    trainer.bind(0, [Z])
    network._start(trainer, spec, Rows(Z))
    history = History()

    def run(epochs: int) -> None:
        part = train(trainer, Plan(max_iter=epochs, callbacks=[stop]), network)
        history.epochs.extend(part.epochs)
        if part.error is not None:
            raise part.error

    if first:
        run(first)
        network._take_weights(trainer, spec)
        errors = network._run(Z, spec["output"], _core.LOSS, target=Z)
        kept = len(Z) - int(trim * len(Z))
        trainer.bind(0, [Z[np.sort(np.argsort(errors, kind="stable")[:kept])]])
    run(int(network.max_iter) - first)
    network._learn(trainer, spec, history, {"n_features_in_": Z.shape[1]})
