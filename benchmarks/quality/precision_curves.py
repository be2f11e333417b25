"""Training curves of fewer digits beside those of float32, of the networks of every script in this folder.

Networks, their parameters and data are those of the scripts, with fewer rows, and fewer epochs where a training would
take longer than some seconds. Where a script draws rows, labels or gaps by seed, they are those of seed 0. Each network
is trained from the same seeds by both precisions. After enough steps the smallest difference may have grown to as much
as another seed makes, so a curve is held against that: at each epoch the difference of the two means over seeds, in
units of its standard error if the trainings were independent, which is the standard deviation over the seeds of float32
times sqrt(2 / seeds). The verdict is "within" where that is at most 2 at every epoch from the second on, "within at the
end" where it is so at the last epoch but not at all of them, else "outside"; "the same bits" where all losses are
equal, as they are where no layer is wide enough for `precision="high"` to take its factors apart (docs/recipes.md).
Where trainings part completely, chance puts some networks outside: `--first-seed` then takes seeds that nobody has
looked at before.

Pairs with the same seed differ by less while they have not parted. The mean of their differences and its standard error
are shown too: they tell a bias that is smaller than what a seed makes.

An imputer's curve is that of its network, a detector's the mean of its members' curves. A classifier has two, of the
training without labels and of that with them. The marginalised autoencoder of `linear-probes` is solved, not trained.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.quality import (
    contractive,
    defaults,
    denoising,
    few_labels,
    hashing,
    imputation,
    linear_pca,
    linear_probes,
    mixed_tables,
    mnist_log_loss,
    outlier_detection,
    outlier_missing,
    sparse,
    time_to_error,
    variational,
)
from benchmarks.runner import choose, say

DESCRIPTION = (
    "training curves of precision high (and bfloat16) beside float32's, for the networks of all quality scripts"
)

PRECISIONS = ("high", "bfloat16")
LIMIT = 2.0  # standard errors

Array = NDArray[Any]
Curves = dict[str, list[float]]  # by what is trained, "" where that is one thing


class Case(NamedTuple):
    """A network of a script. train(precision=..., random_state=..., n_jobs=...) gives its curves."""

    name: str
    n_rows: int
    train: Callable[..., Curves]


def case(name: str, model: Any, X: Array, **more: Any) -> Case:
    """An estimator that has the curve of its one `fit`."""
    from sklearn.base import clone

    def train(**settings: Any) -> Curves:
        return {"": clone(model).set_params(**settings).fit(X, **more).loss_curve_}

    return Case(name, len(X), train)


# ---- the networks of each script ----


def of_contractive() -> Iterator[Case]:
    X = data.mnist_pixels("train", 4000)
    options = contractive.options_of([])
    for weight in (0.0, *options.weights):
        yield case(f"weight {weight:g}", contractive.network(options, weight), X)


def of_defaults() -> Iterator[Case]:
    for name, (n_components, split) in defaults.DATASETS.items():
        X = split(0)[0][:2000]
        model = defaults.network(n_components, 0)
        yield case(name, model.set_params(max_iter=60) if name == "mnist" else model, X)


def of_denoising() -> Iterator[Case]:
    from sklearn.base import clone

    X = data.mnist_pixels("train", 2000)
    options = denoising.options_of([])
    for kind in ("plain", "masking"):
        yield case(kind, denoising.network(options, kind), X)
    noisy = [denoising.gaussian(X, 10 + i) for i in range(options.rounds)]

    def train(**settings: Any) -> Curves:
        model = clone(denoising.network(options, "pairs")).set_params(**settings)
        return {"": [loss for seen in noisy for loss in model.fit(seen, X_clean=X).loss_curve_]}

    yield Case("gaussian, in pairs", len(X), train)


def of_few_labels() -> Iterator[Case]:
    rows = 4000
    X, y = data.mnist_pixels("train", rows), data.mnist_labels("train", rows)
    options = few_labels.options_of([])
    for n in options.labels:
        few = few_labels.labelled(y, n, 0)

        def train(n: int = n, few: Array = few, **settings: Any) -> Curves:
            model = few_labels.ours(0, options).set_params(**settings).fit(X, few)
            pretraining = {"pixels": model.loss_curve_} if n == options.labels[0] else {}  # does not see the labels
            return {**pretraining, "labels": model.fine_tune_loss_curve_}

        yield Case(f"{n} labels", rows, train)


def of_hashing() -> Iterator[Case]:
    X = data.mnist_pixels("train", 3000)
    options = hashing.options_of([])
    for name, settings in hashing.candidates().items():
        yield case(name, hashing.network(options.bits, settings, options.epochs, 0), X)


def of_imputation() -> Iterator[Case]:
    from sklearn.base import clone

    for name in imputation.SHOWN:
        X = imputation.table(name, 500)
        holes, _ = imputation.take_out(X, 0.3, 0)
        imputer = imputation.imputer("ours", 0)

        def train(imputer: Any = imputer, holes: Array = holes, **settings: Any) -> Curves:
            return {"": clone(imputer).set_params(**settings).fit(holes).autoencoder_.loss_curve_}

        yield Case(name, len(X), train)


def of_linear_pca() -> Iterator[Case]:
    from benchmarks.peers.ours import OursTrainer

    X = data.mnist_pixels("train", 6000)
    options = linear_pca.options_of([])
    # Where the script's own code is too narrow for "high" stands one that is not.
    for n_components in (options.components, 64):
        trainer = OursTrainer(
            linear_pca.network_of(n_components),
            X,
            options.batch_size,
            learning_rate=options.learning_rate,
            schedule=options.schedule,
        )
        yield case(f"{n_components} components", trainer.estimator(options.epochs), X)


def of_linear_probes() -> Iterator[Case]:
    X = data.mnist_pixels("train", 4000)
    centred = X - X.mean(axis=0)
    for name, given in linear_probes.models(linear_probes.options_of([]).epochs).items():
        model, rows = (given[-1], centred) if isinstance(given, tuple) else (given, X)
        if "precision" in model.get_params():
            yield case(name, model, rows)


def of_mixed_tables() -> Iterator[Case]:
    options = mixed_tables.options_of([])
    for name, table_of in mixed_tables.TABLES.items():
        table = table_of()
        X, n, units, seen = mixed_tables.in_order(table, 0)
        n = min(n, 1000)
        for by_column in (True, False):
            targets = X[:n] if by_column else (X[:n] - units[0]) / units[1]
            model = mixed_tables.network(table, options, 0, by_column=by_column)
            yield case(f"{name}, {'by column' if by_column else 'normal'}", model, seen[:n], X_clean=targets)


def of_mnist_log_loss() -> Iterator[Case]:
    from benchmarks.peers.ours import OursTrainer

    X = data.mnist_pixels("train", 5000)
    options = mnist_log_loss.options_of([])
    for name, (network, epochs, _) in mnist_log_loss.NETWORKS.items():
        trainer = OursTrainer(network, X, 256, learning_rate=options.learning_rate, schedule=options.schedule)
        yield case(name, trainer.estimator(epochs), X)


# Of the twenty sets: columns enough for wide layers, and the number that most have.
SETS = ("17_InternetAds", "26_optdigits")


def members(X: Array, **more: Any) -> Callable[..., Curves]:
    """The training of a detector."""
    from autoenc import AutoencoderOutlierDetector

    def train(**settings: Any) -> Curves:
        detector = AutoencoderOutlierDetector(**more, **settings).fit(X)
        return {"": np.mean([member.loss_curve_ for member in detector.estimators_], axis=0).tolist()}

    return train


def of_outlier_detection() -> Iterator[Case]:
    for name in SETS:
        for kind, (X, _, _) in zip(("", ", normal rows"), outlier_detection.load(name, 0, 600), strict=True):
            yield Case(name + kind, len(X), members(X))


def of_outlier_missing() -> Iterator[Case]:
    for name in SETS:
        X = outlier_detection.load(name, 0, 600)[1][0]
        holes = outlier_missing.with_gaps(X, np.random.RandomState(0))
        yield Case(name, len(X), members(holes, missing="mask"))


def of_sparse() -> Iterator[Case]:
    X = data.mnist_pixels("train", 4000)
    options = sparse.options_of([])
    for weight in options.weights[:2]:  # of larger ones no unit is left after so few steps
        yield case(f"L1 {weight:g}", sparse.l1_network(options, weight), X)
    centred = X - X.mean(axis=0)
    for k in (options.k[0], options.k[-1]):
        yield case(f"k = {k} of {options.units}", sparse.k_network(options, k, len(X)), centred)


def of_time_to_error() -> Iterator[Case]:
    yield case("kfac", time_to_error.network(time_to_error.RECIPES["kfac"]), data.mnist_pixels("train", 2000))


def of_variational() -> Iterator[Case]:
    for k, rows in ((1, 4000), (50, 500)):
        X = data.mnist_pixels("train", rows)
        yield case(f"{k} draws", variational.network(50, k, variational.options_of([])).set_params(max_iter=8), X)


SCRIPTS: dict[str, Callable[[], Iterator[Case]]] = {
    "contractive": of_contractive,
    "defaults": of_defaults,
    "denoising": of_denoising,
    "few-labels": of_few_labels,
    "hashing": of_hashing,
    "imputation": of_imputation,
    "linear-pca": of_linear_pca,
    "linear-probes": of_linear_probes,
    "mixed-tables": of_mixed_tables,
    "mnist-log-loss": of_mnist_log_loss,
    "outlier-detection": of_outlier_detection,
    "outlier-missing": of_outlier_missing,
    "sparse": of_sparse,
    "time-to-error": of_time_to_error,
    "variational": of_variational,
}


# ---- what is made of the curves ----


class Comparison(NamedTuple):
    """Of curves by seed, float32's and others'. Standard errors are those of a difference of two means over seeds."""

    mean: float  # of float32's last loss
    deviation: float
    other: float
    last: float  # difference of the means of the last loss, in standard errors
    largest: float  # of all epochs but the first, signed
    epoch: int  # where that is, from 1
    paired: float  # mean difference of the last loss, over `mean`
    paired_error: float  # its standard error
    verdict: str


def compare(reference: Array, other: Array) -> Comparison:
    """Curves of shape (seeds, epochs), of two seeds and two epochs at least."""
    n_seeds = len(reference)
    deviation = reference.std(axis=0, ddof=1)
    difference = other.mean(axis=0) - reference.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(difference == 0, 0.0, difference / (deviation * np.sqrt(2 / n_seeds)))
    at = 1 + int(np.abs(errors[1:]).argmax())
    pairs = (other[:, -1] - reference[:, -1]) / abs(reference[:, -1].mean())
    if np.array_equal(reference, other):
        verdict = "the same bits"
    elif not abs(errors[-1]) <= LIMIT:  # NaN too
        verdict = "outside"
    else:
        verdict = "within" if abs(errors[at]) <= LIMIT else "within at the end"
    return Comparison(
        float(reference[:, -1].mean()),
        float(deviation[-1]),
        float(other[:, -1].mean()),
        float(errors[-1]),
        float(errors[at]),
        at + 1,
        float(pairs.mean()),
        float(pairs.std(ddof=1) / np.sqrt(n_seeds)),
        verdict,
    )


def trained(one: Case, precisions: Sequence[str], seeds: Sequence[int], jobs: int) -> dict[str, dict[str, Array]]:
    """Curves of shape (seeds, epochs), by what is trained and by precision."""
    tasks = [(precision, seed) for seed in seeds for precision in precisions]
    with warnings.catch_warnings(), ThreadPoolExecutor(jobs) as pool:
        warnings.filterwarnings("ignore", hashing.UNSCALED)
        run = lambda task: one.train(precision=task[0], random_state=task[1], n_jobs=1)  # noqa: E731
        found = dict(zip(tasks, pool.map(run, tasks), strict=True))
    parts = found[tasks[0]]
    return {
        part: {precision: np.array([found[precision, seed][part] for seed in seeds]) for precision in precisions}
        for part in parts
    }


def cells(found: Comparison) -> list[str]:
    if found.verdict == "the same bits":
        return [f"{found.mean:.5g}", f"{found.deviation:.2g}", f"{found.other:.5g}", "0", "0", "0", found.verdict]
    return [
        f"{found.mean:.5g}",
        f"{found.deviation:.2g}",
        f"{found.other:.5g}",
        f"{found.last:+.2g}",
        f"{found.largest:+.2g} ({found.epoch})",
        f"{100 * found.paired:+.2g} +- {100 * found.paired_error:.2g} %",
        found.verdict,
    ]


def summary(precision: str, found: Sequence[Comparison], n_seeds: int) -> str:
    """Counts of verdicts, and what chance alone would make of trainings that share nothing but the network."""
    from scipy.stats import t

    verdicts = [result.verdict for result in found]
    parted = [result for result in found if result.verdict != "the same bits"]
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in dict.fromkeys(verdicts))
    if not parted:
        return f"* {precision}: {counts}\n"
    last, paired = (max(abs(getattr(result, name)) for result in parted) for name in ("last", "paired"))
    above = sum(result.paired > 0 for result in parted)
    chance = 2 * float(t.sf(LIMIT, n_seeds - 1))
    return (
        f"* {precision}: {counts}; of {len(parted)} that differ {above} end above float32; largest differences at the "
        f"end: {last:.2g} standard errors, and of pairs {100 * paired:.2g} %; were these trainings independent of "
        f"float32's, chance would put {chance * len(parted):.1f} outside ({100 * chance:.0f} %)\n"
    )


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks precision-curves", description=DESCRIPTION)
    parser.add_argument("--only", metavar="NAME,...", help=f"scripts, of {', '.join(SCRIPTS)} (default: all)")
    parser.add_argument("--precisions", default="high", help=f"comma-separated, of {', '.join(PRECISIONS)}")
    parser.add_argument("--seeds", type=int, default=4, help="how many, at least 2 (default: 4)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, each on one thread (default: 2)")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    if options.seeds < 2 or options.jobs < 1:
        parser.error("--seeds must be at least 2 and --jobs at least 1")
    return options


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    names = choose(options.only, list(SCRIPTS), "script")
    precisions = choose(options.precisions, list(PRECISIONS), "precision")
    facts = report.circumstances(["precision-curves", *arguments])
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = []
    found: dict[str, list[Comparison]] = {precision: [] for precision in precisions}
    begin = time.perf_counter()
    for script in names:
        try:
            for one in SCRIPTS[script]():
                start = time.perf_counter()
                for part, curves in trained(one, ["float32", *precisions], seeds, options.jobs).items():
                    name, epochs = ", ".join(filter(None, (one.name, part))), curves["float32"].shape[1]
                    for precision in precisions:
                        result = compare(curves["float32"], curves[precision])
                        found[precision].append(result)
                        rows.append([script, name, str(one.n_rows), str(epochs), precision, *cells(result)])
                        say(f"  {script}, {name}, {precision}: {result.last:+.2g}, {result.verdict}")
                say(f"  {script}, {one.name}: {time.perf_counter() - start:.1f} s")
        except data.DataNotFound as error:
            say(f"  skipped the rest of {script}: {error}")
            rows.append([script, "the rest skipped: data not on this machine", *[""] * 10])
    minutes = (time.perf_counter() - begin) / 60
    text = (
        f"{facts}\n* {options.seeds} seeds, the same for all precisions; loss of the last epoch: mean over seeds and "
        "standard deviation over seeds of float32; differences of means in standard errors of a difference of two "
        "means, at the last epoch, and the largest from the second epoch on (its epoch); paired: differences from "
        "float32 with the same seed at the last epoch, mean and its standard error, in percent of the loss; "
        f"{minutes:.0f} minutes in all\n"
        f"* within: at most {LIMIT:g} standard errors at all those epochs; within at the end: at the last\n"
        f"{''.join(summary(precision, found[precision], options.seeds) for precision in precisions)}\n"
    )
    head = (
        "script",
        "network",
        "rows",
        "epochs",
        "precision",
        "float32",
        "sd",
        "loss",
        "difference",
        "largest",
        "paired",
        "verdict",
    )
    report.publish("precision-curves", text + report.table(head, rows), options.write)
