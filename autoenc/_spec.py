"""From the shape of an autoencoder to the graph and the program that the C core runs. Pure data.

A network is described by a plain dictionary (`Spec`), which is what an estimator keeps and pickles: names instead of
registry positions, so that it outlives a change of their order. Estimators write it with a `Graph`. `nodes`, `losses`
and `stages` turn it into the arrays of C structures of ``csrc/layers/layer.h`` and ``csrc/train/trainer.h``.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from autoenc import _core

NODE = np.dtype(
    [
        ("kind", np.int32),
        ("n_inputs", np.int32),
        ("inputs", np.int32, 4),
        ("width", np.int64),
        ("activation", np.int32),
        ("initializer", np.int32),
        ("source", np.int32),
        ("group", np.int32),
        ("shares", np.int32),
        ("shares_transposed", np.int32),
        ("multiplicity", np.int64),
        ("size", np.int32, 8),
        ("rate", np.float64),
        ("value", np.float64, 2),
        ("name", "S40"),
    ],
    align=True,
)
LOSS = np.dtype(
    [
        ("loss", np.int32),
        ("prediction", np.int32),
        ("target", np.int32),
        ("entry_weight", np.int32),
        ("second", np.int32),
        ("reserved", np.int32),
        ("weight", np.float64),
        ("parameter", np.float64),
    ],
    align=True,
)
STAGE = np.dtype(
    [
        ("first_node", np.int32),
        ("last_node", np.int32),
        ("first_loss", np.int32),
        ("n_losses", np.int32),
        ("groups", np.uint32),
        ("rule", np.int32),
        ("rate_factor", np.float64),
        ("combine", np.int32),
        ("reserved", np.int32),
    ],
    align=True,
)
if (NODE.itemsize, LOSS.itemsize, STAGE.itemsize) != _core.STRUCT_SIZES:
    raise ImportError(
        f"autoenc._core has structures of {_core.STRUCT_SIZES} bytes and autoenc._spec of "
        f"{(NODE.itemsize, LOSS.itemsize, STAGE.itemsize)}: they are of different versions; build the package again"
    )

# Losses of one predicted parameter and a target. A whole row is not one-hot: categorical is for some of its columns.
PLAIN_LOSSES = tuple(
    name
    for name, target, second in zip(_core.LOSSES, _core.LOSS_HAS_TARGET, _core.LOSS_HAS_SECOND, strict=True)
    if target and not second and name != "categorical"
)

# Solvers that are no update rule, as the core counts them (train/trainer.h).
SOLVERS = {"lbfgs": -1, "kfac": -2}
MAX_WIDTH = 2**31 - 1
MAX_LAYERS = 1000  # of an encoder or a decoder

# Layers with parameters, which a copy shares.
WITH_WEIGHTS = frozenset({"dense", "batch_norm", "layer_norm", "vector_quantize"})
# Layers that make several rows of one; a fitted network runs without them, unless it draws.
DRAWS = frozenset({"gaussian_sample", "repeat"})
# Layers that act in training only; a fitted network runs without them.
TRAINING_ONLY = DRAWS | {
    "prefixes",
    "dropout",
    "gaussian_noise",
    "masking_noise",
    "salt_and_pepper",
    "swap_noise",
    "binarize",
}


class Node(TypedDict):
    """A layer. `fields` are those of the structure, with names for numbers: activation, initializer, shares."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    fields: dict[str, Any]


class Term(TypedDict):
    """A term of the objective or of the score; nodes by name."""

    loss: str
    prediction: str
    target: str | None
    weight: float
    parameter: float
    entry_weight: NotRequired[str | None]
    second: NotRequired[str | None]


class Stage(TypedDict):
    """A stage of a step: nodes up to `last` (from behind the last one of the stage before), terms by position."""

    last: str
    terms: tuple[int, int]
    groups: int
    rate_factor: float
    combine: NotRequired[int]  # 1: samples of a row are joined by the mean of their likelihoods


class Range(TypedDict):
    """Columns of one loss. `labels`: their names, or their numbers where they have none."""

    name: str
    loss: str
    columns: list[int]
    labels: list[str | int]
    weight: float


class Part(NamedTuple):
    """What one term of the reconstruction compares."""

    loss: str
    columns: tuple[int, ...]
    weight: float


