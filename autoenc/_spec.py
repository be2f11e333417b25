"""From the shape of an autoencoder to the graph and the program that the C core runs. Pure data.

A network is described by a plain dictionary (`describe`), which is what an estimator keeps and pickles: names instead
of registry positions, so that it outlives a change of their order. `nodes`, `losses` and `stages` turn it into the
arrays of C structures of ``csrc/layers/layer.h`` and ``csrc/train/trainer.h``.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypedDict

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

# Losses of one predicted parameter and a target; correntropy's width is no parameter of the estimators.
PLAIN_LOSSES = tuple(
    name
    for name, target, second in zip(_core.LOSSES, _core.LOSS_HAS_TARGET, _core.LOSS_HAS_SECOND, strict=True)
    if target and not second and name != "correntropy"
)

MAX_WIDTH = 2**31 - 1
MAX_LAYERS = 1000  # of an encoder or a decoder


class Spec(TypedDict):
    """A network, by names. Widths are those of the hidden layers."""

    n_features: int
    n_outputs: int
    n_components: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    activation: str
    latent_activation: str
    output_activation: str  # of the last dense layer; "identity" where the loss has a link
    loss: str
    loss_parameter: float
    precision: str
    clean: bool  # the target is a data set of its own


def output_activations(loss: str) -> tuple[str, ...]:
    """Values of ``output_activation`` that a loss allows."""
    link = _core.LOSS_LINKS[_core.LOSSES.index(loss)]
    return ("auto", *_core.ACTIVATIONS) if link == "identity" else ("auto", link)


def describe(
    *,
    n_features: int,
    n_outputs: int | None,
    n_components: int,
    encoder: Sequence[int],
    decoder: Sequence[int] | None,
    activation: str,
    latent_activation: str,
    output_activation: str,
    loss: str,
    loss_parameter: float,
    precision: str,
) -> Spec:
    """A checked description.

    The encoder's hidden widths are mirrored where ``decoder`` is None. ``n_outputs`` is None where the input is its own
    target. A loss with a link (log_loss: logistic, poisson: exp, multinomial: softmax) takes the value before the link.

    Raises
    ------
    ValueError
        Where the output activation does not go with the loss, or a width is out of range.
    """
    allowed = output_activations(loss)
    if output_activation not in allowed:
        raise ValueError(
            f"output_activation={output_activation!r} does not go with loss={loss!r}, which is computed before its "
            f"link; allowed: {', '.join(map(repr, allowed))}"
        )
    widths = (("n_components", (n_components,)), ("hidden_layer_sizes", encoder))
    for name, values in (*widths, ("decoder_hidden_layer_sizes", decoder or ())):
        if len(values) > MAX_LAYERS:
            raise ValueError(f"{name} has {len(values)} layers; at most {MAX_LAYERS} are allowed")
        for width in values:
            if not 1 <= width <= MAX_WIDTH:
                raise ValueError(f"{name} has a layer of {width} units; a layer has 1 to {MAX_WIDTH}")
    has_link = _core.LOSS_LINKS[_core.LOSSES.index(loss)] != "identity"
    return Spec(
        n_features=int(n_features),
        n_outputs=int(n_features if n_outputs is None else n_outputs),
        n_components=int(n_components),
        encoder=tuple(int(width) for width in encoder),
        decoder=tuple(int(width) for width in (reversed(encoder) if decoder is None else decoder)),
        activation=activation,
        latent_activation=latent_activation,
        output_activation="identity" if has_link or output_activation == "auto" else output_activation,
        loss=loss,
        loss_parameter=float(loss_parameter),
        precision=precision,
        clean=n_outputs is not None,
    )


def bits(spec: Spec) -> int:
    return 32 if spec["precision"] == "float32" else 64


def dtype(spec: Spec) -> np.dtype[Any]:
    return np.dtype(spec["precision"])


def shapes(spec: Spec) -> list[tuple[int, int]]:
    """Shapes of the weights, from input to output."""
    widths = [spec["n_features"], *spec["encoder"], spec["n_components"], *spec["decoder"], spec["n_outputs"]]
    return list(pairwise(widths))


def inverse_link(spec: Spec) -> str:
    """Name of the function between the last layer's sum and the reconstruction."""
    link = _core.LOSS_LINKS[_core.LOSSES.index(spec["loss"])]
    return spec["output_activation"] if link == "identity" else link


def is_linear(spec: Spec) -> bool:
    used = [spec["latent_activation"], inverse_link(spec)]
    if spec["encoder"] or spec["decoder"]:
        used.append(spec["activation"])
    return spec["loss"] == "squared_error" and all(name == "identity" for name in used)


