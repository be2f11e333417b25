"""What makes a code sparse: parameter objects, without weights, for the ``sparsity`` of an estimator.

Each object says what is meant; the estimator turns it into nodes and losses of the graph. In what follows, ``pre`` is
the dense node of the code before its activation, ``code`` what the decoder reads, ``x`` the target. Weights are
factors of a term added to the reconstruction loss, which is a mean over features and rows; where a paper sums over
features, its weight divided by their number is meant here. Penalties on the code are means over rows and sums over
latents. Logarithms are natural."""

from numbers import Integral, Real
from typing import Any, ClassVar, Self

from sklearn.utils._param_validation import Interval

from autoenc._part import Part

__all__ = ["KL", "L1", "BatchTopK", "Gated", "JumpReLU", "Matryoshka", "TopK"]

MOST_ROWS = 2**24  # that the counter of silent latents tells apart
MOST_K = 2**31 - 1
MOST_PREFIXES = 8

_WEIGHT = [Interval(Real, 0, None, closed="left")]
_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_K = [Interval(Integral, 1, MOST_K, closed="both")]
_AUXILIARY: dict[str, list[Any]] = {
    "aux_k": [Interval(Integral, 1, MOST_K, closed="both"), None],
    "aux_weight": _WEIGHT,
    "dead_after": [Interval(Integral, 1, MOST_ROWS, closed="both")],
}


class Sparsity(Part):
    """Base of the objects of this module; not for direct use."""


class L1(Sparsity):
    """Penalty on the sum of the absolute values of a row's code.

    The term is ``weight * mean over rows of sum over latents |code|``, as in [1]_ (there beside a squared error
    summed over features: their weight divided by the number of features is this one). A sum over latents, so that the
    pull on a latent does not weaken with the width of the code; some implementations take the mean.

    Parameters
    ----------
    weight : float, default=1e-3
        Factor of the penalty, at least 0.

    References
    ----------
    .. [1] Bricken et al., "Towards monosemanticity: decomposing language models with dictionary learning", Transformer
       Circuits Thread, 2023.

    Examples
    --------
    >>> from autoenc.sparsity import L1
    >>> L1(weight=0.01).validate()
    L1(weight=0.01)
    """

    # No node. Loss absolute_error of the code against zero (a loss without target; `sum` where the code is not
    # negative), weight * n_components: a loss is a mean over features.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"weight": _WEIGHT}

    def __init__(self, weight: float = 1e-3) -> None:
        self.weight = weight


class KL(Sparsity):
    r"""Penalty on mean activations that differ from a target, for codes inside (0, 1) (logistic units).

    The term is ``weight`` times :math:`\sum_j \rho \log(\rho / m_j) + (1 - \rho) \log((1 - \rho) / (1 - m_j))` with
    :math:`\rho` the ``target`` and :math:`m_j` the mean activation of unit j, a sum over units as in [1]_. There the
    mean is over all of the training set; here over the minibatch or, with ``running``, a moving average as in [2]_,
    which suits small minibatches. The gradient of the running form is taken as if the moving average were the
    minibatch's mean, so that ``weight`` means the same in both. Means are kept ``1e-6`` away from 0 and 1.

    Parameters
    ----------
    target : float, default=0.05
        The mean activation wanted, inside (0, 1).
    weight : float, default=1e-3
        Factor of the penalty, at least 0.
    running : bool, default=False
        Whether a moving average over minibatches stands for the mean of the minibatch.
    momentum : float, default=0.1
        Share of the newest minibatch in the moving average, which evaluation uses in any case; in (0, 1].

    References
    ----------
    .. [1] A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    .. [2] G. Hinton, "A practical guide to training restricted Boltzmann machines", UTML TR 2010-003, 2010.

    Examples
    --------
    >>> from autoenc.sparsity import KL
    >>> KL(target=0.1, running=True).validate()
    KL(running=True, target=0.1)
    """

    # Node kl_sparsity(code): size[0] = running, value = (target, momentum); (B, 1). Loss `sum` on it, weight.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "target": [Interval(Real, 0, 1, closed="neither")],
        "weight": _WEIGHT,
        "running": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self, target: float = 0.05, weight: float = 1e-3, *, running: bool = False, momentum: float = 0.1
    ) -> None:
        self.target = target
        self.weight = weight
        self.running = running
        self.momentum = momentum


