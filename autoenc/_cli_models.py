"""The commands of ``python -m autoenc`` that ask a model: tables from tables, what it holds, other formats of it."""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _tables, io
from autoenc._cli_shared import (
    CommandError,
    Progress,
    UsageError,
    conditions,
    header_of,
    names_of,
    open_table,
    placed,
    printable,
)
from autoenc._condition import listed
from autoenc._tables import ArgumentError, Block, Sink, Table

FORMATS = {"onnx": "to_onnx", "c": "to_c"}  # methods of estimators that write other files
PREDICTING = ("AutoencoderClassifier", "AutoencoderRegressor", "AutoencoderOutlierDetector")


def _features(stored: dict[str, Any], table: Table, chosen: argparse.Namespace, progress: Progress) -> list[str]:
    """Columns that the model takes: by name where it knows names and the table has some, else all that are left."""
    names = names_of(stored)
    out = set()
    for name in chosen.ignore:
        try:
            out.add(table.column(name))
        except ArgumentError:  # the table of the fit had it; without it there is nothing to leave out
            progress.say(f"{table.path} has no column {name!r} to ignore", now=True)
    if chosen.condition is not None and table.column(chosen.condition) in out:
        raise UsageError(f"--ignore leaves out the column of --condition {chosen.condition}")
    if table.named and names:
        for name in names:
            if name not in table.names:
                raise CommandError(
                    f"{table.path}: there is no column {name!r}, which {chosen.model} was trained on; there are "
                    f"{table.shown()}"
                )
            if name in out:
                raise UsageError(f"--ignore leaves out the column {name!r}, which {chosen.model} was trained on")
        return list(names)
    if chosen.condition is not None:
        out.add(table.column(chosen.condition))
    return [name for name in table.names if name not in out]


def _answers(
    chosen: argparse.Namespace,
    stored: dict[str, Any],
    call: Callable[[Any, Any, dict[str, Any]], Any],
    progress: Progress,
) -> Iterator[tuple[int, Any, Block]]:
    """Of each block of rows: number of the first, what the model says, the block."""
    name = stored["class"]
    spec, known = (stored["state"].get(key) for key in ("_spec", "condition_categories_"))
    if not (spec and spec.get("n_conditions")):
        if chosen.condition is not None:
            raise UsageError(f"--condition {chosen.condition}: {chosen.model} ({name}) was trained without one")
    elif chosen.condition is None:
        raise UsageError(f"{chosen.model} was trained with a condition: --condition must name its column")
    model: Any
    if name == "AutoencoderImputer":
        if stored["piped"]:
            raise UsageError(f"{chosen.model} is an AutoencoderImputer in a pipeline, which autoenc.load reads")
        model = io.load(chosen.model)
        if chosen.n_jobs is not None:
            model.set_params(n_jobs=chosen.n_jobs)
    else:
        model = io.load_predictor(chosen.model, n_jobs=chosen.n_jobs)
    if chosen.condition is not None and known is None and spec["n_conditions"] > 1:
        raise UsageError(
            f"{chosen.model} was trained with {spec['n_conditions']} columns of condition; --condition is one"
        )
    table = open_table(chosen, names_of(stored))
    columns = _features(stored, table, chosen, progress)
    n = model.n_features_in_ if name == "AutoencoderImputer" else model.n_features_in
    if len(columns) != n:
        what = f"it has {len(columns)} columns for {chosen.model}, which was trained on {n}"
        raise CommandError(f"{table.path}: {what}; there are {table.shown()} (--ignore leaves a column out)")
    others = [] if chosen.condition is None else [table.column(chosen.condition)]
    first = 0
    for block in table.blocks(columns, others):
        if not len(block.numbers):
            continue
        given = {}
        if others:
            given["condition"] = conditions(table, others[0], block.others[others[0]], known, first)
        try:
            yield first, call(model, np.ascontiguousarray(block.numbers), given), block
        except (ValueError, TypeError) as error:
            raise placed(table, first, error, columns) from error
        first += len(block.numbers)
        progress.say(f"{first} {'rows' if table.n_rows is None else f'of {table.n_rows} rows'}")
    if not first:
        raise CommandError(f"{table.path}: there are no rows")


def _write(chosen: argparse.Namespace, blocks: Iterator[Any], names: Sequence[str] | None) -> int:
    """Rows to a file or to standard output; how many."""
    n = 0
    if chosen.output is not None:
        with Sink(chosen.output, names) as sink:
            for rows in blocks:
                sink.write(rows)
                n += len(rows) if isinstance(rows, np.ndarray) else len(rows[0][1])
        return n
    if chosen.json:
        raise UsageError("--json says on standard output what was done; say by --output where the rows go")
    for first, rows in enumerate(blocks):
        parts = _tables.by_name(rows, names)
        sys.stdout.write(_tables.csv_rows(parts, header=not first))
        n += len(parts[0][1])
    return n


