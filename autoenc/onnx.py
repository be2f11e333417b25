"""Fitted estimators as ONNX models, also as steps of pipelines that `skl2onnx` converts.

`convert` makes the model that ``estimator.to_onnx()`` returns; `register` teaches skl2onnx the estimators of this
package. Needs the package `onnx` (``pip install onnx``), `register` also `skl2onnx`; to run models any
runtime of ONNX will do, `onnxruntime` is the one that the tests compare with.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoenc import __version__, _bound, _onnx_bound
from autoenc._export import PartName
from autoenc._export_network import Network, compared, input_name, link, no_part, of_spec
from autoenc._export_sources import (
    NO_LABEL,
    dtype_of,
    is_imputer,
    layers_of,
    network_of,
    refuse_draws,
    scaling_of,
    source_of,
    whole_classes,
)
from autoenc._marginalized_network import MarginalizedPredictor
from autoenc._onnx_nodes import KINDS, Builder, activate, evaluate, losses
from autoenc._outlier_scores import OutlierPredictor
from autoenc._predictor import Predictor, parameters
from autoenc._predictors import (
    HEAD,
    PROBABILITIES,
    ClassifierPredictor,
    HashingPredictor,
    RegressorPredictor,
    VectorQuantizedPredictor,
)
from autoenc._scaling import Scaling
from autoenc._spec import Spec

__all__ = ["convert", "register"]

OPSET = 17
IR_VERSION = 8  # the one of opset 17
LABEL = "label"


class _Port(NamedTuple):
    """An input or output of the model: columns None for one number a row."""

    name: str
    dtype: Any
    columns: int | None


class _Model:
    """A model in the making."""

    def __init__(self, dtype: Any, outside: Any = None, scaling: Scaling | None = None) -> None:
        self._scaling = scaling  # of rows; they are float64 where there is one
        self.builder = Builder(dtype)
        self.inputs: list[_Port] = []
        self.outputs: list[_Port] = []
        self.columns: Any = slice(None)  # of a row: those that a reconstruction has
        self.outside = outside  # what floating-point numbers are to callers; None: as they are in here

    def input(self, name: str, columns: int, dtype: Any = None) -> str:
        dtype = self.builder.dtype if dtype is None else dtype
        self.builder.name(name)
        if self._scaling is not None and name == "x":
            self.inputs.append(_Port(name, np.float64, columns))
            return self.builder.cast(_scaled(self.builder.doubles(), self._scaling, name), dtype)
        self.inputs.append(_Port(name, dtype if self.outside is None else self.outside, columns))
        return name if self.outside is None else self.builder.cast(name, dtype)

    def output(self, value: str, name: str, columns: int | None, dtype: Any = None) -> None:
        from onnx import helper

        dtype = self.builder.dtype if dtype is None else dtype
        if self._scaling is not None and name == "reconstruction":
            d = self.builder.doubles()
            value, dtype = _unscaled(d, self._scaling, d.cast(value, np.float64), self.columns), np.float64
        if self.outside is not None and dtype is not str and np.dtype(dtype).kind == "f":
            value, dtype = self.builder.cast(value, self.outside), self.outside
        self.builder.name(name)
        self.builder.nodes.append(helper.make_node("Identity", [value], [name], name=f"Identity_{name}"))
        self.outputs.append(_Port(name, dtype, columns))

    def proto(self, doc: str, metadata: Mapping[str, str]) -> Any:
        from onnx import TensorProto, helper

        def info(port: _Port) -> Any:
            kind = TensorProto.STRING if port.dtype is str else helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
            return helper.make_tensor_value_info(
                port.name, kind, ["n", *([] if port.columns is None else [port.columns])]
            )

        b = self.builder
        graph = helper.make_graph(
            b.nodes, "autoenc", [info(i) for i in self.inputs], [info(o) for o in self.outputs], b.initializers
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="autoenc",
            producer_version=__version__,
            doc_string=doc,
        )
        helper.set_model_props(model, dict(metadata))
        return model


# ---- scalers before a network ----


def _scaled(d: Builder, scaling: Scaling, x: str) -> str:
    """`Scaling.apply`."""
    for step in scaling.steps:
        first, second = ("Mul", "Add") if step.kind == "MinMaxScaler" else ("Sub", "Div")
        factors = (step.scale, step.shift) if step.kind == "MinMaxScaler" else (step.shift, step.scale)
        for op, values in zip((first, second), factors, strict=True):
            x = x if values is None else d.op(op, x, d.constant(values.astype(np.float64)))
        if step.clip is not None:
            x = d.op("Max", d.op("Min", x, d.constant(step.clip[1])), d.constant(step.clip[0]))
    return x


def _unscaled(d: Builder, scaling: Scaling, x: str, columns: Any) -> str:
    """`Scaling.undo`."""
    for step in reversed(scaling.steps):
        first, second = ("Sub", "Div") if step.kind == "MinMaxScaler" else ("Mul", "Add")
        factors = (step.shift, step.scale) if step.kind == "MinMaxScaler" else (step.scale, step.shift)
        for op, values in zip((first, second), factors, strict=True):
            x = x if values is None else d.op(op, x, d.constant(values[columns].astype(np.float64)))
    return x


# ---- networks ----


def _inputs(model: _Model, spec: Spec, net: Network, targets: list[str], given: dict[str, str]) -> dict[str, str]:
    """Adds the inputs that some nodes need, in the order of their sources; values by node."""
    wanted = [node for node in net.needed(targets, list(given)) if node["kind"] == "input"]
    at, row = dict(given), ""
    for node in sorted(wanted, key=lambda one: one["fields"].get("source", 0)):
        name = input_name(spec, node["fields"].get("source", 0))
        if name == "x" and given:
            raise ValueError(
                "the decoder of this network reads the row beside the code; part='decoder' needs it not to"
            )
        if name == "x_clean" and not spec["clean"]:
            at[node["name"]] = row  # a row is compared with itself
            continue
        at[node["name"]] = model.input(name, node["fields"]["width"])
        row = at[node["name"]] if name == "x" else row
    return at


def _values(model: _Model, predictor: Predictor, targets: list[str]) -> dict[str, str]:
    net = network_of(predictor)
    return evaluate(model.builder, net, targets, _inputs(model, predictor._spec, net, targets, {}))


def _encoder(model: _Model, predictor: Predictor) -> None:
    spec = predictor._spec
    model.output(_values(model, predictor, [spec["code"]])[spec["code"]], "code", spec["n_components"])


def _decoder(model: _Model, predictor: Predictor) -> None:
    spec, net = predictor._spec, network_of(predictor)
    node, activation = link(spec)
    given = {spec["code"]: model.input("code", spec["n_components"])}
    at = evaluate(model.builder, net, [node], _inputs(model, spec, net, [node], given))
    model.output(activate(model.builder, activation, at[node]), "reconstruction", spec["n_outputs"])


def _reconstruction(model: _Model, predictor: Predictor) -> None:
    node, activation = link(predictor._spec)
    value = activate(model.builder, activation, _values(model, predictor, [node])[node])
    model.output(value, "reconstruction", predictor.n_outputs)


def _score(model: _Model, predictor: Predictor) -> None:
    spec, net = predictor._spec, network_of(predictor)
    kinds, terms, total = KINDS, spec["scores"], losses
    if _bound.is_variational(spec):
        net, terms = _onnx_bound.network(predictor)
        kinds, total = _onnx_bound.OF_DRAWS, _onnx_bound.bound
    targets = compared(terms)
    at = evaluate(model.builder, net, targets, _inputs(model, spec, net, targets, {}), kinds)
    model.output(model.builder.op("Neg", total(model.builder, net, terms, at)), "score", None, np.float64)


def _classes(model: _Model, predictor: ClassifierPredictor) -> None:
    at, b = _values(model, predictor, [HEAD, PROBABILITIES]), model.builder
    number, classes = b.op("ArgMax", at[HEAD], axis=-1, keepdims=0), predictor.classes
    whole = whole_classes(classes)
    # Behind the classes stands what NaN gives, of which ArgMax makes some class.
    names = b.strings([*classes, ""]) if whole is None else b.constant([*whole, NO_LABEL], "labels", np.int64)
    none = b.missing(b.sum(at[HEAD], keep=False))
    number = b.where(none, b.constant(len(classes), "none", np.int64), number)
    model.output(b.op("Gather", names, number, axis=0), LABEL, None, str if whole is None else np.int64)
    model.output(at[PROBABILITIES], "probabilities", len(classes))


def _numbers(model: _Model, predictor: RegressorPredictor) -> None:
    beside, d = predictor._beside, model.builder.doubles()
    head = d.cast(_values(model, predictor, [HEAD])[HEAD], np.float64)
    scale, mean = (np.atleast_1d(beside[name]).astype(np.float64) for name in ("scale", "mean"))
    value = d.add(d.mul(head, d.constant(scale)), d.constant(mean))
    model.output(value, "prediction", len(scale), np.float64)


def _hash(model: _Model, predictor: HashingPredictor) -> None:
    code, n, d = predictor._spec["code"], predictor.n_components, model.builder.doubles()
    packing = np.zeros((n, -(-n // 8)))
    packing[np.arange(n), np.arange(n) // 8] = 2.0 ** (7 - np.arange(n) % 8)
    bits = d.cast(_values(model, predictor, [code])[code], np.float64)
    sums = d.op("MatMul", d.where(d.missing(bits), d.constant(0.0), bits), d.constant(packing))
    model.output(d.cast(sums, np.uint8), "hash", packing.shape[1], np.uint8)


def _indices(model: _Model, predictor: VectorQuantizedPredictor) -> None:
    node = predictor._spec["kept"][-1]
    b, value = model.builder, _values(model, predictor, [node])[node]
    value = b.cast(b.where(b.missing(value), b.constant(-1.0), value), np.int32)
    model.output(value, "indices", len(predictor._codebooks), np.int32)


# ---- layers in closed form ----


def _marginalized_encoder(model: _Model, predictor: MarginalizedPredictor) -> None:
    net, last = layers_of(predictor, len(predictor._coefs), "tanh", joined=predictor._joined)
    at = evaluate(model.builder, net, [last], {"x": model.input("x", predictor.n_features_in)})
    model.output(at[last], "code", net.widths()[last])


def _first_layer(model: _Model, predictor: MarginalizedPredictor) -> dict[str, str]:
    """Values of the row, "x", and of its reconstruction, "layer_0"."""
    net, last = layers_of(predictor, 1, "identity", joined=False)
    return evaluate(model.builder, net, [last], {"x": model.input("x", predictor.n_features_in)})


def _marginalized_reconstruction(model: _Model, predictor: MarginalizedPredictor) -> None:
    model.columns = predictor._pivots
    model.output(_first_layer(model, predictor)["layer_0"], "reconstruction", len(predictor._intercepts[0]))


def _marginalized_score(model: _Model, predictor: MarginalizedPredictor) -> None:
    at, d = _first_layer(model, predictor), model.builder.doubles()
    target = d.op("Gather", at["x"], d.constant(predictor._pivots, "pivots", np.int64), axis=1)
    off = d.sub(d.cast(at["layer_0"], np.float64), d.cast(target, np.float64))
    total = d.sum(d.mul(off, off), keep=False)
    model.output(d.mul(total, d.constant(-1.0 / len(predictor._pivots))), "score", None, np.float64)


# ---- outliers ----


def _charbonnier(d: Builder, difference: str, scale: float, missing: str | None, share: str | None) -> str:
    """sqrt(1 + difference^2 / scale) - 1, zero for what is missing, times the share of the others."""
    one = d.constant(1.0)
    ratio = d.op("Div", d.mul(difference, difference), d.constant(scale))
    value = d.sub(d.op("Sqrt", d.add(ratio, one)), one)
    if missing is None or share is None:
        return value
    return d.mul(d.where(missing, d.constant(0.0), value), share)


def _nearest(d: Builder, landmarks: Any, z: str, missing: str | None) -> str:
    """The nearest landmark of each group, (rows, groups, features): see `Landmarks`."""
    groups, n, width = landmarks.rows.shape
    weight, bias = landmarks.weight.astype(np.float64), landmarks.bias.astype(np.float64)
    near = d.add(d.op("MatMul", z, d.constant(weight)), d.constant(bias))
    if missing is not None:
        gone = d.where(missing, d.constant(1.0), d.constant(0.0))
        near = d.add(near, d.op("MatMul", gone, d.constant(0.5 * np.square(weight))))
    near = d.op("Reshape", near, d.index(-1, groups, n))
    rows = d.constant(landmarks.rows.reshape(-1, width).astype(np.float64), "landmarks")
    first = d.constant(n * np.arange(groups), "first", np.int64)

    def largest(values: str) -> str:
        return d.op("Add", d.op("ArgMax", values, axis=2, keepdims=0), first)

    at = largest(near)
    found = d.op("Gather", rows, at, axis=0)
    apart = d.sum(d.op("Abs", d.sub(found, d.op("Unsqueeze", z, d.index(1)))))  # zero where it is the row itself
    single = d.op("Gather", d.constant(landmarks.single.reshape(-1), "single", bool), at, axis=0)
    itself = d.op("And", d.op("Equal", apart, d.constant(0.0)), d.op("Unsqueeze", single, d.index(2)))
    numbers = d.constant(np.arange(groups * n).reshape(groups, n), "numbers", np.int64)
    chosen = d.op("Equal", numbers, d.op("Unsqueeze", at, d.index(2)))
    rest = d.where(d.op("And", chosen, itself), d.constant(-np.inf), near)
    return d.op("Gather", rows, largest(rest), axis=0)


def _standardised(d: Builder, x: str, mean: NDArray[Any], scale: NDArray[Any], clip: float) -> str:
    z = d.op("Div", d.sub(x, d.constant(mean)), d.constant(scale))
    return d.op("Max", d.op("Min", z, d.constant(clip)), d.constant(-clip))


def _outlier_score(model: _Model, predictor: OutlierPredictor) -> str:
    learned, dtype, d = predictor._learned, predictor._dtype, model.builder.doubles()
    x, mean, scale = model.input("x", predictor.n_features_in, np.float64), learned["mean"], learned["scale"]
    if learned["used"] is not None:
        used = learned["used"]
        x, mean, scale = d.op("Gather", x, d.constant(used, "used", np.int64), axis=1), mean[used], scale[used]
    width, missing, share = float(len(mean)), None, None
    if learned["masks"]:
        missing = d.missing(x)
        there = d.where(missing, d.constant(0.0), d.constant(1.0))
        share = d.op("Div", d.constant(width), d.op("Max", d.sum(there), d.constant(1.0)))
        x = d.where(missing, d.constant(mean), x)
    rounded = d.cast(_standardised(d, x, mean, scale, learned["clip"]), dtype)  # what is missing is zero
    z = d.cast(rounded, np.float64)
    seen = rounded
    if missing is not None:
        seen = model.builder.where(missing, model.builder.constant(np.nan), rounded)
    nearest = None if learned["landmarks"] is None else _nearest(d, learned["landmarks"], z, missing)
    total = ""
    for i, member in enumerate(predictor._members):
        net = of_spec(member.spec, parameters(*member))
        output = member.spec["output"]
        restored = d.cast(evaluate(model.builder, net, [output], {"x": seen})[output], np.float64)
        errors = _charbonnier(d, d.sub(restored, z), learned["error"][i], missing, share)
        errors = d.op("Div", errors, d.constant(learned["median"][i]))
        if nearest is not None:
            of_group = d.op("Gather", nearest, d.constant(i, "group", np.int64), axis=1)
            distances = _charbonnier(d, d.sub(z, of_group), 1.0, missing, share)
            errors = d.add(errors, d.mul(distances, d.constant(learned["neighbors"][i])))
        total = d.add(total, errors) if total else errors
    center = d.mul(_charbonnier(d, z, 1.0, missing, share), d.constant(learned["center"]))
    total = d.add(d.op("Div", total, d.constant(float(len(predictor._members)))), center)
    total = d.op("Div", total, d.constant(learned["weight"]))
    return d.op("Neg", d.sum(total, keep=False))


def _outlier_scores(model: _Model, predictor: OutlierPredictor) -> None:
    model.output(_outlier_score(model, predictor), "score", None, np.float64)


def _decision(model: _Model, predictor: OutlierPredictor) -> None:
    d = model.builder.doubles()
    value = d.sub(_outlier_score(model, predictor), d.constant(float(predictor.offset)))
    model.output(value, "decision", None, np.float64)


def _outlier_label(model: _Model, predictor: OutlierPredictor) -> None:
    d = model.builder.doubles()
    value = d.sub(_outlier_score(model, predictor), d.constant(float(predictor.offset)))
    inlier, outlier = (d.constant(n, "sign", np.int64) for n in (1, -1))
    model.output(d.where(d.op("GreaterOrEqual", value, d.constant(0.0)), inlier, outlier), LABEL, None, np.int64)


# ---- missing values ----


def _imputation(model: _Model, imputer: Any) -> None:
    """`AutoencoderImputer.transform` of float64."""
    from autoenc._imputer import FARTHEST

    refuse_draws(imputer, "ONNX")
    d, width = model.builder.doubles(), imputer.n_features_in_
    x, used = model.input("x", width, np.float64), imputer._used()

    def gaps(values: str) -> str:
        """Where something is to be filled in. NaN, where it is not what stands for that, stays."""
        if imputer._by_nan():
            return d.missing(values)
        mark = imputer.missing_values if model.outside is None else model.outside(imputer.missing_values)
        return d.op("Equal", values, d.constant(mark))

    known = x if len(used) == width else d.op("Gather", x, d.constant(used, "used", np.int64), axis=1)
    filled = known
    if len(used):
        predictor = imputer.autoencoder_.predictor()
        node, net = predictor._spec["output"], network_of(predictor)
        mean, scale = imputer.mean_[used], imputer.scale_[used]
        missing = gaps(known)
        z = d.cast(_standardised(d, known, mean, scale, FARTHEST), net.dtype)
        unseen = d.op("Or", missing, d.missing(known))
        seen = model.builder.where(unseen, model.builder.constant(np.nan), z)
        restored = d.cast(evaluate(model.builder, net, [node], {"x": seen})[node], np.float64)
        values = d.add(d.mul(restored, d.constant(scale)), d.constant(mean))
        values = d.op("Min", d.op("Max", values, d.constant(imputer.min_[used])), d.constant(imputer.max_[used]))
        filled = d.where(missing, values, known)
    if imputer.keep_empty_features and len(used) < width:
        spread = np.zeros((len(used), width))
        spread[np.arange(len(used)), used] = 1.0
        empty = np.setdiff1d(np.arange(width), used)
        rest = d.op("Gather", x, d.constant(empty, "empty", np.int64), axis=1)
        rest = d.where(gaps(rest), d.constant(0.0), rest)
        both = d.op("Concat", filled, rest, axis=1)
        order = np.argsort(np.concatenate([used, empty]))
        filled, used = d.op("Gather", both, d.constant(order, "order", np.int64), axis=1), np.arange(width)
    n_out = len(used)
    if imputer.indicator_ is not None:
        marked = imputer.indicator_.features_
        marks = d.cast(gaps(d.op("Gather", x, d.constant(marked, "marked", np.int64), axis=1)), np.float64)
        filled, n_out = d.op("Concat", filled, marks, axis=1), n_out + len(marked)
    model.output(filled, "reconstruction", n_out, np.float64)


# ---- doors ----

_NETWORK: dict[str, Callable[[_Model, Any], None]] = {
    "encoder": _encoder,
    "decoder": _decoder,
    "reconstruction": _reconstruction,
    "score": _score,
}
# By kind, the more special first; the first part is the one where nothing is said.
PARTS: list[tuple[type, dict[str, Callable[[_Model, Any], None]]]] = [
    (ClassifierPredictor, {"prediction": _classes, **_NETWORK}),
    (RegressorPredictor, {"prediction": _numbers, **_NETWORK}),
    (HashingPredictor, {**_NETWORK, "hash": _hash}),
    (VectorQuantizedPredictor, {**_NETWORK, "indices": _indices}),
    (Predictor, _NETWORK),
    (
        MarginalizedPredictor,
        {
            "encoder": _marginalized_encoder,
            "reconstruction": _marginalized_reconstruction,
            "score": _marginalized_score,
        },
    ),
    (OutlierPredictor, {"score": _outlier_scores, "decision": _decision, "prediction": _outlier_label}),
]
_IMPUTER: dict[str, Callable[[_Model, Any], None]] = {"reconstruction": _imputation}


def _parts(source: Any) -> dict[str, Callable[[_Model, Any], None]]:
    """The parts that an estimator has."""
    if is_imputer(source):
        return _IMPUTER
    return next(parts for kind, parts in PARTS if isinstance(source, kind))


def convert(model: Any, part: PartName | None = None) -> Any:
    """A fitted estimator, or a predictor of one, as an ONNX model.

    Parameters
    ----------
    model : estimator or predictor
        Of this package; a pipeline around it goes through ``skl2onnx`` (see `register`).
    part : str or None, default=None
        "encoder", "decoder", "reconstruction" or "score"; of classifiers and regressors also "prediction", of outlier
        detectors "score", "decision" or "prediction", of `HashingAutoencoder` also "hash", of
        `VectorQuantizedAutoencoder` also "indices"; imputers have "reconstruction" alone. None: the first that the
        estimator has; "prediction" of classifiers and regressors.

    Returns
    -------
    onnx.ModelProto
        Of opset 17, with a batch axis of any length. Inputs are "x", of the estimator's `precision` (float64 for
        detectors and imputers), and where the fit had them "condition" and, for scores, "x_clean"; of decoders "code".
        Outputs are "code", "reconstruction", "score" (float64), "decision", "prediction", "hash" or "indices", of
        classifiers "label" (int64 where classes are numbers) and "probabilities". Labels of conditions are one-hot
        columns, in the order of ``condition_categories_``. Rows are not checked: one with NaN, where none is allowed,
        gives NaN; as "indices" -1, as "label" of a detector -1, of a classifier the lowest int64 or an empty text, as
        "hash", which has no room for it, bits of 0.

    Raises
    ------
    ImportError
        Where the package onnx is not installed.
    ValueError
        Where the estimator has no such part.
    NotImplementedError
        Where the network has something that cannot be written, which the message names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from autoenc import AutoencoderClassifier
    >>> from autoenc.onnx import convert
    >>> X, y = load_iris(return_X_y=True)
    >>> model = AutoencoderClassifier(max_iter=5, random_state=0).fit(X, y)
    >>> [one.name for one in convert(model).graph.output]
    ['label', 'probabilities']
    >>> [one.name for one in convert(model.predictor(), "reconstruction").graph.input]
    ['x']
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX models need the package onnx: python -m pip install onnx") from error
    return _convert(model, part)


