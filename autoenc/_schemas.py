"""What fitted estimators know, attribute by attribute, as files have it. NumPy and the extension only.

An attribute that is not listed is neither written nor read. Letters stand for sizes, which must be the same wherever a
letter is: d features, k of the code, o of the reconstruction.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autoenc import _core, _spec, _stored_checks, _stored_spec
from autoenc._archive import Reader, Writer, damaged, is_plain
from autoenc._landmarks import Landmarks
from autoenc._predictors import HEAD, PROBABILITIES
from autoenc._spec import Spec
from autoenc._stored_spec import listed, whole

KEY = "autoenc"  # of the configuration in the header of a model file
FORMAT = 1
LARGEST = 2**62
Sizes = dict[str, Any]  # by letter; "spec": the network


class Kind:
    """One kind of attribute."""

    def __init__(self, *, required: bool = True) -> None:
        self.required = required

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return writer.encode(value, at)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        raise NotImplementedError


class Whole(Kind):
    """A whole number; with a letter that size."""

    def __init__(self, letter: str | None = None, *, low: int = 0, high: int = LARGEST, required: bool = True) -> None:
        super().__init__(required=required)
        self._letter, self._low, self._high = letter, low, high

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        value = reader.decode(raw, at)
        whole(value.item() if isinstance(value, np.integer) else value, self._low, self._high, at)
        if self._letter is not None and sizes.setdefault(self._letter, int(value)) != value:
            damaged(at, f"is {value} where {sizes[self._letter]} is needed")
        return value


class Number(Kind):
    """A number, perhaps infinite or NaN."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        value = reader.decode(raw, at)
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
            damaged(at, f"is {value!r} and not a number")
        return value


class Flag(Kind):
    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        if not isinstance(raw, bool):
            damaged(at, f"is {raw!r}; allowed: true, false")
        return raw


class Choice(Kind):
    """One of some strings."""

    def __init__(self, allowed: Sequence[str], *, required: bool = True) -> None:
        super().__init__(required=required)
        self._allowed = allowed

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        if not isinstance(raw, str) or raw not in self._allowed:
            damaged(at, f"is {raw!r}; allowed: {', '.join(self._allowed)}")
        return raw


class DType(Choice):
    def __init__(self) -> None:
        super().__init__(("float32", "float64"))

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return np.dtype(value).name

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        return np.dtype(super().read(raw, at, reader, sizes))


class Scalar(Kind):
    """What stands for "no label"."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        value = reader.decode(raw, at)
        if not is_plain(value):
            damaged(at, f"is {value!r}; allowed are numbers, strings and null")
        return value


class Numbers(Kind):
    """A list of numbers, such as losses by epoch."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        one = Number()
        return [one.read(entry, f"{at}.{i}", reader, sizes) for i, entry in enumerate(listed(raw, at))]


class Array(Kind):
    """An array of types by the letters of NumPy's kinds, and of a shape: numbers, letters, None for any."""

    def __init__(self, kinds: str, *shape: int | str | None, required: bool = True, frozen: bool = False) -> None:
        super().__init__(required=required)
        self._kinds, self._shape, self._frozen = kinds, shape, frozen

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return writer.array(np.asarray(value), at)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        dtype, shape = reader.shape(raw, at)
        if dtype.kind not in self._kinds:
            damaged(at, f"is an array of {dtype}; allowed kinds: {self._kinds}")
        wanted = [sizes.setdefault(n, found) if isinstance(n, str) else n for n, found in zip(self._shape, shape)]  # noqa: B905
        if len(shape) != len(self._shape) or any(
            n is not None and n != found for n, found in zip(wanted, shape, strict=True)
        ):
            shown = ", ".join("any" if n is None else str(sizes.get(n, n)) for n in self._shape)  # type: ignore[arg-type]
            damaged(at, f"has shape {shape}; needed is ({shown})")
        array = reader.array(raw, at)
        if self._frozen:
            array.flags.writeable = False
        return array


class Below(Array):
    """Positions: whole numbers from 0 up to a size, without it."""

    def __init__(self, limit: str, *shape: int | str | None, rising: bool = False) -> None:
        super().__init__("i", *shape)
        self._limit, self._rising = limit, rising

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        array = super().read(raw, at, reader, sizes)
        limit = sizes.get(self._limit, LARGEST)
        if array.size and not (array.min() >= 0 and array.max() < limit):
            damaged(at, f"has numbers from {array.min()} to {array.max()}; allowed are 0 to {limit - 1}")
        if self._rising and (np.diff(array) <= 0).any():
            damaged(at, "has numbers that do not rise")
        return array


