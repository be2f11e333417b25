"""Members of an outlier detector: networks trained without the checks and copies of a `fit` of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _data
from autoenc._autoencoder import Autoencoder
from autoenc._checkpoint import Training
from autoenc._declare import estimator
from autoenc._fitting import Rows
from autoenc._spec import Spec
from autoenc._tasks import Tasks
from autoenc._training import Plan, recall, tell, train, type_callback
from autoenc._watched import Epochs
from autoenc.callbacks import EpochState

LANDMARKS = 192  # of a bag at most


@estimator
class Member(Autoencoder):
    """The detector has standardised the columns; that few rows of a bag may vary less is no news to the user."""

    def _warn_of_scales(self, *_: Any) -> None:
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


class Watch:
    """The callbacks of a detector at the epochs of one member, which that leaves to the thread that waits for it."""

    def __init__(
        self, tasks: Tasks, detector: Any, given: tuple[Any, Any], callbacks: Sequence[type_callback], number: int
    ) -> None:
        self.detector, self.name = detector, f"member_{number}"
        self._tasks, self._callbacks, self._number = tasks, callbacks, number
        self._given = dict(zip("Xy", given, strict=True))
        self._fit: Any = getattr(detector, "_callback_fit_ctx", None)  # scikit-learn's
        self._member: Any = None
        self._epochs: Epochs | None = None

    def before_epoch(self, n_epochs: int) -> None:
        if self._fit is not None:
            self._tasks.ask(self._begin, n_epochs)

    def __call__(self, state: EpochState) -> bool:
        self._tasks.look()
        watched = self._callbacks or self._epochs is not None
        return bool(watched and self._tasks.ask(self._end, state))

    def recall(self, state: EpochState) -> None:
        if self._callbacks:
            self._tasks.ask(recall, self._callbacks, state)

    # In the thread that waits.

    def _begin(self, n_epochs: int) -> None:
        if self._epochs is None:
            self._member = self._fit.subcontext(task_name="member", task_id=self._number, max_subtasks=n_epochs)
            self._member.call_on_fit_task_begin(estimator=self.detector, **self._given)
            self._epochs = Epochs(self.detector, self._member, **self._given)
        self._epochs.begin()

    def _end(self, state: EpochState) -> bool:
        stop = self._epochs is not None and self._epochs.end()
        return tell(self._callbacks, state) or stop

    def finish(self) -> None:
        if self._member is not None:
            self._member.call_on_fit_task_end(estimator=self.detector, **self._given)


def fit(
    network: Member,
    spec: Spec,
    Z: NDArray[Any],
    weights: NDArray[np.float64] | None,
    seed: int,
    trim: float,
    watch: Watch,
    checkpoint: Training | None,
) -> None:
    """Trains a member to a bag of rows, in the second half of the epochs without the share `trim` restored worst.

    One trainer and one schedule of the learning rate serve both halves; `seed` is that of its draws. `weights`, of the
    rows, count in the loss and in the share.
    """
    n_epochs = int(network.max_iter)
    half = (n_epochs // 2 if trim > 0 else 0) or n_epochs
    trainer = network._trainer(spec, len(Z), seed, n_epochs=n_epochs)
    trainer.bind(0, [Z], weights)
    network._start(trainer, spec, Rows(Z))
    trimmed = False

    def restored_best() -> NDArray[np.int64]:
        network._take_weights(trainer, spec)
        order = np.argsort(losses(network, Z), kind="stable")
        n = _n_trimmed(trim, None if weights is None else weights[order[::-1]], len(Z))
        return np.sort(order[: len(Z) - n]).astype(np.int64)

    def before_epoch(done: int) -> None:
        nonlocal trimmed
        if done >= half and not trimmed:
            # Where a fit goes on behind the half, its weights are no longer those that the rows were chosen by.
            kept = restored_best() if checkpoint is None or done == half else checkpoint.resume_rows(len(Z))
            trainer.bind(0, [Z[kept]], None if weights is None else _data.check_weights(weights[kept], Z[kept]))
            trimmed = True
            if checkpoint is not None:
                checkpoint.rows = kept
        watch.before_epoch(n_epochs)

    plan = Plan(
        max_iter=n_epochs, callbacks=[watch], before_epoch=before_epoch, checkpoint=checkpoint, training=watch.name
    )
    history = train(trainer, plan, watch.detector)
    if history.error is not None:
        raise history.error
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