def _convert(model: Any, part: str | None, outside: Any = None) -> Any:
    """The same; `outside`: the type of all floating-point inputs and outputs."""
    inner, scaling = scaling_of(model)
    source = source_of(inner)
    parts = _parts(source)
    part = next(iter(parts)) if part is None else part
    if part not in parts:
        no_part(model, part, parts)
    made = _Model(dtype_of(source), outside, scaling)
    parts[part](made, source)
    name = type(model).__name__
    doc = f"The {part} of a fitted {name} of autoenc {__version__}."
    return made.proto(doc, {"estimator": name, "part": part, "precision": str(made.builder.dtype)})


# ---- skl2onnx ----

_ESTIMATORS = (
    "Autoencoder",
    "AutoencoderClassifier",
    "AutoencoderImputer",
    "AutoencoderOutlierDetector",
    "AutoencoderRegressor",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "HashingAutoencoder",
    "MarginalizedDenoisingAutoencoder",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "VectorQuantizedAutoencoder",
)


# What skl2onnx puts behind the last step.
_FINISH = ("SklearnCast", "SklearnClassLabels", "SklearnIdentity", "SklearnZipMap", "SklearnZipMapColumns")


def _last(model: Any) -> Any:
    """What a pipeline ends in, and what a search has chosen."""
    while True:
        if hasattr(model, "steps"):
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return model


