"""The dense layers of a graph, as penalties on them and on their Jacobian see them."""

from typing import NamedTuple

from autoenc._spec import Graph, Node


class Layer(NamedTuple):
    """A dense layer.

    ``node`` is the dense node and ``source`` what it reads. Where the slope of the activation does not follow from its
    value (`keeps_sum`), the dense node is linear, with a node of kind "activation" after it.
    """

    node: str
    source: str
    inputs: int
    units: int
    activation: str


def keeps_sum(activation: str) -> bool:
    """Whether the slope of an activation is read off the sum before it and not off its value."""
    return activation in ("gelu", "silu")


def _find(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node["name"] == name)


def encoder(graph: Graph, code: str, asks: str) -> list[Layer]:
    """Dense layers from the start of the encoder to the code, in order.

    `asks` is the parameter that needs them, for the error where there is something else between.
    """
    layers: list[Layer] = []
    name = code
    while name != graph.encoded:
        node = _find(graph, name)
        activation = node["fields"].get("activation", "identity")
        if node["kind"] == "activation" and keeps_sum(activation):
            node = _find(graph, node["inputs"][0])
        if node["kind"] != "dense":
            raise ValueError(
                f"{asks} needs an encoder of dense layers; {name!r} is a {node['kind']}; allowed: hidden_layer_sizes "
                "without dropout, or an encoder of Dense layers alone, and a code whose sparsity is None, L1 or KL"
            )
        source = node["inputs"][0]
        layers.append(Layer(node["name"], source, graph.widths[source], graph.widths[name], activation))
        name = source
    return layers[::-1]


def split_activations(graph: Graph, code: str, asks: str) -> dict[str, str]:
    """Makes two nodes of layers whose slope is read off their sum. Names of the activations by those of the layers."""
    names: dict[str, str] = {}
    for layer in encoder(graph, code, asks):
        if layer.activation == "softmax":
            raise ValueError(
                f"{asks} does not go with activation or latent_activation 'softmax', which has no slope by unit; "
                "allowed: any other"
            )
        if keeps_sum(layer.activation) and _find(graph, layer.node)["fields"]["activation"] == layer.activation:
            names[layer.node] = f"{layer.node}_value"
    nodes = graph.cut(0)
    for node in nodes:
        node["inputs"] = tuple(names.get(name, name) for name in node["inputs"])
        graph.nodes.append(node)
        if node["name"] in names:
            activation = node["fields"]["activation"]
            node["fields"] = {**node["fields"], "activation": "identity"}
            graph.add("activation", names[node["name"]], node["name"], activation=activation)
    return names