def _done(chosen: argparse.Namespace, progress: Progress, n: int) -> dict[str, Any]:
    progress.say(f"{n} rows", now=True)
    return {"model": chosen.model, "output": chosen.output, "rows": n, "seconds": progress.seconds}


def _written(
    chosen: argparse.Namespace,
    stored: dict[str, Any],
    call: Callable[[Any, Any, dict[str, Any]], Any],
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Rows of what a model answers, in a file."""
    progress = Progress(chosen.quiet)
    answers = (answer for _, answer, _ in _answers(chosen, stored, call, progress))
    return _done(chosen, progress, _write(chosen, answers, names))


def _predicted(
    chosen: argparse.Namespace, stored: dict[str, Any], method: str, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Those of a method."""

    def call(model: Any, X: NDArray[Any], given: dict[str, Any]) -> Any:
        function = getattr(model, method, None)
        if function is None:
            raise UsageError(f"{chosen.model} is of {stored['class']}, which has no {method}")
        return np.atleast_2d(function(X, **given))

    return _written(chosen, stored, call, names)


def encode(chosen: argparse.Namespace) -> dict[str, Any]:
    stored = header_of(chosen.model)
    if chosen.indices and stored["class"] != "VectorQuantizedAutoencoder":
        raise UsageError(f"--indices is for VectorQuantizedAutoencoder; {chosen.model} is of {stored['class']}")
    return _predicted(chosen, stored, "encode_indices" if chosen.indices else "transform")


def reconstruct(chosen: argparse.Namespace) -> dict[str, Any]:
    stored = header_of(chosen.model)
    known = names_of(stored)
    fills = stored["class"] == "AutoencoderImputer"
    if known and (fills or stored["class"] == "MarginalizedDenoisingAutoencoder"):
        # Not all columns need come back, and behind them may stand marks of what was missing.
        whole: Any = io.load(chosen.model)
        model = whole[-1] if stored["piped"] else whole
        known = list(model.get_feature_names_out(known) if fills else np.array(known, dtype=object)[model.pivots_])
    elif stored["state"].get("_spec", {}).get("n_outputs", len(known)) != len(known):
        known = []
    return _predicted(chosen, stored, "transform" if fills else "reconstruct", known or None)


def score(chosen: argparse.Namespace) -> dict[str, Any]:
    progress = Progress(chosen.quiet)
    stored = header_of(chosen.model)
    detects = stored["class"] == "AutoencoderOutlierDetector"
    if chosen.only_outliers and not detects:
        raise UsageError(f"--only-outliers is for AutoencoderOutlierDetector; {chosen.model} is of {stored['class']}")
    n_outliers = n_rows = 0
    names: list[str] = []

    def call(model: Any, X: NDArray[Any], given: dict[str, Any]) -> Any:
        if not hasattr(model, "score_samples"):
            raise UsageError(f"{chosen.model} is of {stored['class']}, which has no scores")
        if not detects:
            return model.score_samples(X, **given), None, None
        contributions = model.feature_contributions(X)
        scores = model.score_samples(X)
        return scores, scores < model.offset, contributions.argmax(axis=1)

    def blocks() -> Iterator[list[tuple[str, NDArray[Any]]]]:
        nonlocal n_outliers, n_rows
        for first, (scores, outlier, feature), _ in _answers(chosen, stored, call, progress):
            n_rows += len(scores)
            kept = np.ones(len(scores), dtype=bool)
            if chosen.below is not None:
                kept &= scores < chosen.below
            columns = [("row", first + np.arange(len(scores))), ("score", scores)]
            if outlier is not None:
                n_outliers += int(outlier.sum())
                if chosen.only_outliers:
                    kept &= outlier
                shown = np.array([names[i] if names else str(i) for i in feature], dtype=object)
                columns += [("outlier", outlier.astype(np.int64)), ("feature", shown)]
            yield [(name, part[kept]) for name, part in columns]

    names = names_of(stored)
    if detects and chosen.output is not None and chosen.output.lower().endswith(".npy"):
        raise UsageError(
            "--output: an .npy file has numbers alone, and there are names of features; use .csv or .parquet"
        )
    n = _write(chosen, blocks(), None)
    done = {**_done(chosen, progress, n), "rows": n_rows, "written": n}
    return {**done, "outliers": n_outliers} if detects else done


def predict(chosen: argparse.Namespace) -> dict[str, Any]:
    stored = header_of(chosen.model)
    name = stored["class"]
    if name not in PREDICTING:
        raise UsageError(f"{chosen.model} is of {name}, which predicts nothing; needed is {', '.join(PREDICTING)}")
    if chosen.probabilities and name != "AutoencoderClassifier":
        raise UsageError(f"--probabilities is for AutoencoderClassifier; {chosen.model} is of {name}")

    def call(model: Any, X: NDArray[Any], given: dict[str, Any]) -> list[tuple[str, NDArray[Any]]]:
        said = np.asarray(model.predict(X, **given))
        if name == "AutoencoderRegressor":
            return [
                ("prediction" + (str(i) if said.ndim > 1 else ""), part) for i, part in enumerate(np.atleast_2d(said.T))
            ]
        if said.dtype.kind not in "biuf" and is_array:
            raise UsageError("--output: an .npy file has numbers alone, and the labels are texts; use .csv or .parquet")
        columns = [("label", said if said.dtype.kind in "biuf" else said.astype(object))]
        if chosen.probabilities:
            shares = model.predict_proba(X, **given)
            columns += [(f"probability of {label}", part) for label, part in zip(model.classes, shares.T, strict=True)]
        return columns

    is_array = chosen.output is not None and chosen.output.lower().endswith(".npy")
    return _written(chosen, stored, call)


def _scaling(before: Any) -> list[dict[str, Any]]:
    """What scalers do, for people and programs."""
    found = []
    for scaler in before:
        learned = {key: value for key, value in vars(scaler).items() if key in ("mean_", "center_", "scale_", "min_")}
        numbers = {
            key: [one if math.isfinite(one) else None for one in value.tolist()]  # JSON has no NaN
            for key, value in learned.items()
            if value is not None
        }
        found.append({"scaler": repr(scaler), **numbers})
    return found


def info(chosen: argparse.Namespace) -> dict[str, Any]:
    stored = header_of(chosen.model)
    whole: Any = io.load(chosen.model)  # all of it is checked
    model = whole[-1] if stored["piped"] else whole
    before = [step for _, step in whole.steps[:-1]] if stored["piped"] else []
    spec = getattr(model, "_spec", None)
    weights = getattr(model, "n_parameters_", None)
    known, classes = (getattr(model, name, None) for name in ("condition_categories_", "classes_"))
    n = (spec or {}).get("n_conditions")
    done = {
        "model": chosen.model,
        "bytes": Path(chosen.model).stat().st_size,
        "format": stored["file"]["format"],
        "autoenc": stored["file"].get("autoenc"),
        "estimator": stored["class"],
        "repr": repr(model),
        "features": int(model.n_features_in_),
        "feature_names": list(map(str, names_of(stored))) or None,
        "scaling": _scaling(before) or None,
        "components": None if spec is None else spec["n_components"],
        "outputs": None if spec is None else spec["n_outputs"],
        "condition": {"columns": n, "labels": None if known is None else known.tolist()} if n else None,
        "classes": None if classes is None else classes.tolist(),
        "precision": model.precision,
        "parameters": None if weights is None else int(weights),
        "layers": None
        if spec is None
        else [{"name": name, "shape": [rows, columns]} for name, rows, columns in spec["parameters"]],
        "epochs": None if not hasattr(model, "n_iter_") else int(model.n_iter_),
    }
    if not chosen.json:
        for key in ("model", "bytes", "format", "autoenc", "repr", "features", "components", "outputs", "precision"):
            if done[key] is not None:
                print(f"{key:12} {printable(str(done[key]))}")
        if n:
            what = f"{n} column{'s' * (n > 1)} of numbers" if known is None else listed(known)
            print(f"{'condition':12} {printable(what)}")
        if classes is not None:
            print(f"{'classes':12} {printable(listed(classes))}")
        for scaler in before:
            print(f"{'scaling':12} {printable(repr(scaler))}")
        if weights is not None:
            print(f"{'parameters':12} {weights}")
        for layer in done["layers"] or ():
            print(f"{'':12} {printable(layer['name']):32} {' x '.join(map(str, layer['shape']))}")
        if done["feature_names"]:
            print(f"{'names':12} {printable(', '.join(done['feature_names']))}")
    return done


def export(chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.prefix is not None and chosen.format != "c":
        raise UsageError(f"--prefix {chosen.prefix} goes with --format c; ONNX has no names of functions")
    if chosen.part is not None and chosen.format != "onnx":
        raise UsageError(f"--part {chosen.part} goes with --format onnx; a C file has a function for each part")
    # Rows of a pipeline in their own units, which its predictor knows.
    model: Any = (io.load_predictor if header_of(chosen.model)["piped"] else io.load)(chosen.model)
    write = getattr(model, FORMATS[chosen.format], None)
    if write is None:
        raise UsageError(f"{type(model).__name__} has no {FORMATS[chosen.format]} in this release of autoenc")
    given = {"part": chosen.part, "prefix": chosen.prefix}
    more = {name: value for name, value in given.items() if value is not None}
    try:
        write(chosen.output, **more)
    except ValueError as error:
        if not more:
            raise
        raise UsageError(str(error)) from error  # the model is whole: the part or the prefix is not allowed
    return {"model": chosen.model, "output": chosen.output, "format": chosen.format}