class TopK(Sparsity):
    r"""Of each row only the ``k`` largest latents are kept.

    With ``relu`` negative ones among them become zero, as in [1]_; without, they stay, as in the k-sparse
    autoencoders of [2]_. Latents that have not been active for ``dead_after`` training rows count as dead. With
    ``aux_k`` they are revived by the auxiliary loss of [1]_ (appendix A.2): the ``aux_k`` largest latents among the
    dead ones reconstruct, by the decoder without its bias, the residual :math:`x - \hat x` of the main reconstruction,
    of which no gradient is taken; with "log_loss" and counts :math:`\hat x` is what is behind the link, a probability
    or a mean. The term is ``aux_weight`` times the squared error, mean over features. The authors' code [3]_ divides
    the main loss by the variance of the input and the auxiliary one by the variance of the residual; here neither is
    divided, so ``aux_weight`` weighs less beside the main loss than theirs: by the share of the variance that the main
    reconstruction leaves.

    As in the authors' code [3]_, ``relu`` goes for the dead latents too, so none is revived that is negative in every
    row. Theirs are positive in about half of the rows, because the rows are centred by a bias before the encoder.
    Centre the columns (``StandardScaler(with_std=False)`` in a pipeline): of the first 6,000 images of MNIST, in the
    fourth epoch of ``Autoencoder(1000, hidden_layer_sizes=(), sparsity=TopK(25, dead_after=6000), max_iter=4)``, some
    three latents in four were unused, with centred pixels one in five; with ``tied_weights=True`` one in six, and one
    in a hundred.

    Parameters
    ----------
    k : int, default=32
        Latents kept in a row; more than there are means all of them.
    aux_k : int or None, default=None
        Dead latents that take part in the auxiliary loss (fewer where fewer are dead), None: no such loss. The paper
        takes a power of two near half of the input's width.
    aux_weight : float, default=1/32
        Factor of the auxiliary loss (the paper's alpha).
    dead_after : int, default=1_000_000
        Training rows without activity after which a latent is dead, 1 to 2**24; 10 million tokens in the paper.
    relu : bool, default=True
        Whether negative latents that were kept become zero.

    References
    ----------
    .. [1] L. Gao et al., "Scaling and evaluating sparse autoencoders", arXiv:2406.04093, 2024.
    .. [2] A. Makhzani and B. Frey, "k-sparse autoencoders", ICLR 2014.
    .. [3] https://github.com/openai/sparse_autoencoder, sparse_autoencoder/train.py, commit 4a32f5e.

    Examples
    --------
    >>> from autoenc.sparsity import TopK
    >>> TopK(k=8, aux_k=16).validate()
    TopK(aux_k=16, k=8)
    """

    # pre -> code = top_k, size = (k, relu, 0).
    # Only with aux_k and a decoder of one linear layer:
    #   aux = top_k(pre), shares=code, size = (aux_k, relu, 1), value[0] = dead_after
    #   aux_reconstruction = dense(aux), shares=reconstruction, size[0] = 1 (without bias)
    #   residual = add(x, link(reconstruction)), size = (0, 1) (subtracts)
    #   loss squared_error(prediction=aux_reconstruction, target=residual), aux_weight
    # Dead latents: parameter "<code>.since" (1, n) >= dead_after.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"k": _K, **_AUXILIARY, "relu": ["boolean"]}

    def __init__(
        self,
        k: int = 32,
        *,
        aux_k: int | None = None,
        aux_weight: float = 1 / 32,
        dead_after: int = 1_000_000,
        relu: bool = True,
    ) -> None:
        self.k = k
        self.aux_k = aux_k
        self.aux_weight = aux_weight
        self.dead_after = dead_after
        self.relu = relu


