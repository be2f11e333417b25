"""Contraction on MNIST: norm of the Jacobian, reconstruction and linear separability, beside the plain autoencoder.

Protocol (Rifai et al. 2011, ICML: one layer of logistic units, tied weights, cross-entropy): the same network with and
without the penalty, the same epochs, optimiser and first weights. The norm is the mean over rows of the Frobenius norm
of the Jacobian of the code by the pixels, exact. Features are scored by LogisticRegression on standardised codes. Of
the weights of the penalty the largest is taken whose reconstruction loss on the last 10,000 training rows is within 10
% of the plain network's; the test part is used for that one and the plain network. The mean squared error stands beside
the loss: the cross-entropy of grey pixels has a floor above zero, which makes 10 % of it more than 10 % of what a
network can do about it.

What was tried on validation rows before (10,000 training rows): 256, 512 and 1,000 units at 40 epochs of minibatches of
256 had the norm down by 39, 40 and 43 % at 10 % more loss; He's first weights changed nothing. Longer training changed
most: a network that has taken few steps has not yet found the saturated codes that withstand change, and the plain
one's Jacobian goes on growing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import say

DESCRIPTION = "MNIST: Jacobian norm of a contractive autoencoder beside the plain one at equal reconstruction"


def jacobian_norm(model: Any, X: NDArray[Any]) -> float:
    """Of a code of one logistic layer."""
    code = model.transform(X).astype(np.float64)
    squares = (model.coefs_[0].astype(np.float64) ** 2).sum(axis=0)
    return float(np.sqrt((code * (1 - code)) ** 2 @ squares).mean())


def accuracy(model: Any, X: NDArray[Any], y: NDArray[Any], X_test: NDArray[Any], y_test: NDArray[Any]) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(model.transform(X), y)
    return float(head.score(model.transform(X_test), y_test))


def network(options: argparse.Namespace, weight: float) -> Any:
    from autoenc import ContractiveAutoencoder

    return ContractiveAutoencoder(
        options.components,
        contraction_weight=weight,
        tied_weights=not options.untied,
        loss=options.loss,
        max_iter=options.epochs,
        batch_size=options.batch_size,
        random_state=0,
    )


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks contractive", description=DESCRIPTION)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--weights", type=float, nargs="+", default=[1e-4, 2.5e-4])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--loss", choices=("log_loss", "squared_error"), default="log_loss")
    parser.add_argument("--untied", action="store_true", help="decoders with weights of their own")
    parser.add_argument("--validation", action="store_true", help="measure on the validation rows alone")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    facts = report.circumstances(["contractive", *arguments])
    X, y = data.mnist_pixels("train"), data.mnist_labels("train")
    X, y, X_val, y_val = X[: options.rows], y[: options.rows], X[50_000:], y[50_000:]
    parts = {"validation": (X_val, y_val)}
    if not options.validation:
        parts["test"] = (data.mnist_pixels("test"), data.mnist_labels("test"))
    rows, chosen, plain_error = [], None, 0.0
    models: dict[float, Any] = {}

    def line(weight: float, part: str, seconds: float, note: str) -> list[str]:
        rows_of, labels = parts[part]
        model = models[weight]
        known = slice(0, 10_000)
        return [
            f"{weight:g}",
            part,
            f"{-model.score(rows_of):.5f}",
            f"{np.square(model.reconstruct(rows_of) - rows_of).mean():.5f}",
            f"{jacobian_norm(model, rows_of):.3f}",
            f"{100 * accuracy(model, X[known], y[known], rows_of, labels):.2f}",
            f"{seconds:.0f}",
            note,
        ]

    times = {}
    for weight in (0.0, *options.weights):
        say(f"  weight {weight:g}")
        start = time.perf_counter()
        models[weight] = network(options, weight).fit(X)
        times[weight] = time.perf_counter() - start
        error = -models[weight].score(X_val)
        if weight == 0.0:
            plain_error = error
        elif error <= 1.1 * plain_error:
            chosen = weight
        rows.append(line(weight, "validation", times[weight], "within 10 %" if error <= 1.1 * plain_error else ""))
    if "test" in parts and chosen is not None:
        norms = [jacobian_norm(models[weight], parts["test"][0]) for weight in (0.0, chosen)]
        rows.append(line(0.0, "test", times[0.0], "plain"))
        rows.append(line(chosen, "test", times[chosen], "halved" if norms[1] <= 0.5 * norms[0] else "not halved"))
    text = (
        f"{facts}\n* {len(X)} training rows, 784-{options.components} logistic, "
        f"{'untied' if options.untied else 'tied'} weights, {options.loss}, "
        f"{options.epochs} epochs of minibatches of {options.batch_size}; accuracy in percent of LogisticRegression "
        "fitted to 10,000 codes; wanted: half of "
        "the plain network's Jacobian norm within 10 % of its loss, and a better accuracy\n\n"
    )
    head = ("weight", "rows", "loss", "squared error", "Jacobian norm", "accuracy", "seconds", "note")
    report.publish("contractive", text + report.table(head, rows), options.write)
