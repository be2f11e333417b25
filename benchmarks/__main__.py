"""Command line: ``python -m benchmarks NAME [options]``, ``python -m benchmarks --list``."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.data import DataNotFound

BENCHMARKS = {
    "steps": "benchmarks.steps",
    "transform": "benchmarks.transform",
    "transform-one-row": "benchmarks.one_row",
    "memory": "benchmarks.memory",
    "fit-rows": "benchmarks.fit_rows",
    "defaults": "benchmarks.quality.defaults",
    "mnist-log-loss": "benchmarks.quality.mnist_log_loss",
    "time-to-error": "benchmarks.quality.time_to_error",
    "linear-pca": "benchmarks.quality.linear_pca",
    "denoising": "benchmarks.quality.denoising",
    "few-labels": "benchmarks.quality.few_labels",
    "contractive": "benchmarks.quality.contractive",
    "sparse": "benchmarks.quality.sparse",
    "linear-probes": "benchmarks.quality.linear_probes",
    "hashing": "benchmarks.quality.hashing",
    "variational": "benchmarks.quality.variational",
    "outlier-detection": "benchmarks.quality.outlier_detection",
    "outlier-missing": "benchmarks.quality.outlier_missing",
    "imputation": "benchmarks.quality.imputation",
    "mixed-tables": "benchmarks.quality.mixed_tables",
    "precision-curves": "benchmarks.quality.precision_curves",
}


def main(arguments: list[str]) -> int:
    if arguments == ["--list"]:
        for name, module in BENCHMARKS.items():
            print(f"{name:<18} {import_module(module).DESCRIPTION}")
        return 0
    if not arguments or arguments[0] not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        print(f"usage: python -m benchmarks NAME [options], or --list; NAME is one of {known}", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        import_module(BENCHMARKS[arguments[0]]).main(arguments[1:])
    except KeyboardInterrupt:
        return 130
    except DataNotFound as error:
        print(f"skipped {arguments[0]}: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
