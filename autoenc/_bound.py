"""Scores of a fitted variational network by draws of its codes. Needs NumPy and the extension only.

The network for this is made from the description of the fitted one: draws of the code where `transform` has its mean,
and behind them the likelihood of the row and the divergence of the code from the prior, both in nats. The draws come
from a key of their own and are the same for each row, so a row has the same score whenever it is asked for.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _core, _spec
from autoenc._spec import Node, Spec, Term
from autoenc._variational_graph import shared_log_variance

DRAWS = 16  # of the bound, where nothing else is said
_AT_ONCE = 96  # that go through the network together: half of what the core takes as one block


def is_variational(spec: Spec) -> bool:
    return any(node["kind"] == "gaussian_sample" for node in spec["nodes"])


def mixture(spec: Spec, values: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Means, log-variances and logits of the prior's components, or None where it is the standard normal."""
    prior = spec["settings"]["prior"]
    if prior == "normal":
        return None
    means, log_variances = values["divergence.means"], values["divergence.log_variances"]
    if prior == "vamp":
        return means, log_variances, np.zeros((1, len(means)), dtype=means.dtype)
    return means, log_variances, values["divergence.logits"]


def _likelihood(spec: Spec, n: int) -> tuple[list[Node], list[Term]]:
    """The terms of a row given its code, whose negative log-likelihoods are in nats, and nodes for them."""
    widths = _spec.widths((*spec["nodes"], *spec["score_nodes"]))
    variance = spec["settings"]["noise_variance"]
    nodes: dict[str, Node] = {}
    terms = []
    for term in spec["scores"]:
        own = Term(**{**term, "weight": 1.0})
        width = widths[term["prediction"]]
        if term["loss"] == "squared_error" and variance == "shared":
            own["loss"], own["second"] = "gaussian", shared_log_variance(width)
        elif term["loss"] == "squared_error":  # the normal loss knows the variance
            name = f"bound_log_variance_{width}"
            fields = {"width": width, "multiplicity": n, "value": (math.log(variance),)}
            nodes[name] = Node(kind="constant", name=name, inputs=(), fields=fields)
            own["loss"], own["second"] = "gaussian", name
        terms.append(own)
    return list(nodes.values()), terms


def _network(spec: Spec, n: int, first: int, *, closed: bool) -> tuple[list[Node], list[Term]]:
    """Nodes and terms of n draws from number `first` on. `closed`: divergence without draws, where there is a form."""
    posterior = ("mean", "log_variance")
    if spec["settings"]["prior"] != "normal":
        fields = {"width": 1, "size": (spec["settings"]["n_prior_components"],)}
        divergence = Node(kind="mixture_log_ratio", name="bound", inputs=("z", *posterior), fields=fields)
    elif closed:
        divergence = Node(kind="gaussian_kl", name="bound", inputs=posterior, fields={})
    else:
        divergence = Node(kind="gaussian_log_ratio", name="bound", inputs=("z", *posterior), fields={"width": 1})
    more, likelihoods = _likelihood(spec, n)
    nodes = []
    for node in (*spec["nodes"], *spec["score_nodes"], divergence, *more):
        fields = node["fields"]
        if node["kind"] == "gaussian_sample":
            fields = {**fields, "multiplicity": n, "size": (first,)}
        elif node["kind"] in ("repeat", "constant"):
            fields = {**fields, "multiplicity": n}
        nodes.append(Node(kind=node["kind"], name=node["name"], inputs=node["inputs"], fields=fields))
    terms = [*likelihoods, Term(loss="sum", prediction="bound", target=None, weight=1.0, parameter=1.0)]
    drawing = Spec(**{**spec, "nodes": nodes, "score_nodes": [], "scores": terms, "kept": (), "linked": None})
    return _spec.inference_nodes(drawing, _spec.TRAINING_ONLY - _spec.DRAWS), terms


def predictors(
    spec: Spec, values: Mapping[str, NDArray[Any]], n_draws: int, n_threads: int, *, closed: bool
) -> Iterator[tuple[_core.Predictor, int]]:
    """Networks of some draws each, that together have draws 0 to n_draws - 1, and how many each has."""
    components = mixture(spec, values)
    for first in range(0, n_draws, _AT_ONCE):
        n = min(_AT_ONCE, n_draws - first)
        nodes, terms = _network(spec, n, first, closed=closed)
        arrays = [values[name] for name, _, _ in _spec.owned(spec, nodes)]
        if components is not None:  # of the last node with parameters
            arrays.extend(np.ascontiguousarray(array) for array in components)
        losses = _spec.loss_array(terms, nodes)
        array = _spec.node_array(nodes)
        core = _core.Predictor(array, arrays, precision=_spec.bits(spec), losses=losses, n_threads=n_threads)
        yield core, n


def elbo(networks: Sequence[tuple[_core.Predictor, int]], sources: Sequence[Any]) -> NDArray[np.float64]:
    """The evidence lower bound of each row: mean over the draws."""
    total: Any = 0.0
    for core, n in networks:
        total = total - n * core.run(sources, 0, _core.NLL, sampling=True)
    return np.asarray(total / sum(n for _, n in networks))


def log_likelihood(networks: Iterator[tuple[_core.Predictor, int]], sources: Sequence[Any]) -> NDArray[np.float64]:
    """Logarithm of the mean of each row's importance weights over the draws."""
    total: Any = -np.inf
    count = 0
    for core, n in networks:
        part = -core.run(sources, 0, _core.NLL, sampling=True, combine=1)
        total = np.logaddexp(total, part + math.log(n))
        count += n
    return np.asarray(total - math.log(count))
