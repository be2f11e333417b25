"""Scores of variational networks as ONNX operators: the evidence lower bound, with the estimator's draws as constants.

Draws are an axis between rows and features, for which the other operators broadcast.
"""

import math
from collections.abc import Callable

import numpy as np

from autoenc import _bound
from autoenc._export_bound import drawn, network, noise
from autoenc._export_network import Network, no_handler, value
from autoenc._latent import LARGEST_LOG_NOISE, LARGEST_LOG_VARIANCE
from autoenc._onnx_nodes import KINDS, Builder, _log_loss, _multinomial, _softplus
from autoenc._spec import Node, Term

__all__ = ["OF_DRAWS", "bound", "network"]

LOG_2_PI = math.log(2.0 * math.pi)
# Stirling's series: 1/(12 y) - 1/(360 y^3) + ... (Abramowitz and Stegun 1972, 6.1.41), as in csrc/math/gamma.h.
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
SHIFT = 8  # from where on it is used


def _bounded(b: Builder, x: str, limit: float) -> str:
    return b.op("Max", b.op("Min", x, b.constant(limit)), b.constant(-limit))


def _sample(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    width = net.widths()[node["inputs"][0]]
    draws = noise(node, width, 8 * net.dtype.itemsize)[np.newaxis]
    mean, log_variance = (b.op("Unsqueeze", x, b.index(1)) for x in inputs)
    deviation = b.op("Exp", b.mul(_bounded(b, log_variance, LARGEST_LOG_VARIANCE), b.constant(0.5)))
    return b.add(mean, b.mul(deviation, b.constant(draws, "draws")))


def _repeat(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    return b.op("Expand", b.op("Unsqueeze", inputs[0], b.index(1)), b.index(1, node["fields"]["multiplicity"], 1))


def _constant(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    shape = (1, node["fields"].get("multiplicity", 1), node["fields"]["width"])
    return b.constant(np.full(shape, value(node, 0)))


def _divergence(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    """(m^2 + e^v - 1 - v) / 2; beyond the bounds of v as its tangent."""
    d = b.doubles()
    m, v = (d.cast(x, np.float64) for x in inputs)
    inside = _bounded(d, v, LARGEST_LOG_VARIANCE)
    grown, half = d.sub(d.op("Exp", inside), d.constant(1.0)), d.constant(0.5)
    beyond = d.mul(d.sub(v, inside), d.mul(half, grown))
    return d.add(beyond, d.mul(half, d.add(d.mul(m, m), d.sub(grown, inside))))


def _mixture(b: Builder, net: Network, node: Node, inputs: list[str]) -> str:
    """log q(z|x) - log p(z) with p a mixture; the constants of the densities cancel."""
    d, half = b.doubles(), b.doubles().constant(-0.5)
    z, m, v = (d.cast(x, np.float64) for x in inputs)
    m, v = (d.op("Unsqueeze", x, d.index(1)) for x in (m, v))
    precision, off = d.op("Exp", d.op("Neg", _bounded(d, v, LARGEST_LOG_VARIANCE))), d.sub(z, m)
    linear = d.op("Min", v, d.constant(LARGEST_LOG_VARIANCE))
    posterior = d.mul(half, d.sum(d.add(d.mul(d.mul(off, off), precision), linear)))
    means, spread, logits = (net.values[f"{node['name']}.{role}"] for role in ("means", "log_variances", "logits"))
    spread = np.clip(spread.astype(np.float64), -LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
    weights = logits[0].astype(np.float64) - logits.max()
    normalizer = weights - np.log(np.exp(weights).sum()) - 0.5 * spread.sum(axis=1)
    apart = d.sub(d.op("Unsqueeze", z, d.index(2)), d.constant(means.astype(np.float64)))
    square = d.mul(d.mul(apart, apart), d.constant(np.exp(-spread)))
    logs = d.add(d.mul(half, d.sum(square, keep=False)), d.constant(normalizer))  # rows, draws, components
    # log-sum-exp: any one of them less its log-softmax.
    first = d.op("Slice", d.sub(logs, d.op("LogSoftmax", logs, axis=-1)), d.index(0), d.index(1), d.index(-1))
    return d.sub(posterior, first)


OF_DRAWS: dict[str, Callable[[Builder, Network, Node, list[str]], str]] = {
    **KINDS,
    "gaussian_sample": _sample,
    "repeat": _repeat,
    "constant": _constant,
    "gaussian_kl": _divergence,
    "mixture_log_ratio": _mixture,
}

# ---- negative log-likelihoods in nats, summed over the features: (builder, prediction, target, second) -> value ----


def _lgamma(d: Builder, x: str) -> str:
    """For x > 0, without a branch: at x + 8, less the logarithm of x (x + 1) ... (x + 7), in two products."""
    y, product = d.add(x, d.constant(float(SHIFT))), x
    for i in range(1, SHIFT):
        product = d.mul(product, d.add(x, d.constant(float(i)))) if i != SHIFT // 2 else product
    left_out = d.add(x, d.constant(float(SHIFT // 2)))
    inverse = d.op("Div", d.constant(1.0), y)
    square, rest = d.mul(inverse, inverse), d.constant(STIRLING[-1])
    for c in STIRLING[-2::-1]:
        rest = d.add(d.mul(rest, square), d.constant(c))
    base = d.mul(d.sub(y, d.constant(0.5)), d.sub(d.op("Log", y), d.constant(1.0)))
    value = d.add(d.add(base, d.constant(0.5 * LOG_2_PI - 0.5)), d.mul(inverse, rest))
    return d.sub(value, d.add(d.op("Log", product), d.op("Log", left_out)))


def _gaussian(d: Builder, mean: str, target: str, second: str) -> str:
    v, off = _bounded(d, second, LARGEST_LOG_NOISE), d.sub(mean, target)
    distance = d.mul(d.mul(off, off), d.op("Exp", d.op("Neg", v)))
    return d.mul(d.constant(0.5), d.add(d.add(v, distance), d.constant(LOG_2_PI)))


def _poisson(d: Builder, log_rate: str, target: str, second: str) -> str:
    known = _lgamma(d, d.add(target, d.constant(1.0)))
    return d.add(d.sub(d.op("Exp", log_rate), d.mul(target, log_rate)), known)


def _counts(d: Builder, logits: str, target: str, second: str) -> str:
    """The coefficient of the whole row is taken off of each feature by its share, one over their number."""
    one = d.constant(1.0)
    whole = _lgamma(d, d.add(d.sum(target), one))
    ones = d.add(d.mul(target, d.constant(0.0)), one)
    share = d.op("Div", whole, d.sum(ones))
    return d.sub(d.add(_multinomial(d, logits, target, 1.0), _lgamma(d, d.add(target, one))), share)


def _negative_binomial(d: Builder, log_mean: str, target: str, second: str) -> str:
    s = _bounded(d, second, 10.0)
    q, u = d.op("Exp", s), d.sub(log_mean, s)
    rise = d.sub(_lgamma(d, d.add(q, target)), _lgamma(d, q))
    odds = d.add(d.mul(q, _softplus(d, u)), d.mul(target, _softplus(d, d.op("Neg", u))))
    return d.add(d.sub(_lgamma(d, d.add(target, d.constant(1.0))), rise), odds)


LIKELIHOODS: dict[str, Callable[[Builder, str, str, str], str]] = {
    "gaussian": _gaussian,
    "log_loss": lambda d, p, t, second: _log_loss(d, p, t, 1.0),
    "poisson": _poisson,
    "multinomial": _counts,
    "categorical": lambda d, p, t, second: _multinomial(d, p, t, 1.0),
    "negative_binomial": _negative_binomial,
}


def bound(b: Builder, net: Network, terms: list[Term], at: dict[str, str]) -> str:
    """Minus the bound of each row: divergence and negative log-likelihood, means over the draws."""
    d, deep, total = b.doubles(), drawn(net.nodes), ""

    def of(name: str, like: str) -> str:
        x = b.cast(at[name], np.float64)
        return d.op("Unsqueeze", x, d.index(1)) if like in deep and name not in deep else x

    for term in terms:
        prediction = term["prediction"]
        if term["loss"] == "sum":
            own = of(prediction, prediction)
        elif term["loss"] not in LIKELIHOODS or term["target"] is None:
            no_handler("the likelihood", term["loss"], "ONNX", LIKELIHOODS)
        else:
            second, weight = term.get("second"), term.get("entry_weight")
            more = "" if second is None else of(second, prediction)
            own = LIKELIHOODS[term["loss"]](d, of(prediction, prediction), of(term["target"], prediction), more)
            if weight is not None:
                factor = of(weight, prediction)
                own = d.where(d.op("Equal", factor, d.constant(0.0)), d.constant(0.0), d.mul(factor, own))
        row = d.sum(own, keep=False)
        if prediction in deep:
            row = d.mul(d.sum(row, keep=False), d.constant(1.0 / _bound.DRAWS))
        row = d.mul(row, d.constant(term["weight"]))
        total = d.add(total, row) if total else row
    return total
