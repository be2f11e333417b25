"""The nodes and terms that each object of `autoenc.sparsity` means.

`add_code` puts the code behind the encoder, `add_terms` what the objective has beside the reconstruction. Both go by
the type of the object: one function for each idea.
"""

from collections.abc import Iterable
from functools import singledispatch
from typing import Any, NamedTuple

from autoenc._spec import Graph, Term, loss_link
from autoenc.sparsity import KL, L1, BatchTopK, Gated, JumpReLU, Matryoshka, TopK

CODE = "code"  # the dense node: weights have the same name, and so the same start, whatever comes behind
SELECTED = "code_selected"  # behind a selection among its features
MOST_SELECTED_FROM = 2**24  # features, in the core


class Place(NamedTuple):
    """Where a sparse code stands in its network."""

    width: int
    activation: str
    initializer: str


class Reconstruction(NamedTuple):
    """What the terms of the reconstruction are, for those that reconstruct once more."""

    decoded: str  # where the decoder begins
    output: str
    target: str
    entry_weight: str | None
    terms: list[Term]


def _dense(graph: Graph, place: Place, node: str, activation: str, **fields: Any) -> str:
    return graph.add(
        "dense", CODE, node, width=place.width, activation=activation, initializer=place.initializer, **fields
    )


def _linear(graph: Graph, place: Place, node: str, sparsity: Any, **fields: Any) -> str:
    """The code before its selection, which takes the place of an activation."""
    if place.activation != "identity":
        raise ValueError(
            f"latent_activation={place.activation!r} does not go with sparsity={sparsity!r}, which is an activation "
            "itself; allowed: 'identity'"
        )
    return _dense(graph, place, node, "identity", **fields)


def _selection(graph: Graph, place: Place, node: str, sparsity: TopK | BatchTopK) -> str:
    if place.width > MOST_SELECTED_FROM:
        raise ValueError(
            f"n_components={place.width} does not go with a choice of the k largest; allowed: 1 to {MOST_SELECTED_FROM}"
        )
    return _linear(graph, place, node, sparsity)


