"""The table of ``AUTOENC_PROFILE=1``: where the time of a fit went, phase by phase."""

import sys
from collections.abc import Iterator
from typing import TypeAlias

# (steps, threads, seconds, operations a second of one thread's products,
# [(phase, subject, calls, seconds, flops, bytes)]); csrc/train/profile.h says what is counted.
Taken: TypeAlias = tuple[int, int, float, float, list[tuple[str, str, int, float, float, float]]]


def _rate(amount: float, seconds: float) -> str:
    return f"{amount / seconds / 1e9:.1f}" if amount > 0 and seconds > 0 else ""


def _lines(taken: Taken) -> Iterator[tuple[str, ...]]:
    steps, threads, total, roof, rows = taken
    waiting = ("waiting, rest", "", steps, max(0.0, total - sum(row[3] for row in rows)), 0.0, 0.0)
    yield "stage", "calls", "ms/step", "share", "GFLOP/s", "GB/s", "of roof"
    for phase, subject, calls, seconds, flops, moved in [*rows, waiting]:
        fraction = f"{flops / seconds / (roof * threads):.0%}" if flops > 0 and seconds > 0 else ""
        yield (
            f"{phase} {subject}".strip(),
            str(calls),
            f"{1e3 * seconds / max(steps, 1):.4f}",
            f"{seconds / total:.1%}" if total > 0 else "",
            _rate(flops, seconds),
            _rate(moved, seconds),
            fraction,
        )


def table(taken: Taken, label: str) -> str:
    """The account of ``Trainer.profile`` for people.

    Parameters
    ----------
    taken : tuple
        What ``Trainer.profile`` answers.
    label : str
        What was fitted.

    Returns
    -------
    str
        A line about the whole, and a line for each stage. ``ms/step`` and ``share`` are means over the threads.
    """
    steps, threads, total, roof, _ = taken
    lines = list(_lines(taken))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        f"[{label}] profile: {total:.3f} s, {steps} steps of {1e3 * total / max(steps, 1):.4f} ms, {threads} "
        f"thread{'s' if threads > 1 else ''}, products at most {roof / 1e9:.1f} GFLOP/s each"
    ]
    for first, *others in lines:
        columns = (other.rjust(width) for other, width in zip(others, widths[1:], strict=True))
        text.append("  ".join((first.ljust(widths[0]), *columns)).rstrip())
    return "\n".join(text)


def show(taken: Taken, label: str) -> None:
    """Prints the table on standard error, where there is one."""
    if sys.stderr is not None:
        print(table(taken, label), file=sys.stderr, flush=True)
