"""Sparse codes of MNIST: cross-entropy of a 784-32 network with an L1 penalty, and k-sparse features.

Protocol. First: 784-32-784, relu code, logistic output, L1 penalty on the code; test cross-entropy per pixel and the
mean share of active units. Second (Makhzani and Frey 2014, ICLR: 1,000 units, logistic regression on the codes):
k-sparse autoencoders for several k, fitted to all training rows without labels. As in the paper the classifier may see
more units of a row than training kept. Where several such numbers or C of LogisticRegression are given, those are taken
that have the fewest errors on the last 10,000 training rows, whose labels the regression does not see then; the test
part is used once, for the regression fitted to all training rows.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, picture, report
from benchmarks.runner import say

DESCRIPTION = "MNIST: L1-penalised 784-32 cross-entropy, and errors of linear classifiers on k-sparse features"

WANTED_CROSS_ENTROPY = 0.10
WANTED_ERROR = 1.6  # percent
VALIDATION = 10_000  # the last rows of the training part
ROWS_AT_ONCE = 5_000


def wider(model: Any, kept: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Codes of the same network, of which `kept` features of a row are kept where they are positive."""
    weight, bias = model.coefs_[0], model.intercepts_[0]

    def codes(X: NDArray[Any]) -> NDArray[Any]:
        parts = []
        for first in range(0, len(X), ROWS_AT_ONCE):
            pre = X[first : first + ROWS_AT_ONCE] @ weight + bias
            if kept < pre.shape[1]:
                pre[pre < np.partition(pre, -kept, axis=1)[:, -kept, np.newaxis]] = 0
            parts.append(np.maximum(pre, 0, out=pre))
        return np.concatenate(parts)

    return codes


def l1_network(options: argparse.Namespace, weight: float) -> Any:
    from autoenc import Autoencoder
    from autoenc.sparsity import L1

    return Autoencoder(
        32,
        hidden_layer_sizes=(),
        latent_activation="relu",
        loss="log_loss",
        sparsity=L1(weight),
        max_iter=options.epochs,
        batch_size=256,
        random_state=0,
    )


def k_network(options: argparse.Namespace, k: int, n_rows: int) -> Any:
    from autoenc import SparseAutoencoder
    from autoenc.sparsity import TopK

    return SparseAutoencoder(
        options.units,
        k=None,
        sparsity=TopK(k, dead_after=n_rows),
        tied_weights=True,
        max_iter=options.epochs,
        batch_size=256,
        random_state=0,
        n_jobs=1,
    )


def penalised(options: argparse.Namespace, X: NDArray[Any], test: NDArray[Any]) -> str:
    rows = []
    for weight in options.weights:
        say(f"  L1 {weight:g}")
        start = time.perf_counter()
        model = l1_network(options, weight).fit(X)
        loss, active = -model.score(test), float((model.transform(test) > 0).mean())
        verdict = "reached" if loss <= WANTED_CROSS_ENTROPY else "missed"
        rows.append(
            [f"{weight:g}", f"{loss:.4f}", f"{100 * active:.0f} %", verdict, f"{time.perf_counter() - start:.0f}"]
        )
    return report.table(("L1 weight", "cross-entropy", "active units", "verdict", "seconds"), rows)


