"""What `contraction` and `penalties` of an estimator add to its graph, and what they do not go with."""

from typing import Any

from autoenc import _dense_layers, _spec
from autoenc._dense_layers import Layer
from autoenc._sparse_code import Reconstruction
from autoenc._spec import Graph
from autoenc.penalties import Decorrelation, Orthogonality, Penalty, PredictiveSparse


def check(penalties: Any) -> list[Penalty]:
    """A list of what may be one object, a list or None."""
    given = list(penalties) if isinstance(penalties, (list, tuple)) else [] if penalties is None else [penalties]
    for i, penalty in enumerate(given):
        if not isinstance(penalty, (Decorrelation, Orthogonality, PredictiveSparse)):
            raise ValueError(f"penalties[{i}] is {penalty!r}; allowed are the objects of autoenc.penalties")
        if any(type(penalty) is type(other) for other in given[:i]):
            raise ValueError(f"penalties has two of {type(penalty).__name__}; allowed: one of each kind")
        penalty.validate()
    return given


def add(penalty: Penalty, graph: Graph, reconstruction: Reconstruction) -> None:
    """Adds a penalty's nodes and terms."""
    if isinstance(penalty, Orthogonality):
        layers = [
            Layer(node["name"], node["inputs"][0], graph.widths[node["inputs"][0]], graph.widths[node["name"]], "")
            for node in _spec.wanted(graph.nodes, (graph.code,))
            if node["kind"] == "dense"
        ]
        penalty._add(graph, layers)
    elif isinstance(penalty, Decorrelation):
        penalty._add(graph, graph.code)
    elif isinstance(penalty, PredictiveSparse):
        _add_predictive(penalty, graph, reconstruction)


def _add_predictive(penalty: PredictiveSparse, graph: Graph, reconstruction: Reconstruction) -> None:
    term = reconstruction.terms[0]
    decoder = next(node for node in graph.nodes if node["name"] == reconstruction.output)
    reasons = {
        "losses by column; allowed: loss='squared_error'": len(reconstruction.terms) > 1,
        f"loss={term['loss']!r}; allowed: 'squared_error'": term["loss"] != "squared_error",
        "a decoder of more than one linear layer; allowed: decoder_hidden_layer_sizes=(), output_activation='auto', "
        "without condition": decoder["inputs"] != (graph.code,) or decoder["fields"]["activation"] != "identity",
        "tied_weights=True; allowed: False": "shares" in decoder["fields"],
        "missing='mask'; allowed: 'error'": "entry_weight" in term,
    }
    for reason, applies in reasons.items():
        if applies:
            raise ValueError(f"penalties with {penalty!r} does not go with {reason}")
    _dense_layers.encoder(graph, graph.code, f"penalties with {penalty!r}")
    width = graph.widths[graph.code]
    graph.objective.remove(term)
    penalty._add(
        graph,
        reconstruction.target,
        graph.code,
        Layer(decoder["name"], graph.code, width, graph.widths[decoder["name"]], ""),
    )