class BatchTopK(Sparsity):
    r"""Of a minibatch of B rows the ``B * k`` largest positive latents are kept, however they spread over the rows.

    As in [1]_. A row without a minibatch (``transform``, scores) keeps the latents above a threshold, the expected
    smallest positive latent kept in a minibatch of training. The paper averages over minibatches
    after training; here the threshold is the plain mean over the first ``1 / momentum`` minibatches and then a moving
    average, which follows the weights. Dead latents and the auxiliary loss are those of :class:`TopK`.

    Parameters
    ----------
    k : int, default=32
        Latents kept in a row, in the mean over the minibatch; more than there are means all positive ones.
    aux_k : int or None, default=None
        Dead latents that take part in the auxiliary loss in a row, None: no such loss.
    aux_weight : float, default=1/32
        Factor of the auxiliary loss.
    dead_after : int, default=1_000_000
        Training rows without activity after which a latent is dead, 1 to 2**24.
    momentum : float, default=0.001
        Share of the newest minibatch in the moving average of the threshold, in (0, 1].

    References
    ----------
    .. [1] B. Bussmann, P. Leask and N. Nanda, "BatchTopK sparse autoencoders", arXiv:2412.06410, 2024.

    Examples
    --------
    >>> from autoenc.sparsity import BatchTopK
    >>> BatchTopK(k=8).validate()
    BatchTopK(k=8)
    """

    # pre -> code = batch_top_k, size = (k, 0, 0), value[0] = momentum.
    # With aux_k as TopK, but aux = batch_top_k(pre), shares=code, size = (aux_k, 0, 1), value[0] = dead_after.
    # Threshold: element 0 of parameter "<code>.threshold" (1, 2); element 1 counts minibatches.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "k": _K,
        **_AUXILIARY,
        "momentum": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        k: int = 32,
        *,
        aux_k: int | None = None,
        aux_weight: float = 1 / 32,
        dead_after: int = 1_000_000,
        momentum: float = 0.001,
    ) -> None:
        self.k = k
        self.aux_k = aux_k
        self.aux_weight = aux_weight
        self.dead_after = dead_after
        self.momentum = momentum


class JumpReLU(Sparsity):
    r"""A latent is its pre-activation where that is above a trained threshold of its own, and zero elsewhere.

    The penalty is ``weight`` times the L0 norm of the code, the number of latents above their thresholds, in the mean
    over rows: a sum over latents, as in [1]_. Neither the step nor the jump has a gradient by the
    threshold; in their place stand the estimates of the paper (equations 11 and 12), with a rectangle of width
    ``bandwidth`` as the kernel. Thresholds are trained by their logarithms and so stay positive. Inputs of a scale far
    from 1 want another bandwidth.

    Parameters
    ----------
    weight : float, default=1e-3
        Factor of the L0 norm, at least 0.
    bandwidth : float, default=0.001
        Width of the kernel, in units of the pre-activation.
    threshold : float, default=0.001
        Value that the thresholds start from.

    References
    ----------
    .. [1] S. Rajamanoharan et al., "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse
       autoencoders",
       arXiv:2407.14435, 2024.

    Examples
    --------
    >>> from autoenc.sparsity import JumpReLU
    >>> JumpReLU(weight=0.01, bandwidth=0.1, threshold=0.05).validate()
    JumpReLU(bandwidth=0.1, threshold=0.05, weight=0.01)
    """

    # pre -> code = jump_relu, size[0] = 0, value = (bandwidth, threshold). l0 = jump_relu(pre), shares=code, size[0]
    # = 1, value as the code's. Loss `sum` on it, weight * n_components: `sum` is a mean over features. Thresholds:
    # threshold * exp(parameter "<code>.log_threshold" (1, n)).

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "weight": _WEIGHT,
        "bandwidth": _POSITIVE,
        "threshold": _POSITIVE,
    }

    def __init__(self, weight: float = 1e-3, *, bandwidth: float = 0.001, threshold: float = 0.001) -> None:
        self.weight = weight
        self.bandwidth = bandwidth
        self.threshold = threshold