class Labels(Kind):
    """A sorted array of strings or numbers."""

    def __init__(self, letter: str, *, required: bool = True, ordered: bool = True) -> None:
        super().__init__(required=required)
        self._letter, self._ordered = letter, ordered

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return writer.array(np.asarray(value), at)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        if isinstance(raw, dict) and "strings" in raw:
            array = reader.decode(raw, at)
            if array.shape != (sizes.setdefault(self._letter, array.size),):
                damaged(at, f"has shape {array.shape}; needed is ({sizes[self._letter]},)")
        else:
            array = Array("biuf", self._letter).read(raw, at, reader, sizes)
        if self._ordered and not (array[1:] > array[:-1]).all():
            damaged(at, "is not sorted, or has a label twice")
        return array


class Names(Labels):
    """Names of columns."""

    def __init__(self, letter: str) -> None:
        super().__init__(letter, required=False, ordered=False)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        if not isinstance(raw, dict) or "strings" not in raw:
            damaged(at, "is not an array of strings")
        return super().read(raw, at, reader, sizes)


class Maybe(Kind):
    """A kind, or None."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(required=kind.required)
        self._kind = kind

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return None if value is None else self._kind.write(value, at, writer)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        return None if raw is None else self._kind.read(raw, at, reader, sizes)


class Several(Kind):
    """A list of one kind; its length is a size."""

    def __init__(self, kind: Kind, letter: str) -> None:
        super().__init__()
        self._kind, self._letter = kind, letter

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return [self._kind.write(entry, f"{at}.{i}", writer) for i, entry in enumerate(value)]

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        entries = listed(raw, at)
        if sizes.setdefault(self._letter, len(entries)) != len(entries) or not entries:
            damaged(at, f"has {len(entries)} entries; needed are {sizes[self._letter] or 'some'}")
        return [self._kind.read(entry, f"{at}.{i}", reader, sizes) for i, entry in enumerate(entries)]


# ---- networks ----


class Network(Kind):
    """The description of a network. `needs`: nodes that methods ask for."""

    def __init__(self, *needs: str) -> None:
        super().__init__()
        self._needs = needs

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return _stored_spec.write(value, at, writer)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        spec, widths = _stored_spec.read(raw, at, reader)
        fitted, kinds = _spec.positions(_spec.inference_nodes(spec)), _spec.kinds(spec)
        for name in self._needs:
            if name not in fitted:
                damaged(at, f"does without the node {name!r}")
        for name in spec["kept"]:
            if name not in fitted:
                damaged(at, f"does without the node {name!r}, which it keeps")
        sizes.update(
            spec=spec,
            d=spec["n_features"],
            k=spec["n_components"],
            o=spec["n_outputs"],
            bytes=-(-spec["n_components"] // 8),
            head=widths.get(HEAD),
            parameters={name: (kinds[name], rows, columns) for name, rows, columns in spec["parameters"]},
        )
        return spec


class Weights(Kind):
    """The weights of the dense layers, or their biases."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        wanted = [shape for kind, *shape in sizes["parameters"].values() if kind == self._role]
        entries = listed(raw, at)
        if len(entries) != len(wanted):
            damaged(at, f"has {len(entries)} arrays; the network has {len(wanted)}")
        shapes = [shape[1:] if self._role == "bias" else shape for shape in wanted]
        return [
            Array("f", *shape, frozen=True).read(entry, f"{at}.{i}", reader, sizes)
            for i, (entry, shape) in enumerate(zip(entries, shapes, strict=True))
        ]


class Others(Kind):
    """Parameters of other layers, by name."""

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return {name: writer.array(np.asarray(array), f"{at}.{name}") for name, array in value.items()}

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        wanted = {name: shape for name, (kind, *shape) in sizes["parameters"].items() if kind == "other"}
        if not isinstance(raw, dict) or list(raw) != list(wanted):
            damaged(at, f"does not have the arrays {', '.join(wanted) or '(none)'}, in this order")
        return {
            name: Array("f", *shape, frozen=True).read(raw[name], f"{at}.{name}", reader, sizes)
            for name, shape in wanted.items()
        }


class OptimizerState(Kind):
    """What the optimiser knows of each parameter, for partial_fit."""

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        shapes = [shape for _, *shape in sizes["parameters"].values()]
        entries = listed(raw, at)
        if len(entries) % len(shapes) or len(entries) > 3 * len(shapes):
            damaged(at, f"has {len(entries)} arrays for {len(shapes)} parameters")
        return [
            Array("f", *shapes[i % len(shapes)]).read(entry, f"{at}.{i}", reader, sizes)
            for i, entry in enumerate(entries)
        ]


