"""Kinds of layers, activations and losses as ONNX operators. The package `onnx` is imported where it is needed.

Operators are those whose form is the same from opset 13 to 22 and which ONNX Runtime has for float and double. Values
may have an axis of draws before the features, so features are always the last axis.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autoenc._export_functions import TAIL_CENTRE, TAIL_COEFFICIENTS
from autoenc._export_network import Network, lookup, no_handler, size, value
from autoenc._spec import Node, Term

SELU_SCALE, SELU_SCALE_ALPHA = 1.0507009873554804934, 1.7580993408473768600


class Builder:
    """Operators and constants of an ONNX graph in the making; values by name. `dtype` is that of what is computed."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._names: set[str] = set()
        self._constants: dict[tuple[Any, ...], str] = {}

    def name(self, stem: str) -> str:
        name, n = stem, 1
        while name in self._names:
            n += 1
            name = f"{stem}_{n}"
        self._names.add(name)
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator with one output, whose name is returned."""
        from onnx import helper

        output = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"{kind}_{output}", **attributes))
        return output

    def constant(self, array: Any, stem: str = "constant", dtype: Any = None) -> str:
        from onnx import numpy_helper

        values = np.ascontiguousarray(array, dtype=self.dtype if dtype is None else dtype)
        if np.ndim(array) == 0:
            values = values.reshape(())
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            name = self.name(stem)
            self.initializers.append(numpy_helper.from_array(values, name))
            self._constants[key] = name
        return self._constants[key]

    def index(self, *numbers: int) -> str:
        return self.constant(np.array(numbers), "index", np.int64)

    def strings(self, values: Iterable[Any]) -> str:
        from onnx import TensorProto, helper

        name = self.name("labels")
        data: Any = [str(one).encode() for one in values]
        self.initializers.append(helper.make_tensor(name, TensorProto.STRING, [len(data)], data))
        return name

    def cast(self, x: str, dtype: Any) -> str:
        from onnx import helper

        return self.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def add(self, a: str, b: str) -> str:
        return self.op("Add", a, b)

    def sub(self, a: str, b: str) -> str:
        return self.op("Sub", a, b)

    def mul(self, a: str, b: str) -> str:
        return self.op("Mul", a, b)

    def sum(self, x: str, *, keep: bool = True) -> str:
        """Over the features."""
        return self.op("ReduceSum", x, self.index(-1), keepdims=int(keep))

    def where(self, mask: str, a: str, b: str) -> str:
        return self.op("Where", mask, a, b)

    def missing(self, x: str) -> str:
        return self.op("IsNaN", x)

    def doubles(self) -> "Builder":
        """The same graph, with constants of float64."""
        other = Builder.__new__(Builder)
        other.__dict__.update(self.__dict__)
        other.dtype = np.dtype(np.float64)
        return other


# ---- activations ----


def _leaky(b: Builder, x: str) -> str:
    return b.where(b.op("Less", x, b.constant(0.0)), b.mul(x, b.constant(0.01)), x)


def _expm1_below(b: Builder, x: str) -> str:
    """exp(x) - 1 below zero, 0 above."""
    return b.sub(b.op("Exp", b.op("Min", x, b.constant(0.0))), b.constant(1.0))


def _elu(b: Builder, x: str) -> str:
    return b.where(b.op("Greater", x, b.constant(0.0)), x, _expm1_below(b, x))


def _selu(b: Builder, x: str) -> str:
    below = b.mul(_expm1_below(b, x), b.constant(SELU_SCALE_ALPHA))
    return b.where(b.op("Greater", x, b.constant(0.0)), b.mul(x, b.constant(SELU_SCALE)), below)


def _gelu(b: Builder, x: str) -> str:
    """x Phi(x). ONNX Runtime has the error function for float alone; for double see math/activation.c."""
    one = b.constant(1.0)
    if b.dtype == np.float32:
        scaled = b.op("Erf", b.mul(x, b.constant(1.0 / math.sqrt(2.0))))
        return b.mul(b.mul(x, b.constant(0.5)), b.add(scaled, one))
    distance = b.op("Min", b.op("Abs", x), b.constant(39.0))
    centre = b.constant(TAIL_CENTRE)
    t = b.op("Div", b.sub(distance, centre), b.add(distance, centre))
    sum_ = b.constant(TAIL_COEFFICIENTS[-1])
    for c in TAIL_COEFFICIENTS[-2::-1]:
        sum_ = b.add(b.mul(sum_, t), b.constant(c))
    tail = b.mul(b.op("Exp", b.mul(b.mul(distance, distance), b.constant(-0.5))), sum_)
    negative = b.op("Less", x, b.constant(0.0))
    return b.mul(b.op("Max", x, b.constant(-39.0)), b.where(negative, tail, b.sub(one, tail)))


def _softplus(b: Builder, x: str) -> str:
    small = b.op("Exp", b.op("Neg", b.op("Abs", x)))
    return b.add(b.op("Max", x, b.constant(0.0)), b.op("Log", b.add(small, b.constant(1.0))))


ACTIVATIONS: dict[str, Callable[[Builder, str], str]] = {
    "identity": lambda b, x: x,
    "relu": lambda b, x: b.op("Relu", x),
    "leaky_relu": _leaky,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": lambda b, x: b.mul(x, b.op("Sigmoid", x)),
    "softplus": _softplus,
    "tanh": lambda b, x: b.op("Tanh", x),
    "logistic": lambda b, x: b.op("Sigmoid", x),
    "exp": lambda b, x: b.op("Exp", x),
    "softmax": lambda b, x: b.op("Softmax", x, axis=-1),
}


def activate(b: Builder, name: str, x: str) -> str:
    if name not in ACTIVATIONS:
        no_handler("the activation", name, "ONNX", ACTIVATIONS)
    return ACTIVATIONS[name](b, x)


# ---- kinds of nodes: (builder, network, node, values of its inputs) -> value ----


def _dense(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    y = b.op("MatMul", inputs[0], b.constant(net.parameter(node, "weight"), f"{node['name']}.weight"))
    if not size(node, 0):
        y = b.add(y, b.constant(net.parameter(node, "bias")[0], f"{node['name']}.bias"))
    return activate(b, node["fields"].get("activation", "identity"), y)


def _add(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    y = b.op("Neg", inputs[0]) if size(node, 0) else inputs[0]
    for i, x in enumerate(inputs[1:], 1):
        y = b.sub(y, x) if size(node, i) else b.add(y, x)
    return y


def _slice(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    first = size(node, 0)
    return b.op("Slice", inputs[0], b.index(first), b.index(first + node["fields"]["width"]), b.index(-1))


def _batch_norm(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    mean, variance, gamma, beta = (
        net.parameter(node, role)[0].astype(np.float64) for role in ("mean", "variance", "gamma", "beta")
    )
    factor = (1.0 / np.sqrt(variance + value(node, 1, 1e-5))).astype(net.dtype)
    scaled = b.mul(b.sub(inputs[0], b.constant(mean)), b.constant(factor))
    return b.add(b.mul(scaled, b.constant(gamma)), b.constant(beta))


def _layer_norm(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    x, d = b.cast(inputs[0], np.float64), b.doubles()
    width = d.constant(float(net.widths()[node["inputs"][0]]))
    off = d.sub(x, d.op("Div", d.sum(x), width))
    variance = d.op("Div", d.sum(d.mul(off, off)), width)
    scaled = d.op("Div", off, d.op("Sqrt", d.add(variance, d.constant(value(node, 0, 1e-5)))))
    gain, bias = (b.constant(net.parameter(node, role)[0]) for role in ("gain", "bias"))
    return b.add(b.mul(b.cast(scaled, net.dtype), gain), bias)


def _top_k(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    from onnx import helper, numpy_helper

    x = inputs[0]
    if size(node, 2):
        no_handler("the auxiliary selection", node["name"], "ONNX", KINDS)
    k = min(size(node, 0), net.widths()[node["name"]])
    values, indices = b.name("top_values"), b.name("top_indices")
    made = helper.make_node("TopK", [x, b.index(k)], [values, indices], name=f"TopK_{values}", axis=-1)
    b.nodes.append(made)
    zeros = b.op("ConstantOfShape", b.op("Shape", x), value=numpy_helper.from_array(np.zeros(1, net.dtype)))
    y = b.op("ScatterElements", zeros, indices, values, axis=-1)
    return b.op("Relu", y) if size(node, 1) else y


def _batch_top_k(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    if size(node, 2):
        no_handler("the auxiliary selection", node["name"], "ONNX", KINDS)
    return _zero_up_to(b, inputs[0], b.constant(max(0.0, net.parameter(node, "threshold")[0, 0])), inputs[0])


def _zero_up_to(b: Builder, x: str, limit: str, y: str) -> str:
    """Zero where x is at most the limit, else y: NaN stays, as in the core."""
    return b.where(b.op("LessOrEqual", x, limit), b.constant(0.0), y)


def _jump_relu(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    grown = np.exp(net.parameter(node, "log_threshold")[0].astype(np.float64))
    threshold = b.constant(value(node, 1, 0.001) * grown)
    jumped = b.constant(1.0) if size(node, 0) else inputs[0]
    return _zero_up_to(b, inputs[0], threshold, jumped)


def _gated(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    gate = b.add(inputs[0], b.constant(net.parameter(node, "gate_bias")[0]))
    if size(node, 0):
        return b.op("Relu", gate)
    factor = np.exp(net.parameter(node, "magnitude_scale")[0].astype(np.float64))
    magnitude = b.add(b.mul(inputs[0], b.constant(factor)), b.constant(net.parameter(node, "magnitude_bias")[0]))
    return _zero_up_to(b, gate, b.constant(0.0), b.op("Relu", magnitude))


def _binary(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    bits = b.cast(b.op("Greater", inputs[0], b.constant(0.0)), net.dtype)
    return b.where(b.missing(inputs[0]), inputs[0], bits)


def _vector_quantize(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    codes, counts = net.parameter(node, "codes").T, net.parameter(node, "counts")
    x, d = b.cast(inputs[0], np.float64), b.doubles()
    each, out = codes.shape[1] // len(counts), []
    for book, count in enumerate(counts):
        rows = np.ascontiguousarray(codes[:, book * each : (book + 1) * each])
        run = d.op("Slice", x, b.index(book * each), b.index((book + 1) * each), b.index(-1)) if len(counts) > 1 else x
        weight, bias = lookup(rows, count)
        nearness = d.add(d.op("MatMul", run, d.constant(weight)), d.constant(bias))
        number = b.op("ArgMax", nearness, axis=-1, keepdims=0)
        code = b.op("Gather", b.constant(rows), number, axis=0)
        found = b.op("Unsqueeze", b.cast(number, net.dtype), b.index(-1)) if size(node, 2) else code
        # A row is near to no code where the distance is NaN or overflows: 0 is added, or NaN.
        off = b.sub(b.cast(run, net.dtype), code)
        out.append(b.add(found, b.mul(b.sum(b.mul(off, off)), b.constant(0.0))))
    return out[0] if len(out) == 1 else b.op("Concat", *out, axis=-1)


def _present(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    there = b.where(b.missing(inputs[0]), b.constant(0.0), b.constant(1.0))
    if not size(node, 0):
        return there
    count = b.op("Max", b.sum(there), b.constant(1.0))
    return b.mul(there, b.op("Div", b.constant(float(net.widths()[node["name"]])), count))


def _emphasis(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    both = b.op("And", b.missing(inputs[0]), b.missing(inputs[1]))
    equal = b.op("Or", b.op("Equal", *inputs), both)
    return b.where(equal, b.constant(value(node, 1)), b.constant(value(node, 0)))


KINDS: dict[str, Callable[[Builder, Network, Node, list[str]], str]] = {
    "dense": _dense,
    "activation": lambda b, net, node, inputs: activate(b, node["fields"].get("activation", "identity"), inputs[0]),
    "add": _add,
    "subtract": lambda b, net, node, inputs: b.sub(*inputs),
    "multiply": lambda b, net, node, inputs: b.mul(*inputs),
    "scale": lambda b, net, node, inputs: b.mul(inputs[0], b.constant(value(node, 0))),
    "concatenate": lambda b, net, node, inputs: b.op("Concat", *inputs, axis=-1),
    "slice": _slice,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "top_k": _top_k,
    "batch_top_k": _batch_top_k,
    "jump_relu": _jump_relu,
    "gated": _gated,
    "binary": _binary,
    "vector_quantize": _vector_quantize,
    "observed": lambda b, net, node, inputs: b.where(b.missing(inputs[0]), b.constant(value(node, 0)), inputs[0]),
    "present": _present,
    "emphasis": _emphasis,
}


def evaluate(
    b: Builder,
    net: Network,
    targets: list[str],
    given: dict[str, str],
    kinds: dict[str, Callable[[Builder, Network, Node, list[str]], str]] = KINDS,
) -> dict[str, str]:
    """Adds what some nodes need; values by node. `given`: those that are there, inputs among them."""
    at = dict(given)
    for node in net.needed(targets, list(given)):
        if node["kind"] not in kinds:
            no_handler(f"a layer of kind {node['kind']!r},", node["name"], "ONNX", kinds)
        at[node["name"]] = kinds[node["kind"]](b, net, node, [at[name] for name in node["inputs"]])
    return at


# ---- terms of losses, by feature, in doubles: (builder, prediction, target, parameter) -> value ----


def _square(b: Builder, prediction: str, target: str, parameter: float) -> str:
    off = b.sub(prediction, target)
    return b.mul(off, off)


def _absolute(b: Builder, prediction: str, target: str, parameter: float) -> str:
    return b.op("Abs", b.sub(prediction, target))


def _huber(b: Builder, prediction: str, target: str, parameter: float) -> str:
    off = b.sub(prediction, target)
    clipped = b.op("Max", b.op("Min", off, b.constant(parameter)), b.constant(-parameter))
    return b.mul(clipped, b.sub(off, b.mul(clipped, b.constant(0.5))))


def _log_cosh(b: Builder, prediction: str, target: str, parameter: float) -> str:
    distance = b.op("Abs", b.sub(prediction, target))
    small = b.op("Exp", b.mul(distance, b.constant(-2.0)))
    return b.add(b.sub(distance, b.constant(math.log(2.0))), b.op("Log", b.add(small, b.constant(1.0))))


def _correntropy(b: Builder, prediction: str, target: str, parameter: float) -> str:
    square = _square(b, prediction, target, parameter)
    kernel = b.op("Exp", b.mul(square, b.constant(-0.5 / parameter**2)))
    return b.mul(b.sub(b.constant(1.0), kernel), b.constant(2.0 * parameter**2))


def _log_loss(b: Builder, prediction: str, target: str, parameter: float) -> str:
    return b.sub(_softplus(b, prediction), b.mul(prediction, target))


def _poisson(b: Builder, prediction: str, target: str, parameter: float) -> str:
    none = b.op("Equal", target, b.constant(0.0))
    logarithm = b.op("Log", b.where(none, b.constant(1.0), target))
    off = b.sub(b.sub(logarithm, prediction), b.constant(1.0))
    return b.op("Max", b.add(b.mul(target, off), b.op("Exp", prediction)), b.constant(0.0))


def _multinomial(b: Builder, prediction: str, target: str, parameter: float) -> str:
    return b.op("Neg", b.mul(target, b.op("LogSoftmax", prediction, axis=-1)))


LOSSES: dict[str, Callable[[Builder, str, str, float], str]] = {
    "squared_error": _square,
    "absolute_error": _absolute,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "correntropy": _correntropy,
    "log_loss": _log_loss,
    "poisson": _poisson,
    "multinomial": _multinomial,
    "categorical": _multinomial,
}


def losses(b: Builder, net: Network, terms: list[Term], at: dict[str, str]) -> str:
    """The loss of each row: sum over the terms of their weights times the means over their features."""
    d, widths, total = b.doubles(), net.widths(), ""
    for term in terms:
        if term["loss"] not in LOSSES or term["target"] is None:
            no_handler("the loss", term["loss"], "ONNX", LOSSES)
        prediction, target = (b.cast(at[name], np.float64) for name in (term["prediction"], term["target"]))
        own = LOSSES[term["loss"]](d, prediction, target, term["parameter"])
        weight = term.get("entry_weight")
        if weight is not None:
            factor = b.cast(at[weight], np.float64)
            none = d.op("Equal", factor, d.constant(0.0))
            own = d.where(none, d.constant(0.0), d.mul(factor, own))
        row = d.mul(d.sum(own, keep=False), d.constant(term["weight"] / widths[term["prediction"]]))
        total = d.add(total, row) if total else row
    return total