def classify(options: argparse.Namespace, model: Any, k: int, X: NDArray[Any], test: NDArray[Any]) -> list[str]:
    """Kept features, their mean share that is active, C, errors in percent on validation and test rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore", ConvergenceWarning)  # so many iterations are part of the protocol
    y, y_test = data.mnist_labels("train")[: len(X)], data.mnist_labels("test")
    known, held = slice(0, len(X) - VALIDATION), slice(len(X) - VALIDATION, None)
    numbers = sorted({min(k * times, options.units) if times else options.units for times in options.times})
    best: tuple[float, int, float] = (-1.0, numbers[0], options.C[0])
    for kept in numbers if len(numbers) * len(options.C) > 1 else ():
        features = wider(model, kept)(X)
        features /= features.std()
        for C in options.C:
            head = LogisticRegression(C=C, max_iter=options.iterations).fit(features[known], y[known])
            accuracy = head.score(features[held], y[held])
            say(f"    k = {k}, {kept} kept, C = {C:g}: {100 * (1 - accuracy):.2f} % on held-out rows")
            best = max(best, (accuracy, kept, C))
    accuracy, kept, C = best
    features = wider(model, kept)(X)
    scale, active = features.std(), (features > 0).mean()
    features /= scale
    head = LogisticRegression(C=C, max_iter=options.iterations).fit(features, y)
    error = 100 * (1 - head.score(wider(model, kept)(test) / scale, y_test))
    most = "all" if kept == options.units else str(kept)
    validation = f"{100 * (1 - accuracy):.2f}" if accuracy >= 0 else "-"
    return [most, f"{100 * active:.1f} %", f"{C:g}", validation, f"{error:.2f}"]


def fitted(options: argparse.Namespace, k: int, X: NDArray[Any]) -> tuple[Any, float]:
    """The network and the seconds that its fit took, from the folder where it was kept if it was."""
    import joblib

    place = None if options.keep is None else Path(options.keep) / f"k{k}.joblib"
    if place is not None and place.exists():
        model, seconds = joblib.load(place)
        if (model.max_iter, model.n_components, model.n_features_in_) != (options.epochs, options.units, X.shape[1]):
            raise ValueError(
                f"{place} holds another network than one of {options.units} units and {options.epochs} epochs"
            )
        return model, seconds
    start = time.perf_counter()
    model = k_network(options, k, len(X)).fit(X)
    seconds = time.perf_counter() - start
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump((model, seconds), place)
    return model, seconds


def one_k(options: argparse.Namespace, k: int, X: NDArray[Any], test: NDArray[Any]) -> list[str]:
    model, seconds = fitted(options, k, X)
    start = time.perf_counter()
    error = -model.score(test)
    say(f"    k = {k}: fitted, mean squared error {error:.5f}")
    if options.filters is not None:
        picture.write_png(Path(options.filters) / f"k{k}.png", picture.sheet(model.coefs_[-1].T[:200]))
    row = [str(k), f"{error:.5f}", str(len(model.dead_latents_)), *classify(options, model, k, X, test)]
    say(f"    {row}")
    return [*row, f"{seconds:.0f}", f"{time.perf_counter() - start:.0f}"]


def k_sparse(options: argparse.Namespace, X: NDArray[Any], test: NDArray[Any]) -> str:
    from joblib import Parallel, delayed

    mean = X.mean(axis=0)
    X, test = X - mean, test - mean
    rows = Parallel(n_jobs=options.jobs)(delayed(one_k)(options, k, X, test) for k in options.k)
    head = ("k", "error", "unused", "features kept", "active", "C", "validation", "test", "seconds", "of classifiers")
    return report.table(head, rows)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sparse", description=DESCRIPTION)
    parser.add_argument("--part", choices=("l1", "k"), default="l1", help="which of the two")
    parser.add_argument("--rows", type=int, default=60_000, help="training rows")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--weights", type=float, nargs="+", default=[1e-5, 1e-4, 3e-4, 1e-3, 3e-3], help="of L1")
    parser.add_argument("--k", type=int, nargs="*", default=[70, 40, 25, 10])
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument(
        "--times", type=int, nargs="+", default=[3, 0], help="features that the classifier sees, over k; 0: all"
    )
    parser.add_argument("--C", type=float, nargs="+", default=[0.1], help="of LogisticRegression")
    parser.add_argument("--iterations", type=int, default=100, help="of LogisticRegression")
    parser.add_argument("--jobs", type=int, default=1, help="values of k at a time, each on one thread")
    parser.add_argument("--keep", help="folder where fitted networks are kept, and read again")
    parser.add_argument("--filters", help="folder for a picture of 200 filters for each k, k<k>.png")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    facts = report.circumstances(["sparse", *arguments])
    X, test = data.mnist_pixels("train", options.rows), data.mnist_pixels("test")
    text = f"{facts}\n* {len(X)} training rows, {options.epochs} epochs; test rows unless said otherwise\n"
    if options.part == "l1":
        text += (
            f"* 784-32-784; wanted: at most {WANTED_CROSS_ENTROPY:g} nats per pixel\n\n{penalised(options, X, test)}\n"
        )
        report.publish("sparse", text, options.write)
    else:
        text += (
            f"* 784-{options.units}, tied weights, centred pixels; LogisticRegression ({options.iterations} steps, "
            "on the largest features of a row where they are positive), errors in percent, validation on the "
            f"last {VALIDATION} training rows; published: 1.35 % at k = 25; wanted: {WANTED_ERROR} % for the best k\n\n"
            f"{k_sparse(options, X, test)}\n"
        )
        report.publish("k-sparse", text, options.write)
