"""Networks as files have them: written as JSON, and read back with every word checked. NumPy and the extension only.

What is not refused here is safe to build: each layer's shape is worked out again, and nothing is larger than the arrays
of the file make plausible. The core checks it once more.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from autoenc import _core, _spec
from autoenc._archive import Damaged, Reader, Writer, damaged, refuse_more
from autoenc._spec import Node, Range, Spec, Stage, Term

MOST_NODES = 4096  # net/net.h
MOST_NAME = _spec.NODE["name"].itemsize - 1
INT32 = 2**31 - 1
# All values of a row together, in reals, over the weights of the network; real ones have a few.
VALUES_PER_WEIGHT, FREE_VALUES = 64, 2**20

_SIZES, _VALUES = _spec.NODE["size"].shape[0], _spec.NODE["value"].shape[0]
_FAN_IN = _spec.NODE["inputs"].shape[0]
_WHOLE = {"width": (1, _spec.MAX_WIDTH), "source": (0, 3), "group": (0, 31), "multiplicity": (0, INT32)}
_CHOICES = {"activation": _core.ACTIVATIONS, "initializer": _core.INITIALIZERS}
_STARTS = frozenset({"input", "constant", "pseudo_inputs"})  # have no input
_GIVEN = frozenset({"input", "constant", "pseudo_inputs", "dense", "slice", "tangent"})  # whose width is their field
_SINGLE = frozenset(
    {
        "kl_sparsity",
        "mmd",
        "contraction",
        "orthogonality",
        "decorrelation",
        "sum_of_squares",
        "gaussian_log_ratio",
        "mixture_log_ratio",
        "vamp_log_ratio",
    }
)
# Whose field `width` is another node's, since they stand in no relation to the value.
_BORROWERS = frozenset({"contraction", "orthogonality", "tangent", "sparse_inference"})


# ---- writing ----


def write(spec: Spec, at: str, writer: Writer) -> dict[str, Any]:
    """The network as JSON has it; `categories` are stored with the estimator."""

    def plain(value: Any, name: str) -> Any:
        """Numbers and strings of Python, lists for tuples."""
        if isinstance(value, (list, tuple)):
            return [plain(entry, name) for entry in value]
        return writer.encode(value.item() if isinstance(value, np.generic) else value, name)

    def node(one: Node) -> dict[str, Any]:
        fields = {key: plain(value, f"{at}.{one['name']}.{key}") for key, value in one["fields"].items()}
        return {"kind": one["kind"], "name": one["name"], "inputs": list(one["inputs"]), "fields": fields}

    def items(values: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{key: plain(value, f"{at}.{key}") for key, value in value_of.items()} for value_of in values]

    ranges = spec.get("ranges")
    return {
        "precision": spec["precision"],
        "n_features": int(spec["n_features"]),
        "n_outputs": int(spec["n_outputs"]),
        "n_components": int(spec["n_components"]),
        "n_conditions": int(spec["n_conditions"]),
        "clean": bool(spec["clean"]),
        "nodes": [node(one) for one in spec["nodes"]],
        "score_nodes": [node(one) for one in spec["score_nodes"]],
        "objective": items(spec["objective"]),
        "scores": items(spec["scores"]),
        "stages": items(spec["stages"]),
        "code": spec["code"],
        "output": spec["output"],
        "linked": spec.get("linked"),
        "kept": list(spec["kept"]),
        "settings": {key: writer.encode(value, f"{at}.settings.{key}") for key, value in spec["settings"].items()},
        "parameters": plain(spec["parameters"], at),
        "ranges": None if ranges is None else items(ranges),
    }


# ---- reading ----


def _of(raw: Any, key: str, at: str) -> Any:
    if not isinstance(raw, dict) or key not in raw:
        damaged(at, f"has no {key!r}")
    return raw[key]


def _only(raw: Any, keys: Iterable[str], at: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        damaged(at, f"is a {type(raw).__name__} and not an object")
    more = set(raw) - set(keys)
    if more:
        damaged(at, f"has {sorted(more)!r}, which this release does not know")
    return raw


def whole(value: Any, low: int, high: int, at: str) -> int:
    if type(value) is not int or not low <= value <= high:
        damaged(at, f"is {value!r}; allowed are whole numbers from {low} to {high}")
    return value


def number(value: Any, at: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        damaged(at, f"is {value!r}; allowed are finite numbers")
    return float(value)


def text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        damaged(at, f"is {value!r}; allowed are strings")
    return value


def listed(value: Any, at: str, most: int = 2**31) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        damaged(at, f"is not a list of at most {most} entries")
    return value


def _numbers(value: Any, most: int, kind: Any, at: str) -> tuple[Any, ...]:
    entries = listed(value, at, most)
    return tuple(whole(n, -INT32 - 1, INT32, at) if kind is int else number(n, at) for n in entries)


def _fields(raw: Any, known: Mapping[str, int], at: str) -> dict[str, Any]:
    allowed = {*_WHOLE, *_CHOICES, "shares", "shares_transposed", "size", "rate", "value"}
    out: dict[str, Any] = {}
    for key, value in _only(raw, allowed, at).items():
        name = f"{at}.{key}"
        if key in _WHOLE:
            out[key] = whole(value, *_WHOLE[key], name)
        elif key in _CHOICES:
            if value not in _CHOICES[key]:
                damaged(name, f"is {value!r}; allowed are {', '.join(_CHOICES[key])}")
            out[key] = value
        elif key == "shares":
            if text(value, name) not in known:
                damaged(name, f"is {value!r}, which is no node before it")
            out[key] = value
        elif key == "shares_transposed":
            out[key] = whole(value, 0, 1, name)
        elif key == "rate":
            out[key] = number(value, name)
        else:
            out[key] = _numbers(value, _SIZES if key == "size" else _VALUES, int if key == "size" else float, name)
    return out


def _width(node: Node, widths: Mapping[str, int], at: str) -> int:
    """Columns of a node's value, as the core finds them."""
    kind, fields = node["kind"], node["fields"]
    inputs = [widths[name] for name in node["inputs"]]
    if kind in _GIVEN:
        return int(_of(fields, "width", at))
    if kind == "sparse_inference":
        return int(_of(fields, "width", at))
    if kind in _SINGLE:
        found = 1
    elif kind == "total_correlation":
        found = 3
    elif kind == "concatenate":
        found = sum(inputs)
    elif kind == "vector_quantize" and _size(fields, 2):
        found = _size(fields, 1) or 1
    elif kind == "split_rows":
        return max(1, int(fields.get("width", inputs[0])))
    else:
        found = inputs[0]
    if kind not in _BORROWERS and fields.get("width", found) != found:
        damaged(at, f"has the width {fields['width']} and the inputs of one of {found}")
    return found


