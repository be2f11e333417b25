"""Test log-likelihood of variational autoencoders on dynamically binarised MNIST.

Paper: Burda, Y., Grosse, R. and Salakhutdinov, R. (2016). Importance weighted autoencoders. ICLR. Its table 1 has, for
one stochastic layer of 50 units and 3,280 epochs, 86.76 nats for the variational autoencoder and 84.78 for the
importance weighted one of 50 draws. Protocol: 784-200-200-50 tanh and back, Bernoulli likelihood, pixels drawn anew at
each presentation; log-likelihood of drawn test rows by 5,000 importance samples. Differences here: 100 epochs, batches
of 100 rows, the rate falls from 1e-3 by a cosine, a fixed draw of the test rows by seed 0, and as many of them as asked
for. Nothing was chosen on test rows: rate and network are the paper's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import data, report
from benchmarks.runner import say

DESCRIPTION = "test log-likelihood of VAE and IWAE on dynamically binarised MNIST"
WANTED = 90.0  # nats, for one draw; that of 50 draws must be lower by 1


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks variational", description=DESCRIPTION)
    parser.add_argument("--draws", type=int, nargs="+", default=[1], help="importance samples in training (default: 1)")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rows", type=int, help="training rows (default: all)")
    parser.add_argument("--test-rows", type=int, default=10_000, help="the first so many (default: 10,000)")
    parser.add_argument("--samples", type=int, default=5000, help="importance samples of the test (default: 5,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    from autoenc import VariationalAutoencoder
    from autoenc.corruption import Bernoulli

    facts = report.circumstances(["variational", *arguments])
    train, test = data.mnist_pixels("train", options.rows), data.mnist_pixels("test")[: options.test_rows]
    drawn = (np.random.default_rng(0).random(test.shape, dtype=np.float32) < test).astype(np.float32)
    rows = []
    for k in options.draws:
        model = VariationalAutoencoder(
            50,
            hidden_layer_sizes=(200, 200),
            activation="tanh",
            likelihood="log_loss",
            objective="iwae" if k > 1 else "elbo",
            n_importance_samples=k,
            corruption=Bernoulli(),
            solver="adam",
            learning_rate_init=1e-3,
            alpha=0.0,
            batch_size=100,
            max_iter=options.epochs,
            random_state=options.seed,
            n_jobs=2,
        )
        say(f"  {k} draws, {options.epochs} epochs of {len(train):,} rows")
        start = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - start
        say(f"  fitted in {seconds:.0f} s; log-likelihood of {len(test):,} rows by {options.samples:,} samples")
        start = time.perf_counter()
        likelihood = -model.log_likelihood(drawn, n_samples=options.samples)
        spent = time.perf_counter() - start
        bound = -model.elbo(drawn)
        mean, error = likelihood.mean(), likelihood.std() / np.sqrt(len(likelihood))
        numbers = (f"{bound.mean():.2f}", f"{mean:.2f} +- {error:.2f}", str(model.active_units_))
        rows.append([str(k), str(options.epochs), *numbers, f"{seconds:.0f}", f"{spent:.0f}"])
    text = (
        f"{facts}\n* 784-200-200-50 tanh, Bernoulli, drawn anew at each presentation; {len(train):,} training and the "
        f"first {len(test):,} test rows, {options.samples:,} importance samples; nats, with the standard error over "
        f"the test rows; wanted: at most {WANTED:g} for one draw, and less by 1 for 50\n\n"
    )
    head = ("draws", "epochs", "-ELBO", "-log-likelihood", "active units", "seconds of fit", "seconds of test")
    report.publish("variational", text + report.table(head, rows), options.write)
