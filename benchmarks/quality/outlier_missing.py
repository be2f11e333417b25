"""AUROC of `AutoencoderOutlierDetector` where values are missing: what a row's other entries ought to count.

Protocol: the semi-supervised task of `outlier_detection` (fit to half of the normal rows, score the other half and all
anomalies). Of each row, in training and in test, none, three or six in ten of the entries are missing, at random, by a
third of the rows each. "shared" is ``missing="mask"``, where the entries that are there are multiplied by n_features
over their number; "summed" are the same contributions without that factor; "filled" is the detector of complete rows,
with means in the gaps; "complete" has no gaps. All have the detector's defaults.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks import report
from benchmarks.quality.outlier_detection import SETS, load
from benchmarks.runner import choose, say

DESCRIPTION = "AUROC of the outlier detector where values are missing, by what the other entries of a row count"
RATES = (0.0, 0.3, 0.6)
WAYS = ("shared", "summed", "filled", "complete")


def with_gaps(X: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    gaps = random.random_sample(X.shape) < random.choice(RATES, size=(len(X), 1))
    gaps[gaps.all(axis=1), 0] = False
    return np.where(gaps, np.nan, X)


def scores(name: str, seed: int, rows: int) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    from autoenc import AutoencoderOutlierDetector

    train, test, y = load(name, seed, rows)[1]
    random = np.random.RandomState(seed)
    holes, asked = with_gaps(train, random), with_gaps(test, random)
    means = np.nanmean(holes, axis=0)
    there = (~np.isnan(asked)).mean(axis=1)
    fit = lambda X, **more: AutoencoderOutlierDetector(random_state=seed, n_jobs=1, **more).fit(X)  # noqa: E731
    shared = -fit(holes, missing="mask").score_samples(asked)
    filled = fit(np.where(np.isnan(holes), means, holes)).score_samples(np.where(np.isnan(asked), means, asked))
    answers = {
        "shared": shared,
        "summed": shared * there,
        "filled": -filled,
        "complete": -fit(train).score_samples(test),
    }
    return {way: 100 * roc_auc_score(y, answer) for way, answer in answers.items()}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks outlier-missing", description=DESCRIPTION)
    parser.add_argument("--sets", help="comma-separated (default: all twenty)")
    parser.add_argument("--seeds", type=int, default=2, help="draws of rows, splits, gaps, weights (default: 2)")
    parser.add_argument("--rows", type=int, default=1500, help="of a set at most (default: 1500)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.rows < 100:
        parser.error("--seeds must be at least 1 and --rows at least 100")
    names = choose(options.sets, list(SETS), "set")
    facts = report.circumstances(["outlier-missing", *arguments])
    found = {}
    for name in names:
        say(f"  {name}")
        runs = [scores(name, seed, options.rows) for seed in range(options.seeds)]
        found[name] = {way: statistics.fmean(run[way] for run in runs) for way in WAYS}
    rows = [[name, *(f"{found[name][way]:.1f}" for way in WAYS)] for name in names]
    means = [f"{statistics.fmean(found[name][way] for name in names):.1f}" for way in WAYS]
    text = (
        f"{facts}\n* {len(names)} sets, at most {options.rows} rows each, {options.seeds} seeds, semi-supervised, "
        f"0, 30 or 60 % of a row's entries missing; AUROC in per cent\n"
        '* shared: missing="mask"; summed: without the factor n_features / entries that are there; filled: means in '
        "the gaps; complete: no gaps\n\n"
    )
    report.publish("outlier-missing", text + report.table(("set", *WAYS), [["mean", *means], *rows]), options.write)
