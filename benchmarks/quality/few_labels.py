"""Accuracy on MNIST with 100 and 1,000 labels among 60,000 rows, beside classifiers that see the labelled rows only.

Protocol: pixels in [0, 1]; labels for the same number of rows of each digit, drawn by seed. Ours is pretrained on all
rows with normal noise and fine-tuned on the labelled ones. Its settings were chosen on rows of the training part whose
labels were held back. Test part: 10,000 rows, used once.
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
from benchmarks.runner import say

DESCRIPTION = "MNIST: accuracy with 100 and 1,000 labels beside MLPClassifier and LogisticRegression"

Array = NDArray[Any]


def labelled(y: Array, n: int, seed: int) -> Array:
    """Labels of n rows, as many of each digit; -1 elsewhere."""
    rng = np.random.default_rng(seed)
    few = np.full(len(y), -1)
    for digit in range(10):
        at = rng.choice(np.flatnonzero(y == digit), n // 10, replace=False)
        few[at] = digit
    return few


def ours(seed: int, options: argparse.Namespace) -> Any:
    from autoenc import AutoencoderClassifier
    from autoenc.corruption import Gaussian

    return AutoencoderClassifier(
        options.components,
        hidden_layer_sizes=tuple(options.hidden),
        corruption=Gaussian(options.noise) if options.noise > 0 else None,
        dropout=options.dropout,
        max_iter=options.epochs,
        fine_tune_max_iter=options.fine_tune_epochs,
        fine_tune_learning_rate_init=options.fine_tune_rate,
        reconstruction_weight=options.reconstruction_weight,
        batch_size=256,
        random_state=seed,
    )


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks few-labels", description=DESCRIPTION)
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rows", type=int, default=60_000, help="training rows, labelled or not (default: 60,000)")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--components", type=int, default=64)
    parser.add_argument("--hidden", type=int, nargs="+", default=[512])
    parser.add_argument("--noise", type=float, default=0.6)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--fine-tune-epochs", type=int, default=100)
    parser.add_argument("--fine-tune-rate", type=float, default=1e-3)
    parser.add_argument("--reconstruction-weight", type=float, default=0.0)
    parser.add_argument("--validation", action="store_true", help="measure on held-back training rows, to choose by")
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    options = options_of(arguments)
    facts = report.circumstances(["few-labels", *arguments])
    X, y = data.mnist_pixels("train"), data.mnist_labels("train")
    if options.validation:
        X, y, X_test, y_test = X[:50_000], y[:50_000], X[50_000:], y[50_000:]
    else:
        X_test, y_test = data.mnist_pixels("test"), data.mnist_labels("test")
    X, y = X[: options.rows], y[: options.rows]
    rows = []
    for n in options.labels:
        scores: dict[str, list[float]] = {"LogisticRegression": [], "MLPClassifier": [], "ours": []}
        seconds = dict.fromkeys(scores, 0.0)
        for seed in range(options.seeds):
            few = labelled(y, n, seed)
            known = few >= 0
            models = {
                "LogisticRegression": LogisticRegression(max_iter=1000),
                "MLPClassifier": MLPClassifier((256,), max_iter=500, random_state=seed),
                "ours": ours(seed, options),
            }
            for name, model in models.items():
                if options.ours_only and name != "ours":
                    continue
                say(f"  {n} labels, seed {seed}, {name}")
                start = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if name == "ours":
                        model.fit(X, few)
                    else:
                        model.fit(X[known], few[known])
                seconds[name] += time.perf_counter() - start
                scores[name].append(float(np.mean(model.predict(X_test) == y_test)))
        for name, values in scores.items():
            if values:
                mean = f"{100 * statistics.fmean(values):.2f} ({100 * min(values):.2f}..{100 * max(values):.2f})"
                rows.append([str(n), name, mean, f"{seconds[name] / options.seeds:.1f}"])
    text = (
        f"{facts}\n* accuracy in percent on {'held-back training' if options.validation else 'test'} rows: mean over "
        f"{options.seeds} draws of the labels, with the range; ours: 784-{'-'.join(map(str, options.hidden))}-"
        f"{options.components}, noise {options.noise:g}, dropout {options.dropout:g}, {options.epochs} epochs on "
        f"{len(X)} rows, then {options.fine_tune_epochs} on the labelled ones\n\n"
    )
    head = ("labels", "method", "accuracy", "seconds a fit")
    report.publish("few-labels", text + report.table(head, rows), options.write)
