"""One subject of a benchmark in a process of its own: ``python -m benchmarks.worker MODULE ARGUMENTS``.

MODULE has a function `open_subject` that takes the ARGUMENTS (a JSON object) and returns a `Subject`. Every line on
standard input asks for one round; answers are JSON lines on standard output, which nobody else in the process gets to
write to.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, Protocol

THREADS = 2


class Subject(Protocol):
    """What is measured: made once, then asked for rounds."""

    note: str

    def round(self) -> dict[str, Any]:
        """One round of measurements, as JSON."""


def _limit_cpus() -> None:
    """Two CPUs for a process whose libraries size their thread pools by what they may run on."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def main(module: str, arguments: str) -> None:
    from benchmarks.data import DataNotFound
    from benchmarks.latents import NotForPeer

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    _limit_cpus()
    try:
        subject = import_module(module).open_subject(**json.loads(arguments))
    except ImportError as error:
        answer(state="missing", reason=str(error))
        return
    except (DataNotFound, NotForPeer) as error:
        answer(state="skipped", reason=str(error))
        return
    answer(state="ready", note=subject.note)
    for _ in sys.stdin:
        answer(state="done", **subject.round())


if __name__ == "__main__":
    main(*sys.argv[1:])
