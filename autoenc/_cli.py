"""The commands of ``python -m autoenc`` but the demonstration: models from tables, and tables from models."""

import argparse
import inspect
import json
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import _archive, _cli_rows, _schemas, _stored_scalers, _tables, io
from autoenc._checks import check_finite
from autoenc._tables import Block, Sink, Table, TableError
from autoenc._whole_file import check_writable

FORMATS = {"onnx": "to_onnx", "c": "to_c"}  # methods of estimators that write other files
SCALING = ("AutoencoderOutlierDetector", "AutoencoderImputer")  # scale columns by themselves
PREDICTING = ("AutoencoderClassifier", "AutoencoderRegressor", "AutoencoderOutlierDetector")
ADVICE = ", for instance by StandardScaler in a pipeline."  # at the end of a warning, for those who write Python
SECONDS = 1.0  # between two lines of progress


class CommandError(Exception):
    """Something that the user can mend; the message says how."""


class UsageError(CommandError):
    """Arguments that are not allowed."""


class Progress:
    """Lines on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._start = self._last = time.perf_counter()

    def say(self, text: str, *, now: bool = False) -> None:
        clock = time.perf_counter()
        if not self._quiet and (now or clock - self._last >= SECONDS):
            print(f"autoenc: {text} ({clock - self._start:.1f} s)", file=sys.stderr, flush=True)
            self._last = clock

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)


def _separator(text: str) -> str:
    text = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(text) != 1 or not text.isascii() or text.isalnum() or text in '."\r\n+-':
        raise argparse.ArgumentTypeError(f"{text!r} given; one character such as ; or | is needed, or tab")
    return text


def _bound(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text!r} given; a number is needed")
    return value


def add_commands(commands: Any) -> None:
    """Puts the commands into the parser."""

    def command(name: str, text: str, run: Callable[[argparse.Namespace], dict[str, Any]], **more: Any) -> Any:
        parser = commands.add_parser(
            name, help=text, description=more.pop("description", text[0].upper() + text[1:] + ".")
        )
        parser.set_defaults(run=run)
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output: what was done")
        parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
        return parser

    def table(parser: Any, *, model: bool) -> None:
        if model:
            parser.add_argument("model", metavar="MODEL", help="a file that train, or estimator.save, has written")
        parser.add_argument("data", metavar="DATA", help="rows: a .csv, .parquet, .npy or .npz file")
        parser.add_argument("--array", metavar="NAME", help="which array of an .npz file (default: X, or the only one)")
        parser.add_argument(
            "--separator",
            type=_separator,
            metavar="C",
            help="between the fields of CSV: a character, or tab (default: a comma)",
        )
        parser.add_argument(
            "--ignore", action="append", default=[], metavar="COLUMN", help="leave a column out; may be repeated"
        )
        parser.add_argument(
            "--condition", metavar="COLUMN", help="a column of labels that network and decoder get beside the row"
        )
        parser.add_argument("--n-jobs", type=int, metavar="N", help="threads (default: as many as there are)")

    parser = command(
        "train",
        "fit an estimator to a table and save it",
        train,
        description="Fits an estimator to a table and saves it. Every column must be of numbers, but those left out. "
        "Columns are taken as they are, unless --scale says how to scale them first (AutoencoderOutlierDetector and "
        "AutoencoderImputer scale them by themselves). An .npy file is mapped into memory. Rows of other files beyond "
        "a gibibyte, and scaled rows of a mapped one, lie in a nameless file in the folder of MODEL meanwhile.",
    )
    table(parser, model=False)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write")
    parser.add_argument(
        "--estimator", default="Autoencoder", metavar="CLASS", help="a class of autoenc (default: Autoencoder)"
    )
    parser.add_argument(
        "--scale",
        choices=["none", *_cli_rows.SCALERS],
        default="none",
        help="scale columns first, to mean 0 and deviation 1, or to 0 to 1. The model keeps how: the other commands, "
        "and exported models, take and give rows in their own units (default: %(default)s)",
    )
    parser.add_argument("--n-components", type=int, metavar="N", help="width of the code")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter, such as hidden_layer_sizes=(64,32) or corruption=Masking(0.3); may be repeated",
    )
    parser.add_argument("--label", metavar="COLUMN", help="y of AutoencoderClassifier and AutoencoderRegressor")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random_state (default: 0)")
    parser.add_argument("--checkpoint", metavar="FILE", help="write the state of the fit there every few epochs")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, where there is one")

    for name, text, run in (
        ("encode", "codes of rows", encode),
        (
            "reconstruct",
            "rows after a round trip through the code; with AutoencoderImputer, rows with gaps filled",
            reconstruct,
        ),
        ("score", "scores of rows, higher for ordinary ones, and which are outliers", score),
        (
            "predict",
            "labels or numbers of AutoencoderClassifier and AutoencoderRegressor, 1 or -1 of detectors",
            predict,
        ),
    ):
        parser = command(name, text, run)
        table(parser, model=True)
        parser.add_argument(
            "-o", "--output", metavar="FILE", help="a .csv, .parquet or .npy file (default: CSV on standard output)"
        )
        if name == "encode":
            parser.add_argument(
                "--indices", action="store_true", help="numbers of codes, of VectorQuantizedAutoencoder"
            )
        if name == "predict":
            parser.add_argument(
                "--probabilities", action="store_true", help="also one column for each class, of AutoencoderClassifier"
            )
        if name == "score":
            parser.add_argument("--below", type=_bound, metavar="SCORE", help="only rows with lower scores")
            parser.add_argument(
                "--only-outliers", action="store_true", help="only those, of AutoencoderOutlierDetector"
            )

    parser = command("info", "what a model file holds", info)
    parser.add_argument("model", metavar="MODEL")

    parser = command("export", "a model in another format", export)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    parser.add_argument("--format", choices=sorted(FORMATS), required=True)
    parser.add_argument(
        "--part",
        metavar="PART",
        help="of ONNX. Autoencoders: encoder (the default), decoder, reconstruction, score, of HashingAutoencoder also "
        "hash, of VectorQuantizedAutoencoder also indices, of MarginalizedDenoisingAutoencoder no decoder. "
        "AutoencoderClassifier, AutoencoderRegressor: prediction (the default) and the same four. "
        "AutoencoderOutlierDetector: score (the default), decision, prediction. AutoencoderImputer: reconstruction",
    )
    parser.add_argument("--prefix", metavar="NAME", help="of C: what its functions begin with (default: model)")


# ---- tables and models ----


def _shown(text: str) -> str:
    """For a terminal: what is no character to see goes by its number, since a file may have it to do harm."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _open(chosen: argparse.Namespace) -> Table:
    suffix = Path(chosen.data).suffix.lower()
    if chosen.array is not None and suffix != ".npz":
        raise UsageError(f"--array {chosen.array} goes with an .npz file, and {chosen.data} is none")
    if chosen.separator is not None and suffix != ".csv":
        raise UsageError(f"--separator {chosen.separator!r} goes with a .csv file, and {chosen.data} is none")
    return _tables.open_table(chosen.data, array=chosen.array, separator=chosen.separator or ",")


