"""Contraction: codes that change little when the input does. A parameter object, without weights, for the
``contraction`` of an estimator."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from autoenc._dense_layers import Layer, keeps_sum
from autoenc._part import Part
from autoenc._spec import Graph

__all__ = ["Contraction"]


class Contraction(Part):
    """Penalty on the Jacobian of the code by the input.

    The term is ``weight`` times the mean over rows of the squared Frobenius norm of the Jacobian [1]_, of the whole
    encoder, not layer by layer. It stands beside a reconstruction loss that is a mean over features; the factor of the
    paper, where the loss is a sum over features, divided by the number of features is meant here. An encoder of one
    layer has a closed form, which costs next to nothing; deeper ones are followed backwards from each component of the
    code, at ``n_components`` times the cost of a pass, or from ``n_directions`` random directions.

    The Jacobian is by all that the first layer reads. With a ``condition`` that is the row and the columns of the
    condition beside it (for labels one column for each), so the code is held from following the condition, too; the
    decoder, which gets the condition as well, is not. With ``missing="mask"`` an entry that is missing counts as the
    zero that the encoder reads in its place.

    With ``higher_order_weight`` the curvature is penalised too, as the mean of ``|J(x) - J(x + e)|^2``, a squared
    Frobenius norm, over ``n_samples`` draws of normal noise ``e`` of deviation ``std`` in each entry [2]_.

    Parameters
    ----------
    weight : float, default=0.1
        Factor of the squared norm of the Jacobian, at least 0.

    higher_order_weight : float, default=0.0
        Factor of the higher-order term, at least 0.

    std : float, default=0.1
        Standard deviation of the noise of the higher-order term, in the units of the input as the network sees it.

    n_samples : int, default=4
        Noisy copies of each row for the higher-order term, drawn afresh at each step.

    n_directions : int or None, default=None
        Random directions, drawn afresh for each row and step, that stand for all components of the code in an encoder
        of more than one layer. Their estimate of the norm has the right mean [3]_. None: all components, exactly. The
        closed form of one layer and the higher-order term are exact in the Jacobian whatever this says.

    References
    ----------
    .. [1] Rifai, S., Vincent, P., Muller, X., Glorot, X. and Bengio, Y. (2011). Contractive auto-encoders: explicit
       invariance during feature extraction. ICML.
    .. [2] Rifai, S., Mesnil, G., Vincent, P., Muller, X., Bengio, Y., Dauphin, Y. and Glorot, X. (2011). Higher order
       contractive auto-encoder. ECML PKDD.
    .. [3] Hutchinson, M. F. (1990). A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
       splines. Communications in Statistics - Simulation and Computation 19(2), 433-450.

    Examples
    --------
    >>> from autoenc.contraction import Contraction
    >>> Contraction(weight=0.05).validate()
    Contraction(weight=0.05)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "weight": [Interval(Real, 0, None, closed="left")],
        "higher_order_weight": [Interval(Real, 0, None, closed="left")],
        "std": [Interval(Real, 0, None, closed="neither")],
        "n_samples": [Interval(Integral, 1, 2**31 - 1, closed="both")],
        "n_directions": [Interval(Integral, 1, 2**31 - 1, closed="both"), None],
    }

    def __init__(
        self,
        weight: float = 0.1,
        *,
        higher_order_weight: float = 0.0,
        std: float = 0.1,
        n_samples: int = 4,
        n_directions: int | None = None,
    ) -> None:
        self.weight = weight
        self.higher_order_weight = higher_order_weight
        self.std = std
        self.n_samples = n_samples
        self.n_directions = n_directions

    # What an estimator appends to its graph: `encoder` are the dense layers from the input to the code, in order, each
    # reading the one before it (corruption of the input may stand before the first; the Jacobian is by what the first
    # one reads). Softmax has no slope by unit and is to be refused before. Nodes between the layers that depend on the
    # row or the minibatch (dropout, normalisation) are not part of the Jacobian and are to be refused too.
    #
    #   slope_<l>       slope <- dense node of layer l (its value; for gelu and silu its sum)
    #   one layer:      contraction <- slope_0, shares layer 0, width its inputs
    #   more:           diagonal (or probe, multiplicity n_directions) <- slope of the last layer
    #                   tangent_<l> <- the one above, slope_<l - 1>; shares layer l transposed, width its inputs;
    #                   the last without slope; then sum_of_squares
    #   higher order:   noisy_copies <- what layer 0 reads (multiplicity n_samples, value[0] std); each layer once more,
    #                   sharing; slopes, deviation of the two slopes -> contraction, or of the two Jacobians ->
    #                   sum_of_squares
    #   losses:         sum of the penalty node, weight; for the higher order weight / n_samples
    def _add(self, graph: Graph, encoder: Sequence[Layer]) -> None:
        slopes = [_slope(graph, f"contraction_slope_{i}", layer, layer.node) for i, layer in enumerate(encoder)]
        if self.weight > 0:
            if len(encoder) == 1:
                penalty = _closed_form(graph, "contraction", slopes[0], encoder[0])
            else:
                last = _jacobian(graph, "contraction", encoder, slopes, self.n_directions)
                penalty = graph.add("sum_of_squares", "contraction", last, width=1)
            graph.term("sum", penalty, weight=self.weight)
        if self.higher_order_weight > 0:
            penalty = self._add_higher_order(graph, encoder, slopes)
            graph.term("sum", penalty, weight=self.higher_order_weight / self.n_samples)

    def _add_higher_order(self, graph: Graph, encoder: Sequence[Layer], slopes: Sequence[str]) -> str:
        node = graph.add(
            "noisy_copies",
            "curvature_noise",
            encoder[0].source,
            multiplicity=int(self.n_samples),
            value=(float(self.std),),
        )
        there = []
        for i, layer in enumerate(encoder):
            split = keeps_sum(layer.activation)
            activation = "identity" if split else layer.activation
            dense = node = graph.add(
                "dense", f"curvature_layer_{i}", node, width=layer.units, activation=activation, shares=layer.node
            )
            there.append(_slope(graph, f"curvature_slope_{i}", layer, dense))
            if split and i + 1 < len(encoder):
                node = graph.add("activation", f"curvature_value_{i}", dense, activation=layer.activation)
        if len(encoder) == 1:
            deviation = graph.add("deviation", "curvature_deviation", there[0], slopes[0])
            return _closed_form(graph, "curvature", deviation, encoder[0])
        near = _jacobian(graph, "curvature_here", encoder, slopes, None)
        far = _jacobian(graph, "curvature_there", encoder, there, None)
        deviation = graph.add("deviation", "curvature_deviation", far, near)
        return graph.add("sum_of_squares", "curvature", deviation, width=1)


def _slope(graph: Graph, name: str, layer: Layer, of: str) -> str:
    return graph.add("slope", name, of, activation=layer.activation)


def _closed_form(graph: Graph, name: str, slope: str, layer: Layer) -> str:
    return graph.add("contraction", name, slope, width=layer.inputs, shares=layer.node)


def _jacobian(
    graph: Graph, name: str, encoder: Sequence[Layer], slopes: Sequence[str], n_directions: int | None
) -> str:
    """The last node has a row of the Jacobian for each component of the code, or for each direction."""
    if n_directions is None:
        node = graph.add("diagonal", f"{name}_start", slopes[-1])
    else:
        node = graph.add("probe", f"{name}_start", slopes[-1], multiplicity=int(n_directions))
    for i in reversed(range(len(encoder))):
        inputs = (node, slopes[i - 1]) if i else (node,)
        fields = {"width": encoder[i].inputs, "shares": encoder[i].node, "shares_transposed": 1}
        node = graph.add("tangent", f"{name}_tangent_{i}", *inputs, **fields)
    return node