def _layers(spec: Spec, dropout: float, target: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, name and fields of each node."""
    yield "input", "x", {"width": spec["n_features"], "source": 0}
    for side, widths in (("encoder", spec["encoder"]), ("decoder", spec["decoder"])):
        for i, width in enumerate(widths):
            yield "dense", f"{side}_{i}", {"width": width, "activation": spec["activation"]}
            if dropout > 0.0:
                yield "dropout", f"{side}_{i}_dropout", {"rate": dropout}
        if side == "encoder":
            yield "dense", "code", {"width": spec["n_components"], "activation": spec["latent_activation"]}
    yield "dense", "reconstruction", {"width": spec["n_outputs"], "activation": spec["output_activation"]}
    if target:
        yield "input", "x_clean", {"width": spec["n_outputs"], "source": 1}


def nodes(spec: Spec, *, dropout: float = 0.0, init: str = "auto", target: bool = False) -> NDArray[np.void]:
    """The graph. ``target``: with a last node that reads the target from source 1."""
    layers = list(_layers(spec, dropout, target))
    out = np.zeros(len(layers), NODE)
    for i, (kind, name, fields) in enumerate(layers):
        row = out[i]
        row["kind"] = _core.LAYERS.index(kind)
        row["name"] = name
        if kind != "input":
            row["n_inputs"] = 1
            row["inputs"][0] = i - 1
        if kind == "dense":
            row["activation"] = _core.ACTIVATIONS.index(fields["activation"])
            row["initializer"] = _core.INITIALIZERS.index(init)
        for field in ("width", "source", "rate"):
            if field in fields:
                row[field] = fields[field]
    return out


def find(graph: NDArray[np.void], name: str) -> int:
    """Position of a node."""
    return [row.decode() for row in graph["name"]].index(name)


def code_node(spec: Spec) -> int:
    """Position of the code in the graph without dropout."""
    return len(spec["encoder"]) + 1


def output_node(spec: Spec) -> int:
    """Position of the reconstruction in the graph without dropout."""
    return code_node(spec) + len(spec["decoder"]) + 1


def losses(spec: Spec, graph: NDArray[np.void]) -> NDArray[np.void]:
    out = np.zeros(1, LOSS)
    out["loss"] = _core.LOSSES.index(spec["loss"])
    out["prediction"] = find(graph, "reconstruction")
    out["target"] = find(graph, "x_clean" if b"x_clean" in graph["name"] else "x")
    out["entry_weight"] = out["second"] = -1
    out["weight"] = 1.0
    out["parameter"] = spec["loss_parameter"]
    return out


def stages(graph: NDArray[np.void], solver: str) -> NDArray[np.void]:
    out = np.zeros(1, STAGE)
    out["last_node"] = len(graph) - 1
    out["n_losses"] = 1
    out["groups"] = 1
    out["rule"] = -1 if solver == "lbfgs" else _core.RULES.index(solver)
    out["rate_factor"] = 1.0
    return out


# Values before the output function start no further than this from zero: beyond, its slope is too small to return.
_FAR = 10.0


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf


def _logit(x: float) -> float:
    return math.log(x) - math.log1p(-x) if 0.0 < x < 1.0 else math.copysign(math.inf, x - 0.5)


def _arctanh(x: float) -> float:
    return math.atanh(x) if -1.0 < x < 1.0 else math.copysign(math.inf, x)


def _inverse_softplus(x: float) -> float:
    return x + math.log(-math.expm1(-x)) if x > 0.0 else -math.inf


# With their ranges. A large mean of exp or softplus is no saturation, so only small ones are cut.
_INVERSES: dict[str, tuple[Callable[[float], float], float, float]] = {
    "logistic": (_logit, -_FAR, _FAR),
    "exp": (_log, -_FAR, math.inf),
    "softmax": (_log, -_FAR, math.inf),
    "tanh": (_arctanh, -_FAR, _FAR),
    "softplus": (_inverse_softplus, -_FAR, math.inf),
}


def start_of_output(spec: Spec, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bias of the last layer with which the reconstruction starts at the means of the target's columns.

    Zero where the output function has no inverse. By the C library's functions: NumPy's give other bits on processors
    with AVX-512.
    """
    name = inverse_link(spec)
    if name == "identity":
        return mean
    if name not in _INVERSES:
        return np.zeros_like(mean)
    values = mean.tolist()
    if name == "softmax":
        total = math.fsum(max(value, 0.0) for value in values)
        values = [value / total if total > 0.0 else 1.0 for value in values]
    inverse, low, high = _INVERSES[name]
    return np.array([min(max(inverse(value), low), high) for value in values])
