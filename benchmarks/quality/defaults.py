"""Held-out reconstruction error of the defaults, beside PCA and beside a PyTorch autoencoder with PyOD's defaults.

Iris, wine and breast cancer are standardised (by the training rows) and get 2 components; digits (divided by 16) and
MNIST (divided by 255) are taken as they are and get 16. The error is the mean squared error per feature on rows that
were not trained on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import choose, say

DESCRIPTION = "held-out reconstruction error of the defaults beside PCA and PyOD's autoencoder"

Array = NDArray[np.float32]
Split = tuple[Array, Array]


def _tabular(name: str) -> Callable[[int], Split]:
    def split(seed: int) -> Split:
        from sklearn import datasets
        from sklearn.model_selection import train_test_split
        from sklearn.preprocessing import StandardScaler

        X = getattr(datasets, f"load_{name}")().data
        train, test = train_test_split(X, test_size=0.25, random_state=seed)
        if name == "digits":
            return (train / 16).astype(np.float32), (test / 16).astype(np.float32)
        scaler = StandardScaler().fit(train)
        return scaler.transform(train).astype(np.float32), scaler.transform(test).astype(np.float32)

    return split


def _mnist(seed: int) -> Split:
    return data.mnist_pixels("train"), data.mnist_pixels("test")


DATASETS: dict[str, tuple[int, Callable[[int], Split]]] = {
    "iris": (2, _tabular("iris")),
    "wine": (2, _tabular("wine")),
    "breast_cancer": (2, _tabular("breast_cancer")),
    "digits": (16, _tabular("digits")),
    "mnist": (16, _mnist),
}


def _error(X: Array, reconstruction: NDArray[Any]) -> float:
    return float(np.mean((X.astype(np.float64) - reconstruction) ** 2))


def pca(train: Array, test: Array, n_components: int, seed: int) -> float:
    from sklearn.decomposition import PCA

    model = PCA(n_components, random_state=seed).fit(train)
    return _error(test, model.inverse_transform(model.transform(test)))


def pyod_defaults(train: Array, test: Array, n_components: int, seed: int) -> float:
    """PyOD's AutoEncoder (pyod/models/auto_encoder.py) as its defaults build and train it, with a given code.

    Blocks of linear layer, batch norm, relu and dropout 0.2 of widths 64 and 32 up to the code and mirrored after it,
    a linear output; Adam 1e-3 with weight decay 1e-5, batch 32, 10 epochs. The code is linear, without norm and
    dropout: with few components the block would only handicap it. A last batch of one row is left out, since batch
    norm cannot train on it.
    """
    import torch
    from torch import nn

    torch.set_num_threads(1)  # layers this small gain nothing by a second one, and lose much on a busy machine
    torch.manual_seed(seed)

    def block(d_in: int, d_out: int) -> list[nn.Module]:
        linear = nn.Linear(d_in, d_out)
        nn.init.kaiming_uniform_(linear.weight)
        return [linear, nn.BatchNorm1d(d_out), nn.ReLU(), nn.Dropout(0.2)]

    d = train.shape[1]
    encoder = [*block(d, 64), *block(64, 32), nn.Linear(32, n_components)]
    model = nn.Sequential(*encoder, *block(n_components, 32), *block(32, 64), nn.Linear(64, d))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    x = torch.from_numpy(train)
    for _ in range(10):
        order = torch.randperm(len(x))
        for i in range(0, len(x), 32):
            batch = x[order[i : i + 32]]
            if len(batch) == 1:
                continue
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch), batch).backward()
            optimizer.step()
    model.eval()
    with torch.inference_mode():
        return _error(test, model(torch.from_numpy(test)).numpy())


def network(n_components: int, seed: int) -> Any:
    from autoenc import Autoencoder

    return Autoencoder(n_components, n_jobs=2, random_state=seed)


def ours(train: Array, test: Array, n_components: int, seed: int) -> float:
    return _error(test, network(n_components, seed).fit(train).reconstruct(test))


METHODS: dict[str, Callable[[Array, Array, int, int], float]] = {
    "pca": pca,
    "pyod-defaults": pyod_defaults,
    "ours": ours,
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks defaults", description=DESCRIPTION)
    parser.add_argument("--datasets", help=f"comma-separated, of {', '.join(DATASETS)} (default: all)")
    parser.add_argument("--methods", help=f"comma-separated, of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="splits and initialisations (default: 5)")
    parser.add_argument("--mnist-seeds", type=int, default=1, help="initialisations on MNIST's own split (default: 1)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if min(options.seeds, options.mnist_seeds) < 1:
        parser.error("--seeds and --mnist-seeds must be at least 1")
    names = choose(options.datasets, list(DATASETS), "data set")
    methods = choose(options.methods, list(METHODS), "method")
    facts = report.circumstances(["defaults", *arguments])
    rows = []
    for name in names:
        n_components, split = DATASETS[name]
        seeds = options.mnist_seeds if name == "mnist" else options.seeds
        reference: list[float] = []
        try:
            splits = [split(seed) for seed in range(1 if name == "mnist" else seeds)]
        except data.DataNotFound as error:
            say(f"  skipped {name}: {error}")
            rows.append([name, "", "", "", "", "skipped: data not on this machine"])
            continue
        for method in methods:
            say(f"  {name}, {method}")
            start = time.perf_counter()
            try:
                errors = [METHODS[method](*splits[seed % len(splits)], n_components, seed) for seed in range(seeds)]
            except ImportError as error:
                rows.append([name, str(n_components), method, "", "", f"missing: {error}"])
                continue
            seconds = (time.perf_counter() - start) / seeds
            if method == "pca":
                reference = errors
            ratio = report.spread(e / p for e, p in zip(errors, reference, strict=True)) if reference else ""
            mean = f"{statistics.fmean(errors):.5f} ({min(errors):.5f}..{max(errors):.5f})"
            rows.append([name, str(n_components), method, mean, ratio, f"{seconds:.1f} s a fit"])
    text = (
        f"{facts}\n* held-out mean squared error per feature: mean over {options.seeds} splits "
        f"(MNIST: {options.mnist_seeds} starts) with the range; "
        "ratio to PCA on the same split: median with the range\n\n"
    )
    head = ("data", "components", "method", "error", "error / PCA's", "note")
    report.publish("defaults", text + report.table(head, rows), options.write)