def _configuration(path: str) -> dict[str, Any]:
    """What the header of a model says, of which the class and the names are used here."""
    with _archive.opened(path, _schemas.KEY, "a model of autoenc") as (_, _, configuration):
        _archive.check_format(configuration, _stored_scalers.FORMAT, "a model")
        found = configuration["estimator"]
        if not isinstance(found["class"], str) or not isinstance(found["state"], dict):
            raise _archive.Damaged("it has no class and no state")
        pipeline = configuration.get(_stored_scalers.PIPELINE)
        before = [] if pipeline is None else pipeline["before"]
        named = before[0] if before else found  # names of columns are where rows come in
        return {**found, "names": named["state"].get("feature_names_in_", {}), "piped": pipeline is not None}


def _names(stored: dict[str, Any]) -> list[str]:
    """Of the columns that a model was trained on, where it knows them."""
    names = stored["names"].get("strings") if isinstance(stored["names"], dict) else None
    return list(names or [])


def _features(stored: dict[str, Any], table: Table, chosen: argparse.Namespace) -> list[str]:
    """Columns that the model takes: by name where it knows names and the table has some, else all that are left."""
    names = _names(stored)
    if table.named and names:
        missing = [name for name in names if name not in table.names]
        if missing:
            raise CommandError(f"{table.path}: there is no column {missing[0]!r}, which {chosen.model} was trained on")
        return list(names)
    out = {table.column(name) for name in chosen.ignore}
    if chosen.condition is not None:
        out.add(table.column(chosen.condition))
    return [name for name in table.names if name not in out]


