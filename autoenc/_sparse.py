"""The sparse autoencoder."""

from dataclasses import field
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from autoenc import _core
from autoenc._autoencoder import Autoencoder
from autoenc._declare import default, estimator
from autoenc._sparse_code import link_of_entries
from autoenc.losses import ColumnLoss
from autoenc.sparsity import MOST_K, Sparsity, TopK

DEAD_AFTER = 10_000  # training rows without activity


@estimator
class SparseAutoencoder(Autoencoder):
    """Autoencoder with a wide code of which few features are active in a row.

    The code is usually wider than the row: a dictionary, of which each row uses a few entries [1]_. By default the
    `k` largest features of a row are kept [2]_; `sparsity` names other ways. Centre the columns of X first
    (``StandardScaler(with_std=False)`` in a pipeline): else the features that lead at the mean row are the largest in
    all rows, and many others are never used. With ``tied_weights=True`` fewer are left unused still.

    Parameters
    ----------
    n_components : int, default=256
        Features of the code.
    k : int or None, default=16
        Features that are active in a row. Where the decoder is linear up to the link of one loss for all columns that
        is not "multinomial" or "categorical", those that have been silent for 10,000 training rows are revived by an
        auxiliary loss [3]_. None: as `sparsity` says. A `sparsity` also takes
        the place of the default; beside another `k` it is an error.
    sparsity : object of `autoenc.sparsity` or None, default=None
        What makes the code sparse in the place of `k`.
    <latent_activation>
    <reconstruction>
    <contraction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    dead_latents_ : ndarray of int
        Features of the code that no row has used lately: for `k` in 10,000 training rows, for a `TopK` or `BatchTopK`
        in its `dead_after`, for other kinds in all rows of the fit.
    <learned>

    See Also
    --------
    sklearn.decomposition.DictionaryLearning : The linear case, with optimised codes.

    References
    ----------
    .. [1] Olshausen, B. A. and Field, D. J. (1997). Sparse coding with an overcomplete basis set. Vision Research 37.
    .. [2] Makhzani, A. and Frey, B. (2014). k-sparse autoencoders. ICLR.
    .. [3] Gao, L. et al. (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import SparseAutoencoder
    >>> X = load_digits().data / 16
    >>> model = SparseAutoencoder(100, k=8, max_iter=20, random_state=0).fit(X)
    >>> int((model.transform(X) != 0).sum(axis=1).max())
    8
    """

    n_components: int = field(default=256, kw_only=False)
    hidden_layer_sizes: Any = ()
    k: int | None = 16

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Autoencoder._parameter_constraints,
        "k": [Interval(Integral, 1, MOST_K, closed="both"), None],
    }

    def _sparsity(self) -> Sparsity | None:
        if self.k is None:
            return self.sparsity
        if self.sparsity is not None:
            if self.k == default(self, "k"):
                return self.sparsity
            raise ValueError(
                f"k={self.k!r} and sparsity={self.sparsity!r} both say what is kept; allowed: one of them, with k=None "
                "for sparsity"
            )
        aux_k = max(1, int(self.n_components) // 4) if self._may_revive() else None
        return TopK(int(self.k), aux_k=aux_k, dead_after=DEAD_AFTER)

    def _may_revive(self) -> bool:
        """Whether the auxiliary loss goes with the decoder and the loss."""
        if isinstance(self.loss, ColumnLoss):
            losses = {loss for _, loss, _ in self.loss.losses} | ({self.loss.remainder} - {None})
        else:
            losses = {self.loss}
        link = link_of_entries(loss for loss in losses if loss in _core.LOSSES)
        linear = self.output_activation in ("auto", "identity") or link != "identity"
        return not self._hidden_layers()[1] and linear and link is not None
