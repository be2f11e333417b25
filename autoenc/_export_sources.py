"""What is exported of each estimator: its predictor, whose networks these are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc._export_network import Network, of_spec
from autoenc._marginalized_network import MarginalizedPredictor, _graph
from autoenc._outlier_scores import OutlierPredictor
from autoenc._predictor import Predictor, parameters
from autoenc._scaled_predictor import ScaledPredictor
from autoenc._scaling import Scaling
from autoenc._spec import real_type


def is_imputer(model: Any) -> bool:
    """By a parameter, since its class would be imported with scikit-learn, which predictors do without."""
    return hasattr(model, "add_indicator")


def scaling_of(model: Any) -> tuple[Any, Scaling | None]:
    """A model without the scalers before it, and those."""
    return (model.predictor, model.scaling) if isinstance(model, ScaledPredictor) else (model, None)


def source_of(model: Any) -> Any:
    """The predictor of a fitted estimator, a predictor itself, or an imputer, which has none.

    Raises
    ------
    TypeError
        Where it is none of these.
    sklearn.exceptions.NotFittedError
        Before `fit`.
    """
    if is_imputer(model):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(model)
        return model
    found = model.predictor() if hasattr(model, "predictor") else model
    if not isinstance(found, (Predictor, MarginalizedPredictor, OutlierPredictor)):
        raise TypeError(f"model is {model!r}; allowed are fitted estimators of autoenc and their predictors")
    return found


def dtype_of(source: Any) -> np.dtype[Any]:
    """Of the network."""
    if isinstance(source, MarginalizedPredictor):
        return np.dtype(source._coefs[0].dtype)
    if isinstance(source, OutlierPredictor):
        return np.dtype(source._dtype)
    if is_imputer(source):
        network = source.autoencoder_
        precision = real_type(source.precision) if network is None else network._spec["precision"]
    else:
        precision = source._spec["precision"]
    dtype: np.dtype[Any] = np.dtype(precision)
    return dtype


def network_of(predictor: Predictor) -> Network:
    values = parameters(predictor._spec, predictor._coefs, predictor._intercepts, predictor._others)
    return of_spec(predictor._spec, values)


def layers_of(predictor: MarginalizedPredictor, n: int, activation: str, *, joined: bool) -> tuple[Network, str]:
    """Some of the layers in closed form, and the name of the last node; `joined`: input and outputs side by side."""
    graph = _graph(predictor.n_features_in, len(predictor._intercepts[0]), n, activation, joined)
    nodes = graph.nodes if joined else graph.nodes[: n + 1]
    values: dict[str, NDArray[Any]] = {}
    for i in range(n):
        values[f"layer_{i}.weight"] = predictor._coefs[i]
        values[f"layer_{i}.bias"] = predictor._intercepts[i][np.newaxis]
    return Network(nodes, values, predictor._coefs[0].dtype), nodes[-1]["name"]


def refuse_draws(imputer: Any, into: str) -> None:
    if imputer.autoencoder_ is not None and hasattr(imputer.autoencoder_, "drawn"):
        raise NotImplementedError(
            "an AutoencoderImputer fitted with sample_posterior=True fills by weighted draws, which cannot be written "
            f"as {into}; allowed: sample_posterior=False"
        )


NO_LABEL = np.iinfo(np.int64).min  # where classes are numbers and a row has none; where they are texts: no text


def whole_classes(classes: NDArray[Any]) -> NDArray[np.int64] | None:
    """Classes as whole numbers, also those that a table with gaps has as floating-point numbers; None: they are texts,
    or too large."""
    if classes.dtype.kind not in "biuf":
        return None
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    if not all(float(one).is_integer() and least <= int(one) <= most for one in classes.tolist()):
        return None
    return classes.astype(np.int64)