def _labels(texts: Sequence[str], known: Any = None) -> NDArray[Any]:
    """Whole numbers where all are, and int64 holds them, or where the known labels are; else strings."""
    whole = all(re.fullmatch(r"[+-]?\d{1,18}(\.0)?", text) for text in texts)
    if whole if known is None else not isinstance(known, dict) or "strings" not in known:
        try:
            return np.array([int(text.removesuffix(".0")) for text in texts], dtype=np.int64)
        except (ValueError, OverflowError):
            raise CommandError(
                "the condition has labels that are no whole numbers, and those of the fit were"
            ) from None
    return np.array(texts, dtype=object)


def _placed(table: Table, first: int, error: Exception) -> CommandError:
    """An error of an estimator, with the line of the file for the row that it names."""
    text = str(error)
    found = re.search(r"\brow (\d+)", text)
    return CommandError(f"{text} ({table.path}, {table.where(first + int(found[1]))})" if found else text)


def _answers(
    chosen: argparse.Namespace,
    stored: dict[str, Any],
    call: Callable[[Any, Any, dict[str, Any]], Any],
    progress: Progress,
) -> Iterator[tuple[int, Any, Block]]:
    """Of each block of rows: number of the first, what the model says, the block."""
    name = stored["class"]
    if chosen.condition is not None and "_spec" not in stored["state"]:
        raise CommandError(f"--condition {chosen.condition}: {chosen.model} is of {name}, which takes none")
    model: Any
    if name == "AutoencoderImputer":
        if stored["piped"]:
            raise CommandError(f"{chosen.model} is an AutoencoderImputer in a pipeline, which autoenc.load reads")
        model = io.load(chosen.model)
        if chosen.n_jobs is not None:
            model.set_params(n_jobs=chosen.n_jobs)
    else:
        model = io.load_predictor(chosen.model, n_jobs=chosen.n_jobs)
    table = _open(chosen)
    columns = _features(stored, table, chosen)
    others = [] if chosen.condition is None else [table.column(chosen.condition)]
    first = 0
    for block in table.blocks(columns, others):
        if not len(block.numbers):
            continue
        given = {}
        if others:
            given["condition"] = _labels(block.others[others[0]], stored["state"].get("condition_categories_"))
        try:
            yield first, call(model, np.ascontiguousarray(block.numbers), given), block
        except (ValueError, TypeError) as error:
            raise _placed(table, first, error) from error
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
    for rows in blocks:
        parts = rows
        if isinstance(rows, np.ndarray):
            parts = list(zip(names or [f"c{i}" for i in range(rows.shape[1])], rows.T, strict=True))
        if not n:
            print(",".join(_tables._quoted(name) for name, _ in parts))
        sys.stdout.write(_tables.csv_rows([part for _, part in parts]))
        n += len(parts[0][1])
    return n


# ---- the commands ----


