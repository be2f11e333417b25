"""What a variational autoencoder minimises, as nodes and terms of its graph: all of it in nats."""

from collections.abc import Callable
from typing import Any

from autoenc import _columns
from autoenc._spec import Graph, Part, Stage, Term

DISCRIMINATOR = (128, 128)  # its hidden layers
POSTERIOR = ("mean", "log_variance")


def is_closed(model: Any) -> bool:
    """Whether the divergence is trained in closed form: with one draw the two bounds are the same but for its noise."""
    joins = model.objective == "iwae" and model.n_importance_samples > 1
    return model.prior == "normal" and model.objective in ("elbo", "iwae") and not joins


def likelihood_parts(model: Any, graph: Graph, width: int) -> list[Part]:
    """The likelihoods, by columns."""
    found = _columns.parts(graph.ranges, model.likelihood, width)
    if model.noise_variance != "learned":
        return found
    return [part._replace(loss="gaussian") if part.loss == "squared_error" else part for part in found]


def shared_log_variance(width: int) -> str:
    """Name of the node that has the one log-variance in each of some columns."""
    return f"shared_log_variance_{width}"


def add_shared_log_variance(model: Any, graph: Graph, width: int) -> str:
    """One trained number for all entries of `width` columns: the bias of a layer that sees nothing."""
    k, name = int(model.n_importance_samples), shared_log_variance(width)
    if name in graph.widths:
        return name
    if "noise" not in graph.widths:
        nothing = graph.add("constant", "nothing", width=1, multiplicity=k)
        graph.add("dense", "noise", nothing, width=1, activation="identity", initializer=model.init)
    ones = graph.add("constant", f"ones_{width}", width=width, multiplicity=k, value=(1.0,))
    return graph.add("multiply", name, ones, "noise")


def add_likelihood(model: Any, graph: Graph, output: str, target: str, entry_weight: str | None) -> None:
    """The terms of rows given their codes. The core takes the mean over the features of each, hence the weights. With a
    shared variance the score has squared errors, which need none."""
    found = likelihood_parts(model, graph, graph.widths[output])
    normal = [part.loss == "squared_error" for part in found]
    weights = [float(len(part.columns)) for part in found]
    first, shares = len(graph.objective), model.noise_variance == "shared"
    if not shares:
        weights = [w * 0.5 / float(model.noise_variance) if n else w for w, n in zip(weights, normal, strict=True)]
    _columns.add_terms(graph, output, target, entry_weight, found, weights, {})
    for i, part in enumerate(found):
        if shares and normal[i]:
            noise = add_shared_log_variance(model, graph, len(part.columns))
            graph.objective[first + i] = Term(**{**graph.objective[first + i], "loss": "gaussian", "second": noise})


def add_divergence(model: Any, graph: Graph) -> None:
    """What the objective has beside the likelihood, and how a step goes. What beta weighs is the node "divergence"."""
    OBJECTIVES[model.objective](model, graph)
    if not graph.stages:
        graph.stages = [_stage(graph, 0, groups=1, combine=int(model.objective == "iwae"))]


def _stage(graph: Graph, first_term: int, groups: int, combine: int = 0) -> Stage:
    """What has been added so far, from a term on."""
    terms = (first_term, len(graph.objective) - first_term)
    return Stage(last=graph.nodes[-1]["name"], terms=terms, groups=groups, rate_factor=1.0, combine=combine)


def _bound(model: Any, graph: Graph) -> None:
    """Kingma and Welling (2014); of several draws Burda et al. (2016)."""
    if is_closed(model):
        kl = graph.add("gaussian_kl", "divergence", *POSTERIOR)
        if model.free_bits > 0.0:
            kl = graph.add("free_bits", "divergence_above", kl, value=(float(model.free_bits),))
        graph.term("sum", kl, weight=model.beta * graph.widths[kl])
        return
    inputs, size = ("z", *POSTERIOR), (int(model.n_prior_components),)
    if model.prior == "normal":
        ratio = graph.add("gaussian_log_ratio", "divergence", *inputs, width=1)
    elif model.prior == "mixture":
        ratio = graph.add("mixture_log_ratio", "divergence", *inputs, width=1, size=size)
    else:
        pseudo = graph.add("pseudo_inputs", "pseudo", width=graph.widths[graph.encoded], size=size)
        own = graph.add("concatenate", "code", *POSTERIOR, width=2 * graph.widths["mean"])
        theirs = graph.copy(graph.encoded, own, pseudo, "pseudo_")
        ratio = graph.add("vamp_log_ratio", "divergence", *inputs, theirs, width=1, size=size)
    graph.term("sum", ratio, weight=model.beta)


def _total_correlation(model: Any, graph: Graph) -> None:
    """Chen et al. (2018). The number of rows is set where it is known."""
    parts = graph.add("total_correlation", "parts", "z", *POSTERIOR, width=3, value=(1.0,))
    for i, name in enumerate(("information", "divergence", "columns")):
        part = graph.add("slice", name, parts, width=1, size=(i,))
        graph.term("sum", part, weight=model.beta if name == "divergence" else 1.0)


def _mmd(model: Any, graph: Graph) -> None:
    """Tolstikhin et al. (2018), with codes that are drawn."""
    graph.term("sum", graph.add("mmd", "divergence", "z", width=1), weight=model.beta)


def _discriminator(model: Any, graph: Graph) -> None:
    """Kim and Mnih (2018): a discriminator's logit is the total correlation; a second stage trains it."""
    kl = graph.add("gaussian_kl", "kl", *POSTERIOR)
    graph.term("sum", kl, weight=float(graph.widths[kl]))
    node = "z"
    for i, width in enumerate((*DISCRIMINATOR, 1)):
        name = "divergence" if width == 1 else f"discriminator_{i}"
        activation = "identity" if width == 1 else "leaky_relu"
        fields = {"width": width, "activation": activation, "initializer": model.init, "group": 1}
        node = graph.add("dense", name, node, **fields)
    graph.term("sum", node, weight=model.beta)
    network, n_terms = _stage(graph, 0, groups=1), len(graph.objective)
    joint = graph.copy("z", node, "z", "joint_")
    apart = graph.copy("z", node, graph.add("permute_columns", "permuted", "z"), "apart_")
    for logit, label in ((joint, 1.0), (apart, 0.0)):
        target = graph.add("constant", f"{logit}_label", width=1, value=(label,))
        graph.term("log_loss", logit, target, weight=0.5)
    graph.stages = [network, _stage(graph, n_terms, groups=2)]


OBJECTIVES: dict[str, Callable[[Any, Graph], None]] = {
    "elbo": _bound,
    "iwae": _bound,
    "beta_tc": _total_correlation,
    "mmd": _mmd,
    "factor": _discriminator,
}
