"""Members of an outlier detector: networks trained without the checks and copies of a `fit` of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _data
from autoenc._autoencoder import Autoencoder
from autoenc._declare import estimator
from autoenc._fitting import Rows
from autoenc._spec import Spec
from autoenc._training import History, Plan, train

LANDMARKS = 192  # of a bag at most


@estimator
class Member(Autoencoder):
    """The detector has standardised the columns; that few rows of a bag may vary less is no news to the user."""

    def _warn_of_scales(self, mean: NDArray[np.float64], variance: NDArray[np.float64], columns: list[int]) -> None:
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


def losses(network: Autoencoder, Z: NDArray[Any]) -> NDArray[np.float64]:
    """Mean squared errors of rows that need no check, over the entries that they have."""
    return network._run(Z, network._spec["output"], _core.LOSS, target=Z)


def _n_trimmed(trim: float, weights: NDArray[np.float64] | None, n: int) -> int:
    """How many rows, with weights in the order of falling error, the second half of the epochs is without."""
    if weights is None:
        return int(trim * n)
    return int(np.count_nonzero(np.cumsum(weights) <= trim * weights.sum()))


def fit(
    network: Member,
    spec: Spec,
    Z: NDArray[Any],
    weights: NDArray[np.float64] | None,
    seed: int,
    trim: float,
    stop: Callable[[Any], None],
) -> None:
    """Trains a member to a bag of rows, in the second half of the epochs without the share `trim` restored worst.

    One trainer and one schedule of the learning rate serve both halves; `seed` is that of its draws. `weights`, of the
    rows, count in the loss and in the share. `stop` is called after each epoch, and may raise.
    """
    first = int(network.max_iter) // 2 if trim > 0 else 0
    trainer = network._trainer(spec, len(Z), seed, n_epochs=int(network.max_iter))
    trainer.bind(0, [Z], weights)
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
        order = np.argsort(losses(network, Z), kind="stable")
        trimmed = _n_trimmed(trim, None if weights is None else weights[order[::-1]], len(Z))
        kept = np.sort(order[: len(Z) - trimmed])
        trainer.bind(0, [Z[kept]], None if weights is None else _data.check_weights(weights[kept], Z[kept]))
    run(int(network.max_iter) - first)
    network._learn(trainer, spec, history, {"n_features_in_": Z.shape[1]})


def draw_landmarks(
    Z: NDArray[Any], weights: NDArray[np.float64] | None, random_state: np.random.RandomState
) -> NDArray[Any]:
    """Rows of a bag to compare with, at most `LANDMARKS`.

    Each is as likely as its weight and the share of its entries that are there, up to certainty: one in a shuffled
    order is taken where its place is below ``LANDMARKS`` times its part of a mean of one. Of rows that are alike these
    are the first.
    """
    order = random_state.permutation(len(Z))
    parts = 1.0 - np.isnan(Z[order]).mean(axis=1)
    if weights is not None:
        parts *= weights[order] / weights.max()
    places = np.arange(len(Z)) + 0.5
    taken = np.count_nonzero(places * parts.mean() < LANDMARKS * parts)
    with np.errstate(divide="ignore", over="ignore"):
        first = np.argsort(places / parts, kind="stable")
    return Z[order[first[: min(max(taken, 1), LANDMARKS)]]]