def _parameters(chosen: argparse.Namespace, cls: Any) -> dict[str, Any]:
    from autoenc import _cli_values

    known = cls._get_param_names()
    out: dict[str, Any] = {}
    for name, value in (
        ("random_state", chosen.seed),
        ("n_components", chosen.n_components),
        ("n_jobs", chosen.n_jobs),
    ):
        if value is not None and (name in known or name == "n_components"):
            out[name] = value
    for text in chosen.param:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--param {text}: needed is NAME=VALUE")
        try:
            out[name.strip()] = _cli_values.parse(value)
        except ValueError as error:
            raise UsageError(f"--param {text}: {error}") from error
    for name in out:
        if name not in known:
            raise UsageError(f"{cls.__name__} has no parameter {name!r}; there are {', '.join(known)}")
    return out


def _check_parameters(model: Any) -> None:
    """Refuses parameters that no table would suit, before one is read."""
    try:
        model._validate_params()
        values = list(model.get_params(deep=False).values())
        while values:
            value = values.pop()
            if isinstance(value, (list, tuple)):
                values += value
            elif hasattr(value, "validate"):  # a part, with parameters of its own
                value.validate()
        for check in ("_check_options", "_hidden_layers"):
            if hasattr(model, check):
                getattr(model, check)()
        _check_threads(getattr(model, "n_jobs", None))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _check_threads(n_jobs: Any) -> None:
    if n_jobs is not None:
        from autoenc._threads import n_threads  # takes joblib

        try:
            n_threads(n_jobs)
        except ValueError as error:
            raise UsageError(str(error)) from error


def _whole(table: Table, columns: Sequence[str], others: Sequence[str], progress: Progress, folder: Path) -> Block:
    """All rows. An array in a file stays where it is."""
    if isinstance(table, _tables.ArrayTable) and table.n_rows and list(columns) == table.names and not others:
        return Block(table.array, {})
    texts = {name: list[str]() for name in others}
    with _cli_rows.Gathered(folder) as rows:
        for block in table.blocks(columns, others):
            rows.add(block.numbers)
            for name, text in block.others.items():
                texts[name] += text
            progress.say(f"{rows.n} rows read")
        if not rows.n:
            raise CommandError(f"{table.path}: there are no rows")
        return Block(rows.array(), texts)


def _scaled(
    chosen: argparse.Namespace, model: Any, table: Table, columns: Sequence[str], X: NDArray[Any], folder: Path
) -> tuple[Any, NDArray[Any]]:
    """The scaler that --scale asks for, and scaled rows."""
    try:
        if X.dtype in (np.float32, np.float64):  # by row and column, which the scaler's own check does not name
            allowed = model.missing == "mask" if hasattr(model, "missing") else None
            check_finite(X, "float64", "X", allow_nan=allowed)
        return _cli_rows.scaled(chosen.scale, X, list(columns) if table.named else None, folder)
    except OverflowError as error:
        raise CommandError(f"{table.path}: {error}") from error
    except (ValueError, TypeError) as error:
        raise _placed(table, 0, error) from error


def _callback(progress: Progress) -> Callable[[Any], None]:
    from autoenc._training import FINE_TUNE

    def say(state: Any) -> None:
        validation = "" if state.validation_loss is None else f", validation loss {state.validation_loss:.6g}"
        last = state.epoch == state.n_epochs
        training = "fine-tuning, " if state.training == FINE_TUNE else ""
        progress.say(f"{training}epoch {state.epoch} of {state.n_epochs}, loss {state.loss:.6g}{validation}", now=last)

    return say


