"""What methods take from a network by name, beside what the core checks: refused where a file does without it."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _bound, _columns
from autoenc._archive import damaged
from autoenc._predictor import parameters
from autoenc._predictors import codebooks
from autoenc._spec import Spec

PRIORS = ("normal", "mixture", "vamp")
QUANTIZERS = ("product", "residual")
VARIANCES = ("shared", "learned")


def _setting(spec: Spec, key: str, allowed: tuple[str, ...], at: str) -> str:
    value = spec["settings"].get(key)
    if not isinstance(value, str) or value not in allowed:
        damaged(f"{at}.settings.{key}", f"is {value!r}; allowed: {', '.join(allowed)}")
    return value


def check_drawing(spec: Spec, at: str) -> None:
    """Settings from which the network that draws codes is made."""
    if not _bound.is_variational(spec):
        return
    variance = spec["settings"].get("noise_variance")
    is_number = isinstance(variance, Real) and not isinstance(variance, bool) and 0.0 < float(variance) < np.inf
    if not is_number and not (isinstance(variance, str) and variance in VARIANCES):
        damaged(f"{at}.settings.noise_variance", f"is {variance!r}; allowed: positive numbers, {', '.join(VARIANCES)}")
    if not is_number and variance != "shared" and any(term["loss"] == "squared_error" for term in spec["scores"]):
        damaged(f"{at}.settings.noise_variance", f"is {variance!r}, and there is a squared error, which needs another")
    prior = _setting(spec, "prior", PRIORS, at)
    if prior == "normal":
        return
    n, shapes = spec["settings"].get("n_prior_components"), {name: shape for name, *shape in spec["parameters"]}
    roles = {"means": spec["n_components"], "log_variances": spec["n_components"]}
    for role, columns in roles.items():
        if isinstance(n, bool) or shapes.get(f"divergence.{role}") != [n, columns]:
            damaged(f"{at}.settings.n_prior_components", f"is {n!r}, which is not how many divergence.{role} there are")
    if prior == "mixture" and shapes.get("divergence.logits") != [1, n]:
        damaged(f"{at}.settings.prior", f"is 'mixture', which has 1 x {n} divergence.logits")


def check_ranges(spec: Spec, widths: Mapping[str, int], at: str) -> None:
    """Losses by columns are those of the scores, part by part."""
    ranges = spec.get("ranges")
    if ranges is None:
        return
    columns = sorted(column for one in ranges for column in one["columns"])
    if columns != list(range(spec["n_outputs"])) or not all(one["columns"] for one in ranges):
        damaged(f"{at}.ranges", f"do not have each of the {spec['n_outputs']} columns once")
    found = [len(part.columns) for part in _columns.parts(ranges, "", spec["n_outputs"])]
    compared = [widths[term["prediction"]] for term in spec["scores"]]
    if found != compared:
        damaged(f"{at}.ranges", f"make parts of {found} columns, and the scores compare {compared}")


def check_quantizers(spec: Spec, at: str) -> None:
    """A vector-quantised network says which vectors it has, and which node has their numbers."""
    _setting(spec, "quantizer", QUANTIZERS, at)
    if not spec["kept"]:
        damaged(f"{at}.kept", "is empty; needed is the node of the numbers of codes")


def rehearse(
    name: str,
    spec: Spec,
    coefs: Sequence[NDArray[Any]],
    intercepts: Sequence[NDArray[Any]],
    others: Mapping[str, NDArray[Any]],
) -> None:
    """Builds what is else built at the first row that asks for it, for estimators of the class of that name.

    Raises
    ------
    Exception
        Of any kind, where a network is not what it must be.
    """
    if _bound.is_variational(spec):
        next(_bound.predictors(spec, parameters(spec, coefs, intercepts, others), 1, 1, closed=True))
    elif "Variational" in name:
        raise ValueError("it draws no codes, as a variational network does")
    if name == "VectorQuantizedAutoencoder":
        codebooks(spec, others)
