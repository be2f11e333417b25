"""Hidden layers as descriptions, for the parameters `encoder` and `decoder` of the estimators.

They hold no weights: the estimator learns those. The code and the reconstruction are appended by the estimator, so that
every kind of code goes with every encoder.

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from autoenc import Autoencoder
>>> from autoenc.layers import BatchNorm, Dense, Residual
>>> encoder = [Dense(32), BatchNorm(), Residual([Dense(32), Dense(32)])]
>>> Autoencoder(2, encoder=encoder, max_iter=5, random_state=0).fit_transform(load_iris().data).shape
(150, 2)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from autoenc import _core
from autoenc._options import ActivationName, OneOf, refuse_booleans
from autoenc._spec import MAX_LAYERS, MAX_WIDTH, Graph

__all__ = ["Activation", "BatchNorm", "Dense", "Dropout", "LayerNorm", "Residual"]


class Defaults(NamedTuple):
    """What the estimator says for layers that do not say it themselves."""

    activation: str
    initializer: str


class Layer(BaseEstimator):
    """Base of the descriptions."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        """Adds the layer's nodes behind a node; the last one's name."""
        raise NotImplementedError


@dataclass(repr=False, eq=False)
class Dense(Layer):
    """Fully connected layer: ``activation(x W + b)``.

    Parameters
    ----------
    units : int, default=128
        Outputs.
    activation : str or None, default=None
        As the estimator's `activation`. None: that of the estimator.

    Examples
    --------
    >>> from autoenc.layers import Dense
    >>> Dense(64, activation="relu")
    Dense(activation='relu', units=64)
    """

    units: int = 128
    activation: ActivationName | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "units": [Interval(Integral, 1, MAX_WIDTH, closed="both")],
        "activation": [OneOf(set(_core.ACTIVATIONS)), None],
    }

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        return graph.add(
            "dense",
            name,
            node,
            width=int(self.units),
            activation=self.activation or defaults.activation,
            initializer=defaults.initializer,
        )


@dataclass(repr=False, eq=False)
class Activation(Layer):
    """An activation function alone, for instance behind a normalisation.

    Parameters
    ----------
    activation : str or None, default=None
        As the estimator's `activation`. None: that of the estimator.

    Examples
    --------
    >>> from autoenc.layers import Activation, BatchNorm, Dense
    >>> [Dense(64, "identity"), BatchNorm(), Activation("relu")]
    [Dense(activation='identity', units=64), BatchNorm(), Activation(activation='relu')]
    """

    activation: ActivationName | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "activation": [OneOf(set(_core.ACTIVATIONS)), None],
    }

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        return graph.add("activation", name, node, activation=self.activation or defaults.activation)


@dataclass(repr=False, eq=False)
class BatchNorm(Layer):
    """Normalises each feature by its mean and variance over the minibatch, with a learned gain and shift.

    Running statistics take their place when the network is used [1]_.

    Parameters
    ----------
    momentum : float, default=0.1
        Share of the newest minibatch in the running statistics.
    epsilon : float, default=1e-5
        Added to the variance.

    References
    ----------
    .. [1] Ioffe, S. and Szegedy, C. (2015). Batch normalization: accelerating deep network training by reducing
       internal covariate shift. ICML. Algorithm 1.

    Examples
    --------
    >>> from autoenc.layers import BatchNorm
    >>> BatchNorm(momentum=0.2)
    BatchNorm(momentum=0.2)
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "momentum": [Interval(Real, 0, 1, closed="right")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
    }

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        return graph.add("batch_norm", name, node, value=(float(self.momentum), float(self.epsilon)))


@dataclass(repr=False, eq=False)
class LayerNorm(Layer):
    """Normalises each row over its features, with a learned gain and shift by feature.

    As in [1]_.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance.

    References
    ----------
    .. [1] Ba, J. L., Kiros, J. R. and Hinton, G. E. (2016). Layer normalization. arXiv:1607.06450. Equation 4.

    Examples
    --------
    >>> from autoenc.layers import LayerNorm
    >>> LayerNorm(epsilon=1e-3)
    LayerNorm(epsilon=0.001)
    """

    epsilon: float = 1e-5

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"epsilon": [Interval(Real, 0, None, closed="neither")]}

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        return graph.add("layer_norm", name, node, value=(float(self.epsilon),))


@dataclass(repr=False, eq=False)
class Dropout(Layer):
    """Sets features to zero at random in training, and scales the others up so that sums keep their mean.

    As in [1]_.

    Parameters
    ----------
    p : float, default=0.5
        Probability of zero.

    References
    ----------
    .. [1] Srivastava, N. et al. (2014). Dropout: a simple way to prevent neural networks from overfitting. JMLR 15.

    Examples
    --------
    >>> from autoenc.layers import Dense, Dropout
    >>> [Dense(64), Dropout(0.2)]
    [Dense(units=64), Dropout(p=0.2)]
    """

    p: float = 0.5

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"p": [Interval(Real, 0, 1, closed="left")]}

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        return graph.add("dropout", name, node, rate=float(self.p))


@dataclass(repr=False, eq=False)
class Residual(Layer):
    """A block whose input is added to its output, by a linear layer where the widths differ.

    As in [1]_.

    Parameters
    ----------
    layers : list of layers
        The block.

    References
    ----------
    .. [1] He, K., Zhang, X., Ren, S. and Sun, J. (2016). Deep residual learning for image recognition. CVPR. Equations
       1 and 2.

    Examples
    --------
    >>> from autoenc.layers import Dense, LayerNorm, Residual
    >>> Residual([LayerNorm(), Dense(64)])
    Residual(layers=[LayerNorm(), Dense(units=64)])
    """

    layers: Sequence[Layer] = ()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"layers": [list, tuple]}

    def _add(self, graph: Graph, name: str, node: str, defaults: Defaults) -> str:
        last = node
        for i, layer in enumerate(self.layers):
            last = layer._add(graph, f"{name}_{i}", last, defaults)
        if graph.widths[last] != graph.widths[node]:
            node = graph.add(
                "dense",
                f"{name}_shortcut",
                node,
                width=graph.widths[last],
                activation="identity",
                initializer=defaults.initializer,
            )
        return graph.add("add", name, last, node)


def check(name: str, layers: Any) -> list[Layer]:
    """A list of layers whose parameters are in order.

    Raises
    ------
    ValueError
        That names the layer.
    """
    if isinstance(layers, Layer) or not isinstance(layers, (list, tuple)):
        raise ValueError(f"{name} is {layers!r}; allowed are lists of layers of autoenc.layers, and None")
    if len(layers) > MAX_LAYERS:
        raise ValueError(f"{name} has {len(layers)} layers; at most {MAX_LAYERS} are allowed")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer) or type(layer) is Layer:
            raise ValueError(f"{name}[{i}] is {layer!r}; allowed are the layers of autoenc.layers")
        try:
            layer._validate_params()
            refuse_booleans(layer)
        except ValueError as error:
            raise ValueError(f"{name}[{i}]: {error}") from error
        if isinstance(layer, Residual):
            check(f"{name}[{i}].layers", layer.layers)
            if not layer.layers:
                raise ValueError(f"{name}[{i}].layers is empty; a block has at least one layer")
    return list(layers)


def mirrored(layers: Sequence[Layer]) -> list[Layer]:
    """The same blocks in reverse: a block is a layer with weights of its own and what follows it."""
    blocks: list[list[Layer]] = [[]]
    for layer in layers:
        if isinstance(layer, (Dense, Residual)) and blocks[-1]:
            blocks.append([])
        blocks[-1].append(layer)
    return [layer for block in reversed(blocks) for layer in block]