class Spec(TypedDict):
    """A network by names, with what it is trained for and what of it users ask for."""

    precision: str
    n_features: int
    n_outputs: int
    n_components: int
    clean: bool  # the target is a data set of its own, the last source
    n_conditions: int  # columns of the condition, source 1; 0: there is none
    categories: NDArray[Any] | None  # labels that those columns stand for
    nodes: list[Node]
    objective: list[Term]
    stages: list[Stage]
    scores: list[Term]  # of which score_samples is minus the sum
    code: str
    output: str
    settings: dict[str, Any]  # estimator parameters that the network follows from, for messages
    parameters: list[tuple[str, int, int]]  # of the fitted network: name, rows, columns
    kept: tuple[str, ...]  # further nodes that the fitted network is asked for
    score_nodes: list[Node]  # what scores compare with, where training compares with the row itself
    ranges: NotRequired[list[Range] | None]  # losses by column; None: one for all
    linked: NotRequired[str | None]  # the reconstruction behind the links of the ranges; None: `output` behind its own


def output_activations(links: Set[str]) -> tuple[str, ...]:
    """Values of ``output_activation`` that losses with these links allow."""
    if links == {"identity"}:
        return ("auto", *_core.ACTIVATIONS)
    return ("auto", *links) if len(links) == 1 else ("auto",)


def loss_link(loss: str) -> str:
    return _core.LOSS_LINKS[_core.LOSSES.index(loss)]


def check_widths(name: str, widths: Sequence[int]) -> None:
    """Refuses layers that the core cannot hold."""
    if len(widths) > MAX_LAYERS:
        raise ValueError(f"{name} has {len(widths)} layers; at most {MAX_LAYERS} are allowed")
    for width in widths:
        if not 1 <= width <= MAX_WIDTH:
            raise ValueError(f"{name} has a layer of {width} units; a layer has 1 to {MAX_WIDTH}")


class Graph:
    """A network in the making: nodes in the order in which they are added, each behind its inputs."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.objective: list[Term] = []
        self.scores: list[Term] = []
        self.stages: list[Stage] = []
        self.kept: tuple[str, ...] = ()
        self.encoded = ""  # where the encoder begins
        self.code = ""  # what transform gives
        self.decoded = ""  # where the decoder begins
        self.ranges: list[Range] | None = None
        self.parts: dict[str, Part] = {}  # of the reconstruction, by the node of the prediction
        self.widths: dict[str, int] = {}

    def add(self, kind: str, name: str, *inputs: str, **fields: Any) -> str:
        """Adds a node and returns its name. `width` is needed where the layer does not keep that of its first input."""
        if name in self.widths:
            raise ValueError(f"there are two nodes of the name {name!r}")
        self.nodes.append(Node(kind=kind, name=name, inputs=inputs, fields=fields))
        self.widths[name] = fields["width"] if "width" in fields else self.widths[inputs[0]]
        return name

    def cut(self, n: int) -> list[Node]:
        """Takes out the nodes behind the first n."""
        behind = self.nodes[n:]
        del self.nodes[n:]
        return behind

    def copy(self, first: str, last: str, start: str, prefix: str, *, frozen: bool = False) -> str:
        """Runs what lies between two nodes once more, from another start and with the same weights.

        The copies have names with a prefix; the name of the last one is returned. `frozen`: the weights learn nothing
        from the copies.
        """
        return self.copies(first, (last,), start, prefix, frozen=frozen)[last]

    def copies(
        self, first: str, last: Sequence[str], start: str, prefix: str, *, frozen: bool = False
    ) -> dict[str, str]:
        """The same for several last nodes; names of copies by those of the nodes."""
        stands_for = {first: start}
        needed = {node["name"] for node in wanted(self.nodes, last)}
        for node in list(self.nodes):
            name = node["name"]
            if name in stands_for or not any(i in stands_for for i in node["inputs"]):
                continue
            if name not in needed:
                continue
            fields = dict(node["fields"])
            if node["kind"] in WITH_WEIGHTS:
                fields["shares"] = name
                fields.pop("shares_transposed", None)
            if frozen and node["kind"] == "dense":
                fields["size"] = (*fields.get("size", (0,))[:1], 1)
            inputs = tuple(stands_for.get(i, i) for i in node["inputs"])
            stands_for[name] = self.add(node["kind"], prefix + name, *inputs, **fields)
        return stands_for

    def term(
        self,
        loss: str,
        prediction: str,
        target: str | None = None,
        *,
        weight: float = 1.0,
        parameter: float = 1.0,
        scores: bool = False,
        **nodes: str | None,
    ) -> None:
        """Adds a term of the objective, and of the score where asked."""
        term = Term(loss=loss, prediction=prediction, target=target, weight=float(weight), parameter=float(parameter))
        for key in ("entry_weight", "second"):
            if nodes.get(key) is not None:
                term[key] = nodes[key]
        self.objective.append(term)
        if scores:
            self.scores.append(term)


def compared(nodes: Iterable[Node], terms: Sequence[Term], instead: Mapping[str, str]) -> tuple[list[Node], list[Term]]:
    """Terms that compare with other nodes, and copies of the nodes between those and the terms."""
    stands_for = dict(instead)
    sides = [name for term in terms for name in (term["target"], term.get("entry_weight")) if name is not None]
    copies = []
    for node in wanted(nodes, sides):
        if node["name"] not in stands_for and any(name in stands_for for name in node["inputs"]):
            inputs = tuple(stands_for.get(name, name) for name in node["inputs"])
            stands_for[node["name"]] = f"score_{node['name']}"
            copies.append(Node(**{**node, "name": stands_for[node["name"]], "inputs": inputs}))
    out = []
    for term in terms:
        new = Term(**term)
        if term["target"] is not None:
            new["target"] = stands_for.get(term["target"], term["target"])
        weight = term.get("entry_weight")
        if weight is not None:
            new["entry_weight"] = stands_for.get(weight, weight)
        out.append(new)
    return copies, out


# What `precision` may be: the type of weights and values, and how many bfloat16 numbers stand for a factor in the
# products of dense layers (csrc/math/bf16.h); 0: the factor itself.
PRECISIONS = {"float32": ("float32", 0), "float64": ("float64", 0), "high": ("float32", 2), "bfloat16": ("float32", 1)}


def real_type(precision: str) -> str:
    """Type of weights and values."""
    return PRECISIONS[precision][0]


def take_apart(nodes: Iterable[Node], precision: str, *, everywhere: bool) -> None:
    """Lets products of dense nodes be of that precision: two parts, unless everywhere, where that takes less time."""
    parts = PRECISIONS[precision][1]
    for node in nodes:
        if parts and node["kind"] == "dense":
            given = (*node["fields"].get("size", ()), 0, 0, 0)[:3]
            node["fields"]["size"] = (*given, parts, int(parts == 2 and not everywhere))


def bits(spec: Spec) -> int:
    return 32 if spec["precision"] == "float32" else 64


def dtype(spec: Spec) -> np.dtype[Any]:
    return np.dtype(spec["precision"])


def inverse_link(spec: Spec) -> str:
    """Name of the function between the last layer's sum and the reconstruction."""
    link = loss_link(spec["scores"][0]["loss"])
    return link if link != "identity" else output_activation(spec)