def _feeds_a_step(operator: Any) -> bool:
    """Whether a later step of a pipeline, or a union of columns, takes what the operator gives."""
    takers = [taker for output in operator.outputs for taker in output.operators_inputs_]
    return any(taker.type not in _FINISH or _feeds_a_step(taker) for taker in takers)


def _made_for(operator: Any) -> Any:
    """The model of a step of a pipeline, in the type of what comes in."""
    from skl2onnx.common.data_types import DoubleTensorType

    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    estimator = operator.raw_operator
    part = "decision" if hasattr(estimator, "oob_scores_") else None
    around = [one for one in operator.scope_inst.operators.values() if _last(one.raw_operator) is estimator]
    if hasattr(estimator, "predict") and part is None and any(map(_feeds_a_step, [operator, *around])):
        if len(operator.outputs) > 1:  # whose label and probabilities the next steps have been given already
            raise NotImplementedError(
                f"{type(estimator).__name__} before other steps, which go on with its code, has no conversion; "
                "allowed: as last step, or its to_onnx('encoder') and the later steps by themselves"
            )
        part = "encoder"
    made = _convert(estimator, part, np.float64 if double else np.float32)
    if len(made.graph.input) > 1:
        raise NotImplementedError(
            f"{type(estimator).__name__} was fitted with a condition, for which a pipeline has no input; allowed: "
            "to_onnx of the estimator itself"
        )
    if part == "decision":  # skl2onnx has label and score of outlier detectors, both as columns
        _label_and_decision(made)
    return made


