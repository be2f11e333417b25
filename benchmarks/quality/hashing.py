"""Hashes of MNIST: how many of the nearest rows by Hamming distance show the same digit.

Each test image is looked up among the 60,000 training images; its precision is the share of the 100 nearest, ties by
index, that have its label. Labels take no part in any fit. Settings of `HashingAutoencoder` are compared on a
validation part, fitted to the first 20,000 training images and asked for 5,000 of the last 10,000; the best one is then
fitted to all training images. Beside it: the signs of as many principal components, and the pixels themselves by
Euclidean distance.
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

DESCRIPTION = "MNIST: precision of the 100 nearest by hashes of 32 bits, beside PCA's signs and pixels"

Array = NDArray[np.float32]
Labels = NDArray[np.generic]

UNSCALED = "the standard deviations of the columns"  # a warning: pixels are taken as they are


def candidates() -> dict[str, dict[str, Any]]:
    from autoenc.corruption import Gaussian

    return {
        "noise 4": {"balance_weight": 0.0},
        "noise 4, balance 0.001": {"balance_weight": 1e-3},
        "noise 4, corruption 0.5, balance 0.001": {"corruption": Gaussian(0.5), "balance_weight": 1e-3},
        "bernoulli": {"method": "bernoulli", "balance_weight": 0.0},
        "bernoulli, corruption 0.5": {"method": "bernoulli", "corruption": Gaussian(0.5), "balance_weight": 0.0},
        "bernoulli, corruption 0.5, balance 0.001": {
            "method": "bernoulli",
            "corruption": Gaussian(0.5),
            "balance_weight": 1e-3,
        },
        "straight_through": {"method": "straight_through", "balance_weight": 0.0},
        "straight_through, balance 0.01": {"method": "straight_through", "balance_weight": 0.01},
    }


def network(n_bits: int, settings: dict[str, Any], epochs: int, seed: int) -> Any:
    from autoenc import HashingAutoencoder

    return HashingAutoencoder(n_bits, **settings, max_iter=epochs, batch_size=128, n_jobs=2, random_state=seed)


def precision(indices: NDArray[np.int64], labels: Labels, wanted: Labels) -> float:
    """Share of the neighbours that have the label of who asked."""
    return float(np.mean(labels[indices] == wanted[:, np.newaxis]))


def by_signs(X: Array, labels: Labels, queries: Array, wanted: Labels, n_bits: int, k: int) -> float:
    """The signs of principal components as bits."""
    from sklearn.decomposition import PCA

    from autoenc import _core

    model = PCA(n_bits, random_state=0).fit(X)
    codes, asked = (np.packbits(model.transform(rows) > 0, axis=1) for rows in (X, queries))
    return precision(_core.hamming_neighbors(codes, asked, k, 2)[1], labels, wanted)


def by_pixels(X: Array, labels: Labels, queries: Array, wanted: Labels, k: int) -> float:
    """Euclidean distance between the rows themselves."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X)
    return precision(model.kneighbors(queries, return_distance=False), labels, wanted)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hashing", description=DESCRIPTION)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--neighbors", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20, help="of the final fits; half as many to choose")
    parser.add_argument("--seeds", type=int, default=2, help="final fits (default: 2)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    facts = report.circumstances(["hashing", *arguments])
    X, test = data.mnist_pixels("train"), data.mnist_pixels("test")
    y, y_test = data.mnist_labels("train"), data.mnist_labels("test")
    k, n_bits = options.neighbors, options.bits

    def fitted(rows: Array, settings: dict[str, Any], epochs: int, seed: int) -> Any:
        model = network(n_bits, settings, epochs, seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", UNSCALED)
            return model.fit(rows)

    part, asked = slice(0, 20_000), slice(50_000, 55_000)
    settings_of, chosen = candidates(), {}
    for name, settings in settings_of.items():
        model = fitted(X[part], settings, max(1, options.epochs // 2), 0)
        found = model.kneighbors(X[asked], k, return_distance=False)
        chosen[name] = precision(found, y[part], y[asked])
        say(f"  {name}: {chosen[name]:.4f} on the validation part")
    best = max(chosen, key=chosen.__getitem__)
    rows = [[f"hashes, {name}", "validation", f"{value:.4f}", ""] for name, value in chosen.items()]
    rows.append(["PCA's signs", "validation", f"{by_signs(X[part], y[part], X[asked], y[asked], n_bits, k):.4f}", ""])
    found_here = []
    for seed in range(options.seeds):
        start = time.perf_counter()
        model = fitted(X, settings_of[best], options.epochs, seed)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        found = model.kneighbors(test, k, return_distance=False)
        note = f"fit {seconds:.0f} s, search {time.perf_counter() - start:.1f} s"
        found_here.append(precision(found, y, y_test))
        rows.append([f"hashes, {best}, seed {seed}", "test", f"{found_here[-1]:.4f}", note])
        say(f"  {best}, seed {seed}: {found_here[-1]:.4f}")
    signs = by_signs(X, y, test, y_test, n_bits, k)
    rows.append(["PCA's signs", "test", f"{signs:.4f}", ""])
    rows.append(["pixels", "test", f"{by_pixels(X, y, test, y_test, k):.4f}", "784 numbers a row"])
    verdict = "above" if statistics.fmean(found_here) > signs else "not above"
    text = (
        f"{facts}\n* mean precision of the {k} nearest by {n_bits} bits; validation: fitted to and looked up among "
        f"20,000 rows, {max(1, options.epochs // 2)} epochs; test: 60,000 rows, {options.epochs} epochs; batch 128, "
        f"defaults otherwise\n* {verdict} PCA's signs on the test rows\n\n"
    )
    report.publish("hashing", text + report.table(("codes", "rows", "precision", "note"), rows), options.write)
