"""The variational autoencoder."""

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from autoenc import _core, _data, _spec
from autoenc._base import MOST, BaseAutoencoder
from autoenc._declare import estimator, first
from autoenc._fitting import ROWS_AT_ONCE, FitData
from autoenc._spec import Graph, Spec, Stage

LIKELIHOODS = ("squared_error", "log_loss", "poisson", "multinomial", "negative_binomial")
ACTIVE = 0.01  # variance of a component's means over the rows, above which it is active (Burda et al. 2016, section 5.1)
SAMPLES_AT_ONCE = 50  # of the importance weights, in one pass of the network


def _ramp(done: float, length: float) -> float:
    return min(1.0, done / length) if length > 0.0 else 1.0


@estimator
class VariationalAutoencoder(BaseAutoencoder):
    """Variational autoencoder: codes are normal distributions, and new rows can be drawn.

    The encoder gives each row a mean and a variance for each component; the decoder gets a draw from them. Both are
    trained to maximise the evidence lower bound on the rows' likelihood, in nats [1]_ [2]_.

    Parameters
    ----------
    n_components : int, default=2
        Components of the latent space.
    likelihood : {"squared_error", "log_loss", "poisson", "multinomial", "negative_binomial"}, default="squared_error"
        Of a row given its code: normal, Bernoulli (data in [0, 1]), Poisson, multinomial or negative binomial (counts).
    noise_variance : float or "learned", default=1.0
        Of the normal likelihood. "learned": the decoder gives a variance for each entry.
    objective : {"elbo", "iwae", "beta_tc", "factor", "mmd"}, default="elbo"
        "iwae": the importance weighted bound of `n_importance_samples` draws [3]_. "beta_tc": `beta` weighs the total
        correlation of the components alone [4]_. "factor": the same by a discriminator [5]_. "mmd": the codes of all
        rows together are drawn to the prior, those of single rows are not [6]_.
    n_importance_samples : int, default=1
        Draws from each row's code in a training step.
    beta : float, default=1.0
        Weight of the divergence from the prior; relative to nats [7]_.
    beta_schedule : {"linear", "cyclical"}, callable or None, default=None
        Factor of beta by epoch: "linear" rises to 1 over the first half of max_iter, "cyclical" does so in each of four
        cycles [8]_. A callable gets the share of epochs done, from 0 to 1, and answers the factor.
    free_bits : float, default=0.0
        Divergence of a component, in nats, below which it costs nothing more [9]_.
    prior : {"normal", "mixture", "vamp"}, default="normal"
        Of the codes: standard normal, a mixture of `n_prior_components` normals, or the mixture of the codes of as many
        learned pseudo-rows [10]_.
    n_prior_components : int, default=50
        Components of "mixture" and "vamp".
    <layers>
    <training>

    Attributes
    ----------
    kl_per_component_ : ndarray of shape (n_components,)
        Mean divergence of each component from the standard normal over the training rows, in nats; near zero for one
        that the decoder ignores.
    active_units_ : int
        Components whose means vary over the training rows by more than 0.01 [3]_.
    <learned>

    References
    ----------
    .. [1] Kingma, D. P. and Welling, M. (2014). Auto-encoding variational Bayes. ICLR. Equation 10.
    .. [2] Rezende, D. J., Mohamed, S. and Wierstra, D. (2014). Stochastic backpropagation and approximate inference in
       deep generative models. ICML.
    .. [3] Burda, Y., Grosse, R. and Salakhutdinov, R. (2016). Importance weighted autoencoders. ICLR. Equation 8.
    .. [4] Chen, R. T. Q. et al. (2018). Isolating sources of disentanglement in variational autoencoders. NeurIPS.
    .. [5] Kim, H. and Mnih, A. (2018). Disentangling by factorising. ICML.
    .. [6] Tolstikhin, I. et al. (2018). Wasserstein auto-encoders. ICLR.
    .. [7] Higgins, I. et al. (2017). beta-VAE: learning basic visual concepts with a constrained variational framework.
       ICLR.
    .. [8] Fu, H. et al. (2019). Cyclical annealing schedule: a simple approach to mitigating KL vanishing. NAACL.
    .. [9] Kingma, D. P. et al. (2016). Improved variational inference with inverse autoregressive flow. NeurIPS.
    .. [10] Tomczak, J. M. and Welling, M. (2018). VAE with a VampPrior. AISTATS.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from autoenc import VariationalAutoencoder
    >>> X = load_digits().data / 16
    >>> model = VariationalAutoencoder(2, likelihood="log_loss", max_iter=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.sample(5, random_state=0).shape
    ((1797, 2), (5, 64))
    """

    n_components: int = first(2)
    likelihood: str = "squared_error"
    noise_variance: float | str = 1.0
    objective: str = "elbo"
    n_importance_samples: int = 1
    beta: float = 1.0
    beta_schedule: str | Callable[[float], float] | None = None
    free_bits: float = 0.0
    prior: str = "normal"
    n_prior_components: int = 50

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "likelihood": [StrOptions(set(LIKELIHOODS))],
        "noise_variance": [Interval(Real, 0, None, closed="neither"), StrOptions({"learned"})],
        "objective": [StrOptions({"elbo", "iwae", "beta_tc", "factor", "mmd"})],
        "n_importance_samples": [Interval(Integral, 1, MOST, closed="both")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "beta_schedule": [StrOptions({"linear", "cyclical"}), callable, None],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "prior": [StrOptions({"normal", "mixture", "vamp"})],
        "n_prior_components": [Interval(Integral, 1, MOST, closed="both")],
    }

    def _target_loss(self) -> str:
        return self.likelihood

    def _settings(self) -> dict[str, Any]:
        names = ("likelihood", "noise_variance", "prior", "n_prior_components")
        return {**super()._settings(), **{name: getattr(self, name) for name in names}}

    # ---- the network ----

    def _add_code(self, graph: Graph, node: str) -> tuple[str, str]:
        d, k = int(self.n_components), int(self.n_importance_samples)
        _spec.check_widths("n_components", [d])
        mean = self._dense(graph, "mean", node, d, "identity")
        log_variance = self._dense(graph, "log_variance", node, d, "identity")
        z = graph.add("gaussian_sample", "z", mean, log_variance, multiplicity=k)
        graph.kept = (log_variance,)
        return mean, z

    def _add_output(self, graph: Graph, node: str, width: int) -> str:
        if self.likelihood == "squared_error" and self.noise_variance == "learned":
            graph.kept += (self._dense(graph, "output_log_variance", node, width, "identity"),)
        if self.likelihood == "negative_binomial":
            graph.kept += (self._dense(graph, "output_log_dispersion", node, width, "identity"),)
        return self._dense(graph, "reconstruction", node, width, "identity")
