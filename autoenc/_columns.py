"""Which columns have which loss: ranges from what users write, and the parts of a network that come of them.

A `Range` is what the user has named, resolved to positions, pure data. A `Part` is what one term of the objective is
about: a run of neighbouring columns of one loss, or all columns of a loss over whole rows (a softmax).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec
from autoenc._spec import Graph, Part, Range, Spec, Term
from autoenc._start import start_of_output

REMAINDER = "remainder"
SECOND = "second"  # the node of second predicted parameters: dispersions, log-variances
MOST_NODES = 4096  # of a network in the core
MOST_TERMS = 1024
# Losses that a range may have; which of them an estimator takes is its own matter.
LOSSES = [
    name for name, compares in zip(_core.LOSSES, _core.LOSS_HAS_TARGET, strict=True) if compares and name != "gaussian"
]


# ---- what users write ----


def _check_loss(label: str, loss: Any, allowed: Iterable[Any]) -> None:
    if loss not in allowed:
        raise ValueError(f"{label} is {loss!r}; allowed: {', '.join(map(repr, allowed))}")


def check(losses: Any, remainder: Any, weights: Any, allowed: Sequence[str] | None = None) -> None:
    """Refuses what is wrong whatever the data. `allowed`: losses that the estimator takes."""
    allowed = LOSSES if allowed is None else allowed
    names: list[str] = []
    for i, entry in enumerate(losses):
        if not isinstance(entry, (tuple, list)) or len(entry) != 3:
            raise ValueError(f"losses[{i}] is {entry!r}; allowed: a tuple (name, loss, columns)")
        name, loss, _ = entry
        if not isinstance(name, str) or name in (*names, REMAINDER):
            raise ValueError(f"losses[{i}] has the name {name!r}; allowed: different texts other than {REMAINDER!r}")
        names.append(name)
        _check_loss(f"the loss of {name!r}", loss, allowed)
    _check_loss("remainder", remainder, [*allowed, None])
    for name, weight in (weights or {}).items():
        if name not in (*names, REMAINDER):
            raise ValueError(f"weights has {name!r}; allowed: {', '.join(map(repr, (*names, REMAINDER)))}")
        if not isinstance(weight, Real) or isinstance(weight, (bool, np.bool_)) or not 0.0 < float(weight) < np.inf:
            raise ValueError(f"weights[{name!r}] is {weight!r}; allowed: finite numbers above 0")


def _positions(X: Any, name: str, columns: Any, n: int) -> list[int]:
    """Positions of the columns of a range, in order."""
    from sklearn.utils._indexing import _get_column_indices

    if callable(columns):
        columns = columns(X)
    if isinstance(columns, (np.ndarray, np.generic)):
        columns = columns.tolist()
    if not isinstance(columns, (str, slice)) and hasattr(columns, "__iter__"):
        columns = [one.item() if isinstance(one, np.generic) else one for one in columns]
    given = columns if isinstance(columns, list) else [columns]
    if given and all(isinstance(one, (bool, np.bool_)) for one in given):
        if len(given) != n:
            raise ValueError(f"the columns of {name!r} are a mask of {len(given)} entries; there are {n} columns")
        return [i for i, one in enumerate(given) if one]
    if columns == slice(None):  # no key of scikit-learn's
        return list(range(n))
    outside = [one for one in given if isinstance(one, (int, np.integer)) and not -n <= one < n]
    if outside:
        raise ValueError(f"the columns of {name!r} have {outside[0]}; allowed are {-n} to {n - 1}")
    try:
        found = [int(i) for i in _get_column_indices(X, columns)]
    except (ValueError, TypeError, KeyError, IndexError, NotImplementedError) as error:
        raise ValueError(f"the columns of {name!r} are {columns!r}: {error}") from error
    twice = [i for i, count in Counter(found).items() if count > 1]
    if twice:
        raise ValueError(f"the columns of {name!r} have column {twice[0]} twice; allowed: each once")
    return sorted(found)


def resolve(loss: Any, X: Any, n: int, allowed: Sequence[str], parameter: str) -> list[Range]:
    """The ranges of a ColumnLoss for some data, every column in one of them.

    Raises
    ------
    ValueError
        Where a column is in no range, in two, or not there; the message names the range and the column.
    """
    loss.validate()
    try:
        check(loss.losses, loss.remainder, loss.weights, allowed)
    except ValueError as error:
        raise ValueError(f"{parameter}: {error}") from error
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    names = getattr(X, "columns", None)
    labels: list[str | int] = list(range(n)) if names is None else [str(name) for name in names]
    weights = loss.weights or {}
    owner: dict[int, str] = {}
    ranges: list[Range] = []

    def add(name: str, kind: str, columns: list[int]) -> None:
        named = [labels[i] for i in columns]
        ranges.append(
            Range(name=name, loss=str(kind), columns=columns, labels=named, weight=float(weights.get(name, 1.0)))
        )

    for name, kind, columns in loss.losses:
        try:
            found = _positions(X, name, columns, n)
        except ValueError as error:
            raise ValueError(f"{parameter}: {error}") from error
        for i in found:
            if i in owner:
                raise ValueError(
                    f"{parameter}: column {labels[i]!r} is in {owner[i]!r} and in {name!r}; allowed: each column in one"
                )
            owner[i] = name
        if found:
            add(name, kind, found)
    rest = [i for i in range(n) if i not in owner]
    if rest and loss.remainder is None:
        raise ValueError(
            f"{parameter}: no range has column {labels[rest[0]]!r} ({len(rest)} of {n} columns are in none), and "
            "remainder=None; allowed: every column in a range, or a loss as remainder"
        )
    if rest:
        add(REMAINDER, loss.remainder, rest)
    return ranges


def is_any(loss: str) -> bool:
    """Whether a loss takes all finite targets."""
    return loss in _core.LOSSES and _core.LOSS_TARGETS[_core.LOSSES.index(loss)] == "any"


def restricts(loss: Any) -> bool:
    """Whether a loss, or a ColumnLoss that nobody has checked yet, refuses some targets."""
    if isinstance(loss, str):
        return loss in _core.LOSSES and not is_any(loss)
    if not hasattr(loss, "losses"):
        return False
    entries = loss.losses if isinstance(loss.losses, (list, tuple)) else ()
    kinds = [loss.remainder, *(entry[1] for entry in entries if isinstance(entry, (list, tuple)) and len(entry) == 3)]
    return any(isinstance(kind, str) and restricts(kind) for kind in kinds)


def shown(ranges: Sequence[Range]) -> tuple[Any, ...]:
    """Ranges as a setting of the network, and as messages show them."""
    return tuple((r["name"], r["loss"], tuple(r["columns"]), r["weight"]) for r in ranges)


# ---- the network ----


def _is_row_loss(loss: str) -> bool:
    return not _core.LOSS_WEIGHS_ENTRIES[_core.LOSSES.index(loss)]


def _has_second(loss: str) -> bool:
    return bool(_core.LOSS_HAS_SECOND[_core.LOSSES.index(loss)])


def parts(ranges: Sequence[Range] | None, loss: str, width: int) -> list[Part]:
    """What the terms compare, by first column. `ranges` None: all columns have the one `loss`."""
    if ranges is None:
        return [Part(loss, tuple(range(width)), 1.0)]
    found = [Part(r["loss"], tuple(r["columns"]), r["weight"]) for r in ranges if _is_row_loss(r["loss"])]
    alike = {i: (r["loss"], r["weight"]) for r in ranges if not _is_row_loss(r["loss"]) for i in r["columns"]}
    for key, run in groupby(range(width), key=alike.get):
        if key is not None:
            found.append(Part(key[0], tuple(run), key[1]))
    return sorted(found, key=lambda part: part.columns[0])


def runs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """First column and length of each run of neighbours."""
    found: list[tuple[int, int]] = []
    for i in columns:
        if found and sum(found[-1]) == i:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((i, 1))
    return found


def join(graph: Graph, name: str, nodes: Sequence[str]) -> str:
    """Values side by side, four at a time."""
    level = 0
    while len(nodes) > 1:
        level += 1
        joined = []
        for at in range(0, len(nodes), 4):
            some = nodes[at : at + 4]
            label = name if len(nodes) <= 4 else f"{name}_joined_{level}_{at // 4}"
            width = sum(graph.widths[node] for node in some)
            joined.append(some[0] if len(some) == 1 else graph.add("concatenate", label, *some, width=width))
        nodes = joined
    return nodes[0]


def take(graph: Graph, node: str, columns: Sequence[int], name: str) -> str:
    """Some columns of a node's value; the node itself, where these are all."""
    found = runs(columns)
    if found == [(0, graph.widths[node])]:
        return node
    if len(found) == 1:
        return graph.add("slice", name, node, width=found[0][1], size=(found[0][0],))
    pieces = [
        graph.add("slice", f"{name}_{i}", node, width=width, size=(first,)) for i, (first, width) in enumerate(found)
    ]
    return join(graph, name, pieces)


