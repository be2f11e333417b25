"""Losses that differ by column, as a parameter object, for the ``loss`` or ``likelihood`` of an estimator."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator

from autoenc import _columns
from autoenc._options import ColumnLossName, OneOf
from autoenc._spec import Range

__all__ = ["ColumnLoss"]


class ColumnLoss(BaseEstimator):
    """Losses of a mixed table: a map from columns to losses, as ColumnTransformer's is to transformers.

    With `Autoencoder` and its kin the loss of a row stays a mean over its features: the sum of the terms of all
    columns, each from the loss of its range, over their number. A range of 10 columns out of 40 thus counts a quarter.
    `feature_errors` has the terms, `reconstruct` the predictions of each range behind its own link (probabilities,
    means of counts). With `VariationalAutoencoder` the ranges are independent given the code: the log-likelihood of a
    row is the sum of theirs, in nats.

    Parameters
    ----------
    losses : list of (name, loss, columns)
        Ranges of columns. Any column is in one of them or in the remainder, never in two.

        name : str
            Stands for the range in `weights` and messages. Names differ, and none is "remainder".
        loss : str
            "squared_error", "absolute_error", "huber", "log_cosh" and "correntropy" for numbers (with the estimator's
            `huber_delta` and `correntropy_sigma`); "log_loss" for values in [0, 1], each by itself; "categorical" for
            the one-hot columns of one variable, or the probabilities of its classes, by the cross-entropy of a softmax
            over them; "poisson" and "negative_binomial" for counts, the latter of variance ``m + m ** 2 / q`` at the
            mean m, with a q that the network gives for each entry [1]_; "multinomial" for counts of which only the
            shares are modelled. VariationalAutoencoder
            takes those that are likelihoods: "squared_error" (normal, with the estimator's `noise_variance`),
            "log_loss", "categorical", "poisson", "negative_binomial", "multinomial".
        columns : str, int, array-like of them, slice, array-like of bool, or callable
            What scikit-learn's ColumnTransformer takes: names of a data frame, positions (negative ones from the end),
            slices (of names, with both ends), masks, or a callable that gets X and answers one of these. They are
            columns of X_clean where `fit` gets that.
    remainder : str or None, default="squared_error"
        Loss of the columns that no range has; all of them are one range of the name "remainder". None: there must not
        be any.
    weights : dict of str to float or None, default=None
        Positive factors of the terms of ranges, by name; 1 for the others. They weigh units against each other, such as
        nats against squared standard deviations. Not for VariationalAutoencoder, whose likelihoods share a unit.

    See Also
    --------
    sklearn.compose.ColumnTransformer : Encodes and scales the columns first.
    sklearn.compose.make_column_selector : Columns by type or by a pattern of names.

    Notes
    -----
    A row of the columns of "categorical" must add up to 1 (within 0.001) or to 0: all zeros, as OneHotEncoder gives for
    categories that it does not know, mean that the category is not known, and have no loss. With ``missing="mask"`` the
    columns of "categorical" and "multinomial" are missing all together or not at all. Entry weights, of missing values
    and of emphasis, multiply the targets of these two, in which they are linear.

    Counts reach the encoder as they are. Where some are large, give it their logarithms instead, with the counts as
    targets: ``fit(log1p(X), X_clean=X)``.

    Columns of one loss that stand side by side are computed together; a table in which the losses alternate column by
    column takes longer, and one with more than a thousand such runs (six hundred with ``missing="mask"``) is refused.

    References
    ----------
    .. [1] Lopez, R., Regier, J., Cole, M. B., Jordan, M. I. and Yosef, N. (2018). Deep generative modeling for
       single-cell transcriptomics. Nature Methods 15, 1053-1058.

    Examples
    --------
    >>> import numpy as np
    >>> from autoenc import Autoencoder
    >>> from autoenc.losses import ColumnLoss
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.integers(3, size=300)
    >>> X = np.column_stack(
    ...     [rng.normal(size=(300, 2)) + kind[:, None], np.eye(3)[kind], rng.poisson(1.0 + 4.0 * kind)]
    ... )
    >>> loss = ColumnLoss([("kind", "categorical", [2, 3, 4]), ("visits", "poisson", -1)])
    >>> model = Autoencoder(2, loss=loss, max_iter=60, random_state=0).fit(X)
    >>> R = model.reconstruct(X)
    >>> bool(np.allclose(R[:, 2:5].sum(axis=1), 1.0, atol=1e-5)), bool((R[:, 5] > 0).all())
    (True, True)
    >>> bool((R[:, 2:5].argmax(axis=1) == kind).mean() > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "losses": [list, tuple],
        "remainder": [OneOf(set(_columns.LOSSES)), None],
        "weights": [dict, None],
    }

    def __init__(
        self,
        losses: Sequence[tuple[str, str, Any]],
        *,
        remainder: ColumnLossName | None = "squared_error",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.losses = losses
        self.remainder = remainder
        self.weights = weights

    def validate(self) -> Self:
        """Checks what can be checked without data.

        Returns
        -------
        self
            The object itself.

        Raises
        ------
        ValueError
            Where a parameter is not allowed; the message names it, its value and what is allowed.
        """
        self._validate_params()
        _columns.check(self.losses, self.remainder, self.weights)
        return self


def of_ranges(ranges: Sequence[Range]) -> ColumnLoss:
    """A ColumnLoss that gives these ranges for an array of as many columns."""
    own = [(r["name"], r["loss"], r["columns"]) for r in ranges if r["name"] != _columns.REMAINDER]
    rest: list[Any] = [r["loss"] for r in ranges if r["name"] == _columns.REMAINDER]
    return ColumnLoss(own, remainder=rest[0] if rest else None, weights={r["name"]: r["weight"] for r in ranges})
