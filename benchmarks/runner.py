"""Starts subjects in fresh processes and takes their rounds in turn, so that all of them see the same weather."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.worker import THREADS

ROOT = Path(__file__).resolve().parents[1]


class SubjectUnavailable(RuntimeError):
    """The subject cannot run here: a package or a data set is missing, or it failed."""


class Worker:
    """A subject in its process; a context manager that ends it."""

    def __init__(self, module: str, arguments: Mapping[str, Any]) -> None:
        environment = dict(os.environ)
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(THREADS)
        environment["JAX_PLATFORMS"] = "cpu"
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close() ends it
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", module, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        try:
            self.note: str = self._answer()["note"]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no message"])[-1]
            raise SubjectUnavailable(f"failed: {last[:120]}")
        content: dict[str, Any] = json.loads(line)
        if content["state"] in ("missing", "skipped"):
            raise SubjectUnavailable(f"{content['state']}: {content['reason']}")
        return content

    def round(self) -> dict[str, Any]:
        """Asks for one round and waits for what it measured."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended; reading its answer says why
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def say(message: str) -> None:
    """Progress goes to standard error; standard output carries the tables only."""
    print(message, file=sys.stderr, flush=True)


def measure(
    subjects: Mapping[str, tuple[str, Mapping[str, Any]]], rounds: int
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str], dict[str, str]]:
    """Rounds of every subject, taken in turn.

    `subjects` gives for each name the module and the arguments of its `Worker`. Returns the measurements of each
    subject that ran, the notes of those, and the reasons of those that did not.
    """
    workers: dict[str, Worker] = {}
    results: dict[str, list[dict[str, Any]]] = {}
    reasons: dict[str, str] = {}
    try:
        for name, (module, arguments) in subjects.items():
            say(f"  starting {name}")
            try:
                workers[name] = Worker(module, arguments)
                results[name] = []
            except SubjectUnavailable as error:
                say(f"  {name} {error}")
                reasons[name] = str(error)
        for number in range(rounds):
            for name in list(workers):
                time.sleep(0.1)  # lets threads that still spin in the last subject go to sleep
                try:
                    results[name].append(workers[name].round())
                except SubjectUnavailable as error:
                    say(f"  {name} {error}")
                    reasons[name] = str(error)
                    del results[name]
                    workers.pop(name).close()
            say(f"  round {number + 1} of {rounds} done")
        notes = {name: worker.note for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    return results, notes, reasons


def choose(text: str | None, known: Sequence[str], what: str) -> list[str]:
    """Names from a comma-separated list, all of them if there is none."""
    names = list(known) if text is None else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise SystemExit(f"unknown {what} {name!r}; known are {', '.join(known)}")
    return names
