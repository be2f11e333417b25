"""Corruption of the input of a denoising autoencoder, as parameter objects.

An object says what is done to each row at each presentation during training, with fresh draws every time; the target of
the reconstruction stays clean, and outside training (``transform``, ``reconstruct``, scores) nothing is corrupted. The
objects hold numbers only, so they can be cloned, compared and searched over:
``GridSearchCV(model, {"corruption": [Masking(0.2), Masking(0.4)]})``.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar, Self

from sklearn.utils._param_validation import Interval

from autoenc._part import Part
from autoenc._spec import Graph

__all__ = ["Bernoulli", "Gaussian", "Masking", "SaltAndPepper", "SwapNoise"]


class Corruption(Part):
    """What corruptions have in common: validation and the way to the layer of the core."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"emphasis": [tuple, list, None]}
    emphasis: tuple[float, float] | None
    _is_target: ClassVar[bool] = False  # whether what is drawn is also what is reconstructed
    _keeps_zeros: ClassVar[bool] = False  # whether an entry of zero stays one

    def validate(self) -> Self:
        super().validate()
        self._emphasis()
        return self

    def _emphasis(self) -> tuple[float, float] | None:
        """``emphasis`` as two floats, checked."""
        if self.emphasis is None:
            return None
        allowed = (
            "it must be None or a pair (alpha, beta) of finite numbers that are not negative, one of them positive"
        )
        pair = tuple(self.emphasis)
        if len(pair) != 2 or not all(isinstance(value, Real) and not isinstance(value, bool) for value in pair):
            raise ValueError(f"The 'emphasis' parameter of {type(self).__name__} is {self.emphasis!r}; {allowed}.")
        alpha, beta = (float(value) for value in pair)
        if not (0.0 <= alpha < float("inf") and 0.0 <= beta < float("inf") and alpha + beta > 0.0):
            raise ValueError(f"The 'emphasis' parameter of {type(self).__name__} is {self.emphasis!r}; {allowed}.")
        return alpha, beta

    def _layer(self) -> tuple[str, Mapping[str, Any]]:
        """Name of the layer of the core and the fields of its description (see `autoenc._spec`)."""
        raise NotImplementedError

    def _add(self, graph: Graph, x: str) -> str:
        """Adds the layer behind "x", or behind its observed values, among which missing ones are zero and stay so."""
        kind, fields = self._layer()
        seen = graph.add(kind, "x_corrupted", x, **fields)
        if x == "x" or self._keeps_zeros:
            return seen
        return graph.add("multiply", "x_corrupted_there", seen, graph.add("present", "x_there", "x"))


class Gaussian(Corruption):
    """Additive normal noise.

    Each entry becomes ``x + std * z`` with independent standard normal ``z`` [1]_.

    Parameters
    ----------
    std : float, default=0.3
        Standard deviation of the noise, in the units of the data as the network sees them. At least 0; 0 corrupts
        nothing.

    emphasis : tuple of two floats (alpha, beta) or None, default=None
        Weights of the terms of the loss: alpha for the features that the corruption has changed, beta for the others,
        so that the loss of a row is ``alpha * sum over changed + beta * sum over unchanged`` [1]_. The
        sums are divided by the number of features as without emphasis. Here every feature is changed, so only alpha
        acts. None: all features count alike.

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Lajoie, I., Bengio, Y. and Manzagol, P.-A. (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from autoenc.corruption import Gaussian
    >>> Gaussian(std=0.5)
    Gaussian(std=0.5)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Corruption._parameter_constraints,
        "std": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, std: float = 0.3, *, emphasis: tuple[float, float] | None = None) -> None:
        self.std = std
        self.emphasis = emphasis

    def _layer(self) -> tuple[str, Mapping[str, Any]]:
        return "gaussian_noise", {"value": (float(self.std), 0.0)}


class Masking(Corruption):
    """Masking noise: entries become zero.

    Each entry is set to zero with probability `p`, the others stay as they are [1]_. Nothing is rescaled,
    which is the difference to dropout.

    Parameters
    ----------
    p : float, default=0.3
        Probability of each entry to be masked, at least 0 and below 1.

    emphasis : tuple of two floats (alpha, beta) or None, default=None
        Weights of the terms of the loss: alpha for the features that the corruption has changed, beta for the others,
        so that the loss of a row is ``alpha * sum over changed + beta * sum over unchanged`` [1]_. The
        sums are divided by the number of features as without emphasis. An entry that was zero already counts as
        unchanged. None: all features count alike.

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Lajoie, I., Bengio, Y. and Manzagol, P.-A. (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from autoenc.corruption import Masking
    >>> Masking(p=0.25, emphasis=(1.0, 0.5))
    Masking(emphasis=(1.0, 0.5), p=0.25)
    """

    _keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Corruption._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, p: float = 0.3, *, emphasis: tuple[float, float] | None = None) -> None:
        self.p = p
        self.emphasis = emphasis

    def _layer(self) -> tuple[str, Mapping[str, Any]]:
        return "masking_noise", {"rate": float(self.p), "value": (0.0, 0.0)}


class SaltAndPepper(Corruption):
    """Salt-and-pepper noise: entries become the least or the largest value.

    Each entry is replaced with probability `p`, by `low` or `high` with equal chance [1]_.

    Parameters
    ----------
    p : float, default=0.3
        Probability of each entry to be replaced, at least 0 and below 1.

    low, high : float, default=0.0 and 1.0
        What replaces, usually the least and the largest value of the data; `low` is at most `high`.

    emphasis : tuple of two floats (alpha, beta) or None, default=None
        Weights of the terms of the loss: alpha for the features that the corruption has changed, beta for the others,
        so that the loss of a row is ``alpha * sum over changed + beta * sum over unchanged`` [1]_. The
        sums are divided by the number of features as without emphasis. An entry that had the value which replaced it
        counts as unchanged. None: all features count alike.

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Lajoie, I., Bengio, Y. and Manzagol, P.-A. (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from autoenc.corruption import SaltAndPepper
    >>> SaltAndPepper(p=0.1, low=-1.0)
    SaltAndPepper(low=-1.0, p=0.1)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Corruption._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="left")],
        "low": [Interval(Real, None, None, closed="neither")],
        "high": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(
        self,
        p: float = 0.3,
        *,
        low: float = 0.0,
        high: float = 1.0,
        emphasis: tuple[float, float] | None = None,
    ) -> None:
        self.p = p
        self.low = low
        self.high = high
        self.emphasis = emphasis

    def validate(self) -> Self:
        super().validate()
        if self.low > self.high:
            raise ValueError(
                f"The 'low' parameter of SaltAndPepper is {self.low!r} and 'high' is {self.high!r}; "
                "low must be at most high."
            )
        return self

    def _layer(self) -> tuple[str, Mapping[str, Any]]:
        return "salt_and_pepper", {"rate": float(self.p), "value": (float(self.low), float(self.high))}


