"""A fitted network as the exporters read it: nodes, parameters by name, and what is asked of them. NumPy only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec
from autoenc._spec import Node, Spec, Term


class Network(NamedTuple):
    """Nodes in order, and their parameters, two-dimensional, by ``node.role``."""

    nodes: list[Node]
    values: Mapping[str, NDArray[Any]]
    dtype: np.dtype[Any]

    def parameter(self, node: Node, role: str) -> NDArray[Any]:
        """A parameter of a node: its own, or that of the node with which it shares."""
        owner = node["fields"].get("shares")
        if owner is None:
            return self.values[f"{node['name']}.{role}"]
        other = next(one for one in self.nodes if one["name"] == owner)
        if not node["fields"].get("shares_transposed"):
            return self.parameter(other, role)
        # Of a transposed use the weight alone is the other's.
        return self.parameter(other, role).T if role == "weight" else self.values[f"{node['name']}.{role}"]

    def needed(self, targets: Iterable[str], given: Sequence[str] = ()) -> list[Node]:
        """What has to be computed for some nodes, in order, where some others are there already."""
        wanted = set(targets)
        kept = []
        for node in reversed(self.nodes):
            if node["name"] in wanted and node["name"] not in given:
                wanted.update(node["inputs"])
                kept.append(node)
        return kept[::-1]

    def widths(self) -> dict[str, int]:
        return _spec.widths(self.nodes)


def of_spec(spec: Spec, values: Mapping[str, NDArray[Any]]) -> Network:
    """The fitted network of an estimator."""
    return Network(_spec.inference_nodes(spec), values, _spec.dtype(spec))


def input_name(spec: Spec, source: int) -> str:
    """What a source of the network is to its callers."""
    return "x" if source == 0 else "condition" if source == 1 and spec["n_conditions"] else "x_clean"


def link(spec: Spec) -> tuple[str, str]:
    """The node of the reconstruction, and the activation behind it that makes it one of the data."""
    node, what = _spec.reconstruction(spec)
    return node, _spec.loss_link(spec["scores"][0]["loss"]) if what == _core.LINKED else "identity"


def compared(terms: Iterable[Term]) -> list[str]:
    """Nodes that some terms compare."""
    sides = [(term["prediction"], term["target"], term.get("entry_weight"), term.get("second")) for term in terms]
    return [name for names in sides for name in names if name is not None]


def size(node: Node, i: int) -> int:
    """A field of `size`, which is zero where nothing is said."""
    given = node["fields"].get("size", ())
    return int(given[i]) if i < len(given) else 0


def value(node: Node, i: int, default: float = 0.0) -> float:
    """A field of `value`; zero means the default."""
    given = node["fields"].get("value", ())
    found = float(given[i]) if i < len(given) else 0.0
    return found if found != 0.0 else default


def no_handler(kind: str, name: str, into: str, known: Iterable[str]) -> NoReturn:
    raise NotImplementedError(
        f"the network has {kind} {name!r}, which cannot be written as {into}; it can: {', '.join(sorted(known))}"
    )


def no_part(model: Any, part: Any, parts: Iterable[str]) -> NoReturn:
    raise ValueError(f"part is {part!r}; {type(model).__name__} has: {', '.join(map(repr, parts))}")


def taking_part(counts: NDArray[Any]) -> NDArray[np.bool_]:
    """Which codes of a codebook a row may have: not those that nothing was ever assigned to. The first where that are
    all, as in the core."""
    return counts > 0 if (counts > 0).any() else np.arange(len(counts)) == 0


def lookup(rows: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Codes (n_codes, width) as a layer that is largest for the nearest: weight (width, n_codes) and bias.

    ``|x - c|^2`` is least where ``x.c - |c|^2 / 2`` is largest.
    """
    rows = rows.astype(np.float64)
    return rows.T.copy(), np.where(taking_part(counts), -0.5 * np.square(rows).sum(axis=1), -np.inf)
