"""Time of one training step, ours beside the peers."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks import report
from benchmarks.peers import FLOAT32, PEERS, load_trainer
from benchmarks.runner import choose, measure, say
from benchmarks.workloads import WORKLOADS, Workload

DESCRIPTION = "milliseconds per training step: torch, torch.compile, JAX scan, MLPRegressor, ours"

JUDGED = 10240  # rows that the loss after training is taken on


class TrainingRounds:
    """One peer on one workload. A round trains from the start; its first epoch is not timed."""

    def __init__(self, peer: str, workload: str) -> None:
        trainer = load_trainer(peer)
        self._workload = WORKLOADS[workload]
        self._X = self._workload.load(self._workload.rows)
        self._trivial = self._workload.network.trivial(self._X)
        self._trainer = trainer(self._workload.network, self._X, self._workload.batch_size)
        self._trainer.train(1, lambda: None)  # compiles, starts threads
        self.note = self._trainer.note

    def round(self) -> dict[str, Any]:
        ticks: list[float] = []
        self._trainer.train(1 + self._workload.epochs, lambda: ticks.append(time.perf_counter()))
        if len(ticks) != 1 + self._workload.epochs:
            raise RuntimeError(f"expected {1 + self._workload.epochs} epochs, saw the end of {len(ticks)}")
        milliseconds = [1e3 * (b - a) / self._workload.steps for a, b in pairwise(ticks)]
        loss = self._loss()
        return {"ms": milliseconds, "loss": loss, "trivial": self._trivial}

    def _loss(self) -> float:
        X = self._X[:JUDGED]
        return self._workload.network.evaluate(X, self._trainer.reconstruct(X))


def open_subject(peer: str, workload: str) -> TrainingRounds:
    """A peer on a workload as a subject for `benchmarks.worker`."""
    return TrainingRounds(peer, workload)


Outcome = tuple[dict[str, list[dict[str, Any]]], dict[str, str], dict[str, str]]

# The roof is measured in turn with the peers: on a shared machine a single look may fall into a bad moment.
_ROOF = "sgemm roof"


def _measure(workload: Workload, peers: Sequence[str], rounds: int) -> Outcome:
    say(workload.title)
    subjects: dict[str, tuple[str, dict[str, Any]]] = {_ROOF: ("benchmarks.roof", {})}
    for peer in peers:
        subjects[peer] = ("benchmarks.steps", {"peer": peer, "workload": workload.name})
    return measure(subjects, rounds)


def _section(workload: Workload, peers: Sequence[str], outcome: Outcome, roof: float) -> str:
    results, notes, reasons = outcome
    results = {peer: taken for peer, taken in results.items() if peer in peers}
    losses = {peer: statistics.median(r["loss"] for r in taken) for peer, taken in results.items()}
    middle = statistics.median(losses.values()) if losses else 0.0
    alike = {peer: abs(loss - middle) <= workload.tolerance * middle for peer, loss in losses.items()}
    learnt = {peer: losses[peer] < workload.learnt * taken[0]["trivial"] for peer, taken in results.items()}
    reference = "ours" if alike.get("ours") and learnt["ours"] else None
    flops = workload.network.flops(workload.batch_size)
    rows = []
    for peer in peers:
        if peer in reasons:
            rows.append([peer, "", "", "", "", reasons[peer]])
            continue
        samples = [ms for r in results[peer] for ms in r["ms"]]
        per_round = [statistics.median(r["ms"]) for r in results[peer]]
        quality = f"{losses[peer]:.5f}"
        if not (alike[peer] and learnt[peer]):
            why = "loss differs" if learnt[peer] else "has learnt nothing"
            rows.append([peer, report.spread(samples), "", "", quality, f"{why}: not compared"])
            continue
        ratio = ""
        if reference is not None:
            ours = [statistics.median(r["ms"]) for r in results[reference]]
            ratio = report.spread([a / b for a, b in zip(per_round, ours, strict=True)])
        fraction = 100 * flops / (statistics.median(samples) / 1e3) / (roof * 1e9)
        rows.append([peer, report.spread(samples), ratio, f"{fraction:.1f} %", quality, notes[peer]])
    steps = workload.steps * (1 + workload.epochs)
    text = (
        f"### {workload.name}: {workload.title}\n\n"
        f"{flops / 1e6:.3g} Mflop a step, {1e3 * flops / (roof * 1e9):.3g} ms at the roof; training loss "
        f"after {steps} steps, within {workload.tolerance:.0%} of the median of all peers or not compared.\n\n"
    )
    head = ("peer", "ms per step", "peer / ours", "of the roof", "loss", "note")
    return text + report.table(head, rows)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks steps", description=DESCRIPTION)
    parser.add_argument("--workloads", help=f"comma-separated, of {', '.join(WORKLOADS)} (default: all)")
    parser.add_argument("--peers", help=f"comma-separated, of {', '.join(PEERS)} (default: those in float32)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--roof", type=float, help="GFLOP/s to take fractions of (default: measured by sgemm)")
    parser.add_argument("--write", action="store_true", help="also write the tables to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    workloads = choose(options.workloads, list(WORKLOADS), "workload")
    peers = choose(options.peers or ",".join(FLOAT32), list(PEERS), "peer")
    facts = report.circumstances(["steps", *arguments])
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {options.rounds}")
    outcomes = {name: _measure(WORKLOADS[name], peers, options.rounds) for name in workloads}
    roof, source = options.roof, "as given"
    if roof is None:
        roof = max(r["gflops"] for results, _, _ in outcomes.values() for r in results[_ROOF])
        source = "the best float32 sgemm on two threads"
    sections = [_section(WORKLOADS[name], peers, outcome, roof) for name, outcome in outcomes.items()]
    text = (
        f"{facts}\n* {options.rounds} rounds of all peers in turn, two threads each, every peer in its own process; "
        "an epoch is one sample\n"
        f"* roof: {roof:.0f} GFLOP/s, {source}\n\n" + "\n\n".join(sections)
    )
    report.publish("steps", text, options.write)