def _size(fields: Mapping[str, Any], i: int) -> int:
    size = fields.get("size", ())
    return int(size[i]) if len(size) > i else 0


def owned_parameters(node: Node, widths: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Parameters that a node has by itself: role, rows, columns. What the files of ``csrc/layers`` plan."""
    kind, fields = node["kind"], node["fields"]
    if kind in _BORROWERS or (not node["inputs"] and kind != "pseudo_inputs"):
        return []
    d = widths[node["inputs"][0]] if node["inputs"] else 0
    n = _size(fields, 0)
    by_kind = {
        "dense": [("weight", d, widths[node["name"]]), ("bias", 1, widths[node["name"]])],
        "batch_norm": [(role, 1, d) for role in ("gamma", "beta", "mean", "variance")],
        "layer_norm": [("gain", 1, d), ("bias", 1, d)],
        "top_k": [("since", 1, d)],
        "batch_top_k": [("since", 1, d), ("threshold", 1, 2)],
        "jump_relu": [("log_threshold", 1, d)],
        "gated": [(role, 1, d) for role in ("gate_bias", "magnitude_scale", "magnitude_bias")],
        "kl_sparsity": [("mean", 1, d)],
        "pseudo_inputs": [("inputs", n, widths[node["name"]])],
        "mixture_log_ratio": [("means", n, d), ("log_variances", n, d), ("logits", 1, n)],
        "vamp_log_ratio": [("means", n, d), ("log_variances", n, d)],
        "vector_quantize": [("codes", d, n), ("counts", _size(fields, 1) or 1, n)],
    }
    own = by_kind.get(kind, [])
    if "shares" in fields:
        own = own[1:] if fields.get("shares_transposed") else []
    return own


def table(nodes: Sequence[Node], widths: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Parameters of a network, in the order of the core's table."""
    return [
        (f"{node['name']}.{role}", rows, columns)
        for node in nodes
        for role, rows, columns in owned_parameters(node, widths)
    ]


def _nodes(raw: Any, known: dict[str, int], widths: dict[str, int], at: str) -> list[Node]:
    """Nodes in order, each behind its inputs; `known` and `widths` are filled in."""
    out = []
    for i, entry in enumerate(listed(raw, at, MOST_NODES)):
        where = f"{at}[{i}]"
        _only(entry, ("kind", "name", "inputs", "fields"), where)
        kind, name = _of(entry, "kind", where), text(_of(entry, "name", where), where)
        if kind not in _core.LAYERS:
            damaged(where, f"is of the kind {kind!r}, which this release does not know")
        if not name or len(name.encode("utf-8", "surrogatepass")) > MOST_NAME or "\0" in name or name in known:
            damaged(where, f"has the name {name!r}; names are unlike and have 1 to {MOST_NAME} bytes")
        inputs = tuple(listed(_of(entry, "inputs", where), where, _FAN_IN))
        if not inputs and kind not in _STARTS:
            damaged(where, f"is of the kind {kind!r} and has no input")
        for one in inputs:
            if not isinstance(one, str) or one not in known:
                damaged(where, f"has the input {one!r}, which is no node before it")
        node = Node(kind=kind, name=name, inputs=inputs, fields=_fields(_of(entry, "fields", where), known, where))
        widths[name] = _width(node, widths, where)
        known[name] = len(known)
        out.append(node)
    if len(known) > MOST_NODES:
        damaged(at, f"makes {len(known)} nodes; at most {MOST_NODES} are possible")
    return out


def _terms(raw: Any, known: Mapping[str, int], at: str) -> list[Term]:
    out = []
    for i, entry in enumerate(listed(raw, at, MOST_NODES)):
        where = f"{at}[{i}]"
        _only(entry, ("loss", "prediction", "target", "weight", "parameter", "entry_weight", "second"), where)
        loss = _of(entry, "loss", where)
        if loss not in _core.LOSSES:
            damaged(where, f"has the loss {loss!r}, which this release does not know")
        nodes = {key: entry.get(key) for key in ("prediction", "target", "entry_weight", "second")}
        for key, name in nodes.items():
            if not (name is None and key != "prediction") and (not isinstance(name, str) or name not in known):
                damaged(where, f"has {name!r} for {key}, which is no node")
        term = Term(
            loss=loss,
            prediction=str(nodes["prediction"]),
            target=nodes["target"],
            weight=number(_of(entry, "weight", where), where),
            parameter=number(_of(entry, "parameter", where), where),
        )
        if "entry_weight" in entry:
            term["entry_weight"] = entry["entry_weight"]
        if "second" in entry:
            term["second"] = entry["second"]
        out.append(term)
    return out


def _stages(raw: Any, known: Mapping[str, int], n_terms: int, at: str) -> list[Stage]:
    out = []
    for i, entry in enumerate(listed(raw, at, 8)):
        where = f"{at}[{i}]"
        _only(entry, ("last", "terms", "groups", "rate_factor", "combine"), where)
        if _of(entry, "last", where) not in known:
            damaged(where, f"ends with {entry['last']!r}, which is no node")
        terms = listed(_of(entry, "terms", where), where)
        if len(terms) != 2:
            damaged(where, f"has the terms {terms!r}; allowed are two numbers")
        first = whole(terms[0], 0, n_terms, where)
        stage = Stage(
            last=entry["last"],
            terms=(first, whole(terms[1], 0, n_terms - first, where)),
            groups=whole(_of(entry, "groups", where), 0, 2**32 - 1, where),
            rate_factor=number(_of(entry, "rate_factor", where), where),
        )
        if "combine" in entry:
            stage["combine"] = whole(entry["combine"], 0, 1, where)
        out.append(stage)
    return out


def _ranges(raw: Any, n_outputs: int, at: str) -> list[Range] | None:
    if raw is None:
        return None
    out: list[Range] = []
    for i, entry in enumerate(listed(raw, at, MOST_NODES)):
        where = f"{at}[{i}]"
        _only(entry, ("name", "loss", "columns", "labels", "weight"), where)
        loss = _of(entry, "loss", where)
        if loss not in _core.LOSSES:
            damaged(where, f"has the loss {loss!r}, which this release does not know")
        columns = [whole(c, 0, n_outputs - 1, where) for c in listed(_of(entry, "columns", where), where, n_outputs)]
        labels = listed(_of(entry, "labels", where), where, n_outputs)
        if len(labels) != len(columns) or not all(type(label) in (int, str) for label in labels):
            damaged(where, "has labels that are not one string or number for each column")
        name, weight = text(_of(entry, "name", where), where), number(_of(entry, "weight", where), where)
        out.append(Range(name=name, loss=loss, columns=columns, labels=labels, weight=weight))
    return out


def _check_values(spec: Spec, widths: Mapping[str, int], at: str) -> None:
    """Refuses networks that would take far more memory than their weights explain."""
    n_weights = sum(rows * columns for _, rows, columns in spec["parameters"])
    n_values = max(
        sum(widths[node["name"]] for node in nodes) for nodes in (spec["nodes"], _spec.inference_nodes(spec))
    )
    if n_values > FREE_VALUES + VALUES_PER_WEIGHT * n_weights:
        damaged(at, f"has {n_weights} weights and {n_values} values for a row, which no network of autoenc has")


# What `_settings` of the estimators and `_description` have.
_SETTINGS = (
    *("n_features", "n_outputs", "columns of condition", "columns of y", "n_components", "hidden_layer_sizes"),
    *("decoder_hidden_layer_sizes", "activation", "tied_weights", "missing", "latent_activation", "output_activation"),
    *("loss", "huber_delta", "correntropy_sigma", "sparsity", "contraction", "penalties", "unit_norm_decoder"),
    *("likelihood", "noise_variance", "objective", "prior", "n_prior_components", "n_codes", "n_codebooks"),
    "quantizer",
)
_KEYS = (
    *("precision", "n_features", "n_outputs", "n_components", "n_conditions", "clean", "nodes", "score_nodes"),
    *("objective", "scores", "stages", "code", "output", "linked", "kept", "settings", "parameters", "ranges"),
)


def read(raw: Any, at: str, reader: Reader) -> tuple[Spec, dict[str, int]]:
    """A network and the widths of its nodes.

    Raises
    ------
    Damaged
        Where a name is not known, a number out of its range, or the parameters are not those of the layers.
    """
    _only(raw, _KEYS, at)
    for key in _KEYS:
        _of(raw, key, at)
    if raw["precision"] not in ("float32", "float64"):
        damaged(f"{at}.precision", f"is {raw['precision']!r}; allowed: float32, float64")
    sizes = {key: whole(raw[key], 1, _spec.MAX_WIDTH, f"{at}.{key}") for key in ("n_features", "n_outputs")}
    sizes["n_components"] = whole(raw["n_components"], 1, _spec.MAX_WIDTH, f"{at}.n_components")
    sizes["n_conditions"] = whole(raw["n_conditions"], 0, _spec.MAX_WIDTH, f"{at}.n_conditions")
    if not isinstance(raw["clean"], bool):
        damaged(f"{at}.clean", f"is {raw['clean']!r}; allowed: true, false")
    known: dict[str, int] = {}
    widths: dict[str, int] = {}
    nodes = _nodes(raw["nodes"], known, widths, f"{at}.nodes")
    trained = dict(known)
    score_nodes = _nodes(raw["score_nodes"], known, widths, f"{at}.score_nodes")
    names = {key: raw[key] for key in ("code", "output", "linked")}
    for key, name in names.items():
        if not (name is None and key == "linked") and (not isinstance(name, str) or name not in known):
            damaged(f"{at}.{key}", f"is {name!r}, which is no node")
    for name in listed(raw["kept"], f"{at}.kept", MOST_NODES):
        if not isinstance(name, str) or name not in known:
            damaged(f"{at}.kept", f"has {name!r}, which is no node")
    objective = _terms(raw["objective"], trained, f"{at}.objective")
    scores = _terms(raw["scores"], known, f"{at}.scores")
    if not nodes or not objective or not scores:
        damaged(at, "has no nodes, no objective or no scores")
    if isinstance(raw["settings"], dict):
        refuse_more(raw["settings"], _SETTINGS, f"{at}.settings")
    settings = {
        key: reader.decode(value, f"{at}.settings.{key}")
        for key, value in (raw["settings"] if isinstance(raw["settings"], dict) else {}).items()
    }
    if "missing" not in settings:
        damaged(f"{at}.settings", "has no 'missing'")
    found = table(nodes, widths)
    if raw["parameters"] != [list(entry) for entry in found]:
        damaged(f"{at}.parameters", "are not those that the nodes have")
    for name, rows, columns in found:
        if not 1 <= rows <= _spec.MAX_WIDTH or not 1 <= columns <= _spec.MAX_WIDTH:
            damaged(f"{at}.parameters", f"has {name!r} of {rows} x {columns}")
    inputs = {node["fields"].get("source", 0): widths[node["name"]] for node in nodes if node["kind"] == "input"}
    for key, width in (
        ("n_features", inputs.get(0)),
        ("n_components", widths[raw["code"]]),
        ("n_outputs", widths[raw["output"]]),
        ("n_outputs", widths[raw["output"] if raw["linked"] is None else raw["linked"]]),
    ):
        if sizes[key] != width:
            damaged(f"{at}.{key}", f"is {sizes[key]} and the node has {width}")
    if sizes["n_conditions"] and sizes["n_conditions"] != inputs.get(1):
        damaged(f"{at}.n_conditions", f"is {sizes['n_conditions']} and the node has {inputs.get(1)}")
    spec = Spec(
        precision=raw["precision"],
        n_features=sizes["n_features"],
        n_outputs=sizes["n_outputs"],
        n_components=sizes["n_components"],
        clean=raw["clean"],
        n_conditions=sizes["n_conditions"],
        categories=None,
        nodes=nodes,
        objective=objective,
        stages=_stages(raw["stages"], trained, len(objective), f"{at}.stages"),
        scores=scores,
        code=raw["code"],
        output=raw["output"],
        settings=settings,
        parameters=found,
        kept=tuple(raw["kept"]),
        score_nodes=score_nodes,
        ranges=_ranges(raw["ranges"], sizes["n_outputs"], f"{at}.ranges"),
        linked=raw["linked"],
    )
    fitted = _spec.positions(_spec.inference_nodes(spec))
    for name in (spec["code"], spec["output"], raw["linked"]):
        if name is not None and name not in fitted:
            raise Damaged(f"{at} does without {name!r} where it is used")
    _check_values(spec, widths, at)
    return spec, widths
