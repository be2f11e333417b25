"""Nodes and terms that a part (a penalty, an objective) adds to a graph: by names, ready to be appended.

An estimator that takes such a part builds its graph as ever, asks the part for `Node` and `Term`, and calls `extend`.
Penalty nodes come after all others, so that a predictor, which runs as far as it must, never computes them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec


class Layer(NamedTuple):
    """A dense layer as a penalty sees it.

    ``node`` is the dense node and ``source`` what it reads. Where the slope of the activation does not follow from its
    value (`keeps_sum`), the dense node must be linear, with a node of kind "activation" after it.
    """

    node: str
    source: str
    inputs: int
    units: int
    activation: str


class Node(NamedTuple):
    """A node to append: kind, name, names of its inputs, fields of `_spec.NODE` ("shares" by name)."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    fields: dict[str, Any]


class Term(NamedTuple):
    """A term of the loss: the mean over rows of the one column of a node (loss "sum", without target), or a loss
    between two nodes."""

    prediction: str
    weight: float
    loss: str = "sum"
    target: str | None = None


class Recipe(NamedTuple):
    nodes: list[Node]
    terms: list[Term]


def keeps_sum(activation: str) -> bool:
    """Whether the slope of an activation is read off the sum before it and not off its value."""
    return activation in ("gelu", "silu")


def extend(graph: NDArray[np.void], nodes: Iterable[Node]) -> NDArray[np.void]:
    """A graph with nodes appended."""
    added = list(nodes)
    names = [row.decode() for row in graph["name"]]
    out = np.concatenate([graph, np.zeros(len(added), _spec.NODE)])
    for row, node in zip(out[len(graph) :], added, strict=True):
        row["kind"] = _core.LAYERS.index(node.kind)
        row["name"] = node.name
        row["n_inputs"] = len(node.inputs)
        for i, name in enumerate(node.inputs):
            row["inputs"][i] = names.index(name)
        for field, value in node.fields.items():
            if field == "shares":
                row[field] = 1 + names.index(value)
            elif field == "activation":
                row[field] = _core.ACTIVATIONS.index(value)
            elif field in ("size", "value"):
                row[field][: len(value)] = value
            else:
                row[field] = value
        names.append(node.name)
    return out
