"""A network as a row of layers, from input to reconstruction: for pictures of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from autoenc import _spec
from autoenc._spec import Node, Spec

# Nodes that prepare the input; they are no layers of their own.
_OF_THE_INPUT = {"input", "observed", "present", "emphasis", "multiply", "concatenate"}


class Layer(NamedTuple):
    """One layer: a dense one with what follows it, or the input."""

    role: str  # "input", "hidden", "code" or "output"
    width: int | None  # None: not known before a fit
    what: str  # activation, and what else there is
    dense: Node | None = None  # None: the input
    value: str = ""  # the node whose value is the layer's


class Outline(NamedTuple):
    """The layers, and what a fit has found."""

    layers: list[Layer]
    n_parameters: int | None = None  # None: not fitted
    bytes_each: int = 4
    n_networks: int = 1  # of an ensemble


def path(nodes: Sequence[Node], last: str) -> list[Node]:
    """Nodes from an input to one of them, along the inputs that have most behind them (through the blocks of residuals,
    not past them)."""
    by_name = {node["name"]: node for node in nodes}
    depth: dict[str, int] = {}
    for node in nodes:
        depth[node["name"]] = 1 + max((depth[name] for name in node["inputs"]), default=-1)
    found = [by_name[last]]
    while found[-1]["inputs"]:
        found.append(by_name[max(found[-1]["inputs"], key=lambda name: depth[name])])
    return found[::-1]


def of_spec(spec: Spec) -> list[Layer]:
    """The layers of a fitted network."""
    nodes = _spec.inference_nodes(spec)
    widths = _spec.widths(nodes)
    chain = path(nodes, spec["output"])
    layers = [Layer("input", spec["n_features"], "", None, chain[0]["name"])]
    if spec["n_conditions"]:
        layers[0] = layers[0]._replace(what=f"+{spec['n_conditions']} condition")
    for node in chain[1:]:
        name, kind = node["name"], node["kind"]
        if kind == "dense":
            role = "output" if name == spec["output"] else "hidden"
            what = str(node["fields"].get("activation", "identity"))
            layers.append(Layer(role, widths[name], "" if what == "identity" else what, node, name))
        elif len(layers) > 1 and kind not in _OF_THE_INPUT:
            last = layers[-1]
            text = {"add": "residual"}.get(kind, kind.replace("_", " "))
            if kind == "activation":
                text = str(node["fields"].get("activation"))
            what = f"{last.what}, {text}" if last.what else text
            value = name if widths[name] == last.width else last.value
            layers[-1] = last._replace(what=what, value=value)
        if name == spec["code"] and len(layers) > 1:
            layers[-1] = layers[-1]._replace(role="code")
    if layers[-1].role == "output":
        link = _spec.inverse_link(spec)
        layers[-1] = layers[-1]._replace(what="" if link == "identity" else link)
    return layers


def _of_parameters(model: Any) -> list[Layer]:
    """The layers that a fit would make, as far as parameters say."""
    sides = model._hidden_layers()
    own = str(model.activation)

    def hidden(layers: Sequence[Any]) -> list[Layer]:
        found: list[Layer] = []
        for layer in layers:
            units = getattr(layer, "units", None)
            if units is not None:
                found.append(Layer("hidden", int(units), str(layer.activation or own)))
            elif found:
                text = type(layer).__name__
                found[-1] = found[-1]._replace(what=f"{found[-1].what}, {text}")
            else:
                found.append(Layer("hidden", None, type(layer).__name__))
        return found

    width = int(model._code_width() if hasattr(model, "_code_width") else model.n_components)
    return [
        Layer("input", None, ""),
        *hidden(sides[0]),
        Layer("code", width, ""),
        *hidden(sides[1]),
        Layer("output", None, ""),
    ]


def of_estimator(model: Any) -> Outline:
    """The outline of any estimator of the package, fitted or not.

    Raises
    ------
    Exception
        Of any kind, where parameters are not valid.
    """
    fitted = vars(model)
    if "_spec" in fitted:
        spec: Spec = fitted["_spec"]
        return Outline(of_spec(spec), int(model.n_parameters_), _spec.bits(spec) // 8)
    if "estimators_" in fitted:
        members = [of_estimator(member) for member in fitted["estimators_"]]
        total = sum(int(member.n_parameters or 0) for member in members)
        return members[0]._replace(n_parameters=total, n_networks=len(members))
    if fitted.get("autoencoder_") is not None:
        return of_estimator(fitted["autoencoder_"])
    if hasattr(model, "n_pivots"):
        return _of_marginalized(model)
    if hasattr(model, "_hidden_layers"):
        return Outline(_of_parameters(model))
    sizes = model.hidden_layer_sizes
    own = [Layer("hidden", int(size), str(model.activation)) for size in ([sizes] if isinstance(sizes, int) else sizes)]
    code = Layer("code", model.n_components if isinstance(model.n_components, int) else None, "")
    layers = [Layer("input", None, ""), *own, code, *own[::-1], Layer("output", None, "")]
    return Outline(layers, n_networks=int(getattr(model, "n_estimators", 1)))


def _of_marginalized(model: Any) -> Outline:
    fitted = vars(model)
    if "coefs_" not in fitted:
        n = int(model.n_layers)
        return Outline([Layer("input", None, ""), *[Layer("code", None, "tanh")] * n])
    layers = [Layer("input", int(model.n_features_in_), "")]
    layers += [Layer("code", len(bias), "tanh") for bias in model.intercepts_]
    return Outline(layers, int(model.n_parameters_), model.coefs_[0].itemsize)
