"""Held-out log-likelihood of mixed tables: likelihoods by column beside a normal one for all columns.

Protocol: two variational autoencoders that differ in `likelihood` alone, with learned variances, are fitted to 60 % of
the rows; on the rest the log-likelihood of a row is estimated by importance sampling from its code (Burda et al. 2016,
equation 8). Both encoders see the same: all columns standardised on the training rows, counts by log(1 + x) first.
Numeric columns are targets in standard deviations and normal in both; the targets of the normal network are all
standardised, as its users would do. A discrete column counts with the
probability of what it is among what it could be: where its likelihood is normal, the density there over the sum of the
densities at all possible values (all one-hot rows, 0 and 1, all whole numbers up to twice the largest). That is more
than the normal network was told in training, so the comparison favours it.

Tables: `diabetes` of scikit-learn with sex, and with the third of the blood pressure and the decade of age as one-hot
columns; `online_news`, part of UCI's Online News Popularity (Fernandes, Vinagre and Cortez 2015): scores of texts,
numbers of links, images, videos, words of the title and keywords, channel and day of the week.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import choose, say

DESCRIPTION = "held-out log-likelihood of mixed tables, by column and normal"

Array = NDArray[np.float64]

NEWS_NUMBERS = (11, 44, 45, 46, 47, 50, 53, 56)
NEWS_DISPERSED = (7, 9, 10)  # links, images, videos
NEWS_COUNTS = (2, 12)  # words of the title, keywords
NEWS_CHANNELS, NEWS_DAYS = range(13, 19), range(31, 38)


class Table(NamedTuple):
    """Numeric columns first, then those of each range, in order."""

    X: Array
    n_numbers: int
    ranges: list[tuple[str, str, list[int]]]


def assembled(numbers: Array, others: Sequence[tuple[str, str, Array]]) -> Table:
    at = numbers.shape[1]
    ranges = []
    for name, loss, values in others:
        ranges.append((name, loss, list(range(at, at + values.shape[1]))))
        at += values.shape[1]
    return Table(np.hstack([numbers, *(values for _, _, values in others)]), numbers.shape[1], ranges)


def diabetes() -> Table:
    from sklearn.datasets import load_diabetes

    X = load_diabetes(scaled=False).data
    third = np.eye(3)[np.searchsorted(np.quantile(X[:, 3], [1 / 3, 2 / 3]), X[:, 3])]
    decade = np.floor(X[:, 0] / 10.0).astype(int)
    others = [
        ("pressure", "categorical", third),
        ("sex", "log_loss", X[:, [1]] - 1.0),
        ("decade", "categorical", np.eye(8)[decade][:, np.unique(decade)]),
    ]
    return assembled(X[:, [2, 4, 5, 6, 7, 8, 9]], others)


def online_news() -> Table:
    files = sorted((data.data_folder() / "online_news").glob("*.csv.gz"))
    if not files:
        raise data.DataNotFound("Online News Popularity is not on this machine; AUTOENC_DATA names the folder of data")
    X = np.genfromtxt(files[0], delimiter=",", skip_header=1, usecols=range(1, 61))
    X = np.hstack([np.zeros((len(X), 1)), X])  # the first column is the address
    X = X[X[:, 3] > 0]  # texts without a word have no scores
    channels = X[:, NEWS_CHANNELS]
    others = [
        ("numbers of", "negative_binomial", X[:, NEWS_DISPERSED]),
        ("words", "poisson", X[:, NEWS_COUNTS]),
        ("channel", "categorical", np.hstack([channels, 1.0 - channels.sum(axis=1, keepdims=True)])),
        ("day", "categorical", X[:, NEWS_DAYS]),
    ]
    return assembled(X[:, NEWS_NUMBERS], others)


TABLES = {"diabetes": diabetes, "online_news": online_news}


def of_counts(loss: str, X: Array, R: Array, theta: Array) -> Array:
    """Log-probabilities of whole numbers with given means."""
    from scipy import stats

    if loss == "poisson":
        return np.asarray(stats.poisson.logpmf(X, R))
    return np.asarray(stats.nbinom.logpmf(X, theta, theta / (theta + R)))


def given_code(table: Table, X: Array, R: Array, second: Array, *, by_column: bool) -> Array:
    """Log-probability of each row given what the decoder says: means and second parameters."""
    from scipy import stats
    from scipy.special import logsumexp

    n = table.n_numbers
    scale = np.exp(0.5 * second)
    total = np.asarray(stats.norm.logpdf(X[:, :n], R[:, :n], scale[:, :n]).sum(axis=1))
    at = n  # in `second`, of what has a dispersion
    for _, loss, columns in table.ranges:
        x, r = X[:, columns], R[:, columns]
        if by_column:
            theta = np.exp(second[:, at : at + len(columns)]) if loss == "negative_binomial" else r
            at += len(columns) if loss == "negative_binomial" else 0
            if loss == "categorical":
                total += np.log((x * r).sum(axis=1))
            elif loss == "log_loss":
                total += stats.bernoulli.logpmf(x, r).sum(axis=1)
            else:
                total += of_counts(loss, x, r, theta).sum(axis=1)
            continue
        s = scale[:, columns]
        here = -0.5 * ((x - r) / s) ** 2  # the constants of the density are in all that is possible
        if loss == "categorical":
            possible = [-0.5 * (((row - r) / s) ** 2).sum(axis=1) for row in np.eye(len(columns))]
            total += here.sum(axis=1) - logsumexp(possible, axis=0)
            continue
        values = range(2) if loss == "log_loss" else range(2 * int(table.X[:, columns].max()) + 1)
        total += (here - logsumexp([-0.5 * ((value - r) / s) ** 2 for value in values], axis=0)).sum(axis=1)
    return total


def inputs(table: Table, X: Array, n: int) -> Array:
    """What the encoders see, by the first n rows."""
    out = X.copy()
    for _, loss, columns in table.ranges:
        if loss in ("poisson", "negative_binomial"):
            out[:, columns] = np.log1p(X[:, columns])
    return np.asarray((out - out[:n].mean(axis=0)) / out[:n].std(axis=0))


def held_out(model: Any, table: Table, seen: Array, X: Array, n_draws: int, units: tuple[Array, Array] | None) -> float:
    """Mean log-likelihood of rows in nats. `units`: mean and deviation of each column, where these were the targets."""
    from scipy.special import logsumexp

    from autoenc import _core

    means, deviations = model.encode_distribution(seen)
    rng = np.random.default_rng(0)
    weights = []
    for _ in range(n_draws):
        noise = rng.normal(size=means.shape)
        z = (means + deviations * noise).astype(np.float32)
        second = np.clip(model._run(z, "second", _core.VALUES, start="mean", dtype=np.float64), -10.0, 10.0)
        R = model.inverse_transform(z).astype(np.float64)
        if units is not None:
            R, second = units[0] + units[1] * R, second + 2.0 * np.log(units[1])
        weight = given_code(table, X, R, second, by_column=units is None)
        weights.append(
            weight + 0.5 * (noise**2 - z.astype(np.float64) ** 2).sum(axis=1) + np.log(deviations).sum(axis=1)
        )
    return float((logsumexp(weights, axis=0) - np.log(n_draws)).mean())


def network(table: Table, options: argparse.Namespace, seed: int, *, by_column: bool) -> Any:
    from autoenc import VariationalAutoencoder
    from autoenc.losses import ColumnLoss

    return VariationalAutoencoder(
        options.components,
        likelihood=ColumnLoss(table.ranges) if by_column else "squared_error",
        noise_variance="learned",
        hidden_layer_sizes=(64,),
        max_iter=options.epochs,
        random_state=seed,
    )


def in_order(table: Table, seed: int) -> tuple[Array, int, tuple[Array, Array], Array]:
    """Rows in an order drawn by seed, of which the first n are for training; n; what `held_out` calls units; inputs."""
    order = np.random.default_rng([1000, seed]).permutation(len(table.X))
    X, n = table.X[order], round(0.6 * len(order))
    numbers = slice(table.n_numbers)
    X[:, numbers] = (X[:, numbers] - X[:n, numbers].mean(axis=0)) / X[:n, numbers].std(axis=0)
    return X, n, (X[:n].mean(axis=0), X[:n].std(axis=0)), inputs(table, X, n)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks mixed-tables", description=DESCRIPTION)
    parser.add_argument("--tables", help=f"comma-separated, of {', '.join(TABLES)} (default: all)")
    parser.add_argument("--epochs", type=int, default=100, help="of each fit (default: 100)")
    parser.add_argument("--components", type=int, default=3, help="of the codes (default: 3)")
    parser.add_argument("--draws", type=int, default=200, help="of the codes of a row (default: 200)")
    parser.add_argument("--seeds", type=int, default=3, help="splits and starts (default: 3)")
    parser.add_argument("--rows", type=int, default=1000, help="held-out rows looked at, at most (default: 1000)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if min(options.epochs, options.components, options.draws, options.seeds, options.rows) < 1:
        parser.error("--epochs, --components, --draws, --seeds and --rows must be at least 1")
    return options


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    facts = report.circumstances(["mixed-tables", *arguments])
    rows = []
    for name in choose(options.tables, list(TABLES), "table"):
        try:
            table = TABLES[name]()
        except data.DataNotFound as error:
            say(f"  skipped {name}: {error}")
            rows.append([name, "", f"skipped: {error}", "", "", ""])
            continue
        found: dict[bool, list[float]] = {True: [], False: []}
        seconds = {True: 0.0, False: 0.0}
        for seed in range(options.seeds):
            X, n, units, seen = in_order(table, seed)
            for by_column in (True, False):
                say(f"  {name}, seed {seed}, {'by column' if by_column else 'normal'}")
                model = network(table, options, seed, by_column=by_column)
                start = time.perf_counter()
                model.fit(seen[:n], X_clean=X[:n] if by_column else (X[:n] - units[0]) / units[1])
                seconds[by_column] += time.perf_counter() - start
                rest = slice(n, n + options.rows)
                targets = None if by_column else units
                found[by_column].append(held_out(model, table, seen[rest], X[rest], options.draws, targets))
        gains = [a - b for a, b in zip(found[True], found[False], strict=True)]
        rows.append(
            [
                name,
                f"{table.X.shape[0]} x {table.X.shape[1]}",
                *(
                    f"{statistics.fmean(found[kind]):.2f} ({seconds[kind] / options.seeds:.1f} s)"
                    for kind in (True, False)
                ),
                f"{statistics.fmean(gains):.2f}",
                f"{min(gains):.2f}",
            ]
        )
    text = (
        f"{facts}\n* mean log-likelihood of at most {options.rows} held-out rows in nats, {options.draws} draws of the "
        f"code; variational networks of {options.components} components and one hidden layer of 64, {options.epochs} "
        f"epochs; mean over {options.seeds} splits, seconds of a fit behind it; higher is better\n\n"
    )
    head = ("table", "shape", "by column", "normal", "gain", "least gain")
    report.publish("mixed-tables", text + report.table(head, rows), options.write)
