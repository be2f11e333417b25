"""Estimators to files and back. The classes that a file may name are listed here; none is imported by its name."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import sklearn
from sklearn.utils._metadata_requests import SIMPLE_METHODS
from sklearn.utils.validation import check_is_fitted

from autoenc import __version__, _archive, _cache, _schemas, _spec, _stored_scalers
from autoenc._archive import Damaged, Reader, Writer, damaged
from autoenc._scaling import FLAGS, SCALERS
from autoenc._schemas import FORMAT, KEY, Stored
from autoenc._stored_checks import rehearse
from autoenc._stored_scalers import PIPELINE, StoredPipeline
from autoenc._whole_file import check_path

WHAT = "a model of autoenc"
INNER = ("Imputing", "ImputingVariational", "Member")  # only within others
# What scikit-learn keeps of callbacks, in a fit too, where they may save the estimator as it would be after an epoch.
WATCHING = ("_skl_callbacks", "_skl_callbacks_to_teardown", "_callback_fit_ctx", "_parent_callback_ctx")
OUTER = tuple(name for name in _schemas.SCHEMAS if name not in INNER)


@cache
def classes() -> dict[str, Any]:
    """Estimators, by the name that files have."""
    import autoenc
    from autoenc import _imputer, _outlier_members, _posterior

    found = (getattr(autoenc, name) for name in OUTER)
    inner = (_imputer.Imputing, _posterior.ImputingVariational, _outlier_members.Member)
    return {cls.__name__: cls for cls in (*found, *inner)}


@cache
def parts() -> dict[str, Any]:
    """Objects that are parameters, by the name that files have.

    Of callbacks the one that does nothing but look: no file is to say where another one writes.
    """
    from autoenc import callbacks, contraction, corruption, layers, losses, penalties, sparsity

    modules = (contraction, corruption, layers, losses, penalties, sparsity)
    return {"callbacks.EarlyStopping": callbacks.EarlyStopping} | {
        f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
        for module in modules
        for name in module.__all__
    }


def part(value: Any) -> tuple[str, Mapping[str, Any]] | None:
    """The name that files have for an object, and its parameters; None where it has none."""
    names = [name for name, cls in parts().items() if type(value) is cls]
    return (names[0], {key: getattr(value, key) for key in _parameter_names(type(value))}) if names else None


def _parameter_names(cls: Any) -> Any:
    return cls._get_param_names() if hasattr(cls, "_get_param_names") else cls.__init__.__kwdefaults__


def _make_part(name: str, parameters: dict[str, Any], at: str) -> Any:
    cls: Any = parts().get(name)
    if cls is None:
        damaged(at, f"is an object {name!r}, which this release does not know")
    return _made(cls, parameters, at)


def _made(cls: Any, parameters: Mapping[str, Any], at: str) -> Any:
    more = set(parameters) - set(_parameter_names(cls))
    if more:
        release = f" of scikit-learn {sklearn.__version__}" if cls.__module__.startswith("sklearn.") else ""
        damaged(at, f"has the parameters {sorted(more)!r}, which {cls.__name__}{release} does not have")
    return cls(**parameters)


def _made_valid(cls: Any, parameters: Mapping[str, Any], at: str) -> Any:
    made = _made(cls, parameters, at)
    try:
        made._validate_params()
    except ValueError as error:
        raise Damaged(str(error)) from error
    return made


# ---- writing ----


def _attributes(estimator: Any, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an estimator has learned, and what `set_output` and its kin have said; not what `set_callbacks` has."""
    attributes = {k: value for k, value in vars(estimator).items() if k not in parameters and k not in WATCHING}
    beside = {}
    output = attributes.pop("_sklearn_output_config", None)
    if output is not None:
        beside["output"] = dict(output)
    requests = attributes.pop("_metadata_request", None)
    if requests is not None:
        beside["requests"] = {method: asked for method, asked in requests._serialize().items() if asked}
    return attributes, beside


def _encode(value: Any, name: str, at: str, writer: Writer) -> Any:
    """A parameter as JSON has it."""
    try:
        return writer.encode(value, at)
    except ValueError as error:
        if name != "callbacks":
            raise
        raise ValueError(f"{error}, of callbacks EarlyStopping alone; set_params(callbacks=None) before save") from None


