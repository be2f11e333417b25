"""Fitted scalers before an estimator, as files of pipelines have them. NumPy and the extension only."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc._archive import Damaged, Reader, Writer, damaged, refuse_more
from autoenc._scaling import FLAGS, SCALERS, Scaling, Step
from autoenc._schemas import (
    BESIDE,
    FEATURES,
    Array,
    Kind,
    Maybe,
    Number,
    Schema,
    Sizes,
    Stored,
    Whole,
    read_schema,
    written,
)
from autoenc._stored_spec import listed

FORMAT = 2  # of files with a pipeline; those of an estimator alone are of format 1
PIPELINE = "pipeline"
MOST = 16  # scalers of a pipeline


class Weighted(Kind):
    """Rows seen, or the sum of their weights: a number, or one for each column, whole or not."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        each = isinstance(raw, dict) and "array" in raw
        value = (Array("iuf", "d") if each else Number()).read(raw, at, reader, sizes)
        _refuse(at, np.atleast_1d(value), lambda n: np.isfinite(n) & (n >= 0), "finite numbers from 0", each=each)
        return value


class Factors(Array):
    """What columns are divided by, or multiplied with: NaN of those without any value."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        array = _floats(super().read(raw, at, reader, sizes), at)
        _refuse(at, array, lambda n: np.isnan(n) | (np.isfinite(n) & (n > 0.0)), f"finite numbers above 0{_OR_NAN}")
        return array


class Shifts(Array):
    """What columns are moved by."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        array = _floats(super().read(raw, at, reader, sizes), at)
        _refuse(at, array, lambda n: ~np.isinf(n), f"finite numbers{_OR_NAN}")
        return array


_OR_NAN = ", and NaN of columns without any value"


def _floats(array: NDArray[Any], at: str) -> NDArray[Any]:
    if array.dtype.itemsize < 4:
        damaged(at, f"is an array of {array.dtype}; allowed are float32 and float64")
    return array


def _refuse(at: str, array: NDArray[Any], allows: Callable[[Any], Any], allowed: str, *, each: bool = True) -> None:
    """Refuses numbers that are not allowed; the message has the first one and, of numbers by column, its column."""
    wrong = ~allows(array)
    if wrong.any():
        column = int(wrong.argmax())
        damaged(at, f"is {array[column].item()!r}{f' in column {column}' if each else ''}; allowed are {allowed}")


_SHIFTS, _FACTORS, _NUMBERS = Shifts("f", "d"), Factors("f", "d"), Array("f", "d")
_SCHEMAS: dict[str, Schema] = {
    "StandardScaler": {
        **FEATURES,
        "n_samples_seen_": Weighted(),
        "mean_": Maybe(_SHIFTS),
        "var_": Maybe(_NUMBERS),
        "scale_": Maybe(_FACTORS),
    },
    "MinMaxScaler": {
        **FEATURES,
        "n_samples_seen_": Whole(low=1),
        "min_": _SHIFTS,
        "scale_": _FACTORS,
        **dict.fromkeys(("data_min_", "data_max_", "data_range_"), _NUMBERS),
    },
    "MaxAbsScaler": {**FEATURES, "n_samples_seen_": Whole(low=1), "max_abs_": _NUMBERS, "scale_": _FACTORS},
    "RobustScaler": {**FEATURES, "center_": Maybe(_SHIFTS), "scale_": Maybe(_FACTORS)},
}
_PARAMETERS = {
    "StandardScaler": {"copy": 0, "with_mean": 0, "with_std": 0},
    "MinMaxScaler": {"copy": 0, "clip": 0, "feature_range": 2},
    "MaxAbsScaler": {"copy": 0, "clip": 0},
    "RobustScaler": {"copy": 0, "with_centering": 0, "with_scaling": 0, "unit_variance": 0, "quantile_range": 2},
}  # those that there are, with the number of their numbers: 0 of flags


def write_state(name: str, attributes: Mapping[str, Any], at: str, writer: Writer) -> dict[str, Any]:
    """What a scaler has learned, as JSON has it.

    Raises
    ------
    ValueError
        Where it has learned something that a file has no place for.
    """
    return written(_SCHEMAS[name], at, attributes, f"{at}.", writer)