class LandmarkRows(Kind):
    """What rows are compared with."""

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return {name: writer.array(getattr(value, name), f"{at}.{name}") for name in ("rows", "single", "bias")}

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        if not isinstance(raw, dict) or set(raw) != {"rows", "single", "bias"}:
            damaged(at, "does not have the arrays rows, single and bias")
        rows = Array("f", "members", "landmarks", "used").read(raw["rows"], f"{at}.rows", reader, sizes)
        single = Array("b", "members", "landmarks").read(raw["single"], f"{at}.single", reader, sizes)
        bias = Array("f", 1, rows.shape[0] * rows.shape[1]).read(raw["bias"], f"{at}.bias", reader, sizes)
        if rows.dtype not in (np.float32, np.float64) or bias.dtype != rows.dtype or not rows.size:
            damaged(at, f"has rows of {rows.dtype} and shape {rows.shape}, and a bias of {bias.dtype}")
        if not (np.isfinite(rows).all() and np.isfinite(bias).all()):
            damaged(at, "has a number that is not finite")
        return Landmarks.of_arrays(rows, single, bias)


class Nested(Kind):
    """A fitted estimator within another."""

    def __init__(self, *allowed: str) -> None:
        super().__init__()
        self._allowed = allowed

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return writer.estimator(value, at)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        return read_estimator(raw, at, reader, self._allowed)


class Indicator(Kind):
    """The columns that scikit-learn's MissingIndicator marks."""

    def write(self, value: Any, at: str, writer: Writer) -> Any:
        return writer.array(np.asarray(value.features_, dtype=np.int64), at)

    def read(self, raw: Any, at: str, reader: Reader, sizes: Sizes) -> Any:
        columns = Below("d", None, rising=True).read(raw, at, reader, sizes)
        from sklearn.impute import MissingIndicator

        row = np.zeros((1, sizes["d"]))
        row[0, columns] = np.nan
        return MissingIndicator(error_on_new=False).fit(row)


Schema = dict[str, Kind]

FEATURES: Schema = {"n_features_in_": Whole("d", low=1), "feature_names_in_": Names("d")}


def _network(*needs: str) -> Schema:
    return {
        "_spec": Network(*needs),
        **FEATURES,
        "condition_categories_": Labels("conditions", required=False),
        "condition_names_in_": Names("conditions"),
        "coefs_": Weights("weight"),
        "intercepts_": Weights("bias"),
        "other_parameters_": Others(),
        "n_parameters_": Whole(),
        "loss_curve_": Numbers(),
        "validation_loss_curve_": Numbers(required=False),
        "best_loss_": Number(),
        "n_iter_": Whole(),
        "components_": Array("f", None, "o", required=False),
        "explained_variance_ratio_": Array("f", None, required=False),
        "dead_latents_": Array("i", None, required=False),
        "_optimizer_state": OptimizerState(required=False),
        "_solver": Choice((*_core.RULES, *_spec.SOLVERS), required=False),
        "_step": Whole(required=False),
        "_epoch": Whole(required=False),
        "_seed": Whole(required=False),
    }


_VARIATIONAL: Schema = {
    **_network("posterior"),
    "kl_per_component_": Array("f", "k", required=False),
    "active_units_": Whole(required=False),
    "noise_variance_": Number(required=False),
}


def _supervised(*needs: str) -> Schema:
    return {
        **_network(*needs),
        "fine_tune_loss_curve_": Numbers(),
        "fine_tune_validation_loss_curve_": Numbers(required=False),
        "_n_targets": Whole("head", low=1),
    }


