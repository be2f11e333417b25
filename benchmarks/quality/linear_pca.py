"""A linear autoencoder trained by Adam in float32 against PCA on MNIST.

No linear map through as many components reconstructs the training rows better than PCA does, so the ratio of the
errors is at least one, and its distance from one is what the training left undone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import data, report
from benchmarks.peers import PEERS, load_trainer
from benchmarks.runner import choose, say
from benchmarks.workloads import Network

DESCRIPTION = "MNIST: error of a linear autoencoder (Adam, float32) over PCA's, wanted within 0.5 %"

WANTED = 1.005
PIXELS = 784


def network_of(n_components: int) -> Network:
    return Network((PIXELS, n_components, PIXELS), "identity", "identity", "squared_error")


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks linear-pca", description=DESCRIPTION)
    parser.add_argument("--peers", default="ours", help=f"comma-separated, of {', '.join(PEERS)} (default: ours)")
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--schedule", choices=("constant", "cosine"), default="cosine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if not 1 <= options.components <= PIXELS:
        parser.error(f"--components must lie in [1, {PIXELS}]; got {options.components}")
    return options


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    peers = choose(options.peers, list(PEERS), "peer")
    facts = report.circumstances(["linear-pca", *arguments])
    X = data.mnist_pixels("train")
    k = options.components

    # PCA's error is the sum of the eigenvalues of the covariance that it leaves out, here in float64.
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred / len(X))
    best = float(eigenvalues[: X.shape[1] - k].sum()) / X.shape[1]
    del centred

    network = network_of(k)
    rows = [["PCA", f"{best:.6f}", "1", "", ""]]
    for peer in peers:
        say(f"  {peer}, {options.epochs} epochs")
        try:
            trainer = load_trainer(peer)(
                network,
                X,
                options.batch_size,
                learning_rate=options.learning_rate,
                schedule=options.schedule,
                seed=options.seed,
            )
        except ImportError as error:
            rows.append([peer, "", "", f"missing: {error}", ""])
            continue
        start = time.perf_counter()
        trainer.train(options.epochs, lambda: None)
        seconds = time.perf_counter() - start
        ratio = network.evaluate(X, trainer.reconstruct(X)) / best
        rows.append(
            [peer, f"{ratio * best:.6f}", f"{ratio:.5f}", "reached" if ratio <= WANTED else "missed", f"{seconds:.0f}"]
        )
    text = (
        f"{facts}\n* {k} components, training rows, mean squared error per pixel; Adam "
        f"{options.learning_rate:g}, {options.schedule} rate, batch {options.batch_size}, {options.epochs} epochs; "
        f"wanted: at most {WANTED} times PCA's\n\n"
    )
    report.publish(
        "linear-pca",
        text + report.table(("model", "error", "error / PCA's", "verdict", "seconds"), rows),
        options.write,
    )