def train(chosen: argparse.Namespace) -> dict[str, Any]:
    from autoenc import _stored_estimators

    progress = Progress(chosen.quiet)
    if chosen.estimator not in _stored_estimators.OUTER:
        raise UsageError(f"--estimator {chosen.estimator}: allowed are {', '.join(_stored_estimators.OUTER)}")
    cls = _stored_estimators.classes()[chosen.estimator]
    supervised = chosen.estimator in ("AutoencoderClassifier", "AutoencoderRegressor")
    if supervised and chosen.label is None:
        raise UsageError(f"{chosen.estimator} needs --label, the column of y")
    _archive.check_installed()
    folder = Path(chosen.output).absolute().parent
    if not folder.is_dir():
        raise CommandError(f"--output {chosen.output}: there is no folder {folder}")
    if chosen.scale != "none" and chosen.estimator in SCALING:
        raise UsageError(f"--scale {chosen.scale}: {chosen.estimator} scales columns by itself; allowed: none")
    check_writable(chosen.output)
    model = cls(**_parameters(chosen, cls))
    _check_parameters(model)
    for option in ("condition", "checkpoint"):
        if getattr(chosen, option) is not None and option not in inspect.signature(cls.fit).parameters:
            raise UsageError(f"--{option}: {chosen.estimator} takes none")
    table = _open(chosen)
    taken = [table.column(name) for name in (chosen.label, chosen.condition) if name is not None]
    out = {*taken, *(table.column(name) for name in chosen.ignore)}
    columns = [name for name in table.names if name not in out]
    if not columns:
        raise CommandError(f"{table.path}: no column is left")
    rows = _whole(table, columns, taken, progress, folder)
    X, given = rows.numbers, {}
    if chosen.condition is not None:
        given["condition"] = _labels(rows.others[table.column(chosen.condition)])
    if supervised:
        texts = rows.others[table.column(chosen.label)]
        try:
            y = _labels(texts) if chosen.estimator == "AutoencoderClassifier" else np.array(texts, dtype=np.float64)
        except ValueError:
            raise CommandError(f"{table.path}: column {chosen.label!r} is not of numbers") from None
        given["y"] = y
    if chosen.checkpoint is not None:
        given.update(checkpoint=chosen.checkpoint, resume=chosen.resume)
    elif chosen.resume:
        raise UsageError("--resume needs --checkpoint")
    progress.say(f"{X.shape[0]} rows of {X.shape[1]} columns; training {chosen.estimator}", now=True)
    scaler = None
    if chosen.scale != "none":
        scaler, X = _scaled(chosen, model, table, columns, X, folder)
    reports = "callbacks" in cls._get_param_names()
    if reports:
        model.set_params(callbacks=_callback(progress))
    try:
        model.fit(X, **given)
    except (ValueError, TypeError) as error:
        raise _placed(table, 0, error) from error
    if reports:
        model.set_params(callbacks=None)
        network = getattr(model, "autoencoder_", None)
        if network is not None:
            network.set_params(callbacks=None)
    if table.named and scaler is None:
        model.feature_names_in_ = np.array(columns, dtype=object)
    if scaler is not None:
        from sklearn.pipeline import make_pipeline

        io.save(make_pipeline(scaler, model), chosen.output)
    else:
        model.save(chosen.output)
    curve = getattr(model, "loss_curve_", None)
    done = {
        "model": chosen.output,
        "estimator": chosen.estimator,
        "scale": chosen.scale,
        "rows": int(X.shape[0]),
        "features": int(X.shape[1]),
        "epochs": None if not hasattr(model, "n_iter_") else int(model.n_iter_),
        "loss": None if curve is None else float(curve[-1]),
        "seconds": progress.seconds,
    }
    progress.say(f"saved {chosen.output}", now=True)
    return {**done, "interrupted": True} if chosen.interrupted else done


def _predicted(
    chosen: argparse.Namespace, method: str, names: Callable[[dict[str, Any]], Sequence[str] | None]
) -> dict[str, Any]:
    """Rows of what a method answers, in a file."""
    progress = Progress(chosen.quiet)
    stored = _configuration(chosen.model)

    def call(model: Any, X: NDArray[Any], given: dict[str, Any]) -> Any:
        function = getattr(model, method, None)
        if function is None:
            raise CommandError(f"{chosen.model} is of {stored['class']}, which has no {method}")
        return function(X, **given)

    blocks = (np.atleast_2d(answer) for _, answer, _ in _answers(chosen, stored, call, progress))
    n = _write(chosen, blocks, names(stored))
    progress.say(f"{n} rows", now=True)
    return {"model": chosen.model, "output": chosen.output, "rows": n, "seconds": progress.seconds}


