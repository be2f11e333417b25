"""The command line: ``python -m autoenc`` or ``autoenc``.

``demo`` trains on handwritten digits and writes a picture; the other commands make models of tables and apply them.
"""

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from autoenc import __version__


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} given; a whole number is needed") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} given; at least 1 is needed")
    return value


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises an instance.

    Python's own handler raises the bare class, which pandas before Python 3.12 loses while it reads: it then says that
    the file could not be read, which is an error like any other.
    """
    try:
        handles = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if handles:
            signal.signal(signal.SIGINT, _interrupt)
    except ValueError:  # not in the main thread
        handles = False
    try:
        yield
    finally:
        if handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class _Nowhere(io.TextIOBase):
    """Takes what is written to a stream that the caller has closed; `print` would put it into the other one."""

    def write(self, text: str) -> int:
        return len(text)


@contextlib.contextmanager
def _open_streams() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Nowhere() if stream is None else stream for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed, 2 wrong arguments, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m autoenc",
        description="Autoencoders as scikit-learn estimators.",
        epilog="Exit status: 0 done, 1 failed (a message says why), 2 wrong arguments, 130 interrupted. "
        "COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"autoenc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train on scikit-learn's handwritten digits, compare with PCA, write a picture",
        description="Trains on scikit-learn's handwritten digits, prints the reconstruction error and the accuracy of "
        "a classifier on the codes beside PCA's, and writes a picture (with matplotlib).",
    )
    demo.add_argument("--output", default="autoenc-demo.png", metavar="FILE", help="the picture (default: %(default)s)")
    demo.add_argument("--components", type=_positive, default=16, metavar="N", help="width of the code (default: 16)")
    demo.add_argument("--quick", action="store_true", help="a tenth of the epochs: shows that it runs, not how well")
    with _open_streams():
        return _guarded(parser, commands, arguments)


def _guarded(parser: argparse.ArgumentParser, commands: Any, arguments: Sequence[str] | None) -> int:
    try:
        with _interruptible():
            return _run(parser, commands, arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except OSError as error:
        # Standard output takes no more: its disk is full, or the reader has gone, as `head` does without a word (which
        # Windows calls an invalid argument).
        if not isinstance(error, BrokenPipeError) and not (os.name == "nt" and error.errno == errno.EINVAL):
            print(f"autoenc: {error}", file=sys.stderr)
        with contextlib.suppress(OSError):  # what is left in the buffer must not fail at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(parser: argparse.ArgumentParser, commands: Any, arguments: Sequence[str] | None) -> int:
    from autoenc import _cli  # takes NumPy

    _cli.add_commands(commands)
    chosen = parser.parse_args(arguments)
    if chosen.command != "demo":
        if isinstance(sys.stdout, _Nowhere) and getattr(chosen, "output", "") is None:
            print(f"autoenc {chosen.command}: standard output is closed; --output takes a file", file=sys.stderr)
            return 1
        status = _cli.run(chosen)
        sys.stdout.flush()
        return status
    from autoenc import _demo  # takes seconds, in which Ctrl-C may come

    try:
        _demo.check_output(chosen.output)
        _demo.run(chosen.output, n_components=chosen.components, quick=chosen.quick)
        sys.stdout.flush()
    except _demo.DemoError as error:
        print(f"python -m autoenc demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