class SwapNoise(Corruption):
    """Swap noise: entries come from other rows.

    Each entry is replaced with probability `p` by the value that the same column has in another row of the minibatch,
    drawn uniformly. Columns keep their own values and distributions, which suits tables of mixed columns: no scale has
    to be chosen, and what replaces is always a possible value. Known from tabular contests [1]_; [2]_ corrupts
    likewise, with a permutation of each column. With a minibatch of one row nothing happens.

    Parameters
    ----------
    p : float, default=0.15
        Probability of each entry to be replaced, at least 0 and below 1.

    emphasis : tuple of two floats (alpha, beta) or None, default=None
        Weights of the terms of the loss: alpha for the features that the corruption has changed, beta for the others,
        so that the loss of a row is ``alpha * sum over changed + beta * sum over unchanged`` [3]_. The
        sums are divided by the number of features as without emphasis. An entry whose replacement has the same value
        counts as unchanged. None: all features count alike.

    References
    ----------
    .. [1] Jahrer, M. (2017). First place solution of the contest "Porto Seguro's Safe Driver Prediction", Kaggle.

    .. [2] Yoon, J., Zhang, Y., Jordon, J. and van der Schaar, M. (2020). VIME: extending the success of self- and
       semi-supervised learning to tabular domain. Advances in Neural Information Processing Systems 33.

    .. [3] Vincent, P., Larochelle, H., Lajoie, I., Bengio, Y. and Manzagol, P.-A. (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from autoenc.corruption import SwapNoise
    >>> SwapNoise()
    SwapNoise()
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Corruption._parameter_constraints,
        "p": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, p: float = 0.15, *, emphasis: tuple[float, float] | None = None) -> None:
        self.p = p
        self.emphasis = emphasis

    def _layer(self) -> tuple[str, Mapping[str, Any]]:
        return "swap_noise", {"rate": float(self.p)}


class Bernoulli(Corruption):
    """Dynamic binarisation: entries between 0 and 1 become 0 or 1, and these draws are what is reconstructed.

    Each entry becomes 1 with the probability that it is, else 0, anew at each presentation [1]_ [2]_. Unlike the other
    corruptions it changes the target too, so the network models rows of zeros and ones whose means are given. Entries
    below 0 count as 0 and those above 1 as 1. Codes, reconstructions and scores take rows as they are given: pass drawn
    rows to score those.

    References
    ----------
    .. [1] Salakhutdinov, R. and Murray, I. (2008). On the quantitative analysis of deep belief networks. ICML.

    .. [2] Burda, Y., Grosse, R. and Salakhutdinov, R. (2016). Importance weighted autoencoders. ICLR.

    Examples
    --------
    >>> from autoenc.corruption import Bernoulli
    >>> Bernoulli()
    Bernoulli()
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    _is_target = True
    _keeps_zeros = True

    def _emphasis(self) -> None:
        """None: all entries count alike."""
        return

    def _layer(self) -> tuple[str, Mapping[str, Any]]:
        return "binarize", {}