def _write(estimator: Any, at: str, writer: Writer) -> dict[str, Any]:
    name = type(estimator).__name__
    if classes().get(name) is not type(estimator):
        raise ValueError(
            f"{name} is not a class of autoenc; allowed are {', '.join(OUTER)}. Pickle keeps objects of other classes"
        )
    check_is_fitted(estimator)
    estimator._validate_params()
    parameters = estimator.get_params(deep=False)
    attributes, beside = _attributes(estimator, parameters)
    prefix = f"{at}." if at else ""
    return {
        "class": name,
        "parameters": {key: _encode(value, key, f"{prefix}{key}", writer) for key, value in parameters.items()},
        "state": _schemas.write_state(name, attributes, at, writer),
        **beside,
    }


def _scalers() -> dict[str, Any]:
    """Those that may go before an estimator in a file."""
    from sklearn import preprocessing

    return {name: getattr(preprocessing, name) for name in SCALERS}


def _write_pipeline(pipeline: Any, writer: Writer) -> dict[str, Any]:
    """What a file says of a pipeline but its last step."""
    for name in ("memory", "transform_input"):
        value = getattr(pipeline, name, None)
        if value is not None:
            raise ValueError(f"{name} of the pipeline is {value!r}; a model file holds pipelines with {name}=None")
    if len(pipeline.steps) > _stored_scalers.MOST + 1:
        raise ValueError(
            f"the pipeline has {len(pipeline.steps) - 1} steps before the last; a model file holds up to "
            f"{_stored_scalers.MOST}"
        )
    before = []
    for i, (name, scaler) in enumerate(pipeline.steps[:-1]):
        kind = type(scaler).__name__
        if _scalers().get(kind) is not type(scaler):
            raise ValueError(
                f"step {name!r} of the pipeline is {scaler!r}; before an estimator of autoenc a model file holds "
                f"{', '.join(SCALERS)}. skops and pickle keep others (docs/files.md)"
            )
        check_is_fitted(scaler)
        parameters = scaler.get_params(deep=False)
        usual = type(scaler)().get_params(deep=False)
        attributes, beside = _attributes(scaler, parameters)
        at = f"{PIPELINE}.{i}"
        for flag, key in FLAGS.get(kind, ()):
            if parameters[flag] and attributes[key] is None:
                raise ValueError(
                    f"step {name!r} of the pipeline has {flag}=True, and was fitted with False: {key} is None; "
                    f"set {flag}=False, or fit again"
                )
        before.append(
            {
                "name": name,
                "class": kind,
                "parameters": {k: writer.encode(v, f"{at}.{k}") for k, v in parameters.items() if v != usual[k]},
                "state": _stored_scalers.write_state(kind, attributes, at, writer),
                **beside,
            }
        )
    return {"before": before, "name": pipeline.steps[-1][0], "verbose": bool(pipeline.verbose)}


def save(model: Any, path: Any) -> None:
    """Writes a fitted estimator, or a pipeline of scalers and one, to a file; see `autoenc.io`."""
    from sklearn.pipeline import Pipeline

    check_path(path)
    writer = Writer(part, _write)
    if type(model) is not Pipeline:
        _write_checked(path, {"format": FORMAT, "autoenc": __version__, "estimator": _write(model, "", writer)}, writer)
        return
    name, last = model.steps[-1]
    if classes().get(type(last).__name__) is not type(last):
        raise ValueError(
            f"the last step of the pipeline, {name!r}, is {last!r}, which is no estimator of autoenc; a model file "
            f"holds scalers and behind them one of {', '.join(OUTER)}. skops and pickle keep others (docs/files.md)"
        )
    before = _write_pipeline(model, writer)
    spec = getattr(last, "_spec", None)
    if spec is not None and (spec["clean"] or spec["n_outputs"] != spec["n_features"]):
        raise ValueError(
            f"step {name!r} of the pipeline was fitted to pairs, X_clean, whose units the scalers before "
            "it do not know; allowed: saving that step alone"
        )
    configuration = {
        "format": _stored_scalers.FORMAT,
        "autoenc": __version__,
        PIPELINE: before,
        "estimator": _write(last, "", writer),
    }
    _write_checked(path, configuration, writer)


