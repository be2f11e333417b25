"""Accuracy of a linear classifier on 32 codes of MNIST, beside 32 principal components and raw pixels.

Protocol: each estimator with real-valued codes is fitted to the training pixels without labels; LogisticRegression is
fitted to the standardised codes of 10,000 training rows. No setting was chosen by these numbers; the test part is used
once. A sparse code is meant to be wider than what it keeps: beside 8 and 16 of 32 features stands one that keeps 16 of
256, a probe of more columns than the others have. Marked centred: fitted to pixels less their means.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import data, report
from benchmarks.runner import say

DESCRIPTION = "MNIST: linear probes on 32 codes of each estimator beside PCA and pixels"

COMPONENTS = 32


def models(epochs: int) -> dict[str, Any]:
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from autoenc import (
        Autoencoder,
        ContractiveAutoencoder,
        DenoisingAutoencoder,
        MarginalizedDenoisingAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
        VectorQuantizedAutoencoder,
    )

    def centred(model: Any) -> tuple[Any, Any]:
        return StandardScaler(with_std=False), model

    common = {"max_iter": epochs, "batch_size": 256, "random_state": 0}
    return {
        "pixels": FunctionTransformer(),
        "PCA": PCA(COMPONENTS, random_state=0),
        "Autoencoder": Autoencoder(COMPONENTS, **common),
        "SparseAutoencoder, k=8": SparseAutoencoder(COMPONENTS, k=8, **common),
        "SparseAutoencoder, k=8, centred": centred(SparseAutoencoder(COMPONENTS, k=8, **common)),
        "SparseAutoencoder, k=16, centred": centred(SparseAutoencoder(COMPONENTS, k=16, **common)),
        "SparseAutoencoder, k=16 of 256, centred": centred(SparseAutoencoder(256, k=16, **common)),
        "DenoisingAutoencoder": DenoisingAutoencoder(COMPONENTS, corruption_level=0.5, **common),
        "ContractiveAutoencoder": ContractiveAutoencoder(COMPONENTS, **common),
        "VariationalAutoencoder": VariationalAutoencoder(COMPONENTS, likelihood="log_loss", **common),
        "VectorQuantizedAutoencoder, 8 of 256": VectorQuantizedAutoencoder(COMPONENTS, n_codebooks=8, **common),
        "mSDA, then PCA": (MarginalizedDenoisingAutoencoder(n_layers=1), PCA(COMPONENTS, random_state=0)),
    }


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks linear-probes", description=DESCRIPTION)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options = options_of(arguments)
    facts = report.circumstances(["linear-probes", *arguments])
    X, y = data.mnist_pixels("train", options.rows), data.mnist_labels("train", options.rows)
    X_test, y_test = data.mnist_pixels("test"), data.mnist_labels("test")
    rows = []
    for name, given in models(options.epochs).items():
        say(f"  {name}")
        start = time.perf_counter()
        model = make_pipeline(*given) if isinstance(given, tuple) else given
        model.fit(X)
        seconds = time.perf_counter() - start
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        head.fit(model.transform(X[:10_000]), y[:10_000])
        rows.append([name, f"{100 * head.score(model.transform(X_test), y_test):.2f}", f"{seconds:.0f}"])
    text = (
        f"{facts}\n* accuracy in percent, test rows; {len(X)} rows without labels, {options.epochs} epochs, "
        "10,000 rows with labels; networks with the defaults of their estimators but for the 32 codes\n\n"
    )
    report.publish("linear-probes", text + report.table(("codes", "accuracy", "seconds"), rows), options.write)