def second_width(found: Sequence[Part]) -> int:
    """Columns whose loss has a second predicted parameter."""
    return sum(len(part.columns) for part in found if _has_second(part.loss))


def add_terms(
    graph: Graph,
    output: str,
    target: str,
    entry_weight: str | None,
    found: Sequence[Part],
    weights: Sequence[float],
    parameters: Mapping[str, float],
) -> list[Term]:
    """Adds a term for each part to the objective and to the score; returns them.

    The node `SECOND`, where there is one, has the second parameters, those of one part behind those of another. Losses
    over whole rows take no entry weights; they are linear in their targets, so the weights go there, except for the one
    loss of a plain table, which refuses them.
    """
    at = 0
    first = len(graph.objective)
    for i, (part, weight) in enumerate(zip(found, weights, strict=True)):
        prediction = take(graph, output, part.columns, f"{output}_{i}")
        compared = take(graph, target, part.columns, f"{target}_{i}")
        factor = None if entry_weight is None else take(graph, entry_weight, part.columns, f"{entry_weight}_{i}")
        if factor is not None and graph.ranges is not None and _is_row_loss(part.loss):
            compared, factor = graph.add("multiply", f"{target}_{i}_weighted", compared, factor), None
        second = None
        if _has_second(part.loss):
            n = len(part.columns)
            second = take(graph, SECOND, range(at, at + n), f"{SECOND}_{i}")
            at += n
        graph.term(
            part.loss,
            prediction,
            compared,
            weight=weight,
            parameter=parameters.get(part.loss, 1.0),
            entry_weight=factor,
            second=second,
            scores=True,
        )
    graph.parts = dict(zip((term["prediction"] for term in graph.objective[first:]), found, strict=True))
    return graph.objective[first:]