def _label_and_decision(model: Any) -> None:
    """Turns the output "decision" into two, of shape (n, 1)."""
    from onnx import TensorProto, helper, numpy_helper

    graph, kind = model.graph, model.graph.output[0].type.tensor_type.elem_type
    real = helper.tensor_dtype_to_np_dtype(kind)
    constants = {"zero": np.zeros((), real), "signs": np.array([-1, 1]), "last": np.array([1])}
    graph.initializer.extend(numpy_helper.from_array(array, f"pipeline_{name}") for name, array in constants.items())
    graph.node.extend(
        [
            helper.make_node("Unsqueeze", ["decision", "pipeline_last"], ["scores"], name="pipeline_column"),
            helper.make_node(
                "GreaterOrEqual", ["scores", "pipeline_zero"], ["pipeline_inside"], name="pipeline_compare"
            ),
            helper.make_node(
                "Cast", ["pipeline_inside"], ["pipeline_number"], name="pipeline_cast", to=TensorProto.INT64
            ),
            helper.make_node("Gather", ["pipeline_signs", "pipeline_number"], [LABEL], name="pipeline_label"),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info(LABEL, TensorProto.INT64, ["n", 1]),
            helper.make_tensor_value_info("scores", kind, ["n", 1]),
        ]
    )


def _shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    estimator, n = operator.raw_operator, operator.inputs[0].get_first_dimension()
    real = DoubleTensorType if isinstance(operator.inputs[0].type, DoubleTensorType) else FloatTensorType
    if hasattr(estimator, "classes_"):
        calculate_linear_classifier_output_shapes(operator)
    elif hasattr(estimator, "oob_scores_"):
        operator.outputs[0].type, operator.outputs[1].type = Int64TensorType([n, 1]), real([n, 1])
    else:
        made = _made_for(operator)
        columns = made.graph.output[0].type.tensor_type.shape.dim[1].dim_value
        operator.outputs[0].type = real([n, columns])