def _parameters(name: str, raw: Any, at: str, reader: Reader) -> dict[str, Any]:
    if not isinstance(raw, dict):
        damaged(at, "has parameters that are not an object")
    out: dict[str, Any] = {}
    for key, value in raw.items():
        n = _PARAMETERS[name].get(key)
        if n is None:
            damaged(f"{at}.{key}", f"is no parameter of {name}")
        found = out[key] = reader.decode(value, f"{at}.{key}")
        if n == 0 and not isinstance(found, bool):
            damaged(f"{at}.{key}", f"is {found!r}; allowed: true, false")
        if n and not (
            isinstance(found, (list, tuple))
            and len(found) == n
            and all(isinstance(one, Real) and not isinstance(one, bool) and abs(float(one)) < np.inf for one in found)
            and found[0] < found[1]
        ):
            damaged(f"{at}.{key}", f"is {found!r}; allowed are two numbers, the lower one first")
    return out


def _check_gaps(stored: Stored, at: str) -> None:
    """A column without any value has NaN in all that was learned of it, and no other column has one."""
    arrays = {key: value for key, value in stored.items() if key != "n_samples_seen_" and isinstance(value, np.ndarray)}
    arrays.pop("feature_names_in_", None)
    for key, array in arrays.items():
        for other, values in arrays.items():
            wrong = np.isnan(array) & ~np.isnan(values)
            if wrong.any():
                column = int(wrong.argmax())
                damaged(
                    f"{at}.{key}",
                    f"is nan in column {column}, of which {other} is {values[column].item()!r}; allowed is NaN of "
                    "columns without any value",
                )


class StoredPipeline:
    """What a file says of a pipeline, but for its last step."""

    def __init__(self, names: list[str], before: list[Stored], verbose: bool) -> None:
        self.names, self.before, self.verbose = names, before, verbose

    def scaling(self) -> Scaling:
        return Scaling([Step.of(one.name, one.parameters, one) for one in self.before])


def read(configuration: Mapping[str, Any], reader: Reader) -> StoredPipeline | None:
    """What goes before the estimator of a file; None: nothing does."""
    refuse_more(configuration, ("format", "autoenc", "estimator", PIPELINE), "the configuration")
    raw = configuration.get(PIPELINE)
    if (raw is None) != (configuration["format"] < FORMAT):
        raise Damaged(f"it is of format {configuration['format']} and has {'no' if raw is None else 'a'} pipeline")
    if raw is None:
        return None
    if not isinstance(raw, dict) or set(raw) != {"before", "name", "verbose"} or not isinstance(raw["verbose"], bool):
        damaged(PIPELINE, "does not have before, name and verbose")
    names, before = [], []
    for i, one in enumerate(listed(raw["before"], f"{PIPELINE}.before")):
        at = f"{PIPELINE}.{i}"
        keys = {"name", "class", "parameters", "state"}
        if i >= MOST or not isinstance(one, dict) or not keys <= set(one) <= {*keys, *BESIDE}:
            damaged(at, f"is no scaler with a name, a class, parameters and a state, or one of more than {MOST}")
        kind = one["class"]
        if not isinstance(kind, str) or kind not in SCALERS:
            damaged(at, f"is of the class {kind!r}; allowed are {', '.join(SCALERS)}")
        stored = Stored(kind, read_schema(_SCHEMAS[kind], kind, one["state"], at, reader))
        stored.parameters = _parameters(kind, one["parameters"], at, reader)
        stored.beside = {key: one[key] for key in BESIDE if key in one}
        for flag, key in FLAGS.get(kind, ()):
            if stored.parameters.get(flag, True) and stored[key] is None:
                damaged(f"{at}.{key}", f"is null, and {flag} is true")
        _check_gaps(stored, at)
        before.append(stored)
        names.append(one["name"])
    names.append(raw["name"])
    if not all(isinstance(name, str) and name and "__" not in name for name in names):
        damaged(PIPELINE, f"has steps of the names {names!r}; allowed are texts without __")
    if len(set(names)) != len(names):
        damaged(PIPELINE, "has two steps of one name")
    return StoredPipeline(names, before, raw["verbose"])


def check_width(pipeline: StoredPipeline, estimator: Mapping[str, Any]) -> None:
    """All steps are about the same columns, and the reconstruction is too."""
    d = estimator["n_features_in_"]
    for i, one in enumerate(pipeline.before):
        if one["n_features_in_"] != d:
            damaged(f"{PIPELINE}.{i}", f"is of {one['n_features_in_']} columns; the estimator has {d}")
    if "_spec" in estimator and (estimator["_spec"]["clean"] or estimator["_spec"]["n_outputs"] != d):
        damaged(PIPELINE, "goes before an estimator of pairs, whose reconstructions have units of their own")
