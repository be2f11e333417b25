"""The score of a variational network as C: the evidence lower bound with the draws of the estimator as constants.

What does not depend on the draw is computed once, the rest in a loop over the draws.
"""

from collections.abc import Callable
from typing import Any

from autoenc import _bound
from autoenc import _export_functions as functions
from autoenc._export_bound import drawn, network, noise
from autoenc._export_c import KINDS, Body, _each, evaluate
from autoenc._export_network import compared, no_handler, value
from autoenc._predictor import Predictor
from autoenc._spec import Node, Term


def _sample(f: Body, node: Node, x: list[str]) -> str:
    n = f.widths[node["name"]]
    draws = f.array(noise(node, n, f.source.bits), "draws")
    return _each(f, node, f"({x[0]})[i] + @exp(@within(({x[1]})[i], R(20.0)) * R(0.5)) * {draws}[draw * {n} + i]")


def _mixture(f: Body, node: Node, x: list[str]) -> str:
    roles = ("means", "log_variances", "logits")
    values = [f.net.values[f"{node['name']}.{role}"] for role in roles]
    arrays = ", ".join(f.array(one, role) for one, role in zip(values, roles, strict=True))
    n, k = f.widths[node["inputs"][0]], len(values[0])
    y, share = f.room(1), f.room(k)
    f.add(f"({y})[0] = @mixture_log_ratio({', '.join(x)}, {n}, {k}, {arrays}, {share});")
    f.release(share)
    return y


OF_DRAWS: dict[str, Callable[[Body, Node, list[str]], str]] = {
    **KINDS,
    "gaussian_sample": _sample,
    "repeat": lambda f, node, x: _each(f, node, f"({x[0]})[i]"),
    "constant": lambda f, node, x: _each(f, node, f.source.number(value(node, 0))),
    "mixture_log_ratio": _mixture,
    "gaussian_kl": lambda f, node, x: _each(f, node, f"@divergence(({x[0]})[i], ({x[1]})[i])"),
}


def _own(f: Body, term: Term, at: dict[str, str]) -> str:
    """The expression of a term: the negative log-likelihood of the row, or what stands for it."""
    prediction, n, loss = at[term["prediction"]], f.widths[term["prediction"]], term["loss"]
    if loss == "sum":
        return f"@sum({prediction}, {n})"
    none = "(const @real *)0"
    target, second, entry = (
        none if name is None else at[name] for name in (term["target"], term.get("second"), term.get("entry_weight"))
    )
    if loss in ("log_loss", "categorical"):
        name = "multinomial" if loss == "categorical" else loss
        row = f"@loss_{name}({prediction}, {target}, {entry}, {n}, R(1.0))"
        return f"{row} * {n}.0" if loss == "log_loss" else row
    if loss != "multinomial" and loss not in functions.LIKELIHOODS:
        no_handler("the likelihood", loss, "C", (*functions.LIKELIHOODS, "log_loss", "categorical", "multinomial"))
    return f"@nll_{loss}({prediction}, {second}, {target}, {entry}, {n})"


def _factor(f: Body, term: Term) -> str:
    """Losses that are no likelihoods are means over the features."""
    width = f.widths[term["prediction"]] if term["loss"] in ("sum", "categorical") else 1
    return f.source.number(term["weight"] * width, double=True)


def bound(f: Body, predictor: Predictor, given: Any) -> None:
    """Writes minus the bound into `total`."""
    net, terms = network(predictor)
    f.net, f.widths = net, net.widths()
    deep, targets = drawn(net.nodes), compared(terms)
    nodes = net.needed(targets)
    # Of what is computed once, all that draws or terms read.
    read = {name for node in nodes if node["name"] in deep for name in node["inputs"]} | set(targets)
    once = sorted(read - deep)
    at = evaluate(f, once, given(targets, net=net), OF_DRAWS)
    f.add("double total = 0.0;")
    own = [i for i, term in enumerate(terms) if term["prediction"] in deep]
    f.add(*(f"double sum_{i} = 0.0;" for i in own))
    f.add(f"for (int draw = 0; draw < {_bound.DRAWS}; draw++) {{")
    inside = evaluate(f, [name for name in targets if name in deep], at, OF_DRAWS)
    f.add(*(f"sum_{i} += {_own(f, terms[i], inside)};" for i in own), "}")
    for i, term in enumerate(terms):
        row = f"sum_{i} / {_bound.DRAWS}.0" if i in own else _own(f, term, inside)
        f.add(f"total += {_factor(f, term)} * ({row});")