class Gated(Sparsity):
    r"""Which latents are active is decided by a gate, and how active they are by another path of the same directions.

    With :math:`u = W x` and the step :math:`H` (1 above zero, else 0), the code is
    :math:`H(u + b_{gate})\, ReLU(e^{r} u + b_{mag})`; :math:`r` and both :math:`b` are learned for each latent [1]_.
    The L1 penalty, ``weight`` times the sum over latents of :math:`ReLU(u + b_{gate})` in the mean over rows, then does
    not shrink the magnitudes. What the gate alone would reconstruct, by a copy of the decoder that is frozen, is a
    second reconstruction loss of weight 1, by which the gate learns. The paper's centring of the input
    by the decoder's bias is left to the biases, which can take its place.

    Parameters
    ----------
    weight : float, default=1e-3
        Factor of the L1 penalty on the gate, at least 0.
    aux_weight : float, default=1.0
        Factor of the gate's own reconstruction loss; the paper's is 1.

    References
    ----------
    .. [1] S. Rajamanoharan et al., "Improving dictionary learning with gated sparse autoencoders", arXiv:2404.16014,
       2024.

    Examples
    --------
    >>> from autoenc.sparsity import Gated
    >>> Gated(weight=0.01).validate()
    Gated(weight=0.01)
    """

    # pre: dense, identity, size[0] = 1 (without bias). pre -> code = gated, size[0] = 0. gate = gated(pre),
    # shares=code, size[0] = 1. Loss `sum` on it, weight * n_components (`sum` is a mean over features).
    # gate_reconstruction: the decoder's dense nodes once more from gate on, each with shares=its original and size[1]
    # = 1 (no gradient). The reconstruction loss on it with the same target, aux_weight.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"weight": _WEIGHT, "aux_weight": _WEIGHT}

    def __init__(self, weight: float = 1e-3, *, aux_weight: float = 1.0) -> None:
        self.weight = weight
        self.aux_weight = aux_weight


class Matryoshka(Sparsity):
    r"""Several beginnings of the code are each to reconstruct the input, so that early latents stay general.

    The losses of all prefixes are added with equal weight, as the sum of [1]_; divide the learning rate, or the other
    weights, where a mean is wanted. The whole code is always the last prefix. [2]_ had the idea for representations of
    classifiers, with the prefixes a power of two apart.

    Parameters
    ----------
    prefixes : sequence of int, default=(8, 16)
        Lengths of the prefixes before the whole code, increasing, each at least 1; at most seven. Those of at least the
        width of the code are left out.
    sparsity : object of this module or None, default=None
        What makes the code sparse before it is cut, None: nothing. Not another ``Matryoshka``.

    References
    ----------
    .. [1] B. Bussmann, N. Nabeshima, A. Karvonen and N. Nanda, "Learning multi-level features with Matryoshka sparse
       autoencoders", ICML 2025.
    .. [2] A. Kusupati et al., "Matryoshka representation learning", NeurIPS 2022.

    Examples
    --------
    >>> from autoenc.sparsity import BatchTopK, Matryoshka
    >>> Matryoshka(prefixes=(4, 16), sparsity=BatchTopK(k=8)).validate().lengths(32)
    (4, 16, 32)
    """

    # Either one node prefixes(code), multiplicity = len(lengths), size = lengths, the decoder once behind it, and a
    # loss with the target repeated as often, weight len(lengths) (where losses know multiplicity); or for each length
    # but the last a node prefixes(code), multiplicity = 1, size[0] = length, a copy of the decoder's dense nodes,
    # each with shares=its original, and the reconstruction loss on it with weight 1.

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "prefixes": ["array-like"],
        "sparsity": [Sparsity, None],
    }

    def __init__(self, prefixes: Any = (8, 16), *, sparsity: Sparsity | None = None) -> None:
        self.prefixes = prefixes
        self.sparsity = sparsity

    def validate(self) -> Self:
        """Checks the parameters, those of ``sparsity`` included.

        Returns
        -------
        self
            The object itself.

        Raises
        ------
        ValueError
            Names the parameter, its value and what is allowed.
        """
        super().validate()
        prefixes = list(self.prefixes)
        whole = all(isinstance(length, Integral) and not isinstance(length, bool) for length in prefixes)
        if (
            not 1 <= len(prefixes) < MOST_PREFIXES
            or not whole
            or any(a >= b for a, b in zip([0, *prefixes], prefixes, strict=False))
        ):
            raise ValueError(
                f"prefixes={self.prefixes!r} must be 1 to {MOST_PREFIXES - 1} increasing integers, each at least 1"
            )
        if isinstance(self.sparsity, Matryoshka):
            raise ValueError(
                "sparsity of Matryoshka is another Matryoshka; allowed: any other object of autoenc.sparsity"
            )
        if self.sparsity is not None:
            self.sparsity.validate()
        return self

    def lengths(self, n_components: int) -> tuple[int, ...]:
        """Lengths of all prefixes of a code, the whole code as the last.

        Parameters
        ----------
        n_components : int
            Width of the code.

        Returns
        -------
        tuple of int
            Increasing; the last is ``n_components``.
        """
        return (*(int(length) for length in self.prefixes if length < n_components), int(n_components))