def _write_checked(path: Any, configuration: Mapping[str, Any], writer: Writer) -> None:
    """Writes what `load` reads: attributes may have been changed since the fit, and what is refused there is here."""
    with _archive.named(check_path(path), WHAT, written=False):
        text = _archive.parse(_archive.dumped(configuration))
        _read(text, Reader(_archive.Unwritten(writer), list(writer.tensors), _make_part))
    _archive.write(path, KEY, configuration, writer.tensors)


# ---- reading ----


def _requests(estimator: Any, raw: Any, at: str) -> None:
    """What `set_fit_request` and its kin had set."""
    with sklearn.config_context(enable_metadata_routing=True):
        for method, asked in raw.items() if isinstance(raw, dict) else ():
            ask = getattr(estimator, f"set_{method}_request", None) if method in SIMPLE_METHODS else None
            aliases = asked.values() if isinstance(asked, dict) else (0,)
            if ask is None or not all(alias is None or isinstance(alias, (bool, str)) for alias in aliases):
                damaged(at, f"has the requests {asked!r} of {method!r}, which cannot be")
            ask(**asked)


def _say_beside(estimator: Any, stored: Stored, at: str) -> None:
    output = stored.beside.get("output")
    if output is not None:
        if output not in ({}, *({"transform": one} for one in ("default", "pandas", "polars"))):
            damaged(at, f"has the output {output!r}")
        estimator._sklearn_output_config = output
    if "requests" in stored.beside:
        _requests(estimator, stored.beside["requests"], at)


def _build(stored: Stored, at: str) -> Any:
    estimator = _made_valid(classes()[stored.name], stored.parameters, at)
    for key, value in stored.items():
        if isinstance(value, Stored):
            stored[key] = _build(value, f"{at}.{key}")
        elif isinstance(value, list) and value and isinstance(value[0], Stored):
            stored[key] = [_build(one, f"{at}.{key}.{i}") for i, one in enumerate(value)]
    estimator.__dict__.update(stored)
    _say_beside(estimator, stored, at)
    if "_spec" in stored:
        _check_core(estimator)
    elif stored.name == "MarginalizedDenoisingAutoencoder":
        _core_of(estimator._core, len(estimator.coefs_), "tanh", joined=estimator._joined)
    return estimator


def _core_of(build: Any, *arguments: Any, **keywords: Any) -> None:
    """Has the core check a network, so that what is wrong shows here and not at the first row."""
    try:
        build(*arguments, **keywords)
    except (ValueError, OverflowError, RuntimeError) as error:
        raise Damaged(f"the network cannot be built: {error}") from error


def _check_core(estimator: Any) -> None:
    learned = estimator._spec, estimator.coefs_, estimator.intercepts_, estimator.other_parameters_
    _core_of(_cache.network, estimator, *learned)
    _core_of(rehearse, type(estimator).__name__, *learned)
    for array in estimator.__dict__.get("_optimizer_state", ()):
        if array.dtype != _spec.dtype(estimator._spec):
            raise Damaged(f"_optimizer_state has an array of {array.dtype}")


def _build_pipeline(pipeline: StoredPipeline, estimator: Any) -> Any:
    from sklearn.pipeline import Pipeline

    steps = []
    for i, stored in enumerate(pipeline.before):
        at = f"{PIPELINE}.{i}"
        scaler = _made_valid(_scalers()[stored.name], stored.parameters, at)
        scaler.__dict__.update(stored)
        _say_beside(scaler, stored, at)
        steps.append(scaler)
    return Pipeline(list(zip(pipeline.names, [*steps, estimator], strict=True)), verbose=pipeline.verbose)


def _read(configuration: Mapping[str, Any], reader: Reader) -> Any:
    pipeline = _stored_scalers.read(configuration, reader)
    stored = _schemas.read_estimator(configuration.get("estimator"), "", reader, OUTER)
    reader.finish()
    if pipeline is None:
        return _build(stored, "estimator")
    _stored_scalers.check_width(pipeline, stored)
    return _build_pipeline(pipeline, _build(stored, "estimator"))


def load(path: Any) -> Any:
    """The estimator of a file, or the pipeline; see `autoenc.io`."""
    with _archive.opened(path, KEY, WHAT) as (file, names, configuration):
        _archive.check_format(configuration, _stored_scalers.FORMAT, "a model")
        return _read(configuration, Reader(file, names, _make_part))
