"""The denoising autoencoder."""

from numbers import Real
from typing import Any, ClassVar, Literal

from sklearn.utils._param_validation import Interval

from autoenc._autoencoder import Autoencoder
from autoenc._declare import default, estimator
from autoenc._options import OneOf
from autoenc.corruption import Corruption, Gaussian, Masking, SaltAndPepper, SwapNoise

KINDS = {"gaussian": Gaussian, "masking": Masking, "salt_and_pepper": SaltAndPepper, "swap": SwapNoise}


@estimator
class DenoisingAutoencoder(Autoencoder):
    """Autoencoder that learns to restore rows from corrupted ones, and with that what rows look like.

    Each presentation of a row in training is corrupted anew; the target is the row itself [1]_. `reconstruct` then
    takes noise off, and the codes withstand it.

    Parameters
    ----------
    n_components : int, default=2
        Features of the code. More than the row has make sense here.
    noise : {"gaussian", "masking", "salt_and_pepper", "swap"}, default="gaussian"
        Kind of corruption: normal noise, entries set to zero, entries set to 0 or 1, entries exchanged with other rows.
    corruption_level : float or None, default=0.3
        Standard deviation of the normal noise, in units of the data; for the other kinds the probability of an entry to
        be corrupted, below 1. None: as `corruption` says. A `corruption` also takes the place of the defaults of
        `noise` and `corruption_level`; beside others of them it is an error.
    <latent_activation>
    <reconstruction>
    <sparsity>
    <contraction>
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    <learned>

    See Also
    --------
    MarginalizedDenoisingAutoencoder : The linear case in closed form.

    References
    ----------
    .. [1] Vincent, P. et al. (2010). Stacked denoising autoencoders: learning useful representations in a deep network
       with a local denoising criterion. JMLR 11, 3371-3408.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import DenoisingAutoencoder
    >>> X = load_digits().data / 16
    >>> noisy = X + np.random.default_rng(0).normal(scale=0.3, size=X.shape)
    >>> model = DenoisingAutoencoder(32, corruption_level=0.3, max_iter=30, random_state=0).fit(X)
    >>> bool(np.mean((model.reconstruct(noisy) - X) ** 2) < 0.5 * np.mean((noisy - X) ** 2))
    True
    """

    noise: Literal["gaussian", "masking", "salt_and_pepper", "swap"] = "gaussian"
    corruption_level: float | None = 0.3

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Autoencoder._parameter_constraints,
        "noise": [OneOf(set(KINDS))],
        "corruption_level": [Interval(Real, 0, None, closed="left"), None],
    }

    def _corruption(self) -> Corruption | None:
        if self.corruption_level is None:
            return self.corruption
        if self.corruption is not None:
            for name in ("corruption_level", "noise"):
                value = getattr(self, name)
                if value != default(self, name):
                    raise ValueError(
                        f"{name}={value!r} and corruption={self.corruption!r} both say what is done; allowed: one of "
                        "them, with corruption_level=None for corruption"
                    )
            return self.corruption
        level = float(self.corruption_level)
        if self.noise != "gaussian" and level >= 1.0:
            raise ValueError(
                f"corruption_level={self.corruption_level!r} is a probability for noise={self.noise!r}; allowed: at "
                "least 0 and below 1"
            )
        return KINDS[self.noise](level)
