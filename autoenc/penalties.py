"""Penalties on weights and codes, as parameter objects without weights, for the ``penalties`` of an estimator."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from autoenc._dense_layers import Layer
from autoenc._part import Part
from autoenc._spec import Graph

__all__ = ["Decorrelation", "Orthogonality", "PredictiveSparse"]

_WEIGHT = [Interval(Real, 0, None, closed="left")]


class Penalty(Part):
    """Base of the objects of this module; not for direct use."""


class Orthogonality(Penalty):
    """Penalty on weights that are not orthonormal.

    The term is ``weight * |W'W - 1|^2`` (squared Frobenius norm) for the weight of each layer of the encoder [1]_.
    Where a layer has more units than inputs, whose columns cannot all be orthogonal, its rows are meant; the gradient
    is the same.

    Parameters
    ----------
    weight : float, default=1e-3
        Factor of the penalty, at least 0.

    References
    ----------
    .. [1] Bansal, N., Chen, X. and Wang, Z. (2018). Can we gain more from orthogonality regularizations in training
       deep networks? NeurIPS. (Soft orthogonality.)

    Examples
    --------
    >>> from autoenc.penalties import Orthogonality
    >>> Orthogonality(weight=0.01).validate()
    Orthogonality(weight=0.01)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"weight": _WEIGHT}

    def __init__(self, weight: float = 1e-3) -> None:
        self.weight = weight

    # orthogonality_<l> <- what layer l reads, shares layer l, width its units; or, where it has more units than inputs,
    # <- layer l, shares it transposed, width its inputs. Loss: sum, weight. In evaluation as in training.
    def _add(self, graph: Graph, layers: Sequence[Layer]) -> None:
        for i, layer in enumerate(layers):
            turned = layer.units > layer.inputs
            source, width = (layer.node, layer.inputs) if turned else (layer.source, layer.units)
            fields = {"width": width, "shares": layer.node, "shares_transposed": int(turned)}
            graph.term("sum", graph.add("orthogonality", f"orthogonality_{i}", source, **fields), weight=self.weight)


class Decorrelation(Penalty):
    """Penalty on covariances between the components of the code.

    The term is ``weight * 1/2 * sum over i != j of C_ij^2`` with the covariances C of the components i and j over a
    minibatch, sums of products divided by its rows ([1]_, equations 1 and 2). It acts in training only: the loss of
    held-out rows does not contain it.

    Parameters
    ----------
    weight : float, default=0.1
        Factor of the penalty, at least 0.

    References
    ----------
    .. [1] Cogswell, M., Ahmed, F., Girshick, R., Zitnick, L. and Batra, D. (2016). Reducing overfitting in deep
       networks by decorrelating representations. ICLR.

    Examples
    --------
    >>> from autoenc.penalties import Decorrelation
    >>> Decorrelation(weight=1.0).validate()
    Decorrelation(weight=1.0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"weight": _WEIGHT}

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = weight

    # decorrelation <- code. Loss: sum, weight. Couples the rows of a minibatch: it passes in one chunk.
    def _add(self, graph: Graph, code: str) -> None:
        graph.term("sum", graph.add("decorrelation", "decorrelation", code), weight=self.weight)


class PredictiveSparse(Penalty):
    """Predictive sparse decomposition: the encoder learns to predict an optimised sparse code.

    For each row the code ``z`` is sought that minimises ``mean over features of (x - decode(z))^2 + sparsity_weight *
    sum |z| + prediction_weight * sum (z - encode(x))^2`` [1]_, by accelerated proximal steps [2]_ from the encoder's
    own code. The decoder is then trained to reconstruct from ``z``, the encoder to predict it. The decoder is one
    linear layer. A decoder whose rows may grow makes the sparsity weightless: give it rows of unit norm.

    Parameters
    ----------
    sparsity_weight : float, default=1e-3
        Factor of the sum of the absolute values of the code, at least 0.

    prediction_weight : float, default=1e-2
        Factor of the squared distance between the code and the encoder's prediction, at least 0.

    n_iterations : int, default=50
        Steps of the search for each row, 1 to 10,000.

    positive : bool, default=False
        Whether codes may not be negative.

    References
    ----------
    .. [1] Kavukcuoglu, K., Ranzato, M. and LeCun, Y. (2008). Fast inference in sparse coding algorithms with
       applications to object recognition. Technical report CBLL-TR-2008-12-01, New York University.
    .. [2] Beck, A. and Teboulle, M. (2009). A fast iterative shrinkage-thresholding algorithm for linear inverse
       problems. SIAM Journal on Imaging Sciences 2(1), 183-202.

    Examples
    --------
    >>> from autoenc.penalties import PredictiveSparse
    >>> PredictiveSparse(n_iterations=20).validate()
    PredictiveSparse(n_iterations=20)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "sparsity_weight": _WEIGHT,
        "prediction_weight": _WEIGHT,
        "n_iterations": [Interval(Integral, 1, 10_000, closed="both")],
        "positive": ["boolean"],
    }

    def __init__(
        self,
        sparsity_weight: float = 1e-3,
        *,
        prediction_weight: float = 1e-2,
        n_iterations: int = 50,
        positive: bool = False,
    ) -> None:
        self.sparsity_weight = sparsity_weight
        self.prediction_weight = prediction_weight
        self.n_iterations = n_iterations
        self.positive = positive

    # `decoder` reads the code and gives the reconstruction: a linear dense node, for transform and reconstruct; no loss
    # of its own. The layer minimises sums over features, hence its numbers times their count.
    #
    #   inferred                 sparse_inference <- x, code; shares decoder; width the code's, size[0] n_iterations,
    #                            size[1] positive, value[0], value[1] the weights times the features
    #   inferred_reconstruction  dense <- inferred; shares decoder
    #   losses: squared_error(inferred_reconstruction, x), weight 1, in place of that of the reconstruction;
    #           squared_error(code, inferred), weight prediction_weight * n_components (a loss is a mean over columns)
    def _add(self, graph: Graph, x: str, code: str, decoder: Layer) -> None:
        node = decoder.node
        inferred = graph.add(
            "sparse_inference",
            "inferred",
            x,
            code,
            width=decoder.inputs,
            shares=node,
            size=(int(self.n_iterations), int(self.positive)),
            value=(float(self.sparsity_weight) * decoder.units, float(self.prediction_weight) * decoder.units),
        )
        again = graph.add(
            "dense", "inferred_reconstruction", inferred, width=decoder.units, shares=node, activation="identity"
        )
        graph.term("squared_error", again, x)
        graph.term("squared_error", code, inferred, weight=self.prediction_weight * decoder.inputs)
