"""Tables in Markdown, and the file that keeps them."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peers import DISTRIBUTIONS

RESULTS = Path(__file__).resolve().with_name("RESULTS.md")
_HEAD = """# Results

Written by `python -m benchmarks ... --write`, one section a command; each section names the machine, the versions and
the command. A time is a median with the smallest and the largest sample behind it.
"""


def spread(samples: Iterable[float], digits: int = 3) -> str:
    """``median (min..max)`` to so many significant digits."""
    values = list(samples)
    middle, low, high = (_round(x, digits) for x in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}..{high})"


def _round(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]
    text = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(text)


def cpu_name() -> str:
    """Model of the CPU, its number for this process, and the instruction sets that matter here."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        content = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        content = ""
    if found := re.search(r"^model name\s*:\s*(.+)$", content, re.MULTILINE):
        model = re.search(r"^cpu family\s*:\s*(\d+)\nmodel\s*:\s*(\d+)$", content, re.MULTILINE)
        name = found[1].strip() + (f" (family {model[1]}, model {model[2]})" if model else "")
    if found := re.search(r"^flags\s*:\s*(.+)$", content, re.MULTILINE):
        present = set(found[1].split())
        flags = ", " + " ".join(
            flag for flag in ("fma", "avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in present
        )
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {count} CPUs{flags}"


def versions() -> str:
    """Python and the distributions that take part, as installed."""
    found = [f"Python {platform.python_version()}"]
    for name in DISTRIBUTIONS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def circumstances(arguments: Sequence[str]) -> str:
    """Machine, versions, date, load and command, as a Markdown list."""
    load = f"; load average at the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return "\n".join(
        (
            f"* {cpu_name()}{load}",
            f"* {versions()}",
            f"* {datetime.date.today().isoformat()}: `{shlex.join(('python', '-m', 'benchmarks', *arguments))}`",
        )
    )


def publish(name: str, text: str, write: bool) -> None:
    """Prints a section; with `write`, puts it into RESULTS.md in place of the section of that name."""
    section = f"## {name}\n\n{text.strip()}\n"
    print(section)
    if not write:
        return
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else _HEAD
    head, *sections = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    kept = {part.splitlines()[0][3:]: part.strip() + "\n" for part in sections}
    kept[name] = section
    RESULTS.write_text("\n".join([head.strip() + "\n", *kept.values()]), encoding="utf-8")