def encode(chosen: argparse.Namespace) -> dict[str, Any]:
    return _predicted(chosen, "encode_indices" if chosen.indices else "transform", lambda _: None)


def reconstruct(chosen: argparse.Namespace) -> dict[str, Any]:
    fills = _configuration(chosen.model)["class"] == "AutoencoderImputer"

    def names(stored: dict[str, Any]) -> Sequence[str] | None:
        known = _names(stored)
        if not known or fills:
            return None  # columns without values are dropped, and marks may stand behind them
        n = stored["state"].get("_spec", {}).get("n_outputs", len(known))
        return known if n == len(known) else None

    return _predicted(chosen, "transform" if fills else "reconstruct", names)


def score(chosen: argparse.Namespace) -> dict[str, Any]:
    progress = Progress(chosen.quiet)
    stored = _configuration(chosen.model)
    detects = stored["class"] == "AutoencoderOutlierDetector"
    if chosen.only_outliers and not detects:
        raise CommandError(f"--only-outliers is for AutoencoderOutlierDetector; {chosen.model} is of {stored['class']}")
    n_outliers = n_rows = 0
    names: list[str] = []

    def call(model: Any, X: NDArray[Any], given: dict[str, Any]) -> Any:
        if not hasattr(model, "score_samples"):
            raise CommandError(f"{chosen.model} is of {stored['class']}, which has no scores")
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

    names = _names(stored)
    if detects and chosen.output is not None and chosen.output.lower().endswith(".npy"):
        raise CommandError(
            "--output: an .npy file has numbers alone, and there are names of features; use .csv or .parquet"
        )
    n = _write(chosen, blocks(), None)
    progress.say(f"{n} rows", now=True)
    done = {"model": chosen.model, "output": chosen.output, "rows": n_rows, "written": n, "seconds": progress.seconds}
    return {**done, "outliers": n_outliers} if detects else done


