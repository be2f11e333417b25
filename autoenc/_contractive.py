"""The contractive autoencoder."""

from dataclasses import field
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from autoenc._autoencoder import Autoencoder
from autoenc._declare import default, estimator
from autoenc._options import ActivationName
from autoenc.contraction import Contraction


@estimator
class ContractiveAutoencoder(Autoencoder):
    """Autoencoder whose code changes little when the row does, but along the directions in which rows differ.

    Beside the reconstruction it minimises the squared norm of the Jacobian of the code by the row [1]_. Without hidden
    layers, the default, that costs next to nothing.

    Parameters
    ----------
    n_components : int, default=64
        Features of the code.
    contraction_weight : float or None, default=0.003
        Factor of the squared Frobenius norm of the Jacobian, mean over rows, beside a loss that is a mean over
        features. None: as `contraction` says. A `contraction` also takes the place of the defaults of
        `contraction_weight` and `higher_order_weight`; beside others of them it is an error.
    higher_order_weight : float, default=0.0
        Factor of the mean squared change of the Jacobian under normal noise of standard deviation 0.1 [2]_.
    latent_activation : str, default="logistic"
        Of the code; the names of `activation`. One that saturates lets the Jacobian vanish where rows do not need it.
    tied_weights : bool, default=True
        Whether the decoder uses the encoder's weights, transposed. Otherwise it can grow as fast as they shrink, and
        the penalty means nothing.
    <reconstruction>
    <sparsity>
    contraction : Contraction or None, default=None
        All that can be said of the penalty, in the place of `contraction_weight`.
    <penalties>
    <layers>
    <training>

    Attributes
    ----------
    <learned>

    See Also
    --------
    DenoisingAutoencoder : Codes that withstand noise, by training on it.

    References
    ----------
    .. [1] Rifai, S. et al. (2011). Contractive auto-encoders: explicit invariance during feature extraction. ICML.
    .. [2] Rifai, S. et al. (2011). Higher order contractive auto-encoder. ECML PKDD.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import ContractiveAutoencoder
    >>> X = load_digits().data / 16
    >>> model = ContractiveAutoencoder(32, max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 32)
    """

    n_components: int = field(default=64, kw_only=False)
    hidden_layer_sizes: Any = ()
    latent_activation: ActivationName = "logistic"
    tied_weights: bool = True
    contraction_weight: float | None = 0.003
    higher_order_weight: float = 0.0

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Autoencoder._parameter_constraints,
        "contraction_weight": [Interval(Real, 0, None, closed="left"), None],
        "higher_order_weight": [Interval(Real, 0, None, closed="left")],
    }

    def _contraction(self) -> Contraction | None:
        if self.contraction_weight is None:
            if self.higher_order_weight > 0:
                raise ValueError(
                    f"higher_order_weight={self.higher_order_weight!r} does not go with contraction_weight=None; "
                    "allowed: 0.0, and a higher_order_weight of `contraction`"
                )
            return self.contraction
        if self.contraction is not None:
            for name, nothing in (("contraction_weight", None), ("higher_order_weight", 0.0)):
                value = getattr(self, name)
                if value != default(self, name):
                    raise ValueError(
                        f"{name}={value!r} and contraction={self.contraction!r} both say what is done; allowed: one of "
                        f"them, with {name}={nothing} for contraction"
                    )
            return self.contraction
        return Contraction(self.contraction_weight, higher_order_weight=self.higher_order_weight)
