"""The commands of ``python -m autoenc`` but the demonstration: their arguments, and how they run and fail."""

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from autoenc import _cli_rows
from autoenc._cli_models import FORMATS, encode, export, info, predict, reconstruct, score
from autoenc._cli_shared import CommandError, UsageError, check_threads, printable
from autoenc._cli_train import train
from autoenc._cli_values import positive
from autoenc._tables import ArgumentError, TableError
from autoenc._whole_file import naming

ADVICE = ", for instance by StandardScaler in a pipeline."  # at the end of a warning, for those who write Python


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


class _Once(argparse.Action):
    def __call__(self, parser: Any, chosen: argparse.Namespace, values: Any, option: str | None = None) -> None:
        if getattr(chosen, self.dest) is not None:
            raise argparse.ArgumentError(self, "given twice")
        setattr(chosen, self.dest, not str(option).startswith("--no-") if self.nargs == 0 else values)


class _Either(_Once, argparse.BooleanOptionalAction):
    """--header or --no-header."""


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
            help="between the fields of CSV: a character, or tab (default: a comma; with --decimal , a semicolon)",
        )
        parser.add_argument("--decimal", choices=(".", ","), help="before the decimals of numbers in CSV (default: .)")
        parser.add_argument(
            "--header",
            action=_Either,
            help="the first line of CSV has names, or is a row (default: names where an entry is no number, or all "
            f"are {'names that the model knows' if model else '0, 1, 2, ...'})",
        )
        absent = ", and need not be there" if model else ""
        parser.add_argument(
            "--ignore",
            action="append",
            default=[],
            metavar="COLUMN",
            help=f"leave a column out, by name or position; may be repeated{absent}",
        )
        parser.add_argument(
            "--condition",
            action=_Once,
            metavar="COLUMN",
            help="a column of labels, or of numbers, that network and decoder get beside the row"
            + ("" if model else "; --scale leaves numbers as they are"),
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
    parser.add_argument(
        "--n-components", type=int, metavar="N", help="width of the code (of HashingAutoencoder: n_bits)"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter, such as hidden_layer_sizes=(64,32) or corruption=Masking(0.3); may be repeated",
    )
    parser.add_argument(
        "--label",
        action=_Once,
        metavar="COLUMN",
        help="y of AutoencoderClassifier and AutoencoderRegressor; a blank cell is a row without",
    )
    parser.add_argument(
        "--condition-as",
        choices=("label", "number"),
        help="what --condition is (default: a number where numbers have decimals, else labels)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="random_state (default: 0)")
    parser.add_argument("--checkpoint", metavar="FILE", help="write the state of the fit there")
    parser.add_argument(
        "--checkpoint-every", type=positive, metavar="N", help="epochs between two checkpoints (default: 10)"
    )
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


def _refuse_loss(chosen: argparse.Namespace) -> None:
    """Refuses to write over what is read."""
    for option in ("output", "checkpoint"):
        target = getattr(chosen, option, None)
        for source in ("data", "model", "output"):
            other = getattr(chosen, source, None)
            if target is None or other is None or source == option:
                continue
            if os.path.realpath(target) == os.path.realpath(other):
                raise UsageError(f"--{option} {target}: this is the file of {source.upper()}, which would be lost")


def run(chosen: argparse.Namespace) -> int:
    """Runs a command; 0, or 1 where something is wrong with files, or 2 with arguments.

    Ctrl-C, or SIGTERM, in a fit leaves the model as of its last complete epoch, which is saved; the status is 130 all
    the same. Estimators that have no such model raise KeyboardInterrupt.
    """
    chosen.interrupted = False

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        text = str(message)
        chosen.interrupted |= text.startswith("fitting was interrupted")
        if text.endswith(ADVICE):
            text = f"{text.removesuffix(ADVICE)}: --scale standard or --scale minmax does, and the model keeps how."
        print(f"autoenc: warning: {printable(text)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        warnings.showwarning = show
        try:
            _refuse_loss(chosen)
            check_threads(getattr(chosen, "n_jobs", None))
            with naming(getattr(chosen, "output", None) or "standard output"):
                done = chosen.run(chosen)
        except (CommandError, TableError, ValueError, OSError, ImportError, ArithmeticError, MemoryError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            text = str(error) or type(error).__name__
            print(f"autoenc {chosen.command}: {printable(text)}", file=sys.stderr)
            if chosen.json:
                print(json.dumps({"error": text}))
            return 2 if isinstance(error, (UsageError, ArgumentError)) else 1
    if chosen.json:
        print(json.dumps(done))
    return 130 if chosen.interrupted else 0