def predict(chosen: argparse.Namespace) -> dict[str, Any]:
    progress = Progress(chosen.quiet)
    stored = _configuration(chosen.model)
    name = stored["class"]
    if name not in PREDICTING:
        raise CommandError(f"{chosen.model} is of {name}, which predicts nothing; needed is {', '.join(PREDICTING)}")
    if chosen.probabilities and name != "AutoencoderClassifier":
        raise CommandError(f"--probabilities is for AutoencoderClassifier; {chosen.model} is of {name}")

    def call(model: Any, X: NDArray[Any], given: dict[str, Any]) -> list[tuple[str, NDArray[Any]]]:
        said = np.asarray(model.predict(X, **given))
        if name == "AutoencoderRegressor":
            return [
                ("prediction" + (str(i) if said.ndim > 1 else ""), part) for i, part in enumerate(np.atleast_2d(said.T))
            ]
        if said.dtype.kind not in "biuf" and is_array:
            raise CommandError(
                "--output: an .npy file has numbers alone, and the labels are texts; use .csv or .parquet"
            )
        columns = [("label", said if said.dtype.kind in "biuf" else said.astype(object))]
        if chosen.probabilities:
            shares = model.predict_proba(X, **given)
            columns += [(f"probability of {label}", part) for label, part in zip(model.classes, shares.T, strict=True)]
        return columns

    is_array = chosen.output is not None and chosen.output.lower().endswith(".npy")
    n = _write(chosen, (columns for _, columns, _ in _answers(chosen, stored, call, progress)), None)
    progress.say(f"{n} rows", now=True)
    return {"model": chosen.model, "output": chosen.output, "rows": n, "seconds": progress.seconds}


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
    stored = _configuration(chosen.model)
    whole: Any = io.load(chosen.model)  # all of it is checked
    model = whole[-1] if stored["piped"] else whole
    before = [step for _, step in whole.steps[:-1]] if stored["piped"] else []
    with _archive.opened(chosen.model, _schemas.KEY, "a model of autoenc") as (_, _, configuration):
        written = configuration.get("autoenc")
    spec = getattr(model, "_spec", None)
    weights = getattr(model, "n_parameters_", None)
    done = {
        "model": chosen.model,
        "bytes": Path(chosen.model).stat().st_size,
        "format": configuration["format"],
        "autoenc": written,
        "estimator": stored["class"],
        "repr": repr(model),
        "features": int(model.n_features_in_),
        "feature_names": list(map(str, _names(stored))) or None,
        "scaling": _scaling(before) or None,
        "components": None if spec is None else spec["n_components"],
        "outputs": None if spec is None else spec["n_outputs"],
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
                print(f"{key:12} {_shown(str(done[key]))}")
        for scaler in before:
            print(f"{'scaling':12} {_shown(repr(scaler))}")
        if weights is not None:
            print(f"{'parameters':12} {weights}")
        for layer in done["layers"] or ():
            print(f"{'':12} {_shown(layer['name']):32} {' x '.join(map(str, layer['shape']))}")
        if done["feature_names"]:
            print(f"{'names':12} {_shown(', '.join(done['feature_names']))}")
    return done


def export(chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.prefix is not None and chosen.format != "c":
        raise UsageError(f"--prefix {chosen.prefix} goes with --format c; ONNX has no names of functions")
    if chosen.part is not None and chosen.format != "onnx":
        raise UsageError(f"--part {chosen.part} goes with --format onnx; a C file has a function for each part")
    # Rows of a pipeline in their own units, which its predictor knows.
    model: Any = (io.load_predictor if _configuration(chosen.model)["piped"] else io.load)(chosen.model)
    write = getattr(model, FORMATS[chosen.format], None)
    if write is None:
        raise CommandError(f"{type(model).__name__} has no {FORMATS[chosen.format]} in this release of autoenc")
    given = {"part": chosen.part, "prefix": chosen.prefix}
    more = {name: value for name, value in given.items() if value is not None}
    try:
        write(chosen.output, **more)
    except ValueError as error:
        if not more:
            raise
        raise UsageError(str(error)) from error  # the model is whole: the part or the prefix is not allowed
    return {"model": chosen.model, "output": chosen.output, "format": chosen.format}


def _refuse_loss(chosen: argparse.Namespace) -> None:
    """Refuses to write over what is read."""
    for option in ("output", "checkpoint"):
        target = getattr(chosen, option, None)
        for source in ("data", "model", "output"):
            other = getattr(chosen, source, None)
            if target is None or other is None or source == option:
                continue
            if os.path.realpath(target) == os.path.realpath(other):
                raise CommandError(f"--{option} {target}: this is the file of {source.upper()}, which would be lost")


def run(chosen: argparse.Namespace) -> int:
    """Runs a command; 0, or 1 where something is wrong with files, or 2 with arguments.

    Ctrl-C, or SIGTERM, in a fit leaves the model as of its last complete epoch, which is saved; the status is 130 all
    the same.
    """
    chosen.interrupted = False

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        text = str(message)
        chosen.interrupted |= text.startswith("fitting was interrupted")
        if text.endswith(ADVICE):
            text = f"{text.removesuffix(ADVICE)}: --scale standard or --scale minmax does, and the model keeps how."
        print(f"autoenc: warning: {_shown(text)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        warnings.showwarning = show
        try:
            _refuse_loss(chosen)
            _check_threads(getattr(chosen, "n_jobs", None))
            done = chosen.run(chosen)
        except (CommandError, TableError, ValueError, OSError, ImportError, ArithmeticError, MemoryError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            text = str(error) or type(error).__name__
            print(f"autoenc {chosen.command}: {_shown(text)}", file=sys.stderr)
            if chosen.json:
                print(json.dumps({"error": text}))
            return 2 if isinstance(error, UsageError) else 1
    if chosen.json:
        print(json.dumps(done))
    return 130 if chosen.interrupted else 0