def _column_transformer(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """As skl2onnx reads it, but a lone block that is one of ours is joined like several: it gives its code then."""
    from skl2onnx._parse import _parse_sklearn_column_transformer

    outputs = _parse_sklearn_column_transformer(scope, model, inputs, custom_parsers)
    blocks = [_last(block) for _, block, _ in model.transformers_]
    if len(outputs) != 1 or not any(type(block).__name__ in _ESTIMATORS for block in blocks):
        return outputs
    join = scope.declare_local_operator("SklearnConcat")
    join.inputs = outputs
    join.outputs.append(scope.declare_local_variable("columns", type(outputs[0].type)([None, None])))
    return join.outputs


def _converter(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.helpers.integration import add_onnx_graph

    add_onnx_graph(scope, operator, container, _made_for(operator))


def register() -> None:
    """Makes ``skl2onnx`` convert the estimators of this package, alone and within pipelines.

    Done once in a process, before ``skl2onnx.to_onnx`` or ``convert_sklearn``. Transformers give their code, imputers
    the filled table, classifiers label and probabilities, regressors the prediction, outlier detectors label and
    decision. Numbers are of the type of the step's input, float64 where that is float64 and float32 else; the network
    itself runs in the estimator's `precision`. A step that was fitted with a condition is refused: a pipeline has no
    input for it. Before other steps an `AutoencoderRegressor` gives its code, as in the pipeline, and an
    `AutoencoderClassifier` is refused: convert its encoder and the later steps by themselves. An outlier detector
    compares no training row with itself, which it tells by equal bits: behind other steps pass float64, or its training
    rows score higher than the estimator says.

    Raises
    ------
    ImportError
        Where the package skl2onnx is not installed.

    Examples
    --------
    >>> import skl2onnx
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from autoenc import Autoencoder
    >>> from autoenc.onnx import register
    >>> register()
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), Autoencoder(2, max_iter=5, random_state=0), LogisticRegression())
    >>> made = skl2onnx.to_onnx(pipe.fit(X, y), X[:1], options={"zipmap": False})
    >>> [one.name for one in made.graph.output]
    ['label', 'probabilities']
    """
    try:
        from skl2onnx import update_registered_converter, update_registered_parser
    except ImportError as error:
        raise ImportError("pipelines need the package skl2onnx: python -m pip install skl2onnx") from error
    from sklearn.compose import ColumnTransformer

    import autoenc

    update_registered_parser(ColumnTransformer, _column_transformer)
    for name in _ESTIMATORS:
        options = {"zipmap": [True, False, "columns"], "nocl": [True, False]} if name.endswith("Classifier") else None
        estimator = getattr(autoenc, name)
        update_registered_converter(estimator, f"Autoenc{name}", _shapes, _converter, options=options)