SCHEMAS: dict[str, Schema] = {
    **{
        name: _network()
        for name in (
            "Autoencoder",
            "SparseAutoencoder",
            "DenoisingAutoencoder",
            "ContractiveAutoencoder",
            "Imputing",
            "Member",
        )
    },
    "VariationalAutoencoder": _VARIATIONAL,
    "ImputingVariational": _VARIATIONAL,
    "HashingAutoencoder": {**_network(), "hashes_": Array("u", None, "bytes", required=False, frozen=True)},
    "VectorQuantizedAutoencoder": {
        **_network(),
        "code_usage_": Array("f", None, None, required=False),
        "perplexity_": Array("f", None, required=False),
    },
    "AutoencoderClassifier": {
        **_supervised(HEAD, PROBABILITIES),
        "classes_": Labels("head"),
        "_unlabeled": Scalar(),
        "_weights_of_classes": Array("f", "head"),
    },
    "AutoencoderRegressor": {
        **_supervised(HEAD),
        "_flat": Flag(),
        "_y_mean": Array("f", "head"),
        "_y_scale": Array("f", "head"),
    },
    "MarginalizedDenoisingAutoencoder": {
        **FEATURES,
        "pivots_": Below("d", "pivots", rising=True),
        "coefs_": Several(Array("f", None, "pivots", frozen=True), "layers"),
        "intercepts_": Several(Array("f", "pivots", frozen=True), "layers"),
        "n_parameters_": Whole(),
        "_joined": Flag(),
        "_square": Array("f", None, None, required=False),
    },
    "AutoencoderImputer": {
        **FEATURES,
        **{name: Array("f", "d") for name in ("mean_", "scale_", "min_", "max_")},
        "n_iter_": Whole(),
        "indicator_": Maybe(Indicator()),
        "autoencoder_": Maybe(Nested("Imputing", "ImputingVariational")),
    },
    "AutoencoderOutlierDetector": {
        **FEATURES,
        **{name: Array("f", "d") for name in ("mean_", "scale_")},
        "_used": Maybe(Below("d", "used", rising=True)),
        "_dtype": DType(),
        "estimators_": Several(Nested("Member"), "members"),
        "estimators_samples_": Several(Array("i", None), "members"),
        "offset_": Number(),
        **{name: Array("f", "members") for name in ("error_", "median_", "neighbor_median_", "_neighbors")},
        "_landmarks": LandmarkRows(),
        **{name: Number() for name in ("center_median_", "_center", "_weight", "_clip")},
        "training_scores_": Array("f", "rows"),
        "oob_scores_": Array("f", "rows"),
        "_weights": Maybe(Array("f", "rows")),
        "n_iter_": Whole(),
        "_masks": Flag(),
    },
}


def _check_network(state: Mapping[str, Any], at: str) -> None:
    spec: Spec = state["_spec"]
    categories = state.get("condition_categories_")
    for key, what in (("condition_categories_", "labels"), ("condition_names_in_", "names")):
        if key in state and len(state[key]) != spec["n_conditions"]:
            damaged(f"{at}.{key}", f"has {len(state[key])} {what}; needed are {spec['n_conditions']}")
    if categories is not None and "condition_names_in_" in state:
        damaged(f"{at}.condition_names_in_", "is there, and the condition has labels")
    if categories is not None and categories.dtype.kind == "O":
        damaged(f"{at}.condition_categories_", "has strings without a width")
    spec["categories"] = categories
    if not state["loss_curve_"]:
        damaged(f"{at}.loss_curve_", "is empty")
    _stored_checks.check_drawing(spec, f"{at}._spec")
    _stored_checks.check_ranges(spec, _spec.widths((*spec["nodes"], *spec["score_nodes"])), f"{at}._spec")


def _check_quantized(state: Mapping[str, Any], at: str) -> None:
    _check_network(state, at)
    _stored_checks.check_quantizers(state["_spec"], f"{at}._spec")


