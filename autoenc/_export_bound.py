"""The network whose mean over draws is the score of a variational one, as the exporters read it. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _bound, _core, _spec
from autoenc._export_network import Network
from autoenc._predictor import Predictor, parameters
from autoenc._spec import Node, Spec, Term


def noise(node: Node, width: int, precision: int) -> NDArray[Any]:
    """The draws of a node when scoring, (draws, width): what it makes of mean zero and variance one."""
    inputs = [
        Node(kind="input", name=name, inputs=(), fields={"width": width, "source": i}) for i, name in enumerate("mv")
    ]
    drawing = Node(kind=node["kind"], name=node["name"], inputs=("m", "v"), fields=node["fields"])
    core = _core.Predictor(_spec.node_array([*inputs, drawing]), [], precision=precision, n_threads=1)
    zeros = np.zeros((1, width), np.float32 if precision == 32 else np.float64)
    return np.asarray(core.run([zeros, zeros], 2, sampling=True))


def network(predictor: Predictor) -> tuple[Network, list[Term]]:
    """The network of the draws, with the components of the prior, and the terms of the bound."""
    spec: Spec = predictor._spec
    values = dict(parameters(spec, predictor._coefs, predictor._intercepts, predictor._others))
    nodes, terms = _bound._network(spec, _bound.DRAWS, 0, closed=True)
    components = _bound.mixture(spec, values)
    if components is not None:
        values.update(zip(("bound.means", "bound.log_variances", "bound.logits"), components, strict=True))
    return Network(nodes, values, _spec.dtype(spec)), terms


def drawn(nodes: list[Node]) -> set[str]:
    """Nodes whose values have an axis of draws."""
    found: set[str] = set()
    for node in nodes:
        own = node["kind"] in ("gaussian_sample", "repeat", "constant")
        if own or (node["kind"] != "input" and any(name in found for name in node["inputs"])):
            found.add(node["name"])
    return found
