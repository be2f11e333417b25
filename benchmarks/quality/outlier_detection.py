"""AUROC of `AutoencoderOutlierDetector` with its defaults on twenty sets of ADBench, beside PyOD.

Protocol: at most 5,000 rows of a set, drawn anew for each seed; columns standardised by the training rows.
Unsupervised: fit to all rows, score all rows. Semi-supervised: fit to half of the normal rows, score the other half and
all anomalies. All methods get the same rows, their defaults and as many threads as OMP_NUM_THREADS says. The detector's
defaults were chosen on the ten sets of `CHOSEN_ON` and on tables outside of these twenty (see the class); the others
tell how they carry over.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import choose, say

DESCRIPTION = "AUROC of the outlier detector's defaults on twenty sets of ADBench, beside PyOD"

SETS = (
    "2_annthyroid",
    "4_breastw",
    "5_campaign",
    "10_cover",
    "12_fault",
    "14_glass",
    "15_Hepatitis",
    "17_InternetAds",
    "18_Ionosphere",
    "19_landsat",
    "22_magic.gamma",
    "23_mammography",
    "26_optdigits",
    "29_Pima",
    "32_shuttle",
    "35_SpamBase",
    "39_vertebral",
    "41_Waveform",
    "42_WBC",
    "47_yeast",
)
CHOSEN_ON = SETS[::2]

Array = NDArray[np.float64]
# Seconds of fitting, by the clock and of the processor, and scores of the test rows, high for anomalies.
Outcome = tuple[tuple[float, float], Array]


class _Stopwatch:
    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def _ours(train: Array, test: Array, seed: int) -> Outcome:
    from autoenc import AutoencoderOutlierDetector

    watch = _Stopwatch()
    detector = AutoencoderOutlierDetector(random_state=seed).fit(train)
    seconds = watch.read()
    return seconds, -detector.score_samples(test)


def _pyod(module: str, name: str, *, seeded: bool = True, **parameters: Any) -> Callable[[Array, Array, int], Outcome]:
    def run(train: Array, test: Array, seed: int) -> Outcome:
        from importlib import import_module

        model = getattr(import_module(f"pyod.models.{module}"), name)
        if seeded:
            parameters["random_state"] = seed
        watch = _Stopwatch()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = model(**parameters)
            detector.fit(train)
            seconds = watch.read()
            # In the unsupervised case PyOD scores the training rows itself: KNN without the row as its own neighbour.
            scores = detector.decision_scores_ if test is train else detector.decision_function(test)
        return seconds, np.nan_to_num(scores)

    return run


METHODS: dict[str, Callable[[Array, Array, int], Outcome]] = {
    "ours": _ours,
    "AutoEncoder": _pyod("auto_encoder", "AutoEncoder", verbose=0),
    "VAE": _pyod("vae", "VAE", verbose=0),
    "PCA": _pyod("pca", "PCA"),
    "ECOD": _pyod("ecod", "ECOD", seeded=False),
    "IForest": _pyod("iforest", "IForest"),
    "KNN": _pyod("knn", "KNN", seeded=False),
    "LOF": _pyod("lof", "LOF", seeded=False),
}


def load(name: str, seed: int, rows: int) -> list[tuple[Array, Array, NDArray[np.int64]]]:
    """Training rows, test rows and their labels, unsupervised and semi-supervised; the first share the array."""
    path = data.data_folder() / "adbench" / f"{name}.npz"
    if not path.is_file():
        raise data.DataNotFound(f"no {path}; set AUTOENC_DATA to a folder whose subfolder adbench/ holds the sets")
    with np.load(path) as file:
        X, y = file["X"].astype(np.float64), file["y"].astype(np.int64)
    random = np.random.RandomState(seed)
    if len(X) > rows:
        chosen = random.permutation(len(X))[:rows]
        X, y = X[chosen], y[chosen]
    normal = random.permutation(np.flatnonzero(y == 0))
    half = len(normal) // 2
    rest = np.concatenate([normal[half:], np.flatnonzero(y == 1)])

    def scaled(by: Array, what: Array) -> Array:
        scale = by.std(axis=0)
        return (what - by.mean(axis=0)) / np.where(scale > 0, scale, 1.0)

    everything = scaled(X, X)
    train = X[normal[:half]]
    return [(everything, everything, y), (scaled(train, train), scaled(train, X[rest]), y[rest])]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks outlier-detection", description=DESCRIPTION)
    parser.add_argument("--sets", help="comma-separated (default: all twenty)")
    parser.add_argument("--methods", help=f"comma-separated, of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=2, help="draws of rows, splits and initialisations (default: 2)")
    parser.add_argument("--rows", type=int, default=5000, help="of a set at most (default: 5000)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.rows < 100:
        parser.error("--seeds must be at least 1 and --rows at least 100")
    from sklearn.metrics import average_precision_score, roc_auc_score

    names = choose(options.sets, list(SETS), "set")
    methods = choose(options.methods, list(METHODS), "method")
    facts = report.circumstances(["outlier-detection", *arguments])
    # By method, set and mode: AUROC, average precision, seconds, seconds of the processor.
    found: dict[tuple[str, str, int], list[tuple[float, float, float, float]]] = {}
    missing: dict[str, str] = {}
    for name in names:
        say(f"  {name}")
        for seed in range(options.seeds):
            for mode, (train, test, y) in enumerate(load(name, seed, options.rows)):
                for method in methods:
                    if method in missing:
                        continue
                    try:
                        seconds, scores = METHODS[method](train, test, seed)
                    except ImportError as error:
                        missing[method] = str(error)
                        continue
                    quality = 100 * roc_auc_score(y, scores), 100 * average_precision_score(y, scores), *seconds
                    found.setdefault((method, name, mode), []).append(quality)

    def mean(method: str, sets: Sequence[str], mode: int, which: int) -> float:
        return statistics.fmean(statistics.fmean(run[which] for run in found[method, name, mode]) for name in sets)

    def pair(method: str, sets: Sequence[str], which: int = 0) -> str:
        return " / ".join(f"{mean(method, sets, mode, which):.1f}" for mode in (0, 1)) if sets else ""

    chosen = [name for name in names if name in CHOSEN_ON]
    others = [name for name in names if name not in CHOSEN_ON]
    rows = []
    for method in methods:
        if method in missing:
            rows.append([method, "", "", "", "", "", f"missing: {missing[method]}"])
            continue
        seconds, cpu = (statistics.fmean(mean(method, names, mode, which) for mode in (0, 1)) for which in (2, 3))
        cells = [pair(method, names), pair(method, chosen), pair(method, others), pair(method, names, 1)]
        rows.append([method, *cells, f"{seconds:.2f}", f"{cpu:.2f}"])
    present = [method for method in methods if method not in missing]
    each = [[f"{name}{' *' if name in CHOSEN_ON else ''}", *(pair(m, [name]) for m in present)] for name in names]
    text = (
        f"{facts}\n* {len(names)} sets, at most {options.rows} rows each, {options.seeds} seeds, standardised by the "
        "training rows, defaults of everybody; figures are means, unsupervised / semi-supervised, in per cent; the "
        "detector's defaults were chosen on the ten sets marked * and on tables outside of these twenty\n"
        "* PyOD's figures are of its models as installed here, on the same rows; seconds are means of one fit, "
        "by the clock and of the processor, the methods in turn on each set\n"
        "* PyOD's PCA divides by the variance of every component: one without makes all scores infinite, AUROC 50.0\n"
        f"* OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')} for everybody\n\n"
    )
    head = (
        "method",
        "AUROC",
        "on the ten chosen on",
        "on the other ten",
        "average precision",
        "seconds a fit",
        "of the processor",
    )
    text += report.table(head, rows) + "\n\nAUROC by set:\n\n" + report.table(("set", *present), each)
    report.publish("outlier-detection", text, options.write)