def output_activation(spec: Spec) -> str:
    """The function of the last layer itself."""
    last = next(node for node in spec["nodes"] if node["name"] == spec["output"])
    return str(last["fields"].get("activation", "identity"))


def reconstruction(spec: Spec) -> tuple[str, int]:
    """The node of the reconstruction on the scale of the data, and what of it that is."""
    linked = spec.get("linked")
    return (spec["output"], _core.LINKED) if linked is None else (linked, _core.VALUES)


def is_linear(spec: Spec) -> bool:
    """Whether reconstruction is an affine function of the row, trained by squared error, and all that is learned."""
    layers = [node for node in inference_nodes(spec) if node["kind"] != "input"]
    return (
        len(spec["scores"]) == 1
        and spec["scores"][0]["loss"] == "squared_error"
        and spec["n_conditions"] == 0
        and not spec["kept"]
        and all(
            node["kind"] == "dense" and node["fields"].get("activation", "identity") == "identity" for node in layers
        )
    )


def wanted(nodes: Iterable[Node], names: Iterable[str]) -> list[Node]:
    """Nodes that some nodes depend on, by their inputs or by shared parameters."""
    nodes = list(nodes)
    needed = set(names)
    for node in reversed(nodes):
        if node["name"] in needed:
            needed.update(node["inputs"])
            if "shares" in node["fields"]:
                needed.add(node["fields"]["shares"])
    return [node for node in nodes if node["name"] in needed]


def inference_nodes(spec: Spec, resting: Set[str] = TRAINING_ONLY) -> list[Node]:
    """The fitted network: without layers that act in training only and without what only the objective needs."""
    stands_for: dict[str, str] = {}
    kept = []
    for node in (*spec["nodes"], *spec["score_nodes"]):
        inputs = tuple(stands_for.get(name, name) for name in node["inputs"])
        if node["kind"] in resting:
            stands_for[node["name"]] = inputs[0]
        else:
            kept.append(Node(kind=node["kind"], name=node["name"], inputs=inputs, fields=node["fields"]))
    needed = {spec["code"], spec["output"], reconstruction(spec)[0], *spec["kept"]}
    for term in spec["scores"]:
        needed.update(
            name
            for name in (term["prediction"], term["target"], term.get("entry_weight"), term.get("second"))
            if name is not None
        )
    return wanted(kept, needed)


