"""Error of filled values over entries missing completely at random, beside scikit-learn's imputers.

Protocol: complete numeric tables, columns standardised (at most 2,000 rows of the larger ones), of which 10, 30 or 50 %
of the entries are taken out at random; each imputer is fitted to what is left with its own defaults and fills the same
table. The error is the root mean square over the entries taken out, in standard deviations. The defaults of
`AutoencoderImputer` were chosen on other tables of ADBench (`--tables choice` runs those), never on the ones shown.

Gondara and Wang (2018, "MIDA: multiple imputation using denoising autoencoders") compare by the same error at 20 %.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import choose, say

DESCRIPTION = "error of filled values beside SimpleImputer, KNNImputer and IterativeImputer"

Array = NDArray[np.float64]

SHOWN = ("wine", "breast_cancer", "diabetes", "landsat", "magic.gamma")
CHOICE = ("glass", "vertebral", "Pima", "yeast", "Ionosphere", "breastw", "fault", "annthyroid")
BUNDLED = ("wine", "breast_cancer", "diabetes")
METHODS = ("mean", "knn", "iterative", "ours")


def table(name: str, rows: int) -> Array:
    """Standardised columns; constant ones are left out, and rows beyond so many, drawn at random."""
    if name in BUNDLED:
        from sklearn import datasets

        X = getattr(datasets, f"load_{name}")().data
    else:
        files = sorted((data.data_folder() / "adbench").glob(f"*_{name}.npz"))
        if not files:
            raise data.DataNotFound(f"ADBench's {name} is not on this machine; AUTOENC_DATA names the folder of data")
        X = np.load(files[0])["X"]
    X = X[np.random.default_rng(0).permutation(len(X))[:rows]].astype(np.float64)
    X = X[:, X.std(axis=0) > 0]
    return (X - X.mean(axis=0)) / X.std(axis=0)


def take_out(X: Array, share: float, seed: int) -> tuple[Array, NDArray[np.bool_]]:
    """The table with holes, and where they are; every column keeps a value."""
    rng = np.random.default_rng([1000, seed])
    missing = rng.random(X.shape) < share
    missing[rng.integers(0, len(X), X.shape[1]), np.arange(X.shape[1])] = False
    return np.where(missing, np.nan, X), missing


def imputer(method: str, seed: int) -> Any:
    if method == "ours":
        from autoenc import AutoencoderImputer

        return AutoencoderImputer(random_state=seed)
    if method == "iterative":
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer

        return IterativeImputer(random_state=seed)
    from sklearn.impute import KNNImputer, SimpleImputer

    return SimpleImputer() if method == "mean" else KNNImputer()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks imputation", description=DESCRIPTION)
    parser.add_argument("--tables", help=f"comma-separated, or 'choice' (default: {', '.join(SHOWN)})")
    parser.add_argument("--methods", help=f"comma-separated, of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--rows", type=int, default=2000, help="rows of a table, at most (default: 2000)")
    parser.add_argument("--seeds", type=int, default=2, help="patterns of holes and starts (default: 2)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if min(options.rows, options.seeds) < 1:
        parser.error("--rows and --seeds must be at least 1")
    names = list(CHOICE) if options.tables == "choice" else choose(options.tables, [*SHOWN, *CHOICE], "table")
    names = list(SHOWN) if options.tables is None else names
    methods = choose(options.methods, list(METHODS), "method")
    facts = report.circumstances(["imputation", *arguments])
    rows = []
    for name in names:
        try:
            X = table(name, options.rows)
        except data.DataNotFound as error:
            say(f"  skipped {name}: {error}")
            rows.append([name, "", f"skipped: {error}", *[""] * len(methods)])
            continue
        for share in (0.1, 0.3, 0.5):
            cells = []
            for method in methods:
                say(f"  {name}, {share:.0%}, {method}")
                errors, seconds = [], 0.0
                for seed in range(options.seeds):
                    holes, missing = take_out(X, share, seed)
                    model = imputer(method, seed)
                    start = time.perf_counter()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # IterativeImputer's, that it has not converged
                        filled = model.fit_transform(holes)
                    seconds += time.perf_counter() - start
                    errors.append(float(np.sqrt(np.mean((filled - X)[missing] ** 2))))
                cells.append(f"{statistics.fmean(errors):.3f} ({seconds / options.seeds:.1f} s)")
            rows.append([name, f"{X.shape[0]} x {X.shape[1]}", f"{share:.0%}", *cells])
    text = (
        f"{facts}\n* root mean squared error of filled entries in standard deviations, missing completely at random; "
        f"mean over {options.seeds} patterns, seconds of a fit and transform behind it; all imputers with their "
        "defaults (ours: 200 epochs)\n\n"
    )
    report.publish("imputation", text + report.table(("table", "shape", "missing", *methods), rows), options.write)