@singledispatch
def add_code(sparsity: Any, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    """Names of the code and of what the decoder gets."""
    raise TypeError(f"sparsity is {sparsity!r}; allowed are the objects of autoenc.sparsity, and None")


@singledispatch
def add_terms(sparsity: Any, graph: Graph, reconstruction: Reconstruction) -> None:
    """Adds the penalties to the objective."""


@add_code.register
def _(sparsity: L1, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    return (_dense(graph, place, node, place.activation),) * 2


@add_terms.register
def _(sparsity: L1, graph: Graph, reconstruction: Reconstruction) -> None:
    graph.term("absolute_error", graph.code, weight=sparsity.weight * graph.widths[CODE])


@add_code.register
def _(sparsity: KL, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    if place.activation != "logistic":
        raise ValueError(
            f"latent_activation={place.activation!r} does not go with sparsity={sparsity!r}, which is for codes "
            "between 0 and 1; allowed: 'logistic'"
        )
    return (_dense(graph, place, node, place.activation),) * 2


@add_terms.register
def _(sparsity: KL, graph: Graph, reconstruction: Reconstruction) -> None:
    value = (float(sparsity.target), float(sparsity.momentum))
    penalty = graph.add("kl_sparsity", "code_kl", graph.code, width=1, size=(int(sparsity.running),), value=value)
    graph.term("sum", penalty, weight=sparsity.weight)


@add_code.register
def _(sparsity: TopK, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    linear = _selection(graph, place, node, sparsity)
    return (graph.add("top_k", SELECTED, linear, size=(int(sparsity.k), int(sparsity.relu), 0)),) * 2


@add_code.register
def _(sparsity: BatchTopK, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    linear = _selection(graph, place, node, sparsity)
    fields = {"size": (int(sparsity.k), 0, 0), "value": (float(sparsity.momentum),)}
    return (graph.add("batch_top_k", SELECTED, linear, **fields),) * 2


def link_of_entries(losses: Iterable[str]) -> str | None:
    """The link that the losses share, where it gives the mean of an entry from the entry alone; else None."""
    links = {loss_link(loss) for loss in losses}
    return links.pop() if len(links) == 1 and links <= {"identity", "logistic", "exp"} else None


def _revive(kind: str, relu: bool, sparsity: TopK | BatchTopK, graph: Graph, reconstruction: Reconstruction) -> None:
    """The auxiliary loss: dead latents reconstruct what is left over."""
    if sparsity.aux_k is None:
        return
    dense = [node for node in graph.nodes if node["kind"] == "dense" and node["name"] == reconstruction.output]
    if not dense or dense[0]["inputs"] != (reconstruction.decoded,) or dense[0]["fields"]["activation"] != "identity":
        raise ValueError(
            f"sparsity={sparsity!r} with aux_k needs a decoder of one linear layer; allowed: "
            "decoder_hidden_layer_sizes=() and output_activation='auto', or aux_k=None"
        )
    if graph.widths.get("code_prefixes") and reconstruction.decoded.startswith("code_"):
        raise ValueError(
            f"sparsity={sparsity!r} with aux_k does not go with Matryoshka, whose prefixes each leave something else; "
            "allowed: aux_k=None"
        )
    link = link_of_entries(part.loss for part in graph.parts.values())
    if link is None:
        losses = ", ".join(sorted({repr(part.loss) for part in graph.parts.values()}))
        raise ValueError(
            f"sparsity={sparsity!r} with aux_k does not go with the loss of {losses}: what is left over is the "
            "difference of each entry from its mean, by one link for all; allowed: aux_k=None"
        )
    size = (int(sparsity.aux_k), int(relu), 1)
    aux = graph.add(kind, "code_aux", CODE, size=size, value=(float(sparsity.dead_after),), shares=SELECTED)
    again = {**dense[0]["fields"], "shares": reconstruction.output, "shares_transposed": 0, "size": (1,)}
    behind = graph.widths[reconstruction.decoded] - graph.widths[aux]
    if behind:  # a condition beside the code: what it explains is not left over
        nothing = graph.add("constant", "aux_condition", width=behind)
        aux = graph.add("concatenate", "aux_decoded", aux, nothing, width=graph.widths[reconstruction.decoded])
    revived = graph.add("dense", "aux_reconstruction", aux, **again)
    mean = reconstruction.output
    if link != "identity":
        mean = graph.add("activation", "aux_mean", mean, activation=link)
    residual = graph.add("add", "residual", reconstruction.target, mean, size=(0, 1))
    weight = reconstruction.entry_weight  # of what is missing nothing is left over
    graph.term("squared_error", revived, residual, weight=sparsity.aux_weight, entry_weight=weight)


@add_terms.register
def _(sparsity: TopK, graph: Graph, reconstruction: Reconstruction) -> None:
    _revive("top_k", sparsity.relu, sparsity, graph, reconstruction)


@add_terms.register
def _(sparsity: BatchTopK, graph: Graph, reconstruction: Reconstruction) -> None:
    _revive("batch_top_k", False, sparsity, graph, reconstruction)


@add_code.register
def _(sparsity: JumpReLU, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    linear = _linear(graph, place, node, sparsity)
    return (graph.add("jump_relu", SELECTED, linear, value=(float(sparsity.bandwidth), float(sparsity.threshold))),) * 2


@add_terms.register
def _(sparsity: JumpReLU, graph: Graph, reconstruction: Reconstruction) -> None:
    value = (float(sparsity.bandwidth), float(sparsity.threshold))
    count = graph.add("jump_relu", "code_count", CODE, size=(1,), value=value, shares=SELECTED)
    graph.term("sum", count, weight=sparsity.weight * graph.widths[CODE])


@add_code.register
def _(sparsity: Gated, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    return (graph.add("gated", SELECTED, _linear(graph, place, node, sparsity, size=(1,))),) * 2


@add_terms.register
def _(sparsity: Gated, graph: Graph, reconstruction: Reconstruction) -> None:
    gate = graph.add("gated", "code_gate", CODE, size=(1,), shares=SELECTED)
    graph.term("sum", gate, weight=sparsity.weight * graph.widths[CODE])
    decoded = next(node for node in graph.nodes if node["name"] == reconstruction.decoded)
    if decoded["inputs"][:1] == (graph.code,) and decoded["kind"] == "concatenate":  # with a condition
        beside = decoded["inputs"][1:]
        gate = graph.add("concatenate", "gate_and_condition", gate, *beside, width=graph.widths[decoded["name"]])
    seconds = {term["prediction"]: term.get("second") for term in reconstruction.terms}
    predicted = [*seconds, *(name for name in seconds.values() if name is not None)]
    again = graph.copies(reconstruction.decoded, predicted, gate, "gate_", frozen=True)
    for term in reconstruction.terms:
        once_more = Term(**term)
        once_more["prediction"] = again[term["prediction"]]
        second = seconds[term["prediction"]]
        if second is not None:
            once_more["second"] = again[second]
        once_more["weight"] *= sparsity.aux_weight
        graph.objective.append(once_more)


@add_code.register
def _(sparsity: Matryoshka, graph: Graph, place: Place, node: str) -> tuple[str, str]:
    if sparsity.sparsity is None:
        code = _dense(graph, place, node, place.activation)
    else:
        code, _ = add_code(sparsity.sparsity, graph, place, node)
    lengths = sparsity.lengths(place.width)
    return code, graph.add("prefixes", "code_prefixes", code, multiplicity=len(lengths), size=lengths)


@add_terms.register
def _(sparsity: Matryoshka, graph: Graph, reconstruction: Reconstruction) -> None:
    # The core takes the mean over the prefixes of a row; the objective is their sum.
    n = len(sparsity.lengths(graph.widths[CODE]))
    for i, term in enumerate(graph.objective):
        if any(term is one for one in reconstruction.terms):
            graph.objective[i] = {**term, "weight": n * term["weight"]}
    if sparsity.sparsity is not None:
        add_terms(sparsity.sparsity, graph, reconstruction)