_FIELDS = ("width", "source", "rate", "multiplicity", "shares_transposed", "group")


def node_array(nodes: Sequence[Node], most_stored: Sequence[int] = ()) -> NDArray[np.void]:
    """The graph as the core takes it; most_stored: of sources that are CSR, the most values of a row."""
    at = positions(nodes)
    out = np.zeros(len(nodes), NODE)
    for row, node in zip(out, nodes, strict=True):
        fields = node["fields"]
        row["kind"] = _core.LAYERS.index(node["kind"])
        row["name"] = node["name"]
        row["n_inputs"] = len(node["inputs"])
        for i, name in enumerate(node["inputs"]):
            row["inputs"][i] = at[name]
        if "activation" in fields:
            row["activation"] = _core.ACTIVATIONS.index(fields["activation"])
        if "initializer" in fields:
            row["initializer"] = _core.INITIALIZERS.index(fields["initializer"])
        if "shares" in fields:
            row["shares"] = 1 + at[fields["shares"]]
        for field in ("size", "value"):
            for i, number in enumerate(fields.get(field, ())):
                row[field][i] = number
        for field in _FIELDS:
            if field in fields:
                row[field] = fields[field]
        if node["kind"] == "input" and row["source"] < len(most_stored):
            row["size"][0] = most_stored[row["source"]]
    return out


def positions(nodes: Sequence[Node]) -> dict[str, int]:
    return {node["name"]: i for i, node in enumerate(nodes)}


def loss_array(terms: Sequence[Term], nodes: Sequence[Node]) -> NDArray[np.void]:
    at = positions(nodes)
    out = np.zeros(len(terms), LOSS)
    for row, term in zip(out, terms, strict=True):
        row["loss"] = _core.LOSSES.index(term["loss"])
        row["prediction"] = at[term["prediction"]]
        row["weight"] = term["weight"]
        row["parameter"] = term["parameter"]
        for field, name in (
            ("target", term["target"]),
            ("entry_weight", term.get("entry_weight")),
            ("second", term.get("second")),
        ):
            row[field] = -1 if name is None else at[name]
    return out


def stage_array(spec: Spec, solver: str) -> NDArray[np.void]:
    """The program: one stage of everything, unless the network says otherwise."""
    nodes = spec["nodes"]
    whole = Stage(last=nodes[-1]["name"], terms=(0, len(spec["objective"])), groups=1, rate_factor=1.0)
    stages = spec["stages"] or [whole]
    at = positions(nodes)
    out = np.zeros(len(stages), STAGE)
    first = 0
    for row, stage in zip(out, stages, strict=True):
        row["first_node"] = first
        row["last_node"] = at[stage["last"]]
        row["first_loss"], row["n_losses"] = stage["terms"]
        row["groups"] = stage["groups"]
        row["rule"] = SOLVERS[solver] if solver in SOLVERS else _core.RULES.index(solver)
        row["rate_factor"] = stage["rate_factor"]
        row["combine"] = stage.get("combine", 0)
        first = int(row["last_node"]) + 1
    return out


def owned(spec: Spec, nodes: Iterable[Node]) -> list[tuple[str, int, int]]:
    """Parameters of some of the nodes, in the order of the core's table."""
    names = {node["name"] for node in nodes}
    return [entry for entry in spec["parameters"] if entry[0].rpartition(".")[0] in names]


def widths(nodes: Iterable[Node]) -> dict[str, int]:
    """Columns of each node's value."""
    out: dict[str, int] = {}
    for node in nodes:
        out[node["name"]] = node["fields"]["width"] if "width" in node["fields"] else out[node["inputs"][0]]
    return out


def kinds(spec: Spec) -> dict[str, str]:
    """By parameter: "weight" or "bias" of a dense layer of the fitted network, or "other"."""
    dense = {node["name"] for node in spec["nodes"] if node["kind"] == "dense"}
    dense &= {node["name"] for node in inference_nodes(spec)}
    out = {}
    for parameter, _, _ in spec["parameters"]:
        name, _, role = parameter.rpartition(".")
        out[parameter] = role if name in dense and role in ("weight", "bias") else "other"
    return out


def matrices_after_code(spec: Spec, values: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Weights of a network of dense layers from code to output, transposed where they are the encoder's."""
    nodes = inference_nodes(spec)
    return [
        values[f"{node['fields']['shares']}.weight"].T
        if "shares" in node["fields"]
        else values[f"{node['name']}.weight"]
        for node in nodes[positions(nodes)[spec["code"]] + 1 :]
        if node["kind"] == "dense"
    ]