def _check_marginalized(state: Mapping[str, Any], at: str) -> None:
    d, r, dtype = state["n_features_in_"], len(state["pivots_"]), state["coefs_"][0].dtype
    for i, (weight, bias) in enumerate(zip(state["coefs_"], state["intercepts_"], strict=True)):
        if len(weight) != (r if i else d) or weight.dtype != dtype or bias.dtype != dtype or dtype.itemsize < 4:
            damaged(f"{at}.coefs_.{i}", f"has shape {weight.shape} and type {weight.dtype}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            damaged(f"{at}.coefs_.{i}", "has a weight that is not finite")
    square = state.get("_square")
    if square is not None and (square.shape != (d + 1, d + 1) or square.dtype != np.float64):
        damaged(f"{at}._square", f"has shape {square.shape} and type {square.dtype}")


def _check_imputer(state: Mapping[str, Any], at: str) -> None:
    network, n = state["autoencoder_"], int(np.isfinite(state["mean_"]).sum())
    if (0 if network is None else network["n_features_in_"]) != n:
        damaged(f"{at}.autoencoder_", f"does not have the {n} columns with values")


def _check_detector(state: Mapping[str, Any], at: str) -> None:
    d = state["n_features_in_"] if state["_used"] is None else len(state["_used"])
    for i, member in enumerate(state["estimators_"]):
        if member["n_features_in_"] != d or member["_spec"]["precision"] != state["_dtype"].name:
            damaged(f"{at}.estimators_.{i}", f"is not of {d} features in {state['_dtype']}")
        rows = state["estimators_samples_"][i]
        if rows.size and not (rows.min() >= 0 and rows.max() < len(state["training_scores_"])):
            damaged(f"{at}.estimators_samples_.{i}", "has rows that were not trained on")
    if state["_landmarks"].rows.shape[2] != d or state["_landmarks"].rows.dtype != state["_dtype"]:
        damaged(f"{at}._landmarks", f"has rows of {state['_landmarks'].rows.shape[2]} features; needed are {d}")


CHECKS: dict[str, Callable[[Mapping[str, Any], str], None]] = {
    name: _check_network for name, schema in SCHEMAS.items() if "_spec" in schema
}
CHECKS["VectorQuantizedAutoencoder"] = _check_quantized
CHECKS["MarginalizedDenoisingAutoencoder"] = _check_marginalized
CHECKS["AutoencoderImputer"] = _check_imputer
CHECKS["AutoencoderOutlierDetector"] = _check_detector


def write_state(name: str, attributes: Mapping[str, Any], at: str, writer: Writer) -> dict[str, Any]:
    """What an estimator of some class has learned, as JSON has it.

    Raises
    ------
    ValueError
        Where it has learned something that a file has no place for.
    """
    return written(SCHEMAS[name], name, attributes, f"{at}." if at else "", writer)


def written(schema: Schema, what: str, attributes: Mapping[str, Any], prefix: str, writer: Writer) -> dict[str, Any]:
    """Attributes as a schema has them, JSON of what is no array; arrays go to the writer under prefix and name.

    Raises
    ------
    ValueError
        Where there is one that the schema does not know; `what` has it.
    """
    more = [key for key in attributes if key not in schema]
    if more:
        raise ValueError(
            f"{what} has the attribute {more[0]!r}, for which a model file has no place; delete it before saving"
        )
    return {key: kind.write(attributes[key], prefix + key, writer) for key, kind in schema.items() if key in attributes}


def read_schema(schema: Schema, name: str, raw: Any, at: str, reader: Reader) -> dict[str, Any]:
    """Attributes by name, as the schema of that class has them; nested estimators are what the reader makes of them.

    Raises
    ------
    Damaged
        Where one is missing, is not known, or is not as it must be.
    """
    if not isinstance(raw, dict):
        damaged(at or "state", "is not an object")
    more = set(raw) - set(schema)
    if more:
        damaged(at or "state", f"has {sorted(more)!r}, which {name} does not have")
    sizes: Sizes = {}
    prefix = f"{at}." if at else ""
    state: dict[str, Any] = {}
    for key, kind in schema.items():
        if key in raw:
            state[key] = kind.read(raw[key], prefix + key, reader, sizes)
        elif kind.required:
            damaged(prefix + key, "is missing")
    return state


class Stored(dict[str, Any]):
    """What a file says of an estimator: its attributes, and beside them its class and parameters."""

    def __init__(self, name: str, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.name = name
        self.parameters: dict[str, Any] = {}
        self.beside: dict[str, Any] = {}


BESIDE = ("output", "requests")  # of set_output and set_fit_request


def read_estimator(raw: Any, at: str, reader: Reader, allowed: Sequence[str]) -> Stored:
    """An estimator of one of some classes, with attributes as `SCHEMAS` has them.

    Parameters are read where the reader knows objects, and passed over where it does not.
    """
    where = at or "the estimator"
    if not isinstance(raw, dict) or not {"class", "parameters", "state"} <= set(raw) <= {
        *("class", "parameters", "state"),
        *BESIDE,
    }:
        damaged(where, "does not have a class, parameters and a state")
    name = raw["class"]
    if not isinstance(name, str) or name not in allowed:
        damaged(where, f"is of the class {name!r}; allowed are {', '.join(allowed)}")
    if not isinstance(raw["parameters"], dict):
        damaged(where, "has parameters that are not an object")
    prefix = f"{at}." if at else ""
    stored = Stored(name, read_schema(SCHEMAS[name], name, raw["state"], at, reader))
    if name in CHECKS:
        CHECKS[name](stored, where)
    if reader.knows_objects:
        stored.parameters = {k: reader.decode(v, f"{prefix}parameters.{k}") for k, v in raw["parameters"].items()}
        stored.beside = {k: raw[k] for k in BESIDE if k in raw}
    else:
        reader.skip(raw["parameters"])
    return stored