def weighed(graph: Graph, term: Term, target: str, entry_weight: str, i: int) -> Term:
    """The term of a part with other weights of entries; `target` and `entry_weight` have all columns."""
    part = graph.parts[term["prediction"]]
    factor = take(graph, entry_weight, part.columns, f"{entry_weight}_{i}")
    if graph.ranges is None or not _is_row_loss(part.loss):
        return Term(**{**term, "entry_weight": factor})
    compared = take(graph, target, part.columns, f"{target}_{i}_emphasised")
    return Term(**{**term, "target": graph.add("multiply", f"{target}_{i}_with_emphasis", compared, factor)})


def check_entry_weights(graph: Graph, model: Any) -> None:
    """Refuses weights of entries for losses over whole rows, in the words of the parameters that ask for them.

    Those of ranges are in their targets.
    """
    for term in graph.objective:
        if _is_row_loss(term["loss"]) and term.get("entry_weight") is not None:
            asks = "missing='mask'" if model.missing == "mask" else f"corruption={model.corruption!r} with emphasis"
            rest = [name for name in _spec.PLAIN_LOSSES if not _is_row_loss(name)]
            raise ValueError(
                f"loss={term['loss']!r} does not go with {asks}: it is a loss of whole rows, not a mean over "
                f"features that could be weighed; losses that can: {', '.join(map(repr, rest))}"
            )


def add_links(graph: Graph, output: str) -> str | None:
    """The reconstruction on the scale of the data: each part behind its link, in the order of the columns.

    None: the output itself is that, behind the link of the one loss where it has one.
    """
    links = {prediction: _spec.loss_link(part.loss) for prediction, part in graph.parts.items()}
    if len(graph.parts) == 1 or set(links.values()) == {"identity"}:
        return None
    pieces: dict[int, str] = {}
    for i, (prediction, part) in enumerate(graph.parts.items()):
        node, at = prediction, 0
        if links[prediction] != "identity":
            node = graph.add("activation", f"linked_{i}", prediction, activation=links[prediction])
        found = runs(part.columns)
        for k, (first, width) in enumerate(found):
            whole = len(found) == 1
            name = f"linked_{i}_{k}"
            pieces[first] = node if whole else graph.add("slice", name, node, width=width, size=(at,))
            at += width
    return join(graph, "linked", [pieces[first] for first in sorted(pieces)])


def start(spec: Spec, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bias of the output with which the reconstruction is the mean of the target's columns, each by its link."""
    bias = np.empty_like(mean)
    for part in parts(spec["ranges"], "", len(mean)):
        columns = list(part.columns)
        link = _spec.loss_link(part.loss)
        bias[columns] = start_of_output(_spec.output_activation(spec) if link == "identity" else link, mean[columns])
    return bias


def of_loss(spec: Spec, loss: str) -> list[int]:
    """Columns of the target that a loss compares."""
    found = parts(spec.get("ranges"), spec["scores"][0]["loss"], spec["n_outputs"])
    return [column for part in found if part.loss == loss for column in part.columns]


def by_feature(spec: Spec, terms: NDArray[Any]) -> NDArray[Any]:
    """Terms of the loss by feature: the core has those of a part side by side, and without weights of ranges."""
    ranges = spec.get("ranges")
    if ranges is None:
        return terms
    found = parts(ranges, "", spec["n_outputs"])
    out = np.empty_like(terms)
    at = 0
    for part in found:
        n = len(part.columns)
        out[:, list(part.columns)] = terms[:, at : at + n] * terms.dtype.type(part.weight)
        at += n
    return out


def check_size(graph: Graph, more: int) -> None:
    """Refuses a table that falls into more parts than a network can hold."""
    n = len(graph.nodes) + more
    if graph.ranges is not None and (n > MOST_NODES or len(graph.objective) > MOST_TERMS):
        raise ValueError(
            f"the columns fall into {len(graph.parts)} runs of one loss, which make a network of {n} nodes and "
            f"{len(graph.objective)} terms; allowed are {MOST_NODES} and {MOST_TERMS}: order the columns so that those "
            "of one loss stand side by side"
        )
